/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_http: connections of the admin port: accept, read, answer, close. Hides sockets from the
 * pages. Ops thread only. At most BGW_ADMIN_CONNECTIONS_MAX connections, each with one buffer of
 * 8 KiB and one response in memory; every state has a deadline, so a silent peer costs a slot for
 * a minute at most.
 */
#include "admin_pages.h"
#include "admin_request.h"

#include "bgw/assert.h"
#include "bgw/list.h"
#include "bgw/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER_DEADLINE_MS 5000
#define IDLE_MS 60000
#define WRITE_DEADLINE_MS 10000
#define LINGER_MS 1000         /* after a refusal: let the peer read it before the socket goes */
#define ACCEPT_PAUSE_MS 100    /* no descriptors left: a level-triggered listener would spin */
#define RESPONSE_MAX (9u << 20)

enum conn_state { READING, WRITING, LINGERING };

struct conn { /* ops thread only */
    struct bgw_loop_fd io;
    struct bgw_timer deadline;
    struct bgw_list link;
    struct bgw_admin *admin;
    enum conn_state state;
    bool last; /* close when the response is out */
    struct bgw_buf out;
    size_t out_at, in_len;
    char in[BGW_ADMIN_HEADER_MAX];
};

struct bgw_admin { /* ops thread only */
    struct bgw_loop *loop;
    struct bgw_admin_config config;
    struct bgw_loop_fd listener;
    struct bgw_timer accept_again;
    struct bgw_list conns;
    size_t conn_count;
};

static void arm(struct conn *c, int64_t after_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(c->admin->loop), &c->deadline,
                  bgw_loop_now(c->admin->loop).mono_ms + after_ms);
}

static void conn_close(struct conn *c)
{
    struct bgw_admin *admin = c->admin;
    bgw_loop_detach(admin->loop, &c->io);
    bgw_wheel_cancel(bgw_loop_wheel(admin->loop), &c->deadline);
    bgw_list_remove(&c->link);
    admin->conn_count--;
    close(c->io.fd);
    bgw_buf_deinit(&c->out);
    free(c);
}

static void enter_linger(struct conn *c)
{
    c->state = LINGERING;
    shutdown(c->io.fd, SHUT_WR);
    bgw_loop_change(c->admin->loop, &c->io, EPOLLIN);
    arm(c, LINGER_MS);
}

/* False: the connection is gone. */
static bool flush(struct conn *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = send(c->io.fd, c->out.data + c->out_at, c->out.len - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            bgw_loop_change(c->admin->loop, &c->io, EPOLLOUT);
            return true;
        }
        if (n < 0) {
            conn_close(c);
            return false;
        }
        c->out_at += (size_t)n;
        arm(c, WRITE_DEADLINE_MS);
    }
    if (c->last) {
        enter_linger(c);
        return true;
    }
    bgw_buf_clear(&c->out);
    c->out_at = 0;
    c->state = READING;
    bgw_loop_change(c->admin->loop, &c->io, EPOLLIN);
    arm(c, c->in_len ? HEADER_DEADLINE_MS : IDLE_MS);
    return true;
}

static bool respond(struct conn *c, bool last)
{
    if (c->out.failed) {
        conn_close(c);
        return false;
    }
    c->last = last;
    c->state = WRITING;
    arm(c, WRITE_DEADLINE_MS);
    return flush(c);
}

static bool refuse(struct conn *c, int status)
{
    bgw_admin_refuse(status, &c->out);
    return respond(c, true);
}

/* One request out of what has been read. False: the connection is gone. */
static bool try_parse(struct conn *c)
{
    struct bgw_admin_request request = {0};
    size_t used = 0;
    int status = bgw_admin_request_parse(bgw_slice_of(c->in, c->in_len), &request, &used);
    if (status == BGW_ADMIN_MORE)
        return true;
    if (status != 200)
        return refuse(c, status);
    bgw_admin_answer(&c->admin->config, &request, bgw_loop_now(c->admin->loop), &c->out);
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
    return respond(c, !request.keep_alive);
}

/* Pipelined requests are answered one after the other; a slow reader stops the next. */
static void serve(struct conn *c)
{
    size_t before;
    do {
        before = c->in_len;
        if (!try_parse(c))
            return;
    } while (c->state == READING && c->in_len > 0 && c->in_len < before);
}

