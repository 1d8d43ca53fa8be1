/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_commands: what each message of a client becomes. The shard is replaced by one that writes
 * down its calls, so this program must not need the real one.
 */
#include "test.h"

#include "bgw/hash.h"
#include "wire/native.h"

#include <stdarg.h>
#include <stdlib.h>

#define SECRET "0123456789abcdef0123456789abcdef"

struct bgw_session {
    bool authenticated;
    char said[4096]; /* the last call, written out */
    unsigned calls;
};

static struct bgw_session session;

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(session.said, sizeof(session.said), fmt, args);
    va_end(args);
    session.calls++;
}

static void say_keys(const char *what, uint64_t id, struct bgw_slice feed,
                     const struct bgw_sub_key *keys, size_t count)
{
    char text[3000];
    size_t at = 0;
    for (size_t i = 0; i < count && at < sizeof(text) - 2000; i++) {
        char part[4] = "";
        bgw_part_text(keys[i].part, part);
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %.*s[%.*s %s%s",
                               (int)keys[i].text.len, keys[i].text.data, (int)keys[i].key.len,
                               keys[i].key.data, part, keys[i].invalid ? " bad" : "");
        for (size_t s = 0; s < keys[i].since_count; s++) {
            char version[BGW_VERSION_TEXT_MAX], since_part[4] = "";
            bgw_version_format(keys[i].since[s].version, version);
            bgw_part_text(keys[i].since[s].part, since_part);
            at +=
                (size_t)snprintf(text + at, sizeof(text) - at, " since %s=%s", since_part, version);
        }
        at += (size_t)snprintf(text + at, sizeof(text) - at, "]");
    }
    text[at] = '\0';
    say("%s %llu %.*s%s", what, (unsigned long long)id, (int)feed.len, feed.data, text);
}

void *bgw_session_conn(const struct bgw_session *s)
{
    return (void *)(uintptr_t)s;
}
bool bgw_session_authenticated(const struct bgw_session *s)
{
    return s->authenticated;
}
void bgw_session_hello(struct bgw_shard *s, struct bgw_session *session_,
                       const struct bgw_claims *claims, struct bgw_slice resume, struct bgw_now now)
{
    (void)s, (void)session_, (void)now;
    say("hello %s resume=%.*s", claims ? claims->tenant : "-", (int)resume.len,
        resume.data ? resume.data : "");
}
void bgw_session_sub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                     struct bgw_slice feed, const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)session_;
    say_keys("sub", id, feed, keys, count);
}
void bgw_session_unsub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                       struct bgw_slice feed, const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)session_;
    say_keys("unsub", id, feed, keys, count);
}
void bgw_session_refresh(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                         const struct bgw_claims *claims)
{
    (void)s, (void)session_;
    say("refresh %llu %s", (unsigned long long)id, claims->tenant);
}
void bgw_session_rate(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                      int64_t millihz, int64_t bytes_s)
{
    (void)s, (void)session_;
    say("rate %llu %lld %lld", (unsigned long long)id, (long long)millihz, (long long)bytes_s);
}
void bgw_session_ack(struct bgw_shard *s, struct bgw_session *session_, struct bgw_slice w)
{
    (void)s, (void)session_;
    say("ack %.*s", (int)w.len, w.data);
}
void bgw_session_repair(struct bgw_shard *s, struct bgw_session *session_, uint64_t id)
{
    (void)s, (void)session_;
    say("repair %llu", (unsigned long long)id);
}
void bgw_session_ping(struct bgw_shard *s, struct bgw_session *session_, uint64_t id)
{
    (void)s, (void)session_;
    say("ping %llu", (unsigned long long)id);
}
void bgw_session_err(struct bgw_shard *s, struct bgw_session *session_, bool has_id, uint64_t id,
                     const char *code, const char *text, bool strike)
{
    (void)s, (void)session_;
    if (has_id)
        say("err %llu %s%s", (unsigned long long)id, code, strike ? "" : " free");
    else
        say("err - %s%s", code, strike ? "" : " free");
    CHECK(text && *text);
}
void bgw_session_bye(struct bgw_shard *s, struct bgw_session *session_, uint16_t code,
                     int64_t retry_ms, const char *reason)
{
    (void)s, (void)session_, (void)retry_ms;
    say("bye %u %s", (unsigned)code, reason);
}

static struct bgw_feed feed;
static struct bgw_native native;

