/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_mt_test: two shards with one set of certificates, each with its thread, loop and
 * transport; clients in two threads more; certificates swapped meanwhile. Meant for TSan too.
 */
#include "transport_tls_rig.h"

#include "bgw/mailbox.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define SHARDS 2
#define CLIENTS_EACH 60
#define RELOADS 40

struct shard { /* its thread only, but for the counters */
    struct bgw_loop *loop;
    struct bgw_transport *transport;
    struct bgw_mailbox *mailbox;
    pthread_t thread;
    atomic_int opened;
};

static struct shard shards[SHARDS];
static uint16_t port;
static atomic_int served;

static void *opened(void *arg, struct bgw_socket *sock)
{
    atomic_fetch_add(&((struct shard *)arg)->opened, 1);
    return sock;
}

static void received(void *user, struct bgw_slice bytes)
{
    (void)bgw_socket_send(user, bytes);
}

static void nothing(void *user)
{
    (void)user;
}

static int64_t wait_max(void *arg)
{
    return bgw_transport_wait_max_ms(((struct shard *)arg)->transport);
}

static void end_of_turn(void *arg, struct bgw_now now)
{
    (void)now;
    bgw_transport_turn_end(((struct shard *)arg)->transport);
}

static void on_command(void *arg, const void *item)
{
    (void)item;
    bgw_transport_stop_listening(((struct shard *)arg)->transport);
    bgw_loop_stop(((struct shard *)arg)->loop);
}

static void *run(void *arg)
{
    struct shard *s = arg;
    bgw_loop_run(s->loop);
    return NULL;
}

static void start(struct bgw_tls *tls)
{
    char first[64] = "127.0.0.1:0", bound[64];
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &shards[i];
        struct bgw_transport_config config = config_of();
        config.tls = tls;
        CHECK_EQ_I64(bgw_transport_bind(first, &config.listen_fd, bound, sizeof(bound)), BGW_OK);
        memcpy(first, bound, sizeof(first));
        const struct bgw_transport_ops ops = {s, opened, received, nothing, nothing};
        CHECK_EQ_I64(bgw_loop_create(&s->loop), BGW_OK);
        CHECK_EQ_I64(bgw_mailbox_create(&s->mailbox, s->loop, 1, 4, on_command, s), BGW_OK);
        CHECK_EQ_I64(bgw_transport_create(&s->transport, s->loop, &config, &ops), BGW_OK);
        bgw_loop_set_hooks(s->loop, &(struct bgw_loop_hooks){s, wait_max, end_of_turn});
    }
    port = (uint16_t)strtoul(strrchr(first, ':') + 1, NULL, 10);
    for (int i = 0; i < SHARDS; i++)
        CHECK(pthread_create(&shards[i].thread, NULL, run, &shards[i]) == 0);
}

static void *visit(void *arg)
{
    (void)arg;
    for (int i = 0; i < CLIENTS_EACH; i++) {
        SSL_CTX *ctx = rig_client(0, NULL);
        int fd = dial(port);
        fcntl(fd, F_SETFL, 0);
        SSL *ssl = SSL_new(ctx);
        char got[8];
        SSL_set_fd(ssl, fd);
        if (SSL_connect(ssl) == 1 && SSL_write(ssl, "hello", 5) == 5 && SSL_read(ssl, got, sizeof(got)) == 5)
            atomic_fetch_add(&served, 1);
        SSL_free(ssl);
        SSL_CTX_free(ctx);
        close(fd);
    }
    return NULL;
}

TEST(shards_share_certificates_that_are_swapped_while_clients_come)
{
    struct bgw_tls *tls;
    pthread_t visitors[2];
    make_all();
    signal(SIGPIPE, SIG_IGN);
    struct bgw_tls_config rules[2] = {rig_config("a,b"), rig_config("b")};
    CHECK_EQ_STR(rig_create(&tls, &rules[0]), "");
    start(tls);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&visitors[i], NULL, visit, NULL) == 0);
    for (int i = 0; i < RELOADS; i++) {
        struct bgw_tls_cert_info info[2];
        CHECK_EQ_STR(rig_reload(tls, &rules[i % 2]), "");
        CHECK(bgw_tls_describe(tls, info, 2) >= 1);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(visitors[i], NULL);
    CHECK_EQ_I64(atomic_load(&served), 2 * CLIENTS_EACH);
    for (int i = 0; i < SHARDS; i++)
        CHECK_EQ_I64(bgw_mailbox_post(shards[i].mailbox, "s"), BGW_OK);
    for (int i = 0; i < SHARDS; i++) {
        pthread_join(shards[i].thread, NULL);
        CHECK(atomic_load(&shards[i].opened) > 0);
        bgw_transport_destroy(&shards[i].transport);
        bgw_mailbox_destroy(&shards[i].mailbox);
        bgw_loop_destroy(&shards[i].loop);
    }
    bgw_tls_destroy(&tls);
}
