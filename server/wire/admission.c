/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission: hides the order in which a new connection is looked at. Called by the transport on its
 * loop's thread. Invariants: nothing is read past a PROXY header and nothing of a hello, so that what
 * follows finds its bytes where they were; whoever waits has a deadline from accept; a client costs a
 * descriptor and some 250 bytes until its hello is there; nobody spins, for what is left unread is
 * taken in the next turn at the latest.
 */
#include "admission.h"

#include "proxy_header.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TLS_HANDSHAKE 0x16 /* the first byte of whatever is a TLS hello */

enum stage { STAGE_HEADER, STAGE_HELLO };
enum outcome { OUTCOME_WAIT, OUTCOME_NEXT, OUTCOME_OVER }; /* OVER: the arrival is gone */

struct arrival { /* its loop's thread only: one connection that is waited for */
    struct bgw_loop_fd watch;
    struct bgw_timer timer;
    struct bgw_list link;
    struct bgw_admission *admission;
    struct bgw_admitted who;
    struct bgw_addr neighbour; /* who holds the other end: a proxy, perhaps */
    int64_t deadline_ms;
    enum stage stage;
    size_t have, skipped; /* bytes of the PROXY header: kept, and read past those */
    char header[BGW_PROXY_NEED_MAX];
};

struct bgw_admission { /* its loop's thread only */
    struct bgw_admission_config config;
    struct bgw_transport_limits limits;
    struct bgw_pool arrivals;
    struct bgw_list waiting;
    int hellos_left;
};

/* ---- ends ---- */

void bgw_admission_give_back(struct bgw_admission *a, const struct bgw_admitted *who)
{
    if (who->counted)
        bgw_quota_give(a->config.quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&who->peer));
}

/* The arrival is over; its descriptor is the caller's. */
static int let_go(struct arrival *w)
{
    struct bgw_admission *a = w->admission;
    int fd = w->watch.fd;
    bgw_wheel_cancel(bgw_loop_wheel(a->config.loop), &w->timer);
    bgw_loop_detach(a->config.loop, &w->watch);
    bgw_list_remove(&w->link);
    bgw_pool_give(&a->arrivals, w);
    return fd;
}

static enum outcome drop(struct arrival *w)
{
    struct bgw_admission *a = w->admission;
    bgw_admission_give_back(a, &w->who);
    close(let_go(w));
    a->config.gone(a->config.arg);
    return OUTCOME_OVER;
}

static enum outcome drop_counted(struct arrival *w, enum bgw_metric counter)
{
    bgw_metric_add(counter, 1);
    return drop(w);
}

static void give_up(struct arrival *w)
{
    BGW_LOG(BGW_LOG_DEBUG, "admission_timeout", {"waited_for", LS(w->stage == STAGE_HEADER ? "proxy header" : "TLS hello")});
    drop_counted(w, w->stage == STAGE_HEADER ? BGW_M_CONNECTIONS_REFUSED_ADMISSION_TIMEOUT : BGW_M_TLS_TIMEOUT);
}

static void deadline_due(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    give_up(BGW_CONTAINER(timer, struct arrival, timer));
}

bool bgw_admission_make_way(struct bgw_admission *a)
{
    if (bgw_list_empty(&a->waiting))
        return false;
    give_up(BGW_CONTAINER(a->waiting.next, struct arrival, link));
    return true;
}

/* ---- the client's address ---- */

/* A proxy's own address stands for many clients: it is never counted as one. */
static bool take_place(struct bgw_admission *a, struct bgw_admitted *who)
{
    if (!a->config.quota || !bgw_addr_known(&who->peer) || bgw_nets_contain(a->limits.trusted_proxies, &who->peer))
        return true;
    return bgw_quota_take(a->config.quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&who->peer), a->limits.per_address_max,
                          &who->counted);
}

/* ---- stages ---- */

