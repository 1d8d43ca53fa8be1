/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads that want a source's word: the hub is asked for it, once for all who came before it was, and whoever waits is answered when
 * the fetch is over; an error is told to them and to nobody who comes later.
 */
#include "shard/read_rig.h"

static bool ask_source(struct rig *r, struct asked *a, const char *key)
{
    struct bgw_read_question q = question(r, key);
    q.ask = true;
    return ask(r, a, &q);
}

/* How many ASKs were posted; `ticket`: of the last one. */
static int asks(const struct rig *r, uint32_t *ticket)
{
    int n = 0;
    for (int i = 0; i < r->command_count; i++) {
        if (r->commands[i].kind != BGW_HUB_ASK)
            continue;
        *ticket = (uint32_t)r->commands[i].ticket;
        n++;
    }
    return n;
}

static void fetched(struct rig *r, const char *key, uint32_t ticket, uint64_t seq, const char *value, enum bgw_state_reason failed)
{
    struct bgw_relay_entry e = rig_entry(r, key, "NGN", seq, value);
    e.asked = ticket;
    e.fetched = true;
    e.failed = (uint8_t)failed;
    e.source = failed ? BGW_SOURCE_STREAM : BGW_SOURCE_DATABASE;
    if (!value)
        e.reason = (uint8_t)failed;
    rig_batch(r, &e, 1);
}

TEST(a_read_that_asks_waits_although_the_value_is_there)
{
    struct rig *r = open();
    struct asked a, b, late;
    uint32_t ticket = 0, second = 0;
    read_first(r, "A", 5, "100");
    CHECK(!ask_source(r, &a, "A"));
    CHECK(!ask_source(r, &b, "A"));
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    rig_record(r, "A", "NGN", 6, "101");
    CHECK_EQ_I64(a.answers, 0);
    CHECK(!ask_source(r, &late, "A"));
    fetched(r, "A", ticket, 7, "102", BGW_REASON_NONE);
    CHECK_VALUE(&a, "102", 7);
    CHECK_VALUE(&b, "102", 7);
    CHECK(a.answer.fetched && !a.answer.joined && !a.answer.watched);
    CHECK(b.answer.fetched && b.answer.joined);
    CHECK_EQ_I64(a.answer.source, BGW_SOURCE_DATABASE);
    CHECK_EQ_I64(late.answers, 0);
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &second), 2);
    CHECK(second != ticket);
    fetched(r, "A", second, 7, "102", BGW_REASON_NONE);
    CHECK_VALUE(&late, "102", 7);
    rig_end(r);
}

TEST(a_floor_that_is_not_met_is_asked_of_the_source_and_awaited_of_the_stream)
{
    struct rig *r = open();
    struct asked a, b;
    uint32_t ticket = 0;
    struct bgw_read_question q = question(r, "A");
    read_first(r, "A", 5, "100");
    q.has_floor = true;
    q.floor = rig_version(r, 6);
    CHECK(!ask(r, &a, &q));
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    fetched(r, "A", ticket, 6, "101", BGW_REASON_NONE);
    CHECK_VALUE(&a, "101", 6);
    q.floor = rig_version(r, 7);
    CHECK(!ask(r, &b, &q));
    rig_turn(r);
    rig_record(r, "A", "NGN", 7, "102"); /* the source has not answered yet */
    CHECK_VALUE(&b, "102", 7);
    rig_end(r);
}

TEST(what_could_not_be_asked_is_the_last_that_is_known_and_labelled)
{
    struct rig *r = open();
    struct asked a, slow;
    uint32_t ticket = 0;
    read_first(r, "A", 5, "100");
    CHECK(!ask_source(r, &a, "A"));
    rig_turn(r);
    asks(r, &ticket);
    fetched(r, "A", ticket, 5, "100", BGW_REASON_SHED);
    CHECK_VALUE(&a, "100", 5);
    CHECK_EQ_I64(a.answer.state, BGW_STATE_DELAYED);
    CHECK_EQ_I64(a.answer.reason, BGW_REASON_SHED);
    CHECK(!ask_source(r, &slow, "A"));
    rig_pass(r, WAIT_MS + 1);
    CHECK_VALUE(&slow, "100", 5);
    CHECK_EQ_I64(slow.answer.state, BGW_STATE_DELAYED);
    CHECK(!slow.answer.fetched);
    rig_end(r);
}

TEST(an_error_is_told_to_who_waited_and_the_next_one_asks_anew)
{
    struct rig *r = open();
    struct asked a, b;
    uint32_t ticket = 0;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    fetched(r, "A", 0, 0, NULL, BGW_REASON_SOURCE_UNAVAILABLE);
    CHECK_EQ_I64(a.answer.result, BGW_READ_UNKNOWN);
    CHECK_EQ_I64(a.answer.reason, BGW_REASON_SOURCE_UNAVAILABLE);
    CHECK_EQ_I64(view_of(r).reads_kept, 0);
    CHECK(!ask_plain(r, &b, "A")); /* before the watch has ended */
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    fetched(r, "A", ticket, 3, "100", BGW_REASON_NONE);
    CHECK_VALUE(&b, "100", 3);
    CHECK_EQ_I64(view_of(r).reads_kept, 1);
    rig_end(r);
}

