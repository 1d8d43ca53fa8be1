/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hist: where a value's bucket is. Values below 64 have a bucket each; above, the six bits after the
 * highest one choose among 64 of its octave.
 */
#include "hist.h"

#include <stdio.h>

static unsigned bucket_of(uint64_t ns)
{
    if (ns < 1u << HIST_SUB_BITS)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - HIST_SUB_BITS;
    if (shift >= HIST_OCTAVES)
        return HIST_BUCKETS - 1;
    return ((shift + 1) << HIST_SUB_BITS) + (unsigned)((ns >> shift) & ((1u << HIST_SUB_BITS) - 1));
}

static uint64_t upper_edge(unsigned bucket)
{
    if (bucket < 1u << HIST_SUB_BITS)
        return bucket;
    unsigned shift = (bucket >> HIST_SUB_BITS) - 1;
    uint64_t base = (1u << HIST_SUB_BITS) + (bucket & ((1u << HIST_SUB_BITS) - 1));
    return ((base + 1) << shift) - 1;
}

void hist_add(struct hist *h, int64_t ns)
{
    uint64_t v = ns < 0 ? 0 : (uint64_t)ns;
    h->buckets[bucket_of(v)]++;
    h->count++;
    if (v > h->max_ns)
        h->max_ns = v;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    for (unsigned i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
    into->count += from->count;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

uint64_t hist_quantile_ns(const struct hist *h, double q)
{
    double wanted = (double)h->count * q;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HIST_BUCKETS && h->count; i++) {
        seen += h->buckets[i];
        if (seen && (double)seen >= wanted) {
            uint64_t edge = upper_edge(i);
            return edge < h->max_ns && i < HIST_BUCKETS - 1 ? edge : h->max_ns;
        }
    }
    return h->max_ns;
}

void hist_print(const char *name, const struct hist *h)
{
    printf("\"%s\":{\"n\":%llu,\"min\":%.1f,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}", name,
           (unsigned long long)h->count, (double)hist_quantile_ns(h, 0) / 1e3, (double)hist_quantile_ns(h, 0.5) / 1e3,
           (double)hist_quantile_ns(h, 0.9) / 1e3, (double)hist_quantile_ns(h, 0.99) / 1e3, (double)hist_quantile_ns(h, 0.999) / 1e3, (double)h->max_ns / 1e3);
}
