/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the sources: single flight, generations and floors, shared errors, the pace of asking
 * again, versions of what was read, invalidations and their second read.
 */
#include "rig.h"

static struct rig r;

/* A is watched by shard 0 and its first fetch is in flight. */
static void asking(void)
{
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
}

/* A is watched, fetched with v 5, and quiet. */
static void settled(void)
{
    asking();
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    rig_take(&r, 0);
}

/* ---- one fetch for everybody ---- */

TEST(one_fetch_is_in_flight_for_a_slot_and_everyone_waiting_is_told)
{
    asking();
    rig_watch(&r, 1, "A");
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    CHECK(rig_told(&r, 0)->answered);
    CHECK(rig_told(&r, 1)->answered);
    CHECK_EQ_I64(rig_minor(&r, rig_entry(&r, 1, "NGN")), 50);
    rig_end(&r);
}

TEST(error_is_shared_with_everyone_waiting_and_never_cached)
{
    asking();
    rig_watch(&r, 1, "A");
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    for (uint8_t shard = 0; shard < 2; shard++) {
        const struct bgw_relay_entry *e = rig_told(&r, shard);
        CHECK(e->answered && e->state == BGW_STATE_UNKNOWN &&
              e->reason == BGW_REASON_SOURCE_UNAVAILABLE);
    }
    rig_command(&r, BGW_HUB_WATCH, 1, "A", "");
    CHECK_EQ_I64(r.fetch_count, 2); /* the next who asks is not given the old error */
    rig_end(&r);
}

TEST(key_that_nobody_knows_is_denied_and_its_first_value_is_an_update)
{
    asking();
    rig_answer(&r, BGW_FETCH_NOT_FOUND);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->answered && e->state == BGW_STATE_UNKNOWN && e->reason == BGW_REASON_NO_SUCH_KEY);
    rig_pass(&r, 10000);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->records, 1);
    rig_end(&r);
}

TEST(nobody_to_ask_neither_denies_nor_is_asked_again)
{
    asking();
    rig_answer(&r, BGW_FETCH_NO_SOURCE);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->answered && e->state == BGW_STATE_UNKNOWN &&
          e->reason == BGW_REASON_SOURCE_UNAVAILABLE);
    rig_pass(&r, 100000);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_end(&r);
}

TEST(nobody_to_ask_never_overwrites_a_value_nor_ends_a_trouble)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, -1);
    r.answers_at_once = true;
    rig_watch(&r, 0, "A");
    rig_raw(&r, 0, 1, "A", "{");
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_STALE && rig_minor(&r, e) == 10);
    rig_end(&r);
}

TEST(not_found_never_overwrites_a_value)
{
    settled();
    rig_invalidate(&r, "A", -1);
    rig_answer(&r, BGW_FETCH_NOT_FOUND);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_DELAYED && rig_minor(&r, e) == 50);
    rig_end(&r);
}

TEST(watched_key_is_asked_for_again_paced_with_backoff_while_the_source_is_unavailable)
{
    int64_t gaps[8], last;
    size_t count = 0;
    asking();
    last = r.now.mono_ms;
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    for (int64_t ms = 0; ms < 20000 && count < 8; ms++) {
        size_t before = r.fetch_count;
        rig_pass(&r, 1);
        rig_prove(&r);
        if (r.fetch_count == before)
            continue;
        gaps[count++] = r.now.mono_ms - last;
        last = r.now.mono_ms;
        rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    }
    CHECK_EQ_I64(count, 8);
    for (size_t i = 0; i < count; i++) {
        int64_t pace = 100LL << i > 1600 ? 1600 : 100LL << i;
        CHECK(gaps[i] >= pace / 2 && gaps[i] <= pace + 1);
    }
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    rig_take(&r, 0);
    rig_put(&r, 0, 0, "A", 10, -1); /* a record ends it */
    size_t before = r.fetch_count;
    rig_pass(&r, 5000);
    CHECK_EQ_I64(r.fetch_count, before);
    rig_end(&r);
}

TEST(fetch_that_is_not_taken_is_tried_again_later)
{
    rig_start(&r, 1);
    r.fetch_refused = true;
    rig_watch(&r, 0, "A");
    CHECK(!rig_told(&r, 0)->answered);
    r.fetch_refused = false;
    rig_pass(&r, 101);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_end(&r);
}

TEST(fetch_may_be_answered_from_inside_the_call)
{
    rig_start(&r, 1);
    r.answers_at_once = true;
    rig_watch(&r, 0, "A");
    CHECK(rig_told(&r, 0)->answered);
    rig_end(&r);
}

