/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: one shard's listening socket. Hides accept4, the budget of handshakes, the reserved
 * descriptor and what accepted sockets inherit. It hands over descriptors to admission; what becomes
 * of them is not its business. Nothing here knows libwebsockets.
 */
#ifndef BGW_LISTENER_H
#define BGW_LISTENER_H

#include "listener_refuse.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#define BGW_PEER_TEXT_MAX 64 /* "[address]:port" */

struct bgw_listener; /* its loop's thread only */

struct bgw_listener_config {
    int fd; /* bound; taken, also on failure */
    int64_t per_s; /* what the budget gives; 0: no limit */
    int so_sndbuf, tcp_user_timeout_ms, tcp_notsent_lowat; /* 0: the system's */
    struct bgw_refuser *refuser; /* must outlive it */
    void *arg;
    bool (*has_room)(void *arg); /* false: told so */
    void (*arrived)(void *arg, int fd, const struct sockaddr *peer); /* takes fd */
};

BGW_MUST_CHECK enum bgw_status bgw_listener_create(struct bgw_listener **out, struct bgw_loop *loop,
                                                   const struct bgw_listener_config *config);
void bgw_listener_stop(struct bgw_listener *l); /* refuses the backlog, then closes; idempotent */
void bgw_listener_destroy(struct bgw_listener **l);
void bgw_listener_on_closed(struct bgw_listener *l); /* a descriptor has become free */
void bgw_listener_set_budget(struct bgw_listener *l, int64_t per_s);

/* bind.c: the address a socket is bound to, "?" if the system does not say. */
void bgw_transport_describe(int fd, char *out, size_t cap);

#endif
