/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_write: hides which counters make up each member of the object of /v1/ops, which docs/ops-api.md
 * explains one by one. Called by ops_view on the collecting thread. Invariants: the members are
 * always these, whatever is configured; a number that is not known, or of nothing, is null, never 0;
 * names end in their unit (_s, _bytes, _per_s) or in _total, which counts since the start.
 */
#include "ops_write.h"

#include <time.h>

/* ---- numbers and words ---- */

static void key(struct bgw_buf *out, const char *name)
{
    char last = out->len ? out->data[out->len - 1] : '{';
    if (last != '{' && last != '[')
        bgw_buf_append_byte(out, ',');
    bgw_buf_append_byte(out, '"');
    bgw_buf_append_str(out, name);
    bgw_buf_append_str(out, "\":");
}

static void open_object(struct bgw_buf *out, const char *name)
{
    key(out, name);
    bgw_buf_append_byte(out, '{');
}

static void close_object(struct bgw_buf *out)
{
    bgw_buf_append_byte(out, '}');
}

static void put_i64(struct bgw_buf *out, const char *name, int64_t value)
{
    key(out, name);
    bgw_buf_append_i64(out, value);
}

static void put_null(struct bgw_buf *out, const char *name)
{
    key(out, name);
    bgw_buf_append_str(out, "null");
}

static void put_known(struct bgw_buf *out, const char *name, int64_t value)
{
    if (value < 0)
        put_null(out, name);
    else
        put_i64(out, name, value);
}

static void put_text(struct bgw_buf *out, const char *name, const char *text)
{
    key(out, name);
    if (text)
        bgw_buf_append_json(out, bgw_slice_str(text));
    else
        bgw_buf_append_str(out, "null");
}

static void put_bool(struct bgw_buf *out, const char *name, bool value)
{
    key(out, name);
    bgw_buf_append_str(out, value ? "true" : "false");
}

/* A number of `unit` parts (a power of ten) of one, without floating point; nothing is below 0. */
static void put_fraction(struct bgw_buf *out, const char *name, int64_t parts, int64_t unit)
{
    int64_t value = parts > 0 ? parts : 0, rest = value % unit;
    key(out, name);
    bgw_buf_append_i64(out, value / unit);
    if (!rest)
        return;
    bgw_buf_append_byte(out, '.');
    for (unit /= 10; rest; unit /= 10) {
        bgw_buf_append_byte(out, (char)('0' + rest / unit));
        rest %= unit;
    }
}

static void put_ms(struct bgw_buf *out, const char *name, int64_t ms)
{
    put_fraction(out, name, ms, 1000);
}

static void put_time(struct bgw_buf *out, const char *name, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32];
    size_t len = gmtime_r(&seconds, &utc) ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc) : 0;
    key(out, name);
    bgw_buf_append_byte(out, '"');
    bgw_buf_append(out, bgw_slice_of(text, len));
    bgw_buf_appendf(out, ".%03dZ\"", (int)(wall_ms % 1000));
}

/* ---- counters ---- */

static int64_t value_of(const struct ops_known *k, enum bgw_metric id)
{
    return ops_window_value(k->window, id);
}

static int64_t gain_of(const struct ops_known *k, enum bgw_metric id)
{
    return ops_window_gain(k->window, id);
}

static void put(struct bgw_buf *out, const char *name, const struct ops_known *k, enum bgw_metric id)
{
    put_i64(out, name, value_of(k, id));
}

static void put_gain(struct bgw_buf *out, const char *name, const struct ops_known *k, int64_t gain)
{
    put_fraction(out, name, ops_window_per_s_milli(k->window, gain), 1000);
}

static void put_rate(struct bgw_buf *out, const char *name, const struct ops_known *k, enum bgw_metric id)
{
    put_gain(out, name, k, gain_of(k, id));
}

/* Metrics of one name stand together in the table: from the first to the last. */
static int64_t sum(const struct ops_known *k, enum bgw_metric first, enum bgw_metric last,
                   int64_t (*what)(const struct ops_known *, enum bgw_metric))
{
    int64_t total = 0;
    for (int id = (int)first; id <= (int)last; id++)
        total += what(k, (enum bgw_metric)id);
    return total;
}

/* ---- the members ---- */

