/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard_rig: a shard with a hub that only writes down what it is told, and connections that keep
 * what was said as lines of text, one a message. Time is the rig's. The dialect spells decisions
 * and nothing else:
 *
 *   upd A.NGN=100@e1.7+snap+2 B.NGN=5@e1.3     +snap, +merged count
 *   state delayed source_lagging 3500 A A/USD    reason and lag where there are any
 */
#ifndef BGW_SHARD_RIG_H
#define BGW_SHARD_RIG_H

#include "test.h"

#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"
#include "bgw/shard.h"

#include <stdarg.h>

#define RIG_COMMANDS_MAX 8192
#define RIG_LOG_MAX (1u << 20)
#define RIG_WALL_MS 1793000000000

struct conn {
    struct bgw_session *session;
    char *log;
    size_t len;
    int sends;
    size_t largest; /* of one send */
    bool slow;      /* takes what it is given, and no more until it wakes */
    uint16_t hung;
    char resume[1024];
    size_t resume_len;
    uint64_t digest;
};

struct rig {
    struct bgw_shard *shard;
    struct bgw_shard_config config;
    struct bgw_feed feeds[2];
    struct bgw_now now;
    struct bgw_hub_command commands[RIG_COMMANDS_MAX];
    int command_count;
    int posts_left; /* what the hub's mailbox takes; -1: everything */
    uint64_t hub_seq, barrier_done, epoch;
    int64_t proved_mono_ms; /* of the whole stream */
};

static int rig_prepared;                /* calls of the dialect's prepare */
static struct conn *rig_writing; /* hello and mark carry a resume token: kept for the test */

/* ---- the dialect ---- */

static inline void rig_line(struct bgw_buf *out, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    bgw_buf_append_str(out, text);
}

static inline void rig_keys(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *between)
{
    for (size_t i = 0; i < count; i++) {
        bgw_buf_append_str(out, i || *between == ' ' ? between : "");
        bgw_buf_append(out, keys[i]);
    }
}

static inline struct bgw_blob *rig_prepare(const struct bgw_update *u)
{
    rig_prepared++;
    return bgw_blob_copy(bgw_blob_slice(u->value));
}

static inline size_t rig_updates_begin(struct bgw_buf *out)
{
    bgw_buf_append_str(out, "upd");
    return out->len;
}

static inline void rig_update(struct bgw_buf *out, const struct bgw_update *u)
{
    char part[BGW_PART_MAX + 1] = {0}, version[BGW_VERSION_TEXT_MAX];
    bgw_part_text(u->part, part);
    struct bgw_slice shown = bgw_blob_slice(u->prepared ? u->prepared : u->value);
    bgw_version_format(u->version, version);
    bgw_buf_append_byte(out, ' ');
    bgw_buf_append(out, u->key);
    rig_line(out, ".%s=%.*s@%s%s", part, (int)shown.len, shown.data, version, u->snap ? "+snap" : "");
    if (u->merged)
        rig_line(out, "+%" PRIu64, u->merged);
}

static inline void rig_updates_end(struct bgw_buf *out, size_t began)
{
    (void)began;
    bgw_buf_append_byte(out, '\n');
}

static inline void rig_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    rig_line(out, "state %s", bgw_slot_state_text(news->state));
    if (news->reason)
        rig_line(out, " %s", news->reason);
    if (news->lag_ms >= 0)
        rig_line(out, " %" PRId64, news->lag_ms);
    for (size_t i = 0; i < news->count; i++) {
        bgw_buf_append_byte(out, ' ');
        bgw_buf_append(out, news->entries[i].key);
    }
    bgw_buf_append_byte(out, '\n');
}

static inline void rig_live(struct bgw_buf *out, uint64_t id)
{
    rig_line(out, "live %" PRIu64 "\n", id);
}

static inline void rig_keep_token(struct bgw_slice token)
{
    if (!rig_writing || token.len >= sizeof(rig_writing->resume))
        return;
    memcpy(rig_writing->resume, token.data, token.len);
    rig_writing->resume_len = token.len;
}