static void setup(bool authenticated)
{
    struct bgw_auth_config config = {
        .secret = BGW_SLICE(SECRET), .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    struct bgw_auth *auth = NULL;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bgw_hash_init();
    session = (struct bgw_session){.authenticated = authenticated};
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    native = (struct bgw_native){
        .auth = auth, .feeds = &feed, .feed_count = 1, .scratch = bgw_native_scratch_create()};
    bgw_buf_deinit(&error);
}

static void teardown(void)
{
    struct bgw_auth *auth = (struct bgw_auth *)(uintptr_t)native.auth;
    bgw_auth_destroy(&auth);
    bgw_native_scratch_destroy(&native.scratch);
}

static const char *run(struct bgw_slice message)
{
    unsigned before = session.calls;
    char *copy = malloc(message.len ? message.len : 1);
    memcpy(copy, message.data, message.len);
    session.said[0] = '\0';
    CHECK(bgw_native_command(&native, &session, bgw_slice_of(copy, message.len),
                             (struct bgw_now){1000, 1000000}) == BGW_NATIVE_DONE);
    free(copy);
    CHECK_EQ_I64(session.calls, before + 1); /* each message, one answer */
    return session.said;
}

static const char *run_str(const char *text)
{
    return run(bgw_slice_str(text));
}

TEST(each_command_becomes_its_call)
{
    static const struct {
        const char *message, *call;
    } rows[] = {
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\",\"B/USD\"]}",
         "sub 1 balance A[A ] B/USD[B USD]"},
        {"{\"id\":9223372036854775807,\"op\":\"sub\",\"feed\":\"balance\",\"keys\":[]}",
         "sub 9223372036854775807 balance"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":{\"A\":\"k3f9.120\",\"Z\":\"k3f9.1\"}"
         "}",
         "sub 1 balance A[A  since =k3f9.120]"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\",\"B/USD\"],\"since\":{\"B/"
         "USD\":\"k.7.3\",\"A\":{\"NGN\":\"k.1\",\"USD\":\"k.2\"}}}",
         "sub 1 balance A[A  since NGN=k.1 since USD=k.2] B/USD[B USD since USD=k.7.3]"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"a b\",\"\",\"A/usd\",\"A/USD/X\",\"ok\"]}",
         "sub 1 balance a b[a b  bad] [  bad] A/usd[A  bad] A/USD/X[A  bad] ok[ok ]"},
        {"{\"op\":\"s\\u0075b\",\"id\":1,\"k\\u0065ys\":[\"\\u0041\"],\"since\":{\"\\u0041\":\"k."
         "1\"}}",
         "sub 1 balance A[A  since =k.1]"},
        {"{\"op\":\"unsub\",\"id\":2,\"keys\":[\"A\"],\"future\":{\"x\":[1,2]}}",
         "unsub 2 balance A[A ]"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":2,\"max_bytes_s\":4096}", "rate 4 2000 4096"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":0.5}", "rate 4 500 0"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":0.125,\"max_bytes_s\":null}", "rate 4 125 0"},
        {"{\"op\":\"rate\",\"id\":4}", "rate 4 0 0"},
        {"{\"op\":\"ack\",\"w\":\"77\"}", "ack 77"},
        {"{\"op\":\"repair\",\"id\":6}", "repair 6"},
        {" {\"op\":\"ping\" , \"id\": 0}\n", "ping 0"},
    };
    setup(true);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        CHECK_EQ_STR(run_str(rows[i].message), rows[i].call);
    teardown();
}

