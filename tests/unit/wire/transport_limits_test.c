/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_limits_test: admission (socket limit, pacing, descriptors), what refused clients are
 * told, the end of a transport, and how listeners share a port.
 */
#include "transport_rig.h"

static void expect_503(struct server *s, int fd)
{
    char buf[2048];
    size_t have = 0;
    ssize_t n = -1;
    AWAIT(s, (n = hear(fd, buf + have, sizeof(buf) - 1 - have)) > 0 ? (have += (size_t)n, false)
                                                                    : n != -1);
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
    config.limits.handshakes_per_s = 20; /* the first 20 at once, then one in 50 ms */
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
    for (int i = 0; i < 8;
         i++) { /* they wait in the backlog; the server needs a descriptor for each */
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
        CHECK_EQ_I64(bgw_socket_send(s.conns[i].sock, bgw_slice_of(big, sizeof(big))),
                     BGW_SENT_BUFFERED);
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
    static const char *const bad[] = {"",
                                      "5851",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:1x",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:123456",
                                      "::1:80",
                                      "[::1:80",
                                      "[]:80",
                                      "[::1]80"};
    char bound[64];
    int fd;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CHECK_EQ_I64(bgw_transport_bind(bad[i], &fd, bound, sizeof(bound)), BGW_BAD_VALUE);
        CHECK_EQ_I64(fd, -1);
    }
    CHECK_EQ_I64(bgw_transport_bind("no-such-host.invalid:0", &fd, bound, sizeof(bound)),
                 BGW_NOT_FOUND);
}

TEST(shards_share_the_port_that_the_first_found)
{
    static const char *const listens[] = {"127.0.0.1:0", ":0",      "*:0",
                                          "localhost:0", "[::1]:0", "[::]:0"};
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
