/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth: decides whether a token is genuine, and hands its claims on. Order: form, key, algorithm
 * of the key, signature, then claims: nothing inside an unproved token is believed. Called by the
 * wire on shard threads for every handshake, hello and refresh; immutable after create.
 */
#include "bgw/auth.h"

#include "claims.h"
#include "crypto.h"
#include "jws.h"
#include "keys.h"

#include "bgw/assert.h"
#include "bgw/base64.h"
#include "bgw/metrics.h"

#include <stdlib.h>

struct bgw_auth { /* any thread: immutable after create */
    struct bgw_key_set keys;
    struct bgw_claims_rules rules;
    char *issuer, *audience;
    char tenant[BGW_TENANT_MAX];
};

static bool secret_ok(struct bgw_slice secret, struct bgw_buf *error)
{
    if (secret.len >= BGW_SECRET_MIN)
        return true;
    if (secret.len == 0)
        bgw_buf_append_str(error, "BGW_JWT_SECRET is not set: no token could be checked");
    else
        bgw_buf_appendf(error, "BGW_JWT_SECRET has %zu bytes; HS256 needs at least %d", secret.len,
                        BGW_SECRET_MIN);
    bgw_buf_append_str(error, ". Set it (or BGW_JWT_SECRET_FILE, a file that holds it) to what your "
                              "token issuer signs with; `openssl rand -hex 32` makes a new one");
    return false;
}

enum bgw_status bgw_auth_create(struct bgw_auth **out, const struct bgw_auth_config *config,
                                struct bgw_buf *error)
{
    BGW_ASSERT(config->feed && config->default_tenant.len <= BGW_TENANT_MAX);
    if (!secret_ok(config->secret, error))
        return BGW_CONFIG;
    struct bgw_auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return BGW_NO_MEMORY;
    auth->issuer = strdup(config->issuer ? config->issuer : "");
    auth->audience = strdup(config->audience ? config->audience : "");
    memcpy(auth->tenant, config->default_tenant.data, config->default_tenant.len);
    auth->rules = (struct bgw_claims_rules){
        .issuer = auth->issuer,
        .audience = auth->audience,
        .leeway_s = config->leeway_s,
        .default_tenant = bgw_slice_of(auth->tenant, config->default_tenant.len),
        .feed = config->feed,
    };
    if (!auth->issuer || !auth->audience ||
        bgw_keys_add_secret(&auth->keys, NULL, config->secret) != BGW_OK) {
        bgw_auth_destroy(&auth);
        return BGW_NO_MEMORY;
    }
    *out = auth;
    return BGW_OK;
}

void bgw_auth_destroy(struct bgw_auth **auth)
{
    if (!*auth)
        return;
    bgw_keys_deinit(&(*auth)->keys);
    free((*auth)->issuer);
    free((*auth)->audience);
    free(*auth);
    *auth = NULL;
}

static enum bgw_auth_result verify(const struct bgw_auth *auth, struct bgw_slice token,
                                   struct bgw_now now, struct bgw_claims *claims)
{
    struct bgw_jws jws;
    enum bgw_auth_result r = bgw_jws_parse(token, &jws);
    if (r != BGW_AUTH_OK)
        return r;
    const struct bgw_key *key = NULL;
    struct bgw_slice kid = {jws.has_kid ? jws.kid : NULL, jws.kid_len};
    switch (bgw_keys_find(&auth->keys, kid, &key)) {
    case BGW_KEY_PENDING:
        return BGW_AUTH_PENDING;
    case BGW_KEY_NONE:
        return BGW_AUTH_BAD_SIGNATURE; /* whoever signed it is nobody we know */
    case BGW_KEY_FOUND:
        break;
    }
    if (strcmp(jws.alg, bgw_alg_name(key->alg)) != 0)
        return BGW_AUTH_UNSUPPORTED;
    struct bgw_slice signature = bgw_slice_of((const char *)jws.signature, jws.signature_len);
    if (!bgw_key_verify(key, jws.signing_input, signature))
        return BGW_AUTH_BAD_SIGNATURE;
    return bgw_claims_read(&auth->rules, bgw_slice_of((const char *)jws.payload, jws.payload_len),
                           now, claims);
}

static void count(enum bgw_auth_result r)
{
    switch (r) {
    case BGW_AUTH_OK:
        bgw_metric_add(BGW_M_AUTH_OK, 1);
        break;
    case BGW_AUTH_PENDING: /* will be asked again and counted then */
        break;
#define BGW_AUTH_ROW(NAME, code, sentence)         \
    case BGW_AUTH_##NAME:                          \
        bgw_metric_add(BGW_M_AUTH_##NAME, 1);      \
        break;
#include "auth.def"
#undef BGW_AUTH_ROW
    }
}

enum bgw_auth_result bgw_auth_verify(const struct bgw_auth *auth, struct bgw_slice token,
                                     struct bgw_now now, struct bgw_claims *claims)
{
    *claims = (struct bgw_claims){0};
    enum bgw_auth_result r = verify(auth, token, now, claims);
    count(r);
    return r;
}

const char *bgw_auth_code(enum bgw_auth_result r)
{
    switch (r) {
    case BGW_AUTH_OK:
        return "ok";
    case BGW_AUTH_PENDING:
        return "pending";
#define BGW_AUTH_ROW(NAME, code, sentence) \
    case BGW_AUTH_##NAME:                  \
        return code;
#include "auth.def"
#undef BGW_AUTH_ROW
    }
    return "unknown";
}

const char *bgw_auth_sentence(enum bgw_auth_result r)
{
    switch (r) {
    case BGW_AUTH_OK:
        return "the token is valid";
    case BGW_AUTH_PENDING:
        return "the key that checks the token is being fetched: try again";
#define BGW_AUTH_ROW(NAME, code, sentence) \
    case BGW_AUTH_##NAME:                  \
        return sentence;
#include "auth.def"
#undef BGW_AUTH_ROW
    }
    return "the token was refused";
}

static void append_base64url(struct bgw_buf *out, const uint8_t *bytes, size_t len)
{
    char *to = bgw_buf_reserve(out, BGW_BASE64_LEN(len) + 1);
    if (to)
        out->len += bgw_base64url_encode(bytes, len, to);
}

enum bgw_status bgw_auth_sign_hs256(struct bgw_slice secret, struct bgw_slice payload,
                                    struct bgw_buf *out)
{
    static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
    if (secret.len < BGW_SECRET_MIN)
        return BGW_CONFIG;
    size_t begin = out->len;
    append_base64url(out, (const uint8_t *)header, sizeof(header) - 1);
    bgw_buf_append_byte(out, '.');
    append_base64url(out, (const uint8_t *)payload.data, payload.len);
    if (out->failed)
        return BGW_NO_MEMORY;
    uint8_t mac[BGW_HS256_LEN];
    if (!bgw_crypto_hs256(secret, bgw_slice_of(out->data + begin, out->len - begin), mac))
        return BGW_NO_MEMORY;
    bgw_buf_append_byte(out, '.');
    append_base64url(out, mac, sizeof(mac));
    return out->failed ? BGW_NO_MEMORY : BGW_OK;
}
