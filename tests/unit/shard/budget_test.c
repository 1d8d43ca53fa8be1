/* SPDX-License-Identifier: Apache-2.0 */
/* Commands a second, limits that change while it runs, and what the audit log hears. */
#include "shard/shard_rig.h"

static bool may(struct rig *r, struct conn *c, int64_t *wait_ms)
{
    bgw_shard_set_now(r->shard, r->now);
    return bgw_session_may_command(r->shard, c->session, wait_ms);
}

static void later(struct rig *r, int64_t ms)
{
    r->now.mono_ms += ms;
    r->now.wall_ms += ms;
}

static int take_all(struct rig *r, struct conn *c)
{
    int64_t wait_ms;
    int n = 0;
    while (may(r, c, &wait_ms))
        n++;
    return n;
}

TEST(budget_is_twice_its_rate_and_comes_back_by_the_millisecond)
{
    struct rig *r = rig_make();
    r->config.limits.commands_per_s = 4;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "A");
    int64_t wait_ms = 0, slowed = bgw_metric_read(BGW_M_COMMANDS_SLOWED);
    for (int i = 0; i < 8; i++)
        CHECK(may(r, c, &wait_ms));
    CHECK(!may(r, c, &wait_ms));
    CHECK_EQ_I64(wait_ms, 500); /* this one was taken on credit, and the next needs its own */
    later(r, 499);
    CHECK(!may(r, c, &wait_ms));
    CHECK_EQ_I64(wait_ms, 251);
    later(r, 251);
    CHECK(may(r, c, &wait_ms));
    CHECK(!may(r, c, &wait_ms));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_COMMANDS_SLOWED), slowed + 1);
    rig_turn(r);
    SAID(c, "err - slow_down\n"); /* once, and no strike */
    rig_hang(r, c);
    rig_end(r);
}

TEST(flood_gets_no_more_than_the_rate_and_its_debt_has_an_end)
{
    struct rig *r = rig_make();
    r->config.limits.commands_per_s = 7;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "A");
    int64_t wait_ms, taken = 0;
    for (int ms = 0; ms < 1000000; ms++) {
        taken += may(r, c, &wait_ms);
        later(r, 1);
    }
    CHECK(taken <= 7 * 1000 + 14); /* every try costs, so a flood gets less than its rate, never more */
    later(r, 62000);
    CHECK_EQ_I64(take_all(r, c), 14); /* and its debt has an end */
    rig_hang(r, c);
    rig_end(r);
}

TEST(client_that_waits_as_it_is_told_gets_its_whole_rate)
{
    struct rig *r = rig_make();
    r->config.limits.commands_per_s = 7;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "A");
    int64_t wait_ms = 0, began_ms = r->now.mono_ms, sent = 0;
    while (r->now.mono_ms < began_ms + 100000) {
        sent++; /* handed in all the same */
        if (!may(r, c, &wait_ms))
            later(r, wait_ms);
    }
    CHECK(sent >= 712 && sent <= 716);
    CHECK_EQ_I64(c->len, 0);
    rig_turn(r);
    SAID(c, "err - slow_down\n"); /* one episode */
    later(r, 1000);
    take_all(r, c);
    rig_turn(r);
    SAID(c, "err - slow_down\n"); /* another, after half of the burst had come back */
    rig_hang(r, c);
    rig_end(r);
}

TEST(budget_follows_a_change_of_its_limit)
{
    struct rig *r = rig_open(); /* no limit */
    struct conn *c = rig_connect(r, 1, "A");
    struct bgw_shard_limits limits = r->config.limits;
    int64_t wait_ms;
    for (int i = 0; i < 100000; i++)
        CHECK(may(r, c, &wait_ms));
    limits.commands_per_s = 10;
    bgw_shard_set_limits(r->shard, &limits);
    CHECK_EQ_I64(take_all(r, c), 20);
    limits.commands_per_s = 1000000;
    bgw_shard_set_limits(r->shard, &limits);
    CHECK(may(r, c, &wait_ms));
    later(r, 2200000000); /* 25 days: ticks have wrapped */
    limits.commands_per_s = 3;
    bgw_shard_set_limits(r->shard, &limits);
    CHECK_EQ_I64(take_all(r, c), 6);
    rig_hang(r, c);
    rig_end(r);
}

/* ---- limits ---- */

