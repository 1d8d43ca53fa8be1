/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wheel_test: deadlines against a plain model, at the borders of levels and over long jumps.
 */
#include "bgw/wheel.h"

#include "../test.h"

#define TIMERS 400

struct probe {
    struct bgw_timer timer;
    int64_t due_ms, fired_ms;
    int fired, order; /* times; place among all that fired in this test */
    struct bgw_wheel *wheel;
    int64_t rearm_ms;         /* > 0: arms itself again, once, this much later */
    struct bgw_timer *cancels; /* cancelled when this one fires */
};

static int fire_order;

static void probe_fire(struct bgw_timer *timer, int64_t now_ms)
{
    struct probe *p = BGW_CONTAINER(timer, struct probe, timer);
    p->fired++;
    p->order = fire_order++;
    p->fired_ms = now_ms;
    CHECK(!bgw_timer_armed(timer));
    CHECK(now_ms >= p->due_ms);
    if (p->cancels)
        bgw_wheel_cancel(p->wheel, p->cancels);
    if (p->rearm_ms) {
        p->due_ms = now_ms + p->rearm_ms;
        p->rearm_ms = 0;
        bgw_wheel_arm(p->wheel, timer, p->due_ms);
    }
}

static void probe_arm(struct probe *p, struct bgw_wheel *w, int64_t due_ms)
{
    if (!p->wheel)
        bgw_timer_init(&p->timer, probe_fire);
    p->wheel = w;
    p->due_ms = due_ms;
    bgw_wheel_arm(w, &p->timer, due_ms);
}

static uint64_t rng_state;

static uint64_t rng(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

TEST(timer_is_32_bytes)
{
    CHECK_EQ_I64(sizeof(struct bgw_timer), 32);
}

TEST(deadlines_at_level_borders_fire_exactly_when_due)
{
    static const int64_t starts[] = {0, 1, 255, 256, 65535, 65536 - 7, (1 << 24) - 1, INT64_C(1) << 32};
    static const int64_t delays[] = {1,       2,       255,       256,      257,       65535,
                                     65536,   65537,   1 << 24,   (1 << 24) + 1, INT64_C(1) << 32, (INT64_C(1) << 32) + 5};
    for (size_t s = 0; s < sizeof(starts) / sizeof(*starts); s++)
        for (size_t d = 0; d < sizeof(delays) / sizeof(*delays); d++) {
            static struct bgw_wheel w;
            struct probe p = {0};
            int64_t due = starts[s] + delays[d];
            bgw_wheel_init(&w, starts[s]);
            probe_arm(&p, &w, due);
            CHECK_EQ_I64(bgw_wheel_advance(&w, due - 1), 0);
            CHECK_EQ_I64(p.fired, 0);
            CHECK_EQ_I64(bgw_wheel_advance(&w, due), 1);
            CHECK_EQ_I64(p.fired, 1);
            CHECK_EQ_I64(w.armed, 0);
        }
}

TEST(deadline_in_the_past_fires_at_the_next_advance_even_without_time_passing)
{
    struct bgw_wheel w;
    struct probe p = {0}, q = {0};
    bgw_wheel_init(&w, 1000);
    probe_arm(&p, &w, 5);
    probe_arm(&q, &w, 1000);
    CHECK_EQ_I64(bgw_wheel_wait_ms(&w, 50), 0);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 1000), 2);
    CHECK_EQ_I64(bgw_wheel_wait_ms(&w, 50), 50);
}

TEST(self_rearming_timer_does_not_hold_up_an_advance)
{
    struct bgw_wheel w;
    struct probe p = {0};
    bgw_wheel_init(&w, 0);
    p.rearm_ms = -5; /* in the past again */
    probe_arm(&p, &w, 10);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 20), 1);
    CHECK_EQ_I64(bgw_wheel_wait_ms(&w, 100), 0);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 20), 1);
    CHECK_EQ_I64(p.fired, 2);
}

TEST(cancelling_from_a_callback_of_the_same_tick_works)
{
    struct bgw_wheel w;
    struct probe a = {0}, b = {0};
    bgw_wheel_init(&w, 0);
    a.cancels = &b.timer;
    probe_arm(&a, &w, 10);
    probe_arm(&b, &w, 10);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 100), 1);
    CHECK_EQ_I64(a.fired, 1);
    CHECK_EQ_I64(b.fired, 0);
    CHECK_EQ_I64(w.armed, 0);
}

