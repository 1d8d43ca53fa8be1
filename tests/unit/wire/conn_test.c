/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: a connection's life, over a socket, a loop and a shard that are written here, so that time
 * is virtual, a socket is full when the test says so, and a session does what the test wants. This
 * program must not need the real ones.
 */
#include "test.h"

#include "bgw/hash.h"
#include "wire/conn.h"

#include <stdlib.h>

#define SECRET "0123456789abcdef0123456789abcdef"

/* ---- the loop ---- */

static struct bgw_wheel wheel;
static struct bgw_now now;

struct bgw_wheel *bgw_loop_wheel(struct bgw_loop *loop)
{
    (void)loop;
    return &wheel;
}
struct bgw_now bgw_loop_now(const struct bgw_loop *loop)
{
    (void)loop;
    return now;
}

static void pass(int64_t ms)
{
    now.mono_ms += ms;
    now.wall_ms += ms;
    bgw_wheel_advance(&wheel, now.mono_ms);
}

/* ---- the socket: one ---- */

struct bgw_socket {
    char sent[300000];
    size_t sent_len;
    bool full, buffered, paused, finished, aborted;
    unsigned sends;
};

static struct bgw_socket sock;

enum bgw_sent bgw_socket_send(struct bgw_socket *s, struct bgw_slice bytes)
{
    CHECK(!s->buffered && !s->finished && !s->aborted);
    CHECK(s->sent_len + bytes.len <= sizeof(s->sent));
    memcpy(s->sent + s->sent_len, bytes.data, bytes.len);
    s->sent_len += bytes.len;
    s->sends++;
    s->buffered = s->full;
    return s->full ? BGW_SENT_BUFFERED : BGW_SENT_ALL;
}
bool bgw_socket_buffered(const struct bgw_socket *s)
{
    return s->buffered;
}
void bgw_socket_pause(struct bgw_socket *s, bool paused)
{
    s->paused = paused;
}
void bgw_socket_finish(struct bgw_socket *s)
{
    CHECK(!s->finished && !s->aborted);
    s->finished = true;
}
void bgw_socket_abort(struct bgw_socket *s)
{
    s->aborted = true;
}

/* ---- the shard: one session ---- */

struct bgw_session {
    void *conn;
    bool open, authenticated, choked, bye_on_ping;
    unsigned pings, opened, closed, writable, pongs;
};

static struct bgw_session session;
static struct bgw_conn_host host;

