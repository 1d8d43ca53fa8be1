/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: one client connection from accept to close: requests, then perhaps a WebSocket and its
 * session. Hides states, deadlines and what waits for what. The worker owns the host and hands the
 * transport's and the shard's callbacks in. Shard thread only.
 */
#ifndef BGW_WIRE_CONN_H
#define BGW_WIRE_CONN_H

#include "api.h"
#include "budget.h"
#include "estate.h"
#include "native.h"

#include "bgw/attachments.h"
#include "bgw/audit.h"
#include "bgw/list.h"
#include "bgw/ops_view.h"
#include "bgw/policy.h"
#include "bgw/pool.h"
#include "bgw/quota.h"
#include "bgw/transport.h"
#include "bgw/wheel.h"
#include "bgw/ws_codec.h"

#define BGW_CONN_STASH_MAX                                                                         \
    131072u /* bytes received and not looked at: reading is paused long before */

/* what the connections of one shard share; shard thread only */
struct bgw_conn_host {
    struct bgw_loop *loop;
    struct bgw_api api;
    struct bgw_native native;  /* holds shard and auth too */
    struct bgw_estate estate;  /* SignalR and app frames */
    struct bgw_attachments *attachments;   /* borrowed, of all shards */
    uint8_t connection_key[32];            /* signs SignalR's connection tokens; the same on every replica */
    uint8_t index;                         /* of the shard */
    bool signalr_sse;                      /* offered as a transport */
    struct bgw_policy *policy; /* borrowed; the worker puts another in its place between turns */
    struct bgw_quota *quota;   /* borrowed, of all shards; NULL: no limits by subject, tenant or address */
    struct bgw_audit *audit;   /* borrowed; NULL: none */
    int64_t close_ms, key_retry_ms;
    size_t sessions_max;
    struct bgw_budget budget; /* of upgrades */
    struct bgw_pool pool, busy_pool;
    struct bgw_ops_view *ops; /* borrowed, of all shards; NULL: nobody may look */
    struct bgw_list ops_streams;
    struct bgw_timer ops_timer;  /* armed while there are any */
    struct bgw_blob *ops_event;  /* what they were sent last; a reference, while there are any */
    int64_t ops_said_ms;
    struct bgw_list busy;    /* every connection with something under way */
    struct bgw_list waiting; /* those that stopped reading for a reason of ours */
    struct bgw_list heads;   /* those whose response's head waits for the first words behind it */
    struct bgw_buf out;      /* one response at a time */
    char token[16384];
    bool draining;
    bool answered; /* a request that had waited: its connection may read again, and another turn is due at once */
    uint64_t byes; /* said in this drain: the spread's running number */
    int64_t drain_began_ms, byes_due_ms; /* the second: when bgw_conn_host_say_bye wants to be called again */
    int64_t forget_due_ms; /* ids whose tokens have ended */
};

void bgw_conn_host_init(struct bgw_conn_host *h, size_t conns_max);
void bgw_conn_host_deinit(struct bgw_conn_host *h); /* asserts that no connection is left */
/* The mailbox's: a body that was posted for a connection of this shard. */
void bgw_conn_host_posted(void *host, const void *posted);
/* End of a turn, after the shard's flush: those that may read again do. */
void bgw_conn_host_turn_end(struct bgw_conn_host *h);
/* The last step of that: heads of responses whose sessions had nothing to say in this turn go out alone. */
void bgw_conn_host_release_heads(struct bgw_conn_host *h);
/* From now on new sessions are refused and every answer ends its connection; idle connections go
 * now. */
void bgw_conn_host_drain(struct bgw_conn_host *h);
/* Says bye to at most `count` sessions: at once, with a retry_ms spread over the window, to clients that keep to one; to the others,
 * which come back when it is said, over the window. True if there are more: from h->byes_due_ms on. */
bool bgw_conn_host_say_bye(struct bgw_conn_host *h, size_t count, int64_t window_ms);

/* ---- the transport's callbacks ---- */
void *bgw_conn_opened(void *host, struct bgw_socket *sock);
void bgw_conn_received(void *conn, struct bgw_slice bytes);
void bgw_conn_writable(void *conn);
void bgw_conn_closed(void *conn);

/* ---- the shard's ---- */
enum bgw_sent bgw_conn_send(void *arg, void *conn, struct bgw_slice bytes);
void bgw_conn_hang_up(void *arg, void *conn, uint16_t code);
void bgw_conn_read_done(void *arg, void *conn, const struct bgw_read_answer *answer);
/* Only if there is an audit log. */
void bgw_conn_seen(void *arg, void *conn, enum bgw_seen what, struct bgw_slice key, bgw_part part, const char *code);

#endif
