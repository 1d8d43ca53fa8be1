/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: a shard's thread over real sockets on loopback. The test's own thread plays the hub: it
 * turns the loop that the worker's commands arrive in and answers watches through the relay.
 */
#include "test.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"
#include "bgw/transport.h"
#include "bgw/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define PATIENCE_MS 10000

static struct {
    struct bgw_config config;
    struct bgw_feed feed;
    struct bgw_auth *auth;
    struct bgw_policy *policy;
    struct bgw_quota *quota;
    struct bgw_loop *loop; /* the hub's: the test's thread turns it */
    struct bgw_mailbox *commands;
    struct bgw_worker *worker;
    struct bgw_relay_mark mark;
    uint64_t group, hub_seq;
    unsigned watches, unwatches;
    char bound[64];
    atomic_bool draining;
} t;

/* ---- the hub ---- */

static struct bgw_blob *value_of(int64_t minor)
{
    char text[256];
    struct bgw_record r = {.key = BGW_SLICE("acc-1"), .value = {text, 0}, .timestamp_ms = 5};
    struct bgw_decoded decoded = {0};
    r.value.len = (size_t)snprintf(text, sizeof(text),
                                   "{\"accountId\":\"acc-1\",\"minor\":%lld,\"currency\":\"NGN\"}",
                                   (long long)minor);
    CHECK(t.feed.decode(&t.feed, &r, &decoded) == BGW_REJECT_NONE);
    return decoded.value;
}

static void put(uint64_t seq, int64_t minor, uint32_t records)
{
    const struct bgw_relay_entry e = {.group = t.group,
                                      .part = bgw_part_of(BGW_SLICE("NGN")),
                                      .state = BGW_STATE_FRESH,
                                      .answered = true,
                                      .records = records,
                                      .version = {bgw_epoch_pack(BGW_SLICE("k3f9")), seq, 0},
                                      .value = value_of(minor),
                                      .proved_mono_ms = bgw_clock_now().mono_ms,
                                      .ingest_ns = bgw_clock_mono_ns()};
    bgw_relay_put(bgw_worker_relay(t.worker), &t.mark, &e);
    bgw_relay_seal(bgw_worker_relay(t.worker), ++t.hub_seq, e.version.epoch);
}

static void on_command(void *arg, const void *item)
{
    const struct bgw_hub_command *c = item;
    (void)arg;
    if (c->kind == BGW_HUB_WATCH) {
        t.group = c->group;
        t.watches++;
        put(1, 100, 0);
    } else if (c->kind == BGW_HUB_UNWATCH) {
        t.unwatches++;
    } else {
        bgw_relay_barrier(bgw_worker_relay(t.worker), c->ticket);
        bgw_relay_seal(bgw_worker_relay(t.worker), ++t.hub_seq, 0);
    }
}

static void health(void *arg, struct bgw_health *out)
{
    (void)arg;
    *out = (struct bgw_health){.ready = true, .draining = atomic_load(&t.draining)};
}

static void start(void)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    signal(SIGPIPE, SIG_IGN);
    bgw_hash_init();
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    memset(&t, 0, sizeof(t));
    char *args[] = {NULL}, *env[] = {NULL};
    CHECK(bgw_config_load(&t.config, 0, args, env, &error) == BGW_OK);
    t.config.header_deadline_s = 1;
    t.config.shards = 1;
    bgw_feed_balance_init(&t.feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    struct bgw_auth_config auth = {
        .secret = BGW_SLICE(SECRET), .default_tenant = BGW_SLICE("tnt_demo"), .feed = &t.feed};
    CHECK(bgw_auth_create(&t.auth, &auth, &error) == BGW_OK);
    CHECK(bgw_policy_create(&t.policy, &t.config, &error) == BGW_OK);
    CHECK(bgw_quota_create(&t.quota) == BGW_OK);
    CHECK(bgw_loop_create(&t.loop) == BGW_OK);
    CHECK(bgw_mailbox_create(&t.commands, t.loop, sizeof(struct bgw_hub_command), 1024, on_command,
                             NULL) == BGW_OK);
    struct bgw_worker_config c = {.config = &t.config,
                                  .feeds = &t.feed,
                                  .feed_count = 1,
                                  .auth = t.auth,
                                  .policy = t.policy,
                                  .quota = t.quota,
                                  .sockets_max = 50,
                                  .hub_commands = t.commands,
                                  .version = "test",
                                  .health = health};
    CHECK(bgw_transport_bind("127.0.0.1:0", &c.listen_fd, t.bound, sizeof(t.bound)) == BGW_OK);
    CHECK(bgw_worker_create(&t.worker, &c, &error) == BGW_OK);
    CHECK_EQ_I64(error.len, 0);
    CHECK(bgw_worker_start(t.worker) == BGW_OK);
    bgw_buf_deinit(&error);
}

