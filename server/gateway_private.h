/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_private: the whole gateway as its two files see it: gateway.c builds it and takes it apart,
 * gateway_run.c is what happens in between. Main thread, except the atomics.
 */
#ifndef BGW_GATEWAY_PRIVATE_H
#define BGW_GATEWAY_PRIVATE_H

#include "gateway_demo.h"
#include "gateway_door.h"
#include "gateway_hub.h"
#include "gateway_look.h"
#include "gateway_ops.h"
#include "gateway_reload.h"
#include "gateway_warm.h"

#include "bgw/demo.h"
#include "bgw/gateway.h"
#include "bgw/ingest.h"
#include "bgw/notify.h"
#include "bgw/worker.h"

#include <pthread.h>
#include <stdatomic.h>

#define BGW_ADDRESS_MAX 128

struct bgw_gateway { /* main thread, except the atomics */
    const struct bgw_config *config;
    struct bgw_feed feed;
    struct bgw_flags flags;
    struct bgw_door door;
    struct bgw_reload reload;
    struct bgw_notify notify;
    struct bgw_demo_welcome welcome; /* empty outside the demo */
    struct bgw_embedded_broker *broker;
    struct bgw_demo *demo;
    const char *bootstrap;
    int listen_fds[BGW_SHARDS_MAX];
    size_t shard_count, worker_count, started;
    char listen_bound[BGW_ADDRESS_MAX];
    struct bgw_attachments *attachments;
    struct bgw_warmup *warmup;
    struct bgw_ops_view *ops_view;
    struct bgw_worker *workers[BGW_SHARDS_MAX];
    struct bgw_hub_host *hub;
    struct bgw_ops_host *ops;
    /* main's own loop */
    struct bgw_loop *loop;
    struct bgw_loop_fd signals;
    struct bgw_timer drain_over, watchdog;
    pthread_t joiner;
    bool announced, joining;
    int exit_code;
    atomic_bool draining, joined;
};

/* ---- gateway_run.c ---- */
enum bgw_status bgw_gateway_make_loop(struct bgw_gateway *g);
void bgw_gateway_wake(void *arg); /* any thread: something that main waits for may have happened */
void bgw_gateway_start_life(struct bgw_gateway *g, const struct bgw_gateway_args *args);
void bgw_gateway_join_workers(struct bgw_gateway *g);

#endif
