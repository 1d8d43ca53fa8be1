/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared cache on a real Redis and a real Valkey: what is read, and which of two values; locks; what
 * is stored, and what fences it; removals that may have been lost; tracking.
 */
#include "redis/rig.h"

#include "bgw/hash.h"
#include "read/l2.h"
#include "read/l2_names.h"

#define ASKS_MAX 64

struct got {
    int answers;
    enum bgw_lookup_result result;
    bool has_v;
    uint64_t v;
    char value[512];
    int locks;
    enum bgw_lock_result lock;
};

struct rig {
    struct redis s;
    struct bgw_loop *loop;
    struct bgw_l2 *l2;
    struct bgw_feed feed;
    struct bgw_l2_config config;
    int ups, downs, changes;
    char changed[128];
    struct got got[ASKS_MAX]; /* by id */
};

static void on_state(void *arg, bool up)
{
    struct rig *r = arg;
    CHECK(!r->l2 || bgw_l2_up(r->l2) == up);
    if (up)
        r->ups++;
    else
        r->downs++;
}

static void on_answered(void *arg, uint64_t id, const struct bgw_lookup_answer *a)
{
    struct rig *r = arg;
    struct got *g = &r->got[id];
    g->answers++;
    g->result = a->result;
    g->has_v = a->has_v;
    g->v = a->v;
    CHECK((a->result == BGW_LOOKUP_VALUE) == (a->value != NULL));
    if (a->value) {
        struct bgw_slice raw = r->feed.raw(a->value);
        snprintf(g->value, sizeof(g->value), "%.*s", (int)raw.len, raw.data);
    }
    bgw_blob_release(a->value);
}

static void on_locked(void *arg, uint64_t id, enum bgw_lock_result result)
{
    struct rig *r = arg;
    r->got[id].locks++;
    r->got[id].lock = result;
}

static void on_changed(void *arg, const struct bgw_slot_name *n)
{
    struct rig *r = arg;
    char part[BGW_PART_MAX];
    int len = (int)bgw_part_text(n->part, part);
    r->changes++;
    snprintf(r->changed, sizeof(r->changed), "%.*s %.*s %.*s", n->tenant_len, n->tenant, n->key_len, n->key, len, part);
}

