/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that have not said yet which dialect they speak. And what an adapter may say itself. */
#include "shard/shard_rig.h"

#include "shard/core.h"

#define HELLO "hello 1 ping 20 epoch \n"

static struct bgw_dialect greeting, then;

static void greeting_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    rig_line(out, "farewell %u %" PRId64 " %s\n", code, retry_ms, reason);
}

/* A greeting has hardly a word: whoever uses another one falls into the hole. */
static struct rig *rig_with_greeting(void)
{
    struct rig *r = rig_make();
    r->config.limits.greeting_ms = 15000;
    r->config.limits.heartbeat_ms = 4000;
    r->config.limits.silence_ms = 30000;
    r->config.mark_ms = 1000;
    greeting = (struct bgw_dialect){.greeting = true, .blind = true, .bye = greeting_bye};
    then = rig_dialect;
    then.marks = false;
    then.heartbeat = true;
    return rig_start(r);
}

static struct conn *greet(struct rig *r, int64_t lives_ms)
{
    struct bgw_claims claims = rig_claims(1, "*");
    claims.expires_ms = r->now.wall_ms + lives_ms;
    struct conn *c = rig_connect_in(r, &greeting, &claims);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    return c;
}

static void end(struct rig *r, struct conn *c)
{
    rig_hang(r, c);
    rig_end(r);
}

TEST(greeting_hears_nothing_and_ends_in_its_own_words)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    rig_pass(r, 14999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "farewell 3500 0 handshake_timeout\n");
    CHECK_EQ_I64(c->hung, 3500);
    end(r, c);
}

TEST(settled_session_says_hello_and_has_the_rhythm_of_its_dialect)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    rig_pass(r, 14000);
    bgw_session_settle(r->shard, c->session, &then);
    rig_turn(r);
    SAID(c, HELLO);
    rig_pass(r, 3999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "ping\n");
    rig_pass(r, 20000);
    CHECK_EQ_I64(c->hung, 0);
    end(r, c);
}

TEST(marks_start_when_it_is_settled)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    then.marks = true;
    rig_pass(r, 10500);
    SAID(c, "");
    bgw_session_settle(r->shard, c->session, &then);
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "mark 0 0000000000000000\n");
    end(r, c);
}

TEST(commands_are_heard_right_after_it_is_settled)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    bgw_session_say(r->shard, c->session, BGW_SLICE("{}\n"));
    bgw_session_settle(r->shard, c->session, &then);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "{}\n" HELLO "sub 1 ok=A current= denied=\n");
    end(r, c);
}

TEST(token_that_ends_during_the_greeting_ends_it)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3000);
    rig_pass(r, 2999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "farewell 3005 0 token_expired\n");
    CHECK_EQ_I64(c->hung, 3005);
    end(r, c);
}

TEST(drain_and_settling_cross_without_harm)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    bgw_session_bye(r->shard, c->session, 3001, 2000, "drain");
    bgw_session_settle(r->shard, c->session, &then);
    rig_sub(r, c, 1, "A");
    rig_turn(r);
    SAID(c, "farewell 3001 2000 drain\n");
    CHECK_EQ_I64(c->hung, 3001);
    end(r, c);
}

TEST(other_limits_reach_a_greeting)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    struct bgw_shard_limits limits = r->config.limits;
    rig_pass(r, 3000);
    limits.greeting_ms = 5000;
    limits.auth_wait_ms = 1000; /* of those who speak already */
    bgw_shard_set_limits(r->shard, &limits);
    rig_pass(r, 1999);
    SAID(c, "");
    rig_pass(r, 1);
    SAID(c, "farewell 3500 0 handshake_timeout\n");
    end(r, c);
}

TEST(stranger_who_settles_still_has_to_say_who_it_is)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = rig_connect_in(r, &greeting, NULL);
    rig_pass(r, 10000);
    SAID(c, "");
    bgw_session_settle(r->shard, c->session, &then);
    rig_turn(r);
    SAID(c, "");
    rig_pass(r, 4999);
    CHECK_EQ_I64(c->hung, 0);
    rig_forget(c);
    rig_pass(r, 1);
    SAID(c, "bye 3500 0 auth_timeout\n");
    end(r, c);
}

TEST(complaints_of_the_adapter_are_counted_where_there_are_no_words)
{
    struct rig *r = rig_with_greeting();
    struct conn *c = greet(r, 3600000);
    for (int i = 0; i < 9; i++)
        bgw_session_err(r->shard, c->session, false, 0, "bad_json", "", true);
    rig_turn(r);
    SAID(c, "");
    bgw_session_err(r->shard, c->session, false, 0, "bad_json", "", true);
    rig_turn(r);
    SAID(c, "farewell 3501 0 bad_request\n");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_COMMAND_ERRORS_BAD_JSON), 10);
    end(r, c);
}

/* ---- what an adapter says itself ---- */

TEST(ten_strikes_end_with_3501)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    for (int i = 0; i < 9; i++)
        bgw_session_strike(r->shard, c->session);
    rig_turn(r);
    SAID(c, "");
    for (int i = 0; i < 300; i++)
        bgw_session_strike(r->shard, c->session);
    rig_turn(r);
    SAID(c, "bye 3501 0 bad_request\n");
    end(r, c);
}

TEST(own_words_keep_their_place_among_the_replies)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    bgw_session_ping(r->shard, c->session, 1);
    bgw_session_say(r->shard, c->session, BGW_SLICE("confirmed A\n"));
    bgw_session_say(r->shard, c->session, BGW_SLICE(""));
    bgw_session_ping(r->shard, c->session, 2);
    rig_turn(r);
    SAID(c, "pong 1\nconfirmed A\npong 2\n");
    bgw_session_bye(r->shard, c->session, 3001, 0, "drain");
    bgw_session_say(r->shard, c->session, BGW_SLICE("too late\n"));
    rig_turn(r);
    SAID(c, "bye 3001 0 drain\n");
    end(r, c);
}

TEST(own_words_beyond_the_lane_end_with_3008)
{
    struct rig *r = rig_open();
    struct conn *c = rig_connect(r, 1, "A");
    char much[1000];
    memset(much, 'x', sizeof(much));
    c->slow = true;
    for (int i = 0; i < 10; i++)
        bgw_session_say(r->shard, c->session, bgw_slice_of(much, sizeof(much)));
    rig_turn(r);
    CHECK_EQ_I64(c->hung, 3008);
    CHECK(c->len < 4096 + BYE_BYTES && strstr(c->log, "bye 3008 0 replies_unread\n"));
    end(r, c);
}
