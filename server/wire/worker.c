/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: a shard's thread. Hides the order of a turn: sockets and timers first (the loop), then
 * the hub's news, then one flush, then the library's leftovers. Created, drained and joined by the
 * gateway; everything else runs on the worker's own thread. Invariant: what the hub sequenced
 * before a read is applied before that turn's flush.
 */
#include "bgw/worker.h"

#include "conn.h"
#include "warm.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BARRIER_WAIT_MS 250
#define CLOSE_WAIT_MS 5000
#define LINGER_MS 1000
#define KEY_RETRY_MS 50
#define DESCRIPTORS_SPARE 128u /* of the process: files, Kafka, the other threads */
#define BYES_A_TURN 256u
#define TOKEN_CACHE_BYTES (16u << 20)
#define POSTED_MAX 1024u
#define WARMED_MAX 1024u
#define NO_DRAIN (-1)
#define WAIT_MAX_MS 1000 /* an idle shard still shows the watchdog that it turns */

struct bgw_worker { /* shard thread only, from start to the thread's end; atomics: any thread */
    struct bgw_worker_config config;
    struct bgw_loop *loop;
    struct bgw_relay *relay;
    struct bgw_transport *transport;
    struct bgw_shard *shard;
    struct bgw_conn_host host;
    struct bgw_mailbox *posted; /* struct bgw_posted */
    struct bgw_mailbox *warmed; /* struct bgw_slot_name */
    struct bgw_warm warm;
    char server_name[64];
    struct bgw_policy *policy;
    uint64_t revocations_seen; /* the generation that its sessions were looked through for */
    int64_t tick_due_ms;
    int64_t drain_window_ms; /* NO_DRAIN: not asked yet */
    bool byes_left;
    pthread_t thread;
    bool started;
    _Atomic int64_t drain_asked_ms;
    atomic_bool stop_asked;
    atomic_size_t connections;
    _Atomic int64_t turned_ms;
    _Atomic(struct bgw_policy *) next_policy; /* a reference; the turn's end takes it */
};

/* ---- the turn ---- */

static void wake(void *arg)
{
    struct bgw_worker *w = arg;
    bgw_loop_wake(w->loop);
}

static bool post(void *arg, const struct bgw_hub_command *c)
{
    struct bgw_worker *w = arg;
    return bgw_mailbox_post(w->config.hub_commands, c) == BGW_OK;
}

static void observe_handoff(const struct bgw_relay_batch *batch)
{
    int64_t now_ns = bgw_clock_mono_ns();
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->entries[i].ingest_ns > 0)
            bgw_metric_observe_us(BGW_M_HANDOFF, (now_ns - batch->entries[i].ingest_ns) / 1000);
    }
}

static void take_news(struct bgw_worker *w, struct bgw_now now)
{
    struct bgw_relay_batch batch;
    if (!bgw_relay_take(w->relay, &batch))
        return;
    observe_handoff(&batch);
    bgw_shard_on_batch(w->shard, &batch, now);
    bgw_relay_done(w->relay, &batch);
}

static void drain_turn(struct bgw_worker *w, int64_t now_ms)
{
    int64_t asked_ms = atomic_load_explicit(&w->drain_asked_ms, memory_order_acquire);
    if (asked_ms != NO_DRAIN && w->drain_window_ms == NO_DRAIN) {
        w->drain_window_ms = asked_ms;
        w->byes_left = true;
        bgw_conn_host_drain(&w->host);
        BGW_LOG(BGW_LOG_INFO, "shard_draining", {"shard", LI(w->config.index)},
                {"sessions", LI(bgw_shard_session_count(w->shard))}, {"window_ms", LI(asked_ms)});
    }
    if (w->byes_left && now_ms >= w->host.byes_due_ms)
        w->byes_left = bgw_conn_host_say_bye(&w->host, BYES_A_TURN, w->drain_window_ms);
}

static struct bgw_transport_limits transport_limits(const struct bgw_policy *p)
{
    return (struct bgw_transport_limits){
        .handshakes_per_s = p->handshakes_per_s,
        .storm_spread_s = p->storm_spread_s,
        .tls_ms = p->tls_ms,
        .per_address_max = p->per_address_max,
        .trusted_proxies = p->trusted_proxies,
        .proxy_protocol = p->proxy_protocol,
    };
}

