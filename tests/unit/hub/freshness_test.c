/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Freshness by proof, readiness, gaps, epochs and barriers.
 */
#include "rig.h"

static struct rig r;

static struct bgw_relay_entry told;

/* The newest entry of A/NGN to shard 0, or state 255; its value is not to be used. */
static const struct bgw_relay_entry *news(void)
{
    told = *rig_told(&r, 0);
    return &told;
}

/* A holds 10 by offset 0 of partition 0, is watched and told. */
static void holding(size_t partitions)
{
    rig_start(&r, partitions);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
}

/* ---- proofs ---- */

TEST(slot_is_fresh_for_3_seconds_delayed_to_30_then_stale)
{
    holding(1);
    rig_pass(&r, 3000);
    CHECK_EQ_I64(news()->state, 255);
    rig_pass(&r, 1);
    CHECK(news()->state == BGW_STATE_DELAYED && told.reason == BGW_REASON_SOURCE_LAGGING);
    CHECK(told.records == 0 && told.answered && told.value);
    CHECK_EQ_I64(told.proved_mono_ms, 1000);
    rig_pass(&r, 26999);
    CHECK_EQ_I64(news()->state, 255);
    rig_pass(&r, 1);
    CHECK_EQ_I64(news()->state, BGW_STATE_STALE);
    rig_prove(&r);
    CHECK(news()->state == BGW_STATE_FRESH && told.reason == BGW_REASON_NONE);
    rig_end(&r);
}

TEST(idle_topic_stays_fresh)
{
    holding(1);
    for (int i = 0; i < 100; i++) {
        rig_pass(&r, 1000);
        rig_prove(&r);
    }
    CHECK_EQ_I64(news()->state, 255);
    rig_end(&r);
}

TEST(tick_says_when_it_wants_to_be_called_again)
{
    holding(1);
    r.now.mono_ms += 2500;
    CHECK_EQ_I64(bgw_hub_tick(r.hub, r.now), 501);
    rig_end(&r);
}

TEST(end_that_the_position_has_not_reached_proves_nothing_until_it_has)
{
    holding(1);
    bgw_hub_on_watermark(r.hub, 0, 0, 0, 3, r.now.mono_ms + 2000,
                         (struct bgw_now){r.now.mono_ms + 2000, r.now.wall_ms});
    r.now.mono_ms += 2000;
    rig_pass(&r, 1500);
    CHECK_EQ_I64(news()->state, BGW_STATE_DELAYED);
    rig_put(&r, 0, 1, "B", 1, -1);
    CHECK_EQ_I64(news()->state, 255);
    rig_put(&r, 0, 2, "B", 1, -1);
    CHECK_EQ_I64(news()->state, BGW_STATE_FRESH);
    CHECK_EQ_I64(told.proved_mono_ms, 3000); /* the time of the question, not of the answer */
    rig_end(&r);
}

TEST(reader_that_always_lags_a_little_is_proved_by_the_older_end)
{
    holding(1);
    for (int i = 1; i <= 20; i++) {
        rig_pass(&r, 1000);
        bgw_hub_on_watermark(r.hub, 0, 0, 0, 1 + 10 * i, r.now.mono_ms, r.now);
        rig_put(&r, 0, 10 * i - 5, "B", 1, -1); /* behind this end, past the one before */
    }
    CHECK_EQ_I64(news()->state, 255);
    rig_end(&r);
}

TEST(position_moves_without_records_too)
{
    holding(1);
    rig_pass(&r, 2000);
    bgw_hub_on_watermark(r.hub, 0, 0, 0, 5, r.now.mono_ms, r.now);
    bgw_hub_on_position(r.hub, 0, 0, 5, r.now);
    rig_pass(&r, 2000);
    CHECK_EQ_I64(news()->state, 255);
    rig_end(&r);
}

