/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: hides accepting. Called by the transport on its loop's thread.
 * Invariants: nothing spins - whenever a connection cannot be taken now, the socket is left alone
 * until a timer or a freed descriptor says otherwise; everyone who was accepted is either handed
 * over or told 503; a batch is at most ACCEPTS_PER_TURN_MAX, so other sockets get their turn.
 * The descriptor stays ours until `admitted`: a PROXY line or a TLS hello is to be read before it.
 */
#include "listener.h"

#include "bgw/assert.h"
#include "bgw/list.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN_MAX 64
#define BACKLOG 65535         /* the kernel cuts it to net.core.somaxconn */
#define LINGERING_MAX 64      /* refusals that still wait for the peer's end; beyond: closed at once */
#define BACKLOG_REFUSED_MAX 4096 /* at stop */
#define FD_HEADROOM 64        /* left to Kafka, logs, files and the other rooms */
#define SHORT_RETRY_MS 100    /* out of descriptors or memory: look again after this */
#define PACE_MS 5             /* the accept budget is empty: granularity of waiting */

static const char refusal_text[] =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "Content-Type: application/problem+json\r\n"
    "Content-Length: 72\r\n"
    "Retry-After: 1\r\n"
    "Connection: close\r\n"
    "\r\n"
    "{\"title\":\"No room for this connection\",\"status\":503,\"code\":\"overloaded\"}";

/* loop's thread only: a refused connection in its lingering close */
struct refusal {
    struct bgw_loop_fd watch;
    struct bgw_timer timer;
    struct bgw_list link; /* on `idle` or on `lingering` */
    struct bgw_listener *listener;
};

struct bgw_listener { /* loop's thread only */
    struct bgw_loop *loop;
    struct bgw_listener_config config;
    struct bgw_loop_fd watch;
    struct bgw_timer resume; /* armed while not watching */
    bool watching, short_of_fds;
    int reserve_fd; /* given up for a moment to answer somebody when there is no other */
    int fd_refuse_from;
    int64_t tokens_milli, tokens_at_ms;
    struct bgw_list idle, lingering;
    struct refusal refusals[LINGERING_MAX];
};

/* ---- refusals ---- */

static void refusal_end(struct refusal *r)
{
    struct bgw_listener *l = r->listener;
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &r->timer);
    bgw_loop_detach(l->loop, &r->watch);
    close(r->watch.fd);
    bgw_list_remove(&r->link);
    bgw_list_push_back(&l->idle, &r->link);
}

/* Drops what has come; false once there is no more to come. */
static bool drop_input(int fd)
{
    char dropped[4096];
    ssize_t n = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void refusal_ready(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    if (!drop_input(f->fd))
        refusal_end(BGW_CONTAINER(f, struct refusal, watch));
}

static void refusal_timeout(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    refusal_end(BGW_CONTAINER(timer, struct refusal, timer));
}

static bool linger(struct bgw_listener *l, int fd)
{
    if (bgw_list_empty(&l->idle) || shutdown(fd, SHUT_WR))
        return false;
    struct refusal *r = BGW_CONTAINER(l->idle.next, struct refusal, link);
    r->watch = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = refusal_ready};
    if (bgw_loop_attach(l->loop, &r->watch) != BGW_OK)
        return false;
    bgw_list_remove(&r->link);
    bgw_list_push_back(&l->lingering, &r->link);
    int64_t now_ms = bgw_loop_now(l->loop).mono_ms;
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &r->timer, now_ms + l->config.linger_ms);
    return true;
}

