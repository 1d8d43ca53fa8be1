/* SPDX-License-Identifier: Apache-2.0 */
/* ops: the admin port over TLS: handshakes, bodies in many records, large pages, who says something else. */
#include "admin_rig.h"

#include "tls/tls_rig.h"

#include <errno.h>
#include <signal.h>

#define POST "POST /revocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
#define LIVEZ "GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

struct peer { /* OpenSSL's client over a non-blocking socket, driven between turns */
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static struct bgw_tls *tls;
static size_t body_len;
static uint64_t late_token;
static bool late;

static int on_revoke(void *arg, struct bgw_slice text, uint64_t token, struct bgw_buf *answer)
{
    (void)arg;
    body_len = text.len;
    late_token = token;
    bgw_buf_append_str(answer, "{\"at\":\"once\"}");
    return late ? 0 : 200;
}

static void start(void)
{
    static bool made;
    signal(SIGPIPE, SIG_IGN);
    if (!made)
        rig_make(&(struct spec){.file = "a", .name = "a", .sans = "DNS:a.example"});
    made = true;
    struct bgw_tls_config rules = rig_config("a");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    late = false;
    rig_start(&(struct bgw_admin_config){.tls = tls, .revoke = on_revoke});
}

static void stop(void)
{
    rig_stop();
    bgw_tls_destroy(&tls);
}

static struct peer open_peer(int version)
{
    struct peer p = {.ctx = rig_client(version, NULL), .fd = rig_dial()};
    p.ssl = SSL_new(p.ctx);
    CHECK(SSL_set_fd(p.ssl, p.fd) == 1);
    SSL_set_connect_state(p.ssl);
    for (int i = 0; i < 400 && SSL_do_handshake(p.ssl) != 1; i++)
        bgw_loop_turn(rig.loop, 2);
    CHECK(SSL_is_init_finished(p.ssl));
    return p;
}

static void close_peer(struct peer *p)
{
    SSL_free(p->ssl);
    SSL_CTX_free(p->ctx);
    close(p->fd);
}

static void say(struct peer *p, const char *bytes, size_t len)
{
    for (int i = 0; i < 2000 && len; i++) {
        size_t n = 0;
        if (SSL_write_ex(p->ssl, bytes, len, &n) == 1) {
            bytes += n;
            len -= n;
        }
        bgw_loop_turn(rig.loop, 1);
    }
    CHECK_EQ_I64(len, 0);
}

/* What it says until it ends or has said `want`; `ended`: with close_notify. */
static char *hear(struct peer *p, const char *want, bool *ended)
{
    static char text[1 << 20];
    size_t len = 0;
    for (int i = 0; i < 2000; i++) {
        size_t n = 0;
        bgw_loop_turn(rig.loop, 2);
        int rc = SSL_read_ex(p->ssl, text + len, sizeof(text) - 1 - len, &n);
        len += n;
        text[len] = '\0';
        int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(p->ssl, rc);
        if (ended)
            *ended = why == SSL_ERROR_ZERO_RETURN;
        if ((want && strstr(text, want)) || (rc != 1 && why != SSL_ERROR_WANT_READ))
            break;
    }
    return text;
}

TEST(pages_are_read_over_both_versions_and_the_end_is_said)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    start();
    for (size_t i = 0; i < 2; i++) {
        bool ended = false;
        struct peer p = open_peer(versions[i]);
        CHECK_EQ_I64(SSL_version(p.ssl), versions[i]);
        say(&p, LIVEZ, strlen(LIVEZ));
        CHECK(strstr(hear(&p, NULL, &ended), "{\"ok\":true}"));
        CHECK(ended);
        close_peer(&p);
    }
    stop();
}

TEST(pipelined_requests_in_one_record_are_all_answered)
{
    static const char many[] = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" POST
                               "Content-Length: 2\r\n\r\n{}GET /version HTTP/1.1\r\nHost: x\r\n\r\n" LIVEZ;
    start();
    struct peer p = open_peer(0);
    say(&p, many, strlen(many));
    char *text = hear(&p, NULL, NULL);
    CHECK(strstr(text, "once") && strstr(text, "9.9") && strstr(text, "Connection: close"));
    close_peer(&p);
    stop();
}

