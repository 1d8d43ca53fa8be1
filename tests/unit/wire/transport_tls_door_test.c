/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_door_test: clients that never get as far as a TLS connection: those who say something
 * else, say nothing, break off, come in crowds or when descriptors are short.
 */
#include "transport_tls_rig.h"

TEST(plain_bytes_on_the_port_are_closed_at_once)
{
    static const char *const said[] = {"GET / HTTP/1.1\r\n\r\n", "\x80\x2e\x01\x03", "\r\n\r\n"};
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        char c;
        int64_t failed = bgw_metric_read(BGW_M_TLS_FAILED), start = bgw_clock_now().mono_ms;
        ssize_t n = -1;
        int fd = dial(s.port);
        tell(fd, said[i]);
        AWAIT_DOING(&s, n = hear(fd, &c, 1), n != -1);
        CHECK(n == 0 || n == -2);
        CHECK_EQ_I64(bgw_metric_read(BGW_M_TLS_FAILED) - failed, 1);
        CHECK(bgw_clock_now().mono_ms - start < 1000);
        close(fd);
    }
    CHECK_EQ_I64(s.count, 0);
    tls_close(&s, tls);
}

TEST(garbage_that_begins_like_a_hello_is_closed_and_counted_once)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    int64_t failed = bgw_metric_read(BGW_M_TLS_FAILED);
    int fd = dial(s.port);
    CHECK_EQ_I64(send(fd, "\x16\x03\x01\x00\x05world", 10, 0), 10);
    AWAIT(&s, bgw_metric_read(BGW_M_TLS_FAILED) == failed + 1);
    close(fd);
    fd = dial(s.port); /* the same, but the end comes later */
    tell(fd, "\x16\x03");
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    close(fd);
    AWAIT(&s, bgw_metric_read(BGW_M_TLS_FAILED) == failed + 2);
    CHECK_EQ_I64(s.count, 0);
    tls_close(&s, tls);
}

TEST(handshake_and_silence_have_one_deadline_from_accept)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.limits.tls_ms = 60;
    struct bgw_tls *tls = tls_open(&s, &config);
    int64_t timeouts = bgw_metric_read(BGW_M_TLS_TIMEOUT), start = bgw_clock_now().mono_ms;
    int silent = dial(s.port), begun = dial(s.port);
    struct client half = client_of(dial(s.port), rig_client(0, NULL));
    tell(begun, "\x16\x03\x01");
    CHECK(SSL_do_handshake(half.ssl) < 0);
    AWAIT(&s, bgw_metric_read(BGW_M_TLS_TIMEOUT) == timeouts + 3);
    int64_t took = bgw_clock_now().mono_ms - start;
    CHECK(took >= 59 && took < 5000);
    hear_end(&s, silent);
    close(silent);
    close(begun);
    hang_up(&half);
    CHECK_EQ_I64(s.count, 0);
    tls_close(&s, tls);
}

static void raise_descriptors(rlim_t least)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max >= least);
    if (limit.rlim_cur < least)
        limit.rlim_cur = least;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

#define CROWD 2100 /* some more than may be under way */

TEST(crowd_of_handshakes_that_never_go_on_gives_way_to_those_who_come)
{
    static struct server s;
    static int fds[CROWD];
    struct bgw_transport_config config = config_of();
    raise_descriptors(3 * CROWD);
    config.sockets_max = 2 * CROWD;
    config.limits.tls_ms = 60000;
    int64_t timeouts = bgw_metric_read(BGW_M_TLS_TIMEOUT);
    struct bgw_tls *tls = tls_open(&s, &config);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = dial(s.port);
        tell(fds[i], "\x16\x03\x01");
        if (i % 16 == 15)
            bgw_loop_turn(s.loop, 0);
    }
    AWAIT(&s, bgw_metric_read(BGW_M_TLS_TIMEOUT) - timeouts == CROWD - 2048);
    char byte;
    CHECK(hear(fds[0], &byte, 1) != -1); /* the oldest */
    CHECK_EQ_I64(hear(fds[CROWD - 1], &byte, 1), -1);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(s.count, 1);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(who_says_nothing_gives_way_when_the_house_is_full)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    int silent[6];
    config.sockets_max = 4;
    struct bgw_tls *tls = tls_open(&s, &config);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_OVERLOAD), timeouts = bgw_metric_read(BGW_M_TLS_TIMEOUT);
    for (int i = 0; i < 6; i++)
        silent[i] = dial(s.port);
    AWAIT(&s, bgw_metric_read(BGW_M_TLS_TIMEOUT) - timeouts == 2);
    hear_end(&s, silent[0]);
    struct client c[4];
    for (int i = 0; i < 4; i++)
        c[i] = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_TLS_TIMEOUT) - timeouts, 6);
    int late = dial(s.port); /* all places are taken by those who spoke */
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_OVERLOAD) - refused == 1);
    for (int i = 0; i < 6; i++)
        close(silent[i]);
    for (int i = 0; i < 4; i++)
        hang_up(&c[i]);
    close(late);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(out_of_descriptors_clients_are_closed_without_spinning_and_served_again_later)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct rlimit old, low;
    int clients[8], spare[100], spares = 0;
    struct bgw_tls *tls = tls_open(&s, &config);
    for (int i = 0; i < 8; i++)
        clients[i] = dial(s.port);
    while (spares < 100 && (spares == 0 || spare[spares - 1] < 110))
        spare[spares++] = open("/dev/null", O_RDONLY);
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    low = old;
    low.rlim_cur = (rlim_t)spare[spares - 1] + 1; /* not one more */
    CHECK(setrlimit(RLIMIT_NOFILE, &low) == 0);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT);
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_FD_LIMIT) - refused == 8);
    uint64_t turns = s.turns;
    int64_t until = bgw_clock_now().mono_ms + 250;
    while (bgw_clock_now().mono_ms < until)
        bgw_loop_turn(s.loop, 1000);
    CHECK(s.turns - turns < 20);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    for (int i = 0; i < spares; i++)
        close(spare[i]);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    hang_up(&c);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(handshakes_cut_midway_leak_nothing_and_keep_nobody_out)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    for (int i = 0; i < 200; i++) {
        struct linger hard = {1, 0};
        struct client c = client_of(dial(s.port), rig_client(i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, NULL));
        (void)SSL_do_handshake(c.ssl);
        for (int turn = 0; turn < i % 4; turn++)
            bgw_loop_turn(s.loop, 1);
        if (i % 3 == 0)
            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        hang_up(&c);
        bgw_loop_turn(s.loop, 1);
    }
    struct client c = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(s.count, 1);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(when_listening_stops_who_is_still_shaking_hands_is_let_go)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client live = dial_tls(&s, 0, NULL, NULL), half = client_of(dial(s.port), rig_client(0, NULL));
    int silent = dial(s.port);
    CHECK(SSL_do_handshake(half.ssl) < 0);
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_DRAINING);
    bgw_transport_stop_listening(s.transport);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_DRAINING) - refused, 2);
    hear_end(&s, silent);
    s.conns[0].echo = true;
    say(&live, "still here");
    expect(&s, &live, "still here");
    close(silent);
    hang_up(&half);
    hang_up(&live);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(destroy_in_the_middle_of_everything_leaks_nothing)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client live = dial_tls(&s, 0, NULL, NULL), half = client_of(dial(s.port), rig_client(0, NULL));
    int silent = dial(s.port);
    CHECK(SSL_do_handshake(half.ssl) < 0);
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    (void)bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big)));
    tls_close(&s, tls);
    close(silent);
    hang_up(&half);
    hang_up(&live);
}
