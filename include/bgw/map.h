/* SPDX-License-Identifier: Apache-2.0 */
/*
 * map: open-addressing hash map from a caller-computed 64-bit keyed hash to a pointer, with the
 * equality test given per look-up. It stores hash and pointer only (16 bytes a bucket at most
 * 7/8 full), grows by doubling, and never holds more than its stated maximum.
 */
#ifndef BGW_MAP_H
#define BGW_MAP_H

#include "bgw/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bgw_map_bucket; /* private */

/* one thread's, the owner's */
struct bgw_map {
    struct bgw_map_bucket *buckets;
    size_t capacity, count, count_max;
    size_t used; /* buckets that are live or deleted */
};

/* True if `item` is the one that `key` asks for. */
typedef bool (*bgw_map_eq)(const void *item, const void *key);

void bgw_map_init(struct bgw_map *m, size_t count_max);
void bgw_map_deinit(struct bgw_map *m); /* frees the buckets, never the items */
void *bgw_map_find(const struct bgw_map *m, uint64_t hash, bgw_map_eq eq, const void *key);
/* The caller has made sure that no equal item is there. BGW_FULL at the maximum, BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_map_insert(struct bgw_map *m, uint64_t hash, void *item);
/* Removes by identity of `item`. Asserts that it was there. */
void bgw_map_remove(struct bgw_map *m, uint64_t hash, const void *item);
/* Iteration: start with *cursor = 0, ends with NULL. Removing the item just returned is allowed. */
void *bgw_map_next(const struct bgw_map *m, size_t *cursor);

#endif
