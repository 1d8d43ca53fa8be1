/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a watched document is fetched and what becomes of it: servers that are up, down, slow, lying and
 * in between, files that are replaced, and many threads that want it at once. Meant for TSan too.
 */
#include "web_rig.h"

#include "bgw/metrics.h"
#include "bgw/read.h"
#include "bgw/url_watch.h"

#include <fcntl.h>
#include <sys/stat.h>

#define LONG_MS 3600000

struct rig {
    struct bgw_loop *loop;
    struct bgw_url_watch *watch;
    struct bgw_url_watch_config config;
    int documents; /* handed over; the loop's thread */
    atomic_int used;
    char last[64];
    int64_t counted[3]; /* fetches before the test: ok, failed, unusable */
};

static bool on_document(void *arg, struct bgw_slice bytes, struct bgw_now now)
{
    struct rig *r = arg;
    CHECK(now.wall_ms > 0);
    r->documents++;
    if (!bytes.len || bytes.data[0] != '{')
        return false;
    snprintf(r->last, sizeof(r->last), "%.*s", (int)bytes.len, bytes.data);
    atomic_fetch_add(&r->used, 1);
    return true;
}

static void init(struct rig *r, const char *url)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    *r = (struct rig){.config = {.url = url,
                                 .refresh_ms = LONG_MS,
                                 .cooldown_ms = LONG_MS,
                                 .timeout_ms = 5000,
                                 .bytes_max = 1000,
                                 .document = on_document}};
    for (int i = 0; i < 3; i++)
        r->counted[i] = bgw_metric_read(BGW_M_JWKS_FETCHES_OK + (enum bgw_metric)i);
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
}

static void watch(struct rig *r)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    r->config.arg = r;
    CHECK(bgw_url_watch_create(&r->watch, r->loop, &r->config, &error) == BGW_OK);
    CHECK_SLICE(bgw_buf_slice(&error), "");
    bgw_buf_deinit(&error);
}

static void deinit(struct rig *r)
{
    bgw_url_watch_destroy(&r->watch);
    bgw_loop_destroy(&r->loop);
}

static int64_t fetches(const struct rig *r, int which)
{
    return bgw_metric_read(BGW_M_JWKS_FETCHES_OK + (enum bgw_metric)which) - r->counted[which];
}

static int64_t ended(const struct rig *r)
{
    return fetches(r, 0) + fetches(r, 1) + fetches(r, 2);
}

static const char *trouble(struct rig *r)
{
    static char text[200];
    bgw_url_watch_trouble(r->watch, text, sizeof(text));
    return text;
}

static void turn_for(struct rig *r, int64_t ms)
{
    for (int64_t end_ms = bgw_clock_now().mono_ms + ms; bgw_clock_now().mono_ms < end_ms;)
        bgw_loop_turn(r->loop, 5);
}

/* ---- over HTTP ---- */

TEST(the_first_fetch_comes_with_the_loop_and_the_next_ones_with_the_refresh)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, WEB_OK("{one}", 5));
    init(&r, web.url);
    r.config.refresh_ms = 50;
    r.config.cooldown_ms = 20;
    watch(&r);
    CHECK(bgw_url_watch_want(r.watch)); /* one will start */
    CHECK_EQ_STR(trouble(&r), "");
    int64_t began_ms = bgw_clock_now().mono_ms;
    TURN_UNTIL(r.loop, atomic_load(&r.used) >= 3);
    CHECK(bgw_clock_now().mono_ms - began_ms >= 2 * 45);
    CHECK_EQ_STR(r.last, "{one}");
    CHECK_EQ_I64(fetches(&r, 0), atomic_load(&r.used));
    CHECK_EQ_I64(ended(&r), fetches(&r, 0));
    deinit(&r);
    web_stop(&web);
}

TEST(what_cannot_be_used_counts_apart_and_is_told)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, WEB_OK("<html>", 6));
    init(&r, web.url);
    watch(&r);
    TURN_UNTIL(r.loop, ended(&r) == 1);
    CHECK(r.documents == 1 && fetches(&r, 2) == 1);
    CHECK_EQ_STR(trouble(&r), "what was read cannot be used");
    deinit(&r);
    web_stop(&web);
}

