/* SPDX-License-Identifier: Apache-2.0 */
/* metrics, read as numbers: sums, histograms and what lies between two of them, percentiles. */
#include "test.h"

#include "bgw/metrics.h"

static struct bgw_histogram between(const struct bgw_histogram *earlier)
{
    struct bgw_histogram h;
    bgw_metric_read_histogram(BGW_M_HANDOFF, &h);
    bgw_histogram_subtract(&h, earlier);
    return h;
}

static struct bgw_histogram of_now(void)
{
    struct bgw_histogram h;
    bgw_metrics_init();
    bgw_metric_read_histogram(BGW_M_HANDOFF, &h);
    return h;
}

TEST(nothing_observed_has_no_percentile)
{
    struct bgw_histogram before = of_now(), h = between(&before);
    CHECK_EQ_I64(bgw_histogram_count(&h), 0);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 500), -1);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1000), -1);
}

TEST(a_percentile_is_the_bound_of_the_bucket_that_holds_its_rank)
{
    struct bgw_histogram before = of_now();
    for (int i = 0; i < 90; i++)
        bgw_metric_observe_us(BGW_M_HANDOFF, 100);
    for (int i = 0; i < 9; i++)
        bgw_metric_observe_us(BGW_M_HANDOFF, 1000);
    bgw_metric_observe_us(BGW_M_HANDOFF, 100000);
    struct bgw_histogram h = between(&before);
    CHECK_EQ_I64(bgw_histogram_count(&h), 100);
    CHECK_EQ_I64(h.sum_us, 90 * 100 + 9 * 1000 + 100000);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1), 112);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 500), 112);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 900), 112);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 901), 1024); /* the 91st of 100 */
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 990), 1024);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 991), 114688);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1000), 114688);
}

TEST(a_percentile_is_never_below_the_truth_and_at_most_a_quarter_above)
{
    for (int64_t us = 1; us < (int64_t)1 << 36; us += us / 3 + 1) {
        struct bgw_histogram before = of_now();
        bgw_metric_observe_us(BGW_M_HANDOFF, us);
        struct bgw_histogram h = between(&before);
        int64_t said = bgw_histogram_quantile_us(&h, 500);
        CHECK(said >= us && said - us <= us / 4 + 1);
    }
}

TEST(what_is_above_the_last_bucket_is_called_its_bound)
{
    struct bgw_histogram before = of_now();
    bgw_metric_observe_us(BGW_M_HANDOFF, INT64_MAX / 2);
    struct bgw_histogram h = between(&before);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1000), (int64_t)1 << 37);
}

TEST(many_observations_overflow_no_rank)
{
    struct bgw_histogram h = {0};
    h.counts[0] = INT64_MAX / 4;
    h.counts[7] = INT64_MAX / 4;
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 499), 1);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 501), 8);
}

TEST(all_at_once_is_what_each_says)
{
    static int64_t values[BGW_METRIC_COUNT];
    bgw_metrics_init();
    bgw_metric_add(BGW_M_HUB_EVENTS, 41);
    bgw_metric_add(BGW_M_HUB_EVENTS, 1);
    bgw_metric_set(BGW_M_BOOK_SLOTS, 7);
    bgw_metrics_read_all(values);
    CHECK_EQ_I64(values[BGW_M_HUB_EVENTS], bgw_metric_read(BGW_M_HUB_EVENTS));
    CHECK_EQ_I64(values[BGW_M_BOOK_SLOTS], 7);
    CHECK_EQ_I64(values[BGW_M_SHED], 0);
    struct bgw_histogram h;
    bgw_metric_read_histogram(BGW_M_HANDOFF, &h);
    CHECK_EQ_I64(values[BGW_M_HANDOFF], h.sum_us);
    CHECK_EQ_STR(bgw_metric_help(BGW_M_REDIS_SECONDS), "From a question of Redis to its answer.");
}
