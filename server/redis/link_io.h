/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_io: one connection as bytes and answers: connect, TLS, what is to be sent, and hiredis'
 * reader of the protocol. Hides sockets and hiredis; knows no commands. Private to redis; the loop's
 * thread. Invariant: handlers are called by the loop alone, never inside a call of the owner.
 */
#ifndef BGW_REDIS_LINK_IO_H
#define BGW_REDIS_LINK_IO_H

#include "bgw/redis.h"

#include "link_name.h"
#include "link_tls.h"

struct bgw_redis_io;

struct bgw_redis_io_handlers {
    void *arg;
    const char *(*opened)(void *arg); /* connected, and TLS stands */
    /* One answer; NULL, or why the connection must end. */
    const char *(*answer)(void *arg, const struct bgw_redis_value *v, bool push);
    void (*ended)(void *arg, const char *words); /* at most once; the owner closes it in here */
};
struct bgw_redis_io_target {
    const struct bgw_redis_addresses *addresses; /* tried in turn, from `first` on; copied */
    size_t first;
    struct bgw_redis_tls *tls; /* NULL: plain */
    const char *host;          /* whom the certificate must name */
};

/* NULL: no memory, or nothing can be reached even now. */
struct bgw_redis_io *bgw_redis_io_open(struct bgw_loop *loop, const struct bgw_redis_io_target *target,
                                       const struct bgw_redis_io_handlers *handlers);
void bgw_redis_io_close(struct bgw_redis_io **io); /* fine if NULL */
/* Leaves with the turn's others. False: more is waiting to be sent than may. */
bool bgw_redis_io_send(struct bgw_redis_io *io, const struct bgw_slice *words, size_t count);

#endif
