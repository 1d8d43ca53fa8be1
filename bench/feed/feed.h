/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: publishes balances with rising versions to one server, in its own way: as records of Kafka
 * for the gateway, as ready messages for the others. Every version has its own value (feed_value), so
 * that a value shown under another's version is seen. Used by bgw-swarm's parent process and by
 * bgw-feed. One thread.
 */
#ifndef BENCH_FEED_H
#define BENCH_FEED_H

#include "board.h"

#include <stdbool.h>
#include <stdint.h>

/* Kafka and nchan confirm each message; of the others the board never knows more than when it was due. */
enum feed_sink { FEED_KAFKA, FEED_TRIGGER, FEED_NATS, FEED_MQTT, FEED_NCHAN };

struct feed_config {
    enum feed_sink sink;
    const char *address; /* host:port; of a trigger the port alone */
    const char *topic;   /* Kafka's; NULL: balance-updates */
    const char *prefix;  /* account i is prefix + six digits at least */
    bool idempotent;     /* Kafka: acks=all and idempotence, as a ledger would; else acks=1 */
    int linger_ms;       /* Kafka; 0 when latency is measured */
    /* Told in feed_turn and feed_flush of what is confirmed; NULL: nobody asks. board_times has the moment. */
    void (*on_acked)(void *context, int account, uint64_t version);
    void *context;
};

struct feed;

/* "kafka:HOST:PORT", "trigger:PORT", "nats:…", "mqtt:…", "nchan:…" */
bool feed_parse_sink(const char *text, struct feed_config *c);
struct feed *feed_open(const struct feed_config *config, struct board *board); /* NULL, and why on stderr */
/* The account's next version, due at `due_ns` (now, if it is not part of a schedule). */
void feed_publish(struct feed *f, int account, int64_t due_ns);
/* Pushes out what is gathered and takes in what was confirmed; to be called between publishes. */
void feed_turn(struct feed *f);
bool feed_flush(struct feed *f, int timeout_ms); /* until everything is confirmed, where the server confirms */
uint64_t feed_failed(const struct feed *f);      /* published and then refused or lost by the server */
void feed_close(struct feed *f);

int64_t feed_value(uint64_t version, int account); /* minor units */

/* Which account the n-th record is of: in turn, or by Zipf's law with exponent `s` (the first are the
 * frequent ones). Deterministic, so that two programs agree. */
struct pick;
struct pick *pick_create(int accounts, double zipf); /* 0: in turn */
int pick_account(const struct pick *p, uint64_t n);
void pick_close(struct pick *p);

#endif
