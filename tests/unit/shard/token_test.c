/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: hello, refresh, grants asked at delivery, expiry at delivery. */
#include "shard/shard_rig.h"

static void refresh(struct rig *r, struct conn *c, uint64_t id, uint64_t subject, const char *keys)
{
    struct bgw_claims claims = rig_claims(subject, keys);
    claims.expires_ms = r->now.wall_ms + 3600000;
    bgw_session_refresh(r->shard, c->session, id, &claims);
    bgw_claims_deinit(&claims);
}

TEST(session_with_claims_is_greeted_at_once)
{
    struct rig *r = rig_open();
    struct bgw_claims claims = rig_claims(1, "A");
    struct conn *c = rig_connect_with(r, &claims);
    rig_batch(r, NULL, 0);
    rig_turn(r);
    SAID(c, "hello 1 ping 20 epoch \n"); /* opened before the stream was assigned */
    CHECK(bgw_session_authenticated(c->session));
    CHECK(bgw_session_conn(c->session) == c);
    struct conn *d = rig_connect_with(r, &claims);
    rig_turn(r);
    SAID(d, "hello 2 ping 20 epoch e1\n");
    CHECK(d->resume_len > 0);
    bgw_claims_deinit(&claims);
    rig_hang(r, c);
    rig_hang(r, d);
    rig_end(r);
}

TEST(session_without_claims_must_say_hello_first)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect_with(r, NULL);
    struct bgw_claims claims = rig_claims(1, "A");
    rig_sub(r, c, 1, "A");
    bgw_session_ping(r->shard, c->session, 2);
    bgw_session_hello(r->shard, c->session, NULL, (struct bgw_slice){NULL, 0}, r->now);
    CHECK(!bgw_session_authenticated(c->session));
    rig_turn(r);
    SAID(c, "err 1 not_hello\nerr 2 not_hello\nerr - not_hello\n");
    bgw_session_hello(r->shard, c->session, &claims, (struct bgw_slice){NULL, 0}, r->now);
    bgw_session_hello(r->shard, c->session, &claims, (struct bgw_slice){NULL, 0}, r->now);
    rig_sub(r, c, 3, "A");
    rig_turn(r);
    SAID(c, "hello 1 ping 20 epoch \nerr - hello_twice\nsub 3 ok=A current= denied=\n");
    bgw_claims_deinit(&claims);
    rig_hang(r, c);
    rig_end(r);
}

TEST(hello_of_another_subject_than_the_connections_is_refused)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_claims other = rig_claims(2, "B"), same = rig_claims(1, "B");
    bgw_session_hello(r->shard, c->session, &other, (struct bgw_slice){NULL, 0}, r->now);
    bgw_session_hello(r->shard, c->session, &same, (struct bgw_slice){NULL, 0}, r->now);
    rig_sub(r, c, 3, "A,B");
    rig_turn(r);
    SAID(c, "err - other_subject\nhello 1 ping 20 epoch \nsub 3 ok=B current= denied=A:no_grant\n");
    bgw_claims_deinit(&other);
    bgw_claims_deinit(&same);
    rig_hang(r, c);
    rig_end(r);
}

TEST(refresh_takes_away_what_is_lost_and_leaves_the_rest_untouched)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "AB");
    int64_t revoked = bgw_metric_read(BGW_M_UPDATES_ABANDONED_REVOKED);
    rig_sub(r, c, 1, "A,B,B/USD");
    rig_turn(r);
    rig_known(r, "A", "NGN", 1, "1");
    rig_known(r, "B", "NGN", 1, "1");
    rig_known(r, "B", "USD", 1, "1");
    rig_turn(r);
    rig_forget(c);
    rig_record(r, "B", "NGN", 2, "2");
    rig_record(r, "A", "NGN", 2, "2");
    refresh(r, c, 2, 1, "AC");
    rig_turn(r);
    SAID(c, "ok 2\nrevoked grant_removed B B/USD\nupd A.NGN=2@e1.2\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_ABANDONED_REVOKED) - revoked, 1);
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "UNWATCH B");
    rig_sub(r, c, 3, "B,C");
    rig_turn(r);
    SAID(c, "sub 3 ok=C current= denied=B:no_grant\n");
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(revoked_keys_leave_the_digest)
{
    struct rig *r = rig_make();
    r->config.mark_ms = 1000;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "AB");
    char expected[64];
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 1, "1");
    rig_known(r, "B", "NGN", 1, "1");
    refresh(r, c, 2, 1, "A");
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    snprintf(expected, sizeof(expected), "mark 2 %016" PRIx64 "\n", rig_hash("A|NGN|e1.1"));
    SAID(c, expected);
    rig_hang(r, c);
    rig_end(r);
}

