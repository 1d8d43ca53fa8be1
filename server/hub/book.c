/* SPDX-License-Identifier: Apache-2.0 */
/*
 * book: who is known and what is held of them. Hides how keys, slots and tenants lie in memory;
 * called by the other files of hub/, on the hub thread. Invariants: a key is in the map exactly
 * once; a key without watches holds no slot that knows nothing; ordinals of a key's slots are
 * different, and stay as they are while anybody watches it.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"

#include <stddef.h>
#include <stdlib.h>

#define TEXT_CLASS_BYTES 16
#define EVICT_STEPS 256 /* of the hand for one new value: bounded work for each record */

/* hub thread; never freed before the book: there are few, and slots name them by number */
struct tenant {
    uint32_t number;
    uint8_t len;
    char text[];
};

/* what a look-up asks for */
struct wanted_key {
    uint32_t tenant;
    uint8_t feed, key_len;
    const char *text;
};

_Static_assert(TEXT_CLASSES *TEXT_CLASS_BYTES >= BGW_KEY_MAX, "every key has a class");
_Static_assert(KEY_SLOTS_MAX < UINT8_MAX, "ordinals fit");

void book_init(struct book *b, size_t values_max)
{
    *b = (struct book){.values_max = values_max ? values_max : SIZE_MAX};
    bgw_map_init(&b->keys, SIZE_MAX);
    bgw_map_init(&b->tenant_map, TENANTS_MAX);
    for (size_t i = 0; i < TEXT_CLASSES; i++)
        bgw_pool_init(&b->key_pools[i], offsetof(struct key, text) + (i + 1) * TEXT_CLASS_BYTES,
                      SIZE_MAX);
    bgw_pool_init(&b->slot_pool, sizeof(struct slot), SIZE_MAX);
    bgw_pool_init(&b->watch_pool, sizeof(struct watch), SIZE_MAX);
}

static void watch_free(struct book *b, struct watch *w)
{
    free(w->more);
    bgw_pool_give(&b->watch_pool, w);
}

void book_deinit(struct book *b)
{
    size_t cursor = 0;
    for (struct key *k; (k = bgw_map_next(&b->keys, &cursor));) {
        for (struct slot *s = &k->first; s; s = s->next)
            bgw_blob_release(s->value);
        for (struct watch *w = k->watches, *next; w; w = next) {
            next = w->next;
            watch_free(b, w);
        }
    }
    bgw_map_deinit(&b->keys);
    bgw_map_deinit(&b->tenant_map);
    for (size_t i = 0; i < b->tenant_count; i++)
        free(b->tenants[i]);
    free(b->tenants);
    for (size_t i = 0; i < TEXT_CLASSES; i++)
        bgw_pool_deinit(&b->key_pools[i]);
    bgw_pool_deinit(&b->slot_pool);
    bgw_pool_deinit(&b->watch_pool);
}

/* ---- tenants ---- */

static bool tenant_eq(const void *item, const void *key)
{
    const struct tenant *t = item;
    const struct bgw_slice *text = key;
    return bgw_slice_eq(bgw_slice_of(t->text, t->len), *text);
}

static struct tenant *tenant_find(const struct book *b, struct bgw_slice text)
{
    return bgw_map_find(&b->tenant_map, bgw_hash_keyed(text), tenant_eq, &text);
}

struct bgw_slice book_tenant(const struct book *b, uint32_t tenant)
{
    BGW_ASSERT(tenant < b->tenant_count);
    return bgw_slice_of(b->tenants[tenant]->text, b->tenants[tenant]->len);
}

static enum bgw_status tenant_list_grow(struct book *b)
{
    if (b->tenant_count < b->tenant_capacity)
        return BGW_OK;
    size_t capacity = b->tenant_capacity ? b->tenant_capacity * 2 : 8;
    struct tenant **grown = realloc(b->tenants, capacity * sizeof(struct tenant *));
    if (!grown)
        return BGW_NO_MEMORY;
    b->tenants = grown;
    b->tenant_capacity = capacity;
    return BGW_OK;
}

/* Records of one tenant follow each other: the last one is looked at before the map. */
static bool tenant_is_last(const struct book *b, struct bgw_slice text)
{
    return b->tenant_last < b->tenant_count && bgw_slice_eq(book_tenant(b, b->tenant_last), text);
}

static enum bgw_status tenant_find_or_add(struct book *b, struct bgw_slice text, uint32_t *out)
{
    struct tenant *t = tenant_is_last(b, text) ? b->tenants[b->tenant_last] : tenant_find(b, text);
    if (t) {
        *out = b->tenant_last = t->number;
        return BGW_OK;
    }
    enum bgw_status status = tenant_list_grow(b);
    if (status != BGW_OK)
        return status;
    t = malloc(sizeof(*t) + text.len);
    if (!t)
        return BGW_NO_MEMORY;
    t->number = (uint32_t)b->tenant_count;
    t->len = (uint8_t)text.len;
    memcpy(t->text, text.data, text.len);
    status = bgw_map_insert(&b->tenant_map, bgw_hash_keyed(text), t);
    if (status != BGW_OK) {
        free(t);
        return status;
    }
    b->tenants[b->tenant_count++] = t;
    *out = t->number;
    return BGW_OK;
}

