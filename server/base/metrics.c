/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics: each thread counts in a block of its own, a reader adds the blocks up. Hides where the
 * numbers lie; any thread. Invariant: a block has one writer, so a count is a relaxed load and
 * store, no lock and no shared line; block 0 belongs to threads without a block, and is added to
 * atomically.
 */
#include "bgw/metrics.h"

#include "bgw/assert.h"

#include <stdatomic.h>

#define CACHE_LINE 64
#define HOOKS_MAX 8

/*
 * A histogram has four buckets for each doubling: at most 25 % wide. Up to 2^37 microseconds (38
 * hours), what lasted longer is in the last one.
 */
#define SUB_BITS 2
#define SUBS (1U << SUB_BITS)
#define OCTAVES 36
#define BUCKETS (OCTAVES * SUBS)
_Static_assert(BGW_HISTOGRAM_BUCKETS == BUCKETS + 1, "one more for what lasted longer");

enum metric_kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

enum histogram {
#define BGW_COUNTER(id, name, labels, help)
#define BGW_GAUGE(id, name, labels, help)
#define BGW_HISTOGRAM(id, name, labels, help) HISTOGRAM_##id,
#include "metrics.def"
#undef BGW_HISTOGRAM
    HISTOGRAM_COUNT
};

static const struct metric_row {
    const char *name, *labels, *help;
    enum metric_kind kind;
    int histogram;
} rows[] = {
#undef BGW_COUNTER
#undef BGW_GAUGE
#define BGW_COUNTER(id, name, labels, help) {name, labels, help, KIND_COUNTER, -1},
#define BGW_GAUGE(id, name, labels, help) {name, labels, help, KIND_GAUGE, -1},
#define BGW_HISTOGRAM(id, name, labels, help) {name, labels, help, KIND_HISTOGRAM, HISTOGRAM_##id},
#include "metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
};

static const struct {
    const char *name, *type, *help;
} series_rows[] = {
#define BGW_COUNTER(id, name, labels, help)
#define BGW_GAUGE(id, name, labels, help)
#define BGW_HISTOGRAM(id, name, labels, help)
#define BGW_SERIES(id, name, type, labels, help) {name, type, help},
#include "metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
};

/* any thread reads, the owner writes; block 0: any thread */
struct block {
    _Alignas(CACHE_LINE) atomic_llong values[BGW_METRIC_COUNT]; /* of a histogram: the sum in us */
    atomic_llong buckets[HISTOGRAM_COUNT][BUCKETS + 1];
};

static struct block blocks[BGW_METRIC_THREADS_MAX]; /* untouched pages cost nothing */
static atomic_int blocks_taken = 1;
static _Thread_local int own_block;

static struct {
    bgw_metrics_hook hook;
    void *arg;
} hooks[HOOKS_MAX]; /* any thread: immutable after start */
static int hook_count;

void bgw_metrics_init(void)
{
    bgw_metrics_thread_attach();
}

void bgw_metrics_thread_attach(void)
{
    if (own_block)
        return;
    int taken = atomic_load_explicit(&blocks_taken, memory_order_relaxed);
    do {
        if (taken == BGW_METRIC_THREADS_MAX)
            return; /* none left: this thread counts in block 0, correct if slower */
    } while (!atomic_compare_exchange_weak_explicit(&blocks_taken, &taken, taken + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    own_block = taken;
}

static inline void slot_add(atomic_llong *slot, int64_t n)
{
    if (own_block)
        atomic_store_explicit(slot, atomic_load_explicit(slot, memory_order_relaxed) + n,
                              memory_order_relaxed);
    else
        atomic_fetch_add_explicit(slot, n, memory_order_relaxed);
}

void bgw_metric_add(enum bgw_metric id, int64_t n)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT && rows[id].kind != KIND_HISTOGRAM);
    slot_add(&blocks[own_block].values[id], n);
}

