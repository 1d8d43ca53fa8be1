/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin: `bgw-swarm origin`: a stub of the ledger's internal address that is no bottleneck: one
 * thread, epoll, one small answer a question. Every account that ends in six digits exists; its version
 * is the time in units of --period-ms (without one: 1) and its value belongs to the version, so that a
 * reader can tell what was said from what was not. --delay-ms passes between question and answer; what
 * is answered was true when the question came. GET /_calls says how often it was asked. It also answers
 * as the gateway would, to find out how fast the load client alone is. Ends with whoever started it.
 */
#define _GNU_SOURCE
#include "modes.h"
#include "swarm.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEERS_MAX 1024
#define PEER_BYTES 4096
#define WAITING_MAX 8192 /* a power of two; questions beyond it are answered 503 */
#define BALANCE "GET /_internal/balance?accountId="
#define READ "GET /ledger/accounts/"

struct peer {
    int fd;
    uint32_t life; /* counts its connections */
    size_t len;
    char in[PEER_BYTES + 1];
};

struct waiting { /* an answer on its way; the delay is the same for all, so they stand in order */
    struct peer *peer;
    uint32_t life;
    int64_t due_ns;
    int len;
    char text[512];
};

struct origin {
    int listener, epfd, period_ms, delay_ms;
    uint64_t calls, refused, most_at_once;
    uint32_t head, tail;
    struct peer peers[PEERS_MAX];
    struct waiting waiting[WAITING_MAX];
};

/* ---- answers ---- */

static uint64_t version_now(const struct origin *o)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return o->period_ms ? (uint64_t)((int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000) / (uint64_t)o->period_ms : 1;
}

