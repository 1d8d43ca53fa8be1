/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_hub: hides how the pure hub gets its events, its clock and its thread. Everything that the
 * hub is told is told on one thread, in turns: descriptors, mailbox, then the Kafka records, its
 * deadlines, and one seal of the relays. Other threads see the hub only through the few atomics of
 * `struct told`, for health pages cannot wait for a turn.
 */
#include "gateway_hub.h"

#include "bgw/assert.h"
#include "bgw/ingest.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/read.h"
#include "bgw/reserve.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX 65536 /* a sender that finds it full keeps its command */
#define WAIT_MAX_MS 1000   /* gauges are set each second */
#define RETRY_MIN_MS 500
#define RETRY_MAX_MS 30000
#define REREAD_MS 1000
#define BARRIER_BATCH_MS 20
#define BARRIER_MAX_MS 5000 /* an answer that late is lost: a slow broker must not be asked anew for ever */

/* any thread: atomics */
struct told {
    atomic_bool ready;
    atomic_size_t partitions;
    atomic_llong lag_records;
    atomic_int worst_state;
    atomic_llong turned_ms;
    atomic_llong watched_keys, proof_ms; /* of the oldest proof, monotonic; 0: never */
};

struct bgw_hub_host { /* hub thread while it runs, else main */
    struct bgw_hub_host_config config;
    struct bgw_loop *loop;
    struct bgw_mailbox *commands;
    struct bgw_hub *hub;
    struct bgw_reader *reader;
    struct bgw_kafka_source *source;
    struct bgw_relay *relays[BGW_SHARDS_MAX];
    int64_t wait_ms, gauges_due_ms;
    pthread_t thread;
    bool running;
    struct told told;
};

/* ---- what comes in ---- */

static void on_command(void *arg, const void *item)
{
    struct bgw_hub_host *h = arg;
    if (h->hub) /* after the stop: shards have nobody to ask any more */
        bgw_hub_on_command(h->hub, item, bgw_loop_now(h->loop));
}

static void on_fetched(void *arg, const struct bgw_fetched *f)
{
    struct bgw_hub_host *h = arg;
    if (h->hub)
        bgw_hub_on_fetched(h->hub, f, bgw_loop_now(h->loop));
    else /* after the stop */
        bgw_blob_release(f->value);
}

static void on_invalidated(void *arg, const struct bgw_invalidation *i)
{
    struct bgw_hub_host *h = arg;
    if (h->hub)
        bgw_hub_on_invalidate(h->hub, h->config.feed->id, &i->name, i->any_tenant, i->has_v, i->v, bgw_loop_now(h->loop));
}

static void on_channel(void *arg, bool up)
{
    struct bgw_hub_host *h = arg;
    if (h->hub)
        bgw_hub_on_channel(h->hub, up, bgw_loop_now(h->loop));
}

/* ---- what goes out ---- */

static bool do_fetch(void *arg, const struct bgw_fetch *f)
{
    struct bgw_hub_host *h = arg;
    return bgw_reader_fetch(h->reader, f);
}

static void do_ask_watermark(void *arg, uint8_t feed, uint64_t query, bool refresh_metadata)
{
    struct bgw_hub_host *h = arg;
    BGW_ASSERT(feed == h->config.feed->id);
    if (h->source)
        bgw_kafka_source_ask(h->source, query, refresh_metadata);
}

static void do_rejected(void *arg, uint8_t feed, const struct bgw_record *r, enum bgw_reject why)
{
    struct bgw_hub_host *h = arg;
    BGW_ASSERT(feed == h->config.feed->id);
    BGW_LOG(BGW_LOG_WARN, "record_rejected", {"topic", LS(h->config.config->topic_balance_updates)},
            {"partition", LI(r->partition)}, {"offset", LI(r->offset)},
            {"reason", LS(bgw_reject_text(why))});
}

/* ---- turns ---- */

static void tell(struct bgw_hub_host *h, struct bgw_now now)
{
    struct bgw_hub_view view;
    bgw_hub_look(h->hub, &view);
    atomic_store_explicit(&h->told.partitions, view.partitions, memory_order_relaxed);
    atomic_store_explicit(&h->told.lag_records, view.lag_records, memory_order_relaxed);
    atomic_store_explicit(&h->told.worst_state, (int)view.worst_state, memory_order_relaxed);
    atomic_store_explicit(&h->told.watched_keys, (long long)view.watched_keys, memory_order_relaxed);
    atomic_store_explicit(&h->told.proof_ms, view.oldest_proof_mono_ms, memory_order_relaxed);
    bgw_metric_set(BGW_M_BOOK_KEYS, (int64_t)view.keys);
    bgw_metric_set(BGW_M_BOOK_SLOTS, (int64_t)view.slots);
    bgw_metric_set(BGW_M_FETCHES_IN_FLIGHT, (int64_t)view.fetches_in_flight);
    bgw_reserve_refill(view.watched_keys);
    /* The first proof comes soon after ready: a health page should not call us degraded for a second more. */
    h->gauges_due_ms = now.mono_ms + (view.worst_state == BGW_STATE_FRESH ? WAIT_MAX_MS : WAIT_MAX_MS / 10);
}

