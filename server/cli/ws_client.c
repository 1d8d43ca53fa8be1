/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_client: hides the upgrade and the frames of the client side. Blocking, with poll() for
 * deadlines. It trusts its server no more than the server trusts it: sizes are bounded, the accept
 * key is checked, masked or malformed frames end the connection.
 */
#include "ws_client.h"

#include "bgw/auth.h"
#include "bgw/base64.h"
#include "bgw/clock.h"
#include "bgw/gateway.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 10000
#define HEADER_MAX 16384
#define BODY_SHOWN_MAX 512
#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum { OP_CONT = 0, OP_TEXT = 1, OP_BINARY = 2, OP_CLOSE = 8, OP_PING = 9, OP_PONG = 10 };

/* ---- addresses ---- */

static bool copy_part(char *to, size_t cap, const char *from, size_t len)
{
    if (len == 0 || len >= cap)
        return false;
    memcpy(to, from, len);
    to[len] = '\0';
    return true;
}

static bool split_authority(const char *text, size_t len, struct ws_url *out)
{
    const char *end = text + len, *host_end = end;
    if (*text == '[') { /* an IPv6 address */
        const char *bracket = memchr(text, ']', len);
        if (!bracket)
            return false;
        host_end = bracket + 1;
        if (!copy_part(out->host, sizeof(out->host), text + 1, (size_t)(bracket - text - 1)))
            return false;
    } else {
        const char *colon = memchr(text, ':', len);
        host_end = colon ? colon : end;
        if (!copy_part(out->host, sizeof(out->host), text, (size_t)(host_end - text)))
            return false;
    }
    strcpy(out->port, "80");
    if (host_end == end)
        return true;
    return *host_end == ':' && strspn(host_end + 1, "0123456789") == (size_t)(end - host_end - 1) &&
           copy_part(out->port, sizeof(out->port), host_end + 1, (size_t)(end - host_end - 1));
}

bool ws_url_parse(const char *text, struct ws_url *out, struct bgw_buf *error)
{
    const char *rest = text, *scheme = strstr(text, "://");
    if (scheme) {
        if (strncmp(text, "wss://", 6) == 0) {
            bgw_buf_appendf(error, "%s: TLS (wss://) is not spoken by this tool; use ws:// on the gateway's "
                                   "own network",
                            text);
            return false;
        }
        if (strncmp(text, "ws://", 5) != 0 && strncmp(text, "http://", 7) != 0) {
            bgw_buf_appendf(error, "%s: expected ws://host:port/ws", text);
            return false;
        }
        rest = scheme + 3;
    }
    size_t len = strcspn(rest, "/?#");
    const char *path = rest + len;
    bool fine = split_authority(rest, len, out) && strlen(path) < sizeof(out->path) &&
                strspn(path, " \r\n\t") == 0 && !strpbrk(path, " \r\n\t#");
    if (!fine) {
        bgw_buf_appendf(error, "%s: expected ws://host:port/ws", text);
        return false;
    }
    strcpy(out->path, *path && strcmp(path, "/") != 0 ? path : "/ws");
    return true;
}

/* ---- the socket ---- */

static bool wait_for(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left = deadline_ms - bgw_clock_now().mono_ms;
        struct pollfd p = {.fd = fd, .events = events};
        int n = poll(&p, 1, left > 0 ? (int)left : 0);
        if (n >= 0)
            return n > 0;
        if (errno != EINTR)
            return false;
    }
}

static int dial_one(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int failed = 0;
    socklen_t len = sizeof(failed);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno != EINPROGRESS)
            failed = errno;
        else if (!wait_for(fd, POLLOUT, bgw_clock_now().mono_ms + CONNECT_TIMEOUT_MS))
            failed = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
            failed = errno;
    }
    if (failed) {
        close(fd);
        errno = failed;
        return -1;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static enum bgw_status dial(struct ws_client *c, const struct ws_url *url, struct bgw_buf *error)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    int rc = getaddrinfo(url->host, url->port, &hints, &found);
    if (rc != 0) {
        bgw_buf_appendf(error, "%s: %s", url->host, gai_strerror(rc));
        return BGW_UNAVAILABLE;
    }
    errno = 0;
    for (struct addrinfo *ai = found; ai && c->fd < 0; ai = ai->ai_next)
        c->fd = dial_one(ai);
    int why = errno;
    freeaddrinfo(found);
    if (c->fd >= 0)
        return BGW_OK;
    bgw_buf_appendf(error, "%s:%s: %s", url->host, url->port, strerror(why));
    return BGW_UNAVAILABLE;
}

