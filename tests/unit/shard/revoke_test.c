/* SPDX-License-Identifier: Apache-2.0 */
/* Revocations in the shard: who is ended, who loses keys, who is left alone, and what heals. */
#include "shard/shard_rig.h"

#define SUBJECT 1


static struct rig *open_with(struct bgw_revocations **set)
{
    struct rig *r = rig_make();
    CHECK(bgw_revocations_create(set, 1000) == BGW_OK);
    r->config.revocations = *set;
    return rig_start(r);
}

static void end(struct rig *r, struct bgw_revocations **set)
{
    rig_end(r);
    bgw_revocations_destroy(set);
}

static void take_token(struct rig *r, struct bgw_revocations *set, uint64_t jti)
{
    struct bgw_revocation what = {.kind = BGW_REVOKE_TOKEN, .any_tenant = true, .id_hash = jti};
    what.until_s = r->now.wall_ms / 1000 + 7200;
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
}

static void take_subject(struct rig *r, struct bgw_revocations *set, uint64_t subject, int64_t before_s)
{
    struct bgw_revocation what = {.kind = BGW_REVOKE_SUBJECT, .any_tenant = true, .id_hash = subject};
    what.before_s = before_s;
    what.until_s = r->now.wall_ms / 1000 + 7200;
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
}

static void take_account(struct rig *r, struct bgw_revocations *set, const char *key, int64_t for_s)
{
    struct bgw_revocation what = {.kind = BGW_REVOKE_ACCOUNTS, .any_tenant = true, .id_hash = SUBJECT};
    what.accounts[what.account_count++] = bgw_hash_keyed(bgw_slice_str(key));
    what.until_s = r->now.wall_ms / 1000 + for_s;
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
}

static struct bgw_claims token(const struct rig *r, uint64_t jti, int64_t issued_s)
{
    struct bgw_claims c = rig_claims(SUBJECT, "ABC");
    c.jti_hash = jti;
    c.issued_s = issued_s;
    c.expires_ms = r->now.wall_ms + 3600000;
    return c;
}

static struct conn *connect_as(struct rig *r, uint64_t jti, int64_t issued_s)
{
    struct bgw_claims claims = token(r, jti, issued_s);
    struct conn *c = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    return c;
}

static void refresh_as(struct rig *r, struct conn *c, uint64_t id, uint64_t jti, int64_t issued_s)
{
    struct bgw_claims claims = token(r, jti, issued_s);
    bgw_session_refresh(r->shard, c->session, id, &claims);
    bgw_claims_deinit(&claims);
}

static void follow(struct rig *r, struct conn *c, const char *keys)
{
    char text[32];
    struct bgw_sub_key each[16];
    rig_sub(r, c, 1, keys);
    rig_turn(r);
    snprintf(text, sizeof(text), "%s", keys);
    size_t n = rig_split(text, each);
    for (size_t i = 0; i < n; i++) {
        char key[BGW_KEY_MAX + 1] = {0};
        memcpy(key, each[i].key.data, each[i].key.len);
        rig_known(r, key, each[i].part ? "USD" : "NGN", 1, "1");
    }
    rig_turn(r);
    rig_forget(c);
}

TEST(session_whose_token_is_taken_back_is_told_and_ended)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 7, 0), *other = connect_as(r, 8, 0);
    int64_t ended = bgw_metric_read(BGW_M_SESSIONS_REVOKED);
    int64_t lost = bgw_metric_read(BGW_M_UPDATES_ABANDONED_REVOKED);
    follow(r, c, "A,B,B/USD");
    follow(r, other, "A");
    take_token(r, set, 7);
    rig_record(r, "A", "NGN", 2, "2");
    rig_turn(r); /* nobody has called for a walk yet: judged because it is about to be written */
    SAID(c, "revoked revoked B B/USD A\nbye 3510 0 revoked\n");
    CHECK_EQ_I64(c->hung, 3510);
    SAID(other, "upd A.NGN=2@e1.2\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SESSIONS_REVOKED), ended + 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_UPDATES_ABANDONED_REVOKED), lost + 1);
    CHECK_IDENTITY();
    rig_hang(r, c);
    rig_hang(r, other);
    end(r, &set);
}

TEST(idle_sessions_are_found_by_a_walk_and_walks_keep_their_distance)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *a = connect_as(r, 7, 0), *b = connect_as(r, 8, 0);
    rig_forget(a);
    rig_forget(b);
    take_token(r, set, 7);
    bgw_shard_apply_revocations(r->shard, r->now);
    rig_turn(r);
    SAID(a, "bye 3510 0 revoked\n");
    take_token(r, set, 8);
    bgw_shard_apply_revocations(r->shard, r->now);
    rig_turn(r);
    SAID(b, "");
    CHECK(bgw_shard_tick(r->shard, r->now) <= 100); /* it wants to be called in time */
    rig_pass(r, 99);
    SAID(b, "");
    rig_pass(r, 1);
    SAID(b, "bye 3510 0 revoked\n");
    rig_hang(r, a);
    rig_hang(r, b);
    end(r, &set);
}

