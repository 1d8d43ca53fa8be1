/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_nchan: a POST a message to nchan's publisher location, on one kept connection. Requests are
 * pipelined, at most as many as the ring holds; answers come in their order, and each confirms the
 * message whose turn it is.
 */
#define _GNU_SOURCE
#include "message.h"
#include "sink.h"
#include "tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNANSWERED_MAX 1024 /* a power of two */
#define ROOM_NS 10000000000

struct nchan {
    struct tcp tcp;
    uint64_t asked, answered;
    struct {
        int account;
        uint64_t version;
    } ring[UNANSWERED_MAX];
};

static bool nchan_open(struct feed *f)
{
    struct nchan *n = f->state = calloc(1, sizeof(*n));
    return n && tcp_open(&n->tcp, f->config.address);
}

/* The head's Content-Length; 0 if it has none. */
static size_t body_length(const char *head, const char *end)
{
    for (const char *line = head; line && line < end;) {
        if (strncasecmp(line, "content-length:", 15) == 0)
            return strtoul(line + 15, NULL, 10);
        line = memmem(line, (size_t)(end - line), "\r\n", 2);
        line = line ? line + 2 : NULL;
    }
    return 0;
}

static void on_answer(struct feed *f, const char *head)
{
    struct nchan *n = f->state;
    size_t at = n->answered++ % UNANSWERED_MAX;
    if (memcmp(head, "HTTP/1.1 20", 11) == 0) {
        sink_confirmed(f, n->ring[at].account, n->ring[at].version, sink_now_ns());
        return;
    }
    if (f->failed++ == 0)
        fprintf(stderr, "feed: nchan: %.20s\n", head);
}

static void take_answers(struct feed *f)
{
    struct nchan *n = f->state;
    size_t used = 0;
    const char *end;
    while (n->answered < n->asked && n->tcp.in.len > used &&
           (end = memmem(n->tcp.in.data + used, n->tcp.in.len - used, "\r\n\r\n", 4))) {
        const char *head = n->tcp.in.data + used;
        size_t all = (size_t)(end - head) + 4 + body_length(head, end);
        if (n->tcp.in.len - used < all)
            break;
        on_answer(f, head);
        used += all;
    }
    bgw_buf_consume(&n->tcp.in, used);
}

static void give_up(struct feed *f)
{
    struct nchan *n = f->state;
    f->failed += n->asked - n->answered;
    n->answered = n->asked;
}

static bool await(struct feed *f, uint64_t unanswered, int64_t until_ns)
{
    struct nchan *n = f->state;
    while (n->asked - n->answered > unanswered) {
        if (!tcp_wait(&n->tcp, until_ns)) {
            take_answers(f);
            break;
        }
        take_answers(f);
    }
    return n->asked - n->answered <= unanswered;
}

static void nchan_publish(struct feed *f, int account, uint64_t version)
{
    struct nchan *n = f->state;
    char key[MESSAGE_NAME_MAX], body[MESSAGE_MAX], all[MESSAGE_MAX + 2 * MESSAGE_NAME_MAX + 256];
    if (!n->tcp.broken && !await(f, UNANSWERED_MAX - 1, sink_now_ns() + ROOM_NS))
        n->tcp.broken = true;
    if (n->tcp.broken) {
        give_up(f);
        f->failed++;
        return;
    }
    snprintf(key, sizeof(key), "%s%06d", f->config.prefix, account);
    message_safe_name(key);
    size_t len = message_upd(f->config.prefix, account, version, body, sizeof(body));
    int total = snprintf(all, sizeof(all),
                         "POST /pub?id=%s HTTP/1.1\r\nHost: %.128s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                         key, f->config.address, len, body);
    n->ring[n->asked % UNANSWERED_MAX].account = account;
    n->ring[n->asked++ % UNANSWERED_MAX].version = version;
    tcp_put(&n->tcp, bgw_slice_of(all, (size_t)total));
}

static void nchan_turn(struct feed *f)
{
    struct nchan *n = f->state;
    tcp_push(&n->tcp);
    tcp_pull(&n->tcp);
    take_answers(f);
    if (n->tcp.broken)
        give_up(f);
}

static bool nchan_flush(struct feed *f, int timeout_ms)
{
    struct nchan *n = f->state;
    bool all = await(f, 0, sink_now_ns() + (int64_t)timeout_ms * 1000000);
    if (n->tcp.broken)
        give_up(f);
    return all;
}

static void nchan_close(struct feed *f)
{
    if (f->state)
        tcp_close(&((struct nchan *)f->state)->tcp);
    free(f->state);
}

const struct sink sink_nchan = {nchan_open, nchan_publish, nchan_turn, nchan_flush, nchan_close};
