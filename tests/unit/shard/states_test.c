/* SPDX-License-Identifier: Apache-2.0 */
/* States: what a client may believe of a slot is told, once, and under the names it used. */
#include "shard/shard_rig.h"

TEST(unknown_is_told_before_live_with_its_reason)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B/USD,C");
    rig_turn(r);
    rig_forget(c);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_unknown(r, "B", "USD", BGW_REASON_SOURCE_UNAVAILABLE);
    rig_unknown(r, "C", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "state unknown no_such_account A C\nstate unknown source_unavailable B/USD\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(nothing_is_said_of_a_slot_that_is_being_fetched)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 0, NULL);
    e.answered = false;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "");
    rig_known(r, "A", "NGN", 4, "40");
    rig_turn(r);
    SAID(c, "upd A.NGN=40@e1.4+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(first_value_of_an_unknown_key_arrives_as_an_update_and_clears_the_state)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_unknown(r, "A", "NGN", BGW_REASON_SOURCE_UNAVAILABLE);
    rig_turn(r);
    rig_forget(c);
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "state unknown no_such_account A\n");
    rig_record(r, "A", "NGN", 1, "7");
    rig_turn(r);
    SAID(c, "upd A.NGN=7@e1.1+snap\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(unknown_default_part_is_not_told_where_another_part_has_a_value)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_known(r, "A", "USD", 2, "20");
    rig_unknown(r, "A", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    SAID(c, "upd A.USD=20@e1.2+snap\nlive 1\n");
    rig_sub(r, c, 2, "A/NGN");
    rig_turn(r);
    SAID(c, "sub 2 ok=A/NGN current= denied=\nstate unknown no_such_account A A/NGN\nlive 2\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(state_changes_are_told_once_each_and_fresh_again_too)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    int64_t proved = r->now.mono_ms;
    r->now.mono_ms += 3500;
    for (int i = 0; i < 2; i++) {
        struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 5, "100");
        e.state = BGW_STATE_DELAYED;
        e.reason = BGW_REASON_SOURCE_LAGGING;
        e.proved_mono_ms = proved;
        rig_batch(r, &e, 1);
        rig_turn(r);
    }
    SAID(c, "state delayed source_lagging 3500 A\n");
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_FRESH, BGW_REASON_NONE);
    rig_turn(r);
    SAID(c, "state fresh A\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(stale_value_is_sent_with_its_label_and_a_new_value_alone_does_not_lift_it)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_restate(r, "A", "NGN", 5, "100", BGW_STATE_STALE, BGW_REASON_SOURCE_LAGGING);
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e1.5+snap\nstate stale source_lagging 0 A\nlive 1\n");
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 6, "101");
    e.records = 1;
    e.state = BGW_STATE_STALE;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(keys_in_one_state_for_one_reason_share_a_message)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B,C");
    rig_turn(r);
    rig_known(r, "A", "USD", 1, "1");
    rig_known(r, "A", "NGN", 1, "1");
    rig_known(r, "B", "NGN", 1, "1");
    rig_known(r, "C", "NGN", 1, "1");
    rig_turn(r);
    rig_forget(c);
    rig_restate(r, "A", "NGN", 1, "1", BGW_STATE_DELAYED, BGW_REASON_SOURCE_LAGGING);
    rig_restate(r, "B", "NGN", 1, "1", BGW_STATE_STALE, BGW_REASON_UNREADABLE_RECORD);
    rig_restate(r, "A", "USD", 1, "1", BGW_STATE_DELAYED, BGW_REASON_SOURCE_LAGGING);
    rig_restate(r, "C", "NGN", 1, "1", BGW_STATE_DELAYED, BGW_REASON_SOURCE_LAGGING);
    rig_turn(r);
    /* repaired values are blobs of their own here, but of the same version: they are not sent again */
    SAID(c, "state delayed source_lagging 0 A A/USD C\nstate stale unreadable_record 0 B\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(removed_is_told_and_a_later_value_is_an_update)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 6, NULL);
    e.state = BGW_STATE_REMOVED;
    e.records = 1;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "state removed A\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_PENDING), 0);
    CHECK_IDENTITY();
    rig_record(r, "A", "NGN", 7, "1");
    rig_turn(r);
    SAID(c, "upd A.NGN=1@e1.7\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(removal_folded_behind_a_newer_value_is_never_shown)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 6, NULL);
    e.state = BGW_STATE_REMOVED;
    e.records = 1;
    rig_batch(r, &e, 1);
    rig_record(r, "A", "NGN", 7, "1");
    rig_turn(r);
    SAID(c, "upd A.NGN=1@e1.7+1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(values_come_before_the_states_that_label_them)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_forget(c);
    rig_restate(r, "A", "NGN", 1, "1", BGW_STATE_DELAYED, BGW_REASON_REREAD);
    rig_known(r, "B", "NGN", 1, "1");
    rig_turn(r);
    SAID(c, "upd A.NGN=1@e1.1+snap B.NGN=1@e1.1+snap\nstate delayed reread 0 A\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}