/* ---- keys ---- */

static bool key_eq(const void *item, const void *key)
{
    const struct key *k = item;
    const struct wanted_key *w = key;
    return k->tenant == w->tenant && k->feed == w->feed && k->key_len == w->key_len &&
           memcmp(k->text, w->text, w->key_len) == 0;
}

static uint64_t key_hash(const struct wanted_key *w)
{
    char bytes[sizeof(w->tenant) + 1 + BGW_KEY_MAX];
    memcpy(bytes, &w->tenant, sizeof(w->tenant));
    bytes[sizeof(w->tenant)] = (char)w->feed;
    memcpy(bytes + sizeof(w->tenant) + 1, w->text, w->key_len);
    return bgw_hash_keyed(bgw_slice_of(bytes, sizeof(w->tenant) + 1 + w->key_len));
}

static struct wanted_key wanted_of(const struct key *k)
{
    return (struct wanted_key){k->tenant, k->feed, k->key_len, k->text};
}

static struct bgw_slice tenant_text(const struct bgw_slot_name *name)
{
    return bgw_slice_of(name->tenant, name->tenant_len);
}

static struct key *find_in_tenant(const struct book *b, const struct bgw_slot_name *name,
                                  uint32_t tenant)
{
    struct wanted_key w = {tenant, name->feed, name->key_len, name->key};
    return bgw_map_find(&b->keys, key_hash(&w), key_eq, &w);
}

struct key *book_find(struct book *b, const struct bgw_slot_name *name)
{
    struct tenant *t = tenant_find(b, tenant_text(name));
    return t ? find_in_tenant(b, name, t->number) : NULL;
}

static void slot_init(struct slot *s, bgw_part part, uint8_t ordinal)
{
    *s = (struct slot){.part = part, .partition = -1, .ordinal = ordinal};
}

static struct bgw_pool *key_pool(struct book *b, size_t key_len)
{
    return &b->key_pools[(key_len - 1) / TEXT_CLASS_BYTES];
}

enum bgw_status book_find_or_add(struct book *b, const struct bgw_slot_name *name, struct key **out)
{
    uint32_t tenant;
    BGW_ASSERT(name->key_len > 0 && name->key_len <= BGW_KEY_MAX);
    enum bgw_status status = tenant_find_or_add(b, tenant_text(name), &tenant);
    if (status != BGW_OK)
        return status;
    *out = find_in_tenant(b, name, tenant);
    if (*out)
        return BGW_OK;
    struct key *k = bgw_pool_take(key_pool(b, name->key_len));
    if (!k)
        return BGW_NO_MEMORY;
    k->tenant = tenant;
    k->feed = name->feed;
    k->key_len = name->key_len;
    memcpy(k->text, name->key, name->key_len);
    struct wanted_key w = wanted_of(k);
    status = bgw_map_insert(&b->keys, key_hash(&w), k);
    if (status != BGW_OK) {
        bgw_pool_give(key_pool(b, name->key_len), k);
        return status;
    }
    *out = k; /* slot_count 0: the first slot is used when a part asks for one */
    return BGW_OK;
}

static void key_free(struct book *b, struct key *k)
{
    struct wanted_key w = wanted_of(k);
    BGW_ASSERT(!k->watches && k->slot_count == 0);
    bgw_map_remove(&b->keys, key_hash(&w), k);
    bgw_pool_give(key_pool(b, k->key_len), k);
}

void book_each(struct book *b, const struct bgw_slot_name *name, bool any_tenant,
               void (*fn)(void *arg, struct key *k), void *arg)
{
    if (!any_tenant) {
        struct key *k = book_find(b, name);
        if (k)
            fn(arg, k);
        return;
    }
    for (uint32_t tenant = 0; tenant < b->tenant_count; tenant++) {
        struct key *k = find_in_tenant(b, name, tenant);
        if (k)
            fn(arg, k);
    }
}

/* ---- slots ---- */

struct slot *key_find(struct key *k, bgw_part part)
{
    if (k->slot_count == 0)
        return NULL;
    for (struct slot *s = &k->first; s; s = s->next)
        if (s->part == part)
            return s;
    return NULL;
}

