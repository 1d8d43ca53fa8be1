/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sink: one way to publish, behind feed.h; private to bench/feed. A sink sends what the board has
 * already been told of, counts what was refused, and says when something was confirmed.
 */
#ifndef BENCH_SINK_H
#define BENCH_SINK_H

#include "feed.h"

#include <stddef.h>

struct feed { /* the thread that publishes; `failed` too */
    const struct sink *sink;
    struct feed_config config;
    struct board *board;
    void *state; /* the sink's own */
    uint64_t failed;
};

struct sink {
    bool (*open)(struct feed *f); /* says on stderr why not */
    void (*publish)(struct feed *f, int account, uint64_t version);
    void (*turn)(struct feed *f);
    bool (*flush)(struct feed *f, int timeout_ms);
    void (*close)(struct feed *f);
};

extern const struct sink sink_kafka, sink_trigger, sink_nats, sink_mqtt, sink_nchan;

int64_t sink_now_ns(void);
/* What was published is confirmed: notes it on the board and tells who asked (feed_config.on_acked). */
void sink_confirmed(struct feed *f, int account, uint64_t version, int64_t at_ns);

#endif
