/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_log: read whole, follow, write; a topic that is missing, a broker that is away. */
#include "ingest_rig.h"

#define LOG_TOPIC "statements"
#define HEARD_MAX 20000

struct heard { /* the test's thread */
    int32_t partition;
    int64_t offset;
    char key[16], value[16];
    bool value_null;
};

struct log_rig {
    struct rig r; /* its broker and producer */
    struct bgw_kafka_log *log;
    struct heard *heard;
    size_t count, count_when_caught_up;
    int caught_up, answers, untimed;
    enum bgw_status status;
};

static void on_record(void *arg, const struct bgw_kafka_log_record *r)
{
    struct log_rig *l = arg;
    if (l->count == HEARD_MAX)
        return;
    struct heard *h = &l->heard[l->count++];
    *h = (struct heard){.partition = r->partition, .offset = r->offset, .value_null = !r->value.data};
    rig_text(h->key, sizeof(h->key), r->key);
    rig_text(h->value, sizeof(h->value), r->value);
    l->untimed += r->timestamp_ms < bgw_clock_now().wall_ms - 3600000;
}

static void on_caught_up(void *arg)
{
    struct log_rig *l = arg;
    l->caught_up++;
    l->count_when_caught_up = l->count;
}

static void on_done(void *arg, enum bgw_status status)
{
    struct log_rig *l = arg;
    l->answers++;
    l->status = status;
}

static void log_init(struct log_rig *l, int partitions)
{
    const char *topics[] = {LOG_TOPIC};
    memset(l, 0, sizeof(*l));
    struct rig *r = &l->r;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_buf_init(&r->error, 4096);
    l->heard = calloc(HEARD_MAX, sizeof(*l->heard));
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    CHECK(bgw_embedded_broker_create(&r->broker, topics, &partitions, partitions ? 1 : 0,
                                     &r->error) == BGW_OK);
    CHECK(bgw_kafka_producer_create(&r->producer, NULL, bgw_embedded_broker_address(r->broker),
                                    &r->error) == BGW_OK);
}

static void log_start(struct log_rig *l)
{
    struct bgw_kafka_log_config c = {
        .config = &l->r.config,
        .bootstrap = bgw_embedded_broker_address(l->r.broker),
        .topic = LOG_TOPIC,
        .record = on_record,
        .caught_up = on_caught_up,
        .arg = l,
    };
    CHECK(bgw_kafka_log_create(&l->log, l->r.loop, &c, &l->r.error) == BGW_OK);
}

static void log_deinit(struct log_rig *l)
{
    bgw_kafka_log_destroy(&l->log);
    CHECK(l->log == NULL);
    rig_deinit(&l->r);
    free(l->heard);
}

static void put(struct log_rig *l, int32_t partition, const char *key, const char *value)
{
    struct bgw_kafka_outgoing o = {.partition = partition,
                                   .key = bgw_slice_str(key),
                                   .value = bgw_slice_str(value)};
    CHECK(bgw_kafka_producer_send_outgoing(l->r.producer, LOG_TOPIC, &o) == BGW_OK);
}

static bool append(struct log_rig *l, const char *key, const char *value)
{
    return bgw_kafka_log_append(l->log, bgw_slice_str(key), bgw_slice_str(value), on_done, l);
}

static void turn_for(struct log_rig *l, int64_t ms)
{
    int64_t until_ms = bgw_clock_now().mono_ms + ms;
    while (bgw_clock_now().mono_ms < until_ms)
        rig_turn(&l->r);
}

TEST(everything_that_was_there_is_handed_over_before_caught_up_is_said)
{
    static struct log_rig l;
    log_init(&l, 3);
    for (int i = 0; i < 9000; i++)
        put(&l, i % 3, "k", i == 8999 ? "last" : "v");
    rig_flush(&l.r);
    log_start(&l);
    CHECK(!bgw_kafka_log_caught_up(l.log));
    RIG_AWAIT(&l.r, l.caught_up == 1);
    CHECK_EQ_I64(l.count_when_caught_up, 9000);
    CHECK_EQ_I64(l.untimed, 0);
    CHECK(bgw_kafka_log_caught_up(l.log) && !bgw_kafka_log_trouble(l.log));
    int64_t next[3] = {0};
    for (size_t i = 0; i < l.count; i++)
        CHECK_EQ_I64(l.heard[i].offset, next[l.heard[i].partition]++);
    log_deinit(&l);
}

