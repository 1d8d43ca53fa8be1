/* SPDX-License-Identifier: Apache-2.0 */
/* ops: the grammar of the admin port's requests, its pages, and its connections over real sockets. */
#include "admin_rig.h"

#include "../../../server/ops/admin_request.h"

static int parse(struct bgw_slice text, struct bgw_admin_request *out, size_t *used)
{
    *out = (struct bgw_admin_request){0};
    *used = 0;
    return bgw_admin_request_parse(text, out, used);
}

TEST(a_request_is_taken_apart)
{
    struct bgw_admin_request r;
    size_t used;
    CHECK_EQ_I64(parse(BGW_SLICE("GET /readyz?verbose HTTP/1.1\r\nHost: x\r\n\r\nGET"), &r, &used), 200);
    CHECK_SLICE(r.path, "/readyz");
    CHECK_SLICE(r.query, "verbose");
    CHECK(r.method == BGW_ADMIN_GET && r.keep_alive);
    CHECK_EQ_I64(used, 41);
    CHECK_EQ_I64(parse(BGW_SLICE("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"), &r, &used), 200);
    CHECK(r.method == BGW_ADMIN_HEAD && !r.keep_alive);
    CHECK_EQ_I64(parse(BGW_SLICE("GET / HTTP/1.0\r\n\r\n"), &r, &used), 200);
    CHECK(!r.keep_alive);
}

TEST(every_prefix_of_a_request_asks_for_more)
{
    struct bgw_slice whole = BGW_SLICE("GET /metrics HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\n");
    struct bgw_admin_request r;
    size_t used;
    for (size_t n = 0; n < whole.len; n++)
        CHECK_EQ_I64(parse(bgw_slice_of(whole.data, n), &r, &used), BGW_ADMIN_MORE);
    CHECK_EQ_I64(parse(whole, &r, &used), 200);
    CHECK_EQ_I64(used, whole.len);
}

#define H "Host: x\r\n"

TEST(what_could_be_read_in_two_ways_is_refused)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400}, /* no Host */
        {"GET / HTTP/1.1\r\n" H H "\r\n", 400},
        {"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: x\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: x\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: b\rc\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H " folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A : b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H ": b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "nonsense\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "A: \x01\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /  HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / \r\n" H "\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\n" H "\r\n", 400},
        {"\r\nGET / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / http/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/2.0\r\n" H "\r\n", 505},
        {"GET / HTTP/0.9\r\n" H "\r\n", 505},
        {"GET / HTTP/1.10\r\n" H "\r\n", 400},
        {"GET * HTTP/1.1\r\n" H "\r\n", 400},
        {"GET http://x/ HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a#b HTTP/1.1\r\n" H "\r\n", 400},
        {"GET /a\x80 HTTP/1.1\r\n" H "\r\n", 400},
        {"get / HTTP/1.1\r\n" H "\r\n", 405},
        {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: +0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 411},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_admin_request r;
        size_t used;
        int got = parse(bgw_slice_str(rows[i].text), &r, &used);
        if (got != rows[i].status)
            printf("# row %zu\n", i);
        CHECK_EQ_I64(got, rows[i].status);
    }
    struct bgw_admin_request r;
    size_t used;
    CHECK_EQ_I64(parse(BGW_SLICE("GET / HTTP/1.1\r\nHost: x\0y\r\n\r\n"), &r, &used), 400);
}

TEST(length_of_a_body_has_one_meaning_or_none)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"PUT / HTTP/1.1\r\n" H "\r\n", 405},
        {"post / HTTP/1.1\r\n" H "\r\n", 405},
        {"POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n", 400}, /* no Host */
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1048576\r\n\r\n", 200},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1048577\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 99999999999999999999999999\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551617\r\n\r\n", 413},
        {"POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1,1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n", 411},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 100-continue\r\n\r\n", 200},
        {"POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: coffee\r\n\r\n", 417},
        {"POST / HTTP/1.1\r\n" H "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n", 400},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_admin_request r;
        size_t used;
        int got = parse(bgw_slice_str(rows[i].text), &r, &used);
        if (got != rows[i].status)
            printf("# row %zu\n", i);
        CHECK_EQ_I64(got, rows[i].status);
    }
}

TEST(a_long_line_is_414_and_a_long_header_is_431)
{
    static char text[BGW_ADMIN_HEADER_MAX];
    struct bgw_admin_request r;
    size_t used;
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    CHECK_EQ_I64(parse(bgw_slice_of(text, BGW_ADMIN_LINE_MAX), &r, &used), BGW_ADMIN_MORE);
    CHECK_EQ_I64(parse(bgw_slice_of(text, BGW_ADMIN_LINE_MAX + 1), &r, &used), 414);
    memcpy(text, "GET / HTTP/1.1\r\nA: ", 19);
    CHECK_EQ_I64(parse(bgw_slice_of(text, sizeof(text) - 1), &r, &used), BGW_ADMIN_MORE);
    CHECK_EQ_I64(parse(bgw_slice_of(text, sizeof(text)), &r, &used), 431);
}

/* ---- over sockets ---- */

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

TEST(metrics_are_served_with_their_media_type)
{
    rig_start(NULL);
    char *text = rig_ask("GET /metrics HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") == text);
    CHECK(strstr(text, "Content-Type: text/plain; version=0.0.4"));
    CHECK(strstr(text, "bgw_connections"));
    CHECK(strstr(text, "Connection: close\r\n"));
    rig_stop();
}

