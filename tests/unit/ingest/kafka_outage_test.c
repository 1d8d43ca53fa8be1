/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_source when things go wrong: no topic, no broker, a log that was cut, a hurried end. */
#include "ingest_rig.h"

TEST(missing_topic_is_named_never_created_and_read_once_it_is_there)
{
    static struct rig r;
    rig_init(&r, 0);
    rig_start(&r);
    RIG_AWAIT(&r, bgw_kafka_source_trouble(r.source) &&
                      strstr(bgw_kafka_source_trouble(r.source), "does not exist"));
    CHECK(strstr(bgw_kafka_source_trouble(r.source), RIG_TOPIC));
    int64_t until_ms = bgw_clock_now().mono_ms + 1500;
    while (bgw_clock_now().mono_ms < until_ms) /* several looks, and none has made it */
        rig_turn(&r);
    CHECK_EQ_I64(r.hub.assigned, 0);
    CHECK(bgw_embedded_broker_add_topic(r.broker, RIG_TOPIC, 2, &r.error) == BGW_OK);
    RIG_AWAIT(&r, r.hub.assigned == 1 && r.hub.partitions == 2);
    RIG_AWAIT(&r, !bgw_kafka_source_trouble(r.source));
    rig_deinit(&r);
}

TEST(kafka_away_at_start_is_told_and_waited_for)
{
    static struct rig r;
    rig_init(&r, 1);
    rig_send(&r, 0, "k", "v");
    rig_flush(&r);
    bgw_embedded_broker_set_down(r.broker, true);
    rig_start(&r);
    int64_t until_ms = bgw_clock_now().mono_ms + 1500;
    while (bgw_clock_now().mono_ms < until_ms)
        rig_turn(&r);
    CHECK(r.hub.assigned == 0 && r.hub.count == 0);
    const char *why = bgw_kafka_source_trouble(r.source);
    CHECK(why && strstr(why, bgw_embedded_broker_address(r.broker)));
    bgw_embedded_broker_set_down(r.broker, false);
    RIG_AWAIT(&r, r.hub.count == 1);
    RIG_AWAIT(&r, !bgw_kafka_source_trouble(r.source));
    rig_deinit(&r);
}

TEST(stopped_broker_proves_nothing_and_a_started_one_goes_on_where_it_was)
{
    static struct rig r;
    rig_init(&r, 1);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.proofs >= 1);
    bgw_embedded_broker_set_down(r.broker, true);
    rig_turn(&r);
    int64_t down_ms = bgw_clock_now().mono_ms;
    while (bgw_clock_now().mono_ms < down_ms + 4500)
        rig_turn(&r);
    CHECK(r.hub.proof_asked[0] <= down_ms);
    CHECK(bgw_kafka_source_trouble(r.source) != NULL);
    CHECK_EQ_I64(r.hub.gaps, 0);
    bgw_embedded_broker_set_down(r.broker, false);
    rig_send(&r, 0, "k", "v");
    RIG_AWAIT(&r, r.hub.proof_asked[0] > down_ms && r.hub.count == 1);
    CHECK_EQ_I64(r.hub.records[0].offset, 0);
    RIG_AWAIT(&r, !bgw_kafka_source_trouble(r.source));
    CHECK_EQ_I64(r.hub.assigned, 1);
    rig_deinit(&r);
}

static void fill_past_retention(struct rig *r)
{
    static char big[20000];
    memset(big, 'x', sizeof(big) - 1);
    for (int i = 0; i < 900; i++) { /* three times what the broker keeps of a partition */
        rig_send(r, 0, "k", big);
        if (i % 100 == 99)
            rig_flush(r);
    }
    rig_flush(r);
}

TEST(lost_position_is_a_gap_and_reading_goes_on_at_the_start_of_the_log)
{
    static struct rig r;
    rig_init(&r, 2);
    int64_t lost = bgw_metric_read(BGW_M_KAFKA_POSITIONS_LOST);
    /* almost nothing may be read ahead, so that the log is cut behind the consumer's back */
    r.config.kafka_props[0].name = "queued.max.messages.kbytes";
    r.config.kafka_props[0].value = "1";
    r.config.kafka_props[1].name = "fetch.message.max.bytes";
    r.config.kafka_props[1].value = "1000";
    r.config.kafka_prop_count = 2;
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.proofs >= 2);
    fill_past_retention(&r);
    RIG_AWAIT(&r, r.hub.gaps >= 1);
    CHECK(bgw_metric_read(BGW_M_KAFKA_POSITIONS_LOST) > lost);
    RIG_AWAIT(&r, r.hub.positions[0] == 900);
    CHECK(r.hub.count < 900); /* some are gone for good, and the hub was told so */
    CHECK_EQ_I64(r.hub.assigned, 1);
    int64_t now_ms = bgw_clock_now().mono_ms;
    RIG_AWAIT(&r, r.hub.proof_asked[0] > now_ms && r.hub.proof_end[0] == 900);
    rig_deinit(&r);
}

TEST(brokers_without_topic_ids_give_the_same_epoch_every_time)
{
    static struct rig r;
    uint64_t seen[2];
    rig_init(&r, 1);
    for (int i = 0; i < 2; i++) {
        r.hub.assigned = 0;
        CHECK(rig_start_as(&r, false) == BGW_OK);
        RIG_AWAIT(&r, r.hub.assigned == 1);
        seen[i] = r.hub.epoch;
        bgw_kafka_source_destroy(&r.source);
    }
    CHECK(seen[0] == seen[1] && seen[0]);
    rig_deinit(&r);
}

TEST(source_ends_in_bounded_time_with_the_broker_gone)
{
    static struct rig r;
    rig_init(&r, 4);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.assigned == 1);
    bgw_embedded_broker_set_down(r.broker, true);
    int64_t began_ms = bgw_clock_now().mono_ms;
    bgw_kafka_source_destroy(&r.source);
    CHECK(bgw_clock_now().mono_ms - began_ms < 7000);
    rig_deinit(&r);
}