static void tell_ready(struct bgw_hub_host *h, struct bgw_now now)
{
    tell(h, now);
    bgw_metric_set(BGW_M_READY, 1);
    atomic_store_explicit(&h->told.ready, true, memory_order_release);
    h->config.ready(h->config.arg);
}

static void on_turn_end(void *arg, struct bgw_now now)
{
    struct bgw_hub_host *h = arg;
    bool more = bgw_kafka_source_turn_end(h->source, now);
    int64_t next_ms = bgw_hub_tick(h->hub, now);
    bgw_hub_flush(h->hub);
    if (!atomic_load_explicit(&h->told.ready, memory_order_relaxed) && bgw_hub_ready(h->hub))
        tell_ready(h, now);
    if (now.mono_ms >= h->gauges_due_ms)
        tell(h, now);
    h->wait_ms = more ? 0 : next_ms;
    atomic_store_explicit(&h->told.turned_ms, now.mono_ms, memory_order_relaxed);
}

static int64_t wait_max_ms(void *arg)
{
    const struct bgw_hub_host *h = arg;
    return h->wait_ms < WAIT_MAX_MS ? h->wait_ms : WAIT_MAX_MS;
}

static void *run(void *arg)
{
    struct bgw_hub_host *h = arg;
    pthread_setname_np(pthread_self(), "bgw-hub");
    bgw_metrics_thread_attach();
    bgw_loop_run(h->loop);
    return NULL;
}

/* ---- life ---- */

enum bgw_status bgw_hub_host_create(struct bgw_hub_host **out, const struct bgw_hub_host_config *config)
{
    struct bgw_hub_host *h = calloc(1, sizeof(*h));
    if (!h)
        return BGW_NO_MEMORY;
    h->config = *config;
    atomic_init(&h->told.worst_state, (int)BGW_STATE_UNKNOWN);
    atomic_init(&h->told.turned_ms, bgw_clock_now().mono_ms);
    enum bgw_status status = bgw_loop_create(&h->loop);
    if (status == BGW_OK)
        status = bgw_mailbox_create(&h->commands, h->loop, sizeof(struct bgw_hub_command),
                                    COMMANDS_MAX, on_command, h);
    if (status != BGW_OK) {
        bgw_hub_host_destroy(&h);
        return status;
    }
    *out = h;
    return BGW_OK;
}

struct bgw_mailbox *bgw_hub_host_mailbox(struct bgw_hub_host *h)
{
    return h->commands;
}

static enum bgw_status make_hub(struct bgw_hub_host *h, size_t shard_count)
{
    const struct bgw_hub_config config = {
        .feeds = h->config.feed,
        .feed_count = 1,
        .relays = h->relays,
        .shard_count = shard_count,
        .retry_min_ms = RETRY_MIN_MS,
        .retry_max_ms = RETRY_MAX_MS,
        .reread_ms = REREAD_MS,
        .barrier_batch_ms = BARRIER_BATCH_MS,
        .barrier_max_ms = BARRIER_MAX_MS,
        .sweep_per_s = h->config.config->sweep_per_s,
        .revalidate_per_s = h->config.config->revalidate_per_s,
        .prove_per_s = h->config.config->revalidate_per_s,
    };
    const struct bgw_hub_ops ops = {
        .arg = h,
        .fetch = do_fetch,
        .ask_watermark = do_ask_watermark,
        .rejected = do_rejected,
    };
    enum bgw_status status = bgw_hub_create(&h->hub, &config, &ops);
    if (status == BGW_OK)
        bgw_hub_set_sources(h->hub, bgw_reader_has_source(h->reader));
    return status;
}

static enum bgw_status make_source(struct bgw_hub_host *h, struct bgw_buf *error)
{
    const struct bgw_kafka_source_config config = {
        .config = h->config.config,
        .bootstrap = h->config.bootstrap,
        .broker_is_embedded = h->config.broker_is_embedded,
        .feed = h->config.feed->id,
        .only_source = !bgw_reader_has_source(h->reader),
    };
    enum bgw_status status = bgw_kafka_source_create(&h->source, h->loop, h->hub, &config, error);
    if (status == BGW_OK)
        bgw_metrics_add_hook(bgw_kafka_source_metrics, h->source);
    return status;
}

