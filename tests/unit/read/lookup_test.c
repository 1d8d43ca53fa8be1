/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup: how a value is fetched, case by case: who is asked, who wins, what is stored. The way to the
 * origin has its own file.
 */
#include "lookup_rig.h"

TEST(a_hit_in_redis_is_the_answer)
{
    struct rig r = {0};
    rig_start(&r);
    rig_fetch(&r, "a", 0);
    CHECK(r.trusted);
    rig_wait(&r, 3);
    rig_l2(&r, 7);
    CHECK_LOG(&r, "l2 CACHE.7");
    CHECK_EQ_I64(r.started_wall_ms, 5000);
    rig_wait(&r, 1000);
    CHECK_LOG(&r, "");
    rig_end(&r);
}

TEST(a_miss_asks_the_origin_and_fills_redis)
{
    struct rig r = {0};
    rig_start(&r);
    rig_fetch(&r, "a", 0);
    rig_l2(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 lock");
    rig_wait(&r, 2);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_wait(&r, 5);
    rig_origin(&r, 3);
    CHECK_LOG(&r, "origin write DATABASE.3");
    CHECK_EQ_I64(r.started_wall_ms, 5002);
    rig_end(&r);
    CHECK_LOG(&r, "");
}

TEST(a_value_of_redis_below_the_floor_is_no_answer)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t old = bgw_metric_read(BGW_M_L2_OLD);
    rig_fetch(&r, "a", 9);
    rig_l2(&r, 8);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_L2_OLD) - old, 1);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, 9);
    CHECK_LOG(&r, "l2 lock origin write DATABASE.9");
    rig_fetch(&r, "b", 9);
    rig_l2(&r, 9);
    CHECK_LOG(&r, "l2 CACHE.9");
    rig_fetch(&r, "c", 9); /* without a version there is nothing to compare */
    rig_l2(&r, 0);
    CHECK_LOG(&r, "l2 CACHE.0");
    rig_end(&r);
}

TEST(when_redis_is_slow_the_origin_is_asked_too)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t hedges = bgw_metric_read(BGW_M_HEDGES), won = bgw_metric_read(BGW_M_HEDGES_WON_ORIGIN);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 11);
    CHECK_LOG(&r, "l2");
    rig_wait(&r, 1);
    CHECK_LOG(&r, "lock origin"); /* the lock is not waited for: Redis is slow */
    rig_origin(&r, 4);
    CHECK_LOG(&r, "write DATABASE.4");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HEDGES) - hedges, 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HEDGES_WON_ORIGIN) - won, 1);
    rig_l2(&r, 4); /* only tells how Redis is */
    CHECK_LOG(&r, "");
    rig_end(&r);
    CHECK_LOG(&r, "");
}

TEST(redis_may_still_win_over_a_hedge)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t won = bgw_metric_read(BGW_M_HEDGES_WON_CACHE);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 12);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_l2(&r, 4);
    CHECK_LOG(&r, "l2 lock origin forget drop CACHE.4");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HEDGES_WON_CACHE) - won, 1);
    rig_origin(&r, 5); /* late: dropped, and its value with it */
    CHECK_LOG(&r, "");
    rig_end(&r);
}

TEST(an_older_answer_loses_even_if_it_is_faster)
{
    struct rig r = {0};
    rig_start(&r);
    rig_fetch(&r, "a", 5);
    rig_wait(&r, 12);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, 4);
    CHECK_LOG(&r, "l2 lock origin drop"); /* not stored, not answered */
    rig_l2(&r, 5);
    CHECK_LOG(&r, "CACHE.5");
    rig_fetch(&r, "b", 5);
    rig_wait(&r, 12);
    rig_l2(&r, 4);
    CHECK_LOG(&r, "l2 lock origin");
    rig_origin(&r, 5);
    CHECK_LOG(&r, "write DATABASE.5");
    rig_end(&r);
}