static void put_process(struct bgw_buf *out, const struct ops_known *k)
{
    static const char *const states[] = {"starting", "ready", "degraded", "draining"};
    const struct bgw_health *h = &k->facts->health;
    bool ok = h->ready && !h->draining;
    open_object(out, "process");
    put_text(out, "version", k->config->version);
    put_text(out, "instance", k->config->instance);
    put_i64(out, "shards", (int64_t)k->config->shards);
    put_time(out, "started", k->config->now.wall_ms);
    put_ms(out, "uptime_s", k->now.mono_ms - k->config->now.mono_ms);
    put_text(out, "state", states[k->state.state]);
    put_time(out, "since", k->state.wall_ms);
    key(out, "reasons");
    bgw_buf_append_byte(out, '[');
    if (!ok && *h->reason)
        bgw_buf_append_json(out, bgw_slice_str(h->reason));
    bgw_buf_append_str(out, "]");
    key(out, "degraded");
    bgw_buf_appendf(out, "[%s]", h->degraded);
    close_object(out);
}

static void put_window(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "window");
    put_ms(out, "rates_s", ops_window_rate_ms(k->window));
    put_ms(out, "latency_s", ops_window_latency_ms(k->window));
    close_object(out);
}

static void put_connections(struct bgw_buf *out, const struct ops_known *k)
{
    int64_t sse = value_of(k, BGW_M_SPEAKS_STREAM) + value_of(k, BGW_M_SPEAKS_SIGNALR_STREAM) + value_of(k, BGW_M_OPS_STREAMS);
    int64_t websocket = value_of(k, BGW_M_SPEAKS_NATIVE) + value_of(k, BGW_M_SPEAKS_UNDECIDED) +
                        value_of(k, BGW_M_SPEAKS_SIGNALR) + value_of(k, BGW_M_SPEAKS_APP);
    int64_t total = value_of(k, BGW_M_CONNECTIONS), http = total - sse - websocket;
    open_object(out, "connections");
    put_i64(out, "total", total);
    open_object(out, "by_dialect");
    put(out, "native", k, BGW_M_SPEAKS_NATIVE);
    put(out, "signalr", k, BGW_M_SPEAKS_SIGNALR);
    put(out, "signalr_sse", k, BGW_M_SPEAKS_SIGNALR_STREAM);
    put(out, "app", k, BGW_M_SPEAKS_APP);
    put(out, "sse", k, BGW_M_SPEAKS_STREAM);
    put(out, "undecided", k, BGW_M_SPEAKS_UNDECIDED);
    close_object(out);
    open_object(out, "by_transport");
    put_i64(out, "websocket", websocket);
    put_i64(out, "sse", sse);
    put_i64(out, "http", http > 0 ? http : 0); /* the gauges are read one after the other */
    close_object(out);
    put(out, "ops_streams", k, BGW_M_OPS_STREAMS);
    put(out, "accepted_total", k, BGW_M_CONNECTIONS_ACCEPTED);
    put_rate(out, "accepted_per_s", k, BGW_M_CONNECTIONS_ACCEPTED);
    put_i64(out, "refused_total",
            sum(k, BGW_M_CONNECTIONS_REFUSED_OVERLOAD, BGW_M_CONNECTIONS_REFUSED_ADMISSION_TIMEOUT, value_of));
    close_object(out);
}

static void put_records(struct bgw_buf *out, const struct ops_known *k)
{
    const enum bgw_metric first = BGW_M_RECORDS_REJECTED_BAD_JSON, last = BGW_M_RECORDS_REJECTED_TOO_MANY;
    open_object(out, "records");
    put(out, "consumed_total", k, BGW_M_RECORDS_CONSUMED);
    put(out, "applied_total", k, BGW_M_RECORDS_APPLIED);
    put(out, "superseded_total", k, BGW_M_RECORDS_SUPERSEDED);
    put(out, "unwatched_total", k, BGW_M_RECORDS_UNWATCHED);
    put_i64(out, "rejected_total", sum(k, first, last, value_of));
    put_rate(out, "consumed_per_s", k, BGW_M_RECORDS_CONSUMED);
    put_rate(out, "applied_per_s", k, BGW_M_RECORDS_APPLIED);
    put_gain(out, "rejected_per_s", k, sum(k, first, last, gain_of));
    close_object(out);
}

