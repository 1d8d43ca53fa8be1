/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_mt_test: two shards, each with its thread, loop and transport, share one port; clients
 * in the main thread. Meant for TSan too.
 */
#include "bgw/transport.h"

#include "../test.h"
#include "bgw/mailbox.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SHARDS 2
#define CLIENTS 200
#define ROUNDS 5

struct shard { /* its thread only, but for the counters */
    struct bgw_loop *loop;
    struct bgw_transport *transport;
    struct bgw_mailbox *mailbox;
    pthread_t thread;
    atomic_int opened, closed;
};

static void *on_opened(void *arg, struct bgw_socket *sock)
{
    atomic_fetch_add(&((struct shard *)arg)->opened, 1);
    return sock;
}

static void on_received(void *user, struct bgw_slice bytes)
{
    (void)bgw_socket_send(user, bytes);
}

static void on_writable(void *user)
{
    (void)user;
}

static struct shard shards[SHARDS];

static void on_closed(void *user)
{
    for (int i = 0; i < SHARDS; i++)
        if (bgw_socket_loop(user) == shards[i].loop)
            atomic_fetch_add(&shards[i].closed, 1);
}

static int64_t hook_wait(void *arg)
{
    return bgw_transport_wait_max_ms(((struct shard *)arg)->transport);
}

static void hook_end(void *arg, struct bgw_now now)
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

static uint16_t start(void)
{
    char first[64], bound[64];
    int fds[SHARDS];
    CHECK_EQ_I64(bgw_transport_bind("127.0.0.1:0", &fds[0], first, sizeof(first)), BGW_OK);
    for (int i = 1; i < SHARDS; i++)
        CHECK_EQ_I64(bgw_transport_bind(first, &fds[i], bound, sizeof(bound)), BGW_OK);
    for (int i = 0; i < SHARDS; i++) {
        struct shard *s = &shards[i];
        const struct bgw_transport_config config = {
            .listen_fd = fds[i], .sockets_max = CLIENTS, .stall_ms = 60000, .linger_ms = 1000};
        const struct bgw_transport_ops ops = {s, on_opened, on_received, on_writable, on_closed};
        CHECK_EQ_I64(bgw_loop_create(&s->loop), BGW_OK);
        CHECK_EQ_I64(bgw_mailbox_create(&s->mailbox, s->loop, 1, 4, on_command, s), BGW_OK);
        CHECK_EQ_I64(bgw_transport_create(&s->transport, s->loop, &config, &ops), BGW_OK);
        bgw_loop_set_hooks(s->loop, &(struct bgw_loop_hooks){s, hook_wait, hook_end});
    }
    for (int i = 0; i < SHARDS; i++)
        CHECK(pthread_create(&shards[i].thread, NULL, run, &shards[i]) == 0);
    return (uint16_t)strtoul(strrchr(first, ':') + 1, NULL, 10);
}

static int dial(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {30, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    CHECK(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

TEST(shards_serve_one_port_and_every_client_is_answered)
{
    int fds[CLIENTS];
    char got[8];
    uint16_t port = start();
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = dial(port);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            CHECK_EQ_I64(send(fds[i], "hello", 5, MSG_NOSIGNAL), 5);
        for (int i = 0; i < CLIENTS; i++)
            CHECK(recv(fds[i], got, 5, MSG_WAITALL) == 5 && memcmp(got, "hello", 5) == 0);
    }
    int total = 0;
    for (int i = 0; i < SHARDS; i++) {
        CHECK(atomic_load(&shards[i].opened) > 0);
        total += atomic_load(&shards[i].opened);
        CHECK_EQ_I64(bgw_mailbox_post(shards[i].mailbox, "s"), BGW_OK);
    }
    CHECK_EQ_I64(total, CLIENTS);
    for (int i = 0; i < SHARDS; i++) {
        pthread_join(shards[i].thread, NULL);
        bgw_transport_destroy(&shards[i].transport);
        bgw_mailbox_destroy(&shards[i].mailbox);
        CHECK_EQ_I64(atomic_load(&shards[i].closed), atomic_load(&shards[i].opened));
        bgw_loop_destroy(&shards[i].loop);
    }
    for (int i = 0; i < CLIENTS; i++) {
        CHECK_EQ_I64(recv(fds[i], got, 1, 0), 0);
        close(fds[i]);
    }
}
