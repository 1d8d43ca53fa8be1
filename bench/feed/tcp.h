/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tcp: one connection to a server that we publish to: what is to be sent gathers until it is pushed
 * or is 16 KiB, what came is read by its sink. Nothing blocks but `tcp_put` when a mebibyte waits:
 * then the server is slower than the feed, and what is due waits with it. Once broken it stays so.
 */
#ifndef BENCH_TCP_H
#define BENCH_TCP_H

#include "bgw/buf.h"

#include <stdbool.h>

struct tcp { /* the thread that publishes */
    struct bgw_buf out, in;
    int fd;
    bool broken;
};

/* "host:port", or a port alone for 127.0.0.1. False, and why on stderr; to be closed in any case. */
bool tcp_open(struct tcp *t, const char *address);
void tcp_put(struct tcp *t, struct bgw_slice bytes);
void tcp_push(struct tcp *t);
void tcp_pull(struct tcp *t);               /* appends to `in` what has come */
bool tcp_wait(struct tcp *t, int64_t until_ns); /* pushes, pulls, sleeps till something can be done; false: too late or broken */
void tcp_close(struct tcp *t);

#endif
