/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: objects of one size out of slabs of about 64 KiB. Hides the free list; called by the one
 * thread that owns the pool. Invariant: an object is either with its taker or on the free list, and
 * under AddressSanitizer whoever touches one on the free list is caught.
 */
#include "bgw/pool.h"

#include "bgw/assert.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n) ASAN_POISON_MEMORY_REGION((p), (n))
#define UNPOISON(p, n) ASAN_UNPOISON_MEMORY_REGION((p), (n))
#define POISONED(p) __asan_address_is_poisoned(p)
#else
#define POISON(p, n) ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#define POISONED(p) ((void)(p), 0)
#endif

#define SLAB_BYTES 65536
#define ALIGNMENT 16 /* what malloc promises, and slabs begin there */

/* owner's thread; the items follow */
struct slab {
    struct slab *next;
    char pad[ALIGNMENT - sizeof(void *)];
    char items[];
};

/* owner's thread; lies in a free object */
struct free_item {
    struct free_item *next;
};

void bgw_pool_init(struct bgw_pool *p, size_t item_size, size_t count_max)
{
    BGW_ASSERT(item_size > 0 && item_size <= SIZE_MAX / 4);
    size_t size = (item_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    size_t room = SLAB_BYTES - sizeof(struct slab);
    *p = (struct bgw_pool){
        .item_size = size,
        .items_per_slab = size < room ? room / size : 1,
        .count_max = count_max,
    };
}

void bgw_pool_deinit(struct bgw_pool *p)
{
    for (struct slab *s = p->slabs, *next; s; s = next) {
        next = s->next;
        UNPOISON(s->items, p->item_size * p->items_per_slab);
        free(s);
    }
    p->slabs = p->free_list = NULL;
    p->in_use = p->made = p->slab_left = 0;
}

static void *carve(struct bgw_pool *p)
{
    if (p->slab_left == 0) {
        struct slab *s = calloc(1, sizeof(*s) + p->item_size * p->items_per_slab);
        if (!s)
            return NULL;
        s->next = p->slabs;
        p->slabs = s;
        p->slab_left = p->items_per_slab;
        POISON(s->items, p->item_size * p->items_per_slab);
    }
    struct slab *s = p->slabs;
    void *item = s->items + p->item_size * (p->items_per_slab - p->slab_left);
    UNPOISON(item, p->item_size);
    p->slab_left--;
    p->made++;
    return item;
}

void *bgw_pool_take(struct bgw_pool *p)
{
    if (p->in_use >= p->count_max)
        return NULL;
    void *item = p->free_list;
    if (item) {
        UNPOISON(item, p->item_size);
        p->free_list = ((struct free_item *)item)->next;
        memset(item, 0, p->item_size);
    } else {
        item = carve(p);
    }
    if (item)
        p->in_use++;
    return item;
}

void bgw_pool_give(struct bgw_pool *p, void *item)
{
    struct free_item *f = item;
    BGW_ASSERT(p->in_use > 0 && item);
    BGW_ASSERT(!POISONED(item)); /* given twice */
    f->next = p->free_list;
    p->free_list = f;
    p->in_use--;
    POISON(item, p->item_size);
}