TEST(gap_makes_the_partition_stale_until_it_is_proved_again)
{
    holding(2);
    rig_put(&r, 1, 0, "B", 1, -1);
    rig_watch(&r, 0, "B");
    rig_take(&r, 0);
    bgw_hub_on_gap(r.hub, 0, 0, r.now);
    CHECK_EQ_I64(rig_take(&r, 0), 1); /* the other partition's slot is not concerned */
    CHECK_EQ_I64(rig_entry(&r, 0, "NGN")->state, BGW_STATE_STALE);
    rig_prove(&r); /* the end is known, where it goes on is not */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    bgw_hub_on_position(r.hub, 0, 0, r.next_offset[0], r.now);
    CHECK_EQ_I64(rig_take(&r, 0), 1);
    CHECK_EQ_I64(rig_entry(&r, 0, "NGN")->state, BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(position_may_go_back_after_a_gap_and_only_then)
{
    struct bgw_hub_view view;
    rig_start(&r, 1);
    rig_put(&r, 0, 9, "A", 10, -1);
    rig_put(&r, 0, 3, "A", 10, -1);
    bgw_hub_look(r.hub, &view);
    CHECK_EQ_I64(view.lag_records, 0);
    bgw_hub_on_gap(r.hub, 0, 0, r.now);
    bgw_hub_on_position(r.hub, 0, 0, 4, r.now);
    bgw_hub_look(r.hub, &view);
    CHECK_EQ_I64(view.lag_records, 6);
    rig_end(&r);
}

TEST(slot_that_no_partition_vouches_for_follows_the_worst)
{
    rig_start(&r, 2);
    rig_watch(&r, 0, "A");
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    CHECK_EQ_I64(news()->state, BGW_STATE_FRESH);
    rig_pass(&r, 2000);
    bgw_hub_on_watermark(r.hub, 0, 0, 0, 0, r.now.mono_ms, r.now);
    rig_pass(&r, 1500);
    CHECK_EQ_I64(news()->state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(told.proved_mono_ms, 1000);
    rig_prove(&r);
    CHECK_EQ_I64(news()->state, BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(own_trouble_and_partition_add_up_to_the_worse)
{
    holding(1);
    rig_raw(&r, 0, 1, "A", "{");
    CHECK_EQ_I64(news()->state, BGW_STATE_STALE);
    rig_pass(&r, 5000);
    CHECK_EQ_I64(news()->state, 255);
    rig_put(&r, 0, 2, "A", 11, -1);
    CHECK(news()->state == BGW_STATE_DELAYED && told.reason == BGW_REASON_SOURCE_LAGGING);
    rig_end(&r);
}

TEST(before_any_stream_nothing_is_fresh)
{
    rig_make(&r, 0);
    rig_watch(&r, 0, "A");
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    CHECK(news()->state == BGW_STATE_STALE && told.reason == BGW_REASON_SOURCE_LAGGING);
    CHECK_VERSION(&told, "0.5");
    rig_assign(&r, "e1", 1);
    CHECK(news()->restamped);
    CHECK_VERSION(&told, "e1.0");
    rig_end(&r);
}

TEST(reading_of_the_clock_from_earlier_in_the_turn_does_no_harm)
{
    holding(1);
    rig_pass(&r, 3001);
    bgw_hub_tick(r.hub, (struct bgw_now){r.now.mono_ms - 5, r.now.wall_ms - 5});
    CHECK_EQ_I64(news()->state, BGW_STATE_DELAYED);
    rig_end(&r);
}

TEST(state_changes_are_counted)
{
    holding(1);
    rig_pass(&r, 3001);
    rig_prove(&r);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_STATE_CHANGES_DELAYED), 1);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_STATE_CHANGES_FRESH), 1);
    rig_end(&r);
}

/* ---- ready ---- */

TEST(ready_when_every_partition_is_read_to_the_end_taken_at_start)
{
    int64_t from[2] = {4, 7}, ends[2] = {6, 7};
    rig_make(&r, 0);
    CHECK(!bgw_hub_ready(r.hub));
    bgw_hub_on_assigned(r.hub, 0, bgw_epoch_pack(BGW_SLICE("e1")), from, ends, 2, r.now);
    CHECK(!bgw_hub_ready(r.hub));
    rig_put(&r, 0, 4, "A", 1, -1);
    CHECK(!bgw_hub_ready(r.hub));
    rig_raw(&r, 0, 5, "A", "{"); /* a record that cannot be read is read */
    CHECK(bgw_hub_ready(r.hub));
    rig_pass(&r, 60000);
    CHECK(bgw_hub_ready(r.hub));
    rig_end(&r);
}

TEST(empty_topic_is_ready_at_once)
{
    rig_make(&r, 0);
    rig_assign(&r, "e1", 3);
    CHECK(bgw_hub_ready(r.hub));
    rig_end(&r);
}

/* ---- epochs ---- */

TEST(new_epoch_restamps_every_slot_value_kept_and_stale)
{
    holding(1);
    rig_put(&r, 0, 1, "U", 30, -1); /* nobody watches this one */
    rig_assign(&r, "e2", 2);
    rig_prove(&r);
    CHECK(news()->restamped && told.records == 0);
    CHECK(told.state == BGW_STATE_STALE && told.reason == BGW_REASON_NEW_EPOCH);
    CHECK_VERSION(&told, "e2.0");
    CHECK_EQ_I64(rig_minor(&r, rig_entry(&r, 0, "NGN")), 10);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_EPOCH_CHANGES), 1);
    rig_watch(&r, 1, "U");
    const struct bgw_relay_entry *e = rig_told(&r, 1);
    CHECK_VERSION(e, "e2.0");
    CHECK(e->state == BGW_STATE_STALE && rig_minor(&r, e) == 30);
    rig_end(&r);
}

