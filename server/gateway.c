/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: builds the parts in the order in which they need each other and stops them in reverse.
 * Main thread; it then waits for signals on a loop of its own. Nothing is announced before the hub
 * has read every partition to the end taken at the start. Stopping: /readyz turns 503, the workers
 * let their clients go, and what the others lean on goes last.
 */
#include "bgw/gateway.h"

#include "gateway_demo.h"
#include "gateway_hub.h"
#include "gateway_process.h"
#include "gateway_ready.h"

#include "bgw/assert.h"
#include "bgw/auth.h"
#include "bgw/demo.h"
#include "bgw/ingest.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/ops.h"
#include "bgw/transport.h"
#include "bgw/version.h"
#include "bgw/worker.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EMBEDDED "embedded"
#define EMBEDDED_PARTITIONS 6
#define TEARDOWN_MS 1000   /* of the drain window: what the Kafka client may take to end */
#define DEMO_DRAIN_MS 1000 /* Ctrl-C of a demo should not take 20 s */
#define ADDRESS_MAX 128

struct bgw_gateway { /* main thread, except the atomics */
    const struct bgw_config *config;
    struct bgw_feed feed;
    struct bgw_auth *auth;
    uint8_t resume_key[32];
    struct bgw_demo_welcome welcome; /* empty outside the demo */
    struct bgw_embedded_broker *broker;
    struct bgw_demo *demo;
    const char *bootstrap;
    int listen_fds[BGW_SHARDS_MAX];
    size_t shard_count, worker_count, started;
    char listen_bound[ADDRESS_MAX];
    struct bgw_worker *workers[BGW_SHARDS_MAX];
    struct bgw_hub_host *hub;
    /* ops thread */
    struct bgw_loop *ops_loop;
    struct bgw_admin *admin;
    pthread_t ops_thread;
    bool ops_running;
    struct bgw_buf admin_bound;
    /* main's own loop */
    struct bgw_loop *loop;
    struct bgw_loop_fd signals;
    struct bgw_timer drain_over;
    pthread_t joiner;
    bool announced, joining;
    int exit_code;
    atomic_bool draining, joined;
};

const char *bgw_version(void)
{
    return BGW_VERSION;
}

static void tell_failure(const struct bgw_buf *error, enum bgw_status status)
{
    if (error->len)
        fprintf(stderr, "bgw: %.*s\n", (int)error->len, error->data);
    else
        fprintf(stderr, "bgw: cannot start: %s\n", bgw_status_text(status));
}

static int exit_of(enum bgw_status status)
{
    switch (status) {
    case BGW_CONFIG:
    case BGW_BAD_VALUE:
    case BGW_MISSING:
        return BGW_EXIT_CONFIG;
    case BGW_UNAVAILABLE:
    case BGW_TIMEOUT:
        return BGW_EXIT_UNREACHABLE;
    default:
        return BGW_EXIT_FAILED;
    }
}

/* ---- parts, in order ---- */

static void init_feed(struct bgw_gateway *g)
{
    const struct bgw_config *c = g->config;
    bgw_feed_balance_init(&g->feed, bgw_slice_str(c->default_tenant),
                          bgw_part_of(bgw_slice_str(c->default_currency)));
    g->feed.fresh_ms = c->fresh_ms;
    g->feed.stale_ms = c->stale_ms;
}

static enum bgw_status check_config(struct bgw_gateway *g, struct bgw_buf *error)
{
    const struct bgw_config *c = g->config;
    if (!*c->kafka_bootstrap) {
        bgw_buf_append_str(error, "KAFKA_BOOTSTRAP is not set: there is no stream to read. Set it to your "
                                  "brokers (host:port[,host:port]), to `embedded` for a broker in this "
                                  "process, or try `bgw serve --demo`");
        return BGW_CONFIG;
    }
    if (!c->demo && strcmp(c->jwt_secret, BGW_DEMO_SECRET) == 0) {
        bgw_buf_append_str(error, "BGW_JWT_SECRET is the demo's key, which everybody knows: it only works "
                                  "with --demo. Set your token issuer's own; `openssl rand -hex 32` makes "
                                  "a new one");
        return BGW_CONFIG;
    }
    return bgw_ready_prepare(c->ready_file, error);
}

static struct bgw_slice token_secret(const struct bgw_config *c)
{
    return bgw_slice_str(c->demo && !*c->jwt_secret ? BGW_DEMO_SECRET : c->jwt_secret);
}

