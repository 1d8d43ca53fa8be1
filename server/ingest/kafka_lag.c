/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_lag: the one lock of this room. A table of a few words a partition that two threads write
 * now and then and a scrape reads; a mailbox to the scrape would cost more than it saves.
 * Seconds of lag: 0 when everything up to the last known end is read; the age of the end before
 * that when only the newest second is missing; else the age of the last record that was read.
 */
#include "kafka_lag.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"
#include "kafka_offsets.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

struct partition { /* under the table's lock */
    int64_t next_offset;
    int64_t record_ms;        /* timestamp of the last record read; -1 none */
    int64_t end, end_ms;      /* the last known end, and when it was asked for */
    int64_t before, before_ms; /* the one before */
};

struct bgw_kafka_lag {
    pthread_mutex_t lock;
    struct partition *partitions;
    int32_t count;
};

enum bgw_status bgw_kafka_lag_create(struct bgw_kafka_lag **out)
{
    struct bgw_kafka_lag *lag = calloc(1, sizeof(*lag));
    if (!lag)
        return BGW_NO_MEMORY;
    pthread_mutex_init(&lag->lock, NULL);
    *out = lag;
    return BGW_OK;
}

void bgw_kafka_lag_destroy(struct bgw_kafka_lag **lag)
{
    if (!*lag)
        return;
    pthread_mutex_destroy(&(*lag)->lock);
    free((*lag)->partitions);
    free(*lag);
    *lag = NULL;
}

void bgw_kafka_lag_reset(struct bgw_kafka_lag *lag, const int64_t *positions, int32_t partitions)
{
    struct partition *fresh = calloc((size_t)partitions, sizeof(*fresh));
    BGW_ASSERT(fresh != NULL);
    for (int32_t i = 0; i < partitions; i++)
        fresh[i] = (struct partition){positions[i], -1, BGW_OFFSET_UNKNOWN, 0,
                                      BGW_OFFSET_UNKNOWN, 0};
    pthread_mutex_lock(&lag->lock);
    struct partition *old = lag->partitions;
    lag->partitions = fresh;
    lag->count = partitions;
    pthread_mutex_unlock(&lag->lock);
    free(old);
}

void bgw_kafka_lag_progress(struct bgw_kafka_lag *lag, const struct bgw_kafka_progress *p,
                            size_t count)
{
    pthread_mutex_lock(&lag->lock);
    for (size_t i = 0; i < count; i++) {
        if (p[i].partition < 0 || p[i].partition >= lag->count)
            continue;
        struct partition *row = &lag->partitions[p[i].partition];
        row->next_offset = p[i].next_offset;
        if (p[i].timestamp_ms >= 0)
            row->record_ms = p[i].timestamp_ms;
    }
    pthread_mutex_unlock(&lag->lock);
}

void bgw_kafka_lag_ends(struct bgw_kafka_lag *lag, const int64_t *ends, int32_t partitions,
                        int64_t asked_wall_ms)
{
    pthread_mutex_lock(&lag->lock);
    for (int32_t i = 0; i < partitions && i < lag->count; i++) {
        struct partition *row = &lag->partitions[i];
        if (ends[i] == BGW_OFFSET_UNKNOWN)
            continue;
        row->before = row->end;
        row->before_ms = row->end_ms;
        row->end = ends[i];
        row->end_ms = asked_wall_ms;
    }
    pthread_mutex_unlock(&lag->lock);
}

static int64_t behind_records(const struct partition *row)
{
    return row->end > row->next_offset ? row->end - row->next_offset : 0;
}

static int64_t behind_ms(const struct partition *row, int64_t wall_ms)
{
    if (!behind_records(row))
        return 0;
    int64_t since = row->record_ms;
    if (row->before != BGW_OFFSET_UNKNOWN && row->next_offset >= row->before)
        since = row->before_ms;
    if (since < 0)
        since = row->end_ms; /* nothing read yet: at least as old as the end itself */
    return wall_ms > since ? wall_ms - since : 0;
}

