/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines, limits and budgets: what time and greed do to a session. */
#include "shard/shard_rig.h"

#include "shard/core.h"

#include "bgw/reserve.h"

/* ---- deadlines ---- */

TEST(silence_instead_of_hello_ends_with_3500)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect_with(r, NULL);
    rig_pass(r, 4999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "bye 3500 0 auth_timeout\n");
    CHECK_EQ_I64(c->hung, 3500);
    rig_hang(r, c);
    rig_end(r);
}

TEST(silent_peer_is_pinged_and_one_that_stays_silent_ends_with_3012)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    rig_pass(r, 19999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    rig_pass(r, 4999);
    bgw_session_on_pong(r->shard, c->session, r->now);
    rig_pass(r, 15000);
    SAID(c, "");
    rig_pass(r, 5000);
    SAID(c, "ping\n");
    rig_pass(r, 5000);
    SAID(c, "bye 3012 0 no_pong\n");
    CHECK_EQ_I64(c->hung, 3012);
    rig_hang(r, c);
    rig_end(r);
}

TEST(peer_that_talks_is_not_pinged)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    for (int i = 0; i < 10; i++) {
        rig_pass(r, 15000);
        bgw_session_on_traffic(r->shard, c->session, r->now);
    }
    SAID(c, "");
    rig_hang(r, c);
    rig_end(r);
}

TEST(stalled_write_ends_with_3008_and_without_more_words)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    c->slow = true;
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 10000);
    rig_wake(r, c); /* progress: the clock starts anew with the next write */
    c->slow = true;
    rig_record(r, "A", "NGN", 7, "102");
    rig_turn(r);
    SAID(c, "upd A.NGN=102@e1.7\n");
    rig_pass(r, 29999);
    CHECK_EQ_I64(c->hung, 0);
    bgw_session_on_pong(r->shard, c->session, r->now);
    rig_pass(r, 1);
    CHECK_EQ_I64(c->hung, 3008);
    SAID(c, "");
    rig_hang(r, c);
    rig_end(r);
}

TEST(bye_waits_for_a_slow_socket_but_not_longer_than_a_stall)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100"), *d = rig_follower(r, "B", 5, "100");
    c->slow = d->slow = true;
    rig_record(r, "A", "NGN", 6, "101");
    rig_record(r, "B", "NGN", 6, "101");
    rig_turn(r);
    rig_forget(c);
    rig_forget(d);
    bgw_session_bye(r->shard, c->session, 3001, 1834, "draining");
    bgw_session_bye(r->shard, d->session, 3001, 1834, "draining");
    rig_turn(r);
    SAID(c, "");
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "bye 3001 1834 draining\n");
    CHECK_EQ_I64(c->hung, 3001);
    CHECK_EQ_I64(d->hung, 0);
    rig_pass(r, 30000);
    CHECK_EQ_I64(d->hung, 3001);
    rig_hang(r, c);
    rig_hang(r, d);
    rig_end(r);
}

TEST(bye_comes_after_waiting_replies_and_ends_everything)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    bgw_session_ping(r->shard, c->session, 4);
    rig_record(r, "A", "NGN", 6, "101");
    bgw_session_bye(r->shard, c->session, 3001, 5, "draining");
    bgw_session_bye(r->shard, c->session, 3500, 5, "twice");
    bgw_session_ping(r->shard, c->session, 5);
    rig_turn(r);
    SAID(c, "pong 4\nbye 3001 5 draining\n");
    rig_pass(r, 100000);
    SAID(c, "");
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(delivery_does_not_re_arm_timers)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    int64_t due = c->session->timer.due_ms;
    for (uint64_t v = 6; v < 50; v++) {
        r->now.mono_ms++;
        rig_record(r, "A", "NGN", v, "1");
        rig_turn(r);
        bgw_session_on_traffic(r->shard, c->session, r->now);
    }
    CHECK_EQ_I64(c->session->timer.due_ms, due);
    rig_hang(r, c);
    rig_end(r);
}

/* ---- limits ---- */

TEST(ten_strikes_end_with_3501)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    for (int i = 0; i < 9; i++)
        bgw_session_err(r->shard, c->session, false, 0, "bad_json", "", true);
    bgw_session_err(r->shard, c->session, true, 7, "token_expired", "", false);
    rig_turn(r);
    CHECK(strstr(c->log, "err 7 token_expired\n") && !strstr(c->log, "bye"));
    rig_forget(c);
    bgw_session_err(r->shard, c->session, false, 0, "bad_json", "", true);
    rig_turn(r);
    SAID(c, "err - bad_json\nbye 3501 0 bad_request\n");
    CHECK_EQ_I64(c->hung, 3501);
    rig_hang(r, c);
    rig_end(r);
}

