/* SPDX-License-Identifier: Apache-2.0 */
/* ops_window: rates and percentiles of the last seconds, on a clock of the test's own. */
#include "test.h"

#include "ops/ops_window.h"

static struct ops_window *fresh(void)
{
    static struct ops_window w;
    bgw_metrics_init();
    memset(&w, 0, sizeof(w));
    return &w;
}

static int64_t events_per_s_milli(const struct ops_window *w)
{
    return ops_window_per_s_milli(w, ops_window_gain(w, BGW_M_HUB_EVENTS));
}

TEST(one_sample_has_values_and_no_rates)
{
    struct ops_window *w = fresh();
    bgw_metric_add(BGW_M_HUB_EVENTS, 5);
    ops_window_take(w, 1000);
    CHECK_EQ_I64(ops_window_value(w, BGW_M_HUB_EVENTS), bgw_metric_read(BGW_M_HUB_EVENTS));
    CHECK_EQ_I64(ops_window_rate_ms(w), 0);
    CHECK_EQ_I64(events_per_s_milli(w), 0);
    struct bgw_histogram h;
    bgw_metric_observe_us(BGW_M_HANDOFF, 9);
    ops_window_histogram(w, OPS_HANDOFF, &h);
    CHECK_EQ_I64(bgw_histogram_count(&h), 0);
}

TEST(a_rate_is_over_five_samples_and_the_time_that_really_passed)
{
    struct ops_window *w = fresh();
    int64_t at = 0;
    ops_window_take(w, at);
    for (int i = 1; i <= 30; i++) {
        bgw_metric_add(BGW_M_HUB_EVENTS, i); /* i a second */
        ops_window_take(w, at += 1000);
        int n = i < 5 ? i : 5;
        CHECK_EQ_I64(ops_window_rate_ms(w), n * 1000);
        CHECK_EQ_I64(ops_window_gain(w, BGW_M_HUB_EVENTS), n * (2 * i - n + 1) / 2);
    }
    CHECK_EQ_I64(events_per_s_milli(w), 28000); /* of 26 to 30 */
    bgw_metric_add(BGW_M_HUB_EVENTS, 140 - 27 - 28 - 29 - 30);
    ops_window_take(w, at += 3000); /* a late one */
    CHECK_EQ_I64(ops_window_rate_ms(w), 7000);
    CHECK_EQ_I64(events_per_s_milli(w), 20000);
}

TEST(what_stops_is_gone_after_the_window)
{
    struct ops_window *w = fresh();
    ops_window_take(w, 0);
    bgw_metric_add(BGW_M_HUB_EVENTS, 100);
    for (int i = 1; i <= 5; i++) {
        ops_window_take(w, i * 1000);
        CHECK_EQ_I64(ops_window_gain(w, BGW_M_HUB_EVENTS), 100);
    }
    ops_window_take(w, 6000);
    CHECK_EQ_I64(ops_window_gain(w, BGW_M_HUB_EVENTS), 0);
}

TEST(two_samples_of_one_moment_make_no_rate)
{
    struct ops_window *w = fresh();
    ops_window_take(w, 1000);
    bgw_metric_add(BGW_M_HUB_EVENTS, 100);
    ops_window_take(w, 1000);
    CHECK_EQ_I64(events_per_s_milli(w), 0);
}

TEST(percentiles_are_of_the_last_ten_seconds_alone)
{
    struct ops_window *w = fresh();
    struct bgw_histogram h;
    bgw_metric_observe_us(BGW_M_ORIGIN_SECONDS, 1000000); /* before everything */
    ops_window_take(w, 0);
    bgw_metric_observe_us(BGW_M_ORIGIN_SECONDS, 4096);
    for (int i = 1; i <= 10; i++) {
        bgw_metric_observe_us(BGW_M_ORIGIN_SECONDS, 64);
        ops_window_take(w, i * 1000);
    }
    CHECK_EQ_I64(ops_window_latency_ms(w), 10000);
    ops_window_histogram(w, OPS_ORIGIN, &h);
    CHECK_EQ_I64(bgw_histogram_count(&h), 11);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 500), 64);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1000), 4096);
    ops_window_take(w, 11000);
    ops_window_histogram(w, OPS_ORIGIN, &h);
    CHECK_EQ_I64(bgw_histogram_count(&h), 9);
    CHECK_EQ_I64(bgw_histogram_quantile_us(&h, 1000), 64);
    CHECK_EQ_I64(ops_window_latency_ms(w), 10000);
}
