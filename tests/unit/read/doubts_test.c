/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doubts: who is asked for although no list has him: the newcomer who comes again, in a flood of ids
 * that were made up; and how much of a flood gets through.
 */
#include "test.h"

#include "read/doubts.h"

static uint64_t id(uint64_t n)
{
    uint64_t z = (n + 1) * 0x9e3779b97f4a7c15ULL;
    return (z ^ z >> 29) * 0xbf58476d1ce4e5b9ULL;
}

/* What a flood of so many new ids a millisecond lets through until then. */
static int flood(struct bgw_doubts *d, uint64_t *next, int64_t from_ms, int64_t to_ms, int each)
{
    int through = 0;
    for (int64_t ms = from_ms; ms < to_ms; ms++)
        for (int i = 0; i < each; i++)
            through += bgw_doubts_take(d, id((*next)++), ms);
    return through;
}

TEST(a_flood_of_invented_ids_gets_no_more_than_its_budget)
{
    uint64_t next = 0;
    struct bgw_doubts *d = bgw_doubts_create(2, 0);
    CHECK_EQ_I64(flood(d, &next, 0, 10000, 10), 5 + 19);
    bgw_doubts_destroy(&d);
    CHECK(!d);
}

TEST(who_comes_again_in_a_flood_is_asked_for)
{
    uint64_t next = 100;
    struct bgw_doubts *d = bgw_doubts_create(2, 0);
    int found = 0;
    (void)flood(d, &next, 0, 1000, 10);
    for (uint64_t newcomer = 0; newcomer < 20; newcomer++) {
        int64_t at_ms = 1000 + (int64_t)newcomer * 3000;
        bool first = bgw_doubts_take(d, id(newcomer), at_ms);
        (void)flood(d, &next, at_ms, at_ms + 3000, 10);
        found += first || bgw_doubts_take(d, id(newcomer), at_ms + 3000);
    }
    CHECK_EQ_I64(found, 20); /* thirty thousand ids push nobody out */
    bgw_doubts_destroy(&d);
}

TEST(ids_that_come_again_and_again_have_a_budget_too)
{
    struct bgw_doubts *d = bgw_doubts_create(2, 0);
    int through = 0;
    for (int64_t ms = 0; ms < 10000; ms++)
        for (uint64_t i = 0; i < 10; i++)
            through += bgw_doubts_take(d, id(i), ms);
    CHECK_EQ_I64(through, 2 * (5 + 19));
    bgw_doubts_destroy(&d);
}

TEST(whom_the_origin_denied_is_not_asked_for_again_for_some_seconds)
{
    struct bgw_doubts *d = bgw_doubts_create(2, 0);
    CHECK(bgw_doubts_take(d, id(1), 0));
    bgw_doubts_denied(d, id(1), 10);
    for (int64_t ms = 20; ms < 5000; ms += 100)
        CHECK(!bgw_doubts_take(d, id(1), ms));
    CHECK(bgw_doubts_take(d, id(2), 4000)); /* which cost nobody's budget */
    CHECK(bgw_doubts_take(d, id(1), 5011));
    bgw_doubts_destroy(&d);
}

TEST(what_is_compared_in_its_turn_leaves_the_budget_of_those_who_come_again_alone)
{
    struct bgw_doubts *d = bgw_doubts_create(2, 0);
    int through = 0;
    for (int i = 0; i < 100; i++)
        through += bgw_doubts_take_unasked(d, id(1), 0);
    CHECK_EQ_I64(through, 5);
    CHECK(!bgw_doubts_take(d, id(1), 0)); /* who comes now comes for the first time */
    CHECK(bgw_doubts_take(d, id(1), 0));
    bgw_doubts_denied(d, id(2), 0);
    CHECK(!bgw_doubts_take_unasked(d, id(2), 1000));
    bgw_doubts_destroy(&d);
}
