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
};

/* Everything of RFC 6455 4.2.1, origin included; `origins` is the policy's. */
enum bgw_refusal bgw_handshake_check(const struct bgw_http_request *r, const char *origins,
                                     struct bgw_handshake *out);

/* Own host, absent, or listed. */
bool bgw_origin_allowed(const struct bgw_http_request *r, const char *origins);

/* The token of Authorization: Bearer or ?access_token=, decoded into `out`; *given false: there is
 * none. */
enum bgw_refusal bgw_handshake_token(const struct bgw_http_request *r, char out[BGW_TOKEN_MAX],
                                     size_t *len, bool *given);

#endif