static inline void rig_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    rig_line(out, "mark %.*s %016" PRIx64 "\n", (int)w.len, w.data, digest);
    rig_keep_token(resume);
}

static inline void rig_hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    char epoch[BGW_EPOCH_MAX + 1];
    bgw_epoch_format(info->epoch, epoch);
    rig_line(out, "hello %" PRIu64 " ping %" PRId64 " epoch %s\n", info->conn, info->ping_s, epoch);
    rig_keep_token(info->resume);
}

static inline void rig_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *r)
{
    rig_line(out, "sub %" PRIu64 " ok=", r->id);
    rig_keys(out, r->ok, r->ok_count, ",");
    bgw_buf_append_str(out, " current=");
    rig_keys(out, r->current, r->current_count, ",");
    bgw_buf_append_str(out, " denied=");
    for (size_t i = 0; i < r->denied_count; i++) {
        bgw_buf_append_str(out, i ? "," : "");
        bgw_buf_append(out, r->denied[i].key);
        rig_line(out, ":%s", r->denied[i].code);
    }
    bgw_buf_append_byte(out, '\n');
}

static inline void rig_ok(struct bgw_buf *out, uint64_t id)
{
    rig_line(out, "ok %" PRIu64 "\n", id);
}

static inline void rig_pong(struct bgw_buf *out, uint64_t id)
{
    rig_line(out, "pong %" PRIu64 "\n", id);
}

static inline void rig_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text)
{
    (void)text;
    if (has_id)
        rig_line(out, "err %" PRIu64 " %s\n", id, code);
    else
        rig_line(out, "err - %s\n", code);
}

static inline void rig_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)
{
    rig_line(out, "revoked %s", reason);
    rig_keys(out, keys, count, " ");
    bgw_buf_append_byte(out, '\n');
}

static inline void rig_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    rig_line(out, "bye %u %" PRId64 " %s\n", code, retry_ms, reason);
}

static inline void rig_keepalive(struct bgw_buf *out)
{
    rig_line(out, "ping\n");
}

static const struct bgw_dialect rig_dialect = {
    .encoding = BGW_ENCODING_NATIVE, .marks = true, .prepare = rig_prepare, .updates_begin = rig_updates_begin, .update = rig_update,
    .updates_end = rig_updates_end, .state = rig_state, .live = rig_live, .mark = rig_mark, .hello = rig_hello,
    .sub_reply = rig_sub_reply, .ok = rig_ok, .pong = rig_pong, .err = rig_err, .revoked = rig_revoked,
    .bye = rig_bye, .keepalive = rig_keepalive,
};

/* ---- the shard's world ---- */

static inline bool rig_post(void *arg, const struct bgw_hub_command *c)
{
    struct rig *r = arg;
    if (r->posts_left == 0 || r->command_count == RIG_COMMANDS_MAX)
        return false;
    r->posts_left -= r->posts_left > 0;
    r->commands[r->command_count++] = *c;
    return true;
}

static inline enum bgw_sent rig_send(void *arg, void *conn, struct bgw_slice bytes)
{
    struct conn *c = conn;
    (void)arg;
    if (c->len + bytes.len < RIG_LOG_MAX) {
        memcpy(c->log + c->len, bytes.data, bytes.len);
        c->len += bytes.len;
        c->log[c->len] = '\0';
    }
    c->sends++;
    c->largest = bytes.len > c->largest ? bytes.len : c->largest;
    return c->slow ? BGW_SENT_BUFFERED : BGW_SENT_ALL;
}

static inline void rig_hang_up(void *arg, void *conn, uint16_t code)
{
    struct conn *c = conn;
    (void)arg;
    c->hung = code;
}

static inline void rig_mac(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32])
{
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of((const char *)key, 32));
    for (size_t i = 0; i < 32; i += sizeof(h)) {
        h = bgw_hash_fnv64(h, bytes);
        memcpy(out + i, &h, sizeof(h));
    }
}

