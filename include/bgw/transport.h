/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport: sockets of one shard thread. Hides libwebsockets (RAW role, event_lib_custom over our
 * loop), the SO_REUSEPORT listener, admission, the reserved descriptor and partial-write buffering.
 * Nothing above it sees a wsi or an fd.
 */
#ifndef BGW_TRANSPORT_H
#define BGW_TRANSPORT_H

#include "bgw/loop.h"
#include "bgw/shard.h" /* enum bgw_sent */

struct bgw_transport; /* its loop's thread only */
struct bgw_socket;    /* one connection, from `opened` to `closed` */

struct bgw_transport_ops {
    void *arg;
    /* After admission. Returns the user pointer of the other callbacks; NULL: refused, closed at once. */
    void *(*opened)(void *arg, struct bgw_socket *sock, const char *peer);
    void (*received)(void *user, struct bgw_slice bytes);
    void (*writable)(void *user); /* after BGW_SENT_BUFFERED: everything is with the kernel now */
    void (*closed)(void *user);   /* exactly once; the socket is gone when this returns */
};

struct bgw_transport_config {
    const char *listen; /* "host:port"; port 0 allowed */
    int listen_fd;      /* >= 0: an already bound SO_REUSEPORT socket to use instead */
    size_t sockets_max; /* beyond it: 503 and close, counted */
    int64_t accepts_per_s;
    int so_sndbuf;      /* 0: the system's */
    int64_t stall_ms, linger_ms; /* linger: 1000 */
};

/* Binds host:port (port 0: any) with SO_REUSEPORT, so that all shards share what the first found. IPv4 and IPv6. */
BGW_MUST_CHECK enum bgw_status bgw_transport_bind(const char *listen, int *fd, char *bound, size_t bound_cap);

BGW_MUST_CHECK enum bgw_status bgw_transport_create(struct bgw_transport **out, struct bgw_loop *loop,
                                                    const struct bgw_transport_config *config,
                                                    const struct bgw_transport_ops *ops);
void bgw_transport_destroy(struct bgw_transport **t); /* closes every socket; `closed` is called for each */
void bgw_transport_stop_listening(struct bgw_transport *t);
size_t bgw_transport_count(const struct bgw_transport *t);
/* Called by the loop's turn_end hook, last: writes that had to wait, forced service. */
void bgw_transport_turn_end(struct bgw_transport *t);
int64_t bgw_transport_wait_max_ms(struct bgw_transport *t); /* for the loop's wait hook */

/* One write() of all bytes if the socket is writable. What the kernel did not take is kept (bounded by this one call) and
 * `writable` follows. Never call while the last answer was BGW_SENT_BUFFERED. */
enum bgw_sent bgw_socket_send(struct bgw_socket *sock, struct bgw_slice bytes);
bool bgw_socket_buffered(const struct bgw_socket *sock);
void bgw_socket_pause(struct bgw_socket *sock, bool paused); /* stop or resume reading: a choked session */
/* No more to say: flush what is buffered, half-close, read on (and drop) for linger_ms at most, then close. */
void bgw_socket_finish(struct bgw_socket *sock);
void bgw_socket_abort(struct bgw_socket *sock); /* close now; `closed` follows, maybe before this returns: from a callback of this socket it is deferred */
struct bgw_loop *bgw_socket_loop(const struct bgw_socket *sock);

#endif
