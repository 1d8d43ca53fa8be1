/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: every object is the taker's alone, zeroed, and counted against the maximum. */
#include "bgw/pool.h"

#include "../test.h"

#define OBJECTS 3000

static bool all_bytes_are(const unsigned char *p, size_t n, unsigned char want)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != want)
            return false;
    return true;
}

/* Random takes and gives; each live object is filled with its own byte, which nobody else may
 * change. */
static void run_against_model(size_t size, uint64_t seed)
{
    static unsigned char *live[OBJECTS];
    size_t in_use = 0;
    struct bgw_pool p;
    bgw_pool_init(&p, size, OBJECTS);
    memset(live, 0, sizeof(live));
    for (int step = 0; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        size_t i = (size_t)(seed >> 33) % OBJECTS;
        unsigned char mark = (unsigned char)(i % 255 + 1);
        if (live[i]) {
            CHECK(all_bytes_are(live[i], size, mark));
            bgw_pool_give(&p, live[i]);
            live[i] = NULL;
            in_use--;
        } else {
            live[i] = bgw_pool_take(&p);
            CHECK(live[i] && (uintptr_t)live[i] % 16 == 0);
            CHECK(all_bytes_are(live[i], size, 0));
            memset(live[i], mark, size);
            in_use++;
        }
        CHECK_EQ_I64(p.in_use, in_use);
    }
    CHECK(p.made <= OBJECTS);
    bgw_pool_deinit(&p);
}

TEST(objects_never_overlap_and_come_zeroed)
{
    static const size_t sizes[] = {1, 8, 16, 24, 100, 1000, 4096};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
        run_against_model(sizes[i], sizes[i]);
}

TEST(objects_larger_than_a_slab_are_served)
{
    struct bgw_pool p;
    bgw_pool_init(&p, 100000, 2);
    unsigned char *a = bgw_pool_take(&p), *b = bgw_pool_take(&p);
    CHECK(a && b && a != b);
    memset(a, 1, 100000);
    CHECK(all_bytes_are(b, 100000, 0));
    bgw_pool_deinit(&p);
}

TEST(a_take_beyond_the_maximum_is_refused_until_one_comes_back)
{
    struct bgw_pool p;
    bgw_pool_init(&p, 32, 2);
    void *a = bgw_pool_take(&p), *b = bgw_pool_take(&p);
    CHECK(a && b && !bgw_pool_take(&p));
    bgw_pool_give(&p, a);
    CHECK(bgw_pool_take(&p) == a);
    CHECK(!bgw_pool_take(&p));
    bgw_pool_deinit(&p);
}

TEST(the_last_object_given_is_the_first_taken)
{
    struct bgw_pool p;
    bgw_pool_init(&p, 32, 10);
    void *a = bgw_pool_take(&p), *b = bgw_pool_take(&p);
    bgw_pool_give(&p, b);
    bgw_pool_give(&p, a);
    CHECK(bgw_pool_take(&p) == a);
    CHECK(bgw_pool_take(&p) == b);
    CHECK_EQ_I64(p.made, 2);
    bgw_pool_deinit(&p);
}

TEST(a_pool_that_was_emptied_can_be_used_again)
{
    struct bgw_pool p;
    bgw_pool_init(&p, 48, 5);
    CHECK(bgw_pool_take(&p));
    bgw_pool_deinit(&p);
    CHECK_EQ_I64(p.in_use, 0);
    CHECK(bgw_pool_take(&p));
    bgw_pool_deinit(&p);
}
