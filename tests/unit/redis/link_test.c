/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a real Redis and a real Valkey: forms of the address, users, TLS, Sentinel, and what
 * becomes of commands when the server is slow, gone, back, or no Redis at all.
 */
#include "rig.h"

#include "bgw/redis.h"
#include "redis/link_url.h"

struct rig {
    struct bgw_loop *loop;
    struct bgw_redis_link *link;
    struct bgw_redis_link_config config;
    int ups, downs, answers, failed, messages;
    enum bgw_redis_type last;
    char words[128], text[256], message[64];
    bool inside;
};

static void on_state(void *arg, bool up, const char *words)
{
    struct rig *r = arg;
    if (up)
        r->ups++;
    else
        r->downs++;
    snprintf(r->words, sizeof(r->words), "%s", words);
}

static void on_message(void *arg, struct bgw_slice channel, struct bgw_slice payload)
{
    struct rig *r = arg;
    r->messages++;
    snprintf(r->message, sizeof(r->message), "%.*s=%.*s", (int)channel.len, channel.data, (int)payload.len, payload.data);
}

static void on_reply(void *arg, const struct bgw_redis_value *v)
{
    struct rig *r = arg;
    CHECK(!r->inside);
    r->answers++;
    r->failed += v->type == BGW_REDIS_FAILED;
    r->last = v->type;
    if (v->type == BGW_REDIS_TEXT || v->type == BGW_REDIS_ERROR)
        snprintf(r->text, sizeof(r->text), "%.*s", (int)v->text.len, v->text.data);
}

static void init(struct rig *r, const char *url)
{
    *r = (struct rig){.config = {.url = url, .command_ms = 2000, .commands_max = 1000, .seed = 7, .state = on_state, .message = on_message}};
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
}

static void link_up(struct rig *r)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    r->config.arg = r;
    CHECK(bgw_redis_link_create(&r->link, r->loop, &r->config, &error) == BGW_OK);
    CHECK_SLICE(bgw_buf_slice(&error), "");
    bgw_buf_deinit(&error);
}

static void deinit(struct rig *r)
{
    bgw_redis_link_destroy(&r->link);
    bgw_loop_destroy(&r->loop);
}

static bool say(struct rig *r, const char *a, const char *b, const char *c)
{
    struct bgw_slice words[] = {bgw_slice_str(a), bgw_slice_str(b), bgw_slice_str(c)};
    r->inside = true;
    bool ok = bgw_redis_link_command(r->link, words, c ? 3 : b ? 2 : 1, on_reply, r);
    r->inside = false;
    return ok;
}

static void asks_and_hears(const char *program)
{
    struct redis s;
    struct rig r;
    redis_start(&s, program, NULL);
    init(&r, s.url);
    link_up(&r);
    CHECK(!say(&r, "PING", NULL, NULL)); /* not up yet: refused, and no answer ever */
    REDIS_UNTIL(r.loop, r.ups == 1);
    CHECK(say(&r, "SET", "a", "1"));
    CHECK(say(&r, "INCRBY", "a", "41"));
    REDIS_UNTIL(r.loop, r.answers == 2);
    CHECK(r.last == BGW_REDIS_INTEGER);
    CHECK(say(&r, "GET", "a", NULL));
    REDIS_UNTIL(r.loop, r.answers == 3);
    CHECK_EQ_STR(r.text, "42");
    CHECK(say(&r, "GET", "none", NULL));
    REDIS_UNTIL(r.loop, r.answers == 4);
    CHECK(r.last == BGW_REDIS_NIL);
    CHECK(say(&r, "HGET", "a", "b"));
    REDIS_UNTIL(r.loop, r.answers == 5);
    CHECK(r.last == BGW_REDIS_ERROR);
    for (int i = 0; i < 1000; i++)
        CHECK(say(&r, "INCRBY", "a", "1"));
    CHECK(!say(&r, "INCRBY", "a", "1")); /* the stated maximum */
    REDIS_UNTIL(r.loop, r.answers == 1005);
    CHECK_EQ_STR(redis_say(&s, "GET a"), "1042");
    CHECK_EQ_I64(r.failed, 0);
    deinit(&r);
    redis_stop(&s);
}

