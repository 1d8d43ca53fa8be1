/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker: is a dependency worth asking. Closed: yes. Open after `failures_max` failures in a row, or half of the last 20 calls:
 * no, for `open_ms`, doubling to `open_max_ms`, with jitter. Then half-open: one probe at a time; its success closes. Pure.
 */
#ifndef BGW_READ_BREAKER_H
#define BGW_READ_BREAKER_H

#include "bgw/sources.h"

#include <stdbool.h>
#include <stdint.h>

struct bgw_breaker_config {
    unsigned failures_max; /* 5 */
    int64_t open_ms, open_max_ms; /* 500, 10000 */
};
struct bgw_breaker { /* one thread */
    struct bgw_breaker_config config;
    enum bgw_breaker_state state;
    unsigned failures, window_count;
    uint32_t window;      /* a bit a call, 1: failed */
    int64_t open_until_ms, open_for_ms;
    bool probing;
    uint64_t random;
};
void bgw_breaker_init(struct bgw_breaker *b, const struct bgw_breaker_config *config, uint64_t seed);
/* May a call be made now? True takes the probe's place if half-open: succeeded, failed or abandoned must follow. */
bool bgw_breaker_allow(struct bgw_breaker *b, int64_t now_ms);
bool bgw_breaker_open(struct bgw_breaker *b, int64_t now_ms); /* would allow say no; takes nothing */
void bgw_breaker_succeeded(struct bgw_breaker *b, int64_t now_ms);
void bgw_breaker_failed(struct bgw_breaker *b, int64_t now_ms);
void bgw_breaker_abandoned(struct bgw_breaker *b, int64_t now_ms); /* it was given up for a reason of ours: says nothing */

#endif
