/* SPDX-License-Identifier: Apache-2.0 */
/* ops_write: what is known of the gateway as the JSON object of /v1/ops. Pure; called by ops_view. */
#ifndef BGW_OPS_WRITE_H
#define BGW_OPS_WRITE_H

#include "ops_window.h"

#include "bgw/ops_view.h"

/* since when something is as it is; wall clock */
struct ops_since {
    int state;
    int64_t wall_ms;
};

struct ops_known { /* borrows */
    const struct bgw_ops_view_config *config;
    const struct ops_window *window;
    const struct bgw_ops_facts *facts;
    struct ops_since state, redis, channel, origin, redis_breaker, origin_breaker;
    int64_t rss_bytes; /* below 0: not known */
    uint64_t seq;
    struct bgw_now now;
};

enum ops_state { OPS_STARTING, OPS_READY, OPS_DEGRADED, OPS_DRAINING };
enum ops_state ops_state_of(const struct bgw_health *health);
void ops_write(struct bgw_buf *out, const struct ops_known *k);

#endif
