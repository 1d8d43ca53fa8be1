/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The map against the simplest model there is: an array of who is in it.
 */
#include "bgw/map.h"

#include "bgw/hash.h"

#include "../test.h"

#define ITEMS 600

struct thing {
    uint64_t hash;
    int number;
    bool in_map; /* the model */
};

static bool has_number(const void *item, const void *key)
{
    return ((const struct thing *)item)->number == *(const int *)key;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void check_all(const struct bgw_map *m, struct thing *things, size_t count)
{
    size_t in_map = 0, walked = 0, cursor = 0;
    for (size_t i = 0; i < count; i++) {
        void *found = bgw_map_find(m, things[i].hash, has_number, &things[i].number);
        CHECK(found == (things[i].in_map ? &things[i] : NULL));
        in_map += things[i].in_map;
    }
    CHECK_EQ_I64(m->count, in_map);
    for (struct thing *t; (t = bgw_map_next(m, &cursor)); walked++)
        CHECK(t->in_map);
    CHECK_EQ_I64(walked, in_map);
    CHECK(m->used >= m->count && (m->capacity == 0 || m->used <= m->capacity / 8 * 7));
}

/* Random inserts and removals; `hash_mask` 0 makes every hash the same. */
static void run_against_model(uint64_t seed, uint64_t hash_mask, size_t count, int steps)
{
    struct thing things[ITEMS];
    struct bgw_map m;
    bgw_map_init(&m, count);
    for (size_t i = 0; i < count; i++)
        things[i] = (struct thing){.hash = next_random(&seed) & hash_mask, .number = (int)i};
    for (int step = 0; step < steps; step++) {
        struct thing *t = &things[next_random(&seed) % count];
        /* swings between filling up and emptying, so that growth and sweeping both happen */
        bool fill = (step / 500 % 2 == 0) != (next_random(&seed) % 4 == 0);
        if (fill && !t->in_map) {
            CHECK_EQ_I64(bgw_map_insert(&m, t->hash, t), BGW_OK);
            t->in_map = true;
        } else if (!fill && t->in_map) {
            bgw_map_remove(&m, t->hash, t);
            t->in_map = false;
        }
        if (step % 97 == 0)
            check_all(&m, things, count);
    }
    check_all(&m, things, count);
    bgw_map_deinit(&m);
}

TEST(random_operations_agree_with_the_model)
{
    for (uint64_t seed = 1; seed <= 20; seed++)
        run_against_model(seed * 0x9e3779b97f4a7c15ULL, UINT64_MAX, ITEMS, 4000);
}

TEST(it_is_right_when_every_hash_is_the_same)
{
    run_against_model(7, 0, 100, 3000);
}

TEST(it_is_right_when_hashes_fall_into_few_buckets)
{
    run_against_model(8, 7, 300, 4000);
}

TEST(an_empty_map_finds_nothing_and_holds_no_memory)
{
    struct bgw_map m;
    int key = 1;
    size_t cursor = 0;
    bgw_map_init(&m, 10);
    CHECK(!bgw_map_find(&m, 1, has_number, &key));
    CHECK(!bgw_map_next(&m, &cursor));
    CHECK(!m.buckets);
    bgw_map_deinit(&m);
}

TEST(an_insert_at_the_maximum_is_full_and_changes_nothing)
{
    struct bgw_map m;
    struct thing things[4] = {{.hash = 1, .number = 1},
                              {.hash = 2, .number = 2},
                              {.hash = 3, .number = 3},
                              {.hash = 4, .number = 4}};
    bgw_map_init(&m, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ_I64(bgw_map_insert(&m, things[i].hash, &things[i]), BGW_OK);
    CHECK_EQ_I64(bgw_map_insert(&m, 4, &things[3]), BGW_FULL);
    CHECK_EQ_I64(m.count, 3);
    CHECK(!bgw_map_find(&m, 4, has_number, &things[3].number));
    bgw_map_remove(&m, 2, &things[1]);
    CHECK_EQ_I64(bgw_map_insert(&m, 4, &things[3]), BGW_OK);
    bgw_map_deinit(&m);
}

TEST(equal_hashes_are_told_apart_by_the_equality_test)
{
    struct bgw_map m;
    struct thing a = {.hash = 5, .number = 1}, b = {.hash = 5, .number = 2};
    bgw_map_init(&m, 10);
    CHECK_EQ_I64(bgw_map_insert(&m, 5, &a), BGW_OK);
    CHECK_EQ_I64(bgw_map_insert(&m, 5, &b), BGW_OK);
    CHECK(bgw_map_find(&m, 5, has_number, &b.number) == &b);
    bgw_map_remove(&m, 5, &a);
    CHECK(bgw_map_find(&m, 5, has_number, &b.number) == &b);
    CHECK(!bgw_map_find(&m, 5, has_number, &a.number));
    bgw_map_deinit(&m);
}

TEST(items_may_be_removed_while_they_are_walked)
{
    struct bgw_map m;
    struct thing things[ITEMS];
    uint64_t seed = 99;
    size_t cursor = 0, walked = 0;
    bgw_map_init(&m, ITEMS);
    for (int i = 0; i < ITEMS; i++) {
        things[i] = (struct thing){.hash = next_random(&seed), .number = i, .in_map = true};
        CHECK_EQ_I64(bgw_map_insert(&m, things[i].hash, &things[i]), BGW_OK);
    }
    for (struct thing *t; (t = bgw_map_next(&m, &cursor)); walked++) {
        CHECK(t->in_map);
        if (t->number % 3 == 0)
            continue;
        bgw_map_remove(&m, t->hash, t);
        t->in_map = false;
    }
    CHECK_EQ_I64(walked, ITEMS);
    check_all(&m, things, ITEMS);
    bgw_map_deinit(&m);
}

TEST(coming_and_going_does_not_make_it_grow)
{
    struct bgw_map m;
    struct thing things[64];
    uint64_t seed = 5;
    bgw_map_init(&m, 64);
    for (int i = 0; i < 100000; i++) {
        struct thing *t = &things[i % 8];
        if (i >= 8)
            bgw_map_remove(&m, t->hash, t);
        *t = (struct thing){.hash = next_random(&seed), .number = i};
        CHECK_EQ_I64(bgw_map_insert(&m, t->hash, t), BGW_OK);
    }
    CHECK(m.capacity <= 32);
    bgw_map_deinit(&m);
}