static void create(struct rig *r, struct bgw_l2 **l2)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1000);
    CHECK(bgw_l2_create(l2, r->loop, &r->config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
}

/* Runs, but there is no l2 yet. */
static void init(struct rig *r, const char *program)
{
    memset(r, 0, sizeof(*r));
    bgw_hash_init();
    redis_start(&r->s, program, NULL);
    bgw_feed_balance_init(&r->feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    r->config = (struct bgw_l2_config){.url = r->s.url, .feed = &r->feed, .command_ms = 2000, .body_ttl_ms = 5000, .seed = 3, .arg = r,
                                       .state = on_state, .answered = on_answered, .locked = on_locked, .changed = on_changed};
}

static void start(struct rig *r, const char *program)
{
    init(r, program);
    create(r, &r->l2);
    REDIS_UNTIL(r->loop, r->ups == 1);
}

static void stop(struct rig *r)
{
    bgw_l2_destroy(&r->l2);
    bgw_loop_destroy(&r->loop);
    redis_stop(&r->s);
}

static struct bgw_slot_name slot(const char *tenant, const char *key, const char *part)
{
    struct bgw_slot_name n = {.tenant_len = (uint8_t)strlen(tenant), .key_len = (uint8_t)strlen(key)};
    memcpy(n.tenant, tenant, strlen(tenant));
    memcpy(n.key, key, strlen(key));
    n.part = bgw_part_of(bgw_slice_str(part));
    return n;
}

static const struct got *ask_slot(struct rig *r, const struct bgw_slot_name *n, bool trust_body)
{
    static uint64_t id;
    id = id % (ASKS_MAX / 2) + 1;
    r->got[id] = (struct got){0};
    bgw_l2_ask(r->l2, id, n, trust_body);
    REDIS_UNTIL(r->loop, r->got[id].answers == 1);
    return &r->got[id];
}

static const struct got *ask(struct rig *r, const char *key)
{
    const struct bgw_slot_name n = slot("default", key, "NGN");
    return ask_slot(r, &n, true);
}

static enum bgw_lock_result take_lock(struct rig *r, struct bgw_l2 *l2, uint64_t id, const char *key)
{
    const struct bgw_slot_name n = slot("default", key, "NGN");
    r->got[id] = (struct got){0};
    bgw_l2_lock(l2, id, &n, 10000);
    REDIS_UNTIL(r->loop, r->got[id].locks == 1);
    return r->got[id].lock;
}

/* What became of the write-back: 'S'tored, 'F'enced, 'X' failed. */
static char write_back(struct rig *r, struct bgw_l2 *l2, uint64_t id, const char *key, const char *body)
{
    static const enum bgw_metric counters[] = {BGW_M_WRITE_BACKS_STORED, BGW_M_WRITE_BACKS_FENCED, BGW_M_WRITE_BACKS_FAILED};
    const struct bgw_slot_name n = slot("default", key, "NGN");
    struct bgw_lookup_answer a = {.result = BGW_LOOKUP_VALUE, .body = bgw_slice_str(body)};
    const char *v = strstr(body, "\"v\":");
    int64_t before[3];
    a.has_v = v != NULL;
    a.v = v ? strtoull(v + 4, NULL, 10) : 0;
    for (int i = 0; i < 3; i++)
        before[i] = bgw_metric_read(counters[i]);
    bgw_l2_write(l2, id, &n, &a);
    for (;;) {
        for (int i = 0; i < 3; i++)
            if (bgw_metric_read(counters[i]) > before[i])
                return "SFX"[i];
        bgw_loop_turn(r->loop, 5);
    }
}

static void reads(const char *program)
{
    struct rig r;
    start(&r, program);
    CHECK(ask(&r, "a1")->result == BGW_LOOKUP_MISS);
    redis_say(&r.s, "HSET balance:default:a1:NGN minor 9007199254740993 v 9007199254740995 ts 1700000000000");
    const struct got *g = ask(&r, "a1");
    CHECK(g->result == BGW_LOOKUP_VALUE && g->has_v && g->v == 9007199254740995);
    CHECK(strstr(g->value, "9007199254740993") != NULL);
    redis_say(&r.s, "SET bal:a2 %s", "{\"accountId\":\"a2\",\"minor\":5,\"currency\":\"NGN\",\"tenant\":\"default\"}");
    g = ask(&r, "a2");
    CHECK(g->result == BGW_LOOKUP_VALUE && !g->has_v);
    const struct bgw_slot_name a2 = slot("default", "a2", "NGN");
    CHECK(ask_slot(&r, &a2, false)->result == BGW_LOOKUP_MISS); /* not believed */
    redis_say(&r.s, "HSET balance:other:msisdn::1:USD minor -7 v 0 ts 1");
    const struct bgw_slot_name other = slot("other", "msisdn::1", "USD");
    g = ask_slot(&r, &other, true);
    CHECK(g->result == BGW_LOOKUP_VALUE && g->has_v && g->v == 0);
    redis_say(&r.s, "DEL balance:other:msisdn::1:USD");
    redis_say(&r.s, "SET bal:other|msisdn::1|USD %s", "{\"accountId\":\"msisdn::1\",\"minor\":6,\"currency\":\"USD\",\"tenant\":\"other\"}");
    CHECK(ask_slot(&r, &other, true)->result == BGW_LOOKUP_VALUE);
    REDIS_UNTIL(r.loop, bgw_l2_memory(r.l2) > 100000);
    stop(&r);
}

TEST(hash_and_body_are_read_under_their_keys)
{
    reads("redis-server");
    reads("valkey-server");
}

TEST(what_lacks_something_or_cannot_be_read_is_a_counted_miss_and_never_zero)
{
    static const char *const commands[] = {"HSET %s minor 1 v 1", "HSET %s minor 1 ts 1", "HSET %s v 1 ts 1", "HSET %s minor 1.5 v 1 ts 1",
                                           "HSET %s minor 1e3 v 1 ts 1", "HSET %s minor 9223372036854775808 v 1 ts 1",
                                           "HSET %s minor x v 1 ts 1", "HSET %s minor 1 v -1 ts 1", "HSET %s minor 1 v 01 ts 1",
                                           "HSET %s minor 1 v 1 ts soon", "SET %s text", "LPUSH %s a"};
    static const char *const bodies[] = {"", "[]", "{}", "0", "{\"accountId\":\"other\",\"minor\":5,\"currency\":\"NGN\"}",
                                         "{\"accountId\":\"a\",\"minor\":5,\"currency\":\"USD\"}",
                                         "{\"accountId\":\"a\",\"minor\":5,\"currency\":\"NGN\",\"tenant\":\"other\"}",
                                         "{\"accountId\":\"a\",\"minor\":5.5,\"currency\":\"NGN\"}", "{\"accountId\":\"a\",\"minor\":5"};
    struct rig r;
    start(&r, "redis-server");
    int64_t before = bgw_metric_read(BGW_M_REDIS_UNREADABLE);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        char command[128];
        snprintf(command, sizeof(command), commands[i], "balance:default:a:NGN");
        redis_say(&r.s, "DEL balance:default:a:NGN");
        redisReply *reply = redisCommand(r.s.c, command);
        CHECK(reply && reply->type != REDIS_REPLY_ERROR);
        freeReplyObject(reply);
        CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
        CHECK_EQ_I64(bgw_metric_read(BGW_M_REDIS_UNREADABLE) - before, (int64_t)i + 1);
    }
    before = bgw_metric_read(BGW_M_REDIS_UNREADABLE);
    redis_say(&r.s, "DEL balance:default:a:NGN");
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        redis_say(&r.s, "SET bal:a %s", bodies[i]);
        CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
        CHECK_EQ_I64(bgw_metric_read(BGW_M_REDIS_UNREADABLE) - before, (int64_t)i + 1);
    }
    redis_say(&r.s, "DEL bal:a");
    redis_say(&r.s, "LPUSH bal:a x");
    CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
    stop(&r);
}