TEST(empty_topic_is_caught_up_and_what_comes_is_heard_soon)
{
    static struct log_rig l;
    log_init(&l, 2);
    log_start(&l);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    put(&l, 0, "k", "the test's own producer takes a second to begin");
    RIG_AWAIT(&l.r, l.count == 1);
    l.count = 0;
    int64_t worst_ms = 0;
    for (size_t i = 1; i <= 20; i++) {
        int64_t began_ms = bgw_clock_now().mono_ms;
        put(&l, (int32_t)(i % 2), "k", "v");
        RIG_AWAIT(&l.r, l.count == i);
        int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
        worst_ms = took_ms > worst_ms ? took_ms : worst_ms;
    }
    printf("# slowest record: %lld ms\n", (long long)worst_ms);
    CHECK(worst_ms < 500);
    CHECK_EQ_I64(l.caught_up, 1);
    log_deinit(&l);
}

TEST(tombstones_and_empty_values_are_told_apart)
{
    static struct log_rig l;
    log_init(&l, 1);
    struct bgw_kafka_outgoing grave = {.partition = 0, .key = BGW_SLICE("k")};
    CHECK(bgw_kafka_producer_send_outgoing(l.r.producer, LOG_TOPIC, &grave) == BGW_OK);
    put(&l, 0, "k", "");
    rig_flush(&l.r);
    log_start(&l);
    RIG_AWAIT(&l.r, l.count == 2);
    CHECK(l.heard[0].value_null && !l.heard[1].value_null);
    CHECK_EQ_STR(l.heard[0].key, "k");
    log_deinit(&l);
}

TEST(what_is_appended_is_acknowledged_and_heard)
{
    static struct log_rig l;
    log_init(&l, 2);
    log_start(&l);
    CHECK(append(&l, "a", "early")); /* before the topic has been found */
    CHECK_EQ_I64(l.answers, 0);      /* never from inside the call */
    RIG_AWAIT(&l.r, l.answers == 1 && l.count == 1);
    CHECK(l.status == BGW_OK);
    CHECK_EQ_STR(l.heard[0].value, "early");
    for (int i = 0; i < 500; i++)
        CHECK(append(&l, "b", "more"));
    RIG_AWAIT(&l.r, l.answers == 501 && l.count == 501);
    CHECK(l.status == BGW_OK);
    log_deinit(&l);
}

TEST(first_append_is_as_quick_as_the_others)
{
    static struct log_rig l;
    log_init(&l, 1);
    log_start(&l);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    turn_for(&l, 1500); /* a producer begins by itself, and not when it is first needed */
    for (int i = 1; i <= 5; i++) {
        int64_t began_ms = bgw_clock_now().mono_ms;
        CHECK(append(&l, "a", "v"));
        RIG_AWAIT(&l.r, l.answers == i && l.count == (size_t)i);
        int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
        printf("# append %d: %lld ms\n", i, (long long)took_ms);
        CHECK(took_ms < 500);
    }
    log_deinit(&l);
}

TEST(missing_topic_is_empty_and_read_from_its_beginning_once_it_is_there)
{
    static struct log_rig l;
    log_init(&l, 0);
    log_start(&l);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    CHECK(l.count == 0 && !bgw_kafka_log_trouble(l.log));
    CHECK(bgw_embedded_broker_add_topic(l.r.broker, LOG_TOPIC, 2, &l.r.error) == BGW_OK);
    put(&l, 0, "k", "first");
    put(&l, 1, "k", "second");
    rig_flush(&l.r);
    RIG_AWAIT(&l.r, l.count == 2);
    CHECK_EQ_I64(l.caught_up, 1);
    log_deinit(&l);
}

