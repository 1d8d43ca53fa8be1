/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_conn: a connection of the admin port, from its handshake to its end: read a header, perhaps
 * a body, answer, and again. Hides states and deadlines from the pages. Ops thread only. One header
 * of 8 KiB, one body of 1 MiB at most and one response in memory; every state has a deadline, so a silent
 * peer costs a slot for a minute at most. Invariant: one request at a time; what is pipelined waits.
 */
#include "admin_conn.h"

#include "admin_pages.h"
#include "admin_request.h"
#include "admin_tls.h"

#include <stdlib.h>
#include <sys/epoll.h>

#define HANDSHAKE_DEADLINE_MS 5000
#define HEADER_DEADLINE_MS 5000
#define BODY_DEADLINE_MS 5000 /* for all of it */
#define ANSWER_DEADLINE_MS 20000 /* of whoever took a request; the topic's log answers within 15 s */
#define IDLE_MS 60000
#define WRITE_DEADLINE_MS 10000
#define LINGER_MS 1000        /* after a refusal: let the peer read it before the socket goes */
#define RESPONSE_MAX (9u << 20)
#define ANSWER_MAX 65536
#define PATH_MAX_SHOWN 64

enum conn_state { HANDSHAKING, READING, BODY, WAITING, WRITING, LINGERING };

struct bgw_admin_conn { /* ops thread only */
    struct bgw_loop_fd io;
    struct bgw_timer deadline;
    struct bgw_list link;
    struct bgw_admin *admin;
    struct bgw_admin_link bytes;
    enum conn_state state, after; /* after WRITING: READING, BODY or LINGERING */
    bool posts, keep_alive;
    char path[PATH_MAX_SHOWN]; /* of a POST, for whoever keeps account of them */
    uint64_t token;            /* WAITING */
    struct bgw_buf body, out;
    size_t body_len, out_at, in_len;
    char in[BGW_ADMIN_HEADER_MAX];
};

static void on_conn(struct bgw_loop_fd *f, uint32_t events);
static void on_deadline(struct bgw_timer *timer, int64_t now_ms);
static void go_on(struct bgw_admin_conn *c);

/* --- life --- */

static void arm(struct bgw_admin_conn *c, int64_t after_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(c->admin->loop), &c->deadline,
                  bgw_loop_now(c->admin->loop).mono_ms + after_ms);
}

static void watch(struct bgw_admin_conn *c, uint32_t events)
{
    bgw_loop_change(c->admin->loop, &c->io, events);
}

enum bgw_status bgw_admin_conn_open(struct bgw_admin *admin, int fd)
{
    struct bgw_admin_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    c->admin = admin;
    c->io = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = on_conn};
    c->state = admin->tls ? HANDSHAKING : READING;
    bgw_buf_init(&c->out, RESPONSE_MAX);
    bgw_buf_init(&c->body, BGW_ADMIN_BODY_MAX);
    bgw_timer_init(&c->deadline, on_deadline);
    enum bgw_status status = bgw_loop_attach(admin->loop, &c->io);
    if (status != BGW_OK) {
        free(c);
        return status;
    }
    bgw_list_init(&c->link);
    if (bgw_admin_link_open(&c->bytes, fd, admin->tls) != BGW_OK) { /* it has closed the socket */
        bgw_loop_detach(admin->loop, &c->io);
        free(c);
        return BGW_OK;
    }
    bgw_list_push_back(&admin->conns, &c->link);
    admin->conn_count++;
    arm(c, admin->tls ? HANDSHAKE_DEADLINE_MS : HEADER_DEADLINE_MS);
    return BGW_OK;
}

static void conn_close(struct bgw_admin_conn *c)
{
    struct bgw_admin *admin = c->admin;
    bgw_loop_detach(admin->loop, &c->io);
    bgw_wheel_cancel(bgw_loop_wheel(admin->loop), &c->deadline);
    bgw_list_remove(&c->link);
    admin->conn_count--;
    bgw_admin_link_close(&c->bytes);
    bgw_buf_deinit(&c->out);
    bgw_buf_deinit(&c->body);
    free(c);
}

void bgw_admin_conns_close(struct bgw_admin *admin)
{
    while (!bgw_list_empty(&admin->conns))
        conn_close(BGW_CONTAINER(admin->conns.next, struct bgw_admin_conn, link));
}

/* --- writing; false: the connection is gone --- */

