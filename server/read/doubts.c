/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doubts: two buckets and a table of the ids that came last, four places a hash: who comes takes the place
 * that would be given up first, so a flood can make us forget, after that many ids, that somebody came before
 * or is unknown, and never lets more through than the buckets hold. Called by lookup.c, reader's thread.
 */
#include "doubts.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define SETS 32768u /* of ids whose hashes are alike */
#define SET_PLACES 4u
#define AGAIN_MAX_MS 60000 /* who comes again later than this comes for the first time */
#define DENIED_MS 5000     /* how long the origin's no is believed */

struct place {
    uint64_t hash;
    int64_t until_ms; /* 0: nobody has it; below 0: denied until then */
};

struct bgw_doubts {
    struct bgw_bucket first, again;
    struct place places[SETS * SET_PLACES];
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

static int64_t until_of(const struct place *p)
{
    return p->until_ms < 0 ? -p->until_ms : p->until_ms;
}

/* Its own, or the one that would be given up first. */
static struct place *place_of(struct bgw_doubts *d, uint64_t hash)
{
    struct place *set = &d->places[hash % SETS * SET_PLACES], *best = set;
    for (struct place *p = set; p < set + SET_PLACES; p++) {
        if (p->hash == hash)
            return p;
        if (until_of(p) < until_of(best))
            best = p;
    }
    return best;
}

static bool is_of(const struct place *p, uint64_t hash, int64_t now_ms)
{
    return p->hash == hash && until_of(p) > now_ms;
}

bool bgw_doubts_take(struct bgw_doubts *d, uint64_t hash, int64_t now_ms)
{
    struct place *p = place_of(d, hash);
    bool came = is_of(p, hash, now_ms);
    if (came && p->until_ms < 0)
        return false;
    *p = (struct place){.hash = hash, .until_ms = now_ms + AGAIN_MAX_MS};
    return (came && bgw_bucket_take(&d->again, now_ms)) || bgw_bucket_take(&d->first, now_ms);
}

bool bgw_doubts_take_unasked(struct bgw_doubts *d, uint64_t hash, int64_t now_ms)
{
    const struct place *p = place_of(d, hash);
    bool denied = is_of(p, hash, now_ms) && p->until_ms < 0;
    return !denied && bgw_bucket_take(&d->first, now_ms);
}

void bgw_doubts_denied(struct bgw_doubts *d, uint64_t hash, int64_t now_ms)
{
    *place_of(d, hash) = (struct place){.hash = hash, .until_ms = -(now_ms + DENIED_MS)};
}
