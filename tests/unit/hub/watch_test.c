/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching: what a watcher is told first and what follows, what remains when it goes, and what the
 * book does at its limits.
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

TEST(watch_of_an_unknown_slot_is_heard_at_once_and_answered_when_the_fetch_ends)
{
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_UNKNOWN && !e->answered && !e->value && e->group == 100);
    CHECK_EQ_I64(r.fetch_count, 1);
    CHECK_SLICE(bgw_slice_of(rig_last_fetch(&r)->name.key, 1), "A");
    CHECK_SLICE(bgw_slice_of(rig_last_fetch(&r)->name.tenant, rig_last_fetch(&r)->name.tenant_len),
                "tnt_demo");
    CHECK_EQ_I64(rig_last_fetch(&r)->name.part, bgw_part_of(BGW_SLICE("NGN")));
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && e->answered && rig_minor(&r, e) == 50 && e->records == 0);
    CHECK_VERSION(e, "e1.5");
    rig_end(&r);
}

TEST(watch_of_a_known_slot_is_answered_from_the_book)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_put(&r, 0, 1, "A|tnt_demo|USD", 20, -1);
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(rig_take(&r, 0), 2);
    CHECK(rig_entry(&r, 0, "NGN")->answered && rig_minor(&r, rig_entry(&r, 0, "NGN")) == 10);
    CHECK(rig_entry(&r, 0, "USD")->answered && rig_minor(&r, rig_entry(&r, 0, "USD")) == 20);
    CHECK_EQ_I64(rig_entry(&r, 0, "USD")->records, 0);
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_end(&r);
}

TEST(watch_of_a_part_fetches_that_part_and_tells_the_known_ones)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_command(&r, BGW_HUB_WATCH, 0, "A", "USD");
    CHECK_EQ_I64(rig_take(&r, 0), 2);
    CHECK(rig_entry(&r, 0, "NGN")->answered);
    CHECK(!rig_entry(&r, 0, "USD")->answered);
    CHECK_EQ_I64(rig_last_fetch(&r)->name.part, bgw_part_of(BGW_SLICE("USD")));
    rig_end(&r);
}

TEST(new_part_of_a_watched_key_is_told_to_whoever_watches_the_key)
{
    asking();
    rig_put(&r, 0, 0, "A|tnt_demo|USD", 20, -1);
    rig_take(&r, 0);
    CHECK(rig_entry(&r, 0, "USD")->records == 1 && rig_minor(&r, rig_entry(&r, 0, "USD")) == 20);
    rig_end(&r);
}

TEST(unknown_part_that_another_shard_named_is_not_told_to_this_one)
{
    asking();
    rig_command(&r, BGW_HUB_WATCH, 1, "A", "XYZ");
    rig_answer(&r, BGW_FETCH_NOT_FOUND); /* of XYZ */
    rig_take(&r, 0);
    CHECK(rig_entry(&r, 0, "XYZ")->state == 255);
    rig_take(&r, 1);
    CHECK(rig_entry(&r, 1, "XYZ")->state == BGW_STATE_UNKNOWN && rig_entry(&r, 1, "XYZ")->answered);
    rig_end(&r);
}

TEST(record_that_comes_before_the_fetch_ends_answers_the_watch)
{
    asking();
    rig_put(&r, 0, 0, "A", 10, 7);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->answered && rig_minor(&r, e) == 10 && e->records == 1);
    rig_answer_value(&r, 9, 6, r.now.wall_ms); /* older: it never replaces newer */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

TEST(read_without_v_that_a_record_overtook_does_not_replace_it)
{
    asking();
    r.now.wall_ms += 10;
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_take(&r, 0);
    rig_answer_value(&r, 9, -1, r.now.wall_ms - 5);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 1)), 10);
    rig_end(&r);
}

TEST(read_that_began_in_the_millisecond_of_a_record_does_not_replace_it)
{
    asking();
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_take(&r, 0);
    rig_answer_value(&r, 9, -1, r.now.wall_ms);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 1)), 10);
    rig_end(&r);
}

TEST(unwatch_ends_the_news_and_an_unknown_key_leaves_the_book)
{
    struct bgw_hub_view view;
    asking();
    rig_answer(&r, BGW_FETCH_NOT_FOUND);
    rig_take(&r, 0);
    rig_unwatch(&r, 0, "A");
    bgw_hub_look(r.hub, &view);
    CHECK(view.keys == 0 && view.slots == 0 && view.watched_keys == 0);
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

TEST(key_stays_until_its_fetch_has_ended_and_what_it_brought_is_kept)
{
    struct bgw_hub_view view;
    asking();
    rig_unwatch(&r, 0, "A");
    bgw_hub_look(r.hub, &view);
    CHECK(view.keys == 1 && view.fetches_in_flight == 1);
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    bgw_hub_look(r.hub, &view);
    CHECK(view.keys == 0 && view.fetches_in_flight == 0);
    rig_watch(&r, 0, "A");
    rig_unwatch(&r, 0, "A");
    rig_answer_value(&r, 50, 5, r.now.wall_ms);
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 50);
    rig_end(&r);
}

