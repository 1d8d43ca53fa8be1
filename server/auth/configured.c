/* SPDX-License-Identifier: Apache-2.0 */
/*
 * configured: hides what a key in the configuration has to be, and the words for one that is not.
 * Called on the main thread at start and at SIGHUP. A key that is configured and could check
 * nothing is an error, never a silent one: a gateway does not become ready by accident.
 */
#include "configured.h"

#include "public_key.h"

struct bgw_configured_kinds bgw_configured_kinds(const struct bgw_auth_config *config)
{
    return (struct bgw_configured_kinds){
        .secret = config->secret.len > 0,
        .public_key = config->public_key && *config->public_key,
        .key_set = config->key_set,
    };
}

static struct bgw_slice trimmed(struct bgw_slice word)
{
    while (word.len && word.data[0] == ' ')
        word = bgw_slice_of(word.data + 1, word.len - 1);
    while (word.len && word.data[word.len - 1] == ' ')
        word.len--;
    return word;
}

enum bgw_status bgw_configured_algs(unsigned *out, const char *text, struct bgw_buf *error)
{
    unsigned algs = 0;
    for (const char *at = text ? text : ""; *at;) {
        size_t len = strcspn(at, ",");
        struct bgw_slice word = trimmed(bgw_slice_of(at, len));
        enum bgw_alg alg;
        if (!bgw_alg_find(word, &alg)) {
            bgw_buf_appendf(error, "BGW_JWT_ALGS names \"%.*s\"; there are HS256, RS256, PS256, ES256 and EdDSA, "
                                   "separated by commas", (int)(word.len < 64 ? word.len : 64), word.data);
            return BGW_CONFIG;
        }
        algs |= 1U << alg;
        at += len + (at[len] == ',');
    }
    *out = algs ? algs : BGW_ALGS_ALL;
    return BGW_OK;
}

static const char set_the_secret[] = ". Set it (or BGW_JWT_SECRET_FILE, a file that holds it) to what your "
                                     "token issuer signs with; `openssl rand -hex 32` makes a new one";

static bool any_key(struct bgw_configured_kinds kinds, struct bgw_buf *error)
{
    if (kinds.secret || kinds.public_key || kinds.key_set)
        return true;
    bgw_buf_append_str(error, "none of BGW_JWT_SECRET, BGW_JWT_PUBLIC_KEY and BGW_JWT_JWKS is set: no token could "
                              "be checked. Set BGW_JWT_JWKS to your issuer's key set (a file or https://), "
                              "BGW_JWT_PUBLIC_KEY to its public key (PEM), or BGW_JWT_SECRET to the secret that it "
                              "signs with; `openssl rand -hex 32` makes a new one");
    return false;
}

static bool allowed(unsigned algs, enum bgw_alg alg, const char *variable, struct bgw_buf *error)
{
    if (algs & 1U << alg)
        return true;
    bgw_buf_appendf(error, "%s holds a key for %s, which BGW_JWT_ALGS does not allow", variable, bgw_alg_name(alg));
    return false;
}

static enum bgw_status add_secret(struct bgw_key_set *set, struct bgw_slice secret, unsigned algs,
                                  struct bgw_buf *error)
{
    if (secret.len < BGW_SECRET_MIN) {
        bgw_buf_appendf(error, "BGW_JWT_SECRET has %zu bytes; HS256 needs at least %d%s", secret.len,
                        BGW_SECRET_MIN, set_the_secret);
        return BGW_CONFIG;
    }
    if (!allowed(algs, BGW_ALG_HS256, "BGW_JWT_SECRET", error))
        return BGW_CONFIG;
    return bgw_keys_add_secret(set, NULL, secret);
}

/* An RSA key serves RS256, unless PS256 is the only one of the two that is allowed. */
static enum bgw_alg alg_of(enum bgw_key_type type, unsigned algs)
{
    if (type == BGW_KEY_P256)
        return BGW_ALG_ES256;
    if (type == BGW_KEY_ED25519)
        return BGW_ALG_EDDSA;
    bool only_ps256 = (algs & 1U << BGW_ALG_PS256) && !(algs & 1U << BGW_ALG_RS256);
    return only_ps256 ? BGW_ALG_PS256 : BGW_ALG_RS256;
}

static enum bgw_status add_pem(struct bgw_key_set *set, const char *pem, unsigned algs, struct bgw_buf *error)
{
    struct bgw_public_key *key = NULL;
    enum bgw_key_type type;
    const char *why = NULL;
    enum bgw_status status = bgw_public_key_pem(&key, &type, pem, &why);
    if (status != BGW_OK) {
        bgw_buf_appendf(error, "BGW_JWT_PUBLIC_KEY cannot be used: %s", why);
        return BGW_CONFIG;
    }
    enum bgw_alg alg = alg_of(type, algs);
    if (!allowed(algs, alg, "BGW_JWT_PUBLIC_KEY", error)) {
        bgw_public_key_free(key);
        return BGW_CONFIG;
    }
    return bgw_keys_add_public(set, NULL, alg, key);
}

enum bgw_status bgw_configured_read(struct bgw_key_set **out, const struct bgw_auth_config *config, unsigned algs,
                                    struct bgw_buf *error)
{
    struct bgw_configured_kinds kinds = bgw_configured_kinds(config);
    if (!any_key(kinds, error))
        return BGW_CONFIG;
    struct bgw_key_set *set = bgw_keys_create();
    if (!set)
        return BGW_NO_MEMORY;
    enum bgw_status status = BGW_OK;
    if (kinds.secret)
        status = add_secret(set, config->secret, algs, error);
    if (status == BGW_OK && kinds.public_key)
        status = add_pem(set, config->public_key, algs, error);
    if (status != BGW_OK) {
        bgw_keys_release(set);
        return status;
    }
    *out = set;
    return BGW_OK;
}
