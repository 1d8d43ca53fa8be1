/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport: sockets of one shard thread. Hides that TLS connections are libwebsockets' (RAW role,
 * event_lib_custom over our loop) and plain ones our own, the SO_REUSEPORT listener, admission, the
 * reserved descriptor and partial-write buffering. Nothing above it sees a wsi or an fd.
 */
#ifndef BGW_TRANSPORT_H
#define BGW_TRANSPORT_H

#include "bgw/loop.h"
#include "bgw/net.h"
#include "bgw/quota.h"
#include "bgw/shard.h" /* enum bgw_sent */

struct bgw_transport; /* its loop's thread only; may be created on another before the loop runs */
struct bgw_socket;    /* one connection, from `opened` to `closed` */

struct bgw_transport_ops {
    void *arg;
    /* After admission: limits, PROXY header, TLS handshake. Returns the user pointer of the other callbacks; NULL: refused, closed at
     * once. */
    void *(*opened)(void *arg, struct bgw_socket *sock);
    void (*received)(void *user, struct bgw_slice bytes); /* borrowed; nobody else reads them: may be changed in place */
    void (*writable)(void *user); /* after BGW_SENT_BUFFERED: everything is with the kernel now */
    void (*closed)(void *user);   /* exactly once, never from inside a bgw_socket_ call; the socket is gone when this returns */
};

struct bgw_tls;

/* what may change while it runs */
struct bgw_transport_limits {
    int64_t handshakes_per_s; /* TLS handshakes (and accepts on a plain port) of this shard; beyond it clients wait in the backlog
                                 for 2 s, then are told 503 with Retry-After (TLS: closed); 0: no limit. Whatever it is: 64 accepts
                                 and 16 TLS handshakes begun a turn, 2,048 of these under way, then the oldest gives way */
    int64_t storm_spread_s;   /* which Retry-After: evenly from 1 to this */
    int64_t tls_ms;           /* for PROXY header and TLS handshake together */
    int64_t per_address_max;  /* 0: no limit */
    const struct bgw_nets *trusted_proxies; /* borrowed until the next limits */
    bool proxy_protocol;
};

struct bgw_transport_config {
    struct bgw_transport_limits limits;
    struct bgw_tls *tls;      /* NULL: a plain port */
    struct bgw_quota *quota;  /* of all shards, for per_address_max; NULL: no limit */
    int tcp_user_timeout_ms, tcp_notsent_lowat; /* 0: the system's */
    const char *listen; /* "host:port"; port 0 allowed; used if listen_fd < 0 */
    int listen_fd;      /* >= 0: a socket of bgw_transport_bind to use instead; taken, also on failure */
    size_t sockets_max; /* beyond it: 503 and close, counted */
    int so_sndbuf;      /* 0: the system's */
    int64_t stall_ms;   /* buffered bytes without progress for this long: closed and counted; 0: never */
    int64_t linger_ms;  /* 1000 */
};

/* Binds host:port (port 0: any; host empty or *: 0.0.0.0) with SO_REUSEPORT, so that all shards share what the first found: bind
 * the first with the configured text, the others with `bound`. IPv4 and [IPv6]. `bound` is what was really bound. Connections are
 * taken once bgw_transport_create has the socket. BGW_BAD_VALUE: not host:port; BGW_NOT_FOUND: no such host; BGW_ADDRESS_IN_USE:
 * somebody else listens there; BGW_IO: anything else, errno says what. Main thread, at start. */
BGW_MUST_CHECK enum bgw_status bgw_transport_bind(const char *listen, int *fd, char *bound, size_t bound_cap);

BGW_MUST_CHECK enum bgw_status bgw_transport_create(struct bgw_transport **out, struct bgw_loop *loop,
                                                    const struct bgw_transport_config *config,
                                                    const struct bgw_transport_ops *ops);
void bgw_transport_destroy(struct bgw_transport **t); /* closes every socket; `closed` is called for each */
void bgw_transport_stop_listening(struct bgw_transport *t); /* whoever waits in the backlog is told 503 */
/* Takes effect for what comes from now on; loop's thread. */
void bgw_transport_set_limits(struct bgw_transport *t, const struct bgw_transport_limits *limits);
size_t bgw_transport_count(const struct bgw_transport *t);
const char *bgw_transport_bound(const struct bgw_transport *t); /* "address:port" */
/* Called by the loop's turn_end hook, last: closes that were put off, forced service. */
void bgw_transport_turn_end(struct bgw_transport *t);
int64_t bgw_transport_wait_max_ms(struct bgw_transport *t); /* for the loop's wait hook; runs the library's own timers */

/* One write() of all bytes if the socket is writable. What the kernel did not take is kept (bounded by this one call) and
 * `writable` follows. Never call while the last answer was BGW_SENT_BUFFERED. On a socket that is finished, aborted or broken the
 * bytes are dropped and the answer is BGW_SENT_BUFFERED; `closed` follows. Any callback of any socket may call it. */
enum bgw_sent bgw_socket_send(struct bgw_socket *sock, struct bgw_slice bytes);
bool bgw_socket_buffered(const struct bgw_socket *sock);
/* Stop or resume reading: a choked session. While bytes are buffered nothing is read either. */
void bgw_socket_pause(struct bgw_socket *sock, bool paused);
/* No more to say: flush what is buffered, half-close, read on (and drop) for linger_ms at most, then close. */
void bgw_socket_finish(struct bgw_socket *sock);
void bgw_socket_abort(struct bgw_socket *sock); /* no more callbacks but `closed`, which follows at the end of the turn at the latest */
/* The client as the PROXY header, else the socket, names it; all zeros if it has no address. */
const struct bgw_addr *bgw_socket_peer(const struct bgw_socket *sock);
bool bgw_socket_secure(const struct bgw_socket *sock);          /* TLS */
bool bgw_socket_peer_verified(const struct bgw_socket *sock);   /* showed a client certificate that we trust */
struct bgw_loop *bgw_socket_loop(const struct bgw_socket *sock);

#endif
