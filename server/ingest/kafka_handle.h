/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_handle: one librdkafka client. Hides how its properties are put together (what the gateway
 * fixes, what it recommends, what the operator gave), where its log lines and errors go, and how
 * it is ended in bounded time.
 */
#ifndef BGW_INGEST_KAFKA_HANDLE_H
#define BGW_INGEST_KAFKA_HANDLE_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/status.h"

#include <librdkafka/rdkafka.h>

/* What a client is for; a bit each, so that a row of settings can name several. */
enum bgw_kafka_role {
    BGW_KAFKA_CONSUMER = 1, /* reads partitions */
    BGW_KAFKA_CONTROL = 2,  /* asks for metadata and offsets, on connections that no fetch blocks */
    BGW_KAFKA_PRODUCER = 4,
    BGW_KAFKA_BROKER = 8,   /* the mock cluster's host */
    BGW_KAFKA_WRITER = 16,  /* a producer whose caller waits for each record */
    BGW_KAFKA_MEMBER = 32,  /* reads the partitions that its group gives it */
    BGW_KAFKA_MOCK_CONSUMER = 64, /* a consumer of an embedded broker, of this process or another */
};

/* `config` may be NULL: no operator's properties. `error` names the property at fault. */
BGW_MUST_CHECK enum bgw_status bgw_kafka_handle_create(rd_kafka_t **out, enum bgw_kafka_role role,
                                                       const struct bgw_config *config,
                                                       const char *bootstrap,
                                                       struct bgw_buf *error);
/* What a member of a group needs besides. The callbacks come to whoever reads the consumer's queue. */
struct bgw_kafka_joining {
    const char *group;
    void *arg; /* the callbacks' last argument */
    void (*rebalance)(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                      rd_kafka_topic_partition_list_t *partitions, void *arg);
    void (*committed)(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                      rd_kafka_topic_partition_list_t *offsets, void *arg);
};
BGW_MUST_CHECK enum bgw_status bgw_kafka_handle_create_member(rd_kafka_t **out,
                                                              const struct bgw_kafka_joining *joining,
                                                              const struct bgw_config *config,
                                                              const char *bootstrap,
                                                              struct bgw_buf *error);
/* Any thread that is not one of the client's own. Everything taken from the client must have been
 * given back. Waits at most `wait_ms`; a client that takes longer is left to end by itself, with a
 * line in the log. */
void bgw_kafka_handle_destroy(rd_kafka_t **rk, int wait_ms);
/* Counts and logs an error by its name. A thread that is attached to the metrics. */
void bgw_kafka_error_seen(rd_kafka_resp_err_t err, const char *text, int32_t partition);

#endif
