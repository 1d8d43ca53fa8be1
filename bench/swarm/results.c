/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results: the blocks' memory and their sums.
 */
#include "results.h"

#include <stddef.h>
#include <sys/mman.h>

void *results_shared(unsigned long bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

struct sums results_sum(const struct results *r, int workers)
{
    struct sums total = {0};
    for (int i = 0; i < workers; i++) {
#define ADD(name) total.name += atomic_load_explicit(&r[i].name, memory_order_acquire);
        RESULTS_COUNTERS(ADD)
#undef ADD
    }
    return total;
}

uint64_t results_held(const struct results *r, int workers)
{
    uint64_t total = 0;
    for (int i = 0; i < workers; i++)
        total += atomic_load_explicit(&r[i].held, memory_order_acquire);
    return total;
}

uint64_t results_wrong(const struct sums *s)
{
    return s->regressions + s->gaps + s->duplicates + s->wrong_values + s->futures + s->digest_mismatches + s->protocol_errors;
}
