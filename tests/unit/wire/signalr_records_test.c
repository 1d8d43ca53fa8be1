/* SPDX-License-Identifier: Apache-2.0 */
/*
 * signalr_records: what each record of a client becomes, in a real shard: handshakes, calls and
 * their completions in order, and what ends a connection.
 */
#include "estate_rig.h"

#define CONFIRMED(id) \
    "{\"type\":1,\"target\":\"subscriptionConfirmed\",\"arguments\":[{\"accountId\":\"" id "\",\"groupName\":\"acct::" id \
    "\",\"timestamp\":\"" TIME "\"}]}|"
#define DONE(id) "{\"type\":3,\"invocationId\":\"" id "\",\"result\":null}|"
#define FAILED(id, text) "{\"type\":3,\"invocationId\":\"" id "\",\"error\":\"" text "\"}|"
#define UPDATE(text) "{\"type\":1,\"target\":\"balanceUpdate\",\"arguments\":[\"" text "\"]}|"
#define THROWN(id, method, text) \
    FAILED(id, "An unexpected error occurred invoking '" method "' on the server. HubException: " text)
#define ERROR_CLOSE "{\"type\":7,\"error\":\"Connection closed with an error.\",\"allowReconnect\":true}|\n<close 1000>\n"
#define NO_GRANT "no_grant: the token does not grant this account"
#define BAD_ID "bad_id: an account id is 1 to 64 of A-Z a-z 0-9 . _ : @ + -, perhaps with /USD after it"

#define CALL(target, arguments, id) "{\"type\":1,\"target\":\"" target "\",\"arguments\":" arguments ",\"invocationId\":\"" id "\"}"
#define SEND(target, arguments) "{\"type\":1,\"target\":\"" target "\",\"arguments\":" arguments "}"

static struct conn *client(struct rig *r, const char *keys)
{
    return estate_connect(r, &bgw_dialect_signalr, keys);
}

static void leave(struct rig *r, struct conn *c)
{
    rig_hang(r, c);
    estate_end(r);
}

/* ---- the handshake ---- */

static bool greet(struct conn *c, const char *record, const struct bgw_dialect *then)
{
    return bgw_signalr_greet(&estate, c->session, bgw_slice_str(record), then);
}

TEST(a_handshake_is_answered_before_anything_else_is_said)
{
    static const char *const good[] = {"{\"protocol\":\"json\",\"version\":1}", "{\"version\":2,\"protocol\":\"json\"}",
                                       " {\"x\":{\"protocol\":[1]},\"protocol\":\"JSON\",\"version\":1,\"type\":null}"};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        struct rig *r = estate_start();
        struct conn *c = estate_connect(r, &bgw_dialect_signalr_greeting, "*");
        CHECK(greet(c, good[i], &bgw_dialect_signalr));
        estate_record(r, c, CALL("SubscribeBalance", "[\"A\"]", "0"));
        HEARD(r, c, "{}|\n" CONFIRMED("A") DONE("0") "\n");
        leave(r, c);
    }
}

TEST(a_handshake_over_a_stream_is_answered_as_an_event)
{
    struct rig *r = estate_start();
    struct conn *c = estate_connect(r, &bgw_dialect_signalr_stream_greeting, "*");
    CHECK(greet(c, "{\"protocol\":\"json\",\"version\":1}", &bgw_dialect_signalr_stream));
    estate_record(r, c, CALL("unsubscribebalance", "[\"A\"]", "0"));
    rig_turn(r);
    SAID(c, "data: {}\x1e\r\n\r\ndata: {\"type\":3,\"invocationId\":\"0\",\"result\":null}\x1e\r\n\r\n");
    leave(r, c);
}

