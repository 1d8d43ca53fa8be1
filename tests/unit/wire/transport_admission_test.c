/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_admission_test: what is looked at before anything is spent on a connection: the PROXY
 * header, the place of its address, the budget of handshakes and who is told to come back, and the
 * options that accepted sockets have.
 */
#include "transport_rig.h"

#include "bgw/hash.h"
#include "tls/tls_rig.h"

#define HEADER_4 "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\x7f\x00\x00\x01\xd9\x03\x01\xbb"
#define HEADER_LOCAL "\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"

struct answer { /* what a refused client heard */
    int status, retry_after;
    char text[2048];
};

static struct answer answer_of(struct server *s, int fd)
{
    struct answer a = {0};
    size_t have = 0;
    ssize_t n = -1;
    AWAIT(s, (n = hear(fd, a.text + have, sizeof(a.text) - 1 - have)) > 0 ? (have += (size_t)n, false) : n != -1);
    const char *retry = strstr(a.text, "\r\nRetry-After: "), *length = strstr(a.text, "\r\nContent-Length: "),
               *body = strstr(a.text, "\r\n\r\n");
    a.status = have > 12 ? atoi(a.text + 9) : 0;
    a.retry_after = retry ? atoi(retry + 15) : 0;
    if (have)
        CHECK(body && length && strtoul(length + 18, NULL, 10) == strlen(body + 4));
    return a;
}

static struct bgw_nets *nets(const char *text)
{
    struct bgw_nets *n;
    struct bgw_buf error;
    bgw_buf_init(&error, 256);
    CHECK_EQ_I64(bgw_nets_parse(&n, text, &error), BGW_OK);
    bgw_buf_deinit(&error);
    return n;
}

static void tell_bytes(int fd, const char *bytes, size_t len)
{
    CHECK_EQ_I64(send(fd, bytes, len, MSG_NOSIGNAL), len);
}

#define TELL(fd, lit) tell_bytes(fd, lit, sizeof(lit) - 1)

static struct bgw_transport_config proxied(void)
{
    struct bgw_transport_config config = config_of();
    config.limits.proxy_protocol = true;
    config.limits.trusted_proxies = nets("127.0.0.1/32");
    return config;
}

static struct bgw_quota *quota(void)
{
    struct bgw_quota *q;
    bgw_hash_init();
    CHECK_EQ_I64(bgw_quota_create(&q), BGW_OK);
    return q;
}

static void release(const struct bgw_transport_config *config)
{
    bgw_nets_release((struct bgw_nets *)(uintptr_t)config->limits.trusted_proxies);
}

static const char *text_of(const struct bgw_addr *a)
{
    static char text[2][BGW_ADDR_TEXT_MAX];
    static int next;
    next ^= 1;
    bgw_addr_format(a, text[next]);
    return text[next];
}

TEST(proxy_header_names_the_client_and_not_a_byte_behind_it_is_taken)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    server_open(&s, &config);
    int fd = dial(s.port);
    TELL(fd, HEADER_4 "GET / HTTP/1.1\r\n\r\n");
    AWAIT(&s, s.count == 1 && s.conns[0].got_len == 18);
    CHECK_EQ_STR(text_of(bgw_socket_peer(s.conns[0].sock)), "192.0.2.7");
    CHECK(memcmp(s.conns[0].got, "GET /", 5) == 0);
    close(fd);
    fd = dial(s.port);
    TELL(fd, HEADER_LOCAL "hi");
    AWAIT(&s, s.count == 2 && s.conns[1].got_len == 2);
    CHECK_EQ_STR(text_of(bgw_socket_peer(s.conns[1].sock)), "127.0.0.1");
    close(fd);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    release(&config);
}

