/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshake: the server's side of RFC 6455, section 4, and the two places a token may stand in.
 * Hides header names and their grammar. Called by conn on its shard's thread. Invariant: nothing is
 * guessed; a request that says a thing twice is refused, and of two tokens the header's counts.
 */
#include "handshake.h"

#include "cors.h"
#include "native.h"

#include "bgw/assert.h"
#include "bgw/auth.h"
#include "bgw/base64.h"

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

static struct bgw_slice skip(struct bgw_slice s, size_t n)
{
    return bgw_slice_of(s.data + n, s.len - n);
}

static bool starts_with(struct bgw_slice s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && bgw_slice_eq_nocase(bgw_slice_of(s.data, len), bgw_slice_str(prefix));
}

static bool accept_of(struct bgw_slice key, char out[BGW_WS_ACCEPT_LEN + 1])
{
    char text[24 + sizeof(ACCEPT_GUID)];
    uint8_t raw[16], digest[20];
    size_t len;
    if (key.len != 24 || bgw_base64_decode(key, raw, sizeof(raw), &len) != BGW_OK ||
        len != sizeof(raw))
        return false;
    memcpy(text, key.data, key.len);
    memcpy(text + key.len, ACCEPT_GUID, sizeof(ACCEPT_GUID));
    bgw_auth_sha1(bgw_slice_str(text), digest);
    bgw_base64_encode(digest, sizeof(digest), out);
    return true;
}

static bool token_chars(struct bgw_slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c <= ' ' || c > '~' || strchr("\"(),/:;<=>?@[\\]{}", c))
            return false;
    }
    return true;
}

static enum bgw_refusal check_protocols(const struct bgw_http_request *r, bool *native)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice name;
    unsigned found = 0;
    while (bgw_http_list_next(r, "sec-websocket-protocol", &cursor, &name)) {
        if (!token_chars(name))
            return BGW_REFUSAL_BAD_PROTOCOLS;
        found += bgw_slice_eq(name, BGW_SLICE(BGW_NATIVE_PROTOCOL));
    }
    *native = found > 0;
    return found > 1 ? BGW_REFUSAL_BAD_PROTOCOLS : BGW_REFUSAL_NONE;
}

enum bgw_refusal bgw_handshake_check(const struct bgw_http_request *r, const char *origins,
                                     struct bgw_handshake *out)
{
    BGW_ASSERT(r->upgrade); /* without one the same path is SignalR's: it asks for an id */
    if (!bgw_slice_eq(bgw_http_header(r, "sec-websocket-version", 0), BGW_SLICE("13")))
        return BGW_REFUSAL_WS_VERSION;
    if (!accept_of(bgw_http_header(r, "sec-websocket-key", 0), out->accept))
        return BGW_REFUSAL_BAD_WS_KEY;
    if (!bgw_cors_allowed(r, origins))
        return BGW_REFUSAL_FORBIDDEN_ORIGIN;
    out->named = bgw_http_query_has(r->query, "id");
    return check_protocols(r, &out->native);
}

enum bgw_refusal bgw_handshake_token(const struct bgw_http_request *r, char out[BGW_TOKEN_MAX],
                                     size_t *len, bool *given)
{
    struct bgw_slice header = bgw_http_header(r, "authorization", 0);
    enum bgw_status status = bgw_http_query(r->query, "access_token", out, BGW_TOKEN_MAX, len);
    *given = header.data || status == BGW_OK; /* an empty one is a bad one, not none */
    if (status != BGW_NOT_FOUND && status != BGW_OK)
        return BGW_REFUSAL_BAD_QUERY;
    if (!header.data)
        return BGW_REFUSAL_NONE;
    if (!starts_with(header, "Bearer "))
        return BGW_REFUSAL_BAD_AUTHORIZATION;
    struct bgw_slice token = skip(header, strlen("Bearer "));
    while (token.len && token.data[0] == ' ')
        token = skip(token, 1);
    if (!token.len || memchr(token.data, ' ', token.len) || token.len > BGW_TOKEN_MAX)
        return BGW_REFUSAL_BAD_AUTHORIZATION;
    memcpy(out, token.data, token.len);
    *len = token.len;
    return BGW_REFUSAL_NONE;
}
