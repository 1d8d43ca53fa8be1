/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hedge: hides how long Redis is given before the origin is asked too, and what that may cost the
 * origin. Called by lookup, on its thread. Invariant: in the long run there are no more hedges than
 * 50 a second and a twentieth of the other calls.
 */
#include "hedge.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_US 12000 /* until enough is known of Redis */
#define MIN_US 5000
#define MAX_US 50000
#define SAMPLES_MIN 20u
#define P95_EVERY_MS 250 /* sorting the samples for every read would cost more than it tells */
#define SECOND_MS 1000
#define FLOOR 50u
#define CALLS_A_HEDGE 20u

void bgw_hedge_init(struct bgw_hedge *h, int64_t fixed_us)
{
    *h = (struct bgw_hedge){.fixed_us = fixed_us, .p95_us = DEFAULT_US};
}

void bgw_hedge_sample(struct bgw_hedge *h, int64_t redis_us, int64_t now_ms)
{
    (void)now_ms;
    int64_t us = redis_us < 0 ? 0 : redis_us > UINT32_MAX ? UINT32_MAX : redis_us;
    h->samples[h->sample_count % BGW_HEDGE_SAMPLES] = (uint32_t)us;
    if (++h->sample_count == 2 * BGW_HEDGE_SAMPLES)
        h->sample_count = BGW_HEDGE_SAMPLES; /* the same place in the ring */
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int64_t p95(const struct bgw_hedge *h)
{
    uint32_t sorted[BGW_HEDGE_SAMPLES];
    uint32_t n = h->sample_count < BGW_HEDGE_SAMPLES ? h->sample_count : BGW_HEDGE_SAMPLES;
    memcpy(sorted, h->samples, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_size);
    return sorted[(n * 95 + 99) / 100 - 1];
}

int64_t bgw_hedge_delay_us(struct bgw_hedge *h, int64_t now_ms)
{
    if (h->fixed_us > 0)
        return h->fixed_us;
    if (h->sample_count < SAMPLES_MIN || (h->p95_at_ms && now_ms - h->p95_at_ms < P95_EVERY_MS))
        return h->p95_us;
    int64_t us = p95(h);
    h->p95_us = us < MIN_US ? MIN_US : us > MAX_US ? MAX_US : us;
    h->p95_at_ms = now_ms;
    return h->p95_us;
}

static void turn_second(struct bgw_hedge *h, int64_t now_ms)
{
    if (now_ms - h->second_ms < SECOND_MS)
        return;
    bool next = now_ms - h->second_ms < 2 * SECOND_MS;
    h->calls_before = next ? h->calls : 0;
    h->calls = 0;
    h->hedges = 0;
    h->second_ms = now_ms - now_ms % SECOND_MS;
}

bool bgw_hedge_take(struct bgw_hedge *h, bool saturated, int64_t now_ms)
{
    turn_second(h, now_ms);
    /* half of this second's calls and half of the last one's: each call counts once in all */
    if (saturated || h->hedges >= FLOOR + (h->calls + h->calls_before) / (2 * CALLS_A_HEDGE))
        return false;
    h->hedges++;
    return true;
}

void bgw_hedge_called(struct bgw_hedge *h, int64_t now_ms)
{
    turn_second(h, now_ms);
    h->calls++;
}
