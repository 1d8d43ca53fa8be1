/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The relay: folding by rule, and then two threads at once: nothing lost, nothing counted twice,
 * never back.
 */
#include "bgw/relay.h"

#include "../test.h"

#include <pthread.h>
#include <stdatomic.h>

static int wakes;

static void on_wake(void *arg)
{
    (*(int *)arg)++;
}

static struct bgw_relay *make(void)
{
    wakes = 0;
    return bgw_relay_create(on_wake, &wakes);
}

static struct bgw_relay_entry entry(uint64_t seq, uint32_t records)
{
    return (struct bgw_relay_entry){.group = 7,
                                    .part = 1,
                                    .answered = true,
                                    .records = records,
                                    .version = {1, seq, 0},
                                    .value = bgw_blob_copy(BGW_SLICE("x"))};
}

static void put(struct bgw_relay *r, struct bgw_relay_mark *mark, struct bgw_relay_entry e)
{
    bgw_relay_put(r, mark, &e);
}

/* Takes everything; returns the last entry without its value. */
static struct bgw_relay_entry take(struct bgw_relay *r, size_t *count)
{
    struct bgw_relay_batch batch;
    struct bgw_relay_entry last = {0};
    *count = 0;
    if (!bgw_relay_take(r, &batch))
        return last;
    *count = batch.count;
    for (size_t i = 0; i < batch.count; i++) {
        last = batch.entries[i];
        bgw_blob_release(batch.entries[i].value);
    }
    bgw_relay_done(r, &batch);
    return last;
}

TEST(entries_of_one_mark_fold_into_the_newest_and_records_add_up)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    size_t count;
    put(r, &mark, entry(1, 1));
    put(r, &mark, entry(2, 1));
    put(r, &mark, entry(5, 0));
    struct bgw_relay_entry e = take(r, &count);
    CHECK_EQ_I64(count, 1);
    CHECK_EQ_I64(e.version.seq, 5);
    CHECK_EQ_I64(e.records, 2);
    bgw_relay_destroy(&r);
    CHECK(!r);
}

TEST(mark_of_a_taken_batch_points_nowhere)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark a = {0}, b = {0};
    size_t count;
    put(r, &a, entry(1, 1));
    take(r, &count);
    put(r, &b, entry(2, 1));
    put(r, &a, entry(3, 1));
    CHECK_EQ_I64(take(r, &count).records, 1);
    CHECK_EQ_I64(count, 2);
    bgw_relay_destroy(&r);
}

TEST(removal_folded_behind_a_value_removes_and_a_value_behind_a_removal_revives)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    size_t count;
    put(r, &mark, entry(1, 1));
    put(r, &mark,
        (struct bgw_relay_entry){
            .group = 7, .part = 1, .state = BGW_STATE_REMOVED, .records = 1, .version = {1, 2, 0}});
    struct bgw_relay_batch batch;
    CHECK(bgw_relay_take(r, &batch));
    CHECK(batch.entries[0].state == BGW_STATE_REMOVED && !batch.entries[0].value);
    bgw_relay_done(r, &batch);
    put(r, &mark,
        (struct bgw_relay_entry){
            .group = 7, .part = 1, .state = BGW_STATE_REMOVED, .records = 1, .version = {1, 2, 0}});
    put(r, &mark, entry(3, 1));
    CHECK_EQ_I64(take(r, &count).state, BGW_STATE_FRESH);
    bgw_relay_destroy(&r);
}

TEST(answered_stays_once_said_and_the_oldest_ingest_time_is_kept)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    struct bgw_relay_entry first = entry(1, 1), second = entry(2, 1), third = entry(3, 0);
    size_t count;
    first.ingest_ns = 50;
    second.ingest_ns = 90;
    third.answered = false;
    put(r, &mark, first);
    put(r, &mark, second);
    put(r, &mark, third);
    struct bgw_relay_entry e = take(r, &count);
    CHECK(e.answered);
    CHECK_EQ_I64(e.ingest_ns, 50);
    bgw_relay_destroy(&r);
}