TEST(of_hash_and_body_the_greater_version_is_taken)
{
    static const struct {
        const char *hash_v, *body;
        bool body_wins;
    } cases[] = {{"7", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\",\"v\":8}", true},
                 {"8", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\",\"v\":8}", false},
                 {"9007199254740993", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\",\"v\":9007199254740994}", true},
                 {"10", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\",\"v\":9}", false},
                 {"1", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\"}", false},
                 {"x", "{\"accountId\":\"a\",\"minor\":2,\"currency\":\"NGN\"}", true}};
    struct rig r;
    start(&r, "valkey-server");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        redis_say(&r.s, "HSET balance:default:a:NGN minor 1 ts 1 v %s", cases[i].hash_v);
        redis_say(&r.s, "SET bal:a %s", cases[i].body);
        const struct got *g = ask(&r, "a");
        CHECK(g->result == BGW_LOOKUP_VALUE);
        CHECK(strstr(g->value, cases[i].body_wins ? "\"minor\":2" : "\"minor\":1") != NULL);
    }
    stop(&r);
}

TEST(a_hash_whose_v_is_opaque_is_a_read_without_version)
{
    struct rig r;
    init(&r, "redis-server");
    r.config.hash_v_opaque = true;
    create(&r, &r.l2);
    REDIS_UNTIL(r.loop, r.ups == 1);
    redis_say(&r.s, "HSET balance:default:a:NGN minor 1 ts 1 v 12-7");
    const struct got *g = ask(&r, "a");
    CHECK(g->result == BGW_LOOKUP_VALUE && !g->has_v);
    redis_say(&r.s, "HDEL balance:default:a:NGN v");
    CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
    stop(&r);
}

TEST(one_holds_a_lock_and_gives_back_only_its_own)
{
    struct rig r;
    struct bgw_l2 *second = NULL;
    const struct bgw_slot_name n = slot("default", "a", "NGN");
    start(&r, "redis-server");
    create(&r, &second);
    REDIS_UNTIL(r.loop, r.ups == 2);
    CHECK(take_lock(&r, r.l2, 40, "a") == BGW_LOCK_TAKEN);
    CHECK(take_lock(&r, second, 40, "a") == BGW_LOCK_HELD); /* the same id, another gateway */
    CHECK(take_lock(&r, r.l2, 41, "a") == BGW_LOCK_HELD);
    int64_t left = atoll(redis_say(&r.s, "PTTL lock:a"));
    CHECK(left > 5000 && left <= 10000);
    bgw_l2_unlock(second, 40, &n);
    bgw_l2_unlock(r.l2, 41, &n);
    CHECK(take_lock(&r, second, 42, "a") == BGW_LOCK_HELD); /* after both, on either connection */
    CHECK(take_lock(&r, r.l2, 43, "a") == BGW_LOCK_HELD);
    bgw_l2_unlock(r.l2, 40, &n);
    CHECK(take_lock(&r, r.l2, 44, "a") == BGW_LOCK_TAKEN);
    bgw_l2_destroy(&second);
    stop(&r);
}

