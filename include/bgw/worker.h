/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: one shard's thread: loop, transport, connections, dialects and the pure shard, wired
 * together. The composition root makes N of them and gives each its relay and a way to the hub.
 */
#ifndef BGW_WORKER_H
#define BGW_WORKER_H

#include "bgw/attachments.h"
#include "bgw/audit.h"
#include "bgw/auth.h"
#include "bgw/config.h"
#include "bgw/flags.h"
#include "bgw/health.h"
#include "bgw/mailbox.h"
#include "bgw/ops_view.h"
#include "bgw/policy.h"
#include "bgw/quota.h"
#include "bgw/relay.h"
#include "bgw/shard.h"
#include "bgw/sources.h"

struct bgw_worker;

struct bgw_worker_config {
    uint8_t index;
    const struct bgw_config *config;
    const struct bgw_feed *feeds;
    size_t feed_count;
    const struct bgw_auth *auth;
    struct bgw_policy *policy;         /* acquired */
    struct bgw_tls *tls;               /* NULL: a plain port */
    struct bgw_quota *quota;           /* of all shards */
    const struct bgw_revocations *revocations;
    struct bgw_audit *audit;           /* NULL: none */
    int listen_fd;                     /* bound with SO_REUSEPORT */
    size_t sockets_max;                /* this shard's share; 0: derived from connections_max or the descriptor limit */
    struct bgw_mailbox *hub_commands;  /* struct bgw_hub_command */
    uint8_t resume_key[32], connection_key[32]; /* the same on every replica */
    struct bgw_attachments *attachments;        /* of all shards; NULL: SignalR's ids are not remembered */
    uint64_t (*sequenced)(void *arg);           /* any thread: what the hub has begun to sequence; NULL: nobody else shows anything */
    void *sequenced_arg;
    const struct bgw_flags *flags;              /* NULL: all on */
    void (*sources)(void *arg, struct bgw_sources_view *out); /* any thread; NULL: there are none */
    void *sources_arg;
    struct bgw_ops_view *ops;                   /* of all shards; NULL: no /v1/ops */
    const char *version;
    const char *demo_token;            /* given to the page in demo mode; NULL otherwise */
    void (*health)(void *arg, struct bgw_health *out); /* any thread */
    void *health_arg;
};

BGW_MUST_CHECK enum bgw_status bgw_worker_create(struct bgw_worker **out, const struct bgw_worker_config *config,
                                                 struct bgw_buf *error);
struct bgw_relay *bgw_worker_relay(struct bgw_worker *w); /* made by create; for the hub */
BGW_MUST_CHECK enum bgw_status bgw_worker_start(struct bgw_worker *w); /* the thread */
/* Any thread: stop listening, say bye 3001 to all spread over window_ms, then the thread ends when the last socket is gone. */
void bgw_worker_drain(struct bgw_worker *w, int64_t window_ms);
/* Any thread: from the end of its next turn on this policy holds. */
void bgw_worker_set_policy(struct bgw_worker *w, struct bgw_policy *policy);
/* Any thread: a balance is read before anybody asks for it. False: as many wait as may. */
bool bgw_worker_warm(struct bgw_worker *w, const struct bgw_slot_name *name);
void bgw_worker_revocations_changed(struct bgw_worker *w); /* any thread: look at once */
int64_t bgw_worker_turned_ms(const struct bgw_worker *w);  /* any thread: when its last turn ended, monotonic; for the watchdog */
void bgw_worker_stop(struct bgw_worker *w); /* any thread: end now */
void bgw_worker_join(struct bgw_worker *w);
void bgw_worker_destroy(struct bgw_worker **w);
size_t bgw_worker_connections(const struct bgw_worker *w); /* any thread */

#endif