enum bgw_status bgw_session_open(struct bgw_shard *s, void *conn, const struct bgw_dialect *dialect,
                                 const struct bgw_claims *claims, struct bgw_now at, struct bgw_session **out)
{
    (void)s, (void)dialect, (void)at;
    session.conn = conn;
    session.open = true;
    session.opened++;
    session.authenticated = claims != NULL;
    *out = &session;
    return BGW_OK;
}
void bgw_session_close(struct bgw_shard *s, struct bgw_session *session_)
{
    (void)s, (void)session_;
    CHECK(session.open);
    session.open = false;
    session.closed++;
}
size_t bgw_shard_session_count(const struct bgw_shard *s)
{
    (void)s;
    return session.open;
}
void bgw_shard_each_session(struct bgw_shard *s, void (*fn)(void *arg, struct bgw_session *session_), void *arg)
{
    (void)s;
    if (session.open)
        fn(arg, &session);
}
void *bgw_session_conn(const struct bgw_session *session_)
{
    return session_->conn;
}
void bgw_shard_set_now(struct bgw_shard *s, struct bgw_now at)
{
    (void)s, (void)at;
}
void bgw_session_on_traffic(struct bgw_shard *s, struct bgw_session *session_, struct bgw_now at)
{
    (void)s, (void)session_, (void)at;
    CHECK(session.open);
}
void bgw_session_on_pong(struct bgw_shard *s, struct bgw_session *session_, struct bgw_now at)
{
    (void)s, (void)session_, (void)at;
    session.pongs++;
}
void bgw_session_on_writable(struct bgw_shard *s, struct bgw_session *session_, struct bgw_now at)
{
    (void)s, (void)session_, (void)at;
    session.writable++;
}
bool bgw_session_authenticated(const struct bgw_session *session_)
{
    return session_->authenticated;
}
bool bgw_session_choked(const struct bgw_session *session_)
{
    return session_->choked;
}
void bgw_session_bye(struct bgw_shard *s, struct bgw_session *session_, uint16_t code, int64_t retry_ms, const char *reason)
{
    struct bgw_buf b;
    (void)s;
    bgw_buf_init(&b, 1024);
    bgw_dialect_native.bye(&b, code, retry_ms, reason);
    bgw_conn_send(NULL, session_->conn, bgw_buf_slice(&b));
    bgw_conn_hang_up(NULL, session_->conn, code);
    bgw_buf_deinit(&b);
}
void bgw_session_ping(struct bgw_shard *s, struct bgw_session *session_, uint64_t id)
{
    struct bgw_buf b;
    session.pings++;
    if (session.bye_on_ping) {
        bgw_session_bye(s, session_, 3501, 0, "test");
        return;
    }
    bgw_buf_init(&b, 1024);
    bgw_dialect_native.pong(&b, id);
    bgw_conn_send(NULL, session_->conn, bgw_buf_slice(&b));
    bgw_buf_deinit(&b);
}
void bgw_session_hello(struct bgw_shard *s, struct bgw_session *session_, const struct bgw_claims *claims,
                       struct bgw_slice resume, struct bgw_now at)
{
    (void)s, (void)claims, (void)resume, (void)at;
    session_->authenticated = true;
}
void bgw_session_sub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id, struct bgw_slice feed,
                     const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)session_, (void)id, (void)feed, (void)keys, (void)count;
}
void bgw_session_unsub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id, struct bgw_slice feed,
                       const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)session_, (void)id, (void)feed, (void)keys, (void)count;
}
void bgw_session_refresh(struct bgw_shard *s, struct bgw_session *session_, uint64_t id, const struct bgw_claims *claims)
{
    (void)s, (void)session_, (void)id, (void)claims;
}
void bgw_session_rate(struct bgw_shard *s, struct bgw_session *session_, uint64_t id, int64_t millihz, int64_t bytes_s)
{
    (void)s, (void)session_, (void)id, (void)millihz, (void)bytes_s;
}
void bgw_session_ack(struct bgw_shard *s, struct bgw_session *session_, struct bgw_slice w)
{
    (void)s, (void)session_, (void)w;
}
void bgw_session_repair(struct bgw_shard *s, struct bgw_session *session_, uint64_t id)
{
    (void)s, (void)session_, (void)id;
}
void bgw_session_err(struct bgw_shard *s, struct bgw_session *session_, bool has_id, uint64_t id, const char *code,
                     const char *text, bool strike)
{
    (void)s, (void)session_, (void)has_id, (void)id, (void)code, (void)text, (void)strike;
}

/* ---- the token's key, which may have to be fetched ---- */

static unsigned key_pending; /* how many checks say so */
static enum bgw_auth_result verdict;

enum bgw_auth_result bgw_auth_verify(const struct bgw_auth *auth, struct bgw_slice token, struct bgw_now at,
                                     struct bgw_claims *claims)
{
    (void)auth, (void)token, (void)at;
    memset(claims, 0, sizeof(*claims));
    if (key_pending) {
        key_pending--;
        return BGW_AUTH_PENDING;
    }
    return verdict;
}
const char *bgw_auth_code(enum bgw_auth_result r)
{
    return r == BGW_AUTH_MISSING ? "token_missing" : "bad_signature";
}
const char *bgw_auth_sentence(enum bgw_auth_result r)
{
    return bgw_auth_code(r);
}
void bgw_claims_deinit(struct bgw_claims *c)
{
    (void)c;
}
void bgw_auth_sha1(struct bgw_slice bytes, uint8_t out[20])
{
    (void)bytes;
    memset(out, 0, 20);
}

/* ---- the test's side ---- */

static struct bgw_config config;
static struct bgw_feed feed;
static void *conn;

static void health(void *arg, struct bgw_health *out)
{
    (void)arg;
    *out = (struct bgw_health){.ready = true};
}

