/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport: hides libwebsockets; the only file that names it. One context a shard thread, RAW
 * role, driven by our loop through event_lib_custom; all calls on that thread.
 * Invariants: bytes are written only while nothing is buffered, so the library never queues more
 * than one write of ours; a socket with buffered bytes is not watched for input (the library would
 * not read and the loop would spin); every wait is on our own wheel; the library is never entered
 * from inside itself except to write, so closes wait for the end of the turn.
 */
#include "bgw/transport.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/pool.h"
#include "listener.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERV_BUF_BYTES 17408      /* one read: a TLS record and its overhead */
#define TX_PACKET_BYTES (1 << 24) /* larger writes would be cut there although the socket has room */
#define WAIT_MAX_MS 60000
#define DESCRIPTORS_MAX (1 << 22) /* 64 MiB of untouched tables a context */

struct bgw_socket { /* its transport's thread only; 96 bytes beside the library's own */
    struct bgw_loop_fd watch;
    struct bgw_timer timer; /* buffered: no progress; half-closed: lingering */
    struct bgw_list link;   /* on `open` or `doomed` */
    struct bgw_transport *transport;
    struct lws *wsi;
    void *user;
    struct bgw_addr peer, neighbour;
    bool attached;          /* to the loop */
    bool opened;            /* `closed` is owed */
    bool want_in, want_out; /* what the library asks to be told */
    bool paused, buffered;
    bool finishing;         /* no more writes; close when flushed and the peer has ended */
    bool doomed;            /* to be closed at the end of the turn: no more callbacks but `closed` */
};

struct bgw_transport { /* its loop's thread only */
    struct bgw_loop *loop;
    struct bgw_transport_ops ops;
    int64_t stall_ms, linger_ms;
    size_t sockets_max, count;
    lws_log_cx_t log; /* the library's default one has a plain counter that all threads would share */
    struct lws_context *context;
    struct lws_vhost *vhost;
    struct bgw_listener *listener;
    struct bgw_pool sockets;
    struct bgw_list open, doomed;
    struct bgw_socket *serving;  /* whose event the library handles; NULL once it is gone */
    struct bgw_socket *adopting; /* not given back to the pool when adoption fails */
    bool forced_service;         /* the library holds input that no event will announce */
    char bound[BGW_PEER_TEXT_MAX];
};

/* ---- one socket ---- */

static int64_t now_ms_of(const struct bgw_transport *t)
{
    return bgw_loop_now(t->loop).mono_ms;
}

static void watch_again(struct bgw_socket *s)
{
    if (!s->attached)
        return;
    /* drained but `writable` not told yet: input gets its turn, or one who is always behind is never heard */
    bool stuck = s->buffered && lws_partial_buffered(s->wsi);
    bool in = s->want_in && !s->paused && !stuck && !s->doomed;
    uint32_t events = (in ? (uint32_t)EPOLLIN : 0) | (s->want_out ? (uint32_t)EPOLLOUT : 0);
    bgw_loop_change(s->transport->loop, &s->watch, events);
}

/* While the library handles this socket its wishes still change; `serve` looks when it is done. */
static void watch_unless_serving(struct bgw_socket *s)
{
    if (s->transport->serving != s)
        watch_again(s);
}

static void doom(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (s->doomed)
        return;
    s->doomed = true;
    bgw_wheel_cancel(bgw_loop_wheel(t->loop), &s->timer);
    bgw_list_remove(&s->link);
    bgw_list_push_back(&t->doomed, &s->link);
}

static void arm_timer(struct bgw_socket *s, int64_t after_ms)
{
    struct bgw_transport *t = s->transport;
    if (after_ms > 0)
        bgw_wheel_arm(bgw_loop_wheel(t->loop), &s->timer, now_ms_of(t) + after_ms);
}

/* Buffered bytes have moved, or there are some from now on. */
static void arm_stall(struct bgw_socket *s)
{
    const struct bgw_transport *t = s->transport;
    arm_timer(s, s->finishing && t->stall_ms <= 0 ? t->linger_ms : t->stall_ms);
}

