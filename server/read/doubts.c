/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doubts: two buckets and a table of the ids that came last, one place a hash: who comes later takes the
 * place, so a flood can make us forget that somebody came before, or that somebody is unknown, and never
 * lets more through than the buckets hold. Called by lookup.c on the reader's thread.
 */
#include "doubts.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define PLACES 65536u
#define AGAIN_MAX_MS 60000 /* who comes again later than this comes for the first time */
#define DENIED_MS 5000     /* how long the origin's no is believed */

struct place {
    uint64_t hash;
    int64_t until_ms; /* 0: nobody has it */
    bool denied;
};

struct bgw_doubts {
    struct bgw_bucket first, again;
    struct place places[PLACES];
};

struct bgw_doubts *bgw_doubts_create(int64_t per_s, int64_t now_ms)
{
    BGW_ASSERT(per_s > 0);
    struct bgw_doubts *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    bgw_bucket_init(&d->first, per_s, 2 * per_s + 1, now_ms);
    bgw_bucket_init(&d->again, per_s, 2 * per_s + 1, now_ms);
    return d;
}

void bgw_doubts_destroy(struct bgw_doubts **d)
{
    free(*d);
    *d = NULL;
}

static void remember(struct place *p, uint64_t hash, int64_t until_ms, bool denied)
{
    *p = (struct place){.hash = hash, .until_ms = until_ms, .denied = denied};
}

bool bgw_doubts_take(struct bgw_doubts *d, uint64_t hash, int64_t now_ms)
{
    struct place *p = &d->places[hash % PLACES];
    bool came = p->until_ms > now_ms && p->hash == hash;
    if (came && p->denied)
        return false;
    remember(p, hash, now_ms + AGAIN_MAX_MS, false);
    return (came && bgw_bucket_take(&d->again, now_ms)) || bgw_bucket_take(&d->first, now_ms);
}

void bgw_doubts_denied(struct bgw_doubts *d, uint64_t hash, int64_t now_ms)
{
    remember(&d->places[hash % PLACES], hash, now_ms + DENIED_MS, true);
}
