/* SPDX-License-Identifier: Apache-2.0 */
/*
 * app_commands and dialect_app: what the estate's app says and hears, in a real shard, frame by
 * frame.
 */
#include "estate_rig.h"

#define CONFIRMED(id) \
    "{\"type\":\"message\",\"target\":\"subscriptionConfirmed\",\"arguments\":[{\"accountId\":\"" id "\",\"groupName\":\"acct::" id \
    "\",\"timestamp\":\"" TIME "\"}]}\n"
#define REFUSED(code, text) "{\"type\":\"message\",\"target\":\"error\",\"arguments\":[{\"code\":\"" code "\",\"message\":\"" text "\"}]}\n"
#define INVOKE(method, args) "{\"type\":\"invoke\",\"method\":\"" method "\",\"args\":" args "}"

static struct conn *client(struct rig *r, const char *keys)
{
    return estate_connect(r, &bgw_dialect_app, keys);
}

static void leave(struct rig *r, struct conn *c)
{
    rig_hang(r, c);
    estate_end(r);
}

TEST(a_first_message_with_a_type_in_words_is_the_apps)
{
    CHECK(bgw_app_is(BGW_SLICE(INVOKE("SubscribeBalance", "[\"A\"]"))));
    CHECK(bgw_app_is(BGW_SLICE(" {\"x\":1,\"type\":\"\"}\n")));
    CHECK(!bgw_app_is(BGW_SLICE("{\"type\":\"invoke\"}\x1e")));
    CHECK(!bgw_app_is(BGW_SLICE("{\"protocol\":\"json\",\"version\":1}\x1e")));
    CHECK(!bgw_app_is(BGW_SLICE("{\"protocol\":\"json\",\"version\":1}")));
    CHECK(!bgw_app_is(BGW_SLICE("{\"type\":6}")));
    CHECK(!bgw_app_is(BGW_SLICE("[\"type\"]")));
    CHECK(!bgw_app_is(BGW_SLICE("{\"type\":\"invoke\"")));
    CHECK(!bgw_app_is(BGW_SLICE("")));
    CHECK(!bgw_app_is(bgw_slice_of(NULL, 0)));
}

TEST(a_subscribe_is_confirmed_and_updated_and_told_its_state)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "*");
    estate_message(r, c, INVOKE("SubscribeBalance", "[\"msisdn::2348100000001\"]"));
    HEARD(r, c, CONFIRMED("msisdn::2348100000001"));
    rig_known(r, "msisdn::2348100000001", "NGN", 7, "{\"minor\":5}");
    rig_barrier(r, 1);
    HEARD(r, c, "{\"type\":\"message\",\"target\":\"balanceUpdate\",\"arguments\":[\"{\\\"minor\\\":5}\"]}\n");
    rig_restate(r, "msisdn::2348100000001", "NGN", 7, "{\"minor\":5}", BGW_STATE_STALE, BGW_REASON_REREAD);
    HEARD(r, c, "{\"type\":\"message\",\"target\":\"balanceState\",\"arguments\":[{\"accountId\":\"msisdn::2348100000001\",\"state\":"
                "\"stale\",\"asOf\":\"" TIME "\",\"v\":\"e1.7\",\"reason\":\"reread\"}]}\n");
    estate_message(r, c, INVOKE("unsubscribebalance", "[\"msisdn::2348100000001\"]"));
    HEARD(r, c, "");
    rig_turn(r);
    CHECK_EQ_STR(rig_posted(r, r->command_count - 1), "UNWATCH msisdn::2348100000001");
    leave(r, c);
}

TEST(each_refused_account_is_an_error_and_the_others_stay)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "AB");
    estate_message(r, c, INVOKE("SubscribeMultipleBalances", "[[\"A\",\"X\",\"b c\",\"B\"]]"));
    HEARD(r, c, CONFIRMED("A") CONFIRMED("B") REFUSED("no_grant", "X: the token does not grant this account")
          REFUSED("bad_id", "b c: an account id is 1 to 64 of A-Z a-z 0-9 . _ : @ + -, perhaps with /USD after it"));
    rig_known(r, "A", "NGN", 1, "{}");
    rig_known(r, "B", "NGN", 1, "{}");
    leave(r, c);
}

