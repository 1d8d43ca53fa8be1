/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: hides how keys are held and chosen. A set is filled by one thread and immutable from then
 * on; who verifies holds a reference, so a newer set frees nothing that is in use. A key is never
 * used with an algorithm that is not its own, and a token is never tried against a second key.
 */
#include "keys.h"

#include "crypto.h"
#include "public_key.h"

#include "bgw/assert.h"

#include <stdlib.h>

static const char *const alg_names[BGW_ALG_COUNT] = {"HS256", "RS256", "PS256", "ES256", "EdDSA"};

const char *bgw_alg_name(enum bgw_alg alg)
{
    BGW_ASSERT(alg < BGW_ALG_COUNT);
    return alg_names[alg];
}

bool bgw_alg_find(struct bgw_slice name, enum bgw_alg *out)
{
    for (unsigned i = 0; i < BGW_ALG_COUNT; i++) {
        if (!bgw_slice_eq(name, bgw_slice_str(alg_names[i])))
            continue;
        *out = (enum bgw_alg)i;
        return true;
    }
    return false;
}

bool bgw_alg_signature_fits(enum bgw_alg alg, size_t len)
{
    switch (alg) {
    case BGW_ALG_HS256:
        return len == BGW_HS256_LEN;
    case BGW_ALG_RS256:
    case BGW_ALG_PS256:
        return len >= BGW_RSA_BITS_MIN / 8 && len <= BGW_RSA_BITS_MAX / 8;
    case BGW_ALG_ES256:
    case BGW_ALG_EDDSA:
        return len == BGW_EC_SIGNATURE_LEN;
    case BGW_ALG_COUNT:
        break;
    }
    return false;
}

struct bgw_key_set *bgw_keys_create(void)
{
    struct bgw_key_set *set = calloc(1, sizeof(*set));
    if (set)
        atomic_init(&set->refs, 1);
    return set;
}

struct bgw_key_set *bgw_keys_acquire(struct bgw_key_set *set)
{
    if (set)
        atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

static void forget(struct bgw_key *key)
{
    char *bytes = (char *)(uintptr_t)key->secret.data; /* ours: add_secret made it */
    if (bytes)
        bgw_crypto_wipe(bytes, key->secret.len);
    free(bytes);
    bgw_public_key_free(key->public_key);
    free(key->kid);
}

void bgw_keys_release(struct bgw_key_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        forget(&set->keys[i]);
    free(set);
}

static bool is_there(const struct bgw_key_set *set, const char *kid, enum bgw_alg alg)
{
    for (size_t i = 0; kid && i < set->count; i++)
        if (set->keys[i].alg == alg && set->keys[i].kid && strcmp(set->keys[i].kid, kid) == 0)
            return true;
    return false;
}

/* Takes what `key` owns over, on failure too. */
static enum bgw_status add(struct bgw_key_set *set, const char *kid, struct bgw_key key)
{
    enum bgw_status status = BGW_OK;
    if (set->count == BGW_KEYS_MAX)
        status = BGW_FULL;
    else if (is_there(set, kid, key.alg))
        status = BGW_DUPLICATE;
    else if (kid && !(key.kid = strdup(kid)))
        status = BGW_NO_MEMORY;
    if (status == BGW_OK)
        set->keys[set->count++] = key;
    else
        forget(&key);
    return status;
}

enum bgw_status bgw_keys_add_secret(struct bgw_key_set *set, const char *kid, struct bgw_slice secret)
{
    char *bytes = malloc(secret.len ? secret.len : 1);
    if (!bytes)
        return BGW_NO_MEMORY;
    memcpy(bytes, secret.data, secret.len);
    return add(set, kid, (struct bgw_key){.alg = BGW_ALG_HS256, .secret = bgw_slice_of(bytes, secret.len)});
}

enum bgw_status bgw_keys_add_public(struct bgw_key_set *set, const char *kid, enum bgw_alg alg,
                                    struct bgw_public_key *key)
{
    BGW_ASSERT(alg != BGW_ALG_HS256 && key);
    return add(set, kid, (struct bgw_key){.alg = alg, .public_key = key});
}

size_t bgw_keys_drop_nameless(struct bgw_key_set *set)
{
    size_t before = set->count, kept = 0;
    if (before < 2)
        return 0;
    for (size_t i = 0; i < before; i++) {
        if (set->keys[i].kid)
            set->keys[kept++] = set->keys[i];
        else
            forget(&set->keys[i]);
    }
    set->count = kept;
    return before - kept;
}

/* A name may stand for one key in two algorithms (issuers publish RS256 and PS256 that way). */
static enum bgw_key_found by_name(const struct bgw_key_set *set, struct bgw_slice kid, enum bgw_alg alg,
                                  const struct bgw_key **out)
{
    enum bgw_key_found found = BGW_KEY_NONE;
    for (size_t i = 0; i < set->count; i++) {
        const struct bgw_key *key = &set->keys[i];
        if (!key->kid || !bgw_slice_eq(bgw_slice_str(key->kid), kid))
            continue;
        *out = key;
        if (key->alg == alg)
            return BGW_KEY_FOUND;
        found = BGW_KEY_OTHER_ALG;
    }
    return found;
}

static enum bgw_key_found nameless(const struct bgw_key_set *set, enum bgw_alg alg, const struct bgw_key **out)
{
    enum bgw_key_found found = BGW_KEY_NONE;
    for (size_t i = 0; i < set->count; i++) {
        *out = &set->keys[i];
        if (set->keys[i].kid)
            continue;
        if (set->keys[i].alg == alg)
            return BGW_KEY_FOUND;
        found = BGW_KEY_UNFIT;
    }
    return found;
}

enum bgw_key_found bgw_keys_choose(const struct bgw_key_set *configured, const struct bgw_key_set *fetched,
                                   struct bgw_slice kid, enum bgw_alg alg, const struct bgw_key **out)
{
    enum bgw_key_found found = BGW_KEY_NONE;
    if (kid.data && fetched)
        found = by_name(fetched, kid, alg, out);
    if (found != BGW_KEY_NONE)
        return found;
    if (configured)
        found = nameless(configured, alg, out);
    if (found == BGW_KEY_FOUND || kid.data || !fetched || fetched->count != 1)
        return found;
    *out = &fetched->keys[0];
    return fetched->keys[0].alg == alg ? BGW_KEY_FOUND : BGW_KEY_OTHER_ALG;
}

bool bgw_key_verify(const struct bgw_key *key, struct bgw_slice input, struct bgw_slice signature)
{
    if (key->alg != BGW_ALG_HS256)
        return bgw_public_key_verify(key->public_key, key->alg, input, signature);
    uint8_t expected[BGW_HS256_LEN];
    if (signature.len != sizeof(expected) || !bgw_crypto_hs256(key->secret, input, expected))
        return false;
    return bgw_crypto_equal(expected, (const uint8_t *)signature.data, sizeof(expected));
}
