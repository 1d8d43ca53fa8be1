/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_rig: a connection over a socket, a loop and a shard that are written here, so that time is
 * virtual, a socket is full when the test says so, and a session does what the test wants. A program
 * that includes it must not need the real ones.
 */
#ifndef BGW_CONN_RIG_H
#define BGW_CONN_RIG_H

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

static inline void advance(int64_t ms)
{
    now.mono_ms += ms;
    now.wall_ms += ms;
    bgw_wheel_advance(&wheel, now.mono_ms);
}

/* ---- the socket: one ---- */

struct bgw_socket {
    char sent[300000];
    size_t sent_len;
    bool full, buffered, paused, finished, aborted, verified;
    unsigned sends;
    struct bgw_addr peer;
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

const struct bgw_addr *bgw_socket_peer(const struct bgw_socket *s)
{
    return &s->peer;
}
bool bgw_socket_peer_verified(const struct bgw_socket *s)
{
    return s->verified;
}

/* ---- the shard: one session ---- */

struct bgw_session {
    void *conn;
    const struct bgw_dialect *dialect;
    bool open, authenticated, choked, bye_on_ping, spent;
    bool deaf; /* takes no hello */
    unsigned pings, opened, closed, writable, pongs, charged, refreshed, strikes, client_pings, traffic;
    unsigned subs, unsubs;
    char sub_text[256]; /* the last sub's keys, each with a space behind it */
    char sub_parts[256]; /* and their parts, the same way; "-": all */
    char resume[1024];  /* presented by the last hello */
    char err[64]; /* the last one's code */
    struct bgw_claims claims;
};

static struct bgw_session session;
static struct bgw_conn_host host;

enum bgw_status bgw_session_open(struct bgw_shard *s, void *conn, const struct bgw_dialect *dialect,
                                 const struct bgw_claims *claims, struct bgw_now at,
                                 struct bgw_session **out)
{
    (void)s, (void)at;
    session.conn = conn;
    session.dialect = dialect;
    session.open = true;
    session.opened++;
    session.authenticated = claims != NULL;
    if (claims)
        session.claims = *claims;
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
void bgw_shard_each_session(struct bgw_shard *s,
                            void (*fn)(void *arg, struct bgw_session *session_), void *arg)
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
    session.traffic++;
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
void bgw_session_holder(const struct bgw_session *session_, struct bgw_holder *out)
{
    CHECK(session_->authenticated);
    *out = (struct bgw_holder){.subject_hash = session_->claims.subject_hash,
                               .jti_hash = session_->claims.jti_hash,
                               .tenant = bgw_slice_str(session_->claims.tenant)};
}
uint64_t bgw_session_conn_id(const struct bgw_session *session_)
{
    (void)session_;
    return 77;
}
bool bgw_session_may_command(struct bgw_shard *s, struct bgw_session *session_, int64_t *wait_ms)
{
    (void)s;
    session_->charged++;
    *wait_ms = 100;
    return !session_->spent;
}
bool bgw_session_authenticated(const struct bgw_session *session_)
{
    return session_->authenticated;
}
bool bgw_session_choked(const struct bgw_session *session_)
{
    return session_->choked;
}
void bgw_session_bye(struct bgw_shard *s, struct bgw_session *session_, uint16_t code,
                     int64_t retry_ms, const char *reason)
{
    struct bgw_buf b;
    (void)s;
    bgw_buf_init(&b, 1024);
    session_->dialect->bye(&b, code, retry_ms, reason);
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
void bgw_session_hello(struct bgw_shard *s, struct bgw_session *session_,
                       const struct bgw_claims *claims, struct bgw_slice resume, struct bgw_now at)
{
    (void)s, (void)at;
    CHECK(resume.len < sizeof(session_->resume));
    memcpy(session_->resume, resume.len ? resume.data : "", resume.len);
    session_->resume[resume.len] = 0;
    if (session_->deaf)
        return;
    session_->authenticated = true;
    if (claims)
        session_->claims = *claims;
}
void bgw_session_sub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                     struct bgw_slice feed, const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)id, (void)feed;
    session_->subs++;
    session_->sub_text[0] = session_->sub_parts[0] = 0;
    for (size_t i = 0; i < count; i++) {
        char part[BGW_PART_MAX] = "-";
        size_t part_len = keys[i].part ? bgw_part_text(keys[i].part, part) : 1;
        size_t text_at = strlen(session_->sub_text), parts_at = strlen(session_->sub_parts);
        snprintf(session_->sub_text + text_at, sizeof(session_->sub_text) - text_at, "%.*s ", (int)keys[i].text.len, keys[i].text.data);
        snprintf(session_->sub_parts + parts_at, sizeof(session_->sub_parts) - parts_at, "%.*s ", (int)part_len, part);
    }
}
void bgw_session_unsub(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                       struct bgw_slice feed, const struct bgw_sub_key *keys, size_t count)
{
    (void)s, (void)session_, (void)id, (void)feed, (void)keys, (void)count;
}
void bgw_session_refresh(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                         const struct bgw_claims *claims)
{
    (void)s, (void)id, (void)claims;
    session_->refreshed++;
}
void bgw_session_rate(struct bgw_shard *s, struct bgw_session *session_, uint64_t id,
                      int64_t millihz, int64_t bytes_s)
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
void bgw_session_err(struct bgw_shard *s, struct bgw_session *session_, bool has_id, uint64_t id,
                     const char *code, const char *text, bool strike)
{
    (void)s, (void)has_id, (void)id, (void)text, (void)strike;
    snprintf(session_->err, sizeof(session_->err), "%s", code);
}

void bgw_session_settle(struct bgw_shard *s, struct bgw_session *session_, const struct bgw_dialect *dialect)
{
    (void)s;
    CHECK(session_->dialect->greeting && !dialect->greeting);
    session_->dialect = dialect;
}
bool bgw_session_greeting(const struct bgw_session *session_)
{
    return session_->dialect->greeting;
}
void bgw_session_on_client_ping(struct bgw_shard *s, struct bgw_session *session_)
{
    (void)s;
    session_->client_pings++;
}
void bgw_session_say(struct bgw_shard *s, struct bgw_session *session_, struct bgw_slice messages)
{
    (void)s;
    bgw_conn_send(NULL, session_->conn, messages);
}
void bgw_session_strike(struct bgw_shard *s, struct bgw_session *session_)
{
    (void)s;
    session_->strikes++;
}

/* ---- reads: answered at once by `read_answer`, unless read_later ---- */

struct bgw_read {
    void *user;
    bool waiting, cancelled;
    char key[BGW_KEY_MAX + 1];
    struct bgw_read_question question; /* its slices point to what is gone */
};

static struct bgw_read rig_reads[256];
static size_t rig_read_count;
static bool read_later;
static struct bgw_read_answer read_answer;

bool bgw_shard_read(struct bgw_shard *s, const struct bgw_read_question *q, void *user, struct bgw_now at,
                    struct bgw_read **read, struct bgw_read_answer *answer)
{
    (void)s, (void)at;
    CHECK(rig_read_count < 256);
    struct bgw_read *r = &rig_reads[rig_read_count++];
    *r = (struct bgw_read){.user = user, .waiting = read_later, .question = *q};
    memcpy(r->key, q->key.data, q->key.len);
    *read = r;
    *answer = read_answer;
    return !read_later;
}
void bgw_shard_read_cancel(struct bgw_shard *s, struct bgw_read *read)
{
    (void)s;
    CHECK(read->waiting && !read->cancelled);
    read->waiting = false;
    read->cancelled = true;
}
static inline void finish_read(size_t i)
{
    CHECK(rig_reads[i].waiting);
    rig_reads[i].waiting = false;
    bgw_conn_read_done(NULL, rig_reads[i].user, &read_answer);
}

/* ---- the token's key, which may have to be fetched ---- */

static unsigned key_pending; /* how many checks say so */
static enum bgw_auth_result verdict;
static struct bgw_claims verified_claims; /* what a good token says */
static bool grants_all;

enum bgw_auth_result bgw_auth_verify(const struct bgw_auth *auth, struct bgw_slice token,
                                     struct bgw_now at, struct bgw_claims *claims)
{
    (void)auth, (void)token, (void)at;
    *claims = verified_claims;
    if (key_pending) {
        key_pending--;
        return BGW_AUTH_PENDING;
    }
    return verdict;
}
static unsigned cache_asked;

enum bgw_auth_result bgw_token_cache_verify(struct bgw_token_cache *cache, struct bgw_slice token, struct bgw_now at,
                                            struct bgw_claims *claims)
{
    (void)cache;
    cache_asked++;
    return bgw_auth_verify(NULL, token, at, claims);
}
const struct bgw_revocations *bgw_auth_revocations(const struct bgw_auth *auth)
{
    (void)auth;
    return NULL;
}
const char *bgw_auth_code(enum bgw_auth_result r)
{
    return r == BGW_AUTH_MISSING ? "token_missing" : r == BGW_AUTH_REVOKED ? "revoked" : "bad_signature";
}
const char *bgw_auth_sentence(enum bgw_auth_result r)
{
    return bgw_auth_code(r);
}
void bgw_claims_deinit(struct bgw_claims *c)
{
    (void)c;
}
/* Keys that begin with NO_ are of somebody else. */
enum bgw_access bgw_access_check(const struct bgw_claims *claims, struct bgw_slice tenant, struct bgw_slice key, struct bgw_now at)
{
    (void)at;
    CHECK(bgw_slice_eq(tenant, bgw_slice_str(claims->tenant)));
    return key.len > 3 && memcmp(key.data, "NO_", 3) == 0 ? BGW_ACCESS_NO_GRANT : BGW_ACCESS_OK;
}
bool bgw_grants_all(const struct bgw_grants *g)
{
    (void)g;
    return grants_all;
}

/* ---- the mailbox for what was posted: holds it until the test delivers it ---- */

static struct bgw_posted rig_posted[16];
static size_t rig_posted_count, rig_posted_max = 16;

enum bgw_status bgw_mailbox_post(struct bgw_mailbox *m, const void *item)
{
    (void)m;
    if (rig_posted_count == rig_posted_max)
        return BGW_FULL;
    rig_posted[rig_posted_count++] = *(const struct bgw_posted *)item;
    return BGW_OK;
}
static inline void deliver_posted(void)
{
    for (size_t i = 0; i < rig_posted_count; i++)
        bgw_conn_host_posted(&host, &rig_posted[i]);
    rig_posted_count = 0;
}

/* ---- the audit log: the last events ---- */

static struct bgw_audit_event events[16];
static size_t event_count;

void bgw_audit_put(struct bgw_audit *a, const struct bgw_audit_event *e)
{
    CHECK(a != NULL);
    events[event_count++ % 16] = *e;
}

/* ---- the test's side ---- */

static struct bgw_config config;
static struct bgw_policy policy;
static struct bgw_feed feed;
static void *conn;

static void health(void *arg, struct bgw_health *out)
{
    (void)arg;
    *out = (struct bgw_health){.ready = true};
}

/* The defaults, as config.def has them. */
static void make_policy(void)
{
    bgw_nets_release(policy.trusted_proxies);
    memset(&policy, 0, sizeof(policy));
    atomic_init(&policy.refs, 1);
    policy.handshakes_per_s = 2000;
    policy.storm_spread_s = 10;
    policy.origins = (char *)(uintptr_t)"https://app.example.com";
    policy.header_ms = policy.auth_ms = 5000;
    policy.idle_ms = 60000;
    policy.header_bytes_max = 32768;
    policy.body_bytes_max = 65536;
    policy.message_bytes_max = 65536;
    policy.early_message_bytes_max = 16384;
    policy.fragments_max = 1000;
}

static inline void trust(const char *nets)
{
    bgw_nets_release(policy.trusted_proxies);
    CHECK(bgw_nets_parse(&policy.trusted_proxies, nets, NULL) == BGW_OK);
}

/* The program's end is one of its tests: nothing may be left. */
__attribute__((destructor)) static void drop_policy(void)
{
    bgw_nets_release(policy.trusted_proxies);
    policy.trusted_proxies = NULL;
}

static void open_conn(void)
{
    bgw_hash_init();
    memset(&sock, 0, sizeof(sock));
    memset(&session, 0, sizeof(session));
    memset(&host, 0, sizeof(host));
    key_pending = 0;
    event_count = 0;
    grants_all = false;
    verdict = BGW_AUTH_OK;
    memset(&verified_claims, 0, sizeof(verified_claims));
    make_policy();
    now = (struct bgw_now){5000, 1700000000000};
    bgw_wheel_init(&wheel, now.mono_ms);
    config.web_root = "";
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    bgw_conn_host_init(&host, 10);
    host.api = (struct bgw_api){.config = &config, .version = "1", .health = health};
    host.native = (struct bgw_native){
        .feeds = &feed, .feed_count = 1, .scratch = bgw_native_scratch_create()};
    host.estate = (struct bgw_estate){.feed = &feed, .scratch = bgw_estate_scratch_create()};
    rig_posted_count = 0;
    rig_read_count = 0;
    read_later = false;
    read_answer = (struct bgw_read_answer){0};
    host.policy = &policy;
    host.close_ms = 5000;
    host.key_retry_ms = 50;
    host.sessions_max = 5;
    conn = bgw_conn_opened(&host, &sock);
}

static void close_conn(void)
{
    bgw_conn_closed(conn);
    CHECK(!session.open);
    bgw_native_scratch_destroy(&host.native.scratch);
    bgw_estate_scratch_destroy(&host.estate.scratch);
    bgw_conn_host_deinit(&host);
}

static inline void pass(int64_t ms)
{
    advance(ms);
    bgw_conn_host_release_heads(&host);
}

static bool mid_turn; /* what is given is not the last of its turn */

static void give(const char *bytes, size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    bgw_conn_received(conn, bgw_slice_of(copy, len));
    free(copy);
    if (!mid_turn)
        bgw_conn_host_release_heads(&host);
}

static inline void give_str(const char *text)
{
    give(text, strlen(text));
}

static inline void make_writable(void)
{
    sock.full = sock.buffered = false;
    bgw_conn_writable(conn);
}

/* How often the text stands in what was sent. */
static inline unsigned sent_count(const char *text)
{
    unsigned n = 0;
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= sock.sent_len; i++)
        n += memcmp(sock.sent + i, text, len) == 0;
    return n;
}

static inline void give_frame(unsigned char first, const char *payload, size_t len)
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

static inline void give_text(const char *text)
{
    give_frame(0x81, text, strlen(text));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"
#define UPGRADE_BUT_END                                                                            \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "                            \
    "Upgrade\r\nSec-WebSocket-Version: 13\r\n"                                                     \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
#define NATIVE "Sec-WebSocket-Protocol: bgw.v1\r\n"

#endif
