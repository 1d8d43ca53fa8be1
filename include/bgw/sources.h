/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources: what is known of Redis and the origin, for people and for other threads: who is up, how
 * often each was asked, what was shed. Written by the reader's thread, read by any.
 */
#ifndef BGW_SOURCES_H
#define BGW_SOURCES_H

#include "bgw/buf.h"
#include "bgw/clock.h"

#include <stdatomic.h>

enum bgw_link_state { BGW_LINK_NONE /* not configured */, BGW_LINK_DOWN, BGW_LINK_UP };
enum bgw_breaker_state { BGW_BREAKER_CLOSED, BGW_BREAKER_HALF_OPEN, BGW_BREAKER_OPEN };

struct bgw_sources_view { /* fixed-size value */
    enum bgw_link_state redis, channel, origin;
    enum bgw_breaker_state redis_breaker, origin_breaker;
    int64_t redis_memory_bytes; /* below 0: not known */
    int64_t tokens_milli;       /* of the load shedding bucket */
    int64_t rate_per_s, burst;
    size_t known_keys;          /* in the filter that is in force; 0: off */
    bool filter_complete;
    int64_t hedge_delay_us;
};

#endif