static inline struct rig *rig_make(void)
{
    struct rig *r = calloc(1, sizeof(*r));
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    r->now = (struct bgw_now){1000000, RIG_WALL_MS};
    r->posts_left = -1;
    r->epoch = bgw_epoch_pack(BGW_SLICE("e1"));
    r->feeds[0] = (struct bgw_feed){.name = "balance", .fresh_ms = 3000, .default_part = bgw_part_of(BGW_SLICE("NGN")),
                                    .no_such_key_text = "no_such_account"};
    r->feeds[1] = (struct bgw_feed){.name = "prices", .id = 1, .default_part = bgw_part_of(BGW_SLICE("BID"))};
    r->config = (struct bgw_shard_config){
        .shard = 3, .feeds = r->feeds, .feed_count = 2, .limits = {.ping_ms = 20000, .pong_wait_ms = 5000,
        .stall_ms = 30000, .auth_wait_ms = 5000, .keys_per_session_max = 50}, .mark_ms = 0, .flush_window_max_ms = 0,
        .barrier_wait_ms = 250, .sessions_max = 64, .flush_bytes_max = 16384, .control_bytes_max = 4096, .conn_seed = 0,
        .mac = rig_mac};
    return r;
}

static inline struct rig *rig_start(struct rig *r)
{
    const struct bgw_shard_ops ops = {.arg = r, .post = rig_post, .send = rig_send, .hang_up = rig_hang_up};
    CHECK(bgw_shard_create(&r->shard, &r->config, &ops, r->now) == BGW_OK);
    return r;
}

static inline struct rig *rig_open(void)
{
    return rig_start(rig_make());
}

/* Closes what the test left open: the shard asserts that nobody is left. */
static inline void rig_close_session(void *arg, struct bgw_session *session)
{
    struct conn *c = bgw_session_conn(session);
    bgw_session_close(arg, session);
    c->session = NULL;
}

static inline void rig_end(struct rig *r)
{
    bgw_shard_each_session(r->shard, rig_close_session, r->shard);
    bgw_shard_destroy(&r->shard);
    free(r);
}

static inline void rig_turn(struct rig *r)
{
    bgw_shard_flush(r->shard, r->now);
}

/* Time passes; deadlines act and are said. */
static inline void rig_pass(struct rig *r, int64_t ms)
{
    r->now.mono_ms += ms;
    r->now.wall_ms += ms;
    for (int i = 0; i < 3; i++) {
        bgw_shard_tick(r->shard, r->now);
        rig_turn(r);
    }
}

/* ---- the hub's side ---- */

static inline uint64_t rig_ref(const struct rig *r, const char *key)
{
    for (int i = r->command_count - 1; i >= 0; i--) {
        const struct bgw_hub_command *c = &r->commands[i];
        if (c->kind == BGW_HUB_WATCH && bgw_slice_eq(bgw_slice_of(c->name.key, c->name.key_len), bgw_slice_str(key)))
            return c->group;
    }
    test_fail_(__FILE__, __LINE__, "%s is not watched", key);
    return 0;
}

/* "WATCH A", "WATCH A/USD", "UNWATCH A", "BARRIER 1", "BARRIER 2 refresh": the n-th from the first. */
static inline const char *rig_posted(const struct rig *r, int n)
{
    static char text[160];
    char part[BGW_PART_MAX + 1] = {0};
    if (n >= r->command_count)
        return "";
    const struct bgw_hub_command *c = &r->commands[n];
    bgw_part_text(c->name.part, part);
    if (c->kind == BGW_HUB_BARRIER)
        snprintf(text, sizeof(text), "BARRIER %" PRIu64 "%s", c->ticket, c->refresh ? " refresh" : "");
    else
        snprintf(text, sizeof(text), "%s %.*s%s%s", c->kind == BGW_HUB_WATCH ? "WATCH" : "UNWATCH", (int)c->name.key_len,
                 c->name.key, *part ? "/" : "", part);
    return text;
}

static inline void rig_batch(struct rig *r, struct bgw_relay_entry *entries, size_t count)
{
    struct bgw_relay_batch batch = {entries, count, ++r->hub_seq, r->barrier_done, r->epoch, r->proved_mono_ms};
    bgw_shard_on_batch(r->shard, &batch, r->now);
}

