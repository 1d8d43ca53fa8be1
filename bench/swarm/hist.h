/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hist: latencies in buckets whose width grows with the value, in the manner of HDR histograms: any
 * number of values in 15 KiB, no quantile further than 1/64 above the truth, ever. Nanoseconds in, up
 * to 18 minutes; what is longer counts as that. Not locked: one a thread, merged at the end.
 */
#ifndef HIST_H
#define HIST_H

#include <stdint.h>

#define HIST_SUB_BITS 6 /* 64 buckets an octave */
#define HIST_OCTAVES 34 /* above the first, in which each bucket is one nanosecond wide */
#define HIST_BUCKETS ((HIST_OCTAVES + 1) << HIST_SUB_BITS)

struct hist {
    uint64_t count, max_ns;
    uint64_t buckets[HIST_BUCKETS];
};

void hist_add(struct hist *h, int64_t ns); /* below 0 counts as 0 */
void hist_merge(struct hist *into, const struct hist *from);
/* The upper edge of the bucket that holds the quantile, but not more than the greatest value; 0 if empty. */
uint64_t hist_quantile_ns(const struct hist *h, double q);
/* "name":{"n":..,"p50":..,...} in microseconds, on stdout. */
void hist_print(const char *name, const struct hist *h);

#endif
