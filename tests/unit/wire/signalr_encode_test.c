/* SPDX-License-Identifier: Apache-2.0 */
/* dialect_signalr: the records that stock clients read, byte for byte, over both carriers. */
#include "estate_rig.h"

#include "wire/estate_private.h"

static const struct bgw_dialect *const ws = &bgw_dialect_signalr, *const sse = &bgw_dialect_signalr_stream;

static struct bgw_feed feed = {.name = "balance", .raw = estate_raw};

static struct bgw_buf out;

static void fresh(void)
{
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 1 << 22);
}

static const char *bytes(void)
{
    static char text[65536];
    snprintf(text, sizeof(text), "%.*s", (int)out.len, out.data ? out.data : "");
    return text;
}

TEST(many_updates_stand_in_one_message_and_share_what_was_escaped_once)
{
    struct bgw_blob *a = bgw_blob_copy(BGW_SLICE("{\"accountId\":\"A\",\"note\":\"\\u001e \xc3\xa9\",\"minor\":1}"));
    struct bgw_blob *b = bgw_blob_copy(BGW_SLICE("{\x01\x1e\t}")); /* bytes that no record may hold stay inside the string */
    struct bgw_update ua = {.feed = &feed, .key = BGW_SLICE("A"), .value = a}, ub = ua;
    ub.value = b;
    struct bgw_blob *prepared = ws->prepare(&ua);
    CHECK_SLICE(bgw_blob_slice(prepared),
                "\"target\":\"balanceUpdate\",\"arguments\":[\"{\\\"accountId\\\":\\\"A\\\",\\\"note\\\":\\\"\\\\u001e \xc3\xa9\\\","
                "\\\"minor\\\":1}\"]}");
    for (int slow = 0; slow < 2; slow++) { /* without memory for what is shared: the same bytes */
        ua.prepared = slow ? NULL : prepared;
        fresh();
        size_t began = ws->updates_begin(&out);
        ws->update(&out, &ua);
        ws->update(&out, &ub);
        ws->updates_end(&out, began);
        CHECK_EQ_STR(estate_shown(&out),
                     "{\"type\":1,\"target\":\"balanceUpdate\",\"arguments\":[\"{\\\"accountId\\\":\\\"A\\\",\\\"note\\\":\\\"\\\\u001e "
                     "\xc3\xa9\\\",\\\"minor\\\":1}\"]}|"
                     "{\"type\":1,\"target\":\"balanceUpdate\",\"arguments\":[\"{\\u0001\\u001e\\t}\"]}|\n");
        fresh();
        began = sse->updates_begin(&out);
        sse->update(&out, &ub);
        sse->update(&out, &ub);
        sse->updates_end(&out, began);
        CHECK_EQ_STR(bytes(), "data: {\"type\":1,\"target\":\"balanceUpdate\",\"arguments\":[\"{\\u0001\\u001e\\t}\"]}\x1e"
                              "{\"type\":1,\"target\":\"balanceUpdate\",\"arguments\":[\"{\\u0001\\u001e\\t}\"]}\x1e\r\n\r\n");
    }
    CHECK(bgw_dialect_app.encoding == ws->encoding && bgw_dialect_app.prepare == ws->prepare && sse->prepare == ws->prepare);
    bgw_blob_release(prepared);
    bgw_blob_release(a);
    bgw_blob_release(b);
    bgw_buf_deinit(&out);
}

TEST(what_does_not_fit_is_taken_back_whole)
{
    struct bgw_blob *value = bgw_blob_copy(BGW_SLICE("{\"accountId\":\"A\",\"minor\":1,\"txnId\":\"0123456789012345678901234567890\"}"));
    const struct bgw_update u = {.feed = &feed, .key = BGW_SLICE("A"), .value = value};
    const struct bgw_dialect *both[] = {ws, sse};
    for (size_t i = 0; i < 2; i++) {
        for (size_t cap = 0; cap < 130; cap++) {
            struct bgw_buf small;
            bgw_buf_init(&small, cap);
            size_t began = both[i]->updates_begin(&small);
            both[i]->update(&small, &u);
            both[i]->updates_end(&small, began);
            CHECK(small.failed);
            CHECK_EQ_I64(small.len, 0);
            bgw_buf_deinit(&small);
        }
    }
    bgw_blob_release(value);
}

