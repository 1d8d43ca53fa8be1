/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources beside the stream: where a value is from, what becomes of it while invalidations cannot be heard, the rounds and their
 * pace, reads as a proof, and asks.
 */
#include "hub/rig.h"

TEST(a_value_says_where_it_is_from_and_a_record_makes_it_the_streams)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    CHECK(!rig_last_fetch(&r)->known);
    rig_answer_from(&r, BGW_SOURCE_CACHE, 5, 3);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->source, BGW_SOURCE_CACHE);
    CHECK(e->fetched && !e->joined);
    rig_put(&r, 0, 0, "A", 7, 4);
    e = rig_told(&r, 0);
    CHECK_EQ_I64(e->source, BGW_SOURCE_STREAM);
    CHECK(!e->fetched);
    rig_end(&r);
}

TEST(a_record_of_the_version_that_was_fetched_vouches_for_it)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, 3);
    rig_put(&r, 0, 0, "A", 5, 3);
    rig_pass_proved(&r, 4000);
    rig_take(&r, 0);
    bgw_hub_on_channel(r.hub, false, r.now);
    CHECK_EQ_I64(rig_take(&r, 0), 0); /* the stream does: nobody needs to be told */
    rig_end(&r);
}

TEST(who_joins_a_fetch_is_told_so)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, 3);
    CHECK(rig_told(&r, 0)->fetched && !rig_told(&r, 0)->joined);
    const struct bgw_relay_entry *e = rig_told(&r, 1);
    CHECK(e->fetched && e->joined);
    rig_end(&r);
}

TEST(shed_is_told_at_once_and_asked_again_with_backoff)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    rig_answer(&r, BGW_FETCH_SHED);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_UNKNOWN);
    CHECK_EQ_I64(e->reason, BGW_REASON_SHED);
    CHECK_EQ_I64(e->failed, BGW_REASON_SHED);
    CHECK(e->answered);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_pass(&r, 101);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, -1);
    e = rig_told(&r, 0);
    CHECK_EQ_I64(rig_minor(&r, e), 5);
    CHECK_EQ_I64(e->failed, BGW_REASON_NONE);
    rig_end(&r);
}

TEST(deaf_means_delayed_for_what_came_from_a_source_and_not_for_the_streams)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    rig_answer_from(&r, BGW_SOURCE_CACHE, 5, -1);
    rig_put(&r, 0, 0, "B", 7, 1);
    rig_watch(&r, 1, "B");
    rig_take(&r, 0);
    rig_take(&r, 1);
    bgw_hub_on_channel(r.hub, false, r.now);
    CHECK_EQ_I64(rig_take(&r, 0), 0); /* it was read just now */
    r.fetch_refused = true;           /* and cannot be read again */
    rig_pass_proved(&r, 3100);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(e->reason, BGW_REASON_SOURCE_LAGGING);
    CHECK_EQ_I64(rig_take(&r, 1), 0);
    rig_end(&r);
}

TEST(after_deafness_all_that_is_watched_is_read_again_once_at_its_pace)
{
    struct rig r;
    char key[16];
    rig_start_sources(&r);
    for (int i = 0; i < 20; i++) {
        snprintf(key, sizeof(key), "K%d", i);
        rig_put(&r, 0, i, key, 7, 1);
        rig_watch(&r, 0, key);
    }
    bgw_hub_on_channel(r.hub, false, r.now);
    rig_pass_proved(&r, 50);
    size_t before = r.fetch_count;
    bgw_hub_on_channel(r.hub, true, r.now);
    CHECK_EQ_I64(r.fetch_count, before); /* no stampede */
    rig_pass_proved(&r, 200);
    CHECK(r.fetch_count - before >= 8 && r.fetch_count - before <= 16); /* 50 a second, and the sweep's two */
    rig_pass_proved(&r, 800);
    CHECK_EQ_I64(r.fetch_count, 20); /* each once: none was answered, none is asked twice */
    rig_end(&r);
}

TEST(what_was_fetched_is_suspect_until_it_was_read_again_and_the_same_is_no_news)
{
    struct rig r;
    rig_start_sources(&r);
    rig_watch(&r, 0, "A");
    rig_answer_from(&r, BGW_SOURCE_CACHE, 5, -1);
    rig_take(&r, 0);
    bgw_hub_on_channel(r.hub, true, r.now); /* invalidations were lost, as it may be without a down */
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_pass_proved(&r, 30);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 5, -1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_FRESH);
    CHECK_EQ_I64(e->version.read, RIG_WALL); /* the version that it had */
    rig_end(&r);
}

TEST(what_was_not_watched_while_it_was_deaf_is_looked_at_when_it_is)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_put(&r, 0, 1, "B", 7, 1);
    rig_watch(&r, 1, "B");
    rig_pass_proved(&r, 10);
    CHECK_EQ_I64(r.fetch_count, 1); /* the sweep, whose next step is 100 ms away */
    bgw_hub_on_channel(r.hub, true, r.now); /* for the first time: nothing was missed */
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 20);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_unwatch(&r, 0, "A");
    bgw_hub_on_channel(r.hub, false, r.now);
    bgw_hub_on_channel(r.hub, true, r.now);
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(r.fetch_count, 1); /* in its turn */
    rig_pass_proved(&r, 30);
    CHECK_EQ_I64(r.fetch_count, 2);
    CHECK(rig_last_fetch(&r)->known);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    rig_unwatch(&r, 0, "A");
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 20);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_end(&r);
}

