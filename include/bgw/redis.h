/* SPDX-License-Identifier: Apache-2.0 */
/*
 * redis: one connection to Redis or Valkey on a loop, never blocking it. Hides hiredis: address
 * forms (host:port, redis://, rediss://, redis+sentinel://), TLS, AUTH with user, SELECT, HELLO 3,
 * Sentinel's answer checked with ROLE, names that resolve slowly, deadlines of commands, reconnection
 * with backoff and jitter.
 */
#ifndef BGW_REDIS_H
#define BGW_REDIS_H

#include "bgw/buf.h"
#include "bgw/loop.h"

struct bgw_redis_link; /* loop's thread, or any one thread while the loop does not run */

enum bgw_redis_type { BGW_REDIS_FAILED /* no answer: not connected, deadline, connection lost */, BGW_REDIS_ERROR, BGW_REDIS_NIL,
                      BGW_REDIS_INTEGER, BGW_REDIS_TEXT, BGW_REDIS_LIST };
struct bgw_redis_value { /* borrowed by the callback */
    enum bgw_redis_type type;
    int64_t integer;
    struct bgw_slice text; /* ERROR and TEXT */
    const struct bgw_redis_value *items; /* LIST */
    size_t count;
};
typedef void (*bgw_redis_reply)(void *arg, const struct bgw_redis_value *v); /* exactly once, never inside the call that asked */

struct bgw_redis_link_config { /* copied */
    const char *url, *ca_file; /* as REDIS and REDIS_CA; ca_file NULL or "": the system's */
    int64_t command_ms;        /* deadline of one command; one that runs out ends the connection */
    size_t commands_max;       /* waiting for an answer; beyond it a command is refused */
    bool subscriber;           /* carries SUBSCRIBE alone */
    uint64_t seed;
    void *arg;
    void (*state)(void *arg, bool up, const char *words); /* false also while it was down already: other words. They are why not, without names or addresses */
    void (*message)(void *arg, struct bgw_slice channel, struct bgw_slice payload); /* subscriber */
    void (*pushed)(void *arg, const struct bgw_redis_value *v); /* RESP3 push, such as invalidate; NULL: RESP2 will do */
};
/* BGW_CONFIG and a sentence: the address is none of those forms. Nothing is connected before the loop runs. */
BGW_MUST_CHECK enum bgw_status bgw_redis_link_create(struct bgw_redis_link **out, struct bgw_loop *loop,
                                                     const struct bgw_redis_link_config *config, struct bgw_buf *error);
void bgw_redis_link_destroy(struct bgw_redis_link **l); /* waiting replies get FAILED */
bool bgw_redis_link_up(const struct bgw_redis_link *l);
/* False: refused, `reply` is not called. */
bool bgw_redis_link_command(struct bgw_redis_link *l, const struct bgw_slice *words, size_t count, bgw_redis_reply reply, void *arg);
/* Subscribes now and after every reconnection; state(up) comes when all subscriptions are confirmed. Before the loop runs. */
void bgw_redis_link_subscribe(struct bgw_redis_link *l, struct bgw_slice channel);
/* Ends the connection, soon but not inside this call, and makes another: its owner knows that it is of no use. */
void bgw_redis_link_restart(struct bgw_redis_link *l, const char *words /* a literal */);

#endif
