/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth: decides whether a token is genuine, and hands its claims on. Order: form, key, algorithm
 * of the key, signature, claims, revocations: nothing inside an unproved token is believed. Called
 * by the wire on shard threads for every handshake, hello and refresh; keys come from the main and
 * the reader's thread and are swapped behind the ring.
 */
#include "bgw/auth.h"

#include "auth_private.h"
#include "claims.h"
#include "configured.h"
#include "crypto.h"
#include "jwk.h"
#include "jws.h"
#include "ring.h"

#include "bgw/assert.h"
#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdlib.h>

struct bgw_auth { /* any thread: immutable after create and set_fetcher, but for what the ring holds */
    struct bgw_key_ring *ring;
    struct bgw_configured_kinds kinds; /* which keys were configured at the start */
    unsigned algs;                     /* bits of those allowed */
    struct bgw_claims_rules rules;
    char *issuer, *audience;
    char tenant[BGW_TENANT_MAX];
    const struct bgw_revocations *revocations; /* NULL: none */
    bool (*want_keys)(void *arg);              /* NULL: nobody fetches */
    void *want_keys_arg;
};

/* ---- keys come ---- */

static enum bgw_status fill(struct bgw_auth *auth, const struct bgw_auth_config *config)
{
    auth->issuer = strdup(config->issuer ? config->issuer : "");
    auth->audience = strdup(config->audience ? config->audience : "");
    auth->ring = malloc(sizeof(*auth->ring));
    if (auth->ring)
        bgw_key_ring_init(auth->ring, config->keys_max_age_ms);
    if (!auth->issuer || !auth->audience || !auth->ring)
        return BGW_NO_MEMORY;
    memcpy(auth->tenant, config->default_tenant.data, config->default_tenant.len);
    auth->revocations = config->revocations;
    auth->rules = (struct bgw_claims_rules){
        .issuer = auth->issuer,
        .audience = auth->audience,
        .leeway_s = config->leeway_s,
        .default_tenant = bgw_slice_of(auth->tenant, config->default_tenant.len),
        .feed = config->feed,
    };
    return BGW_OK;
}

enum bgw_status bgw_auth_create(struct bgw_auth **out, const struct bgw_auth_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->feed && config->default_tenant.len <= BGW_TENANT_MAX);
    unsigned algs = 0;
    struct bgw_key_set *set = NULL;
    enum bgw_status status = bgw_configured_algs(&algs, config->algs, error);
    if (status == BGW_OK)
        status = bgw_configured_read(&set, config, algs, error);
    if (status != BGW_OK)
        return status;
    struct bgw_auth *auth = calloc(1, sizeof(*auth));
    status = auth ? fill(auth, config) : BGW_NO_MEMORY;
    if (status != BGW_OK) {
        bgw_keys_release(set);
        bgw_auth_destroy(&auth);
        return status;
    }
    auth->algs = algs;
    auth->kinds = bgw_configured_kinds(config);
    bgw_key_ring_configure(auth->ring, set);
    *out = auth;
    return BGW_OK;
}

void bgw_auth_destroy(struct bgw_auth **auth)
{
    if (!*auth)
        return;
    if ((*auth)->ring)
        bgw_key_ring_deinit((*auth)->ring);
    free((*auth)->ring);
    free((*auth)->issuer);
    free((*auth)->audience);
    free(*auth);
    *auth = NULL;
}

enum bgw_status bgw_auth_reload(struct bgw_auth *auth, const struct bgw_auth_config *config, struct bgw_buf *error)
{
    struct bgw_configured_kinds kinds = bgw_configured_kinds(config);
    if (kinds.secret != auth->kinds.secret || kinds.public_key != auth->kinds.public_key ||
        kinds.key_set != auth->kinds.key_set) {
        bgw_buf_append_str(error, "which of BGW_JWT_SECRET, BGW_JWT_PUBLIC_KEY and BGW_JWT_JWKS are set changes "
                                  "with a restart only");
        return BGW_CONFIG;
    }
    struct bgw_key_set *set = NULL;
    enum bgw_status status = bgw_configured_read(&set, config, auth->algs, error);
    if (status == BGW_OK)
        bgw_key_ring_configure(auth->ring, set);
    return status;
}

enum bgw_status bgw_auth_load_keys(struct bgw_auth *auth, struct bgw_slice jwks, struct bgw_now now,
                                   struct bgw_buf *error)
{
    uint64_t hash = bgw_hash_fnv64(BGW_FNV64_INIT, jwks);
    if (bgw_key_ring_renew(auth->ring, hash, now))
        return BGW_OK;
    struct bgw_key_set *set = NULL;
    enum bgw_status status = bgw_jwks_read(&set, jwks, auth->algs, error);
    if (status != BGW_OK)
        return status;
    BGW_LOG(BGW_LOG_INFO, "key_set_loaded", {"keys", LI(set->count)});
    bgw_metric_set(BGW_M_JWKS_KEYS, (int64_t)set->count);
    bgw_key_ring_fetched(auth->ring, set, hash, now);
    return BGW_OK;
}

void bgw_auth_set_fetcher(struct bgw_auth *auth, bool (*want_keys)(void *arg), void *arg)
{
    auth->want_keys = want_keys;
    auth->want_keys_arg = arg;
}