static void put_deliveries(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "deliveries");
    put(out, "offered_total", k, BGW_M_UPDATES_OFFERED);
    put(out, "delivered_total", k, BGW_M_UPDATES_DELIVERED);
    put(out, "merged_total", k, BGW_M_UPDATES_MERGED);
    put_i64(out, "abandoned_total", sum(k, BGW_M_UPDATES_ABANDONED_CLOSED, BGW_M_UPDATES_ABANDONED_EXPIRED, value_of));
    put(out, "pending", k, BGW_M_UPDATES_PENDING);
    put(out, "snapshots_total", k, BGW_M_SNAPSHOTS_SENT);
    put(out, "repairs_total", k, BGW_M_REPAIRS_SENT);
    put_rate(out, "offered_per_s", k, BGW_M_UPDATES_OFFERED);
    put_rate(out, "delivered_per_s", k, BGW_M_UPDATES_DELIVERED);
    put_rate(out, "merged_per_s", k, BGW_M_UPDATES_MERGED);
    put_rate(out, "snapshots_per_s", k, BGW_M_SNAPSHOTS_SENT);
    put_rate(out, "bytes_per_s", k, BGW_M_WRITE_BYTES);
    close_object(out);
}

static void put_quantile(struct bgw_buf *out, const char *name, const struct bgw_histogram *h, int permille)
{
    int64_t us = bgw_histogram_quantile_us(h, permille);
    if (us < 0)
        put_null(out, name);
    else
        put_fraction(out, name, us, 1000000);
}

static void put_latency(struct bgw_buf *out, const struct ops_known *k)
{
    static const char *const names[OPS_HISTOGRAM_COUNT] = {
        [OPS_HANDOFF] = "handoff", [OPS_READ] = "read", [OPS_REDIS] = "redis", [OPS_ORIGIN] = "origin"};
    open_object(out, "latency");
    for (int i = 0; i < OPS_HISTOGRAM_COUNT; i++) {
        struct bgw_histogram h;
        ops_window_histogram(k->window, (enum ops_histogram)i, &h);
        open_object(out, names[i]);
        put_text(out, "measures", bgw_metric_help(ops_histogram_metric((enum ops_histogram)i)));
        put_i64(out, "count", bgw_histogram_count(&h));
        put_quantile(out, "p50_s", &h, 500);
        put_quantile(out, "p90_s", &h, 900);
        put_quantile(out, "p99_s", &h, 990);
        put_quantile(out, "max_s", &h, 1000);
        close_object(out);
    }
    close_object(out);
}

static void put_kafka(struct bgw_buf *out, const struct ops_known *k)
{
    const struct bgw_ops_facts *f = k->facts;
    open_object(out, "kafka");
    open_object(out, "proof");
    put_text(out, "state", bgw_slot_state_text(f->proof));
    if (f->proof_age_ms < 0)
        put_null(out, "age_s");
    else
        put_ms(out, "age_s", f->proof_age_ms);
    close_object(out);
    put_i64(out, "lag_records", f->lag_records);
    put_ms(out, "lag_s", f->lag_ms);
    put_i64(out, "partition_count", (int64_t)f->partitions);
    key(out, "partitions");
    bgw_buf_append_byte(out, '[');
    for (size_t i = 0; i < f->partition_count; i++) {
        bgw_buf_append_str(out, i ? ",{" : "{");
        put_i64(out, "partition", f->lags[i].partition);
        put_i64(out, "lag_records", f->lags[i].lag_records);
        put_ms(out, "lag_s", f->lags[i].lag_ms);
        close_object(out);
    }
    bgw_buf_append_byte(out, ']');
    put(out, "errors_total", k, BGW_M_KAFKA_ERRORS);
    close_object(out);
}

static const char *link_text(int state)
{
    return state == BGW_LINK_NONE ? "off" : state == BGW_LINK_UP ? "up" : "down";
}

static void put_breaker(struct bgw_buf *out, const struct ops_since *breaker)
{
    static const char *const texts[] = {"closed", "half_open", "open"};
    put_text(out, "breaker", texts[breaker->state]);
    put_time(out, "breaker_since", breaker->wall_ms);
}

