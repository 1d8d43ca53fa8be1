/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: one shard's listening socket and its admission. Hides accept4, the accept budget, the
 * reserved descriptor and refusals. It hands over descriptors; what becomes of them is not its
 * business. Nothing here knows libwebsockets.
 */
#ifndef BGW_LISTENER_H
#define BGW_LISTENER_H

#include "bgw/loop.h"

#include <stdbool.h>
#include <stddef.h>

#define BGW_PEER_TEXT_MAX 64 /* "[address]:port" */

struct bgw_listener; /* its loop's thread only */

struct bgw_listener_config {
    int fd; /* bound; taken, also on failure */
    int64_t accepts_per_s;
    int so_sndbuf;
    int64_t linger_ms;
    void *arg;
    bool (*has_room)(void *arg);                             /* false: 503 */
    void (*admitted)(void *arg, int fd, const char *peer); /* takes fd */
};

BGW_MUST_CHECK enum bgw_status bgw_listener_create(struct bgw_listener **out, struct bgw_loop *loop,
                                                   const struct bgw_listener_config *config);
void bgw_listener_stop(struct bgw_listener *l); /* refuses the backlog, then closes; idempotent */
void bgw_listener_destroy(struct bgw_listener **l);
void bgw_listener_on_closed(struct bgw_listener *l); /* a descriptor has become free */

/* bind.c: the address a socket is bound to, "?" if the system does not say. */
void bgw_transport_describe(int fd, char *out, size_t cap);

#endif
