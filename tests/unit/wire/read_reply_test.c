/* SPDX-License-Identifier: Apache-2.0 */
/* read_reply: bodies and header lines byte by byte, and which answer becomes which refusal. */
#include "test.h"

#include "bgw/metrics.h"
#include "wire/read_reply.h"

#include <stdlib.h>
#include <time.h>

static const struct bgw_http_limits usual = {32768, 65536};
static struct bgw_feed feed;
static struct bgw_http_reader *reader;
static struct bgw_buf out;
static struct read_request q;
static struct read_context x;
static struct read_result result;
static struct bgw_decoded decoded;

static void ask(const char *target, const char *lines, const char *method)
{
    static char text[4000];
    size_t used;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_http_reader_destroy(&reader);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    reader = bgw_http_reader_create(&usual);
    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, lines);
    CHECK(bgw_http_read(reader, bgw_slice_str(text), &used) == BGW_HTTP_DONE);
    struct bgw_http_params walk = {0};
    CHECK(read_request_parse(&q, bgw_http_reader_request(reader), &feed) == BGW_REFUSAL_NONE);
    result = (struct read_result){.answer.lag_ms = 1234};
    read_request_next(&q, &feed, &walk, &result.ask);
    x = (struct read_context){.request = &q,
                              .feed = &feed,
                              .tenant = BGW_SLICE("t1"),
                              .origins = "https://app.example.com",
                              .now = {.mono_ms = 9, .wall_ms = 1700000001357}};
}

static void know(const char *record)
{
    bgw_blob_release(decoded.value);
    const struct bgw_record r = {.key = BGW_SLICE("A"), .value = bgw_slice_str(record)};
    CHECK(feed.decode(&feed, &r, &decoded) == BGW_REJECT_NONE);
    result.answer.value = decoded.value;
    result.answer.version = (struct bgw_version){bgw_epoch_pack(BGW_SLICE("k3f9")), 120, 0};
}

static const char *sent(void)
{
    CHECK(!out.failed);
    bgw_buf_append_byte(&out, 0);
    return out.data;
}

static const char *one(void)
{
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 1 << 20);
    (void)read_reply_one(&out, &x, &result);
    return sent();
}

static const char *problem(enum bgw_refusal why, bool about_it)
{
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 1 << 20);
    read_reply_problem(&out, &x, why, about_it ? &result : NULL);
    return sent();
}

__attribute__((destructor)) static void drop(void)
{
    bgw_http_reader_destroy(&reader);
    bgw_blob_release(decoded.value);
    bgw_buf_deinit(&out);
}

#define PLAIN "{\"accountId\":\"A\",\"minor\":9007199254740993}"
#define TARGET "/ledger/accounts/A/balance"

TEST(body_and_headers_are_exactly_these)
{
    ask(TARGET, "", "GET");
    know(PLAIN);
    CHECK_EQ_STR(one(), "HTTP/1.1 200 OK\r\n"
                        "Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n"
                        "Content-Type: application/json\r\n"
                        "Content-Length: 276\r\n"
                        "X-Content-Type-Options: nosniff\r\n"
                        "Vary: Origin\r\n"
                        "ETag: \"k3f9.120\"\r\n"
                        "X-Balance-Version: k3f9.120\r\n"
                        "Cache-Control: private, no-cache\r\n"
                        "Vary: Authorization\r\n"
                        "X-Balance-Source: stream\r\n"
                        "X-Cache-Status: HIT\r\n"
                        "Age: 1\r\n"
                        "\r\n"
                        "{\"accountId\":\"A\",\"tenant\":\"t1\",\"currency\":\"NGN\",\"balance\":9007199254740993,"
                        "\"minor\":9007199254740993,\"availableMinor\":9007199254740993,\"balanceMinor\":9007199254740993,"
                        "\"pendingMinor\":0,\"ts\":null,\"v\":\"k3f9.120\",\"asOf\":\"2023-11-14T22:13:20.123Z\","
                        "\"state\":\"fresh\",\"source\":\"stream\"}");
}

