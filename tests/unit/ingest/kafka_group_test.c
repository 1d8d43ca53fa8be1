/* SPDX-License-Identifier: Apache-2.0 */
/* kafka_group: members of a group on the embedded broker; what they are given, hear and commit. */
#include "bgw/kafka_group.h"

#include "ingest_rig.h"

#define TOPIC "events"
#define PARTS 4
#define VALUE_MAX 16

struct seen { /* the test's thread; one member's view of a partition */
    bool ours, reading;
    int given, taken, orderly, records;
    int64_t next, committed, low, high;
    int64_t held_from; /* pause at this offset; -1: never */
};

struct member {
    struct bgw_kafka_group *group;
    struct seen seen[PARTS];
    bool begin, done; /* at once, what is given; each record is done */
    int out_of_order, unwanted;
    int64_t total;
    uint64_t epoch_when_given;
};

struct group_rig {
    struct rig r;
    struct member a, b;
};

static void on_given(void *arg, const struct bgw_kafka_given *g)
{
    struct member *m = arg;
    struct seen *s = &m->seen[g->partition];
    s->given++;
    s->ours = true;
    s->reading = false;
    s->committed = g->committed;
    s->low = g->low;
    s->high = g->high;
    m->epoch_when_given = bgw_kafka_group_epoch(m->group);
    if (!m->begin)
        return;
    s->next = g->committed >= g->low ? g->committed : g->low;
    s->reading = true;
    bgw_kafka_group_begin(m->group, g->partition, s->next);
}

static void on_taken(void *arg, int32_t partition, bool orderly)
{
    struct member *m = arg;
    struct seen *s = &m->seen[partition];
    m->unwanted += !s->ours;
    s->taken++;
    s->orderly += orderly;
    if (orderly && m->done && s->reading)
        bgw_kafka_group_done(m->group, partition, s->next);
    s->ours = s->reading = false;
}

static void on_record(void *arg, const struct bgw_kafka_log_record *r)
{
    struct member *m = arg;
    struct seen *s = &m->seen[r->partition];
    m->unwanted += !s->ours || !s->reading;
    if (r->offset != s->next)
        printf("# partition %d: %lld came after %lld\n", (int)r->partition, (long long)r->offset,
               (long long)s->next - 1);
    m->out_of_order += r->offset != s->next;
    s->next = r->offset + 1;
    s->records++;
    m->total++;
    if (m->done)
        bgw_kafka_group_done(m->group, r->partition, s->next);
    if (s->held_from >= 0 && r->offset >= s->held_from) {
        s->reading = false;
        bgw_kafka_group_pause(m->group, r->partition, true);
    }
}

static void rig_group_init(struct group_rig *g, int partitions)
{
    const char *topics[] = {TOPIC};
    memset(g, 0, sizeof(*g));
    for (int i = 0; i < PARTS; i++)
        g->a.seen[i].held_from = g->b.seen[i].held_from = -1;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_buf_init(&g->r.error, 4096);
    /* the embedded broker waits for a second less than this, whenever a member comes or goes */
    g->r.config.kafka_props[0].name = "session.timeout.ms";
    g->r.config.kafka_props[0].value = "3000";
    g->r.config.kafka_prop_count = 1;
    CHECK(bgw_loop_create(&g->r.loop) == BGW_OK);
    CHECK(bgw_embedded_broker_create(&g->r.broker, topics, &partitions, partitions ? 1 : 0,
                                     &g->r.error) == BGW_OK);
    CHECK(bgw_kafka_producer_create(&g->r.producer, NULL, bgw_embedded_broker_address(g->r.broker),
                                    &g->r.error) == BGW_OK);
}

static void member_start(struct group_rig *g, struct member *m)
{
    const struct bgw_kafka_group_config c = {
        .config = &g->r.config,
        .bootstrap = bgw_embedded_broker_address(g->r.broker),
        .topic = TOPIC,
        .group = "projection",
        .broker_is_embedded = true,
        .arg = m,
        .given = on_given,
        .taken = on_taken,
        .record = on_record,
    };
    CHECK(bgw_kafka_group_create(&m->group, g->r.loop, &c, &g->r.error) == BGW_OK);
}

static void member_end(struct member *m)
{
    bgw_kafka_group_destroy(&m->group);
    CHECK(m->group == NULL);
    for (int i = 0; i < PARTS; i++) {
        m->seen[i].ours = m->seen[i].reading = false;
        m->seen[i].given = m->seen[i].taken = m->seen[i].records = 0;
    }
}

