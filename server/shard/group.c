/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group: keys that somebody of this shard subscribes to or reads, their slots, and the tenants they belong
 * to. Hides how a key is found by name and by the hub's reference. Shard thread only.
 * Invariant: a group is in the map and in the table until the hub has been told that nobody is
 * left; its reference is never used again, so a late entry for it finds nothing.
 */
#include "core.h"

#include "bgw/hash.h"

#include <stdlib.h>

#define TABLE_MIN 64u
#define TABLE_END UINT32_MAX

/* ---- tenants ---- */

static bool tenant_is(const void *item, const void *key)
{
    return bgw_slice_eq(tenant_text(item), *(const struct bgw_slice *)key);
}

struct tenant *tenant_acquire(struct bgw_shard *s, struct bgw_slice text)
{
    BGW_ASSERT(text.len <= BGW_TENANT_MAX);
    uint64_t hash = bgw_hash_keyed(text);
    struct tenant *t = bgw_map_find(&s->tenants, hash, tenant_is, &text);
    if (t) {
        t->refs++;
        return t;
    }
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    *t = (struct tenant){.hash = hash, .refs = 1, .len = (uint8_t)text.len};
    memcpy(t->text, text.data, text.len);
    if (bgw_map_insert(&s->tenants, hash, t) == BGW_OK)
        return t;
    free(t);
    return NULL;
}

void tenant_release(struct bgw_shard *s, struct tenant *t)
{
    if (!t)
        return;
    BGW_ASSERT(t->refs > 0);
    if (--t->refs)
        return;
    bgw_map_remove(&s->tenants, t->hash, t);
    free(t);
}

/* ---- by name ---- */

struct group_name {
    uint8_t feed;
    const struct tenant *tenant;
    struct bgw_slice key;
};

static bool group_is(const void *item, const void *key)
{
    const struct group *g = item;
    const struct group_name *name = key;
    return g->feed == name->feed && g->tenant == name->tenant &&
           bgw_slice_eq(group_key(g), name->key);
}

/* The tenant's own hash stands for its text. */
static uint64_t name_hash(const struct group_name *name)
{
    char text[sizeof(uint64_t) + 1 + BGW_KEY_MAX];
    memcpy(text, &name->tenant->hash, sizeof(uint64_t));
    text[sizeof(uint64_t)] = (char)name->feed;
    memcpy(text + sizeof(uint64_t) + 1, name->key.data, name->key.len);
    return bgw_hash_keyed(bgw_slice_of(text, sizeof(uint64_t) + 1 + name->key.len));
}

struct group *group_find(const struct bgw_shard *s, uint8_t feed, const struct tenant *tenant,
                         struct bgw_slice key)
{
    if (key.len == 0 || key.len > BGW_KEY_MAX)
        return NULL;
    struct group_name name = {feed, tenant, key};
    return bgw_map_find(&s->by_key, name_hash(&name), group_is, &name);
}

/* ---- by reference ---- */

static struct group *free_entry(uint32_t next)
{
    /* groups are aligned: an odd pointer is none */
    return (struct group *)(((uintptr_t)next << 1) | 1);
}

static bool table_add(struct bgw_shard *s, struct group *g)
{
    if (s->table_free != TABLE_END) {
        g->index = s->table_free;
        s->table_free = (uint32_t)((uintptr_t)s->table[g->index] >> 1);
    } else {
        if (s->table_len == s->table_cap) {
            uint32_t cap = s->table_cap ? s->table_cap * 2 : TABLE_MIN;
            struct group **table = realloc(s->table, cap * sizeof(struct group *));
            if (!table)
                return false;
            s->table = table;
            s->table_cap = cap;
        }
        g->index = s->table_len++;
    }
    s->table[g->index] = g;
    g->generation = ++s->generation;
    return true;
}

static void table_remove(struct bgw_shard *s, const struct group *g)
{
    BGW_ASSERT(s->table[g->index] == g);
    s->table[g->index] = free_entry(s->table_free);
    s->table_free = g->index;
}

struct group *group_of_ref(const struct bgw_shard *s, uint64_t ref)
{
    uint32_t index = (uint32_t)ref;
    if (index >= s->table_len || ((uintptr_t)s->table[index] & 1))
        return NULL;
    struct group *g = s->table[index];
    return g->generation == (uint32_t)(ref >> 32) ? g : NULL;
}

/* ---- life ---- */

static void slot_init(struct slot *slot, struct group *g, bgw_part part)
{
    slot->group = g;
    slot->part = part;
    slot->state = BGW_STATE_UNKNOWN;
}

static bool set_key(struct group *g, struct bgw_slice key)
{
    g->key_len = (uint8_t)key.len;
    char *to = g->key.here;
    if (key.len > sizeof(g->key.here)) {
        to = g->key.apart = malloc(key.len);
        if (!to)
            return false;
    }
    memcpy(to, key.data, key.len);
    return true;
}

