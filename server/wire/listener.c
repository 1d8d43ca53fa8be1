/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener: hides accepting. Called by the transport on its loop's thread.
 * Invariants: nothing spins - whenever a connection cannot be taken now, the socket is left alone
 * until a timer or a freed descriptor says otherwise; everyone who was accepted is either handed
 * over or refused; a batch is at most ACCEPTS_PER_TURN_MAX, so other sockets get their turn.
 * Who comes when the budget is spent waits in the backlog; once it has been spent for
 * BACKLOG_PATIENCE_MS without a pause, those who wait are told when to come back, a few at a time.
 */
#include "listener.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#define ACCEPTS_PER_TURN_MAX 64
#define BACKLOG 65535         /* the kernel cuts it to net.core.somaxconn */
#define BACKLOG_REFUSED_MAX 4096 /* at stop */
#define FD_HEADROOM 64        /* left to Kafka, logs, files and the other rooms */
#define SHORT_RETRY_MS 100    /* out of descriptors or memory: look again after this */
#define PACE_MS 5             /* the budget is spent: granularity of waiting */
#define PACE_GAP_MS 100       /* not spent for this long: what comes next is another storm */
#define BACKLOG_PATIENCE_MS 2000
#define REFUSED_PER_PACE 32   /* 6,400 a second at most, some 15 % of a core */

struct bgw_listener { /* loop's thread only */
    struct bgw_loop *loop;
    struct bgw_listener_config config;
    struct bgw_loop_fd watch;
    struct bgw_timer resume; /* armed while not watching */
    bool watching, short_of_fds;
    int reserve_fd; /* given up for a moment to answer somebody when there is no other */
    int fd_refuse_from;
    struct bgw_budget budget;
    int64_t spent_since_ms, spent_at_ms; /* the budget, while clients waited: from, and last seen */
};

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
    return bgw_budget_take(&l->budget, l->config.per_s, bgw_loop_now(l->loop).mono_ms);
}

static void open_reserve(struct bgw_listener *l)
{
    if (l->reserve_fd < 0)
        l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/*
 * Over all shards nobody accepts while one has given its reserve up for a moment: else another one would take the descriptor, and
 * keep it, and the first could answer nobody until a client leaves.
 */
static pthread_mutex_t accepting = PTHREAD_MUTEX_INITIALIZER; /* any thread */

static int accept_next(struct bgw_listener *l, struct sockaddr *peer, socklen_t *len)
{
    pthread_mutex_lock(&accepting);
    int fd = accept4(l->watch.fd, peer, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    int why = errno;
    pthread_mutex_unlock(&accepting);
    errno = why;
    return fd;
}

/* No descriptor left: the reserved one makes room for an answer. True: somebody was answered. */
static bool answer_with_reserve(struct bgw_listener *l)
{
    l->short_of_fds = true;
    if (l->reserve_fd < 0)
        return false;
    pthread_mutex_lock(&accepting);
    close(l->reserve_fd);
    l->reserve_fd = -1;
    int fd = accept4(l->watch.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        bgw_refuse(l->config.refuser, fd, &bgw_refused_fd_limit, false);
    open_reserve(l);
    pthread_mutex_unlock(&accepting);
    return fd >= 0;
}

/* True: go on with the batch. */
static bool accept_failed(struct bgw_listener *l)
{
    switch (errno) {
    case EAGAIN: /* everybody has been taken */
        l->spent_since_ms = 0;
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
    int fd = accept_next(l, (struct sockaddr *)&ss, &len);
    if (fd < 0)
        return accept_failed(l);
    if (fd >= l->fd_refuse_from) { /* descriptors are given lowest first: this one says how many are in use */
        l->short_of_fds = true;
        bgw_refuse(l->config.refuser, fd, &bgw_refused_fd_limit, false);
        return true;
    }
    if (!l->config.has_room(l->config.arg)) {
        bgw_refuse(l->config.refuser, fd, &bgw_refused_overload, true);
        return true;
    }
    bgw_metric_add(BGW_M_CONNECTIONS_ACCEPTED, 1);
    l->config.arrived(l->config.arg, fd, (struct sockaddr *)&ss);
    return true;
}

static void turn_away(struct bgw_listener *l)
{
    for (int i = 0; i < REFUSED_PER_PACE; i++) {
        int fd = accept_next(l, NULL, NULL);
        if (fd < 0) {
            (void)accept_failed(l);
            return;
        }
        bgw_refuse(l->config.refuser, fd, &bgw_refused_budget, fd < l->fd_refuse_from);
    }
}

/* Somebody waits and the budget is spent. */
static void wait_for_budget(struct bgw_listener *l)
{
    int64_t now_ms = bgw_loop_now(l->loop).mono_ms;
    if (l->spent_since_ms == 0 || now_ms - l->spent_at_ms > PACE_GAP_MS)
        l->spent_since_ms = now_ms;
    l->spent_at_ms = now_ms;
    if (now_ms - l->spent_since_ms >= BACKLOG_PATIENCE_MS)
        turn_away(l);
    pause_accepting(l, PACE_MS);
}

static void ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_listener *l = BGW_CONTAINER(f, struct bgw_listener, watch);
    (void)events;
    l->short_of_fds = false;
    open_reserve(l);
    for (int i = 0; i < ACCEPTS_PER_TURN_MAX && l->watching; i++) {
        if (!take_token(l)) {
            wait_for_budget(l);
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

static bool set_option(const struct bgw_listener *l, int level, int name, int value)
{
    return value <= 0 || setsockopt(l->watch.fd, level, name, &value, sizeof(value)) == 0;
}

/* Accepted sockets inherit all of these from the listening one (shown by a test, for the manuals do not say it). */
static bool set_options(const struct bgw_listener *l)
{
    const struct bgw_listener_config *c = &l->config;
    return set_option(l, IPPROTO_TCP, TCP_NODELAY, 1) && set_option(l, SOL_SOCKET, SO_SNDBUF, c->so_sndbuf) &&
           set_option(l, IPPROTO_TCP, TCP_USER_TIMEOUT, c->tcp_user_timeout_ms) &&
           set_option(l, IPPROTO_TCP, TCP_NOTSENT_LOWAT, c->tcp_notsent_lowat);
}

static enum bgw_status start_listening(struct bgw_listener *l)
{
    int fd = l->watch.fd;
    if (!set_options(l))
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
    config->refuser->budget = &l->budget;
    config->refuser->per_s = config->per_s;
    bgw_timer_init(&l->resume, resume_due);
    open_reserve(l);
    enum bgw_status status = start_listening(l);
    if (status != BGW_OK) {
        bgw_listener_destroy(&l);
        return status;
    }
    *out = l;
    return BGW_OK;
}

void bgw_listener_set_budget(struct bgw_listener *l, int64_t per_s)
{
    l->config.per_s = per_s;
    l->config.refuser->per_s = per_s;
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
        bgw_refuse(l->config.refuser, fd, &bgw_refused_draining, true);
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
    l->config.refuser->budget = NULL;
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
    free(l);
    *listener = NULL;
}
