/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fleet: the workers as processes: started once, watched, ended. A worker that ends before it was told
 * to is an error of the run. Called by phases.c, in the coordinator.
 */
#ifndef SWARM_FLEET_H
#define SWARM_FLEET_H

#include "options.h"
#include "results.h"

#include <sys/types.h>

struct fleet {
    struct results *results; /* one a worker */
    struct control *control;
    pid_t pids[SWARM_WORKERS_MAX];
    int count;
    int64_t warm_ns; /* of the feed, that is not measured */
};

/* To be called before anything that has threads. False, and why on stderr. */
bool fleet_start(struct fleet *f, const struct options *o, struct board *board);
bool fleet_alive(struct fleet *f); /* false: one has ended, and which is on stderr */
void fleet_say(struct fleet *f, enum phase phase);
bool fleet_end(struct fleet *f); /* waits for all; false: one did not end as it should */
int64_t fleet_cpu_ns(const struct fleet *f);

#endif