static void rig_group_deinit(struct group_rig *g)
{
    CHECK_EQ_I64(g->a.out_of_order + g->b.out_of_order, 0);
    CHECK_EQ_I64(g->a.unwanted + g->b.unwanted, 0);
    bgw_kafka_group_destroy(&g->a.group);
    bgw_kafka_group_destroy(&g->b.group);
    rig_deinit(&g->r);
}

static void put(struct group_rig *g, int32_t partition, int count)
{
    for (int i = 0; i < count; i++) {
        struct bgw_kafka_outgoing o = {.partition = partition, .key = BGW_SLICE("k"), .value = BGW_SLICE("v")};
        CHECK(bgw_kafka_producer_send_outgoing(g->r.producer, TOPIC, &o) == BGW_OK);
    }
    rig_flush(&g->r);
}

static void turn_for(struct group_rig *g, int64_t ms)
{
    int64_t until_ms = bgw_clock_now().mono_ms + ms;
    while (bgw_clock_now().mono_ms < until_ms)
        rig_turn(&g->r);
}

/* Whoever has them has read them all up to there. */
static bool all_at(const struct group_rig *g, int64_t next)
{
    for (int i = 0; i < PARTS; i++) {
        const struct seen *a = &g->a.seen[i], *b = &g->b.seen[i];
        if (a->ours == b->ours || (a->ours ? a->next : b->next) != next)
            return false;
    }
    return true;
}

static int ours(const struct member *m)
{
    int n = 0;
    for (int i = 0; i < PARTS; i++)
        n += m->seen[i].ours;
    return n;
}

TEST(partitions_are_given_once_their_offsets_are_known_and_nothing_is_read_before_begin)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    put(&g, 0, 10);
    member_start(&g, &g.a);
    CHECK(bgw_kafka_group_epoch(g.a.group) == 0);
    CHECK(bgw_kafka_group_trouble(g.a.group) != NULL);
    RIG_AWAIT(&g.r, ours(&g.a) == PARTS);
    CHECK(g.a.epoch_when_given != 0 && g.a.epoch_when_given == bgw_kafka_group_epoch(g.a.group));
    CHECK_EQ_I64(bgw_kafka_group_partitions(g.a.group), PARTS);
    CHECK(g.a.seen[0].committed == -1 && g.a.seen[0].low == 0 && g.a.seen[0].high == 10);
    CHECK(g.a.seen[1].committed == -1 && g.a.seen[1].low == 0 && g.a.seen[1].high == 0);
    turn_for(&g, 500);
    CHECK_EQ_I64(g.a.total, 0);
    g.a.seen[0].reading = true;
    g.a.seen[0].next = 3;
    bgw_kafka_group_begin(g.a.group, 0, 3);
    RIG_AWAIT(&g.r, g.a.seen[0].next == 10);
    CHECK_EQ_I64(g.a.total, 7);
    RIG_AWAIT(&g.r, !bgw_kafka_group_trouble(g.a.group));
    rig_group_deinit(&g);
}

TEST(records_come_in_order_and_each_once)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    g.a.begin = g.a.done = true;
    for (int i = 0; i < PARTS; i++)
        put(&g, i, 5000);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.total == 4 * 5000);
    put(&g, 1, 100);
    RIG_AWAIT(&g.r, g.a.total == 4 * 5000 + 100);
    turn_for(&g, 300);
    CHECK_EQ_I64(g.a.total, 4 * 5000 + 100);
    rig_group_deinit(&g);
}

TEST(pause_and_resume_lose_and_repeat_nothing)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    g.a.begin = g.a.done = true;
    for (int i = 0; i < 2; i++) {
        put(&g, i, 5000);
        g.a.seen[i].held_from = 99;
    }
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.seen[0].next == 100 && g.a.seen[1].next == 100);
    turn_for(&g, 300);
    CHECK_EQ_I64(g.a.total, 200); /* none after the pause */
    for (int64_t stop = 200; stop <= 5000; stop += 100) {
        for (int i = 0; i < 2; i++) {
            struct seen *s = &g.a.seen[i];
            s->held_from = stop - 1;
            s->reading = true;
            bgw_kafka_group_pause(g.a.group, i, false);
            if (stop % 300 == 0) { /* before a single one could come */
                bgw_kafka_group_pause(g.a.group, i, true);
                bgw_kafka_group_pause(g.a.group, i, false);
            }
        }
        RIG_AWAIT(&g.r, g.a.seen[0].next == stop && g.a.seen[1].next == stop);
    }
    CHECK_EQ_I64(g.a.total, 10000);
    rig_group_deinit(&g);
}