TEST(the_largest_body_fits)
{
    char target[256];
    snprintf(target, sizeof(target), "/ledger/accounts/%064d/balance", 0);
    ask(target, "", "GET");
    know("{\"accountId\":\"A\",\"minor\":-9223372036854775808,\"pendingMinor\":-9223372036854775808,\"ts\":-9223372036854775808}");
    x.tenant = BGW_SLICE("01234567890123456789012345678901234567890123456789");
    result.answer.version = (struct bgw_version){bgw_epoch_pack(BGW_SLICE("zzzzzzzz")), INT64_MAX, INT64_MAX};
    result.answer.state = BGW_STATE_DELAYED;
    result.answer.reason = BGW_REASON_SOURCE_UNAVAILABLE;
    const char *text = one();
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") == text);
    CHECK(strstr(text, "\"v\":\"zzzzzzzz.9223372036854775807.9223372036854775807\""));
    CHECK(strstr(text, "\"ts\":-9223372036854775808,"));
    CHECK(strstr(text, "\"state\":\"delayed\",\"reason\":\"source_unavailable\",\"source\":\"stream\"}"));
}

static const char *as_of(int64_t wall_ms)
{
    static char found[64];
    x.now.wall_ms = wall_ms;
    result.answer.lag_ms = 0;
    const char *at = strstr(one(), "\"asOf\":");
    CHECK(at != NULL);
    snprintf(found, sizeof(found), "%.*s", (int)strcspn(at + 7, ","), at + 7);
    return found;
}

TEST(time_is_right_on_the_days_where_calendars_go_wrong)
{
    ask(TARGET, "", "GET");
    know(PLAIN);
    CHECK_EQ_STR(as_of(0), "\"1970-01-01T00:00:00.000Z\"");
    CHECK_EQ_STR(as_of(951782399999), "\"2000-02-28T23:59:59.999Z\"");
    CHECK_EQ_STR(as_of(951782400000), "\"2000-02-29T00:00:00.000Z\"");
    CHECK_EQ_STR(as_of(951868800000), "\"2000-03-01T00:00:00.000Z\"");
    CHECK_EQ_STR(as_of(1709251199001), "\"2024-02-29T23:59:59.001Z\"");
    CHECK_EQ_STR(as_of(1735689599999), "\"2024-12-31T23:59:59.999Z\"");
    CHECK_EQ_STR(as_of(1735689600000), "\"2025-01-01T00:00:00.000Z\"");
    CHECK_EQ_STR(as_of(4107542400000), "\"2100-03-01T00:00:00.000Z\"");
    CHECK_EQ_STR(as_of(-5), "\"1970-01-01T00:00:00.000Z\"");
    for (int64_t day = 0; day < 60000; day += 7) { /* the library says the same */
        char want[64];
        time_t seconds = (time_t)(day * 86400 + 45296);
        struct tm t;
        CHECK(gmtime_r(&seconds, &t) != NULL);
        CHECK(strftime(want, sizeof(want), "\"%Y-%m-%dT%H:%M:%S.007Z\"", &t) > 0);
        CHECK_EQ_STR(as_of((int64_t)seconds * 1000 + 7), want);
    }
}

TEST(stale_is_said_three_times_and_what_was_never_proved_has_no_age)
{
    ask(TARGET, "Cache-Control: no-cache\r\n", "GET");
    know(PLAIN);
    result.answer.state = BGW_STATE_STALE;
    result.answer.reason = BGW_REASON_SOURCE_LAGGING;
    result.answer.lag_ms = 31999;
    result.answer.proved = true;
    const char *text = one();
    CHECK(strstr(text, "X-Cache-Status: STALE\r\nWarning: 110 - \"Response is Stale\"\r\nAge: 31\r\n"));
    CHECK(strstr(text, "\"state\":\"stale\",\"reason\":\"source_lagging\","));
    result.answer.lag_ms = -1;
    text = one();
    CHECK(!strstr(text, "Age:") && strstr(text, "\"asOf\":null,"));
}

TEST(bypass_is_said_of_what_was_asked_for_and_proved)
{
    ask(TARGET, "Cache-Control: no-cache\r\n", "GET");
    know(PLAIN);
    CHECK(strstr(one(), "X-Cache-Status: HIT\r\n"));
    result.answer.proved = true;
    CHECK(strstr(one(), "X-Cache-Status: BYPASS\r\n"));
    ask(TARGET, "", "GET");
    know(PLAIN);
    result.answer.proved = true;
    CHECK(strstr(one(), "X-Cache-Status: HIT\r\n"));
}

/* What stands between two texts. */
static const char *said(const char *text, const char *before, const char *behind)
{
    static char found[64];
    const char *at = strstr(text, before);
    CHECK(at != NULL);
    at += strlen(before);
    const char *end = strstr(at, behind);
    CHECK(end != NULL && end - at < (int)sizeof(found));
    snprintf(found, sizeof(found), "%.*s", (int)(end - at), at);
    return found;
}

#define SOURCE_LINE(text) said(text, "\r\nX-Balance-Source: ", "\r\n")
#define SOURCE_MEMBER(text) said(text, ",\"source\":\"", "\"")
#define CACHE_LINE(text) said(text, "\r\nX-Cache-Status: ", "\r\n")