TEST(rearming_moves_a_deadline_both_ways)
{
    struct bgw_wheel w;
    struct probe p = {0};
    bgw_wheel_init(&w, 0);
    probe_arm(&p, &w, 100);
    probe_arm(&p, &w, 5000);
    CHECK_EQ_I64(w.armed, 1);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 4999), 0);
    probe_arm(&p, &w, 5001);
    CHECK_EQ_I64(bgw_wheel_advance(&w, 5001), 1);
    bgw_wheel_cancel(&w, &p.timer);
    CHECK_EQ_I64(p.fired, 1);
}

TEST(wait_is_never_later_than_the_first_deadline)
{
    struct bgw_wheel w;
    struct probe p = {0};
    bgw_wheel_init(&w, 77);
    CHECK_EQ_I64(bgw_wheel_wait_ms(&w, 12345), 12345);
    probe_arm(&p, &w, 77 + 40);
    CHECK_EQ_I64(bgw_wheel_wait_ms(&w, 12345), 40);
    probe_arm(&p, &w, 77 + 100000);
    int64_t now = 77;
    int steps = 0;
    while (!p.fired && steps++ < 10) {
        int64_t wait = bgw_wheel_wait_ms(&w, INT64_MAX);
        CHECK(wait > 0 && now + wait <= p.due_ms);
        now += wait;
        bgw_wheel_advance(&w, now);
    }
    CHECK_EQ_I64(p.fired_ms, 77 + 100000);
    CHECK(steps <= BGW_WHEEL_LEVELS);
}

TEST(jump_of_hours_fires_everything_on_the_way_in_order)
{
    struct bgw_wheel w;
    static struct probe p[TIMERS];
    memset(p, 0, sizeof(p));
    bgw_wheel_init(&w, 123456);
    for (int i = 0; i < TIMERS; i++)
        probe_arm(&p[i], &w, 123456 + (int64_t)i * 40000);
    fire_order = 0;
    CHECK_EQ_I64(bgw_wheel_advance(&w, 123456 + 5 * 3600 * 1000), TIMERS);
    for (int i = 0; i < TIMERS; i++)
        CHECK_EQ_I64(p[i].order, i);
    CHECK_EQ_I64(w.armed, 0);
}

/* One step of the random schedule: some are armed, moved or cancelled, then time passes. */
static void random_step(struct bgw_wheel *w, struct probe *p, int64_t *now, int64_t span)
{
    for (int i = 0; i < 20; i++) {
        struct probe *x = &p[rng() % TIMERS];
        if (rng() % 4 == 0) {
            if (x->wheel)
                bgw_wheel_cancel(w, &x->timer);
        } else {
            probe_arm(x, w, *now + (int64_t)(rng() % (uint64_t)span) - span / 20);
        }
    }
    int expected = 0;
    *now += (int64_t)(rng() % (uint64_t)(span / 4 + 1));
    for (int i = 0; i < TIMERS; i++)
        expected += p[i].wheel && bgw_timer_armed(&p[i].timer) && p[i].due_ms <= *now;
    CHECK_EQ_I64(bgw_wheel_advance(w, *now), expected);
}

TEST(random_schedules_agree_with_a_plain_model)
{
    static struct bgw_wheel w;
    static struct probe p[TIMERS];
    static const int64_t spans[] = {50, 1000, 70000, 20 * 1000 * 1000, INT64_C(9) * 1000 * 1000 * 1000};
    rng_state = 0x9e3779b97f4a7c15u;
    for (size_t s = 0; s < sizeof(spans) / sizeof(*spans); s++) {
        int64_t now = (int64_t)(rng() % 1000000);
        memset(p, 0, sizeof(p));
        bgw_wheel_init(&w, now);
        for (int step = 0; step < 2000; step++)
            random_step(&w, p, &now, spans[s]);
        uint64_t armed = 0;
        for (int i = 0; i < TIMERS; i++)
            armed += p[i].wheel && bgw_timer_armed(&p[i].timer);
        CHECK_EQ_I64(armed, w.armed);
    }
}