TEST(what_is_not_a_command_gets_an_error_with_its_id)
{
    static const struct {
        const char *message, *call;
    } rows[] = {
        {"", "err - bad_json"},
        {"{", "err - bad_json"},
        {"[]", "err - bad_json"},
        {"{\"op\":\"ping\",\"id\":1} x", "err - bad_json"},
        {"{\"op\":\"ping\",\"op\":\"ping\",\"id\":1}", "err - bad_json"},
        {"{\"id\":1}", "err 1 bad_op"},
        {"{\"op\":7,\"id\":1}", "err 1 bad_op"},
        {"{\"op\":\"Ping\",\"id\":1}", "err 1 bad_op"},
        {"{\"op\":\"ping\"}", "err - bad_request"},
        {"{\"op\":\"ping\",\"id\":\"1\"}", "err - bad_request"},
        {"{\"op\":\"ping\",\"id\":-1}", "err - bad_request"},
        {"{\"op\":\"ping\",\"id\":1.0}", "err - bad_request"},
        {"{\"op\":\"ping\",\"id\":9223372036854775808}", "err - bad_request"},
        {"{\"op\":\"sub\",\"id\":1}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":\"A\"}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[1]}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\\u0000\"]}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"feed\":\"limits\",\"keys\":[]}", "err 1 unknown_feed"},
        {"{\"op\":\"sub\",\"id\":1,\"feed\":1,\"keys\":[]}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":[]}", "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":{\"A\":\"120\"}}",
         "err 1 bad_request"},
        {"{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"],\"since\":{\"A\":{\"ngn\":\"k.1\"}}}",
         "err 1 bad_request"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":\"2\"}", "err 4 bad_request"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":-2}", "err 4 bad_request"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":1e3}", "err 4 bad_request"},
        {"{\"op\":\"rate\",\"id\":4,\"max_hz\":0.0001}", "err 4 bad_request"},
        {"{\"op\":\"rate\",\"id\":4,\"max_bytes_s\":-1}", "err 4 bad_request"},
        {"{\"op\":\"ack\"}", "err - bad_request"},
        {"{\"op\":\"auth\",\"id\":3}", "err 3 token_missing"},
        {"{\"op\":\"auth\",\"id\":3,\"token\":\"x\"}", "err 3 token_malformed"},
        {"{\"op\":\"auth\",\"token\":\"x\"}", "err - bad_request"},
    };
    setup(true);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        CHECK_EQ_STR(run_str(rows[i].message), rows[i].call);
    CHECK_EQ_STR(run(BGW_SLICE("{\"op\":\"ping\xff\",\"id\":1}")), "err - bad_json");
    teardown();
}

static struct bgw_slice command_of(struct bgw_buf *b, size_t keys, bool since)
{
    bgw_buf_init(b, 1 << 20);
    bgw_buf_append_str(b, "{\"op\":\"sub\",\"id\":1,\"keys\":[");
    for (size_t i = 0; i < keys; i++)
        bgw_buf_appendf(b, "%s\"acc-%zu\"", i ? "," : "", i);
    bgw_buf_append_str(b, "]");
    for (size_t i = 0; since && i < keys; i++)
        bgw_buf_appendf(b, "%s\"acc-%zu\":{\"NGN\":\"k3f9.%zu\",\"USD\":\"k3f9.1\"}",
                        i ? "," : ",\"since\":{", keys - 1 - i, i);
    bgw_buf_append_str(b, since ? "}}" : "}");
    CHECK(!b->failed);
    return bgw_buf_slice(b);
}

TEST(a_command_holds_a_thousand_keys_and_their_versions)
{
    struct bgw_buf b;
    setup(true);
    const char *said = run(command_of(&b, 1000, true));
    CHECK(strstr(said, "acc-1[acc-1  since NGN=k3f9.998 since USD=k3f9.1]") != NULL);
    bgw_buf_deinit(&b);
    CHECK_EQ_STR(run(command_of(&b, 1001, false)), "err 1 too_large");
    bgw_buf_deinit(&b);
    teardown();
}

static const char *hello_with(const char *claims)
{
    struct bgw_buf token, message;
    bgw_buf_init(&token, 8192);
    bgw_buf_init(&message, 8192);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), bgw_slice_str(claims), &token) == BGW_OK);
    bgw_buf_append_str(&message, "{\"op\":\"hello\",\"resume\":\"r1\",\"token\":");
    bgw_buf_append_json(&message, bgw_buf_slice(&token));
    bgw_buf_append_str(&message, "}");
    const char *said = run(bgw_buf_slice(&message));
    bgw_buf_deinit(&token);
    bgw_buf_deinit(&message);
    return said;
}

TEST(hello_opens_with_a_good_token_and_ends_with_a_bad_one)
{
    setup(false);
    CHECK_EQ_STR(
        hello_with(
            "{\"sub\":\"u\",\"exp\":2000,\"tenant\":\"t1\",\"scope\":\"accounts.read.all\"}"),
        "hello t1 resume=r1");
    CHECK_EQ_STR(hello_with("{\"sub\":\"u\",\"exp\":999,\"scope\":\"accounts.read.all\"}"),
                 "bye 3500 token_expired");
    CHECK_EQ_STR(run_str("{\"op\":\"hello\"}"), "bye 3500 token_missing");
    CHECK_EQ_STR(run_str("{\"op\":\"hello\",\"token\":7}"), "bye 3500 token_malformed");
    CHECK_EQ_STR(run_str("{\"op\":\"sub\",\"id\":1,\"keys\":[\"A\"]}"), "err 1 not_hello");
    CHECK_EQ_STR(run_str("{\"op\":\"ping\",\"id\":5}"), "err 5 not_hello");
    session.authenticated = true; /* a token came with the request */
    CHECK_EQ_STR(run_str("{\"op\":\"hello\",\"resume\":\"r2\",\"client\":\"console/1.2\"}"),
                 "hello - resume=r2");
    CHECK_EQ_STR(run_str("{\"op\":\"hello\",\"resume\":5}"), "hello - resume=?");
    teardown();
}

