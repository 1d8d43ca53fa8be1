/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate_private: what the files of the two estate dialects share: one call of a hub method from its
 * decoding to its answer, the table of methods, and the JSON that both put their own frame around.
 * Shard thread only.
 */
#ifndef BGW_WIRE_ESTATE_PRIVATE_H
#define BGW_WIRE_ESTATE_PRIVATE_H

#include "estate.h"

#include "command_text.h"

#include "bgw/metrics.h"

/*
 * What the answer to a call has to know. It stands on the decoder's stack, and the id of its session
 * calls points to it: a blind dialect's commands are answered before they return (bgw/dialect.h).
 * Only sub_reply, ok and err may look at it; `live` comes later.
 */
struct estate_call {
    int64_t wall_ms;
    struct bgw_slice method;     /* as the client wrote it */
    struct bgw_slice invocation; /* SignalR's invocationId; empty: nobody waits for a completion */
    const char *before, *after;  /* an error that is said so, around the method; NULL: by its code and text */
    bool refused;                /* written by the dialect: something of the call was refused */
};

static inline uint64_t estate_call_id(struct estate_call *call)
{
    return (uint64_t)(uintptr_t)call;
}

static inline struct estate_call *estate_call_of(uint64_t id)
{
    return (struct estate_call *)(uintptr_t)id;
}

struct bgw_estate_scratch { /* shard thread only */
    struct bgw_sub_key keys[BGW_ESTATE_KEYS_MAX];
    size_t key_count;
    struct command_text text;
};

/* ---- estate_methods.c ---- */

struct estate_method { /* immutable */
    const char *name;
    enum bgw_metric counter;
    bool many; /* its argument is an array of ids */
    bool subscribe;
};

enum estate_bound {
    ESTATE_BOUND,    /* scratch->keys hold them */
    ESTATE_UNBOUND,  /* another number of arguments, or another type */
    ESTATE_TOO_MANY, /* ids */
};

/* Any case; counts the call. NULL: there is none. */
const struct estate_method *estate_method_called(struct bgw_slice name);
enum estate_bound estate_bind(const struct bgw_estate *e, const struct estate_method *method, const struct bgw_json *arguments);
/* The call itself, after it was bound. */
void estate_run(const struct bgw_estate *e, struct bgw_session *session, const struct estate_method *method, struct estate_call *call);
/* Answers it with an error; no strike. */
void estate_refuse(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call, const char *code,
                   const char *text);
void estate_refuse_too_many(const struct bgw_estate *e, struct bgw_session *session, struct estate_call *call);

/* ---- estate_encode.c: events from their `target` to their last brace; each dialect puts its own start before them ---- */

struct bgw_blob *estate_prepare(const struct bgw_update *u);
void estate_append_update(struct bgw_buf *out, const struct bgw_update *u);
void estate_append_state(struct bgw_buf *out, const struct bgw_state_entry *entry, const struct bgw_state_news *news);
void estate_append_confirmed(struct bgw_buf *out, struct bgw_slice id, int64_t wall_ms);
void estate_append_revoked(struct bgw_buf *out, struct bgw_slice key, const char *reason);
/* The bytes as they stand inside a JSON string. */
void estate_append_inside(struct bgw_buf *out, struct bgw_slice text);
/* Why a key was refused, for people. */
const char *estate_sentence(const char *code);

/* ---- dialect_signalr.c ---- */

/* The handshake's answer, in the frame of the dialect that is spoken from then on. */
void estate_append_handshake(struct bgw_buf *out, const struct bgw_dialect *then);

/* ---- what a dialect has nothing to say to ---- */

void estate_no_event(struct bgw_buf *out, uint64_t id);
void estate_no_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume);
void estate_no_hello(struct bgw_buf *out, const struct bgw_hello_info *info);

#endif
