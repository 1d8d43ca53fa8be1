/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_rig: a server of one loop and one transport on a loopback port whose callbacks note
 * what they see, and clients that are plain non-blocking sockets, driven between turns of the loop.
 * All on one thread.
 */
#ifndef BGW_TRANSPORT_RIG_H
#define BGW_TRANSPORT_RIG_H

#include "bgw/transport.h"

#include "test.h"
#include "bgw/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNS 128
#define PATIENCE_MS 10000

struct server;

struct conn { /* what the transport's user would be */
    struct server *server;
    struct bgw_socket *sock;
    char got[4096];
    size_t got_len, total;
    int opened, writable, closed;
    bool echo, abort_on_data, finish_on_data, fill_on_writable;
    struct conn *abort_other;
    char peer[BGW_ADDR_TEXT_MAX];
};

struct server {
    struct bgw_loop *loop;
    struct bgw_transport *transport;
    struct conn conns[CONNS];
    size_t count;
    uint16_t port;
    bool refuse, abort_in_opened, greet;
    uint64_t turns;
};

static char big[1 << 20];

static inline void *on_opened(void *arg, struct bgw_socket *sock)
{
    struct server *s = arg;
    if (s->refuse || s->count == CONNS)
        return NULL;
    struct conn *c = &s->conns[s->count++];
    c->server = s;
    c->sock = sock;
    c->opened++;
    bgw_addr_format(bgw_socket_peer(sock), c->peer);
    if (s->greet)
        CHECK_EQ_I64(bgw_socket_send(sock, BGW_SLICE("hi")), BGW_SENT_ALL);
    if (s->abort_in_opened)
        bgw_socket_abort(sock);
    return c;
}

static inline void on_received(void *user, struct bgw_slice bytes)
{
    struct conn *c = user;
    CHECK_EQ_I64(c->closed, 0);
    size_t room = sizeof(c->got) - c->got_len, n = bytes.len < room ? bytes.len : room;
    memcpy(c->got + c->got_len, bytes.data, n);
    c->got_len += n;
    c->total += bytes.len;
    if (c->echo)
        (void)bgw_socket_send(c->sock, bytes);
    if (c->abort_other)
        bgw_socket_abort(c->abort_other->sock);
    if (c->abort_on_data) {
        bgw_socket_abort(c->sock);
        CHECK_EQ_I64(c->closed, 0); /* put off: we are in its callback */
        CHECK_EQ_I64(bgw_socket_send(c->sock, BGW_SLICE("late")), BGW_SENT_BUFFERED);
    }
    if (c->finish_on_data) {
        (void)bgw_socket_send(c->sock, BGW_SLICE("bye"));
        bgw_socket_finish(c->sock);
    }
}

static inline void on_writable(void *user)
{
    struct conn *c = user;
    c->writable++;
    CHECK(!bgw_socket_buffered(c->sock));
    if (c->fill_on_writable)
        (void)bgw_socket_send(c->sock, bgw_slice_of(big, sizeof(big)));
}

static inline void on_closed(void *user)
{
    struct conn *c = user;
    c->closed++;
    CHECK_EQ_I64(bgw_socket_send(c->sock, BGW_SLICE("x")), BGW_SENT_BUFFERED);
    bgw_socket_abort(c->sock);
    bgw_socket_finish(c->sock);
    c->sock = NULL;
}

static inline int64_t hook_wait(void *arg)
{
    return bgw_transport_wait_max_ms(((struct server *)arg)->transport);
}

static inline void hook_end(void *arg, struct bgw_now now)
{
    struct server *s = arg;
    (void)now;
    s->turns++;
    bgw_transport_turn_end(s->transport);
}

static inline struct bgw_transport_config config_of(void)
{
    return (struct bgw_transport_config){.listen = "127.0.0.1:0",
                                         .listen_fd = -1,
                                         .sockets_max = CONNS,
                                         .so_sndbuf = 16384,
                                         .stall_ms = 60000,
                                         .linger_ms = 1000,
                                         .limits.tls_ms = 5000};
}

static inline void server_open(struct server *s, const struct bgw_transport_config *config)
{
    const struct bgw_transport_ops ops = {s, on_opened, on_received, on_writable, on_closed};
    memset(s, 0, sizeof(*s));
    CHECK_EQ_I64(bgw_loop_create(&s->loop), BGW_OK);
    CHECK_EQ_I64(bgw_transport_create(&s->transport, s->loop, config, &ops), BGW_OK);
    bgw_loop_set_hooks(s->loop, &(struct bgw_loop_hooks){s, hook_wait, hook_end});
    const char *colon = strrchr(bgw_transport_bound(s->transport), ':');
    s->port = (uint16_t)strtoul(colon + 1, NULL, 10);
    CHECK(s->port > 0);
}

static inline void server_close(struct server *s)
{
    bgw_transport_destroy(&s->transport);
    for (size_t i = 0; i < s->count; i++)
        CHECK_EQ_I64(s->conns[i].closed, 1);
    bgw_loop_destroy(&s->loop);
}

#define AWAIT(s, condition)                                                                        \
    do {                                                                                           \
        int64_t until_ = bgw_clock_now().mono_ms + PATIENCE_MS;                                    \
        while (!(condition) && bgw_clock_now().mono_ms < until_)                                   \
            bgw_loop_turn((s)->loop, 5);                                                           \
        CHECK(condition);                                                                          \
    } while (0)

/* The same, with something to do before each look. */
#define AWAIT_DOING(s, step, condition)                                                            \
    do {                                                                                           \
        int64_t until_ = bgw_clock_now().mono_ms + PATIENCE_MS;                                    \
        bool met_ = false;                                                                         \
        for (;;) {                                                                                 \
            step;                                                                                  \
            met_ = (condition);                                                                    \
            if (met_ || bgw_clock_now().mono_ms >= until_)                                         \
                break;                                                                             \
            bgw_loop_turn((s)->loop, 2);                                                           \
        }                                                                                          \
        if (!met_)                                                                                 \
            test_fail_(__FILE__, __LINE__, "%s did not come true", #condition);                    \
    } while (0)

static inline int dial_small(uint16_t port, int rcvbuf)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static inline int dial(uint16_t port)
{
    return dial_small(port, 0);
}

static inline void tell(int fd, const char *text)
{
    CHECK_EQ_I64(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* > 0 bytes, 0 end, -1 nothing yet, -2 reset */
static inline ssize_t hear(int fd, char *to, size_t cap)
{
    ssize_t n = recv(fd, to, cap, 0);
    return n >= 0 ? n : errno == EAGAIN ? -1 : -2;
}

static inline void hear_text(struct server *s, int fd, const char *text)
{
    char buf[2048];
    size_t have = 0, want = strlen(text);
    ssize_t n = -1;
    AWAIT(s, have >= want || ((n = hear(fd, buf + have, sizeof(buf) - have)) > 0
                                  ? (have += (size_t)n, have >= want)
                                  : n != -1));
    test_check_slice_(__FILE__, __LINE__, "heard", bgw_slice_of(buf, have), bgw_slice_str(text));
}

static inline void hear_end(struct server *s, int fd)
{
    char c;
    ssize_t n = -1;
    AWAIT(s, (n = hear(fd, &c, 1)) != -1);
    CHECK_EQ_I64(n, 0);
}

#endif