static bool send_all(struct ws_client *c, struct bgw_slice bytes)
{
    int64_t deadline = bgw_clock_now().mono_ms + CONNECT_TIMEOUT_MS;
    while (bytes.len) {
        ssize_t n = send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = bgw_slice_of(bytes.data + n, bytes.len - (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) || !wait_for(c->fd, POLLOUT, deadline))
            return false;
    }
    return true;
}

/* More bytes into `in`. 1: some, 0: none before the deadline, -1: the peer has gone. */
static int fill(struct ws_client *c, int64_t deadline_ms)
{
    if (!wait_for(c->fd, POLLIN, deadline_ms))
        return 0;
    char *to = bgw_buf_reserve(&c->in, 16384);
    if (!to)
        return -1;
    ssize_t n = recv(c->fd, to, 16384, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 1;
    if (n <= 0)
        return -1;
    c->in.len += (size_t)n;
    c->heard_mono_ms = bgw_clock_now().mono_ms;
    return 1;
}

/* ---- the upgrade ---- */

static bool send_upgrade(struct ws_client *c, const struct ws_url *url, const char *protocol, const char *key)
{
    struct bgw_buf request;
    bgw_buf_init(&request, HEADER_MAX);
    bool v6 = strchr(url->host, ':') != NULL;
    bgw_buf_appendf(&request,
                    "GET %s HTTP/1.1\r\nHost: %s%s%s:%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
                    "Sec-WebSocket-Protocol: %s\r\nUser-Agent: bgw/%s\r\n\r\n",
                    url->path, v6 ? "[" : "", url->host, v6 ? "]" : "", url->port, key, protocol,
                    bgw_version());
    bool sent = !request.failed && send_all(c, bgw_buf_slice(&request));
    bgw_buf_deinit(&request);
    return sent;
}

/* The value of a header in a block of lines; len 0: not there. */
static struct bgw_slice header(struct bgw_slice block, const char *name)
{
    size_t name_len = strlen(name);
    const char *p = block.data, *end = block.data + block.len;
    while (p < end) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        size_t len = (size_t)((eol ? eol : end) - p);
        if (len > name_len && p[name_len] == ':' && strncasecmp(p, name, name_len) == 0) {
            const char *v = p + name_len + 1;
            size_t n = len - name_len - 1;
            for (; n && (*v == ' ' || *v == '\t'); n--)
                v++;
            while (n && (v[n - 1] == ' ' || v[n - 1] == '\t'))
                n--;
            return bgw_slice_of(v, n);
        }
        p = eol ? eol + 2 : end;
    }
    return bgw_slice_of(NULL, 0);
}

static void explain_refusal(struct ws_client *c, struct bgw_slice head, struct bgw_buf *error)
{
    struct bgw_slice retry = header(head, "Retry-After");
    c->retry_after_s = retry.len && retry.len < 6 ? strtol(retry.data, NULL, 10) : 0;
    while (c->in.len < BODY_SHOWN_MAX && fill(c, bgw_clock_now().mono_ms + 1000) > 0)
        ;
    int shown = (int)(c->in.len < BODY_SHOWN_MAX ? c->in.len : BODY_SHOWN_MAX);
    bgw_buf_appendf(error, "the gateway answered %d: %.*s", c->http_status, shown,
                    shown ? c->in.data : "");
}

static bool accepted(struct bgw_slice head, const char *key)
{
    char text[128], wanted[64];
    uint8_t sha[20];
    int n = snprintf(text, sizeof(text), "%s%s", key, ACCEPT_GUID);
    bgw_auth_sha1(bgw_slice_of(text, (size_t)n), sha);
    bgw_base64_encode(sha, sizeof(sha), wanted);
    return bgw_slice_eq(header(head, "Sec-WebSocket-Accept"), bgw_slice_str(wanted));
}

