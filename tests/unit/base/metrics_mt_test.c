/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics: sums over threads, and the structure of the text that Prometheus reads. The numbers
 * are the process's, so each test looks at differences.
 */
#include "bgw/metrics.h"

#include "../test.h"

#include <pthread.h>

#define TEXT_MAX (4U << 20)

static void *count_a_lot(void *arg)
{
    bool attach = *(bool *)arg;
    if (attach)
        bgw_metrics_thread_attach();
    for (int i = 0; i < 10000; i++) {
        bgw_metric_add(BGW_M_HUB_EVENTS, 1);
        bgw_metric_observe_us(BGW_M_HANDOFF, i);
    }
    bgw_metric_set(BGW_M_BOOK_SLOTS, attach ? 5 : 0);
    return NULL;
}

static void run_threads(int count, bool attach)
{
    pthread_t threads[128];
    for (int i = 0; i < count; i++)
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, count_a_lot, &attach), 0);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

TEST(a_count_is_the_sum_over_attached_threads)
{
    bgw_metrics_init();
    int64_t events = bgw_metric_read(BGW_M_HUB_EVENTS), seen = bgw_metric_read(BGW_M_HANDOFF);
    int64_t slots = bgw_metric_read(BGW_M_BOOK_SLOTS);
    run_threads(8, true);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HUB_EVENTS) - events, 80000);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HANDOFF) - seen, 80000);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_BOOK_SLOTS) - slots, 40);
}

TEST(threads_that_never_attached_lose_no_count)
{
    int64_t events = bgw_metric_read(BGW_M_HUB_EVENTS);
    run_threads(8, false);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HUB_EVENTS) - events, 80000);
}

TEST(more_threads_than_blocks_lose_no_count)
{
    int64_t events = bgw_metric_read(BGW_M_HUB_EVENTS);
    run_threads(BGW_METRIC_THREADS_MAX + 20, true);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HUB_EVENTS) - events, (BGW_METRIC_THREADS_MAX + 20) * 10000);
}

TEST(a_gauge_goes_up_and_down)
{
    int64_t before = bgw_metric_read(BGW_M_CONNECTIONS);
    bgw_metric_add(BGW_M_CONNECTIONS, 5);
    bgw_metric_add(BGW_M_CONNECTIONS, -2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS) - before, 3);
    bgw_metric_add(BGW_M_CONNECTIONS, -3);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS), before);
}

/* The value of the line that begins with `series` and a space, or INT64_MIN. */
static int64_t value_of(const struct bgw_buf *text, const char *series)
{
    size_t len = strlen(series);
    const char *p = text->data;
    while (p) {
        if (strncmp(p, series, len) == 0 && p[len] == ' ')
            return strtoll(p + len + 1, NULL, 10);
        p = strchr(p, '\n');
        p = p ? p + 1 : NULL;
    }
    return INT64_MIN;
}

static void scrape(struct bgw_buf *out)
{
    bgw_buf_init(out, TEXT_MAX);
    bgw_metrics_write(out);
    bgw_buf_append_byte(out, '\0');
    CHECK(!out->failed);
}

TEST(the_text_carries_the_values)
{
    struct bgw_buf text;
    bgw_metric_add(BGW_M_RECORDS_REJECTED_BAD_JSON, 3);
    bgw_metric_add(BGW_M_SNAPSHOTS_SENT, 2);
    scrape(&text);
    CHECK_EQ_I64(
        value_of(&text, "bgw_records_rejected_total{feed=\"balance\",reason=\"bad_json\"}"),
        bgw_metric_read(BGW_M_RECORDS_REJECTED_BAD_JSON));
    CHECK_EQ_I64(value_of(&text, "bgw_snapshots_sent_total"),
                 bgw_metric_read(BGW_M_SNAPSHOTS_SENT));
    bgw_buf_deinit(&text);
}

static int count_of(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what))
        n++;
    return n;
}

TEST(each_name_has_one_help_and_one_type_before_its_series)
{
    struct bgw_buf text;
    char head[160];
    scrape(&text);
#define ROW(name_, type_)                                                                          \
    do {                                                                                           \
        snprintf(head, sizeof(head), "# HELP %s ", name_);                                         \
        CHECK_EQ_I64(count_of(text.data, head), 1);                                                \
        snprintf(head, sizeof(head), "\n# TYPE %s " type_ "\n%s", name_, name_);                   \
        CHECK_EQ_I64(count_of(text.data, head), 1);                                                \
    } while (0);
#define BGW_COUNTER(id, name, labels, help) ROW(name, "counter")
#define BGW_GAUGE(id, name, labels, help) ROW(name, "gauge")
#define BGW_HISTOGRAM(id, name, labels, help) ROW(name, "histogram")
#include "../../../server/base/metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
    bgw_buf_deinit(&text);
}