TEST(nonsense_is_told_what_was_expected)
{
    static const struct {
        const char *message, *answer;
    } cases[] = {
        {"{\"type\":\"invoke\",\"method\":\"Foo\",\"args\":[]}", REFUSED("bad_op", "Unknown hub method 'Foo'")},
        {"{\"type\":\"invoke\",\"method\":5,\"args\":[]}", REFUSED("bad_request", "invoke needs a method: the name of one of the hub")},
        {"{\"type\":\"invoke\",\"args\":[]}", REFUSED("bad_request", "invoke needs a method: the name of one of the hub")},
        {"{\"type\":\"invoke\",\"method\":\"SubscribeBalance\"}",
         REFUSED("bad_request", "invoke needs args: an array, such as [\\\"msisdn::2348100000001\\\"]")},
        {"{\"type\":\"invoke\",\"target\":\"SubscribeBalance\",\"arguments\":[\"A\"]}",
         REFUSED("bad_request", "invoke needs a method: the name of one of the hub")},
        {INVOKE("SubscribeBalance", "[]"), REFUSED("bad_request", "args must hold one account id")},
        {INVOKE("SubscribeBalance", "[7]"), REFUSED("bad_request", "args must hold one account id")},
        {INVOKE("SubscribeMultipleBalances", "[\"A\"]"), REFUSED("bad_request", "args must hold one array of account ids")},
        {"{\"type\":\"Invoke\"}", REFUSED("bad_request", "type must be \\\"invoke\\\"")},
        {"{\"type\":6}", REFUSED("bad_request", "type must be \\\"invoke\\\"")},
        {"{}", REFUSED("bad_request", "type must be \\\"invoke\\\"")},
        {"[]", REFUSED("bad_json", "a message is one JSON object")},
        {INVOKE("UnsubscribeBalance", "[\"a b\"]"),
         REFUSED("bad_id", "a key is not of the form A or A/USD; the others were unsubscribed")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rig *r = estate_start();
        struct conn *c = client(r, "A");
        estate_message(r, c, cases[i].message);
        HEARD(r, c, cases[i].answer);
        leave(r, c);
    }
}

TEST(ten_refused_messages_end_it_and_good_ones_between_do_not_help)
{
    static const char *const bad[] = {"", "{", "\xff", "{\"type\":\"invoke\"}", INVOKE("Foo", "[]"), INVOKE("SubscribeBalance", "[]"),
                                      INVOKE("SubscribeBalance", "[\"X\"]"), INVOKE("SubscribeMultipleBalances", "[[\"A\",\"X\",\"Y\"]]"),
                                      INVOKE("UnsubscribeBalance", "[\"/\"]")};
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    for (size_t i = 0; i < 9; i++) {
        estate_message(r, c, bad[i]);
        CHECK(strstr(estate_said(r, c), "\"target\":\"error\"") != NULL);
        estate_message(r, c, INVOKE("SubscribeBalance", "[\"A\"]"));
        HEARD(r, c, CONFIRMED("A"));
    }
    CHECK_EQ_I64(c->hung, 0);
    estate_message(r, c, "{\"type\":6}");
    HEARD(r, c, REFUSED("bad_request", "type must be \\\"invoke\\\"") "<close 3501 bad_request>\n");
    CHECK_EQ_I64(c->hung, 3501);
    leave(r, c);
}

TEST(more_than_a_thousand_accounts_are_several_calls)
{
    static char text[20000] = "{\"type\":\"invoke\",\"method\":\"SubscribeMultipleBalances\",\"args\":[[\"A\"";
    for (int i = 0; i < 1000; i++)
        strcat(text, ",\"A\"");
    strcat(text, "]]}");
    struct rig *r = estate_start();
    struct conn *c = client(r, "*");
    estate_message(r, c, text);
    HEARD(r, c, REFUSED("too_large", "a call may name 1000 accounts: make several calls"));
    leave(r, c);
}

TEST(an_end_is_a_close_frame_that_says_why)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    bgw_session_bye(r->shard, c->session, 3001, 1200, "draining");
    HEARD(r, c, "<close 3001 draining>\n");
    leave(r, c);
}

TEST(a_quiet_app_is_pinged_and_must_answer)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    rig_pass(r, 20100);
    HEARD(r, c, "<ping>\n");
    rig_pass(r, 5100);
    HEARD(r, c, "<close 3012 no_pong>\n");
    leave(r, c);
}

TEST(what_was_taken_back_is_a_message_a_key)
{
    struct bgw_buf out;
    const struct bgw_slice keys[] = {BGW_SLICE("A"), BGW_SLICE("A/USD")};
    bgw_buf_init(&out, 4096);
    bgw_dialect_app.revoked(&out, keys, 2, "revoked");
    CHECK_EQ_STR(estate_shown(&out),
                 "{\"type\":\"message\",\"target\":\"subscriptionRevoked\",\"arguments\":[{\"accountId\":\"A\",\"reason\":\"revoked\"}]}\n"
                 "{\"type\":\"message\",\"target\":\"subscriptionRevoked\",\"arguments\":[{\"accountId\":\"A\",\"currency\":\"USD\","
                 "\"reason\":\"revoked\"}]}\n");
    bgw_buf_deinit(&out);
}

/* Its keys are named as far as the control lane has room for them, so that the last word is still said. */
TEST(who_loses_very_many_keys_at_once_is_still_told_why)
{
    static char text[200000];
    const struct bgw_revocation everything = {
        .kind = BGW_REVOKE_SUBJECT, .any_tenant = true, .id_hash = 1, .before_s = RIG_WALL_MS / 1000, .until_s = RIG_WALL_MS / 1000 + 60};
    struct bgw_revocations *revocations;
    CHECK(bgw_revocations_create(&revocations, 100) == BGW_OK);
    struct rig *r = estate_start_with(revocations, 65536);
    struct conn *c = client(r, "*");
    for (int call = 0; call < 20; call++) {
        size_t at = (size_t)sprintf(text, "{\"type\":\"invoke\",\"method\":\"SubscribeMultipleBalances\",\"args\":[[");
        for (int i = 0; i < 100; i++)
            at += (size_t)sprintf(text + at, "%s\"account-%056d/USD\"", i ? "," : "", call * 100 + i);
        strcpy(text + at, "]]}");
        estate_message(r, c, text);
        rig_turn(r);
    }
    rig_forget(c);
    CHECK(bgw_revocations_add(revocations, &everything, r->now) == BGW_OK);
    bgw_shard_apply_revocations(r->shard, r->now);
    rig_turn(r);
    const char *said = estate_said(r, c);
    CHECK(strstr(said, "\"subscriptionRevoked\"") != NULL);
    CHECK(strstr(said, "<close 3510 revoked>\n") != NULL);
    leave(r, c);
    bgw_revocations_destroy(&revocations);
}