TEST(commands_of_a_turn_leave_together_and_are_answered_in_order)
{
    asks_and_hears("redis-server");
    asks_and_hears("valkey-server");
}

TEST(an_address_is_read_in_each_of_its_forms)
{
    struct bgw_redis_url u;
    CHECK(!bgw_redis_url_parse(&u, "cache.example:7000"));
    CHECK_EQ_STR(u.hosts[0].name, "cache.example");
    CHECK_EQ_I64(u.hosts[0].port, 7000);
    CHECK(!bgw_redis_url_parse(&u, "[::1]") && u.hosts[0].port == 6379);
    CHECK(!bgw_redis_url_parse(&u, "redis://me:p%40ss%2Fw%25@h:1/12"));
    CHECK_EQ_STR(u.user, "me");
    CHECK_EQ_STR(u.password, "p@ss/w%");
    CHECK_EQ_I64(u.db, 12);
    CHECK(!u.tls && !u.sentinel);
    CHECK(!bgw_redis_url_parse(&u, "rediss://:secret@[2001:db8::1]:6390"));
    CHECK(u.tls && !u.user[0]);
    CHECK_EQ_STR(u.hosts[0].name, "2001:db8::1");
    CHECK(!bgw_redis_url_parse(&u, "redis+sentinel://u:p@a:1,b,[::1]:3/mymaster/4"));
    CHECK(u.sentinel && u.host_count == 3 && u.db == 4 && u.hosts[1].port == 26379 && u.hosts[2].port == 3);
    CHECK_EQ_STR(u.master, "mymaster");
}

TEST(an_address_of_no_form_is_refused_without_showing_it)
{
    static const char *const bad[] = {"", ":6379", "http://secret", "redis://", "redis://h:0", "redis://h:65536", "redis://h:1x",
                                      "redis://a,b", "redis://user@h", "redis://u:%zz@h", "redis://u:%4@h", "redis://u:%00@h",
                                      "redis://h/x", "redis://h/1/2", "redis://[::1", "redis://h/100000", "redis+sentinel://h:1",
                                      "redis+sentinel://h:1//2", "redis+sentinel://a,b,c,d,e,f,g,h,i/m", "secret@h:1", "redis://u:@h"};
    struct bgw_redis_url u;
    struct rig r;
    init(&r, "redis://u:secret@h:99999");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CHECK(bgw_redis_url_parse(&u, bad[i]) != NULL);
        struct bgw_buf error;
        bgw_buf_init(&error, 1000);
        r.config.url = bad[i];
        CHECK(bgw_redis_link_create(&r.link, r.loop, &r.config, &error) == BGW_CONFIG);
        CHECK(error.len > 10 && !memmem(error.data, error.len, "secret", 6));
        bgw_buf_deinit(&error);
    }
    bgw_loop_destroy(&r.loop);
}

TEST(a_late_answer_fails_its_command_and_ends_the_connection)
{
    struct redis s;
    struct rig r;
    redis_start(&s, "redis-server", NULL);
    init(&r, s.url);
    r.config.command_ms = 100;
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups == 1);
    redis_say(&s, "SET a old");
    CHECK_EQ_STR(redis_say(&s, "CLIENT PAUSE 600 ALL"), "OK");
    bgw_loop_turn(r.loop, 0);
    int64_t from = bgw_loop_now(r.loop).mono_ms;
    CHECK(say(&r, "GET", "a", NULL));
    CHECK(say(&r, "GET", "a", NULL));
    REDIS_UNTIL(r.loop, r.failed == 2);
    CHECK(bgw_clock_now().mono_ms - from >= 100 && bgw_clock_now().mono_ms - from < 550);
    CHECK_EQ_I64(r.downs, 1);
    CHECK_EQ_STR(r.words, "a command was not answered in time");
    CHECK(!say(&r, "GET", "a", NULL));
    REDIS_UNTIL(r.loop, r.ups == 2); /* alone */
    CHECK(say(&r, "GET", "a", NULL));
    REDIS_UNTIL(r.loop, r.answers == 3);
    CHECK_EQ_STR(r.text, "old");
    deinit(&r);
    redis_stop(&s);
}

