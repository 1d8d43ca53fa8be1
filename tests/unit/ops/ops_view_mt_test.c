/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_view: the object itself, from facts and counters that the test makes, and that those who ask
 * while it is being made get whole ones.
 */
#include "test.h"

#include "bgw/json.h"
#include "bgw/metrics.h"
#include "bgw/ops_view.h"

#include <pthread.h>

#define WALL_MS 1700000000000

static struct bgw_ops_facts facts;
static struct bgw_flags flags;
static atomic_uint looks;

static void look(void *arg, struct bgw_ops_facts *out)
{
    (void)arg;
    *out = facts;
    atomic_fetch_add(&looks, 1);
}

static struct bgw_ops_view *make(void)
{
    struct bgw_ops_view *view = NULL;
    const struct bgw_ops_view_config config = {.version = "1.2",
                                               .instance = "ho\"st:1",
                                               .shards = 3,
                                               .flags = &flags,
                                               .look = look,
                                               .now = {.mono_ms = 1000, .wall_ms = WALL_MS}};
    bgw_metrics_init();
    facts = (struct bgw_ops_facts){.health = {.ready = true}, .proof_age_ms = -1, .sources = {.redis_memory_bytes = -1}};
    atomic_store(&flags.bits, ~0u);
    CHECK(bgw_ops_view_create(&view, &config) == BGW_OK);
    return view;
}

static char text[65536];

/* Collects after so many seconds and keeps a copy of the object. */
static const char *collect(struct bgw_ops_view *view, int64_t s)
{
    bgw_ops_view_collect(view, (struct bgw_now){1000 + s * 1000, WALL_MS + s * 1000});
    struct bgw_blob *event = bgw_ops_view_get(view);
    struct bgw_slice json = bgw_ops_view_json(event);
    struct bgw_json root;
    CHECK(bgw_json_parse(json, &root) == BGW_OK && root.type == BGW_JSON_OBJECT);
    CHECK(json.len < sizeof(text));
    memcpy(text, json.data, json.len);
    text[json.len] = '\0';
    bgw_blob_release(event);
    return text;
}

static bool says(const char *json, const char *part)
{
    bool found = strstr(json, part) != NULL;
    if (!found)
        printf("# no %s in\n# %s\n", part, json);
    return found;
}

TEST(before_the_first_collection_there_is_nothing)
{
    struct bgw_ops_view *view = make();
    CHECK(bgw_ops_view_get(view) == NULL);
    bgw_ops_view_destroy(&view);
    CHECK(view == NULL);
}

TEST(an_event_is_a_whole_block_around_one_object)
{
    struct bgw_ops_view *view = make();
    CHECK(says(collect(view, 5), "{\"timestamp\":\"2023-11-14T22:13:25.000Z\",\"seq\":1,\"process\":{\"version\":\"1.2\","
                                 "\"instance\":\"ho\\\"st:1\",\"shards\":3,\"started\":\"2023-11-14T22:13:20.000Z\",\"uptime_s\":5,"));
    struct bgw_blob *event = bgw_ops_view_get(view);
    struct bgw_slice whole = bgw_blob_slice(event);
    CHECK(memcmp(whole.data, "event: ops\ndata: {", 18) == 0);
    CHECK(memcmp(whole.data + whole.len - 3, "}\n\n", 3) == 0);
    CHECK_EQ_I64(event->refs, 2); /* ours and the view's: nobody copied it */
    bgw_blob_release(event);
    bgw_ops_view_destroy(&view);
}

TEST(the_state_is_the_one_of_readyz_with_its_words)
{
    struct bgw_ops_view *view = make();
    facts.health = (struct bgw_health){.reason = "not \"yet\"", .degraded = "\"kafka\""};
    CHECK(says(collect(view, 1), "\"state\":\"starting\",\"since\":\"2023-11-14T22:13:21.000Z\",\"reasons\":[\"not \\\"yet\\\"\"],"
                                 "\"degraded\":[\"kafka\"]}"));
    facts.health = (struct bgw_health){.ready = true, .degraded = "\"redis\",\"origin\""};
    CHECK(says(collect(view, 2), "\"state\":\"degraded\",\"since\":\"2023-11-14T22:13:22.000Z\",\"reasons\":[],"
                                 "\"degraded\":[\"redis\",\"origin\"]}"));
    facts.health = (struct bgw_health){.ready = true};
    CHECK(says(collect(view, 3), "\"state\":\"ready\",\"since\":\"2023-11-14T22:13:23.000Z\",\"reasons\":[],\"degraded\":[]}"));
    collect(view, 4);
    CHECK(says(text, "\"state\":\"ready\",\"since\":\"2023-11-14T22:13:23.000Z\""));
    facts.health = (struct bgw_health){.ready = true, .draining = true, .reason = "draining"};
    CHECK(says(collect(view, 5), "\"state\":\"draining\",\"since\":\"2023-11-14T22:13:25.000Z\",\"reasons\":[\"draining\"]"));
    bgw_ops_view_destroy(&view);
}