TEST(a_handshake_that_is_wrong_says_why)
{
    static const struct {
        const char *record, *error;
    } cases[] = {
        {"{\"protocol\":\"messagepack\",\"version\":1}", "The protocol 'messagepack' is not supported."},
        {"{\"protocol\":\"a\\\"b\xc3\xa9\",\"version\":9}", "The protocol 'a\\\"b\xc3\xa9' is not supported."},
        {"{\"protocol\":\"json\",\"version\":9}", "The server does not support version 9 of the 'json' protocol."},
        {"{\"protocol\":\"json\",\"version\":0}", "The server does not support version 0 of the 'json' protocol."},
        {"{\"protocol\":\"json\",\"version\":-1}", "The server does not support version -1 of the 'json' protocol."},
        {"{\"protocol\":\"json\"}", "An unexpected error occurred during connection handshake."},
        {"{\"version\":1}", "An unexpected error occurred during connection handshake."},
        {"{\"protocol\":\"json\",\"version\":\"1\"}", "An unexpected error occurred during connection handshake."},
        {"{\"protocol\":\"json\",\"version\":1.5}", "An unexpected error occurred during connection handshake."},
        {"{\"protocol\":\"json\",\"version\":2147483648}", "An unexpected error occurred during connection handshake."},
        {"{\"protocol\":null,\"version\":1}", "An unexpected error occurred during connection handshake."},
        {"[]", "An unexpected error occurred during connection handshake."},
        {"", "An unexpected error occurred during connection handshake."},
        {"{\"protocol\":\"json\",\"version\":1", "An unexpected error occurred during connection handshake."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char expected[256];
        struct rig *r = estate_start();
        struct conn *c = estate_connect(r, &bgw_dialect_signalr_greeting, "*");
        CHECK(!greet(c, cases[i].record, &bgw_dialect_signalr));
        snprintf(expected, sizeof(expected), "{\"error\":\"%s\"}|\n<close 1000>\n", cases[i].error);
        HEARD(r, c, expected);
        CHECK_EQ_I64(c->hung, 3501);
        leave(r, c);
    }
}

TEST(a_protocol_name_without_end_is_not_repeated)
{
    char record[400] = "{\"version\":1,\"protocol\":\"";
    memset(record + strlen(record), 'x', 200);
    strcat(record, "\"}");
    struct rig *r = estate_start();
    struct conn *c = estate_connect(r, &bgw_dialect_signalr_greeting, "*");
    CHECK(!greet(c, record, &bgw_dialect_signalr));
    HEARD(r, c, "{\"error\":\"An unexpected error occurred during connection handshake.\"}|\n<close 1000>\n");
    leave(r, c);
}

TEST(a_first_record_that_is_too_large_or_too_late_cancels_the_handshake)
{
    struct rig *r = estate_start();
    struct conn *c = estate_connect(r, &bgw_dialect_signalr_greeting, "*");
    bgw_signalr_too_large(&estate, c->session);
    HEARD(r, c, "{\"error\":\"Handshake was canceled.\"}|\n<close 1000>\n");
    struct conn *late = estate_connect(r, &bgw_dialect_signalr_stream_greeting, "*");
    rig_pass(r, 15100);
    SAID(late, "data: {\"error\":\"Handshake was canceled.\"}\x1e\r\n\r\n");
    rig_hang(r, late);
    leave(r, c);
}

/* ---- calls ---- */

TEST(a_subscribe_is_confirmed_completed_and_then_updated)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "*");
    estate_record(r, c, "{\"target\":\"SubscribeBalance\",\"arguments\":[\"A\"],\"invocationId\":\"0\",\"type\":1}");
    HEARD(r, c, CONFIRMED("A") DONE("0") "\n");
    rig_known(r, "A", "NGN", 7, "{\"minor\":\"5\"}");
    HEARD(r, c, "");
    rig_barrier(r, 1);
    HEARD(r, c, UPDATE("{\\\"minor\\\":\\\"5\\\"}") "\n");
    rig_record(r, "A", "NGN", 8, "{\"minor\":6}");
    HEARD(r, c, UPDATE("{\\\"minor\\\":6}") "\n");
    rig_restate(r, "A", "NGN", 8, "{\"minor\":6}", BGW_STATE_STALE, BGW_REASON_REREAD);
    HEARD(r, c, "{\"type\":1,\"target\":\"balanceState\",\"arguments\":[{\"accountId\":\"A\",\"state\":\"stale\",\"asOf\":\"" TIME
                "\",\"v\":\"e1.8\",\"reason\":\"reread\"}]}|\n");
    estate_record(r, c, SEND("UnsubscribeBalance", "[\"A\"]"));
    HEARD(r, c, "");
    leave(r, c);
}

