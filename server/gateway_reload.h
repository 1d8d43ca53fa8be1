/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_reload: SIGHUP. Private to the gateway; main thread. */
#ifndef BGW_GATEWAY_RELOAD_H
#define BGW_GATEWAY_RELOAD_H

#include "gateway_door.h"

#include "bgw/worker.h"

struct bgw_reload { /* main thread only */
    const struct bgw_config *start; /* what the parts were built from and borrow from */
    int argc;
    char **argv;
    char *const *env;
    struct bgw_door *door;
    struct bgw_worker *const *workers;
    size_t worker_count;
    struct bgw_config live;         /* of the last reload that was taken */
    bool has_live;
};

/* Reads the configuration anew as it was read at the start, and takes over what may change while running: all of it, or nothing
 * and a line in the log that says why. */
void bgw_reload_run(struct bgw_reload *r);
const struct bgw_config *bgw_reload_config(const struct bgw_reload *r); /* in force: for live keys alone */
void bgw_reload_deinit(struct bgw_reload *r);

#endif
