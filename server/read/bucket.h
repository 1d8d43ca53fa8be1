/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bucket: the load shedding token bucket (LS_RATE_PER_SEC, LS_BURST). Charges only work that goes
 * past the cache. Exact integers: a thousandth of a token a step; starts full. Pure.
 */
#ifndef BGW_READ_BUCKET_H
#define BGW_READ_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bgw_bucket { /* one thread */
    int64_t rate_per_s, burst;
    int64_t tokens_milli, filled_ms;
};
void bgw_bucket_init(struct bgw_bucket *b, int64_t rate_per_s, int64_t burst, int64_t now_ms);
bool bgw_bucket_take(struct bgw_bucket *b, int64_t now_ms);
int64_t bgw_bucket_tokens_milli(struct bgw_bucket *b, int64_t now_ms);

#endif
