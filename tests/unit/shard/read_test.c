/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads: a question that is answered once. Answered at once where the key is watched, else when the hub has spoken; kept for a
 * while afterwards; bounded in every direction. What else a read may wait for is in read_wait_test.c.
 */
#include "shard/read_rig.h"

TEST(first_read_asks_the_hub_and_the_second_is_answered_without_leaving_the_thread)
{
    struct rig *r = open();
    struct asked first, second;
    CHECK(!ask_plain(r, &first, "A"));
    CHECK_EQ_I64(view_of(r).reads_waiting, 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_READS_WAITING), 1);
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 0), "WATCH A");
    r->now.mono_ms += 20;
    rig_known(r, "A", "NGN", 5, "100");
    CHECK_VALUE(&first, "100", 5);
    CHECK(!first.answer.watched && first.answer.state == BGW_STATE_FRESH && first.answer.lag_ms == 0);
    CHECK(first.answer.part == bgw_part_of(BGW_SLICE("NGN")) && !first.answer.proved);
    CHECK_EQ_I64(view_of(r).reads_waiting, 0);
    CHECK_EQ_I64(view_of(r).reads_kept, 1);
    rig_record(r, "A", "NGN", 6, "101");
    r->now.mono_ms += 70;
    CHECK(ask_plain(r, &second, "A"));
    CHECK_VALUE(&second, "101", 6);
    CHECK(second.answer.watched && second.answer.lag_ms == 70);
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_OFFERED), 0);
    CHECK_IDENTITY();
    rig_end(r);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_READS_KEPT), 0);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_READS_WAITING), 0);
}

TEST(what_has_been_fresh_for_a_while_is_as_old_as_the_last_proof_of_all)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    r->now.mono_ms += 2500;
    r->proved_mono_ms = r->now.mono_ms - 400;
    rig_batch(r, NULL, 0);
    CHECK(ask_plain(r, &a, "A"));
    CHECK(a.answer.state == BGW_STATE_FRESH && a.answer.lag_ms == 400);
    r->now.mono_ms += 9000; /* fresh still, so the proof that it lacks is on its way */
    CHECK(ask_plain(r, &a, "A"));
    CHECK(a.answer.state == BGW_STATE_FRESH && a.answer.lag_ms == r->feeds[0].fresh_ms);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_DELAYED, BGW_REASON_SOURCE_LAGGING); /* and says since when */
    r->proved_mono_ms = r->now.mono_ms; /* of others, perhaps */
    rig_batch(r, NULL, 0);
    r->now.mono_ms += 100;
    CHECK(ask_plain(r, &a, "A"));
    CHECK(a.answer.state == BGW_STATE_DELAYED && a.answer.lag_ms == 100); /* of the rig's entries: told just now */
    rig_end(r);
}

TEST(watch_ends_a_while_after_the_last_read)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    rig_pass(r, KEEP_MS - 1);
    CHECK(ask_plain(r, &a, "A"));
    rig_pass(r, KEEP_MS - 1);
    CHECK_EQ_I64(r->command_count, 1);
    CHECK_EQ_I64(view_of(r).reads_kept, 1);
    CHECK_EQ_I64(bgw_shard_tick(r->shard, r->now), 1);
    rig_pass(r, 1);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    CHECK_EQ_I64(view_of(r).reads_kept, 0);
    CHECK_EQ_I64(view_of(r).groups, 0);
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 2), "WATCH A");
    rig_pass(r, WAIT_MS);
    CHECK_EQ_I64(a.answer.result, BGW_READ_TIMEOUT);
    rig_end(r);
}

TEST(read_that_revives_a_watch_on_its_way_out_needs_no_other)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    r->posts_left = 0;
    rig_pass(r, KEEP_MS);
    CHECK_EQ_I64(view_of(r).reads_kept, 0);
    CHECK(ask_plain(r, &a, "A"));
    CHECK_VALUE(&a, "100", 5);
    r->posts_left = -1;
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_end(r);
}

TEST(beyond_the_cap_the_least_recently_read_key_goes)
{
    struct rig *r = open_with(ASKED_MAX, 2);
    struct asked a;
    read_first(r, "A", 5, "100");
    read_first(r, "B", 6, "200");
    CHECK(ask_plain(r, &a, "A"));
    read_first(r, "C", 7, "300");
    rig_turn(r);
    CHECK_EQ_I64(view_of(r).reads_kept, 2);
    CHECK_EQ_STR(rig_posted(r, 3), "UNWATCH B");
    CHECK_EQ_I64(r->command_count, 4);
    CHECK(ask_plain(r, &a, "A"));
    CHECK(ask_plain(r, &a, "C"));
    rig_end(r);
}

