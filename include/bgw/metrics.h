/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: every metric is a row of server/base/metrics.def. Each thread counts in its own slots
 * (no lock, no shared line); a scrape adds the slots up. Label values are rows too (a closed set):
 * never an account, a user or an address.
 *
 *   BGW_COUNTER(ID, "bgw_name_total", "labels or empty", "help")
 *   BGW_GAUGE(ID, "bgw_name", "", "help")          adds up over threads; may go down
 *   BGW_HISTOGRAM(ID, "bgw_name_seconds", "", "help")   log-linear buckets over microseconds
 * Rows with the same name follow each other and differ in their label text (`reason="bad_json"`).
 */
#ifndef BGW_METRICS_H
#define BGW_METRICS_H

#include "bgw/buf.h"

#include <stdint.h>

enum bgw_metric {
#define BGW_COUNTER(id, name, labels, help) BGW_M_##id,
#define BGW_GAUGE(id, name, labels, help) BGW_M_##id,
#define BGW_HISTOGRAM(id, name, labels, help) BGW_M_##id,
#include "../../server/base/metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
    BGW_METRIC_COUNT
};

/* series that a hook writes */
enum bgw_metric_series {
#define BGW_COUNTER(id, name, labels, help)
#define BGW_GAUGE(id, name, labels, help)
#define BGW_HISTOGRAM(id, name, labels, help)
#define BGW_SERIES(id, name, type, labels, help) BGW_S_##id,
#include "../../server/base/metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
    BGW_METRIC_SERIES_COUNT
};

#define BGW_METRIC_THREADS_MAX 80

void bgw_metrics_init(void);                        /* once, before threads; idempotent */
void bgw_metrics_thread_attach(void);               /* first thing in each thread that counts */
void bgw_metric_add(enum bgw_metric id, int64_t n); /* own thread's slot; relaxed store, no lock */
void bgw_metric_set(enum bgw_metric id, int64_t v); /* gauge: this thread's share */
void bgw_metric_observe_us(enum bgw_metric id, int64_t us);
int64_t bgw_metric_read(enum bgw_metric id); /* sum over threads; any thread */

/* ---- typed reads, any thread: what is counted meanwhile is in them or in the next one ---- */
#define BGW_HISTOGRAM_BUCKETS 145
struct bgw_histogram { /* what was observed since the start, or between two reads */
    int64_t sum_us, counts[BGW_HISTOGRAM_BUCKETS];
};
/* Each metric as bgw_metric_read says it; of a histogram the sum in microseconds. */
void bgw_metrics_read_all(int64_t values[BGW_METRIC_COUNT]);
void bgw_metric_read_histogram(enum bgw_metric id, struct bgw_histogram *out);
void bgw_histogram_subtract(struct bgw_histogram *from, const struct bgw_histogram *earlier);
int64_t bgw_histogram_count(const struct bgw_histogram *h);
/* So many thousandths of what was observed took no longer; the upper bound of a bucket, so at most 25 % above the truth (and what is
 * above 38 hours is 38 hours). 1000: the longest. -1: nothing was observed. */
int64_t bgw_histogram_quantile_us(const struct bgw_histogram *h, int permille);
const char *bgw_metric_help(enum bgw_metric id);

void bgw_metrics_write(struct bgw_buf *out); /* Prometheus text: the table, then the hooks' */
/* Text appended by a hook: series that are not known beforehand, such as the lag of each partition.
 * At most 8 hooks, added before threads. */
typedef void (*bgw_metrics_hook)(void *arg, struct bgw_buf *out);
void bgw_metrics_add_hook(bgw_metrics_hook hook, void *arg);
/* For hooks: the HELP and TYPE lines that stand before a series' own. */
void bgw_metrics_write_head(struct bgw_buf *out, enum bgw_metric_series id);

#endif
