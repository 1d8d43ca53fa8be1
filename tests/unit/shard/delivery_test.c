/* SPDX-License-Identifier: Apache-2.0 */
/* Updates: merging, one write a flush, sharing, budgets of a write, and the counting of all that. */
#include "shard/shard_rig.h"

TEST(updates_between_two_flushes_merge_and_are_counted)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    int64_t offered = bgw_metric_read(BGW_M_UPDATES_OFFERED), delivered = bgw_metric_read(BGW_M_UPDATES_DELIVERED);
    int64_t merged = bgw_metric_read(BGW_M_UPDATES_MERGED);
    for (uint64_t v = 6; v <= 9; v++)
        rig_record(r, "A", "NGN", v, "x");
    struct bgw_relay_entry folded = rig_entry(r, "A", "NGN", 12, "112");
    folded.records = 3;
    rig_batch(r, &folded, 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_PENDING), 7);
    CHECK_IDENTITY();
    rig_turn(r);
    SAID(c, "upd A.NGN=112@e1.12+6\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_OFFERED) - offered, 7);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_DELIVERED) - delivered, 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_MERGED) - merged, 6);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_PENDING), 0);
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_end(r);
}

TEST(snapshot_counts_as_a_snapshot_and_what_it_carries_as_delivered)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    int64_t snapshots = bgw_metric_read(BGW_M_SNAPSHOTS_SENT), delivered = bgw_metric_read(BGW_M_UPDATES_DELIVERED);
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_record(r, "B", "NGN", 1, "200");
    rig_record(r, "B", "NGN", 2, "201");
    rig_turn(r);
    SAID(c, "sub 1 ok=A,B current= denied=\nupd A.NGN=100@e1.5+snap B.NGN=201@e1.2+snap+1\nlive 1\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SNAPSHOTS_SENT) - snapshots, 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_DELIVERED) - delivered, 1);
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_end(r);
}

TEST(slow_socket_costs_one_mark_a_subscription_and_wakes_to_the_newest)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100"), *fast = rig_follower(r, "B", 1, "1");
    c->slow = true;
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    for (uint64_t v = 7; v <= 20; v++) {
        rig_record(r, "A", "NGN", v, v == 20 ? "120" : "x");
        rig_record(r, "B", "NGN", v, "2");
        rig_turn(r);
    }
    SAID(c, "");
    CHECK_EQ_I64(fast->sends, 14);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_PENDING), 14);
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "upd A.NGN=120@e1.20+13\n");
    rig_turn(r);
    SAID(c, "");
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_hang(r, fast);
    rig_end(r);
}

TEST(everything_pending_leaves_in_one_write)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B,C");
    rig_turn(r);
    rig_forget(c);
    struct bgw_relay_entry legs[3] = {rig_entry(r, "A", "NGN", 6, "90"), rig_entry(r, "B", "NGN", 3, "210"),
                                      rig_entry(r, "C", "NGN", 3, "5")};
    rig_batch(r, legs, 3);
    bgw_session_ping(r->shard, c->session, 9);
    rig_turn(r);
    CHECK_EQ_I64(c->sends, 1);
    SAID(c, "pong 9\nupd A.NGN=90@e1.6+snap B.NGN=210@e1.3+snap C.NGN=5@e1.3+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(value_is_prepared_once_for_all_its_subscribers)
{
    struct rig *r = rig_open();
    struct conn *c[10];
    c[0] = rig_follower(r, "A", 5, "100");
    for (int i = 1; i < 10; i++) {
        c[i] = rig_connect(r, (uint64_t)i, "*");
        rig_sub(r, c[i], 1, "A");
    }
    rig_turn(r);
    rig_prepared = 0;
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    CHECK_EQ_I64(rig_prepared, 1);
    for (int i = 0; i < 10; i++)
        CHECK(strstr(c[i]->log, "upd A.NGN=101@e1.6\n"));
    rig_restate(r, "A", "NGN", 6, "101", BGW_STATE_FRESH, BGW_REASON_NONE); /* another blob: prepared anew */
    bgw_session_repair(r->shard, c[3]->session, 2);
    rig_turn(r);
    CHECK_EQ_I64(rig_prepared, 2);
    for (int i = 0; i < 10; i++)
        rig_hang(r, c[i]);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(write_is_bounded_and_the_rest_follows_in_the_same_flush)
{
    struct rig *r = rig_make();
    r->config.flush_bytes_max = 200;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "*");
    char keys[256] = "", key[24];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "%sK%02d", i ? "," : "", i);
        strcat(keys, key);
    }
    rig_sub(r, c, 1, keys);
    rig_turn(r);
    rig_forget(c);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "K%02d", i);
        rig_known(r, key, "NGN", 1, "1");
    }
    rig_turn(r);
    CHECK(c->sends >= 4);
    CHECK(c->largest <= 200 + 40); /* the entry that reaches the budget is still whole */
    int entries = 0;
    for (const char *at = c->log; (at = strstr(at, ".NGN=1@e1.1+snap")); at++)
        entries++;
    CHECK_EQ_I64(entries, 40);
    CHECK(strstr(c->log, "\nlive 1\n") && !strstr(c->log, "live 1\n")[7]);
    rig_hang(r, c);
    rig_end(r);
}

