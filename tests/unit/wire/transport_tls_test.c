/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_test: the life of a connection over TLS and a real loopback socket: the handshake and
 * its deadline, bytes both ways, half-close, reload, and clients that break off or say something else.
 */
#include "transport_rig.h"

#include "tls/tls_rig.h"

struct client { /* OpenSSL's over a non-blocking socket */
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static char pattern[1 << 20];

static void make_all(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    rig_make(&(struct spec){.file = "ca", .name = "ca", .authority = true});
    rig_make(&(struct spec){.file = "a", .name = "a", .sans = "DNS:a.example"});
    rig_make(&(struct spec){.file = "b", .name = "b", .sans = "DNS:b.example"});
    rig_make(&(struct spec){.file = "staff", .name = "staff", .issuer = "ca"});
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i * 131 >> 4);
}

static struct bgw_tls *tls_open(struct server *s, struct bgw_transport_config *config)
{
    struct bgw_tls *tls;
    make_all();
    struct bgw_tls_config rules = rig_config("a,b");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config->tls = tls;
    server_open(s, config);
    return tls;
}

static void tls_close(struct server *s, struct bgw_tls *tls)
{
    server_close(s);
    bgw_tls_destroy(&tls);
}

static struct client client_of(int fd, SSL_CTX *ctx)
{
    struct client c = {.ctx = ctx, .ssl = SSL_new(ctx), .fd = fd};
    SSL_set_fd(c.ssl, fd);
    SSL_set_connect_state(c.ssl);
    SSL_set_mode(c.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return c;
}

static struct client dial_tls(struct server *s, int version, const char *cert, const char *name)
{
    size_t before = s->count;
    struct client c = client_of(dial(s->port), rig_client(version, cert));
    if (name)
        SSL_set_tlsext_host_name(c.ssl, name);
    AWAIT_DOING(s, (void)SSL_do_handshake(c.ssl), s->count > before && SSL_is_init_finished(c.ssl));
    return c;
}

static void hang_up(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
    ERR_clear_error();
}

static void say(struct client *c, const char *text)
{
    CHECK_EQ_I64(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
}

static void expect(struct server *s, struct client *c, const char *text)
{
    char buf[256];
    int have = 0, want = (int)strlen(text), n;
    AWAIT_DOING(s, n = SSL_read(c->ssl, buf + have, want - have), (have += n > 0 ? n : 0, have == want));
    test_check_slice_(__FILE__, __LINE__, "heard", bgw_slice_of(buf, (size_t)have), bgw_slice_str(text));
}

/* What SSL_get_error says once the server has nothing more to say. */
static int end_of(struct server *s, struct client *c)
{
    char buf[4096];
    int n = 0, why = SSL_ERROR_WANT_READ;
    AWAIT_DOING(s, n = SSL_read(c->ssl, buf, sizeof(buf)),
          n <= 0 && (why = SSL_get_error(c->ssl, n)) != SSL_ERROR_WANT_READ);
    ERR_clear_error();
    return why;
}

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
        CHECK(strncmp(s.conns[0].peer, "127.0.0.1:", 10) == 0);
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
