/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_test: the life of a connection over TLS and a real loopback socket: the handshake,
 * bytes both ways, half-close, reload and client certificates.
 */
#include "transport_tls_rig.h"

TEST(client_is_opened_after_the_handshake_heard_answered_and_closed_once)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        static struct server s;
        struct bgw_transport_config config = config_of();
        int64_t ok = bgw_metric_read(BGW_M_TLS_OK);
        struct bgw_tls *tls = tls_open(&s, &config);
        s.greet = true;
        struct client c = dial_tls(&s, versions[i], NULL, "b.example");
        CHECK_EQ_STR(rig_shown(c.ssl), "b");
        expect(&s, &c, "hi");
        CHECK_EQ_I64(bgw_metric_read(BGW_M_TLS_OK) - ok, 1);
        CHECK_EQ_STR(s.conns[0].peer, "127.0.0.1");
        CHECK(bgw_socket_secure(s.conns[0].sock) && !bgw_socket_peer_verified(s.conns[0].sock));
        s.conns[0].echo = true;
        say(&c, "hello");
        expect(&s, &c, "hello");
        hang_up(&c);
        AWAIT(&s, s.conns[0].closed);
        CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
        tls_close(&s, tls);
    }
}

TEST(nobody_is_opened_before_the_handshake_is_complete)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = client_of(dial(s.port), rig_client(0, NULL));
    CHECK(SSL_do_handshake(c.ssl) < 0); /* the hello is out, the client's last word is not */
    for (int i = 0; i < 10; i++)
        bgw_loop_turn(s.loop, 5);
    CHECK_EQ_I64(s.count, 0);
    CHECK_EQ_I64(bgw_transport_count(s.transport), 0);
    AWAIT_DOING(&s, (void)SSL_do_handshake(c.ssl), s.count == 1);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(large_reads_and_writes_of_many_records_arrive_whole)
{
    static struct server s;
    static char got[sizeof(pattern)];
    struct bgw_transport_config config = config_of();
    size_t sent = 0, have = 0;
    int n;
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    AWAIT_DOING(&s, n = SSL_write(c.ssl, pattern + sent, (int)(sizeof(pattern) - sent > 50000 ? 50000 : sizeof(pattern) - sent)),
          (sent += n > 0 ? (size_t)n : 0, sent == sizeof(pattern)));
    AWAIT(&s, s.conns[0].total == sizeof(pattern));
    CHECK(memcmp(s.conns[0].got, pattern, s.conns[0].got_len) == 0);
    enum bgw_sent answer = bgw_socket_send(s.conns[0].sock, bgw_slice_of(pattern, sizeof(pattern)));
    CHECK_EQ_I64(answer, BGW_SENT_BUFFERED);
    for (int i = 0; i < 20; i++) /* a slow reader: nothing spins */
        bgw_loop_turn(s.loop, 2);
    uint64_t turns = s.turns;
    bgw_loop_turn(s.loop, 50);
    CHECK_EQ_I64(s.turns - turns, 1);
    AWAIT_DOING(&s, n = SSL_read(c.ssl, got + have, (int)(sizeof(got) - have)),
          (have += n > 0 ? (size_t)n : 0, have == sizeof(got) && s.conns[0].writable == 1));
    CHECK(memcmp(got, pattern, sizeof(got)) == 0);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, BGW_SLICE("x")), BGW_SENT_ALL);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(records_that_came_in_one_piece_with_the_end_of_the_handshake_are_not_left_lying)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = client_of(dial(s.port), rig_client(TLS1_3_VERSION, NULL));
    int cork = 1;
    setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
    AWAIT_DOING(&s, (void)SSL_do_handshake(c.ssl), SSL_is_init_finished(c.ssl));
    for (int i = 0; i < 40; i++)
        say(&c, "0123456789");
    cork = 0;
    setsockopt(c.fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
    AWAIT(&s, s.count == 1 && s.conns[0].total == 400);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(finish_says_close_notify_after_everything_and_drops_what_comes)
{
    static struct server s;
    static char got[sizeof(pattern)];
    struct bgw_transport_config config = config_of();
    size_t have = 0;
    int n = 0;
    config.linger_ms = 60000;
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(pattern, sizeof(pattern))), BGW_SENT_BUFFERED);
    bgw_socket_finish(s.conns[0].sock);
    AWAIT_DOING(&s, n = SSL_read(c.ssl, got + have, have < sizeof(got) ? (int)(sizeof(got) - have) : 1),
          (have += n > 0 ? (size_t)n : 0, n <= 0 && SSL_get_error(c.ssl, n) != SSL_ERROR_WANT_READ));
    CHECK_EQ_I64(have, sizeof(pattern));
    CHECK_EQ_I64(SSL_get_error(c.ssl, n), SSL_ERROR_ZERO_RETURN);
    CHECK(memcmp(got, pattern, sizeof(got)) == 0);
    say(&c, "more that nobody wants"); /* not answered with a reset */
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    char byte;
    CHECK_EQ_I64(s.conns[0].total, 0);
    CHECK_EQ_I64(s.conns[0].closed, 0);
    CHECK_EQ_I64(recv(c.fd, &byte, 1, 0), 0);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(aborted_connection_does_not_look_complete)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, BGW_SLICE("half of it")), BGW_SENT_ALL);
    bgw_socket_abort(s.conns[0].sock);
    int why = end_of(&s, &c);
    CHECK(why == SSL_ERROR_SSL || why == SSL_ERROR_SYSCALL);
    hang_up(&c);
    tls_close(&s, tls);
}

