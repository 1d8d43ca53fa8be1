/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: the only file that reads a clock. Adapters call it once a loop turn, on any thread, and
 * hand the value on; hub and shard never come here.
 */
#include "bgw/clock.h"

#include "bgw/assert.h"

#include <time.h>

static struct timespec read_clock(clockid_t id)
{
    struct timespec t;
    int rc = clock_gettime(id, &t);
    BGW_ASSERT(rc == 0);
    return t;
}

struct bgw_now bgw_clock_now(void)
{
    struct timespec mono = read_clock(CLOCK_MONOTONIC);
    struct timespec wall = read_clock(CLOCK_REALTIME);
    return (struct bgw_now){
        .mono_ms = (int64_t)mono.tv_sec * 1000 + mono.tv_nsec / 1000000,
        .wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
    };
}

int64_t bgw_clock_mono_ns(void)
{
    struct timespec t = read_clock(CLOCK_MONOTONIC);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
