/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of a record: the version rules with and without `v`, the sticky mode, tombstones and
 * their floors, rejects, and that each record is counted exactly once.
 */
#include "rig.h"

static struct rig r;

static void check_counts(int64_t applied, int64_t unwatched, int64_t superseded, int64_t rejected)
{
    CHECK_EQ_I64(rig_counted(&r, BGW_M_RECORDS_APPLIED), applied);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_RECORDS_UNWATCHED), unwatched);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_RECORDS_SUPERSEDED), superseded);
    CHECK_EQ_I64(r.reject_count, rejected);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_RECORDS_CONSUMED),
                 applied + unwatched + superseded + rejected);
}

/* A is watched by shard 0, whose first news have been taken. */
static void watched(size_t partitions)
{
    rig_start(&r, partitions);
    r.answers_at_once = true;
    rig_watch(&r, 0, "A");
    rig_take(&r, 0);
}

TEST(with_v_the_version_is_v_and_equal_is_a_duplicate)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.5");
    CHECK_EQ_I64(e->records, 1);
    CHECK(e->answered && e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 10);
    rig_put(&r, 0, 1, "A", 99, 5);
    rig_put(&r, 0, 2, "A", 98, 4);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_put(&r, 0, 3, "A", 11, 6);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 11);
    check_counts(2, 0, 2, 0);
    rig_end(&r);
}

TEST(with_v_order_holds_over_partitions_and_without_a_key)
{
    watched(2);
    rig_put(&r, 0, 0, "A", 10, 5);
    struct bgw_record record = {.value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7,\"v\":6}")};
    rig_record_at(&r, &record, 1, 0);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 7);
    rig_put(&r, 1, 1, "A", 1, 5);
    check_counts(2, 0, 1, 0);
    rig_end(&r);
}

TEST(without_v_the_version_is_leader_epoch_times_2_to_40_plus_offset_plus_one)
{
    watched(1);
    rig_put(&r, 0, 41, "A", 10, -1);
    CHECK_VERSION(rig_told(&r, 0), "e1.42");
    struct bgw_record record = {.key = BGW_SLICE("A"),
                                .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7}"),
                                .leader_epoch = 3};
    rig_record_at(&r, &record, 0, 12); /* truncated: a lower offset under a later leader */
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.3298534883341");
    CHECK_EQ_I64(rig_minor(&r, e), 7);
    rig_put(&r, 0, 42, "A", 11, -1); /* leader epoch 0 again: older */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_end(&r);
}

TEST(without_v_a_replay_is_superseded)
{
    watched(1);
    for (int64_t i = 0; i < 3; i++)
        rig_put(&r, 0, i, "A", 10 + i, -1);
    for (int64_t i = 0; i < 3; i++)
        rig_put(&r, 0, i, "A", 10 + i, -1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(rig_minor(&r, e), 12);
    CHECK_EQ_I64(e->records, 3);
    check_counts(3, 0, 3, 0);
    rig_end(&r);
}

TEST(record_without_key_and_v_is_accepted_only_if_the_topic_has_one_partition)
{
    struct bgw_record record = {.value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7}")};
    watched(1);
    rig_record_at(&r, &record, 0, 0);
    check_counts(1, 0, 0, 0);
    rig_end(&r);
    watched(2);
    rig_record_at(&r, &record, 0, 0);
    CHECK(r.rejected == BGW_REJECT_UNORDERED);
    check_counts(0, 0, 0, 1);
    rig_end(&r);
}

TEST(without_v_a_record_of_another_partition_has_no_order)
{
    watched(2);
    rig_put(&r, 0, 5, "A", 10, -1);
    rig_put(&r, 1, 9, "A|tnt_demo|NGN", 11, -1);
    CHECK(r.rejected == BGW_REJECT_UNORDERED);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(rig_minor(&r, e), 10);
    CHECK(e->state == BGW_STATE_STALE);
    rig_end(&r);
}

TEST(mode_is_sticky_the_other_kind_is_rejected_and_the_slot_read_again)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    r.answers_at_once = false;
    size_t before = r.fetch_count;
    rig_put(&r, 0, 1, "A", 11, -1);
    CHECK(r.rejected == BGW_REJECT_VERSION_MODE);
    CHECK_EQ_I64(r.fetch_count, before + 1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_STALE && e->reason == BGW_REASON_UNREADABLE_RECORD &&
          rig_minor(&r, e) == 10);
    rig_put(&r, 0, 2, "A", 12, 6);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_end(&r);
    watched(1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_put(&r, 0, 1, "A", 11, 900);
    CHECK(r.rejected == BGW_REJECT_VERSION_MODE);
    rig_end(&r);
}

TEST(tombstone_with_v_removes_and_only_a_greater_version_revives)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_tombstone(&r, 0, 1, "A", "7");
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_REMOVED && !e->value && e->answered);
    CHECK_EQ_I64(e->records, 2);
    CHECK_VERSION(e, "e1.7");
    rig_put(&r, 0, 2, "A", 11, 6);
    rig_put(&r, 0, 3, "A", 12, 7);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_put(&r, 0, 4, "A", 13, 8);
    e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 13);
    check_counts(3, 0, 2, 0);
    rig_end(&r);
}