TEST(names_follow_the_rules_and_no_series_comes_twice)
{
    struct bgw_buf text;
    scrape(&text);
    static const struct {
        const char *name, *labels;
        bool counter;
    } rows[] = {
#define BGW_COUNTER(id, name, labels, help) {name, labels, true},
#define BGW_GAUGE(id, name, labels, help) {name, labels, false},
#define BGW_HISTOGRAM(id, name, labels, help) {name, labels, false},
#include "../../../server/base/metrics.def"
#undef BGW_COUNTER
#undef BGW_GAUGE
#undef BGW_HISTOGRAM
    };
    for (size_t i = 0; i < BGW_METRIC_COUNT; i++) {
        size_t len = strlen(rows[i].name);
        bool total = len > 6 && strcmp(rows[i].name + len - 6, "_total") == 0;
        CHECK(total == rows[i].counter);
        CHECK(strspn(rows[i].name, "abcdefghijklmnopqrstuvwxyz0123456789_") == len);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(rows[i].name, rows[k].name) || strcmp(rows[i].labels, rows[k].labels));
    }
    bgw_buf_deinit(&text);
}

TEST(a_histogram_observation_lands_in_the_bucket_that_bounds_it)
{
    static const struct {
        int64_t us;
        const char *at, *below;
    } cases[] = {
        {0, "0.000001", NULL},
        {1, "0.000001", NULL},
        {2, "0.000002", "0.000001"},
        {4, "0.000004", "0.000003"},
        {5, "0.000005", "0.000004"},
        {8, "0.000008", "0.000007"},
        {9, "0.00001", "0.000008"},
        {50, "0.000056", "0.000048"},
        {1000, "0.001024", "0.000896"},
        {1000000, "1.048576", "0.917504"},
        {137438953472, "137438.953472", "120259.084288"},
        {137438953473, "+Inf", "137438.953472"},
        {INT64_MAX / 4, "+Inf", "137438.953472"},
        {-5, "0.000001", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bgw_buf before, after;
        char at[96], below[96];
        scrape(&before);
        bgw_metric_observe_us(BGW_M_SIGNALR_DURATION, cases[i].us);
        scrape(&after);
        snprintf(at, sizeof(at), "signalr_server_connection_duration_seconds_bucket{le=\"%s\"}",
                 cases[i].at);
        CHECK_EQ_I64(value_of(&after, at) - value_of(&before, at), 1);
        if (cases[i].below) {
            snprintf(below, sizeof(below),
                     "signalr_server_connection_duration_seconds_bucket{le=\"%s\"}",
                     cases[i].below);
            CHECK(value_of(&before, below) != INT64_MIN);
            CHECK_EQ_I64(value_of(&after, below), value_of(&before, below));
        }
        bgw_buf_deinit(&before);
        bgw_buf_deinit(&after);
    }
}

TEST(histogram_buckets_rise_and_end_at_the_count)
{
    struct bgw_buf text;
    int64_t last = -1;
    int buckets = 0;
    bgw_metric_observe_us(BGW_M_HANDOFF, 1500000);
    scrape(&text);
    for (char *p = text.data; (p = strstr(p, "\nbgw_handoff_seconds_bucket{le=\"")); buckets++) {
        p = strchr(p + 1, ' ');
        int64_t v = strtoll(p + 1, NULL, 10);
        CHECK(v >= last);
        last = v;
    }
    CHECK_EQ_I64(buckets, 145);
    CHECK_EQ_I64(value_of(&text, "bgw_handoff_seconds_count"), last);
    CHECK_EQ_I64(value_of(&text, "bgw_handoff_seconds_bucket{le=\"+Inf\"}"), last);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HANDOFF), last);
    CHECK(value_of(&text, "bgw_handoff_seconds_sum") > 0);
    bgw_buf_deinit(&text);
}

static void say_lag(void *arg, struct bgw_buf *out)
{
    bgw_metrics_write_head(out, BGW_S_KAFKA_LAG_RECORDS);
    bgw_buf_appendf(out, "bgw_kafka_lag_records{partition=\"0\"} %d\n",
                    *(int *)arg);
}

TEST(a_hook_appends_its_own_series)
{
    static int lag = 17;
    struct bgw_buf text;
    bgw_metrics_add_hook(say_lag, &lag);
    scrape(&text);
    CHECK_EQ_I64(value_of(&text, "bgw_kafka_lag_records{partition=\"0\"}"), 17);
    bgw_buf_deinit(&text);
}

TEST(a_buffer_that_is_too_small_says_so)
{
    struct bgw_buf text;
    bgw_buf_init(&text, 200);
    bgw_metrics_write(&text);
    CHECK(text.failed);
    bgw_buf_deinit(&text);
}
