/* SPDX-License-Identifier: Apache-2.0 */
/*
 * connection_token: 43 bytes as base64url: a form, the time it was made, the id, and what of an HMAC
 * over these fits. Hides that order. Called by conn_negotiate on a shard's thread; pure. Invariant:
 * a token has one spelling, and how long a wrong one takes to refuse does not say where it is wrong.
 */
#include "connection_token.h"

#include "bgw/assert.h"
#include "bgw/auth.h"
#include "bgw/base64.h"

#define FORM 1u
#define TIME_AT 1u
#define TIME_LEN 8u
#define ID_AT (TIME_AT + TIME_LEN)
#define MAC_AT (ID_AT + BGW_ATTACHMENT_ID_LEN)
#define MAC_LEN 18u /* 144 bits: far beyond guessing in 30 s, and the text needs no padding */
#define RAW_LEN (MAC_AT + MAC_LEN)
_Static_assert((RAW_LEN * 8 + 5) / 6 == BGW_CONNECTION_TOKEN_LEN, "the header says how long the text is");

static void mac_of(const uint8_t key[32], const uint8_t raw[RAW_LEN], uint8_t out[32])
{
    bgw_auth_mac(key, bgw_slice_of((const char *)raw, MAC_AT), out);
}

/* Looks at every byte, whatever the first ones say. */
static bool same(const uint8_t *a, const uint8_t *b, size_t len)
{
    unsigned differs = 0;
    for (size_t i = 0; i < len; i++)
        differs |= (unsigned)(a[i] ^ b[i]);
    return differs == 0;
}

void bgw_connection_token_make(const uint8_t key[32], const uint8_t id[BGW_ATTACHMENT_ID_LEN], struct bgw_now now,
                               char out[BGW_CONNECTION_TOKEN_LEN + 1])
{
    uint8_t raw[RAW_LEN] = {FORM}, mac[32];
    char text[BGW_BASE64_LEN(RAW_LEN) + 1];
    for (size_t i = 0; i < TIME_LEN; i++)
        raw[TIME_AT + i] = (uint8_t)((uint64_t)now.wall_ms >> (56 - 8 * i));
    memcpy(raw + ID_AT, id, BGW_ATTACHMENT_ID_LEN);
    mac_of(key, raw, mac);
    memcpy(raw + MAC_AT, mac, MAC_LEN);
    size_t len = bgw_base64url_encode(raw, sizeof(raw), text);
    BGW_ASSERT(len == BGW_CONNECTION_TOKEN_LEN);
    memcpy(out, text, BGW_CONNECTION_TOKEN_LEN + 1);
}

bool bgw_connection_token_read(const uint8_t key[32], struct bgw_slice token, uint8_t id[BGW_ATTACHMENT_ID_LEN],
                               int64_t *ends_ms)
{
    uint8_t raw[RAW_LEN], mac[32];
    uint64_t made_ms = 0;
    size_t len = 0;
    if (token.len != BGW_CONNECTION_TOKEN_LEN ||
        bgw_base64url_decode(token, raw, sizeof(raw), &len) != BGW_OK || len != sizeof(raw))
        return false;
    mac_of(key, raw, mac);
    if (!same(mac, raw + MAC_AT, MAC_LEN) || raw[0] != FORM)
        return false;
    for (size_t i = 0; i < TIME_LEN; i++)
        made_ms = made_ms << 8 | raw[TIME_AT + i];
    if (made_ms > (uint64_t)INT64_MAX - BGW_CONNECTION_TOKEN_LIFE_MS)
        return false; /* nobody with our key makes such a one */
    memcpy(id, raw + ID_AT, BGW_ATTACHMENT_ID_LEN);
    *ends_ms = (int64_t)made_ms + BGW_CONNECTION_TOKEN_LIFE_MS;
    return true;
}
