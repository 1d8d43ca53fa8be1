/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp: see tcp.h. The socket never blocks; where we must wait, we wait in poll for both directions,
 * because a server that cannot get rid of its answers stops reading.
 */
#define _GNU_SOURCE
#include "tcp.h"

#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GATHERED_MAX 16384
#define WAITING_MAX (1 << 20)
#define STALLED_NS 10000000000 /* a server that takes nothing for so long is gone */

static int connect_to(const char *host, const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    if (getaddrinfo(host, port, &hints, &list) != 0)
        return -1;
    int fd = -1, one = 1;
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            close(fd);
            fd = -1;
        }
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    return fd;
}

bool tcp_open(struct tcp *t, const char *address)
{
    char host[256] = "127.0.0.1";
    const char *colon = strrchr(address, ':'), *port = colon ? colon + 1 : address;
    bgw_buf_init(&t->out, WAITING_MAX + 65536);
    bgw_buf_init(&t->in, 1 << 20);
    t->broken = true;
    t->fd = -1;
    if (colon)
        snprintf(host, sizeof(host), "%.*s", (int)(colon - address), address);
    t->fd = connect_to(host, port);
    if (t->fd < 0)
        fprintf(stderr, "feed: nobody listens at %s\n", address);
    t->broken = t->fd < 0;
    return !t->broken;
}

static void lost(struct tcp *t, const char *why)
{
    if (!t->broken)
        fprintf(stderr, "feed: the server's connection is lost: %s\n", why);
    t->broken = true;
}

void tcp_push(struct tcp *t)
{
    size_t sent = 0;
    while (!t->broken && sent < t->out.len) {
        ssize_t n = send(t->fd, t->out.data + sent, t->out.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            lost(t, strerror(errno));
        else
            sent += (size_t)n;
    }
    if (sent)
        bgw_buf_consume(&t->out, sent);
}

void tcp_pull(struct tcp *t)
{
    char bytes[65536];
    ssize_t n = 0;
    while (!t->broken && (n = recv(t->fd, bytes, sizeof(bytes), 0)) > 0)
        bgw_buf_append(&t->in, bgw_slice_of(bytes, (size_t)n));
    if (t->in.failed)
        lost(t, "more answers than are read");
    else if (n == 0)
        lost(t, "closed");
    else if (n < 0 && errno != EAGAIN)
        lost(t, strerror(errno));
}

bool tcp_wait(struct tcp *t, int64_t until_ns)
{
    int64_t left_ms = (until_ns - sink_now_ns()) / 1000000;
    tcp_push(t);
    struct pollfd p = {.fd = t->fd, .events = (short)(POLLIN | (t->out.len ? POLLOUT : 0))};
    if (t->broken || left_ms <= 0)
        return false;
    if (poll(&p, 1, left_ms < 100 ? (int)left_ms : 100) > 0 && (p.revents & ~POLLOUT))
        tcp_pull(t);
    return !t->broken;
}

void tcp_put(struct tcp *t, struct bgw_slice bytes)
{
    bgw_buf_append(&t->out, bytes);
    if (t->out.len < GATHERED_MAX)
        return;
    tcp_push(t);
    for (int64_t until_ns = sink_now_ns() + STALLED_NS; t->out.len >= WAITING_MAX;)
        if (!tcp_wait(t, until_ns) && !t->broken)
            lost(t, "it takes nothing");
        else if (t->broken)
            return;
}

void tcp_close(struct tcp *t)
{
    if (t->fd >= 0)
        close(t->fd);
    bgw_buf_deinit(&t->out);
    bgw_buf_deinit(&t->in);
}
