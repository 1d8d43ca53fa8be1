/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: hides how keys are held and chosen. Today one configured secret; sets that are fetched
 * answer BGW_KEY_PENDING here, and nothing above has to change. Filled on the main thread before
 * any other starts, then read on all. A key is never used with an algorithm that is not its own.
 */
#include "keys.h"

#include "crypto.h"

#include "bgw/assert.h"

#include <stdlib.h>

const char *bgw_alg_name(enum bgw_alg alg)
{
    BGW_ASSERT(alg == BGW_ALG_HS256);
    return "HS256";
}

enum bgw_status bgw_keys_add_secret(struct bgw_key_set *set, const char *kid,
                                    struct bgw_slice secret)
{
    if (set->count == BGW_KEYS_MAX)
        return BGW_FULL;
    char *bytes = malloc(secret.len ? secret.len : 1);
    char *name = kid ? strdup(kid) : NULL;
    if (!bytes || (kid && !name)) {
        free(bytes);
        free(name);
        return BGW_NO_MEMORY;
    }
    memcpy(bytes, secret.data, secret.len);
    set->keys[set->count++] = (struct bgw_key){
        .alg = BGW_ALG_HS256, .kid = name, .secret = bgw_slice_of(bytes, secret.len)};
    return BGW_OK;
}

enum bgw_key_found bgw_keys_find(const struct bgw_key_set *set, struct bgw_slice kid,
                                 const struct bgw_key **out)
{
    const struct bgw_key *nameless = NULL;
    for (size_t i = 0; i < set->count; i++) {
        const struct bgw_key *key = &set->keys[i];
        if (!key->kid) {
            if (!nameless)
                nameless = key;
            continue;
        }
        if (kid.data && bgw_slice_eq(bgw_slice_str(key->kid), kid)) {
            *out = key;
            return BGW_KEY_FOUND;
        }
    }
    *out = nameless;
    return nameless ? BGW_KEY_FOUND : BGW_KEY_NONE;
}

bool bgw_key_verify(const struct bgw_key *key, struct bgw_slice input, struct bgw_slice signature)
{
    BGW_ASSERT(key->alg == BGW_ALG_HS256);
    uint8_t expected[BGW_HS256_LEN];
    if (signature.len != sizeof(expected) || !bgw_crypto_hs256(key->secret, input, expected))
        return false;
    return bgw_crypto_equal(expected, (const uint8_t *)signature.data, sizeof(expected));
}

void bgw_keys_deinit(struct bgw_key_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        char *bytes = (char *)(uintptr_t)set->keys[i].secret.data; /* ours: add_secret made it */
        bgw_crypto_wipe(bytes, set->keys[i].secret.len);
        free(bytes);
        free(set->keys[i].kid);
    }
    set->count = 0;
}
