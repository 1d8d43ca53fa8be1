/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_socket: hides the states of one connection: shaking hands, open, buffered, half-closed,
 * doomed. On its loop's thread.
 * With TLS the bytes go through the library, without through transport_plain.c.
 * Invariants: bytes are written only while nothing is buffered, so never more than one write of ours
 * is kept; a socket with buffered bytes is not watched for input (the library would not read and the
 * loop would spin), nor is one whose TLS has to write before it can read; every wait is on our own
 * wheel; the library is never entered from inside itself except to write, so closes wait for the end
 * of the turn; close_notify is said when, and only when, everything was.
 */
#include "transport_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "bgw/tls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- watching ---- */

static void watch_again(struct bgw_socket *s)
{
    if (!s->attached)
        return;
    /* drained but `writable` not told yet: input gets its turn, or one who is always behind is never heard */
    bool stuck = !s->secure ? s->buffered : s->buffered ? lws_partial_buffered(s->wsi) : s->want_out;
    bool in = s->want_in && !s->paused && !stuck && !s->doomed;
    bool out = s->want_out || s->ending || s->rest;
    if (s->half_closed && s->secure) { /* the library is done with it */
        in = true;
        out = false;
    }
    bgw_loop_change(s->transport->loop, &s->watch, (in ? (uint32_t)EPOLLIN : 0) | (out ? (uint32_t)EPOLLOUT : 0));
}

/* While the library handles this socket its wishes still change; `serve` looks when it is done. */
static void watch_unless_serving(struct bgw_socket *s)
{
    if (s->transport->serving != s)
        watch_again(s);
}

void bgw_socket_doom(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (s->doomed)
        return;
    s->doomed = true;
    bgw_wheel_cancel(bgw_loop_wheel(t->loop), &s->timer);
    bgw_list_remove(&s->link);
    bgw_list_push_back(&t->doomed, &s->link);
}

/* ---- deadlines ---- */

static void arm_timer(struct bgw_socket *s, int64_t after_ms)
{
    struct bgw_transport *t = s->transport;
    if (after_ms > 0)
        bgw_wheel_arm(bgw_loop_wheel(t->loop), &s->timer, bgw_loop_now(t->loop).mono_ms + after_ms);
}

/* Buffered bytes have moved, or there are some from now on. */
static void arm_stall(struct bgw_socket *s)
{
    const struct bgw_transport *t = s->transport;
    arm_timer(s, s->finishing && t->stall_ms <= 0 ? t->linger_ms : t->stall_ms);
}

void bgw_socket_progress(struct bgw_socket *s)
{
    arm_stall(s);
}

static void timer_due(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_socket *s = BGW_CONTAINER(timer, struct bgw_socket, timer);
    (void)now_ms;
    if (s->handshaking)
        bgw_metric_add(BGW_M_TLS_TIMEOUT, 1);
    else if (s->buffered || s->ending)
        bgw_metric_add(BGW_M_CONNECTIONS_STALLED, 1);
    bgw_socket_doom(s);
}

/* ---- opening ---- */

static void open_socket(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    bgw_list_remove(&s->link);
    bgw_list_push_back(&t->open, &s->link);
    s->opened = true;
    t->count++;
    bgw_metric_add(BGW_M_CONNECTIONS, 1);
    s->user = t->ops.opened(t->ops.arg, s);
    if (s->user)
        return;
    s->opened = false; /* refused: nothing is owed */
    t->count--;
    bgw_metric_add(BGW_M_CONNECTIONS, -1);
    bgw_socket_doom(s);
}

static void end_handshake(struct bgw_socket *s)
{
    s->handshaking = false;
    s->transport->handshakes--;
}

static void open_if_established(struct bgw_socket *s)
{
    if (!s->handshaking || s->doomed || !bgw_tls_established(lws_get_ssl(s->wsi)))
        return;
    end_handshake(s);
    bgw_wheel_cancel(bgw_loop_wheel(s->transport->loop), &s->timer);
    lws_set_timeout(s->wsi, NO_PENDING_TIMEOUT, 0); /* ours follow */
    bgw_metric_add(BGW_M_TLS_OK, 1);
    open_socket(s);
}

/* ---- serving ---- */

static void serve_plain(struct bgw_socket *s, uint32_t events)
{
    struct bgw_transport *t = s->transport;
    BGW_ASSERT(!t->serving);
    t->serving = s;
    bgw_plain_ready(s, events);
    t->serving = NULL;
    watch_again(s);
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
    if (t->serving) {
        open_if_established(s);
        watch_again(s);
    }
    t->serving = NULL;
}

void bgw_socket_reap(struct bgw_socket *s)
{
    if (s->secure) {
        serve(s, LWS_POLLHUP); /* a hang-up without input is what makes the library close at once */
        return;
    }
    bgw_socket_on_closed(s);
    bgw_socket_on_gone(s);
}

