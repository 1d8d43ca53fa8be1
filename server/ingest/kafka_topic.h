/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_topic: what the brokers say of one topic: whether it exists, which topic it is, how many
 * partitions it has, whether it is compacted; and the epoch that follows from it. Control thread.
 */
#ifndef BGW_INGEST_KAFKA_TOPIC_H
#define BGW_INGEST_KAFKA_TOPIC_H

#include "bgw/status.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

/* Partitions of one topic; more than this is refused with a line in the log. */
#define BGW_KAFKA_PARTITIONS_MAX 10000

/* fixed-size value; two topics of one name differ in `id` */
struct bgw_kafka_topic {
    char id[80]; /* the topic's id, or "cluster/ID" where the brokers know no topic ids */
    int32_t partitions;
};

/* What a client says of the cluster it has reached. */
enum bgw_kafka_cluster {
    BGW_CLUSTER_NOT_HEARD, /* nobody has answered yet */
    BGW_CLUSTER_PLAIN,
    BGW_CLUSTER_MOCK, /* librdkafka's, the embedded broker of this process or of another */
};
/* A mock has no topic ids, no offsets for times, no settings, and names a controller that is not there, for whom a
 * question about a topic waits in vain. Waits until a broker has said, at most `timeout_ms`. */
enum bgw_kafka_cluster bgw_kafka_cluster_of(rd_kafka_t *rk, int timeout_ms);

/* NOT_FOUND: there is no such topic. DENIED. OUT_OF_RANGE: too many partitions. UNSUPPORTED: these
 * brokers have no topic ids. UNAVAILABLE: no answer. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_topic_from_event(struct bgw_kafka_topic *out,
                                                          rd_kafka_event_t *event);
/* The same by the plain metadata request, which every broker answers. Blocks for `timeout_ms`. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_topic_from_metadata(struct bgw_kafka_topic *out,
                                                             rd_kafka_t *rk, const char *name,
                                                             int timeout_ms);
/* Answers to both come as events on `queue`, with `opaque`. */
void bgw_kafka_topic_ask(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name, int timeout_ms,
                         void *opaque);
void bgw_kafka_policy_ask(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name,
                          int timeout_ms, void *opaque);
BGW_MUST_CHECK enum bgw_status bgw_kafka_policy_from_event(bool *compacted,
                                                           rd_kafka_event_t *event);
/* The same on every replica; never 0. `given`: BGW_EPOCH, or NULL or empty. */
uint64_t bgw_kafka_topic_epoch(const struct bgw_kafka_topic *t, const char *name,
                               const char *given);

#endif