bool bgw_auth_has_keys(const struct bgw_auth *auth, struct bgw_now now)
{
    struct bgw_key_hold hold = bgw_key_ring_hold(auth->ring, now);
    bool any = (hold.configured && hold.configured->count) || hold.fetched;
    bgw_key_hold_release(&hold);
    return any;
}

struct bgw_auth_moment bgw_auth_moment(const struct bgw_auth *auth, struct bgw_now now)
{
    struct bgw_auth_moment m;
    m.generation = bgw_key_ring_generation(auth->ring, now, &m.fetched);
    return m;
}

const struct bgw_revocations *bgw_auth_revocations(const struct bgw_auth *auth)
{
    return auth->revocations;
}

/* ---- tokens come ---- */

static bool want_keys(const struct bgw_auth *auth)
{
    return auth->want_keys && auth->want_keys(auth->want_keys_arg);
}

/* Whether it is worth a fetch: what no key could ever make valid is refused at once. */
static bool could_be_genuine(const struct bgw_jws *jws, enum bgw_alg alg)
{
    struct bgw_json payload;
    return bgw_alg_signature_fits(alg, jws->signature_len) &&
           bgw_json_parse(bgw_slice_of((const char *)jws->payload, jws->payload_len), &payload) == BGW_OK &&
           payload.type == BGW_JSON_OBJECT;
}

/* No key that we have is this token's. One question to the fetcher at most, whatever is sent. */
static enum bgw_auth_result without_key(const struct bgw_auth *auth, const struct bgw_key_hold *hold,
                                        const struct bgw_jws *jws, enum bgw_alg alg)
{
    if (!auth->kinds.key_set || !could_be_genuine(jws, alg))
        return BGW_AUTH_BAD_SIGNATURE; /* whoever signed it is nobody we know */
    bool fetching = (!hold->fetched || jws->has_kid) && want_keys(auth);
    if (fetching || !hold->fetched)
        return BGW_AUTH_PENDING;
    /* the fetch may have ended since the keys were taken into the hand: then they are looked at again */
    return bgw_key_ring_newer(auth->ring, hold) ? BGW_AUTH_PENDING : BGW_AUTH_BAD_SIGNATURE;
}

static enum bgw_auth_result prove(const struct bgw_auth *auth, const struct bgw_key_hold *hold,
                                  const struct bgw_jws *jws, enum bgw_alg alg)
{
    const struct bgw_key *key = NULL;
    struct bgw_slice kid = {jws->has_kid ? jws->kid : NULL, jws->kid_len};
    switch (bgw_keys_choose(hold->configured, hold->fetched, kid, alg, &key)) {
    case BGW_KEY_OTHER_ALG:
        return BGW_AUTH_UNSUPPORTED;
    case BGW_KEY_UNFIT:
        if (!auth->kinds.key_set)
            return BGW_AUTH_UNSUPPORTED;
        return without_key(auth, hold, jws, alg);
    case BGW_KEY_NONE:
        return without_key(auth, hold, jws, alg);
    case BGW_KEY_FOUND:
        break;
    }
    struct bgw_slice signature = bgw_slice_of((const char *)jws->signature, jws->signature_len);
    if (bgw_key_verify(key, jws->signing_input, signature))
        return BGW_AUTH_OK;
    /* It named a key, and was tried with the one that serves any name: its own may be new. */
    return !key->kid && jws->has_kid ? without_key(auth, hold, jws, alg) : BGW_AUTH_BAD_SIGNATURE;
}

static bool taken_back(const struct bgw_auth *auth, const struct bgw_claims *claims, struct bgw_now now)
{
    if (!auth->revocations)
        return false;
    const struct bgw_holder holder = {
        .subject_hash = claims->subject_hash,
        .jti_hash = claims->jti_hash,
        .issued_s = claims->issued_s,
        .tenant = bgw_slice_str(claims->tenant),
    };
    return bgw_revocations_check(auth->revocations, &holder, now) == BGW_REVOKED_ALL;
}

static enum bgw_auth_result verify(const struct bgw_auth *auth, struct bgw_slice token, struct bgw_now now,
                                   struct bgw_claims *claims)
{
    struct bgw_jws jws;
    enum bgw_alg alg;
    enum bgw_auth_result r = bgw_jws_parse(token, &jws);
    if (r != BGW_AUTH_OK)
        return r;
    if (!bgw_alg_find(bgw_slice_str(jws.alg), &alg) || !(auth->algs & 1U << alg))
        return BGW_AUTH_UNSUPPORTED;
    struct bgw_key_hold hold = bgw_key_ring_hold(auth->ring, now);
    r = prove(auth, &hold, &jws, alg);
    bgw_key_hold_release(&hold);
    if (r == BGW_AUTH_OK)
        r = bgw_claims_read(&auth->rules, bgw_slice_of((const char *)jws.payload, jws.payload_len), now, claims);
    if (r == BGW_AUTH_OK && taken_back(auth, claims, now)) {
        bgw_claims_refuse(claims, true);
        return BGW_AUTH_REVOKED;
    }
    return r;
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
