/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP origin against a server that answers, is slow, lies, breaks off and is not there: what is a
 * value, what is nobody's, and what is a failure; and the list of accounts in its forms.
 */
#include "origin_rig.h"

#define OK_BODY(text) "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" text

#define ASKED 70

struct rig {
    struct origin_rig o;
    struct web web;
    char base[80];
};

static void start(struct rig *r, const char *text)
{
    web_start(&r->web, 0, text);
    snprintf(r->base, sizeof(r->base), "http://127.0.0.1:%d/ledger/", r->web.port);
    rig_start(&r->o, (struct bgw_origin_config){.http_base = r->base});
}

static void stop(struct rig *r)
{
    rig_stop(&r->o);
    web_stop(&r->web);
}

static struct origin_answer ask(struct rig *r, enum web_manner manner, const char *text, int64_t timeout_ms)
{
    atomic_store(&r->web.manner, manner);
    atomic_store(&r->web.text, text);
    return rig_get(&r->o, "A", timeout_ms);
}

TEST(the_origin_is_asked_in_the_words_of_the_contract)
{
    struct rig r;
    start(&r, OK_BODY("{\"accountId\":\"a:+@b\",\"balance\":9007199254740993,\"v\":7,\"currency\":\"USD\"}"));
    const struct bgw_slot_name n = rig_name("t_2", "a:+@b", "USD");
    rig_ask_slot(&r.o, 3, &n, 5000);
    RIG_UNTIL(&r.o, r.o.answers == 1);
    CHECK(strstr(r.web.last, "GET /ledger/_internal/balance?accountId=a%3A%2B%40b&currency=USD HTTP/1.1\r\n") == r.web.last);
    CHECK(strstr(r.web.last, "X-Tenant-Id: t_2\r\n") && strstr(r.web.last, "Accept: application/json\r\n"));
    struct origin_answer *g = &r.o.got[3];
    CHECK(g->result == BGW_LOOKUP_VALUE && g->has_v && g->v == 7);
    CHECK_EQ_STR(g->raw, "{\"accountId\":\"a:+@b\",\"minor\":9007199254740993,\"currency\":\"USD\",\"pendingMinor\":0,\"v\":7}");
    CHECK_EQ_STR(g->body, "{\"accountId\":\"a:+@b\",\"balance\":9007199254740993,\"v\":7,\"currency\":\"USD\"}");
    stop(&r);
}

