/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_test: the life of one connection over a real loopback socket: bytes in and out, a peer
 * that is slow or resets, abort, half-close and pause.
 */
#include "transport_rig.h"

#include <libwebsockets.h>

TEST(client_is_opened_heard_answered_and_closed_once)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    s.greet = true;
    int fd = dial(s.port);
    hear_text(&s, fd, "hi");
    CHECK_EQ_I64(bgw_transport_count(s.transport), 1);
    CHECK_EQ_STR(s.conns[0].peer, "127.0.0.1");
    CHECK(bgw_socket_loop(s.conns[0].sock) == s.loop);
    s.conns[0].echo = true;
    tell(fd, "hello");
    hear_text(&s, fd, "hello");
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
    server_close(&s);
}

/* It is a plain integer, and threads that share it lose counts until the library asserts. */
TEST(connections_do_not_count_in_the_log_context_that_threads_share)
{
    static struct server s;
    struct lws_context_creation_info plain = {.port = CONTEXT_PORT_NO_LISTEN};
    struct lws_context *other = lws_create_context(&plain);
    const lws_log_cx_t *shared = lwsl_context_get_cx(other);
    int32_t before = shared->refcount;
    struct bgw_transport_config config = config_of();
    server_open(&s, &config);
    int fd = dial(s.port);
    AWAIT(&s, s.count == 1);
    CHECK_EQ_I64(shared->refcount, before);
    close(fd);
    server_close(&s);
    CHECK_EQ_I64(shared->refcount, before);
    lws_context_destroy(other);
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
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))),
                 BGW_SENT_BUFFERED);
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
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))),
                 BGW_SENT_BUFFERED);
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
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))),
                 BGW_SENT_BUFFERED);
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
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))),
                 BGW_SENT_BUFFERED);
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