TEST(proxy_header_may_come_byte_by_byte_and_with_fields_that_are_skipped)
{
    static struct server s;
    static char header[16 + 4096] = HEADER_4;
    struct bgw_transport_config config = proxied();
    server_open(&s, &config);
    int fd = dial(s.port);
    for (size_t i = 0; i < sizeof(HEADER_4) - 1; i++) {
        tell_bytes(fd, &HEADER_4[i], 1);
        bgw_loop_turn(s.loop, 0);
    }
    AWAIT(&s, s.count == 1);
    close(fd);
    header[14] = 0x10; /* 4096 bytes, most of them fields */
    header[15] = 0;
    fd = dial(s.port);
    tell_bytes(fd, header, 2000);
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(s.loop, 1);
    CHECK_EQ_I64(s.count, 1);
    tell_bytes(fd, header + 2000, sizeof(header) - 2000);
    tell(fd, "end");
    AWAIT(&s, s.count == 2 && s.conns[1].got_len == 3);
    CHECK(memcmp(s.conns[1].got, "end", 3) == 0);
    close(fd);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    release(&config);
}

TEST(wrong_missing_or_cut_proxy_header_is_closed_and_counted)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    int64_t bad = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BAD_PROXY_HEADER);
    server_open(&s, &config);
    int fds[4];
    for (int i = 0; i < 4; i++)
        fds[i] = dial(s.port);
    tell(fds[0], "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    tell(fds[1], "GET / HTTP/1.1\r\n\r\n");
    TELL(fds[2], "\r\n\r\n\0\r\nQUIT\n\x21\x12\x00\x0c");
    TELL(fds[3], "\r\n\r\n\0\r\nQUI");
    bgw_loop_turn(s.loop, 1);
    shutdown(fds[3], SHUT_WR);
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BAD_PROXY_HEADER) - bad == 4);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    CHECK_EQ_I64(s.count, 0);
    int quiet = dial(s.port); /* somebody looks whether the port is open */
    bgw_loop_turn(s.loop, 1);
    close(quiet);
    bgw_loop_turn(s.loop, 10);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BAD_PROXY_HEADER) - bad, 4);
    server_close(&s);
    release(&config);
}

TEST(proxy_header_has_a_deadline)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    config.limits.tls_ms = 50;
    server_open(&s, &config);
    int64_t timeouts = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADMISSION_TIMEOUT);
    int fd = dial(s.port);
    TELL(fd, "\r\n\r\n\0\r\nQUIT");
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADMISSION_TIMEOUT) - timeouts == 1);
    CHECK_EQ_I64(s.count, 0);
    close(fd);
    server_close(&s);
    release(&config);
}

TEST(header_of_a_stranger_is_not_believed_but_handed_on_as_what_it_is)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    release(&config);
    config.limits.trusted_proxies = nets("192.0.2.0/24");
    server_open(&s, &config);
    int fd = dial(s.port);
    TELL(fd, HEADER_4);
    AWAIT(&s, s.count == 1 && s.conns[0].got_len == sizeof(HEADER_4) - 1);
    CHECK_EQ_STR(s.conns[0].peer, "127.0.0.1");
    struct bgw_transport_limits limits = config.limits;
    limits.trusted_proxies = NULL; /* nobody is trusted: the same */
    bgw_transport_set_limits(s.transport, &limits);
    close(fd);
    fd = dial(s.port);
    TELL(fd, HEADER_4);
    AWAIT(&s, s.count == 2 && s.conns[1].got_len == sizeof(HEADER_4) - 1);
    close(fd);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    release(&config);
}

TEST(tls_follows_the_proxy_header_in_the_same_segment)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    struct bgw_tls *tls;
    rig_make(&(struct spec){.file = "a", .name = "a"});
    struct bgw_tls_config rules = rig_config("a");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config.tls = tls;
    server_open(&s, &config);
    SSL_CTX *ctx = rig_client(0, NULL);
    SSL *ssl = SSL_new(ctx);
    int fd = dial(s.port), cork = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
    TELL(fd, HEADER_4);
    SSL_set_fd(ssl, fd);
    SSL_set_connect_state(ssl);
    (void)SSL_do_handshake(ssl);
    cork = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_CORK, &cork, sizeof(cork));
    AWAIT_DOING(&s, (void)SSL_do_handshake(ssl), s.count == 1);
    CHECK_EQ_STR(s.conns[0].peer, "192.0.2.7");
    CHECK(bgw_socket_secure(s.conns[0].sock));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
    bgw_tls_destroy(&tls);
    release(&config);
}

