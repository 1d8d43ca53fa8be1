/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway: builds the parts in the order in which they need each other and stops them in reverse.
 * Main thread. Hides who leans on whom: what the others lean on is made first and goes last. What
 * happens in between is gateway_run.c.
 */
#include "gateway_private.h"

#include "gateway_process.h"
#include "gateway_ready.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/ops.h"
#include "bgw/transport.h"
#include "bgw/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define EMBEDDED "embedded"
#define EMBEDDED_PARTITIONS 6
#define KAFKA_END_MS 3000
#define ATTACHMENTS_MAX 4000000u

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
    if (*c->ledger_internal && *c->origin_pg) {
        bgw_buf_append_str(error, "LEDGER_INTERNAL and BGW_ORIGIN_PG are both set: the balance has one origin, name one of them");
        return BGW_CONFIG;
    }
    enum bgw_status status = bgw_flags_parse(&g->flags, c->flags, error);
    return status == BGW_OK ? bgw_ready_prepare(c->ready_file, error) : status;
}

static struct bgw_slice token_secret(const struct bgw_config *c)
{
    return bgw_slice_str(c->demo && !*c->jwt_secret ? BGW_DEMO_SECRET : c->jwt_secret);
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
    const char *topics[] = {c->topic_balance_updates, c->topic_ledger, c->topic_revocations};
    const int partitions[] = {EMBEDDED_PARTITIONS, EMBEDDED_PARTITIONS, 1};
    enum bgw_status status = bgw_embedded_broker_create(&g->broker, topics, partitions, 3, error);
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
        char bound[BGW_ADDRESS_MAX];
        status = bgw_transport_bind(i ? g->listen_bound : address, &g->listen_fds[i], bound, sizeof(bound));
        if (i == 0)
            memcpy(g->listen_bound, bound, sizeof(bound));
    }
    if (status != BGW_OK && !error->len)
        bgw_buf_appendf(error, "BGW_LISTEN is \"%s\": it cannot be bound (%s)", address,
                        bgw_status_text(status));
    return status;
}

static bool warm(void *arg, const struct bgw_slot_name *name)
{
    struct bgw_gateway *g = arg;
    return bgw_warmup_add(g->warmup, name);
}

static void reader_stopped(void *arg)
{
    struct bgw_gateway *g = arg;
    bgw_door_stop_watching(&g->door);
}

static enum bgw_status make_hub_host(struct bgw_gateway *g)
{
    const struct bgw_hub_host_config config = {
        .config = g->config,
        .feed = &g->feed,
        .bootstrap = g->bootstrap,
        .broker_is_embedded = g->broker != NULL,
        .flags = &g->flags,
        .ready = bgw_gateway_wake,
        .reader_stopped = reader_stopped,
        .arg = g,
    };
    return bgw_hub_host_create(&g->hub, &config);
}

/* Any thread: shards stop before the hub does. */
static uint64_t sequenced(void *hub)
{
    return bgw_hub_host_sequenced(hub);
}

static enum bgw_status make_ops_view(struct bgw_gateway *g)
{
    char instance[BGW_INSTANCE_MAX];
    bgw_look_instance(g, instance);
    const struct bgw_ops_view_config config = {
        .version = bgw_version(),
        .instance = instance,
        .shards = g->shard_count,
        .flags = &g->flags,
        .look = bgw_look_at_gateway,
        .arg = g,
        .now = bgw_clock_now(),
    };
    return bgw_ops_view_create(&g->ops_view, &config);
}

static enum bgw_status make_worker(struct bgw_gateway *g, size_t i, struct bgw_buf *error)
{
    struct bgw_worker_config config = {
        .index = (uint8_t)i,
        .config = g->config,
        .feeds = &g->feed,
        .feed_count = 1,
        .auth = g->door.auth,
        .policy = g->door.policy,
        .tls = g->door.tls,
        .quota = g->door.quota,
        .revocations = g->door.revocations,
        .audit = g->door.audit,
        .listen_fd = g->listen_fds[i],
        .hub_commands = bgw_hub_host_mailbox(g->hub),
        .attachments = g->attachments,
        .sequenced = sequenced,
        .sequenced_arg = g->hub,
        .flags = &g->flags,
        .ops = g->ops_view,
        .sources = bgw_look_at_sources,
        .sources_arg = g,
        .version = bgw_version(),
        .demo_token = g->welcome.page.len ? g->welcome.page.data : NULL,
        .health = bgw_look_at_health,
        .health_arg = g,
    };
    memcpy(config.resume_key, g->door.resume_key, sizeof(config.resume_key));
    bgw_auth_derive(bgw_slice_of((const char *)g->door.resume_key, sizeof(g->door.resume_key)),
                    "balance-gateway connection tokens 1", config.connection_key);
    g->listen_fds[i] = -1; /* the worker's from here on, also if it fails */
    return bgw_worker_create(&g->workers[i], &config, error);
}