TEST(bad_answers_are_failures_with_words_and_never_documents)
{
    static const struct {
        enum web_manner manner;
        const char *text, *words;
    } cases[] = {
        {WEB_TEXT, "HTTP/1.1 500 Oh\r\nContent-Length: 5\r\n\r\n{bad}", "the server answers with status 500"},
        {WEB_TEXT, "HTTP/1.1 204 None\r\n\r\n", "the server answers with status 204"},
        {WEB_TEXT, "HTTP/1.1 301 There\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
         "the server answers with status 301, and redirects are not followed"},
        {WEB_ENDLESS, "HTTP/1.1 200 OK\r\n\r\n{", "the answer is larger than allowed"},
        {WEB_ENDLESS, "HTTP/1.1 503 Sorry\r\n\r\n{", "the server answers with status 503"},
        {WEB_TEXT, "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{one}", "the answer broke off"},
        {WEB_TEXT, "{one}", "the answer is not HTTP/1.1"},
        {WEB_SILENT, "", "no whole answer came in time"},
        {WEB_DRIP, WEB_OK("{one}", 5), "no whole answer came in time"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct web web;
        struct rig r;
        web_start(&web, 0, cases[i].text);
        atomic_store(&web.manner, cases[i].manner);
        init(&r, web.url);
        r.config.timeout_ms = 150;
        watch(&r);
        TURN_UNTIL(r.loop, ended(&r) == 1);
        CHECK(r.documents == 0 && fetches(&r, 1) == 1);
        CHECK_EQ_STR(trouble(&r), cases[i].words);
        deinit(&r);
        web_stop(&web);
    }
}

TEST(a_server_that_is_down_is_asked_again_until_it_is_up)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "");
    web_stop(&web);
    init(&r, web.url);
    r.config.cooldown_ms = 20;
    watch(&r);
    TURN_UNTIL(r.loop, fetches(&r, 1) >= 3);
    CHECK_EQ_STR(trouble(&r), "the server takes no connection");
    struct web again;
    web_start(&again, web.port, WEB_OK("{up}", 4));
    TURN_UNTIL(r.loop, atomic_load(&r.used) == 1);
    CHECK_EQ_STR(trouble(&r), "");
    CHECK_EQ_STR(r.last, "{up}");
    deinit(&r);
    web_stop(&again);
}

TEST(failures_back_off)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n");
    init(&r, web.url);
    r.config.cooldown_ms = 20;
    watch(&r);
    turn_for(&r, 700); /* at 0, 20, 60, 140, 300, 620 at the soonest: a constant pace would make it 35 */
    CHECK(ended(&r) >= 3 && ended(&r) <= 6);
    deinit(&r);
    web_stop(&web);
}

/* ---- wants ---- */

TEST(a_want_starts_one_fetch_and_the_cooldown_refuses_the_next)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, WEB_OK("{one}", 5));
    init(&r, web.url);
    r.config.cooldown_ms = 500;
    watch(&r);
    TURN_UNTIL(r.loop, ended(&r) == 1);
    CHECK(!bgw_url_watch_want(r.watch)); /* the first one was just now */
    turn_for(&r, 510);
    CHECK_EQ_I64(atomic_load(&web.requests), 1);
    CHECK(bgw_url_watch_want(r.watch));
    CHECK(bgw_url_watch_want(r.watch)); /* that one */
    TURN_UNTIL(r.loop, ended(&r) == 2);
    CHECK(!bgw_url_watch_want(r.watch));
    turn_for(&r, 50);
    CHECK_EQ_I64(atomic_load(&web.requests), 2);
    deinit(&r);
    web_stop(&web);
}

TEST(a_want_while_a_fetch_runs_is_that_fetch)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "");
    atomic_store(&web.manner, WEB_SILENT);
    init(&r, web.url);
    r.config.timeout_ms = 200;
    watch(&r);
    TURN_UNTIL(r.loop, atomic_load(&web.requests) == 1);
    for (int i = 0; i < 100; i++)
        CHECK(bgw_url_watch_want(r.watch));
    TURN_UNTIL(r.loop, ended(&r) == 1);
    turn_for(&r, 50);
    CHECK_EQ_I64(atomic_load(&web.requests), 1);
    deinit(&r);
    web_stop(&web);
}

struct flood {
    struct bgw_url_watch *watch;
    atomic_bool end;
    atomic_llong yes, no;
};

static void *run_flood(void *arg)
{
    struct flood *f = arg;
    while (!atomic_load(&f->end))
        atomic_fetch_add(bgw_url_watch_want(f->watch) ? &f->yes : &f->no, 1);
    return NULL;
}