static void timer_due(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_socket *s = BGW_CONTAINER(timer, struct bgw_socket, timer);
    (void)now_ms;
    if (s->buffered)
        bgw_metric_add(BGW_M_CONNECTIONS_STALLED, 1);
    doom(s);
}

/* Enters the library for one socket; it may be gone afterwards. */
static void serve(struct bgw_socket *s, int revents)
{
    struct bgw_transport *t = s->transport;
    struct lws_pollfd p = {
        .fd = s->watch.fd, .events = LWS_POLLIN | LWS_POLLOUT, .revents = (short)revents};
    BGW_ASSERT(!t->serving);
    t->serving = s;
    lws_service_fd(t->context, &p);
    if (t->serving)
        watch_again(s);
    t->serving = NULL;
}

static void socket_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_socket *s = BGW_CONTAINER(f, struct bgw_socket, watch);
    int revents = 0;
    if (s->doomed)
        return;
    if (events & f->events & EPOLLIN)
        revents |= LWS_POLLIN;
    if (events & EPOLLOUT) {
        revents |= LWS_POLLOUT;
        if (s->buffered)
            arm_stall(s);
    }
    if (events & (EPOLLHUP | EPOLLERR)) /* with input pending it is read first; without, this closes */
        revents |= LWS_POLLHUP;
    serve(s, revents);
}

/* ---- what the library calls: event loop ---- */

/* NULL for the library's own event pipe and netlink socket: nobody signals the one for anything
 * that we wait for, and we do not want connections closed because a route went away. */
static struct bgw_socket *socket_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

static int on_accept(struct lws *wsi)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return 0;
    s->wsi = wsi;
    s->attached = bgw_loop_attach(s->transport->loop, &s->watch) == BGW_OK;
    return !s->attached;
}

static void on_io(struct lws *wsi, unsigned int flags)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return;
    if (flags & LWS_EV_READ)
        s->want_in = (flags & LWS_EV_START) != 0;
    if (flags & LWS_EV_WRITE)
        s->want_out = (flags & LWS_EV_START) != 0;
}

static int on_logical_close(struct lws *wsi)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return 0;
    struct bgw_transport *t = s->transport;
    if (s->attached)
        bgw_loop_detach(t->loop, &s->watch);
    s->attached = false;
    lws_set_opaque_user_data(wsi, NULL); /* it still calls on_io for what it is about to free */
    bgw_wheel_cancel(bgw_loop_wheel(t->loop), &s->timer);
    bgw_list_remove(&s->link);
    if (t->serving == s)
        t->serving = NULL;
    if (t->listener)
        bgw_listener_on_closed(t->listener);
    if (t->adopting != s)
        bgw_pool_give(&t->sockets, s);
    return 0;
}

static int on_init_thread(struct lws_context *context, void *loop, int tsi)
{
    *(void **)lws_evlib_tsi_to_evlib_pt(context, tsi) = loop;
    return 0;
}

static const struct lws_event_loop_ops loop_ops = {
    .name = "bgw",
    .init_pt = on_init_thread,
    .init_vhost_listen_wsi = on_accept,
    .sock_accept = on_accept,
    .io = on_io,
    .wsi_logical_close = on_logical_close,
    .evlib_size_pt = sizeof(void *),
};

static const lws_plugin_evlib_t loop_plugin = {
    .hdr = {"bgw loop", "lws_evlib_plugin", LWS_BUILD_HASH, LWS_PLUGIN_API_MAGIC},
    .ops = &loop_ops,
};

/* ---- what the library calls: protocol ---- */

static void half_close(struct bgw_socket *s)
{
    if (s->transport->linger_ms <= 0 || shutdown(s->watch.fd, SHUT_WR))
        doom(s);
    else
        arm_timer(s, s->transport->linger_ms);
}

