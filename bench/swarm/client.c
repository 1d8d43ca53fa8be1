/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: one socket of the swarm: connect, upgrade, frames in, text out. Sockets spread over
 * several loopback source addresses, so that ports do not run out at 28,000. A client that loses
 * its connection moves to the next url and presents the versions it holds.
 */
#define _GNU_SOURCE
#include "swarm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SOURCE_PORTS 20000
#define RETRY_MS 200

static bool parse_url(const char *url, struct sockaddr_in *to)
{
    const char *colon = strrchr(url, ':');
    char host[64];
    if (!colon || (size_t)(colon - url) >= sizeof(host))
        return false;
    memcpy(host, url, (size_t)(colon - url));
    host[colon - url] = 0;
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    return inet_pton(AF_INET, host, &to->sin_addr) == 1;
}

/* Comes back when it was told to, or, told nothing, soon and at random. */
static void later(struct client *c)
{
    int64_t wait_ms = c->told_ms >= 0 ? c->told_ms : RETRY_MS + rand() % RETRY_MS;
    link_close(c);
    c->state = CLIENT_IDLE;
    c->told_ms = -1;
    c->bye = false;
    c->retry_at_ms = probe_mono_ns() / 1000000 + wait_ms;
}

bool swarm_connect(struct swarm *s, struct client *c)
{
    struct sockaddr_in to, from = {.sin_family = AF_INET};
    int one = 1;
    if (!parse_url(s->opt.urls[c->url], &to))
        return false;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        later(c);
        return true;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    from.sin_addr.s_addr = htonl(0x7f000101u + (uint32_t)((c - s->clients) / SOURCE_PORTS));
    struct epoll_event e = {.events = EPOLLOUT, .data.ptr = c};
    if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
        (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(s->epfd, EPOLL_CTL_ADD, c->fd, &e) != 0) {
        later(c);
        return true;
    }
    if (!link_open(c)) {
        later(c);
        return true;
    }
    c->state = CLIENT_CONNECTING;
    s->total.connects++;
    return true;
}

void swarm_drop(struct swarm *s, struct client *c)
{
    if (c->state == CLIENT_LIVE) {
        if (s->live_now == s->opt.clients) { /* a wave begins */
            s->lost_at_ms = probe_mono_ns() / 1000000;
            s->back_ms = 0;
        }
        s->live_now--;
        s->total.lost++;
        s->total.byes += c->bye;
    }
    s->total.disconnects++;
    bgw_buf_deinit(&c->in);
    bgw_buf_init(&c->in, 1 << 20);
    c->reconnecting = true;
    c->url = (c->url + 1) % s->opt.url_count;
    later(c);
}

static void append_request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    const struct options *o = &s->opt;
    if (o->dialect == SPEAK_SSE) {
        bgw_buf_append_str(b, "GET /v1/stream");
        for (int i = 0; i < o->per_client; i++)
            bgw_buf_appendf(b, "%caccount=%s%06d", i ? '&' : '?', o->prefix, (c->first_account + i) % o->accounts);
        bgw_buf_appendf(b, " HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n", o->urls[c->url]);
    } else {
        bgw_buf_appendf(b,
                        "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s",
                        o->urls[c->url], o->dialect == SPEAK_NATIVE ? "Sec-WebSocket-Protocol: bgw.v1\r\n" : "");
    }
    bgw_buf_appendf(b, "Authorization: Bearer %s\r\n\r\n", o->token);
}

static void send_upgrade(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 32768);
    append_request(s, c, &b);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    if (!link_send(c, bgw_buf_slice(&b)))
        swarm_drop(s, c);
    else {
        epoll_ctl(s->epfd, EPOLL_CTL_MOD, c->fd, &e);
        c->state = CLIENT_UPGRADING;
    }
    bgw_buf_deinit(&b);
}

static bool send_frame(struct client *c, int opcode, struct bgw_slice payload)
{
    static const unsigned char mask[4] = {0x1b, 0x2c, 0x3d, 0x4e};
    struct bgw_buf b;
    bgw_buf_init(&b, payload.len + 14);
    bgw_buf_append_byte(&b, (char)(0x80 | opcode));
    if (payload.len < 126) {
        bgw_buf_append_byte(&b, (char)(0x80 | payload.len));
    } else {
        bgw_buf_append_byte(&b, (char)(0x80 | 126));
        bgw_buf_append_byte(&b, (char)(payload.len >> 8));
        bgw_buf_append_byte(&b, (char)payload.len);
    }
    bgw_buf_append(&b, bgw_slice_of((const char *)mask, 4));
    for (size_t i = 0; i < payload.len; i++)
        bgw_buf_append_byte(&b, (char)(payload.data[i] ^ mask[i % 4]));
    bool sent = !b.failed && link_send(c, bgw_buf_slice(&b));
    bgw_buf_deinit(&b);
    return sent;
}