TEST(answer_to_a_fetch_that_nobody_made_is_let_go)
{
    asking();
    struct bgw_fetched f = {.id = 999, .result = BGW_FETCH_VALUE, .value = rig_value(&r, 1)};
    bgw_hub_on_fetched(r.hub, &f, r.now);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

/* ---- versions of what was read ---- */

TEST(read_without_v_is_stamped_with_seq_and_read)
{
    asking();
    rig_answer_value(&r, 50, -1, RIG_WALL);
    CHECK_VERSION(rig_told(&r, 0), "e1.0.1700000000000");
    rig_invalidate(&r, "A", -1);
    rig_answer_value(&r, 51, -1, RIG_WALL - 3); /* not after the highest read seen: that one + 1 */
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.0.1700000000001");
    CHECK_EQ_I64(rig_minor(&r, e), 51);
    rig_end(&r);
}

TEST(read_without_v_corrects_what_the_stream_got_wrong)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 7, "A", 10, -1);
    rig_watch(&r, 0, "A");
    rig_invalidate(&r, "A", -1);
    rig_answer_value(&r, 12, -1, r.now.wall_ms + 1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.8.1700000000001");
    CHECK(rig_minor(&r, e) == 12 && e->state == BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(read_with_v_shares_the_order_of_the_stream)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
    rig_invalidate(&r, "A", -1);
    CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, 5);
    rig_answer_value(&r, 9, 4, r.now.wall_ms);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 10);
    rig_pass(&r, 200);
    rig_answer_value(&r, 10, 5, r.now.wall_ms); /* a duplicate proves what we hold */
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_invalidate(&r, "A", -1);
    rig_answer_value(&r, 11, 6, r.now.wall_ms);
    CHECK_VERSION(rig_told(&r, 0), "e1.6");
    rig_put(&r, 0, 1, "A", 11, 6);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

TEST(v_of_a_source_says_nothing_to_a_slot_whose_records_carry_none)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 900, "A", 10, -1);
    rig_watch(&r, 0, "A");
    rig_invalidate(&r, "A", -1);
    CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, 0);
    rig_answer_value(&r, 12, 3, RIG_WALL + 1);
    CHECK_VERSION(rig_told(&r, 0), "e1.901.1700000000001");
    rig_end(&r);
}

TEST(older_read_never_revives_a_removed_slot_and_a_newer_one_does)
{
    settled();
    rig_tombstone(&r, 0, 0, "A", "9");
    rig_invalidate(&r, "A", -1);
    rig_answer_value(&r, 50, 8, r.now.wall_ms);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_REMOVED);
    rig_invalidate(&r, "A", -1);
    rig_pass(&r, 200);
    rig_answer_value(&r, 60, 10, r.now.wall_ms);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 60);
    rig_end(&r);
}

TEST(read_that_was_asked_for_before_a_tombstone_does_not_revive)
{
    asking();
    rig_tombstone(&r, 0, 0, "A", NULL);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_REMOVED);
    rig_answer_value(&r, 50, -1, r.now.wall_ms - 1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

/* ---- invalidations ---- */

TEST(invalidation_delays_the_slot_and_reads_it_now_and_once_more_after_a_second)
{
    settled();
    rig_invalidate(&r, "A", -1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_DELAYED && e->reason == BGW_REASON_REREAD &&
          rig_minor(&r, e) == 50);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_value(&r, 50, 5, r.now.wall_ms); /* published before its commit is visible */
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_pass(&r, 999);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_pass(&r, 1);
    CHECK_EQ_I64(r.fetch_count, 3);
    rig_answer_value(&r, 51, 6, r.now.wall_ms);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 51);
    rig_pass(&r, 5000);
    CHECK_EQ_I64(r.fetch_count, 3);
    rig_end(&r);
}

TEST(second_read_waits_for_the_first_to_end)
{
    settled();
    rig_invalidate(&r, "A", -1);
    rig_pass(&r, 1500);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    CHECK_EQ_I64(r.fetch_count, 3);
    rig_end(&r);
}

TEST(second_read_is_owed_to_the_next_watcher)
{
    settled();
    rig_invalidate(&r, "A", -1);
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    rig_unwatch(&r, 0, "A");
    rig_pass(&r, 2000);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(r.fetch_count, 3);
    rig_end(&r);
}

TEST(invalidation_with_v_is_a_floor_for_the_fetch)
{
    settled();
    rig_invalidate(&r, "A", 8);
    CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, 8);
    rig_take(&r, 0);
    rig_answer_value(&r, 70, 7, r.now.wall_ms); /* below it: of no use */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_pass(&r, 200);
    rig_answer_value(&r, 80, 8, r.now.wall_ms);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 80);
    size_t before = r.fetch_count;
    rig_pass(&r, 3000); /* no second read: the version was the proof */
    CHECK_EQ_I64(r.fetch_count, before);
    rig_end(&r);
}

