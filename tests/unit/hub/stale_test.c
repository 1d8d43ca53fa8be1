/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a value that nobody vouches for any more: it ages, and its watchers are told when it does. And what an invalidation
 * costs its sources.
 */
#include "hub/rig.h"

/* ---- what nobody vouches for any more ---- */

/* A is watched, was read at the start, and cannot be read again. */
static void start_deaf(struct rig *r)
{
    rig_start_sources(r);
    rig_watch(r, 0, "A");
    rig_answer_from(r, BGW_SOURCE_CACHE, 5, -1);
    bgw_hub_on_channel(r->hub, false, r->now);
    r->fetch_refused = true;
    rig_take(r, 0);
}

TEST(what_cannot_be_heard_of_nor_read_is_stale_after_its_time_and_told_then)
{
    struct rig r;
    start_deaf(&r);
    rig_pass_proved(&r, 3010);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(e->proved_mono_ms, 1000); /* its age is of then, whatever the stream proves */
    rig_pass_proved(&r, 26980);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_pass_proved(&r, 20);
    e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_STALE);
    CHECK_EQ_I64(e->reason, BGW_REASON_SOURCE_LAGGING);
    CHECK_EQ_I64(e->proved_mono_ms, 1000);
    rig_end(&r);
}

TEST(who_comes_to_a_value_that_cannot_be_heard_of_is_told_as_the_others_are)
{
    struct rig r;
    start_deaf(&r);
    rig_unwatch(&r, 0, "A");
    rig_pass_proved(&r, 30020);
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(rig_told(&r, 1)->state, BGW_STATE_STALE);
    rig_end(&r);
}

TEST(a_source_that_answers_makes_it_fresh_again_for_as_long_as_a_read_proves)
{
    struct rig r;
    start_deaf(&r);
    rig_pass_proved(&r, 31000);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_STALE);
    r.fetch_refused = false;
    rig_pass_proved(&r, 200);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    r.fetch_refused = true;
    rig_pass_proved(&r, 3100);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_pass_proved(&r, 27000);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_STALE);
    rig_end(&r);
}

TEST(heard_again_it_is_as_old_as_it_was_until_it_was_read)
{
    struct rig r;
    start_deaf(&r);
    rig_pass_proved(&r, 20000);
    bgw_hub_on_channel(r.hub, true, r.now);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_pass_proved(&r, 9990);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_pass_proved(&r, 20);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_STALE);
    CHECK_EQ_I64(rig_entry(&r, 0, "NGN")->proved_mono_ms, 1000);
    r.fetch_refused = false;
    rig_pass_proved(&r, 2000);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(what_was_said_to_have_changed_and_cannot_be_read_ages_too)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 1000);
    r.fetch_refused = true;
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    rig_invalidate(&r, "A", -1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_DELAYED);
    int64_t then = r.now.mono_ms;
    rig_pass_proved(&r, 20000);
    rig_invalidate(&r, "A", -1); /* said again: it is as old as it was */
    rig_pass_proved(&r, 10000);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_pass_proved(&r, 10);
    e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_STALE);
    CHECK_EQ_I64(e->reason, BGW_REASON_REREAD);
    CHECK(e->proved_mono_ms > 0 && e->proved_mono_ms <= then);
    r.fetch_refused = false;
    rig_pass_proved(&r, 2000);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(what_changed_while_nobody_watched_is_as_old_as_can_be_once_its_source_fails)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_invalidate(&r, "A", -1);
    rig_watch(&r, 0, "A");
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(e->proved_mono_ms, 0); /* nobody knows */
    rig_answer(&r, BGW_FETCH_SHED);
    CHECK(rig_take(&r, 0) == 0 || rig_entry(&r, 0, "NGN")->state == BGW_STATE_DELAYED);
    rig_pass(&r, 101);
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_STALE);
    rig_pass(&r, 400);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(who_comes_when_a_read_has_just_aged_is_not_the_only_one_who_is_told)
{
    struct rig r;
    start_deaf(&r);
    r.now.mono_ms += 3001; /* its timer is due, and has not fired yet */
    r.now.wall_ms += 3001;
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(rig_told(&r, 1)->state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_end(&r);
}

TEST(a_source_that_fails_is_not_asked_for_one_value_over_and_over)
{
    struct rig r;
    start_deaf(&r);
    r.fetch_refused = false;
    size_t before = r.fetch_count, seen = before;
    for (int i = 0; i < 1000; i++) {
        rig_pass_proved(&r, 10);
        if (r.fetch_count == seen)
            continue;
        seen = r.fetch_count;
        rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    }
    CHECK(seen > before && seen - before <= 11); /* in 10 s */
    rig_end(&r);
}

/* ---- what an invalidation costs ---- */

TEST(an_invalidation_of_what_the_stream_has_brought_costs_nothing)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
    for (int v = 2; v < 50; v++) {
        rig_put(&r, 0, v - 1, "A", 7 + v, v);
        rig_invalidate(&r, "A", v);
        CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    }
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_end(&r);
}

