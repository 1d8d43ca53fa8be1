/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_rig: an admin port on a loop that the test turns, and clients on real sockets. What is
 * posted goes to a function of the test. One thread.
 */
#ifndef BGW_TEST_ADMIN_RIG_H
#define BGW_TEST_ADMIN_RIG_H

#include "bgw/metrics.h"
#include "bgw/ops.h"

#include "../test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct {
    struct bgw_loop *loop;
    struct bgw_admin *admin;
    struct bgw_health health;
    uint16_t port;
} rig;

static inline void rig_tell_health(void *arg, struct bgw_health *out)
{
    (void)arg;
    *out = rig.health;
}

/* `more`: what else the port is to have; NULL: nothing. */
static inline void rig_start(const struct bgw_admin_config *more)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    rig.health = (struct bgw_health){.ready = true};
    struct bgw_buf bound, error;
    bgw_buf_init(&bound, 128);
    bgw_buf_init(&error, 512);
    struct bgw_admin_config config = more ? *more : (struct bgw_admin_config){0};
    config.version = "9.9";
    config.health = rig_tell_health;
    CHECK(bgw_ops_listen("BGW_ADMIN_LISTEN", "127.0.0.1:0", &config.listen_fd, &bound, &error) == BGW_OK);
    CHECK(bound.len > 10 && memcmp(bound.data, "127.0.0.1:", 10) == 0);
    bgw_buf_append_byte(&bound, '\0');
    rig.port = (uint16_t)atoi(bound.data + 10);
    CHECK(bgw_loop_create(&rig.loop) == BGW_OK);
    CHECK(bgw_admin_create(&rig.admin, rig.loop, &config) == BGW_OK);
    bgw_buf_deinit(&bound);
    bgw_buf_deinit(&error);
}

static inline void rig_stop(void)
{
    bgw_admin_destroy(&rig.admin);
    bgw_loop_destroy(&rig.loop);
    CHECK(rig.admin == NULL && rig.loop == NULL);
}

static inline int rig_dial(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(rig.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)!connect(fd, (struct sockaddr *)&to, sizeof(to));
    return fd;
}

/* Turns the loop until the peer has said `want` (or ended); everything it said, NUL-terminated. */
static inline char *rig_hear(int fd, const char *want)
{
    static char text[1 << 20];
    size_t len = 0;
    for (int turn = 0; turn < 2000; turn++) {
        bgw_loop_turn(rig.loop, 5);
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, MSG_DONTWAIT);
        if (n > 0)
            len += (size_t)n;
        text[len] = '\0';
        if (n == 0 || (want && strstr(text, want)))
            break;
    }
    return text;
}

static inline void rig_say(int fd, const char *text)
{
    bgw_loop_turn(rig.loop, 20);
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static inline char *rig_ask(const char *request, const char *want)
{
    int fd = rig_dial();
    rig_say(fd, request);
    char *text = rig_hear(fd, want);
    close(fd);
    return text;
}

#endif