TEST(a_state_is_one_event_a_slot_with_the_time_of_its_proof)
{
    const struct bgw_version v = {bgw_epoch_pack(BGW_SLICE("k3f9")), 121, 0};
    const struct bgw_state_entry entries[] = {{BGW_SLICE("A"), v}, {BGW_SLICE("B/USD"), {0}}};
    struct bgw_state_news news = {.entries = entries, .count = 2, .state = BGW_STATE_DELAYED, .reason = "source_lagging",
                                  .lag_ms = 3001, .wall_ms = RIG_WALL_MS};
    fresh();
    ws->state(&out, &news);
    CHECK_EQ_STR(estate_shown(&out),
                 "{\"type\":1,\"target\":\"balanceState\",\"arguments\":[{\"accountId\":\"A\",\"state\":\"delayed\","
                 "\"asOf\":\"2026-10-26T07:33:16.999Z\",\"v\":\"k3f9.121\",\"reason\":\"source_lagging\"}]}|"
                 "{\"type\":1,\"target\":\"balanceState\",\"arguments\":[{\"accountId\":\"B\",\"currency\":\"USD\",\"state\":\"delayed\","
                 "\"asOf\":\"2026-10-26T07:33:16.999Z\",\"v\":null,\"reason\":\"source_lagging\"}]}|\n");
    news = (struct bgw_state_news){.entries = entries, .count = 1, .state = BGW_STATE_FRESH, .lag_ms = -1, .wall_ms = RIG_WALL_MS};
    fresh();
    sse->state(&out, &news);
    CHECK_EQ_STR(bytes(), "data: {\"type\":1,\"target\":\"balanceState\",\"arguments\":[{\"accountId\":\"A\",\"state\":\"fresh\","
                          "\"asOf\":\"" TIME "\",\"v\":\"k3f9.121\"}]}\x1e\r\n\r\n");
    bgw_buf_deinit(&out);
}

TEST(what_was_taken_back_is_one_event_a_key)
{
    const struct bgw_slice keys[] = {BGW_SLICE("A"), BGW_SLICE("A/USD")};
    fresh();
    ws->revoked(&out, keys, 2, "revoked");
    CHECK_EQ_STR(estate_shown(&out),
                 "{\"type\":1,\"target\":\"subscriptionRevoked\",\"arguments\":[{\"accountId\":\"A\",\"reason\":\"revoked\"}]}|"
                 "{\"type\":1,\"target\":\"subscriptionRevoked\",\"arguments\":[{\"accountId\":\"A\",\"currency\":\"USD\",\"reason\":"
                 "\"revoked\"}]}|\n");
    bgw_buf_deinit(&out);
}

