/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_private: what transport.c (life, admission's other end), transport_socket.c (one
 * connection) and transport_lws.c (the library) know of each other. For these three only; everything
 * runs on the loop's thread.
 */
#ifndef BGW_TRANSPORT_PRIVATE_H
#define BGW_TRANSPORT_PRIVATE_H

#include "bgw/transport.h"

#include "admission.h"
#include "listener.h"

#include "bgw/list.h"
#include "bgw/pool.h"

#include <libwebsockets.h>

#define BGW_HANDSHAKES_UNDER_WAY_MAX 2048 /* of one shard, 48 KB each; beyond it the oldest gives way */

#define BGW_INPUT_BYTES 17408 /* one read: a whole TLS record, so that none is left in part */

struct bgw_rest;

struct bgw_socket { /* its transport's thread only; with TLS the library has its own beside it, and OpenSSL */
    struct bgw_loop_fd watch;
    struct bgw_timer timer; /* shaking hands: the deadline; buffered: no progress; half-closed: lingering */
    struct bgw_list link;   /* on `handshaking`, `open` or `doomed` */
    struct bgw_transport *transport;
    struct lws *wsi;        /* TLS only */
    struct bgw_rest *rest;  /* plain only: of the last write, what was not taken; NULL: everything was */
    void *user;
    struct bgw_admitted who;
    bool attached;          /* to the loop */
    bool secure;            /* TLS */
    bool handshaking;       /* not opened yet */
    bool opened;            /* `closed` is owed */
    bool want_in, want_out; /* what the library asks to be told; plain: input, always */
    bool paused, buffered;
    bool finishing;         /* no more writes; close when flushed and the peer has ended */
    bool ending;            /* close_notify waits until the socket takes bytes */
    bool half_closed;       /* everything is said; what comes is dropped */
    bool doomed;            /* to be closed at the end of the turn: no more callbacks but `closed` */
};

struct bgw_transport { /* its loop's thread only */
    struct bgw_loop *loop;
    struct bgw_transport_ops ops;
    struct bgw_transport_limits limits;
    struct bgw_tls *tls; /* NULL: a plain port */
    int64_t stall_ms, linger_ms;
    size_t sockets_max, count, handshakes;
    lws_log_cx_t log; /* the library's default one has a plain counter that all threads would share */
    struct lws_context *context; /* NULL: a plain port */
    struct lws_vhost *vhost;
    struct ssl_ctx_st *ssl_ctx; /* the vhost's */
    struct bgw_refuser refuser;
    struct bgw_listener *listener;
    struct bgw_admission *admission;
    struct bgw_pool sockets;
    struct bgw_list handshaking, open, doomed;
    struct bgw_socket *serving;  /* whose event the library handles; NULL once it is gone */
    struct bgw_socket *adopting; /* not given back to the pool when adoption fails; NULL once it has */
    bool forced_service;         /* the library holds input that no event will announce */
    char input[BGW_INPUT_BYTES]; /* what a plain socket said, while it is being told */
    char bound[BGW_PEER_TEXT_MAX];
};

/* transport.c */
void bgw_transport_released(struct bgw_socket *s); /* the library has let go of it: gives it back */

/* transport_socket.c */
void bgw_socket_begin(struct bgw_socket *s, struct bgw_transport *t, int fd, const struct bgw_admitted *who, int64_t deadline_ms);
void bgw_socket_adopted(struct bgw_socket *s);  /* the library has it: opened now, or after the handshake */
void bgw_socket_doom(struct bgw_socket *s);
void bgw_socket_reap(struct bgw_socket *s);     /* closes it; the socket is gone then */
void bgw_socket_on_received(struct bgw_socket *s, struct bgw_slice bytes);
void bgw_socket_on_writable(struct bgw_socket *s);
void bgw_socket_progress(struct bgw_socket *s); /* some of what is kept has left */
void bgw_socket_drained(struct bgw_socket *s);  /* all of it has */
void bgw_socket_on_closed(struct bgw_socket *s);
void bgw_socket_on_gone(struct bgw_socket *s);  /* the last that the library says of it */

/* transport_plain.c */
/* BGW_AGAIN: a rest is kept, and goes when the socket takes it; else the connection is broken. */
BGW_MUST_CHECK enum bgw_status bgw_plain_send(struct bgw_socket *s, struct bgw_slice bytes);
void bgw_plain_ready(struct bgw_socket *s, uint32_t events);
void bgw_plain_drop(struct bgw_socket *s); /* what is kept */

/* transport_lws.c: with TLS only */
BGW_MUST_CHECK enum bgw_status bgw_transport_lws_create(struct bgw_transport *t);
struct lws *bgw_transport_lws_adopt(struct bgw_socket *s); /* takes its descriptor, also on failure */

#endif
