/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_private: what link.c (commands, deadlines, life) and link_attempt.c (how a
 * connection comes to be) share. Nobody else includes it. The link's thread.
 * Invariant: `up` only while `io` stands and its conversation has ended well; a command waits only while up.
 */
#ifndef BGW_REDIS_LINK_PRIVATE_H
#define BGW_REDIS_LINK_PRIVATE_H

#include "bgw/redis.h"

#include "link_io.h"

#define BGW_REDIS_CHANNELS_MAX 4
#define BGW_REDIS_MASTER_NAME BGW_REDIS_HOSTS_MAX /* the look-up of the address that a Sentinel gave */

/* what is asked of a new connection, in this order; each only if it is needed */
enum bgw_redis_talk {
    BGW_REDIS_TALK_NONE,
    BGW_REDIS_TALK_MASTER, /* of a Sentinel: then another connection is made */
    BGW_REDIS_TALK_SENTINEL_AUTH,
    BGW_REDIS_TALK_HELLO,
    BGW_REDIS_TALK_AUTH,
    BGW_REDIS_TALK_SELECT,
    BGW_REDIS_TALK_ROLE,
    BGW_REDIS_TALK_PING,
    BGW_REDIS_TALK_SUBSCRIBE,
    BGW_REDIS_TALK_END,
};

struct bgw_redis_waiting {
    bgw_redis_reply reply;
    void *arg;
    int64_t deadline_ms;
};

struct bgw_redis_link {
    struct bgw_redis_link_config config; /* its strings are gone */
    struct bgw_redis_url url;
    struct bgw_redis_tls *tls;
    struct bgw_loop *loop;
    struct bgw_redis_io *io;
    bool up;
    const char *told; /* the last words of state(false) */
    /* commands */
    struct bgw_redis_waiting *queue; /* a ring of commands_max */
    size_t head, count;
    struct bgw_timer due;
    bool excused; /* its last firing was late, and let them wait a moment longer */
    /* a connection in the making */
    enum bgw_redis_talk talk;
    bool to_master, sentinel_authenticated;
    struct bgw_redis_host master;
    size_t host_at, confirmed;
    struct bgw_redis_name *names[BGW_REDIS_HOSTS_MAX + 1]; /* a look-up that outlives its attempt serves the next */
    struct bgw_redis_name *awaited;                        /* of those; NULL: none */
    const struct bgw_redis_host *awaited_host;
    struct bgw_loop_fd name_fd;
    struct bgw_timer pause, deadline, next;
    const char *restart;
    /* pace */
    unsigned failures, tried, attempts;
    int64_t up_since_ms;
    uint64_t random;
    char *channels[BGW_REDIS_CHANNELS_MAX];
    size_t channel_count;
};

/* link_attempt.c */
void bgw_redis_attempt_begin(struct bgw_redis_link *l);
void bgw_redis_attempt_go_on(struct bgw_redis_link *l); /* to the master that a Sentinel named */
void bgw_redis_attempt_end(struct bgw_redis_link *l);   /* gives up what is under way */
const char *bgw_redis_attempt_answer(struct bgw_redis_link *l, const struct bgw_redis_value *v);
void bgw_redis_attempt_name_ready(struct bgw_loop_fd *f, uint32_t events);

/* link.c */
void bgw_redis_link_fail(struct bgw_redis_link *l, const char *words); /* not inside a handler of io */
void bgw_redis_link_become_up(struct bgw_redis_link *l);
void bgw_redis_link_soon(struct bgw_redis_link *l, struct bgw_timer *timer, int64_t in_ms);
const char *bgw_redis_link_hear(struct bgw_redis_link *l, const struct bgw_redis_value *v);
extern const struct bgw_redis_io_handlers bgw_redis_link_handlers; /* without arg */

#endif