TEST(an_end_tells_stock_clients_whether_to_come_back)
{
    static const struct {
        uint16_t code;
        const char *reason, *record;
    } cases[] = {
        {3001, "draining", "{\"type\":7,\"allowReconnect\":true}"},
        {3005, "token_expired", "{\"type\":7,\"allowReconnect\":true}"},
        {3012, "client_silent", "{\"type\":7,\"allowReconnect\":true}"},
        {3008, "stalled", "{\"type\":7,\"error\":\"Connection closed with an error.\",\"allowReconnect\":true}"},
        {3013, "no_memory", "{\"type\":7,\"error\":\"Connection closed with an error.\",\"allowReconnect\":true}"},
        {3501, "bad_request", "{\"type\":7,\"error\":\"Connection closed with an error.\",\"allowReconnect\":true}"},
        {3510, "revoked", "{\"type\":7,\"error\":\"Connection closed: revoked.\"}"},
        {3504, "", "{\"type\":7,\"error\":\"Connection closed: refused.\"}"},
        {3500, "a \"quote\"", "{\"type\":7,\"error\":\"Connection closed: a \\\"quote\\\".\"}"},
        {1000, "client_close", "{\"type\":7}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char expected[200];
        fresh();
        ws->bye(&out, cases[i].code, 1500, cases[i].reason);
        snprintf(expected, sizeof(expected), "%s|\n<close 1000>\n", cases[i].record);
        CHECK_EQ_STR(estate_shown(&out), expected);
        fresh();
        sse->bye(&out, cases[i].code, 1500, cases[i].reason);
        snprintf(expected, sizeof(expected), "data: %s\x1e\r\n\r\n", cases[i].record);
        CHECK_EQ_STR(bytes(), expected);
    }
    bgw_buf_deinit(&out);
}

TEST(a_connection_that_never_shook_hands_ends_with_an_error_record)
{
    static const struct {
        const char *reason, *error;
    } cases[] = {
        {"handshake_timeout", "Handshake was canceled."},
        {"record_too_large", "Handshake was canceled."},
        {"bad_handshake", "An unexpected error occurred during connection handshake."},
        {"draining", "The server is shutting down."},
        {"connection_limit", "Too many connections of this user."},
        {"The protocol 'x' is not supported.", "The protocol 'x' is not supported."},
        {"something_new", "Handshake was canceled."},
        {NULL, "Handshake was canceled."},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char expected[200];
        fresh();
        bgw_dialect_signalr_greeting.bye(&out, 3500, 0, cases[i].reason);
        snprintf(expected, sizeof(expected), "{\"error\":\"%s\"}|\n<close 1000>\n", cases[i].error);
        CHECK_EQ_STR(estate_shown(&out), expected);
        fresh();
        bgw_dialect_signalr_stream_greeting.bye(&out, 3500, 0, cases[i].reason);
        snprintf(expected, sizeof(expected), "data: {\"error\":\"%s\"}\x1e\r\n\r\n", cases[i].error);
        CHECK_EQ_STR(bytes(), expected);
    }
    bgw_buf_deinit(&out);
}

TEST(a_ping_is_a_record_and_before_the_handshake_none)
{
    fresh();
    ws->keepalive(&out);
    CHECK_EQ_STR(estate_shown(&out), "{\"type\":6}|\n");
    fresh();
    sse->keepalive(&out);
    CHECK_EQ_STR(bytes(), "data: {\"type\":6}\x1e\r\n\r\n");
    fresh();
    bgw_dialect_signalr_greeting.keepalive(&out);
    CHECK_EQ_STR(estate_shown(&out), "<ping>\n");
    fresh();
    bgw_dialect_signalr_stream_greeting.keepalive(&out);
    CHECK_EQ_STR(bytes(), ":\r\n");
    bgw_buf_deinit(&out);
}

TEST(an_answer_that_says_nothing_is_no_message)
{
    struct estate_call call = {.method = BGW_SLICE("m")};
    const struct bgw_dialect *both[] = {ws, sse};
    for (size_t i = 0; i < 2; i++) {
        const struct bgw_sub_reply none = {.id = estate_call_id(&call)};
        fresh();
        both[i]->ok(&out, estate_call_id(&call));
        both[i]->sub_reply(&out, &none);
        both[i]->err(&out, true, estate_call_id(&call), "bad_request", "text");
        both[i]->err(&out, false, 0, "slow_down", "text");
        both[i]->live(&out, 1);
        both[i]->pong(&out, 1);
        CHECK_EQ_I64(out.len, 0);
        CHECK(!out.failed);
    }
    bgw_buf_deinit(&out);
}

TEST(times_that_no_clock_shows_are_still_times)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00.000Z"}, {-5, "1970-01-01T00:00:00.000Z"}, {INT64_MAX, "9999-12-31T23:59:59.999Z"},
                 {951782400007, "2000-02-29T00:00:00.007Z"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fresh();
        estate_append_confirmed(&out, BGW_SLICE("A"), cases[i].ms);
        CHECK(strstr(bytes(), cases[i].text) != NULL);
    }
    bgw_buf_deinit(&out);
}