TEST(invalidation_with_a_v_that_is_known_changes_nothing)
{
    settled();
    rig_invalidate(&r, "A", 5);
    rig_invalidate(&r, "A", 3);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_end(&r);
}

TEST(record_that_reaches_the_floor_ends_the_delay_and_one_below_does_not)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_invalidate(&r, "A", 8); /* nobody watches: nothing is asked, but it is remembered */
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_put(&r, 0, 1, "A", 11, 7);
    rig_watch(&r, 0, "A");
    CHECK(rig_told(&r, 0)->state == BGW_STATE_DELAYED);
    CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, 8);
    rig_put(&r, 0, 2, "A", 12, 8);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(bare_account_id_invalidates_every_tenant_known_here)
{
    rig_start(&r, 1);
    r.answers_at_once = true;
    rig_put(&r, 0, 0, "A|t1|NGN", 1, -1);
    rig_put(&r, 0, 1, "A|t2|NGN", 2, -1);
    for (uint8_t shard = 0; shard < 2; shard++) {
        struct bgw_hub_command c = {
            .kind = BGW_HUB_WATCH, .shard = shard, .name = rig_name(shard ? "t2" : "t1", "A", "")};
        bgw_hub_on_command(r.hub, &c, r.now);
    }
    r.answers_at_once = false;
    rig_invalidate(&r, "A", -1);
    CHECK_EQ_I64(r.fetch_count, 2);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_DELAYED);
    CHECK(rig_told(&r, 1)->state == BGW_STATE_DELAYED);
    rig_end(&r);
}

TEST(invalidation_of_what_nobody_holds_is_nothing)
{
    struct bgw_hub_view view;
    rig_start(&r, 1);
    rig_invalidate(&r, "A", -1);
    rig_invalidate(&r, "A", 7);
    bgw_hub_look(r.hub, &view);
    CHECK_EQ_I64(view.keys, 0);
    rig_end(&r);
}

TEST(invalidation_with_nobody_to_ask_does_not_delay_for_ever)
{
    rig_start(&r, 1);
    r.answers_at_once = true;
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_watch(&r, 0, "A");
    rig_invalidate(&r, "A", -1);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_end(&r);
}

/* ---- generations ---- */

TEST(result_whose_generation_moved_is_never_stored)
{
    settled();
    rig_invalidate(&r, "A", -1);
    rig_invalidate(&r, "A", -1);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_take(&r, 0);
    rig_answer_value(&r, 60, 6, r.now.wall_ms);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    CHECK_EQ_I64(r.fetch_count, 3); /* asked again at once */
    CHECK(rig_last_fetch(&r)->generation > r.fetches[1].generation);
    rig_answer_value(&r, 70, 7, r.now.wall_ms);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 70);
    rig_end(&r);
}

TEST(after_two_restarts_those_who_came_before_the_invalidation_get_it_as_it_is)
{
    asking();
    for (int i = 0; i < 2; i++) {
        rig_invalidate(&r, "A", -1);
        rig_answer_value(&r, 50 + i, 5 + i, r.now.wall_ms);
        CHECK_EQ_I64(rig_take(&r, 0), 0);
    }
    rig_invalidate(&r, "A", -1);
    rig_watch(&r, 1, "A"); /* came after it */
    rig_answer_value(&r, 60, 10, r.now.wall_ms);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->answered && rig_minor(&r, e) == 60 && e->state == BGW_STATE_DELAYED);
    CHECK_VERSION(e, "e1.10");
    CHECK(!rig_told(&r, 1)->answered);
    CHECK_EQ_I64(r.fetch_count, 4);
    rig_answer_value(&r, 55, 9, r.now.wall_ms); /* older than what was shown: it never follows */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    CHECK(rig_told(&r, 1)->state == BGW_STATE_UNKNOWN);
    rig_pass(&r, 1000);
    rig_answer_value(&r, 61, 10, r.now.wall_ms);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 1)), 61);
    rig_end(&r);
}

TEST(storm_of_invalidations_does_not_become_a_storm_of_fetches)
{
    settled();
    for (int i = 0; i < 200; i++) {
        rig_invalidate(&r, "A", -1);
        rig_pass(&r, 1);
        if (r.fetch_count <= RIG_LOG)
            rig_answer_value(&r, 60, 6, r.now.wall_ms);
        rig_prove(&r);
    }
    CHECK(r.fetch_count < 210);
    rig_end(&r);
}

TEST(denial_that_an_invalidation_overtook_is_asked_again)
{
    asking();
    rig_invalidate(&r, "A", -1);
    rig_answer(&r, BGW_FETCH_NOT_FOUND);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 50);
    rig_end(&r);
}