static void open_conn(void)
{
    bgw_hash_init();
    memset(&sock, 0, sizeof(sock));
    memset(&session, 0, sizeof(session));
    memset(&host, 0, sizeof(host));
    key_pending = 0;
    verdict = BGW_AUTH_OK;
    now = (struct bgw_now){5000, 1700000000000};
    bgw_wheel_init(&wheel, now.mono_ms);
    config.origins = "https://app.example.com";
    config.web_root = "";
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    bgw_conn_host_init(&host, 10);
    host.api = (struct bgw_api){.config = &config, .version = "1", .health = health};
    host.native = (struct bgw_native){.feeds = &feed, .feed_count = 1, .scratch = bgw_native_scratch_create()};
    host.header_ms = 5000;
    host.idle_ms = 60000;
    host.close_ms = 5000;
    host.key_wait_ms = 5000;
    host.key_retry_ms = 50;
    host.sessions_max = 5;
    conn = bgw_conn_opened(&host, &sock, "test");
}

static void close_conn(void)
{
    bgw_conn_closed(conn);
    CHECK(!session.open);
    bgw_native_scratch_destroy(&host.native.scratch);
    bgw_conn_host_deinit(&host);
}

static void give(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    bgw_conn_received(conn, bgw_slice_of(copy, len));
    free(copy);
}

static void give_str(const char *text)
{
    give(text, strlen(text));
}

static void make_writable(void)
{
    sock.full = sock.buffered = false;
    bgw_conn_writable(conn);
}

/* How often the text stands in what was sent. */
static unsigned sent_count(const char *text)
{
    unsigned n = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= sock.sent_len; i++)
        n += memcmp(sock.sent + i, text, len) == 0;
    return n;
}

static void give_frame(unsigned char first, const char *payload, size_t len)
{
    static char frame[140000];
    size_t at = 0;
    frame[at++] = (char)first;
    if (len < 126) {
        frame[at++] = (char)(0x80 | len);
    } else if (len < 65536) {
        frame[at++] = (char)(0x80 | 126);
        frame[at++] = (char)(len >> 8);
        frame[at++] = (char)len;
    } else {
        memset(frame + at, 0, 10);
        frame[at] = (char)(0x80 | 127);
        for (int i = 0; i < 8; i++)
            frame[at + 1 + (size_t)i] = (char)(len >> (56 - 8 * i));
        at += 9;
    }
    memset(frame + at, 0, 4); /* a mask of zeros */
    at += 4;
    memcpy(frame + at, payload, len);
    give(frame, at + len);
}

static void give_text(const char *text)
{
    give_frame(0x81, text, strlen(text));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE_BUT_END                                                                                     \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
#define NATIVE "Sec-WebSocket-Protocol: bgw.v1\r\n"

/* ---- HTTP ---- */

TEST(pipelined_requests_are_answered_in_order_each_when_the_last_is_out)
{
    open_conn();
    sock.full = true;
    give_str(GET("/livez") GET("/health") GET("/nothing") GET("/livez"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 "), 1);
    CHECK(sock.paused);
    sock.buffered = false; /* one goes out; the next fills the socket again */
    bgw_conn_writable(conn);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 2);
    CHECK_EQ_I64(sent_count("Atlas.Realtime"), 1);
    CHECK(!sock.finished);
    make_writable();
    CHECK_EQ_I64(sent_count("HTTP/1.1 "), 3); /* 404 ends the connection: the fourth is never read */
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    CHECK(sock.finished);
    close_conn();
}

TEST(a_request_in_pieces_is_answered_once)
{
    static const char text[] = GET("/ws/info");
    open_conn();
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        CHECK_EQ_I64(sock.sends, 0);
        give(text + i, 1);
    }
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("{\"endpoint\":\"/ws\",\"protocols\":[\"websocket\"],"
                            "\"features\":[\"balance-updates\",\"real-time-notifications\"]"), 1);
    CHECK(!sock.finished);
    close_conn();
}

