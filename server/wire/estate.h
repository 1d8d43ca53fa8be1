/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate: the two dialects that the estate's clients speak already: the SignalR JSON hub protocol
 * and the estate app's frames. One table of hub methods serves both. Encoding for the shard,
 * decoding for conn (docs/protocol.md). Shard thread only.
 */
#ifndef BGW_WIRE_ESTATE_H
#define BGW_WIRE_ESTATE_H

#include "bgw/shard.h"

#define BGW_RECORD_END '\x1e'
#define BGW_ESTATE_KEYS_MAX 1000u /* of one call; more is too_large */

/* Until the client's first record was read: `bye` is a handshake error. */
extern const struct bgw_dialect bgw_dialect_signalr_greeting, bgw_dialect_signalr_stream_greeting;
extern const struct bgw_dialect bgw_dialect_signalr;        /* records in WebSocket text messages */
extern const struct bgw_dialect bgw_dialect_signalr_stream; /* records in SSE events */
extern const struct bgw_dialect bgw_dialect_app;            /* one JSON object a WebSocket text message */

struct bgw_estate_scratch; /* what one call needs while it is decoded; one a shard thread */
struct bgw_estate_scratch *bgw_estate_scratch_create(void); /* NULL without memory */
void bgw_estate_scratch_destroy(struct bgw_estate_scratch **scratch);

struct bgw_estate { /* shard thread only; borrows */
    struct bgw_shard *shard;
    const struct bgw_feed *feed; /* of the hub's methods */
    struct bgw_estate_scratch *scratch;
};

/* ---- SignalR ---- */

/* The first record, without its end: answers {} and settles the session in `then`, or says why not and says bye. True: settled. */
bool bgw_signalr_greet(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice record,
                       const struct bgw_dialect *then);
/* Every further record, without its end. The session may have said bye afterwards: what follows is then ignored. */
void bgw_signalr_record(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice record, struct bgw_now now);
/* A record above the limit, or one whose bytes cannot be a record. */
void bgw_signalr_too_large(const struct bgw_estate *e, struct bgw_session *session);

/* ---- the estate app ---- */

/* Is a connection's first message one of these: a JSON object with a string `type`, and no record end. */
bool bgw_app_is(struct bgw_slice message);
void bgw_app_message(const struct bgw_estate *e, struct bgw_session *session, struct bgw_slice message, struct bgw_now now);

#endif
