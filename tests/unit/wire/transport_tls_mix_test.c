/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_mix_test: many TLS clients that do anything in any order, against a server that
 * answers, floods, finishes, aborts and pauses as the dice fall. What must hold: every connection that
 * was opened is closed once, nothing leaks, the loop comes to rest, and who behaves is served at the end.
 */
#include "transport_tls_rig.h"

#define CLIENTS 40
#define STEPS 30000

static uint64_t dice = 0x9e3779b97f4a7c15u;

static unsigned roll(unsigned sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return (unsigned)(dice >> 33) % sides;
}

struct peer { /* one connection, the server's side */
    struct bgw_socket *sock;
    bool paused;
};

static struct peer *peers[4 * CLIENTS];
static int opened_count, closed_count;
static bool behave; /* the dice are put away: everything is echoed */

static void *mix_opened(void *arg, struct bgw_socket *sock)
{
    (void)arg;
    if (!behave && roll(20) == 0)
        return NULL;
    struct peer *p = calloc(1, sizeof(*p));
    p->sock = sock;
    opened_count++;
    for (int i = 0; i < 4 * CLIENTS; i++) {
        if (!peers[i]) {
            peers[i] = p;
            break;
        }
    }
    return p;
}

static void act(struct peer *p, struct bgw_slice bytes)
{
    unsigned what = behave ? 99 : roll(20);
    size_t len = what < 2 ? roll(sizeof(pattern)) : bytes.len;
    if (what == 2)
        bgw_socket_abort(p->sock);
    if (what == 3)
        bgw_socket_pause(p->sock, p->paused = true);
    if (!bgw_socket_buffered(p->sock))
        (void)bgw_socket_send(p->sock, what < 2 ? bgw_slice_of(pattern, len) : bytes);
    if (what == 4)
        bgw_socket_finish(p->sock);
}

static void mix_received(void *user, struct bgw_slice bytes)
{
    act(user, bytes);
}

static void mix_writable(void *user)
{
    if (!behave)
        act(user, BGW_SLICE("more"));
}

static void mix_closed(void *user)
{
    closed_count++;
    for (int i = 0; i < 4 * CLIENTS; i++) {
        if (peers[i] == user)
            peers[i] = NULL;
    }
    free(user);
}

static void mix_open(struct server *s, const struct bgw_transport_config *config)
{
    const struct bgw_transport_ops ops = {s, mix_opened, mix_received, mix_writable, mix_closed};
    memset(s, 0, sizeof(*s));
    CHECK_EQ_I64(bgw_loop_create(&s->loop), BGW_OK);
    CHECK_EQ_I64(bgw_transport_create(&s->transport, s->loop, config, &ops), BGW_OK);
    bgw_loop_set_hooks(s->loop, &(struct bgw_loop_hooks){s, hook_wait, hook_end});
    s->port = (uint16_t)strtoul(strrchr(bgw_transport_bound(s->transport), ':') + 1, NULL, 10);
}

static void leave(struct client *c)
{
    struct linger hard = {1, 0};
    if (roll(2))
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    if (roll(3) == 0)
        (void)SSL_shutdown(c->ssl);
    hang_up(c);
    c->ssl = NULL;
}

static void client_step(struct server *s, struct client *c)
{
    static char buf[65536];
    if (!c->ssl) {
        *c = client_of(dial_small(s->port, roll(2) ? 4096 : 0), rig_client(roll(2) ? TLS1_2_VERSION : TLS1_3_VERSION, NULL));
        return;
    }
    unsigned what = roll(40);
    if (what == 36)
        leave(c);
    else if (!SSL_is_init_finished(c->ssl) && what > 2)
        (void)SSL_do_handshake(c->ssl);
    else if (what < 16)
        (void)SSL_read(c->ssl, buf, 1 + (int)roll(sizeof(buf) - 1));
    else if (what < 30)
        (void)SSL_write(c->ssl, pattern, 1 + (int)roll(60000));
    else if (what < 34)
        (void)SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED);
    else if (what == 34)
        (void)!send(c->fd, pattern, 1 + roll(100), MSG_NOSIGNAL); /* no record at all */
    else if (what == 35)
        shutdown(c->fd, SHUT_WR);
    ERR_clear_error();
}

static void resume_some(void)
{
    for (int i = 0; i < 4 * CLIENTS; i++) {
        if (peers[i] && peers[i]->paused && roll(8) == 0)
            bgw_socket_pause(peers[i]->sock, peers[i]->paused = false);
    }
}

TEST(anything_in_any_order_leaves_nothing_behind)
{
    static struct server s;
    static struct client clients[CLIENTS];
    struct bgw_transport_config config = config_of();
    make_all();
    config.limits.tls_ms = 300;
    config.stall_ms = 400;
    config.linger_ms = 50;
    struct bgw_tls_config rules = rig_config("a,b");
    struct bgw_tls *tls;
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config.tls = tls;
    mix_open(&s, &config);
    for (int step = 0; step < STEPS; step++) {
        client_step(&s, &clients[roll(CLIENTS)]);
        if (step % 4 == 0)
            bgw_loop_turn(s.loop, 0);
        if (step % 16 == 0)
            resume_some();
    }
    CHECK(opened_count > 100 && closed_count > 50);
    behave = true;
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].ssl)
            hang_up(&clients[i]);
    }
    for (int i = 0; i < 4 * CLIENTS; i++) {
        if (peers[i])
            bgw_socket_pause(peers[i]->sock, false);
    }
    AWAIT(&s, bgw_transport_count(s.transport) == 0 && opened_count == closed_count);
    struct client c = client_of(dial(s.port), rig_client(0, NULL));
    AWAIT_DOING(&s, (void)SSL_do_handshake(c.ssl), SSL_is_init_finished(c.ssl) && bgw_transport_count(s.transport) == 1);
    say(&c, "well behaved");
    expect(&s, &c, "well behaved");
    uint64_t turns = s.turns;
    bgw_loop_turn(s.loop, 100); /* at rest */
    CHECK_EQ_I64(s.turns - turns, 1);
    hang_up(&c);
    AWAIT(&s, opened_count == closed_count);
    bgw_transport_destroy(&s.transport);
    bgw_loop_destroy(&s.loop);
    bgw_tls_destroy(&tls);
}