TEST(source_is_where_the_value_was_when_it_was_asked_for)
{
    static const struct {
        enum bgw_source source;
        bool fetched, joined;
        enum bgw_state_reason reason;
        const char *from, *how;
    } rows[] = {
        {BGW_SOURCE_STREAM, false, false, 0, "stream", "HIT"},
        {BGW_SOURCE_CACHE, false, false, 0, "l1", "HIT"},
        {BGW_SOURCE_DATABASE, false, false, 0, "l1", "HIT"},
        {BGW_SOURCE_CACHE, true, false, 0, "cache", "MISS"},
        {BGW_SOURCE_CACHE, true, true, 0, "cache", "COALESCED"},
        {BGW_SOURCE_DATABASE, true, false, 0, "database", "MISS"},
        {BGW_SOURCE_DATABASE, true, true, 0, "database", "COALESCED"},
        {BGW_SOURCE_STREAM, true, false, 0, "stream", "MISS"}, /* a record came first */
        {BGW_SOURCE_DATABASE, true, false, BGW_REASON_SOURCE_UNAVAILABLE, "l1", "MISS"}, /* asked in vain */
        {BGW_SOURCE_CACHE, true, false, BGW_REASON_SHED, "l1", "MISS"},
    };
    ask(TARGET, "", "GET");
    know(PLAIN);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        result.answer.source = rows[i].source;
        result.answer.fetched = rows[i].fetched;
        result.answer.joined = rows[i].joined;
        result.answer.reason = rows[i].reason;
        const char *text = one();
        CHECK_EQ_STR(SOURCE_LINE(text), rows[i].from);
        CHECK_EQ_STR(SOURCE_MEMBER(text), rows[i].from);
        CHECK_EQ_STR(CACHE_LINE(text), rows[i].how);
        CHECK(!strstr(text, "Warning"));
    }
    result.answer.state = BGW_STATE_STALE; /* the same value, when every source was asked in vain */
    result.answer.reason = BGW_REASON_SOURCE_LAGGING;
    const char *text = one();
    CHECK_EQ_STR(SOURCE_LINE(text), "l1");
    CHECK_EQ_STR(CACHE_LINE(text), "STALE");
    CHECK(strstr(text, "\r\nWarning: 110 - ") && strstr(text, "\r\nAge: 1\r\n"));
}

TEST(bypass_that_asked_a_source_names_it)
{
    ask(TARGET, "Cache-Control: no-cache\r\n", "GET");
    know(PLAIN);
    result.answer.source = BGW_SOURCE_DATABASE;
    result.answer.fetched = true; /* whether or not the stream could be proved in time */
    const char *text = one();
    CHECK_EQ_STR(CACHE_LINE(text), "BYPASS");
    CHECK_EQ_STR(SOURCE_LINE(text), "database");
    result.answer.reason = BGW_REASON_SOURCE_UNAVAILABLE;
    text = one();
    CHECK_EQ_STR(CACHE_LINE(text), "MISS");
    CHECK_EQ_STR(SOURCE_LINE(text), "l1");
}

TEST(known_tag_is_304_with_the_same_headers_and_head_has_no_body)
{
    ask(TARGET, "If-None-Match: \"k3f9.120\"\r\n", "GET");
    know(PLAIN);
    CHECK_EQ_STR(one(), "HTTP/1.1 304 Not Modified\r\n"
                        "Date: Tue, 14 Nov 2023 22:13:21 GMT\r\n"
                        "Vary: Origin\r\n"
                        "ETag: \"k3f9.120\"\r\n"
                        "X-Balance-Version: k3f9.120\r\n"
                        "Cache-Control: private, no-cache\r\n"
                        "Vary: Authorization\r\n"
                        "X-Balance-Source: stream\r\n"
                        "X-Cache-Status: HIT\r\n"
                        "Age: 1\r\n"
                        "\r\n");
    ask(TARGET, "", "HEAD");
    know(PLAIN);
    const char *text = one();
    CHECK(strstr(text, "Content-Length: 276\r\n"));
    CHECK_EQ_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    CHECK_EQ_STR(strstr(problem(BGW_REFUSAL_NO_GRANT, true), "\r\n\r\n"), "\r\n\r\n");
}

