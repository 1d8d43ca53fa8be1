/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: the life of one socket of the swarm: connect, upgrade, bytes in. Sockets of a worker leave
 * from loopback addresses of its own, so that ports do not run out. A client that loses its
 * connection moves to the next url. Invariant: a client holds memory for bytes only while the
 * beginning of a message waits for its end; the load must not need the memory that it measures.
 */
#include "swarm.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SOURCES_PER_WORKER 4 /* addresses; 28,000 ports each, and ports of cut sockets rest for a minute */
#define RETRY_MS 200
#define SLOW_WINDOW_BYTES 4096 /* else the kernel would read on for a client that does not */

static int draw(struct swarm *s, int below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (int)(s->random % (uint64_t)below);
}

static void watch(struct swarm *s, struct client *c, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(s->epfd, op, c->fd, &e) != 0)
        swarm_wrong(s, c, "epoll refuses a socket");
}

static void forget_rest(struct client *c)
{
    free(c->rest);
    c->rest = NULL;
    c->rest_len = 0;
}

static void rest(struct client *c)
{
    link_close(c);
    forget_rest(c);
    c->state = CLIENT_IDLE;
    c->told_ms = -1;
    c->bye = false;
    c->muted = false;
}

/* Comes back when it was told to, or, told nothing, soon and at random. */
static void later(struct swarm *s, struct client *c)
{
    int64_t wait_ms = c->told_ms >= 0 ? c->told_ms : RETRY_MS + draw(s, RETRY_MS);
    rest(c);
    back_add(s, c, probe_mono_ns() / 1000000 + wait_ms);
}

static bool set_up(struct swarm *s, struct client *c)
{
    int one = 1, window = SLOW_WINDOW_BYTES;
    struct sockaddr_in from = {.sin_family = AF_INET};
    uint32_t source = (uint32_t)s->index * SOURCES_PER_WORKER + s->attempts++ % SOURCES_PER_WORKER;
    from.sin_addr.s_addr = htonl(0x7f000101u + source);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    if (c->slow)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
    const struct sockaddr_in *to = &s->opt.addresses[c->url];
    return bind(c->fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
           (connect(c->fd, (const struct sockaddr *)to, sizeof(*to)) == 0 || errno == EINPROGRESS) && link_open(c);
}

void swarm_connect(struct swarm *s, struct client *c)
{
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || !set_up(s, c)) {
        COUNT(s, connect_failures, 1);
        later(s, c);
        return;
    }
    watch(s, c, EPOLL_CTL_ADD, EPOLLOUT);
    c->state = CLIENT_CONNECTING;
    COUNT(s, connects, 1);
}

/* Where the dialect cannot say what it holds, a new connection begins without an order to check. */
static void end_connection(struct swarm *s, struct client *c)
{
    if (c->state == CLIENT_LIVE)
        results_add(c->slow ? &s->r->slow_live : &s->r->live, (uint64_t)-1);
    c->reconnecting = true;
    if (s->opt.speech->reconnects_with_versions)
        return;
    for (int i = 0; i < s->opt.per_client; i++)
        swarm_slot(s, c, i)->again = true;
}

void swarm_drop(struct swarm *s, struct client *c)
{
    if (c->state == CLIENT_LIVE && c->slow) {
        COUNT(s, slow_lost, 1);
    } else if (c->state == CLIENT_LIVE) {
        COUNT(s, lost, 1);
        COUNT(s, byes, c->bye);
    }
    COUNT(s, disconnects, 1);
    end_connection(s, c);
    c->url = (uint8_t)((c->url + 1) % s->opt.url_count);
    later(s, c);
}

void swarm_cut(struct swarm *s, struct client *c)
{
    end_connection(s, c);
    rest(c);
}

static void send_upgrade(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 65536);
    s->opt.speech->request(s, c, &b);
    bool sent = !b.failed && link_send(c, bgw_buf_slice(&b));
    bgw_buf_deinit(&b);
    if (!sent) {
        swarm_drop(s, c);
        return;
    }
    watch(s, c, EPOLL_CTL_MOD, EPOLLIN);
    c->state = CLIENT_UPGRADING;
}

static void refused(struct swarm *s, struct client *c, struct bgw_slice head)
{
    const char *after = memmem(head.data, head.len, "Retry-After: ", 13);
    const char *line = memchr(head.data, '\r', head.len);
    COUNT(s, refused, 1);
    if (!s->r->refusal[0] && line)
        snprintf(s->r->refusal, sizeof(s->r->refusal), "%.*s", (int)(line - head.data), head.data);
    if (after)
        c->told_ms = atoi(after + 13) * 1000 - draw(s, 1000);
}