TEST(unwatch_of_another_group_is_not_this_watchers)
{
    asking();
    struct bgw_hub_command c = {
        .kind = BGW_HUB_UNWATCH, .shard = 0, .group = 4711, .name = rig_name("tnt_demo", "A", "")};
    bgw_hub_on_command(r.hub, &c, r.now);
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->group, 100);
    c.kind = BGW_HUB_WATCH;
    bgw_hub_on_command(r.hub, &c, r.now);
    CHECK_EQ_I64(rig_told(&r, 0)->group, 4711);
    rig_unwatch(&r, 0, "A"); /* the old group's, late */
    rig_put(&r, 0, 1, "A", 11, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->group, 4711);
    rig_end(&r);
}

/* ---- limits ---- */

TEST(values_over_the_limit_are_given_up_and_their_versions_kept)
{
    char key[16];
    struct bgw_hub_view view;
    rig_make(&r, 10);
    rig_assign(&r, "e1", 1);
    rig_prove(&r);
    for (int64_t i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "K%d", (int)i);
        rig_put(&r, 0, i, key, i, i + 1);
    }
    bgw_hub_look(r.hub, &view);
    CHECK_EQ_I64(view.keys, 50);
    size_t held = 0;
    r.fetch_refused = true;
    for (int64_t i = 0; i < 50; i++) {
        snprintf(key, sizeof(key), "K%d", (int)i);
        rig_watch(&r, 0, key);
        const struct bgw_relay_entry *e = rig_told(&r, 0);
        CHECK_EQ_I64(e->version.seq, i + 1);
        CHECK_EQ_I64(e->answered, e->value != NULL);
        held += e->value != NULL;
        rig_unwatch(&r, 0, key);
    }
    CHECK_EQ_I64(held, 10);
    rig_end(&r);
}

TEST(value_that_was_given_up_is_fetched_or_comes_back_with_its_own_version)
{
    rig_make(&r, 1);
    rig_assign(&r, "e1", 1);
    rig_prove(&r);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_put(&r, 0, 1, "B", 20, 6); /* A is given up */
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(rig_last_fetch(&r)->floor.seq, 5);
    rig_answer_value(&r, 9, 4, r.now.wall_ms);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_UNKNOWN);
    rig_pass(&r, 200);
    rig_answer_value(&r, 10, 5, r.now.wall_ms); /* the same version is of use again */
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 10);
    CHECK_VERSION(e, "e1.5");
    rig_unwatch(&r, 0, "A");
    rig_put(&r, 0, 2, "C", 30, 6); /* A again */
    rig_put(&r, 0, 3, "B", 20, 7);
    rig_put(&r, 0, 4, "A", 10, 5); /* a replay of what was given up */
    rig_watch(&r, 0, "A");
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 10);
    rig_end(&r);
}

TEST(denial_of_a_value_that_was_given_up_denies_nothing)
{
    rig_make(&r, 1);
    rig_assign(&r, "e1", 1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_put(&r, 0, 1, "B", 20, 6);
    rig_watch(&r, 0, "A");
    rig_answer(&r, BGW_FETCH_NOT_FOUND);
    CHECK(rig_told(&r, 0)->reason == BGW_REASON_SOURCE_UNAVAILABLE);
    rig_end(&r);
}

TEST(watched_values_are_not_given_up)
{
    rig_make(&r, 1);
    rig_assign(&r, "e1", 1);
    rig_prove(&r);
    r.answers_at_once = true;
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_watch(&r, 0, "A");
    for (int64_t i = 1; i < 9; i++)
        rig_put(&r, 0, i, i % 2 ? "B" : "C", i, -1);
    rig_watch(&r, 1, "A");
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 1)), 10);
    rig_end(&r);
}

TEST(watches_of_made_up_parts_leave_room_for_real_ones)
{
    char part[4] = "AAA";
    rig_start(&r, 1);
    r.answers_at_once = true;
    for (int i = 0; i < 300; i++) {
        part[0] = (char)('A' + i / 26);
        part[1] = (char)('A' + i % 26);
        rig_command(&r, BGW_HUB_WATCH, 0, "A", part);
        rig_take(&r, 0);
        CHECK(rig_entry(&r, 0, part)->answered); /* every one is answered, room or not */
    }
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 10);
    rig_end(&r);
}

TEST(number_of_an_event_is_there_for_everybody_before_it_is_sealed)
{
    struct bgw_relay_batch batch;
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
    bgw_hub_flush(r.hub);
    CHECK(bgw_relay_take(r.relays[1], &batch));
    CHECK_EQ_I64(bgw_hub_sequenced(r.hub), batch.hub_seq); /* at rest */
    bgw_relay_done(r.relays[1], &batch);
    uint64_t before = bgw_hub_sequenced(r.hub);
    rig_put(&r, 0, 0, "A", 10, 5);
    CHECK_EQ_I64(bgw_hub_sequenced(r.hub), before + 1);
    CHECK(bgw_relay_take(r.relays[0], &batch)); /* in the relay already, and not sealed */
    CHECK_EQ_I64(batch.hub_seq, before);
    CHECK_EQ_I64(batch.count, 1);
    bgw_blob_release(batch.entries[0].value);
    bgw_relay_done(r.relays[0], &batch);
    rig_invalidate(&r, "A", -1);
    rig_answer(&r, BGW_FETCH_UNAVAILABLE);
    CHECK_EQ_I64(bgw_hub_sequenced(r.hub), before + 3);
    rig_assign(&r, "e2", 1);
    CHECK_EQ_I64(bgw_hub_sequenced(r.hub), before + 4);
    rig_end(&r);
}
