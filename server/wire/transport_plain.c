/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_plain: a connection without TLS: one recv() an event, one send() a write, and what the
 * kernel did not take of it. Called by transport_socket.c, on its loop's thread. The library is not
 * asked here: it keeps a kilobyte for each connection, and at each close it walks a table as long as
 * the descriptor limit (docs/decisions/raw-role.md).
 * Invariants: at most one write is ever kept, for nobody writes before it is gone; whoever is always
 * behind is heard all the same, once each time that what was kept has left.
 */
#include "transport_private.h"

#include "bgw/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

struct bgw_rest {
    size_t len, at;
    char bytes[];
};

/* How much the kernel took; below 0: the connection is broken. */
static ssize_t put(const struct bgw_socket *s, struct bgw_slice bytes)
{
    ssize_t n = send(s->watch.fd, bytes.data, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) ? 0 : n;
}

enum bgw_status bgw_plain_send(struct bgw_socket *s, struct bgw_slice bytes)
{
    BGW_ASSERT(!s->rest);
    ssize_t n = put(s, bytes);
    if (n < 0)
        return BGW_IO;
    size_t left = bytes.len - (size_t)n;
    if (!left)
        return BGW_OK;
    s->rest = malloc(sizeof(*s->rest) + left);
    if (!s->rest)
        return BGW_NO_MEMORY; /* a message in part: the connection is of no use any more */
    *s->rest = (struct bgw_rest){.len = left};
    memcpy(s->rest->bytes, bytes.data + n, left);
    return BGW_AGAIN;
}

/* Writes on with what was kept. */
static enum bgw_status flush_rest(struct bgw_socket *s)
{
    struct bgw_rest *r = s->rest;
    ssize_t n = put(s, bgw_slice_of(r->bytes + r->at, r->len - r->at));
    if (n < 0)
        return BGW_IO;
    r->at += (size_t)n;
    if (r->at < r->len)
        return BGW_AGAIN;
    bgw_plain_drop(s);
    return BGW_OK;
}

/* What recv() answered. */
static ssize_t take_input(struct bgw_socket *s)
{
    char *input = s->transport->input;
    ssize_t n = recv(s->watch.fd, input, sizeof(s->transport->input), MSG_DONTWAIT);
    if (n > 0)
        bgw_socket_on_received(s, bgw_slice_of(input, (size_t)n));
    return n;
}

static void read_once(struct bgw_socket *s)
{
    ssize_t n = take_input(s);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        bgw_socket_doom(s);
}

static void write_on(struct bgw_socket *s)
{
    enum bgw_status status = flush_rest(s);
    if (status == BGW_AGAIN) {
        bgw_socket_progress(s);
        return;
    }
    if (status != BGW_OK) {
        bgw_socket_doom(s);
        return;
    }
    if (!s->paused)
        (void)take_input(s); /* an end is seen again, when everything is said */
    if (!s->doomed)
        bgw_socket_drained(s);
}

void bgw_plain_ready(struct bgw_socket *s, uint32_t events)
{
    if (s->rest && events & EPOLLOUT)
        write_on(s);
    else if (events & s->watch.events & EPOLLIN) /* it may have been paused since */
        read_once(s);
    else if (events & (EPOLLHUP | EPOLLERR)) /* with input pending it is read first */
        bgw_socket_doom(s);
}

void bgw_plain_drop(struct bgw_socket *s)
{
    free(s->rest);
    s->rest = NULL;
}
