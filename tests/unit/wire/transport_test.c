/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_test: real loopback sockets on one thread; the clients are plain non-blocking sockets
 * that the test drives between turns of the loop.
 */
#include "bgw/transport.h"

#include "../test.h"
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
    char peer[64];
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

static void *on_opened(void *arg, struct bgw_socket *sock, const char *peer)
{
    struct server *s = arg;
    if (s->refuse || s->count == CONNS)
        return NULL;
    struct conn *c = &s->conns[s->count++];
    c->server = s;
    c->sock = sock;
    c->opened++;
    snprintf(c->peer, sizeof(c->peer), "%s", peer);
    if (s->greet)
        CHECK_EQ_I64(bgw_socket_send(sock, BGW_SLICE("hi")), BGW_SENT_ALL);
    if (s->abort_in_opened)
        bgw_socket_abort(sock);
    return c;
}

static void on_received(void *user, struct bgw_slice bytes)
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

static void on_writable(void *user)
{
    struct conn *c = user;
    c->writable++;
    CHECK(!bgw_socket_buffered(c->sock));
    if (c->fill_on_writable)
        (void)bgw_socket_send(c->sock, bgw_slice_of(big, sizeof(big)));
}

static void on_closed(void *user)
{
    struct conn *c = user;
    c->closed++;
    CHECK_EQ_I64(bgw_socket_send(c->sock, BGW_SLICE("x")), BGW_SENT_BUFFERED);
    bgw_socket_abort(c->sock);
    bgw_socket_finish(c->sock);
    c->sock = NULL;
}

static int64_t hook_wait(void *arg)
{
    return bgw_transport_wait_max_ms(((struct server *)arg)->transport);
}

static void hook_end(void *arg, struct bgw_now now)
{
    struct server *s = arg;
    (void)now;
    s->turns++;
    bgw_transport_turn_end(s->transport);
}

static struct bgw_transport_config config_of(void)
{
    return (struct bgw_transport_config){.listen = "127.0.0.1:0", .listen_fd = -1, .sockets_max = CONNS,
                                         .so_sndbuf = 16384, .stall_ms = 60000, .linger_ms = 1000};
}

static void server_open(struct server *s, const struct bgw_transport_config *config)
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

static void server_close(struct server *s)
{
    bgw_transport_destroy(&s->transport);
    for (size_t i = 0; i < s->count; i++)
        CHECK_EQ_I64(s->conns[i].closed, 1);
    bgw_loop_destroy(&s->loop);
}

#define AWAIT(s, condition)                                                         \
    do {                                                                            \
        int64_t until_ = bgw_clock_now().mono_ms + PATIENCE_MS;                     \
        while (!(condition) && bgw_clock_now().mono_ms < until_)                    \
            bgw_loop_turn((s)->loop, 5);                                            \
        CHECK(condition);                                                           \
    } while (0)

static int dial_small(uint16_t port, int rcvbuf)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (rcvbuf)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf));
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static int dial(uint16_t port)
{
    return dial_small(port, 0);
}

