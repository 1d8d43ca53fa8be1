/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_origin: the way to the origin, case by case: budget, breaker, the lock across replicas, the
 * queue, deadlines.
 */
#include "lookup_rig.h"

static void miss(struct rig *r, const char *key)
{
    rig_fetch(r, key, 0);
    rig_l2(r, RIG_MISS);
}

/* without Redis: straight to the origin */
static void start_bare(struct rig *r, size_t origin_max, int64_t burst)
{
    struct bgw_lookup_config config = rig_config(r);
    config.has_l2 = false;
    config.origin_max = origin_max;
    config.burst = burst;
    rig_start_with(r, &config);
}

TEST(what_the_origin_does_not_know_is_not_found)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 lock origin drop NOT_FOUND");
    rig_end(&r);
}

TEST(one_failed_call_is_an_error_and_nothing_is_stored)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin_fails(&r);
    CHECK_LOG(&r, "l2 lock origin drop UNAVAILABLE");
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin write DATABASE.1");
    rig_end(&r);
}

TEST(an_origin_below_the_floor_has_no_answer)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t old = bgw_metric_read(BGW_M_ORIGIN_OLD);
    rig_fetch(&r, "a", 5);
    rig_l2(&r, RIG_MISS);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, 4);
    CHECK_LOG(&r, "l2 lock origin drop UNAVAILABLE");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_ORIGIN_OLD) - old, 1);
    rig_end(&r);
}

TEST(an_origin_that_never_answers_holds_nobody)
{
    struct rig r = {0};
    start_bare(&r, 1, 800);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 249);
    CHECK_LOG(&r, "origin");
    rig_wait(&r, 1);
    CHECK_LOG(&r, "forget UNAVAILABLE");
    rig_fetch(&r, "b", 0); /* its place is free again */
    CHECK_LOG(&r, "origin");
    rig_end(&r);
    CHECK_LOG(&r, "forget UNAVAILABLE");
}

TEST(work_beyond_the_budget_is_shed)
{
    struct rig r = {0};
    start_bare(&r, 8, 2);
    int64_t shed = bgw_metric_read(BGW_M_SHED);
    for (int i = 0; i < 3; i++) {
        rig_fetch(&r, "a", 0);
        if (i < 2)
            rig_origin(&r, 1);
    }
    CHECK_LOG(&r, "origin DATABASE.1 origin DATABASE.1 SHED");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SHED) - shed, 1);
    bgw_flag_set(&r.flags, BGW_FLAG_SHEDDING, false);
    rig_fetch(&r, "a", 0);
    CHECK_LOG(&r, "origin");
    rig_end(&r);
}

TEST(a_hedge_that_is_shed_waits_for_redis)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.burst = config.rate_per_s = 1;
    rig_start_with(&r, &config);
    int64_t shed = bgw_metric_read(BGW_M_SHED);
    miss(&r, "a");
    r.log[0] = '\0';
    rig_fetch(&r, "b", 0);
    rig_wait(&r, 20);
    rig_l2(&r, 2);
    CHECK_LOG(&r, "l2 CACHE.2");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SHED) - shed, 0);
    rig_fetch(&r, "b", 0);
    rig_wait(&r, 20);
    rig_l2(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 SHED");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SHED) - shed, 1);
    rig_end(&r);
}

TEST(hits_in_redis_are_not_charged)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    struct bgw_sources_view view = {0};
    config.burst = 2;
    rig_start_with(&r, &config);
    for (int i = 0; i < 50; i++) {
        rig_fetch(&r, "a", 0);
        rig_l2(&r, 1);
        r.log[0] = '\0';
    }
    bgw_lookups_look(r.lookups, &view, r.now);
    CHECK_EQ_I64(view.tokens_milli, 2000);
    CHECK_EQ_I64(view.burst, 2);
    CHECK_EQ_I64(view.rate_per_s, 400);
    CHECK_EQ_I64(view.hedge_delay_us, 12000);
    rig_end(&r);
}

TEST(a_broken_origin_is_not_asked)
{
    struct rig r = {0};
    start_bare(&r, 8, 800);
    for (int i = 0; i < 5; i++) {
        rig_fetch(&r, "a", 0);
        rig_origin_fails(&r);
    }
    r.log[0] = '\0';
    rig_fetch(&r, "a", 0);
    CHECK_LOG(&r, "UNAVAILABLE");
    rig_wait(&r, 700);
    rig_fetch(&r, "a", 0);
    rig_fetch(&r, "b", 0);
    rig_origin(&r, 1);
    rig_fetch(&r, "b", 0);
    CHECK_LOG(&r, "origin UNAVAILABLE DATABASE.1 origin");
    rig_end(&r);
}

TEST(a_busy_origin_is_waited_for_in_order)
{
    struct rig r = {0};
    start_bare(&r, 1, 800);
    rig_fetch(&r, "a", 0);
    rig_fetch(&r, "b", 0);
    rig_fetch(&r, "c", 0);
    CHECK_LOG(&r, "origin");
    rig_origin(&r, 1);
    rig_origin(&r, 2);
    rig_origin(&r, 3);
    CHECK_LOG(&r, "DATABASE.1 origin DATABASE.2 origin DATABASE.3");
    rig_end(&r);
}