TEST(a_first_value_that_could_not_be_proved_in_time_comes_labelled)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "*");
    estate_record(r, c, SEND("SubscribeBalance", "[\"A\"]"));
    rig_turn(r);
    rig_known(r, "A", "NGN", 7, "{\"minor\":5}");
    HEARD(r, c, CONFIRMED("A") "\n");
    rig_pass(r, 300);
    const char *said = estate_said(r, c);
    const char *state = strstr(said, "\"balanceState\",\"arguments\":[{\"accountId\":\"A\",\"state\":\"delayed\"");
    const char *update = strstr(said, UPDATE("{\\\"minor\\\":5}"));
    CHECK(update && state && update < state);
    leave(r, c);
}

TEST(an_update_is_escaped_once_for_all_who_speak_the_estates_dialects)
{
    struct rig *r = estate_start();
    struct conn *a = client(r, "*"), *b = client(r, "*"), *app = estate_connect(r, &bgw_dialect_app, "*");
    estate_record(r, a, SEND("SubscribeBalance", "[\"A\"]"));
    estate_record(r, b, SEND("SubscribeBalance", "[\"A/NGN\"]"));
    estate_message(r, app, "{\"type\":\"invoke\",\"method\":\"SubscribeBalance\",\"args\":[\"A\"]}");
    rig_turn(r);
    rig_known(r, "A", "NGN", 7, "{\"minor\":5}");
    for (uint64_t ticket = 1; ticket < 4; ticket++)
        rig_barrier(r, ticket);
    rig_turn(r);
    rig_forget(a), rig_forget(b), rig_forget(app);
    rig_record(r, "A", "NGN", 8, "{\"minor\":6}");
    HEARD(r, a, UPDATE("{\\\"minor\\\":6}") "\n");
    HEARD(r, b, UPDATE("{\\\"minor\\\":6}") "\n");
    HEARD(r, app, "{\"type\":\"message\",\"target\":\"balanceUpdate\",\"arguments\":[\"{\\\"minor\\\":6}\"]}\n");
    rig_hang(r, app);
    rig_hang(r, b);
    leave(r, a);
}

TEST(many_are_confirmed_each_and_those_refused_are_named_in_the_error)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "AB");
    estate_record(r, c, CALL("subscribeMULTIPLEbalances", "[[\"A\",\"X\",\"Y/USD\",\"\\u0001 \\\"\",\"B/USD\",\"Z\"]]", "7"));
    HEARD(r, c, CONFIRMED("A") CONFIRMED("B/USD")
          THROWN("7", "subscribeMULTIPLEbalances",
                 NO_GRANT " (X, Y/USD); " BAD_ID " (\\u0001 \\\"); " NO_GRANT " (Z)") "\n");
    rig_known(r, "A", "NGN", 1, "{}"); /* which is watched */
    rig_known(r, "B", "USD", 1, "{}");
    estate_record(r, c, CALL("SubscribeMultipleBalances", "[[]]", "8"));
    HEARD(r, c, DONE("8") "\n");
    estate_record(r, c, SEND("SubscribeMultipleBalances", "[[\"X\",\"A\"]]")); /* again, and without an id */
    HEARD(r, c, CONFIRMED("A") "\n");
    estate_record(r, c, CALL("UnsubscribeBalance", "[\"a b\"]", "9"));
    HEARD(r, c, THROWN("9", "UnsubscribeBalance", "bad_id: a key is not of the form A or A/USD; the others were unsubscribed") "\n");
    leave(r, c);
}

