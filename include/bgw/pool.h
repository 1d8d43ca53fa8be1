/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool: fixed-size objects carved out of slabs, for one thread. Objects come zeroed. Freed
 * objects are reused last in, first out; slabs are kept until deinit. Under AddressSanitizer
 * free objects are poisoned.
 */
#ifndef BGW_POOL_H
#define BGW_POOL_H

#include <stddef.h>

struct bgw_pool {
    size_t item_size, items_per_slab, count_max;
    size_t in_use, made;
    void *free_list;
    void *slabs;
    size_t slab_left;
};

void bgw_pool_init(struct bgw_pool *p, size_t item_size, size_t count_max);
void bgw_pool_deinit(struct bgw_pool *p); /* asserts nothing: frees all slabs */
void *bgw_pool_take(struct bgw_pool *p);  /* NULL at count_max or without memory */
void bgw_pool_give(struct bgw_pool *p, void *item);

#endif