TEST(the_sweep_counts_what_is_the_same_and_looks_twice_before_it_repairs)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 120);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_SWEEP_SAME), 1);
    rig_pass_proved(&r, 800);
    CHECK_EQ_I64(r.fetch_count, 1); /* the same slot is not asked for more than once a second, however few are watched */
    rig_pass_proved(&r, 220);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_take(&r, 0);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 9, 2);
    CHECK_EQ_I64(rig_take(&r, 0), 0); /* its record is on its way, mostly */
    CHECK_EQ_I64(rig_counted(&r, BGW_M_SWEEP_DIVERGED), 0);
    rig_pass_proved(&r, 1020);
    CHECK_EQ_I64(r.fetch_count, 3);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 9, 2);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 9);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_SWEEP_DIVERGED), 1);
    rig_end(&r);
}

TEST(one_version_with_two_values_is_a_divergence_and_the_streams_stays)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 120);
    rig_take(&r, 0);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 8, 1);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_SWEEP_DIVERGED), 1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

TEST(a_read_proves_for_as_long_as_a_proof_of_the_stream_does)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    for (int i = 0; i < 500 && r.fetch_count == 0; i++)
        rig_pass(&r, 10); /* no proof comes any more; the sweep asks first */
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    for (int i = 0; i < 400; i++)
        rig_pass(&r, 10);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    CHECK(r.fetch_count >= 2);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    /* the fetch that was answered had begun a while ago: what it proves is from then */
    for (int i = 0; i < 20; i++) {
        rig_pass(&r, 100);
        rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    }
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->state, BGW_STATE_FRESH);
    CHECK(e->proved_mono_ms > 1000);
    r.fetch_refused = true;
    rig_pass(&r, 3101);
    CHECK_EQ_I64(rig_told(&r, 0)->state, BGW_STATE_DELAYED);
    rig_end(&r);
}

TEST(an_ask_is_answered_when_the_fetch_is_over_whatever_came)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_watch(&r, 1, "A");
    rig_take(&r, 0);
    rig_take(&r, 1);
    rig_ask_source(&r, 0, "A", 5);
    rig_ask_source(&r, 1, "A", 9);
    CHECK_EQ_I64(r.fetch_count, 1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->asked, 5);
    CHECK_EQ_I64(e->failed, BGW_REASON_SOURCE_UNAVAILABLE);
    CHECK_EQ_I64(rig_minor(&r, e), 7);
    CHECK(!e->fetched); /* what is told is what was known */
    CHECK_EQ_I64(rig_told(&r, 1)->asked, 9);
    rig_ask_source(&r, 0, "A", 6);
    rig_ask_source(&r, 1, "A", 10);
    rig_answer_from(&r, BGW_SOURCE_DATABASE, 7, 1);
    e = rig_told(&r, 0);
    CHECK(e->asked == 6 && e->fetched && !e->joined);
    e = rig_told(&r, 1);
    CHECK(e->asked == 10 && e->fetched && e->joined);
    rig_end(&r);
}

TEST(an_ask_that_cannot_be_put_is_answered_at_once)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    r.fetch_refused = true;
    rig_ask_source(&r, 0, "A", 5);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->asked, 5);
    CHECK_EQ_I64(e->failed, BGW_REASON_SOURCE_UNAVAILABLE);
    rig_ask_source(&r, 0, "Z", 6); /* nobody watches it: there was no room */
    CHECK_EQ_I64(rig_told(&r, 0)->asked, 6);
    rig_end(&r);
}

TEST(without_sources_nothing_of_this_happens)
{
    struct rig r;
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
    bgw_hub_on_channel(r.hub, false, r.now);
    bgw_hub_on_channel(r.hub, true, r.now);
    for (int i = 0; i < 600; i++)
        rig_pass(&r, 10);
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_prove(&r);
    rig_ask_source(&r, 0, "A", 5);
    CHECK_EQ_I64(r.fetch_count, 0);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(e->asked, 5);
    CHECK(!e->fetched);
    rig_end(&r);
}


TEST(eras_come_round_and_nothing_is_taken_for_new_then)
{
    struct rig r;
    rig_start_sources(&r);
    rig_put(&r, 0, 0, "A", 7, 1);
    rig_put(&r, 0, 1, "B", 7, 1);
    rig_watch(&r, 1, "B");
    rig_pass_proved(&r, 10);
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    for (int i = 0; i < 17; i++)
        bgw_hub_on_channel(r.hub, true, r.now);
    rig_unwatch(&r, 1, "B");
    size_t before = r.fetch_count;
    rig_watch(&r, 0, "A");
    rig_pass_proved(&r, 20);
    CHECK_EQ_I64(r.fetch_count, before + 1);
    rig_end(&r);
}