static inline struct bgw_relay_entry rig_entry(const struct rig *r, const char *key, const char *part, uint64_t seq,
                                               const char *value)
{
    return (struct bgw_relay_entry){
        .group = rig_ref(r, key),
        .part = bgw_part_of(bgw_slice_str(part)),
        .state = value ? BGW_STATE_FRESH : BGW_STATE_UNKNOWN,
        .answered = true,
        .version = {r->epoch, seq, 0},
        .value = value ? bgw_blob_copy(bgw_slice_str(value)) : NULL,
        .proved_mono_ms = r->now.mono_ms,
    };
}

/* A record that was accepted. */
static inline void rig_record(struct rig *r, const char *key, const char *part, uint64_t seq, const char *value)
{
    struct bgw_relay_entry e = rig_entry(r, key, part, seq, value);
    e.records = 1;
    rig_batch(r, &e, 1);
}

/* What the hub knew when it was asked. */
static inline void rig_known(struct rig *r, const char *key, const char *part, uint64_t seq, const char *value)
{
    struct bgw_relay_entry e = rig_entry(r, key, part, seq, value);
    rig_batch(r, &e, 1);
}

static inline void rig_unknown(struct rig *r, const char *key, const char *part, enum bgw_state_reason reason)
{
    struct bgw_relay_entry e = rig_entry(r, key, part, 0, NULL);
    e.reason = (uint8_t)reason;
    rig_batch(r, &e, 1);
}

/* The same value in another state. */
static inline void rig_restate(struct rig *r, const char *key, const char *part, uint64_t seq, const char *value,
                               enum bgw_slot_state state, enum bgw_state_reason reason)
{
    struct bgw_relay_entry e = rig_entry(r, key, part, seq, value);
    e.state = (uint8_t)state;
    e.reason = (uint8_t)reason;
    rig_batch(r, &e, 1);
}

static inline void rig_barrier(struct rig *r, uint64_t ticket)
{
    r->barrier_done = ticket;
    rig_batch(r, NULL, 0);
}

/* ---- the clients' side ---- */

/* Grants for single keys "ABC": A, B and C; "*": all. */
static inline struct bgw_claims rig_claims(uint64_t subject, const char *keys)
{
    struct bgw_claims c = {.subject_hash = subject, .expires_ms = RIG_WALL_MS + 3600000, .tenant = "t1"};
    c.grants = bgw_grants_create(*keys == '*');
    for (const char *k = keys; *k && *keys != '*'; k++)
        CHECK(bgw_grants_add(c.grants, bgw_slice_of(k, 1)) == BGW_OK);
    bgw_grants_seal(c.grants);
    return c;
}

static inline struct conn *rig_conn(void)
{
    struct conn *c = calloc(1, sizeof(*c));
    c->log = calloc(1, RIG_LOG_MAX);
    return c;
}

static inline void rig_forget(struct conn *c)
{
    c->len = 0;
    c->log[0] = '\0';
    c->sends = 0;
    c->largest = 0;
}

static inline void rig_free(struct conn *c)
{
    free(c->log);
    free(c);
}

static inline struct conn *rig_connect_in(struct rig *r, const struct bgw_dialect *dialect, const struct bgw_claims *claims)
{
    struct conn *c = rig_conn();
    rig_writing = c;
    CHECK(bgw_session_open(r->shard, c, dialect, claims, r->now, &c->session) == BGW_OK);
    return c;
}

static inline struct conn *rig_connect_with(struct rig *r, const struct bgw_claims *claims)
{
    return rig_connect_in(r, &rig_dialect, claims);
}

/* Of the subject 1, who may see everything; what it was told on its way in is forgotten. */
static inline struct conn *rig_connect_as(struct rig *r, const struct bgw_dialect *dialect)
{
    struct bgw_claims claims = rig_claims(1, "*");
    struct conn *c = rig_connect_in(r, dialect, &claims);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    rig_forget(c);
    return c;
}

static inline struct conn *rig_connect(struct rig *r, uint64_t subject, const char *keys)
{
    struct bgw_claims claims = rig_claims(subject, keys);
    struct conn *c = rig_connect_with(r, &claims);
    bgw_claims_deinit(&claims);
    rig_turn(r);
    rig_forget(c);
    return c;
}

