/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: counters of connections by subject, tenant and address. Hides the tables: sixteen, each
 * with its lock, so that shards seldom meet; sixteen bytes a counter, and none for who has no
 * connection. Called by conn (subject, tenant) and the transport (address), from any thread.
 * Invariant: a counter is never above the connections that took it and did not give it back.
 */
#include "bgw/quota.h"

#include "bgw/assert.h"
#include "bgw/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define STRIPES 16u
#define CAPACITY_MIN 64u
#define CAPACITY_MAX (1u << 22) /* of one stripe: far above any descriptor limit; beyond it nobody is counted */

/* under its stripe's lock */
struct counter {
    uint64_t of;
    uint32_t count; /* 0: free */
    uint32_t kind;
};

struct stripe { /* any thread: under `lock` */
    pthread_mutex_t lock;
    struct counter *counters;
    size_t capacity, used;
};

struct bgw_quota { /* any thread */
    struct stripe stripes[STRIPES];
};

static uint64_t hash_of(enum bgw_quota_kind kind, uint64_t of)
{
    const uint64_t key[2] = {(uint64_t)kind, of};
    return bgw_hash_keyed(bgw_slice_of((const char *)key, sizeof(key)));
}

/* The low bits choose the stripe, the others the place in it. */
static size_t home(const struct stripe *s, uint64_t hash)
{
    return (size_t)(hash / STRIPES) & (s->capacity - 1);
}

/* The counter, or the free place where it would stand: one place in eight is always free. */
static struct counter *find(struct stripe *s, enum bgw_quota_kind kind, uint64_t of, uint64_t hash)
{
    size_t i = home(s, hash);
    while (s->counters[i].count && (s->counters[i].of != of || s->counters[i].kind != (uint32_t)kind))
        i = (i + 1) & (s->capacity - 1);
    return &s->counters[i];
}

static bool grow(struct stripe *s)
{
    size_t capacity = s->capacity ? s->capacity * 2 : CAPACITY_MIN;
    struct stripe wider = {.capacity = capacity};
    if (capacity > CAPACITY_MAX)
        return false;
    wider.counters = calloc(capacity, sizeof(*wider.counters));
    if (!wider.counters)
        return false;
    for (size_t i = 0; i < s->capacity; i++) {
        const struct counter *c = &s->counters[i];
        if (c->count)
            *find(&wider, c->kind, c->of, hash_of(c->kind, c->of)) = *c;
    }
    free(s->counters);
    s->counters = wider.counters;
    s->capacity = capacity;
    return true;
}

/* Frees a place and moves up those that had to pass over it, so that no marks stay behind. */
static void remove_at(struct stripe *s, size_t hole)
{
    size_t mask = s->capacity - 1;
    for (size_t i = (hole + 1) & mask; s->counters[i].count; i = (i + 1) & mask) {
        size_t from = home(s, hash_of(s->counters[i].kind, s->counters[i].of));
        if (((i - from) & mask) < ((i - hole) & mask))
            continue; /* it stands between its home and the hole's other side */
        s->counters[hole] = s->counters[i];
        hole = i;
    }
    s->counters[hole] = (struct counter){0};
    s->used--;
}

enum bgw_status bgw_quota_create(struct bgw_quota **out)
{
    struct bgw_quota *q = calloc(1, sizeof(*q));
    *out = q;
    if (!q)
        return BGW_NO_MEMORY;
    for (size_t i = 0; i < STRIPES; i++)
        pthread_mutex_init(&q->stripes[i].lock, NULL);
    return BGW_OK;
}

void bgw_quota_destroy(struct bgw_quota **quota)
{
    struct bgw_quota *q = *quota;
    *quota = NULL;
    if (!q)
        return;
    for (size_t i = 0; i < STRIPES; i++) {
        BGW_ASSERT(q->stripes[i].used == 0);
        free(q->stripes[i].counters);
        pthread_mutex_destroy(&q->stripes[i].lock);
    }
    free(q);
}

static bool take(struct stripe *s, enum bgw_quota_kind kind, uint64_t of, uint64_t hash, int64_t max, bool *taken)
{
    struct counter *c = s->capacity ? find(s, kind, of, hash) : NULL;
    if (c && c->count && max > 0 && (int64_t)c->count >= max)
        return false;
    if (!c || !c->count) {
        if (s->used + 1 > s->capacity / 8 * 7) {
            if (!grow(s))
                return true;
            c = find(s, kind, of, hash);
        }
        *c = (struct counter){.of = of, .kind = (uint32_t)kind};
        s->used++;
    }
    BGW_ASSERT(c->count < UINT32_MAX);
    c->count++;
    *taken = true;
    return true;
}

bool bgw_quota_take(struct bgw_quota *q, enum bgw_quota_kind kind, uint64_t of, int64_t max, bool *taken)
{
    uint64_t hash = hash_of(kind, of);
    struct stripe *s = &q->stripes[hash % STRIPES];
    *taken = false;
    pthread_mutex_lock(&s->lock);
    bool room = take(s, kind, of, hash, max, taken);
    pthread_mutex_unlock(&s->lock);
    return room;
}

void bgw_quota_give(struct bgw_quota *q, enum bgw_quota_kind kind, uint64_t of)
{
    uint64_t hash = hash_of(kind, of);
    struct stripe *s = &q->stripes[hash % STRIPES];
    pthread_mutex_lock(&s->lock);
    BGW_ASSERT(s->capacity);
    struct counter *c = find(s, kind, of, hash);
    BGW_ASSERT(c->count > 0); /* nobody owes this */
    if (--c->count == 0)
        remove_at(s, (size_t)(c - s->counters));
    pthread_mutex_unlock(&s->lock);
}
