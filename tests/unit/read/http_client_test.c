/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers and failures of http_client against a server that behaves in every bad way, on a loop that is
 * turned by hand: nothing may ever block it.
 */
#include "web_rig.h"

#include "read/http_client.h"

#include <netdb.h>
#include <time.h>

struct got { /* one answer */
    int calls;
    enum bgw_http_client_result result;
    int status;
    char body[256], words[128];
    size_t body_len;
};

static void on_done(void *arg, const struct bgw_http_client_answer *a)
{
    struct got *g = arg;
    g->calls++;
    g->result = a->result;
    g->status = a->status;
    g->body_len = a->body.len;
    snprintf(g->body, sizeof(g->body), "%.*s", (int)a->body.len, a->body.data ? a->body.data : "");
    snprintf(g->words, sizeof(g->words), "%s", a->words);
}

struct rig {
    struct bgw_loop *loop;
    struct bgw_http_client *client;
    struct web web;
};

static void start(struct rig *r, const char *text)
{
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    CHECK(bgw_http_client_create(&r->client, r->loop) == BGW_OK);
    web_start(&r->web, 0, text);
}

static void stop(struct rig *r)
{
    bgw_http_client_destroy(&r->client);
    bgw_loop_destroy(&r->loop);
    web_stop(&r->web);
}

static struct bgw_http_client_request request_of(const char *url, struct got *g)
{
    return (struct bgw_http_client_request){
        .url = url, .accept = "text/plain", .timeout_ms = 5000, .bytes_max = 64, .done = on_done, .arg = g};
}

static struct got ask(struct rig *r, enum web_manner manner, const char *text, int64_t timeout_ms)
{
    struct got g = {0};
    struct bgw_http_transfer *t;
    struct bgw_http_client_request request = request_of(r->web.url, &g);
    request.timeout_ms = timeout_ms;
    atomic_store(&r->web.manner, manner);
    atomic_store(&r->web.text, text);
    CHECK(bgw_http_client_start(r->client, &request, &t) == BGW_OK);
    CHECK(g.calls == 0); /* never inside start */
    TURN_UNTIL(r->loop, g.calls > 0);
    CHECK_EQ_I64(g.calls, 1);
    return g;
}

TEST(an_answer_is_handed_over_whole_with_its_status)
{
    struct rig r;
    start(&r, WEB_OK("hello", 5));
    struct got g = ask(&r, WEB_TEXT, WEB_OK("hello", 5), 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_ANSWERED && g.status == 200);
    CHECK_EQ_STR(g.body, "hello");
    CHECK(strstr(r.web.last, "GET /keys HTTP/1.1\r\n") && strstr(r.web.last, "Accept: text/plain\r\n"));
    CHECK(strstr(r.web.last, "User-Agent: balance-gateway/") && !strstr(r.web.last, "Accept-Encoding"));
    g = ask(&r, WEB_TEXT, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_ANSWERED);
    CHECK_EQ_STR(g.body, "abc");
    stop(&r);
}

