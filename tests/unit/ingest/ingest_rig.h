/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ingest_rig: an embedded broker, a producer, a source, and a hub that only writes down what it is
 * told. The five hub functions that the source calls are defined here, so the real hub is not
 * linked. Everything runs on the test's thread except librdkafka and the control thread.
 */
#ifndef BGW_TEST_INGEST_RIG_H
#define BGW_TEST_INGEST_RIG_H

#include "bgw/hub.h"
#include "bgw/ingest.h"
#include "bgw/metrics.h"

#include "../test.h"

#define RIG_TOPIC "balance-updates"
#define RIG_RECORDS_MAX 200000
#define RIG_PARTITIONS_MAX 16
#define RIG_WAIT_MS 15000

/* a record as the hub saw it; texts are cut, lengths are not */
struct rig_record {
    int32_t partition, leader_epoch;
    int64_t offset, timestamp_ms;
    size_t key_len, value_len;
    bool key_null, value_null;
    char key[32], value[32], tenant[16], v[16], traceparent[60];
};

struct bgw_hub { /* the test's thread */
    struct rig_record *records;
    size_t count;
    int assigned;
    uint64_t epoch;
    size_t partitions;
    int64_t starts[RIG_PARTITIONS_MAX], ends[RIG_PARTITIONS_MAX], positions[RIG_PARTITIONS_MAX];
    int64_t proof_asked[RIG_PARTITIONS_MAX], proof_end[RIG_PARTITIONS_MAX];
    uint64_t proofs, gaps, position_calls;
    uint64_t query_done[RIG_PARTITIONS_MAX];
    int64_t query_end[RIG_PARTITIONS_MAX], query_asked[RIG_PARTITIONS_MAX];
    bool told_before_assigned;
};

struct rig {
    struct bgw_embedded_broker *broker;
    struct bgw_kafka_producer *producer;
    struct bgw_loop *loop;
    struct bgw_kafka_source *source;
    struct bgw_hub hub;
    struct bgw_config config;
    struct bgw_buf error;
    size_t turn_records_most;
};

static inline void rig_text(char *out, size_t size, struct bgw_slice s)
{
    size_t n = s.len < size - 1 ? s.len : size - 1;
    if (n)
        memcpy(out, s.data, n);
    out[n] = '\0';
}

void bgw_hub_on_assigned(struct bgw_hub *hub, uint8_t feed, uint64_t epoch,
                         const int64_t *positions, const int64_t *ends, size_t partitions,
                         struct bgw_now now)
{
    (void)feed;
    (void)now;
    hub->assigned++;
    hub->epoch = epoch;
    hub->partitions = partitions;
    for (size_t i = 0; i < partitions && i < RIG_PARTITIONS_MAX; i++) {
        hub->starts[i] = hub->positions[i] = positions[i];
        hub->ends[i] = ends[i];
    }
}

void bgw_hub_on_record(struct bgw_hub *hub, uint8_t feed, const struct bgw_record *r,
                       struct bgw_now now)
{
    (void)feed;
    (void)now;
    hub->told_before_assigned |= hub->assigned == 0;
    hub->positions[r->partition % RIG_PARTITIONS_MAX] = r->offset + 1;
    if (hub->count == RIG_RECORDS_MAX)
        return;
    struct rig_record *out = &hub->records[hub->count++];
    *out = (struct rig_record){.partition = r->partition,
                               .leader_epoch = r->leader_epoch,
                               .offset = r->offset,
                               .timestamp_ms = r->timestamp_ms,
                               .key_len = r->key.len,
                               .value_len = r->value.len,
                               .key_null = !r->key.data,
                               .value_null = !r->value.data};
    rig_text(out->key, sizeof(out->key), r->key);
    rig_text(out->value, sizeof(out->value), r->value);
    rig_text(out->tenant, sizeof(out->tenant), r->h_tenant);
    rig_text(out->v, sizeof(out->v), r->h_v);
    rig_text(out->traceparent, sizeof(out->traceparent), r->h_traceparent);
}

void bgw_hub_on_position(struct bgw_hub *hub, uint8_t feed, int32_t partition, int64_t next_offset,
                         struct bgw_now now)
{
    (void)feed;
    (void)now;
    hub->told_before_assigned |= hub->assigned == 0;
    hub->position_calls++;
    hub->positions[partition % RIG_PARTITIONS_MAX] = next_offset;
}