TEST(a_server_that_dies_fails_what_waits_once_and_is_found_again)
{
    struct redis s;
    struct rig r;
    redis_start(&s, "valkey-server", NULL);
    init(&r, s.url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups == 1);
    kill(s.pid, SIGSTOP);
    for (int i = 0; i < 10; i++)
        CHECK(say(&r, "PING", NULL, NULL));
    bgw_loop_turn(r.loop, 1);
    CHECK_EQ_I64(r.answers, 0);
    redis_kill(&s);
    REDIS_UNTIL(r.loop, r.downs >= 1);
    CHECK_EQ_I64(r.failed, 10);
    CHECK_EQ_I64(r.answers, 10);
    REDIS_UNTIL(r.loop, strcmp(r.words, "the server takes no connection") == 0);
    redis_run(&s);
    REDIS_UNTIL(r.loop, r.ups == 2);
    CHECK(say(&r, "PING", NULL, NULL));
    REDIS_UNTIL(r.loop, r.answers == 11);
    CHECK_EQ_STR(r.text, "PONG");
    CHECK(say(&r, "PING", NULL, NULL));
    deinit(&r); /* what waits is answered by the end, too */
    CHECK_EQ_I64(r.answers, 12);
    CHECK_EQ_I64(r.failed, 11);
    redis_stop(&s);
}

TEST(whenever_the_connection_ends_each_command_is_answered_once)
{
    struct redis s;
    struct rig r;
    unsigned asked = 0;
    redis_start(&s, "redis-server", NULL);
    init(&r, s.url);
    link_up(&r);
    for (unsigned i = 0; i < 300; i++) {
        for (unsigned n = (i * 7919) % 5; n; n--)
            asked += say(&r, n % 2 ? "PING" : "INFO", NULL, NULL);
        bgw_loop_turn(r.loop, 0);
        bool ends = i % 97 == 5 || i % 211 == 7, calm = i % 97 == 50;
        if (ends || calm) { /* somebody waits for an answer, and gets it where nothing ends */
            REDIS_UNTIL(r.loop, bgw_redis_link_up(r.link));
            asked += say(&r, "PING", NULL, NULL);
        }
        if (i % 97 == 5)
            bgw_redis_link_restart(r.link, "for the test");
        if (i % 211 == 7)
            redis_say(&s, "CLIENT KILL TYPE normal SKIPME yes");
        REDIS_UNTIL(r.loop, !calm || (unsigned)r.answers == asked);
    }
    REDIS_UNTIL(r.loop, (unsigned)r.answers == asked); /* none twice: `deinit` looks again */
    CHECK(r.failed > 0 && (unsigned)r.failed < asked && r.ups >= 3);
    deinit(&r);
    CHECK_EQ_I64(r.answers, asked);
    redis_stop(&s);
}

TEST(users_passwords_and_databases_are_given_and_refusals_are_told)
{
    static const char *const extra[] = {"--user", "default", "off",  "--user", "gate", "on", ">p@ss", "~*",
                                        "&*",     "+@all",   "--user", "bare",   "on",   ">x", NULL};
    struct redis s;
    struct rig r;
    char url[96];
    static const struct {
        const char *before, *after, *words;
    } bad[] = {{"gate:wrong@", "", "the server refuses the user or the password"},
               {"", "", "the server wants a user and a password"},
               {"gate:p%40ss@", "/99", "the server has no database of that number"},
               {"bare:x@", "/1", "the user may not do what the gateway needs"}};
    redis_start(&s, "redis-server", extra);
    CHECK_EQ_STR(redis_say(&s, "AUTH gate p@ss"), "OK");
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(url, sizeof(url), "redis://%s127.0.0.1:%u%s", bad[i].before, s.port, bad[i].after);
        init(&r, url);
        link_up(&r);
        REDIS_UNTIL(r.loop, r.downs == 1);
        CHECK_EQ_STR(r.words, bad[i].words);
        deinit(&r);
    }
    snprintf(url, sizeof(url), "redis://gate:p%%40ss@127.0.0.1:%u/3", s.port);
    init(&r, url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups == 1);
    CHECK(say(&r, "SET", "k", "v"));
    REDIS_UNTIL(r.loop, r.answers == 1);
    CHECK_EQ_STR(redis_say(&s, "GET k"), "(nil)");
    redis_say(&s, "SELECT 3");
    CHECK_EQ_STR(redis_say(&s, "GET k"), "v");
    deinit(&r);
    redis_stop(&s);
}