/* Takes fd. Unread input at close would make the kernel send a reset that can overtake the answer. */
static void refuse(struct bgw_listener *l, int fd, enum bgw_metric reason, bool may_linger)
{
    bgw_metric_add(reason, 1);
    (void)!send(fd, refusal_text, sizeof(refusal_text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (may_linger && linger(l, fd))
        return;
    drop_input(fd);
    close(fd);
}

/* ---- watching ---- */

static void pause_accepting(struct bgw_listener *l, int64_t ms)
{
    if (l->watching)
        bgw_loop_detach(l->loop, &l->watch);
    l->watching = false;
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->resume, bgw_loop_now(l->loop).mono_ms + ms);
}

static void resume_accepting(struct bgw_listener *l)
{
    if (l->watch.fd < 0 || l->watching)
        return;
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->resume);
    l->watching = bgw_loop_attach(l->loop, &l->watch) == BGW_OK;
    if (!l->watching)
        pause_accepting(l, SHORT_RETRY_MS);
}

static void resume_due(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    resume_accepting(BGW_CONTAINER(timer, struct bgw_listener, resume));
}

void bgw_listener_on_closed(struct bgw_listener *l)
{
    if (l->short_of_fds)
        resume_accepting(l);
}

/* ---- accepting ---- */

static bool take_token(struct bgw_listener *l)
{
    int64_t rate = l->config.accepts_per_s, now_ms = bgw_loop_now(l->loop).mono_ms;
    if (rate <= 0)
        return true;
    int64_t elapsed_ms = now_ms - l->tokens_at_ms < 1000 ? now_ms - l->tokens_at_ms : 1000;
    l->tokens_at_ms = now_ms;
    l->tokens_milli += elapsed_ms * rate; /* a burst of one second's worth at most */
    if (l->tokens_milli > rate * 1000)
        l->tokens_milli = rate * 1000;
    if (l->tokens_milli < 1000)
        return false;
    l->tokens_milli -= 1000;
    return true;
}

static void describe_peer(const struct sockaddr_storage *ss, char out[BGW_PEER_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (ss->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)ss;
        inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        snprintf(out, BGW_PEER_TEXT_MAX, "%s:%u", host, ntohs(in->sin_port));
        return;
    }
    const struct sockaddr_in6 *in6 = (const void *)ss;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
    if (mapped)
        inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
    else
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
    snprintf(out, BGW_PEER_TEXT_MAX, mapped ? "%s:%u" : "[%s]:%u", host, ntohs(in6->sin6_port));
}

static void open_reserve(struct bgw_listener *l)
{
    if (l->reserve_fd < 0)
        l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor left: the reserved one makes room for an answer. True: somebody was answered. */
static bool answer_with_reserve(struct bgw_listener *l)
{
    l->short_of_fds = true;
    if (l->reserve_fd < 0)
        return false;
    close(l->reserve_fd);
    l->reserve_fd = -1;
    int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        refuse(l, fd, BGW_M_CONNECTIONS_REFUSED_FD_LIMIT, false);
    open_reserve(l);
    return fd >= 0;
}

/* True: go on with the batch. */
static bool accept_failed(struct bgw_listener *l)
{
    switch (errno) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        return answer_with_reserve(l);
    case ENOBUFS:
    case ENOMEM:
        l->short_of_fds = true;
        return false;
    default: /* this connection died in the backlog; or, rarely, an error that waiting must bound */
        if (errno != ECONNABORTED && errno != EINTR && errno != EPROTO)
            l->short_of_fds = true;
        return !l->short_of_fds;
    }
}

static bool accept_one(struct bgw_listener *l)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    char peer[BGW_PEER_TEXT_MAX];
    int fd = accept4(l->watch.fd, (struct sockaddr *)&ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return accept_failed(l);
    if (fd >= l->fd_refuse_from) { /* descriptors are given lowest first: this one says how many are in use */
        l->short_of_fds = true;
        refuse(l, fd, BGW_M_CONNECTIONS_REFUSED_FD_LIMIT, false);
        return true;
    }
    if (!l->config.has_room(l->config.arg)) {
        refuse(l, fd, BGW_M_CONNECTIONS_REFUSED_OVERLOAD, true);
        return true;
    }
    describe_peer(&ss, peer);
    bgw_metric_add(BGW_M_CONNECTIONS_ACCEPTED, 1);
    l->config.admitted(l->config.arg, fd, peer);
    return true;
}