static struct bgw_shard_limits shard_limits(const struct bgw_policy *p)
{
    return (struct bgw_shard_limits){
        .ping_ms = p->ping_ms,
        .pong_wait_ms = p->pong_wait_ms,
        .stall_ms = p->stall_ms,
        .auth_wait_ms = p->auth_ms,
        .keys_per_session_max = p->keys_max,
        .commands_per_s = p->commands_per_s,
        .heartbeat_ms = p->heartbeat_ms,
        .silence_ms = p->client_timeout_ms,
        .greeting_ms = p->greeting_ms,
        .read_keep_ms = p->read_keep_ms,
        .reads_kept_max = p->reads_kept_max,
    };
}

/* The old one goes only after everybody has the new one: lists are borrowed from it. */
static void take_policy(struct bgw_worker *w)
{
    if (!atomic_load_explicit(&w->next_policy, memory_order_relaxed))
        return;
    /* acquire: what its maker wrote */
    struct bgw_policy *p = atomic_exchange_explicit(&w->next_policy, NULL, memory_order_acq_rel);
    if (!p)
        return;
    const struct bgw_transport_limits transport = transport_limits(p);
    const struct bgw_shard_limits shard = shard_limits(p);
    bgw_transport_set_limits(w->transport, &transport);
    bgw_shard_set_limits(w->shard, &shard);
    w->host.policy = p;
    bgw_policy_release(w->policy);
    w->policy = p;
}

static void take_revocations(struct bgw_worker *w, struct bgw_now now)
{
    if (!w->config.revocations)
        return;
    uint64_t generation = bgw_revocations_generation(w->config.revocations);
    if (generation == w->revocations_seen)
        return;
    w->revocations_seen = generation; /* before the walk: what is added meanwhile is looked for again */
    bgw_shard_apply_revocations(w->shard, now);
}

static void turn_end(void *arg, struct bgw_now now)
{
    struct bgw_worker *w = arg;
    bgw_shard_set_now(w->shard, now);
    take_policy(w);
    take_revocations(w, now);
    take_news(w, now);
    drain_turn(w, now.mono_ms);
    bgw_shard_flush(w->shard, now);
    w->host.answered = false; /* what the tick answers has another turn */
    bgw_conn_host_turn_end(&w->host);
    int64_t wait_ms = bgw_shard_tick(w->shard, now);
    if (wait_ms <=
        0) { /* deadlines have made news: said now, not after another look at the sockets */
        bgw_shard_flush(w->shard, now);
        wait_ms = bgw_shard_tick(w->shard, now);
    }
    w->tick_due_ms = now.mono_ms + wait_ms;
    atomic_store_explicit(&w->turned_ms, now.mono_ms, memory_order_relaxed);
    bgw_transport_turn_end(w->transport);
    size_t count = bgw_transport_count(w->transport);
    atomic_store_explicit(&w->connections, count, memory_order_relaxed);
    bool drained = w->drain_window_ms != NO_DRAIN && !w->byes_left && count == 0;
    if (drained || atomic_load_explicit(&w->stop_asked, memory_order_acquire))
        bgw_loop_stop(w->loop);
}

static int64_t wait_max_ms(void *arg)
{
    struct bgw_worker *w = arg;
    int64_t wait_ms = bgw_transport_wait_max_ms(w->transport);
    int64_t due_ms = w->byes_left && w->host.byes_due_ms < w->tick_due_ms ? w->host.byes_due_ms : w->tick_due_ms;
    int64_t tick_ms = due_ms - bgw_clock_now().mono_ms;
    if (w->host.answered || tick_ms < 0)
        tick_ms = 0;
    if (wait_ms > WAIT_MAX_MS)
        wait_ms = WAIT_MAX_MS;
    return tick_ms < wait_ms ? tick_ms : wait_ms;
}

/* ---- making ---- */

