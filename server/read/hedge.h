/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hedge: when the origin is asked although Redis has not answered yet. Fixed (12 ms), or the live p95
 * of Redis clamped to 5-50 ms; at most 5 % extra origin calls above a floor of 50 a second, and none
 * while the origin is saturated. Pure.
 */
#ifndef BGW_READ_HEDGE_H
#define BGW_READ_HEDGE_H

#include <stdbool.h>
#include <stdint.h>

#define BGW_HEDGE_SAMPLES 256u

struct bgw_hedge { /* one thread */
    int64_t fixed_us; /* 0: the p95 */
    uint32_t samples[BGW_HEDGE_SAMPLES]; /* microseconds, a ring */
    uint32_t sample_count;
    int64_t p95_us, p95_at_ms;
    int64_t second_ms; /* the second that is being counted */
    uint32_t calls, hedges, calls_before; /* other origin calls and hedges of this second, calls of the last */
};
void bgw_hedge_init(struct bgw_hedge *h, int64_t fixed_us);
void bgw_hedge_sample(struct bgw_hedge *h, int64_t redis_us, int64_t now_ms); /* what a Redis read took */
int64_t bgw_hedge_delay_us(struct bgw_hedge *h, int64_t now_ms);
bool bgw_hedge_take(struct bgw_hedge *h, bool saturated, int64_t now_ms); /* one more, please; counted if true */
void bgw_hedge_called(struct bgw_hedge *h, int64_t now_ms); /* the origin was asked for another reason */

#endif