static char *many_ids(size_t count)
{
    static char text[200000];
    size_t at = (size_t)sprintf(text, "{\"type\":1,\"invocationId\":\"1\",\"target\":\"SubscribeMultipleBalances\",\"arguments\":[[");
    for (size_t i = 0; i < count; i++)
        at += (size_t)sprintf(text + at, "%s\"account-%056zu\"", i ? "," : "", i);
    strcpy(text + at, "]]}");
    return text;
}

TEST(a_thousand_accounts_are_one_call_and_one_more_is_not)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "*");
    estate_record(r, c, many_ids(1001));
    HEARD(r, c, THROWN("1", "SubscribeMultipleBalances", "too_large: a call may name 1000 accounts: make several calls") "\n");
    estate_record(r, c, many_ids(1000));
    const char *said = estate_said(r, c);
    size_t confirmed = 0;
    for (const char *at = said; (at = strstr(at, "\"subscriptionConfirmed\"")); at++)
        confirmed++;
    CHECK_EQ_I64(confirmed, 1000);
    CHECK(strcmp(said + strlen(said) - strlen("|" DONE("1") "\n"), "|" DONE("1") "\n") == 0);
    CHECK_EQ_I64(c->hung, 0);
    leave(r, c);
}

TEST(a_call_that_cannot_be_made_is_answered_as_the_hub_would)
{
    static const struct {
        const char *record, *answer;
    } cases[] = {
        {CALL("Foo", "[]", "1"), FAILED("1", "Unknown hub method 'Foo'")},
        {CALL("Fo\\\"\\u0007\\u00e9", "[{}]", "1"), FAILED("1", "Unknown hub method 'Fo\\\"\\u0007\xc3\xa9'")},
        {CALL("SubscribeBalance", "[]", "1"), FAILED("1", "Failed to invoke 'SubscribeBalance' due to an error on the server.")},
        {CALL("SubscribeBalance", "[\"A\",\"B\"]", "1"),
         FAILED("1", "Failed to invoke 'SubscribeBalance' due to an error on the server.")},
        {CALL("SubscribeBalance", "[null]", "1"), FAILED("1", "Failed to invoke 'SubscribeBalance' due to an error on the server.")},
        {CALL("SubscribeBalance", "[5]", "1"), FAILED("1", "Failed to invoke 'SubscribeBalance' due to an error on the server.")},
        {CALL("SubscribeBalance", "[\"A\\u0000\"]", "1"),
         FAILED("1", "Failed to invoke 'SubscribeBalance' due to an error on the server.")},
        {CALL("UNSUBSCRIBEBALANCE", "[{}]", "1"),
         FAILED("1", "Failed to invoke 'UNSUBSCRIBEBALANCE' due to an error on the server.")},
        {CALL("SubscribeMultipleBalances", "[\"A\"]", "1"),
         FAILED("1", "Failed to invoke 'SubscribeMultipleBalances' due to an error on the server.")},
        {CALL("SubscribeMultipleBalances", "[[\"A\",null]]", "1"),
         FAILED("1", "Failed to invoke 'SubscribeMultipleBalances' due to an error on the server.")},
        {"{\"type\":4,\"invocationId\":\"1\",\"target\":\"SubscribeBalance\",\"arguments\":[\"A\"]}",
         FAILED("1", "The client attempted to invoke the non-streaming 'SubscribeBalance' method with a streaming invocation.")},
        {"{\"type\":4,\"invocationId\":\"1\",\"target\":\"Foo\",\"arguments\":[]}", FAILED("1", "Unknown hub method 'Foo'")},
        {"{\"type\":1,\"streamIds\":[\"1\",\"2\"],\"invocationId\":\"1\",\"target\":\"SubscribeBalance\",\"arguments\":[\"A\"]}",
         THROWN("1", "SubscribeBalance", "Client sent 2 stream(s), Hub method expects 0.")},
        {CALL("SubscribeBalance", "[\"\"]", "a\\\"\\u001e\\/"), THROWN("a\\\"\\u001e/", "SubscribeBalance", BAD_ID " ()")},
        {SEND("Foo", "[]"), ""},
        {SEND("SubscribeBalance", "[]"), ""},
        {SEND("SubscribeBalance", "[\"X\"]"), ""},
        {CALL("SubscribeBalance", "[\"X\"]", ""), ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct rig *r = estate_start();
        struct conn *c = client(r, "A");
        char expected[512];
        snprintf(expected, sizeof(expected), "%s%s", cases[i].answer, *cases[i].answer ? "\n" : "");
        for (int n = 0; n < 12; n++) { /* no number of them ends the connection */
            estate_record(r, c, cases[i].record);
            HEARD(r, c, expected);
        }
        CHECK_EQ_I64(c->hung, 0);
        CHECK_EQ_I64(r->command_count, 0); /* nothing was watched */
        leave(r, c);
    }
}

TEST(completions_come_in_the_order_of_the_calls)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    estate_record(r, c, CALL("SubscribeBalance", "[\"A\"]", "0"));
    estate_record(r, c, CALL("Foo", "[]", "1"));
    estate_record(r, c, SEND("Foo", "[]"));
    estate_record(r, c, CALL("UnsubscribeBalance", "[\"A\"]", "2"));
    HEARD(r, c, CONFIRMED("A") DONE("0") "\n" FAILED("1", "Unknown hub method 'Foo'") "\n" DONE("2") "\n");
    leave(r, c);
}

