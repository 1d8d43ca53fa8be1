/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results: what a worker has seen, in memory that it shares with the coordinator, one block a worker.
 * One writer each, so counting is a plain addition; the coordinator adds the blocks up while they
 * count. Histograms are not read before their worker has ended.
 * Invariant: `held` is the sum of the versions that the worker's clients hold (slow ones not counted);
 * it equals what has been published times who watches it exactly when nobody is behind.
 */
#ifndef SWARM_RESULTS_H
#define SWARM_RESULTS_H

#include "hist.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define RESULTS_WAITS 65536 /* a bucket a millisecond that a bye asked for; the last has all above */

/* `live`, `slow_live`: how many are now; `behind`, `slow_behind`: at the end, counted anew. */
#define RESULTS_COUNTERS(X)                                                                                             \
    X(held) X(entries) X(snapshots) X(merged) X(frames) X(marks) X(states)                                              \
    X(regressions) X(gaps) X(duplicates) X(wrong_values) X(futures) X(digest_mismatches) X(protocol_errors)              \
    X(connects) X(connect_failures) X(disconnects) X(digests_checked) X(lost) X(byes) X(refused) X(missed)               \
    X(unremembered) X(live) X(slow_live) X(slow_entries) X(slow_merged) X(slow_lost) X(behind) X(slow_behind)            \
    X(cut) X(churned)

#define RESULTS_ATOMIC(name) _Atomic uint64_t name;
#define RESULTS_PLAIN(name) uint64_t name;

struct results {
    RESULTS_COUNTERS(RESULTS_ATOMIC)
    struct hist latency, commit, slow_latency, slow_commit;
    uint32_t waits[RESULTS_WAITS];
    char error[120];  /* of a first wrong thing, in words */
    char refusal[80]; /* the first answer to an upgrade that was none */
};

struct sums {
    RESULTS_COUNTERS(RESULTS_PLAIN)
};

/* What the coordinator tells the workers. */
enum phase { PHASE_WAIT, PHASE_CONNECT, PHASE_FEED, PHASE_SETTLE, PHASE_END };

struct control {
    _Atomic int phase;
    _Atomic int64_t feed_ns;    /* when the feed began */
    _Atomic int64_t measure_ns; /* 0: not yet; what was due before is no part of a latency */
};

/* The writer. Release: who sees `held` sees what was counted before it. */
static inline void results_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_release);
}

void *results_shared(unsigned long bytes); /* zeroed, inherited by fork; NULL: no memory */
struct sums results_sum(const struct results *r, int workers);
uint64_t results_held(const struct results *r, int workers);
uint64_t results_wrong(const struct sums *s);

#endif
