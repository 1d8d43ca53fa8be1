/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect: how a session's news become bytes. The shard decides what is said and when; a dialect
 * appends complete, framed messages to a buffer. Implemented in wire/ (native, SignalR, the estate
 * app's frames, SSE) and by the simulator.
 */
#ifndef BGW_DIALECT_H
#define BGW_DIALECT_H

#include "bgw/buf.h"
#include "bgw/feed.h"
#include "bgw/types.h"

/* What dialects share: the bytes of a value that were made once and serve all who speak alike. */
enum bgw_encoding {
    BGW_ENCODING_NATIVE, /* the entry of `u`: native, SSE, the simulator */
    BGW_ENCODING_ESTATE, /* the record as one JSON string: SignalR, app frames */
    BGW_ENCODING_COUNT
};

/* one entry of an update; borrows */
struct bgw_update {
    const struct bgw_feed *feed;
    struct bgw_slice key;
    bgw_part part;
    struct bgw_version version; /* as this connection is to see it (an alias epoch, perhaps) */
    const struct bgw_blob *value;
    const struct bgw_blob *prepared; /* what `prepare` made of (feed, key, part, value), shared by all */
    uint64_t merged;
    bool snap;
};

/* one slot in a state message; borrows */
struct bgw_state_entry {
    struct bgw_slice key;       /* "A", or "A/USD" where the part has to be said */
    struct bgw_version version; /* of the slot's value, as this connection is to see it; epoch 0: it has none */
};

struct bgw_state_news { /* borrows */
    const struct bgw_state_entry *entries;
    size_t count;
    enum bgw_slot_state state;
    const char *reason; /* NULL: none */
    int64_t lag_ms;     /* of the oldest; below 0: not known */
    int64_t wall_ms;    /* now */
};

struct bgw_denied {
    struct bgw_slice key; /* as the client wrote it */
    const char *code;     /* "no_grant", "bad_id", "unknown_feed", "too_many_keys" */
};

struct bgw_sub_reply {
    uint64_t id; /* the command's own, as it was handed in */
    const struct bgw_slice *ok, *current; /* as the client wrote them */
    size_t ok_count, current_count;
    const struct bgw_denied *denied;
    size_t denied_count;
};

struct bgw_hello_info {
    uint64_t conn;
    int64_t ping_s;
    uint64_t epoch;
    struct bgw_slice resume; /* may be empty */
    struct bgw_slice server; /* the shard's server_name */
};

struct bgw_dialect {
    enum bgw_encoding encoding; /* `prepare` of two dialects with the same one make the same bytes */
    /* Its clients cannot present versions: a new subscription is answered when this replica has read to a watermark that was
     * fetched after it came, at the latest after barrier_wait_ms, and then labelled. Its subscribes are answered before the call of
     * bgw_session_sub returns, so that an id may point to what lives that long. */
    bool blind;
    bool heartbeat;  /* keepalive has its own rhythm (heartbeat_ms without a word from us) and is not answered */
    bool greeting;   /* of connections that have not said yet which dialect they speak: greeting_ms to do so, no commands */
    bool marks;      /* wants `mark` every mark_ms */
    bool id_each;    /* wants `mark` after `sub`, `live` and the updates of each write, w and digest empty: a stream continued anywhere */
    /* Once per slot value and shard, shared by all subscribers; never NULL-terminated text. NULL: no memory. */
    struct bgw_blob *(*prepare)(const struct bgw_update *u);
    /* Updates of one message: begin (returns where it began), add one or more, end. */
    size_t (*updates_begin)(struct bgw_buf *out);
    void (*update)(struct bgw_buf *out, const struct bgw_update *u);
    void (*updates_end)(struct bgw_buf *out, size_t began);
    void (*state)(struct bgw_buf *out, const struct bgw_state_news *news);
    void (*live)(struct bgw_buf *out, uint64_t id);
    void (*mark)(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume);
    void (*hello)(struct bgw_buf *out, const struct bgw_hello_info *info);
    void (*sub_reply)(struct bgw_buf *out, const struct bgw_sub_reply *reply);
    void (*ok)(struct bgw_buf *out, uint64_t id);
    void (*pong)(struct bgw_buf *out, uint64_t id);
    void (*err)(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text);
    void (*revoked)(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason);
    /* The last words: bye, then the transport's close frame. */
    void (*bye)(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason);
    void (*keepalive)(struct bgw_buf *out); /* transport ping: the peer must answer */
};

#endif
