/* SPDX-License-Identifier: Apache-2.0 */
/* producer: what its flush says of what it was given. */
#include "ingest_rig.h"

TEST(flush_waits_until_the_broker_has_everything)
{
    static struct rig r;
    rig_init(&r, 1);
    for (int i = 0; i < 1000; i++)
        rig_send(&r, 0, "k", "v");
    rig_flush(&r);
    rig_start(&r);
    RIG_AWAIT(&r, r.hub.assigned == 1);
    CHECK_EQ_I64(r.hub.ends[0], 1000);
    rig_deinit(&r);
}

TEST(flush_gives_up_in_time_when_the_broker_is_away)
{
    static struct rig r;
    rig_init(&r, 1);
    bgw_embedded_broker_set_down(r.broker, true);
    rig_send(&r, 0, "k", "v");
    int64_t began_ms = bgw_clock_now().mono_ms;
    CHECK(bgw_kafka_producer_flush(r.producer, 300) == BGW_TIMEOUT);
    CHECK(bgw_clock_now().mono_ms - began_ms < 2000);
    bgw_embedded_broker_set_down(r.broker, false);
    rig_flush(&r); /* and it was kept */
    rig_deinit(&r);
}

TEST(record_that_no_broker_takes_is_told)
{
    static struct rig r;
    static char big[2000000];
    rig_init(&r, 1);
    memset(big, 'x', sizeof(big));
    struct bgw_kafka_outgoing o = {.partition = 0,
                                   .key = BGW_SLICE("k"),
                                   .value = bgw_slice_of(big, sizeof(big))};
    CHECK(bgw_kafka_producer_send_outgoing(r.producer, RIG_TOPIC, &o) == BGW_TOO_LARGE);
    rig_send(&r, 7, "k", "v"); /* there is no partition 7 */
    CHECK(bgw_kafka_producer_flush(r.producer, 10000) == BGW_NOT_FOUND);
    rig_flush(&r); /* told once */
    rig_deinit(&r);
}

TEST(embedded_broker_refuses_a_topic_twice)
{
    static struct rig r;
    rig_init(&r, 1);
    CHECK(bgw_embedded_broker_add_topic(r.broker, RIG_TOPIC, 1, &r.error) == BGW_BAD_VALUE);
    CHECK(r.error.len > 0);
    CHECK(strncmp(bgw_embedded_broker_address(r.broker), "127.0.0.1:", 10) == 0);
    rig_deinit(&r);
}