static void tell(int fd, const char *text)
{
    CHECK_EQ_I64(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* > 0 bytes, 0 end, -1 nothing yet, -2 reset */
static ssize_t hear(int fd, char *to, size_t cap)
{
    ssize_t n = recv(fd, to, cap, 0);
    return n >= 0 ? n : errno == EAGAIN ? -1 : -2;
}

static void hear_text(struct server *s, int fd, const char *text)
{
    char buf[2048];
    size_t have = 0, want = strlen(text);
    ssize_t n = -1;
    AWAIT(s, have >= want || ((n = hear(fd, buf + have, sizeof(buf) - have)) > 0
                                  ? (have += (size_t)n, have >= want)
                                  : n != -1));
    test_check_slice_(__FILE__, __LINE__, "heard", bgw_slice_of(buf, have), bgw_slice_str(text));
}

static void hear_end(struct server *s, int fd)
{
    char c;
    ssize_t n = -1;
    AWAIT(s, (n = hear(fd, &c, 1)) != -1);
    CHECK_EQ_I64(n, 0);
}

TEST(client_is_opened_heard_answered_and_closed_once)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    s.greet = true;
    int fd = dial(s.port);
    hear_text(&s, fd, "hi");
    CHECK_EQ_I64(bgw_transport_count(s.transport), 1);
    CHECK(strncmp(s.conns[0].peer, "127.0.0.1:", 10) == 0);
    CHECK(bgw_socket_loop(s.conns[0].sock) == s.loop);
    s.conns[0].echo = true;
    tell(fd, "hello");
    hear_text(&s, fd, "hello");
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
    server_close(&s);
}

TEST(accepted_sockets_do_not_wait_for_acknowledgements)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    int listen_fd, value = 0, found = 0;
    char bound[64];
    CHECK_EQ_I64(bgw_transport_bind("127.0.0.1:0", &listen_fd, bound, sizeof(bound)), BGW_OK);
    config.listen_fd = listen_fd;
    server_open(&s, &config);
    CHECK_EQ_STR(bgw_transport_bound(s.transport), bound);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    for (int i = 3; i < 64; i++) { /* the server's end is the one whose peer is our client's port */
        struct sockaddr_in peer, own;
        socklen_t len = sizeof(peer), own_len = sizeof(own), value_len = sizeof(value);
        if (i == fd || getpeername(i, (struct sockaddr *)&peer, &len) ||
            getsockname(fd, (struct sockaddr *)&own, &own_len) || peer.sin_port != own.sin_port)
            continue;
        found++;
        CHECK(getsockopt(i, IPPROTO_TCP, TCP_NODELAY, &value, &value_len) == 0 && value);
        CHECK(fcntl(i, F_GETFL) & O_NONBLOCK);
    }
    CHECK_EQ_I64(found, 1);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(what_the_kernel_does_not_take_is_kept_and_writable_follows)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    static char got[sizeof(big)];
    size_t have = 0;
    ssize_t n;
    for (size_t i = 0; i < sizeof(big); i++)
        big[i] = (char)(i * 31 >> 3);
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    struct conn *c = &s.conns[0];
    int64_t partial = bgw_metric_read(BGW_M_WRITES_PARTIAL);
    CHECK_EQ_I64(bgw_socket_send(c->sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    CHECK(bgw_socket_buffered(c->sock));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_WRITES_PARTIAL) - partial, 1);
    tell(fd, "while buffered"); /* must not make the loop spin */
    uint64_t turns = s.turns;
    for (int i = 0; i < 10; i++)
        bgw_loop_turn(s.loop, 5);
    int64_t before = bgw_clock_now().mono_ms;
    bgw_loop_turn(s.loop, 50);
    CHECK(bgw_clock_now().mono_ms - before >= 40);
    CHECK_EQ_I64(s.turns - turns, 11);
    CHECK_EQ_I64(c->writable, 0);
    AWAIT(&s, ((n = hear(fd, got + have, sizeof(got) - have)) > 0 && (have += (size_t)n)) == false
                  ? have == sizeof(big) && c->writable
                  : have == sizeof(big) && c->writable);
    CHECK_EQ_I64(have, sizeof(big));
    CHECK(memcmp(got, big, sizeof(big)) == 0);
    CHECK_EQ_I64(c->writable, 1);
    AWAIT(&s, c->got_len == strlen("while buffered"));
    CHECK_EQ_I64(bgw_socket_send(c->sock, BGW_SLICE("x")), BGW_SENT_ALL);
    close(fd);
    AWAIT(&s, c->closed);
    server_close(&s);
}

