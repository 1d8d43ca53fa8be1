/* SPDX-License-Identifier: Apache-2.0 */
/* ops: POST on the admin port: who may, what is refused, late answers, slow and pipelined bodies. */
#include "admin_rig.h"

#define POST "POST /revocations HTTP/1.1\r\nHost: x\r\n"
#define JSON_TYPE "Content-Type: application/json\r\n"
#define LIVEZ "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static struct {
    int status; /* what `revoke` says; 0: later */
    int calls, audits, audited_status;
    char path[80], text[64];
    size_t text_len;
    uint64_t token;
} seen;

static int on_revoke(void *arg, struct bgw_slice text, uint64_t token, struct bgw_buf *answer)
{
    (void)arg;
    seen.calls++;
    seen.token = token;
    seen.text_len = text.len;
    size_t n = text.len < sizeof(seen.text) - 1 ? text.len : sizeof(seen.text) - 1;
    if (n)
        memcpy(seen.text, text.data, n);
    seen.text[n] = '\0';
    if (seen.status)
        bgw_buf_append_str(answer, "{\"at\":\"once\"}");
    return seen.status;
}

static void on_audited(void *arg, const char *path, int status)
{
    (void)arg;
    seen.audits++;
    seen.audited_status = status;
    snprintf(seen.path, sizeof(seen.path), "%s", path);
}

static void start(int status)
{
    const struct bgw_admin_config config = {.revoke = on_revoke, .audited = on_audited};
    memset(&seen, 0, sizeof(seen));
    seen.status = status;
    rig_start(&config);
}

static void finish(int status)
{
    bgw_admin_finish(rig.admin, seen.token, status, BGW_SLICE("{\"at\":\"last\"}"));
}

static void await_call(int calls)
{
    for (int i = 0; i < 400 && seen.calls < calls; i++)
        bgw_loop_turn(rig.loop, 5);
    CHECK_EQ_I64(seen.calls, calls);
}

TEST(body_is_handed_over_whole_and_answered_at_once)
{
    start(200);
    char *text = rig_ask(POST JSON_TYPE "Content-Length: 5\r\nConnection: close\r\n\r\n{\"a\"}", NULL);
    CHECK(strstr(text, "HTTP/1.1 200 OK\r\n") && strstr(text, "Content-Type: application/json\r\n"));
    CHECK(strstr(text, "{\"at\":\"once\"}") && strstr(text, "Cache-Control: no-store"));
    CHECK_EQ_STR(seen.text, "{\"a\"}");
    CHECK(seen.audits == 1 && seen.audited_status == 200);
    CHECK_EQ_STR(seen.path, "/revocations");
    rig_stop();
}

TEST(late_answer_reaches_its_connection_and_what_was_pipelined_comes_after_it)
{
    start(0);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Content-Length: 2\r\n\r\n{}" LIVEZ);
    await_call(1);
    CHECK(seen.audits == 0);
    finish(200);
    char *text = rig_hear(fd, NULL);
    char *late = strstr(text, "{\"at\":\"last\"}"), *next = strstr(text, "{\"ok\":true}");
    CHECK(late && next && late < next);
    CHECK(seen.audits == 1 && seen.audited_status == 200);
    finish(200); /* a second time: nobody waits */
    close(fd);
    rig_stop();
}

TEST(problem_of_a_late_answer_has_its_media_type_and_the_connection_goes_on)
{
    start(0);
    int fd = rig_dial();
    rig_say(fd, POST "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}");
    await_call(1);
    finish(503);
    char *text = rig_hear(fd, "last");
    CHECK(strstr(text, "HTTP/1.1 503 Service Unavailable\r\n") && strstr(text, "application/problem+json"));
    rig_say(fd, LIVEZ);
    CHECK(strstr(rig_hear(fd, NULL), "{\"ok\":true}"));
    close(fd);
    rig_stop();
}

TEST(connection_that_goes_away_while_it_waits_harms_nobody)
{
    start(0);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Content-Length: 2\r\n\r\n{}");
    await_call(1);
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd); /* a reset */
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(rig.loop, 5);
    finish(200);
    CHECK(strstr(rig_ask(LIVEZ, NULL), "{\"ok\":true}"));
    rig_stop();
}

TEST(half_closed_client_still_gets_its_answer)
{
    start(0);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Content-Length: 2\r\n\r\n{}");
    shutdown(fd, SHUT_WR);
    await_call(1);
    bgw_loop_turn(rig.loop, 20);
    finish(200);
    CHECK(strstr(rig_hear(fd, "last"), "200 OK"));
    close(fd);
    rig_stop();
}

