/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blob: the one payload that crosses threads. Hides the reference count; called on any thread.
 * Invariant: whoever reads a blob holds a reference, and the last one to let go frees it.
 */
#include "bgw/blob.h"

#include "bgw/assert.h"

#include <limits.h>
#include <stdlib.h>

struct bgw_blob *bgw_blob_create(size_t len)
{
    if (len > UINT32_MAX)
        return NULL;
    struct bgw_blob *b = malloc(sizeof(*b) + len);
    if (!b)
        return NULL;
    atomic_init(&b->refs, 1);
    b->len = (uint32_t)len;
    return b;
}

struct bgw_blob *bgw_blob_copy(struct bgw_slice bytes)
{
    struct bgw_blob *b = bgw_blob_create(bytes.len);
    if (b && bytes.len)
        memcpy(b->data, bytes.data, bytes.len);
    return b;
}

struct bgw_blob *bgw_blob_acquire(struct bgw_blob *b)
{
    if (!b)
        return NULL;
    /* relaxed: the caller holds a reference already, so nothing can be freed meanwhile */
    unsigned before = atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    BGW_ASSERT(before > 0 && before < UINT_MAX / 2);
    return b;
}

void bgw_blob_release(struct bgw_blob *b)
{
    if (!b)
        return;
    /* release: our reads end before the count falls; acquire: the one who frees sees all of them
     * ended */
    unsigned before = atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel);
    BGW_ASSERT(before > 0);
    if (before == 1)
        free(b);
}
