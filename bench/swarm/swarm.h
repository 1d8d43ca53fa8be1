/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swarm: the load client. One thread, one epoll, many sockets of one dialect (or of the raw
 * baseline). Every client checks what it is shown: versions never go back, nothing is missing
 * (merged counts close every gap, where the dialect has them), the value belongs to the version, the
 * digest fits. A fast wrong answer is a failure.
 */
#ifndef SWARM_H
#define SWARM_H

#include "bgw/buf.h"
#include "bgw/json.h"
#include "bgw/types.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SWARM_URLS_MAX 8
#define SWARM_SENT_RING 4096 /* remembered publish times an account; a power of two */

enum dialect { SPEAK_NATIVE, SPEAK_SIGNALR, SPEAK_APP, SPEAK_SSE };

struct options {
    const char *urls[SWARM_URLS_MAX]; /* host:port; a client that loses one moves to the next */
    int url_count;
    const char *token, *kafka, *topic, *trigger, *prefix;
    const char *ca, *groups; /* TLS: trust and key exchange; NULL: any, the library's */
    int clients, accounts, per_client, connect_per_s;
    int messages, burst, rate, idle_ms, timeout_s, server_pid;
    enum dialect dialect;
    bool raw, tls, spread; /* spread: clients join during the feed */
    bool hold;             /* whoever is greeted does not subscribe yet */
};

struct slot { /* what one client holds of one account */
    struct bgw_version version;
    uint64_t hash;
    int64_t minor;
    bool has;
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_SHAKING, CLIENT_UPGRADING, CLIENT_OPEN, CLIENT_LIVE, CLIENT_DEAD };

struct client {
    int fd, url;
    enum client_state state;
    int first_account;
    uint64_t digest;
    struct slot *slots; /* options.per_client */
    struct bgw_buf in;
    struct ssl_st *ssl;
    int64_t retry_at_ms, told_ms; /* told: what bye or Retry-After asked for; below 0: nothing */
    bool was_live, reconnecting, bye;
};

struct totals {
    uint64_t entries, snapshots, merged, frames, marks, states;
    uint64_t regressions, gaps, duplicates, wrong_values, digest_mismatches, protocol_errors;
    uint64_t connects, disconnects, live, digests_checked;
    uint64_t lost, byes;       /* live clients cut off; of them told before */
    uint64_t refused;          /* upgrades answered with another status than 101 */
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
    int64_t lost_at_ms;        /* when the first live client of the last wave was cut off */
    int64_t back_ms;           /* from there until 99 % were live again; 0: not yet, or nobody was cut off */
    int64_t *asked_ms;         /* one a bye */
    size_t asked_count;
    int greeted;               /* with `hold` */
    int64_t released_ns;       /* when the hold ended; 0: there was none */
    struct hist *first;        /* from then to each client's first value */
};

/* main.c */
void swarm_prepare(struct swarm *s);
void swarm_turn(struct swarm *s, int wait_ms);
void swarm_reconnect_due(struct swarm *s); /* clients whose time to come back has arrived */
/* link.c */
#define LINK_NOTHING (-2)
enum link_progress { LINK_DONE, LINK_WAITS, LINK_FAILED };
bool link_setup(const struct options *o);
bool link_open(struct client *c);
enum link_progress link_handshake(struct swarm *s, struct client *c);
bool link_send(struct client *c, struct bgw_slice bytes); /* whole, or the connection is of no use */
ssize_t link_recv(struct client *c, char *to, size_t cap); /* LINK_NOTHING: later; 0 or below: gone */
bool link_has_more(const struct client *c);                /* bytes that no event will announce */
void link_close(struct client *c);

/* frames.c */
void swarm_frame(struct swarm *s, struct client *c, struct bgw_slice payload);
int64_t swarm_value(uint64_t version, int account);
void swarm_entry(struct swarm *s, struct client *c, const struct bgw_json *entry); /* of native `u`, or of an event */
/* A value without merge count: `version` is the record's own. */
void swarm_value_seen(struct swarm *s, struct client *c, const struct bgw_json *record, bool first);
void swarm_subscribe(struct swarm *s, struct client *c); /* native */
void swarm_live(struct swarm *s, struct client *c);
/* estate.c */
void estate_message(struct swarm *s, struct client *c, struct bgw_slice payload); /* of a WebSocket */
void estate_opened(struct swarm *s, struct client *c);
size_t sse_take(struct swarm *s, struct client *c, struct bgw_slice bytes); /* whole events; how many bytes they had */
/* client.c */
bool swarm_connect(struct swarm *s, struct client *c);
void swarm_io(struct swarm *s, struct client *c, uint32_t events);
bool swarm_send_text(struct client *c, struct bgw_slice text);
void swarm_drop(struct swarm *s, struct client *c);
void swarm_on_bye(struct swarm *s, struct client *c, int64_t retry_ms);
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