TEST(address_has_as_many_connections_as_allowed_and_the_rest_are_told_429)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.quota = quota();
    config.limits.per_address_max = 2;
    config.limits.storm_spread_s = 1;
    server_open(&s, &config);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADDRESS_LIMIT);
    int a = dial(s.port), b = dial(s.port), c;
    AWAIT(&s, s.count == 2);
    c = dial(s.port);
    tell(c, "GET / HTTP/1.1\r\n\r\n");
    struct answer told = answer_of(&s, c);
    CHECK_EQ_I64(told.status, 429);
    CHECK_EQ_I64(told.retry_after, 1);
    CHECK(strstr(told.text, "\"code\":\"address_limit\""));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADDRESS_LIMIT) - refused, 1);
    close(c);
    close(a);
    AWAIT(&s, bgw_transport_count(s.transport) == 1);
    a = dial(s.port);
    AWAIT(&s, s.count == 3);
    struct bgw_transport_limits limits = config.limits;
    limits.per_address_max = 3;
    bgw_transport_set_limits(s.transport, &limits);
    c = dial(s.port);
    AWAIT(&s, s.count == 4);
    close(a);
    close(b);
    close(c);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    bgw_quota_destroy(&config.quota); /* asserts that everything was given back */
}

TEST(clients_of_a_proxy_are_counted_one_by_one_and_the_proxy_not_at_all)
{
    static struct server s;
    struct bgw_transport_config config = proxied();
    config.quota = quota();
    config.limits.per_address_max = 1;
    server_open(&s, &config);
    int fds[5];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(s.port);
        TELL(fds[i], HEADER_LOCAL);
    }
    AWAIT(&s, s.count == 3);
    fds[3] = dial(s.port);
    TELL(fds[3], HEADER_4);
    AWAIT(&s, s.count == 4);
    fds[4] = dial(s.port);
    TELL(fds[4], HEADER_4);
    CHECK_EQ_I64(answer_of(&s, fds[4]).status, 429);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
    bgw_quota_destroy(&config.quota);
    release(&config);
}

TEST(places_taken_for_a_handshake_that_fails_or_never_comes_are_given_back)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    struct bgw_tls *tls;
    rig_make(&(struct spec){.file = "a", .name = "a"});
    struct bgw_tls_config rules = rig_config("a");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config.quota = quota();
    config.tls = tls;
    config.limits.per_address_max = 1;
    config.limits.tls_ms = 50;
    server_open(&s, &config);
    static const char *const said[] = {"", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x01\x01hello", "\x16"};
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        int64_t ends = bgw_metric_read(BGW_M_TLS_FAILED) + bgw_metric_read(BGW_M_TLS_TIMEOUT);
        int fd = dial(s.port);
        tell(fd, said[i]);
        AWAIT(&s, bgw_metric_read(BGW_M_TLS_FAILED) + bgw_metric_read(BGW_M_TLS_TIMEOUT) == ends + 1);
        close(fd);
    }
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADDRESS_LIMIT);
    int a = dial(s.port), b = dial(s.port);
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_ADDRESS_LIMIT) == refused + 1);
    CHECK_EQ_I64(answer_of(&s, b).status, 0); /* no word over TLS */
    close(a);
    close(b);
    server_close(&s);
    bgw_quota_destroy(&config.quota);
    bgw_tls_destroy(&tls);
}

#define STORM 120