TEST(replies_that_are_not_read_choke_and_then_end_with_3008)
{
    struct rig *r = rig_make();
    r->config.control_bytes_max = 100;
    rig_start(r);
    struct conn *c = rig_follower(r, "A", 5, "100");
    c->slow = true;
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    rig_forget(c);
    int n = 0;
    while (!bgw_session_choked(c->session) && n < 100)
        bgw_session_ping(r->shard, c->session, (uint64_t)n++);
    CHECK(n > 5 && n < 10);
    rig_wake(r, c);
    rig_turn(r);
    CHECK(!bgw_session_choked(c->session));
    c->slow = true;
    rig_record(r, "A", "NGN", 7, "101");
    rig_turn(r);
    rig_forget(c);
    for (int i = 0; i < 100; i++)
        bgw_session_ping(r->shard, c->session, (uint64_t)i);
    rig_wake(r, c);
    rig_turn(r);
    CHECK(c->len < 200);
    CHECK(strstr(c->log, "bye 3008 0 replies_unread\n"));
    CHECK_EQ_I64(c->hung, 3008);
    rig_hang(r, c);
    rig_end(r);
}

TEST(sessions_beyond_the_limit_are_refused)
{
    struct rig *r = rig_make();
    r->config.sessions_max = 2;
    rig_start(r);
    struct conn *a = rig_connect(r, 1, "A"), *b = rig_connect(r, 1, "A"), *c = rig_conn();
    CHECK(bgw_session_open(r->shard, c, &rig_dialect, NULL, r->now, &c->session) == BGW_FULL);
    CHECK_EQ_I64(bgw_shard_session_count(r->shard), 2);
    rig_hang(r, a);
    CHECK(bgw_session_open(r->shard, c, &rig_dialect, NULL, r->now, &c->session) == BGW_OK);
    rig_hang(r, b);
    rig_hang(r, c);
    rig_end(r);
}

static void count_session(void *arg, struct bgw_session *session)
{
    (void)session;
    ++*(int *)arg;
}

TEST(gauges_follow_sessions_keys_and_groups)
{
    int64_t sessions = bgw_metric_read(BGW_M_SESSIONS), subs = bgw_metric_read(BGW_M_SUBSCRIPTIONS);
    int64_t groups = bgw_metric_read(BGW_M_GROUPS);
    struct rig *r = rig_open();
    struct conn *a = rig_connect(r, 1, "*"), *b = rig_connect(r, 1, "*");
    struct bgw_shard_view view;
    int seen = 0;
    rig_sub(r, a, 1, "A,B,B/USD");
    rig_sub(r, b, 1, "A");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SESSIONS) - sessions, 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SUBSCRIPTIONS) - subs, 4);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_GROUPS) - groups, 2);
    bgw_shard_look(r->shard, &view);
    CHECK(view.sessions == 2 && view.subscriptions == 4 && view.groups == 2 && view.pending == 0);
    bgw_shard_each_session(r->shard, count_session, &seen);
    CHECK_EQ_I64(seen, 2);
    rig_hang(r, a);
    rig_hang(r, b);
    rig_turn(r);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SESSIONS), sessions);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SUBSCRIPTIONS), subs);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_GROUPS), groups);
    rig_end(r);
}

/* What 15,000 and a million of them cost is decided here. */
TEST(idle_sessions_are_small_and_keep_nothing_they_do_not_need)
{
    CHECK(sizeof(struct bgw_session) <= 250);
    CHECK(sizeof(struct sub) <= 120);
    CHECK(sizeof(struct group) <= 200);
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    CHECK(!c->session->extra);
    struct sub *sub = BGW_CONTAINER(c->session->clean.next, struct sub, of_session);
    CHECK(!sub->pend);
    CHECK(!sub->group->first.prepared[BGW_ENCODING_NATIVE]); /* nobody to share it with */
    rig_hang(r, c);
    rig_end(r);
}

/* ---- budgets ---- */

