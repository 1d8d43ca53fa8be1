/* SPDX-License-Identifier: Apache-2.0 */
/* The steps, in a real Redis and a real Valkey: exact amounts, once each, gaps, what is lost, who may tell. */
#include "../redis/rig.h"

#include "project/positions.h"

struct rig { /* two members of one group */
    struct redis redis;
    struct bgw_loop *loop;
    struct positions *p[2];
    struct bgw_feed feed;
    struct step last;
    char words[100];
    int answers;
};

static void on_state(void *arg, bool up, const char *words)
{
    (void)arg;
    (void)up;
    (void)words;
}

static void on_answer(void *arg, const struct bgw_redis_value *v)
{
    struct rig *r = arg;
    step_read(v, &r->last);
    snprintf(r->words, sizeof(r->words), "%.*s", (int)r->last.words.len, r->last.words.data ? r->last.words.data : "");
    r->last.words.data = r->words;
    r->answers++;
}

static void up(struct rig *r, int i)
{
    struct bgw_buf error;
    const struct positions_config config = {.url = r->redis.url, .ca_file = "", .topic = "ledger", .publish = true, .state = on_state};
    bgw_buf_init(&error, 1000);
    CHECK(positions_create(&r->p[i], r->loop, &config, &error) == BGW_OK);
    REDIS_UNTIL(r->loop, positions_up(r->p[i]));
    positions_set_epoch(r->p[i], bgw_epoch_pack(BGW_SLICE("e1")), 2);
    bgw_buf_deinit(&error);
}

static void init(struct rig *r, const char *program)
{
    *r = (struct rig){0};
    redis_start(&r->redis, program, NULL);
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    bgw_feed_balance_init(&r->feed, BGW_SLICE("t"), bgw_part_of(BGW_SLICE("NGN")));
    up(r, 0);
    up(r, 1);
}

static void deinit(struct rig *r)
{
    positions_destroy(&r->p[0]);
    positions_destroy(&r->p[1]);
    bgw_loop_destroy(&r->loop);
    redis_stop(&r->redis);
}

static enum step_result await(struct rig *r, bool asked)
{
    int before = r->answers;
    CHECK(asked);
    REDIS_UNTIL(r->loop, r->answers > before);
    return r->last.result;
}

static enum step_result begin_at(struct rig *r, int member, const struct beginning *b)
{
    return await(r, positions_begin(r->p[member], b, on_answer, r));
}

/* Of an empty log. */
static void begin_both(struct rig *r)
{
    CHECK_EQ_I64(begin_at(r, 0, &(struct beginning){0, -1, 0, 0}), STEP_BEGUN);
    CHECK_EQ_I64(begin_at(r, 1, &(struct beginning){1, -1, 0, 0}), STEP_BEGUN);
}

static struct entry entry_of(struct rig *r, const char *source, const char *dest, int64_t minor)
{
    char text[300];
    struct entry e = {0};
    snprintf(text, sizeof(text), "{\"minor\":%" PRId64 ",\"source\":\"%s\",\"dest\":\"%s\"}", minor, source, dest);
    CHECK_EQ_I64(entry_read(&r->feed, bgw_slice_str(text), &e), ENTRY_OK);
    return e;
}

/* Partition and member are the same number here. */
static enum step_result move(struct rig *r, int at, int64_t offset, int64_t prev, const char *source, const char *dest, int64_t minor)
{
    struct entry e = entry_of(r, source, dest, minor);
    const struct apply a = {.partition = at, .offset = offset, .prev = prev, .told = prev, .ts_ms = 1000, .entry = &e};
    return await(r, positions_apply(r->p[at], &a, on_answer, r));
}

static const char *field(struct rig *r, const char *account, const char *name)
{
    return redis_say(&r->redis, "HGET position:t:%s:NGN %s", account, name);
}

static void both_servers(void (*test)(struct rig *r))
{
    static const char *const programs[] = {"redis-server", "valkey-server"};
    for (int i = 0; i < 2; i++) {
        struct rig r;
        init(&r, programs[i]);
        test(&r);
        deinit(&r);
    }
}