TEST(a_header_that_takes_too_long_is_told_408_and_idleness_is_not)
{
    open_conn();
    give_str("GET / HT");
    pass(4999);
    CHECK_EQ_I64(sock.sent_len, 0);
    pass(2);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    CHECK(sock.finished);
    close_conn();

    open_conn(); /* nothing at all: the deadline runs since accept */
    pass(5001);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    close_conn();

    open_conn();
    give_str(GET("/livez"));
    size_t len = sock.sent_len;
    pass(59000);
    CHECK(!sock.finished);
    pass(2000);
    CHECK(sock.finished);
    CHECK_EQ_I64(sock.sent_len, len);
    close_conn();

    open_conn(); /* a later request has its own deadline, from its first byte */
    give_str(GET("/livez"));
    pass(30000);
    give_str("G");
    pass(5001);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    close_conn();
}

TEST(refusals_name_the_trouble_and_end_the_connection)
{
    static const struct {
        const char *text;
        const char *expected[4];
    } rows[] = {
        {"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab", {"HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n"}},
        {"PURGE /health HTTP/1.1\r\nHost: a\r\n\r\n", {"HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n"}},
        {"POST /ws HTTP/1.1\r\nHost: a\r\n\r\n", {"HTTP/1.1 405", "Allow: GET, OPTIONS\r\n"}},
        {GET("/../etc/passwd"), {"HTTP/1.1 404", "\"code\":\"not_found\""}},
        {GET("/demo/token.json"), {"HTTP/1.1 404"}},
        {GET("/ws"), {"HTTP/1.1 426", "Upgrade: websocket\r\n", "Sec-WebSocket-Version: 13\r\n"}},
        {"GET / HTTP/1.1\r\n\r\n", {"HTTP/1.1 400", "\"code\":\"bad_host\""}},
        {UPGRADE_BUT_END "\r\n", {"HTTP/1.1 401", "WWW-Authenticate: Bearer", "token_missing"}},
        {UPGRADE_BUT_END "Authorization: Bearer x\r\n\r\n", {"HTTP/1.1 400", "unknown_dialect"}},
        {UPGRADE_BUT_END NATIVE "Authorization: Basic x\r\n\r\n", {"HTTP/1.1 401", "WWW-Authenticate: Bearer"}},
        {UPGRADE_BUT_END NATIVE "Origin: https://evil.example.com\r\n\r\n", {"HTTP/1.1 403", "forbidden_origin"}},
        {UPGRADE_BUT_END NATIVE "Origin: null\r\n\r\n", {"HTTP/1.1 403", "forbidden_origin"}},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
         {"HTTP/1.1 426", "Sec-WebSocket-Version: 13\r\n", "websocket_version"}},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: short\r\n\r\n", {"HTTP/1.1 400", "bad_websocket_key"}},
        {"GET /ws?access_token=a HTTP/1.1\r\nAuthorization: Bearer b\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", {"HTTP/1.1 400", "two_tokens"}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_conn();
        give_str(rows[i].text);
        for (size_t e = 0; e < 4 && rows[i].expected[e]; e++) {
            if (!sent_count(rows[i].expected[e]))
                printf("# row %zu wants %s: %.*s\n", i, rows[i].expected[e], (int)sock.sent_len, sock.sent);
            CHECK(sent_count(rows[i].expected[e]) > 0);
        }
        CHECK_EQ_I64(sent_count("Connection: close\r\n"), 1);
        CHECK_EQ_I64(sent_count("application/problem+json"), 1);
        CHECK(sock.finished && !session.opened);
        size_t len = sock.sent_len;
        give_str(GET("/livez")); /* what comes while it lingers is dropped */
        CHECK_EQ_I64(sock.sent_len, len);
        close_conn();
    }
}