TEST(allowed_page_may_read_it_and_a_foreign_one_may_not)
{
    ask(TARGET, "Origin: https://app.example.com\r\n", "GET");
    know(PLAIN);
    CHECK(strstr(one(), "Access-Control-Allow-Origin: https://app.example.com\r\n"));
    CHECK(strstr(problem(BGW_REFUSAL_NO_SUCH_ACCOUNT, true), "Access-Control-Allow-Origin: https://app.example.com\r\n"));
    ask(TARGET, "Origin: https://evil.example.com\r\n", "GET");
    know(PLAIN);
    CHECK(!strstr(one(), "Access-Control-Allow"));
}

TEST(refusals_say_whom_they_concern_and_when_to_come_back)
{
    ask(TARGET "?currency=USD", "", "GET");
    const char *text = problem(BGW_REFUSAL_SOURCE_UNAVAILABLE, true);
    CHECK(strstr(text, "HTTP/1.1 503 ") == text && strstr(text, "\r\nRetry-After: 1\r\n"));
    CHECK(strstr(text, ",\"accountId\":\"A\",\"currency\":\"USD\"}\n") && !strstr(text, "Connection: close"));
    x.last = true;
    text = problem(BGW_REFUSAL_BAD_QUERY, false);
    CHECK(strstr(text, "\r\nConnection: close\r\n") && !strstr(text, "accountId") && !strstr(text, "Retry-After"));
    know(PLAIN);
    text = problem(BGW_REFUSAL_NOT_THERE_YET, true);
    CHECK(strstr(text, "HTTP/1.1 412 ") == text && strstr(text, "\r\nETag: \"k3f9.120\"\r\nX-Balance-Version: k3f9.120\r\n"));
    CHECK(strstr(text, ",\"v\":\"k3f9.120\"}\n") && !strstr(text, "9007199254740993"));
}

TEST(shed_read_is_one_sentence_of_text_and_an_entry_of_several)
{
    ask(TARGET, "Origin: https://app.example.com\r\n", "GET");
    const char *text = problem(BGW_REFUSAL_SHED, true);
    CHECK(strstr(text, "HTTP/1.1 503 Service Unavailable\r\n") == text);
    CHECK(strstr(text, "\r\nRetry-After: 1\r\n") && strstr(text, "\r\nContent-Type: text/plain\r\n"));
    CHECK(strstr(text, "\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n") && !strstr(text, "Connection: close"));
    CHECK_EQ_STR(strstr(text, "\r\n\r\n"), "\r\n\r\nService temporarily unavailable - please retry");
    ask(TARGET, "", "HEAD");
    text = problem(BGW_REFUSAL_SHED, true);
    CHECK(strstr(text, "\r\nContent-Length: 46\r\n"));
    CHECK_EQ_STR(strstr(text, "\r\n\r\n"), "\r\n\r\n");
    ask("/v1/balances?account=A", "", "GET");
    result.why = BGW_REFUSAL_SHED;
    const struct read_result *const all[] = {&result};
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 1 << 20);
    read_reply_many(&out, &x, all, 1);
    text = sent();
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") == text && strstr(text, ",\"status\":503,\"code\":\"shed\",\"detail\":"));
    CHECK(!strstr(text, "X-Balance-Source") && !strstr(text, "X-Cache-Status")); /* there is no value */
}

TEST(of_several_the_farthest_source_and_the_worst_news_stand_above)
{
    struct read_result far, stale, none = {.why = BGW_REFUSAL_NO_SUCH_ACCOUNT, .answer.source = BGW_SOURCE_DATABASE};
    ask("/v1/balances?account=A", "", "GET");
    know(PLAIN);
    far = stale = result;
    far.answer.source = BGW_SOURCE_CACHE;
    far.answer.fetched = true;
    stale.answer.state = BGW_STATE_STALE;
    const struct read_result *const all[] = {&result, &far, &none, &stale};
    for (size_t count = 1; count <= 4; count++) {
        bgw_buf_deinit(&out);
        bgw_buf_init(&out, 1 << 20);
        read_reply_many(&out, &x, all, count);
        const char *text = sent();
        CHECK_EQ_STR(SOURCE_LINE(text), count == 1 ? "stream" : "cache");
        CHECK_EQ_STR(CACHE_LINE(text), count == 1 ? "HIT" : count < 4 ? "MISS" : "STALE");
        CHECK((count == 4) == (strstr(text, "\r\nWarning: 110 - ") != NULL));
    }
}