TEST(a_miss_of_the_origin_does_not_win_over_redis)
{
    struct rig r = {0};
    rig_start(&r);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 12);
    rig_origin(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 lock origin drop");
    rig_l2(&r, 5);
    CHECK_LOG(&r, "CACHE.5");
    rig_fetch(&r, "b", 0);
    rig_wait(&r, 12);
    rig_origin(&r, RIG_MISS);
    rig_l2(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 lock origin drop NOT_FOUND");
    rig_end(&r);
}

TEST(without_the_hedge_flag_redis_has_until_its_deadline)
{
    struct rig r = {0};
    rig_start(&r);
    bgw_flag_set(&r.flags, BGW_FLAG_HEDGE, false);
    int64_t hedges = bgw_metric_read(BGW_M_HEDGES);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 99);
    CHECK_LOG(&r, "l2");
    rig_wait(&r, 1);
    CHECK_LOG(&r, "origin"); /* Redis is silent: no lock either */
    rig_l2(&r, 3);           /* late */
    rig_origin(&r, 4);
    CHECK_LOG(&r, "DATABASE.4");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HEDGES) - hedges, 0);
    rig_end(&r);
}

TEST(a_saturated_origin_is_not_hedged)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.origin_max = 1;
    rig_start_with(&r, &config);
    rig_fetch(&r, "a", 0);
    rig_l2_fails(&r);
    rig_fetch(&r, "b", 0);
    rig_wait(&r, 50);
    CHECK_LOG(&r, "l2 origin l2");
    rig_end(&r);
}

TEST(when_redis_fails_or_is_gone_the_origin_is_asked_at_once_and_that_is_no_hedge)
{
    struct rig r = {0};
    rig_start(&r);
    int64_t hedges = bgw_metric_read(BGW_M_HEDGES);
    rig_fetch(&r, "a", 0);
    rig_l2_fails(&r);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 origin DATABASE.1");
    bgw_lookups_on_l2_state(r.lookups, false, r.now);
    rig_fetch(&r, "b", 0);
    rig_origin(&r, 2);
    CHECK_LOG(&r, "origin DATABASE.2");
    bgw_lookups_on_l2_state(r.lookups, true, r.now);
    bgw_flag_set(&r.flags, BGW_FLAG_L2, false);
    rig_fetch(&r, "c", 0);
    rig_origin(&r, 3);
    CHECK_LOG(&r, "origin DATABASE.3");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HEDGES) - hedges, 0);
    rig_end(&r);
}

TEST(after_five_failures_redis_is_left_alone_until_a_probe_succeeds)
{
    struct rig r = {0};
    struct bgw_sources_view view = {0};
    rig_start(&r);
    for (int i = 0; i < 5; i++) {
        rig_fetch(&r, "a", 0);
        rig_l2_fails(&r);
        rig_origin(&r, 1);
    }
    r.log[0] = '\0';
    bgw_lookups_look(r.lookups, &view, r.now);
    CHECK_EQ_I64(view.redis_breaker, BGW_BREAKER_OPEN);
    rig_fetch(&r, "a", 0);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "origin DATABASE.1");
    rig_wait(&r, 700);
    rig_fetch(&r, "a", 0);
    rig_fetch(&r, "b", 0); /* one probe at a time */
    rig_origin(&r, 1);
    rig_l2(&r, 1);
    CHECK_LOG(&r, "l2 origin DATABASE.1 CACHE.1");
    bgw_lookups_look(r.lookups, &view, r.now);
    CHECK_EQ_I64(view.redis_breaker, BGW_BREAKER_CLOSED);
    rig_end(&r);
}

TEST(redis_alone_cannot_deny)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.has_origin = false;
    rig_start_with(&r, &config);
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 50);
    rig_l2(&r, RIG_MISS);
    CHECK_LOG(&r, "l2 UNAVAILABLE");
    rig_fetch(&r, "a", 0);
    rig_wait(&r, 100);
    CHECK_LOG(&r, "l2 UNAVAILABLE");
    rig_end(&r);
}

TEST(without_any_source_it_says_so)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.has_origin = config.has_l2 = false;
    rig_start_with(&r, &config);
    rig_fetch(&r, "a", 0);
    CHECK_LOG(&r, "NO_SOURCE");
    rig_end(&r);
}