/* ---- the connection's word about tokens ---- */

static const struct bgw_native_no *answer; /* of the next admit */
static char told[256];                     /* what the connection heard, in order */

static const struct bgw_native_no *admit(void *conn, const struct bgw_claims *claims, bool first)
{
    CHECK(conn == &session);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "admit %s%s;", claims->tenant, first ? " first" : "");
    return answer;
}
static void admitted(void *conn, const struct bgw_claims *claims)
{
    CHECK(conn == &session);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "admitted %s;", claims->tenant);
}
static void refused(void *conn, const struct bgw_claims *claims, const char *code)
{
    (void)claims;
    CHECK(conn == &session);
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "refused %s;", code);
}

TEST(the_connection_is_asked_about_every_good_token_and_told_of_every_bad_one)
{
    static const struct bgw_native_door door = {admit, admitted, refused};
    static const struct bgw_native_no no = {3504, "connection_limit", "there are too many"};
    static const char good[] = "{\"sub\":\"u\",\"exp\":2000,\"tenant\":\"t1\",\"scope\":\"accounts.read.all\"}";
    static const char old[] = "{\"sub\":\"u\",\"exp\":999,\"tenant\":\"t1\",\"scope\":\"accounts.read.all\"}";
    setup(false);
    native.door = &door;
    answer = NULL;
    told[0] = '\0';
    CHECK_EQ_STR(hello_with(good), "hello t1 resume=r1");
    CHECK_EQ_STR(told, "admit t1 first;admitted t1;");
    told[0] = '\0';
    CHECK_EQ_STR(hello_with(old), "bye 3500 token_expired");
    CHECK_EQ_STR(told, "refused token_expired;");
    told[0] = '\0';
    CHECK_EQ_STR(run_str("{\"op\":\"hello\"}"), "bye 3500 token_missing");
    CHECK_EQ_STR(told, "");
    answer = &no;
    CHECK_EQ_STR(hello_with(good), "bye 3504 connection_limit");
    CHECK_EQ_STR(told, "admit t1 first;");
    session.authenticated = true;
    told[0] = '\0';
    CHECK_EQ_STR(run_str("{\"op\":\"auth\",\"id\":3,\"token\":\"x\"}"), "err 3 token_malformed");
    CHECK_EQ_STR(run_str("{\"op\":\"auth\",\"id\":3}"), "err 3 token_missing");
    CHECK_EQ_STR(told, "refused token_malformed;");
    teardown();
}

TEST(the_room_for_decoded_text_grows_with_the_message)
{
    struct bgw_buf message;
    setup(true);
    bgw_buf_init(&message, 1 << 20);
    bgw_buf_append_str(&message, "{\"op\":\"sub\",\"id\":1,\"keys\":[");
    for (int i = 0; i < 1000; i++) {
        bgw_buf_append_str(&message, i ? ",\"\\u0041" : "\"\\u0041");
        for (int k = 0; k < 800; k++)
            bgw_buf_append_byte(&message, 'k');
        bgw_buf_append_str(&message, "\"");
    }
    bgw_buf_append_str(&message, "]}");
    CHECK(!message.failed && message.len > 800000);
    CHECK(strncmp(run(bgw_buf_slice(&message)), "sub 1 balance Ak", 16) == 0);
    bgw_buf_deinit(&message);
    teardown();
}

TEST(only_a_hello_may_be_large_before_authentication)
{
    CHECK(bgw_native_is_hello(BGW_SLICE("{\"client\":\"x\",\"op\":\"hello\"}")));
    CHECK(!bgw_native_is_hello(BGW_SLICE("{\"op\":\"sub\",\"x\":\"hello\"}")));
    CHECK(!bgw_native_is_hello(BGW_SLICE("hello")));
}