TEST(restamp_stays_one_only_while_no_record_is_folded_into_it)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    size_t count;
    struct bgw_relay_entry stamp = entry(0, 0);
    stamp.restamped = true;
    put(r, &mark, stamp);
    put(r, &mark, entry(0, 0)); /* a state change of the same version */
    CHECK(take(r, &count).restamped);
    stamp.value = bgw_blob_copy(BGW_SLICE("x"));
    put(r, &mark, stamp);
    put(r, &mark, entry(9, 1));
    CHECK(!take(r, &count).restamped);
    put(r, &mark, entry(9, 1));
    stamp.value = bgw_blob_copy(BGW_SLICE("x"));
    put(r, &mark, stamp);
    CHECK(!take(r, &count).restamped);
    bgw_relay_destroy(&r);
}

TEST(wakes_once_from_empty_to_not_empty_and_never_for_a_bare_sequence)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    size_t count;
    bgw_relay_seal(r, 1, 0);
    CHECK_EQ_I64(wakes, 0);
    put(r, &mark, entry(1, 1));
    CHECK_EQ_I64(wakes, 0);
    bgw_relay_seal(r, 2, 0);
    put(r, &mark, entry(2, 1));
    bgw_relay_seal(r, 3, 0);
    CHECK_EQ_I64(wakes, 1);
    take(r, &count);
    bgw_relay_seal(r, 4, 0);
    CHECK_EQ_I64(wakes, 1);
    bgw_relay_seal(r, 5, 77);
    CHECK_EQ_I64(wakes, 2); /* a new epoch is news */
    bgw_relay_destroy(&r);
}

TEST(seal_that_is_wanted_wakes_without_news_until_it_is_taken)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    size_t count;
    bgw_relay_want_seal(r, 2);
    CHECK_EQ_I64(wakes, 0);
    bgw_relay_seal(r, 1, 0); /* not all of it, but the shard has to look what is missing */
    CHECK_EQ_I64(wakes, 1);
    bgw_relay_seal(r, 2, 0);
    CHECK_EQ_I64(wakes, 1); /* woken already */
    take(r, &count);
    bgw_relay_seal(r, 3, 0);
    CHECK_EQ_I64(wakes, 1); /* and wanted no longer */
    bgw_relay_want_seal(r, 3);
    CHECK_EQ_I64(wakes, 2); /* sealed before it was wanted */
    take(r, &count);
    bgw_relay_want_seal(r, 3);
    bgw_relay_want_seal(r, 5);
    bgw_relay_want_seal(r, 4);
    put(r, &mark, entry(1, 1));
    CHECK_EQ_I64(wakes, 2); /* what is there is not whole before the seal */
    bgw_relay_seal(r, 4, 0);
    take(r, &count);
    CHECK_EQ_I64(wakes, 3);
    bgw_relay_seal(r, 5, 0);
    CHECK_EQ_I64(wakes, 4);
    bgw_relay_destroy(&r);
}

TEST(take_hands_over_sequence_barrier_and_epoch_and_then_says_nothing_new)
{
    struct bgw_relay *r = make();
    struct bgw_relay_batch batch;
    CHECK(!bgw_relay_take(r, &batch));
    bgw_relay_barrier(r, 5);
    bgw_relay_barrier(r, 4);
    bgw_relay_seal(r, 9, 77);
    CHECK_EQ_I64(wakes, 1);
    CHECK(bgw_relay_take(r, &batch));
    CHECK(batch.hub_seq == 9 && batch.barrier_done == 5 && batch.epoch == 77 && batch.count == 0);
    bgw_relay_done(r, &batch);
    CHECK(!bgw_relay_take(r, &batch));
    bgw_relay_destroy(&r);
}

TEST(another_proof_is_news_and_goes_with_the_next_seal)
{
    struct bgw_relay *r = make();
    struct bgw_relay_batch batch;
    bgw_relay_proved(r, 1000);
    CHECK_EQ_I64(wakes, 0);
    bgw_relay_seal(r, 1, 0);
    CHECK_EQ_I64(wakes, 1);
    CHECK(bgw_relay_take(r, &batch));
    CHECK(batch.proved_mono_ms == 1000 && batch.count == 0);
    bgw_relay_done(r, &batch);
    bgw_relay_proved(r, 1000);
    bgw_relay_seal(r, 1, 0);
    CHECK_EQ_I64(wakes, 1);
    CHECK(!bgw_relay_take(r, &batch));
    bgw_relay_destroy(&r);
}

