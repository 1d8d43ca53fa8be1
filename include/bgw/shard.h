/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard: sessions, groups (key -> subscribers), outboxes and their deadlines, for one thread.
 * Pure: no I/O, no clock. An update only marks subscriptions dirty; a flush gives each dirty,
 * writable session one buffer with everything pending, newest value per slot. The wire room
 * connects it to sockets, the simulator to model clients.
 */
#ifndef BGW_SHARD_H
#define BGW_SHARD_H

#include "bgw/access.h"
#include "bgw/dialect.h"
#include "bgw/hub.h"
#include "bgw/relay.h"
#include "bgw/revocations.h"

struct bgw_shard;
struct bgw_session; /* owned by the shard; freed by bgw_session_close */

enum bgw_sent { BGW_SENT_ALL, BGW_SENT_BUFFERED /* not writable until bgw_session_on_writable */ };

enum bgw_seen { BGW_SEEN_SUBSCRIBED, BGW_SEEN_DENIED, BGW_SEEN_UNSUBSCRIBED, BGW_SEEN_REVOKED, BGW_SEEN_REFRESHED };

struct bgw_shard_ops {
    void *arg;
    /* To the hub. False: full; the shard keeps it and tries again in the next flush. */
    bool (*post)(void *arg, const struct bgw_hub_command *c);
    /* One write. The bytes are the callee's after this (copied or sent). Must not close the session before it returns. */
    enum bgw_sent (*send)(void *arg, void *conn, struct bgw_slice bytes);
    /* The session has said bye (sent before this; unless its socket took nothing for stall_ms): close the connection; the
     * adapter calls bgw_session_close when it is gone, which may be before this returns. Nothing is said of it afterwards. */
    void (*hang_up)(void *arg, void *conn, uint16_t code);
    /* For the audit log; NULL: nobody cares. `key` data NULL: all of the session; `code` NULL: none. Must only take note. */
    void (*seen)(void *arg, void *conn, enum bgw_seen what, struct bgw_slice key, bgw_part part, const char *code);
};

/* what may change while it runs */
struct bgw_shard_limits {
    int64_t ping_ms, pong_wait_ms, stall_ms, auth_wait_ms;
    size_t keys_per_session_max;
    int64_t commands_per_s; /* of one session, twice that in a burst; 0: no limit */
};

struct bgw_shard_config {
    uint8_t shard;
    const struct bgw_feed *feeds;
    size_t feed_count;
    struct bgw_shard_limits limits;
    int64_t mark_ms;
    int64_t flush_window_max_ms;    /* widens under load, 0-10 */
    int64_t barrier_wait_ms;        /* 250: how long a presented version above ours waits before it is labelled */
    size_t sessions_max, flush_bytes_max /* 16 KiB a write */, control_bytes_max;
    const struct bgw_revocations *revocations; /* NULL: none */
    uint64_t conn_seed;             /* connection ids */
    uint8_t resume_key[32];
    /* HMAC-SHA-256 from the auth room; the simulator gives its own. */
    void (*mac)(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32]);
    struct bgw_slice server_name;
};

BGW_MUST_CHECK enum bgw_status bgw_shard_create(struct bgw_shard **out, const struct bgw_shard_config *config,
                                                const struct bgw_shard_ops *ops, struct bgw_now now);
void bgw_shard_destroy(struct bgw_shard **shard); /* asserts that no session is left */
void bgw_shard_set_limits(struct bgw_shard *s, const struct bgw_shard_limits *limits); /* for everybody, from now on */
/* The set of revocations has grown: sessions and keys that it takes back get `revoked`, and 3510 if nothing is left of the token.
 * Called by the adapter when the generation has changed, before the flush. */
void bgw_shard_apply_revocations(struct bgw_shard *s, struct bgw_now now);

/* ---- from the hub ---- */
void bgw_shard_on_batch(struct bgw_shard *s, const struct bgw_relay_batch *batch, struct bgw_now now); /* takes the values */

/* ---- a turn ---- */
/* Encodes and sends what is due; posts what the hub must hear. */
void bgw_shard_flush(struct bgw_shard *s, struct bgw_now now);
/* Deadlines. Returns ms until it wants to be called again (flush window included). */
int64_t bgw_shard_tick(struct bgw_shard *s, struct bgw_now now);

/* ---- sessions ---- */
/* `claims` NULL: the session must say hello with a token within auth_wait_ms. BGW_FULL at sessions_max. */
BGW_MUST_CHECK enum bgw_status bgw_session_open(struct bgw_shard *s, void *conn, const struct bgw_dialect *dialect,
                                                const struct bgw_claims *claims, struct bgw_now now,
                                                struct bgw_session **out);