TEST(another_status_is_an_answer_too_and_redirects_are_not_followed)
{
    struct rig r;
    start(&r, "");
    struct got g = ask(&r, WEB_TEXT, "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_ANSWERED && g.status == 500);
    g = ask(&r, WEB_TEXT, "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_ANSWERED && g.status == 302);
    CHECK_EQ_I64(atomic_load(&r.web.requests), 2);
    stop(&r);
}

TEST(an_answer_beyond_the_limit_is_cut_off_declared_or_not)
{
    struct rig r;
    start(&r, "");
    struct got g = ask(&r, WEB_ENDLESS, "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_TOO_LARGE && g.body_len == 0);
    g = ask(&r, WEB_ENDLESS, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_TOO_LARGE && g.body_len == 0);
    CHECK_EQ_STR(g.words, "the answer is larger than allowed");
    g = ask(&r, WEB_TEXT, "HTTP/1.1 200 OK\r\n\r\n0123456789012345678901234567890123456789012345678901234567890123", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_ANSWERED && g.body_len == 64); /* to the byte */
    g = ask(&r, WEB_TEXT, "HTTP/1.1 200 OK\r\n\r\n01234567890123456789012345678901234567890123456789012345678901234", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_TOO_LARGE);
    stop(&r);
}

TEST(header_bytes_without_end_are_a_failure)
{
    struct rig r;
    start(&r, "");
    struct got g = ask(&r, WEB_ENDLESS, "HTTP/1.1 200 OK\r\nX-Endless: ", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_FAILED);
    stop(&r);
}

TEST(answers_that_never_become_final_are_a_failure)
{
    struct rig r;
    start(&r, "");
    const char *again[] = {"HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early\r\nLink: </x>\r\n\r\n", "\r\n", "\n"};
    for (size_t i = 0; i < 4; i++) {
        struct got g = ask(&r, WEB_AGAIN, again[i], 300);
        CHECK(g.result != BGW_HTTP_CLIENT_ANSWERED && g.body_len == 0);
    }
    stop(&r);
}

TEST(an_answer_that_breaks_off_is_a_failure)
{
    struct rig r;
    start(&r, "");
    const char *broken[] = {WEB_OK("hel", 5), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", ""};
    for (size_t i = 0; i < 3; i++) {
        struct got g = ask(&r, WEB_TEXT, broken[i], 5000);
        CHECK(g.result == BGW_HTTP_CLIENT_FAILED && g.body_len == 0);
        CHECK_EQ_STR(g.words, "the answer broke off");
    }
    stop(&r);
}

TEST(what_is_not_http_is_a_failure)
{
    struct rig r;
    start(&r, "");
    struct got g = ask(&r, WEB_TEXT, "SSH-2.0-OpenSSH_9.9\r\n", 5000);
    CHECK(g.result == BGW_HTTP_CLIENT_FAILED);
    CHECK_EQ_STR(g.words, "the answer is not HTTP/1.1");
    stop(&r);
}

TEST(silent_and_slow_servers_run_into_the_deadline)
{
    struct rig r;
    start(&r, "");
    enum web_manner manners[] = {WEB_SILENT, WEB_DRIP};
    for (size_t i = 0; i < 2; i++) {
        int64_t began_ms = bgw_clock_now().mono_ms;
        struct got g = ask(&r, manners[i], WEB_OK("0123456789", 10), 200);
        int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
        CHECK(g.result == BGW_HTTP_CLIENT_TIMEOUT && g.body_len == 0);
        CHECK(took_ms >= 199 && took_ms < 3000);
    }
    stop(&r);
}

TEST(a_server_that_is_not_there_is_a_failure)
{
    struct rig r;
    start(&r, "");
    struct got g = {0};
    struct bgw_http_transfer *t;
    char gone[64];
    struct web other;
    web_start(&other, 0, "");
    snprintf(gone, sizeof(gone), "%s", other.url);
    web_stop(&other);
    struct bgw_http_client_request request = request_of(gone, &g);
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, g.calls > 0);
    CHECK(g.result == BGW_HTTP_CLIENT_FAILED && g.status == 0);
    CHECK_EQ_STR(g.words, "the server takes no connection");
    stop(&r);
}

TEST(plain_http_where_tls_is_expected_is_a_failure)
{
    struct rig r;
    start(&r, WEB_OK("hello", 5));
    struct got g = {0};
    struct bgw_http_transfer *t;
    char tls[80];
    snprintf(tls, sizeof(tls), "https://127.0.0.1:%d/", r.web.port);
    struct bgw_http_client_request request = request_of(tls, &g);
    request.timeout_ms = 1000;
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, g.calls > 0);
    CHECK(g.result != BGW_HTTP_CLIENT_ANSWERED);
    stop(&r);
}

TEST(a_cancelled_transfer_is_not_heard_of_again)
{
    struct rig r;
    start(&r, "");
    atomic_store(&r.web.manner, WEB_SILENT);
    struct got g = {0};
    struct bgw_http_transfer *t;
    struct bgw_http_client_request request = request_of(r.web.url, &g);
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, atomic_load(&r.web.requests) == 1);
    bgw_http_client_cancel(&t);
    CHECK(!t);
    for (int i = 0; i < 5; i++)
        bgw_loop_turn(r.loop, 5);
    CHECK_EQ_I64(g.calls, 0);
    stop(&r);
}

TEST(no_more_transfers_than_allowed_and_all_end_with_the_client)
{
    struct rig r;
    start(&r, "");
    atomic_store(&r.web.manner, WEB_SILENT);
    struct got g = {0};
    struct bgw_http_transfer *t;
    struct bgw_http_client_request request = request_of(r.web.url, &g);
    for (int i = 0; i < BGW_HTTP_CLIENT_TRANSFERS_MAX; i++)
        CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_FULL);
    bgw_http_client_cancel(&t);
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, atomic_load(&r.web.requests) >= 1);
    stop(&r);
    CHECK_EQ_I64(g.calls, 0);
}