static inline void rig_hang(struct rig *r, struct conn *c)
{
    bgw_session_close(r->shard, c->session);
    rig_free(c);
}

static inline struct bgw_sub_key rig_key(const char *text)
{
    const char *slash = strchr(text, '/');
    struct bgw_sub_key k = {.text = bgw_slice_str(text), .key = bgw_slice_str(text)};
    if (slash) {
        k.key.len = (size_t)(slash - text);
        k.part = bgw_part_of(bgw_slice_str(slash + 1));
    }
    k.invalid = strchr(text, ' ') != NULL;
    return k;
}

static inline size_t rig_split(char *text, struct bgw_sub_key *keys)
{
    size_t n = 0;
    for (char *k = strtok(text, ","); k; k = strtok(NULL, ","))
        keys[n++] = rig_key(k);
    return n;
}

static inline void rig_sub(struct rig *r, struct conn *c, uint64_t id, const char *list)
{
    char text[2048];
    struct bgw_sub_key keys[256];
    snprintf(text, sizeof(text), "%s", list);
    size_t n = rig_split(text, keys);
    bgw_session_sub(r->shard, c->session, id, BGW_SLICE("balance"), keys, n);
}

/* One key with one version of the rig's epoch: for the whole key or, with a part, for that. */
static inline void rig_sub_since(struct rig *r, struct conn *c, uint64_t id, const char *key, struct bgw_version v)
{
    struct bgw_since since = {.version = v};
    struct bgw_sub_key k = rig_key(key);
    k.since = &since;
    k.since_count = 1;
    bgw_session_sub(r->shard, c->session, id, BGW_SLICE("balance"), &k, 1);
}

static inline struct bgw_version rig_version(const struct rig *r, uint64_t seq)
{
    return (struct bgw_version){r->epoch, seq, 0};
}

static inline void rig_unsub(struct rig *r, struct conn *c, uint64_t id, const char *list)
{
    char text[2048];
    struct bgw_sub_key keys[256];
    snprintf(text, sizeof(text), "%s", list);
    size_t n = rig_split(text, keys);
    bgw_session_unsub(r->shard, c->session, id, BGW_SLICE("balance"), keys, n);
}

static inline void rig_wake(struct rig *r, struct conn *c)
{
    c->slow = false;
    bgw_session_on_writable(r->shard, c->session, r->now);
}

/* What the connection was told since the last look, whole. */
#define SAID(c, text)                                                                       \
    do {                                                                                    \
        test_check_slice_(__FILE__, __LINE__, #c, bgw_slice_str((c)->log), bgw_slice_str(text)); \
        rig_forget(c);                                                                      \
    } while (0)

static inline uint64_t rig_hash(const char *text)
{
    return bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(text));
}

/* A slot that is subscribed to, known and told. */
static inline struct conn *rig_follower(struct rig *r, const char *key, uint64_t seq, const char *value)
{
    struct conn *c = rig_connect(r, 1, "*");
    rig_sub(r, c, 1, key);
    rig_turn(r);
    rig_known(r, key, "NGN", seq, value);
    rig_turn(r);
    rig_forget(c);
    return c;
}

static inline int64_t rig_ends(void)
{
    return bgw_metric_read(BGW_M_UPDATES_DELIVERED) + bgw_metric_read(BGW_M_UPDATES_MERGED) +
           bgw_metric_read(BGW_M_UPDATES_ABANDONED_CLOSED) + bgw_metric_read(BGW_M_UPDATES_ABANDONED_UNSUBSCRIBED) +
           bgw_metric_read(BGW_M_UPDATES_ABANDONED_REVOKED) + bgw_metric_read(BGW_M_UPDATES_ABANDONED_EXPIRED) +
           bgw_metric_read(BGW_M_UPDATES_PENDING);
}

#define CHECK_IDENTITY() CHECK_EQ_I64(rig_ends(), bgw_metric_read(BGW_M_UPDATES_OFFERED))

#endif