TEST(tombstone_with_an_older_v_is_superseded)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_tombstone(&r, 0, 1, "A", "4");
    rig_tombstone(&r, 0, 2, "A", "5");
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    check_counts(1, 0, 2, 0);
    rig_end(&r);
}

TEST(tombstone_without_v_acts_in_partition_order_and_keeps_the_highest_version_as_a_floor)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    rig_tombstone(&r, 0, 1, "A", NULL);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_REMOVED);
    CHECK_VERSION(e, "e1.5");
    rig_put(&r, 0, 2, "A", 10, 5);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_put(&r, 0, 3, "A", 11, 6);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_tombstone(&r, 0, 1, "A",
                  NULL); /* a replay of the removal does not remove what came later */
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    check_counts(3, 0, 2, 0);
    rig_end(&r);
}

TEST(tombstone_by_offset_is_a_floor_for_offsets)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_tombstone(&r, 0, 1, "A", NULL);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_REMOVED);
    CHECK_VERSION(e, "e1.2");
    rig_put(&r, 0, 0, "A", 10, -1);
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    rig_put(&r, 0, 2, "A", 11, -1);
    CHECK(rig_told(&r, 0)->state == BGW_STATE_FRESH);
    rig_end(&r);
}

TEST(tombstone_of_a_key_that_nobody_knew_is_a_floor_in_either_mode)
{
    rig_start(&r, 1);
    rig_tombstone(&r, 0, 5, "A", NULL);
    rig_put(&r, 0, 4, "A", 10, 3); /* replayed: it lay before the tombstone */
    rig_watch(&r, 0, "A");
    CHECK(rig_told(&r, 0)->state == BGW_STATE_REMOVED);
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_put(&r, 0, 6, "A", 11, 4);
    CHECK_EQ_I64(rig_minor(&r, rig_told(&r, 0)), 11);
    rig_tombstone(&r, 0, 7, "B", NULL);
    rig_put(&r, 0, 6, "B", 10, -1);
    rig_put(&r, 0, 8, "B", 11, -1);
    check_counts(1, 3, 2, 0);
    rig_end(&r);
}

