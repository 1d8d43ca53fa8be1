/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a read waits for beside its value: a version, a proof, and what other shards may have shown.
 */
#include "shard/read_rig.h"

/* ---- floors ---- */

TEST(floor_waits_for_its_version_and_is_answered_at_once_where_it_is_met)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    CHECK(ask_floor(r, &a, "A", r->epoch, 5));
    CHECK_VALUE(&a, "100", 5);
    CHECK(!ask_floor(r, &a, "A", r->epoch, 7));
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_EQ_I64(a.answers, 0);
    rig_record(r, "A", "NGN", 7, "102");
    CHECK_VALUE(&a, "102", 7);
    CHECK(a.answer.watched);
    rig_end(r);
}

TEST(bare_number_as_floor_is_compared_in_whatever_epoch)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    CHECK(ask_floor(r, &a, "A", 0, 5));
    CHECK_VALUE(&a, "100", 5);
    CHECK(!ask_floor(r, &a, "A", 0, 6));
    r->epoch = bgw_epoch_pack(BGW_SLICE("e2"));
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_VALUE(&a, "101", 6);
    rig_end(r);
}

TEST(floor_of_another_epoch_is_too_old_at_once_and_one_that_is_not_reached_after_its_wait)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 5, "100");
    CHECK(ask_floor(r, &a, "A", bgw_epoch_pack(BGW_SLICE("e9")), 1));
    CHECK(a.answer.result == BGW_READ_TOO_OLD && a.answer.version.seq == 5);
    CHECK_EQ_STR(a.value, "100");
    CHECK(!ask_floor(r, &a, "A", r->epoch, 6));
    rig_pass(r, WAIT_MS - 1);
    CHECK_EQ_I64(a.answers, 0);
    rig_pass(r, 1);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_TOO_OLD && a.answer.version.seq == 5);
    CHECK_EQ_STR(a.value, "100");
    CHECK(!ask_floor(r, &a, "A", r->epoch, 6));
    r->epoch = bgw_epoch_pack(BGW_SLICE("e2"));
    rig_known(r, "A", "NGN", 0, "100");
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_TOO_OLD);
    rig_end(r);
}

/* ---- proofs ---- */

TEST(proof_waits_for_a_barrier_that_was_asked_for_after_it)
{
    struct rig *r = open();
    struct asked a, b;
    read_first(r, "A", 5, "100");
    CHECK(!ask_proof(r, &a, "A"));
    CHECK(!ask_proof(r, &b, "A"));
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, 1), "BARRIER 1");
    CHECK_EQ_I64(r->command_count, 2);
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_EQ_I64(a.answers, 0);
    rig_barrier(r, 1);
    CHECK_VALUE(&a, "101", 6);
    CHECK_VALUE(&b, "101", 6);
    CHECK(a.answer.proved && a.answer.state == BGW_STATE_FRESH);
    CHECK(!ask_proof(r, &a, "A")); /* not an old one */
    rig_turn(r);
    rig_barrier(r, 2);
    CHECK(a.answer.proved);
    rig_end(r);
}

TEST(proof_that_does_not_come_in_time_is_answered_as_delayed)
{
    struct rig *r = open();
    struct asked a, first;
    read_first(r, "A", 5, "100");
    CHECK(!ask_proof(r, &a, "A"));
    rig_pass(r, r->config.barrier_wait_ms - 1);
    CHECK_EQ_I64(a.answers, 0);
    rig_pass(r, 1);
    CHECK_VALUE(&a, "100", 5);
    CHECK(!a.answer.proved && a.answer.state == BGW_STATE_DELAYED && a.answer.reason == BGW_REASON_SOURCE_LAGGING);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_NEW_EPOCH);
    CHECK(!ask_proof(r, &a, "A"));
    rig_pass(r, r->config.barrier_wait_ms);
    CHECK(a.answer.state == BGW_STATE_STALE && a.answer.reason == BGW_REASON_NEW_EPOCH);
    /* what the hub says only after that is labelled too */
    CHECK(!ask_proof(r, &first, "B"));
    rig_pass(r, r->config.barrier_wait_ms + 1);
    CHECK_EQ_I64(first.answers, 0);
    rig_known(r, "B", "NGN", 1, "1");
    CHECK(first.answers == 1 && first.answer.state == BGW_STATE_DELAYED);
    rig_end(r);
}