static enum bgw_status make_auth(struct bgw_gateway *g, struct bgw_buf *error)
{
    const struct bgw_config *c = g->config;
    struct bgw_slice secret = token_secret(c);
    const struct bgw_auth_config config = {
        .secret = secret,
        .issuer = c->jwt_issuer,
        .audience = c->jwt_audience,
        .leeway_s = c->jwt_leeway_s,
        .default_tenant = bgw_slice_str(c->default_tenant),
        .feed = &g->feed,
    };
    enum bgw_status status = bgw_auth_create(&g->auth, &config, error);
    if (status != BGW_OK)
        return status;
    bgw_auth_derive(*c->resume_secret ? bgw_slice_str(c->resume_secret) : secret,
                    "balance-gateway resume tokens 1", g->resume_key);
    return BGW_OK;
}

static enum bgw_status make_demo(struct bgw_gateway *g)
{
    if (!g->config->demo)
        return BGW_OK;
    return bgw_demo_welcome_make(&g->welcome, g->config, &g->feed, token_secret(g->config));
}

static enum bgw_status make_broker(struct bgw_gateway *g, struct bgw_buf *error)
{
    const struct bgw_config *c = g->config;
    g->bootstrap = c->kafka_bootstrap;
    if (strcmp(c->kafka_bootstrap, EMBEDDED) != 0)
        return BGW_OK;
    const char *topics[] = {c->topic_balance_updates, c->topic_ledger};
    const int partitions[] = {EMBEDDED_PARTITIONS, EMBEDDED_PARTITIONS};
    enum bgw_status status = bgw_embedded_broker_create(&g->broker, topics, partitions, 2, error);
    if (status == BGW_OK)
        g->bootstrap = bgw_embedded_broker_address(g->broker);
    return status;
}

/* One listener a shard, all on the address that the first one found. */
static enum bgw_status bind_clients(struct bgw_gateway *g, struct bgw_buf *error)
{
    const char *address = g->config->listen;
    enum bgw_status status = bgw_ops_probe("BGW_LISTEN", address, error);
    for (size_t i = 0; status == BGW_OK && i < g->shard_count; i++) {
        char bound[ADDRESS_MAX];
        status = bgw_transport_bind(i ? g->listen_bound : address, &g->listen_fds[i], bound, sizeof(bound));
        if (i == 0)
            memcpy(g->listen_bound, bound, sizeof(bound));
    }
    if (status != BGW_OK && !error->len)
        bgw_buf_appendf(error, "BGW_LISTEN is \"%s\": it cannot be bound (%s)", address,
                        bgw_status_text(status));
    return status;
}

static void tell_health(void *arg, struct bgw_health *out)
{
    struct bgw_gateway *g = arg;
    *out = (struct bgw_health){0};
    bgw_hub_host_health(g->hub, out);
    out->draining = atomic_load_explicit(&g->draining, memory_order_relaxed);
    if (out->draining)
        snprintf(out->reason, sizeof(out->reason), "draining: this gateway is stopping");
}

static void wake_main(void *arg)
{
    struct bgw_gateway *g = arg;
    bgw_loop_wake(g->loop);
}

static enum bgw_status make_hub_host(struct bgw_gateway *g)
{
    const struct bgw_hub_host_config config = {
        .config = g->config,
        .feed = &g->feed,
        .bootstrap = g->bootstrap,
        .broker_is_embedded = g->broker != NULL,
        .ready = wake_main,
        .arg = g,
    };
    return bgw_hub_host_create(&g->hub, &config);
}

static enum bgw_status make_worker(struct bgw_gateway *g, size_t i, struct bgw_buf *error)
{
    struct bgw_worker_config config = {
        .index = (uint8_t)i,
        .config = g->config,
        .feeds = &g->feed,
        .feed_count = 1,
        .auth = g->auth,
        .listen_fd = g->listen_fds[i],
        .hub_commands = bgw_hub_host_mailbox(g->hub),
        .version = bgw_version(),
        .demo_token = g->welcome.page.len ? g->welcome.page.data : NULL,
        .health = tell_health,
        .health_arg = g,
    };
    memcpy(config.resume_key, g->resume_key, sizeof(config.resume_key));
    g->listen_fds[i] = -1; /* the worker's from here on, also if it fails */
    return bgw_worker_create(&g->workers[i], &config, error);
}

static enum bgw_status make_workers_and_hub(struct bgw_gateway *g, struct bgw_buf *error)
{
    struct bgw_relay *relays[BGW_SHARDS_MAX];
    for (; g->worker_count < g->shard_count; g->worker_count++) {
        enum bgw_status status = make_worker(g, g->worker_count, error);
        if (status != BGW_OK)
            return status;
        relays[g->worker_count] = bgw_worker_relay(g->workers[g->worker_count]);
    }
    return bgw_hub_host_connect(g->hub, relays, g->worker_count, error);
}

