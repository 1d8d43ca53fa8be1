/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_source against a real socket: the embedded broker of the same process. What only real
 * brokers can do (topic ids, recreation, more partitions, times, transactions) is tried by the
 * integration suite.
 */
#include "ingest_rig.h"

#define TRACE "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

TEST(hub_is_given_every_record_as_it_was_written)
{
    static struct rig r;
    rig_init(&r, 1);
    struct bgw_kafka_outgoing o = {.partition = -1,
                                   .key = BGW_SLICE("A"),
                                   .value = BGW_SLICE("{\"minor\":1}"),
                                   .h_tenant = BGW_SLICE("tnt_x"),
                                   .h_v = BGW_SLICE("17"),
                                   .h_traceparent = BGW_SLICE(TRACE)};
    CHECK(bgw_kafka_producer_send_outgoing(r.producer, RIG_TOPIC, &o) == BGW_OK);
    rig_send(&r, 0, "B", NULL);
    rig_send(&r, 0, "C", "");
    rig_send(&r, 0, NULL, "D");
    rig_flush(&r);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.count == 4);
    const struct rig_record *got = r.hub.records;
    CHECK_EQ_STR(got[0].key, "A");
    CHECK_EQ_STR(got[0].value, "{\"minor\":1}");
    CHECK_EQ_STR(got[0].tenant, "tnt_x");
    CHECK_EQ_STR(got[0].v, "17");
    CHECK_EQ_STR(got[0].traceparent, TRACE);
    CHECK(got[0].timestamp_ms > 1600000000000);
    CHECK(got[1].value_null && !got[1].key_null);
    CHECK(!got[2].value_null && got[2].value_len == 0);
    CHECK(got[3].key_null && !got[3].value_null);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ_I64(got[i].offset, i);
        CHECK_EQ_I64(got[i].partition, 0);
        CHECK(got[i].leader_epoch >= 0);
    }
    CHECK_EQ_STR(got[1].tenant, "");
    CHECK(!r.hub.told_before_assigned);
    rig_deinit(&r);
}

TEST(assignment_says_where_each_partition_begins_and_ends_before_any_record)
{
    static struct rig r;
    rig_init(&r, 3);
    for (int i = 0; i < 30; i++)
        rig_send(&r, i % 3 == 0 ? 0 : 2, "k", "v");
    rig_flush(&r);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.count == 30);
    CHECK_EQ_I64(r.hub.assigned, 1);
    CHECK_EQ_I64(r.hub.partitions, 3);
    CHECK_EQ_I64(r.hub.starts[0] + r.hub.starts[1] + r.hub.starts[2], 0);
    CHECK_EQ_I64(r.hub.ends[0], 10);
    CHECK_EQ_I64(r.hub.ends[1], 0);
    CHECK_EQ_I64(r.hub.ends[2], 20);
    CHECK(r.hub.epoch != 0);
    CHECK(!r.hub.told_before_assigned);
    RIG_AWAIT(&r, r.hub.position_calls >= 3); /* the end of each partition is told, empty or not */
    rig_deinit(&r);
}

TEST(records_of_a_partition_arrive_in_order_and_once)
{
    static struct rig r;
    static int64_t next[4];
    rig_init(&r, 4);
    rig_start(&r);
    for (int i = 0; i < 2000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%d", i % 50);
        rig_send(&r, -1, key, "v");
        if (i % 100 == 0)
            rig_turn(&r);
    }
    rig_flush(&r);
    RIG_AWAIT(&r, r.hub.count >= 2000);
    memset(next, 0, sizeof(next));
    for (size_t i = 0; i < r.hub.count; i++)
        CHECK_EQ_I64(r.hub.records[i].offset, next[r.hub.records[i].partition]++);
    CHECK_EQ_I64(r.hub.count, 2000);
    rig_deinit(&r);
}

TEST(a_turn_takes_no_more_than_its_share)
{
    static struct rig r;
    rig_init(&r, 1);
    for (int i = 0; i < 60000; i++) {
        rig_send(&r, 0, "k", "v");
        if (i % 5000 == 4999)
            rig_flush(&r);
    }
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.count == 60000);
    CHECK(r.turn_records_most <= 4000 + 256);
    CHECK(r.turn_records_most > 256); /* and it is a share, not a trickle */
    rig_deinit(&r);
}

TEST(every_second_each_partition_is_proved_even_if_nothing_is_written)
{
    static struct rig r;
    rig_init(&r, 2);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.proofs >= 2);
    int64_t first_ms = r.hub.proof_asked[0];
    CHECK(first_ms > 0);
    RIG_AWAIT(&r, r.hub.proof_asked[0] > first_ms && r.hub.proof_asked[1] > first_ms);
    CHECK(r.hub.proof_asked[0] - first_ms < 3000);
    CHECK(r.hub.proof_asked[0] <= bgw_clock_now().mono_ms);
    CHECK_EQ_I64(r.hub.proof_end[0], 0);
    CHECK(bgw_kafka_source_trouble(r.source) == NULL);
    rig_deinit(&r);
}

