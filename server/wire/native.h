/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native: the dialect bgw.v1 (contracts of its frames: docs/protocol.md). Encoding for the shard,
 * decoding for conn. Shard thread only.
 */
#ifndef BGW_WIRE_NATIVE_H
#define BGW_WIRE_NATIVE_H

#include "bgw/auth.h"
#include "bgw/shard.h"

#define BGW_NATIVE_PROTOCOL "bgw.v1"
#define BGW_NATIVE_KEYS_MAX 1000u   /* of one command: more is err too_large */

extern const struct bgw_dialect bgw_dialect_native;

struct bgw_native_scratch; /* what one command needs while it is decoded; one a shard thread */
struct bgw_native_scratch *bgw_native_scratch_create(void); /* NULL without memory */
void bgw_native_scratch_destroy(struct bgw_native_scratch **scratch);

/* why a good token may not be used on this connection */
struct bgw_native_no {
    uint16_t close_code;
    const char *code, *sentence;
};

/* What the connection has to say about tokens that stand in messages; `conn` is the session's. */
struct bgw_native_door { /* immutable */
    /* Before the session takes it; `first`: the session has none yet. NULL: go on. */
    const struct bgw_native_no *(*admit)(void *conn, const struct bgw_claims *claims, bool first);
    /* After a first one that was let in: is the session authenticated now? */
    void (*admitted)(void *conn, const struct bgw_claims *claims);
    void (*refused)(void *conn, const struct bgw_claims *claims, const char *code); /* a token that did not verify; claims: whose, if known */
};

struct bgw_native { /* shard thread only; borrows */
    struct bgw_shard *shard;
    const struct bgw_native_door *door; /* NULL: every good token may be used */
    const struct bgw_auth *auth;
    struct bgw_token_cache *tokens; /* NULL: none */
    const struct bgw_feed *feeds;
    size_t feed_count;
    struct bgw_native_scratch *scratch;
};

enum bgw_native_result {
    BGW_NATIVE_DONE,
    BGW_NATIVE_WAIT, /* a token's key is being fetched: nothing was done; give the same message
                        again later */
};

/* A token of this shard's clients, through its cache: in a storm they come back with those that they had, and many requests come
 * with the same one. */
enum bgw_auth_result bgw_native_verify(const struct bgw_native *n, struct bgw_slice token, struct bgw_now now, struct bgw_claims *claims);
/* One whole text message into calls of bgw_session_*. Every message gets an answer. */
enum bgw_native_result bgw_native_command(const struct bgw_native *n, struct bgw_session *session,
                                          struct bgw_slice message, struct bgw_now now);
/* True if the message may be a hello, which may be longer than others before authentication. */
bool bgw_native_is_hello(struct bgw_slice message);

#endif