TEST(shorter_deadlines_act_on_sessions_that_are_open)
{
    struct rig *r = rig_open();
    struct conn *idle = rig_connect(r, 1, "A"), *mute = rig_connect_with(r, NULL), *slow = rig_connect(r, 2, "A");
    slow->slow = true;
    bgw_session_ping(r->shard, slow->session, 1);
    rig_turn(r);
    rig_pass(r, 1000);
    struct bgw_shard_limits limits = {.ping_ms = 2000, .pong_wait_ms = 500, .stall_ms = 3000, .auth_wait_ms = 1500,
                                      .keys_per_session_max = 50};
    bgw_shard_set_limits(r->shard, &limits);
    rig_pass(r, 499);
    CHECK_EQ_I64(mute->hung, 0);
    rig_pass(r, 1);
    CHECK_EQ_I64(mute->hung, 3500);
    rig_pass(r, 499);
    SAID(idle, "");
    rig_pass(r, 1);
    SAID(idle, "ping\n");
    rig_pass(r, 500);
    CHECK_EQ_I64(idle->hung, 3012);
    CHECK_EQ_I64(slow->hung, 0);
    rig_pass(r, 500);
    CHECK_EQ_I64(slow->hung, 3008);
    rig_hang(r, idle);
    rig_hang(r, mute);
    rig_hang(r, slow);
    rig_end(r);
}

TEST(longer_deadlines_spare_sessions_that_are_open)
{
    struct rig *r = rig_open();
    struct conn *mute = rig_connect_with(r, NULL);
    struct bgw_shard_limits limits = r->config.limits;
    rig_pass(r, 4000);
    limits.auth_wait_ms = 8000;
    limits.ping_ms = 0;
    bgw_shard_set_limits(r->shard, &limits);
    rig_pass(r, 3999);
    CHECK_EQ_I64(mute->hung, 0);
    rig_pass(r, 1);
    CHECK_EQ_I64(mute->hung, 3500);
    rig_hang(r, mute);
    rig_end(r);
}

TEST(fewer_keys_leave_what_is_subscribed_and_deny_what_is_more)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "*");
    struct bgw_shard_limits limits = r->config.limits;
    rig_sub(r, c, 1, "A,B,C");
    rig_turn(r);
    rig_forget(c);
    limits.keys_per_session_max = 2;
    bgw_shard_set_limits(r->shard, &limits);
    rig_sub(r, c, 2, "C,D");
    rig_turn(r);
    SAID(c, "sub 2 ok=C current= denied=D:too_many_keys\n");
    limits.keys_per_session_max = 5;
    bgw_shard_set_limits(r->shard, &limits);
    rig_sub(r, c, 3, "D");
    rig_turn(r);
    SAID(c, "sub 3 ok=D current= denied=\n");
    rig_hang(r, c);
    rig_end(r);
}

/* ---- what is seen ---- */

static char seen_log[1024];

static void on_seen(void *arg, void *conn, enum bgw_seen what, struct bgw_slice key, bgw_part part, const char *code)
{
    static const char *const NAMES[] = {"subscribed", "denied", "unsubscribed", "revoked", "refreshed"};
    char part_text[BGW_PART_MAX + 1] = {0};
    size_t n = strlen(seen_log);
    (void)arg;
    CHECK(conn != NULL);
    bgw_part_text(part, part_text);
    snprintf(seen_log + n, sizeof(seen_log) - n, "%s%s%.*s%s%s%s%s\n", NAMES[what], key.data ? " " : "", (int)key.len,
             key.data ? key.data : "", part ? "/" : "", part_text, code ? " " : "", code ? code : "");
}

TEST(audit_hears_of_each_key_once)
{
    struct rig *r = rig_make();
    struct bgw_revocations *set;
    const struct bgw_shard_ops ops = {.arg = r, .post = rig_post, .send = rig_send, .hang_up = rig_hang_up,
                                      .seen = on_seen};
    CHECK(bgw_revocations_create(&set, 10) == BGW_OK);
    r->config.revocations = set;
    CHECK(bgw_shard_create(&r->shard, &r->config, &ops, r->now) == BGW_OK);
    struct conn *c = rig_connect(r, 1, "ABC");
    rig_sub(r, c, 1, "A,A/USD,B,Z,x y");
    rig_sub(r, c, 2, "A");
    rig_unsub(r, c, 3, "A/USD,C");
    CHECK_EQ_STR(seen_log, "subscribed A\nsubscribed A/USD\nsubscribed B\ndenied Z no_grant\ndenied x y bad_id\n"
                           "unsubscribed A/USD\n");
    *seen_log = '\0';
    struct bgw_claims claims = rig_claims(1, "AC");
    bgw_session_refresh(r->shard, c->session, 4, &claims);
    bgw_claims_deinit(&claims);
    CHECK_EQ_STR(seen_log, "refreshed\nrevoked B grant_removed\n");
    *seen_log = '\0';
    struct bgw_revocation what = {.kind = BGW_REVOKE_SUBJECT, .any_tenant = true, .id_hash = 1,
                                  .before_s = r->now.wall_ms / 1000, .until_s = r->now.wall_ms / 1000 + 60};
    CHECK(bgw_revocations_add(set, &what, r->now) == BGW_OK);
    rig_pass(r, 0);
    CHECK_EQ_STR(seen_log, "revoked revoked\n"); /* all of it */
    rig_hang(r, c);
    rig_end(r);
    bgw_revocations_destroy(&set);
}