TEST(subjects_older_tokens_end_and_a_newer_one_is_welcome)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    int64_t now_s = r->now.wall_ms / 1000;
    struct conn *old = connect_as(r, 1, now_s - 10), *undated = connect_as(r, 2, 0), *fresh = connect_as(r, 3, now_s);
    follow(r, fresh, "A");
    take_subject(r, set, SUBJECT, now_s);
    take_subject(r, set, 99, now_s);
    rig_pass(r, 0);
    CHECK_EQ_I64(old->hung, 3510);
    CHECK_EQ_I64(undated->hung, 3510);
    CHECK_EQ_I64(fresh->hung, 0);
    SAID(fresh, "");
    struct conn *again = connect_as(r, 4, now_s);
    rig_forget(again);
    rig_sub(r, again, 1, "A");
    rig_turn(r);
    SAID(again, "sub 1 ok=A current= denied=\nupd A.NGN=1@e1.1+snap\nlive 1\n");
    rig_hang(r, old);
    rig_hang(r, undated);
    rig_hang(r, fresh);
    rig_hang(r, again);
    end(r, &set);
}

TEST(session_that_refreshed_in_time_stays)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    int64_t now_s = r->now.wall_ms / 1000;
    struct conn *c = connect_as(r, 1, now_s - 10);
    follow(r, c, "A");
    refresh_as(r, c, 2, 2, now_s);
    take_subject(r, set, SUBJECT, now_s);
    take_token(r, set, 1);
    rig_record(r, "A", "NGN", 2, "2");
    rig_turn(r);
    SAID(c, "ok 2\nupd A.NGN=2@e1.2\n");
    rig_hang(r, c);
    end(r, &set);
}

TEST(revoked_token_opens_nothing_and_refreshes_nothing)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    int64_t errors = bgw_metric_read(BGW_M_COMMAND_ERRORS_REVOKED);
    take_token(r, set, 7);
    struct conn *c = connect_as(r, 7, 0);
    SAID(c, "bye 3510 0 revoked\n");
    CHECK_EQ_I64(c->hung, 3510);
    struct conn *late = rig_connect_with(r, NULL);
    struct bgw_claims claims = token(r, 7, 0);
    bgw_session_hello(r->shard, late->session, &claims, (struct bgw_slice){NULL, 0}, r->now);
    rig_sub(r, late, 1, "A"); /* not heard any more */
    rig_turn(r);
    SAID(late, "bye 3510 0 revoked\n");
    struct conn *good = connect_as(r, 8, 0);
    follow(r, good, "A");
    refresh_as(r, good, 5, 7, 0);
    bgw_session_hello(r->shard, good->session, &claims, (struct bgw_slice){NULL, 0}, r->now);
    rig_record(r, "A", "NGN", 2, "2");
    rig_turn(r);
    SAID(good, "err 5 revoked\nerr - revoked\nupd A.NGN=2@e1.2\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_COMMAND_ERRORS_REVOKED), errors + 2);
    bgw_claims_deinit(&claims);
    rig_hang(r, c);
    rig_hang(r, late);
    rig_hang(r, good);
    end(r, &set);
}

TEST(accounts_are_taken_away_denied_and_stay_so_after_a_refresh)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 1, 0);
    int64_t counted = bgw_metric_read(BGW_M_SESSIONS_REVOKED);
    follow(r, c, "A,A/USD,B");
    take_account(r, set, "A", 60);
    rig_record(r, "A", "NGN", 2, "2");
    rig_record(r, "B", "NGN", 2, "2");
    rig_turn(r);
    SAID(c, "revoked revoked A A/USD\nupd B.NGN=2@e1.2\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_SESSIONS_REVOKED), counted + 1);
    refresh_as(r, c, 3, 2, r->now.wall_ms / 1000 + 1); /* a newer token names A again */
    rig_sub(r, c, 4, "A,A/USD,B,Z");
    rig_turn(r);
    SAID(c, "ok 3\nsub 4 ok=B current= denied=A:revoked,A/USD:revoked,Z:no_grant\nlive 4\n");
    rig_pass(r, 60000); /* until its tokens would have expired */
    rig_forget(c);
    rig_sub(r, c, 5, "A");
    rig_turn(r);
    SAID(c, "sub 5 ok=A current= denied=\n");
    CHECK_IDENTITY();
    rig_hang(r, c);
    end(r, &set);
}

TEST(refresh_that_loses_keys_says_why_for_each)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 1, 0);
    follow(r, c, "A,B,C");
    take_account(r, set, "B", 60);
    struct bgw_claims claims = rig_claims(SUBJECT, "BC");
    bgw_session_refresh(r->shard, c->session, 3, &claims);
    bgw_claims_deinit(&claims);
    rig_record(r, "C", "NGN", 2, "2");
    rig_turn(r);
    SAID(c, "revoked revoked B\nok 3\nrevoked grant_removed A\nupd C.NGN=2@e1.2\n");
    rig_hang(r, c);
    end(r, &set);
}