static void on_received(struct bgw_socket *s, struct bgw_slice bytes)
{
    bgw_metric_add(BGW_M_READ_BYTES, (int64_t)bytes.len);
    if (s->opened && !s->doomed && !s->finishing)
        s->transport->ops.received(s->user, bytes);
}

static void on_writable(struct bgw_socket *s)
{
    if (!s->buffered || s->doomed)
        return;
    if (lws_partial_buffered(s->wsi)) { /* `received`, in the same event, has written again */
        lws_callback_on_writable(s->wsi);
        return;
    }
    s->buffered = false;
    bgw_wheel_cancel(bgw_loop_wheel(s->transport->loop), &s->timer);
    if (s->finishing)
        half_close(s);
    else
        s->transport->ops.writable(s->user);
}

static void on_closed(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    s->doomed = true; /* whatever the callback still asks for is dropped */
    if (!s->opened)
        return;
    s->opened = false;
    t->count--;
    bgw_metric_add(BGW_M_CONNECTIONS, -1);
    t->ops.closed(s->user);
}

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *unused, void *in,
                    size_t len)
{
    (void)unused;
    struct bgw_socket *s = wsi ? socket_of(wsi) : NULL;
    if (!s)
        return 0;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_RX:
        on_received(s, bgw_slice_of(in, len));
        break;
    case LWS_CALLBACK_RAW_WRITEABLE:
        on_writable(s);
        break;
    case LWS_CALLBACK_RAW_CLOSE:
        on_closed(s);
        break;
    default:
        break;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "gw", .callback = on_event, .tx_packet_size = TX_PACKET_BYTES},
    LWS_PROTOCOL_LIST_TERM,
};

/* ---- admission's other end ---- */

static bool has_room(void *arg)
{
    const struct bgw_transport *t = arg;
    return t->sockets.in_use < t->sockets_max;
}

static void open_socket(struct bgw_socket *s, const char *peer)
{
    struct bgw_transport *t = s->transport;
    bgw_list_push_back(&t->open, &s->link);
    s->opened = true;
    t->count++;
    bgw_metric_add(BGW_M_CONNECTIONS, 1);
    s->user = t->ops.opened(t->ops.arg, s, peer);
    if (s->user)
        return;
    s->opened = false; /* refused: nothing is owed */
    t->count--;
    bgw_metric_add(BGW_M_CONNECTIONS, -1);
    doom(s);
}

static void admitted(void *arg, int fd, const char *peer)
{
    struct bgw_transport *t = arg;
    struct bgw_socket *s = bgw_pool_take(&t->sockets);
    if (!s) {
        bgw_metric_add(BGW_M_CONNECTIONS_REFUSED_OVERLOAD, 1);
        close(fd);
        return;
    }
    s->transport = t;
    s->want_in = true;
    s->watch = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = socket_ready};
    bgw_timer_init(&s->timer, timer_due);
    bgw_list_init(&s->link);
    const lws_adopt_desc_t adopt = {
        .vh = t->vhost, .type = LWS_ADOPT_SOCKET, .fd.sockfd = fd, .vh_prot_name = "gw", .opaque = s};
    t->adopting = s;
    struct lws *wsi = lws_adopt_descriptor_vhost_via_info(&adopt); /* takes fd, also on failure */
    t->adopting = NULL;
    if (!wsi) {
        bgw_metric_add(BGW_M_CONNECTIONS_REFUSED_OVERLOAD, 1);
        bgw_pool_give(&t->sockets, s);
        return;
    }
    open_socket(s, peer);
}

/* ---- life of a transport ---- */

static void emit_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");
    (void)level;
    BGW_LOG(BGW_LOG_ERROR, "libwebsockets", {"text", LSL(bgw_slice_of(line, len))});
}

/* Some containers allow 2^30 descriptors; beyond ten million the library quietly takes 2,560 for its tables. */
static void cap_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= DESCRIPTORS_MAX)
        return;
    limit.rlim_cur = DESCRIPTORS_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The descriptor limit of this moment is what the context can ever hold: raise it before. */
