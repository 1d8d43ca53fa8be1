/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_ops: hides the operators' thread: its loop, the admin port on it, and how a revocation
 * travels from an operator or the topic to every shard. Created, started and ended by the gateway on
 * the main thread. Invariant: what is known against a token acts here before it is recorded anywhere.
 */
#include "gateway_ops.h"

#include "bgw/assert.h"
#include "bgw/ingest.h"
#include "bgw/metrics.h"
#include "bgw/ops.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ADDRESS_MAX 128

struct bgw_ops_host { /* ops thread while it runs, else main */
    struct bgw_ops_host_config config;
    struct bgw_loop *loop;
    struct bgw_admin *admin;
    struct bgw_revoke_host *revoke;
    struct bgw_kafka_log *log;
    struct bgw_buf bound;
    struct bgw_timer collect;
    pthread_t thread;
    bool running;
};

/* ---- revocations ---- */

static void wake_shards(void *arg)
{
    const struct bgw_ops_host *h = arg;
    for (size_t i = 0; i < h->config.worker_count; i++)
        bgw_worker_revocations_changed(h->config.workers[i]);
}

static void on_record(void *arg, const struct bgw_kafka_log_record *r)
{
    struct bgw_ops_host *h = arg;
    const struct bgw_revoke_record record = {
        .partition = r->partition,
        .offset = r->offset,
        .timestamp_ms = r->timestamp_ms,
        .key = r->key,
        .value = r->value,
    };
    bgw_revoke_on_record(h->revoke, &record);
}

static void on_caught_up(void *arg)
{
    struct bgw_ops_host *h = arg;
    h->config.ready(h->config.arg);
}

static bool append(void *log, struct bgw_slice key, struct bgw_slice value,
                   void (*done)(void *arg, enum bgw_status status), void *arg)
{
    return bgw_kafka_log_append(log, key, value, done, arg);
}

static enum bgw_status make_revoke(struct bgw_ops_host *h)
{
    const struct bgw_revoke_config config = {
        .loop = h->loop,
        .revocations = h->config.door->revocations,
        .keep_s = h->config.config->revocation_keep_s,
        .changed = wake_shards,
        .arg = h,
    };
    return bgw_revoke_create(&h->revoke, &config);
}

static enum bgw_status make_log(struct bgw_ops_host *h, struct bgw_buf *error)
{
    const struct bgw_kafka_log_config config = {
        .config = h->config.config,
        .bootstrap = h->config.bootstrap,
        .topic = h->config.config->topic_revocations,
        .broker_is_embedded = h->config.broker_is_embedded,
        .record = on_record,
        .caught_up = on_caught_up,
        .arg = h,
    };
    return bgw_kafka_log_create(&h->log, h->loop, &config, error);
}

/* ---- the admin port ---- */

static void on_admin_call(void *arg, const char *path, int status)
{
    const struct bgw_ops_host *h = arg;
    struct bgw_audit_event e = {
        .kind = BGW_AUDIT_ADMIN, .has_key = true, .wall_ms = bgw_clock_now().wall_ms};
    snprintf(e.key, sizeof(e.key), "%s", path);
    snprintf(e.code, sizeof(e.code), "%d", status);
    bgw_audit_put(h->config.door->audit, &e);
}

static enum bgw_status make_admin(struct bgw_ops_host *h, struct bgw_buf *error)
{
    struct bgw_admin_config config = {
        .version = h->config.version,
        .health = h->config.health,
        .health_arg = h->config.arg,
        .flags = h->config.flags,
        .feed = h->config.feed,
        .warm = h->config.warm,
        .warm_arg = h->config.arg,
        .revoke = bgw_revoke_request,
        .revoke_arg = h->revoke,
        .audited = on_admin_call,
        .audited_arg = h,
        .tls = h->config.config->admin_tls ? h->config.door->tls : NULL,
    };
    enum bgw_status status = bgw_ops_listen("BGW_ADMIN_LISTEN", h->config.config->admin_listen, &config.listen_fd,
                                            &h->bound, error);
    if (status != BGW_OK)
        return status;
    bgw_buf_append_byte(&h->bound, '\0');
    return bgw_admin_create(&h->admin, h->loop, &config);
}

