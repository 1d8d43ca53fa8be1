/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: which sink it is, and what is the same for all of them: a version is on the board before its
 * message leaves, and its value follows from it.
 */
#define _GNU_SOURCE
#include "sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PREFIX_MAX 50 /* with digits an account has at most 64 bytes */

static const struct {
    const char *name;
    const struct sink *sink;
} sinks[] = {
    [FEED_KAFKA] = {"kafka:", &sink_kafka}, [FEED_TRIGGER] = {"trigger:", &sink_trigger}, [FEED_NATS] = {"nats:", &sink_nats},
    [FEED_MQTT] = {"mqtt:", &sink_mqtt},    [FEED_NCHAN] = {"nchan:", &sink_nchan},
};

bool feed_parse_sink(const char *text, struct feed_config *c)
{
    for (size_t i = 0; i < sizeof(sinks) / sizeof(sinks[0]); i++) {
        size_t len = strlen(sinks[i].name);
        if (strncmp(text, sinks[i].name, len) != 0 || !text[len])
            continue;
        c->sink = (enum feed_sink)i;
        c->address = text + len;
        return true;
    }
    return false;
}

struct feed *feed_open(const struct feed_config *config, struct board *board)
{
    struct feed *f = calloc(1, sizeof(*f));
    if (!f)
        return NULL;
    f->config = *config;
    f->board = board;
    f->sink = sinks[config->sink].sink;
    if (!f->config.topic)
        f->config.topic = "balance-updates";
    if (!f->config.prefix)
        f->config.prefix = "bench:";
    if (strlen(f->config.prefix) > PREFIX_MAX)
        fprintf(stderr, "feed: a prefix has at most %d bytes\n", PREFIX_MAX);
    else if (f->sink->open(f))
        return f;
    feed_close(f);
    return NULL;
}

void feed_publish(struct feed *f, int account, int64_t due_ns)
{
    f->sink->publish(f, account, board_publish(f->board, account, due_ns));
}

void feed_turn(struct feed *f)
{
    f->sink->turn(f);
}

bool feed_flush(struct feed *f, int timeout_ms)
{
    return f->sink->flush(f, timeout_ms);
}

uint64_t feed_failed(const struct feed *f)
{
    return f->failed;
}

void feed_close(struct feed *f)
{
    if (!f)
        return;
    f->sink->close(f);
    free(f);
}

int64_t feed_value(uint64_t version, int account)
{
    return (int64_t)version * 1000 + account % 1000;
}

int64_t sink_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sink_confirmed(struct feed *f, int account, uint64_t version, int64_t at_ns)
{
    board_acked(f->board, account, version, at_ns);
    if (f->config.on_acked)
        f->config.on_acked(f->config.context, account, version);
}