TEST(a_source_has_been_so_since_it_changed)
{
    struct bgw_ops_view *view = make();
    facts.sources.redis = BGW_LINK_UP;
    facts.origin_kind = "postgresql";
    facts.sources.origin = BGW_LINK_UP;
    collect(view, 1);
    CHECK(says(collect(view, 2), "\"redis\":{\"state\":\"up\",\"since\":\"2023-11-14T22:13:21.000Z\",\"breaker\":\"closed\","
                                 "\"breaker_since\":\"2023-11-14T22:13:21.000Z\"}"));
    CHECK(says(text, "\"invalidations\":{\"state\":\"off\",\"since\":\"2023-11-14T22:13:21.000Z\"}"));
    facts.sources.redis = BGW_LINK_DOWN;
    facts.sources.redis_breaker = BGW_BREAKER_OPEN;
    facts.sources.origin_breaker = BGW_BREAKER_HALF_OPEN;
    CHECK(says(collect(view, 9), "\"redis\":{\"state\":\"down\",\"since\":\"2023-11-14T22:13:29.000Z\",\"breaker\":\"open\","
                                 "\"breaker_since\":\"2023-11-14T22:13:29.000Z\"}"));
    CHECK(says(text, "\"origin\":{\"kind\":\"postgresql\",\"state\":\"up\",\"since\":\"2023-11-14T22:13:21.000Z\",\"breaker\":\"half_open\","
                     "\"breaker_since\":\"2023-11-14T22:13:29.000Z\""));
    bgw_ops_view_destroy(&view);
}

TEST(what_is_not_known_is_null_and_not_zero)
{
    struct bgw_ops_view *view = make();
    facts.proof = BGW_STATE_UNKNOWN;
    CHECK(says(collect(view, 1), "\"proof\":{\"state\":\"unknown\",\"age_s\":null},\"lag_records\":0,\"lag_s\":0,"
                                 "\"partition_count\":0,\"partitions\":[],"));
    CHECK(says(text, "\"origin\":{\"kind\":null,\"state\":\"off\""));
    CHECK(says(text, "\"count\":0,\"p50_s\":null,\"p90_s\":null,\"p99_s\":null,\"max_s\":null}"));
    CHECK(says(text, "\"hit_ratio\":null"));
    CHECK(says(text, "\"redis_bytes\":null"));
    facts.proof = BGW_STATE_DELAYED;
    facts.proof_age_ms = 3210;
    facts.sources.redis_memory_bytes = 4096;
    facts.sources.tokens_milli = 799500;
    facts.sources.hedge_delay_us = 12300;
    CHECK(says(collect(view, 2), "\"proof\":{\"state\":\"delayed\",\"age_s\":3.21}"));
    CHECK(says(text, "\"redis_bytes\":4096"));
    CHECK(says(text, "\"shedding\":{\"tokens\":799.5,"));
    CHECK(says(text, "\"delay_s\":0.0123}"));
    bgw_ops_view_destroy(&view);
}

TEST(partitions_are_told_one_by_one_and_the_most_there_can_be_fit)
{
    struct bgw_ops_view *view = make();
    facts.partitions = 70000;
    facts.partition_count = BGW_OPS_PARTITIONS_MAX;
    facts.lag_records = 7;
    facts.lag_ms = 1500;
    for (int32_t i = 0; i < BGW_OPS_PARTITIONS_MAX; i++)
        facts.lags[i] = (struct bgw_ops_partition){60000 + i, INT64_MAX - i, INT64_MAX / 2 - i};
    facts.lags[1] = (struct bgw_ops_partition){1, 7, 1500};
    CHECK(says(collect(view, 1), "\"lag_records\":7,\"lag_s\":1.5,\"partition_count\":70000,\"partitions\":[{\"partition\":60000,"));
    CHECK(says(text, "},{\"partition\":1,\"lag_records\":7,\"lag_s\":1.5},{"));
    CHECK(says(text, "\"seq\":1,"));
    bgw_ops_view_destroy(&view);
}

