/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_io: a socket that never blocks, and hiredis' reader of the protocol. The library's
 * connections are not used: they resolve names inside the call, do not compare a certificate's name, and
 * abort the process on an answer that nobody asked for. What is bounded: bytes to send, bytes and members
 * of an answer, reads a turn. Called on the link's thread.
 */
#include "link_io.h"

#include "link_value.h"

#include "bgw/assert.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define OUT_BYTES_MAX ((size_t)8 << 20)
#define ANSWER_BYTES_MAX ((size_t)4 << 20)
#define ANSWER_MEMBERS_MAX 4096
#define READ_BYTES 16384 /* a TLS record: so none is left inside the library */
#define READS_A_TURN 16  /* then others have their turn; the rest is still readable */

enum phase { CONNECTING, SHAKING, OPEN };

struct bgw_redis_io {
    struct bgw_loop_fd f; /* fd below 0: none */
    struct bgw_loop *loop;
    struct bgw_redis_io_handlers handlers;
    struct bgw_redis_addresses addresses;
    size_t first, tried;
    struct bgw_redis_tls *tls;
    char host[BGW_REDIS_HOST_MAX + 1];
    struct ssl_st *ssl;
    redisReader *reader;
    size_t unfinished; /* bytes since the last whole answer */
    struct bgw_buf out;
    struct bgw_timer flush;
    enum phase phase;
};

static void want(struct bgw_redis_io *io, uint32_t events)
{
    if (io->f.events != events)
        bgw_loop_change(io->loop, &io->f, events);
}

static void end(struct bgw_redis_io *io, const char *words)
{
    io->handlers.ended(io->handlers.arg, words); /* closes */
}

/* ---- connecting ---- */

static void shut(struct bgw_redis_io *io)
{
    if (io->f.fd < 0)
        return;
    bgw_loop_detach(io->loop, &io->f);
    close(io->f.fd);
    io->f.fd = -1;
}

static bool begin_connect(struct bgw_redis_io *io, const struct sockaddr_storage *to, socklen_t len)
{
    int on = 1, fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return false;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    io->f.fd = fd;
    io->f.events = EPOLLOUT;
    if ((connect(fd, (const struct sockaddr *)to, len) == 0 || errno == EINPROGRESS) &&
        bgw_loop_attach(io->loop, &io->f) == BGW_OK)
        return true;
    close(fd);
    io->f.fd = -1;
    return false;
}

/* The next address that takes a connection at all. */
static bool connect_next(struct bgw_redis_io *io)
{
    while (io->tried < io->addresses.count) {
        size_t i = (io->first + io->tried++) % io->addresses.count;
        if (begin_connect(io, &io->addresses.at[i], io->addresses.len[i]))
            return true;
    }
    return false;
}

/* ---- out ---- */