enum bgw_status bgw_hub_host_connect(struct bgw_hub_host *h, struct bgw_relay *const *relays,
                                     size_t count, struct bgw_buf *error)
{
    BGW_ASSERT(count >= 1 && count <= BGW_SHARDS_MAX && !h->hub);
    memcpy(h->relays, relays, count * sizeof(*relays));
    const struct bgw_reader_config reader = {
        .config = h->config.config,
        .feed = h->config.feed,
        .flags = h->config.flags,
        .hub_loop = h->loop,
        .answer = on_fetched,
        .invalidated = on_invalidated,
        .channel = on_channel,
        .arg = h,
    };
    enum bgw_status status = bgw_reader_create(&h->reader, &reader, error);
    if (status == BGW_OK)
        status = make_hub(h, count);
    if (status == BGW_OK)
        status = make_source(h, error);
    if (status != BGW_OK)
        return status;
    const struct bgw_loop_hooks hooks = {.arg = h, .wait_max_ms = wait_max_ms, .turn_end = on_turn_end};
    bgw_loop_set_hooks(h->loop, &hooks);
    return BGW_OK;
}

enum bgw_status bgw_hub_host_start(struct bgw_hub_host *h)
{
    BGW_ASSERT(h->source && !h->running);
    enum bgw_status status = bgw_reader_start(h->reader);
    if (status != BGW_OK)
        return status;
    h->running = pthread_create(&h->thread, NULL, run, h) == 0;
    return h->running ? BGW_OK : BGW_NO_MEMORY;
}

struct bgw_reader *bgw_hub_host_reader(struct bgw_hub_host *h)
{
    return h->reader;
}

int64_t bgw_hub_host_turned_ms(const struct bgw_hub_host *h)
{
    return atomic_load_explicit(&h->told.turned_ms, memory_order_relaxed);
}

/* Whoever asks has been started after the reader was made, and ends before it goes. */
void bgw_hub_host_look(struct bgw_hub_host *h, struct bgw_sources_view *out)
{
    *out = (struct bgw_sources_view){.redis_memory_bytes = -1};
    if (h->reader)
        bgw_reader_look(h->reader, out);
}

void bgw_hub_host_stream(struct bgw_hub_host *h, struct bgw_hub_stream *out)
{
    int64_t proof_ms = atomic_load_explicit(&h->told.proof_ms, memory_order_relaxed);
    int64_t age_ms = bgw_clock_now().mono_ms - proof_ms;
    out->watched_keys = (uint64_t)atomic_load_explicit(&h->told.watched_keys, memory_order_relaxed);
    out->proof = (enum bgw_slot_state)atomic_load_explicit(&h->told.worst_state, memory_order_relaxed);
    out->proof_age_ms = proof_ms == 0 ? -1 : age_ms > 0 ? age_ms : 0;
    bgw_kafka_source_lags(h->source, &out->lags);
}

uint64_t bgw_hub_host_sequenced(const struct bgw_hub_host *h)
{
    return bgw_hub_sequenced(h->hub);
}

bool bgw_hub_host_ready(const struct bgw_hub_host *h)
{
    return atomic_load_explicit(&h->told.ready, memory_order_acquire);
}

void bgw_hub_host_health(struct bgw_hub_host *h, struct bgw_health *out)
{
    const char *trouble = bgw_kafka_source_trouble(h->source);
    out->ready = bgw_hub_host_ready(h);
    if (out->ready) {
        int worst = atomic_load_explicit(&h->told.worst_state, memory_order_relaxed);
        if (trouble || worst != BGW_STATE_FRESH)
            bgw_health_degrade(out, "kafka");
        return;
    }
    if (trouble)
        snprintf(out->reason, sizeof(out->reason), "%s", trouble);
    else if (atomic_load_explicit(&h->told.partitions, memory_order_relaxed) == 0)
        snprintf(out->reason, sizeof(out->reason), "the topic's partitions are not known yet");
    else
        snprintf(out->reason, sizeof(out->reason), "still reading the topic: %lld records to go",
                 (long long)atomic_load_explicit(&h->told.lag_records, memory_order_relaxed));
}

void bgw_hub_host_stop(struct bgw_hub_host *h)
{
    if (h->running) {
        bgw_loop_stop(h->loop);
        pthread_join(h->thread, NULL);
        h->running = false;
    }
    const struct bgw_loop_hooks none = {0};
    bgw_loop_set_hooks(h->loop, &none);
    bgw_kafka_source_destroy(&h->source);
    bgw_hub_destroy(&h->hub);
    if (h->reader) {
        bgw_reader_stop(h->reader);
        h->config.reader_stopped(h->config.arg);
    }
    bgw_reader_destroy(&h->reader);
}

void bgw_hub_host_destroy(struct bgw_hub_host **host)
{
    struct bgw_hub_host *h = *host;
    if (!h)
        return;
    BGW_ASSERT(!h->hub && !h->source);
    if (h->commands)
        bgw_mailbox_destroy(&h->commands);
    if (h->loop)
        bgw_loop_destroy(&h->loop);
    free(h);
    *host = NULL;
}