/* ---- names ---- */

static atomic_int lookups, lookup_ms;

/* In place of the system's, which the library calls on a thread of its own. */
int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict res)
{
    (void)node;
    (void)service;
    (void)hints;
    (void)res;
    int ms = atomic_load(&lookup_ms);
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = 1000000L * (ms % 1000)};
    atomic_fetch_add(&lookups, 1);
    nanosleep(&t, NULL);
    return EAI_NONAME;
}

/* one that asks again as soon as it has heard */
struct again {
    struct rig *rig;
    struct bgw_http_client_request request;
    enum bgw_status second;
    int heard;
};

static void on_again(void *arg, const struct bgw_http_client_answer *a)
{
    struct again *g = arg;
    struct bgw_http_transfer *t;
    CHECK(a->result == BGW_HTTP_CLIENT_ANSWERED && a->body.len == 5);
    if (g->heard++ == 0)
        g->second = bgw_http_client_start(g->rig->client, &g->request, &t);
    CHECK_SLICE(a->body, "hello"); /* still there */
}

TEST(the_place_of_an_answer_is_free_for_who_hears_it)
{
    struct rig r;
    struct got others[BGW_HTTP_CLIENT_TRANSFERS_MAX - 1] = {{0}};
    struct bgw_http_transfer *t;
    start(&r, WEB_OK("hello", 5));
    struct again g = {.rig = &r, .second = BGW_FULL};
    g.request = request_of(r.web.url, NULL);
    g.request.done = on_again;
    g.request.arg = &g;
    /* all places but one are taken by transfers that never end */
    int silent = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    CHECK(bind(silent, (struct sockaddr *)&at, len) == 0 && listen(silent, 128) == 0 && getsockname(silent, (struct sockaddr *)&at, &len) == 0);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", ntohs(at.sin_port));
    for (size_t i = 0; i < BGW_HTTP_CLIENT_TRANSFERS_MAX - 1; i++) {
        struct bgw_http_client_request request = request_of(url, &others[i]);
        CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    }
    CHECK(bgw_http_client_start(r.client, &g.request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, g.heard == 2 || (g.heard && g.second != BGW_OK));
    CHECK(g.second == BGW_OK);
    stop(&r);
    close(silent);
}

TEST(a_name_that_resolves_slowly_blocks_neither_the_loop_nor_the_end)
{
    struct rig r;
    start(&r, "");
    struct got g = {0};
    struct bgw_http_transfer *t;
    struct bgw_http_client_request request = request_of("https://keys.example/", &g);
    request.timeout_ms = 100;
    atomic_store(&lookup_ms, 3000);
    int64_t began_ms = bgw_clock_now().mono_ms, longest_ms = 0;
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    while (!g.calls && bgw_clock_now().mono_ms < began_ms + 5000) {
        int64_t turn_ms = bgw_clock_now().mono_ms;
        bgw_loop_turn(r.loop, 10);
        turn_ms = bgw_clock_now().mono_ms - turn_ms;
        longest_ms = turn_ms > longest_ms ? turn_ms : longest_ms;
    }
    stop(&r);
    CHECK(bgw_clock_now().mono_ms - began_ms < 2000); /* the lookup goes on by itself */
    CHECK(longest_ms < 1000);
    CHECK(g.calls == 1 && g.result == BGW_HTTP_CLIENT_TIMEOUT);
    CHECK_EQ_I64(atomic_load(&lookups), 1);
}

TEST(a_name_that_does_not_exist_is_a_failure)
{
    struct rig r;
    start(&r, "");
    struct got g = {0};
    struct bgw_http_transfer *t;
    struct bgw_http_client_request request = request_of("https://keys.example/", &g);
    atomic_store(&lookup_ms, 0);
    CHECK(bgw_http_client_start(r.client, &request, &t) == BGW_OK);
    TURN_UNTIL(r.loop, g.calls > 0);
    CHECK(g.result == BGW_HTTP_CLIENT_FAILED);
    CHECK_EQ_STR(g.words, "the server's name cannot be resolved");
    stop(&r);
}

/* ---- addresses ---- */

TEST(addresses_are_told_apart)
{
    static const struct {
        const char *url, *origin;
        bool ok, tls, loopback;
    } cases[] = {
        {"https://idp.example/keys", "https://idp.example:443", true, true, false},
        {"https://idp.example:8443/a?b=c", "https://idp.example:8443", true, true, false},
        {"http://127.0.0.1:80/x", "http://127.0.0.1:80", true, false, true},
        {"http://127.8.9.1/", "http://127.8.9.1:80", true, false, true},
        {"http://LocalHost:99/", "http://LocalHost:99", true, false, true},
        {"http://[::1]/", "http://[::1]:80", true, false, true},
        {"http://[::ffff:127.0.0.1]/", NULL, true, false, true},
        {"http://2130706433/", "http://127.0.0.1:80", true, false, true}, /* the same in another spelling */
        {"http://localhost.example/", "http://localhost.example:80", true, false, false},
        {"http://127.0.0.1.example/", "http://127.0.0.1.example:80", true, false, false},
        {"http://128.0.0.1/", "http://128.0.0.1:80", true, false, false},
        {"http://[::2]/", "http://[::2]:80", true, false, false},
        {"https://me:secret@idp.example/", NULL, false, false, false},
        {"http://127.0.0.1@evil.example/", NULL, false, false, false},
        {"ftp://127.0.0.1/", NULL, false, false, false},
        {"gopher://127.0.0.1/", NULL, false, false, false},
        {"file:///etc/passwd", NULL, false, false, false},
        {"https://", NULL, false, false, false},
        {"https://a b/", NULL, false, false, false},
        {"https://a:99999/", NULL, false, false, false},
        {"", NULL, false, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bgw_http_address a;
        const char *why = bgw_http_address_parse(cases[i].url, &a);
        if ((why == NULL) != cases[i].ok)
            test_fail_(__FILE__, __LINE__, "%s: %s", cases[i].url, why ? why : "taken");
        if (why)
            continue;
        if (a.tls != cases[i].tls || a.loopback != cases[i].loopback)
            test_fail_(__FILE__, __LINE__, "%s is told wrong: %s", cases[i].url, a.origin);
        if (cases[i].origin)
            CHECK_EQ_STR(a.origin, cases[i].origin);
    }
    struct bgw_http_address a;
    char longest[3000];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    memcpy(longest, "https://", 8);
    CHECK(bgw_http_address_parse(longest, &a) != NULL);
}