static void is_exact(struct rig *r)
{
    begin_both(r);
    CHECK_EQ_I64(move(r, 0, 0, -1, "a", "b", INT64_C(9007199254740993)), STEP_TOLD);
    CHECK(r->last.account[0].tell && r->last.account[0].minor == -INT64_C(9007199254740993) && r->last.account[0].v == 0);
    CHECK(r->last.account[1].tell && r->last.account[1].minor == INT64_C(9007199254740993));
    CHECK_EQ_I64(move(r, 0, 1, 0, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_STR(field(r, "b", "minor"), "9007199254740994");
    CHECK_EQ_STR(field(r, "b", "seq"), "1");
    CHECK_EQ_STR(field(r, "b", "o0"), "1");
    CHECK_EQ_STR(redis_say(&r->redis, "HGET balance:t:a:NGN minor"), "-9007199254740994");
    CHECK_EQ_STR(redis_say(&r->redis, "HGET balance:t:a:NGN v"), "1");
    CHECK_EQ_STR(redis_say(&r->redis, "HGET balance:t:a:NGN ts"), "1000");
    CHECK_EQ_STR(redis_say(&r->redis, "TTL balance:t:a:NGN"), "300");
}

TEST(an_event_moves_exactly_what_it_says)
{
    both_servers(is_exact);
}

static void is_once(struct rig *r)
{
    begin_both(r);
    CHECK_EQ_I64(move(r, 0, 0, -1, "a", "b", 5), STEP_TOLD);
    CHECK_EQ_I64(move(r, 0, 0, -1, "a", "b", 5), STEP_AGAIN);
    CHECK_EQ_STR(field(r, "a", "minor"), "-5");
    CHECK_EQ_STR(field(r, "a", "seq"), "0");
    CHECK_EQ_STR(redis_say(&r->redis, "SCARD projection:ledger:e1:untold"), "2");
    CHECK_EQ_I64(move(r, 0, 5, 4, "a", "b", 5), STEP_GAP); /* 4 never came */
    CHECK_EQ_I64(move(r, 0, 5, 0, "a", "b", 5), STEP_TOLD);
    CHECK_EQ_STR(redis_say(&r->redis, "HGET projection:ledger:e1 w0"), "5");
}

TEST(an_event_is_applied_once_and_after_the_one_before_it)
{
    both_servers(is_once);
}

TEST(an_amount_that_does_not_fit_changes_nothing_and_passes)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", INT64_MAX), STEP_TOLD);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "c", "b", 1), STEP_OVERFLOW); /* the second account: the first is undone */
    CHECK_EQ_STR(redis_say(&r.redis, "EXISTS position:t:c:NGN"), "0");
    CHECK_EQ_I64(move(&r, 0, 2, 1, "a", "c", 2), STEP_OVERFLOW); /* below the least */
    CHECK_EQ_STR(field(&r, "a", "minor"), "-9223372036854775807");
    CHECK_EQ_STR(field(&r, "a", "seq"), "0");
    CHECK_EQ_I64(move(&r, 0, 3, 2, "a", "c", 1), STEP_TOLD);
    CHECK_EQ_STR(field(&r, "a", "minor"), "-9223372036854775808");
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 w0"), "3");
    deinit(&r);
}

TEST(a_transfer_to_oneself_counts_and_moves_nothing)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "a", 7), STEP_TOLD);
    CHECK(r.last.account[0].tell && r.last.account[0].minor == 0 && r.last.account[0].v == 0 && !r.last.account[1].tell);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "a", "a", 7), STEP_TOLD);
    CHECK_EQ_I64((int64_t)r.last.account[0].v, 1);
    CHECK_EQ_STR(field(&r, "a", "minor"), "0");
    deinit(&r);
}

TEST(an_event_that_cannot_be_read_passes_and_is_no_gap)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    const struct apply none = {.partition = 0, .offset = 0, .prev = -1, .told = -1};
    CHECK_EQ_I64(await(&r, positions_apply(r.p[0], &none, on_answer, &r)), STEP_PASSED);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "a", "b", 1), STEP_TOLD);
    deinit(&r);
}

TEST(a_damaged_position_stops_its_partition_and_nothing_is_half_done)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    redis_say(&r.redis, "SET position:t:b:NGN text");
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_FAILED);
    CHECK(strncmp(r.words, "WRONGTYPE", 9) == 0);
    CHECK_EQ_STR(redis_say(&r.redis, "EXISTS position:t:a:NGN"), "0");
    redis_say(&r.redis, "DEL position:t:b:NGN");
    redis_say(&r.redis, "SET balance:t:b:NGN text"); /* only shown, never leant on */
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_STR(redis_say(&r.redis, "HGET balance:t:b:NGN minor"), "1");
    deinit(&r);
}

