/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: 100,000 deadlines of the kinds that connections have, spread over half a minute: armed,
 * moved, cancelled, expired. Advancing is done a millisecond at a time, as a busy loop does.
 */
#include "micro.h"

#include "bgw/wheel.h"

#include <stdlib.h>

#define TIMERS 100000u
#define SPREAD_MS 30000
#define STRIDE 7919u /* prime to SPREAD_MS: neighbours have nothing to do with each other */

struct timers {
    struct bgw_wheel wheel;
    uint64_t done;
    struct bgw_timer timers[TIMERS];
};

static uint64_t fired;

static void on_fire(struct bgw_timer *timer, int64_t now_ms)
{
    (void)timer, (void)now_ms;
    fired++;
}

static void arm_all(struct timers *t, uint32_t shift)
{
    for (uint32_t i = 0; i < TIMERS; i++)
        bgw_wheel_arm(&t->wheel, &t->timers[i], t->wheel.now_ms + 1 + (i + shift) * STRIDE % SPREAD_MS);
}

static void cancel_all(struct timers *t)
{
    for (uint32_t i = 0; i < TIMERS; i++)
        bgw_wheel_cancel(&t->wheel, &t->timers[i]);
}

static void *timers_make(const struct micro *m)
{
    (void)m;
    struct timers *t = micro_alloc(1, sizeof(*t));
    bgw_wheel_init(&t->wheel, 1000);
    for (uint32_t i = 0; i < TIMERS; i++)
        bgw_timer_init(&t->timers[i], on_fire);
    return t;
}

static void none_ready(void *state)
{
    cancel_all(state);
}

static void armed_ready(void *state)
{
    arm_all(state, 0);
}

static void arm_run(void *state)
{
    struct timers *t = state;
    arm_all(t, 0);
    t->done += t->wheel.armed;
}

static void move_run(void *state)
{
    struct timers *t = state;
    arm_all(t, 1);
    t->done += t->wheel.armed;
}

static void cancel_run(void *state)
{
    struct timers *t = state;
    cancel_all(t);
    t->done += TIMERS - t->wheel.armed;
}

static void expire_run(void *state)
{
    struct timers *t = state;
    for (int64_t end = t->wheel.now_ms + SPREAD_MS; t->wheel.now_ms < end;)
        bgw_wheel_advance(&t->wheel, t->wheel.now_ms + 1);
    t->done = fired;
}

static uint64_t timers_right(void *state)
{
    const struct timers *t = state;
    return t->done;
}

const struct micro micro_wheel[] = {
    {"wheel/arm", "timer", TIMERS, 2, NULL, timers_make, none_ready, arm_run, timers_right, free},
    {"wheel/move", "timer", TIMERS, 2, NULL, timers_make, armed_ready, move_run, timers_right, free},
    {"wheel/cancel", "timer", TIMERS, 2, NULL, timers_make, armed_ready, cancel_run, timers_right, free},
    {"wheel/expire", "timer", TIMERS, 2, NULL, timers_make, armed_ready, expire_run, timers_right, free},
    {0},
};
