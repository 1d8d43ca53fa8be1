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
    struct bgw_kafka_log *log;
    struct bgw_buf bound;
    pthread_t thread;
    bool running;
};

static enum bgw_status make_admin(struct bgw_ops_host *h, struct bgw_buf *error)
{
    struct bgw_admin_config config = {
        .version = h->config.version,
        .health = h->config.health,
        .health_arg = h->config.arg,
        .tls = h->config.config->admin_tls ? h->config.door->tls : NULL,
    };
    enum bgw_status status = bgw_ops_listen("BGW_ADMIN_LISTEN", h->config.config->admin_listen, &config.listen_fd,
                                            &h->bound, error);
    if (status != BGW_OK)
        return status;
    bgw_buf_append_byte(&h->bound, '\0');
    return bgw_admin_create(&h->admin, h->loop, &config);
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
    enum bgw_status status = bgw_loop_create(&h->loop);
    if (status == BGW_OK)
        status = make_admin(h, error);
    return status;
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
    (void)h;
    return true;
}

void bgw_ops_host_health(const struct bgw_ops_host *h, struct bgw_health *out)
{
    (void)h;
    (void)out;
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
    bgw_admin_destroy(&h->admin);
    if (h->loop)
        bgw_loop_destroy(&h->loop);
    bgw_buf_deinit(&h->bound);
    free(h);
    *host = NULL;
}