TEST(several_stand_in_their_order_each_with_its_status)
{
    struct read_result none = {.why = BGW_REFUSAL_NO_SUCH_ACCOUNT}, bad = {.why = BGW_REFUSAL_BAD_ID};
    ask("/v1/balances?account=A", "", "GET");
    know(PLAIN);
    memcpy(none.ask.text, "B", 1);
    none.ask.key_len = 1;
    none.ask.part = bgw_part_of(BGW_SLICE("USD"));
    memcpy(bad.ask.text, "a\"\n", 3);
    bad.ask.key_len = 3;
    const struct read_result *const all[] = {&result, &none, &bad, &result};
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 1 << 20);
    read_reply_many(&out, &x, all, 4);
    const char *text = sent();
    CHECK(strstr(text, "\r\nCache-Control: no-store\r\n") && !strstr(text, "ETag"));
    CHECK(strstr(text, "{\"balances\":[{\"accountId\":\"A\",\"tenant\":\"t1\","));
    CHECK(strstr(text, "\"source\":\"stream\",\"status\":200},{\"accountId\":\"B\",\"currency\":\"USD\",\"status\":404,"
                       "\"code\":\"no_such_account\",\"detail\":\"nobody knows that account\"},"
                       "{\"accountId\":\"a\\\"\\n\",\"status\":400,\"code\":\"bad_id\","));
    CHECK(strstr(text, "\"status\":200}],\"asOf\":\"2023-11-14T22:13:21.357Z\"}"));
}

static enum bgw_refusal verdict(enum bgw_read_result r, enum bgw_slot_state state, enum bgw_state_reason reason)
{
    const struct bgw_read_answer a = {.result = r, .state = state, .reason = reason};
    return read_reply_verdict(&a, NULL);
}

TEST(what_is_not_known_is_404_only_if_somebody_said_so)
{
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, BGW_REASON_NO_SUCH_KEY) == BGW_REFUSAL_NO_SUCH_ACCOUNT);
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_REMOVED, BGW_REASON_NONE) == BGW_REFUSAL_NO_SUCH_ACCOUNT);
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, BGW_REASON_SOURCE_UNAVAILABLE) == BGW_REFUSAL_SOURCE_UNAVAILABLE);
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, BGW_REASON_UNREADABLE_RECORD) == BGW_REFUSAL_SOURCE_UNAVAILABLE);
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, BGW_REASON_NONE) == BGW_REFUSAL_SOURCE_UNAVAILABLE);
    CHECK(verdict(BGW_READ_TOO_OLD, BGW_STATE_UNKNOWN, BGW_REASON_NO_SUCH_KEY) == BGW_REFUSAL_NO_SUCH_ACCOUNT);
    CHECK(verdict(BGW_READ_TIMEOUT, BGW_STATE_UNKNOWN, BGW_REASON_NONE) == BGW_REFUSAL_READ_TIMEOUT);
    CHECK(verdict(BGW_READ_BUSY, BGW_STATE_UNKNOWN, BGW_REASON_NONE) == BGW_REFUSAL_READ_BUSY);
    ask(TARGET, "", "GET");
    know(PLAIN);
    result.answer.result = BGW_READ_TOO_OLD;
    CHECK(read_reply_verdict(&result.answer, NULL) == BGW_REFUSAL_NOT_THERE_YET);
    result.answer.result = BGW_READ_VALUE;
    CHECK(read_reply_verdict(&result.answer, NULL) == BGW_REFUSAL_NONE);
}

TEST(shed_and_stale_are_refused_only_where_there_is_nothing_better)
{
    struct bgw_flags flags;
    struct bgw_buf error;
    CHECK(verdict(BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, BGW_REASON_SHED) == BGW_REFUSAL_SHED);
    CHECK(verdict(BGW_READ_TOO_OLD, BGW_STATE_UNKNOWN, BGW_REASON_SHED) == BGW_REFUSAL_SHED);
    ask(TARGET, "", "GET");
    know(PLAIN);
    result.answer.state = BGW_STATE_DELAYED;
    result.answer.reason = BGW_REASON_SHED;
    CHECK(read_reply_verdict(&result.answer, NULL) == BGW_REFUSAL_NONE); /* a hit is never shed */
    bgw_buf_init(&error, 256);
    CHECK(bgw_flags_parse(&flags, "all", &error) == BGW_OK);
    result.answer.state = BGW_STATE_STALE;
    CHECK(read_reply_verdict(&result.answer, &flags) == BGW_REFUSAL_NONE);
    bgw_flag_set(&flags, BGW_FLAG_STALE, false);
    CHECK(read_reply_verdict(&result.answer, &flags) == BGW_REFUSAL_SOURCE_UNAVAILABLE);
    result.answer.state = BGW_STATE_DELAYED;
    CHECK(read_reply_verdict(&result.answer, &flags) == BGW_REFUSAL_NONE);
    bgw_buf_deinit(&error);
}