static enum bgw_status make_workers_and_hub(struct bgw_gateway *g, struct bgw_buf *error)
{
    struct bgw_relay *relays[BGW_SHARDS_MAX];
    if (bgw_attachments_create(&g->attachments, ATTACHMENTS_MAX) != BGW_OK || make_ops_view(g) != BGW_OK)
        return BGW_NO_MEMORY;
    for (; g->worker_count < g->shard_count; g->worker_count++) {
        enum bgw_status status = make_worker(g, g->worker_count, error);
        if (status != BGW_OK)
            return status;
        relays[g->worker_count] = bgw_worker_relay(g->workers[g->worker_count]);
    }
    enum bgw_status status = bgw_hub_host_connect(g->hub, relays, g->worker_count, error);
    if (status != BGW_OK)
        return status;
    g->door.keys_loaded = bgw_gateway_wake;
    g->door.arg = g;
    return bgw_door_watch_keys(&g->door, g->config, bgw_reader_loop(bgw_hub_host_reader(g->hub)), error);
}

static enum bgw_status make_ops(struct bgw_gateway *g, struct bgw_buf *error)
{
    const struct bgw_ops_host_config config = {
        .config = g->config,
        .door = &g->door,
        .bootstrap = g->bootstrap,
        .version = bgw_version(),
        .broker_is_embedded = g->broker != NULL,
        .workers = g->workers,
        .worker_count = g->worker_count,
        .flags = &g->flags,
        .view = g->ops_view,
        .feed = &g->feed,
        .warm = warm,
        .health = bgw_look_at_health,
        .ready = bgw_gateway_wake,
        .arg = g,
    };
    return bgw_ops_host_create(&g->ops, &config, error);
}

static enum bgw_status start_threads(struct bgw_gateway *g)
{
    enum bgw_status status = bgw_hub_host_start(g->hub);
    for (; status == BGW_OK && g->started < g->worker_count; g->started += status == BGW_OK)
        status = bgw_worker_start(g->workers[g->started]);
    if (status != BGW_OK)
        return status;
    return bgw_ops_host_start(g->ops);
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

/* ---- the whole ---- */

static enum bgw_status build(struct bgw_gateway *g, struct bgw_buf *error)
{
    enum bgw_status status = check_config(g, error);
    if (status == BGW_OK)
        status = bgw_door_create(&g->door, g->config, &g->feed, token_secret(g->config), error);
    if (status == BGW_OK)
        status = make_demo(g);
    if (status == BGW_OK)
        status = bgw_gateway_make_loop(g);
    if (status == BGW_OK)
        status = bind_clients(g, error);
    if (status == BGW_OK)
        status = make_broker(g, error);
    if (status == BGW_OK)
        status = make_hub_host(g);
    if (status == BGW_OK)
        status = make_workers_and_hub(g, error);
    if (status == BGW_OK)
        status = bgw_warmup_create(&g->warmup, g->loop, g->config, &g->feed, error);
    if (status == BGW_OK)
        status = make_ops(g, error);
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
        bgw_gateway_join_workers(g);
    bgw_demo_destroy(&g->demo);
    bgw_ops_host_destroy(&g->ops);
    bgw_warmup_destroy(&g->warmup);
}

static void tear_down(struct bgw_gateway *g)
{
    bgw_kafka_end_together();
    stop_threads(g);
    if (g->hub)
        bgw_hub_host_stop(g->hub);
    for (size_t i = 0; i < BGW_SHARDS_MAX; i++) {
        if (g->workers[i])
            bgw_worker_destroy(&g->workers[i]);
        if (g->listen_fds[i] >= 0)
            close(g->listen_fds[i]);
    }
    bgw_attachments_destroy(&g->attachments);
    bgw_ops_view_destroy(&g->ops_view);
    bgw_hub_host_destroy(&g->hub);
    if (g->broker)
        bgw_embedded_broker_destroy(&g->broker);
    (void)bgw_kafka_ended(KAFKA_END_MS);
    if (g->signals.fd >= 0) {
        bgw_loop_detach(g->loop, &g->signals);
        close(g->signals.fd);
    }
    if (g->loop)
        bgw_loop_destroy(&g->loop);
    bgw_door_destroy(&g->door);
    bgw_reload_deinit(&g->reload);
    bgw_notify_close(&g->notify);
    bgw_demo_welcome_deinit(&g->welcome);
}

int bgw_gateway_run(const struct bgw_config *config, const struct bgw_gateway_args *args)
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
    bgw_notify_open(&g->notify);
    init_feed(g);
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = build(g, &error);
    if (status == BGW_OK) {
        BGW_LOG(BGW_LOG_INFO, "started", {"listen", LS(g->listen_bound)},
                {"admin", LS(bgw_ops_host_bound(g->ops))}, {"kafka", LS(g->bootstrap)},
                {"shards", LI(g->shard_count)}, {"version", LS(bgw_version())});
        bgw_gateway_start_life(g, args);
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