TEST(nobody_waits_in_the_queue_for_longer_than_a_call_may_take)
{
    struct rig r = {0};
    start_bare(&r, 1, 800);
    rig_fetch(&r, "a", 0);
    rig_fetch(&r, "b", 0);
    rig_wait(&r, 199);
    CHECK_LOG(&r, "origin");
    rig_wait(&r, 1);
    CHECK_LOG(&r, "SHED");
    rig_end(&r);
}

TEST(an_origin_that_refuses_at_once_empties_the_queue_without_recursion)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.has_l2 = false;
    config.origin_max = 1;
    config.lookups_max = 100000;
    bgw_flag_set(&r.flags, BGW_FLAG_SHEDDING, false);
    rig_start_with(&r, &config);
    rig_fetch(&r, "a", 0);
    r.refuse_at_once = true;
    for (int i = 0; i < 99999; i++)
        CHECK(rig_try(&r, "b", 0));
    CHECK_LOG(&r, "origin");
    rig_origin_fails(&r);
    CHECK(strstr(r.log, "UNAVAILABLE origin UNAVAILABLE origin UNAVAILABLE"));
    r.log[0] = '\0';
    for (int i = 0; i < 100000; i++)
        CHECK(rig_try(&r, "c", 0)); /* every place is free again */
    rig_end(&r);
}

TEST(only_the_holder_of_the_lock_asks_and_a_waiter_takes_what_was_written)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t waited = bgw_metric_read(BGW_M_LOCKS_WAITED);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_HELD);
    CHECK_LOG(&r, "l2 lock");
    rig_wait(&r, 10);
    rig_lock(&r, BGW_LOCK_HELD);
    rig_l2(&r, RIG_MISS);
    CHECK_LOG(&r, "lock l2");
    rig_wait(&r, 10);
    rig_lock(&r, BGW_LOCK_HELD);
    rig_l2(&r, 6);
    CHECK_LOG(&r, "lock l2 CACHE.6");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_LOCKS_WAITED) - waited, 1);
    rig_end(&r);
}

TEST(a_lock_that_was_given_back_is_taken_and_redis_is_looked_at_once_more)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_HELD);
    rig_wait(&r, 10);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_l2(&r, 6); /* the other one had written */
    CHECK_LOG(&r, "l2 lock lock l2 drop CACHE.6");
    miss(&r, "b");
    rig_lock(&r, BGW_LOCK_HELD);
    rig_wait(&r, 10);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_l2(&r, RIG_MISS); /* the other one had failed */
    rig_origin(&r, 7);
    CHECK_LOG(&r, "l2 lock lock l2 origin write DATABASE.7");
    rig_end(&r);
}

TEST(nobody_waits_for_others_longer_than_one_lease)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_HELD);
    for (int ms = 0; ms < 299; ms++) {
        rig_wait(&r, 1);
        if (!strstr(r.log, "lock l2") && r.log[0]) {
            rig_lock(&r, BGW_LOCK_HELD);
            rig_l2(&r, RIG_MISS);
        }
        CHECK(!strstr(r.log, "origin"));
        r.log[0] = '\0';
    }
    rig_wait(&r, 1);
    CHECK_LOG(&r, "lock");
    rig_lock(&r, BGW_LOCK_HELD);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "origin DATABASE.1"); /* not stored: it is not ours */
    rig_end(&r);
}

TEST(without_a_lock_the_origin_is_asked_and_nothing_stored)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_FAILED);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin DATABASE.1");
    rig_end(&r);
}

TEST(a_lock_that_is_never_answered_is_given_back_and_not_waited_for)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_wait(&r, 100);
    CHECK_LOG(&r, "l2 lock drop origin");
    rig_lock(&r, BGW_LOCK_TAKEN); /* late: it was given back already */
    rig_origin(&r, 1);
    CHECK_LOG(&r, "DATABASE.1");
    rig_end(&r);
}

TEST(a_waiter_goes_without_the_lock_when_redis_goes)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_HELD);
    bgw_lookups_on_l2_state(r.lookups, false, r.now);
    rig_wait(&r, 10);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin DATABASE.1");
    miss(&r, "b"); /* not even asked; the id is of an answered one */
    CHECK_LOG(&r, "origin");
    rig_end(&r);
}

TEST(a_hedge_learns_late_whether_the_lock_is_its_own)
{
    struct rig r = {0};
    rig_start(&r);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 12);
    rig_lock(&r, BGW_LOCK_HELD);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin DATABASE.1");
    rig_end(&r);
}

TEST(with_the_l2_flag_off_by_the_end_nothing_is_written)
{
    struct rig r = {0};
    rig_start(&r);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_TAKEN);
    bgw_flag_set(&r.flags, BGW_FLAG_L2, false);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin drop DATABASE.1");
    rig_end(&r);
}

TEST(at_the_end_everybody_is_answered_and_everything_given_back)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.origin_max = 1;
    rig_start_with(&r, &config);
    miss(&r, "a");
    rig_lock(&r, BGW_LOCK_TAKEN);
    CHECK_LOG(&r, "l2 lock origin");
    rig_fetch(&r, "b", 0);
    CHECK_LOG(&r, "l2");
    rig_end(&r);
    CHECK_LOG(&r, "forget drop UNAVAILABLE UNAVAILABLE");
}