/* ---- how the gateway is doing ---- */

/* On its beat; one that was missed is not made up for. */
static void on_collect(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_ops_host *h = BGW_CONTAINER(timer, struct bgw_ops_host, collect);
    int64_t due_ms = timer->due_ms + BGW_OPS_EVERY_MS;
    bgw_ops_view_collect(h->config.view, bgw_clock_now());
    bgw_wheel_arm(bgw_loop_wheel(h->loop), timer, due_ms > now_ms ? due_ms : now_ms + BGW_OPS_EVERY_MS);
}

/* The first one is there before anybody can ask. */
static void start_collecting(struct bgw_ops_host *h)
{
    bgw_ops_view_collect(h->config.view, bgw_clock_now());
    bgw_wheel_arm(bgw_loop_wheel(h->loop), &h->collect, bgw_clock_now().mono_ms + BGW_OPS_EVERY_MS);
}

enum bgw_status bgw_ops_host_create(struct bgw_ops_host **out, const struct bgw_ops_host_config *config,
                                    struct bgw_buf *error)
{
    struct bgw_ops_host *h = calloc(1, sizeof(*h));
    if (!h)
        return BGW_NO_MEMORY;
    *out = h; /* also on failure: the gateway destroys what there is */
    h->config = *config;
    bgw_buf_init(&h->bound, ADDRESS_MAX);
    bgw_timer_init(&h->collect, on_collect);
    enum bgw_status status = bgw_loop_create(&h->loop);
    if (status == BGW_OK)
        status = make_revoke(h);
    if (status == BGW_OK)
        status = make_admin(h, error);
    if (status == BGW_OK)
        status = make_log(h, error);
    if (status != BGW_OK)
        return status;
    bgw_revoke_connect(h->revoke, h->admin, append, h->log);
    start_collecting(h);
    return BGW_OK;
}

const char *bgw_ops_host_bound(const struct bgw_ops_host *h)
{
    return h->bound.data;
}

static void *run(void *arg)
{
    struct bgw_ops_host *h = arg;
    pthread_setname_np(pthread_self(), "bgw-ops");
    bgw_metrics_thread_attach();
    bgw_loop_run(h->loop);
    return NULL;
}

enum bgw_status bgw_ops_host_start(struct bgw_ops_host *h)
{
    h->running = pthread_create(&h->thread, NULL, run, h) == 0;
    return h->running ? BGW_OK : BGW_NO_MEMORY;
}

bool bgw_ops_host_ready(const struct bgw_ops_host *h)
{
    return bgw_kafka_log_caught_up(h->log);
}

void bgw_ops_host_health(const struct bgw_ops_host *h, struct bgw_health *out)
{
    const char *trouble = bgw_kafka_log_trouble(h->log);
    if (trouble || bgw_revoke_full(h->revoke))
        bgw_health_degrade(out, "revocations");
    if (bgw_kafka_log_caught_up(h->log))
        return;
    if (out->ready || !*out->reason)
        snprintf(out->reason, sizeof(out->reason), "the revocations have not been read to their end yet%s%s",
                 trouble ? ": " : "", trouble ? trouble : "");
    out->ready = false;
}

void bgw_ops_host_destroy(struct bgw_ops_host **host)
{
    struct bgw_ops_host *h = *host;
    if (!h)
        return;
    if (h->running) {
        bgw_loop_stop(h->loop);
        pthread_join(h->thread, NULL);
    }
    if (h->loop)
        bgw_wheel_cancel(bgw_loop_wheel(h->loop), &h->collect);
    bgw_kafka_log_destroy(&h->log);
    bgw_revoke_destroy(&h->revoke);
    bgw_admin_destroy(&h->admin);
    if (h->loop)
        bgw_loop_destroy(&h->loop);
    bgw_buf_deinit(&h->bound);
    free(h);
    *host = NULL;
}