/* Milliseconds as seconds, without floating point. */
static void write_seconds(struct bgw_buf *out, int64_t ms)
{
    bgw_buf_appendf(out, "%" PRId64 ".%03" PRId64 "\n", ms / 1000, ms % 1000);
}

static void write_sum(const struct bgw_kafka_lag *lag, int64_t wall_ms, bool seconds,
                      struct bgw_buf *out)
{
    int64_t records = 0, worst_ms = 0;
    for (int32_t i = 0; i < lag->count; i++) {
        int64_t ms = behind_ms(&lag->partitions[i], wall_ms);
        records += behind_records(&lag->partitions[i]);
        worst_ms = ms > worst_ms ? ms : worst_ms;
    }
    bgw_buf_appendf(out, "bgw_kafka_lag_%s{partition=\"all\"} ", seconds ? "seconds" : "records");
    if (seconds)
        write_seconds(out, worst_ms);
    else
        bgw_buf_appendf(out, "%" PRId64 "\n", records);
}

static void write_lines(const struct bgw_kafka_lag *lag, int64_t wall_ms, bool seconds,
                        struct bgw_buf *out)
{
    if (lag->count > BGW_KAFKA_LAG_LINES_MAX) {
        write_sum(lag, wall_ms, seconds, out);
        return;
    }
    for (int32_t i = 0; i < lag->count; i++) {
        const struct partition *row = &lag->partitions[i];
        bgw_buf_appendf(out, "bgw_kafka_lag_%s{partition=\"%d\"} ",
                        seconds ? "seconds" : "records", (int)i);
        if (seconds)
            write_seconds(out, behind_ms(row, wall_ms));
        else
            bgw_buf_appendf(out, "%" PRId64 "\n", behind_records(row));
    }
}

void bgw_kafka_lag_write(struct bgw_kafka_lag *lag, int64_t wall_ms, struct bgw_buf *out)
{
    pthread_mutex_lock(&lag->lock);
    if (lag->count > 0) {
        bgw_metrics_write_head(out, BGW_S_KAFKA_LAG_RECORDS);
        write_lines(lag, wall_ms, false, out);
        bgw_metrics_write_head(out, BGW_S_KAFKA_LAG_SECONDS);
        write_lines(lag, wall_ms, true, out);
    }
    pthread_mutex_unlock(&lag->lock);
}

enum which { ALL, BEHIND, NOT_BEHIND };

static void take_rows(const struct bgw_kafka_lag *lag, int64_t wall_ms, enum which which, struct bgw_kafka_lags *out)
{
    for (int32_t i = 0; i < lag->count && out->count < BGW_KAFKA_LAGS_MAX; i++) {
        const struct partition *row = &lag->partitions[i];
        int64_t records = behind_records(row);
        if (which == ALL || (which == BEHIND) == (records > 0))
            out->rows[out->count++] = (struct bgw_kafka_partition_lag){i, records, behind_ms(row, wall_ms)};
    }
}

void bgw_kafka_lag_look(struct bgw_kafka_lag *lag, int64_t wall_ms, struct bgw_kafka_lags *out)
{
    out->count = 0;
    out->records = out->longest_ms = 0;
    pthread_mutex_lock(&lag->lock);
    out->partitions = (size_t)lag->count;
    for (int32_t i = 0; i < lag->count; i++) {
        int64_t ms = behind_ms(&lag->partitions[i], wall_ms);
        out->records += behind_records(&lag->partitions[i]);
        out->longest_ms = ms > out->longest_ms ? ms : out->longest_ms;
    }
    bool fits = lag->count <= BGW_KAFKA_LAGS_MAX; /* then each stands at its place */
    take_rows(lag, wall_ms, fits ? ALL : BEHIND, out);
    if (!fits)
        take_rows(lag, wall_ms, NOT_BEHIND, out);
    pthread_mutex_unlock(&lag->lock);
}