static void written(struct bgw_admin_conn *c)
{
    bgw_buf_clear(&c->out);
    c->out_at = 0;
    c->state = c->after;
    watch(c, EPOLLIN);
    if (c->state == LINGERING) {
        bgw_admin_link_end(&c->bytes);
        arm(c, LINGER_MS);
    } else if (c->state == BODY) {
        arm(c, BODY_DEADLINE_MS);
    } else {
        arm(c, c->in_len ? HEADER_DEADLINE_MS : IDLE_MS);
    }
}

static bool flush(struct bgw_admin_conn *c)
{
    while (c->out_at < c->out.len) {
        ssize_t n = bgw_admin_link_send(&c->bytes, c->out.data + c->out_at, c->out.len - c->out_at);
        if (n == BGW_ADMIN_AGAIN) {
            watch(c, c->bytes.wants);
            return true;
        }
        if (n <= 0) {
            conn_close(c);
            return false;
        }
        c->out_at += (size_t)n;
        arm(c, WRITE_DEADLINE_MS);
    }
    written(c);
    return true;
}

static bool respond(struct bgw_admin_conn *c, enum conn_state after)
{
    if (c->out.failed) {
        conn_close(c);
        return false;
    }
    c->after = after;
    c->state = WRITING;
    arm(c, WRITE_DEADLINE_MS);
    return flush(c);
}

static void tell_of_post(struct bgw_admin_conn *c, int status)
{
    if (c->posts && c->admin->config.audited)
        c->admin->config.audited(c->admin->config.audited_arg, c->path, status);
    c->posts = false;
}

static bool refuse(struct bgw_admin_conn *c, int status, struct bgw_slice path)
{
    bgw_admin_refuse(status, path, &c->out);
    tell_of_post(c, status);
    return respond(c, LINGERING);
}

static bool reply(struct bgw_admin_conn *c, int status, struct bgw_slice json)
{
    bgw_admin_reply(status, json, c->keep_alive, &c->out);
    tell_of_post(c, status);
    return respond(c, c->keep_alive ? READING : LINGERING);
}

/* --- bodies --- */

static bool hand_over_body(struct bgw_admin_conn *c)
{
    const struct bgw_admin_config *config = &c->admin->config;
    struct bgw_buf answer;
    bgw_buf_init(&answer, ANSWER_MAX);
    c->token = ++c->admin->last_token;
    c->state = WAITING;
    watch(c, 0); /* an end or an error comes all the same */
    arm(c, ANSWER_DEADLINE_MS);
    int status = bgw_admin_post(config, c->path, bgw_buf_slice(&c->body), c->token, &answer);
    bgw_buf_clear(&c->body);
    bool alive = status == 0 || reply(c, status, bgw_buf_slice(&answer));
    bgw_buf_deinit(&answer);
    return alive;
}

