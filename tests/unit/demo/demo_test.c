/* SPDX-License-Identifier: Apache-2.0 */
/* demo: the thread and its records, on an embedded broker, read back by a source. */
#include "bgw/demo.h"

#include "../ingest/ingest_rig.h"

TEST(accounts_are_written_with_their_opening_balances_and_then_move)
{
    static struct rig r;
    rig_init(&r, 4);
    r.config.kafka_bootstrap = "embedded";
    struct bgw_demo *demo = NULL;
    CHECK(bgw_demo_create(&demo, &r.config, bgw_embedded_broker_address(r.broker), &r.error) ==
          BGW_OK);
    rig_start(&r);
    size_t opening = 2 * (BGW_DEMO_ACCOUNTS + BGW_DEMO_ACCOUNTS / 25);
    RIG_AWAIT(&r, r.hub.count > opening + 40);
    int first_seen = 0;
    for (size_t i = 0; i < opening; i++)
        first_seen += strcmp(r.hub.records[i].key, "msisdn::2348100000001") == 0;
    CHECK(first_seen >= 1);
    CHECK(strncmp(r.hub.records[0].value, "{\"accountId\":\"", 14) == 0);
    bgw_demo_destroy(&demo);
    CHECK(demo == NULL);
    /* both legs of every move are there: what was written is even */
    bgw_kafka_source_ask(r.source, 1, false);
    RIG_AWAIT(&r, r.hub.query_done[3] == 1);
    int64_t written = 0;
    for (int i = 0; i < 4; i++)
        written += r.hub.query_end[i];
    CHECK_EQ_I64(written % 2, 0);
    CHECK(written >= (int64_t)opening + 40);
    rig_deinit(&r);
}

TEST(stopping_does_not_wait_for_a_broker_that_is_away)
{
    static struct rig r;
    rig_init(&r, 1);
    r.config.kafka_bootstrap = "embedded";
    struct bgw_demo *demo = NULL;
    bgw_embedded_broker_set_down(r.broker, true);
    CHECK(bgw_demo_create(&demo, &r.config, bgw_embedded_broker_address(r.broker), &r.error) ==
          BGW_OK);
    int64_t began_ms = bgw_clock_now().mono_ms;
    bgw_demo_destroy(&demo);
    CHECK(bgw_clock_now().mono_ms - began_ms < 8000);
    rig_deinit(&r);
}
