/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invalidation channel on a real Redis: what messages mean, when it counts as heard, and how its
 * loss is found out, also where no connection ends.
 */
#include "redis/rig.h"

#include "read/channel.h"

struct rig {
    struct redis s;
    struct bgw_loop *loop;
    struct bgw_channel *channel;
    struct bgw_feed feed;
    int ups, downs, invalidations, pings;
    bool deaf; /* beats are not published */
    struct bgw_invalidation last;
    char beats[64];
};

static int64_t heartbeat_ms = 50;

static void on_invalidated(void *arg, const struct bgw_invalidation *i)
{
    struct rig *r = arg;
    r->invalidations++;
    r->last = *i;
}

static void on_state(void *arg, bool up)
{
    struct rig *r = arg;
    if (up)
        r->ups++;
    else
        r->downs++;
}

static void on_ping(void *arg, struct bgw_slice channel, struct bgw_slice payload)
{
    struct rig *r = arg;
    char number[32];
    r->pings++;
    snprintf(number, sizeof(number), "%.*s", (int)payload.len, payload.data);
    snprintf(r->beats, sizeof(r->beats), "%.*s", (int)channel.len, channel.data);
    if (!r->deaf)
        redis_say(&r->s, "PUBLISH %s %s", r->beats, number);
}

static void open_channel(struct rig *r)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    const struct bgw_channel_config config = {.url = r->s.url, .feed = &r->feed, .heartbeat_ms = heartbeat_ms, .seed = 5, .arg = r,
                                              .invalidated = on_invalidated, .state = on_state, .ping = on_ping};
    CHECK(bgw_channel_create(&r->channel, r->loop, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
}

static void start(struct rig *r, const char *program)
{
    memset(r, 0, sizeof(*r));
    redis_start(&r->s, program, NULL);
    bgw_feed_balance_init(&r->feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    open_channel(r);
}

static void stop(struct rig *r)
{
    bgw_channel_destroy(&r->channel);
    bgw_loop_destroy(&r->loop);
    redis_stop(&r->s);
}

static void hears(const char *program)
{
    struct rig r;
    start(&r, program);
    REDIS_UNTIL(r.loop, r.ups == 1);
    CHECK_EQ_STR(redis_say(&r.s, "PUBLISH balance:invalidate msisdn::234"), "1");
    REDIS_UNTIL(r.loop, r.invalidations == 1);
    CHECK_SLICE(bgw_slice_of(r.last.name.key, r.last.name.key_len), "msisdn::234");
    CHECK(r.last.any_tenant && !r.last.name.part && !r.last.has_v);
    int64_t bad = bgw_metric_read(BGW_M_INVALIDATIONS_BAD);
    redis_say(&r.s, "PUBLISH balance:invalidate %s", "not an account");
    redis_say(&r.s, "PUBLISH balance:invalidate after");
    REDIS_UNTIL(r.loop, r.invalidations == 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVALIDATIONS_BAD) - bad, 1);
    CHECK(strncmp(r.beats, "bgw:heartbeat:", 14) == 0 && strlen(r.beats) > 30);
    REDIS_UNTIL(r.loop, r.pings > 5);
    CHECK(r.ups == 1 && r.downs == 0);
    stop(&r);
}

TEST(invalidations_are_heard_from_both_servers)
{
    hears("redis-server");
    hears("valkey-server");
}

TEST(both_forms_of_a_message_are_read)
{
    struct bgw_feed feed;
    struct bgw_invalidation i;
    bgw_feed_balance_init(&feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_invalidation_parse(&i, &feed, BGW_SLICE("{\"accountId\":\"a\",\"tenant\":\"t\",\"currency\":\"USD\",\"v\":9007199254740993,\"x\":[]}")));
    CHECK(!i.any_tenant && i.has_v && i.v == 9007199254740993 && i.name.part == bgw_part_of(BGW_SLICE("USD")));
    CHECK_SLICE(bgw_slice_of(i.name.tenant, i.name.tenant_len), "t");
    CHECK_SLICE(bgw_slice_of(i.name.key, i.name.key_len), "a");
    CHECK(bgw_invalidation_parse(&i, &feed, BGW_SLICE("{\"accountId\":\"a\",\"tenant\":null,\"currency\":null,\"v\":null}")));
    CHECK(i.any_tenant && !i.has_v && !i.name.part);
    CHECK_SLICE(bgw_slice_of(i.name.tenant, i.name.tenant_len), "default"); /* where one has to be named */
    CHECK(bgw_invalidation_parse(&i, &feed, BGW_SLICE("{\"accountId\":\"a\",\"tenant\":\"t\",\"currency\":\"USD\",\"v\":\"12\"}")));
    CHECK(i.has_v && i.v == 12);
    CHECK(bgw_invalidation_parse(&i, &feed, BGW_SLICE("{\"accountId\":\"a\",\"tenant\":\"t\",\"v\":12}")));
    CHECK(!i.has_v); /* of which slot? */
    CHECK(bgw_invalidation_parse(&i, &feed, BGW_SLICE("{\"accountId\":\"a\",\"currency\":\"USD\",\"v\":12}")));
    CHECK(i.any_tenant && !i.has_v && i.name.part);
}

TEST(what_names_no_account_is_counted_and_nothing_else)
{
    static const char *const bad[] = {"", " ", "a b", "{}", "{", "[\"a\"]", "{\"accountId\":7}", "{\"accountId\":\"\"}",
                                      "{\"accountId\":\"a b\"}", "{\"accountId\":\"a\",\"tenant\":\"t:t\"}",
                                      "{\"accountId\":\"a\",\"tenant\":7}", "{\"accountId\":\"a\",\"currency\":\"usd\"}",
                                      "{\"accountId\":\"a\",\"v\":-1}", "{\"accountId\":\"a\",\"v\":1.5}",
                                      "{\"accountId\":\"a\",\"v\":\"\"}", "{\"accountId\":\"a\",\"accountId\":\"b\"}",
                                      "{\"accountId\":\"a\"}x", "\xff"};
    static char big[5000];
    struct bgw_feed feed;
    struct bgw_invalidation i;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    int64_t before = bgw_metric_read(BGW_M_INVALIDATIONS_BAD), taken = bgw_metric_read(BGW_M_INVALIDATIONS);
    for (size_t n = 0; n < sizeof(bad) / sizeof(*bad); n++)
        CHECK(!bgw_invalidation_parse(&i, &feed, bgw_slice_str(bad[n])));
    memset(big, 'a', sizeof(big));
    CHECK(!bgw_invalidation_parse(&i, &feed, bgw_slice_of(big, 65)));
    memcpy(big, "{\"accountId\":\"a\",\"x\":\"", 22);
    memcpy(big + sizeof(big) - 2, "\"}", 2);
    CHECK(!bgw_invalidation_parse(&i, &feed, bgw_slice_of(big, sizeof(big))));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVALIDATIONS_BAD) - before, (int64_t)(sizeof(bad) / sizeof(*bad)) + 2);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_INVALIDATIONS) - taken, 0);
}

