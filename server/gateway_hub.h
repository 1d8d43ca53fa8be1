/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_hub: the hub's thread: loop, command mailbox, the pure hub, the Kafka source and the
 * reader, wired together. Private to the gateway.
 */
#ifndef BGW_GATEWAY_HUB_H
#define BGW_GATEWAY_HUB_H

#include "bgw/config.h"
#include "bgw/health.h"
#include "bgw/hub.h"
#include "bgw/ingest.h"
#include "bgw/mailbox.h"
#include "bgw/read.h"

struct bgw_hub_host; /* main thread, except what says otherwise */

struct bgw_hub_host_config {
    const struct bgw_config *config;
    const struct bgw_feed *feed; /* feed 0 */
    const struct bgw_flags *flags;
    const char *bootstrap;
    bool broker_is_embedded;
    void (*ready)(void *arg); /* hub thread, once */
    void (*reader_stopped)(void *arg); /* main thread, while stopping: what lives on the reader's loop must go now */
    void *arg;
};

/* The loop and the mailbox: what the workers need before there is a hub. */
BGW_MUST_CHECK enum bgw_status bgw_hub_host_create(struct bgw_hub_host **out,
                                                   const struct bgw_hub_host_config *config);
int64_t bgw_hub_host_turned_ms(const struct bgw_hub_host *h); /* any thread: end of its last turn, monotonic */
struct bgw_reader *bgw_hub_host_reader(struct bgw_hub_host *h); /* once connected */
struct bgw_mailbox *bgw_hub_host_mailbox(struct bgw_hub_host *h);
/* The hub over the workers' relays, and its sources. Copies the array. */
BGW_MUST_CHECK enum bgw_status bgw_hub_host_connect(struct bgw_hub_host *h, struct bgw_relay *const *relays,
                                                    size_t count, struct bgw_buf *error);
BGW_MUST_CHECK enum bgw_status bgw_hub_host_start(struct bgw_hub_host *h); /* the thread */
/* Any thread, once connected: ready, reason, degraded. */
void bgw_hub_host_health(struct bgw_hub_host *h, struct bgw_health *out);
/* Any thread; nothing is there before connect and after the stop. */
void bgw_hub_host_look(struct bgw_hub_host *h, struct bgw_sources_view *out);
uint64_t bgw_hub_host_sequenced(const struct bgw_hub_host *h); /* any thread, once connected: what it has begun to sequence */
struct bgw_hub_stream { /* fixed-size value */
    uint64_t watched_keys;
    enum bgw_slot_state proof; /* of the partition that is worst off */
    int64_t proof_age_ms;      /* of the oldest; below 0: there is none */
    struct bgw_kafka_lags lags;
};
void bgw_hub_host_stream(struct bgw_hub_host *h, struct bgw_hub_stream *out); /* any thread, from connect to stop */
bool bgw_hub_host_ready(const struct bgw_hub_host *h); /* any thread */
/* Ends the thread and everything that `connect` made: before the workers go. Nothing more enters afterwards. */
void bgw_hub_host_stop(struct bgw_hub_host *h);
void bgw_hub_host_destroy(struct bgw_hub_host **h); /* after the workers */

#endif