TEST(a_subscriber_is_up_when_all_is_confirmed_and_hears_again_after_a_loss)
{
    struct redis s;
    struct rig r;
    redis_start(&s, "redis-server", NULL);
    init(&r, s.url);
    r.config.subscriber = true;
    link_up(&r);
    bgw_redis_link_subscribe(r.link, BGW_SLICE("one"));
    bgw_redis_link_subscribe(r.link, BGW_SLICE("two"));
    for (int round = 1; round <= 3; round++) {
        REDIS_UNTIL(r.loop, r.ups == round);
        CHECK_EQ_STR(redis_say(&s, "PUBLISH one %d", round), "1");
        CHECK_EQ_STR(redis_say(&s, "PUBLISH two x"), "1");
        REDIS_UNTIL(r.loop, r.messages == 2 * round);
        CHECK_EQ_STR(r.message, "two=x");
        if (round == 1)
            redis_say(&s, "CLIENT KILL TYPE pubsub");
        else
            bgw_redis_link_restart(r.link, "for the test");
    }
    REDIS_UNTIL(r.loop, r.downs == 3);
    CHECK_EQ_STR(r.words, "for the test");
    deinit(&r);
    redis_stop(&s);
}

/* ---- peers that are no Redis ---- */

struct liar {
    int fd;
    char url[64];
};

static void lie(struct liar *l)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    l->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(l->fd, (struct sockaddr *)&at, len) == 0 && listen(l->fd, 8) == 0);
    CHECK(getsockname(l->fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(l->url, sizeof(l->url), "127.0.0.1:%u", ntohs(at.sin_port));
}

TEST(what_is_no_redis_ends_the_connection_and_nothing_else)
{
    static const struct {
        const char *bytes, *words;
    } lies[] = {{"HTTP/1.1 400 Bad Request\r\n\r\n", "the answer is not Redis's protocol"},
                {"+PONG\r\n+PONG\r\n", "an answer came that nobody asked for"},
                {"*99999999\r\n", "the answer is not Redis's protocol"},
                {"-ERR max number of clients reached\r\n", "the server has too many clients"},
                {"-LOADING Redis is loading\r\n", "the server is still loading its data"}};
    for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
        struct liar l;
        struct rig r;
        lie(&l);
        init(&r, l.url);
        link_up(&r);
        for (int turn = 0; turn < 3; turn++)
            bgw_loop_turn(r.loop, 1);
        int fd = accept(l.fd, NULL, NULL);
        CHECK(send(fd, lies[i].bytes, strlen(lies[i].bytes), MSG_NOSIGNAL) > 0);
        REDIS_UNTIL(r.loop, r.downs == 1);
        CHECK_EQ_STR(r.words, lies[i].words);
        close(fd);
        deinit(&r);
        close(l.fd);
    }
}

TEST(an_answer_without_end_is_given_up)
{
    struct liar l;
    struct rig r;
    static char junk[65536];
    lie(&l);
    init(&r, l.url);
    link_up(&r);
    for (int turn = 0; turn < 3; turn++)
        bgw_loop_turn(r.loop, 1);
    int fd = accept(l.fd, NULL, NULL);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    memset(junk, 'x', sizeof(junk));
    CHECK(send(fd, "$400000000\r\n", 12, MSG_NOSIGNAL) == 12);
    for (int i = 0; i < 4000 && !r.downs; i++) {
        (void)!send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
        bgw_loop_turn(r.loop, 1);
    }
    CHECK_EQ_STR(r.words, "an answer is larger than allowed");
    close(fd);
    deinit(&r);
    close(l.fd);
}

