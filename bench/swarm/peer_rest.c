/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_rest: lists by the client's address, each entry one block. There are never more than clients,
 * and none is longer than PEER_REST_MAX.
 */
#include "peer_rest.h"

#include "bgw/buf.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LISTS 1024 /* a power of two */

struct rest {
    struct rest *next;
    const struct client *client;
    size_t len;
    char bytes[];
};

static struct rest *lists[LISTS];
static size_t count;
static struct bgw_buf joined = {.len_max = 16u << 20};

static struct rest **find(const struct client *c)
{
    struct rest **at = &lists[((uintptr_t)c >> 6) * 0x9e3779b1u >> 7 & (LISTS - 1)];
    while (*at && (*at)->client != c)
        at = &(*at)->next;
    return at;
}

void rest_forget(const struct client *c)
{
    if (count == 0)
        return;
    struct rest **at = find(c), *gone = *at;
    if (!gone)
        return;
    *at = gone->next;
    free(gone);
    count--;
}

struct bgw_slice rest_join(const struct client *c, struct bgw_slice bytes)
{
    const struct rest *r = count ? *find(c) : NULL;
    if (!r)
        return bytes;
    bgw_buf_clear(&joined);
    bgw_buf_append(&joined, bgw_slice_of(r->bytes, r->len));
    bgw_buf_append(&joined, bytes);
    rest_forget(c);
    return bgw_buf_slice(&joined);
}

bool rest_keep(const struct client *c, struct bgw_slice left)
{
    if (left.len == 0)
        return true;
    struct rest *r = left.len > PEER_REST_MAX || joined.failed ? NULL : malloc(sizeof(*r) + left.len);
    if (!r)
        return false;
    memcpy(r->bytes, left.data, left.len);
    r->len = left.len;
    r->client = c;
    r->next = NULL;
    rest_forget(c);
    *find(c) = r;
    count++;
    return true;
}
