/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest: Kafka to hub. Hides librdkafka. Records are taken from the client's queue on the hub
 * thread (its fd is in the hub's loop); what blocks (metadata, offsets, topic descriptions) runs
 * on a control thread of its own that posts plain values to the hub's mailbox.
 */
#ifndef BGW_INGEST_H
#define BGW_INGEST_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/hub.h"
#include "bgw/loop.h"

struct bgw_kafka_source;
struct bgw_kafka_source_config {
    const struct bgw_config *config;  /* bootstrap, properties, topic, rewind, epoch */
    const char *bootstrap;            /* the real address, also of the embedded broker */
    bool broker_is_embedded;          /* no topic ids, no offsets for times */
    uint8_t feed;
    bool only_source;                 /* no Redis, no origin: rewind defaults to the beginning */
};

/* Starts the control thread; records and watermarks reach `hub` on `loop`'s thread. With Kafka away it keeps trying. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_source_create(struct bgw_kafka_source **out, struct bgw_loop *loop,
                                                       struct bgw_hub *hub, const struct bgw_kafka_source_config *c,
                                                       struct bgw_buf *error);
/* For bgw_hub_ops.ask_watermark; hub thread. */
void bgw_kafka_source_ask(struct bgw_kafka_source *s, uint64_t query, bool refresh_metadata);
/* End of a hub turn: true if more records wait (the turn's share was used up). */
bool bgw_kafka_source_turn_end(struct bgw_kafka_source *s, struct bgw_now now);
void bgw_kafka_source_destroy(struct bgw_kafka_source **s);
/* Prometheus lines: lag per partition in records and seconds. Any thread. */
void bgw_kafka_source_metrics(void *source, struct bgw_buf *out);
/* The same as numbers. Any thread. */
#define BGW_KAFKA_LAGS_MAX 256
struct bgw_kafka_lags { /* fixed-size value */
    size_t partitions, count;    /* of all; of `rows`: where not all have room, those that are behind come first */
    int64_t records, longest_ms; /* over all partitions */
    struct bgw_kafka_partition_lag {
        int32_t partition;
        int64_t records, ms;
    } rows[BGW_KAFKA_LAGS_MAX];
};
void bgw_kafka_source_lags(struct bgw_kafka_source *s, struct bgw_kafka_lags *out);
/* A sentence on why it is not ready, or NULL. Any thread. */
const char *bgw_kafka_source_trouble(struct bgw_kafka_source *s);

/* A process that stops: from here on clients that are destroyed end side by side, and nobody waits for each. Any thread. */
void bgw_kafka_end_together(void);
/* Waits until they all have; false: some still do after wait_ms. */
bool bgw_kafka_ended(int wait_ms);

struct bgw_embedded_broker;
/* librdkafka's mock cluster in this process; `topics`: name:partitions pairs made at start. */
BGW_MUST_CHECK enum bgw_status bgw_embedded_broker_create(struct bgw_embedded_broker **out, const char *const *topics,
                                                          const int *partitions, size_t count, struct bgw_buf *error);
/* One more topic, while it runs. */
BGW_MUST_CHECK enum bgw_status bgw_embedded_broker_add_topic(struct bgw_embedded_broker *b, const char *topic,
                                                             int partitions, struct bgw_buf *error);
/* Closes its port and its connections, or opens them again: for tests of an outage. */
void bgw_embedded_broker_set_down(struct bgw_embedded_broker *b, bool down);
const char *bgw_embedded_broker_address(const struct bgw_embedded_broker *b);
void bgw_embedded_broker_destroy(struct bgw_embedded_broker **b);

/* A small producer for `pub`, the demo ledger and tests. Own thread not needed: call poll now and then. */
struct bgw_kafka_producer;

/* one record to write; borrows everything */
struct bgw_kafka_outgoing {
    int32_t partition;           /* -1: by the key */
    struct bgw_slice key, value; /* data NULL: null, a tombstone; not the same as empty */
    struct bgw_slice h_tenant, h_v, h_traceparent; /* headers; data NULL: absent */
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_producer_create(struct bgw_kafka_producer **out, const struct bgw_config *config,
                                                         const char *bootstrap, struct bgw_buf *error);
/* Takes a copy. BGW_FULL: too much waits to be sent, flush or poll and try again. BGW_TOO_LARGE. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_producer_send_outgoing(struct bgw_kafka_producer *p, const char *topic,
                                                                const struct bgw_kafka_outgoing *o);
BGW_MUST_CHECK enum bgw_status bgw_kafka_producer_send(struct bgw_kafka_producer *p, const char *topic,
                                                       struct bgw_slice key, struct bgw_slice value);
/* Waits until everything is acknowledged. BGW_TIMEOUT; and what befell a record since the last flush: BGW_NOT_FOUND (no such
 * topic), BGW_TOO_LARGE, BGW_UNAVAILABLE. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_producer_flush(struct bgw_kafka_producer *p, int timeout_ms);
void bgw_kafka_producer_poll(struct bgw_kafka_producer *p);
void bgw_kafka_producer_destroy(struct bgw_kafka_producer **p);

/*
 * A topic of statements that is read whole, all partitions, from its beginning, and followed: the
 * revocations. Everything on `loop`'s thread but what blocks. A topic that does not exist is empty, asked for again each few
 * seconds; a broker that is away at start means: not read yet.
 */
struct bgw_kafka_log;
struct bgw_kafka_log_record { /* fixed-size value; borrows key and value */
    int32_t partition;
    int64_t offset, timestamp_ms;  /* -1: the record carries no time */
    struct bgw_slice key, value;   /* value.data NULL: tombstone */
};
struct bgw_kafka_log_config {
    const struct bgw_config *config;
    const char *bootstrap, *topic;
    bool broker_is_embedded;       /* it never answers what a topic's id is */
    /* also again for what was heard before: after a lost position, and in a recreated topic, all is read anew */
    void (*record)(void *arg, const struct bgw_kafka_log_record *r);
    void (*caught_up)(void *arg); /* once: everything that was there at the start has been handed over */
    void *arg;
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_log_create(struct bgw_kafka_log **out, struct bgw_loop *loop,
                                                    const struct bgw_kafka_log_config *c, struct bgw_buf *error);
bool bgw_kafka_log_caught_up(const struct bgw_kafka_log *l);      /* any thread */
const char *bgw_kafka_log_trouble(const struct bgw_kafka_log *l); /* any thread: a sentence, or NULL */
/* Writes a record; `done` is called on the loop's thread, never from in here, within about 15 s, when the brokers have it or
 * cannot (BGW_UNAVAILABLE, BGW_DENIED, BGW_TOO_LARGE, BGW_TIMEOUT: it may have been written all the same, BGW_NOT_FOUND: no
 * such topic, even after it was tried to make one, compacted). False: too much waits; not called then. */
bool bgw_kafka_log_append(struct bgw_kafka_log *l, struct bgw_slice key, struct bgw_slice value,
                          void (*done)(void *arg, enum bgw_status status), void *arg);
void bgw_kafka_log_destroy(struct bgw_kafka_log **l); /* who still waits for `done` is told BGW_UNAVAILABLE */

/* ---- for `bgw doctor` ---- */

/* what the brokers say of one topic */
struct bgw_kafka_probed {
    const char *topic;      /* in */
    enum bgw_status status; /* NOT_FOUND, DENIED, OUT_OF_RANGE: too many partitions, UNAVAILABLE */
    int32_t partitions;
    bool settings_known;    /* the next two; some brokers do not tell */
    bool compacted, log_append_time;
};
/* Asks the brokers once, blocking: BGW_CONFIG for a property, BGW_UNAVAILABLE with the client's own words in `error`. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_probe(const struct bgw_config *config, const char *bootstrap, int timeout_ms,
                                               struct bgw_kafka_probed *topics, size_t count, int *brokers,
                                               struct bgw_buf *error);

#endif