static void stores(const char *program)
{
    struct rig r;
    start(&r, program);
    CHECK(take_lock(&r, r.l2, 40, "a") == BGW_LOCK_TAKEN);
    CHECK(write_back(&r, r.l2, 40, "a", "{ \"accountId\":\"a\", \"minor\":12, \"v\":5, \"currency\":\"NGN\", \"x\":{\"v\":99} }") == 'S');
    CHECK_EQ_STR(redis_say(&r.s, "GET bal:a"),
                 "{\"v\":5,\"tenant\":\"default\",\"accountId\":\"a\",\"minor\":12,\"currency\":\"NGN\",\"x\":{\"v\":99}}");
    CHECK_EQ_STR(redis_say(&r.s, "GET lock:a"), "(nil)");
    int64_t ttl = atoll(redis_say(&r.s, "PTTL bal:a"));
    CHECK(ttl > 3000 && ttl <= 5500);
    const struct got *g = ask(&r, "a");
    CHECK(g->result == BGW_LOOKUP_VALUE && g->has_v && g->v == 5);
    /* without the lock, with another's, or after its key was invalidated */
    CHECK(write_back(&r, r.l2, 40, "a", "{\"accountId\":\"a\",\"minor\":13,\"currency\":\"NGN\",\"v\":6}") == 'F');
    CHECK(take_lock(&r, r.l2, 41, "a") == BGW_LOCK_TAKEN);
    CHECK(write_back(&r, r.l2, 42, "a", "{\"accountId\":\"a\",\"minor\":13,\"currency\":\"NGN\",\"v\":6}") == 'F');
    const struct bgw_slot_name n = slot("default", "a", "");
    bgw_l2_forget(r.l2, &n, false);
    CHECK(write_back(&r, r.l2, 41, "a", "{\"accountId\":\"a\",\"minor\":13,\"currency\":\"NGN\",\"v\":6}") == 'F');
    CHECK_EQ_STR(redis_say(&r.s, "GET bal:a"), "(nil)");
    stop(&r);
}

TEST(a_write_back_is_stored_only_under_its_own_lock)
{
    stores("redis-server");
    stores("valkey-server");
}

TEST(an_older_body_never_replaces_a_newer_one)
{
    static const struct {
        const char *there, *ours;
        bool stored;
    } cases[] = {{"{\"v\":10,\"a\":1}", "{\"v\":9}", false},
                 {"{\"v\":9,\"a\":1}", "{\"v\":10}", true},
                 {"{\"v\":10}", "{\"v\":10}", true}, /* the same again */
                 {"{\"v\":9007199254740993,\"a\":1}", "{\"v\":9007199254740992}", false},
                 {"{\"v\":9007199254740992,\"a\":1}", "{\"v\":9007199254740993}", true},
                 {"{\"v\":9223372036854775807,\"a\":1}", "{\"v\":9223372036854775806}", false},
                 {"{\"a\":1,\"v\": \"11\"}", "{\"v\":10}", false}, /* somebody else's hand */
                 {"{\"v\":1,\"a\":1}", "{\"minor\":1}", false},    /* not known to be newer */
                 {"{\"minor\":1}", "{\"minor\":2}", true},
                 {"no json", "{\"v\":0}", true}};
    struct rig r;
    start(&r, "redis-server");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        redis_say(&r.s, "SET bal:a %s", cases[i].there);
        CHECK(take_lock(&r, r.l2, 40, "a") == BGW_LOCK_TAKEN);
        CHECK(write_back(&r, r.l2, 40, "a", cases[i].ours) == (cases[i].stored ? 'S' : 'F'));
        CHECK((strcmp(redis_say(&r.s, "GET bal:a"), cases[i].there) == 0) == !cases[i].stored);
        CHECK_EQ_STR(redis_say(&r.s, "GET lock:a"), "(nil)");
    }
    stop(&r);
}

