/* SPDX-License-Identifier: Apache-2.0 */
/* ops: the grammar of the admin port's requests, its pages, and its connections over real sockets. */
#include "bgw/ops.h"

#include "bgw/metrics.h"

#include "../test.h"
#include "../../../server/ops/admin_request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

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
    CHECK(!r.head && r.keep_alive);
    CHECK_EQ_I64(used, 41);
    CHECK_EQ_I64(parse(BGW_SLICE("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: foo, Close\r\n\r\n"), &r, &used), 200);
    CHECK(r.head && !r.keep_alive);
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
        {"POST / HTTP/1.1\r\n" H "\r\n", 405},
        {"get / HTTP/1.1\r\n" H "\r\n", 405},
        {"G@T / HTTP/1.1\r\n" H "\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\n", 413},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 200},
        {"GET / HTTP/1.1\r\n" H "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length: +0\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 400},
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

static struct bgw_loop *loop;
static struct bgw_admin *admin;
static struct bgw_health health_now;
static uint16_t port;

static void tell_health(void *arg, struct bgw_health *out)
{
    (void)arg;
    *out = health_now;
}

static void start(void)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    health_now = (struct bgw_health){.ready = true};
    struct bgw_buf bound, error;
    bgw_buf_init(&bound, 128);
    bgw_buf_init(&error, 512);
    struct bgw_admin_config config = {.version = "9.9", .health = tell_health};
    CHECK(bgw_ops_listen("BGW_ADMIN_LISTEN", "127.0.0.1:0", &config.listen_fd, &bound, &error) == BGW_OK);
    CHECK(bound.len > 10 && memcmp(bound.data, "127.0.0.1:", 10) == 0);
    bgw_buf_append_byte(&bound, '\0');
    port = (uint16_t)atoi(bound.data + 10);
    CHECK(bgw_loop_create(&loop) == BGW_OK);
    CHECK(bgw_admin_create(&admin, loop, &config) == BGW_OK);
    bgw_buf_deinit(&bound);
    bgw_buf_deinit(&error);
}

static void stop(void)
{
    bgw_admin_destroy(&admin);
    bgw_loop_destroy(&loop);
    CHECK(admin == NULL && loop == NULL);
}

static int dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
    return fd;
}

/* Turns the loop until the peer has said `want` (or ended); everything it said, NUL-terminated. */
static char *hear(int fd, const char *want)
{
    static char text[1 << 20];
    size_t len = 0;
    for (int turn = 0; turn < 2000; turn++) {
        bgw_loop_turn(loop, 5);
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
        if (n > 0)
            len += (size_t)n;
        text[len] = '\0';
        if (n == 0 || (want && strstr(text, want)))
            break;
    }
    return text;
}

static char *ask(const char *request, const char *want)
{
    int fd = dial();
    bgw_loop_turn(loop, 50);
    CHECK(send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request));
    char *text = hear(fd, want);
    close(fd);
    return text;
}

#define CLOSE "Host: x\r\nConnection: close\r\n\r\n"

TEST(metrics_are_served_with_their_media_type)
{
    start();
    char *text = ask("GET /metrics HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") == text);
    CHECK(strstr(text, "Content-Type: text/plain; version=0.0.4"));
    CHECK(strstr(text, "bgw_connections"));
    CHECK(strstr(text, "Connection: close\r\n"));
    stop();
}

TEST(health_names_the_service_and_its_version)
{
    start();
    char *text = ask("GET /health HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "\"service\":\"Atlas.Realtime\""));
    CHECK(strstr(text, "\"version\":\"9.9\"") && strstr(text, "\"timestamp\":\"20"));
    text = ask("GET /livez HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "{\"ok\":true}"));
    text = ask("GET /version HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "{\"service\":\"bgw\",\"version\":\"9.9\"}"));
    stop();
}

TEST(readyz_is_503_with_the_reason_until_ready_and_again_while_draining)
{
    start();
    health_now = (struct bgw_health){.ready = false};
    strcpy(health_now.reason, "still \"reading\"");
    char *text = ask("GET /readyz?verbose HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 503 ") && strstr(text, "still \\\"reading\\\""));
    CHECK(!strstr(ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL), "reading"));
    health_now = (struct bgw_health){.ready = true};
    strcpy(health_now.degraded, "\"redis\"");
    text = ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "200 OK") && strstr(text, "\"degraded\":[\"redis\"]"));
    health_now.draining = true;
    CHECK(strstr(ask("GET /readyz HTTP/1.1\r\n" CLOSE, NULL), "HTTP/1.1 503 "));
    stop();
}

TEST(an_unknown_page_is_404_and_names_the_pages)
{
    start();
    char *text = ask("GET /metric HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "HTTP/1.1 404 ") && strstr(text, "/metrics, /health"));
    CHECK(strstr(text, "application/problem+json"));
    stop();
}

TEST(head_has_the_length_and_no_body)
{
    start();
    char *text = ask("HEAD /livez HTTP/1.1\r\n" CLOSE, NULL);
    CHECK(strstr(text, "Content-Length: 11\r\n"));
    CHECK(!strstr(text, "{"));
    stop();
}

TEST(pipelined_requests_are_answered_in_order_on_one_connection)
{
    start();
    char *text = ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"
                     "GET /nope HTTP/1.1\r\n" CLOSE,
                     NULL);
    char *a = strstr(text, "{\"ok\":true}"), *b = strstr(text, "\"bgw\""), *c = strstr(text, "404");
    CHECK(a && b && c && a < b && b < c);
    stop();
}

TEST(a_refusal_is_told_before_the_connection_ends)
{
    start();
    CHECK(strstr(ask("GET / HTTP/1.1\n\n", NULL), "HTTP/1.1 400 "));
    CHECK(strstr(ask("POST / HTTP/1.1\r\n" CLOSE, NULL), "Allow: GET, HEAD\r\n"));
    stop();
}

TEST(connections_beyond_the_maximum_are_refused_and_told_so)
{
    start();
    int fds[BGW_ADMIN_CONNECTIONS_MAX];
    for (int i = 0; i < BGW_ADMIN_CONNECTIONS_MAX; i++) {
        fds[i] = dial();
        bgw_loop_turn(loop, 50);
    }
    int extra = dial();
    CHECK(strstr(hear(extra, "\r\n\r\n"), "HTTP/1.1 503 "));
    close(extra);
    close(fds[0]);
    bgw_loop_turn(loop, 50);
    CHECK(strstr(ask("GET /livez HTTP/1.1\r\n" CLOSE, NULL), "200 OK"));
    for (int i = 1; i < BGW_ADMIN_CONNECTIONS_MAX; i++)
        close(fds[i]);
    stop();
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