TEST(subscribe_that_waits_for_its_reply_is_denied)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 1, 0);
    rig_forget(c);
    rig_sub_since(r, c, 1, "A", rig_version(r, 5)); /* `current` cannot be judged yet */
    rig_turn(r);
    SAID(c, "");
    take_account(r, set, "A", 60);
    rig_turn(r);
    rig_pass(r, 0);
    SAID(c, "revoked revoked A\nsub 1 ok= current= denied=A:revoked\nlive 1\n");
    rig_hang(r, c);
    end(r, &set);
}

TEST(slow_session_is_judged_and_ended_as_soon_as_it_can_be_told)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 7, 0);
    follow(r, c, "A");
    c->slow = true;
    rig_record(r, "A", "NGN", 2, "2");
    rig_turn(r);
    rig_record(r, "A", "NGN", 3, "3");
    take_token(r, set, 7);
    rig_pass(r, 0);
    SAID(c, "upd A.NGN=2@e1.2\n");
    rig_wake(r, c);
    rig_turn(r);
    SAID(c, "revoked revoked A\nbye 3510 0 revoked\n");
    CHECK_IDENTITY();
    rig_hang(r, c);
    end(r, &set);
}

/* The lane is 4 KiB here: bye must come, whatever fits before it. */
TEST(last_words_come_however_many_keys_there_were)
{
    struct bgw_revocations *set;
    struct rig *r = rig_make();
    CHECK(bgw_revocations_create(&set, 10) == BGW_OK);
    r->config.revocations = set;
    r->config.limits.keys_per_session_max = 400;
    rig_start(r);
    struct bgw_claims claims = rig_claims(SUBJECT, "*");
    claims.jti_hash = 7;
    struct conn *c = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    for (int i = 0; i < 400; i++) {
        char key[65];
        snprintf(key, sizeof(key), "%064d", i);
        rig_sub(r, c, (uint64_t)i, key);
        rig_turn(r);
    }
    rig_forget(c);
    take_token(r, set, 7);
    rig_pass(r, 0);
    CHECK_EQ_I64(c->hung, 3510);
    CHECK(strstr(c->log, "bye 3510 0 revoked\n") && strncmp(c->log, "revoked revoked 0", 17) == 0);
    struct bgw_shard_view view;
    bgw_shard_look(r->shard, &view);
    CHECK_EQ_I64(view.subscriptions, 0);
    rig_hang(r, c);
    end(r, &set);
}

TEST(session_that_has_expired_ends_as_expired)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 1, 0);
    follow(r, c, "A");
    r->now.wall_ms += 3600000; /* the wall clock has jumped: no timer knows yet */
    take_account(r, set, "A", 60);
    bgw_shard_apply_revocations(r->shard, r->now);
    rig_turn(r);
    SAID(c, "bye 3005 0 token_expired\n");
    CHECK_IDENTITY();
    rig_hang(r, c);
    end(r, &set);
}

TEST(another_tenants_revocation_touches_nobody_here)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = connect_as(r, 7, 0);
    follow(r, c, "A");
    struct bgw_revocation what = {.kind = BGW_REVOKE_TOKEN, .id_hash = 7, .tenant = "t2",
                                  .until_s = r->now.wall_ms / 1000 + 60};
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
    what.kind = BGW_REVOKE_SUBJECT;
    what.id_hash = SUBJECT;
    what.before_s = r->now.wall_ms / 1000;
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
    rig_record(r, "A", "NGN", 2, "2");
    rig_pass(r, 0);
    SAID(c, "upd A.NGN=2@e1.2\n");
    memcpy(what.tenant, "t1", sizeof("t1"));
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
    rig_pass(r, 100);
    CHECK_EQ_I64(c->hung, 3510);
    rig_hang(r, c);
    end(r, &set);
}

TEST(many_revocations_at_once_end_whom_they_name_and_no_others)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *all[40];
    for (uint64_t i = 0; i < 40; i++)
        all[i] = connect_as(r, i + 1, 0);
    for (uint64_t i = 0; i < 900; i++)
        take_token(r, set, 2 * i + 1);
    rig_pass(r, 0);
    for (uint64_t i = 0; i < 40; i++) {
        CHECK_EQ_I64(all[i]->hung, i % 2 ? 0 : 3510);
        rig_hang(r, all[i]);
    }
    end(r, &set);
}

TEST(holder_is_what_the_token_says)
{
    struct bgw_revocations *set;
    struct rig *r = open_with(&set);
    struct conn *c = rig_connect_with(r, NULL), *d = connect_as(r, 7, 1234);
    struct bgw_holder h;
    bgw_session_holder(c->session, &h);
    CHECK(h.subject_hash == 0 && h.tenant.len == 0);
    bgw_session_holder(d->session, &h);
    CHECK(h.subject_hash == SUBJECT && h.jti_hash == 7 && h.issued_s == 1234);
    CHECK_SLICE(h.tenant, "t1");
    CHECK_EQ_I64(bgw_session_conn_id(c->session), 1);
    CHECK_EQ_I64(bgw_session_conn_id(d->session), 2);
    rig_hang(r, c);
    rig_hang(r, d);
    end(r, &set);
}
