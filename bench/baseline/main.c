/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baseline: the floor that every ratio in bench/README.md stands on. A bare epoll server, one
 * thread: it answers an upgrade, and for each line on its trigger port sends one ready-made frame
 * to every socket with one send() each. No sessions, no access, no versions: what the kernel costs.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static int *sockets;
static size_t socket_count, socket_max;
static int epfd;

/* The accept value belongs to the swarm's fixed key. */
static const char UPGRADED[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                               "Sec-WebSocket-Protocol: bgw.v1\r\n\r\n";

static int listen_on(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 65535) ||
        getsockname(fd, (struct sockaddr *)&a, &len))
        return -1;
    *port = ntohs(a.sin_port);
    return fd;
}

static void watch(int fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e);
}

static void broadcast(unsigned long long version, const char *prefix)
{
    char frame[512], body[400];
    int len = snprintf(body, sizeof(body),
                       "{\"ev\":\"upd\",\"u\":[{\"k\":\"%s000000\",\"v\":\"base.%llu\",\"d\":{\"currency\":\"NGN\","
                       "\"minor\":\"%llu\",\"pendingMinor\":\"0\",\"ts\":1793000000000}}]}",
                       prefix, version, version * 1000);
    frame[0] = (char)0x81;
    frame[1] = (char)126;
    frame[2] = (char)(len >> 8);
    frame[3] = (char)len;
    memcpy(frame + 4, body, (size_t)len);
    for (size_t i = 0; i < socket_count; i++)
        if (send(sockets[i], frame, (size_t)len + 4, MSG_NOSIGNAL) != len + 4)
            fprintf(stderr, "baseline: short send\n");
}

static void accept_all(int listener)
{
    int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        watch(fd);
    }
}

/* Lines may arrive together: each is one broadcast. */
static bool on_trigger(int fd, const char *prefix)
{
    static char pending[4096];
    static size_t have;
    ssize_t n = recv(fd, pending + have, sizeof(pending) - have, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    have += (size_t)n;
    for (char *end; (end = memchr(pending, '\n', have));) {
        broadcast(strtoull(pending, NULL, 10), prefix);
        size_t used = (size_t)(end - pending) + 1;
        memmove(pending, end + 1, have - used);
        have -= used;
    }
    return true;
}

static bool on_client(int fd)
{
    char bytes[4096];
    ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        close(fd);
        return true;
    }
    if (n > 4 && memcmp(bytes, "GET ", 4) == 0) {
        if (socket_count == socket_max) {
            socket_max = socket_max ? socket_max * 2 : 1024;
            sockets = realloc(sockets, socket_max * sizeof(*sockets));
        }
        sockets[socket_count++] = fd;
        return send(fd, UPGRADED, sizeof(UPGRADED) - 1, MSG_NOSIGNAL) > 0;
    }
    return true;
}

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "bench:";
    uint16_t port, trigger_port;
    int listener = listen_on(&port), trigger = listen_on(&trigger_port), control = -1;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epfd = epoll_create1(0);
    if (listener < 0 || trigger < 0 || epfd < 0)
        return 1;
    watch(listener);
    watch(trigger);
    printf("{\"listen\":\"127.0.0.1:%u\",\"trigger\":\"%u\",\"pid\":%d}\n", port, trigger_port, (int)getpid());
    fflush(stdout);
    for (;;) {
        struct epoll_event events[512];
        int n = epoll_wait(epfd, events, 512, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(listener);
            else if (fd == trigger && (control = accept4(trigger, NULL, NULL, SOCK_NONBLOCK)) >= 0)
                watch(control);
            else if (fd == control && !on_trigger(fd, prefix))
                return 0; /* the swarm is done */
            else if (fd != control && fd != trigger)
                on_client(fd);
        }
    }
}