static size_t sockets_max(const struct bgw_worker_config *c)
{
    int64_t shards = c->config->shards > 0 ? c->config->shards : sysconf(_SC_NPROCESSORS_ONLN);
    struct rlimit limit;
    if (c->sockets_max)
        return c->sockets_max;
    if (shards < 1)
        shards = 1;
    if (c->config->connections_max > 0)
        return (size_t)((c->config->connections_max + shards - 1) / shards);
    /* The kernel spreads connections unevenly: each shard may use the whole table, the descriptors
     * themselves are the limit. */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur <= 2 * DESCRIPTORS_SPARE)
        return DESCRIPTORS_SPARE;
    return (size_t)limit.rlim_cur - DESCRIPTORS_SPARE;
}

static uint64_t sequenced(void *arg)
{
    const struct bgw_worker *w = arg;
    return w->config.sequenced(w->config.sequenced_arg);
}

static void want_news(void *arg, uint64_t hub_seq)
{
    struct bgw_worker *w = arg;
    bgw_relay_want_seal(w->relay, hub_seq);
}

static void read_done(void *arg, void *user, const struct bgw_read_answer *answer)
{
    struct bgw_worker *w = arg;
    if (!bgw_warm_done(&w->warm, user))
        bgw_conn_read_done(w, user, answer);
}

/* One for which there is no room now is not read: it was asked for on a guess. */
static void on_warm(void *arg, const void *item)
{
    struct bgw_worker *w = arg;
    (void)bgw_warm_ask(&w->warm, item, bgw_loop_now(w->loop));
}

static enum bgw_status make_shard(struct bgw_worker *w, size_t sessions_max)
{
    const struct bgw_config *c = w->config.config;
    struct bgw_shard_config config = {
        .shard = w->config.index,
        .feeds = w->config.feeds,
        .feed_count = w->config.feed_count,
        .limits = shard_limits(w->policy),
        .mark_ms = c->mark_s * 1000,
        .flush_window_max_ms = c->flush_max_ms,
        .barrier_wait_ms = BARRIER_WAIT_MS,
        .sessions_max = sessions_max,
        .reads_max = (size_t)c->reads_max,
        .flush_bytes_max = (size_t)c->flush_bytes_max,
        .control_bytes_max = (size_t)c->control_bytes_max,
        .revocations = w->config.revocations,
        .mac = bgw_auth_mac,
        .server_name = bgw_slice_str(w->server_name),
    };
    const struct bgw_shard_ops ops = {.arg = w,
                                      .post = post,
                                      .send = bgw_conn_send,
                                      .hang_up = bgw_conn_hang_up,
                                      .sequenced = w->config.sequenced ? sequenced : NULL,
                                      .want_news = want_news,
                                      .read_done = read_done,
                                      .seen = w->config.audit ? bgw_conn_seen : NULL};
    bgw_auth_random((uint8_t *)&config.conn_seed, sizeof(config.conn_seed));
    memcpy(config.resume_key, w->config.resume_key, sizeof(config.resume_key));
    return bgw_shard_create(&w->shard, &config, &ops, bgw_clock_now());
}

/* What other shards reach: bodies that were posted to them for a stream of this one. */
static enum bgw_status make_shared(struct bgw_worker *w)
{
    const struct bgw_config *c = w->config.config;
    if (c->token_cache > 0 &&
        bgw_token_cache_create(&w->host.native.tokens, w->config.auth, (size_t)c->token_cache, TOKEN_CACHE_BYTES) != BGW_OK)
        return BGW_NO_MEMORY;
    w->warm = (struct bgw_warm){.shard = w->shard, .feed = &w->config.feeds[0]};
    enum bgw_status status =
        bgw_mailbox_create(&w->warmed, w->loop, sizeof(struct bgw_slot_name), WARMED_MAX, on_warm, w);
    if (status != BGW_OK || !w->config.attachments)
        return status;
    status = bgw_mailbox_create(&w->posted, w->loop, sizeof(struct bgw_posted), POSTED_MAX, bgw_conn_host_posted, &w->host);
    if (status == BGW_OK)
        bgw_attachments_set_mailbox(w->config.attachments, w->config.index, w->posted);
    return status;
}