TEST(query_is_answered_with_ends_fetched_after_it_was_asked)
{
    static struct rig r;
    rig_init(&r, 2);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.proofs >= 2);
    for (uint64_t query = 1; query <= 40; query++) {
        rig_send(&r, (int32_t)(query % 2), "k", "v");
        rig_flush(&r);
        int64_t asked_ms = bgw_clock_now().mono_ms;
        bgw_kafka_source_ask(r.source, query, query % 4 == 0);
        RIG_AWAIT(&r, r.hub.query_done[0] == query && r.hub.query_done[1] == query);
        CHECK(r.hub.query_asked[0] >= asked_ms && r.hub.query_asked[1] >= asked_ms);
        CHECK_EQ_I64(r.hub.query_end[0] + r.hub.query_end[1], query);
    }
    rig_deinit(&r);
}

TEST(many_queries_at_once_end_with_the_newest_answered)
{
    static struct rig r;
    rig_init(&r, 1);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.proofs >= 1);
    for (uint64_t query = 1; query <= 3000; query++)
        bgw_kafka_source_ask(r.source, query, query % 2);
    RIG_AWAIT(&r, r.hub.query_done[0] == 3000);
    rig_deinit(&r);
}

TEST(query_before_the_first_assignment_is_answered_after_it)
{
    static struct rig r;
    rig_init(&r, 1);
    rig_start(&r);
    bgw_kafka_source_ask(r.source, 7, true);
    RIG_AWAIT(&r, r.hub.query_done[0] == 7);
    CHECK(!r.hub.told_before_assigned);
    rig_deinit(&r);
}

TEST(given_epoch_is_used_and_derived_ones_differ_from_start_to_start)
{
    static struct rig r;
    rig_init(&r, 1);
    r.config.epoch = "k3f9";
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.assigned == 1);
    CHECK(r.hub.epoch == bgw_epoch_pack(BGW_SLICE("k3f9")));
    bgw_kafka_source_destroy(&r.source);
    r.config.epoch = "";
    uint64_t seen[2];
    for (int i = 0; i < 2; i++) {
        r.hub.assigned = 0;
        rig_start(&r);
        RIG_AWAIT(&r, r.hub.assigned == 1);
        seen[i] = r.hub.epoch;
        bgw_kafka_source_destroy(&r.source);
    }
    CHECK(seen[0] != seen[1] && seen[0] && seen[1]);
    rig_deinit(&r);
}

static void check_refused(const char *name, const char *value, const char *said, const char *unsaid)
{
    static struct rig r;
    rig_init(&r, 1);
    r.config.kafka_props[0].name = name;
    r.config.kafka_props[0].value = value;
    r.config.kafka_prop_count = 1;
    CHECK(rig_start_as(&r, true) == BGW_CONFIG);
    bgw_buf_append_byte(&r.error, '\0');
    CHECK(r.source == NULL && strstr(r.error.data, said));
    CHECK(!unsaid || !strstr(r.error.data, unsaid));
    rig_deinit(&r);
}

TEST(refused_property_is_named_as_it_was_given)
{
    check_refused("fetch.wait.max.mss", "1", "KAFKA_FETCH_WAIT_MAX_MSS", NULL);
    check_refused("fetch.wait.max.ms", "soon", "KAFKA_FETCH_WAIT_MAX_MS", NULL);
    check_refused("auto.offset.reset", "latest", "KAFKA_AUTO_OFFSET_RESET", NULL);
    check_refused("bootstrap.servers", "x:1", "KAFKA_BOOTSTRAP", NULL);
    check_refused("ssl.key.password.x", "hunter2", "KAFKA_SSL_KEY_PASSWORD_X", "hunter2");
}

TEST(lag_is_told_by_partition)
{
    static struct rig r;
    struct bgw_buf out;
    rig_init(&r, 2);
    rig_send(&r, 1, "k", "v");
    rig_flush(&r);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.count == 1 && r.hub.proofs >= 4);
    bgw_buf_init(&out, 65536);
    bgw_kafka_source_metrics(r.source, &out);
    bgw_buf_append_byte(&out, '\0');
    CHECK(strstr(out.data, "# TYPE bgw_kafka_lag_records gauge\n"));
    CHECK(strstr(out.data, "bgw_kafka_lag_records{partition=\"0\"} 0\n"));
    CHECK(strstr(out.data, "bgw_kafka_lag_records{partition=\"1\"} 0\n"));
    CHECK(strstr(out.data, "bgw_kafka_lag_seconds{partition=\"1\"} 0.000\n"));
    bgw_buf_deinit(&out);
    rig_deinit(&r);
}