void bgw_metric_set(enum bgw_metric id, int64_t v)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT && rows[id].kind == KIND_GAUGE);
    atomic_store_explicit(&blocks[own_block].values[id], v, memory_order_relaxed);
}

/* The bucket whose upper bound is the least that is not below `us`. */
static unsigned bucket_of(int64_t us)
{
    uint64_t below =
        us > 0 ? (uint64_t)us - 1 : 0; /* Prometheus bounds are inclusive: count from 0 */
    if (below < SUBS)
        return (unsigned)below;
    unsigned top = 63 - (unsigned)__builtin_clzll(below);
    unsigned sub = (unsigned)(below >> (top - SUB_BITS)) & (SUBS - 1);
    unsigned bucket = (top - SUB_BITS + 1) * SUBS + sub;
    return bucket < BUCKETS ? bucket : BUCKETS;
}

static uint64_t bucket_bound_us(unsigned bucket)
{
    unsigned next = bucket + 1;
    if (next < SUBS)
        return next;
    return (uint64_t)(SUBS + next % SUBS) << (next / SUBS - 1);
}

void bgw_metric_observe_us(enum bgw_metric id, int64_t us)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT && rows[id].kind == KIND_HISTOGRAM);
    struct block *b = &blocks[own_block];
    slot_add(&b->values[id], us > 0 ? us : 0);
    slot_add(&b->buckets[rows[id].histogram][bucket_of(us)], 1);
}

static int blocks_in_use(void)
{
    return atomic_load_explicit(&blocks_taken, memory_order_relaxed);
}

static int64_t read_value(int id)
{
    int64_t sum = 0;
    for (int i = 0; i < blocks_in_use(); i++)
        sum += atomic_load_explicit(&blocks[i].values[id], memory_order_relaxed);
    return sum;
}

static int64_t read_bucket(int histogram, unsigned bucket)
{
    int64_t sum = 0;
    for (int i = 0; i < blocks_in_use(); i++)
        sum += atomic_load_explicit(&blocks[i].buckets[histogram][bucket], memory_order_relaxed);
    return sum;
}

int64_t bgw_metric_read(enum bgw_metric id)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT);
    if (rows[id].kind != KIND_HISTOGRAM)
        return read_value((int)id);
    int64_t count = 0;
    for (unsigned i = 0; i <= BUCKETS; i++)
        count += read_bucket(rows[id].histogram, i);
    return count;
}

/* ---- typed reads ---- */

void bgw_metrics_read_all(int64_t values[BGW_METRIC_COUNT])
{
    memset(values, 0, BGW_METRIC_COUNT * sizeof(*values));
    for (int i = 0; i < blocks_in_use(); i++) {
        for (int id = 0; id < (int)BGW_METRIC_COUNT; id++)
            values[id] += atomic_load_explicit(&blocks[i].values[id], memory_order_relaxed);
    }
}

void bgw_metric_read_histogram(enum bgw_metric id, struct bgw_histogram *out)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT && rows[id].kind == KIND_HISTOGRAM);
    out->sum_us = read_value((int)id);
    for (unsigned i = 0; i < BGW_HISTOGRAM_BUCKETS; i++)
        out->counts[i] = read_bucket(rows[id].histogram, i);
}

void bgw_histogram_subtract(struct bgw_histogram *from, const struct bgw_histogram *earlier)
{
    from->sum_us -= earlier->sum_us;
    for (unsigned i = 0; i < BGW_HISTOGRAM_BUCKETS; i++)
        from->counts[i] -= earlier->counts[i];
}

int64_t bgw_histogram_count(const struct bgw_histogram *h)
{
    int64_t count = 0;
    for (unsigned i = 0; i < BGW_HISTOGRAM_BUCKETS; i++)
        count += h->counts[i];
    return count;
}