TEST(any_record_of_the_new_epoch_replaces_what_is_kept)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 900, "A", 10, -1);
    rig_put(&r, 0, 901, "B", 20, 77);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
    rig_assign(&r, "e2", 1);
    rig_prove(&r);
    rig_put(&r, 0, 0, "A", 11, 3); /* even of the other kind: modes are of an epoch */
    CHECK(news()->state == BGW_STATE_FRESH && !told.restamped);
    CHECK_VERSION(&told, "e2.3");
    rig_put(&r, 0, 1, "B", 21, -1);
    rig_watch(&r, 1, "B");
    CHECK_VERSION(rig_told(&r, 1), "e2.2");
    rig_end(&r);
}

TEST(first_event_zero_of_a_restamped_slot_gets_a_version_of_its_own)
{
    holding(1);
    rig_assign(&r, "e2", 1);
    rig_put(&r, 0, 0, "A", 99, 0);
    news();
    CHECK_VERSION(&told, "e2.0.1");
    CHECK_EQ_I64(rig_minor(&r, rig_entry(&r, 0, "NGN")), 99);
    rig_end(&r);
}

TEST(watched_slots_of_a_new_epoch_are_read_again_and_a_source_ends_the_state)
{
    holding(1);
    size_t before = r.fetch_count;
    rig_assign(&r, "e2", 1);
    rig_prove(&r);
    CHECK_EQ_I64(r.fetch_count, before + 1);
    rig_answer_value(&r, 12, 8, r.now.wall_ms);
    CHECK_EQ_I64(news()->state, BGW_STATE_FRESH);
    CHECK_VERSION(&told, "e2.8");
    rig_end(&r);
}

TEST(result_that_was_asked_for_in_the_old_epoch_is_asked_for_again)
{
    holding(1);
    rig_invalidate(&r, "A", -1);
    size_t before = r.fetch_count;
    rig_assign(&r, "e2", 1);
    rig_take(&r, 0);
    rig_answer_value(&r, 12, 8, r.now.wall_ms);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    CHECK_EQ_I64(r.fetch_count, before + 1);
    rig_end(&r);
}

TEST(removed_slot_stays_removed_in_the_new_epoch_until_any_record)
{
    holding(1);
    rig_tombstone(&r, 0, 1, "A", NULL);
    rig_take(&r, 0);
    rig_assign(&r, "e2", 1);
    CHECK(news()->state == BGW_STATE_REMOVED && told.restamped);
    CHECK_VERSION(&told, "e2.0");
    rig_put(&r, 0, 0, "A", 11, -1);
    CHECK(news()->value && told.records == 1);
    rig_end(&r);
}

TEST(same_epoch_assigned_again_restamps_nothing)
{
    holding(1);
    rig_assign(&r, "e1", 1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_take(&r, 0), 0); /* the replay is superseded */
    rig_put(&r, 0, 1, "A", 11, -1);
    CHECK_EQ_I64(rig_take(&r, 0), 1);
    rig_end(&r);
}

TEST(epoch_is_published_with_the_batch)
{
    struct bgw_relay_batch batch;
    rig_start(&r, 1);
    bgw_hub_flush(r.hub);
    CHECK(bgw_relay_take(r.relays[0], &batch));
    CHECK(batch.epoch == bgw_epoch_pack(BGW_SLICE("e1")));
    CHECK(batch.hub_seq > 0);
    bgw_relay_done(r.relays[0], &batch);
    rig_end(&r);
}

/* ---- barriers ---- */

static void barrier(uint8_t shard, uint64_t ticket, bool refresh)
{
    struct bgw_hub_command c = {
        .kind = BGW_HUB_BARRIER, .shard = shard, .ticket = ticket, .refresh = refresh};
    bgw_hub_on_command(r.hub, &c, r.now);
    bgw_hub_tick(r.hub, r.now);
}

static void end_of(uint64_t query, int32_t partition, int64_t end)
{
    bgw_hub_on_watermark(r.hub, 0, query, partition, end, r.now.mono_ms, r.now);
}

static uint64_t done(uint8_t shard)
{
    rig_take(&r, shard);
    return r.barrier_done[shard];
}