/* NULL, or why not. Sets *n to what left, which may be nothing. */
static const char *send_some(struct bgw_redis_io *io, size_t *n, uint32_t *events)
{
    struct bgw_slice bytes = bgw_buf_slice(&io->out);
    *n = 0;
    if (io->ssl) {
        enum bgw_redis_tls_result r = bgw_redis_tls_write(io->ssl, bytes, n);
        if (r == BGW_REDIS_TLS_WRITE)
            *events |= EPOLLOUT;
        return r == BGW_REDIS_TLS_ENDED ? "the connection broke off" : NULL;
    }
    ssize_t sent = send(io->f.fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    if (sent >= 0)
        *n = (size_t)sent;
    else if (errno == EAGAIN || errno == EINTR)
        *events |= EPOLLOUT;
    else
        return "the connection broke off";
    return NULL;
}

static const char *write_out(struct bgw_redis_io *io)
{
    uint32_t events = EPOLLIN;
    const char *why = NULL;
    for (size_t n = 1; n && io->out.len && !why;) {
        why = send_some(io, &n, &events);
        bgw_buf_consume(&io->out, n);
    }
    if (!why)
        want(io, events);
    return why;
}

static void on_flush(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_redis_io *io = BGW_CONTAINER(timer, struct bgw_redis_io, flush);
    const char *why = io->phase == OPEN ? write_out(io) : NULL;
    if (why)
        end(io, why);
}

bool bgw_redis_io_send(struct bgw_redis_io *io, const struct bgw_slice *words, size_t count)
{
    size_t bytes = 16;
    for (size_t i = 0; i < count; i++)
        bytes += words[i].len + 32;
    if (io->out.len + bytes > OUT_BYTES_MAX || !bgw_buf_reserve(&io->out, bytes)) {
        io->out.failed = false; /* this one is refused, what waits is whole */
        return false;
    }
    bgw_buf_append_byte(&io->out, '*');
    bgw_buf_append_u64(&io->out, count);
    for (size_t i = 0; i < count; i++) {
        bgw_buf_append_str(&io->out, "\r\n$");
        bgw_buf_append_u64(&io->out, words[i].len);
        bgw_buf_append_str(&io->out, "\r\n");
        bgw_buf_append(&io->out, words[i]);
    }
    bgw_buf_append_str(&io->out, "\r\n");
    BGW_ASSERT(!io->out.failed);
    if (!bgw_timer_armed(&io->flush))
        bgw_wheel_arm(bgw_loop_wheel(io->loop), &io->flush, bgw_loop_now(io->loop).mono_ms);
    return true;
}

/* ---- in ---- */

/* NULL, or why not. Sets *n to what came, 0: nothing now. */
static const char *receive(struct bgw_redis_io *io, char *bytes, size_t *n)
{
    *n = 0;
    if (io->ssl)
        return bgw_redis_tls_read(io->ssl, bytes, READ_BYTES, n) == BGW_REDIS_TLS_ENDED ? "the server closed the connection" : NULL;
    ssize_t got = recv(io->f.fd, bytes, READ_BYTES, 0);
    if (got == 0)
        return "the server closed the connection";
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? NULL : "the connection broke off";
    *n = (size_t)got;
    return NULL;
}

static const char *take_answers(struct bgw_redis_io *io)
{
    const char *why = NULL;
    while (!why) {
        void *reply = NULL;
        if (redisReaderGetReply(io->reader, &reply) != REDIS_OK)
            return "the answer is not Redis's protocol";
        if (!reply)
            break;
        io->unfinished = 0;
        struct bgw_redis_values values;
        if (bgw_redis_values_of(&values, reply))
            why = io->handlers.answer(io->handlers.arg, &values.root, values.push);
        else
            why = "there is no memory left";
        bgw_redis_values_free(&values);
        freeReplyObject(reply);
    }
    return !why && io->unfinished > ANSWER_BYTES_MAX ? "an answer is larger than allowed" : why;
}

static const char *read_in(struct bgw_redis_io *io)
{
    char bytes[READ_BYTES];
    const char *why = NULL;
    for (int i = 0; i < READS_A_TURN && !why; i++) {
        size_t n;
        why = receive(io, bytes, &n);
        if (why || !n)
            break;
        io->unfinished += n;
        if (redisReaderFeed(io->reader, bytes, n) != REDIS_OK)
            return "there is no memory left";
        why = take_answers(io);
        if (n < READ_BYTES && !io->ssl)
            break;
    }
    return why;
}

/* ---- phases ---- */

static const char *shake(struct bgw_redis_io *io)
{
    switch (bgw_redis_tls_shake(io->ssl)) {
    case BGW_REDIS_TLS_READ:
        want(io, EPOLLIN);
        return NULL;
    case BGW_REDIS_TLS_WRITE:
        want(io, EPOLLOUT);
        return NULL;
    case BGW_REDIS_TLS_ENDED:
        return bgw_redis_tls_why(io->ssl);
    default:
        io->phase = OPEN;
        want(io, EPOLLIN);
        return io->handlers.opened(io->handlers.arg);
    }
}

static const char *finish_connect(struct bgw_redis_io *io)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(io->f.fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error) {
        shut(io);
        return connect_next(io) ? NULL : "the server takes no connection";
    }
    if (io->tls) {
        io->ssl = bgw_redis_tls_open(io->tls, io->f.fd, io->host);
        io->phase = SHAKING;
        return io->ssl ? shake(io) : "there is no memory left";
    }
    io->phase = OPEN;
    want(io, EPOLLIN);
    return io->handlers.opened(io->handlers.arg);
}

static void on_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct bgw_redis_io *io = BGW_CONTAINER(f, struct bgw_redis_io, f);
    const char *why = NULL;
    if (io->phase == CONNECTING)
        why = finish_connect(io);
    else if (io->phase == SHAKING)
        why = shake(io);
    else
        why = read_in(io);
    if (!why && io->phase == OPEN && (io->out.len || events & EPOLLOUT))
        why = write_out(io);
    if (why)
        end(io, why);
}

/* ---- life ---- */

struct bgw_redis_io *bgw_redis_io_open(struct bgw_loop *loop, const struct bgw_redis_io_target *target,
                                       const struct bgw_redis_io_handlers *handlers)
{
    BGW_ASSERT(strlen(target->host) <= BGW_REDIS_HOST_MAX);
    struct bgw_redis_io *io = calloc(1, sizeof(*io));
    if (!io)
        return NULL;
    *io = (struct bgw_redis_io){.f = {.fd = -1, .ready = on_ready},
                                .loop = loop,
                                .handlers = *handlers,
                                .addresses = *target->addresses,
                                .first = target->first,
                                .tls = target->tls,
                                .reader = redisReaderCreate()};
    strcpy(io->host, target->host);
    bgw_buf_init(&io->out, OUT_BYTES_MAX);
    bgw_timer_init(&io->flush, on_flush);
    if (io->reader)
        io->reader->maxelements = ANSWER_MEMBERS_MAX;
    if (!io->reader || !connect_next(io))
        bgw_redis_io_close(&io);
    return io;
}

void bgw_redis_io_close(struct bgw_redis_io **closed)
{
    struct bgw_redis_io *io = *closed;
    if (!io)
        return;
    bgw_wheel_cancel(bgw_loop_wheel(io->loop), &io->flush);
    bgw_redis_tls_close(io->ssl);
    shut(io);
    redisReaderFree(io->reader);
    bgw_buf_deinit(&io->out);
    free(io);
    *closed = NULL;
}
