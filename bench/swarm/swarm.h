/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swarm: the load client. One thread, one epoll, many sockets of the native dialect (or of the raw
 * baseline). Every client checks what it is shown: versions never go back, nothing is missing
 * (merged counts close every gap), the value belongs to the version, the digest fits. A fast wrong
 * answer is a failure.
 */
#ifndef SWARM_H
#define SWARM_H

#include "bgw/buf.h"
#include "bgw/json.h"
#include "bgw/types.h"

#include <stdbool.h>
#include <stdint.h>

#define SWARM_URLS_MAX 8
#define SWARM_SENT_RING 4096 /* remembered publish times an account; a power of two */

struct options {
    const char *urls[SWARM_URLS_MAX]; /* host:port; a client that loses one moves to the next */
    int url_count;
    const char *token, *kafka, *topic, *trigger, *prefix, *json_path;
    int clients, accounts, per_client, connect_per_s;
    int messages, burst, rate, idle_ms, timeout_s, server_pid;
    bool raw, spread; /* spread: clients join during the feed */
};

struct slot { /* what one client holds of one account */
    struct bgw_version version;
    uint64_t hash;
    int64_t minor;
    bool has;
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_UPGRADING, CLIENT_OPEN, CLIENT_LIVE, CLIENT_DEAD };

struct client {
    int fd, url;
    enum client_state state;
    int first_account;
    uint64_t digest;
    struct slot *slots; /* options.per_client */
    struct bgw_buf in;
    int64_t retry_at_ms;
    bool was_live, reconnecting;
};

struct totals {
    uint64_t entries, snapshots, merged, frames, marks, states;
    uint64_t regressions, gaps, duplicates, wrong_values, digest_mismatches, protocol_errors;
    uint64_t connects, disconnects, live, digests_checked;
};

struct swarm {
    struct options opt;
    struct client *clients;
    struct totals total;
    uint64_t *published;       /* newest version published, an account */
    int64_t *sent_ns;          /* accounts * SWARM_SENT_RING */
    uint32_t *latency_us;      /* one a checked entry, bounded */
    size_t latency_count, latency_max;
    uint64_t behind;           /* (client, account) pairs that do not hold the newest version yet */
    int epfd, trigger_fd, live_now;
};

/* frames.c */
void swarm_frame(struct swarm *s, struct client *c, struct bgw_slice payload);
int64_t swarm_value(uint64_t version, int account);
/* client.c */
bool swarm_connect(struct swarm *s, struct client *c);
void swarm_io(struct swarm *s, struct client *c, uint32_t events);
bool swarm_send_text(struct client *c, struct bgw_slice text);
void swarm_drop(struct swarm *s, struct client *c);
/* feed.c */
bool feed_open(struct swarm *s);
void feed_publish(struct swarm *s, int account);
void feed_flush(struct swarm *s);
void feed_close(void);
/* probe.c */
int64_t probe_cpu_ns(int pid);
int64_t probe_rss_kib(int pid);
int64_t probe_mono_ns(void);

#endif