TEST(an_invalidation_before_its_record_costs_one_read_whoever_comes_first)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    for (int v = 2; v < 50; v++) {
        size_t before = r.fetch_count;
        rig_invalidate(&r, "A", v);
        CHECK_EQ_I64(r.fetch_count, before + 1);
        CHECK(!rig_last_fetch(&r)->past_cache);
        CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, v);
        if (v % 2)
            rig_answer_from(&r, BGW_SOURCE_CACHE, 7 + v, v);
        rig_put(&r, 0, v - 1, "A", 7 + v, v);
        if (v % 2 == 0)
            rig_answer_from(&r, BGW_SOURCE_CACHE, 7 + v, v);
        rig_take(&r, 0);
        CHECK_EQ_I64(r.fetch_count, before + 1);
    }
    rig_pass_proved(&r, 500);
    CHECK_EQ_I64(r.fetch_count, 49 - 1); /* and nothing is owed */
    rig_end(&r);
}

TEST(a_read_that_a_second_invalidation_overtook_is_not_made_again_if_the_stream_has_brought_both)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_invalidate(&r, "A", 2);
    rig_invalidate(&r, "A", 3);
    rig_put(&r, 0, 1, "A", 8, 2);
    rig_put(&r, 0, 2, "A", 9, 3);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_FRESH);
    rig_answer_from(&r, BGW_SOURCE_CACHE, 8, 2);
    rig_pass_proved(&r, 500);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_end(&r);
}

TEST(another_currency_is_read_past_the_cache_only_if_the_cache_was_not_emptied_of_it)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A|tnt_demo|USD", 7, 1);
    struct bgw_slot_name usd = rig_name("tnt_demo", "A", "USD");
    rig_command(&r, BGW_HUB_WATCH, 0, "A", "USD");
    bgw_hub_on_invalidate(r.hub, 0, &usd, false, true, 2, r.now);
    CHECK_EQ_I64(r.fetch_count, 1);
    CHECK(!rig_last_fetch(&r)->past_cache);
    rig_answer_from(&r, BGW_SOURCE_CACHE, 8, 2);
    rig_invalidate(&r, "A", -1); /* of the whole key */
    CHECK(rig_last_fetch(&r)->past_cache);
    rig_end(&r);
}

/* The answer of a fetch that an invalidation has overtaken, until nobody is made to wait any longer. */
static void storm(struct rig *r, int64_t minor)
{
    for (int i = 0; i < 3; i++) {
        rig_invalidate(r, "A", -1);
        rig_answer_from(r, BGW_SOURCE_DATABASE, minor, -1);
    }
}

TEST(what_was_given_as_it_is_ages_too_and_is_forgotten_when_there_is_better)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    storm(&r, 5);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_watch(&r, 1, "A"); /* nothing was given to him */
    rig_take(&r, 1);
    r.fetch_refused = true;
    rig_pass_proved(&r, 29990);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_pass_proved(&r, 20);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(rig_minor(&r, e) == 5 && e->state == BGW_STATE_STALE && !e->fetched);
    CHECK_EQ_I64(e->proved_mono_ms, 1000);
    CHECK(!rig_entry(&r, 1, "NGN")->value);
    r.fetch_refused = false;
    rig_pass_proved(&r, 10000);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 6, -1);
    e = rig_told(&r, 0);
    CHECK(rig_minor(&r, e) == 6 && e->state == BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(given_as_it_is_until_the_end_of_the_hub)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    storm(&r, 5);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_end(&r); /* nothing is left of it */
}

TEST(who_asks_in_a_storm_of_invalidations_is_given_what_was_read_as_it_is)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    storm(&r, 5);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(rig_minor(&r, e) == 5 && e->state == BGW_STATE_DELAYED);
    CHECK_EQ_I64(e->proved_mono_ms, 1000);
    rig_ask_source(&r, 0, "A", 7);
    storm(&r, 6);
    e = rig_told(&r, 0);
    CHECK_EQ_I64(e->asked, 7);
    CHECK(rig_minor(&r, e) == 6 && e->state == BGW_STATE_DELAYED && e->fetched);
    rig_end(&r);
}