static void stop(void)
{
    bgw_worker_stop(t.worker);
    bgw_worker_join(t.worker);
    CHECK_EQ_I64(bgw_worker_connections(t.worker), 0);
    bgw_worker_destroy(&t.worker);
    bgw_mailbox_destroy(&t.commands);
    bgw_loop_destroy(&t.loop);
    bgw_auth_destroy(&t.auth);
    bgw_policy_release(t.policy);
    bgw_quota_destroy(&t.quota); /* asserts that every place was given back */
    bgw_config_deinit(&t.config);
}

/* ---- a client ---- */

struct client {
    int fd;
    bool ended;
    size_t len;
    char got[200000];
};

static struct client *client_open(void)
{
    struct client *c = calloc(1, sizeof(*c));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    to.sin_port = htons((uint16_t)atoi(strrchr(t.bound, ':') + 1));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return c;
}

static void client_close(struct client **c)
{
    close((*c)->fd);
    free(*c);
    *c = NULL;
}

static void client_send(struct client *c, const char *bytes, size_t len)
{
    CHECK(send(c->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static void client_ask(struct client *c, const char *request)
{
    client_send(c, request, strlen(request));
}

static void client_read(struct client *c)
{
    ssize_t n = recv(c->fd, c->got + c->len, sizeof(c->got) - c->len - 1, MSG_DONTWAIT);
    if (n > 0)
        c->len += (size_t)n;
    else if (n == 0 || errno != EAGAIN)
        c->ended = true;
    c->got[c->len] = '\0';
}

static bool contains(const struct client *c, const char *text)
{
    return memmem(c->got, c->len, text, strlen(text)) != NULL;
}

/* Turns the hub until the text has come. */
static bool await(struct client *c, const char *text)
{
    int64_t end = bgw_clock_now().mono_ms + PATIENCE_MS;
    while (!contains(c, text) && !c->ended && bgw_clock_now().mono_ms < end) {
        bgw_loop_turn(t.loop, 5);
        client_read(c);
    }
    if (!contains(c, text))
        printf("# waited for %s, got %zu bytes: %s\n", text, c->len, c->got);
    return contains(c, text);
}

static bool await_end(struct client *c)
{
    int64_t end = bgw_clock_now().mono_ms + PATIENCE_MS;
    while (!c->ended && bgw_clock_now().mono_ms < end) {
        bgw_loop_turn(t.loop, 5);
        client_read(c);
    }
    return c->ended;
}

static void client_text(struct client *c, const char *text)
{
    char frame[70000];
    size_t len = strlen(text), at = 0;
    frame[at++] = (char)0x81;
    if (len < 126) {
        frame[at++] = (char)(0x80 | len);
    } else {
        frame[at++] = (char)(0x80 | 126);
        frame[at++] = (char)(len >> 8);
        frame[at++] = (char)len;
    }
    memcpy(frame + at, "\x11\x22\x33\x44", 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        frame[at++] = (char)(text[i] ^ "\x11\x22\x33\x44"[i % 4]);
    client_send(c, frame, at);
}

#define UPGRADE                                                                                    \
    "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "                            \
    "Upgrade\r\nSec-WebSocket-Version: 13\r\n"                                                     \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: bgw.v1\r\n"

static void say_hello(struct client *c)
{
    struct bgw_buf token, message;
    char claims[256];
    bgw_buf_init(&token, 8192);
    bgw_buf_init(&message, 8192);
    snprintf(claims, sizeof(claims),
             "{\"sub\":\"u\",\"exp\":%lld,\"scope\":\"accounts.read\",\"accounts\":[\"acc-1\"]}",
             (long long)(bgw_clock_now().wall_ms / 1000 + 600));
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), bgw_slice_str(claims), &token) == BGW_OK);
    bgw_buf_append_str(&message, "{\"op\":\"hello\",\"token\":");
    bgw_buf_append_json(&message, bgw_buf_slice(&token));
    bgw_buf_append_str(&message, "}");
    bgw_buf_append_byte(&message, '\0');
    client_text(c, message.data);
    bgw_buf_deinit(&token);
    bgw_buf_deinit(&message);
}

static struct client *client_live(void)
{
    struct client *c = client_open();
    client_ask(c, UPGRADE "\r\n");
    CHECK(await(c, "HTTP/1.1 101 "));
    CHECK(await(c, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")); /* RFC 6455, 1.3 */
    say_hello(c);
    CHECK(await(c, "{\"ev\":\"hello\",\"conn\":\""));
    client_text(c, "{\"op\":\"sub\",\"id\":1,\"keys\":[\"acc-1\",\"acc-2\"]}");
    CHECK(await(c, "{\"ev\":\"sub\",\"id\":1,\"ok\":[\"acc-1\"],\"current\":[],\"denied\":[{"
                   "\"key\":\"acc-2\",\"code\":\"no_grant\"}]}"));
    CHECK(await(c, "{\"k\":\"acc-1\",\"v\":\"k3f9.1\",\"snap\":true,\"d\":{\"currency\":\"NGN\","
                   "\"minor\":\"100\""));
    CHECK(await(c, "{\"ev\":\"live\",\"id\":1}"));
    return c;
}

/* ---- the tests ---- */

TEST(a_subscriber_gets_its_snapshot_and_then_updates)
{
    start();
    struct client *c = client_live();
    CHECK_EQ_I64(t.watches, 1);
    put(2, 250, 1);
    CHECK(await(c,
                "{\"k\":\"acc-1\",\"v\":\"k3f9.2\",\"d\":{\"currency\":\"NGN\",\"minor\":\"250\""));
    CHECK_EQ_I64(bgw_worker_connections(t.worker), 1);
    client_text(c, "{\"op\":\"unsub\",\"id\":2,\"keys\":[\"acc-1\"]}");
    CHECK(await(c, "{\"ev\":\"ok\",\"id\":2}"));
    client_close(&c);
    stop();
}

TEST(http_is_served_and_refusals_arrive_whole)
{
    start();
    struct client *c = client_open();
    static const char two[] =
        "GET /livez HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n";
    client_ask(c, two);
    CHECK(await(c, "{\"ok\":true}HTTP/1.1 200 OK"));
    CHECK(await(c, "\"ready\":true"));
    client_ask(c, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(await(c, "\"code\":\"not_found\""));
    CHECK(await_end(c));
    client_close(&c);

    c = client_open(); /* far more than is read: the refusal is still seen */
    static char big[300000];
    memset(big, 'a', sizeof(big));
    memcpy(big, "GET /", 5);
    size_t sent = 0;
    while (sent < sizeof(big)) {
        ssize_t n = send(c->fd, big + sent, sizeof(big) - sent, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        sent += (size_t)n;
    }
    CHECK(await(c, "\"code\":\"target_too_long\""));
    CHECK(await_end(c));
    client_close(&c);

    c = client_open();
    client_ask(c, "GET / HT");
    CHECK(await(c, "HTTP/1.1 408"));
    CHECK(await_end(c));
    client_close(&c);
    stop();
}

TEST(a_drain_says_bye_keeps_health_and_ends_with_the_last_socket)
{
    start();
    struct client *c = client_live(), *other = client_live();
    atomic_store(&t.draining, true);
    bgw_worker_drain(t.worker, 4000);
    CHECK(await(c, "{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":"));
    CHECK(await(other, "{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":"));
    struct client *probe = client_open();
    client_ask(probe, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(await(probe, "HTTP/1.1 503"));
    CHECK(await_end(probe));
    client_close(&probe);
    probe = client_open();
    client_ask(probe, UPGRADE "\r\n");
    CHECK(await(probe, "Retry-After: "));
    CHECK(await_end(probe));
    client_close(&probe);
    client_close(&c);
    client_close(&other);
    bgw_worker_join(t.worker); /* ends by itself */
    stop();
}

TEST(another_policy_holds_from_the_next_turn_on_and_its_limits_know_who_is_there)
{
    struct bgw_policy *tighter;
    struct bgw_buf error;
    start();
    struct client *first = client_live(), *second = client_live();
    bgw_buf_init(&error, 1024);
    t.config.connections_per_subject = 2;
    t.config.header_bytes_max = 1024;
    CHECK(bgw_policy_create(&tighter, &t.config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    bgw_worker_set_policy(t.worker, tighter);
    bgw_policy_release(tighter); /* the worker has its own reference */
    char request[2000] = "GET /livez HTTP/1.1\r\nHost: a\r\nX: ";
    memset(request + strlen(request), 'x', 1100);
    strcat(request, "\r\n\r\n");
    struct client *probe = NULL;
    bool refused = false;
    for (int i = 0; !refused && i < 100; i++) { /* a turn may be under way that the policy missed */
        probe = client_open();
        client_ask(probe, request);
        CHECK(await(probe, "HTTP/1.1 "));
        refused = contains(probe, "HTTP/1.1 431");
        client_close(&probe);
    }
    CHECK(refused);
    probe = client_open();
    client_ask(probe, UPGRADE "\r\n");
    CHECK(await(probe, "HTTP/1.1 101 "));
    say_hello(probe);
    CHECK(await(probe, "{\"ev\":\"bye\",\"code\":3504,"));
    client_close(&probe);
    put(2, 250, 2); /* those who were there go on */
    CHECK(await(first, "\"minor\":\"250\"") && await(second, "\"minor\":\"250\""));
    client_close(&second);
    int64_t end = bgw_clock_now().mono_ms + PATIENCE_MS;
    while (bgw_worker_connections(t.worker) > 1 && bgw_clock_now().mono_ms < end)
        bgw_loop_turn(t.loop, 5);
    second = client_open(); /* a place is free again */
    client_ask(second, UPGRADE "\r\n");
    CHECK(await(second, "HTTP/1.1 101 "));
    say_hello(second);
    CHECK(await(second, "{\"ev\":\"hello\",\"conn\":\""));
    client_close(&first);
    client_close(&second);
    stop();
}

TEST(a_worker_that_is_stopped_or_never_started_leaves_nothing)
{
    start();
    struct client *c = client_live();
    stop();
    client_read(c); /* the hub is gone too: only the socket is asked */
    client_close(&c);

    start();
    bgw_worker_stop(t.worker);
    bgw_worker_join(t.worker);
    stop();
}