TEST(tombstone_of_a_bare_key_removes_every_tenant_and_part)
{
    rig_start(&r, 1);
    r.answers_at_once = true;
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_put(&r, 0, 1, "A|tnt_demo|USD", 11, -1);
    rig_put(&r, 0, 2, "A|t2|EUR", 12, -1);
    rig_watch(&r, 0, "A");
    struct bgw_hub_command c = {
        .kind = BGW_HUB_WATCH, .shard = 1, .group = 5, .name = rig_name("t2", "A", "EUR")};
    bgw_hub_on_command(r.hub, &c, r.now);
    rig_take(&r, 0);
    rig_take(&r, 1);
    rig_tombstone(&r, 0, 3, "A", NULL);
    CHECK_EQ_I64(rig_take(&r, 0), 2);
    CHECK(rig_entry(&r, 0, "NGN")->state == BGW_STATE_REMOVED);
    CHECK(rig_entry(&r, 0, "USD")->state == BGW_STATE_REMOVED);
    rig_take(&r, 1);
    CHECK(rig_entry(&r, 1, "EUR")->state == BGW_STATE_REMOVED);
    check_counts(1, 3, 0, 0);
    rig_end(&r);
}

TEST(tombstone_of_a_full_key_removes_its_slot_alone)
{
    watched(1);
    rig_put(&r, 0, 0, "A|tnt_demo|NGN", 10, -1);
    rig_put(&r, 0, 1, "A|tnt_demo|USD", 11, -1);
    rig_tombstone(&r, 0, 2, "A|tnt_demo|USD", NULL);
    rig_take(&r, 0);
    CHECK(rig_entry(&r, 0, "NGN")->state == BGW_STATE_FRESH);
    CHECK(rig_entry(&r, 0, "USD")->state == BGW_STATE_REMOVED);
    rig_end(&r);
}

TEST(rejected_record_marks_the_account_of_its_key_stale_until_the_next_good_record)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_take(&r, 0);
    rig_raw(&r, 0, 1, "A", "{broken");
    CHECK(r.rejected == BGW_REJECT_BAD_JSON);
    CHECK_EQ_I64(rig_counted(&r, BGW_M_RECORDS_REJECTED_BAD_JSON), 1);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_STALE && e->reason == BGW_REASON_UNREADABLE_RECORD);
    CHECK_EQ_I64(rig_minor(&r, e), 10); /* the last good value, never 0 */
    CHECK_EQ_I64(e->records, 0);
    rig_put(&r, 0, 2, "A", 12, -1);
    e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 12);
    check_counts(2, 0, 0, 1);
    rig_end(&r);
}

TEST(rejected_record_has_its_account_read_again_and_the_read_ends_the_state)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, 5);
    r.answers_at_once = false;
    rig_raw(&r, 0, 1, "A", "{broken");
    CHECK(rig_told(&r, 0)->state == BGW_STATE_STALE);
    rig_answer_value(&r, 11, 6, r.now.wall_ms);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 11);
    CHECK_VERSION(e, "e1.6");
    rig_end(&r);
}

TEST(rejected_record_of_an_account_that_nobody_watches_is_told_to_the_next_watcher)
{
    rig_start(&r, 1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_raw(&r, 0, 1, "A", "{}");
    CHECK_EQ_I64(r.fetch_count, 0);
    rig_watch(&r, 0, "A");
    CHECK(rig_told(&r, 0)->state == BGW_STATE_STALE);
    CHECK_EQ_I64(r.fetch_count, 1);
    rig_end(&r);
}

TEST(rejected_record_that_names_nobody_marks_nobody)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_take(&r, 0);
    rig_raw(&r, 0, 1, NULL, "{broken");
    rig_raw(&r, 0, 2, "not an id", "{}");
    CHECK_EQ_I64(rig_take(&r, 0), 0);
    check_counts(1, 0, 0, 2);
    rig_end(&r);
}

TEST(rejected_record_of_a_full_key_marks_its_slot_alone)
{
    watched(1);
    rig_put(&r, 0, 0, "A", 10, -1);
    rig_put(&r, 0, 1, "A|tnt_demo|USD", 11, -1);
    rig_take(&r, 0);
    rig_raw(&r, 0, 2, "A|tnt_demo|USD", "");
    CHECK(r.rejected == BGW_REJECT_EMPTY_VALUE);
    CHECK_EQ_I64(rig_take(&r, 0), 1);
    CHECK(rig_entry(&r, 0, "USD")->state == BGW_STATE_STALE);
    rig_end(&r);
}

