/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_view: how the gateway is doing, for people: the object of GET /v1/ops and of the events of
 * /v1/ops/stream. Collected and encoded once a second by the operators' thread, however many ask;
 * who asks, on any thread, gets a reference to the same immutable bytes.
 */
#ifndef BGW_OPS_VIEW_H
#define BGW_OPS_VIEW_H

#include "bgw/blob.h"
#include "bgw/flags.h"
#include "bgw/health.h"
#include "bgw/sources.h"
#include "bgw/status.h"
#include "bgw/types.h"

#define BGW_OPS_EVERY_MS 1000
#define BGW_OPS_STREAMS_MAX 256 /* of a process; one more is refused with 503 ops_streams */
#define BGW_OPS_PARTITIONS_MAX 256

struct bgw_ops_partition {
    int32_t partition;
    int64_t lag_records, lag_ms;
};

/* What no metric says; fixed-size value, filled by the gateway. */
struct bgw_ops_facts {
    struct bgw_health health;
    struct bgw_sources_view sources;
    const char *origin_kind; /* "http", "postgresql", or NULL: there is none; static */
    uint64_t watched_keys;
    enum bgw_slot_state proof; /* of the partition that is worst off */
    int64_t proof_age_ms;      /* of the oldest; below 0: never proved */
    size_t partitions, partition_count; /* of all; of `lags` */
    int64_t lag_records, lag_ms;        /* over all; of the worst */
    struct bgw_ops_partition lags[BGW_OPS_PARTITIONS_MAX];
};

struct bgw_ops_view; /* any thread, but what says otherwise */

struct bgw_ops_view_config {
    const char *version;
    const char *instance; /* which replica this is; copied, as the former */
    size_t shards;
    const struct bgw_flags *flags; /* NULL: all on */
    void (*look)(void *arg, struct bgw_ops_facts *out); /* on the collecting thread; `out` is zeroed before */
    void *arg;
    struct bgw_now now; /* the process started */
};

BGW_MUST_CHECK enum bgw_status bgw_ops_view_create(struct bgw_ops_view **out, const struct bgw_ops_view_config *config);
void bgw_ops_view_destroy(struct bgw_ops_view **view); /* nobody asks any more; references may outlive it */
/* One thread at a time: samples all counters and puts a new object in the place of the last one, which stays if there is no memory. */
void bgw_ops_view_collect(struct bgw_ops_view *view, struct bgw_now now);
/* One reference to the newest: a whole event of a stream. NULL: nothing was collected yet. */
struct bgw_blob *bgw_ops_view_get(struct bgw_ops_view *view);
struct bgw_slice bgw_ops_view_json(const struct bgw_blob *event); /* the object in it */
/* A place for one more stream of the process, to be given back. */
bool bgw_ops_view_enter(struct bgw_ops_view *view);
void bgw_ops_view_leave(struct bgw_ops_view *view);

#endif