TEST(begin_goes_back_in_the_midst_of_reading)
{
    static struct group_rig g;
    rig_group_init(&g, 1);
    g.a.begin = true;
    put(&g, 0, 3000);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.seen[0].next >= 1000);
    for (int i = 0; i < 10; i++) {
        g.a.seen[0].next = i * 10;
        bgw_kafka_group_begin(g.a.group, 0, i * 10);
        RIG_AWAIT(&g.r, g.a.seen[0].next > i * 10);
    }
    RIG_AWAIT(&g.r, g.a.seen[0].next == 3000);
    rig_group_deinit(&g);
}

TEST(what_is_done_is_where_the_next_one_goes_on)
{
    static struct group_rig g;
    rig_group_init(&g, 2);
    g.a.begin = true;
    put(&g, 0, 100);
    put(&g, 1, 100);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.total == 200);
    bgw_kafka_group_done(g.a.group, 0, 40); /* read is not done */
    member_end(&g.a);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, ours(&g.a) == 2);
    CHECK_EQ_I64(g.a.seen[0].committed, 40);
    CHECK_EQ_I64(g.a.seen[1].committed, -1);
    RIG_AWAIT(&g.r, g.a.total == 200 + 60 + 100);
    bgw_kafka_group_done(g.a.group, 0, 77);
    turn_for(&g, 2500); /* in the background; a member that ends without a word has no say */
    bgw_kafka_group_done(g.a.group, 1, 5);
    member_end(&g.a);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, ours(&g.a) == 2);
    CHECK_EQ_I64(g.a.seen[0].committed, 77);
    CHECK_EQ_I64(g.a.seen[1].committed, 5);
    rig_group_deinit(&g);
}

/* The embedded broker takes no commits while it counts its members, as others do: records may come again. */
static void share_and_take_over(struct group_rig *g)
{
    g->a.begin = g->a.done = g->b.begin = g->b.done = true;
    for (int i = 0; i < PARTS; i++)
        put(g, i, 50);
    member_start(g, &g->a);
    RIG_AWAIT(&g->r, g->a.total == 4 * 50);
    turn_for(g, 1500); /* and that is committed */
    member_start(g, &g->b);
    RIG_AWAIT(&g->r, ours(&g->a) == 2 && ours(&g->b) == 2 && all_at(g, 50));
    CHECK_EQ_I64(g->a.total + g->b.total, 200);
    for (int i = 0; i < PARTS; i++)
        put(g, i, 50);
    RIG_AWAIT(&g->r, all_at(g, 100));
    CHECK_EQ_I64(g->a.total + g->b.total, 400);
    CHECK(ours(&g->a) == 2 && ours(&g->b) == 2);
    member_end(&g->a);
    RIG_AWAIT(&g->r, ours(&g->b) == PARTS);
    for (int i = 0; i < PARTS; i++)
        put(g, i, 10);
    RIG_AWAIT(&g->r, all_at(g, 110));
}

TEST(two_members_share_the_partitions_and_take_over)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    share_and_take_over(&g);
    rig_group_deinit(&g);
}

TEST(cooperative_assignors_share_and_take_over_as_well)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    g.r.config.kafka_props[1].name = "partition.assignment.strategy";
    g.r.config.kafka_props[1].value = "cooperative-sticky";
    g.r.config.kafka_prop_count = 2;
    share_and_take_over(&g);
    rig_group_deinit(&g);
}

TEST(offset_outside_of_the_log_under_a_cooperative_assignor_is_given_again)
{
    static struct group_rig g;
    rig_group_init(&g, 2);
    g.r.config.kafka_props[1].name = "partition.assignment.strategy";
    g.r.config.kafka_props[1].value = "cooperative-sticky";
    g.r.config.kafka_prop_count = 2;
    put(&g, 0, 10);
    put(&g, 1, 10);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, ours(&g.a) == 2);
    g.a.begin = true;
    bgw_kafka_group_begin(g.a.group, 0, 500);
    RIG_AWAIT(&g.r, g.a.seen[0].given == 2);
    RIG_AWAIT(&g.r, g.a.seen[0].next == 10); /* it began anew from what the log has */
    CHECK_EQ_I64(g.a.seen[0].records, 10);
    CHECK_EQ_I64(g.a.seen[1].given, 1);
    CHECK_EQ_I64(g.a.seen[0].taken, 0);
    rig_group_deinit(&g);
}