TEST(an_unknown_key_costs_nobody_anything)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.known = bgw_known_keys_create(1000);
    rig_start_with(&r, &config);
    int64_t filtered = bgw_metric_read(BGW_M_FILTERED);
    rig_fetch(&r, "a", 0);
    rig_l2(&r, 1);
    CHECK_LOG(&r, "l2 CACHE.1"); /* the list is not complete */
    bgw_known_keys_begin(config.known);
    bgw_known_keys_listed(config.known, BGW_SLICE("t"), BGW_SLICE("a"));
    bgw_known_keys_complete(config.known);
    rig_fetch(&r, "b", 0);
    CHECK_LOG(&r, "NOT_FOUND");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_FILTERED) - filtered, 1);
    rig_fetch(&r, "a", 0);
    rig_l2(&r, 1);
    CHECK_LOG(&r, "l2 CACHE.1");
    rig_fetch(&r, "b", 1); /* somebody has seen a version of it */
    CHECK_LOG(&r, "l2");
    bgw_flag_set(&r.flags, BGW_FLAG_FILTER, false);
    rig_fetch(&r, "b", 0);
    CHECK_LOG(&r, "l2");
    rig_end(&r);
    bgw_known_keys_destroy(&config.known);
}

TEST(what_is_compared_with_its_source_is_not_asked_of_the_cache)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    rig_start_with(&r, &config);
    r.past_cache = true;
    rig_fetch(&r, "a", 0);
    rig_lock(&r, BGW_LOCK_TAKEN);
    rig_origin(&r, 4);
    CHECK_LOG(&r, "lock origin write DATABASE.4");
    rig_end(&r);
}

TEST(an_account_that_was_opened_after_the_list_is_found_and_a_flood_of_invented_ones_is_not)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.known = bgw_known_keys_create(1000);
    config.doubts_per_s = 2; /* five at once */
    rig_start_with(&r, &config);
    bgw_known_keys_begin(config.known);
    bgw_known_keys_complete(config.known);
    rig_fetch(&r, "new", 0);
    rig_l2(&r, 1);
    CHECK_LOG(&r, "l2 CACHE.1");
    CHECK(!bgw_known_keys_certainly_unknown(config.known, BGW_SLICE("t"), BGW_SLICE("new")));
    CHECK_EQ_I64(r.lists_old, 1); /* and the list is to be read again */
    rig_fetch(&r, "new", 0);
    rig_l2(&r, 2);
    CHECK_LOG(&r, "l2 CACHE.2");
    CHECK_EQ_I64(r.lists_old, 1);
    int64_t filtered = bgw_metric_read(BGW_M_FILTERED);
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof(key), "invented%d", i);
        rig_fetch(&r, key, 0);
    }
    CHECK_EQ_I64(bgw_metric_read(BGW_M_FILTERED) - filtered, 96);
    rig_end(&r);
    bgw_known_keys_destroy(&config.known);
}

TEST(a_newcomer_in_a_flood_is_found_when_he_comes_again_and_the_invented_are_denied_once)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.known = bgw_known_keys_create(1000);
    config.doubts_per_s = 2;
    config.has_l2 = false;
    rig_start_with(&r, &config);
    bgw_known_keys_begin(config.known);
    bgw_known_keys_complete(config.known);
    for (int i = 0; i < 5; i++) {
        char key[32];
        snprintf(key, sizeof(key), "invented%d", i);
        rig_fetch(&r, key, 0);
        CHECK_LOG(&r, "origin");
        rig_origin(&r, RIG_MISS);
        CHECK_LOG(&r, "NOT_FOUND");
        rig_fetch(&r, key, 0); /* the origin has said no just now */
        CHECK_LOG(&r, "NOT_FOUND");
    }
    rig_fetch(&r, "new", 0);
    CHECK_LOG(&r, "NOT_FOUND"); /* the budget is used up */
    rig_fetch(&r, "new", 0);
    CHECK_LOG(&r, "origin"); /* not that of those who come again */
    rig_origin_fails(&r);
    CHECK_LOG(&r, "UNAVAILABLE"); /* which says nothing of him */
    rig_fetch(&r, "new", 0);
    CHECK_LOG(&r, "origin");
    rig_origin(&r, 7);
    CHECK_LOG(&r, "DATABASE.7");
    CHECK_EQ_I64(r.lists_old, 1);
    rig_end(&r);
    bgw_known_keys_destroy(&config.known);
}

