/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bucket: hides the arithmetic of the shedding budget. Called by lookup, on its thread. Invariant:
 * over any stretch of time no more is admitted than the burst and the rate times the stretch, to a
 * thousandth of a token: `rate` tokens a second are `rate` thousandths a millisecond.
 */
#include "bucket.h"

#include "bgw/assert.h"

#define MILLI 1000
#define BURST_MAX (INT64_MAX / MILLI / 2)

void bgw_bucket_init(struct bgw_bucket *b, int64_t rate_per_s, int64_t burst, int64_t now_ms)
{
    BGW_ASSERT(rate_per_s > 0 && rate_per_s < BURST_MAX && burst > 0 && burst < BURST_MAX);
    *b = (struct bgw_bucket){
        .rate_per_s = rate_per_s, .burst = burst, .tokens_milli = burst * MILLI, .filled_ms = now_ms};
}

int64_t bgw_bucket_tokens_milli(struct bgw_bucket *b, int64_t now_ms)
{
    int64_t elapsed = now_ms - b->filled_ms, room = b->burst * MILLI - b->tokens_milli;
    if (elapsed <= 0)
        return b->tokens_milli;
    b->filled_ms = now_ms;
    /* compared by division: an idle year times a great rate is no int64 */
    b->tokens_milli += elapsed > room / b->rate_per_s ? room : elapsed * b->rate_per_s;
    return b->tokens_milli;
}

bool bgw_bucket_take(struct bgw_bucket *b, int64_t now_ms)
{
    if (bgw_bucket_tokens_milli(b, now_ms) < MILLI)
        return false;
    b->tokens_milli -= MILLI;
    return true;
}
