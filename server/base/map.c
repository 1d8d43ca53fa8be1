/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: linear probing over a power of two of buckets. Hides where an item lies; called by whoever
 * owns the table, on that one thread. Invariant: at least one bucket in eight has never been used,
 * so every probe ends. A removed item leaves a marker unless the next bucket is free; markers are
 * swept when the table is rebuilt.
 */
#include "bgw/map.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define CAPACITY_MIN 8

/* one thread's, the owner's */
struct bgw_map_bucket {
    uint64_t hash;
    void *item; /* NULL: never used; &removed: was used */
};

static char removed;

void bgw_map_init(struct bgw_map *m, size_t count_max)
{
    *m = (struct bgw_map){.count_max = count_max};
}

void bgw_map_deinit(struct bgw_map *m)
{
    free(m->buckets);
    *m = (struct bgw_map){.count_max = m->count_max};
}

void *bgw_map_find(const struct bgw_map *m, uint64_t hash, bgw_map_eq eq, const void *key)
{
    if (m->count == 0)
        return NULL;
    size_t mask = m->capacity - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        const struct bgw_map_bucket *b = &m->buckets[i];
        if (!b->item)
            return NULL;
        if (b->hash == hash && b->item != &removed && eq(b->item, key))
            return b->item;
    }
}

/* The bucket where a new item goes: the first that holds none. */
static struct bgw_map_bucket *free_bucket(struct bgw_map_bucket *buckets, size_t capacity,
                                          uint64_t hash)
{
    size_t mask = capacity - 1, i = (size_t)hash & mask;
    while (buckets[i].item && buckets[i].item != &removed)
        i = (i + 1) & mask;
    return &buckets[i];
}

static enum bgw_status rebuild(struct bgw_map *m, size_t capacity)
{
    struct bgw_map_bucket *to = calloc(capacity, sizeof(*to));
    if (!to)
        return BGW_NO_MEMORY;
    for (size_t i = 0; i < m->capacity; i++) {
        struct bgw_map_bucket *from = &m->buckets[i];
        if (from->item && from->item != &removed)
            *free_bucket(to, capacity, from->hash) = *from;
    }
    free(m->buckets);
    m->buckets = to;
    m->capacity = capacity;
    m->used = m->count;
    return BGW_OK;
}

/* Doubles when more than half is live; else the table is full of markers, and sweeping them will
 * do. */
static enum bgw_status make_room(struct bgw_map *m)
{
    if (m->capacity == 0)
        return rebuild(m, CAPACITY_MIN);
    if (m->used + 1 <= m->capacity / 8 * 7)
        return BGW_OK;
    return rebuild(m, m->count >= m->capacity / 2 ? m->capacity * 2 : m->capacity);
}

enum bgw_status bgw_map_insert(struct bgw_map *m, uint64_t hash, void *item)
{
    BGW_ASSERT(item && item != (void *)&removed);
    if (m->count >= m->count_max)
        return BGW_FULL;
    enum bgw_status status = make_room(m);
    if (status != BGW_OK)
        return status;
    struct bgw_map_bucket *b = free_bucket(m->buckets, m->capacity, hash);
    if (!b->item)
        m->used++;
    *b = (struct bgw_map_bucket){.hash = hash, .item = item};
    m->count++;
    return BGW_OK;
}

/* Frees the markers in front of a bucket that ends every probe: nobody needs to pass over them. */
static void sweep_back(struct bgw_map *m, size_t i)
{
    size_t mask = m->capacity - 1;
    if (m->buckets[(i + 1) & mask].item)
        return;
    for (; m->buckets[i].item == &removed; i = (i - 1) & mask) {
        m->buckets[i].item = NULL;
        m->used--;
    }
}

void bgw_map_remove(struct bgw_map *m, uint64_t hash, const void *item)
{
    BGW_ASSERT(m->count > 0);
    size_t mask = m->capacity - 1, i = (size_t)hash & mask;
    while (m->buckets[i].item != item) {
        BGW_ASSERT(m->buckets[i].item);
        i = (i + 1) & mask;
    }
    m->buckets[i].item = &removed;
    m->count--;
    sweep_back(m, i);
}

void *bgw_map_next(const struct bgw_map *m, size_t *cursor)
{
    while (*cursor < m->capacity) {
        void *item = m->buckets[(*cursor)++].item;
        if (item && item != &removed)
            return item;
    }
    return NULL;
}
