/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_page: hides which counters make up the two pages of the estate's dashboards: how much work
 * may still go past the cache, and what each layer of it did. Called by api on a shard's thread; reads
 * counters of all threads, without a lock. Invariant: the members are these, whatever is configured.
 */
#include "stats_page.h"

#include "read_reply.h"

#include "bgw/metrics.h"

/* As a number with at most three decimals, none of them a zero at the end. */
static void append_milli(struct bgw_buf *out, int64_t milli)
{
    uint64_t value = milli > 0 ? (uint64_t)milli : 0;
    unsigned rest = (unsigned)(value % 1000);
    bgw_buf_append_u64(out, value / 1000);
    if (!rest)
        return;
    bgw_buf_append_byte(out, '.');
    for (unsigned unit = 100; rest; unit /= 10) {
        bgw_buf_append_byte(out, (char)('0' + rest / unit));
        rest %= unit;
    }
}

static void append_count(struct bgw_buf *out, const char *name, int64_t count)
{
    bgw_buf_append_str(out, name);
    bgw_buf_append_u64(out, count > 0 ? (uint64_t)count : 0);
}

static void append_bool(struct bgw_buf *out, const char *name, bool value)
{
    bgw_buf_append_str(out, name);
    bgw_buf_append_str(out, value ? "true" : "false");
}

int stats_page_shedding(struct bgw_buf *out, const struct bgw_sources_view *view, struct bgw_now now)
{
    bgw_buf_append_str(out, "{\"tokensAvailable\":");
    append_milli(out, view->tokens_milli);
    append_count(out, ",\"ratePerSecond\":", view->rate_per_s);
    append_count(out, ",\"burstCapacity\":", view->burst);
    bgw_buf_append_str(out, ",\"timestamp\":");
    read_reply_time(out, now.wall_ms);
    bgw_buf_append_byte(out, '}');
    return 200;
}

static void append_l1(struct bgw_buf *out)
{
    append_count(out, ",\"l1\":{\"hits\":", bgw_metric_read(BGW_M_READ_CACHE_HIT));
    append_count(out, ",\"misses\":", bgw_metric_read(BGW_M_READ_CACHE_MISS) + bgw_metric_read(BGW_M_READ_CACHE_COALESCED));
    append_count(out, ",\"entries\":", bgw_metric_read(BGW_M_BOOK_SLOTS));
    append_count(out, ",\"stale\":", bgw_metric_read(BGW_M_READ_CACHE_STALE));
}

static void append_l2(struct bgw_buf *out, const struct bgw_sources_view *view, const struct bgw_flags *flags)
{
    append_bool(out, "},\"l2\":{\"enabled\":", view->redis != BGW_LINK_NONE && bgw_flag(flags, BGW_FLAG_L2));
    append_bool(out, ",\"up\":", view->redis == BGW_LINK_UP);
    append_count(out, ",\"hits\":", bgw_metric_read(BGW_M_L2_HITS));
    append_count(out, ",\"misses\":", bgw_metric_read(BGW_M_L2_MISSES));
    append_count(out, ",\"failures\":", bgw_metric_read(BGW_M_L2_FAILURES));
    append_count(out, ",\"old\":", bgw_metric_read(BGW_M_L2_OLD));
}

static void append_origin(struct bgw_buf *out, const struct bgw_sources_view *view)
{
    const int64_t values = bgw_metric_read(BGW_M_ORIGIN_VALUES), not_found = bgw_metric_read(BGW_M_ORIGIN_NOT_FOUND),
                  failures = bgw_metric_read(BGW_M_ORIGIN_FAILURES);
    append_bool(out, "},\"origin\":{\"enabled\":", view->origin != BGW_LINK_NONE);
    append_bool(out, ",\"up\":", view->origin == BGW_LINK_UP);
    append_count(out, ",\"calls\":", values + not_found + failures + bgw_metric_read(BGW_M_ORIGIN_OLD));
    append_count(out, ",\"values\":", values);
    append_count(out, ",\"notFound\":", not_found);
    append_count(out, ",\"failures\":", failures);
}

int stats_page_cache(struct bgw_buf *out, const struct bgw_sources_view *view, const struct bgw_flags *flags, struct bgw_now now)
{
    bgw_buf_append_str(out, "{\"timestamp\":");
    read_reply_time(out, now.wall_ms);
    append_l1(out);
    append_l2(out, view, flags);
    append_origin(out, view);
    append_count(out, "},\"coalesced\":", bgw_metric_read(BGW_M_READ_CACHE_COALESCED));
    append_count(out, ",\"hedges\":", bgw_metric_read(BGW_M_HEDGES));
    append_count(out, ",\"hedgeWins\":{\"cache\":", bgw_metric_read(BGW_M_HEDGES_WON_CACHE));
    append_count(out, ",\"database\":", bgw_metric_read(BGW_M_HEDGES_WON_ORIGIN));
    append_count(out, "},\"evictions\":", bgw_metric_read(BGW_M_BOOK_EVICTED));
    append_count(out, ",\"shed\":", bgw_metric_read(BGW_M_SHED));
    append_count(out, ",\"filtered\":", bgw_metric_read(BGW_M_FILTERED));
    if (view->redis_memory_bytes < 0)
        bgw_buf_append_str(out, ",\"redisMemoryBytes\":null");
    else
        append_count(out, ",\"redisMemoryBytes\":", view->redis_memory_bytes);
    bgw_buf_append_byte(out, '}');
    return 200;
}