bool swarm_send_text(struct client *c, struct bgw_slice text)
{
    return text.len <= 65535 && send_frame(c, 1, text);
}

/* One whole frame at the front of `in`? Returns its total length, 0 if more bytes are needed. */
static size_t frame_at(const struct bgw_buf *in, size_t at, int *opcode, struct bgw_slice *payload)
{
    const unsigned char *p = (const unsigned char *)in->data + at;
    size_t have = in->len - at, head = 2;
    if (have < 2)
        return 0;
    uint64_t len = p[1] & 0x7f;
    if (len == 126) {
        head = 4;
        if (have < head)
            return 0;
        len = (uint64_t)p[2] << 8 | p[3];
    } else if (len == 127) {
        head = 10;
        if (have < head)
            return 0;
        len = 0;
        for (int i = 2; i < 10; i++)
            len = len << 8 | p[i];
    }
    if (have - head < len)
        return 0;
    *opcode = p[0] & 0x0f;
    *payload = bgw_slice_of((const char *)p + head, (size_t)len);
    return head + (size_t)len;
}

static bool take_frames(struct swarm *s, struct client *c)
{
    size_t at = 0, n;
    int opcode = 0;
    struct bgw_slice payload = {0};
    while ((n = frame_at(&c->in, at, &opcode, &payload)) > 0) {
        at += n;
        if (opcode == 1)
            swarm_frame(s, c, payload);
        else if (opcode == 9 && !send_frame(c, 10, payload))
            return false;
        else if (opcode == 8)
            return false;
    }
    bgw_buf_consume(&c->in, at);
    return true;
}

static bool take_upgrade(struct swarm *s, struct client *c)
{
    char *end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
    if (!end)
        return c->in.len < 8192;
    if (c->in.len < 12 || memcmp(c->in.data + 9, s->opt.dialect == SPEAK_SSE ? "200" : "101", 3) != 0) {
        const char *after = memmem(c->in.data, c->in.len, "Retry-After: ", 13);
        s->total.refused++;
        if (after)
            c->told_ms = (int64_t)atoi(after + 13) * 1000 - rand() % 1000;
        return false;
    }
    bgw_buf_consume(&c->in, (size_t)(end - c->in.data) + 4);
    c->state = CLIENT_OPEN;
    if (s->opt.raw) {
        c->state = CLIENT_LIVE;
        s->live_now++;
        s->total.live++;
    } else if (s->opt.dialect != SPEAK_NATIVE) {
        estate_opened(s, c);
    }
    return true;
}

static bool receive(struct swarm *s, struct client *c)
{
    char bytes[65536];
    ssize_t n = link_recv(c, bytes, sizeof(bytes));
    if (n <= 0)
        return n == LINK_NOTHING;
    bgw_buf_append(&c->in, bgw_slice_of(bytes, (size_t)n));
    if (c->state == CLIENT_UPGRADING && !take_upgrade(s, c))
        return false;
    if (c->state == CLIENT_UPGRADING)
        return true;
    if (s->opt.dialect == SPEAK_SSE)
        bgw_buf_consume(&c->in, sse_take(s, c, bgw_buf_slice(&c->in)));
    else if (!take_frames(s, c))
        return false;
    if (c->in.len == 0) { /* idle clients hold no buffer: the load must not need the memory it measures */
        bgw_buf_deinit(&c->in);
        bgw_buf_init(&c->in, 1 << 20);
    }
    return true;
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

void swarm_on_bye(struct swarm *s, struct client *c, int64_t retry_ms)
{
    c->bye = true;
    c->told_ms = retry_ms;
    s->asked_ms[s->asked_count++ % (size_t)s->opt.clients] = retry_ms;
}

void swarm_io(struct swarm *s, struct client *c, uint32_t events)
{
    if (c->fd < 0)
        return;
    if (c->state == CLIENT_CONNECTING) {
        int error = 0;
        socklen_t len = sizeof(error);
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error) {
            swarm_drop(s, c);
            return;
        }
        c->state = CLIENT_SHAKING;
    }
    if (c->state == CLIENT_SHAKING) {
        shake(s, c);
        return;
    }
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    do {
        if (!receive(s, c)) {
            swarm_drop(s, c);
            return;
        }
    } while (link_has_more(c));
}