TEST(answers_made_of_pieces_at_random_never_harm)
{
    static const char *const pieces[] = {"*", "$", ":", "+", "-", "_", "#t", "%", "~", ">", "|", "=", ",1.5", "(9", "\r\n", "\r\n", "\r\n",
                                         "1", "2", "0", "-1", "3", "message", "invalidate", "txt:", "PONG", "*1\r\n*1\r\n*1\r\n", "\n"};
    uint64_t random = 11;
    struct liar l;
    lie(&l);
    for (int round = 0; round < 60; round++) {
        struct rig r;
        char bytes[400] = ">2\r\n+invalidate\r\n*1\r\n+k\r\n";
        size_t len = round % 3 ? 0 : strlen(bytes);
        init(&r, l.url);
        r.config.pushed = round % 2 ? on_reply : NULL;
        r.config.subscriber = round % 5 == 0;
        link_up(&r);
        if (r.config.subscriber)
            bgw_redis_link_subscribe(r.link, BGW_SLICE("one"));
        for (int turn = 0; turn < 3; turn++)
            bgw_loop_turn(r.loop, 1);
        int fd = accept(l.fd, NULL, NULL);
        for (int i = 0; i < 24; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            const char *piece = pieces[(random >> 33) % (sizeof(pieces) / sizeof(*pieces))];
            memcpy(bytes + len, piece, strlen(piece));
            len += strlen(piece);
        }
        CHECK(send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
        shutdown(fd, SHUT_WR);
        REDIS_UNTIL(r.loop, r.downs >= 1);
        close(fd);
        deinit(&r);
    }
    close(l.fd);
}

TEST(answers_that_came_in_time_count_although_the_loop_was_late)
{
    const struct timespec late = {.tv_nsec = 200000000};
    struct redis s;
    struct rig r;
    redis_start(&s, "redis-server", NULL);
    init(&r, s.url);
    r.config.command_ms = 100;
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups == 1);
    redis_say(&s, "SETRANGE big 999 x");
    for (int i = 0; i < 400; i++) /* more than is read in a turn */
        CHECK(say(&r, "GET", "big", NULL));
    bgw_loop_turn(r.loop, 0);
    nanosleep(&late, NULL); /* the loop's neighbour keeps the processor: that is what is tested */
    REDIS_UNTIL(r.loop, r.answers == 400);
    CHECK_EQ_I64(r.failed, 0);
    CHECK_EQ_I64(r.downs, 0);
    deinit(&r);
    redis_stop(&s);
}

TEST(a_server_that_says_nothing_is_left_after_the_deadline)
{
    struct liar l;
    struct rig r;
    lie(&l);
    init(&r, l.url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.downs == 1);
    CHECK_EQ_STR(r.words, "the server does not answer in time");
    deinit(&r);
    close(l.fd);
}

/* ---- TLS ---- */

static void make_certificate(const char *dir, const char *names)
{
    char command[512];
    snprintf(command, sizeof(command),
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out ca.pem "
             "-days 2 -subj /CN=test -addext subjectAltName=%s >/dev/null 2>&1",
             dir, names);
    CHECK(system(command) == 0);
}

static void over_tls(const char *names, bool trusted, const char *words)
{
    static const char *extra[] = {"--tls-port", NULL, "--tls-cert-file", NULL, "--tls-key-file", NULL, "--tls-ca-cert-file",
                                  NULL, "--tls-auth-clients", "no", NULL};
    char dir[] = "/tmp/bgw-redis-tls-XXXXXX", port[8], cert[64], key[64], url[64];
    struct redis s;
    struct rig r;
    CHECK(mkdtemp(dir) != NULL);
    make_certificate(dir, names);
    uint16_t tls_port = redis_free_port();
    snprintf(port, sizeof(port), "%u", tls_port);
    snprintf(cert, sizeof(cert), "%s/ca.pem", dir);
    snprintf(key, sizeof(key), "%s/key.pem", dir);
    extra[1] = port;
    extra[3] = extra[7] = cert;
    extra[5] = key;
    redis_start(&s, "redis-server", extra);
    snprintf(url, sizeof(url), "rediss://localhost:%u", tls_port);
    init(&r, url);
    r.config.ca_file = trusted ? cert : NULL;
    link_up(&r);
    if (words) {
        REDIS_UNTIL(r.loop, r.downs == 1);
        CHECK_EQ_STR(r.words, words);
    } else {
        REDIS_UNTIL(r.loop, r.ups == 1);
        static char big[300000];
        memset(big, 'b', sizeof(big) - 1);
        CHECK(say(&r, "SET", "big", big));
        CHECK(say(&r, "GET", "big", NULL));
        CHECK(say(&r, "STRLEN", "big", NULL));
        REDIS_UNTIL(r.loop, r.answers == 3);
        CHECK(r.last == BGW_REDIS_INTEGER && r.failed == 0);
    }
    deinit(&r);
    redis_stop(&s);
    unlink(cert);
    unlink(key);
    rmdir(dir);
}