void bgw_hub_on_watermark(struct bgw_hub *hub, uint8_t feed, uint64_t query, int32_t partition,
                          int64_t end_offset, int64_t asked_mono_ms, struct bgw_now now)
{
    (void)feed;
    (void)now;
    int32_t p = partition % RIG_PARTITIONS_MAX;
    hub->told_before_assigned |= hub->assigned == 0;
    if (query == 0) {
        hub->proofs++;
        hub->proof_end[p] = end_offset;
        hub->proof_asked[p] = asked_mono_ms;
    } else {
        hub->query_done[p] = query;
        hub->query_end[p] = end_offset;
        hub->query_asked[p] = asked_mono_ms;
    }
}

void bgw_hub_on_gap(struct bgw_hub *hub, uint8_t feed, int32_t partition, struct bgw_now now)
{
    (void)feed;
    (void)partition;
    (void)now;
    hub->gaps++;
}

static inline void rig_turn(struct rig *r)
{
    size_t before = r->hub.count;
    bgw_loop_turn(r->loop, 20);
    if (r->source)
        bgw_kafka_source_turn_end(r->source, bgw_loop_now(r->loop));
    size_t n = r->hub.count - before;
    r->turn_records_most = n > r->turn_records_most ? n : r->turn_records_most;
}

/* Turns the loop until the condition holds; false after fifteen seconds. */
#define RIG_AWAIT(rig, condition)                                                     \
    do {                                                                              \
        int64_t until_ms_ = bgw_clock_now().mono_ms + RIG_WAIT_MS;                    \
        while (!(condition) && bgw_clock_now().mono_ms < until_ms_)                   \
            rig_turn(rig);                                                            \
        CHECK(condition);                                                             \
    } while (0)

static inline void rig_init(struct rig *r, int partitions)
{
    const char *topics[] = {RIG_TOPIC};
    memset(r, 0, sizeof(*r));
    bgw_metrics_init();
    bgw_buf_init(&r->error, 4096);
    r->hub.records = calloc(RIG_RECORDS_MAX, sizeof(*r->hub.records));
    r->config.topic_balance_updates = RIG_TOPIC;
    r->config.rewind = "";
    r->config.epoch = "";
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    CHECK(bgw_embedded_broker_create(&r->broker, topics, &partitions, partitions ? 1 : 0,
                                     &r->error) == BGW_OK);
    CHECK(bgw_kafka_producer_create(&r->producer, NULL, bgw_embedded_broker_address(r->broker),
                                    &r->error) == BGW_OK);
}

static inline enum bgw_status rig_start_as(struct rig *r, bool embedded)
{
    struct bgw_kafka_source_config c = {
        .config = &r->config,
        .bootstrap = bgw_embedded_broker_address(r->broker),
        .broker_is_embedded = embedded,
        .only_source = true,
    };
    return bgw_kafka_source_create(&r->source, r->loop, &r->hub, &c, &r->error);
}

static inline void rig_start(struct rig *r)
{
    CHECK(rig_start_as(r, true) == BGW_OK);
}

static inline void rig_deinit(struct rig *r)
{
    bgw_kafka_source_destroy(&r->source);
    bgw_kafka_producer_destroy(&r->producer);
    bgw_embedded_broker_destroy(&r->broker);
    bgw_loop_destroy(&r->loop);
    bgw_buf_deinit(&r->error);
    free(r->hub.records);
}

static inline void rig_send(struct rig *r, int32_t partition, const char *key, const char *value)
{
    struct bgw_kafka_outgoing o = {.partition = partition,
                                   .key = bgw_slice_str(key),
                                   .value = bgw_slice_str(value)};
    CHECK(bgw_kafka_producer_send_outgoing(r->producer, RIG_TOPIC, &o) == BGW_OK);
}

static inline void rig_flush(struct rig *r)
{
    CHECK(bgw_kafka_producer_flush(r->producer, 10000) == BGW_OK);
}

static inline bool rig_all_read(const struct rig *r)
{
    for (size_t i = 0; i < r->hub.partitions; i++) {
        if (r->hub.positions[i] < r->hub.ends[i])
            return false;
    }
    return r->hub.assigned > 0;
}

#endif