TEST(head_has_the_length_and_no_body_and_an_etag_saves_it)
{
    open_conn();
    give_str("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Atlas"), 0);
    CHECK_EQ_I64(sent_count("Content-Length: 0\r\n"), 0);
    sock.sent_len = 0;
    give_str(GET("/"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    char etag[64], request[256];
    sock.sent[sock.sent_len] = '\0';
    const char *at = strstr(sock.sent, "ETag: ");
    CHECK(at && sscanf(at, "ETag: %63[^\r]", etag) == 1);
    snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/%s\r\n\r\n", etag);
    sock.sent_len = 0;
    give_str(request);
    CHECK_EQ_I64(sent_count("HTTP/1.1 304"), 1);
    CHECK_EQ_I64(sent_count("<html"), 0);
    sock.sent_len = 0;
    give_str("OPTIONS * HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 204"), 1);
    CHECK_EQ_I64(sent_count("Access-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK(!sock.finished);
    close_conn();
}

/* ---- WebSocket ---- */

TEST(a_quiet_websocket_keeps_only_its_small_part)
{
    open_conn();
    CHECK_EQ_I64(host.busy_pool.in_use, 1);
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    give("\x89", 1); /* half a ping */
    CHECK_EQ_I64(host.busy_pool.in_use, 1);
    give("\x80\0\0\0\0", 5);
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    CHECK_EQ_I64(sent_count("\x8a"), 1);
    close_conn();
}

static void upgrade(void)
{
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 101 "), 1);
    CHECK_EQ_I64(sent_count("Sec-WebSocket-Protocol: bgw.v1\r\n"), 1);
    CHECK_EQ_I64(session.opened, 1);
    sock.sent_len = 0;
}

TEST(frames_behind_the_upgrade_request_are_the_sessions)
{
    open_conn();
    give(UPGRADE_BUT_END NATIVE "Origin: http://a\r\n\r\n\x89\x82\0\0\0\0hi", strlen(UPGRADE_BUT_END NATIVE "Origin: http://a\r\n\r\n") + 8);
    CHECK_EQ_I64(sent_count("HTTP/1.1 101 "), 1);
    CHECK(sock.sent_len > 4 && memcmp(sock.sent + sock.sent_len - 4, "\x8a\x02hi", 4) == 0);
    pass(100000); /* its deadlines are the session's now */
    CHECK(!sock.finished && !sock.aborted);
    close_conn();
}

TEST(every_ping_gets_its_pong_also_when_the_socket_is_full)
{
    upgrade();
    sock.full = true;
    char pings[80];
    size_t at = 0;
    for (char n = 0; n < 10; n++) {
        memcpy(pings + at, "\x89\x81\0\0\0\0", 6);
        pings[at + 6] = (char)('0' + n);
        at += 7;
    }
    give(pings, at);
    CHECK(sock.paused); /* what waits is bounded by what was read */
    sock.full = false;
    sock.buffered = false;
    for (int turn = 0; turn < 12; turn++)
        bgw_conn_writable(conn);
    CHECK_EQ_I64(sock.sent_len, 30);
    for (size_t n = 0; n < 10; n++)
        CHECK(sock.sent[3 * n + 2] == (char)('0' + n));
    CHECK(!sock.paused);
    close_conn();
}

TEST(a_choked_session_is_not_read_until_its_lane_is_free)
{
    upgrade();
    session.authenticated = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    CHECK_EQ_I64(session.pings, 1);
    session.choked = true;
    give_text("{\"op\":\"ping\",\"id\":2}");
    CHECK(sock.paused);
    CHECK_EQ_I64(session.pings, 1);
    bgw_conn_host_turn_end(&host);
    CHECK(sock.paused);
    session.choked = false;
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(session.pings, 2);
    CHECK(!sock.paused);
    close_conn();
}

TEST(limits_of_messages_depend_on_authentication)
{
    static char big[70000];
    memset(big, ' ', sizeof(big));
    memcpy(big, "{\"op\":\"hello\",\"token\":\"x\",\"x\":\"", 31);
    upgrade();
    memcpy(big + 20000 - 2, "\"}", 2);
    give_frame(0x81, big, 20000); /* a hello may have 32 KiB */
    CHECK(session.authenticated && !sock.finished);
    memcpy(big + 20000 - 2, "  ", 2);
    memcpy(big + 65536 - 2, "\"}", 2);
    give_frame(0x81, big, 65536);
    CHECK(!sock.finished);
    give_frame(0x81, big, 65537);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1); /* 1009 */
    CHECK(sock.finished && session.closed == 1);
    close_conn();

    upgrade();
    memcpy(big, "{\"op\":\"sub\",  \"x\":1,        \"x\":\"", 31);
    give_frame(0x81, big, 16385);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1);
    close_conn();
}

