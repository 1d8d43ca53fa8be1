/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: the keys in use: a set from the configuration, and one that was fetched and grows old.
 * Private to server/auth.
 */
#ifndef BGW_AUTH_RING_H
#define BGW_AUTH_RING_H

#include "keys.h"

#include "bgw/clock.h"

#include <pthread.h>

struct bgw_key_ring { /* any thread: everything behind the lock, for the length of a few stores */
    pthread_mutex_t lock;
    struct bgw_key_set *configured, *fetched; /* NULL: none */
    uint64_t fetched_hash; /* of the document's bytes */
    int64_t fetched_ms;    /* when it came, or came again; monotonic */
    int64_t max_age_ms;    /* 0: no limit */
    uint64_t generation;   /* rises with every set that takes another's place */
};

/* What one verification holds, so that newer keys free nothing under it. */
struct bgw_key_hold {
    struct bgw_key_set *configured;
    struct bgw_key_set *fetched; /* NULL: none came yet, or the last one is too old */
    uint64_t generation;
};

void bgw_key_ring_init(struct bgw_key_ring *ring, int64_t max_age_ms);
void bgw_key_ring_deinit(struct bgw_key_ring *ring);
void bgw_key_ring_configure(struct bgw_key_ring *ring, struct bgw_key_set *set); /* takes the reference over */
void bgw_key_ring_fetched(struct bgw_key_ring *ring, struct bgw_key_set *set, uint64_t hash,
                          struct bgw_now now); /* takes the reference over */
/* The same document came again: the keys that are there are as good as new. False: it is another one. */
bool bgw_key_ring_renew(struct bgw_key_ring *ring, uint64_t hash, struct bgw_now now);
struct bgw_key_hold bgw_key_ring_hold(struct bgw_key_ring *ring, struct bgw_now now);
/* The generation, and whether `fetched` would be held now. */
uint64_t bgw_key_ring_generation(struct bgw_key_ring *ring, struct bgw_now now, bool *fetched);
bool bgw_key_ring_newer(struct bgw_key_ring *ring, const struct bgw_key_hold *than); /* a set has taken another's place since */
void bgw_key_hold_release(struct bgw_key_hold *hold);

#endif