TEST(the_watch_of_a_read_that_failed_ends_so_that_nobody_goes_on_asking)
{
    struct rig *r = open();
    struct asked a;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    fetched(r, "A", 0, 0, NULL, BGW_REASON_SHED);
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "UNWATCH A");
    rig_end(r);
}

TEST(nobody_to_ask_is_an_answer_and_is_kept)
{
    struct rig *r = open();
    struct asked a, b;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    rig_unknown(r, "A", "NGN", BGW_REASON_SOURCE_UNAVAILABLE); /* no fetch has failed */
    CHECK_EQ_I64(a.answers, 1);
    CHECK(ask_plain(r, &b, "A"));
    CHECK(!b.answer.fetched);
    rig_end(r);
}

TEST(the_second_reader_of_a_cold_key_joins_the_first)
{
    struct rig *r = open();
    struct asked a, b;
    CHECK(!ask_plain(r, &a, "A"));
    CHECK(!ask_plain(r, &b, "A"));
    rig_turn(r);
    fetched(r, "A", 0, 3, "100", BGW_REASON_NONE);
    CHECK(a.answer.fetched && !a.answer.joined);
    CHECK(b.answer.fetched && b.answer.joined);
    rig_end(r);
}

/* ---- values that are not current ---- */

static void restate(struct rig *r, enum bgw_slot_state state, uint32_t ticket, enum bgw_state_reason failed)
{
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 5, "100");
    e.state = (uint8_t)state;
    e.reason = BGW_REASON_SOURCE_LAGGING;
    e.asked = ticket;
    e.failed = (uint8_t)failed;
    rig_batch(r, &e, 1);
}

TEST(an_old_value_is_not_answered_before_its_source_was_asked)
{
    struct rig *r = open();
    struct asked a, b;
    uint32_t ticket = 0;
    read_first(r, "A", 5, "100");
    restate(r, BGW_STATE_DELAYED, 0, BGW_REASON_NONE);
    CHECK(ask_plain(r, &a, "A")); /* it was proved just now: it is to be read again, and is not old */
    CHECK_EQ_I64(a.answer.state, BGW_STATE_DELAYED);
    r->now.mono_ms += r->feeds[0].fresh_ms + 1;
    CHECK(!ask_plain(r, &a, "A"));
    CHECK(!ask_plain(r, &b, "A"));
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    fetched(r, "A", ticket, 6, "101", BGW_REASON_NONE);
    CHECK_VALUE(&a, "101", 6);
    CHECK_VALUE(&b, "101", 6);
    CHECK(a.answer.state == BGW_STATE_FRESH && a.answer.fetched && b.answer.joined);
    rig_end(r);
}

TEST(an_old_value_is_answered_as_what_it_is_when_its_source_fails)
{
    struct rig *r = open();
    struct asked a;
    uint32_t ticket = 0;
    read_first(r, "A", 5, "100");
    restate(r, BGW_STATE_STALE, 0, BGW_REASON_NONE);
    r->now.mono_ms += 10 * r->feeds[0].fresh_ms;
    for (int i = 1; i <= 2; i++) { /* whoever comes later has it tried again */
        CHECK(!ask_plain(r, &a, "A"));
        rig_turn(r);
        CHECK_EQ_I64(asks(r, &ticket), i);
        restate(r, BGW_STATE_STALE, ticket, BGW_REASON_SOURCE_UNAVAILABLE);
        r->now.mono_ms += r->feeds[0].fresh_ms + 1;
        CHECK_VALUE(&a, "100", 5);
        CHECK(a.answer.state == BGW_STATE_STALE && !a.answer.fetched);
    }
    rig_end(r);
}

TEST(an_old_value_that_nobody_held_here_is_not_answered_at_once_either)
{
    struct rig *r = open();
    struct asked a;
    uint32_t ticket = 0;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 5, "100");
    e.state = BGW_STATE_STALE;
    e.proved_mono_ms = 0; /* nobody knows */
    rig_batch(r, &e, 1);
    CHECK_EQ_I64(a.answers, 0);
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    fetched(r, "A", ticket, 6, "101", BGW_REASON_NONE);
    CHECK_VALUE(&a, "101", 6);
    rig_end(r);
}

TEST(a_feed_may_allow_an_old_value_for_a_while_and_one_fetch_renews_it_meanwhile)
{
    struct rig *r = open();
    struct asked a;
    uint32_t ticket = 0;
    r->feeds[0].revalidate_ms = 2000;
    read_first(r, "A", 5, "100");
    restate(r, BGW_STATE_DELAYED, 0, BGW_REASON_NONE);
    r->now.mono_ms += r->feeds[0].fresh_ms + 2000;
    for (int i = 0; i < 50; i++) {
        CHECK(ask_plain(r, &a, "A"));
        CHECK_VALUE(&a, "100", 5);
        CHECK(a.answer.state == BGW_STATE_DELAYED && a.answer.lag_ms == r->feeds[0].fresh_ms + 2000);
    }
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 1);
    r->now.mono_ms += 1;
    CHECK(!ask_plain(r, &a, "A"));
    rig_turn(r);
    CHECK_EQ_I64(asks(r, &ticket), 2);
    fetched(r, "A", ticket, 6, "101", BGW_REASON_NONE);
    CHECK_VALUE(&a, "101", 6);
    rig_end(r);
}
