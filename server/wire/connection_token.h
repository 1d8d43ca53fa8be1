/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_token: what negotiate hands out and the transport presents as ?id=. Signed and dated,
 * so that any replica can take it without having made it; base64url, for SignalR clients do not
 * encode it. Holds nothing about the person: the token of each request says that. Pure.
 */
#ifndef BGW_WIRE_CONNECTION_TOKEN_H
#define BGW_WIRE_CONNECTION_TOKEN_H

#include "bgw/attachments.h"
#include "bgw/clock.h"

#define BGW_CONNECTION_TOKEN_LEN 58u /* 43 bytes: form, time, id, MAC */
#define BGW_CONNECTION_TOKEN_LIFE_MS 30000

/* `id` is random. */
void bgw_connection_token_make(const uint8_t key[32], const uint8_t id[BGW_ATTACHMENT_ID_LEN], struct bgw_now now,
                               char out[BGW_CONNECTION_TOKEN_LEN + 1]);
/* Genuine: true, and when it ends (wall clock), which may have been. */
bool bgw_connection_token_read(const uint8_t key[32], struct bgw_slice token, uint8_t id[BGW_ATTACHMENT_ID_LEN],
                               int64_t *ends_ms);

#endif