TEST(record_held_back_by_a_later_read_leaves_the_slot_delayed_and_read_again)
{
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    rig_answer_value(&r, 50, -1, r.now.wall_ms);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.0.1700000000000");
    rig_take(&r, 0);
    struct bgw_record record = {.key = BGW_SLICE("A"),
                                .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7}"),
                                .timestamp_ms = r.now.wall_ms};
    rig_record_at(&r, &record, 0, 0);
    e = rig_told(&r, 0);
    CHECK(e->state == BGW_STATE_DELAYED && e->reason == BGW_REASON_REREAD &&
          rig_minor(&r, e) == 50);
    CHECK_EQ_I64(e->records, 0);
    CHECK_EQ_I64(r.fetch_count, 2);
    rig_answer_value(&r, 51, -1, r.now.wall_ms + 5);
    e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.1.1700000000005"); /* the seq of the slot's last record */
    CHECK(e->state == BGW_STATE_FRESH && rig_minor(&r, e) == 51);
    check_counts(0, 0, 1, 0);
    rig_end(&r);
}

TEST(record_later_than_the_read_replaces_it)
{
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    rig_answer_value(&r, 50, -1, r.now.wall_ms);
    rig_take(&r, 0);
    struct bgw_record record = {.key = BGW_SLICE("A"),
                                .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7}"),
                                .timestamp_ms = r.now.wall_ms + 1};
    rig_record_at(&r, &record, 0, 0);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_VERSION(e, "e1.1");
    CHECK_EQ_I64(rig_minor(&r, e), 7);
    rig_end(&r);
}

TEST(first_event_zero_after_a_read_gets_a_version_of_its_own)
{
    rig_start(&r, 1);
    rig_watch(&r, 0, "A");
    rig_answer_value(&r, 50, -1, r.now.wall_ms);
    struct bgw_record record = {.key = BGW_SLICE("A"),
                                .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7,\"v\":0}"),
                                .timestamp_ms = r.now.wall_ms + 1};
    rig_record_at(&r, &record, 0, 0);
    const struct bgw_relay_entry *e = rig_told(&r, 0);
    CHECK_EQ_I64(rig_minor(&r, e), 7);
    CHECK_VERSION(e, "e1.0.1700000000001");
    rig_end(&r);
}

TEST(every_accepted_record_of_a_watched_key_is_counted_to_each_shard)
{
    rig_start(&r, 1);
    r.answers_at_once = true;
    rig_watch(&r, 0, "A");
    rig_watch(&r, 1, "A");
    for (int64_t i = 0; i < 10; i++)
        rig_put(&r, 0, i, "A", i, -1);
    CHECK_EQ_I64(rig_told(&r, 0)->records, 10);
    CHECK_EQ_I64(rig_told(&r, 1)->records, 10);
    rig_put(&r, 0, 10, "B", 1, -1);
    check_counts(10, 1, 0, 0);
    rig_end(&r);
}

TEST(record_of_a_partition_that_is_not_assigned_is_refused)
{
    watched(1);
    struct bgw_record record = {.key = BGW_SLICE("A"),
                                .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":7}"),
                                .partition = 9};
    bgw_hub_on_record(r.hub, 0, &record, r.now);
    CHECK(r.rejected == BGW_REJECT_UNORDERED);
    rig_end(&r);
}

TEST(parts_of_one_key_have_a_limit_and_the_rest_is_rejected)
{
    char key[64];
    rig_start(&r, 1);
    for (int64_t i = 0; i < 260; i++) {
        snprintf(key, sizeof(key), "A|tnt_demo|%c%c%c", (int)('A' + i / 26 / 26),
                 (int)('A' + i / 26 % 26), (int)('A' + i % 26));
        rig_put(&r, 0, i, key, i, -1);
    }
    CHECK(r.rejected == BGW_REJECT_TOO_MANY);
    check_counts(0, 250, 0, 10);
    rig_end(&r);
}