static void put_link(struct bgw_buf *out, const struct ops_since *link)
{
    put_text(out, "state", link_text(link->state));
    put_time(out, "since", link->wall_ms);
}

static void put_sources(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "sources");
    open_object(out, "redis");
    put_link(out, &k->redis);
    put_breaker(out, &k->redis_breaker);
    close_object(out);
    open_object(out, "invalidations");
    put_link(out, &k->channel);
    close_object(out);
    open_object(out, "origin");
    put_text(out, "kind", k->facts->origin_kind);
    put_link(out, &k->origin);
    put_breaker(out, &k->origin_breaker);
    put_i64(out, "calls_total", sum(k, BGW_M_ORIGIN_VALUES, BGW_M_ORIGIN_OLD, value_of));
    put_gain(out, "calls_per_s", k, sum(k, BGW_M_ORIGIN_VALUES, BGW_M_ORIGIN_OLD, gain_of));
    put(out, "failed_total", k, BGW_M_ORIGIN_FAILURES);
    close_object(out);
    close_object(out);
}

static void put_hedges(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "hedges");
    put(out, "total", k, BGW_M_HEDGES);
    put_rate(out, "per_s", k, BGW_M_HEDGES);
    put(out, "won_by_cache_total", k, BGW_M_HEDGES_WON_CACHE);
    put(out, "won_by_database_total", k, BGW_M_HEDGES_WON_ORIGIN);
    put_fraction(out, "delay_s", k->facts->sources.hedge_delay_us, 1000000);
    close_object(out);
}

static void put_reads(struct bgw_buf *out, const struct ops_known *k)
{
    static const struct {
        const char *name;
        enum bgw_metric id;
    } from[] = {{"stream", BGW_M_READ_FROM_STREAM},
                {"l1", BGW_M_READ_FROM_L1},
                {"cache", BGW_M_READ_FROM_CACHE},
                {"database", BGW_M_READ_FROM_DATABASE}};
    open_object(out, "reads");
    put_i64(out, "total", sum(k, BGW_M_READS_HIT, BGW_M_READS_REFUSED, value_of));
    put_gain(out, "per_s", k, sum(k, BGW_M_READS_HIT, BGW_M_READS_REFUSED, gain_of));
    put(out, "waiting", k, BGW_M_READS_WAITING);
    open_object(out, "by_source_total");
    for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++)
        put(out, from[i].name, k, from[i].id);
    close_object(out);
    open_object(out, "by_source_per_s");
    for (size_t i = 0; i < sizeof(from) / sizeof(*from); i++)
        put_rate(out, from[i].name, k, from[i].id);
    close_object(out);
    close_object(out);
}

static void put_layer(struct bgw_buf *out, const char *name, const struct ops_known *k, enum bgw_metric hit,
                      const enum bgw_metric misses[2])
{
    int64_t hits = gain_of(k, hit), asked = hits + gain_of(k, misses[0]) + gain_of(k, misses[1]);
    open_object(out, name);
    put(out, "hits_total", k, hit);
    put_i64(out, "misses_total", value_of(k, misses[0]) + value_of(k, misses[1]));
    if (asked > 0)
        put_fraction(out, "hit_ratio", (hits * 10000 + asked / 2) / asked, 10000);
    else
        put_null(out, "hit_ratio");
    close_object(out);
}

static void put_caches(struct bgw_buf *out, const struct ops_known *k)
{
    static const enum bgw_metric l1[2] = {BGW_M_READ_CACHE_COALESCED, BGW_M_READ_CACHE_MISS};
    static const enum bgw_metric l2[2] = {BGW_M_L2_MISSES, BGW_M_L2_OLD};
    open_object(out, "caches");
    put_layer(out, "l1", k, BGW_M_READ_CACHE_HIT, l1);
    put_layer(out, "l2", k, BGW_M_L2_HITS, l2);
    close_object(out);
}

static void put_slow(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "slow_clients");
    put(out, "stalled_now", k, BGW_M_SESSIONS_BLOCKED);
    put(out, "closed_total", k, BGW_M_CLOSES_3008);
    put_rate(out, "closed_per_s", k, BGW_M_CLOSES_3008);
    put(out, "cut_total", k, BGW_M_CONNECTIONS_STALLED);
    put(out, "merged_total", k, BGW_M_UPDATES_MERGED);
    close_object(out);
}