TEST(only_a_good_body_is_a_value_and_only_404_is_nobodys)
{
    struct rig r;
    start(&r, "");
    static const struct {
        const char *text;
        enum bgw_lookup_result result;
        bool up;
    } rows[] = {
        {OK_BODY("{\"accountId\":\"A\",\"minor\":1}"), BGW_LOOKUP_VALUE, true},
        {OK_BODY("{\"accountId\":\"B\",\"minor\":1}"), BGW_LOOKUP_FAILED, true},
        {OK_BODY("{\"accountId\":\"A\",\"minor\":1.5}"), BGW_LOOKUP_FAILED, true},
        {OK_BODY("<html>"), BGW_LOOKUP_FAILED, true},
        {OK_BODY(""), BGW_LOOKUP_FAILED, true},
        {"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", BGW_LOOKUP_MISS, true},
        {"HTTP/1.1 204 No\r\n\r\n", BGW_LOOKUP_FAILED, false},
        {"HTTP/1.1 302 No\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", BGW_LOOKUP_FAILED, false},
        {"HTTP/1.1 500 No\r\nContent-Length: 26\r\n\r\n{\"accountId\":\"A\",\"minor\":1}", BGW_LOOKUP_FAILED, false},
        {"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n", BGW_LOOKUP_FAILED, false},
        {WEB_OK("{\"accountId\":\"A\",\"minor\":1}", 99), BGW_LOOKUP_FAILED, false},
        {"SSH-2.0\r\n", BGW_LOOKUP_FAILED, false},
        {"", BGW_LOOKUP_FAILED, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct origin_answer g = ask(&r, WEB_TEXT, rows[i].text, 5000);
        if (g.result != rows[i].result || r.o.up != rows[i].up)
            test_fail_(__FILE__, __LINE__, "row %zu: result %d, up %d", i, (int)g.result, r.o.up);
    }
    stop(&r);
}

TEST(a_slow_endless_or_silent_origin_fails_in_time)
{
    struct rig r;
    start(&r, "");
    for (int i = 0; i < 2; i++) {
        int64_t began_ms = bgw_clock_now().mono_ms;
        struct origin_answer g = ask(&r, i ? WEB_DRIP : WEB_SILENT, OK_BODY("{\"accountId\":\"A\",\"minor\":1}"), 200);
        int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
        CHECK(g.result == BGW_LOOKUP_FAILED && took_ms >= 199 && took_ms < 3000 && !r.o.up);
    }
    CHECK(ask(&r, WEB_ENDLESS, OK_BODY("{"), 5000).result == BGW_LOOKUP_FAILED);
    CHECK(ask(&r, WEB_TEXT, OK_BODY("{\"accountId\":\"A\",\"minor\":1}"), 5000).result == BGW_LOOKUP_VALUE && r.o.up);
    stop(&r);
}

TEST(an_origin_that_is_not_there_fails_and_one_that_comes_is_asked)
{
    struct rig r;
    start(&r, "");
    uint16_t port = r.web.port;
    RIG_UNTIL(&r.o, r.o.up); /* until a call says otherwise */
    web_stop(&r.web);
    CHECK(rig_get(&r.o, "A", 5000).result == BGW_LOOKUP_FAILED && !r.o.up);
    web_start(&r.web, port, OK_BODY("{\"accountId\":\"A\",\"minor\":1}"));
    CHECK(rig_get(&r.o, "A", 5000).result == BGW_LOOKUP_VALUE && r.o.up);
    stop(&r);
}

TEST(what_is_forgotten_is_not_answered)
{
    struct rig r;
    start(&r, "");
    atomic_store(&r.web.manner, WEB_SILENT);
    rig_ask(&r.o, 1, "A", 300);
    rig_ask(&r.o, 2, "B", 300);
    RIG_UNTIL(&r.o, atomic_load(&r.web.requests) == 1);
    bgw_origin_forget(r.o.origin, 1);
    bgw_origin_forget(r.o.origin, 1);
    bgw_origin_forget(r.o.origin, 99);
    RIG_UNTIL(&r.o, r.o.got[2].calls == 1);
    CHECK_EQ_I64(r.o.got[1].calls, 0);
    stop(&r);
}

TEST(more_calls_than_transfers_fail_at_once_and_those_under_way_do_not)
{
    struct rig r;
    start(&r, "");
    atomic_store(&r.web.manner, WEB_SILENT);
    for (uint64_t id = 0; id < ASKED; id++)
        rig_ask(&r.o, id, "A", 60000);
    RIG_UNTIL(&r.o, r.o.answers == ASKED - 64);
    for (uint64_t id = 0; id < ASKED; id++)
        CHECK(r.o.got[id].calls == (id >= 64) && (id < 64 || r.o.got[id].result == BGW_LOOKUP_FAILED));
    stop(&r); /* with 64 under way */
    CHECK_EQ_I64(r.o.answers, ASKED - 64);
}

static void ask_again(struct origin_rig *o, uint64_t id)
{
    if (id < 20)
        rig_ask(o, id + 1, "A", 5000);
}

TEST(whoever_is_answered_may_ask_again)
{
    struct rig r;
    start(&r, OK_BODY("{\"accountId\":\"A\",\"minor\":1}"));
    r.o.on_answer = ask_again;
    rig_ask(&r.o, 0, "A", 5000);
    RIG_UNTIL(&r.o, r.o.answers == 21);
    stop(&r);
}

/* ---- connections that stay ---- */

struct keeper { /* a server that keeps its connections, and closes one when it is told to */
    int listen_fd, stop_fd;
    pthread_t thread;
    atomic_int connections, requests, hang_up_after;
    char base[64];
};

static void keep(struct keeper *k, int fd)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\n{\"accountId\":\"A\",\"minor\":1}";
    char bytes[2048];
    struct pollfd p[2] = {{.fd = k->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    int served = 0;
    for (;;) {
        poll(p, 2, -1);
        if (p[0].revents || read(fd, bytes, sizeof(bytes)) <= 0) /* a request comes in one piece here */
            return;
        atomic_fetch_add(&k->requests, 1);
        (void)web_send(fd, text, sizeof(text) - 1);
        if (++served == atomic_load(&k->hang_up_after))
            return;
    }
}

static void *keep_serving(void *arg)
{
    struct keeper *k = arg;
    for (;;) {
        struct pollfd p[2] = {{.fd = k->stop_fd, .events = POLLIN}, {.fd = k->listen_fd, .events = POLLIN}};
        poll(p, 2, -1);
        if (p[0].revents)
            return NULL;
        int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        atomic_fetch_add(&k->connections, 1);
        keep(k, fd);
        close(fd);
    }
}

static void keeper_start(struct keeper *k)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    *k = (struct keeper){.stop_fd = eventfd(0, EFD_CLOEXEC)};
    k->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(k->listen_fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(k->listen_fd, 64) == 0);
    getsockname(k->listen_fd, (struct sockaddr *)&at, &len);
    snprintf(k->base, sizeof(k->base), "http://127.0.0.1:%d", ntohs(at.sin_port));
    CHECK(pthread_create(&k->thread, NULL, keep_serving, k) == 0);
}

static void keeper_stop(struct keeper *k)
{
    eventfd_write(k->stop_fd, 1);
    pthread_join(k->thread, NULL);
    close(k->listen_fd);
    close(k->stop_fd);
}

TEST(a_connection_is_used_again_and_one_that_was_closed_meanwhile_is_replaced)
{
    struct keeper k;
    struct origin_rig r;
    keeper_start(&k);
    rig_start(&r, (struct bgw_origin_config){.http_base = k.base});
    for (int i = 0; i < 20; i++)
        CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    CHECK(atomic_load(&k.connections) == 1 && atomic_load(&k.requests) == 20);
    atomic_store(&k.hang_up_after, 25);
    for (int i = 0; i < 20; i++)
        CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    CHECK(atomic_load(&k.connections) == 2 && atomic_load(&k.requests) == 40 && r.downs == 0);
    rig_stop(&r);
    keeper_stop(&k);
}

/* ---- the list ---- */

static void check_list(struct rig *r, const char *text, int keys)
{
    atomic_store(&r->web.text, text);
    rig_list(&r->o);
    if (r->o.list_complete != (keys > 0) || (keys > 0 && r->o.listed != keys))
        test_fail_(__FILE__, __LINE__, "%.60s: complete %d, %d keys", strstr(text, "\r\n\r\n") + 4, r->o.list_complete, r->o.listed);
}

TEST(lists_of_all_forms_are_read_and_what_is_no_list_is_not)
{
    struct rig r;
    start(&r, "");
    check_list(&r, OK_BODY("[\"a\",\"b\" , {\"accountId\":\"c\",\"tenant\":\"t2\"} ,{\"accountId\":\"d\",\"x\":{\"y\":\"}\\\"\"}}]\n"), 4);
    CHECK_EQ_STR(r.o.last_key, "d");
    CHECK_EQ_STR(r.o.last_tenant, "tnt_demo");
    CHECK(strstr(r.web.last, "GET /ledger/_internal/accounts HTTP/1.1\r\n"));
    check_list(&r, OK_BODY("a\r\nmsisdn::234\n\n\"b\"\n {\"accountId\":\"c\",\"tenant\":\"t2\"}"), 4);
    CHECK_EQ_STR(r.o.last_tenant, "t2");
    check_list(&r, OK_BODY("[\"a\",\"\",\"b c\",\"0123456789012345678901234567890123456789012345678901234567890123x\"]"), 1);
    static const char *const none[] = {
        OK_BODY(""),
        OK_BODY("[]"),
        OK_BODY("[\"a\""),
        OK_BODY("[\"a\"]]"),
        OK_BODY("[\"a\",]"),
        OK_BODY("[,\"a\"]"),
        OK_BODY("[\"a\" \"b\"]"),
        OK_BODY("[\"a\",1]"),
        OK_BODY("[\"a\",null]"),
        OK_BODY("[\"a\",{\"id\":\"b\"}]"),
        OK_BODY("[\"a\",{\"accountId\":\"b\",\"tenant\":null}]"),
        OK_BODY("[\"a\",{\"accountId\":\"b\""),
        OK_BODY("[\"a\",\"b\\"),
        OK_BODY("[\"a\",\"\xff\"]"),
        OK_BODY("<html>\nhello\n</html>"),
        OK_BODY("a\nIt works!\n"),
        OK_BODY("{\"accounts\":[\"a\"]}"),
        "HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\n[1]",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n[\"a\"]",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        check_list(&r, none[i], 0);
    stop(&r);
}

TEST(a_long_list_is_read_over_many_turns)
{
    enum { KEYS = 50000 };
    static char text[64 + KEYS * 16];
    struct rig r;
    size_t len = (size_t)snprintf(text, sizeof(text), OK_BODY("["));
    for (int i = 0; i < KEYS; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"acc-%d\"", i ? "," : "", i);
    snprintf(text + len, sizeof(text) - len, "]");
    start(&r, text);
    check_list(&r, text, KEYS);
    CHECK_EQ_STR(r.o.last_key, "acc-49999");
    stop(&r);
}

TEST(a_list_that_is_being_read_ends_with_the_origin)
{
    struct rig r;
    start(&r, "");
    atomic_store(&r.web.manner, WEB_SILENT);
    bgw_origin_list(r.o.origin, rig_key, rig_list_end, &r.o);
    RIG_UNTIL(&r.o, atomic_load(&r.web.requests) == 1);
    stop(&r);
    CHECK_EQ_I64(r.o.list_ends, 0);
}

TEST(bases_that_cannot_be_asked_are_refused_with_a_sentence)
{
    static const char *const rows[][2] = {
        {"ftp://x/", "must begin with https:// or http://"},
        {"ledger", ""},
        {"http://user:secret@x/", "not shown here"},
        {"http://x/?a=b", "a query or fragment"},
        {"http://x/#a", "a query or fragment"},
    };
    struct origin_rig r = {0};
    bgw_feed_balance_init(&r.feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_loop_create(&r.loop) == BGW_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_origin_config c = {.http_base = rows[i][0], .feed = &r.feed, .connections_max = 1};
        struct bgw_buf error;
        bgw_buf_init(&error, 1024);
        c.answered = rig_answered;
        c.state = rig_state;
        CHECK(bgw_origin_create(&r.origin, r.loop, &c, &error) == BGW_CONFIG && !r.origin);
        bgw_buf_append_byte(&error, '\0');
        CHECK(strstr(error.data, "LEDGER_INTERNAL") && strstr(error.data, rows[i][1]) && !strstr(error.data, "secret"));
        bgw_buf_deinit(&error);
    }
    bgw_loop_destroy(&r.loop);
}