TEST(health_names_the_service_and_its_version)
{
    rig_start(NULL);
    char *text = rig_ask("GET /health HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "\"service\":\"Atlas.Realtime\""));
    CHECK(strstr(text, "\"version\":\"9.9\"") && strstr(text, "\"timestamp\":\"20"));
    text = rig_ask("GET /livez HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "{\"ok\":true}"));
    text = rig_ask("GET /version HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "{\"service\":\"bgw\",\"version\":\"9.9\"}"));
    rig_stop();
}

TEST(readyz_is_503_with_the_reason_until_ready_and_again_while_draining)
{
    rig_start(NULL);
    rig.health = (struct bgw_health){.ready = false};
    strcpy(rig.health.reason, "still \"reading\"");
    char *text = rig_ask("GET /readyz?verbose HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 503 ") && strstr(text, "still \\\"reading\\\""));
    CHECK(!strstr(rig_ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL), "reading"));
    rig.health = (struct bgw_health){.ready = true};
    strcpy(rig.health.degraded, "\"redis\"");
    text = rig_ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "\"degraded\":[\"redis\"]"));
    rig.health.draining = true;
    CHECK(strstr(rig_ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL), "HTTP/1.1 503 "));
    rig_stop();
}

TEST(an_unknown_page_is_404_and_names_the_pages)
{
    rig_start(NULL);
    char *text = rig_ask("GET /metric HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 404 ") && strstr(text, "/metrics, /health"));
    CHECK(strstr(text, "application/problem+json"));
    rig_stop();
}

TEST(head_has_the_length_and_no_body)
{
    rig_start(NULL);
    char *text = rig_ask("HEAD /livez HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "Content-Length: 11\r\n"));
    CHECK(!strstr(text, "{"));
    rig_stop();
}

TEST(pipelined_requests_are_answered_in_order_on_one_connection)
{
    rig_start(NULL);
    char *text = rig_ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"
                     "GET /nope HTTP/1.1\r\n" CLOSE,
                     NULL);
    char *a = strstr(text, "{\"ok\":true}"), *b = strstr(text, "\"bgw\""), *c = strstr(text, "404");
    CHECK(a && b && c && a < b && b < c);
    rig_stop();
}

TEST(a_refusal_is_told_before_the_connection_ends)
{
    rig_start(NULL);
    CHECK(strstr(rig_ask("GET / HTTP/1.1\n\n", NULL), "HTTP/1.1 400 "));
    char *text = rig_ask("POST /metrics HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 405 ") && strstr(text, "Allow: GET, HEAD\r\n"));
    CHECK(strstr(rig_ask("POST /revocations HTTP/1.1\r\n" CLOSE, NULL), "HTTP/1.1 404 ")); /* nobody takes it */
    rig_stop();
}

TEST(connections_beyond_the_maximum_are_refused_and_told_so)
{
    rig_start(NULL);
    int fds[BGW_ADMIN_CONNECTIONS_MAX];
    for (int i = 0; i < BGW_ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = rig_dial();
        bgw_loop_turn(rig.loop, 50);
    }
    int extra = rig_dial();
    CHECK(strstr(rig_hear(extra, "\r\n\r\n"), "HTTP/1.1 503 "));
    close(extra);
    close(fds[0]);
    bgw_loop_turn(rig.loop, 50);
    CHECK(strstr(rig_ask("GET /livez HTTP/1.1\r\n" CLOSE, NULL), "200 OK"));
    for (int i = 1; i < BGW_ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
    rig_stop();
}

static void check_listen_error(const char *address, const char *part)
{
    struct bgw_buf bound, error;
    bgw_buf_init(&bound, 128);
    bgw_buf_init(&error, 512);
    int fd = -1;
    CHECK(bgw_ops_listen("BGW_ADMIN_LISTEN", address, &fd, &bound, &error) != BGW_OK);
    CHECK(fd == -1);
    bgw_buf_append_byte(&error, '\0');
    CHECK(strstr(error.data, "BGW_ADMIN_LISTEN") && strstr(error.data, part));
    bgw_buf_deinit(&bound);
    bgw_buf_deinit(&error);
}

TEST(an_address_that_cannot_be_bound_is_explained)
{
    check_listen_error("nonsense", "host:port");
    check_listen_error("127.0.0.1:", "host:port");
    check_listen_error("127.0.0.1:65536", "host:port");
    check_listen_error("127.0.0.1:80x", "host:port");
    check_listen_error("::1:80", "host:port");
    check_listen_error("no-such-host.invalid:80", "not known");
}

TEST(a_port_that_somebody_listens_on_is_named_even_if_it_is_shared)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(at);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&at, len) == 0 && listen(fd, 1) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    char address[32];
    snprintf(address, sizeof(address), "127.0.0.1:%d", ntohs(at.sin_port));
    struct bgw_buf error;
    bgw_buf_init(&error, 512);
    CHECK(bgw_ops_probe("BGW_LISTEN", address, &error) == BGW_IO);
    bgw_buf_append_byte(&error, '\0');
    CHECK(strstr(error.data, "another process listens"));
    bgw_buf_clear(&error);
    close(fd);
    CHECK(bgw_ops_probe("BGW_LISTEN", address, &error) == BGW_OK);
    bgw_buf_deinit(&error);
}