/* Everything is said. What the peer still sends is not decrypted any more, only taken off the wire. */
static void drop_input(struct bgw_socket *s)
{
    char dropped[4096];
    ssize_t n = recv(s->watch.fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        bgw_socket_doom(s);
}

static void half_close(struct bgw_socket *s)
{
    enum bgw_status said = s->secure ? bgw_tls_end(lws_get_ssl(s->wsi)) : BGW_OK;
    s->ending = said == BGW_AGAIN;
    if (s->ending)
        arm_stall(s);
    else if (said != BGW_OK || s->transport->linger_ms <= 0 || shutdown(s->watch.fd, SHUT_WR))
        bgw_socket_doom(s);
    else {
        s->half_closed = true;
        arm_timer(s, s->transport->linger_ms);
    }
}

static void socket_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_socket *s = BGW_CONTAINER(f, struct bgw_socket, watch);
    int revents = 0;
    if (s->doomed)
        return;
    if (!s->secure) {
        serve_plain(s, events);
        return;
    }
    if (s->half_closed) {
        drop_input(s);
        return;
    }
    if (s->ending && (events & EPOLLOUT)) {
        half_close(s);
        watch_again(s);
        return;
    }
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

void bgw_socket_begin(struct bgw_socket *s, struct bgw_transport *t, int fd, const struct bgw_admitted *who, int64_t deadline_ms)
{
    s->transport = t;
    s->who = *who;
    s->want_in = true;
    s->secure = t->tls != NULL;
    s->watch = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = socket_ready};
    bgw_timer_init(&s->timer, timer_due);
    s->timer.due_ms = deadline_ms; /* armed when it is adopted */
    bgw_list_init(&s->link);
    s->handshaking = s->secure;
    t->handshakes += s->secure;
}

void bgw_socket_adopted(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (!s->secure) {
        open_socket(s);
        return;
    }
    lws_set_timeout(s->wsi, NO_PENDING_TIMEOUT, 0); /* the library's is on a sorted list */
    bgw_list_push_back(&t->handshaking, &s->link);
    bgw_wheel_arm(bgw_loop_wheel(t->loop), &s->timer, s->timer.due_ms);
    open_if_established(s);
    watch_again(s);
}

/* ---- what the library says ---- */

void bgw_socket_on_received(struct bgw_socket *s, struct bgw_slice bytes)
{
    bgw_metric_add(BGW_M_READ_BYTES, (int64_t)bytes.len);
    if (s->opened && !s->doomed && !s->finishing)
        s->transport->ops.received(s->user, bytes);
}

void bgw_socket_on_writable(struct bgw_socket *s)
{
    if (!s->buffered || s->doomed)
        return;
    if (lws_partial_buffered(s->wsi)) { /* `received`, in the same event, has written again */
        lws_callback_on_writable(s->wsi);
        return;
    }
    bgw_socket_drained(s);
}

void bgw_socket_drained(struct bgw_socket *s)
{
    s->buffered = false;
    bgw_wheel_cancel(bgw_loop_wheel(s->transport->loop), &s->timer);
    if (s->finishing)
        half_close(s);
    else
        s->transport->ops.writable(s->user);
}

/* The peer has ended first, in order, and nothing of ours is cut off: it gets the answer that it may wait for. */
static void answer_end(struct bgw_socket *s)
{
    struct ssl_st *ssl = s->secure && !s->half_closed ? lws_get_ssl(s->wsi) : NULL;
    if (ssl && !s->buffered && bgw_tls_established(ssl) && bgw_tls_peer_ended(ssl))
        (void)!bgw_tls_end(ssl);
}

void bgw_socket_on_closed(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (!s->opened) /* nobody has been told of it */
        return;
    if (!s->doomed)
        answer_end(s);
    s->doomed = true; /* whatever the callback still asks for is dropped */
    s->opened = false;
    t->count--;
    bgw_metric_add(BGW_M_CONNECTIONS, -1);
    t->ops.closed(s->user);
}

void bgw_socket_on_gone(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (s->attached)
        bgw_loop_detach(t->loop, &s->watch);
    s->attached = false;
    if (!s->secure) { /* else the library does both */
        bgw_plain_drop(s);
        close(s->watch.fd);
    }
    bgw_wheel_cancel(bgw_loop_wheel(t->loop), &s->timer);
    bgw_list_remove(&s->link);
    if (t->serving == s)
        t->serving = NULL;
    bgw_transport_released(s);
}

/* ---- for the connection above ---- */

/*
 * A direct lws_write, not a detour over WRITEABLE: the manual's reason against it is that a second
 * write may meet a partial first one and grow the library's heap queue, and that is excluded here
 * (asserted). The answer is known at once, so nobody has to keep a copy of the bytes.
 */
static enum bgw_status send_secure(struct bgw_socket *s, struct bgw_slice bytes)
{
    /* RAW writes put nothing before the bytes and change none: no LWS_PRE, and the cast is safe */
    if (lws_write(s->wsi, (unsigned char *)(uintptr_t)bytes.data, bytes.len, LWS_WRITE_RAW) < 0)
        return BGW_IO;
    return lws_partial_buffered(s->wsi) ? BGW_AGAIN : BGW_OK;
}

enum bgw_sent bgw_socket_send(struct bgw_socket *s, struct bgw_slice bytes)
{
    if (s->doomed || s->finishing)
        return BGW_SENT_BUFFERED;
    BGW_ASSERT(!s->buffered);
    if (bytes.len == 0)
        return BGW_SENT_ALL;
    enum bgw_status status = s->secure ? send_secure(s, bytes) : bgw_plain_send(s, bytes);
    if (status != BGW_OK && status != BGW_AGAIN) {
        bgw_socket_doom(s);
        return BGW_SENT_BUFFERED;
    }
    bgw_metric_add(BGW_M_WRITES, 1);
    bgw_metric_add(BGW_M_WRITE_BYTES, (int64_t)bytes.len);
    if (status == BGW_OK)
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
    bgw_socket_doom(s);
}

const struct bgw_addr *bgw_socket_peer(const struct bgw_socket *s)
{
    return &s->who.peer;
}

bool bgw_socket_secure(const struct bgw_socket *s)
{
    return s->secure;
}

bool bgw_socket_peer_verified(const struct bgw_socket *s)
{
    return s->secure && bgw_tls_peer_verified(lws_get_ssl(s->wsi));
}

struct bgw_loop *bgw_socket_loop(const struct bgw_socket *s)
{
    return s->transport->loop;
}