static void ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_listener *l = BGW_CONTAINER(f, struct bgw_listener, watch);
    (void)events;
    l->short_of_fds = false;
    open_reserve(l);
    for (int i = 0; i < ACCEPTS_PER_TURN_MAX && l->watching; i++) {
        if (!take_token(l)) {
            pause_accepting(l, PACE_MS);
            return;
        }
        if (!accept_one(l))
            break;
    }
    if (l->short_of_fds && l->watching) {
        BGW_LOG(BGW_LOG_WARN, "accept_paused", {"reason", LS("short of descriptors")},
                {"room_below", LI(l->fd_refuse_from)});
        pause_accepting(l, SHORT_RETRY_MS);
    }
}

/* ---- life ---- */

static int refuse_from(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > INT32_MAX)
        return INT32_MAX;
    int total = (int)limit.rlim_cur;
    return total - (FD_HEADROOM < total / 8 ? FD_HEADROOM : total / 8);
}

/* Accepted sockets inherit both options from the listening one. */
static enum bgw_status start_listening(struct bgw_listener *l)
{
    int yes = 1, fd = l->watch.fd;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)))
        return BGW_IO;
    if (l->config.so_sndbuf > 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &l->config.so_sndbuf, sizeof(int)))
        return BGW_IO;
    if (listen(fd, BACKLOG))
        return errno == EADDRINUSE ? BGW_ADDRESS_IN_USE : BGW_IO;
    enum bgw_status status = bgw_loop_attach(l->loop, &l->watch);
    l->watching = status == BGW_OK;
    return status;
}

enum bgw_status bgw_listener_create(struct bgw_listener **out, struct bgw_loop *loop,
                                    const struct bgw_listener_config *config)
{
    struct bgw_listener *l = calloc(1, sizeof(*l));
    *out = NULL;
    if (!l) {
        close(config->fd);
        return BGW_NO_MEMORY;
    }
    l->loop = loop;
    l->config = *config;
    l->watch = (struct bgw_loop_fd){.fd = config->fd, .events = EPOLLIN, .ready = ready};
    l->reserve_fd = -1;
    l->fd_refuse_from = refuse_from();
    l->tokens_milli = config->accepts_per_s * 1000;
    l->tokens_at_ms = bgw_loop_now(loop).mono_ms;
    bgw_timer_init(&l->resume, resume_due);
    bgw_list_init(&l->idle);
    bgw_list_init(&l->lingering);
    for (int i = 0; i < LINGERING_MAX; i++) {
        l->refusals[i].listener = l;
        bgw_timer_init(&l->refusals[i].timer, refusal_timeout);
        bgw_list_push_back(&l->idle, &l->refusals[i].link);
    }
    open_reserve(l);
    enum bgw_status status = start_listening(l);
    if (status != BGW_OK) {
        bgw_listener_destroy(&l);
        return status;
    }
    *out = l;
    return BGW_OK;
}

void bgw_listener_stop(struct bgw_listener *l)
{
    if (l->watch.fd < 0)
        return;
    if (l->watching)
        bgw_loop_detach(l->loop, &l->watch);
    l->watching = false;
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->resume);
    for (int i = 0; i < BACKLOG_REFUSED_MAX; i++) { /* closing would reset whoever waits there */
        int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        refuse(l, fd, BGW_M_CONNECTIONS_REFUSED_DRAINING, true);
    }
    close(l->watch.fd);
    l->watch.fd = -1;
}

void bgw_listener_destroy(struct bgw_listener **listener)
{
    struct bgw_listener *l = *listener;
    if (!l)
        return;
    bgw_listener_stop(l);
    while (!bgw_list_empty(&l->lingering))
        refusal_end(BGW_CONTAINER(l->lingering.next, struct refusal, link));
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    free(l);
    *listener = NULL;
}