TEST(rates_ratios_and_percentiles_are_of_the_window)
{
    struct bgw_ops_view *view = make();
    collect(view, 0);
    bgw_metric_add(BGW_M_UPDATES_DELIVERED, 15);
    bgw_metric_add(BGW_M_READ_CACHE_HIT, 2);
    bgw_metric_add(BGW_M_READ_CACHE_COALESCED, 1);
    bgw_metric_add(BGW_M_READ_FROM_L1, 3);
    bgw_metric_add(BGW_M_RECORDS_REJECTED_BAD_JSON, 2);
    bgw_metric_add(BGW_M_RECORDS_REJECTED_TOO_MANY, 2);
    bgw_metric_observe_us(BGW_M_HANDOFF, 1000);
    CHECK(says(collect(view, 2), "\"window\":{\"rates_s\":2,\"latency_s\":2}"));
    CHECK(says(text, "\"delivered_per_s\":7.5,"));
    CHECK(says(text, "\"rejected_per_s\":2}"));
    CHECK(says(text, "\"hit_ratio\":0.6667}"));
    CHECK(says(text, "\"by_source_per_s\":{\"stream\":0,\"l1\":1.5,\"cache\":0,\"database\":0}"));
    CHECK(says(text, "\"measures\":\"From a record's arrival in the Kafka thread to its shard.\",\"count\":1,\"p50_s\":0.001024,"
                     "\"p90_s\":0.001024,\"p99_s\":0.001024,\"max_s\":0.001024}"));
    bgw_flag_set(&flags, BGW_FLAG_HEDGE, false);
    CHECK(says(collect(view, 3), "\"flags\":{\"shedding\":true,\"l1\":true,\"l2\":true,\"hedge\":false,"));
    bgw_ops_view_destroy(&view);
}

TEST(connections_are_split_by_dialect_and_by_transport)
{
    static const enum bgw_metric ids[] = {BGW_M_SPEAKS_NATIVE, BGW_M_SPEAKS_SIGNALR, BGW_M_SPEAKS_SIGNALR_STREAM, BGW_M_SPEAKS_APP,
                                          BGW_M_SPEAKS_STREAM, BGW_M_SPEAKS_UNDECIDED, BGW_M_OPS_STREAMS};
    struct bgw_ops_view *view = make();
    bgw_metric_set(BGW_M_CONNECTIONS, 200);
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        bgw_metric_set(ids[i], 1 << i);
    CHECK(says(collect(view, 0), "\"connections\":{\"total\":200,\"by_dialect\":{\"native\":1,\"signalr\":2,\"signalr_sse\":4,\"app\":8,"
                                 "\"sse\":16,\"undecided\":32},\"by_transport\":{\"websocket\":43,\"sse\":84,\"http\":73},\"ops_streams\":64,"));
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        bgw_metric_set(ids[i], 0);
    bgw_metric_set(BGW_M_CONNECTIONS, 0);
    bgw_ops_view_destroy(&view);
}

TEST(places_for_streams_end_at_the_maximum_and_come_back)
{
    struct bgw_ops_view *view = make();
    for (int i = 0; i < BGW_OPS_STREAMS_MAX; i++)
        CHECK(bgw_ops_view_enter(view));
    CHECK(!bgw_ops_view_enter(view));
    bgw_ops_view_leave(view);
    CHECK(bgw_ops_view_enter(view));
    CHECK(!bgw_ops_view_enter(view));
    for (int i = 0; i < BGW_OPS_STREAMS_MAX; i++)
        bgw_ops_view_leave(view);
    bgw_ops_view_destroy(&view);
}

/* ---- many ask while one collects and others count ---- */

static atomic_bool over;

static void *count(void *arg)
{
    (void)arg;
    bgw_metrics_thread_attach();
    while (!atomic_load(&over)) {
        bgw_metric_add(BGW_M_UPDATES_DELIVERED, 1);
        bgw_metric_observe_us(BGW_M_HANDOFF, 50);
    }
    return NULL;
}

static void *ask(void *arg)
{
    struct bgw_ops_view *view = arg;
    uint64_t seen = 0;
    while (!atomic_load(&over)) {
        struct bgw_blob *event = bgw_ops_view_get(view);
        struct bgw_json root, seq;
        uint64_t number = 0;
        CHECK(bgw_json_parse(bgw_ops_view_json(event), &root) == BGW_OK);
        CHECK(bgw_json_member(&root, "seq", &seq));
        for (size_t i = 0; i < seq.raw.len; i++)
            number = number * 10 + (uint64_t)(seq.raw.data[i] - '0');
        CHECK(number >= seen); /* never an older one */
        seen = number;
        bgw_blob_release(event);
    }
    return NULL;
}

TEST(whoever_asks_meanwhile_gets_a_whole_one_and_never_an_older_one)
{
    struct bgw_ops_view *view = make();
    pthread_t askers[4], counters[2];
    atomic_store(&looks, 0);
    bgw_ops_view_collect(view, (struct bgw_now){1000, WALL_MS});
    for (int i = 0; i < 2; i++)
        CHECK_EQ_I64(pthread_create(&counters[i], NULL, count, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ_I64(pthread_create(&askers[i], NULL, ask, view), 0);
    for (int i = 1; i < 300; i++)
        bgw_ops_view_collect(view, (struct bgw_now){1000 + i, WALL_MS + i});
    atomic_store(&over, true);
    for (int i = 0; i < 4; i++)
        pthread_join(askers[i], NULL);
    for (int i = 0; i < 2; i++)
        pthread_join(counters[i], NULL);
    CHECK_EQ_I64(atomic_load(&looks), 300); /* as often as collected, however many asked */
    bgw_ops_view_destroy(&view);
}
