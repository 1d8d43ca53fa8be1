/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_window: a ring of samples. Hides how far back a rate and a percentile look: so many samples, or
 * to the oldest there is. Called by ops_view on the collecting thread. Invariant: a rate divides by
 * the time that really passed, so a late sample makes no wrong one.
 */
#include "ops_window.h"

#include "bgw/assert.h"

#define SAMPLES (OPS_LATENCY_SAMPLES + 1)

enum bgw_metric ops_histogram_metric(enum ops_histogram h)
{
    static const enum bgw_metric ids[OPS_HISTOGRAM_COUNT] = {
        [OPS_HANDOFF] = BGW_M_HANDOFF,
        [OPS_READ] = BGW_M_READ_SECONDS,
        [OPS_REDIS] = BGW_M_REDIS_SECONDS,
        [OPS_ORIGIN] = BGW_M_ORIGIN_SECONDS,
    };
    return ids[h];
}

void ops_window_take(struct ops_window *w, int64_t mono_ms)
{
    w->newest = w->count ? (w->newest + 1) % SAMPLES : 0;
    if (w->count < SAMPLES)
        w->count++;
    struct ops_sample *s = &w->samples[w->newest];
    s->mono_ms = mono_ms;
    bgw_metrics_read_all(s->values);
    for (int h = 0; h < OPS_HISTOGRAM_COUNT; h++)
        bgw_metric_read_histogram(ops_histogram_metric((enum ops_histogram)h), &s->histograms[h]);
}

static const struct ops_sample *newest(const struct ops_window *w)
{
    BGW_ASSERT(w->count > 0);
    return &w->samples[w->newest];
}

static const struct ops_sample *before(const struct ops_window *w, size_t samples)
{
    size_t back = samples < w->count ? samples : w->count - 1;
    return &w->samples[(w->newest + SAMPLES - back) % SAMPLES];
}

int64_t ops_window_value(const struct ops_window *w, enum bgw_metric id)
{
    return newest(w)->values[id];
}

int64_t ops_window_rate_ms(const struct ops_window *w)
{
    return newest(w)->mono_ms - before(w, OPS_RATE_SAMPLES)->mono_ms;
}

int64_t ops_window_latency_ms(const struct ops_window *w)
{
    return newest(w)->mono_ms - before(w, OPS_LATENCY_SAMPLES)->mono_ms;
}

int64_t ops_window_gain(const struct ops_window *w, enum bgw_metric id)
{
    return newest(w)->values[id] - before(w, OPS_RATE_SAMPLES)->values[id];
}

int64_t ops_window_per_s_milli(const struct ops_window *w, int64_t gain)
{
    int64_t ms = ops_window_rate_ms(w);
    return ms > 0 ? (gain * 1000000 + ms / 2) / ms : 0;
}

void ops_window_histogram(const struct ops_window *w, enum ops_histogram h, struct bgw_histogram *out)
{
    *out = newest(w)->histograms[h];
    bgw_histogram_subtract(out, &before(w, OPS_LATENCY_SAMPLES)->histograms[h]);
}
