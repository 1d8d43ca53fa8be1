/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baseline: the floor that every ratio in bench/README.md stands on. A bare epoll server, one
 * thread: it answers an upgrade, and for each line on its trigger port sends one ready-made frame
 * to every socket with one send() each. No sessions, no access, no versions: what the kernel costs.
 * With --cert and --key the same through TLS: what the kernel and OpenSSL cost.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
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
static SSL_CTX *context; /* NULL: plain */
static SSL **links;      /* by descriptor */
static size_t link_max;

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

static ssize_t put(int fd, const char *bytes, size_t len)
{
    if (!context)
        return send(fd, bytes, len, MSG_NOSIGNAL);
    ERR_clear_error();
    return SSL_write(links[fd], bytes, (int)len);
}

/* -1: nothing now; 0: gone. A handshake that is under way goes on by itself. */
static ssize_t get(int fd, char *to, size_t cap)
{
    if (!context) {
        ssize_t n = recv(fd, to, cap, 0);
        return n < 0 && errno == EAGAIN ? -1 : n < 0 ? 0 : n;
    }
    ERR_clear_error();
    int n = SSL_read(links[fd], to, (int)cap);
    if (n > 0)
        return n;
    int why = SSL_get_error(links[fd], n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static bool open_link(int fd)
{
    if (!context)
        return true;
    if ((size_t)fd >= link_max) {
        size_t max = (size_t)fd * 2 + 1024;
        links = realloc(links, max * sizeof(*links));
        memset(links + link_max, 0, (max - link_max) * sizeof(*links));
        link_max = max;
    }
    links[fd] = SSL_new(context);
    if (!links[fd] || SSL_set_fd(links[fd], fd) != 1)
        return false;
    SSL_set_accept_state(links[fd]);
    return true;
}

static void drop(int fd)
{
    if (context) {
        SSL_free(links[fd]);
        links[fd] = NULL;
    }
    close(fd);
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
        if (put(sockets[i], frame, (size_t)len + 4) != len + 4)
            fprintf(stderr, "baseline: short send\n");
}

static void accept_all(int listener)
{
    int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (!open_link(fd)) {
            drop(fd);
            continue;
        }
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
    ssize_t n = get(fd, bytes, sizeof(bytes));
    if (n == 0) {
        drop(fd);
        return true;
    }
    if (n > 4 && memcmp(bytes, "GET ", 4) == 0) {
        if (socket_count == socket_max) {
            socket_max = socket_max ? socket_max * 2 : 1024;
            sockets = realloc(sockets, socket_max * sizeof(*sockets));
        }
        sockets[socket_count++] = fd;
        return put(fd, UPGRADED, sizeof(UPGRADED) - 1) > 0;
    }
    return true;
}

/* The same rules as the gateway's own: no tickets, no cache, memory given back between records. */
static bool set_up_tls(const char *cert, const char *key, const char *groups)
{
    context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return false;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_num_tickets(context, 0);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 &&
           (!groups || SSL_CTX_set1_groups_list(context, groups) == 1);
}

static bool parse(int argc, char **argv, const char **prefix)
{
    static const struct option options[] = {
        {"prefix", 1, 0, 'p'}, {"cert", 1, 0, 'c'}, {"key", 1, 0, 'k'}, {"groups", 1, 0, 'g'}, {0, 0, 0, 0}};
    const char *cert = NULL, *key = NULL, *groups = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'p')
            *prefix = optarg;
        else if (o == 'c')
            cert = optarg;
        else if (o == 'k')
            key = optarg;
        else if (o == 'g')
            groups = optarg;
        else
            return false;
    }
    return !cert || (key && set_up_tls(cert, key, groups));
}

int main(int argc, char **argv)
{
    const char *prefix = "bench:";
    if (!parse(argc, argv, &prefix)) {
        fprintf(stderr, "usage: bgw-baseline [--prefix P] [--cert FILE --key FILE [--groups LIST]]\n");
        return 2;
    }
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
