/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_ask: a client that asks the brokers one thing after the other and waits for each answer:
 * which topic is it, where do its partitions begin and end, what has a group committed. For the
 * control threads. Invariant: no wait is longer than BGW_KAFKA_ANSWER_MS and a step, and all of
 * them end early once `stop` is set.
 */
#ifndef BGW_INGEST_KAFKA_ASK_H
#define BGW_INGEST_KAFKA_ASK_H

#include "bgw/buf.h"
#include "bgw/config.h"

#include "kafka_topic.h"

#include <stdatomic.h>

#define BGW_KAFKA_ANSWER_MS 3000

struct bgw_kafka_ask; /* control thread; create and destroy: while it does not run */
struct bgw_kafka_ask_config {
    const struct bgw_config *config;
    const char *bootstrap, *topic;
    bool plain; /* these brokers describe no topics */
    const atomic_bool *stop;
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_ask_create(struct bgw_kafka_ask **out,
                                                    const struct bgw_kafka_ask_config *config,
                                                    struct bgw_buf *error);
void bgw_kafka_ask_destroy(struct bgw_kafka_ask **a);
/* After a topic was recreated librdkafka 2.8 may never find its leaders again; a new client does. False: none could be
 * made, which the log tells. */
bool bgw_kafka_ask_reopen(struct bgw_kafka_ask *a);

/* `doubtful`: brokers that do not answer what a topic's id is may be brokers that have none. Without an id `t->id` names the
 * cluster. NOT_FOUND, DENIED, OUT_OF_RANGE, UNAVAILABLE. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_ask_topic(struct bgw_kafka_ask *a, bool doubtful,
                                                   struct bgw_kafka_topic *t);
enum bgw_kafka_cluster bgw_kafka_ask_cluster(const struct bgw_kafka_ask *a); /* as bgw_kafka_ask_topic found it */
/* Both fill at[0..count-1], with BGW_OFFSET_UNKNOWN where there was no answer, and return how many there were. `spec` as in
 * kafka_offsets.h; offsets are those of committed transactions. A group that has none yet: -1. */
int32_t bgw_kafka_ask_offsets(struct bgw_kafka_ask *a, int64_t spec, int64_t *at, int32_t count);
int32_t bgw_kafka_ask_committed(struct bgw_kafka_ask *a, const char *group, int64_t *at, int32_t count);

/* For a question of one's own: the opaque to give it, and its answer, which the caller destroys; NULL: none in time. */
rd_kafka_t *bgw_kafka_ask_client(struct bgw_kafka_ask *a); /* NULL after a failed reopen */
rd_kafka_queue_t *bgw_kafka_ask_queue(struct bgw_kafka_ask *a);
void *bgw_kafka_ask_next(struct bgw_kafka_ask *a);
rd_kafka_event_t *bgw_kafka_ask_wait(struct bgw_kafka_ask *a);

#endif
