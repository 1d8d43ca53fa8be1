/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_cache: tokens that were found good a moment ago, so that the next request with the same one
 * costs no signature. Hides what could have changed since: whoever asks gets from the cache only an
 * OK that bgw_auth_verify would give too; at the slightest doubt it is asked itself. Called by the
 * wire on one shard's thread. Invariants: only good tokens are kept, found when all of their bytes are the same;
 * what is kept stays within entries_max and bytes_max, the longest unused go first.
 */
#include "auth_private.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/list.h"
#include "bgw/map.h"
#include "bgw/metrics.h"

#include <stdlib.h>

/* A token names each account in at least three bytes, and its grants take eight more for where it ends. */
#define ENTRY_BYTES(token_len) (sizeof(struct entry) + 4 * (token_len))

#define HASHED_BYTES 40 /* in base64url more than 200 bits of signature */

/* one token */
struct entry {
    struct bgw_list link; /* cache->used */
    uint64_t hash;
    struct bgw_auth_moment keys; /* those that it was checked with */
    uint64_t revocations;        /* the set's generation that has nothing against it */
    int64_t seen_ms;             /* wall clock: not before this is it known to be valid */
    struct bgw_claims claims;
    size_t len;
    char token[];
};

struct bgw_token_cache { /* one thread's */
    const struct bgw_auth *auth;
    struct bgw_map map;
    struct bgw_list used; /* the last one is the latest */
    size_t bytes, bytes_max, entries_max;
};

enum bgw_status bgw_token_cache_create(struct bgw_token_cache **out, const struct bgw_auth *auth, size_t entries_max,
                                       size_t bytes_max)
{
    BGW_ASSERT(auth && entries_max);
    struct bgw_token_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return BGW_NO_MEMORY;
    bgw_hash_init();
    cache->auth = auth;
    cache->entries_max = entries_max;
    cache->bytes_max = bytes_max;
    bgw_map_init(&cache->map, entries_max);
    bgw_list_init(&cache->used);
    *out = cache;
    return BGW_OK;
}

static void drop(struct bgw_token_cache *cache, struct entry *e)
{
    bgw_map_remove(&cache->map, e->hash, e);
    bgw_list_remove(&e->link);
    cache->bytes -= ENTRY_BYTES(e->len);
    bgw_claims_deinit(&e->claims);
    free(e);
}

void bgw_token_cache_destroy(struct bgw_token_cache **out)
{
    struct bgw_token_cache *cache = *out;
    if (!cache)
        return;
    while (!bgw_list_empty(&cache->used))
        drop(cache, BGW_CONTAINER(cache->used.next, struct entry, link));
    bgw_map_deinit(&cache->map);
    free(cache);
    *out = NULL;
}

/* The end of a token is its signature's: those that are kept differ there, and nobody can choose it. */
static uint64_t hash_of(struct bgw_slice token)
{
    size_t n = token.len < HASHED_BYTES ? token.len : HASHED_BYTES;
    return bgw_hash_keyed(bgw_slice_of(token.data + token.len - n, n));
}

static bool same_token(const void *item, const void *key)
{
    const struct entry *e = item;
    return bgw_slice_eq(bgw_slice_of(e->token, e->len), *(const struct bgw_slice *)key);
}

/*
 * Would bgw_auth_verify say OK of it now. Issuer, audience, tenant and leeway never change; a token that
 * was valid at some time is so until it expires, so a clock that went back is all that `nbf` is asked for.
 */
static bool still_good(const struct bgw_token_cache *cache, struct entry *e, struct bgw_now now)
{
    struct bgw_auth_moment keys = bgw_auth_moment(cache->auth, now);
    if (keys.generation != e->keys.generation || keys.fetched != e->keys.fetched)
        return false;
    if (now.wall_ms >= e->claims.expires_ms || now.wall_ms < e->seen_ms)
        return false;
    const struct bgw_revocations *revocations = bgw_auth_revocations(cache->auth);
    if (!revocations)
        return true;
    /* what is added to the set later raises the number later: nothing is passed over */
    uint64_t generation = bgw_revocations_generation(revocations);
    if (generation == e->revocations)
        return true;
    const struct bgw_holder holder = {e->claims.subject_hash, e->claims.jti_hash, e->claims.issued_s,
                                      bgw_slice_str(e->claims.tenant)};
    if (bgw_revocations_check(revocations, &holder, now) == BGW_REVOKED_ALL)
        return false;
    e->revocations = generation;
    e->seen_ms = now.wall_ms; /* a revocation that has run out by now had not run out before */
    return true;
}

static void keep(struct bgw_token_cache *cache, struct bgw_slice token, struct entry *e)
{
    size_t bytes = ENTRY_BYTES(token.len);
    while (cache->map.count && (cache->map.count >= cache->entries_max || cache->bytes + bytes > cache->bytes_max))
        drop(cache, BGW_CONTAINER(cache->used.next, struct entry, link));
    e->len = token.len;
    memcpy(e->token, token.data, token.len);
    if (bgw_map_insert(&cache->map, e->hash, e) != BGW_OK) { /* no memory: it is verified again the next time */
        bgw_claims_deinit(&e->claims);
        free(e);
        return;
    }
    bgw_list_push_back(&cache->used, &e->link);
    cache->bytes += bytes;
}

/* Everything is read before the token is verified: what changes meanwhile is found the next time. */
static enum bgw_auth_result verify_and_keep(struct bgw_token_cache *cache, struct bgw_slice token, uint64_t hash,
                                            struct bgw_now now, struct bgw_claims *claims)
{
    const struct bgw_revocations *revocations = bgw_auth_revocations(cache->auth);
    uint64_t generation = revocations ? bgw_revocations_generation(revocations) : 0;
    struct bgw_auth_moment keys = bgw_auth_moment(cache->auth, now);
    enum bgw_auth_result result = bgw_auth_verify(cache->auth, token, now, claims);
    if (result != BGW_AUTH_OK || ENTRY_BYTES(token.len) > cache->bytes_max)
        return result;
    struct entry *e = malloc(sizeof(*e) + token.len);
    if (!e)
        return result;
    *e = (struct entry){.hash = hash, .keys = keys, .revocations = generation, .seen_ms = now.wall_ms};
    bgw_list_init(&e->link);
    bgw_claims_copy(&e->claims, claims);
    keep(cache, token, e);
    return result;
}

enum bgw_auth_result bgw_token_cache_verify(struct bgw_token_cache *cache, struct bgw_slice token, struct bgw_now now,
                                            struct bgw_claims *claims)
{
    uint64_t hash = hash_of(token);
    struct entry *e = bgw_map_find(&cache->map, hash, same_token, &token);
    if (e && still_good(cache, e, now)) {
        bgw_list_remove(&e->link);
        bgw_list_push_back(&cache->used, &e->link);
        bgw_claims_copy(claims, &e->claims);
        bgw_metric_add(BGW_M_TOKEN_CACHE_HITS, 1);
        bgw_metric_add(BGW_M_AUTH_OK, 1);
        return BGW_AUTH_OK;
    }
    if (e)
        drop(cache, e);
    bgw_metric_add(BGW_M_TOKEN_CACHE_MISSES, 1);
    return verify_and_keep(cache, token, hash, now, claims);
}