TEST(cap_that_sinks_is_kept_to_at_once_and_none_at_all_ends_every_watch_with_its_read)
{
    struct rig *r = open();
    struct bgw_shard_limits limits = r->config.limits;
    struct asked a;
    read_first(r, "A", 5, "100");
    read_first(r, "B", 6, "200");
    read_first(r, "C", 7, "300");
    limits.reads_kept_max = 1;
    bgw_shard_set_limits(r->shard, &limits);
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 3), "UNWATCH A");
    CHECK_EQ_STR(rig_posted(r, 4), "UNWATCH B");
    limits.reads_kept_max = 0;
    bgw_shard_set_limits(r->shard, &limits);
    CHECK(ask_plain(r, &a, "C")); /* the hub has not been told yet */
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 5), "UNWATCH C");
    read_first(r, "D", 8, "400");
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 7), "UNWATCH D");
    CHECK_EQ_I64(view_of(r).groups, 0);
    rig_end(r);
}

TEST(key_without_a_value_is_not_kept_longer_for_being_read_again_and_goes_first)
{
    struct rig *r = open_with(ASKED_MAX, 2);
    struct asked a;
    CHECK(!ask_plain(r, &a, "N"));
    rig_turn(r);
    rig_unknown(r, "N", "NGN", BGW_REASON_NO_SUCH_KEY);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_UNKNOWN && a.answer.state == BGW_STATE_UNKNOWN);
    CHECK(a.answer.reason == BGW_REASON_NO_SUCH_KEY && !a.answer.value && !a.answer.version.epoch && !a.answer.watched);
    rig_pass(r, KEEP_MS - 1);
    CHECK(ask_plain(r, &a, "N"));
    CHECK(a.answer.result == BGW_READ_UNKNOWN && a.answer.watched);
    rig_pass(r, 1);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH N");
    read_first(r, "A", 5, "100");
    CHECK(!ask_plain(r, &a, "N"));
    rig_turn(r);
    rig_unknown(r, "N", "NGN", BGW_REASON_SOURCE_UNAVAILABLE);
    CHECK_EQ_I64(a.answer.reason, BGW_REASON_SOURCE_UNAVAILABLE);
    read_first(r, "B", 6, "200");
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 5), "UNWATCH N");
    rig_end(r);
}

TEST(removed_key_is_unknown_and_says_that_it_was_removed)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 6, NULL);
    e.state = BGW_STATE_REMOVED;
    e.records = 1;
    rig_batch(r, &e, 1);
    CHECK(ask_floor(r, &a, "A", 0, 9));
    CHECK(a.answer.result == BGW_READ_UNKNOWN && a.answer.state == BGW_STATE_REMOVED && !a.answer.value);
    rig_end(r);
}

TEST(state_of_the_slot_is_part_of_the_answer)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_SOURCE_LAGGING);
    CHECK(ask_plain(r, &a, "A"));
    CHECK_VALUE(&a, "100", 5);
    CHECK(a.answer.state == BGW_STATE_STALE && a.answer.reason == BGW_REASON_SOURCE_LAGGING);
    rig_end(r);
}

TEST(part_is_read_by_its_name_and_beside_the_others)
{
    struct rig *r = open();
    struct asked a, b;
    read_first(r, "A", 5, "100");
    CHECK(!ask_plain(r, &a, "A/USD"));
    CHECK(!a.answer.watched);
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "WATCH A/USD");
    rig_known(r, "A", "USD", 3, "7");
    CHECK_VALUE(&a, "7", 3);
    CHECK(a.answer.part == bgw_part_of(BGW_SLICE("USD")));
    CHECK(ask_plain(r, &b, "A"));
    CHECK_VALUE(&b, "100", 5);
    CHECK_EQ_I64(view_of(r).reads_kept, 1);
    rig_end(r);
}

TEST(parts_that_nobody_has_heard_of_cannot_pile_up)
{
    struct rig *r = open_with(512, 16);
    static struct asked asked[128];
    char key[8];
    int busy = 0;
    for (int i = 0; i < 128; i++) {
        snprintf(key, sizeof(key), "A/%c%cX", 'A' + i / 26, 'A' + i % 26);
        busy += ask_plain(r, &asked[i], key) && asked[i].answer.result == BGW_READ_BUSY;
    }
    CHECK_EQ_I64(busy, 64);
    rig_turn(r);
    rig_pass(r, WAIT_MS);
    rig_end(r);
}

/* ---- ends ---- */

TEST(hub_that_says_nothing_is_waited_for_no_longer_than_asked)
{
    struct rig *r = open();
    struct asked a;
    CHECK(!ask_floor(r, &a, "A", 0, 1));
    rig_turn(r);
    rig_pass(r, WAIT_MS - 1);
    CHECK_EQ_I64(a.answers, 0);
    rig_pass(r, 1);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_TIMEOUT && !a.answer.value && a.answer.lag_ms < 0);
    CHECK_EQ_I64(view_of(r).reads_waiting, 0);
    rig_known(r, "A", "NGN", 5, "100"); /* it is still watched: the next one has it */
    CHECK(ask_plain(r, &a, "A"));
    rig_end(r);
}