void bgw_session_close(struct bgw_shard *s, struct bgw_session *session); /* the connection is gone */
void bgw_session_on_writable(struct bgw_shard *s, struct bgw_session *session, struct bgw_now now);
void bgw_session_on_pong(struct bgw_shard *s, struct bgw_session *session, struct bgw_now now);
/* Any bytes from the peer: not idle. */
void bgw_session_on_traffic(struct bgw_shard *s, struct bgw_session *session, struct bgw_now now);
/* Says bye with this code and hangs up, at the next flush: replies that wait go out first, commands are no longer heard. 3001 with retry_ms for a drain. */
void bgw_session_bye(struct bgw_shard *s, struct bgw_session *session, uint16_t code, int64_t retry_ms,
                     const char *reason);
/* Who holds it, once authenticated; borrows the tenant. */
void bgw_session_holder(const struct bgw_session *session, struct bgw_holder *out);
uint64_t bgw_session_conn_id(const struct bgw_session *session);
/* Takes one command from the session's budget. False: it is spent; the adapter stops reading for *wait_ms (the session has said
 * slow_down, once an episode) and hands the command in all the same. */
bool bgw_session_may_command(struct bgw_shard *s, struct bgw_session *session, int64_t *wait_ms);
bool bgw_session_authenticated(const struct bgw_session *session);
/* True while the control lane is over its soft limit: stop reading commands. */
bool bgw_session_choked(const struct bgw_session *session);
void *bgw_session_conn(const struct bgw_session *session);
void bgw_shard_each_session(struct bgw_shard *s, void (*fn)(void *arg, struct bgw_session *session), void *arg);
size_t bgw_shard_session_count(const struct bgw_shard *s);

/* ---- commands, already decoded; every one is answered ---- */
struct bgw_since { /* borrows nothing */
    bgw_part part; /* 0: for the whole key */
    struct bgw_version version;
};
struct bgw_sub_key {
    struct bgw_slice text; /* as the client wrote it: "A" or "A/USD" */
    struct bgw_slice key;
    bgw_part part;         /* 0: whole key */
    bool invalid;          /* bad grammar: denied as bad_id */
    const struct bgw_since *since;
    size_t since_count;
};

/* hello: claims NULL if authenticated already and no token came. `resume` may be empty; a bad one is ignored and counted. */
void bgw_session_hello(struct bgw_shard *s, struct bgw_session *session, const struct bgw_claims *claims,
                       struct bgw_slice resume, struct bgw_now now);
void bgw_session_sub(struct bgw_shard *s, struct bgw_session *session, uint64_t id, struct bgw_slice feed_name,
                     const struct bgw_sub_key *keys, size_t count);
void bgw_session_unsub(struct bgw_shard *s, struct bgw_session *session, uint64_t id, struct bgw_slice feed_name,
                       const struct bgw_sub_key *keys, size_t count);
void bgw_session_refresh(struct bgw_shard *s, struct bgw_session *session, uint64_t id,
                         const struct bgw_claims *claims);
void bgw_session_rate(struct bgw_shard *s, struct bgw_session *session, uint64_t id, int64_t max_millihz,
                      int64_t max_bytes_s);
void bgw_session_ack(struct bgw_shard *s, struct bgw_session *session, struct bgw_slice w);
void bgw_session_repair(struct bgw_shard *s, struct bgw_session *session, uint64_t id);
void bgw_session_ping(struct bgw_shard *s, struct bgw_session *session, uint64_t id);
/* A command that could not be decoded or that a token check refused. Counts towards 3501 after ten if `strike`. */
void bgw_session_err(struct bgw_shard *s, struct bgw_session *session, bool has_id, uint64_t id, const char *code,
                     const char *text, bool strike);

/* For metrics and health; shard thread. */
struct bgw_shard_view {
    size_t sessions, subscriptions, groups;
    int64_t pending;   /* updates offered and neither delivered, merged nor abandoned */
    int64_t window_ms; /* how long updates are gathered at the moment */
    bool hub_behind;   /* its mailbox is full: watches wait here */
};
void bgw_shard_look(const struct bgw_shard *s, struct bgw_shard_view *view);

/* the current "now" of the turn, set by the adapter before it hands commands in */
void bgw_shard_set_now(struct bgw_shard *s, struct bgw_now now);

#endif
