/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_window: the last seconds of all counters: what they are, how fast they go, and how long things
 * took lately. Samples come from outside, about one a second. Pure but for reading the metrics.
 */
#ifndef BGW_OPS_WINDOW_H
#define BGW_OPS_WINDOW_H

#include "bgw/metrics.h"

#include <stdbool.h>
#include <stddef.h>

#define OPS_RATE_SAMPLES 5u     /* rates are over this many samples */
#define OPS_LATENCY_SAMPLES 10u /* percentiles over so many */

enum ops_histogram { OPS_HANDOFF, OPS_READ, OPS_REDIS, OPS_ORIGIN, OPS_HISTOGRAM_COUNT };
enum bgw_metric ops_histogram_metric(enum ops_histogram h);

struct ops_sample {
    int64_t mono_ms;
    int64_t values[BGW_METRIC_COUNT];
    struct bgw_histogram histograms[OPS_HISTOGRAM_COUNT];
};

struct ops_window { /* collecting thread only */
    size_t count, newest; /* samples there are; where the last one is */
    struct ops_sample samples[OPS_LATENCY_SAMPLES + 1];
};

void ops_window_take(struct ops_window *w, int64_t mono_ms); /* samples everything now */
int64_t ops_window_value(const struct ops_window *w, enum bgw_metric id);
int64_t ops_window_rate_ms(const struct ops_window *w); /* how long the rates' window really is; 0: one sample alone */
int64_t ops_window_latency_ms(const struct ops_window *w);
/* What a counter has gained over the rates' window. */
int64_t ops_window_gain(const struct ops_window *w, enum bgw_metric id);
/* A gain as thousandths a second; 0 while there is no window. */
int64_t ops_window_per_s_milli(const struct ops_window *w, int64_t gain);
void ops_window_histogram(const struct ops_window *w, enum ops_histogram h, struct bgw_histogram *out);

#endif