TEST(client_that_is_always_behind_is_still_heard)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    static char sink[65536];
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    struct conn *c = &s.conns[0];
    c->fill_on_writable = true; /* buffered again at once, for ever */
    CHECK_EQ_I64(bgw_socket_send(c->sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    tell(fd, "pong");
    AWAIT(&s, (hear(fd, sink, sizeof(sink)), c->got_len == 4));
    AWAIT(&s, (hear(fd, sink, sizeof(sink)), c->writable > 3)); /* it was behind all the time */
    tell(fd, "pong");
    AWAIT(&s, (hear(fd, sink, sizeof(sink)), c->got_len == 8));
    close(fd);
    AWAIT(&s, c->closed);
    server_close(&s);
}

TEST(peer_that_takes_nothing_for_too_long_is_closed_and_counted)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.stall_ms = 60;
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    int64_t stalled = bgw_metric_read(BGW_M_CONNECTIONS_STALLED);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    AWAIT(&s, s.conns[0].closed);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_STALLED) - stalled, 1);
    close(fd);
    server_close(&s);
}

TEST(reset_while_bytes_are_buffered_closes_at_once)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct linger hard = {1, 0};
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(write_on_a_broken_connection_is_answered_buffered_and_closed_follows)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct linger hard = {1, 0};
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    close(fd); /* the loop has not seen it yet */
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, BGW_SLICE("x")), BGW_SENT_BUFFERED);
    CHECK_EQ_I64(s.conns[0].closed, 0);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(abort_from_callbacks_is_put_off_to_the_end_of_the_turn)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int a = dial(s.port), b = dial(s.port);
    AWAIT(&s, s.count == 2);
    s.conns[0].abort_on_data = true;
    s.conns[0].abort_other = &s.conns[1];
    tell(a, "now");
    AWAIT(&s, s.conns[0].closed && s.conns[1].closed);
    hear_end(&s, a);
    hear_end(&s, b);
    CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
    close(a);
    close(b);
    s.abort_in_opened = true;
    a = dial(s.port);
    AWAIT(&s, s.count == 3 && s.conns[2].closed);
    close(a);
    server_close(&s);
}

TEST(abort_with_buffered_bytes_does_not_wait_for_them)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    bgw_socket_abort(s.conns[0].sock);
    bgw_loop_turn(s.loop, 1000);
    CHECK_EQ_I64(s.conns[0].closed, 1);
    close(fd);
    server_close(&s);
}

TEST(opened_that_answers_null_refuses_without_further_callbacks)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    s.refuse = true;
    int fd = dial(s.port);
    hear_end(&s, fd);
    CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
    close(fd);
    server_close(&s);
}

TEST(finish_half_closes_drops_what_comes_and_closes_when_the_peer_ends)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.linger_ms = 60000;
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    s.conns[0].finish_on_data = true;
    tell(fd, "request");
    hear_text(&s, fd, "bye");
    hear_end(&s, fd);
    tell(fd, "more that nobody wants"); /* not answered with a reset */
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    CHECK_EQ_I64(s.conns[0].got_len, strlen("request"));
    CHECK_EQ_I64(s.conns[0].closed, 0);
    char c;
    CHECK_EQ_I64(hear(fd, &c, 1), 0);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(finish_flushes_what_is_buffered_first)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    static char sink[65536];
    size_t have = 0;
    ssize_t n = -1;
    server_open(&s, &config);
    int fd = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 1);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    bgw_socket_finish(s.conns[0].sock);
    AWAIT(&s, ((n = hear(fd, sink, sizeof(sink))) > 0 ? (have += (size_t)n, false) : n == 0));
    CHECK_EQ_I64(have, sizeof(big));
    CHECK_EQ_I64(s.conns[0].writable, 0);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(peer_that_never_ends_is_closed_after_the_linger_time)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.linger_ms = 40;
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    int64_t start = bgw_clock_now().mono_ms, stalled = bgw_metric_read(BGW_M_CONNECTIONS_STALLED);
    bgw_socket_finish(s.conns[0].sock);
    AWAIT(&s, s.conns[0].closed);
    CHECK(bgw_clock_now().mono_ms - start >= 39);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_STALLED), stalled);
    close(fd);
    server_close(&s);
}