TEST(a_server_that_has_forgotten_the_scripts_gets_their_text)
{
    struct rig r;
    start(&r, "redis-server");
    for (int i = 0; i < 3; i++) {
        redis_say(&r.s, "DEL bal:a");
        CHECK(take_lock(&r, r.l2, 40, "a") == BGW_LOCK_TAKEN);
        redis_say(&r.s, "SCRIPT FLUSH");
        CHECK(write_back(&r, r.l2, 40, "a", "{\"v\":1}") == 'S');
    }
    stop(&r);
}

TEST(a_body_that_cannot_be_stored_gives_the_lock_back)
{
    static char big[70000];
    struct rig r;
    start(&r, "redis-server");
    snprintf(big, sizeof(big), "{\"x\":\"%0*d\"}", 66000, 0);
    const char *const bodies[] = {"", "[1]", "{\"a\":1", "{\"a\":1,\"a\":2}", big};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        CHECK(take_lock(&r, r.l2, 40, "a") == BGW_LOCK_TAKEN); /* every time anew */
        CHECK(write_back(&r, r.l2, 40, "a", bodies[i]) == 'X');
    }
    CHECK_EQ_STR(redis_say(&r.s, "EXISTS bal:a"), "0");
    stop(&r);
}

TEST(while_redis_is_away_everything_is_answered_at_once_and_later_it_is_found_again)
{
    struct rig r;
    const struct bgw_slot_name n = slot("default", "a", "NGN");
    start(&r, "valkey-server");
    redis_kill(&r.s);
    REDIS_UNTIL(r.loop, r.downs == 1);
    bgw_l2_ask(r.l2, 50, &n, true);
    CHECK(r.got[50].answers == 1 && r.got[50].result == BGW_LOOKUP_FAILED);
    bgw_l2_lock(r.l2, 50, &n, 1000);
    CHECK(r.got[50].locks == 1 && r.got[50].lock == BGW_LOCK_FAILED);
    bgw_l2_unlock(r.l2, 50, &n);
    CHECK(write_back(&r, r.l2, 50, "a", "{\"v\":1}") == 'X');
    CHECK_EQ_I64(bgw_l2_memory(r.l2), -1);
    redis_run(&r.s);
    REDIS_UNTIL(r.loop, r.ups == 2);
    CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
    stop(&r);
}

TEST(after_a_removal_that_may_be_lost_bodies_are_doubted_for_a_lifetime)
{
    struct rig r;
    const struct bgw_slot_name n = slot("default", "a", "NGN");
    init(&r, "redis-server");
    r.config.body_ttl_ms = 1000;
    r.config.command_ms = 50;
    create(&r, &r.l2);
    REDIS_UNTIL(r.loop, r.ups == 1);
    redis_say(&r.s, "SET bal:a %s", "{\"accountId\":\"a\",\"minor\":5,\"currency\":\"NGN\"}");
    CHECK(ask(&r, "a")->result == BGW_LOOKUP_VALUE);
    redis_say(&r.s, "CLIENT PAUSE 60000 WRITE"); /* reads go on, the removal does not */
    bgw_l2_forget(r.l2, &n, false);
    REDIS_UNTIL(r.loop, r.downs == 1);
    redis_say(&r.s, "CLIENT UNPAUSE");
    REDIS_UNTIL(r.loop, bgw_l2_up(r.l2));
    CHECK_EQ_STR(redis_say(&r.s, "EXISTS bal:a"), "1");
    int64_t from = bgw_clock_now().mono_ms;
    CHECK(ask(&r, "a")->result == BGW_LOOKUP_MISS);
    REDIS_UNTIL(r.loop, ask(&r, "a")->result == BGW_LOOKUP_VALUE);
    CHECK(bgw_clock_now().mono_ms - from < 5000);
    stop(&r);
}

