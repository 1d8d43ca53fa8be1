/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel: hides how deadlines are kept. Called by loops, shards and the simulator on the thread
 * that owns the wheel.
 * Invariant: a timer stands on the level of the highest bit in which its due time differs from
 * now_ms, so every lower level is earlier than every higher one, and inside a level a higher slot
 * is later. Slots in use therefore always lie above the current index of their level.
 */
#include "bgw/wheel.h"

#include "bgw/assert.h"

#define SLOT_MASK (BGW_WHEEL_SLOTS - 1)
#define SPAN_BITS (BGW_WHEEL_BITS * BGW_WHEEL_LEVELS)

void bgw_wheel_init(struct bgw_wheel *w, int64_t now_ms)
{
    BGW_ASSERT(now_ms >= 0);
    for (int level = 0; level < BGW_WHEEL_LEVELS; level++) {
        for (int i = 0; i < BGW_WHEEL_SLOTS; i++)
            bgw_list_init(&w->slots[level][i]);
        for (int i = 0; i < BGW_WHEEL_SLOTS / 64; i++)
            w->occupied[level][i] = 0;
    }
    bgw_list_init(&w->far);
    bgw_list_init(&w->past);
    bgw_list_init(&w->expired);
    w->now_ms = now_ms;
    w->armed = 0;
}

void bgw_timer_init(struct bgw_timer *t, bgw_timer_fn fire)
{
    bgw_list_init(&t->link);
    t->due_ms = 0;
    t->fire = fire;
}

static void place(struct bgw_wheel *w, struct bgw_timer *t)
{
    if (t->due_ms <= w->now_ms) {
        bgw_list_push_back(&w->past, &t->link);
        return;
    }
    uint64_t differs = (uint64_t)t->due_ms ^ (uint64_t)w->now_ms;
    int level = (63 - __builtin_clzll(differs)) / BGW_WHEEL_BITS;
    if (level >= BGW_WHEEL_LEVELS) {
        bgw_list_push_back(&w->far, &t->link);
        return;
    }
    unsigned slot = (unsigned)(t->due_ms >> (level * BGW_WHEEL_BITS)) & SLOT_MASK;
    bgw_list_push_back(&w->slots[level][slot], &t->link);
    w->occupied[level][slot / 64] |= UINT64_C(1) << (slot % 64);
}

void bgw_wheel_arm(struct bgw_wheel *w, struct bgw_timer *t, int64_t due_ms)
{
    BGW_ASSERT(t->fire);
    if (bgw_timer_armed(t) && t->due_ms == due_ms)
        return;
    bgw_wheel_cancel(w, t);
    t->due_ms = due_ms;
    place(w, t);
    w->armed++;
}

/* The slot whose head this is, or -1: only a head can be left alone on its list. */
static int slot_of_head(const struct bgw_wheel *w, const struct bgw_list *head)
{
    uintptr_t first = (uintptr_t)&w->slots[0][0], at = (uintptr_t)head;
    if (at < first || at >= first + sizeof(w->slots))
        return -1;
    return (int)((at - first) / sizeof(struct bgw_list));
}

void bgw_wheel_cancel(struct bgw_wheel *w, struct bgw_timer *t)
{
    if (!bgw_timer_armed(t))
        return;
    struct bgw_list *neighbour = t->link.next;
    bgw_list_remove(&t->link);
    w->armed--;
    int slot = bgw_list_empty(neighbour) ? slot_of_head(w, neighbour) : -1;
    if (slot >= 0)
        w->occupied[slot / BGW_WHEEL_SLOTS][slot % BGW_WHEEL_SLOTS / 64] &=
            ~(UINT64_C(1) << (slot % 64));
}

/* First slot in use of a level, -1 if none. */
static int first_slot(const struct bgw_wheel *w, int level)
{
    for (int i = 0; i < BGW_WHEEL_SLOTS / 64; i++)
        if (w->occupied[level][i])
            return i * 64 + __builtin_ctzll(w->occupied[level][i]);
    return -1;
}

/* The next tick at which a slot must be fired or spread over lower levels; INT64_MAX if none. */
static int64_t next_tick(const struct bgw_wheel *w)
{
    for (int level = 0; level < BGW_WHEEL_LEVELS; level++) {
        int slot = first_slot(w, level);
        if (slot < 0)
            continue;
        int shift = level * BGW_WHEEL_BITS;
        int64_t block = w->now_ms >> (shift + BGW_WHEEL_BITS) << BGW_WHEEL_BITS;
        return (block | slot) << shift;
    }
    if (bgw_list_empty(&w->far))
        return INT64_MAX;
    int64_t span = w->now_ms >> SPAN_BITS;
    return span >= INT64_MAX >> SPAN_BITS ? INT64_MAX : (span + 1) << SPAN_BITS;
}

static void spread(struct bgw_wheel *w, struct bgw_list *from)
{
    struct bgw_list moving;
    bgw_list_init(&moving);
    bgw_list_splice(&moving, from);
    while (!bgw_list_empty(&moving)) {
        struct bgw_timer *t = BGW_CONTAINER(moving.next, struct bgw_timer, link);
        bgw_list_remove(&t->link);
        place(w, t);
    }
}

/* now_ms has just become a tick of next_tick: what is due lands in `past`. */
static void enter_tick(struct bgw_wheel *w)
{
    if ((w->now_ms & ((INT64_C(1) << SPAN_BITS) - 1)) == 0)
        spread(w, &w->far);
    for (int level = BGW_WHEEL_LEVELS - 1; level >= 0; level--) {
        int shift = level * BGW_WHEEL_BITS;
        if (w->now_ms & ((INT64_C(1) << shift) - 1))
            continue;
        unsigned slot = (unsigned)(w->now_ms >> shift) & SLOT_MASK;
        w->occupied[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        spread(w, &w->slots[level][slot]);
    }
}

int bgw_wheel_advance(struct bgw_wheel *w, int64_t now_ms)
{
    BGW_ASSERT(bgw_list_empty(&w->expired)); /* not from a callback */
    while (w->now_ms < now_ms) {
        int64_t tick = next_tick(w);
        w->now_ms = tick < now_ms ? tick : now_ms;
        if (tick <= now_ms)
            enter_tick(w);
    }
    bgw_list_splice(&w->expired, &w->past);
    int fired = 0;
    while (!bgw_list_empty(&w->expired)) {
        struct bgw_timer *t = BGW_CONTAINER(w->expired.next, struct bgw_timer, link);
        bgw_list_remove(&t->link);
        w->armed--;
        fired++;
        t->fire(t, w->now_ms);
    }
    return fired;
}

int64_t bgw_wheel_wait_ms(const struct bgw_wheel *w, int64_t max_ms)
{
    if (!bgw_list_empty(&w->past) || !bgw_list_empty(&w->expired))
        return 0;
    int64_t wait = next_tick(w) - w->now_ms;
    return wait < max_ms ? wait : max_ms;
}