TEST(slow_socket_gets_one_bounded_write_and_live_only_at_its_end)
{
    struct rig *r = rig_make();
    r->config.flush_bytes_max = 30;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B,C");
    rig_turn(r);
    rig_forget(c);
    c->slow = true;
    rig_known(r, "A", "NGN", 1, "1");
    rig_known(r, "B", "NGN", 1, "1");
    rig_known(r, "C", "NGN", 1, "1");
    rig_turn(r);
    SAID(c, "upd A.NGN=1@e1.1+snap B.NGN=1@e1.1+snap\n");
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "upd C.NGN=1@e1.1+snap\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(newer_value_without_a_record_is_sent_as_a_snapshot)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    struct bgw_relay_entry read = rig_entry(r, "A", "NGN", 5, "99");
    read.version.read = 1793000000001;
    rig_batch(r, &read, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=99@e1.5.1793000000001+snap\n");
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(restamped_value_is_sent_again_under_its_new_version)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    r->epoch = bgw_epoch_pack(BGW_SLICE("e2"));
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 0, "100");
    e.restamped = true;
    e.state = BGW_STATE_STALE;
    e.reason = BGW_REASON_NEW_EPOCH;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "upd A.NGN=100@e2.0+snap\nstate stale new_epoch 0 A\n");
    rig_record(r, "A", "NGN", 1, "7");
    rig_turn(r);
    SAID(c, "upd A.NGN=7@e2.1\nstate fresh A\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(entry_that_says_nothing_new_is_not_said_again)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    rig_known(r, "A", "NGN", 5, "100");
    rig_turn(r);
    SAID(c, "");
    CHECK_EQ_I64(c->sends, 0);
    rig_hang(r, c);
    rig_end(r);
}

TEST(abandoned_updates_are_counted_by_reason)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100"), *d = rig_connect(r, 2, "*");
    int64_t closed = bgw_metric_read(BGW_M_UPDATES_ABANDONED_CLOSED);
    int64_t unsubscribed = bgw_metric_read(BGW_M_UPDATES_ABANDONED_UNSUBSCRIBED);
    rig_sub(r, d, 1, "A");
    rig_turn(r);
    rig_record(r, "A", "NGN", 6, "101");
    rig_record(r, "A", "NGN", 7, "102");
    rig_unsub(r, c, 2, "A");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_ABANDONED_UNSUBSCRIBED) - unsubscribed, 2);
    rig_hang(r, d);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_ABANDONED_CLOSED) - closed, 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_PENDING), 0);
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_end(r);
}

TEST(repair_sends_every_slot_again_and_counts_apart)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B,C");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_restate(r, "B", "NGN", 2, "200", BGW_STATE_STALE, BGW_REASON_UNREADABLE_RECORD);
    rig_unknown(r, "C", "NGN", BGW_REASON_NO_SUCH_KEY);
    rig_turn(r);
    rig_forget(c);
    int64_t repairs = bgw_metric_read(BGW_M_REPAIRS_SENT), snapshots = bgw_metric_read(BGW_M_SNAPSHOTS_SENT);
    bgw_session_repair(r->shard, c->session, 6);
    rig_turn(r);
    SAID(c, "ok 6\nupd A.NGN=100@e1.5+snap B.NGN=200@e1.2+snap\nstate stale unreadable_record 0 B\n"
            "state unknown no_such_account C\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_REPAIRS_SENT) - repairs, 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SNAPSHOTS_SENT), snapshots);
    rig_turn(r);
    SAID(c, "");
    rig_hang(r, c);
    rig_end(r);
}

TEST(window_widens_under_load_and_replies_do_not_wait_for_it)
{
    struct rig *r = rig_make();
    r->config.flush_window_max_ms = 10;
    r->config.sessions_max = 400;
    rig_start(r);
    struct conn *c[300];
    struct bgw_shard_view view;
    uint64_t v = 5;
    c[0] = rig_follower(r, "A", v, "1");
    for (int i = 1; i < 300; i++) {
        c[i] = rig_connect(r, 1, "*");
        rig_sub(r, c[i], 1, "A");
    }
    rig_pass(r, 100);
    for (int i = 0; i < 40; i++) {
        rig_record(r, "A", "NGN", ++v, "2");
        rig_pass(r, 1);
    }
    bgw_shard_look(r->shard, &view);
    CHECK_EQ_I64(view.window_ms, 0); /* each write carried one: waiting would have gathered nothing */
    for (int i = 0; i < 40; i++) {
        rig_record(r, "A", "NGN", ++v, "2");
        rig_record(r, "A", "NGN", ++v, "2");
        rig_pass(r, 1);
    }
    bgw_shard_look(r->shard, &view);
    CHECK(view.window_ms > 1 && view.window_ms <= 10);
    rig_pass(r, 20);
    rig_record(r, "A", "NGN", ++v, "3");
    rig_pass(r, 1);
    rig_forget(c[7]);
    rig_record(r, "A", "NGN", ++v, "4");
    rig_turn(r);
    CHECK_EQ_I64(c[7]->sends, 0);
    CHECK(bgw_shard_tick(r->shard, r->now) <= 10);
    bgw_session_ping(r->shard, c[7]->session, 9);
    rig_turn(r);
    CHECK(strncmp(c[7]->log, "pong 9\n", 7) == 0);
    rig_pass(r, 2000);
    CHECK(strstr(c[6]->log, "A.NGN=4@"));
    rig_record(r, "A", "NGN", ++v, "5");
    rig_pass(r, 2000);
    rig_record(r, "A", "NGN", ++v, "6");
    rig_pass(r, 2000);
    bgw_shard_look(r->shard, &view);
    CHECK(view.window_ms <= 2);
    for (int i = 0; i < 300; i++)
        rig_hang(r, c[i]);
    CHECK_IDENTITY();
    rig_end(r);
}
