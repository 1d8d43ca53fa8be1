/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_nats: NATS's client protocol inside WebSocket messages, whose borders mean nothing: a message
 * may hold many lines, or half of one. A client is live when the PONG comes that follows its
 * subscriptions: the server takes commands in order.
 */
#define _GNU_SOURCE
#include "peer.h"
#include "peer_rest.h"
#include "swarm.h"

#include <string.h>

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    peer_request(s, c, b, "/", NULL);
}

static void opened(struct swarm *s, struct client *c)
{
    (void)s;
    rest_forget(c);
    c->digest = 0; /* not greeted yet: the server speaks first */
}

static void greet(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 65535);
    bgw_buf_append_str(&b, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"c\",\"version\":\"1\",\"name\":\"swarm\"}\r\n");
    for (int i = 0; i < s->opt.per_client; i++) {
        bgw_buf_append_str(&b, "SUB ");
        peer_append_name(s, c, i, &b);
        bgw_buf_appendf(&b, " %d\r\n", i + 1);
    }
    bgw_buf_append_str(&b, "PING\r\n");
    c->digest = 1;
    peer_send(s, c, 2, &b);
    bgw_buf_deinit(&b);
}

static void on_line(struct swarm *s, struct client *c, struct bgw_slice line)
{
    if (line.len == 4 && memcmp(line.data, "PING", 4) == 0) {
        if (!swarm_send_binary(c, BGW_SLICE("PONG\r\n")))
            swarm_wrong(s, c, "PONG could not be sent");
    } else if (line.len == 4 && memcmp(line.data, "PONG", 4) == 0) {
        if (c->state == CLIENT_LIVE)
            swarm_wrong(s, c, "PONG without a PING");
        else
            swarm_live(s, c);
    } else if (line.len > 5 && memcmp(line.data, "INFO ", 5) == 0) {
        if (c->state != CLIENT_LIVE && c->digest == 0) /* later ones tell of other servers */
            greet(s, c);
    } else {
        swarm_wrong(s, c, "a line of NATS that was not asked for");
    }
}

/* "MSG subject sid [reply-to] length": the payload's length, -1 if this is not such a line. */
static long length_of(struct bgw_slice line)
{
    const char *space = line.len > 4 && memcmp(line.data, "MSG ", 4) == 0 ? memrchr(line.data, ' ', line.len) : NULL;
    long length = 0;
    if (!space || space + 1 == line.data + line.len)
        return -1;
    for (const char *p = space + 1; p < line.data + line.len; p++) {
        if (*p < '0' || *p > '9' || length > PEER_REST_MAX)
            return -1;
        length = length * 10 + (*p - '0');
    }
    return length;
}

static size_t take(struct swarm *s, struct client *c, struct bgw_slice bytes)
{
    size_t used = 0;
    const char *end;
    while (used < bytes.len && (end = memmem(bytes.data + used, bytes.len - used, "\r\n", 2))) {
        struct bgw_slice line = bgw_slice_of(bytes.data + used, (size_t)(end - bytes.data) - used);
        long length = length_of(line);
        if (length < 0) {
            used += line.len + 2;
            on_line(s, c, line);
            continue;
        }
        size_t all = line.len + 2 + (size_t)length + 2;
        if (bytes.len - used < all)
            break;
        swarm_upd(s, c, bgw_slice_of(end + 2, (size_t)length));
        used += all;
    }
    return used;
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    (void)opcode;
    peer_message(s, c, payload, take);
}

const struct speech speech_nats = {.name = "nats", .request = request, .opened = opened, .message = message};