TEST(barrier_is_answered_when_every_partition_is_read_to_an_end_asked_for_after_it)
{
    rig_start(&r, 2);
    rig_take(&r, 0);
    barrier(0, 1, false);
    CHECK_EQ_I64(r.query_count, 1);
    end_of(0, 0, 0); /* the one-second proof is nobody's answer */
    end_of(r.queries[0], 0, 0);
    CHECK_EQ_I64(done(0), 0);
    end_of(r.queries[0], 1, 2);
    CHECK_EQ_I64(done(0), 0);
    rig_put(&r, 1, 0, "A", 1, -1);
    CHECK_EQ_I64(done(0), 0);
    rig_put(&r, 1, 1, "A", 2, -1);
    CHECK_EQ_I64(done(0), 1);
    rig_end(&r);
}

TEST(barriers_within_20_ms_share_one_query)
{
    rig_start(&r, 1);
    barrier(0, 1, false);
    barrier(0, 2, false);
    barrier(1, 1, true);
    barrier(0, 3, false);
    CHECK_EQ_I64(r.query_count, 1);
    end_of(r.queries[0], 0, 0);
    CHECK_EQ_I64(done(0), 1);
    rig_pass(&r, 19);
    CHECK_EQ_I64(r.query_count, 1);
    rig_pass(&r, 1);
    CHECK_EQ_I64(r.query_count, 2);
    CHECK(r.query_refresh);
    end_of(r.queries[1], 0, 0);
    CHECK_EQ_I64(done(0), 3);
    CHECK_EQ_I64(done(1), 1);
    rig_end(&r);
}

TEST(barrier_whose_query_is_not_answered_is_asked_again)
{
    rig_start(&r, 1);
    barrier(0, 1, true);
    rig_pass(&r, 249);
    CHECK_EQ_I64(r.query_count, 1);
    rig_pass(&r, 1);
    CHECK_EQ_I64(r.query_count, 2);
    CHECK(r.query_refresh);
    end_of(r.queries[0], 0, 0); /* too late: nobody waits for this one */
    CHECK_EQ_I64(done(0), 0);
    end_of(r.queries[1], 0, 0);
    CHECK_EQ_I64(done(0), 1);
    rig_end(&r);
}

TEST(barrier_that_is_answered_and_not_reached_waits_for_the_position)
{
    rig_start(&r, 1);
    barrier(0, 1, false);
    end_of(r.queries[0], 0, 1);
    rig_pass(&r, 5000);
    CHECK_EQ_I64(r.query_count, 1);
    rig_put(&r, 0, 0, "A", 1, -1);
    CHECK_EQ_I64(done(0), 1);
    rig_end(&r);
}

TEST(barrier_waits_for_the_stream_and_survives_a_new_assignment)
{
    rig_make(&r, 0);
    barrier(0, 1, false);
    CHECK_EQ_I64(r.query_count, 0);
    rig_assign(&r, "e1", 1);
    rig_pass(&r, 1);
    CHECK_EQ_I64(r.query_count, 1);
    rig_assign(&r, "e2", 2);
    rig_pass(&r, 20);
    CHECK_EQ_I64(r.query_count, 2);
    end_of(r.queries[1], 0, 0);
    end_of(r.queries[1], 1, 0);
    CHECK_EQ_I64(done(0), 1);
    rig_end(&r);
}

TEST(any_number_of_barriers_is_answered_though_few_queries_are_out)
{
    rig_start(&r, 1);
    for (uint64_t i = 1; i <= 40; i++) {
        barrier(0, i, false);
        if (r.query_count)
            end_of(r.queries[r.query_count - 1], 0, 1); /* answered, not reached */
        rig_pass(&r, 20);
    }
    CHECK(r.query_count <= 17);
    rig_put(&r, 0, 0, "A", 1, -1);
    rig_pass(&r, 20);
    end_of(r.queries[r.query_count - 1], 0, 1);
    CHECK_EQ_I64(done(0), 40);
    rig_end(&r);
}

/* ---- the view ---- */

TEST(view_says_what_is_held_and_how_far_behind)
{
    struct bgw_hub_view view;
    rig_start(&r, 2);
    rig_put(&r, 0, 0, "A", 1, -1);
    rig_put(&r, 1, 0, "B|tnt_demo|USD", 1, -1);
    rig_watch(&r, 0, "A");
    end_of(0, 1, 11);
    bgw_hub_look(r.hub, &view);
    CHECK(view.keys == 2 && view.slots == 2 && view.watched_keys == 1 && view.partitions == 2);
    CHECK_EQ_I64(view.lag_records, 10);
    CHECK_EQ_I64(view.oldest_proof_mono_ms, 1000);
    CHECK(view.worst_state == BGW_STATE_FRESH && view.hub_seq == 4);
    rig_end(&r);
}
