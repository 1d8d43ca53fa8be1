/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_keys: a Bloom filter in blocks of a cache line, twice. Hides its arithmetic and what happens
 * to keys that turn up around the start of a list. Called by the reader's thread. Invariant: whatever
 * was put in since the list in force began, or shortly before, is perhaps known.
 */
#include "known_keys.h"

#include "bgw/assert.h"
#include "bgw/hash.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BITS 512u
#define BLOCK_WORDS (BLOCK_BITS / 64)
#define BITS_A_KEY 14u
#define PROBES 7        /* of nine bits each: one 64-bit word places them all */
#define RECENT_MAX 4096 /* keys that turned up last: a list may be read from a replica that lags */

struct generation {
    uint64_t *words;
    size_t count;
};

struct bgw_known_keys {
    struct generation generations[2];
    size_t blocks;
    unsigned current; /* in force, if there is one */
    bool in_force, building;
    bool anyones; /* a key was put in without a tenant: it has to be looked for too */
    uint64_t recent[RECENT_MAX];
    size_t recent_count; /* that were ever put there */
};

struct bgw_known_keys *bgw_known_keys_create(size_t keys_max)
{
    BGW_ASSERT(keys_max > 0 && keys_max < SIZE_MAX / BITS_A_KEY - BLOCK_BITS);
    struct bgw_known_keys *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->blocks = keys_max * BITS_A_KEY / BLOCK_BITS + 1;
    for (int i = 0; i < 2; i++) {
        k->generations[i].words = calloc(k->blocks, BLOCK_WORDS * sizeof(uint64_t));
        if (!k->generations[i].words)
            bgw_known_keys_destroy(&k);
        if (!k)
            return NULL;
    }
    return k;
}

void bgw_known_keys_destroy(struct bgw_known_keys **k)
{
    if (!*k)
        return;
    free((*k)->generations[0].words);
    free((*k)->generations[1].words);
    free(*k);
    *k = NULL;
}

/* False: too long to be anybody's. */
static bool hash_of(struct bgw_slice tenant, struct bgw_slice key, uint64_t *out)
{
    char text[BGW_TENANT_MAX + 1 + BGW_KEY_MAX];
    if (tenant.len > BGW_TENANT_MAX || key.len > BGW_KEY_MAX)
        return false;
    if (tenant.len)
        memcpy(text, tenant.data, tenant.len);
    text[tenant.len] = '\0'; /* in neither of them */
    if (key.len)
        memcpy(text + tenant.len + 1, key.data, key.len);
    *out = bgw_hash_keyed(bgw_slice_of(text, tenant.len + 1 + key.len));
    return true;
}

static uint64_t *block_of(const struct bgw_known_keys *k, const struct generation *g, uint64_t hash)
{
    /* the upper half scaled to the blocks: no division, and no power of two needed */
    size_t block = (size_t)((unsigned __int128)hash * k->blocks >> 64);
    return g->words + block * BLOCK_WORDS;
}

static uint64_t places_of(uint64_t hash)
{
    uint64_t z = hash + 0x9e3779b97f4a7c15ULL; /* splitmix64: independent of which block it is */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static bool has(const struct bgw_known_keys *k, const struct generation *g, uint64_t hash)
{
    const uint64_t *block = block_of(k, g, hash);
    uint64_t places = places_of(hash), missing = 0;
    for (int i = 0; i < PROBES; i++, places >>= 9)
        missing |= ~block[(places & 511) / 64] & 1ULL << (places & 63);
    return missing == 0;
}

static void put(struct bgw_known_keys *k, struct generation *g, uint64_t hash)
{
    uint64_t *block = block_of(k, g, hash), places = places_of(hash);
    g->count += !has(k, g, hash);
    for (int i = 0; i < PROBES; i++, places >>= 9)
        block[(places & 511) / 64] |= 1ULL << (places & 63);
}

static struct generation *next_of(struct bgw_known_keys *k)
{
    return &k->generations[k->current ^ 1u];
}

void bgw_known_keys_add(struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key)
{
    uint64_t hash;
    if (!hash_of(tenant, key, &hash))
        return; /* certainly_unknown never denies such a one */
    k->anyones |= !tenant.len;
    k->recent[k->recent_count++ % RECENT_MAX] = hash;
    if (k->in_force)
        put(k, &k->generations[k->current], hash);
    if (k->building)
        put(k, next_of(k), hash);
}

bool bgw_known_keys_certainly_unknown(const struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key)
{
    const struct generation *g = &k->generations[k->current];
    uint64_t own, anyones;
    if (!k->in_force || !hash_of(tenant, key, &own) || has(k, g, own))
        return false;
    return !k->anyones || !hash_of((struct bgw_slice){0}, key, &anyones) || !has(k, g, anyones);
}

uint64_t bgw_known_keys_hash(struct bgw_slice tenant, struct bgw_slice key)
{
    uint64_t hash;
    if (!hash_of(tenant, key, &hash))
        return 0;
    return hash ? hash : 1;
}

void bgw_known_keys_begin(struct bgw_known_keys *k)
{
    struct generation *g = next_of(k);
    memset(g->words, 0, k->blocks * BLOCK_WORDS * sizeof(uint64_t));
    g->count = 0;
    k->building = true;
    size_t n = k->recent_count < RECENT_MAX ? k->recent_count : RECENT_MAX;
    for (size_t i = 0; i < n; i++)
        put(k, g, k->recent[i]);
}

void bgw_known_keys_listed(struct bgw_known_keys *k, struct bgw_slice tenant, struct bgw_slice key)
{
    uint64_t hash;
    BGW_ASSERT(k->building);
    if (hash_of(tenant, key, &hash))
        put(k, next_of(k), hash);
}

void bgw_known_keys_complete(struct bgw_known_keys *k)
{
    BGW_ASSERT(k->building);
    k->building = false;
    k->in_force = true;
    k->current ^= 1u;
}

void bgw_known_keys_abandon(struct bgw_known_keys *k)
{
    k->building = false;
}

bool bgw_known_keys_in_force(const struct bgw_known_keys *k)
{
    return k->in_force;
}

size_t bgw_known_keys_count(const struct bgw_known_keys *k)
{
    return k->in_force ? k->generations[k->current].count : 0;
}