TEST(broken_frames_fail_the_connection_with_their_code)
{
    upgrade();
    give("\x81\x02hi", 4); /* not masked */
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xea"), 1);
    CHECK(sock.finished && session.closed == 1);
    close_conn();
    upgrade();
    give_frame(0x82, "hi", 2); /* binary */
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xeb"), 1);
    CHECK(sock.finished);
    close_conn();
}

TEST(the_peers_close_is_answered_and_ends_it)
{
    upgrade();
    give_frame(0x88, "\x03\xe8", 2);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xe8"), 1);
    CHECK(sock.finished && session.closed == 1);
    give_text("{\"op\":\"ping\",\"id\":1}");
    CHECK_EQ_I64(session.pings, 0);
    close_conn();
}

TEST(after_our_bye_the_peer_has_five_seconds_to_close)
{
    for (int answers = 0; answers < 2; answers++) {
        upgrade();
        session.authenticated = session.bye_on_ping = true;
        give_text("{\"op\":\"ping\",\"id\":1}");
        CHECK_EQ_I64(sent_count("\"code\":3501"), 1);
        give_text("{\"op\":\"ping\",\"id\":2}");
        CHECK_EQ_I64(session.pings, 1); /* nothing has an effect any more */
        CHECK(!sock.finished);
        if (answers)
            give_frame(0x88, "\x0d\xad", 2);
        else
            pass(5001);
        CHECK(sock.finished && session.closed == 1);
        close_conn();
    }
    upgrade(); /* a peer that does not even take the bye */
    session.authenticated = session.bye_on_ping = sock.full = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    pass(5001);
    CHECK(sock.aborted);
    close_conn();
}

TEST(an_upgrade_waits_for_its_tokens_key)
{
    open_conn();
    key_pending = 3;
    give_str(UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n\r\n");
    CHECK(sock.paused && !session.opened && sock.sent_len == 0);
    give("\x89\x80\0\0\0\0", 6); /* a ping sent ahead waits too */
    for (int i = 0; i < 4; i++)
        pass(51);
    CHECK_EQ_I64(session.opened, 1);
    CHECK(session.authenticated);
    bgw_conn_host_turn_end(&host);
    CHECK(!sock.paused);
    CHECK(memcmp(sock.sent + sock.sent_len - 2, "\x8a\0", 2) == 0);
    close_conn();

    open_conn();
    key_pending = 1000000;
    give_str(UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n\r\n");
    for (int i = 0; i < 110; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("key_unavailable"), 1);
    CHECK(sock.finished && !session.opened);
    close_conn();
}

TEST(a_hello_waits_for_its_tokens_key_and_what_follows_waits_behind_it)
{
    upgrade();
    key_pending = 2;
    give_text("{\"op\":\"hello\",\"token\":\"x\"}");
    CHECK(sock.paused && !session.authenticated);
    give_text("{\"op\":\"ping\",\"id\":1}");
    pass(51);
    CHECK(!session.authenticated && !session.pings);
    pass(51);
    CHECK(session.authenticated);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(session.pings, 1);
    CHECK(!sock.paused);
    close_conn();

    upgrade();
    key_pending = 1000000;
    give_text("{\"op\":\"hello\",\"token\":\"x\"}");
    for (int i = 0; i < 110; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("key_unavailable"), 2); /* in the bye and in its close frame */
    close_conn();
}

TEST(a_drain_refuses_sessions_says_bye_and_keeps_answering)
{
    upgrade();
    bgw_conn_host_drain(&host);
    CHECK(!bgw_conn_host_say_bye(&host, 10, 20000));
    CHECK_EQ_I64(sent_count("{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":"), 1);
    CHECK(!bgw_conn_host_say_bye(&host, 10, 20000));
    CHECK_EQ_I64(sent_count("{\"ev\":\"bye\""), 1);
    close_conn();

    open_conn();
    host.draining = true; /* it came while the others went */
    give_str(GET("/livez"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Connection: close\r\n"), 1);
    CHECK(sock.finished);
    close_conn();

    open_conn();
    host.draining = true; /* it came while the others went */
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK(sock.finished && !session.opened);
    close_conn();

    open_conn(); /* nothing was asked on it: it goes at once, without a word */
    bgw_conn_host_drain(&host);
    CHECK(sock.finished && sock.sent_len == 0);
    close_conn();
}