TEST(what_may_not_be_posted_is_refused_before_anybody_is_asked)
{
    static const struct {
        const char *request;
        int status;
    } rows[] = {
        {POST JSON_TYPE "Origin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}", 403},
        {POST JSON_TYPE "Origin: null\r\nContent-Length: 2\r\n\r\n{}", 403},
        {POST "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415},
        {POST "Content-Type: application/jsonx\r\nContent-Length: 2\r\n\r\n{}", 415},
        {POST "Content-Length: 2\r\n\r\n{}", 415},
        {POST JSON_TYPE "\r\n{}", 411},
        {POST JSON_TYPE "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 411},
        {POST JSON_TYPE "Transfer-Encoding: gzip\r\n\r\n", 501},
        {POST JSON_TYPE "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", 400},
        {POST JSON_TYPE "Content-Length: 131073\r\n\r\n", 413},
        {POST JSON_TYPE "Expect: coffee\r\nContent-Length: 2\r\n\r\n{}", 417},
        {"POST /revocations HTTP/1.1\r\n" JSON_TYPE "Content-Length: 2\r\n\r\n{}", 400},
        {"POST /revocation HTTP/1.1\r\nHost: x\r\n" JSON_TYPE "Content-Length: 2\r\n\r\n{}", 404},
        {"POST /metrics HTTP/1.1\r\nHost: x\r\n" JSON_TYPE "Content-Length: 2\r\n\r\n{}", 405},
        {"PUT /revocations HTTP/1.1\r\nHost: x\r\n" JSON_TYPE "Content-Length: 2\r\n\r\n{}", 405},
    };
    start(200);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char status[32];
        snprintf(status, sizeof(status), "HTTP/1.1 %d ", rows[i].status);
        char *text = rig_ask(rows[i].request, NULL);
        if (strstr(text, status) != text)
            printf("# row %zu: %.40s\n", i, text);
        CHECK(strstr(text, status) == text && strstr(text, "application/problem+json"));
        CHECK(strstr(text, "Connection: close\r\n"));
    }
    CHECK_EQ_I64(seen.calls, 0);
    CHECK_EQ_I64(seen.audits, (int64_t)(sizeof(rows) / sizeof(*rows)) - 1); /* each but the PUT */
    char *text = rig_ask("GET /revocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL);
    CHECK(strstr(text, "HTTP/1.1 405 ") && strstr(text, "Allow: POST\r\n"));
    rig_stop();
}

TEST(largest_body_comes_in_pieces_and_is_taken)
{
    static char body[131072];
    start(200);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Content-Length: 131072\r\n\r\n");
    memset(body, ' ', sizeof(body));
    memcpy(body, "first", 5);
    size_t sent = 0;
    while (sent < sizeof(body)) {
        size_t left = sizeof(body) - sent;
        ssize_t n = send(fd, body + sent, left < 7001 ? left : 7001, MSG_NOSIGNAL);
        if (n > 0)
            sent += (size_t)n;
        bgw_loop_turn(rig.loop, 5);
    }
    CHECK(strstr(rig_hear(fd, "once"), "200 OK"));
    CHECK_EQ_I64(seen.text_len, 131072);
    CHECK(memcmp(seen.text, "first", 5) == 0);
    close(fd);
    rig_stop();
}

TEST(every_split_of_a_post_is_the_same_post)
{
    static const char whole[] = POST JSON_TYPE "Content-Length: 7\r\n\r\n{\"a\":1}" LIVEZ;
    start(200);
    for (size_t at = 1; at < sizeof(whole) - 1; at++) {
        char head[sizeof(whole)];
        int fd = rig_dial();
        memcpy(head, whole, at);
        head[at] = '\0';
        rig_say(fd, head);
        rig_say(fd, whole + at);
        char *text = rig_hear(fd, NULL);
        CHECK(strstr(text, "once") && strstr(text, "{\"ok\":true}"));
        CHECK_EQ_STR(seen.text, "{\"a\":1}");
        close(fd);
    }
    CHECK_EQ_I64(seen.calls, sizeof(whole) - 2);
    rig_stop();
}

TEST(client_that_waits_for_100_is_told_to_go_on)
{
    start(200);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    CHECK_EQ_STR(rig_hear(fd, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    rig_say(fd, "{}");
    CHECK(strstr(rig_hear(fd, "once"), "HTTP/1.1 200 OK"));
    rig_say(fd, POST JSON_TYPE "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}"); /* did not wait */
    CHECK(strstr(rig_hear(fd, "once"), "HTTP/1.1 200 OK") && seen.calls == 2);
    close(fd);
    rig_stop();
}

TEST(slow_body_is_408)
{
    start(200);
    int fd = rig_dial();
    rig_say(fd, POST JSON_TYPE "Content-Length: 20\r\n\r\n");
    int64_t until_ms = bgw_clock_now().mono_ms + 8000;
    char text[256] = "";
    for (int i = 0; !*text && bgw_clock_now().mono_ms < until_ms; i++) {
        if (i % 100 == 0 && i < 1000) /* a byte now and then moves no deadline */
            (void)!send(fd, "x", 1, MSG_NOSIGNAL);
        bgw_loop_turn(rig.loop, 5);
        (void)!recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);
    }
    CHECK(strstr(text, "HTTP/1.1 408 "));
    CHECK(seen.calls == 0 && seen.audited_status == 408);
    close(fd);
    rig_stop();
}