TEST(calls_are_counted_by_method)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    int64_t before[] = {bgw_metric_read(BGW_M_INVOCATIONS_SUBSCRIBE), bgw_metric_read(BGW_M_INVOCATIONS_UNSUBSCRIBE),
                        bgw_metric_read(BGW_M_INVOCATIONS_SUBSCRIBE_MULTIPLE), bgw_metric_read(BGW_M_INVOCATIONS_UNKNOWN)};
    estate_record(r, c, SEND("subscribebalance", "[\"A\"]"));
    estate_record(r, c, SEND("SubscribeBalance", "[]"));
    estate_record(r, c, SEND("UnsubscribeBalance", "[\"A\"]"));
    estate_record(r, c, SEND("SubscribeMultipleBalances", "[[]]"));
    estate_record(r, c, SEND("SubscribeMultipleBalance", "[[]]"));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVOCATIONS_SUBSCRIBE) - before[0], 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVOCATIONS_UNSUBSCRIBE) - before[1], 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVOCATIONS_SUBSCRIBE_MULTIPLE) - before[2], 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVOCATIONS_UNKNOWN) - before[3], 1);
    leave(r, c);
}

/* ---- other records ---- */

TEST(records_that_concern_nothing_here_are_ignored)
{
    static const char *const records[] = {
        "{\"type\":2,\"invocationId\":\"x\",\"item\":null}", "{\"type\":3,\"invocationId\":\"x\",\"result\":{\"a\":[1]}}",
        "{\"type\":3,\"invocationId\":\"x\",\"error\":\"e\"}", "{\"type\":3,\"invocationId\":\"x\"}", "{\"type\":5,\"invocationId\":\"x\"}",
        "{\"type\":6}", "{\"type\":8,\"sequenceId\":1}", "{\"type\":9,\"sequenceId\":1}", "{\"type\":99,\"new\":true}", "{\"type\":0}",
        "{\"type\":-7}", " {\"type\" : 6 , \"unknown\":{\"type\":7}}\n", "{\"type\":6,\"headers\":{\"a\":\"b\"}}",
    };
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
        estate_record(r, c, records[i]);
        HEARD(r, c, "");
        CHECK_EQ_I64(c->hung, 0);
    }
    leave(r, c);
}