TEST(cancelled_read_is_not_answered_and_its_key_is_kept)
{
    struct rig *r = open();
    struct asked a, b;
    CHECK(!ask_proof(r, &a, "A"));
    sequenced = 100;
    CHECK(!ask_plain(r, &b, "A"));
    bgw_shard_read_cancel(r->shard, a.read);
    CHECK_EQ_I64(view_of(r).reads_kept, 0);
    bgw_shard_read_cancel(r->shard, b.read);
    CHECK_EQ_I64(view_of(r).reads_kept, 1);
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_pass(r, WAIT_MS);
    CHECK(a.answers == 0 && b.answers == 0);
    rig_end(r);
}

TEST(read_may_be_cancelled_from_within_the_answer_of_another)
{
    struct rig *r = open();
    struct asked a, b, c;
    CHECK(!ask_plain(r, &a, "A"));
    CHECK(!ask_plain(r, &b, "A"));
    CHECK(!ask_plain(r, &c, "A"));
    a.takes_along = &b;
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    CHECK(a.answers == 1 && b.answers == 0 && c.answers == 1);
    CHECK_EQ_I64(view_of(r).reads_waiting, 0);
    rig_end(r);
}

TEST(more_reads_than_may_wait_are_busy_and_those_of_watched_keys_are_not)
{
    struct rig *r = open_with(2, 16);
    struct asked a, b, c;
    read_first(r, "W", 1, "1");
    CHECK(!ask_plain(r, &a, "A"));
    CHECK(!ask_plain(r, &b, "B"));
    CHECK(ask_plain(r, &c, "C"));
    CHECK(c.answer.result == BGW_READ_BUSY && !c.answer.value);
    CHECK(ask_plain(r, &c, "A"));
    CHECK_EQ_I64(c.answer.result, BGW_READ_BUSY);
    CHECK(ask_plain(r, &c, "W"));
    CHECK_VALUE(&c, "1", 1);
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 2), "WATCH B");
    CHECK_EQ_I64(r->command_count, 3); /* nobody was asked about C */
    CHECK_EQ_I64(view_of(r).groups, 3);
    rig_pass(r, WAIT_MS);
    CHECK_EQ_I64(view_of(r).reads_waiting, 0);
    rig_end(r);
}

TEST(reads_of_new_keys_are_busy_while_the_hub_takes_nothing)
{
    struct rig *r = open();
    struct asked a, b;
    r->posts_left = 0;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    CHECK(ask_plain(r, &b, "B"));
    CHECK_EQ_I64(b.answer.result, BGW_READ_BUSY);
    CHECK_EQ_I64(view_of(r).groups, 1);
    r->posts_left = -1;
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    CHECK_VALUE(&a, "100", 5);
    CHECK(!ask_plain(r, &b, "B"));
    rig_pass(r, WAIT_MS);
    rig_end(r);
}

/* ---- beside subscribers ---- */

TEST(key_that_is_subscribed_to_is_answered_at_once_and_outlives_its_subscriber)
{
    struct rig *r = open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct asked a;
    CHECK(ask_plain(r, &a, "A"));
    CHECK_VALUE(&a, "100", 5);
    CHECK(a.answer.watched);
    rig_unsub(r, c, 2, "A");
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_record(r, "A", "NGN", 6, "101");
    CHECK(ask_plain(r, &a, "A"));
    CHECK_VALUE(&a, "101", 6);
    rig_pass(r, KEEP_MS);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_end(r);
}

TEST(subscriber_of_a_key_that_was_read_has_its_snapshot_at_once_and_outlives_the_reads)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "sub 1 ok=A current= denied=\nupd A.NGN=100@e1.5+snap\nlive 1\n");
    rig_pass(r, KEEP_MS);
    CHECK_EQ_I64(r->command_count, 1);
    CHECK_EQ_I64(view_of(r).reads_kept, 0);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    CHECK(ask_plain(r, &a, "A"));
    rig_hang(r, c);
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_pass(r, KEEP_MS);
    CHECK_EQ_STR(rig_posted(r, 1), "UNWATCH A");
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(read_that_waits_holds_its_key_when_the_subscriber_leaves)
{
    struct rig *r = open();
    struct conn *c = rig_connect(r, 1, "*");
    struct asked a;
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    CHECK(!ask_plain(r, &a, "A"));
    rig_hang(r, c);
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_known(r, "A", "NGN", 5, "100");
    CHECK_VALUE(&a, "100", 5);
    CHECK(!a.answer.watched);
    rig_end(r);
}

TEST(tenants_do_not_read_each_others_keys)
{
    struct rig *r = open();
    struct asked a;
    struct bgw_read_question q = question(r, "A");
    read_first(r, "A", 5, "100");
    q.tenant = BGW_SLICE("t2");
    CHECK(!ask(r, &a, &q));
    rig_turn(r);
    CHECK_EQ_I64(r->commands[1].name.tenant_len, 2);
    CHECK(memcmp(r->commands[1].name.tenant, "t2", 2) == 0);
    rig_pass(r, WAIT_MS);
    CHECK_EQ_I64(a.answer.result, BGW_READ_TIMEOUT);
    rig_end(r);
}
