/* SPDX-License-Identifier: Apache-2.0 */
/*
 * baseline: the floor that every ratio in bench/README.md stands on. A bare epoll server, one
 * thread: it answers an upgrade, and for each line on its trigger port ("VERSION ACCOUNT", of which
 * it wants the first) sends one ready-made frame to every socket with one send() each. No sessions,
 * no access, no versions: what the kernel costs. With --cert and --key the same through TLS: what the
 * kernel and OpenSSL cost. With --dialogue it also says a ready-made hello together with its 101, and
 * answers a client's first message as a gateway answers `sub`: as many messages go to and fro.
 */
#define _GNU_SOURCE
#include "upgrade.h"

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

#define LIVE_MAX 1024

/* by descriptor */
struct peer {
    SSL *link; /* NULL: plain */
    size_t place; /* in `sockets`, one more than its index; 0: it is not upgraded */
    bool answered;
};

static int *sockets;
static size_t socket_count, socket_max;
static struct peer *peers;
static size_t peer_max;
static int epfd;
static SSL_CTX *context; /* NULL: plain */
static const char *prefix = "bench:";
static bool dialogue;
static char hello[512], live[LIVE_MAX]; /* frames; of the dialogue */
static size_t hello_len, live_len;

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
    return SSL_write(peers[fd].link, bytes, (int)len);
}

/* -1: nothing now; 0: gone. A handshake that is under way goes on by itself. */
static ssize_t get(int fd, char *to, size_t cap)
{
    if (!context) {
        ssize_t n = recv(fd, to, cap, 0);
        return n < 0 && errno == EAGAIN ? -1 : n < 0 ? 0 : n;
    }
    ERR_clear_error();
    int n = SSL_read(peers[fd].link, to, (int)cap);
    if (n > 0)
        return n;
    int why = SSL_get_error(peers[fd].link, n);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? -1 : 0;
}

static bool open_peer(int fd)
{
    if ((size_t)fd >= peer_max) {
        size_t max = (size_t)fd * 2 + 1024;
        struct peer *more = realloc(peers, max * sizeof(*peers));
        if (!more)
            return false;
        memset(more + peer_max, 0, (max - peer_max) * sizeof(*peers));
        peers = more;
        peer_max = max;
    }
    if (!context)
        return true;
    peers[fd].link = SSL_new(context);
    if (!peers[fd].link || SSL_set_fd(peers[fd].link, fd) != 1)
        return false;
    SSL_set_accept_state(peers[fd].link);
    return true;
}

static void drop(int fd)
{
    struct peer *p = (size_t)fd < peer_max ? &peers[fd] : NULL;
    if (p && p->place) { /* the last one takes its place */
        int last = sockets[--socket_count];
        sockets[p->place - 1] = last;
        peers[last].place = p->place;
    }
    if (p) {
        SSL_free(p->link);
        *p = (struct peer){0};
    }
    close(fd);
}

/* ---- what is said ---- */

static size_t frame(char *out, const char *text, size_t len)
{
    size_t head = len < 126 ? 2 : 4;
    out[0] = (char)0x81;
    out[1] = len < 126 ? (char)len : 126;
    if (head == 4) {
        out[2] = (char)(len >> 8);
        out[3] = (char)len;
    }
    memcpy(out + head, text, len);
    return head + len;
}

static size_t update(char *out, size_t cap, unsigned long long version, const char *snap)
{
    return (size_t)snprintf(out, cap,
                            "{\"ev\":\"upd\",\"u\":[{\"k\":\"%s000000\",\"v\":\"base.%llu\",%s\"d\":{\"currency\":\"NGN\","
                            "\"minor\":\"%llu\",\"pendingMinor\":\"0\",\"ts\":1793000000000}}]}",
                            prefix, version, snap, version * 1000);
}