/* > 0: so many bytes; 0: wait; -1: the peer has ended or is gone */
static ssize_t read_some(int fd, char *to, size_t cap, int flags)
{
    ssize_t n = recv(fd, to, cap, flags | MSG_DONTWAIT);
    if (n > 0)
        return n;
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static enum outcome bad_header(struct arrival *w)
{
    char text[BGW_ADDR_TEXT_MAX];
    bgw_addr_format(&w->neighbour, text);
    BGW_LOG(BGW_LOG_WARN, "bad_proxy_header", {"proxy", LS(text)});
    return drop_counted(w, BGW_M_CONNECTIONS_REFUSED_BAD_PROXY_HEADER);
}

static enum outcome skip_rest(struct arrival *w, size_t total)
{
    char scratch[512];
    while (w->have + w->skipped < total) {
        size_t left = total - w->have - w->skipped;
        ssize_t n = read_some(w->watch.fd, scratch, left < sizeof(scratch) ? left : sizeof(scratch), 0);
        if (n <= 0)
            return n == 0 ? OUTCOME_WAIT : bad_header(w);
        w->skipped += (size_t)n;
    }
    return OUTCOME_NEXT;
}

static enum outcome read_header(struct arrival *w)
{
    struct bgw_proxy_header h;
    enum bgw_proxy_result result;
    while ((result = bgw_proxy_parse(bgw_slice_of(w->header, w->have), &h)) == BGW_PROXY_MORE) {
        BGW_ASSERT(h.need > w->have && h.need <= sizeof(w->header));
        ssize_t n = read_some(w->watch.fd, w->header + w->have, h.need - w->have, 0);
        if (n == 0)
            return OUTCOME_WAIT;
        if (n < 0) /* without a byte it was somebody who looked whether the port is open */
            return w->have ? bad_header(w) : drop(w);
        w->have += (size_t)n;
    }
    if (result == BGW_PROXY_BAD)
        return bad_header(w);
    enum outcome skipped = skip_rest(w, h.total);
    if (skipped != OUTCOME_NEXT)
        return skipped;
    if (bgw_addr_known(&h.addr))
        w->who.peer = h.addr;
    if (take_place(w->admission, &w->who))
        return OUTCOME_NEXT;
    struct bgw_admission *a = w->admission;
    bgw_refuse(a->config.refuser, let_go(w), &bgw_refused_address_limit, true);
    return OUTCOME_OVER;
}

/* Only looked at: the handshake will read it. */
static enum outcome await_hello(struct arrival *w)
{
    struct bgw_admission *a = w->admission;
    char first;
    ssize_t n = read_some(w->watch.fd, &first, 1, MSG_PEEK);
    if (n <= 0)
        return n == 0 ? OUTCOME_WAIT : drop(w);
    if (first != TLS_HANDSHAKE)
        return drop_counted(w, BGW_M_TLS_FAILED);
    if (a->hellos_left == 0)
        return OUTCOME_WAIT; /* it is still there in the next turn */
    a->hellos_left--;
    return OUTCOME_NEXT;
}

static void hand_over(struct arrival *w)
{
    struct bgw_admission *a = w->admission;
    const struct bgw_admitted who = w->who;
    int64_t deadline_ms = w->deadline_ms;
    int fd = let_go(w);
    a->config.admitted(a->config.arg, fd, &who, deadline_ms);
}

static void proceed(struct arrival *w)
{
    enum outcome outcome = OUTCOME_NEXT;
    if (w->stage == STAGE_HEADER) {
        outcome = read_header(w);
        if (outcome == OUTCOME_NEXT)
            w->stage = STAGE_HELLO;
    }
    if (outcome == OUTCOME_NEXT && w->admission->config.secure)
        outcome = await_hello(w);
    if (outcome == OUTCOME_NEXT)
        hand_over(w);
}

static void input_ready(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    proceed(BGW_CONTAINER(f, struct arrival, watch));
}

/* ---- arriving ---- */

/* somebody at the door */
struct comer {
    struct bgw_admitted who;
    struct bgw_addr neighbour;
    int64_t deadline_ms;
};

static void wait_for(struct bgw_admission *a, int fd, const struct comer *c, enum stage stage)
{
    struct arrival *w = bgw_pool_take(&a->arrivals);
    if (w) {
        w->admission = a;
        w->who = c->who;
        w->neighbour = c->neighbour;
        w->deadline_ms = c->deadline_ms;
        w->stage = stage;
        w->watch = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = input_ready};
        if (bgw_loop_attach(a->config.loop, &w->watch) == BGW_OK) {
            bgw_timer_init(&w->timer, deadline_due);
            bgw_wheel_arm(bgw_loop_wheel(a->config.loop), &w->timer, c->deadline_ms);
            bgw_list_push_back(&a->waiting, &w->link);
            proceed(w); /* most have sent it already */
            return;
        }
        bgw_pool_give(&a->arrivals, w);
    }
    bgw_admission_give_back(a, &c->who);
    bgw_refuse(a->config.refuser, fd, &bgw_refused_overload, true);
}

