/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshake: may this request become a WebSocket, and in which dialect. Pure but for the token's
 * check, which conn does, because it may have to wait. Shard thread only.
 */
#ifndef BGW_WIRE_HANDSHAKE_H
#define BGW_WIRE_HANDSHAKE_H

#include "bgw/auth.h"
#include "bgw/http.h"
#include "bgw/ws_codec.h"

/* what an accepted request asked for */
struct bgw_handshake {
    char accept[BGW_WS_ACCEPT_LEN + 1];
    bool native; /* the subprotocol bgw.v1 was offered */
    bool named;  /* an id of SignalR's negotiation came with it */
};

/* Everything of RFC 6455 4.2.1, origin included; `origins` is the policy's. */
enum bgw_refusal bgw_handshake_check(const struct bgw_http_request *r, const char *origins,
                                     struct bgw_handshake *out);

/* The token of Authorization: Bearer, else of ?access_token=, decoded into `out`; *given false: there is none. Where both stand the
 * header counts: clients of the estate put an old one into their URL and a fresh one into the header. */
enum bgw_refusal bgw_handshake_token(const struct bgw_http_request *r, char out[BGW_TOKEN_MAX],
                                     size_t *len, bool *given);

#endif
