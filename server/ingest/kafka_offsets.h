/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_offsets: batched questions for offsets (a partition's start, its end, the first record
 * after a time), and how to tell an answer from no answer. Control thread.
 */
#ifndef BGW_INGEST_KAFKA_OFFSETS_H
#define BGW_INGEST_KAFKA_OFFSETS_H

#include "bgw/status.h"

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#define BGW_OFFSET_UNKNOWN INT64_MIN /* the partition's leader did not answer */
#define BGW_OFFSET_NONE (-1)         /* asked for a time: no record is as late as that */

/* fixed-size value */
struct bgw_kafka_offsets_ask {
    const char *topic;
    const int32_t *partitions; /* NULL: 0..count-1 */
    int32_t count;
    int64_t spec;              /* rd_kafka_OffsetSpec_t, or a time in epoch milliseconds */
    rd_kafka_IsolationLevel_t isolation;
    int timeout_ms;
    void *opaque;
};

/* The answer comes as an event on `queue`. */
void bgw_kafka_offsets_send(rd_kafka_t *rk, rd_kafka_queue_t *queue,
                            const struct bgw_kafka_offsets_ask *ask);
/* Fills at[partition] for partitions below `count`, BGW_OFFSET_UNKNOWN where nobody answered.
 * Returns how many did. `worst` is the last error seen. */
int32_t bgw_kafka_offsets_read(rd_kafka_event_t *event, int64_t *at, int32_t count,
                               rd_kafka_resp_err_t *worst);

#endif
