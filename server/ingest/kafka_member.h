/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_member: one librdkafka client that is a member of a consumer group, and the descriptor that
 * says when its queue has something. A topic that was made anew gets a new member, so that nothing
 * of the old log can appear under the new epoch; the old one is retired and leaves the group.
 */
#ifndef BGW_INGEST_KAFKA_MEMBER_H
#define BGW_INGEST_KAFKA_MEMBER_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/status.h"

#include <librdkafka/rdkafka.h>

/* control thread makes it and ends it; the loop's thread has it in between */
struct bgw_kafka_member;
struct bgw_kafka_member_config { /* copied */
    const struct bgw_config *config;
    const char *bootstrap, *topic, *group;
    void *arg;
    /* Both from inside of bgw_kafka_member_take; not any more once it is retired. */
    void (*rebalance)(void *arg, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list);
    void (*committed)(void *arg, rd_kafka_resp_err_t err, const rd_kafka_topic_partition_list_t *list);
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_member_create(struct bgw_kafka_member **out,
                                                       const struct bgw_kafka_member_config *config,
                                                       struct bgw_buf *error);
/* Does what the group says by itself from here on. The loop's thread, before it gives it away. */
void bgw_kafka_member_retire(struct bgw_kafka_member *m);
/* Leaves the group, and ends; waits at most about `wait_ms` for each of the two. */
void bgw_kafka_member_destroy(struct bgw_kafka_member **m, int wait_ms);

rd_kafka_t *bgw_kafka_member_client(struct bgw_kafka_member *m);
int bgw_kafka_member_fd(const struct bgw_kafka_member *m); /* readable when the queue may have something */
void bgw_kafka_member_signal(struct bgw_kafka_member *m);
void bgw_kafka_member_clear(struct bgw_kafka_member *m); /* before the queue is looked at */
/* One message, without waiting; the caller destroys it. NULL: there is none, or a callback came in its stead. */
rd_kafka_message_t *bgw_kafka_member_take(struct bgw_kafka_member *m);

/* The assignment changes by what the group's protocol allows: all at once, or by difference. */
BGW_MUST_CHECK bool bgw_kafka_member_is_cooperative(struct bgw_kafka_member *m);
void bgw_kafka_member_assign(struct bgw_kafka_member *m, rd_kafka_topic_partition_list_t *list);
void bgw_kafka_member_unassign(struct bgw_kafka_member *m, rd_kafka_topic_partition_list_t *list);

#endif
