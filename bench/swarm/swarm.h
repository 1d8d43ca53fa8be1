/* SPDX-License-Identifier: Apache-2.0 */
/*
 * swarm: one worker of the load client: one thread, one epoll, many sockets of one dialect. Every
 * client checks what it is shown: versions never go back, nothing is missing (merged counts close
 * every gap, where the dialect has them), the value belongs to the version, the digest fits. A fast
 * wrong answer is a failure.
 */
#ifndef SWARM_H
#define SWARM_H

#include "options.h"
#include "probe.h"
#include "results.h"
#include "speech.h"

#include "bgw/buf.h"
#include "bgw/json.h"
#include "bgw/types.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SCRATCH_BYTES (64u << 10)      /* one recv */
#define REST_BYTES_MAX (4u << 20)      /* the longest message that may come in parts */
#define TOLD_BYTES_MAX 512             /* the longest message that is remembered as read */
#define TOLD_ENTRIES 64                /* how many; and the most entries of a message that is read at once */

struct slot { /* what one client holds of one account */
    struct bgw_version version;
    uint64_t hash;
    bool has;
    bool again; /* the connection is new and the dialect does not say what was held: no order to check */
};

enum client_state { CLIENT_IDLE, CLIENT_CONNECTING, CLIENT_SHAKING, CLIENT_UPGRADING, CLIENT_OPEN, CLIENT_LIVE };

struct client {
    int fd, number;   /* number: among all clients of the run */
    int first_account;
    uint8_t url;
    uint8_t state;    /* enum client_state */
    bool reconnecting, bye, slow;
    bool muted;       /* slow, and live: read by the clock, if at all */
    int told_ms;      /* what bye or Retry-After asked for; below 0: nothing */
    uint32_t rest_len;
    char *rest;       /* the beginning of a message whose end has not come; NULL mostly */
    struct ssl_st *ssl;
    uint64_t digest;  /* of what is held; where there are no digests: confirmations so far */
    union {
        struct slot one; /* of per_client 1 */
        struct slot *many;
    } held;
};

/* One entry of an update, as it was read. */
struct told {
    struct bgw_version version;
    uint64_t hash, merged;
    int64_t minor;
    int account;
    bool snap;
};

/* Broadcasts are the same bytes for many clients of a worker: read once, checked for each. */
struct told_memo {
    uint32_t len;
    struct told told;
    char bytes[TOLD_BYTES_MAX];
};

struct returning { /* a client that is to come back */
    int64_t at_ms;
    struct client *client;
};

struct swarm {
    struct options opt;
    struct board *board; /* NULL: nothing is published here */
    struct results *r;
    const struct control *control;
    int index, first, count; /* which worker; its clients are first … first + count - 1 */
    struct client *clients;
    struct slot *slots; /* of all clients, unless they have one each */
    int epfd;
    char *scratch;
    size_t scratch_cap;
    uint64_t random;
    unsigned attempts; /* connects so far; spreads them over source addresses */
    struct told_memo *memo; /* TOLD_ENTRIES, by what stands in the message */
    struct told *told;      /* TOLD_ENTRIES, of the message that is being read */
    struct returning *back; /* a heap by at_ms */
    int back_count;
    int *queue, queue_at, queue_count; /* to be opened at the set pace; a ring of `count` */
    int64_t next_open_ns, next_churn_ns, next_slow_ns, feed_ns;
    int churn_at, slow_count, *slow; /* numbers in `clients` */
    bool stormed, spread_queued;
    /* of `cold` */
    int greeted;
    int64_t released_ns; /* when the hold ended; 0: there was none */
    struct hist *first_value;
};

#define COUNT(s, name, n) results_add(&(s)->r->name, (uint64_t)(n))

/* worker.c */
bool swarm_prepare(struct swarm *s, const struct pick *watch); /* false: no memory */
void swarm_turn(struct swarm *s, int wait_ms);
void swarm_reconnect_due(struct swarm *s); /* clients whose time to come back has arrived */
void worker_run(struct swarm *s);          /* until the coordinator ends it */
/* back.c */
void back_add(struct swarm *s, struct client *c, int64_t at_ms);
struct client *back_due(struct swarm *s, int64_t now_ms); /* NULL: nobody yet */
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
/* ws.c */
bool ws_send(struct client *c, int opcode, struct bgw_slice payload);
/* Whole messages out of `bytes`; how many were used, SIZE_MAX: the connection is over. */
size_t ws_take(struct swarm *s, struct client *c, struct bgw_slice bytes);
/* client.c */
void swarm_connect(struct swarm *s, struct client *c);
void swarm_io(struct swarm *s, struct client *c, uint32_t events);
void swarm_read(struct swarm *s, struct client *c, size_t cap); /* once, `cap` bytes at most */
void swarm_drop(struct swarm *s, struct client *c);             /* the server, or the way to it, ended it */
void swarm_cut(struct swarm *s, struct client *c);              /* we did */
void swarm_on_bye(struct swarm *s, struct client *c, int64_t retry_ms);
/* told.c */
int swarm_account(const struct swarm *s, const struct bgw_json *key); /* -1: none of ours */
uint64_t swarm_hash(struct bgw_slice key, struct bgw_slice version);
/* The message as it is usually written; false: it is not, and nothing was done. */
bool swarm_usual(struct swarm *s, struct client *c, struct bgw_slice message);
void swarm_entry(struct swarm *s, struct client *c, const struct bgw_json *entry); /* of native `u`, or of an event */
void swarm_entries(struct swarm *s, struct client *c, const struct bgw_json *list);
/* check.c */
struct slot *swarm_slot(struct swarm *s, struct client *c, int i); /* of its i-th account */
struct slot *swarm_slot_of(struct swarm *s, struct client *c, int account);
void swarm_check(struct swarm *s, struct client *c, const struct told *t);
/* A value without merge count: `version` is the record's own. */
void swarm_value_seen(struct swarm *s, struct client *c, const struct bgw_json *record);
void swarm_count_behind(struct swarm *s);
/* native.c */
void swarm_subscribe(struct swarm *s, struct client *c);

#endif
