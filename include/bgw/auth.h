/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth: is this token genuine, and what does it say. Hides OpenSSL and the compact JWS form. The
 * algorithm is bound to the key by configuration, never chosen by the token.
 */
#ifndef BGW_AUTH_H
#define BGW_AUTH_H

#include "bgw/access.h"
#include "bgw/revocations.h"

#define BGW_TOKEN_MAX 16384 /* bytes of a compact token; some 600 accounts by name. Longer ones are malformed */

struct bgw_auth; /* any thread; its keys are immutable sets that swap behind it */

struct bgw_auth_config {
    struct bgw_slice secret;   /* HS256, at least 32 bytes; empty: none */
    const char *public_key;    /* PEM text, a PUBLIC KEY or a CERTIFICATE; NULL or "": none */
    bool key_set;              /* keys come through bgw_auth_load_keys; until the first did, tokens are PENDING */
    int64_t keys_max_age_ms;   /* a key set older than this is used no more: PENDING again; 0: no limit */
    const char *algs;          /* BGW_JWT_ALGS; NULL or "": what each key says */
    const struct bgw_revocations *revocations; /* NULL: none */
    const char *issuer, *audience; /* NULL or "": not checked */
    int64_t leeway_s;
    struct bgw_slice default_tenant;
    const struct bgw_feed *feed; /* whose scopes and claim names are read */
};

enum bgw_auth_result { /* texts: bgw_auth_result_text, stable codes */
    BGW_AUTH_OK,
    BGW_AUTH_PENDING, /* the key is being fetched: ask again a little later */
#define BGW_AUTH_ROW(NAME, code, sentence) BGW_AUTH_##NAME,
#include "../../server/auth/auth.def"
#undef BGW_AUTH_ROW
};

BGW_MUST_CHECK enum bgw_status bgw_auth_create(struct bgw_auth **out, const struct bgw_auth_config *config,
                                               struct bgw_buf *error);
void bgw_auth_destroy(struct bgw_auth **auth);
/* The configured keys anew (SIGHUP): secret and public_key. Fetched ones stay, and so do the rules of create; on failure everything
 * stays. Which of the three kinds there are cannot change. */
BGW_MUST_CHECK enum bgw_status bgw_auth_reload(struct bgw_auth *auth, const struct bgw_auth_config *config,
                                               struct bgw_buf *error);
/* Takes a JWKS document in place of the one before; the same document again makes its keys young again. Keys that we cannot use are
 * left out; a document without any usable key, with one kid twice, or that is not strict JSON, is BGW_BAD_VALUE and changes nothing.
 * Any thread, one at a time. */
BGW_MUST_CHECK enum bgw_status bgw_auth_load_keys(struct bgw_auth *auth, struct bgw_slice jwks, struct bgw_now now,
                                                  struct bgw_buf *error);
/* Asked when a token names a key that is not there. True: a fetch runs or starts now, the token is PENDING; false: it is refused.
 * Before the threads start. */
void bgw_auth_set_fetcher(struct bgw_auth *auth, bool (*want_keys)(void *arg), void *arg);
bool bgw_auth_has_keys(const struct bgw_auth *auth, struct bgw_now now); /* could any token be checked now */
/* On OK `claims` holds a reference to grants; deinit it. Otherwise it grants nothing; of a genuine token that may not enter it says
 * whose it is, for the audit log. Revoked tokens are BGW_AUTH_REVOKED. Counts bgw_auth_total{result}. */
enum bgw_auth_result bgw_auth_verify(const struct bgw_auth *auth, struct bgw_slice token, struct bgw_now now,
                                     struct bgw_claims *claims);
const struct bgw_revocations *bgw_auth_revocations(const struct bgw_auth *auth); /* those of its configuration; NULL: none */
const char *bgw_auth_code(enum bgw_auth_result r);     /* "bad_signature" */
const char *bgw_auth_sentence(enum bgw_auth_result r); /* for people */

/* Tokens that were verified a moment ago, for requests that come with the same one again and again. One thread. A hit says what
 * bgw_auth_verify would say: the token's times, revocations, the keys' age and their replacement are looked at each time. */
struct bgw_token_cache;
BGW_MUST_CHECK enum bgw_status bgw_token_cache_create(struct bgw_token_cache **out, const struct bgw_auth *auth,
                                                      size_t entries_max, size_t bytes_max);
void bgw_token_cache_destroy(struct bgw_token_cache **cache);
/* As bgw_auth_verify, through the cache. */
enum bgw_auth_result bgw_token_cache_verify(struct bgw_token_cache *cache, struct bgw_slice token, struct bgw_now now,
                                            struct bgw_claims *claims);

/* Signs a compact HS256 token over a JSON payload: `bgw token`, the demo, tests. */
BGW_MUST_CHECK enum bgw_status bgw_auth_sign_hs256(struct bgw_slice secret, struct bgw_slice payload,
                                                   struct bgw_buf *out);
void bgw_auth_mac(const uint8_t key[32], struct bgw_slice bytes, uint8_t out[32]); /* HMAC-SHA-256 */
void bgw_auth_derive(struct bgw_slice secret, const char *purpose, uint8_t out[32]);
void bgw_auth_sha1(struct bgw_slice bytes, uint8_t out[20]); /* the WebSocket accept key */
void bgw_auth_random(uint8_t *out, size_t len);

#endif