TEST(a_record_that_cannot_be_one_ends_the_connection)
{
    static const char *const records[] = {
        "", "x", "[]", "5", "null", "{}", "{\"type\":6}{\"type\":6}", "{\"type\":6", "{\"type\":\"6\"}", "{\"type\":null}", "{\"type\":1.5}",
        "{\"type\":99999999999999999999}", "{\"type\":6,\"type\":6}", "{\"type\":6,\"x\":\"\xff\"}",
        "{\"type\":1,\"arguments\":[]}", "{\"type\":1,\"target\":\"Foo\"}", "{\"type\":1,\"target\":\"\",\"arguments\":[]}",
        "{\"type\":1,\"target\":5,\"arguments\":[]}", "{\"type\":1,\"target\":\"F\\u0000\",\"arguments\":[]}",
        "{\"type\":1,\"target\":\"Foo\",\"arguments\":{}}", "{\"type\":1,\"target\":\"Foo\",\"arguments\":null}",
        "{\"type\":1,\"target\":\"Foo\",\"arguments\":[],\"invocationId\":1}", "{\"type\":1,\"target\":\"Foo\",\"arguments\":[],\"streamIds\":1}",
        "{\"type\":1,\"target\":\"Foo\",\"arguments\":[],\"invocationId\":\"\\u0000\"}",
        "{\"type\":4,\"target\":\"Foo\",\"arguments\":[]}", "{\"type\":4,\"target\":\"Foo\",\"arguments\":[],\"invocationId\":\"\"}",
        "{\"type\":2,\"invocationId\":\"x\"}", "{\"type\":2,\"item\":1}", "{\"type\":3}", "{\"type\":5}",
        "{\"type\":3,\"invocationId\":\"x\",\"result\":1,\"error\":\"e\"}", "{\"type\":6,\"error\":5}", "{\"type\":7,\"allowReconnect\":1}",
        "{\"type\":6,\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}",
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
        struct rig *r = estate_start();
        struct conn *c = client(r, "A");
        estate_record(r, c, CALL("SubscribeBalance", "[\"A\"]", "0"));
        estate_record(r, c, records[i]);
        estate_record(r, c, CALL("Foo", "[]", "1")); /* what follows is not heard */
        HEARD(r, c, CONFIRMED("A") DONE("0") "\n" ERROR_CLOSE);
        CHECK_EQ_I64(c->hung, 3501);
        leave(r, c);
    }
}

TEST(an_invocation_id_is_repeated_up_to_256_bytes)
{
    for (size_t len = 256; len <= 257; len++) {
        struct rig *r = estate_start();
        struct conn *c = client(r, "A");
        char record[1024], id[300] = "";
        memset(id, 'i', len);
        snprintf(record, sizeof(record), CALL("Foo", "[]", "%s"), id);
        estate_record(r, c, record);
        const char *said = estate_said(r, c);
        CHECK(len == 256 ? strstr(said, id) != NULL : strcmp(said, ERROR_CLOSE) == 0);
        leave(r, c);
    }
}

TEST(a_record_that_is_too_large_ends_the_connection)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    bgw_signalr_too_large(&estate, c->session);
    HEARD(r, c, ERROR_CLOSE);
    leave(r, c);
}

TEST(a_client_that_says_goodbye_is_let_go)
{
    struct rig *r = estate_start();
    struct conn *c = client(r, "A");
    estate_record(r, c, "{\"type\":7}");
    HEARD(r, c, "{\"type\":7}|\n<close 1000>\n");
    CHECK_EQ_I64(c->hung, 1000);
    leave(r, c);
}

TEST(a_client_that_has_pinged_must_go_on_and_another_need_not)
{
    struct rig *r = estate_start();
    struct conn *quiet = client(r, "A"), *pinging = client(r, "A");
    estate_record(r, pinging, "{\"type\":6}");
    rig_pass(r, 15100);
    HEARD(r, quiet, "{\"type\":6}|\n");
    HEARD(r, pinging, "{\"type\":6}|\n");
    rig_pass(r, 15100);
    HEARD(r, quiet, "{\"type\":6}|\n");
    CHECK(strstr(estate_said(r, pinging), "{\"type\":7,\"allowReconnect\":true}|\n<close 1000>\n") != NULL);
    CHECK_EQ_I64(pinging->hung, 3012);
    CHECK_EQ_I64(quiet->hung, 0);
    rig_hang(r, pinging);
    leave(r, quiet);
}
