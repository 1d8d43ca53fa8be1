/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup, at random: 10,000 histories (lookup_world.h). BGW_SEED reruns one history, BGW_HISTORIES says
 * how many.
 */
#include "read/lookup_world.h"

TEST(ten_thousand_histories_hold_what_lookups_promise)
{
    const char *seed = getenv("BGW_SEED"), *count = getenv("BGW_HISTORIES");
    uint64_t first = seed ? strtoull(seed, NULL, 10) : 0, n = seed ? 1 : count ? strtoull(count, NULL, 10) : 10000;
    bgw_hash_init();
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    for (uint64_t i = first; i < first + n && test_state_.failures == 0; i++)
        history(i);
    printf("# %u values (%u of Redis), %u not found, %u unavailable, %u shed, %u written back, %" PRId64 " hedges, %" PRId64
           " waited for a lock, in %u turns\n",
           answered_by[BGW_FETCH_VALUE], won_by_cache, answered_by[BGW_FETCH_NOT_FOUND], answered_by[BGW_FETCH_UNAVAILABLE],
           answered_by[BGW_FETCH_SHED], written, bgw_metric_read(BGW_M_HEDGES), bgw_metric_read(BGW_M_LOCKS_WAITED), waited_turns);
    CHECK(n < 100 || (written > n / 10 && answered_by[BGW_FETCH_SHED] > 0 && answered_by[BGW_FETCH_NOT_FOUND] > 0));
}