TEST(proof_of_an_unknown_key_waits_too)
{
    struct rig *r = open();
    struct asked a;
    CHECK(!ask_proof(r, &a, "A"));
    rig_turn(r);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    CHECK_EQ_I64(a.answers, 0);
    rig_barrier(r, 1);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_UNKNOWN && a.answer.proved);
    rig_end(r);
}

TEST(floor_on_an_unknown_key_waits_for_its_first_value)
{
    struct rig *r = open();
    struct asked a, b;
    struct bgw_read_question q = question(r, "A");
    q.has_floor = true;
    q.floor = rig_version(r, 6);
    CHECK(!ask(r, &a, &q));
    rig_turn(r);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    CHECK_EQ_I64(a.answers, 0);
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_VALUE(&a, "101", 6);
    q = question(r, "B");
    q.has_floor = true;
    q.floor = rig_version(r, 6);
    CHECK(!ask(r, &b, &q));
    rig_turn(r);
    rig_unknown(r, "B", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_pass(r, q.wait_ms);
    CHECK(b.answers == 1 && b.answer.result == BGW_READ_UNKNOWN);
    rig_end(r);
}

TEST(proof_and_floor_are_both_waited_for)
{
    struct rig *r = open();
    struct asked a;
    struct bgw_read_question q = question(r, "A");
    read_first(r, "A", 5, "100");
    q.prove = q.has_floor = true;
    q.floor = rig_version(r, 6);
    CHECK(!ask(r, &a, &q));
    rig_turn(r);
    rig_barrier(r, 1);
    CHECK_EQ_I64(a.answers, 0);
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_VALUE(&a, "101", 6);
    CHECK(a.answer.proved);
    rig_end(r);
}

/* ---- what other shards have shown ---- */

TEST(read_waits_until_what_another_shard_may_have_shown_is_applied_here)
{
    struct rig *r = open();
    struct asked a, b;
    read_first(r, "A", 4, "100");
    sequenced = r->hub_seq + 2; /* the hub has put version 5 into the relays, one after the other */
    CHECK(!ask_plain(r, &a, "A"));
    CHECK_EQ_I64(wanted, sequenced);
    rig_batch(r, NULL, 0);
    CHECK_EQ_I64(a.answers, 0);
    sequenced++;
    CHECK(!ask_plain(r, &b, "A"));
    rig_record(r, "A", "NGN", 5, "105");
    CHECK_VALUE(&a, "105", 5);
    CHECK(a.answer.watched);
    CHECK_EQ_I64(b.answers, 0);
    rig_batch(r, NULL, 0);
    CHECK_VALUE(&b, "105", 5);
    CHECK(ask_plain(r, &a, "A"));
    rig_turn(r);
    CHECK_EQ_I64(r->command_count, 1);
    rig_end(r);
}

TEST(read_that_is_never_caught_up_with_shows_nothing_old)
{
    struct rig *r = open();
    struct asked a;
    read_first(r, "A", 4, "100");
    sequenced = r->hub_seq + 1;
    CHECK(!ask_plain(r, &a, "A"));
    rig_pass(r, WAIT_MS);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_TIMEOUT && !a.answer.value);
    CHECK(!ask_floor(r, &a, "A", r->epoch, 5)); /* nor what there was as too old */
    rig_pass(r, WAIT_MS);
    CHECK(a.answers == 1 && a.answer.result == BGW_READ_TIMEOUT && !a.answer.value);
    rig_end(r);
}