TEST(max_hz_limits_each_slot_and_what_waits_merges)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 5, "100");
    rig_known(r, "B", "NGN", 5, "100");
    rig_turn(r);
    rig_forget(c);
    bgw_session_rate(r->shard, c->session, 2, 2000, 0);
    for (uint64_t v = 6; v <= 10; v++) {
        rig_record(r, "A", "NGN", v, "1");
        rig_pass(r, 50);
    }
    rig_record(r, "B", "NGN", 6, "2"); /* its own budget */
    bgw_session_ping(r->shard, c->session, 3);
    rig_turn(r);
    SAID(c, "ok 2\nupd A.NGN=1@e1.6\npong 3\nupd B.NGN=2@e1.6\n");
    rig_pass(r, 299);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "upd A.NGN=1@e1.10+3\n");
    rig_record(r, "A", "NGN", 11, "11");
    rig_turn(r);
    SAID(c, "");
    bgw_session_rate(r->shard, c->session, 4, 0, 0);
    rig_turn(r);
    SAID(c, "ok 4\nupd A.NGN=11@e1.11\n");
    CHECK(!c->session->extra);
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(limited_slot_is_labelled_when_it_gets_worse_and_not_called_fresh_too_soon)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    bgw_session_rate(r->shard, c->session, 2, 1000, 0);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    rig_forget(c);
    struct bgw_relay_entry e = rig_entry(r, "A", "NGN", 7, "102");
    e.records = 1;
    e.state = BGW_STATE_STALE;
    rig_batch(r, &e, 1);
    rig_turn(r);
    SAID(c, "state stale 0 A\n");
    rig_record(r, "A", "NGN", 8, "103");
    rig_turn(r);
    SAID(c, "");
    rig_pass(r, 1000);
    SAID(c, "upd A.NGN=103@e1.8+1\nstate fresh A\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(max_bytes_s_limits_updates_of_the_connection_and_never_replies)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    bgw_session_rate(r->shard, c->session, 2, 0, 20);
    rig_turn(r);
    rig_forget(c);
    int64_t began = r->now.mono_ms;
    for (uint64_t v = 6; v < 106; v++) {
        rig_record(r, "A", "NGN", v, "1");
        rig_pass(r, 100);
    }
    CHECK(c->len > 0 && (int64_t)c->len <= 20 * ((r->now.mono_ms - began) / 1000) + 60);
    CHECK(c->sends >= 5);
    rig_forget(c);
    bgw_session_ping(r->shard, c->session, 3);
    rig_turn(r);
    CHECK(strncmp(c->log, "pong 3\n", 7) == 0);
    rig_pass(r, 10000);
    CHECK(strstr(c->log, "@e1.105"));
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(ticks_of_long_ago_do_not_limit)
{
    struct rig *r = rig_open();
    struct conn *c = rig_follower(r, "A", 5, "100");
    r->now.mono_ms += 26LL * 86400000; /* past the half of what 32 bits of milliseconds can tell apart */
    bgw_session_on_traffic(r->shard, c->session, r->now);
    bgw_session_rate(r->shard, c->session, 2, 1000, 0);
    rig_turn(r);
    rig_forget(c);
    rig_record(r, "A", "NGN", 6, "101");
    rig_turn(r);
    SAID(c, "upd A.NGN=101@e1.6\n");
    rig_hang(r, c);
    rig_end(r);
}

/* ---- memory ---- */

TEST(reply_without_memory_ends_with_3013_and_not_as_unread)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_buf *control = session_control_begin(c->session);
    control->failed = control->starved = true;
    session_control_end(c->session);
    rig_turn(r);
    SAID(c, "bye 3013 2000 no_memory\n");
    CHECK_EQ_I64(c->hung, 3013);
    rig_hang(r, c);
    rig_end(r);
}

static void starve(struct bgw_buf *out)
{
    out->failed = out->starved = true;
}

TEST(write_without_memory_still_says_last_words)
{
    struct bgw_dialect starving = rig_dialect;
    starving.keepalive = starve;
    struct rig *r = rig_open();
    struct conn *c = rig_connect_as(r, &starving);
    rig_forget(c);
    rig_pass(r, 20000);
    SAID(c, "bye 3013 2000 no_memory\n");
    CHECK_EQ_I64(c->hung, 3013);
    rig_hang(r, c);
    rig_end(r);
}

TEST(while_memory_is_low_nothing_new_is_promised)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A"), *late = rig_conn();
    bgw_reserve_init(SIZE_MAX / 4); /* which cannot be had */
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "bye 3013 2000 no_memory\n");
    CHECK(bgw_session_open(r->shard, late, &rig_dialect, NULL, r->now, &late->session) == BGW_NO_MEMORY);
    bgw_reserve_init(1);
    rig_free(late);
    rig_hang(r, c);
    rig_end(r);
}