static enum bgw_status create_context(struct bgw_transport *t)
{
    /* Zeros: the default policy would put a validity timer for each connection on a sorted list. */
    static const lws_retry_bo_t no_validity_timers;
    void *loops[] = {t};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = "gw",
        .protocols = protocols,
        .event_lib_custom = &loop_plugin,
        .foreign_loops = loops,
        .retry_and_idle_policy = &no_validity_timers,
        .pt_serv_buf_size = SERV_BUF_BYTES,
        .alpn = "http/1.1",
        .log_cx = &t->log,
    };
    t->log.u.emit = emit_log;
    t->log.lll_flags = LLL_ERR;
    cap_descriptor_limit();
    lws_set_log_level(LLL_ERR, emit_log);
    t->context = lws_create_context(&info);
    if (!t->context)
        return BGW_NO_MEMORY;
    t->vhost = lws_get_vhost_by_name(t->context, "gw");
    BGW_ASSERT(t->vhost);
    return BGW_OK;
}

static enum bgw_status create_listener(struct bgw_transport *t,
                                       const struct bgw_transport_config *config, int fd)
{
    const struct bgw_listener_config c = {
        .fd = fd,
        .accepts_per_s = config->limits.handshakes_per_s,
        .so_sndbuf = config->so_sndbuf,
        .linger_ms = config->linger_ms,
        .arg = t,
        .has_room = has_room,
        .admitted = admitted,
    };
    return bgw_listener_create(&t->listener, t->loop, &c);
}

static struct bgw_transport *allocate(struct bgw_loop *loop, const struct bgw_transport_config *config,
                                      const struct bgw_transport_ops *ops)
{
    struct bgw_transport *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->loop = loop;
    t->ops = *ops;
    t->stall_ms = config->stall_ms;
    t->linger_ms = config->linger_ms;
    t->sockets_max = config->sockets_max;
    bgw_pool_init(&t->sockets, sizeof(struct bgw_socket), config->sockets_max);
    bgw_list_init(&t->open);
    bgw_list_init(&t->doomed);
    return t;
}

enum bgw_status bgw_transport_create(struct bgw_transport **out, struct bgw_loop *loop,
                                     const struct bgw_transport_config *config,
                                     const struct bgw_transport_ops *ops)
{
    int fd = config->listen_fd;
    char bound[BGW_PEER_TEXT_MAX] = "";
    *out = NULL;
    if (fd < 0) {
        enum bgw_status status = bgw_transport_bind(config->listen, &fd, bound, sizeof(bound));
        if (status != BGW_OK)
            return status;
    } else {
        bgw_transport_describe(fd, bound, sizeof(bound));
    }
    struct bgw_transport *t = allocate(loop, config, ops);
    enum bgw_status status = t ? create_context(t) : BGW_NO_MEMORY;
    if (status != BGW_OK) {
        close(fd);
        bgw_transport_destroy(&t);
        return status;
    }
    memcpy(t->bound, bound, sizeof(bound));
    status = create_listener(t, config, fd);
    if (status != BGW_OK) {
        bgw_transport_destroy(&t);
        return status;
    }
    *out = t;
    return BGW_OK;
}

/* Closes what is doomed; a hang-up without input is what makes the library close at once. */
static void reap(struct bgw_transport *t)
{
    while (!bgw_list_empty(&t->doomed)) {
        struct bgw_list *first = t->doomed.next;
        serve(BGW_CONTAINER(first, struct bgw_socket, link), LWS_POLLHUP);
        BGW_ASSERT(t->doomed.next != first || bgw_list_empty(&t->doomed));
    }
}

void bgw_transport_destroy(struct bgw_transport **transport)
{
    struct bgw_transport *t = *transport;
    if (!t)
        return;
    BGW_ASSERT(!t->serving && !t->adopting);
    bgw_listener_destroy(&t->listener);
    while (!bgw_list_empty(&t->open))
        doom(BGW_CONTAINER(t->open.next, struct bgw_socket, link));
    reap(t);
    if (t->context)
        lws_context_destroy(t->context);
    bgw_pool_deinit(&t->sockets);
    free(t);
    *transport = NULL;
}

