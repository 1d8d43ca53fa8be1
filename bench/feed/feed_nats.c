/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_nats: NATS's client protocol over TCP: text lines, a payload after each PUB. A message is not
 * confirmed; a PONG says that everything before its PING was taken.
 */
#define _GNU_SOURCE
#include "message.h"
#include "sink.h"
#include "tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_NS 5000000000

struct nats {
    struct tcp tcp;
    bool greeted;
    uint64_t pings, pongs;
};

static void on_line(struct feed *f, struct bgw_slice line)
{
    struct nats *n = f->state;
    if (line.len >= 4 && memcmp(line.data, "PING", 4) == 0) {
        tcp_put(&n->tcp, BGW_SLICE("PONG\r\n"));
    } else if (line.len >= 4 && memcmp(line.data, "PONG", 4) == 0) {
        n->pongs++;
    } else if (line.len >= 4 && memcmp(line.data, "INFO", 4) == 0) {
        n->greeted = true;
    } else {
        fprintf(stderr, "feed: nats: %.*s\n", (int)line.len, line.data);
        f->failed++;
    }
}

static void take_lines(struct feed *f)
{
    struct nats *n = f->state;
    size_t used = 0;
    const char *end;
    while (n->tcp.in.len > used && (end = memmem(n->tcp.in.data + used, n->tcp.in.len - used, "\r\n", 2))) {
        const char *from = n->tcp.in.data + used;
        on_line(f, bgw_slice_of(from, (size_t)(end - from)));
        used += (size_t)(end - from) + 2;
    }
    bgw_buf_consume(&n->tcp.in, used);
}

static bool ping(struct feed *f, int64_t until_ns)
{
    struct nats *n = f->state;
    n->pings++;
    tcp_put(&n->tcp, BGW_SLICE("PING\r\n"));
    while (n->pongs < n->pings && tcp_wait(&n->tcp, until_ns))
        take_lines(f);
    return n->pongs >= n->pings;
}

static bool nats_open(struct feed *f)
{
    struct nats *n = f->state = calloc(1, sizeof(*n));
    int64_t until_ns = sink_now_ns() + OPEN_NS;
    if (!n || !tcp_open(&n->tcp, f->config.address))
        return false;
    while (!n->greeted && tcp_wait(&n->tcp, until_ns))
        take_lines(f);
    tcp_put(&n->tcp, BGW_SLICE("CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"bgw-feed\",\"lang\":\"c\",\"version\":\"1\"}\r\n"));
    if (n->greeted && ping(f, until_ns) && f->failed == 0)
        return true;
    fprintf(stderr, "feed: %s does not speak NATS with us\n", f->config.address);
    return false;
}

static void nats_publish(struct feed *f, int account, uint64_t version)
{
    struct nats *n = f->state;
    char key[MESSAGE_NAME_MAX], body[MESSAGE_MAX], all[MESSAGE_MAX + MESSAGE_NAME_MAX + 32];
    snprintf(key, sizeof(key), "%s%06d", f->config.prefix, account);
    message_safe_name(key);
    size_t len = message_upd(f->config.prefix, account, version, body, sizeof(body));
    int total = snprintf(all, sizeof(all), "PUB %s %zu\r\n%s\r\n", key, len, body);
    tcp_put(&n->tcp, bgw_slice_of(all, (size_t)total));
    f->failed += n->tcp.broken;
}

static void nats_turn(struct feed *f)
{
    struct nats *n = f->state;
    tcp_push(&n->tcp);
    tcp_pull(&n->tcp);
    take_lines(f);
    tcp_push(&n->tcp);
}

static bool nats_flush(struct feed *f, int timeout_ms)
{
    return ping(f, sink_now_ns() + (int64_t)timeout_ms * 1000000);
}

static void nats_close(struct feed *f)
{
    if (f->state)
        tcp_close(&((struct nats *)f->state)->tcp);
    free(f->state);
}

const struct sink sink_nats = {nats_open, nats_publish, nats_turn, nats_flush, nats_close};