TEST(it_is_not_up_before_a_beat_came_through)
{
    struct rig r;
    start(&r, "redis-server");
    r.deaf = true;
    REDIS_UNTIL(r.loop, r.pings >= 8); /* more than one connection's worth */
    CHECK(r.ups == 0 && r.downs == 1);
    redis_say(&r.s, "PUBLISH %s 1", r.beats); /* one of a connection that has ended */
    redis_say(&r.s, "PUBLISH %s 999999", r.beats);
    redis_say(&r.s, "PUBLISH %s junk", r.beats);
    int pings = r.pings;
    REDIS_UNTIL(r.loop, r.pings > pings);
    CHECK_EQ_I64(r.ups, 0);
    r.deaf = false;
    REDIS_UNTIL(r.loop, r.ups == 1);
    stop(&r);
}

TEST(that_it_never_came_up_is_told_once)
{
    struct rig r;
    memset(&r, 0, sizeof(r));
    redis_start(&r.s, "redis-server", NULL);
    redis_kill(&r.s);
    int64_t lost = bgw_metric_read(BGW_M_CHANNEL_LOST);
    bgw_feed_balance_init(&r.feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_loop_create(&r.loop) == BGW_OK);
    open_channel(&r);
    REDIS_UNTIL(r.loop, r.downs == 1);
    redis_run(&r.s);
    REDIS_UNTIL(r.loop, r.ups == 1); /* after several attempts that failed */
    CHECK(r.downs == 1 && bgw_metric_read(BGW_M_CHANNEL_LOST) == lost); /* nothing was lost: it was never there */
    stop(&r);
}

TEST(it_is_up_as_soon_as_its_beat_can_be_published)
{
    struct rig r;
    heartbeat_ms = 60000; /* the next one would be too late */
    start(&r, "redis-server");
    r.deaf = true;
    REDIS_UNTIL(r.loop, r.pings == 1); /* which nobody could take */
    r.deaf = false;
    bgw_channel_beat(r.channel);
    REDIS_UNTIL(r.loop, r.ups == 1);
    bgw_channel_beat(r.channel); /* it is up: nothing to be said */
    CHECK_EQ_I64(r.pings, 2);
    stop(&r);
    heartbeat_ms = 50;
}

TEST(three_lost_beats_are_a_loss_and_it_comes_back_alone)
{
    struct rig r;
    start(&r, "redis-server");
    REDIS_UNTIL(r.loop, r.ups == 1);
    int64_t lost = bgw_metric_read(BGW_M_CHANNEL_LOST), from = bgw_clock_now().mono_ms;
    r.deaf = true;
    int pings = r.pings;
    REDIS_UNTIL(r.loop, r.downs == 1);
    CHECK_EQ_I64(r.pings - pings, 3);
    CHECK(bgw_clock_now().mono_ms - from >= 150);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_CHANNEL_LOST) - lost, 1);
    r.deaf = false;
    REDIS_UNTIL(r.loop, r.ups == 2);
    redis_say(&r.s, "PUBLISH balance:invalidate a");
    REDIS_UNTIL(r.loop, r.invalidations == 1);
    stop(&r);
}

TEST(a_cut_connection_is_a_loss_at_once)
{
    struct rig r;
    start(&r, "valkey-server");
    for (int round = 1; round <= 3; round++) {
        REDIS_UNTIL(r.loop, r.ups == round);
        redis_say(&r.s, "CLIENT KILL TYPE pubsub");
        REDIS_UNTIL(r.loop, r.downs == round);
    }
    REDIS_UNTIL(r.loop, r.ups == 4);
    stop(&r);
}