TEST(values_that_nobody_took_are_released_with_the_relay)
{
    struct bgw_relay *r = make();
    struct bgw_relay_mark mark = {0};
    struct bgw_relay_entry e = entry(1, 1);
    struct bgw_blob *value = bgw_blob_acquire(e.value);
    put(r, &mark, e);
    bgw_relay_destroy(&r);
    CHECK_EQ_I64(atomic_load(&value->refs), 1);
    bgw_blob_release(value);
}

/* ---- two threads ---- */

#define SLOTS 50
#define ROUNDS 20000

static void *produce(void *arg)
{
    struct bgw_relay *r = arg;
    static struct bgw_relay_mark marks[SLOTS];
    memset(marks, 0, sizeof(marks));
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        uint64_t slot = i % SLOTS;
        struct bgw_relay_entry e = entry(i, 1);
        e.group = slot;
        put(r, &marks[slot], e);
        if (i % 7 == 0)
            bgw_relay_seal(r, i, 1);
    }
    bgw_relay_barrier(r, ROUNDS);
    bgw_relay_seal(r, ROUNDS, 1);
    return NULL;
}

/* ---- a wait for the seal, on both threads ---- */

struct race {
    struct bgw_relay *relay;
    atomic_uint_least64_t begun;
    atomic_int woken;
};

static void on_race_wake(void *arg)
{
    struct race *race = arg;
    atomic_fetch_add(&race->woken, 1);
}

static void *sequence(void *arg)
{
    struct race *race = arg;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        atomic_store(&race->begun, i);
        bgw_relay_seal(race->relay, i, 0);
    }
    return NULL;
}

/* Whoever wants what has begun is woken, however the seal falls. */
TEST(two_threads_miss_no_wanted_seal)
{
    struct race race = {0};
    struct bgw_relay_batch batch;
    pthread_t thread;
    uint64_t taken = 0, spins = 0;
    race.relay = bgw_relay_create(on_race_wake, &race);
    CHECK(pthread_create(&thread, NULL, sequence, &race) == 0);
    while (taken < ROUNDS && spins < 2000000000) {
        uint64_t wanted = atomic_load(&race.begun);
        if (wanted <= taken)
            continue;
        bgw_relay_want_seal(race.relay, wanted);
        while (taken < wanted && spins < 2000000000) {
            while (!atomic_exchange(&race.woken, 0) && spins < 2000000000)
                spins++;
            if (!bgw_relay_take(race.relay, &batch))
                continue;
            taken = batch.hub_seq;
            bgw_relay_done(race.relay, &batch);
        }
    }
    CHECK_EQ_I64(taken, ROUNDS);
    pthread_join(thread, NULL);
    bgw_relay_destroy(&race.relay);
}

TEST(two_threads_lose_nothing_and_never_go_back)
{
    struct bgw_relay *r = bgw_relay_create(NULL, NULL);
    struct bgw_relay_batch batch;
    uint64_t seen[SLOTS] = {0}, records = 0, backwards = 0, too_long = 0;
    pthread_t thread;
    bool done = false;
    CHECK(pthread_create(&thread, NULL, produce, r) == 0);
    while (!done) {
        if (!bgw_relay_take(r, &batch))
            continue;
        too_long += batch.count > SLOTS;
        for (size_t i = 0; i < batch.count; i++) {
            struct bgw_relay_entry *e = &batch.entries[i];
            backwards += e->version.seq <= seen[e->group];
            seen[e->group] = e->version.seq;
            records += e->records;
            bgw_blob_release(e->value);
        }
        done = batch.barrier_done == ROUNDS;
        bgw_relay_done(r, &batch);
    }
    pthread_join(thread, NULL);
    CHECK_EQ_I64(records, ROUNDS);
    CHECK_EQ_I64(backwards, 0);
    CHECK_EQ_I64(too_long, 0);
    bgw_relay_destroy(&r);
}
