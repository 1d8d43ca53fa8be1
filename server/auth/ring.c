/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring: hides how keys are exchanged while other threads verify with them. Sets are immutable and
 * counted; the lock is held for the exchange of pointers alone, never while a signature is checked
 * or a set is freed. Written by the reader's and the main thread, held by shards.
 */
#include "ring.h"

#include "bgw/assert.h"

void bgw_key_ring_init(struct bgw_key_ring *ring, int64_t max_age_ms)
{
    *ring = (struct bgw_key_ring){.max_age_ms = max_age_ms};
    BGW_ASSERT(pthread_mutex_init(&ring->lock, NULL) == 0);
}

void bgw_key_ring_deinit(struct bgw_key_ring *ring)
{
    bgw_keys_release(ring->configured);
    bgw_keys_release(ring->fetched);
    pthread_mutex_destroy(&ring->lock);
}

void bgw_key_ring_configure(struct bgw_key_ring *ring, struct bgw_key_set *set)
{
    pthread_mutex_lock(&ring->lock);
    struct bgw_key_set *old = ring->configured;
    ring->configured = set;
    ring->generation++;
    pthread_mutex_unlock(&ring->lock);
    bgw_keys_release(old);
}

void bgw_key_ring_fetched(struct bgw_key_ring *ring, struct bgw_key_set *set, uint64_t hash, struct bgw_now now)
{
    pthread_mutex_lock(&ring->lock);
    struct bgw_key_set *old = ring->fetched;
    ring->fetched = set;
    ring->generation++;
    ring->fetched_hash = hash;
    ring->fetched_ms = now.mono_ms;
    pthread_mutex_unlock(&ring->lock);
    bgw_keys_release(old);
}

bool bgw_key_ring_renew(struct bgw_key_ring *ring, uint64_t hash, struct bgw_now now)
{
    pthread_mutex_lock(&ring->lock);
    bool same = ring->fetched && ring->fetched_hash == hash;
    if (same)
        ring->fetched_ms = now.mono_ms;
    pthread_mutex_unlock(&ring->lock);
    return same;
}

/* Under the lock. */
static bool young(const struct bgw_key_ring *ring, struct bgw_now now)
{
    return ring->max_age_ms <= 0 || now.mono_ms - ring->fetched_ms <= ring->max_age_ms;
}

struct bgw_key_hold bgw_key_ring_hold(struct bgw_key_ring *ring, struct bgw_now now)
{
    struct bgw_key_hold hold = {0};
    pthread_mutex_lock(&ring->lock);
    hold.generation = ring->generation;
    hold.configured = bgw_keys_acquire(ring->configured);
    if (young(ring, now))
        hold.fetched = bgw_keys_acquire(ring->fetched);
    pthread_mutex_unlock(&ring->lock);
    return hold;
}

uint64_t bgw_key_ring_generation(struct bgw_key_ring *ring, struct bgw_now now, bool *fetched)
{
    pthread_mutex_lock(&ring->lock);
    uint64_t generation = ring->generation;
    *fetched = ring->fetched && young(ring, now);
    pthread_mutex_unlock(&ring->lock);
    return generation;
}

bool bgw_key_ring_newer(struct bgw_key_ring *ring, const struct bgw_key_hold *than)
{
    pthread_mutex_lock(&ring->lock);
    bool newer = ring->generation != than->generation;
    pthread_mutex_unlock(&ring->lock);
    return newer;
}

void bgw_key_hold_release(struct bgw_key_hold *hold)
{
    bgw_keys_release(hold->configured);
    bgw_keys_release(hold->fetched);
    *hold = (struct bgw_key_hold){0};
}
