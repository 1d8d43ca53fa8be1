/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob: immutable bytes with an atomic reference count: the one kind of payload that crosses
 * threads. Whoever makes it fills it before sharing it; afterwards nobody writes.
 */
#ifndef BGW_BLOB_H
#define BGW_BLOB_H

#include "bgw/slice.h"

#include <stdatomic.h>
#include <stdint.h>

/* any thread: immutable after creation except `refs` */
struct bgw_blob {
    atomic_uint refs;
    uint32_t len;
    char data[];
};

/* One reference; data not filled; NULL without memory. */
struct bgw_blob *bgw_blob_create(size_t len);
struct bgw_blob *bgw_blob_copy(struct bgw_slice bytes); /* one reference */
struct bgw_blob *bgw_blob_acquire(struct bgw_blob *b);  /* NULL passes through */
void bgw_blob_release(struct bgw_blob *b);              /* NULL passes through */

static inline struct bgw_slice bgw_blob_slice(const struct bgw_blob *b)
{
    return b ? (struct bgw_slice){b->data, b->len} : (struct bgw_slice){NULL, 0};
}

#endif