static void on_readable(struct conn *c)
{
    if (c->state == LINGERING) {
        char sink[4096];
        ssize_t n = recv(c->io.fd, sink, sizeof(sink), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            conn_close(c);
        return;
    }
    ssize_t n = recv(c->io.fd, c->in + c->in_len, sizeof(c->in) - c->in_len, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        conn_close(c);
        return;
    }
    if (c->in_len == 0)
        arm(c, HEADER_DEADLINE_MS);
    c->in_len += (size_t)n;
    serve(c);
}

static void on_conn(struct bgw_loop_fd *f, uint32_t events)
{
    struct conn *c = BGW_CONTAINER(f, struct conn, io);
    if (c->state == WRITING) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) || !flush(c))
            return;
        if (c->state == READING && c->in_len > 0)
            serve(c);
        return;
    }
    on_readable(c);
}

static void on_deadline(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct conn *c = BGW_CONTAINER(timer, struct conn, deadline);
    if (c->state == READING && c->in_len > 0)
        refuse(c, 408);
    else
        conn_close(c);
}

static void refuse_accept(int fd)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 4096);
    bgw_admin_refuse(503, &out);
    (void)!send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    bgw_buf_deinit(&out);
    close(fd);
    BGW_LOG(BGW_LOG_WARN, "admin_refused", {"reason", LS("too_many_connections")},
            {"maximum", LI(BGW_ADMIN_CONNECTIONS_MAX)});
}

static void conn_open(struct bgw_admin *admin, int fd)
{
    struct conn *c = admin->conn_count < BGW_ADMIN_CONNECTIONS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        refuse_accept(fd);
        return;
    }
    c->admin = admin;
    c->io = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = on_conn};
    bgw_buf_init(&c->out, RESPONSE_MAX);
    bgw_timer_init(&c->deadline, on_deadline);
    if (bgw_loop_attach(admin->loop, &c->io) != BGW_OK) {
        free(c);
        refuse_accept(fd);
        return;
    }
    bgw_list_push_back(&admin->conns, &c->link);
    admin->conn_count++;
    arm(c, HEADER_DEADLINE_MS);
}

static void on_accept_again(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_admin *admin = BGW_CONTAINER(timer, struct bgw_admin, accept_again);
    bgw_loop_change(admin->loop, &admin->listener, EPOLLIN);
}

static void on_listener(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct bgw_admin *admin = BGW_CONTAINER(f, struct bgw_admin, listener);
    int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        conn_open(admin, fd);
        return;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
        return; /* the peer went away, or somebody else's event */
    BGW_LOG(BGW_LOG_WARN, "admin_accept_failed", {"error", LS(strerror(errno))});
    bgw_loop_change(admin->loop, &admin->listener, 0);
    bgw_wheel_arm(bgw_loop_wheel(admin->loop), &admin->accept_again,
                  bgw_loop_now(admin->loop).mono_ms + ACCEPT_PAUSE_MS);
}

enum bgw_status bgw_admin_create(struct bgw_admin **out, struct bgw_loop *loop,
                                 const struct bgw_admin_config *config)
{
    BGW_ASSERT(config->health && config->version);
    struct bgw_admin *admin = calloc(1, sizeof(*admin));
    if (!admin) {
        close(config->listen_fd);
        return BGW_NO_MEMORY;
    }
    admin->loop = loop;
    admin->config = *config;
    bgw_list_init(&admin->conns);
    bgw_timer_init(&admin->accept_again, on_accept_again);
    admin->listener =
        (struct bgw_loop_fd){.fd = config->listen_fd, .events = EPOLLIN, .ready = on_listener};
    enum bgw_status status = bgw_loop_attach(loop, &admin->listener);
    if (status != BGW_OK) {
        close(config->listen_fd);
        free(admin);
        return status;
    }
    *out = admin;
    return BGW_OK;
}

void bgw_admin_destroy(struct bgw_admin **admin)
{
    struct bgw_admin *a = *admin;
    if (!a)
        return;
    while (!bgw_list_empty(&a->conns))
        conn_close(BGW_CONTAINER(a->conns.next, struct conn, link));
    bgw_wheel_cancel(bgw_loop_wheel(a->loop), &a->accept_again);
    bgw_loop_detach(a->loop, &a->listener);
    close(a->listener.fd);
    free(a);
    *admin = NULL;
}
