/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_lag: how far each partition is behind, in records and in seconds, for the metrics. The hub
 * thread reports positions, the control thread ends, a scrape reads both.
 */
#ifndef BGW_INGEST_KAFKA_LAG_H
#define BGW_INGEST_KAFKA_LAG_H

#include "bgw/buf.h"
#include "bgw/ingest.h"
#include "bgw/status.h"

#include <stdint.h>

/* Partitions with lines of their own; above this there is one line for all. */
#define BGW_KAFKA_LAG_LINES_MAX 1000

struct bgw_kafka_lag; /* any thread: its own lock, held for a few instructions */

BGW_MUST_CHECK enum bgw_status bgw_kafka_lag_create(struct bgw_kafka_lag **out);
void bgw_kafka_lag_destroy(struct bgw_kafka_lag **lag);
/* A new assignment; what was known is forgotten. */
void bgw_kafka_lag_reset(struct bgw_kafka_lag *lag, const int64_t *positions, int32_t partitions);
/* fixed-size value */
struct bgw_kafka_progress {
    int32_t partition;
    int64_t next_offset;
    int64_t timestamp_ms; /* of the last record, -1 if it has none or there was no record */
};
void bgw_kafka_lag_progress(struct bgw_kafka_lag *lag, const struct bgw_kafka_progress *p,
                            size_t count);
/* ends[i] may be BGW_OFFSET_UNKNOWN. */
void bgw_kafka_lag_ends(struct bgw_kafka_lag *lag, const int64_t *ends, int32_t partitions,
                        int64_t asked_wall_ms);
/* bgw_kafka_lag_records and bgw_kafka_lag_seconds. */
void bgw_kafka_lag_write(struct bgw_kafka_lag *lag, int64_t wall_ms, struct bgw_buf *out);
void bgw_kafka_lag_look(struct bgw_kafka_lag *lag, int64_t wall_ms, struct bgw_kafka_lags *out);

#endif
