/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker: when it opens, how long for, and that one call at a time may try.
 */
#include "test.h"

#include "read/breaker.h"

static const struct bgw_breaker_config CONFIG = {.failures_max = 5, .open_ms = 500, .open_max_ms = 10000};

static struct bgw_breaker opened_at(int64_t now_ms)
{
    struct bgw_breaker b;
    bgw_breaker_init(&b, &CONFIG, 7);
    for (int i = 0; i < 5; i++)
        bgw_breaker_failed(&b, now_ms);
    return b;
}

TEST(it_opens_after_five_failures_in_a_row)
{
    struct bgw_breaker b;
    bgw_breaker_init(&b, &CONFIG, 1);
    for (int i = 0; i < 4; i++)
        bgw_breaker_failed(&b, 0);
    bgw_breaker_succeeded(&b, 0);
    for (int i = 0; i < 4; i++) {
        bgw_breaker_failed(&b, 0);
        CHECK(bgw_breaker_allow(&b, 0));
    }
    bgw_breaker_failed(&b, 0);
    CHECK(bgw_breaker_open(&b, 0));
    CHECK(!bgw_breaker_allow(&b, 0));
}

TEST(it_opens_when_half_of_the_last_twenty_failed)
{
    struct bgw_breaker b;
    bgw_breaker_init(&b, &CONFIG, 1);
    for (int i = 0; i < 19; i++) {
        if (i % 2)
            bgw_breaker_failed(&b, 0);
        else
            bgw_breaker_succeeded(&b, 0);
        CHECK(!bgw_breaker_open(&b, 0));
    }
    bgw_breaker_failed(&b, 0);
    CHECK_EQ_I64(b.state, BGW_BREAKER_OPEN);
}

TEST(a_third_that_fails_leaves_it_closed)
{
    struct bgw_breaker b;
    bgw_breaker_init(&b, &CONFIG, 1);
    for (int i = 0; i < 300; i++) {
        if (i % 3 == 2)
            bgw_breaker_failed(&b, 0);
        else
            bgw_breaker_succeeded(&b, 0);
    }
    CHECK_EQ_I64(b.state, BGW_BREAKER_CLOSED);
}

TEST(one_probe_at_a_time_and_its_success_closes)
{
    struct bgw_breaker b = opened_at(1000);
    CHECK(!bgw_breaker_allow(&b, 1499));
    CHECK(bgw_breaker_allow(&b, 1626)); /* a quarter of jitter at most */
    CHECK_EQ_I64(b.state, BGW_BREAKER_HALF_OPEN);
    CHECK(!bgw_breaker_allow(&b, 1626));
    bgw_breaker_abandoned(&b, 1626);
    CHECK(!bgw_breaker_open(&b, 1626));
    CHECK(bgw_breaker_allow(&b, 1626));
    CHECK(bgw_breaker_open(&b, 1626));
    bgw_breaker_succeeded(&b, 1630);
    CHECK_EQ_I64(b.state, BGW_BREAKER_CLOSED);
    bgw_breaker_failed(&b, 1630); /* counts from the beginning */
    CHECK(bgw_breaker_allow(&b, 1630));
}

TEST(each_failed_probe_doubles_the_time_up_to_the_most)
{
    struct bgw_breaker b = opened_at(0);
    int64_t now = 0, expected = 500;
    for (int i = 0; i < 10; i++) {
        int64_t open_for = b.open_until_ms - now;
        CHECK(open_for >= expected && open_for <= expected + expected / 4);
        now = b.open_until_ms;
        CHECK(!bgw_breaker_allow(&b, now - 1));
        CHECK(bgw_breaker_allow(&b, now));
        bgw_breaker_failed(&b, now);
        expected = expected * 2 > 10000 ? 10000 : expected * 2;
    }
    now = b.open_until_ms;
    CHECK(bgw_breaker_allow(&b, now));
    bgw_breaker_succeeded(&b, now);
    for (int i = 0; i < 5; i++)
        bgw_breaker_failed(&b, now);
    CHECK(b.open_until_ms - now <= 625);
}

TEST(what_comes_late_of_earlier_calls_changes_nothing_while_open)
{
    struct bgw_breaker b = opened_at(0);
    int64_t until = b.open_until_ms;
    bgw_breaker_succeeded(&b, 10);
    bgw_breaker_failed(&b, 20);
    CHECK_EQ_I64(b.state, BGW_BREAKER_OPEN);
    CHECK_EQ_I64(b.open_until_ms, until);
}

TEST(seeds_spread_the_probes)
{
    struct bgw_breaker a, b;
    int same = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        bgw_breaker_init(&a, &CONFIG, seed);
        bgw_breaker_init(&b, &CONFIG, seed + 1000);
        for (int i = 0; i < 5; i++) {
            bgw_breaker_failed(&a, 0);
            bgw_breaker_failed(&b, 0);
        }
        same += a.open_until_ms == b.open_until_ms;
    }
    CHECK(same < 10);
}