int64_t bgw_histogram_quantile_us(const struct bgw_histogram *h, int permille)
{
    BGW_ASSERT(permille > 0 && permille <= 1000);
    int64_t count = bgw_histogram_count(h), seen = 0;
    /* the rank, rounded up, without a product that overflows */
    int64_t rank = count / 1000 * permille + (count % 1000 * permille + 999) / 1000;
    for (unsigned i = 0; count && i < BGW_HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen >= rank)
            return (int64_t)bucket_bound_us(i < BUCKETS ? i : BUCKETS - 1);
    }
    return -1;
}

const char *bgw_metric_help(enum bgw_metric id)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_COUNT);
    return rows[id].help;
}

/* Microseconds as seconds, exactly: the decimal point moves, no float is asked. */
static void append_seconds(struct bgw_buf *out, uint64_t us)
{
    char digits[8];
    uint64_t fraction = us % 1000000;
    bgw_buf_append_u64(out, us / 1000000);
    if (fraction == 0)
        return;
    for (int i = 6; i > 0; i--, fraction /= 10)
        digits[i] = (char)('0' + fraction % 10);
    digits[0] = '.';
    size_t len = 7;
    while (digits[len - 1] == '0')
        len--;
    bgw_buf_append(out, bgw_slice_of(digits, len));
}

/* `name<suffix>{labels,extra} ` with the braces only where something stands between them. */
static void append_series(struct bgw_buf *out, const struct metric_row *row, const char *suffix)
{
    bgw_buf_append_str(out, row->name);
    bgw_buf_append_str(out, suffix);
    if (*row->labels)
        bgw_buf_appendf(out, "{%s}", row->labels);
    bgw_buf_append_byte(out, ' ');
}

static void append_bucket(struct bgw_buf *out, const struct metric_row *row, unsigned bucket,
                          int64_t count)
{
    bgw_buf_appendf(out, "%s_bucket{%s%sle=\"", row->name, row->labels, *row->labels ? "," : "");
    if (bucket == BUCKETS)
        bgw_buf_append_str(out, "+Inf");
    else
        append_seconds(out, bucket_bound_us(bucket));
    bgw_buf_append_str(out, "\"} ");
    bgw_buf_append_i64(out, count);
    bgw_buf_append_byte(out, '\n');
}

static void append_histogram(struct bgw_buf *out, const struct metric_row *row, int id)
{
    int64_t count = 0;
    int64_t sum_us = read_value(id);
    for (unsigned i = 0; i <= BUCKETS; i++) {
        count += read_bucket(row->histogram, i);
        append_bucket(out, row, i, count);
    }
    append_series(out, row, "_sum");
    append_seconds(out, (uint64_t)sum_us);
    bgw_buf_append_byte(out, '\n');
    append_series(out, row, "_count");
    bgw_buf_append_i64(out, count);
    bgw_buf_append_byte(out, '\n');
}

static void append_head(struct bgw_buf *out, const char *name, const char *type, const char *help)
{
    bgw_buf_appendf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void bgw_metrics_write_head(struct bgw_buf *out, enum bgw_metric_series id)
{
    BGW_ASSERT((unsigned)id < BGW_METRIC_SERIES_COUNT);
    append_head(out, series_rows[id].name, series_rows[id].type, series_rows[id].help);
}

void bgw_metrics_write(struct bgw_buf *out)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    for (int id = 0; id < (int)BGW_METRIC_COUNT; id++) {
        const struct metric_row *row = &rows[id];
        if (id == 0 || strcmp(rows[id - 1].name, row->name) != 0)
            append_head(out, row->name, types[row->kind], row->help);
        if (row->kind == KIND_HISTOGRAM) {
            append_histogram(out, row, id);
            continue;
        }
        append_series(out, row, "");
        bgw_buf_append_i64(out, read_value(id));
        bgw_buf_append_byte(out, '\n');
    }
    for (int i = 0; i < hook_count; i++)
        hooks[i].hook(hooks[i].arg, out);
}

void bgw_metrics_add_hook(bgw_metrics_hook hook, void *arg)
{
    BGW_ASSERT(hook_count < HOOKS_MAX);
    hooks[hook_count].hook = hook;
    hooks[hook_count].arg = arg;
    hook_count++;
}