TEST(nobody_is_told_until_every_partition_is_where_it_has_to_be)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_I64(move(&r, 1, 0, -1, "a", "b", 1), STEP_TOLD);
    redis_say(&r.redis, "FLUSHALL");
    CHECK_EQ_I64(move(&r, 0, 1, 0, "a", "b", 1), STEP_GAP);
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, 1, 0, 2}), STEP_BEGUN);
    CHECK_EQ_I64(r.last.number[1], 0);                                   /* from the beginning */
    CHECK_EQ_I64(r.last.number[2], 1);                                   /* to the end */
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_STR(redis_say(&r.redis, "EXISTS balance:t:a:NGN"), "0");
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 live"), "(nil)"); /* the other has not been begun */
    CHECK_EQ_I64(begin_at(&r, 1, &(struct beginning){1, 1, 0, 1}), STEP_BEGUN);
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 live"), "(nil)");
    CHECK_EQ_I64(move(&r, 1, 0, -1, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 live"), "1");
    CHECK_EQ_STR(redis_say(&r.redis, "SCARD projection:ledger:e1:untold"), "2");
    CHECK_EQ_STR(field(&r, "a", "minor"), "-3");
    deinit(&r);
}

TEST(a_server_that_was_started_anew_is_begun_anew_by_all)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    redis_say(&r.redis, "HSET projection:ledger:e1 run other"); /* as if the one that we know had come after it */
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, 1, 0, 3}), STEP_BEGUN);
    CHECK_EQ_I64(r.last.number[2], 2);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_I64(move(&r, 0, 2, 1, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_I64(begin_at(&r, 1, &(struct beginning){1, -1, 0, 0}), STEP_BEGUN);
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 live"), "1");
    deinit(&r);
}

TEST(a_log_that_does_not_fit_is_refused_and_silences_all)
{
    struct rig r;
    init(&r, "redis-server");
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, -1, 3, 9}), STEP_MISSING);
    CHECK_EQ_I64(r.last.number[0], -1);
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, -1, 0, 0}), STEP_SHORT);
    CHECK_EQ_I64(move(&r, 1, 0, -1, "a", "b", 1), STEP_QUIET);
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, 1, 0, 1}), STEP_BEGUN);
    CHECK_EQ_STR(redis_say(&r.redis, "HGET projection:ledger:e1 live"), "1");
    positions_set_epoch(r.p[0], bgw_epoch_pack(BGW_SLICE("e2")), 2);
    CHECK_EQ_I64(begin_at(&r, 0, &(struct beginning){0, -1, 0, 0}), STEP_EPOCH);
    CHECK_EQ_STR(r.words, "e1");
    deinit(&r);
}

static void takes_turns(struct rig *r)
{
    struct bgw_slot_name b;
    begin_both(r);
    int64_t drain = 1;
    CHECK(positions_name(&r->feed, BGW_SLICE("t:b:NGN"), &b));
    CHECK_EQ_I64(move(r, 0, 0, -1, "a", "b", 1), STEP_TOLD); /* the first member's records are on their way */
    CHECK_EQ_I64(move(r, 1, 0, -1, "c", "b", 1), STEP_TOLD);
    CHECK(r->last.account[0].tell && !r->last.account[1].tell); /* c is free, b is the first member's */
    CHECK_EQ_STR(redis_say(&r->redis, "SISMEMBER projection:ledger:e1:untold t:b:NGN"), "1");
    CHECK_EQ_I64(await(r, positions_tell(r->p[1], drain, &b, on_answer, r)), STEP_WAIT);
    CHECK_EQ_I64(await(r, positions_tell(r->p[0], drain, &b, on_answer, r)), STEP_TOLD);
    CHECK_EQ_I64(r->last.account[0].minor, 2);
    CHECK_EQ_I64((int64_t)r->last.account[0].v, 1);
    CHECK_EQ_I64(r->last.number[0], 1000);
    CHECK_EQ_I64(move(r, 1, 1, 0, "c", "b", 1), STEP_TOLD); /* meanwhile */
    CHECK(!r->last.account[1].tell);
    CHECK_EQ_I64(await(r, positions_settle(r->p[0], drain, &b, 1, on_answer, r)), STEP_WAIT); /* more is owed by now */
    CHECK_EQ_I64(await(r, positions_tell(r->p[0], drain, &b, on_answer, r)), STEP_TOLD);
    CHECK_EQ_I64(await(r, positions_settle(r->p[0], drain, &b, 2, on_answer, r)), STEP_PASSED);
    CHECK_EQ_STR(redis_say(&r->redis, "SCARD projection:ledger:e1:untold"), "0");
    CHECK_EQ_I64(move(r, 1, 2, 1, "c", "b", 1), STEP_TOLD); /* it has arrived: b is free */
    CHECK(r->last.account[1].tell);
}

TEST(one_member_at_a_time_tells_an_account)
{
    both_servers(takes_turns);
}

TEST(what_is_told_up_to_an_offset_frees_the_account)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_I64(move(&r, 0, 1, 0, "x", "y", 1), STEP_TOLD); /* says too that 0 is told */
    CHECK_EQ_I64(move(&r, 1, 0, -1, "c", "b", 1), STEP_TOLD);
    CHECK(r.last.account[1].tell);
    deinit(&r);
}

TEST(scripts_that_are_forgotten_are_loaded_again)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    redis_say(&r.redis, "SCRIPT FLUSH SYNC");
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_FAILED);
    CHECK(strncmp(r.words, "NOSCRIPT", 8) == 0);
    positions_doubt(r.p[0], bgw_slice_str(r.words));
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    CHECK_EQ_STR(field(&r, "a", "minor"), "-1");
    deinit(&r);
}

TEST(a_server_without_memory_applies_nothing)
{
    struct rig r;
    init(&r, "redis-server");
    begin_both(&r);
    redis_say(&r.redis, "CONFIG SET maxmemory 1");
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_FAILED);
    redis_say(&r.redis, "CONFIG SET maxmemory 0");
    CHECK_EQ_STR(redis_say(&r.redis, "EXISTS position:t:a:NGN position:t:b:NGN"), "0");
    CHECK_EQ_I64(move(&r, 0, 0, -1, "a", "b", 1), STEP_TOLD);
    deinit(&r);
}