static int with_head(char *to, size_t cap, const char *head, const char *body)
{
    return snprintf(to, cap, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
}

/* The account's name, percent-decoded, up to what ends it; its index is its last six digits. -1: no such account. */
static int take_account(const char *from, const char *ends, char *name, size_t cap)
{
    size_t n = 0;
    for (; *from && !strchr(ends, *from) && n + 1 < cap; n++) {
        unsigned byte = 0;
        if (*from == '%' && sscanf(from + 1, "%2x", &byte) == 1) {
            name[n] = (char)byte;
            from += 3;
        } else {
            name[n] = *from++;
        }
    }
    name[n] = 0;
    return n >= 6 && strspn(name + n - 6, "0123456789") == 6 ? atoi(name + n - 6) : -1;
}

static int balance_text(struct origin *o, const char *question, char *to, size_t cap)
{
    char name[80], body[256];
    uint64_t v = version_now(o);
    int account = take_account(question + sizeof(BALANCE) - 1, "& ", name, sizeof(name));
    o->calls++;
    if (account < 0)
        return with_head(to, cap, "404 Not Found", "{}");
    snprintf(body, sizeof(body), "{\"accountId\":\"%s\",\"currency\":\"NGN\",\"minor\":%lld,\"pendingMinor\":0,\"v\":%llu}", name,
             (long long)feed_value(v, account), (unsigned long long)v);
    return with_head(to, cap, "200 OK", body);
}

static int read_text(const struct origin *o, const char *question, char *to, size_t cap)
{
    char name[80], body[256];
    uint64_t v = version_now(o);
    int account = take_account(question + sizeof(READ) - 1, "/ ", name, sizeof(name));
    snprintf(body, sizeof(body), "{\"accountId\":\"%s\",\"tenant\":\"tnt_demo\",\"currency\":\"NGN\",\"minor\":%lld,\"v\":\"stub.%llu\"}", name,
             (long long)feed_value(v, account), (unsigned long long)v);
    return with_head(to, cap, "200 OK\r\nX-Cache-Status: HIT\r\nX-Balance-Source: database", body);
}

static int calls_text(const struct origin *o, char *to, size_t cap)
{
    char body[128];
    snprintf(body, sizeof(body), "{\"calls\":%llu,\"most_at_once\":%llu,\"refused\":%llu}", (unsigned long long)o->calls,
             (unsigned long long)o->most_at_once, (unsigned long long)o->refused);
    return with_head(to, cap, "200 OK", body);
}

static void close_peer(struct peer *p)
{
    close(p->fd);
    p->fd = -1;
    p->life++;
    p->len = 0;
}

static void answer(struct peer *p, const char *text, int len)
{
    if (send(p->fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT) != len)
        close_peer(p);
}

static void answer_later(struct origin *o, struct peer *p, const char *text, int len)
{
    if (o->tail - o->head == WAITING_MAX) {
        char full[128];
        o->refused++;
        answer(p, full, with_head(full, sizeof(full), "503 Service Unavailable", "{}"));
        return;
    }
    struct waiting *w = &o->waiting[o->tail++ % WAITING_MAX];
    *w = (struct waiting){.peer = p, .life = p->life, .len = len, .due_ns = probe_mono_ns() + (int64_t)o->delay_ms * 1000000};
    memcpy(w->text, text, (size_t)len);
    if (o->tail - o->head > o->most_at_once)
        o->most_at_once = o->tail - o->head;
}

static void question(struct origin *o, struct peer *p)
{
    char text[512];
    if (strncmp(p->in, BALANCE, sizeof(BALANCE) - 1) == 0) {
        int len = balance_text(o, p->in, text, sizeof(text));
        if (o->delay_ms)
            answer_later(o, p, text, len);
        else
            answer(p, text, len);
    } else if (strncmp(p->in, READ, sizeof(READ) - 1) == 0) {
        answer(p, text, read_text(o, p->in, text, sizeof(text)));
    } else if (strncmp(p->in, "GET /_calls ", 12) == 0) {
        answer(p, text, calls_text(o, text, sizeof(text)));
    } else {
        answer(p, text, with_head(text, sizeof(text), "404 Not Found", "{}"));
    }
}

/* ---- sockets ---- */

static void take_peers(struct origin *o)
{
    int fd, one = 1;
    while ((fd = accept4(o->listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct peer *p = NULL;
        for (int i = 0; i < PEERS_MAX && !p; i++)
            p = o->peers[i].fd < 0 ? &o->peers[i] : NULL;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (!p || epoll_ctl(o->epfd, EPOLL_CTL_ADD, fd, &e) != 0) {
            o->refused++;
            close(fd);
            continue;
        }
        p->fd = fd;
        p->len = 0;
    }
}

/* Questions come one after the other on a connection, without bodies. */
static void hear(struct origin *o, struct peer *p)
{
    ssize_t n = recv(p->fd, p->in + p->len, PEER_BYTES - p->len, 0);
    if (n <= 0) {
        close_peer(p);
        return;
    }
    p->len += (size_t)n;
    p->in[p->len] = 0;
    if (p->len >= 4 && memcmp(p->in + p->len - 4, "\r\n\r\n", 4) == 0) {
        p->len = 0;
        question(o, p);
    } else if (p->len == PEER_BYTES) {
        close_peer(p);
    }
}

/* Sends what is due; how many milliseconds until the next is, -1: none waits. */
static int send_due(struct origin *o)
{
    int64_t now = probe_mono_ns();
    for (; o->head != o->tail; o->head++) {
        struct waiting *w = &o->waiting[o->head % WAITING_MAX];
        if (w->due_ns > now)
            return (int)((w->due_ns - now) / 1000000) + 1;
        if (w->peer->fd >= 0 && w->peer->life == w->life)
            answer(w->peer, w->text, w->len);
    }
    return -1;
}

static bool listen_somewhere(struct origin *o)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
    o->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    o->epfd = epoll_create1(0);
    if (o->listener < 0 || o->epfd < 0 || bind(o->listener, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(o->listener, 512) != 0 ||
        getsockname(o->listener, (struct sockaddr *)&at, &len) != 0 || epoll_ctl(o->epfd, EPOLL_CTL_ADD, o->listener, &e) != 0)
        return false;
    printf("{\"listen\":\"127.0.0.1:%d\"}\n", ntohs(at.sin_port));
    return fflush(stdout) == 0;
}

int origin_main(int argc, char **argv)
{
    static const struct option options[] = {{"period-ms", 1, 0, 'p'}, {"delay-ms", 1, 0, 'd'}, {0, 0, 0, 0}};
    static struct origin o;
    pid_t parent = getppid();
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'p': o.period_ms = atoi(optarg); break;
        case 'd': o.delay_ms = atoi(optarg); break;
        default: return 2;
        }
    }
    if (o.period_ms < 0 || o.delay_ms < 0)
        return 2;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (int i = 0; i < PEERS_MAX; i++)
        o.peers[i].fd = -1;
    if (getppid() != parent || !listen_somewhere(&o))
        return 4;
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(o.epfd, events, 64, send_due(&o));
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr)
                take_peers(&o);
            else if (((struct peer *)events[i].data.ptr)->fd >= 0)
                hear(&o, events[i].data.ptr);
        }
    }
}