TEST(over_tls_the_certificate_must_be_trusted_and_name_the_host)
{
    over_tls("DNS:localhost", true, NULL);
    over_tls("DNS:elsewhere.example", true, "the server's certificate is of another name");
    over_tls("DNS:localhost", false, "the server's certificate is not trusted");
}

TEST(a_file_of_authorities_that_is_none_is_told_at_the_start)
{
    struct rig r;
    struct bgw_buf error;
    init(&r, "rediss://localhost:1");
    r.config.ca_file = "/no/such/file";
    bgw_buf_init(&error, 1000);
    CHECK(bgw_redis_link_create(&r.link, r.loop, &r.config, &error) == BGW_CONFIG);
    CHECK(memmem(error.data, error.len, "REDIS_CA", 8) != NULL);
    bgw_buf_deinit(&error);
    bgw_loop_destroy(&r.loop);
}

/* ---- Sentinel ---- */

static void start_sentinel(struct redis *s, struct redis *master)
{
    char path[96];
    *s = (struct redis){.program = "redis-server", .dir = "/tmp/bgw-sentinel-XXXXXX"};
    CHECK(mkdtemp(s->dir) != NULL);
    snprintf(path, sizeof(path), "%s/sentinel.conf", s->dir);
    s->port = redis_free_port();
    FILE *f = fopen(path, "w");
    fprintf(f, "port %u\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %u 1\nsentinel down-after-milliseconds main 60000\n",
            s->port, master->port);
    fclose(f);
    s->pid = fork();
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int out = open("/dev/null", O_WRONLY);
        dup2(out, 1);
        if (chdir(s->dir) == 0)
            execlp(s->program, s->program, "sentinel.conf", "--sentinel", (char *)NULL);
        _exit(127);
    }
    redis_await(s);
}

TEST(a_sentinel_names_the_master_and_the_next_is_asked_if_one_is_away)
{
    struct redis master, sentinel;
    struct rig r;
    char url[128];
    redis_start(&master, "redis-server", NULL);
    start_sentinel(&sentinel, &master);
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u/main/2", redis_free_port(), sentinel.port);
    init(&r, url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups == 1);
    CHECK(say(&r, "SET", "k", "v"));
    REDIS_UNTIL(r.loop, r.answers == 1);
    redis_say(&master, "SELECT 2");
    CHECK_EQ_STR(redis_say(&master, "GET k"), "v");
    deinit(&r);
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/other", sentinel.port);
    init(&r, url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.downs == 1);
    CHECK_EQ_STR(r.words, "the Sentinel knows no such master");
    deinit(&r);
    redis_stop(&sentinel);
    redis_stop(&master);
}

TEST(a_server_that_is_a_replica_is_not_taken_for_the_master)
{
    struct redis master, replica, sentinel;
    struct rig r;
    char url[96];
    redis_start(&master, "redis-server", NULL);
    redis_start(&replica, "redis-server", NULL);
    start_sentinel(&sentinel, &replica);
    redis_say(&replica, "REPLICAOF 127.0.0.1 %u", master.port);
    snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%u/main", sentinel.port);
    init(&r, url);
    link_up(&r);
    REDIS_UNTIL(r.loop, r.ups + r.downs == 1);
    CHECK_EQ_STR(r.words, "the server that the Sentinel named is not the master");
    redis_say(&replica, "REPLICAOF NO ONE");
    REDIS_UNTIL(r.loop, r.ups == 1);
    redis_say(&replica, "REPLICAOF 127.0.0.1 %u", master.port); /* which ends no connection of ours */
    int downs = r.downs;
    CHECK(say(&r, "SET", "k", "v"));
    REDIS_UNTIL(r.loop, r.answers == 1);
    CHECK(r.last == BGW_REDIS_ERROR);
    REDIS_UNTIL(r.loop, r.downs > downs);
    deinit(&r);
    redis_stop(&sentinel);
    redis_stop(&replica);
    redis_stop(&master);
}