/* Reads the response's header; what follows stays in `in`. */
static enum bgw_status read_upgrade(struct ws_client *c, const char *key, struct bgw_buf *error)
{
    int64_t deadline = bgw_clock_now().mono_ms + CONNECT_TIMEOUT_MS;
    const char *end;
    while (!(end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL)) {
        if (c->in.len > HEADER_MAX || fill(c, deadline) <= 0) {
            bgw_buf_append_str(error, "the connection ended before the upgrade was answered: is that a "
                                      "gateway's client port?");
            return BGW_UNAVAILABLE;
        }
    }
    struct bgw_buf head;
    bgw_buf_init(&head, HEADER_MAX + 65536);
    bgw_buf_append(&head, bgw_slice_of(c->in.data, (size_t)(end - c->in.data)));
    bgw_buf_append_str(&head, "\r\n");
    bgw_buf_consume(&c->in, (size_t)(end - c->in.data) + 4);
    struct bgw_slice block = bgw_buf_slice(&head);
    enum bgw_status status = BGW_OK;
    c->http_status = block.len > 12 && memcmp(block.data, "HTTP/1.1 ", 9) == 0 ? atoi(block.data + 9) : 0;
    if (c->http_status != 101) {
        explain_refusal(c, block, error);
        status = BGW_DENIED;
    } else if (!accepted(block, key)) {
        bgw_buf_append_str(error, "the server's Sec-WebSocket-Accept is wrong");
        status = BGW_UNAVAILABLE;
    }
    bgw_buf_deinit(&head);
    return status;
}

void ws_client_init(struct ws_client *c)
{
    *c = (struct ws_client){.fd = -1};
    bgw_buf_init(&c->in, WS_MESSAGE_MAX + 65536);
    bgw_buf_init(&c->message, WS_MESSAGE_MAX);
}