static enum bgw_status make_host(struct bgw_worker *w, size_t conns_max)
{
    const struct bgw_config *c = w->config.config;
    struct bgw_conn_host *h = &w->host;
    bgw_conn_host_init(h, conns_max);
    h->loop = w->loop;
    h->api = (struct bgw_api){.config = c,
                              .version = w->config.version,
                              .demo_token = w->config.demo_token,
                              .health = w->config.health,
                              .health_arg = w->config.health_arg,
                              .flags = w->config.flags,
                              .sources = w->config.sources,
                              .sources_arg = w->config.sources_arg};
    h->native = (struct bgw_native){.shard = w->shard,
                                    .auth = w->config.auth,
                                    .feeds = w->config.feeds,
                                    .feed_count = w->config.feed_count,
                                    .scratch = bgw_native_scratch_create()};
    h->estate = (struct bgw_estate){
        .shard = w->shard, .feed = &w->config.feeds[0], .scratch = bgw_estate_scratch_create()};
    h->attachments = w->config.attachments;
    h->index = w->config.index;
    h->signalr_sse = c->signalr_sse;
    memcpy(h->connection_key, w->config.connection_key, sizeof(h->connection_key));
    h->policy = w->policy;
    h->quota = w->config.quota;
    h->audit = w->config.audit;
    h->ops = w->config.ops;
    h->close_ms = CLOSE_WAIT_MS;
    h->key_retry_ms = KEY_RETRY_MS;
    h->sessions_max = conns_max;
    if (!h->native.scratch || !h->estate.scratch)
        return BGW_NO_MEMORY;
    return make_shared(w);
}

/* Takes the listener in any case. */
static enum bgw_status make_transport(struct bgw_worker *w, size_t conns_max)
{
    const struct bgw_config *c = w->config.config;
    const struct bgw_transport_config config = {
        .limits = transport_limits(w->policy),
        .tls = w->config.tls,
        .quota = w->config.quota,
        .tcp_user_timeout_ms = (int)c->tcp_user_timeout_ms,
        .tcp_notsent_lowat = (int)c->tcp_notsent_lowat,
        .listen_fd = w->config.listen_fd,
        .sockets_max = conns_max,
        .so_sndbuf = (int)c->so_sndbuf,
        .stall_ms = c->stall_s * 1000 + CLOSE_WAIT_MS, /* after the session's own, which says bye */
        .linger_ms = LINGER_MS,
    };
    const struct bgw_transport_ops ops = {.arg = &w->host,
                                          .opened = bgw_conn_opened,
                                          .received = bgw_conn_received,
                                          .writable = bgw_conn_writable,
                                          .closed = bgw_conn_closed};
    w->config.listen_fd = -1;
    return bgw_transport_create(&w->transport, w->loop, &config, &ops);
}

static enum bgw_status make_parts(struct bgw_worker *w)
{
    size_t conns_max = sockets_max(&w->config);
    snprintf(w->server_name, sizeof(w->server_name), "bgw/%s",
             w->config.version ? w->config.version : "dev");
    enum bgw_status status = bgw_loop_create(&w->loop);
    if (status != BGW_OK)
        return status;
    w->relay = bgw_relay_create(wake, w);
    if (!w->relay)
        return BGW_NO_MEMORY;
    status = make_shard(w, conns_max);
    if (status == BGW_OK)
        status = make_host(w, conns_max);
    if (status == BGW_OK)
        status = make_transport(w, conns_max);
    if (status == BGW_OK) {
        const struct bgw_loop_hooks hooks = {
            .arg = w, .wait_max_ms = wait_max_ms, .turn_end = turn_end};
        bgw_loop_set_hooks(w->loop, &hooks);
    }
    return status;
}

enum bgw_status bgw_worker_create(struct bgw_worker **out, const struct bgw_worker_config *config,
                                  struct bgw_buf *error)
{
    struct bgw_worker *w = calloc(1, sizeof(*w));
    *out = NULL;
    if (!w) {
        if (config->listen_fd >= 0)
            close(config->listen_fd);
        return BGW_NO_MEMORY;
    }
    w->config = *config;
    w->policy = bgw_policy_acquire(config->policy);
    w->drain_window_ms = NO_DRAIN;
    atomic_init(&w->drain_asked_ms, NO_DRAIN);
    atomic_init(&w->turned_ms, bgw_clock_now().mono_ms);
    enum bgw_status status = make_parts(w);
    if (status != BGW_OK) {
        if (error && !error->len)
            bgw_buf_appendf(error, "shard %u cannot be made: %s", (unsigned)config->index,
                            bgw_status_text(status));
        bgw_worker_destroy(&w);
        return status;
    }
    *out = w;
    return BGW_OK;
}