static void put_shedding(struct bgw_buf *out, const struct ops_known *k)
{
    const struct bgw_sources_view *v = &k->facts->sources;
    open_object(out, "shedding");
    put_fraction(out, "tokens", v->tokens_milli, 1000);
    put_i64(out, "rate_per_s", v->rate_per_s);
    put_i64(out, "burst", v->burst);
    put(out, "shed_total", k, BGW_M_SHED);
    put_rate(out, "shed_per_s", k, BGW_M_SHED);
    close_object(out);
}

static void put_handshakes(struct bgw_buf *out, const struct ops_known *k)
{
    static const struct {
        const char *name;
        enum bgw_metric id;
    } refused[] = {{"bad_request", BGW_M_HANDSHAKES_BAD_REQUEST},
                   {"unauthorized", BGW_M_HANDSHAKES_UNAUTHORIZED},
                   {"forbidden_origin", BGW_M_HANDSHAKES_FORBIDDEN_ORIGIN},
                   {"overload", BGW_M_HANDSHAKES_OVERLOAD},
                   {"draining", BGW_M_HANDSHAKES_DRAINING},
                   {"timeout", BGW_M_HANDSHAKES_TIMEOUT},
                   {"budget", BGW_M_HANDSHAKES_BUDGET},
                   {"address_limit", BGW_M_HANDSHAKES_ADDRESS_LIMIT},
                   {"forbidden_client", BGW_M_HANDSHAKES_FORBIDDEN_CLIENT},
                   {"push_off", BGW_M_HANDSHAKES_PUSH_OFF}};
    int64_t gain = 0, total = 0;
    open_object(out, "handshakes");
    put(out, "ok_total", k, BGW_M_HANDSHAKES_OK);
    put_rate(out, "ok_per_s", k, BGW_M_HANDSHAKES_OK);
    open_object(out, "refused_by_reason_total");
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        put(out, refused[i].name, k, refused[i].id);
        gain += gain_of(k, refused[i].id);
        total += value_of(k, refused[i].id);
    }
    close_object(out);
    put_i64(out, "refused_total", total);
    put_gain(out, "refused_per_s", k, gain);
    close_object(out);
}

static void put_flags(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "flags");
    for (int i = 0; i < BGW_FLAG_COUNT; i++)
        put_bool(out, bgw_flag_name((enum bgw_flag)i), bgw_flag(k->config->flags, (enum bgw_flag)i));
    close_object(out);
}

static void put_memory(struct bgw_buf *out, const struct ops_known *k)
{
    open_object(out, "memory");
    put_known(out, "rss_bytes", k->rss_bytes);
    put(out, "book_keys", k, BGW_M_BOOK_KEYS);
    put(out, "book_slots", k, BGW_M_BOOK_SLOTS);
    put(out, "book_evicted_total", k, BGW_M_BOOK_EVICTED);
    put_known(out, "redis_bytes", k->facts->sources.redis_memory_bytes);
    close_object(out);
}

enum ops_state ops_state_of(const struct bgw_health *health)
{
    if (health->draining)
        return OPS_DRAINING;
    if (!health->ready)
        return OPS_STARTING;
    return *health->degraded ? OPS_DEGRADED : OPS_READY;
}

void ops_write(struct bgw_buf *out, const struct ops_known *k)
{
    bgw_buf_append_byte(out, '{');
    put_time(out, "timestamp", k->now.wall_ms);
    put_i64(out, "seq", (int64_t)k->seq);
    put_process(out, k);
    put_window(out, k);
    put_connections(out, k);
    put(out, "sessions", k, BGW_M_SESSIONS);
    put(out, "subscriptions", k, BGW_M_SUBSCRIPTIONS);
    put_i64(out, "watched_keys", (int64_t)k->facts->watched_keys);
    put_records(out, k);
    put_deliveries(out, k);
    put_latency(out, k);
    put_kafka(out, k);
    put_sources(out, k);
    put_hedges(out, k);
    put_reads(out, k);
    put_caches(out, k);
    put_slow(out, k);
    put_shedding(out, k);
    put_handshakes(out, k);
    put_flags(out, k);
    put_memory(out, k);
    bgw_buf_append_byte(out, '}');
}
