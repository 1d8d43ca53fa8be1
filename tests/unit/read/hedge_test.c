/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hedge: how long Redis is given, and what hedges may cost the origin.
 */
#include "test.h"

#include "read/hedge.h"

TEST(the_fixed_delay_is_what_was_configured)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 12000);
    for (int i = 0; i < 500; i++)
        bgw_hedge_sample(&h, 40000, i);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 1000), 12000);
}

TEST(the_live_delay_is_the_95th_percentile)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 0);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 0), 12000); /* nothing is known yet */
    for (int i = 1; i <= 100; i++)
        bgw_hedge_sample(&h, i * 300, 10);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 10), 95 * 300);
}

TEST(the_live_delay_stays_between_5_and_50_ms)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 0);
    for (int i = 0; i < 1000; i++)
        bgw_hedge_sample(&h, 300, 10);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 10), 5000);
    for (int i = 0; i < 1000; i++)
        bgw_hedge_sample(&h, 5000000000, 10);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 20), 5000); /* not sorted for each read */
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 260), 50000);
}

TEST(old_samples_are_forgotten)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 0);
    for (int i = 0; i < 700; i++)
        bgw_hedge_sample(&h, 40000, 1);
    for (int i = 0; i < 256; i++)
        bgw_hedge_sample(&h, 20000, 2);
    CHECK_EQ_I64(bgw_hedge_delay_us(&h, 2), 20000);
}

TEST(fifty_a_second_are_free)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 12000);
    for (int second = 0; second < 3; second++) {
        int taken = 0;
        for (int i = 0; i < 1000; i++)
            taken += bgw_hedge_take(&h, false, 1000000 + second * 1000 + i);
        CHECK_EQ_I64(taken, 50);
    }
}

TEST(above_the_floor_there_is_one_hedge_for_twenty_calls)
{
    struct bgw_hedge h;
    int hedges = 0, calls = 0;
    bgw_hedge_init(&h, 12000);
    for (int ms = 0; ms < 20000; ms++) {
        int now_calls = ms / 1000 % 3 == 0 ? 5 : ms % 2; /* 5,000 and 500 a second */
        for (int i = 0; i < now_calls; i++, calls++)
            bgw_hedge_called(&h, ms);
        for (int i = 0; i < 4; i++)
            hedges += bgw_hedge_take(&h, false, ms);
    }
    CHECK(hedges <= 20 * 50 + calls / 20);
    CHECK(hedges >= 20 * 50 + calls / 20 * 9 / 10);
}

TEST(a_saturated_origin_is_not_hedged_and_that_costs_nothing)
{
    struct bgw_hedge h;
    bgw_hedge_init(&h, 12000);
    for (int i = 0; i < 1000; i++)
        CHECK(!bgw_hedge_take(&h, true, 5));
    CHECK(bgw_hedge_take(&h, false, 5));
    CHECK_EQ_I64(h.hedges, 1);
}