TEST(paused_socket_is_not_read_until_it_is_resumed)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    bgw_socket_pause(s.conns[0].sock, true);
    tell(fd, "later");
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    CHECK_EQ_I64(s.conns[0].got_len, 0);
    bgw_socket_pause(s.conns[0].sock, false);
    AWAIT(&s, s.conns[0].got_len == 5);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

static void expect_503(struct server *s, int fd)
{
    char buf[2048];
    size_t have = 0;
    ssize_t n = -1;
    AWAIT(s, (n = hear(fd, buf + have, sizeof(buf) - 1 - have)) > 0 ? (have += (size_t)n, false) : n != -1);
    buf[have] = 0;
    CHECK(strncmp(buf, "HTTP/1.1 503 ", 13) == 0);
    CHECK(strstr(buf, "\r\nRetry-After: 1\r\n") != NULL);
    const char *body = strstr(buf, "\r\n\r\n"), *length = strstr(buf, "Content-Length: ");
    CHECK(body && length);
    if (body && length)
        CHECK_EQ_I64(strlen(body + 4), strtol(length + 16, NULL, 10));
}

TEST(beyond_the_socket_limit_a_client_is_told_503_and_room_is_used_again)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.sockets_max = 2;
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_OVERLOAD);
    server_open(&s, &config);
    int a = dial(s.port), b = dial(s.port), c = dial(s.port);
    tell(c, "GET / HTTP/1.1\r\n\r\n");
    expect_503(&s, c);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_OVERLOAD) - refused, 1);
    CHECK_EQ_I64(s.count, 2);
    close(c);
    close(a);
    AWAIT(&s, s.conns[0].closed || s.conns[1].closed);
    c = dial(s.port);
    AWAIT(&s, s.count == 3);
    close(b);
    close(c);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
}

TEST(accepts_are_paced_and_the_rest_waits_in_the_backlog)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.accepts_per_s = 20; /* the first 20 at once, then one in 50 ms */
    server_open(&s, &config);
    int fds[24];
    for (int i = 0; i < 24; i++)
        fds[i] = dial(s.port);
    int64_t start = bgw_clock_now().mono_ms;
    AWAIT(&s, s.count == 20);
    AWAIT(&s, s.count == 24);
    CHECK(bgw_clock_now().mono_ms - start >= 150);
    for (int i = 0; i < 24; i++)
        close(fds[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
}

TEST(clients_waiting_when_listening_stops_are_told_503)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int a = dial(s.port);
    AWAIT(&s, s.count == 1);
    int b = dial(s.port);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_DRAINING);
    bgw_transport_stop_listening(s.transport);
    bgw_transport_stop_listening(s.transport);
    expect_503(&s, b);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_DRAINING) - refused, 1);
    s.conns[0].echo = true;
    tell(a, "still here");
    hear_text(&s, a, "still here");
    close(a);
    close(b);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(out_of_descriptors_clients_are_told_503_without_spinning_and_served_again_later)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct rlimit old, low;
    int clients[8], spare[64], spares = 0;
    server_open(&s, &config);
    for (int i = 0; i < 8; i++) { /* they wait in the backlog; the server needs a descriptor for each */
        clients[i] = dial(s.port);
    }
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    while (spares < 64 && (spares == 0 || spare[spares - 1] < 100))
        spare[spares++] = open("/dev/null", O_RDONLY);
    low = old;
    low.rlim_cur = (rlim_t)spare[spares - 1] + 1; /* not one more */
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT);
    expect_503(&s, clients[0]);
    CHECK(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT) - refused >= 1);
    int extra = clients[0];
    close(extra); /* for the next client's own end */
    clients[0] = dial(s.port);
    uint64_t turns = s.turns;
    int64_t until = bgw_clock_now().mono_ms + 250;
    while (bgw_clock_now().mono_ms < until)
        bgw_loop_turn(s.loop, 1000);
    CHECK(s.turns - turns < 20);
    CHECK_EQ_I64(s.count, 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    for (int i = 0; i < spares; i++)
        close(spare[i]);
    int fd = dial(s.port);
    AWAIT(&s, s.count >= 1);
    close(fd);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
}