TEST(refresh_by_another_subject_or_tenant_is_refused_and_changes_nothing)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_claims moved = rig_claims(1, "A");
    snprintf(moved.tenant, sizeof(moved.tenant), "t2");
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_forget(c);
    refresh(r, c, 2, 2, "A");
    bgw_session_refresh(r->shard, c->session, 3, &moved);
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    SAID(c, "err 2 other_subject\nerr 3 other_subject\nupd A.NGN=1@e1.1+snap\nlive 1\n");
    bgw_claims_deinit(&moved);
    rig_hang(r, c);
    rig_end(r);
}

TEST(live_does_not_wait_for_what_was_revoked)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "AB");
    rig_sub(r, c, 1, "A,B");
    rig_turn(r);
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    rig_forget(c);
    refresh(r, c, 2, 1, "A");
    rig_turn(r);
    SAID(c, "ok 2\nrevoked grant_removed B\nlive 1\n");
    rig_hang(r, c);
    rig_end(r);
}

TEST(many_lost_keys_are_named_in_messages_of_bounded_size)
{
    struct rig *r = rig_make();
    r->config.limits.keys_per_session_max = 2500;
    r->config.control_bytes_max = 1 << 20;
    rig_start(r);
    struct bgw_claims all = rig_claims(1, "*");
    struct conn *c = rig_connect_with(r, &all);
    bgw_claims_deinit(&all);
    char key[24];
    for (int i = 0; i < 2500; i++) {
        snprintf(key, sizeof(key), "K%d", i);
        rig_sub(r, c, (uint64_t)i, key);
        rig_turn(r);
        rig_known(r, key, "NGN", 1, "1");
        rig_turn(r);
    }
    rig_forget(c);
    refresh(r, c, 9999, 1, "A");
    rig_turn(r);
    int messages = 0, keys = 0;
    for (const char *at = c->log; (at = strstr(at, "revoked grant_removed")); at++)
        messages++;
    for (const char *at = c->log; (at = strstr(at, " K")); at++)
        keys++;
    CHECK_EQ_I64(messages, 3);
    CHECK_EQ_I64(keys, 2500);
    rig_hang(r, c);
    rig_end(r);
}

TEST(nothing_is_encoded_for_a_token_that_has_expired)
{
    struct rig *r = rig_open();
    struct bgw_claims claims = rig_claims(1, "A");
    claims.expires_ms = r->now.wall_ms + 1000;
    struct conn *c = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    int64_t expired = bgw_metric_read(BGW_M_UPDATES_ABANDONED_EXPIRED);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    rig_known(r, "A", "NGN", 1, "1");
    r->now.wall_ms += 999;
    rig_turn(r);
    rig_forget(c);
    rig_record(r, "A", "NGN", 2, "2");
    r->now.wall_ms += 1;
    rig_turn(r);
    SAID(c, "bye 3005 0 token_expired\n");
    CHECK_EQ_I64(c->hung, 3005);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_ABANDONED_EXPIRED) - expired, 1);
    rig_hang(r, c);
    CHECK_IDENTITY();
    rig_end(r);
}

TEST(idle_session_is_told_of_its_expiry_in_time_and_a_refresh_before_it_keeps_the_stream)
{
    struct rig *r = rig_open();
    struct bgw_claims claims = rig_claims(1, "A");
    claims.expires_ms = r->now.wall_ms + 1000;
    struct conn *idle = rig_connect_with(r, &claims), *kept = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    rig_sub(r, kept, 1, "A");
    rig_pass(r, 500);
    rig_forget(idle);
    rig_forget(kept);
    refresh(r, kept, 2, 1, "A");
    rig_pass(r, 499);
    SAID(idle, "");
    rig_pass(r, 1);
    SAID(idle, "bye 3005 0 token_expired\n");
    rig_known(r, "A", "NGN", 1, "1");
    rig_turn(r);
    SAID(kept, "ok 2\nupd A.NGN=1@e1.1+snap\nlive 1\n");
    rig_hang(r, idle);
    rig_hang(r, kept);
    rig_end(r);
}

TEST(command_after_expiry_is_answered_with_bye)
{
    struct rig *r = rig_open();
    struct bgw_claims claims = rig_claims(1, "A");
    claims.expires_ms = r->now.wall_ms + 1000;
    struct conn *c = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    rig_forget(c);
    r->now.wall_ms += 1000;
    bgw_shard_set_now(r->shard, r->now);
    refresh(r, c, 1, 1, "A");
    bgw_session_ping(r->shard, c->session, 2);
    rig_turn(r);
    SAID(c, "bye 3005 0 token_expired\n");
    rig_hang(r, c);
    rig_end(r);
}