void bgw_transport_stop_listening(struct bgw_transport *t)
{
    bgw_listener_stop(t->listener);
}

void bgw_transport_set_limits(struct bgw_transport *t, const struct bgw_transport_limits *limits)
{
    (void)t;
    (void)limits;
}

size_t bgw_transport_count(const struct bgw_transport *t)
{
    return t->count;
}

const char *bgw_transport_bound(const struct bgw_transport *t)
{
    return t->bound;
}

void bgw_transport_turn_end(struct bgw_transport *t)
{
    reap(t);
    if (!t->forced_service)
        return;
    t->forced_service = false;
    _lws_plat_service_forced_tsi(t->context, 0);
}

int64_t bgw_transport_wait_max_ms(struct bgw_transport *t)
{
    int ms = lws_service_adjust_timeout(t->context, WAIT_MAX_MS, 0);
    t->forced_service = ms == 0;
    return bgw_list_empty(&t->doomed) ? ms : 0;
}

/* ---- for the connection above ---- */

/*
 * A direct lws_write, not a detour over WRITEABLE: the manual's reason against it is that a second
 * write may meet a partial first one and grow the library's heap queue, and that is excluded here
 * (asserted). In the RAW role it is one send(), 0.96 of a bare loop against 0.92 for the detour,
 * and the answer is known at once, so nobody has to keep a copy of the bytes.
 */
enum bgw_sent bgw_socket_send(struct bgw_socket *s, struct bgw_slice bytes)
{
    if (s->doomed || s->finishing)
        return BGW_SENT_BUFFERED;
    BGW_ASSERT(!s->buffered);
    if (bytes.len == 0)
        return BGW_SENT_ALL;
    /* RAW writes put nothing before the bytes and change none: no LWS_PRE, and the cast is safe */
    int n = lws_write(s->wsi, (unsigned char *)(uintptr_t)bytes.data, bytes.len, LWS_WRITE_RAW);
    if (n < 0) {
        doom(s);
        return BGW_SENT_BUFFERED;
    }
    bgw_metric_add(BGW_M_WRITES, 1);
    bgw_metric_add(BGW_M_WRITE_BYTES, (int64_t)bytes.len);
    if (!lws_partial_buffered(s->wsi))
        return BGW_SENT_ALL;
    bgw_metric_add(BGW_M_WRITES_PARTIAL, 1);
    s->buffered = true;
    arm_stall(s);
    watch_unless_serving(s);
    return BGW_SENT_BUFFERED;
}

bool bgw_socket_buffered(const struct bgw_socket *s)
{
    return s->buffered;
}

void bgw_socket_pause(struct bgw_socket *s, bool paused)
{
    if (s->doomed || s->finishing)
        return;
    s->paused = paused;
    watch_unless_serving(s);
}

void bgw_socket_finish(struct bgw_socket *s)
{
    if (s->doomed || s->finishing)
        return;
    s->finishing = true;
    s->paused = false; /* what comes is dropped until the peer ends */
    if (s->buffered)
        arm_stall(s);
    else
        half_close(s);
    watch_unless_serving(s);
}

void bgw_socket_abort(struct bgw_socket *s)
{
    doom(s);
}

const struct bgw_addr *bgw_socket_peer(const struct bgw_socket *s)
{
    return &s->peer;
}

const struct bgw_addr *bgw_socket_neighbour(const struct bgw_socket *s)
{
    return &s->neighbour;
}

bool bgw_socket_secure(const struct bgw_socket *s)
{
    (void)s;
    return false;
}

bool bgw_socket_peer_verified(const struct bgw_socket *s)
{
    (void)s;
    return false;
}

struct bgw_loop *bgw_socket_loop(const struct bgw_socket *s)
{
    return s->transport->loop;
}