struct bgw_relay *bgw_worker_relay(struct bgw_worker *w)
{
    return w->relay;
}

/* ---- running and ending ---- */

/* Sockets first: `closed` ends their sessions, so that the shard is left empty. */
static void take_apart(struct bgw_worker *w)
{
    if (w->posted) {
        bgw_attachments_set_mailbox(w->config.attachments, w->config.index, NULL);
        bgw_mailbox_destroy(&w->posted);
    }
    if (w->warmed)
        bgw_mailbox_destroy(&w->warmed);
    if (w->shard)
        bgw_warm_cancel(&w->warm);
    if (w->transport)
        bgw_transport_destroy(&w->transport);
    atomic_store_explicit(&w->connections, 0, memory_order_relaxed);
    if (w->host.loop)
        bgw_conn_host_deinit(&w->host);
    w->host.loop = NULL;
    bgw_native_scratch_destroy(&w->host.native.scratch);
    bgw_estate_scratch_destroy(&w->host.estate.scratch);
    bgw_token_cache_destroy(&w->host.native.tokens);
    if (w->shard)
        bgw_shard_destroy(&w->shard);
}

static void *run(void *arg)
{
    struct bgw_worker *w = arg;
    char name[16];
    snprintf(name, sizeof(name), "bgw-shard-%u", (unsigned)w->config.index);
    pthread_setname_np(pthread_self(), name);
    bgw_metrics_thread_attach();
    bgw_loop_run(w->loop);
    take_apart(w);
    return NULL;
}

enum bgw_status bgw_worker_start(struct bgw_worker *w)
{
    BGW_ASSERT(!w->started);
    if (pthread_create(&w->thread, NULL, run, w) != 0)
        return BGW_NO_MEMORY;
    w->started = true;
    return BGW_OK;
}

void bgw_worker_drain(struct bgw_worker *w, int64_t window_ms)
{
    /* release: whoever sees the window also sees what the caller did before, such as /readyz saying
     * 503 */
    atomic_store_explicit(&w->drain_asked_ms, window_ms < 0 ? 0 : window_ms, memory_order_release);
    bgw_loop_wake(w->loop);
}

void bgw_worker_set_policy(struct bgw_worker *w, struct bgw_policy *policy)
{
    bgw_policy_acquire(policy);
    /* one that the worker has not taken yet is replaced: the latest counts */
    bgw_policy_release(atomic_exchange_explicit(&w->next_policy, policy, memory_order_acq_rel));
    bgw_loop_wake(w->loop);
}

bool bgw_worker_warm(struct bgw_worker *w, const struct bgw_slot_name *name)
{
    return bgw_mailbox_post(w->warmed, name) == BGW_OK;
}

void bgw_worker_revocations_changed(struct bgw_worker *w)
{
    bgw_loop_wake(w->loop);
}

int64_t bgw_worker_turned_ms(const struct bgw_worker *w)
{
    return atomic_load_explicit(&w->turned_ms, memory_order_relaxed);
}

void bgw_worker_stop(struct bgw_worker *w)
{
    atomic_store_explicit(&w->stop_asked, true, memory_order_release);
    bgw_loop_wake(w->loop);
}

void bgw_worker_join(struct bgw_worker *w)
{
    if (!w->started)
        return;
    pthread_join(w->thread, NULL);
    w->started = false;
}

void bgw_worker_destroy(struct bgw_worker **worker)
{
    struct bgw_worker *w = *worker;
    *worker = NULL;
    if (!w)
        return;
    BGW_ASSERT(!w->started);
    take_apart(w);
    if (w->config.listen_fd >= 0)
        close(w->config.listen_fd);
    if (w->relay)
        bgw_relay_destroy(&w->relay);
    if (w->loop)
        bgw_loop_destroy(&w->loop);
    bgw_policy_release(atomic_load(&w->next_policy));
    bgw_policy_release(w->policy);
    free(w);
}

size_t bgw_worker_connections(const struct bgw_worker *w)
{
    return atomic_load_explicit(&w->connections, memory_order_relaxed);
}
