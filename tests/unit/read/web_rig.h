/* SPDX-License-Identifier: Apache-2.0 */
/*
 * web_rig: a tiny HTTP server on a thread of its own, which serves one connection at a time in the way
 * that a test asks for, and counts requests; and turns of the loop until something has happened.
 */
#ifndef BGW_TEST_WEB_RIG_H
#define BGW_TEST_WEB_RIG_H

#include "test.h"

#include "bgw/clock.h"
#include "bgw/loop.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum web_manner {
    WEB_TEXT,   /* sends `text` as it is and closes */
    WEB_SILENT, /* reads the request and says nothing */
    WEB_DRIP,   /* sends `text` byte by byte, one in 20 ms */
    WEB_ENDLESS, /* sends `text`, then bytes without end */
    WEB_AGAIN   /* sends `text` again and again */
};

struct web { /* the test's; `manner` and `text` may change while it serves */
    int listen_fd, stop_fd;
    uint16_t port;
    char url[64];
    pthread_t thread;
    atomic_int manner;
    _Atomic(const char *) text;
    atomic_int requests;
    char last[2048]; /* request; looked at when it has been answered */
};

static inline bool web_stopped(struct web *w, int fd, short events, int wait_ms)
{
    struct pollfd p[2] = {{.fd = w->stop_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    poll(p, fd < 0 ? 1 : 2, wait_ms);
    return p[0].revents != 0;
}

/* False: the client went away, or the test ends. */
static inline bool web_read_request(struct web *w, int fd)
{
    size_t len = 0;
    while (len < sizeof(w->last) - 1) {
        if (web_stopped(w, fd, POLLIN, -1))
            return false;
        ssize_t n = read(fd, w->last + len, sizeof(w->last) - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        w->last[len] = '\0';
        if (strstr(w->last, "\r\n\r\n"))
            return true;
    }
    return false;
}

static inline bool web_send(int fd, const char *bytes, size_t len)
{
    return send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static inline void web_answer(struct web *w, int fd)
{
    const char *text = atomic_load(&w->text);
    int manner = atomic_load(&w->manner);
    char junk[4096];
    memset(junk, 'x', sizeof(junk));
    switch (manner) {
    case WEB_SILENT:
        while (!web_stopped(w, fd, POLLIN, -1) && read(fd, junk, sizeof(junk)) > 0)
            ;
        return;
    case WEB_DRIP:
        for (; *text && !web_stopped(w, -1, 0, 20) && web_send(fd, text, 1); text++)
            ;
        return;
    case WEB_AGAIN:
        while (!web_stopped(w, fd, POLLOUT, -1) && web_send(fd, text, strlen(text)))
            ;
        return;
    default:
        (void)web_send(fd, text, strlen(text));
        while (manner == WEB_ENDLESS && !web_stopped(w, fd, POLLOUT, -1) && web_send(fd, junk, sizeof(junk)))
            ;
    }
}

static inline void *web_serve(void *arg)
{
    struct web *w = arg;
    while (!web_stopped(w, w->listen_fd, POLLIN, -1)) {
        int fd = accept4(w->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        if (web_read_request(w, fd)) {
            atomic_fetch_add(&w->requests, 1);
            web_answer(w, fd);
        }
        shutdown(fd, SHUT_WR);
        close(fd);
    }
    return NULL;
}

/* Port 0 picks one; the port of a server that has stopped may be taken again. */
static inline void web_start(struct web *w, uint16_t port, const char *text)
{
    *w = (struct web){.stop_fd = eventfd(0, EFD_CLOEXEC)};
    atomic_init(&w->text, text);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int on = 1;
    w->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(w->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    CHECK(bind(w->listen_fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(w->listen_fd, 64) == 0);
    getsockname(w->listen_fd, (struct sockaddr *)&at, &len);
    w->port = ntohs(at.sin_port);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%d/keys", w->port);
    CHECK(pthread_create(&w->thread, NULL, web_serve, w) == 0);
}

static inline void web_stop(struct web *w)
{
    eventfd_write(w->stop_fd, 1);
    pthread_join(w->thread, NULL);
    close(w->listen_fd);
    close(w->stop_fd);
}

#define WEB_OK(body_text, length) "HTTP/1.1 200 OK\r\nContent-Length: " #length "\r\n\r\n" body_text

/* Turns the loop until the condition holds; a failed check after ten seconds. */
#define TURN_UNTIL(loop, condition)                                                                \
    do {                                                                                           \
        int64_t end_ms_ = bgw_clock_now().mono_ms + 10000;                                         \
        while (!(condition) && bgw_clock_now().mono_ms < end_ms_)                                  \
            bgw_loop_turn((loop), 20);                                                             \
        CHECK(condition);                                                                          \
    } while (0)

#endif