static bool take_body(struct bgw_admin_conn *c, const char *bytes, size_t len)
{
    bgw_buf_append(&c->body, bgw_slice_of(bytes, len));
    if (c->body.failed)
        return refuse(c, 500, BGW_SLICE(""));
    return c->body.len < c->body_len || hand_over_body(c);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The header has been taken off `in`; what stands there now begins with the body. */
static bool begin_body(struct bgw_admin_conn *c, const struct bgw_admin_request *request)
{
    size_t here = smaller(c->in_len, request->content_length);
    bgw_buf_clear(&c->body);
    c->keep_alive = request->keep_alive;
    c->body_len = request->content_length;
    c->state = BODY;
    arm(c, BODY_DEADLINE_MS);
    bool expects = request->expects && here < c->body_len;
    c->in_len -= here;
    char *next = c->in + here;
    if (!take_body(c, c->in, here))
        return false;
    memmove(c->in, next, c->in_len);
    if (!expects || c->state != BODY)
        return true;
    bgw_buf_append_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
    return respond(c, BODY);
}

void bgw_admin_finish(struct bgw_admin *admin, uint64_t token, int status, struct bgw_slice json)
{
    for (struct bgw_list *at = admin->conns.next; at != &admin->conns; at = at->next) {
        struct bgw_admin_conn *c = BGW_CONTAINER(at, struct bgw_admin_conn, link);
        if (c->state != WAITING || c->token != token)
            continue;
        if (reply(c, status, json))
            go_on(c);
        return;
    }
}

/* --- reading --- */

static void note_post(struct bgw_admin_conn *c, const struct bgw_admin_request *request)
{
    c->posts = request->method == BGW_ADMIN_POST && request->path.data;
    size_t len = c->posts ? smaller(request->path.len, sizeof(c->path) - 1) : 0;
    if (len)
        memcpy(c->path, request->path.data, len);
    c->path[len] = '\0';
}

/* One request out of what has been read. False: the connection is gone. */
static bool try_parse(struct bgw_admin_conn *c)
{
    struct bgw_admin_request request = {0};
    size_t used = 0;
    int status = bgw_admin_request_parse(bgw_slice_of(c->in, c->in_len), &request, &used);
    if (status == BGW_ADMIN_MORE)
        return true;
    note_post(c, &request);
    if (status == 200)
        status = bgw_admin_route(&c->admin->config, &request);
    bool lost = status == 404 && !c->posts; /* a page like the others: the connection goes on */
    if (status != 200 && !lost)
        return refuse(c, status, request.path);
    bool posts = c->posts;
    if (!posts)
        bgw_admin_answer(&c->admin->config, &request, bgw_loop_now(c->admin->loop), &c->out);
    memmove(c->in, c->in + used, c->in_len - used);
    c->in_len -= used;
    if (posts)
        return begin_body(c, &request);
    return respond(c, request.keep_alive ? READING : LINGERING);
}

/* Pipelined requests are answered one after the other; a slow reader stops the next. False: the connection is gone. */
static bool serve(struct bgw_admin_conn *c)
{
    size_t before = c->in_len + 1;
    while (c->state == READING && c->in_len > 0 && c->in_len < before) {
        before = c->in_len;
        if (!try_parse(c))
            return false;
    }
    return true;
}

/* What has arrived goes where the state wants it. False: the connection is gone, or there is nothing to read. */
static bool read_some(struct bgw_admin_conn *c)
{
    char part[16384];
    bool body = c->state == BODY;
    size_t room = body ? smaller(c->body_len - c->body.len, sizeof(part)) : sizeof(c->in) - c->in_len;
    ssize_t n = bgw_admin_link_recv(&c->bytes, body ? part : c->in + c->in_len, room);
    if (n == BGW_ADMIN_AGAIN) {
        watch(c, c->bytes.wants);
        return false;
    }
    if (n <= 0) {
        conn_close(c);
        return false;
    }
    watch(c, EPOLLIN);
    if (body)
        return take_body(c, part, (size_t)n) && serve(c);
    if (c->in_len == 0)
        arm(c, HEADER_DEADLINE_MS);
    c->in_len += (size_t)n;
    return serve(c);
}

static void on_readable(struct bgw_admin_conn *c)
{
    do {
        if (!read_some(c))
            return;
    } while ((c->state == READING || c->state == BODY) && bgw_admin_link_pending(&c->bytes));
}

static void on_lingering(struct bgw_admin_conn *c)
{
    char sink[4096];
    struct bgw_admin_link raw = {.fd = c->bytes.fd}; /* below TLS: it is only thrown away */
    ssize_t n = bgw_admin_link_recv(&raw, sink, sizeof(sink));
    if (n == 0 || n == -1)
        conn_close(c);
}

static void on_handshake(struct bgw_admin_conn *c)
{
    int rc = bgw_admin_link_handshake(&c->bytes);
    if (rc == BGW_ADMIN_AGAIN) {
        watch(c, c->bytes.wants);
        return;
    }
    if (rc != 1) {
        conn_close(c);
        return;
    }
    c->state = READING;
    arm(c, HEADER_DEADLINE_MS);
    watch(c, EPOLLIN);
    if (bgw_admin_link_pending(&c->bytes))
        on_readable(c);
}

/* A response is out, or on its way: what was pipelined behind its request is next. */
static void go_on(struct bgw_admin_conn *c)
{
    if (serve(c) && (c->state == READING || c->state == BODY) && bgw_admin_link_pending(&c->bytes))
        on_readable(c);
}

static void on_writable(struct bgw_admin_conn *c)
{
    if (flush(c) && c->state != WRITING)
        go_on(c);
}

static void on_conn(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_admin_conn *c = BGW_CONTAINER(f, struct bgw_admin_conn, io);
    switch (c->state) {
    case HANDSHAKING:
        on_handshake(c);
        break;
    case READING:
    case BODY:
        on_readable(c);
        break;
    case WAITING:
        if (events & (EPOLLERR | EPOLLHUP))
            conn_close(c); /* what it asked for goes on without it */
        break;
    case WRITING:
        on_writable(c);
        break;
    case LINGERING:
        on_lingering(c);
        break;
    }
}

static void on_deadline(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_admin_conn *c = BGW_CONTAINER(timer, struct bgw_admin_conn, deadline);
    if ((c->state == READING && c->in_len > 0) || c->state == BODY)
        refuse(c, 408, BGW_SLICE(""));
    else if (c->state == WAITING)
        refuse(c, 504, BGW_SLICE(""));
    else
        conn_close(c);
}
