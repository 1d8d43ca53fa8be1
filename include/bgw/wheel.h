/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: hierarchical timing wheel with 1 ms ticks (4 levels of 256), pure: time is handed in.
 * Arm, re-arm and cancel are O(1); advance costs what fires. Deadlines never fire early; a
 * deadline in the past fires at the next advance. Jumps of hours are fine.
 */
#ifndef BGW_WHEEL_H
#define BGW_WHEEL_H

#include "bgw/list.h"

#include <stdbool.h>
#include <stdint.h>

struct bgw_timer;
typedef void (*bgw_timer_fn)(struct bgw_timer *timer, int64_t now_ms);

/* loop's thread only; embedded in what it times; 32 bytes */
struct bgw_timer {
    struct bgw_list link; /* linked while armed */
    int64_t due_ms;
    bgw_timer_fn fire; /* the timer is disarmed when this runs; it may re-arm itself */
};

#define BGW_WHEEL_BITS 8
#define BGW_WHEEL_SLOTS (1 << BGW_WHEEL_BITS)
#define BGW_WHEEL_LEVELS 4

/* loop's thread only; must not move once timers are armed */
struct bgw_wheel {
    struct bgw_list slots[BGW_WHEEL_LEVELS][BGW_WHEEL_SLOTS];
    uint64_t occupied[BGW_WHEEL_LEVELS][BGW_WHEEL_SLOTS / 64]; /* exact: a bit for each slot in use */
    struct bgw_list far;     /* beyond the top level (49.7 days) */
    struct bgw_list past;    /* armed at or before now_ms: the next advance fires them */
    struct bgw_list expired; /* being fired now: cancelling from a callback is safe */
    int64_t now_ms;
    uint64_t armed;
};

void bgw_wheel_init(struct bgw_wheel *w, int64_t now_ms);
void bgw_timer_init(struct bgw_timer *t, bgw_timer_fn fire);
static inline bool bgw_timer_armed(const struct bgw_timer *t)
{
    return bgw_list_linked(&t->link);
}
void bgw_wheel_arm(struct bgw_wheel *w, struct bgw_timer *t, int64_t due_ms); /* re-arms if armed */
void bgw_wheel_cancel(struct bgw_wheel *w, struct bgw_timer *t);              /* fine if not armed */
/* How many fired. What a callback arms at or before now_ms waits for the next advance. */
int bgw_wheel_advance(struct bgw_wheel *w, int64_t now_ms);
/* Milliseconds from the last advance until something may be due (a lower bound), at most `max_ms`. */
int64_t bgw_wheel_wait_ms(const struct bgw_wheel *w, int64_t max_ms);

#endif