void bgw_admission_arrived(struct bgw_admission *a, int fd, const struct sockaddr *peer)
{
    struct comer c = {.deadline_ms = bgw_loop_now(a->config.loop).mono_ms + a->limits.tls_ms};
    if (bgw_addr_of_sockaddr(peer, &c.neighbour))
        c.who.peer = c.neighbour;
    if (a->limits.proxy_protocol && bgw_nets_contain(a->limits.trusted_proxies, &c.neighbour))
        wait_for(a, fd, &c, STAGE_HEADER);
    else if (!take_place(a, &c.who))
        bgw_refuse(a->config.refuser, fd, &bgw_refused_address_limit, true);
    else if (a->config.secure)
        wait_for(a, fd, &c, STAGE_HELLO);
    else
        a->config.admitted(a->config.arg, fd, &c.who, c.deadline_ms);
}

size_t bgw_admission_waiting(const struct bgw_admission *a)
{
    return a->arrivals.in_use;
}

void bgw_admission_turn_end(struct bgw_admission *a)
{
    a->hellos_left = BGW_HELLOS_PER_TURN;
}

/* ---- life ---- */

void bgw_admission_set_limits(struct bgw_admission *a, const struct bgw_transport_limits *limits)
{
    a->limits = *limits;
}

enum bgw_status bgw_admission_create(struct bgw_admission **out, const struct bgw_admission_config *config,
                                     const struct bgw_transport_limits *limits)
{
    struct bgw_admission *a = calloc(1, sizeof(*a));
    *out = a;
    if (!a)
        return BGW_NO_MEMORY;
    a->config = *config;
    a->limits = *limits;
    a->hellos_left = BGW_HELLOS_PER_TURN;
    bgw_pool_init(&a->arrivals, sizeof(struct arrival), config->waiting_max);
    bgw_list_init(&a->waiting);
    return BGW_OK;
}

void bgw_admission_stop(struct bgw_admission *a)
{
    while (!bgw_list_empty(&a->waiting)) {
        struct arrival *w = BGW_CONTAINER(a->waiting.next, struct arrival, link);
        bgw_admission_give_back(a, &w->who);
        bgw_refuse(a->config.refuser, let_go(w), &bgw_refused_draining, true);
    }
}

void bgw_admission_destroy(struct bgw_admission **admission)
{
    struct bgw_admission *a = *admission;
    if (!a)
        return;
    while (!bgw_list_empty(&a->waiting)) {
        struct arrival *w = BGW_CONTAINER(a->waiting.next, struct arrival, link);
        bgw_admission_give_back(a, &w->who);
        close(let_go(w));
    }
    bgw_pool_deinit(&a->arrivals);
    free(a);
    *admission = NULL;
}
