/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_writer: each record is answered once, whatever becomes of the broker. */
#include "bgw/kafka_group.h"

#include "ingest_rig.h"

#define TOPIC "updates"

struct writer_rig {
    struct rig r;
    struct bgw_kafka_writer *w;
    int answers, failed, again; /* again: so many more are sent from within an answer */
    enum bgw_status status;
    bool inside;
};

static void on_done(void *arg, enum bgw_status status)
{
    struct writer_rig *t = arg;
    CHECK(!t->inside);
    t->answers++;
    t->status = status;
    t->failed += status != BGW_OK;
    if (t->again == 0)
        return;
    const struct bgw_kafka_outgoing o = {.partition = -1, .key = BGW_SLICE("again"), .value = BGW_SLICE("v")};
    t->again -= bgw_kafka_writer_send(t->w, TOPIC, &o, on_done, t);
}

static bool put(struct writer_rig *t, const char *topic, const char *key, struct bgw_slice value)
{
    const struct bgw_kafka_outgoing o = {.partition = -1, .key = bgw_slice_str(key), .value = value,
                                         .h_v = BGW_SLICE("7")};
    t->inside = true;
    bool taken = bgw_kafka_writer_send(t->w, topic, &o, on_done, t);
    t->inside = false;
    return taken;
}

static void writer_init(struct writer_rig *t)
{
    const char *topics[] = {TOPIC};
    const int partitions = 3;
    memset(t, 0, sizeof(*t));
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_buf_init(&t->r.error, 4096);
    CHECK(bgw_loop_create(&t->r.loop) == BGW_OK);
    CHECK(bgw_embedded_broker_create(&t->r.broker, topics, &partitions, 1, &t->r.error) == BGW_OK);
    CHECK(bgw_kafka_writer_create(&t->w, t->r.loop, &t->r.config,
                                  bgw_embedded_broker_address(t->r.broker), &t->r.error) == BGW_OK);
}

static void writer_deinit(struct writer_rig *t)
{
    bgw_kafka_writer_destroy(&t->w);
    CHECK(t->w == NULL);
    rig_deinit(&t->r);
}

TEST(each_record_is_answered_once_when_the_broker_has_it)
{
    static struct writer_rig t;
    static char key[16];
    writer_init(&t);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        CHECK(put(&t, TOPIC, key, BGW_SLICE("value")));
    }
    CHECK_EQ_I64(t.answers, 0);
    RIG_AWAIT(&t.r, t.answers == 3000);
    CHECK_EQ_I64(t.failed, 0);
    t.again = 500; /* an answer sends the next one */
    CHECK(put(&t, TOPIC, "k", BGW_SLICE("")));
    RIG_AWAIT(&t.r, t.answers == 3501);
    CHECK_EQ_I64(t.failed, 0);
    writer_deinit(&t);
}

TEST(record_that_is_too_large_is_refused_by_its_answer)
{
    static struct writer_rig t;
    static char big[2 << 20];
    writer_init(&t);
    memset(big, 'x', sizeof(big));
    CHECK(put(&t, TOPIC, "k", bgw_slice_of(big, sizeof(big))));
    CHECK_EQ_I64(t.answers, 0);
    RIG_AWAIT(&t.r, t.answers == 1);
    CHECK(t.status == BGW_TOO_LARGE);
    CHECK(put(&t, TOPIC, "k", BGW_SLICE("small")));
    RIG_AWAIT(&t.r, t.answers == 2);
    CHECK(t.status == BGW_OK);
    writer_deinit(&t);
}

TEST(broker_that_goes_away_is_told_in_time_and_the_next_record_works)
{
    static struct writer_rig t;
    writer_init(&t);
    CHECK(put(&t, TOPIC, "k", BGW_SLICE("v")));
    RIG_AWAIT(&t.r, t.answers == 1);
    bgw_embedded_broker_set_down(t.r.broker, true);
    for (int i = 0; i < 10; i++)
        CHECK(put(&t, TOPIC, "k", BGW_SLICE("v")));
    RIG_AWAIT(&t.r, t.answers == 11);
    CHECK_EQ_I64(t.failed, 10);
    CHECK(t.status == BGW_TIMEOUT || t.status == BGW_UNAVAILABLE);
    bgw_embedded_broker_set_down(t.r.broker, false);
    t.failed = 0;
    CHECK(put(&t, TOPIC, "k", BGW_SLICE("v")));
    RIG_AWAIT(&t.r, t.answers == 12);
    CHECK_EQ_I64(t.failed, 0);
    writer_deinit(&t);
}

TEST(more_than_may_wait_is_not_taken_and_the_end_answers_the_rest)
{
    static struct writer_rig t;
    int taken = 0;
    writer_init(&t);
    bgw_embedded_broker_set_down(t.r.broker, true);
    while (taken < 100000 && put(&t, TOPIC, "k", BGW_SLICE("v")))
        taken++;
    CHECK_EQ_I64(taken, 20000);
    CHECK(!bgw_kafka_writer_has_room(t.w));
    t.again = 1; /* nothing is taken any more */
    int64_t began_ms = bgw_clock_now().mono_ms;
    bgw_kafka_writer_destroy(&t.w);
    CHECK(bgw_clock_now().mono_ms - began_ms < 4000);
    CHECK_EQ_I64(t.answers, taken);
    CHECK_EQ_I64(t.failed, taken);
    CHECK(t.status == BGW_UNAVAILABLE && t.again == 1);
    rig_deinit(&t.r);
}

TEST(bytes_that_wait_are_bounded_too)
{
    static struct writer_rig t;
    static char big[500000];
    int taken = 0;
    writer_init(&t);
    memset(big, 'x', sizeof(big));
    bgw_embedded_broker_set_down(t.r.broker, true);
    while (taken < 1000 && put(&t, TOPIC, "k", bgw_slice_of(big, sizeof(big))))
        taken++;
    CHECK(taken > 50 && taken < 80);
    writer_deinit(&t);
    CHECK_EQ_I64(t.answers, taken);
}