TEST(storm_beyond_the_budget_waits_for_two_seconds_and_is_then_told_when_to_come_back)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    int fds[STORM], seen[16] = {0}, told = 0;
    config.limits.handshakes_per_s = 10;
    config.limits.storm_spread_s = 10;
    server_open(&s, &config);
    int64_t refused = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BUDGET), start = bgw_clock_now().mono_ms;
    for (int i = 0; i < STORM; i++)
        fds[i] = dial(s.port);
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BUDGET) > refused);
    int64_t waited = bgw_clock_now().mono_ms - start;
    CHECK(waited >= 1990 && waited < 4000);
    CHECK(s.count >= 28 && s.count < 60); /* a second's worth at once, then ten a second */
    AWAIT(&s, bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BUDGET) - refused + (int64_t)s.count == STORM);
    for (int i = (int)s.count; i < STORM; i++) {
        struct answer a = answer_of(&s, fds[i]);
        CHECK_EQ_I64(a.status, 503);
        CHECK(a.retry_after >= 1 && a.retry_after <= 10);
        seen[a.retry_after & 15]++;
        told++;
    }
    for (int r = 1; r <= 10; r++) /* a queue that is served at ten a second; what it gave up in the meantime is given out again */
        CHECK(seen[r] >= (r <= told / 10 - 1 ? 8 : 0) && seen[r] <= told / 10 + 3);
    for (int i = 0; i < STORM; i++)
        close(fds[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    int64_t later = bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BUDGET);
    size_t before = s.count;
    int fd = dial(s.port); /* the storm is over: who comes now waits for its turn again */
    AWAIT(&s, s.count == before + 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CONNECTIONS_REFUSED_BUDGET), later);
    close(fd);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
}

TEST(live_clients_are_answered_while_a_storm_waits)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    int fds[60];
    config.limits.handshakes_per_s = 10;
    server_open(&s, &config);
    int live = dial(s.port);
    AWAIT(&s, s.count == 1);
    s.conns[0].echo = true;
    for (int i = 0; i < 60; i++)
        fds[i] = dial(s.port);
    for (int round = 0; round < 20; round++) {
        int64_t start = bgw_clock_now().mono_ms;
        tell(live, "ping");
        hear_text(&s, live, "ping");
        CHECK(bgw_clock_now().mono_ms - start < 100);
    }
    close(live);
    for (int i = 0; i < 60; i++)
        close(fds[i]);
    server_close(&s);
}

TEST(budget_can_be_raised_while_clients_wait)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    int fds[40];
    config.limits.handshakes_per_s = 1;
    server_open(&s, &config);
    for (int i = 0; i < 40; i++)
        fds[i] = dial(s.port);
    AWAIT(&s, s.count == 1);
    struct bgw_transport_limits limits = config.limits;
    limits.handshakes_per_s = 0;
    int64_t start = bgw_clock_now().mono_ms;
    bgw_transport_set_limits(s.transport, &limits);
    AWAIT(&s, s.count == 40);
    CHECK(bgw_clock_now().mono_ms - start < 1000);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    AWAIT(&s, bgw_transport_count(s.transport) == 0);
    server_close(&s);
}

static int server_end_of(int fd)
{
    struct sockaddr_in own, peer;
    socklen_t own_len = sizeof(own);
    CHECK(getsockname(fd, (struct sockaddr *)&own, &own_len) == 0);
    for (int i = 3; i < 64; i++) {
        socklen_t len = sizeof(peer);
        if (i != fd && getpeername(i, (struct sockaddr *)&peer, &len) == 0 && peer.sin_port == own.sin_port)
            return i;
    }
    return -1;
}

TEST(accepted_sockets_have_the_options_of_the_port)
{
    static struct server s;
    struct bgw_transport_config config = config_of();
    config.tcp_user_timeout_ms = 12345;
    config.tcp_notsent_lowat = 16000;
    config.so_sndbuf = 30000;
    server_open(&s, &config);
    int fd = dial(s.port), value;
    AWAIT(&s, s.count == 1);
    int end = server_end_of(fd);
    const struct {
        int level, name, want;
    } rows[] = {{IPPROTO_TCP, TCP_USER_TIMEOUT, 12345},
                {IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16000},
                {SOL_SOCKET, SO_SNDBUF, 60000}, /* the kernel doubles it */
                {IPPROTO_TCP, TCP_NODELAY, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        socklen_t len = sizeof(value);
        CHECK(getsockopt(end, rows[i].level, rows[i].name, &value, &len) == 0);
        CHECK_EQ_I64(value, rows[i].want);
    }
    close(fd);
    AWAIT(&s, s.conns[0].closed);
    server_close(&s);
}
