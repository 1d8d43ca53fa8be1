/* SPDX-License-Identifier: Apache-2.0 */
/* ws_client: addresses, the upgrade, and frames, against a scripted server on a thread of its own. */
#include "cli/ws_client.h"

#include "bgw/auth.h"
#include "bgw/base64.h"

#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

static bool parses(const char *text, const char *host, const char *port, const char *path)
{
    struct ws_url url;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bool ok = ws_url_parse(text, &url, &error);
    CHECK(ok == (error.len == 0));
    bgw_buf_deinit(&error);
    return ok && (!host || (!strcmp(url.host, host) && !strcmp(url.port, port) && !strcmp(url.path, path)));
}

TEST(addresses_are_taken_apart)
{
    CHECK(parses("ws://gw:5851/ws", "gw", "5851", "/ws"));
    CHECK(parses("ws://gw", "gw", "80", "/ws"));
    CHECK(parses("ws://gw/", "gw", "80", "/ws"));
    CHECK(parses("127.0.0.1:40001", "127.0.0.1", "40001", "/ws"));
    CHECK(parses("http://gw:1/x?y=z", "gw", "1", "/x?y=z"));
    CHECK(parses("ws://[::1]:5851/ws", "::1", "5851", "/ws"));
}

TEST(an_address_that_is_none_is_explained)
{
    CHECK(!parses("wss://gw/ws", NULL, NULL, NULL));
    CHECK(!parses("ftp://gw/ws", NULL, NULL, NULL));
    CHECK(!parses("ws://", NULL, NULL, NULL));
    CHECK(!parses("", NULL, NULL, NULL));
    CHECK(!parses("ws://gw:abc/", NULL, NULL, NULL));
    CHECK(!parses("ws://gw:/", NULL, NULL, NULL));
    CHECK(!parses("ws://[::1/", NULL, NULL, NULL));
    CHECK(!parses("ws://gw/a b", NULL, NULL, NULL));
}

/* ---- the scripted server ---- */

struct script { /* the server thread's while it runs */
    int listener;
    uint16_t port;
    const char *refusal;       /* sent instead of an upgrade */
    bool wrong_accept;
    struct bgw_slice frames;   /* sent right behind the upgrade */
    char heard[4096];          /* what came after the request */
    size_t heard_len;
    size_t heard_wanted;       /* read this much before closing */
    pthread_t thread;
};

static void upgrade(struct script *s, int fd, const char *request)
{
    const char *key = strstr(request, "Sec-WebSocket-Key: ");
    char text[128], accept[64], answer[256];
    uint8_t sha[20];
    CHECK(key != NULL);
    int n = snprintf(text, sizeof(text), "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key ? key + 19 : "");
    bgw_auth_sha1(bgw_slice_of(text, (size_t)n), sha);
    if (s->wrong_accept)
        sha[0] ^= 1;
    bgw_base64_encode(sha, sizeof(sha), accept);
    n = snprintf(answer, sizeof(answer),
                 "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                 "sec-websocket-accept:  %s \r\n\r\n",
                 accept);
    CHECK(send(fd, answer, (size_t)n, MSG_NOSIGNAL) == n);
}

static void *serve(void *arg)
{
    struct script *s = arg;
    char request[4096];
    size_t len = 0;
    int fd = accept(s->listener, NULL, NULL);
    while (len < sizeof(request) - 1) {
        ssize_t n = recv(fd, request + len, sizeof(request) - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
        request[len] = '\0';
        if (strstr(request, "\r\n\r\n"))
            break;
    }
    if (s->refusal) {
        CHECK(send(fd, s->refusal, strlen(s->refusal), MSG_NOSIGNAL) > 0);
    } else {
        upgrade(s, fd, request);
        for (size_t i = 0; i < s->frames.len; i++) /* byte by byte: every split must work */
            if (send(fd, s->frames.data + i, 1, MSG_NOSIGNAL) != 1)
                break; /* the client has seen enough */
    }
    while (s->heard_len < s->heard_wanted) {
        ssize_t n = recv(fd, s->heard + s->heard_len, sizeof(s->heard) - s->heard_len, 0);
        if (n <= 0)
            break;
        s->heard_len += (size_t)n;
    }
    close(fd);
    return NULL;
}

static void start(struct script *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(at);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(s->listener, (struct sockaddr *)&at, len) == 0 && listen(s->listener, 4) == 0);
    CHECK(getsockname(s->listener, (struct sockaddr *)&at, &len) == 0);
    s->port = ntohs(at.sin_port);
    CHECK(pthread_create(&s->thread, NULL, serve, s) == 0);
}

static void stop(struct script *s)
{
    pthread_join(s->thread, NULL);
    close(s->listener);
}

static enum bgw_status dial(struct ws_client *c, const struct script *s, char *why, size_t cap)
{
    struct ws_url url = {.host = "127.0.0.1", .path = "/ws"};
    snprintf(url.port, sizeof(url.port), "%u", s->port);
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    ws_client_init(c);
    enum bgw_status status = ws_connect(c, &url, "bgw.v1", &error);
    snprintf(why, cap, "%.*s", (int)error.len, error.len ? error.data : "");
    bgw_buf_deinit(&error);
    return status;
}

TEST(messages_fragments_pings_and_the_close_code_are_handled)
{
    static const char frames[] = "\x81\x02hi"               /* one message */
                                 "\x01\x02" "fr" "\x89\x01" "p" /* a fragment, a ping between */
                                 "\x80\x03" "ame"           /* its end */
                                 "\x81\x7e\x00\x03" "abc"   /* a longer length form */
                                 "\x88\x05\x0b\xb9" "bye";  /* 3001 */
    struct script s = {.frames = {frames, sizeof(frames) - 1}, .heard_wanted = 7 + 8};
    struct ws_client c;
    struct bgw_slice m;
    char why[512];
    start(&s);
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_OK);
    CHECK(ws_receive(&c, 5000, &m) == WS_MESSAGE);
    CHECK_SLICE(m, "hi");
    CHECK(ws_receive(&c, 5000, &m) == WS_MESSAGE);
    CHECK_SLICE(m, "frame");
    CHECK(ws_receive(&c, 5000, &m) == WS_MESSAGE);
    CHECK_SLICE(m, "abc");
    CHECK(ws_receive(&c, 5000, &m) == WS_CLOSED);
    CHECK_EQ_I64(c.close_code, 3001);
    ws_client_deinit(&c);
    stop(&s);
    /* the pong: masked, with the ping's byte; then the close frame with the same code */
    CHECK_EQ_I64(s.heard_len, 15);
    CHECK_EQ_I64((uint8_t)s.heard[0], 0x8a);
    CHECK_EQ_I64((uint8_t)s.heard[1], 0x81);
    CHECK_EQ_I64(s.heard[6] ^ s.heard[2], 'p');
    CHECK_EQ_I64((uint8_t)s.heard[7], 0x88);
    CHECK_EQ_I64((uint8_t)(s.heard[13] ^ s.heard[9]), 0x0b);
}

