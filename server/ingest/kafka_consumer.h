/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_consumer: one librdkafka consumer with manually assigned partitions, and the descriptor
 * that says when its queue has something. An assignment is one of these: a recreated topic gets a
 * new one, so that nothing of the old log can appear under the new epoch.
 */
#ifndef BGW_INGEST_KAFKA_CONSUMER_H
#define BGW_INGEST_KAFKA_CONSUMER_H

#include "kafka_handle.h"

/* control thread makes it, changes it and ends it; hub thread reads it in between */
struct bgw_kafka_consumer;

/* `role`: BGW_KAFKA_CONSUMER or BGW_KAFKA_MOCK_CONSUMER. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_consumer_create(struct bgw_kafka_consumer **out,
                                                         enum bgw_kafka_role role,
                                                         const struct bgw_config *config,
                                                         const char *bootstrap,
                                                         struct bgw_buf *error);
/* Assigns partitions 0..count-1 at `starts`. Waits until their leaders are known, at most a second. Control thread. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_consumer_assign(struct bgw_kafka_consumer *c,
                                                         const char *topic, const int64_t *starts,
                                                         int32_t count);
/* Adds partitions first..first+count-1, from offset 0. Control thread. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_consumer_add(struct bgw_kafka_consumer *c,
                                                      const char *topic, int32_t first,
                                                      int32_t count);
/* Puts a partition that lost its position to `offset`. Control thread. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_consumer_move(struct bgw_kafka_consumer *c,
                                                       const char *topic, int32_t partition,
                                                       int64_t offset);
/* An eventfd, readable when the queue may have something. */
int bgw_kafka_consumer_fd(const struct bgw_kafka_consumer *c);
void bgw_kafka_consumer_signal(struct bgw_kafka_consumer *c); /* makes the descriptor readable */
void bgw_kafka_consumer_clear(struct bgw_kafka_consumer *c);  /* before the queue is looked at */
/* What is there, without waiting; the caller destroys each message. Hub thread. */
size_t bgw_kafka_consumer_take(struct bgw_kafka_consumer *c, rd_kafka_message_t **out, size_t max);
void bgw_kafka_consumer_destroy(struct bgw_kafka_consumer **c);

#endif