TEST(a_flood_of_wants_from_several_threads_is_one_fetch_a_cooldown)
{
    enum { THREADS = 4, COOLDOWN_MS = 100, SPAN_MS = 1000 };
    struct web web;
    struct rig r;
    web_start(&web, 0, WEB_OK("{one}", 5));
    init(&r, web.url);
    r.config.cooldown_ms = COOLDOWN_MS;
    watch(&r);
    struct flood flood = {.watch = r.watch};
    pthread_t threads[THREADS];
    int64_t began_ms = bgw_clock_now().mono_ms;
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, run_flood, &flood) == 0);
    turn_for(&r, SPAN_MS);
    int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
    atomic_store(&flood.end, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    int requests = atomic_load(&web.requests);
    CHECK(requests >= 3 && requests <= took_ms / COOLDOWN_MS + 1);
    CHECK(atomic_load(&flood.yes) > 0 && atomic_load(&flood.no) > 1000);
    deinit(&r);
    web_stop(&web);
}

TEST(a_flood_against_a_server_that_is_down_is_bounded_too)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "");
    web_stop(&web);
    init(&r, web.url);
    r.config.cooldown_ms = 100;
    watch(&r);
    int64_t began_ms = bgw_clock_now().mono_ms, refused = 0;
    while (bgw_clock_now().mono_ms < began_ms + 500) {
        refused += !bgw_url_watch_want(r.watch);
        bgw_loop_turn(r.loop, 1);
    }
    CHECK(ended(&r) >= 2 && ended(&r) <= (bgw_clock_now().mono_ms - began_ms) / 100 + 1);
    CHECK(refused > 10);
    deinit(&r);
}

TEST(now_does_not_wait_for_the_cooldown)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, WEB_OK("{one}", 5));
    init(&r, web.url);
    watch(&r);
    TURN_UNTIL(r.loop, ended(&r) == 1);
    atomic_store(&web.text, WEB_OK("{two}", 5));
    for (int i = 0; i < 100; i++)
        bgw_url_watch_now(r.watch); /* is still one */
    TURN_UNTIL(r.loop, ended(&r) == 2);
    CHECK_EQ_STR(r.last, "{two}");
    turn_for(&r, 30);
    CHECK_EQ_I64(atomic_load(&web.requests), 2);
    deinit(&r);
    web_stop(&web);
}

TEST(now_during_a_fetch_is_another_one_after_it)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "");
    atomic_store(&web.manner, WEB_SILENT);
    init(&r, web.url);
    r.config.timeout_ms = 200;
    watch(&r);
    TURN_UNTIL(r.loop, atomic_load(&web.requests) == 1);
    bgw_url_watch_now(r.watch);
    bgw_loop_turn(r.loop, 0);
    CHECK_EQ_I64(ended(&r), 0);
    atomic_store(&web.text, WEB_OK("{new}", 5));
    atomic_store(&web.manner, WEB_TEXT);
    TURN_UNTIL(r.loop, ended(&r) == 2);
    CHECK_EQ_STR(r.last, "{new}");
    CHECK(!bgw_url_watch_want(r.watch));
    deinit(&r);
    web_stop(&web);
}

TEST(what_waits_at_the_end_is_dropped)
{
    struct web web;
    struct rig r;
    web_start(&web, 0, "");
    atomic_store(&web.manner, WEB_SILENT);
    init(&r, web.url);
    watch(&r);
    TURN_UNTIL(r.loop, atomic_load(&web.requests) == 1);
    bgw_url_watch_now(r.watch);
    deinit(&r); /* with a transfer and a message on their way */
    CHECK_EQ_I64(ended(&r), 0);
    web_stop(&web);
}

/* ---- files ---- */

static void put(const char *path, const char *text)
{
    char aside[128];
    snprintf(aside, sizeof(aside), "%s.new", path);
    FILE *f = fopen(aside, "we");
    CHECK(f && fputs(text, f) >= 0);
    if (f)
        fclose(f);
    CHECK(rename(aside, path) == 0);
}

static void fresh_path(char path[64])
{
    snprintf(path, 64, "/tmp/bgw-url-watch-test-%d", (int)getpid());
    unlink(path);
}

TEST(a_file_is_read_at_the_start_and_after_it_was_replaced)
{
    struct rig r;
    char path[64], url[80];
    fresh_path(path);
    put(path, "{one}");
    snprintf(url, sizeof(url), "file://%s", path);
    init(&r, url);
    r.config.refresh_ms = r.config.cooldown_ms = 30;
    watch(&r);
    TURN_UNTIL(r.loop, atomic_load(&r.used) == 1);
    CHECK_EQ_STR(r.last, "{one}");
    put(path, "{two}");
    TURN_UNTIL(r.loop, strcmp(r.last, "{two}") == 0);
    put(path, "half of a");
    TURN_UNTIL(r.loop, fetches(&r, 2) > 0);
    CHECK_EQ_STR(r.last, "{two}");
    unlink(path);
    TURN_UNTIL(r.loop, fetches(&r, 1) > 0);
    CHECK_EQ_STR(trouble(&r), "No such file or directory");
    put(path, "{three}");
    TURN_UNTIL(r.loop, strcmp(r.last, "{three}") == 0);
    CHECK_EQ_STR(trouble(&r), "");
    deinit(&r);
    unlink(path);
}