TEST(head_room_is_kept_clients_beyond_it_are_told_503_and_a_freed_descriptor_is_used)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct rlimit old, low;
    int fds[100], count = 0, highest = 0;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    low = old;
    low.rlim_cur = 160; /* an eighth of it, 20, is head-room */
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    server_open(&s, &config);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT);
    while (count < 100 && bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT) == refused) {
        fds[count] = dial(s.port);
        highest = fds[count] > highest ? fds[count] : highest;
        count++;
        AWAIT(&s, s.count == (size_t)count ||
                      bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT) != refused);
    }
    CHECK(s.count > 30 && (size_t)count == s.count + 1);
    CHECK(highest <= 141); /* the one refused, and nobody went further */
    expect_503(&s, fds[count - 1]);
    close(fds[count - 1]);
    close(fds[0]);
    AWAIT(&s, s.conns[0].closed);
    fds[0] = dial(s.port);
    AWAIT(&s, s.count == (size_t)count);
    for (int i = 0; i < count - 1; i++)
        close(fds[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
}

TEST(destroy_closes_every_socket_and_says_so_once)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int fds[10];
    for (int i = 0; i < 10; i++)
        fds[i] = dial_small(s.port, 8192);
    AWAIT(&s, s.count == 10);
    for (int i = 0; i < 5; i++)
        CHECK_EQ_I64(bgw_socket_send(s.conns[i].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    bgw_socket_finish(s.conns[6].sock);
    bgw_socket_abort(s.conns[7].sock);
    server_close(&s);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
}

TEST(idle_transport_sleeps)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    for (int i = 0; i < 3; i++)
        bgw_loop_turn(s.loop, 0);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_loop_turn(s.loop, 300);
    CHECK(bgw_clock_now().mono_ms - start >= 290);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}

TEST(addresses_are_parsed_strictly)
{
    static const char *const bad[] = {"", "5851", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x",
                                      "127.0.0.1:-1", "127.0.0.1:123456", "::1:80", "[::1:80", "[]:80", "[::1]80"};
    char bound[64];
    int fd;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CHECK_EQ_I64(bgw_transport_bind(bad[i], &fd, bound, sizeof(bound)), BGW_BAD_VALUE);
        CHECK_EQ_I64(fd, -1);
    }
    CHECK_EQ_I64(bgw_transport_bind("no-such-host.invalid:0", &fd, bound, sizeof(bound)), BGW_NOT_FOUND);
}

TEST(shards_share_the_port_that_the_first_found)
{
    static const char *const listens[] = {"127.0.0.1:0", ":0", "*:0", "localhost:0", "[::1]:0", "[::]:0"};
    for (size_t i = 0; i < sizeof(listens) / sizeof(*listens); i++) {
        char first[64], second[64];
        int a, b;
        if (bgw_transport_bind(listens[i], &a, first, sizeof(first)) != BGW_OK) {
            CHECK(listens[i][0] == '['); /* a machine without IPv6 */
            continue;
        }
        CHECK(strcmp(strrchr(first, ':'), ":0") != 0);
        CHECK_EQ_I64(bgw_transport_bind(first, &b, second, sizeof(second)), BGW_OK);
        CHECK_EQ_STR(first, second);
        close(a);
        close(b);
    }
}

TEST(port_that_somebody_else_listens_on_is_refused_although_they_would_share_it)
{
    int yes = 1, fd, other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    char text[64], bound[64];
    setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof(yes));
    CHECK(bind(other, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(other, 1) == 0);
    CHECK(getsockname(other, (struct sockaddr *)&sa, &len) == 0);
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(sa.sin_port));
    CHECK_EQ_I64(bgw_transport_bind(text, &fd, bound, sizeof(bound)), BGW_ADDRESS_IN_USE);
    close(other);
    CHECK_EQ_I64(bgw_transport_bind(text, &fd, bound, sizeof(bound)), BGW_OK);
    close(fd);
}
