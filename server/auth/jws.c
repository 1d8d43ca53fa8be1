/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jws: hides the compact form: exactly three parts in canonical base64url, the first a JSON object
 * in which every member that changes the meaning of the rest is understood or refused. Called by
 * auth.c on any thread, before a key was looked at: it sees what strangers send and allocates
 * nothing. The signing input is the sender's own bytes, never a re-encoding.
 */
#include "jws.h"

#include "bgw/base64.h"
#include "bgw/json.h"

/* Splits at the two dots; a third dot or a missing one is malformed. */
static bool split(struct bgw_slice token, struct bgw_slice part[3])
{
    size_t begin = 0, n = 0;
    for (size_t i = 0; i <= token.len; i++) {
        if (i < token.len && token.data[i] != '.')
            continue;
        if (n == 3)
            return false;
        part[n++] = bgw_slice_of(token.data + begin, i - begin);
        begin = i + 1;
    }
    return n == 3;
}

static bool read_kid(const struct bgw_json *header, struct bgw_jws *out)
{
    struct bgw_json kid;
    out->has_kid = bgw_json_member(header, "kid", &kid);
    out->kid_len = 0;
    if (!out->has_kid)
        return true;
    return bgw_json_string(&kid, out->kid, sizeof(out->kid), &out->kid_len) == BGW_OK;
}

/*
 * `crit` lists extensions that must be understood, `b64` (RFC 7797) changes what is signed: we have
 * neither, so both refuse the token whatever they hold. Other unknown members are ignored, as the
 * RFC wants; `typ` says nothing that we rely on, but has to be a string.
 */
static enum bgw_auth_result read_header(struct bgw_slice text, struct bgw_jws *out)
{
    struct bgw_json header, alg, other;
    if (bgw_json_parse(text, &header) != BGW_OK || header.type != BGW_JSON_OBJECT)
        return BGW_AUTH_MALFORMED;
    if (bgw_json_member(&header, "crit", &other) || bgw_json_member(&header, "b64", &other))
        return BGW_AUTH_UNSUPPORTED;
    if (bgw_json_member(&header, "typ", &other) && other.type != BGW_JSON_STRING)
        return BGW_AUTH_MALFORMED;
    if (!bgw_json_member(&header, "alg", &alg) || alg.type != BGW_JSON_STRING)
        return BGW_AUTH_MALFORMED;
    if (!read_kid(&header, out))
        return BGW_AUTH_MALFORMED;
    size_t len = 0;
    if (bgw_json_string(&alg, out->alg, BGW_ALG_NAME_MAX, &len) != BGW_OK)
        return BGW_AUTH_UNSUPPORTED; /* longer than any algorithm's name */
    out->alg[len] = '\0';
    return BGW_AUTH_OK;
}

enum bgw_auth_result bgw_jws_parse(struct bgw_slice token, struct bgw_jws *out)
{
    if (token.len == 0)
        return BGW_AUTH_MISSING;
    struct bgw_slice part[3];
    if (token.len > BGW_TOKEN_MAX || !split(token, part))
        return BGW_AUTH_MALFORMED;
    size_t header_len = 0;
    /* The header is decoded into the payload's room, which is free until it has been read. */
    if (bgw_base64url_decode(part[0], out->payload, sizeof(out->payload), &header_len) != BGW_OK)
        return BGW_AUTH_MALFORMED;
    enum bgw_auth_result r =
        read_header(bgw_slice_of((const char *)out->payload, header_len), out);
    if (r != BGW_AUTH_OK)
        return r;
    if (bgw_base64url_decode(part[1], out->payload, sizeof(out->payload), &out->payload_len) !=
            BGW_OK ||
        bgw_base64url_decode(part[2], out->signature, sizeof(out->signature),
                             &out->signature_len) != BGW_OK)
        return BGW_AUTH_MALFORMED;
    out->signing_input = bgw_slice_of(token.data, part[0].len + 1 + part[1].len);
    return BGW_AUTH_OK;
}
