/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_trigger: for servers of the bench that make their message themselves (the bare epoll server,
 * the Node ones): one line a message, "VERSION ACCOUNT". They confirm nothing.
 */
#include "sink.h"
#include "tcp.h"

#include <stdio.h>
#include <stdlib.h>

static bool trigger_open(struct feed *f)
{
    struct tcp *t = f->state = calloc(1, sizeof(*t));
    return t && tcp_open(t, f->config.address);
}

static void trigger_publish(struct feed *f, int account, uint64_t version)
{
    struct tcp *t = f->state;
    char line[48];
    int n = snprintf(line, sizeof(line), "%llu %d\n", (unsigned long long)version, account);
    tcp_put(t, bgw_slice_of(line, (size_t)n));
    f->failed += t->broken;
}

static void trigger_turn(struct feed *f)
{
    tcp_push(f->state);
}

static bool trigger_flush(struct feed *f, int timeout_ms)
{
    struct tcp *t = f->state;
    int64_t until_ns = sink_now_ns() + (int64_t)timeout_ms * 1000000;
    while (t->out.len && tcp_wait(t, until_ns))
        ;
    tcp_push(t);
    return !t->broken && t->out.len == 0;
}

static void trigger_close(struct feed *f)
{
    if (f->state)
        tcp_close(f->state);
    free(f->state);
}

const struct sink sink_trigger = {trigger_open, trigger_publish, trigger_turn, trigger_flush, trigger_close};