static enum bgw_status make_admin(struct bgw_gateway *g, struct bgw_buf *error)
{
    struct bgw_admin_config config = {
        .version = bgw_version(),
        .health = tell_health,
        .health_arg = g,
    };
    enum bgw_status status = bgw_ops_listen("BGW_ADMIN_LISTEN", g->config->admin_listen,
                                            &config.listen_fd, &g->admin_bound, error);
    if (status != BGW_OK)
        return status;
    bgw_buf_append_byte(&g->admin_bound, '\0');
    status = bgw_loop_create(&g->ops_loop);
    if (status != BGW_OK) {
        close(config.listen_fd);
        return status;
    }
    return bgw_admin_create(&g->admin, g->ops_loop, &config);
}

static void *run_ops(void *arg)
{
    struct bgw_gateway *g = arg;
    pthread_setname_np(pthread_self(), "bgw-ops");
    bgw_metrics_thread_attach();
    bgw_loop_run(g->ops_loop);
    return NULL;
}

static enum bgw_status start_threads(struct bgw_gateway *g)
{
    enum bgw_status status = bgw_hub_host_start(g->hub);
    for (; status == BGW_OK && g->started < g->worker_count; g->started += status == BGW_OK)
        status = bgw_worker_start(g->workers[g->started]);
    if (status != BGW_OK)
        return status;
    g->ops_running = pthread_create(&g->ops_thread, NULL, run_ops, g) == 0;
    return g->ops_running ? BGW_OK : BGW_NO_MEMORY;
}

/* Demo money never goes to a broker that somebody else may be using. */
static enum bgw_status start_demo(struct bgw_gateway *g, struct bgw_buf *error)
{
    if (!g->config->demo)
        return BGW_OK;
    if (!g->broker) {
        BGW_LOG(BGW_LOG_WARN, "demo_ledger_off", {"reason", LS("the broker is not the embedded one")});
        return BGW_OK;
    }
    return bgw_demo_create(&g->demo, g->config, g->bootstrap, error);
}

/* ---- running ---- */

static void announce(struct bgw_gateway *g)
{
    const struct bgw_ready_facts facts = {
        .listen = g->listen_bound,
        .admin = g->admin_bound.data,
        .kafka = g->bootstrap,
        .demo_token = g->welcome.token.len ? g->welcome.token.data : NULL,
    };
    g->announced = true;
    if (bgw_ready_announce(g->config->ready_file, &facts) != BGW_OK)
        g->exit_code = BGW_EXIT_FAILED; /* goes on serving; said in the log */
}

static void join_workers(struct bgw_gateway *g)
{
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_join(g->workers[i]);
    atomic_store(&g->joined, true);
}

/* Joining blocks, and main has a second signal and the window's end to watch for. */
static void *run_joiner(void *arg)
{
    struct bgw_gateway *g = arg;
    join_workers(g);
    bgw_loop_wake(g->loop);
    return NULL;
}

static void on_drain_over(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_gateway *g = BGW_CONTAINER(timer, struct bgw_gateway, drain_over);
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_stop(g->workers[i]);
}

static void drain(struct bgw_gateway *g)
{
    int64_t window_ms = g->config->drain_s * 1000;
    if (g->config->demo && !bgw_config_given(g->config, "BGW_DRAIN_S"))
        window_ms = DEMO_DRAIN_MS;
    atomic_store_explicit(&g->draining, true, memory_order_relaxed);
    BGW_LOG(BGW_LOG_INFO, "draining", {"window_ms", LI(window_ms)});
    for (size_t i = 0; i < g->started; i++)
        bgw_worker_drain(g->workers[i], window_ms);
    int64_t last_ms = window_ms > 10 * TEARDOWN_MS ? window_ms - TEARDOWN_MS : window_ms / 10 * 9;
    bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->drain_over, bgw_loop_now(g->loop).mono_ms + last_ms);
    g->joining = pthread_create(&g->joiner, NULL, run_joiner, g) == 0;
    if (!g->joining) { /* no memory for a thread: end without the courtesy */
        on_drain_over(&g->drain_over, 0);
        join_workers(g);
    }
}