static void free_key(struct group *g)
{
    if (g->key_len > sizeof(g->key.here))
        free(g->key.apart);
}

/* In the map and the table, or in neither. */
static bool enlist(struct bgw_shard *s, struct group *g)
{
    struct group_name name = {g->feed, g->tenant, group_key(g)};
    uint64_t hash = name_hash(&name);
    if (bgw_map_insert(&s->by_key, hash, g) != BGW_OK)
        return false;
    if (table_add(s, g))
        return true;
    bgw_map_remove(&s->by_key, hash, g);
    return false;
}

struct group *group_create(struct bgw_shard *s, uint8_t feed, struct tenant *tenant,
                           struct bgw_slice key, bgw_part part)
{
    BGW_ASSERT(key.len > 0 && key.len <= BGW_KEY_MAX);
    struct group *g = bgw_pool_take(&s->groups);
    if (!g)
        return NULL;
    bgw_list_init(&g->subs);
    g->feed = feed;
    g->tenant = tenant;
    slot_init(&g->first, g, part);
    if (!set_key(g, key)) {
        bgw_pool_give(&s->groups, g);
        return NULL;
    }
    if (!enlist(s, g)) {
        free_key(g);
        bgw_pool_give(&s->groups, g);
        return NULL;
    }
    tenant->refs++;
    bgw_metric_add(BGW_M_GROUPS, 1);
    return g;
}

static void slot_deinit(struct slot *slot)
{
    bgw_blob_release(slot->value);
    for (int i = 0; i < BGW_ENCODING_COUNT; i++)
        bgw_blob_release(slot->prepared[i]);
}

void group_free(struct bgw_shard *s, struct group *g)
{
    BGW_ASSERT(bgw_list_empty(&g->subs) && !group_needed(g) && !g->queued);
    struct group_name name = {g->feed, g->tenant, group_key(g)};
    bgw_map_remove(&s->by_key, name_hash(&name), g);
    table_remove(s, g);
    slot_deinit(&g->first);
    for (struct slot *slot = g->first.next, *next; slot; slot = next) {
        next = slot->next;
        slot_deinit(slot);
        free(slot);
    }
    free_key(g);
    tenant_release(s, g->tenant);
    bgw_pool_give(&s->groups, g);
    bgw_metric_add(BGW_M_GROUPS, -1);
}

/* ---- slots and members ---- */

struct slot *group_slot(struct group *g, bgw_part part)
{
    for (struct slot *slot = &g->first; slot; slot = slot->next) {
        if (slot->part == part)
            return slot;
    }
    return NULL;
}

struct slot *group_add_slot(struct group *g, bgw_part part)
{
    BGW_ASSERT(!group_slot(g, part));
    struct slot *slot = calloc(1, sizeof(*slot));
    if (!slot)
        return NULL;
    slot_init(slot, g, part);
    slot->next = g->first.next;
    g->first.next = slot;
    return slot;
}

/* A slot that the hub has answered already is kept up to date by the watch that made it known. */
void group_want(struct bgw_shard *s, struct group *g, struct slot *slot)
{
    if (slot->wanted || (slot->answered && g->told))
        return;
    slot->wanted = true;
    post_queue(s, g);
}

void group_attach(struct group *g, struct sub *sub)
{
    BGW_ASSERT(sub->group == g && !bgw_list_linked(&sub->of_group));
    bgw_list_push_back(&g->subs, &sub->of_group);
    g->sub_count++;
}

void group_detach(struct bgw_shard *s, struct sub *sub)
{
    struct group *g = sub->group;
    BGW_ASSERT(g->sub_count > 0 && bgw_list_linked(&sub->of_group));
    bgw_list_remove(&sub->of_group);
    g->sub_count--;
    BGW_ASSERT((g->sub_count == 0) == bgw_list_empty(&g->subs));
    if (BGW_BUG("unwatch_forgets_others") && g->sub_count > 0)
        g->forget = true;
    if (BGW_BUG("unwatch_forgets_readers") && g->sub_count == 0 && g->kept)
        g->forget = true;
    if (!group_needed(g) || g->forget)
        post_queue(s, g);
}

const struct bgw_feed *group_feed(const struct bgw_shard *s, const struct group *g)
{
    return &s->config.feeds[g->feed];
}

bool group_has_value_beside(const struct group *g, const struct slot *slot)
{
    for (const struct slot *other = &g->first; other; other = other->next) {
        if (other != slot && other->value)
            return true;
    }
    return false;
}

const struct slot *group_only_value(const struct group *g)
{
    const struct slot *only = NULL;
    for (const struct slot *slot = &g->first; slot; slot = slot->next) {
        if (!slot->value)
            continue;
        if (only)
            return NULL;
        only = slot;
    }
    return only;
}