TEST(while_the_channel_is_down_nothing_is_believed_nor_stored)
{
    struct rig r = {0};
    rig_start(&r);
    bgw_lookups_on_channel(r.lookups, false);
    rig_fetch(&r, "a", 0);
    CHECK(!r.trusted);
    rig_l2(&r, RIG_MISS);
    rig_lock(&r, BGW_LOCK_TAKEN);
    bgw_lookups_on_channel(r.lookups, true); /* what came before that is not known */
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin drop DATABASE.1");
    rig_fetch(&r, "a", 0);
    rig_l2(&r, RIG_MISS);
    rig_lock(&r, BGW_LOCK_TAKEN);
    bgw_lookups_on_channel(r.lookups, false);
    bgw_lookups_on_channel(r.lookups, true);
    rig_origin(&r, 1);
    CHECK_LOG(&r, "l2 lock origin drop DATABASE.1");
    rig_end(&r);
}

static bool stored_after(struct rig *r, struct bgw_slot_name name, bool any_tenant)
{
    rig_fetch(r, "a", 0);
    rig_l2(r, RIG_MISS);
    rig_lock(r, BGW_LOCK_TAKEN);
    bgw_lookups_on_invalidate(r->lookups, &name, any_tenant);
    rig_origin(r, 1);
    bool stored = strcmp(r->log, "l2 lock origin write DATABASE.1") == 0;
    CHECK(stored || strcmp(r->log, "l2 lock origin drop DATABASE.1") == 0);
    r->log[0] = '\0';
    return stored;
}

TEST(what_was_invalidated_meanwhile_is_answered_and_not_stored)
{
    struct rig r = {0};
    rig_start(&r);
    struct bgw_slot_name name = rig_name("a");
    CHECK(!stored_after(&r, name, false));
    name.part = 0;
    CHECK(!stored_after(&r, name, false));
    name.part = 2;
    CHECK(stored_after(&r, name, false));
    name = rig_name("b");
    CHECK(stored_after(&r, name, true));
    name = rig_name("a");
    name.tenant[0] = 'u';
    CHECK(stored_after(&r, name, false));
    CHECK(!stored_after(&r, name, true));
    name.feed = 1;
    CHECK(stored_after(&r, name, true));
    rig_end(&r);
}

TEST(beyond_the_maximum_it_says_no_and_places_are_given_back)
{
    struct rig r = {0};
    struct bgw_lookup_config config = rig_config(&r);
    config.lookups_max = 2;
    rig_start_with(&r, &config);
    rig_fetch(&r, "a", 0);
    rig_fetch(&r, "b", 0);
    CHECK(!rig_try(&r, "c", 0));
    rig_l2(&r, 1);
    CHECK(rig_try(&r, "c", 0));
    CHECK(!rig_try(&r, "d", 0));
    CHECK_LOG(&r, "l2 l2 CACHE.1 l2");
    rig_end(&r);
    CHECK_LOG(&r, "UNAVAILABLE UNAVAILABLE");
}

TEST(an_answer_may_be_followed_by_a_question_at_once)
{
    struct rig r = {0};
    rig_start(&r);
    r.ask_again = true;
    rig_fetch(&r, "a", 0);
    rig_l2(&r, 1);
    rig_l2(&r, 2);
    CHECK_LOG(&r, "l2 CACHE.1 l2 CACHE.2");
    rig_end(&r);
}

TEST(answers_to_nobodys_question_are_dropped)
{
    struct rig r = {0};
    rig_start(&r);
    for (uint64_t id = 0; id < 100; id++) {
        struct bgw_lookup_answer a = rig_says(1), b = rig_says(1);
        bgw_lookups_on_l2(r.lookups, id << 20 | id, &a, r.now);
        bgw_lookups_on_origin(r.lookups, id << 20 | id, &b, r.now);
        bgw_lookups_on_lock(r.lookups, id << 20 | id, BGW_LOCK_TAKEN, r.now);
    }
    rig_fetch(&r, "a", 0);
    uint64_t first = r.l2;
    rig_l2(&r, 1);
    rig_fetch(&r, "a", 0); /* in the same place */
    struct bgw_lookup_answer again = rig_says(9);
    bgw_lookups_on_l2(r.lookups, first, &again, r.now);
    CHECK_LOG(&r, "l2 CACHE.1 l2");
    rig_end(&r);
}