/* Ready-made from what is newest: a bare server keeps no values, so nobody's answer is made when it is asked for. */
static void make_live(unsigned long long version)
{
    char text[400];
    int n = snprintf(text, sizeof(text), "{\"ev\":\"sub\",\"id\":1,\"ok\":[\"%s000000\"],\"current\":[],\"denied\":[]}", prefix);
    live_len = frame(live, text, (size_t)n);
    size_t len = version ? update(text, sizeof(text), version, "\"snap\":true,")
                         : (size_t)snprintf(text, sizeof(text), "{\"ev\":\"state\",\"keys\":[\"%s000000\"],\"state\":\"unknown\","
                                            "\"reason\":\"no_such_account\"}", prefix);
    live_len += frame(live + live_len, text, len);
    static const char end[] = "{\"ev\":\"live\",\"id\":1}";
    live_len += frame(live + live_len, end, sizeof(end) - 1);
}

/* As long as the gateway's. */
static void make_hello(void)
{
    static const char text[] = "{\"ev\":\"hello\",\"conn\":\"0123456789abcdef\",\"ping_s\":20,\"epoch\":\"base\",\"resume\":"
                               "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"server\":\"bare/1\"}";
    hello_len = frame(hello, text, sizeof(text) - 1);
}

static void broadcast(unsigned long long version)
{
    char bytes[512], text[400];
    size_t len = frame(bytes, text, update(text, sizeof(text), version, ""));
    if (dialogue)
        make_live(version);
    for (size_t i = 0; i < socket_count; i++)
        if (put(sockets[i], bytes, len) != (ssize_t)len)
            fprintf(stderr, "baseline: short send\n");
}

/* ---- who comes ---- */

static void accept_all(int listener)
{
    int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (!open_peer(fd)) {
            drop(fd);
            continue;
        }
        watch(fd);
    }
}

/* Lines may arrive together: each is one broadcast. */
static bool on_trigger(int fd)
{
    static char pending[4096];
    static size_t have;
    ssize_t n = recv(fd, pending + have, sizeof(pending) - have, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    have += (size_t)n;
    for (char *end; (end = memchr(pending, '\n', have));) {
        broadcast(strtoull(pending, NULL, 10));
        size_t used = (size_t)(end - pending) + 1;
        memmove(pending, end + 1, have - used);
        have -= used;
    }
    return true;
}

static bool upgrade(int fd, const char *request, size_t len)
{
    char answer[UPGRADE_ANSWER_MAX + sizeof(hello)];
    size_t n = upgrade_answer(request, len, answer);
    if (socket_count == socket_max) {
        socket_max = socket_max ? socket_max * 2 : 1024;
        sockets = realloc(sockets, socket_max * sizeof(*sockets));
    }
    if (!n || !sockets)
        return false;
    if (dialogue) {
        memcpy(answer + n, hello, hello_len);
        n += hello_len;
    }
    sockets[socket_count++] = fd;
    peers[fd].place = socket_count;
    return put(fd, answer, n) == (ssize_t)n;
}

static void on_client(int fd)
{
    char bytes[UPGRADE_REQUEST_MAX];
    ssize_t n = get(fd, bytes, sizeof(bytes));
    bool well = n != 0;
    if (n > 0 && !peers[fd].place) {
        well = upgrade(fd, bytes, (size_t)n);
    } else if (n > 0 && dialogue && !peers[fd].answered && bytes[0] == (char)0x81) {
        peers[fd].answered = true;
        well = put(fd, live, live_len) == (ssize_t)live_len;
    }
    if (!well)
        drop(fd);
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

static bool parse(int argc, char **argv)
{
    static const struct option options[] = {{"prefix", 1, 0, 'p'}, {"cert", 1, 0, 'c'},     {"key", 1, 0, 'k'},
                                            {"groups", 1, 0, 'g'}, {"dialogue", 0, 0, 'd'}, {0, 0, 0, 0}};
    const char *cert = NULL, *key = NULL, *groups = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'p': prefix = optarg; break;
        case 'c': cert = optarg; break;
        case 'k': key = optarg; break;
        case 'g': groups = optarg; break;
        case 'd': dialogue = true; break;
        default: return false;
        }
    }
    return strlen(prefix) <= 64 && upgrade_init() && (!cert || (key && set_up_tls(cert, key, groups)));
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: bgw-baseline [--prefix P] [--dialogue] [--cert FILE --key FILE [--groups LIST]]\n");
        return 2;
    }
    make_hello();
    make_live(0);
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
            else if (fd == control && !on_trigger(fd))
                return 0; /* the swarm is done */
            else if (fd != control && fd != trigger)
                on_client(fd);
        }
    }
}