TEST(close_notify_of_the_peer_is_answered)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_I64(SSL_shutdown(c.ssl), 0);
    AWAIT(&s, s.conns[0].closed);
    CHECK_EQ_I64(end_of(&s, &c), SSL_ERROR_ZERO_RETURN);
    hang_up(&c);
    tls_close(&s, tls);
}

TEST(peer_that_never_ends_is_closed_after_the_linger_time)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.linger_ms = 40;
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_socket_finish(s.conns[0].sock);
    AWAIT(&s, s.conns[0].closed);
    CHECK(bgw_clock_now().mono_ms - start >= 39);
    hang_up(&c);
    tls_close(&s, tls);
}

TEST(peer_that_takes_nothing_for_too_long_is_closed_and_counted)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.stall_ms = 60;
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    int64_t stalled = bgw_metric_read(BGW_M_CONNECTIONS_STALLED);
    CHECK_EQ_I64(bgw_socket_send(s.conns[0].sock, bgw_slice_of(big, sizeof(big))), BGW_SENT_BUFFERED);
    bgw_socket_finish(s.conns[0].sock);
    AWAIT(&s, s.conns[0].closed);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_STALLED) - stalled, 1);
    hang_up(&c);
    tls_close(&s, tls);
}

TEST(paused_socket_is_not_read_until_it_is_resumed)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    bgw_socket_pause(s.conns[0].sock, true);
    say(&c, "later");
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 2);
    CHECK_EQ_I64(s.conns[0].got_len, 0);
    bgw_socket_pause(s.conns[0].sock, false);
    AWAIT(&s, s.conns[0].got_len == 5);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}

TEST(peer_that_updates_its_keys_without_end_is_served_and_keeps_nobody_waiting)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, TLS1_3_VERSION, NULL, NULL), d = dial_tls(&s, 0, NULL, NULL);
    s.conns[0].echo = s.conns[1].echo = true;
    for (int i = 0; i < 1000; i++) {
        CHECK(SSL_key_update(c.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
        CHECK(SSL_do_handshake(c.ssl) == 1);
    }
    say(&c, "last");
    say(&d, "first");
    expect(&s, &d, "first"); /* one record of the other a turn */
    CHECK_EQ_I64(s.conns[0].total, 0);
    expect(&s, &c, "last");
    hang_up(&c);
    hang_up(&d);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(reload_keeps_live_connections_and_a_wrong_key_keeps_the_old_set)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL), d;
    s.conns[0].echo = true;
    struct bgw_tls_config wrong = rig_config("b"), fresh = rig_config("b");
    wrong.key_files = rig_list("a", ".key");
    CHECK(rig_reload(tls, &wrong)[0]);
    d = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_STR(rig_shown(d.ssl), "a");
    hang_up(&d);
    CHECK_EQ_STR(rig_reload(tls, &fresh), "");
    d = dial_tls(&s, 0, NULL, NULL);
    CHECK_EQ_STR(rig_shown(d.ssl), "b");
    say(&c, "still here");
    expect(&s, &c, "still here");
    hang_up(&c);
    hang_up(&d);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(client_certificate_is_told_and_without_a_required_one_nobody_is_opened)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls;
    make_all();
    struct bgw_tls_config rules = rig_config("a");
    rules.client = BGW_TLS_CLIENT_REQUIRED;
    rules.client_ca = rig_path("ca", ".crt");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config.tls = tls;
    server_open(&s, &config);
    struct client c = dial_tls(&s, 0, "staff", NULL);
    CHECK(bgw_socket_peer_verified(s.conns[0].sock));
    int64_t failed = bgw_metric_read(BGW_M_TLS_FAILED);
    struct client d = client_of(dial(s.port), rig_client(0, NULL));
    AWAIT_DOING(&s, (void)SSL_do_handshake(d.ssl), bgw_metric_read(BGW_M_TLS_FAILED) == failed + 1);
    CHECK_EQ_I64(s.count, 1);
    hang_up(&d);
    hang_up(&c);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    tls_close(&s, tls);
}

TEST(idle_connections_let_the_loop_sleep)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls = tls_open(&s, &config);
    struct client c = dial_tls(&s, 0, NULL, NULL);
    int silent = dial(s.port);
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 1);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_loop_turn(s.loop, 300);
    CHECK(bgw_clock_now().mono_ms - start >= 290);
    close(silent);
    hang_up(&c);
    AWAIT(&s, s.conns[0].closed);
    tls_close(&s, tls);
}