static void disconnect(struct ws_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void ws_client_deinit(struct ws_client *c)
{
    disconnect(c);
    bgw_buf_deinit(&c->in);
    bgw_buf_deinit(&c->message);
}

enum bgw_status ws_connect(struct ws_client *c, const struct ws_url *url, const char *protocol,
                           struct bgw_buf *error)
{
    disconnect(c);
    bgw_buf_clear(&c->in);
    bgw_buf_clear(&c->message);
    c->delivered = false;
    c->close_code = 1006;
    c->http_status = 0;
    c->retry_after_s = 0;
    uint8_t nonce[16];
    char key[BGW_BASE64_LEN(sizeof(nonce)) + 1];
    bgw_auth_random(nonce, sizeof(nonce));
    bgw_base64_encode(nonce, sizeof(nonce), key);
    enum bgw_status status = dial(c, url, error);
    if (status == BGW_OK && !send_upgrade(c, url, protocol, key)) {
        bgw_buf_append_str(error, "the connection ended while the upgrade was sent");
        status = BGW_UNAVAILABLE;
    }
    if (status == BGW_OK)
        status = read_upgrade(c, key, error);
    if (status != BGW_OK)
        disconnect(c);
    return status;
}

/* ---- frames ---- */

static bool send_frame(struct ws_client *c, unsigned opcode, struct bgw_slice payload)
{
    struct bgw_buf frame;
    uint8_t mask[4];
    if (c->fd < 0)
        return false;
    bgw_buf_init(&frame, payload.len + 14);
    bgw_auth_random(mask, sizeof(mask));
    bgw_buf_append_byte(&frame, (char)(0x80 | opcode));
    if (payload.len < 126) {
        bgw_buf_append_byte(&frame, (char)(0x80 | payload.len));
    } else {
        bool wide = payload.len > 0xffff;
        bgw_buf_append_byte(&frame, (char)(0x80 | (wide ? 127 : 126)));
        for (int shift = wide ? 56 : 8; shift >= 0; shift -= 8)
            bgw_buf_append_byte(&frame, (char)((payload.len >> shift) & 0xff));
    }
    bgw_buf_append(&frame, bgw_slice_of((const char *)mask, sizeof(mask)));
    for (size_t i = 0; i < payload.len; i++)
        bgw_buf_append_byte(&frame, (char)(payload.data[i] ^ (char)mask[i & 3]));
    bool sent = !frame.failed && send_all(c, bgw_buf_slice(&frame));
    bgw_buf_deinit(&frame);
    if (!sent)
        disconnect(c);
    return sent;
}

bool ws_send_text(struct ws_client *c, struct bgw_slice text)
{
    return send_frame(c, OP_TEXT, text);
}

struct frame {
    unsigned opcode;
    bool fin;
    size_t header_len, payload_len;
};

/* 1: a whole frame stands at the front of `in`; 0: not yet; -1: not a frame that a server may send. */
static int look(const struct ws_client *c, struct frame *f)
{
    const uint8_t *p = (const uint8_t *)c->in.data;
    if (c->in.len < 2)
        return 0;
    f->fin = p[0] & 0x80;
    f->opcode = p[0] & 0x0f;
    if ((p[0] & 0x70) || (p[1] & 0x80))
        return -1;
    size_t extra = p[1] == 127 ? 8 : p[1] == 126 ? 2 : 0;
    f->header_len = 2 + extra;
    if (c->in.len < f->header_len)
        return 0;
    uint64_t len = extra ? 0 : p[1];
    for (size_t i = 0; i < extra; i++)
        len = len << 8 | p[2 + i];
    if (len > WS_MESSAGE_MAX || (f->opcode >= OP_CLOSE && (len > 125 || !f->fin)))
        return -1;
    f->payload_len = (size_t)len;
    return c->in.len - f->header_len >= f->payload_len ? 1 : 0;
}

static void on_close(struct ws_client *c, struct bgw_slice payload)
{
    c->close_code = 1005;
    if (payload.len >= 2)
        c->close_code = (uint16_t)((uint8_t)payload.data[0] << 8 | (uint8_t)payload.data[1]);
    send_frame(c, OP_CLOSE, bgw_slice_of(payload.data, payload.len >= 2 ? 2 : 0));
    disconnect(c);
}

/* Takes one whole frame; true: a message is complete. */
static bool take_frame(struct ws_client *c, const struct frame *f)
{
    struct bgw_slice payload = bgw_slice_of(c->in.data + f->header_len, f->payload_len);
    bool complete = false;
    if (f->opcode == OP_PING)
        send_frame(c, OP_PONG, payload);
    else if (f->opcode == OP_CLOSE)
        on_close(c, payload);
    else if (f->opcode == OP_TEXT || f->opcode == OP_CONT) {
        bgw_buf_append(&c->message, payload);
        complete = f->fin;
    } else if (f->opcode != OP_PONG) {
        disconnect(c); /* binary, or an opcode that does not exist */
    }
    bgw_buf_consume(&c->in, f->header_len + f->payload_len);
    if (c->message.failed)
        disconnect(c);
    return complete && !c->message.failed;
}

enum ws_event ws_receive(struct ws_client *c, int timeout_ms, struct bgw_slice *message)
{
    int64_t deadline = bgw_clock_now().mono_ms + timeout_ms;
    if (c->delivered)
        bgw_buf_clear(&c->message);
    c->delivered = false;
    for (;;) {
        struct frame f;
        int have = c->fd < 0 ? -1 : look(c, &f);
        if (have > 0) {
            if (take_frame(c, &f)) {
                *message = bgw_buf_slice(&c->message);
                c->delivered = true;
                return WS_MESSAGE;
            }
            continue;
        }
        int filled = have < 0 ? -1 : fill(c, deadline);
        if (filled == 0)
            return WS_TIMEOUT;
        if (filled < 0) {
            disconnect(c);
            return WS_CLOSED;
        }
    }
}

void ws_close(struct ws_client *c, uint16_t code)
{
    char body[2] = {(char)(code >> 8), (char)(code & 0xff)};
    if (c->fd < 0)
        return;
    send_frame(c, OP_CLOSE, bgw_slice_of(body, sizeof(body)));
    struct bgw_slice rest;
    int64_t deadline = bgw_clock_now().mono_ms + 1000;
    while (c->fd >= 0 && bgw_clock_now().mono_ms < deadline && ws_receive(c, 200, &rest) != WS_CLOSED)
        ;
    disconnect(c);
}