TEST(a_file_that_nobody_asks_for_is_read_at_once_on_now)
{
    struct rig r;
    char path[64];
    fresh_path(path);
    init(&r, path);
    watch(&r);
    TURN_UNTIL(r.loop, fetches(&r, 1) == 1); /* it may come later */
    put(path, "{here}");
    CHECK(!bgw_url_watch_want(r.watch));
    bgw_url_watch_now(r.watch);
    TURN_UNTIL(r.loop, atomic_load(&r.used) == 1);
    deinit(&r);
    unlink(path);
}

TEST(what_is_no_small_regular_file_is_refused)
{
    struct rig r;
    char path[64], large[1200];
    fresh_path(path);
    memset(large, '{', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    put(path, large);
    init(&r, path);
    r.config.cooldown_ms = r.config.refresh_ms = 20;
    watch(&r);
    TURN_UNTIL(r.loop, fetches(&r, 1) == 1);
    CHECK_EQ_STR(trouble(&r), "the file is larger than allowed");
    unlink(path);
    CHECK(mkfifo(path, 0600) == 0); /* which would block whoever opens it to read */
    TURN_UNTIL(r.loop, strcmp(trouble(&r), "it is no regular file") == 0);
    large[1000] = '\0';
    put(path, large); /* to the byte */
    TURN_UNTIL(r.loop, atomic_load(&r.used) > 0);
    deinit(&r);
    unlink(path);
}

/* ---- configuration ---- */

static void refused(const char *url, const char *ca_file, const char *words)
{
    struct rig r;
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    init(&r, url);
    r.config.ca_file = ca_file;
    CHECK(bgw_url_watch_create(&r.watch, r.loop, &r.config, &error) == BGW_CONFIG);
    bgw_buf_append_byte(&error, '\0');
    if (!strstr(error.data, words) || strstr(error.data, "pass@") || !strstr(error.data, "BGW_JWT_JWKS"))
        test_fail_(__FILE__, __LINE__, "%s: \"%s\"", url, error.data);
    bgw_buf_deinit(&error);
    bgw_loop_destroy(&r.loop);
}

TEST(addresses_that_cannot_be_trusted_are_refused_with_words)
{
    refused("http://idp.example/keys", NULL, "use https://");
    refused("http://127.0.0.1.example/keys", NULL, "use https://");
    refused("http://10.0.0.1/keys", NULL, "use https://");
    refused("https://user:pass@idp.example/", NULL, "logs");
    refused("ftp://idp.example/", NULL, "https://");
    refused("file://host/keys", NULL, "whole path");
    refused("file:///a%20b", NULL, "as it is");
    refused("https://", NULL, "address");
    refused("", NULL, "expected a file");
    refused("https://idp.example/", "/nowhere/ca.pem", "No such file or directory; it must name a PEM file");
}

/* ---- on the reader's thread ---- */

static void no_answer(void *arg, const struct bgw_fetched *f)
{
    (void)arg;
    (void)f;
}

TEST(on_the_readers_thread_it_goes_on_by_itself_until_the_stop)
{
    struct web web;
    struct rig r;
    struct bgw_reader *reader = NULL;
    const struct bgw_reader_config config = {.answer = no_answer};
    web_start(&web, 0, WEB_OK("{one}", 5));
    init(&r, web.url);
    r.config.arg = &r;
    r.config.refresh_ms = r.config.cooldown_ms = 20;
    CHECK(bgw_reader_create(&reader, &config, NULL) == BGW_OK);
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    CHECK(bgw_url_watch_create(&r.watch, bgw_reader_loop(reader), &r.config, &error) == BGW_OK);
    CHECK(bgw_reader_start(reader) == BGW_OK);
    TURN_UNTIL(r.loop, atomic_load(&r.used) >= 3); /* this loop is only our clock */
    bgw_url_watch_now(r.watch);
    bgw_reader_stop(reader);
    bgw_reader_stop(reader); /* fine */
    int requests = atomic_load(&web.requests);
    turn_for(&r, 60);
    CHECK_EQ_I64(atomic_load(&web.requests), requests);
    deinit(&r);
    bgw_reader_destroy(&reader);
    CHECK(!reader);
    bgw_buf_deinit(&error);
    web_stop(&web);
}