enum bgw_status key_find_or_add(struct book *b, struct key *k, bgw_part part, size_t slots_max,
                                struct slot **out)
{
    *out = key_find(k, part);
    if (*out)
        return BGW_OK;
    if (k->slot_count >= slots_max)
        return BGW_FULL;
    struct slot *s = &k->first;
    if (k->slot_count > 0) {
        s = bgw_pool_take(&b->slot_pool);
        if (!s)
            return BGW_NO_MEMORY;
    }
    slot_init(s, part, k->slot_count);
    if (s != &k->first) {
        struct slot *last = &k->first;
        while (last->next)
            last = last->next;
        last->next = s;
    }
    k->slot_count++;
    b->slot_count++;
    *out = s;
    return BGW_OK;
}

static void evict_key(struct book *b, struct key *k)
{
    for (struct slot *s = &k->first; s; s = s->next)
        if (s->value) {
            slot_set_value(b, k, s, NULL);
            s->flags |= SLOT_EVICTED;
            bgw_metric_add(BGW_M_BOOK_EVICTED, 1);
        }
}

/* A clock's hand over the map: keys that nobody watches and that no record touched since it last
 * came by. */
static void evict(struct book *b, const struct key *spare)
{
    for (int step = 0; step < EVICT_STEPS && b->value_keys > b->values_max; step++) {
        struct key *k = bgw_map_next(&b->keys, &b->hand);
        if (!k) {
            b->hand = 0;
        } else if (k == spare || k->watches || k->value_count == 0) {
            continue;
        } else if (k->touched) {
            k->touched = false;
        } else {
            evict_key(b, k);
        }
    }
}

void slot_set_value(struct book *b, struct key *k, struct slot *s, struct bgw_blob *value)
{
    int change = (value != NULL) - (s->value != NULL);
    bgw_blob_release(s->value);
    s->value = value;
    k->touched = true;
    if (change == 0)
        return;
    b->value_keys -= k->value_count > 0;
    k->value_count = (uint8_t)(k->value_count + change);
    b->value_keys += k->value_count > 0;
    if (change > 0)
        evict(b, k);
}

static bool slot_blank(const struct slot *s)
{
    return !s->value && !s->care && s->trouble == TROUBLE_NONE &&
           !(s->flags & (SLOT_VERSIONED | SLOT_REMOVED | SLOT_ORDER_FLOOR | SLOT_EVICTED));
}

void key_prune(struct book *b, struct key *k)
{
    BGW_ASSERT(!k->watches);
    if (k->slot_count > 0) {
        uint8_t ordinal = 1;
        for (struct slot **at = &k->first.next; *at;) {
            struct slot *s = *at;
            if (!slot_blank(s)) {
                s->ordinal = ordinal++;
                at = &s->next;
                continue;
            }
            *at = s->next;
            bgw_pool_give(&b->slot_pool, s);
            b->slot_count--;
        }
        k->slot_count = ordinal;
    }
    if (k->slot_count == 1 && slot_blank(&k->first)) {
        k->slot_count = 0;
        b->slot_count--;
    }
    if (k->slot_count ==
        0) /* a blank first slot stays while others follow it: it lies in the key */
        key_free(b, k);
}

/* ---- watches ---- */

struct cell *watch_cell(struct watch *w, const struct slot *s)
{
    if (s->ordinal == 0)
        return &w->first;
    if (s->ordinal > w->more_count) {
        size_t count = s->ordinal < 4 ? 4 : s->ordinal < 32 ? 32 : KEY_SLOTS_MAX;
        struct cell *grown = realloc(w->more, count * sizeof(*grown));
        if (!grown && bgw_reserve_spend())
            grown = realloc(w->more, count * sizeof(*grown));
        BGW_ASSERT(grown); /* a watcher that cannot be told must not go on believing */
        memset(grown + w->more_count, 0, (count - w->more_count) * sizeof(*grown));
        w->more = grown;
        w->more_count = (uint8_t)count;
    }
    return &w->more[s->ordinal - 1];
}

struct watch *key_attach(struct book *b, struct key *k, uint8_t shard, uint64_t group)
{
    for (struct watch *w = k->watches; w; w = w->next) {
        if (w->shard != shard)
            continue;
        if (w->group != group) { /* the shard began anew: nothing that it was told counts */
            free(w->more);
            *w = (struct watch){.next = w->next, .group = group, .shard = shard};
        }
        return w;
    }
    struct watch *w = bgw_pool_take(&b->watch_pool);
    if (!w)
        return NULL;
    w->shard = shard;
    w->group = group;
    b->watched_keys += !k->watches;
    w->next = k->watches;
    k->watches = w;
    return w;
}

bool key_detach(struct book *b, struct key *k, uint8_t shard, uint64_t group)
{
    for (struct watch **at = &k->watches; *at; at = &(*at)->next) {
        struct watch *w = *at;
        if (w->shard != shard || w->group != group)
            continue;
        *at = w->next;
        watch_free(b, w);
        b->watched_keys -= !k->watches;
        return true;
    }
    return false;
}