TEST(largest_body_and_what_follows_it_are_read_to_the_last_byte)
{
    static char bytes[200000];
    start();
    int head = snprintf(bytes, sizeof(bytes), POST "Content-Length: 131072\r\n\r\n");
    memset(bytes + head, ' ', 131072);
    memcpy(bytes + head + 131072, LIVEZ, strlen(LIVEZ));
    struct peer p = open_peer(0);
    say(&p, bytes, (size_t)head + 131072 + strlen(LIVEZ));
    char *text = hear(&p, NULL, NULL);
    CHECK_EQ_I64(body_len, 131072);
    CHECK(strstr(text, "once") && strstr(text, "{\"ok\":true}"));
    close_peer(&p);
    stop();
}

TEST(late_answer_finds_its_connection_and_what_waited_in_the_library_is_read)
{
    static const char both[] = POST "Content-Length: 2\r\n\r\n{}" LIVEZ;
    start();
    late = true;
    late_token = 0;
    struct peer p = open_peer(0);
    say(&p, both, strlen(both));
    for (int i = 0; i < 400 && !late_token; i++)
        bgw_loop_turn(rig.loop, 2);
    bgw_admin_finish(rig.admin, late_token, 200, BGW_SLICE("{\"at\":\"last\"}"));
    char *text = hear(&p, NULL, NULL);
    CHECK(strstr(text, "last") && strstr(text, "{\"ok\":true}"));
    close_peer(&p);
    stop();
}

TEST(reader_that_pauses_gets_a_large_page_whole)
{
    static const char page[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    start();
    struct peer p = open_peer(0);
    for (int i = 0; i < 40; i++) /* more than socket buffers hold */
        say(&p, page, strlen(page));
    for (int i = 0; i < 50; i++)
        bgw_loop_turn(rig.loop, 1);
    say(&p, LIVEZ, strlen(LIVEZ));
    bool ended = false;
    static char part[65536];
    size_t total = 0;
    for (int i = 0; i < 20000 && !ended; i++) {
        size_t n = 0;
        bgw_loop_turn(rig.loop, 1);
        int rc = SSL_read_ex(p.ssl, part, sizeof(part), &n);
        total += n;
        ended = rc != 1 && SSL_get_error(p.ssl, rc) == SSL_ERROR_ZERO_RETURN;
    }
    CHECK(ended);
    CHECK(total > 40 * 10000);
    close_peer(&p);
    stop();
}

TEST(plain_bytes_and_broken_hellos_are_closed_and_the_next_is_served)
{
    static const char *const said[] = {LIVEZ, "\x16\x03\x01\x02world", "\x80"};
    start();
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        int fd = rig_dial();
        rig_say(fd, said[i]);
        if (i == 0)
            CHECK(!strstr(rig_hear(fd, NULL), "HTTP/1.1 200"));
        for (int k = 0; k < 5; k++)
            bgw_loop_turn(rig.loop, 1);
        close(fd);
    }
    struct peer p = open_peer(0);
    say(&p, LIVEZ, strlen(LIVEZ));
    CHECK(strstr(hear(&p, NULL, NULL), "{\"ok\":true}"));
    close_peer(&p);
    stop();
}

TEST(silent_peer_is_cut_at_the_handshakes_deadline)
{
    start();
    int fd = rig_dial();
    int64_t began_ms = bgw_clock_now().mono_ms;
    char c;
    ssize_t n = -1;
    while (n != 0 && bgw_clock_now().mono_ms < began_ms + 9000) {
        bgw_loop_turn(rig.loop, 20);
        n = recv(fd, &c, 1, MSG_DONTWAIT);
    }
    CHECK_EQ_I64(n, 0);
    CHECK(bgw_clock_now().mono_ms - began_ms >= 4900);
    close(fd);
    stop();
}