/* How many bytes the answer had, 0: not yet; SIZE_MAX: refused. */
static size_t take_upgrade(struct swarm *s, struct client *c, struct bgw_slice in)
{
    const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    if (!end)
        return in.len < 8192 ? 0 : SIZE_MAX;
    if (in.len < 12 || memcmp(in.data + 9, s->opt.speech->bytes ? "200" : "101", 3) != 0) {
        refused(s, c, in);
        return SIZE_MAX;
    }
    c->state = CLIENT_OPEN;
    s->opt.speech->opened(s, c);
    return (size_t)(end - in.data) + 4;
}

/* How many of the bytes are done with, SIZE_MAX: the connection is over. */
static size_t take(struct swarm *s, struct client *c, struct bgw_slice in)
{
    size_t head = 0, used;
    if (c->state == CLIENT_UPGRADING) {
        head = take_upgrade(s, c, in);
        if (head == 0 || head == SIZE_MAX)
            return head;
    }
    struct bgw_slice body = bgw_slice_of(in.data + head, in.len - head);
    used = s->opt.speech->bytes ? s->opt.speech->bytes(s, c, body) : ws_take(s, c, body);
    return used == SIZE_MAX ? used : head + used;
}

static bool keep_rest(struct swarm *s, struct client *c, struct bgw_slice rest)
{
    if (rest.len == 0) {
        if (c->rest)
            forget_rest(c);
        return true;
    }
    if (rest.len > REST_BYTES_MAX) {
        swarm_wrong(s, c, "a message of more than 4 MiB");
        return false;
    }
    char *kept = rest.len == c->rest_len ? c->rest : realloc(c->rest, rest.len);
    if (!kept)
        abort();
    memcpy(kept, rest.data, rest.len);
    c->rest = kept;
    c->rest_len = (uint32_t)rest.len;
    return true;
}

/* The one scratch buffer of the worker: what was left over, and behind it what comes now. */
static bool receive(struct swarm *s, struct client *c, size_t cap)
{
    if (c->rest_len + cap > s->scratch_cap) {
        s->scratch_cap = c->rest_len + cap;
        s->scratch = realloc(s->scratch, s->scratch_cap);
        if (!s->scratch)
            abort();
    }
    ssize_t n = link_recv(c, s->scratch + c->rest_len, cap);
    if (n <= 0)
        return n == LINK_NOTHING;
    if (c->rest_len)
        memcpy(s->scratch, c->rest, c->rest_len);
    size_t have = c->rest_len + (size_t)n, used = take(s, c, bgw_slice_of(s->scratch, have));
    return used != SIZE_MAX && keep_rest(s, c, bgw_slice_of(s->scratch + used, have - used));
}

void swarm_read(struct swarm *s, struct client *c, size_t cap)
{
    if (!receive(s, c, cap))
        swarm_drop(s, c);
}

static void shake(struct swarm *s, struct client *c)
{
    switch (link_handshake(s, c)) {
    case LINK_DONE:
        send_upgrade(s, c);
        break;
    case LINK_WAITS:
        break;
    case LINK_FAILED:
        swarm_drop(s, c);
        break;
    }
}

static bool connected(struct client *c)
{
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && !error;
}

void swarm_io(struct swarm *s, struct client *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->state == CLIENT_CONNECTING) {
        if (!connected(c)) {
            swarm_drop(s, c);
            return;
        }
        c->state = CLIENT_SHAKING;
    }
    if (c->state == CLIENT_SHAKING) {
        shake(s, c);
        return;
    }
    if (c->muted) { /* only an end is announced for it */
        swarm_drop(s, c);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    do {
        if (!receive(s, c, SCRATCH_BYTES)) {
            swarm_drop(s, c);
            return;
        }
    } while (link_has_more(c) && !c->muted);
}

void swarm_on_bye(struct swarm *s, struct client *c, int64_t retry_ms)
{
    c->bye = true;
    c->told_ms = retry_ms < 0 ? -1 : (int)(retry_ms < 3600000 ? retry_ms : 3600000);
    if (retry_ms >= 0)
        s->r->waits[retry_ms < RESULTS_WAITS ? retry_ms : RESULTS_WAITS - 1]++;
}

void swarm_live(struct swarm *s, struct client *c)
{
    if (c->state == CLIENT_LIVE)
        return;
    c->state = CLIENT_LIVE;
    if (!c->slow) {
        COUNT(s, live, 1);
        return;
    }
    COUNT(s, slow_live, 1);
    c->muted = true;
    watch(s, c, EPOLL_CTL_MOD, EPOLLRDHUP);
}
