/* SPDX-License-Identifier: Apache-2.0 */
/*
 * grants: the set of keys that a token names. Hides how it is stored: while it is built a growing
 * text and a list of where keys begin, once sealed one block, sorted, about 96 bytes for one key.
 * Built by one thread, then shared by any: immutable after seal but for the count of references.
 * Invariant: a sealed set is strictly ascending, so one binary search decides.
 */
#include "grants.h"

#include "bgw/assert.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

#define TEXT_CAP_MIN 32

struct bgw_grants { /* any thread: immutable after seal; counted */
    atomic_uint refs;
    uint32_t count, ends_cap;
    uint32_t text_cap;
    bool all_keys, sealed;
    uint32_t
        *ends; /* key i is text[ends[i - 1], ends[i]); sealed: `text` follows in the same block */
    char *text;
};

/* Staff's: there is nothing in it that could differ, so all tokens share it, uncounted. */
static struct bgw_grants everything = {.refs = 1, .all_keys = true, .sealed = true};

struct bgw_grants *bgw_grants_create(bool all_keys)
{
    if (all_keys)
        return &everything;
    struct bgw_grants *g = calloc(1, sizeof(*g));
    if (!g)
        return NULL;
    atomic_init(&g->refs, 1);
    return g;
}

static struct bgw_slice key_at(const struct bgw_grants *g, uint32_t i)
{
    uint32_t from = i ? g->ends[i - 1] : 0;
    return bgw_slice_of(g->text + from, g->ends[i] - from);
}

static bool make_room(struct bgw_grants *g, uint32_t text_len, size_t more)
{
    if (g->count == g->ends_cap) {
        uint32_t cap = g->ends_cap ? g->ends_cap * 2 : 1;
        uint32_t *ends = realloc(g->ends, cap * sizeof(*ends));
        if (!ends)
            return false;
        g->ends = ends;
        g->ends_cap = cap;
    }
    uint32_t cap = g->text_cap ? g->text_cap : TEXT_CAP_MIN;
    while (cap < text_len + more)
        cap *= 2; /* at most 10,000 keys of 64 bytes: never near the type's end */
    if (cap == g->text_cap)
        return true;
    char *text = realloc(g->text, cap);
    if (!text)
        return false;
    g->text = text;
    g->text_cap = cap;
    return true;
}

enum bgw_status bgw_grants_add(struct bgw_grants *g, struct bgw_slice key)
{
    if (key.len == 0 || key.len > BGW_KEY_MAX)
        return BGW_BAD_ID;
    if (g->all_keys)
        return BGW_OK;
    BGW_ASSERT(!g->sealed);
    if (g->count == BGW_GRANT_KEYS_MAX)
        return BGW_FULL;
    uint32_t text_len = g->count ? g->ends[g->count - 1] : 0;
    if (!make_room(g, text_len, key.len))
        return BGW_NO_MEMORY;
    memcpy(g->text + text_len, key.data, key.len);
    g->ends[g->count++] = text_len + (uint32_t)key.len;
    return BGW_OK;
}

static int compare_keys(struct bgw_slice a, struct bgw_slice b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

static int compare_items(const void *a, const void *b)
{
    return compare_keys(*(const struct bgw_slice *)a, *(const struct bgw_slice *)b);
}

/* Sorted and without duplicates into one block; returns how many keys are left. */
static uint32_t pack(struct bgw_slice *keys, uint32_t count, uint32_t *ends, char *text)
{
    uint32_t kept = 0, len = 0;
    qsort(keys, count, sizeof(*keys), compare_items);
    for (uint32_t i = 0; i < count; i++) {
        if (i && compare_keys(keys[i - 1], keys[i]) == 0)
            continue;
        memcpy(text + len, keys[i].data, keys[i].len);
        len += (uint32_t)keys[i].len;
        ends[kept++] = len;
    }
    return kept;
}

void bgw_grants_seal(struct bgw_grants *g)
{
    if (g->all_keys)
        return;
    BGW_ASSERT(!g->sealed);
    g->sealed = true;
    if (g->count == 0)
        return;
    struct bgw_slice *keys = malloc(g->count * sizeof(*keys));
    uint32_t *block = malloc(g->count * sizeof(*block) + g->ends[g->count - 1]);
    /* an unsorted set would answer wrongly: there is nothing honest left to do without these bytes
     */
    BGW_ASSERT(keys && block);
    for (uint32_t i = 0; i < g->count; i++)
        keys[i] = key_at(g, i);
    char *text = (char *)(block + g->count);
    uint32_t kept = pack(keys, g->count, block, text);
    free(keys);
    free(g->ends);
    free(g->text);
    g->ends = block;
    g->text = text;
    g->count = kept;
}

struct bgw_grants *bgw_grants_acquire(struct bgw_grants *g)
{
    if (!g || g->all_keys)
        return g;
    /* relaxed: the caller holds a reference already */
    unsigned before = atomic_fetch_add_explicit(&g->refs, 1, memory_order_relaxed);
    BGW_ASSERT(before > 0 && before < UINT_MAX / 2);
    return g;
}

void bgw_grants_release(struct bgw_grants *g)
{
    if (!g || g->all_keys)
        return;
    /* release our reads, acquire everyone's before freeing */
    unsigned before = atomic_fetch_sub_explicit(&g->refs, 1, memory_order_acq_rel);
    BGW_ASSERT(before > 0);
    if (before > 1)
        return;
    if (!g->sealed)
        free(g->text);
    free(g->ends);
    free(g);
}

bool bgw_grants_all(const struct bgw_grants *g)
{
    return g->all_keys;
}

size_t bgw_grants_count(const struct bgw_grants *g)
{
    return g->count;
}

bool grants_cover(const struct bgw_grants *g, struct bgw_slice key)
{
    BGW_ASSERT(g->sealed);
    if (g->all_keys)
        return true;
    uint32_t low = 0, high = g->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = compare_keys(key_at(g, middle), key);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}
