/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reads_lane: one kept connection of the read load: asks, gathers the answer, becomes idle. Hides the
 * sockets. A connection that the server ends between two answers is opened again and counted; one that
 * ends inside an answer makes that answer a broken one. Connections spread over loopback addresses.
 */
#define _GNU_SOURCE
#include "reads.h"

#include "swarm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define LANES_AN_ADDRESS 20000

static bool prepare_request(const struct load *l, struct lane *at)
{
    const struct reads_options *o = l->opt;
    int n = snprintf(at->request, sizeof(at->request), "GET /ledger/accounts/%s", o->prefix);
    at->digits_at = (size_t)n;
    n += snprintf(at->request + n, sizeof(at->request) - (size_t)n,
                  "000000/balance HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", o->url, o->token);
    at->request_len = (size_t)n;
    return at->request_len < sizeof(at->request);
}

static bool connect_to(const struct load *l, struct lane *at)
{
    struct sockaddr_in to = {.sin_family = AF_INET}, from = {.sin_family = AF_INET};
    const char *colon = strrchr(l->opt->url, ':');
    char host[64];
    int one = 1, index = (int)(at - l->lanes) * l->opt->threads + l->index;
    if (!colon || (size_t)(colon - l->opt->url) >= sizeof(host))
        return false;
    memcpy(host, l->opt->url, (size_t)(colon - l->opt->url));
    host[colon - l->opt->url] = 0;
    to.sin_port = htons((uint16_t)atoi(colon + 1));
    from.sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)(index / LANES_AN_ADDRESS));
    setsockopt(at->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(at->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    return inet_pton(AF_INET, host, &to.sin_addr) == 1 && bind(at->fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
           connect(at->fd, (struct sockaddr *)&to, sizeof(to)) == 0;
}

bool lane_open(struct load *l, struct lane *at)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = at};
    at->fd = socket(AF_INET, SOCK_STREAM, 0); /* loopback connects at once; then MSG_DONTWAIT */
    if (at->fd < 0)
        return false;
    at->open = prepare_request(l, at) && connect_to(l, at) && epoll_ctl(l->epfd, EPOLL_CTL_ADD, at->fd, &e) == 0;
    at->in_len = 0;
    if (!at->open)
        lane_close(l, at);
    return at->open;
}

void lane_close(struct load *l, struct lane *at)
{
    (void)l;
    if (at->fd >= 0)
        close(at->fd);
    at->fd = -1;
    at->open = false;
    at->in_len = 0;
}

/* First idle, first used: requests spread over all connections, and so over the shards. */
void lane_idle(struct load *l, struct lane *at)
{
    at->busy = false;
    at->next_idle = NULL;
    if (l->idle_last)
        l->idle_last->next_idle = at;
    else
        l->idle = at;
    l->idle_last = at;
}

static void write_digits(char *to, uint32_t account)
{
    for (int i = 5; i >= 0; i--, account /= 10)
        to[i] = (char)('0' + account % 10);
}

bool lane_ask(struct load *l, struct lane *at, int64_t due_ns)
{
    if (!at->open) {
        l->now->reconnects++;
        if (!lane_open(l, at)) {
            l->now->asked++;
            l->now->broken++;
            return false;
        }
    }
    at->account = keys_next(l);
    at->floor = l->seen[at->account];
    write_digits(at->request + at->digits_at, at->account);
    at->sent_ns = probe_mono_ns();
    at->due_ns = due_ns;
    at->busy = true;
    l->busy++;
    l->now->asked++;
    if (send(at->fd, at->request, at->request_len, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)at->request_len)
        return true;
    l->busy--;
    l->now->broken++;
    at->busy = false;
    lane_close(l, at);
    return false;
}

static void settle_lane(struct load *l, struct lane *at)
{
    int64_t now = probe_mono_ns();
    hist_add(&l->now->latency, now - at->due_ns);
    hist_add(&l->now->service, now - at->sent_ns);
    l->busy--;
    lane_idle(l, at);
}

static void gone(struct load *l, struct lane *at)
{
    bool was_busy = at->busy;
    lane_close(l, at);
    if (!was_busy)
        return; /* idle: opened again when it is used */
    l->now->broken++;
    settle_lane(l, at);
}

void lane_readable(struct load *l, struct lane *at)
{
    struct response r;
    ssize_t n = at->open ? recv(at->fd, at->in + at->in_len, LANE_BYTES - at->in_len, MSG_DONTWAIT) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        if (at->open)
            gone(l, at);
        return;
    }
    at->in_len += (size_t)n;
    at->in[at->in_len] = 0;
    enum parsed p = at->busy ? response_parse(at->in, at->in_len, &r) : PARSED_NONSENSE;
    if (p == PARSED_PART && at->in_len < LANE_BYTES)
        return;
    if (p != PARSED_WHOLE || r.total != at->in_len) { /* more than was asked for is nonsense too */
        l->now->strange++;
        gone(l, at);
        return;
    }
    response_check(l, at, &r);
    at->in_len = 0;
    if (r.closes)
        lane_close(l, at);
    settle_lane(l, at);
}