TEST(a_bare_invalidation_removes_what_others_wrote_of_other_tenants_and_currencies)
{
    static const char usd[] = "{\"accountId\":\"a\",\"minor\":%d,\"currency\":\"USD\",\"tenant\":\"default\"}";
    struct rig r;
    struct bgw_slot_name bare = slot("default", "a", "NGN");
    const struct bgw_slot_name n = slot("default", "a", "USD"), other = slot("t2", "a", "NGN"), else_ = slot("t2", "b", "NGN");
    start(&r, "redis-server");
    bare.part = 0;
    for (int round = 0; round < 2; round++) {
        char body[200];
        snprintf(body, sizeof(body), usd, 5);
        redis_say(&r.s, "SET bal:default|a|USD %s", body);
        redis_say(&r.s, "SET lock:default|a|USD x");
        redis_say(&r.s, "SET bal:t2|a|NGN %s", "{\"accountId\":\"a\",\"minor\":5,\"currency\":\"NGN\",\"tenant\":\"t2\"}");
        redis_say(&r.s, "SET bal:t2|b|NGN %s", "{\"accountId\":\"b\",\"minor\":5,\"currency\":\"NGN\",\"tenant\":\"t2\"}");
        if (round == 0)
            CHECK(ask_slot(&r, &n, true)->result == BGW_LOOKUP_VALUE);
        bgw_l2_forget(r.l2, &bare, true);
        if (round == 1) { /* who goes past the cache meets no lock of before */
            bgw_l2_lock(r.l2, 40, &n, 10000);
            REDIS_UNTIL(r.loop, r.got[40].locks == 1);
            CHECK(r.got[40].lock == BGW_LOCK_TAKEN);
        }
        CHECK(ask_slot(&r, &n, true)->result == BGW_LOOKUP_MISS && ask_slot(&r, &other, true)->result == BGW_LOOKUP_MISS);
        CHECK_EQ_STR(redis_say(&r.s, "EXISTS bal:default|a|USD bal:t2|a|NGN"), "0");
        CHECK(ask_slot(&r, &else_, true)->result == BGW_LOOKUP_VALUE);
        snprintf(body, sizeof(body), usd, 6);
        redis_say(&r.s, "SET bal:default|a|USD %s", body); /* fetched since: good for everybody */
        CHECK(ask_slot(&r, &n, true)->result == BGW_LOOKUP_VALUE);
        CHECK_EQ_STR(redis_say(&r.s, "EXISTS lock:default|a|USD"), round ? "1" : "0");
    }
    stop(&r);
}

static void tracks(const char *program)
{
    struct rig r;
    init(&r, program);
    r.config.tracking = true;
    create(&r, &r.l2);
    for (int round = 1; round <= 2; round++) {
        REDIS_UNTIL(r.loop, r.ups == round);
        redis_say(&r.s, "HSET balance:default:msisdn::234:NGN minor %d v %d ts 1", round, round);
        REDIS_UNTIL(r.loop, r.changes == round);
        CHECK_EQ_STR(r.changed, "default msisdn::234 NGN");
        CHECK(ask(&r, "msisdn::234")->v == (uint64_t)round);
        redis_say(&r.s, "SET balance:nonsense 1");
        redis_say(&r.s, "SET bal:x 1");
        redis_say(&r.s, "FLUSHALL");
        CHECK(ask(&r, "msisdn::234")->result == BGW_LOOKUP_MISS);
        CHECK_EQ_I64(r.changes, round);
        if (round == 1)
            redis_say(&r.s, "CLIENT KILL TYPE normal SKIPME yes");
    }
    stop(&r);
}

TEST(with_tracking_a_written_hash_is_told_also_after_a_reconnection)
{
    tracks("redis-server");
    tracks("valkey-server");
}

TEST(a_key_of_a_hash_is_taken_apart_at_its_first_and_last_colon)
{
    struct bgw_feed feed;
    struct bgw_slot_name n;
    bgw_feed_balance_init(&feed, BGW_SLICE("default"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_l2_hash_name(&feed, BGW_SLICE("balance:t:a::b:USD"), &n));
    CHECK_SLICE(bgw_slice_of(n.key, n.key_len), "a::b");
    static const char *const bad[] = {"", "balance:", "balance:t", "balance:t:a", "balance:t:a:usd", "balance::a:USD", "balance:t::USD",
                                      "position:t:a:USD", "balance:t:a b:USD"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK(!bgw_l2_hash_name(&feed, bgw_slice_str(bad[i]), &n));
}
