/* SPDX-License-Identifier: Apache-2.0 */
/* stats_page: the estate's dashboards get the members that they know, with numbers that are right. */
#include "test.h"

#include "bgw/metrics.h"
#include "wire/stats_page.h"

static const struct bgw_now now = {.mono_ms = 5, .wall_ms = 1700000001357};
static struct bgw_buf out;

static const char *shedding(int64_t tokens_milli)
{
    const struct bgw_sources_view view = {.tokens_milli = tokens_milli, .rate_per_s = 400, .burst = 800};
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 4096);
    CHECK_EQ_I64(stats_page_shedding(&out, &view, now), 200);
    bgw_buf_append_byte(&out, 0);
    return out.data;
}

static const char *cache(const struct bgw_sources_view *view, const struct bgw_flags *flags)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_buf_deinit(&out);
    bgw_buf_init(&out, 4096);
    CHECK_EQ_I64(stats_page_cache(&out, view, flags, now), 200);
    bgw_buf_append_byte(&out, 0);
    return out.data;
}

__attribute__((destructor)) static void drop(void)
{
    bgw_buf_deinit(&out);
}

TEST(bucket_is_four_members_and_its_tokens_a_number_of_at_most_three_decimals)
{
    CHECK_EQ_STR(shedding(800000), "{\"tokensAvailable\":800,\"ratePerSecond\":400,\"burstCapacity\":800,"
                                   "\"timestamp\":\"2023-11-14T22:13:21.357Z\"}");
    static const struct {
        int64_t milli;
        const char *text;
    } rows[] = {{0, ":0,"}, {-7, ":0,"}, {1, ":0.001,"}, {10, ":0.01,"}, {999, ":0.999,"}, {1500, ":1.5,"}, {799050, ":799.05,"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char want[64];
        snprintf(want, sizeof(want), "{\"tokensAvailable\"%s\"rate", rows[i].text);
        CHECK(strstr(shedding(rows[i].milli), want) == out.data);
    }
}

TEST(gateway_without_sources_has_all_members_too)
{
    const struct bgw_sources_view none = {.redis_memory_bytes = -1};
    CHECK_EQ_STR(cache(&none, NULL),
                 "{\"timestamp\":\"2023-11-14T22:13:21.357Z\",\"l1\":{\"hits\":0,\"misses\":0,\"entries\":0,\"stale\":0},"
                 "\"l2\":{\"enabled\":false,\"up\":false,\"hits\":0,\"misses\":0,\"failures\":0,\"old\":0},"
                 "\"origin\":{\"enabled\":false,\"up\":false,\"calls\":0,\"values\":0,\"notFound\":0,\"failures\":0},"
                 "\"coalesced\":0,\"hedges\":0,\"hedgeWins\":{\"cache\":0,\"database\":0},\"evictions\":0,\"shed\":0,"
                 "\"filtered\":0,\"redisMemoryBytes\":null}");
}

TEST(each_counter_stands_where_it_belongs)
{
    static const enum bgw_metric ids[] = {
        BGW_M_READ_CACHE_HIT, BGW_M_READ_CACHE_MISS, BGW_M_READ_CACHE_COALESCED, BGW_M_BOOK_SLOTS, BGW_M_READ_CACHE_STALE,
        BGW_M_L2_HITS, BGW_M_L2_MISSES, BGW_M_L2_FAILURES, BGW_M_L2_OLD, BGW_M_ORIGIN_VALUES, BGW_M_ORIGIN_NOT_FOUND,
        BGW_M_ORIGIN_FAILURES, BGW_M_ORIGIN_OLD, BGW_M_HEDGES, BGW_M_HEDGES_WON_CACHE, BGW_M_HEDGES_WON_ORIGIN,
        BGW_M_BOOK_EVICTED, BGW_M_SHED, BGW_M_FILTERED};
    struct bgw_sources_view view = {.redis = BGW_LINK_UP, .origin = BGW_LINK_DOWN, .redis_memory_bytes = 1 << 20};
    struct bgw_flags flags;
    struct bgw_buf error;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        bgw_metric_add(ids[i], 1 << i);
    CHECK_EQ_STR(cache(&view, NULL) + strlen("{\"timestamp\":\"2023-11-14T22:13:21.357Z\""),
                 ",\"l1\":{\"hits\":1,\"misses\":6,\"entries\":8,\"stale\":16},"
                 "\"l2\":{\"enabled\":true,\"up\":true,\"hits\":32,\"misses\":64,\"failures\":128,\"old\":256},"
                 "\"origin\":{\"enabled\":true,\"up\":false,\"calls\":7680,\"values\":512,\"notFound\":1024,\"failures\":2048},"
                 "\"coalesced\":4,\"hedges\":8192,\"hedgeWins\":{\"cache\":16384,\"database\":32768},\"evictions\":65536,"
                 "\"shed\":131072,\"filtered\":262144,\"redisMemoryBytes\":1048576}");
    bgw_buf_init(&error, 256);
    CHECK(bgw_flags_parse(&flags, "all", &error) == BGW_OK);
    bgw_flag_set(&flags, BGW_FLAG_L2, false);
    CHECK(strstr(cache(&view, &flags), "\"l2\":{\"enabled\":false,\"up\":true,"));
    bgw_buf_deinit(&error);
}