static void on_signal(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct bgw_gateway *g = BGW_CONTAINER(f, struct bgw_gateway, signals);
    struct signalfd_siginfo info;
    if (read(f->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (atomic_load_explicit(&g->draining, memory_order_relaxed)) {
        BGW_LOG(BGW_LOG_WARN, "stopped_at_once", {"signal", LI(info.ssi_signo)});
        _exit(BGW_EXIT_FAILED);
    }
    drain(g);
}

static void on_turn_end(void *arg, struct bgw_now now)
{
    (void)now;
    struct bgw_gateway *g = arg;
    if (!g->announced && bgw_hub_host_ready(g->hub))
        announce(g);
    if (atomic_load(&g->joined))
        bgw_loop_stop(g->loop);
}

static enum bgw_status make_main_loop(struct bgw_gateway *g)
{
    enum bgw_status status = bgw_loop_create(&g->loop);
    if (status != BGW_OK)
        return status;
    g->signals =
        (struct bgw_loop_fd){.fd = bgw_process_signal_fd(), .events = EPOLLIN, .ready = on_signal};
    bgw_timer_init(&g->drain_over, on_drain_over);
    if (g->signals.fd < 0)
        return BGW_IO;
    const struct bgw_loop_hooks hooks = {.arg = g, .turn_end = on_turn_end};
    bgw_loop_set_hooks(g->loop, &hooks);
    return bgw_loop_attach(g->loop, &g->signals);
}

/* ---- the whole ---- */

static enum bgw_status build(struct bgw_gateway *g, struct bgw_buf *error)
{
    enum bgw_status status = check_config(g, error);
    if (status == BGW_OK)
        status = make_auth(g, error);
    if (status == BGW_OK)
        status = make_demo(g);
    if (status == BGW_OK)
        status = make_main_loop(g);
    if (status == BGW_OK)
        status = bind_clients(g, error);
    if (status == BGW_OK)
        status = make_broker(g, error);
    if (status == BGW_OK)
        status = make_hub_host(g);
    if (status == BGW_OK)
        status = make_workers_and_hub(g, error);
    if (status == BGW_OK)
        status = make_admin(g, error);
    if (status == BGW_OK)
        status = start_threads(g);
    if (status == BGW_OK)
        status = start_demo(g, error);
    return status;
}

static void stop_threads(struct bgw_gateway *g)
{
    for (size_t i = 0; i < g->started && !g->joining; i++)
        bgw_worker_stop(g->workers[i]);
    if (g->joining)
        pthread_join(g->joiner, NULL);
    else if (!atomic_load(&g->joined))
        join_workers(g);
    bgw_demo_destroy(&g->demo);
    if (g->ops_running) {
        bgw_loop_stop(g->ops_loop);
        pthread_join(g->ops_thread, NULL);
    }
    bgw_admin_destroy(&g->admin);
    if (g->ops_loop)
        bgw_loop_destroy(&g->ops_loop);
}

static void tear_down(struct bgw_gateway *g)
{
    stop_threads(g);
    if (g->hub)
        bgw_hub_host_stop(g->hub);
    for (size_t i = 0; i < BGW_SHARDS_MAX; i++) {
        if (g->workers[i])
            bgw_worker_destroy(&g->workers[i]);
        if (g->listen_fds[i] >= 0)
            close(g->listen_fds[i]);
    }
    bgw_hub_host_destroy(&g->hub);
    if (g->broker)
        bgw_embedded_broker_destroy(&g->broker);
    if (g->signals.fd >= 0) {
        bgw_loop_detach(g->loop, &g->signals);
        close(g->signals.fd);
    }
    if (g->loop)
        bgw_loop_destroy(&g->loop);
    bgw_auth_destroy(&g->auth);
    bgw_demo_welcome_deinit(&g->welcome);
    bgw_buf_deinit(&g->admin_bound);
}

int bgw_gateway_run(const struct bgw_config *config)
{
    bgw_process_init(config);
    struct bgw_gateway *g = calloc(1, sizeof(*g));
    BGW_ASSERT(g);
    g->config = config;
    g->signals.fd = -1;
    for (size_t i = 0; i < BGW_SHARDS_MAX; i++)
        g->listen_fds[i] = -1;
    g->shard_count = config->shards > 0 ? (size_t)config->shards : bgw_process_cores();
    bgw_demo_welcome_init(&g->welcome);
    bgw_buf_init(&g->admin_bound, ADDRESS_MAX);
    init_feed(g);
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = build(g, &error);
    if (status == BGW_OK) {
        BGW_LOG(BGW_LOG_INFO, "started", {"listen", LS(g->listen_bound)},
                {"admin", LS(g->admin_bound.data)}, {"kafka", LS(g->bootstrap)},
                {"shards", LI(g->shard_count)}, {"version", LS(bgw_version())});
        bgw_loop_run(g->loop);
    } else {
        tell_failure(&error, status);
        g->exit_code = exit_of(status);
    }
    tear_down(g);
    int code = g->exit_code;
    if (status == BGW_OK)
        BGW_LOG(BGW_LOG_INFO, "stopped", {"exit", LI(code)});
    bgw_buf_deinit(&error);
    free(g);
    return code;
}