TEST(append_to_a_topic_that_cannot_be_made_says_so)
{
    static struct log_rig l;
    log_init(&l, 0);
    log_start(&l);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    CHECK(append(&l, "k", "v")); /* the embedded broker makes no topics on request */
    RIG_AWAIT(&l.r, l.answers == 1);
    CHECK(l.status == BGW_NOT_FOUND || l.status == BGW_UNAVAILABLE);
    log_deinit(&l);
}

TEST(broker_away_at_start_is_told_and_means_not_read_yet)
{
    static struct log_rig l;
    log_init(&l, 1);
    put(&l, 0, "k", "v");
    rig_flush(&l.r);
    bgw_embedded_broker_set_down(l.r.broker, true);
    log_start(&l);
    turn_for(&l, 1500);
    CHECK(l.caught_up == 0 && l.count == 0 && !bgw_kafka_log_caught_up(l.log));
    const char *why = bgw_kafka_log_trouble(l.log);
    CHECK(why && strstr(why, LOG_TOPIC) && strstr(why, bgw_embedded_broker_address(l.r.broker)));
    bgw_embedded_broker_set_down(l.r.broker, false);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    CHECK_EQ_I64(l.count_when_caught_up, 1);
    RIG_AWAIT(&l.r, !bgw_kafka_log_trouble(l.log));
    log_deinit(&l);
}

TEST(append_while_the_broker_is_away_fails_in_time_and_the_next_one_works)
{
    static struct log_rig l;
    log_init(&l, 1);
    log_start(&l);
    RIG_AWAIT(&l.r, l.caught_up == 1);
    bgw_embedded_broker_set_down(l.r.broker, true);
    int64_t began_ms = bgw_clock_now().mono_ms;
    CHECK(append(&l, "k", "lost"));
    RIG_AWAIT(&l.r, l.answers == 1);
    CHECK(l.status == BGW_TIMEOUT || l.status == BGW_UNAVAILABLE);
    CHECK(bgw_clock_now().mono_ms - began_ms < 12000);
    bgw_embedded_broker_set_down(l.r.broker, false);
    CHECK(append(&l, "k", "kept"));
    RIG_AWAIT(&l.r, l.answers == 2);
    CHECK(l.status == BGW_OK);
    RIG_AWAIT(&l.r, l.count >= 1 && strcmp(l.heard[l.count - 1].value, "kept") == 0);
    log_deinit(&l);
}

TEST(appends_beyond_the_maximum_are_refused_and_the_end_answers_the_rest)
{
    static struct log_rig l;
    log_init(&l, 1);
    bgw_embedded_broker_set_down(l.r.broker, true);
    log_start(&l);
    int taken = 0;
    while (taken < 2000 && append(&l, "k", "v"))
        taken++;
    CHECK_EQ_I64(taken, 1024);
    rig_turn(&l.r);
    bgw_kafka_log_destroy(&l.log);
    CHECK_EQ_I64(l.answers, taken);
    CHECK(l.status == BGW_UNAVAILABLE);
    log_deinit(&l);
}

TEST(position_that_was_cut_off_is_read_again_from_what_is_left)
{
    static struct log_rig l;
    static char big[100000];
    log_init(&l, 1);
    memset(big, 'x', sizeof(big) - 1);
    put(&l, 0, "k", "first");
    rig_flush(&l.r);
    log_start(&l);
    RIG_AWAIT(&l.r, l.count == 1);
    int64_t before = bgw_metric_read(BGW_M_KAFKA_POSITIONS_LOST);
    for (int round = 0; round < 3; round++) { /* the mock broker keeps 5 MiB, we do not turn meanwhile */
        for (int i = 0; i < 400; i++)
            put(&l, 0, "k", big);
        rig_flush(&l.r);
    }
    put(&l, 0, "k", "end");
    rig_flush(&l.r);
    RIG_AWAIT(&l.r, strcmp(l.heard[l.count - 1].value, "end") == 0);
    printf("# positions lost: %lld\n", (long long)(bgw_metric_read(BGW_M_KAFKA_POSITIONS_LOST) - before));
    CHECK_EQ_I64(l.caught_up, 1);
    log_deinit(&l);
}
