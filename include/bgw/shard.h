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

struct bgw_read_answer;

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
    /* What the hub has begun to sequence, on whatever thread: a read waits until this shard has applied as much. NULL: no other
     * shard shows anything. */
    uint64_t (*sequenced)(void *arg);
    /* A read waits for what the hub had sequenced: bgw_shard_on_batch is to be called as soon as a batch has this hub_seq, even if
     * it brings nothing else. NULL: that happens anyway. */
    void (*want_news)(void *arg, uint64_t hub_seq);
    /* The answer of a read that was not answered at once; the read is gone. Must not start another one before it returns. */
    void (*read_done)(void *arg, void *user, const struct bgw_read_answer *answer);
};

/* what may change while it runs */
struct bgw_shard_limits {
    int64_t ping_ms, pong_wait_ms, stall_ms, auth_wait_ms;
    size_t keys_per_session_max;
    int64_t commands_per_s; /* of one session, twice that in a burst; 0: no limit */
    int64_t heartbeat_ms;   /* dialects with a heartbeat say something at least this often */
    int64_t silence_ms;     /* a client that has pinged once and then says nothing for this long: 3012 */
    int64_t greeting_ms;    /* until a connection has said which dialect it speaks */
    int64_t read_keep_ms;   /* after a read its key stays watched for this long */
    size_t reads_kept_max;  /* keys that are watched for reads alone; beyond it the least recently read one goes */
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
    size_t reads_max;               /* that wait; beyond it BGW_READ_BUSY */
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
/* The connection has said which dialect it speaks; only where the one before was a greeting. Nothing was encoded yet. */
void bgw_session_settle(struct bgw_shard *s, struct bgw_session *session, const struct bgw_dialect *dialect);
bool bgw_session_greeting(const struct bgw_session *session); /* not settled yet */
/* From now on silence ends it (silence_ms): the client has shown that it pings. */
void bgw_session_on_client_ping(struct bgw_shard *s, struct bgw_session *session);
/* Appends whole messages of the session's dialect to its control lane, as an answer of the adapter's own. */
void bgw_session_say(struct bgw_shard *s, struct bgw_session *session, struct bgw_slice messages);
/* Counts towards 3501 after ten. */
void bgw_session_strike(struct bgw_shard *s, struct bgw_session *session);
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

/* ---- reads: a question that is answered once, as a short watch ---- */

enum bgw_read_result {
    BGW_READ_VALUE,   /* the newest that is known; state says how good it is */
    BGW_READ_UNKNOWN, /* there is none: state UNKNOWN or REMOVED, reason says why */
    BGW_READ_TOO_OLD, /* floor was not reached in time; version and value say what there is */
    BGW_READ_TIMEOUT, /* the hub has not answered in time, or this shard has not caught up with it */
    BGW_READ_BUSY,    /* no room for another read, or no memory */
};
struct bgw_read_question { /* borrowed during the call */
    const struct bgw_feed *feed;
    struct bgw_slice tenant, key;
    bgw_part part;            /* 0: the feed's default */
    bool has_floor;           /* wait until the slot has it */
    struct bgw_version floor; /* epoch 0: any epoch, compare seq alone; another epoch than the slot's: BGW_READ_TOO_OLD at once */
    bool prove;               /* read on to a watermark fetched after this, at most barrier_wait_ms, then labelled DELAYED */
    bool ask;                 /* the sources are asked, whatever is held here; without sources nothing */
    int64_t wait_ms;          /* at most, for all of it */
};
struct bgw_read_answer { /* borrowed during the call */
    enum bgw_read_result result;
    enum bgw_slot_state state;
    enum bgw_state_reason reason;
    bgw_part part;
    bool watched;               /* the key was watched here already: nobody else was asked */
    bool fetched;               /* a source was asked while it waited */
    bool joined;                /* and it was asked for somebody else: a fetch that ran already answered it */
    bool proved;                /* `prove` was asked and reached */
    enum bgw_source source;
    int64_t lag_ms;             /* age of the proof; below 0: never proved */
    struct bgw_version version; /* of value; epoch 0: none */
    const struct bgw_blob *value;
};
struct bgw_read; /* owned by the shard, from a start that waits to read_done or cancel */

/* True: *answer holds it, read_done is not called. False: *read waits, read_done follows (never before this returns), unless it is
 * cancelled. Access is the caller's, before and, if it waited, after. */
bool bgw_shard_read(struct bgw_shard *s, const struct bgw_read_question *q, void *user, struct bgw_now now, struct bgw_read **read,
                    struct bgw_read_answer *answer);
void bgw_shard_read_cancel(struct bgw_shard *s, struct bgw_read *read);

/* For metrics and health; shard thread. */
struct bgw_shard_view {
    size_t sessions, subscriptions, groups, reads_waiting, reads_kept;
    int64_t pending;   /* updates offered and neither delivered, merged nor abandoned */
    int64_t window_ms; /* how long updates are gathered at the moment */
    bool hub_behind;   /* its mailbox is full: watches wait here */
};
void bgw_shard_look(const struct bgw_shard *s, struct bgw_shard_view *view);

/* the current "now" of the turn, set by the adapter before it hands commands in */
void bgw_shard_set_now(struct bgw_shard *s, struct bgw_now now);

#endif