TEST(offset_outside_of_the_log_under_an_eager_assignor_is_given_again_alone)
{
    static struct group_rig g;
    rig_group_init(&g, PARTS);
    g.r.config.kafka_props[1].name = "partition.assignment.strategy";
    g.r.config.kafka_props[1].value = "range";
    g.r.config.kafka_prop_count = 2;
    g.a.begin = g.a.done = true;
    for (int i = 0; i < PARTS; i++)
        put(&g, i, 50);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.total == 4 * 50);
    g.a.seen[2].reading = true;
    g.a.begin = false;
    bgw_kafka_group_begin(g.a.group, 2, 5000); /* is lost: the others go on where they were */
    RIG_AWAIT(&g.r, g.a.seen[2].given == 2);
    g.a.begin = true;
    g.a.seen[2].reading = true;
    g.a.seen[2].next = 50;
    bgw_kafka_group_begin(g.a.group, 2, 50);
    for (int i = 0; i < PARTS; i++)
        put(&g, i, 50);
    RIG_AWAIT(&g.r, g.a.total == 4 * 100);
    for (int i = 0; i < PARTS; i++)
        CHECK_EQ_I64(g.a.seen[i].given, i == 2 ? 2 : 1);
    rig_group_deinit(&g);
}

TEST(broker_away_at_start_and_later_is_waited_for)
{
    static struct group_rig g;
    rig_group_init(&g, 2);
    g.a.begin = g.a.done = true;
    put(&g, 0, 10);
    bgw_embedded_broker_set_down(g.r.broker, true);
    member_start(&g, &g.a);
    turn_for(&g, 1000);
    CHECK(ours(&g.a) == 0);
    const char *why = bgw_kafka_group_trouble(g.a.group);
    CHECK(why && strstr(why, TOPIC));
    bgw_embedded_broker_set_down(g.r.broker, false);
    RIG_AWAIT(&g.r, g.a.total == 10);
    bgw_embedded_broker_set_down(g.r.broker, true);
    turn_for(&g, 2000);
    RIG_AWAIT(&g.r, bgw_kafka_group_trouble(g.a.group) != NULL);
    bgw_embedded_broker_set_down(g.r.broker, false);
    put(&g, 0, 10);
    RIG_AWAIT(&g.r, g.a.seen[0].next == 20);
    RIG_AWAIT(&g.r, !bgw_kafka_group_trouble(g.a.group));
    rig_group_deinit(&g);
}

TEST(missing_topic_is_told_and_waited_for)
{
    static struct group_rig g;
    rig_group_init(&g, 0);
    g.a.begin = true;
    member_start(&g, &g.a);
    turn_for(&g, 1500);
    const char *why = bgw_kafka_group_trouble(g.a.group);
    CHECK(why && strstr(why, "create it"));
    CHECK(bgw_embedded_broker_add_topic(g.r.broker, TOPIC, 2, &g.r.error) == BGW_OK);
    RIG_AWAIT(&g.r, ours(&g.a) == 2);
    put(&g, 1, 10);
    RIG_AWAIT(&g.r, g.a.total == 10);
    rig_group_deinit(&g);
}

TEST(records_behind_are_told_of_partitions_that_are_ours)
{
    static struct group_rig g;
    struct bgw_buf text;
    rig_group_init(&g, 2);
    bgw_buf_init(&text, 65536);
    put(&g, 0, 10);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, ours(&g.a) == 2);
    bgw_kafka_group_metrics(g.a.group, &text);
    bgw_buf_append_byte(&text, 0);
    CHECK(strstr((const char *)text.data, "bgw_kafka_lag_records{partition=\"0\"} 10\n"));
    CHECK(strstr((const char *)text.data, "bgw_kafka_lag_records{partition=\"1\"} 0\n"));
    bgw_buf_deinit(&text);
    rig_group_deinit(&g);
}

TEST(end_with_the_broker_down_takes_bounded_time)
{
    static struct group_rig g;
    rig_group_init(&g, 2);
    g.a.begin = g.a.done = true;
    put(&g, 0, 10);
    member_start(&g, &g.a);
    RIG_AWAIT(&g.r, g.a.total == 10);
    bgw_embedded_broker_set_down(g.r.broker, true);
    int64_t began_ms = bgw_clock_now().mono_ms;
    member_end(&g.a);
    int64_t took_ms = bgw_clock_now().mono_ms - began_ms;
    printf("# took %lld ms\n", (long long)took_ms);
    CHECK(took_ms < 12000);
    rig_group_deinit(&g);
}
