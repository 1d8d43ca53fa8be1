/* SPDX-License-Identifier: Apache-2.0 */
/* admin_tls: the bytes of one admin connection, plain or through TLS. Private to server/ops; ops thread only. */
#ifndef BGW_OPS_ADMIN_TLS_H
#define BGW_OPS_ADMIN_TLS_H

#include "bgw/tls.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BGW_ADMIN_AGAIN (-2) /* not now: `wants` says for which epoll events to wait */

struct bgw_admin_link { /* ops thread only */
    int fd;
    struct ssl_st *ssl; /* NULL: plain */
    uint32_t wants;
};

/* A context that `tls` has furnished. */
BGW_MUST_CHECK enum bgw_status bgw_admin_tls_create(struct ssl_ctx_st **out, struct bgw_tls *tls);
void bgw_admin_tls_destroy(struct ssl_ctx_st **ctx);

/* Takes `fd`, also on failure. `ctx` NULL: plain. */
BGW_MUST_CHECK enum bgw_status bgw_admin_link_open(struct bgw_admin_link *l, int fd, struct ssl_ctx_st *ctx);
/* 1: done. BGW_ADMIN_AGAIN. -1: refused, or gone. */
int bgw_admin_link_handshake(struct bgw_admin_link *l);
/* Bytes; 0: the peer has ended; -1: gone; BGW_ADMIN_AGAIN. */
ssize_t bgw_admin_link_recv(struct bgw_admin_link *l, void *out, size_t cap);
ssize_t bgw_admin_link_send(struct bgw_admin_link *l, const void *data, size_t len);
bool bgw_admin_link_pending(const struct bgw_admin_link *l); /* bytes that no socket event will tell of */
void bgw_admin_link_end(struct bgw_admin_link *l); /* our side is done: the peer may read what there is */
void bgw_admin_link_close(struct bgw_admin_link *l);

#endif
