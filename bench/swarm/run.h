/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: one run as the coordinator sees it: what has been published, how many live, what the server
 * had used at which moment. Made by phases.c, printed by report.c.
 */
#ifndef SWARM_RUN_H
#define SWARM_RUN_H

#include "fleet.h"
#include "options.h"

struct reading { /* of the server and of ourselves, at a moment */
    int64_t cpu_ns, rss_kib, client_cpu_ns, at_ns;
};

/* From the first that is cut off until 99 % are live again. */
struct wave {
    int64_t lost_ns, back_ms;
    bool full, under; /* all were live; less than 99 % were, since */
};

struct run {
    struct options opt;
    struct fleet fleet;
    struct board *board;
    struct feed *feed;
    struct pick *pick;
    uint32_t *watchers; /* an account: clients that are not slow */
    uint64_t expected;  /* of the sum of held versions, when nobody is behind */
    uint64_t published;
    int others;         /* clients that are not slow */
    int64_t deadline_ns, late_ns_max;
    struct wave wave, storm;
    struct reading before, live, after;
    uint64_t entries_before;
    int64_t rss_peak_kib;
    bool completed;
};

/* 0: there are results to report; else an exit status, and why on stderr. */
int run_all(struct run *r);
void run_report(const struct run *r); /* one JSON object on stdout */
bool run_right(const struct run *r);

#endif