TEST(what_we_send_is_masked_in_all_three_length_forms)
{
    static char text[300];
    memset(text, 'x', sizeof(text));
    static const size_t lens[] = {5, 126, 300};
    struct script s = {.heard_wanted = (5 + 6) + (126 + 8) + (300 + 8)};
    struct ws_client c;
    char why[512];
    start(&s);
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_OK);
    for (size_t i = 0; i < 3; i++)
        CHECK(ws_send_text(&c, bgw_slice_of(text, lens[i])));
    stop(&s);
    ws_client_deinit(&c);
    CHECK_EQ_I64(s.heard_len, s.heard_wanted);
    CHECK_EQ_I64((uint8_t)s.heard[1], 0x80 | 5);
    CHECK_EQ_I64((uint8_t)(s.heard[6] ^ s.heard[2]), 'x');
    CHECK_EQ_I64((uint8_t)s.heard[12], 0x80 | 126);
    CHECK_EQ_I64((uint8_t)s.heard[14], 126);
}

TEST(silence_is_a_timeout_and_an_end_without_a_frame_is_1006)
{
    struct script s = {.heard_wanted = 1};
    struct ws_client c;
    struct bgw_slice m;
    char why[512];
    start(&s);
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_OK);
    CHECK(ws_receive(&c, 10, &m) == WS_TIMEOUT);
    CHECK(ws_send_text(&c, BGW_SLICE("go")));
    CHECK(ws_receive(&c, 5000, &m) == WS_CLOSED);
    CHECK_EQ_I64(c.close_code, 1006);
    CHECK(!ws_send_text(&c, BGW_SLICE("too late")));
    ws_client_deinit(&c);
    stop(&s);
}

TEST(frames_that_no_server_may_send_end_the_connection)
{
    static const struct bgw_slice bad[] = {
        {"\x81\x81" "abcd" "x", 7},              /* masked */
        {"\xc1\x01" "x", 3},                     /* reserved bit */
        {"\x82\x01" "x", 3},                     /* binary */
        {"\x83\x01" "x", 3},                     /* no such opcode */
        {"\x09\x01" "x", 3},                     /* fragmented ping */
        {"\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", 10}, /* larger than memory */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct script s = {.frames = bad[i], .heard_wanted = 1};
        struct ws_client c;
        struct bgw_slice m;
        char why[512];
        start(&s);
        CHECK(dial(&c, &s, why, sizeof(why)) == BGW_OK);
        CHECK(ws_receive(&c, 5000, &m) == WS_CLOSED);
        ws_client_deinit(&c);
        stop(&s);
    }
}

TEST(a_refused_upgrade_is_told_with_status_and_body)
{
    struct script s = {.refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n"
                                  "Content-Length: 4\r\n\r\nbusy"};
    struct ws_client c;
    char why[512];
    start(&s);
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_DENIED);
    CHECK_EQ_I64(c.http_status, 503);
    CHECK_EQ_I64(c.retry_after_s, 7);
    CHECK(strstr(why, "503") && strstr(why, "busy"));
    ws_client_deinit(&c);
    stop(&s);
}

TEST(a_wrong_accept_key_is_not_a_gateway)
{
    struct script s = {.wrong_accept = true};
    struct ws_client c;
    char why[512];
    start(&s);
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_UNAVAILABLE);
    CHECK(strstr(why, "Sec-WebSocket-Accept"));
    ws_client_deinit(&c);
    stop(&s);
}

TEST(nobody_there_is_unavailable)
{
    struct script s = {0};
    struct sockaddr_in at = {.sin_family = AF_INET};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t len = sizeof(at);
    int held = socket(AF_INET, SOCK_STREAM, 0); /* bound and not listening: refuses, and nobody else gets the port */
    CHECK(bind(held, (struct sockaddr *)&at, len) == 0);
    CHECK(getsockname(held, (struct sockaddr *)&at, &len) == 0);
    s.port = ntohs(at.sin_port);
    struct ws_client c;
    char why[512];
    CHECK(dial(&c, &s, why, sizeof(why)) == BGW_UNAVAILABLE);
    CHECK(strstr(why, "127.0.0.1"));
    ws_client_deinit(&c);
    close(held);
}
