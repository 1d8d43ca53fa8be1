/* SPDX-License-Identifier: Apache-2.0 */
/* How far a partition is done, whatever order its events end in, and what a stop in the midst leaves. */
#include "test.h"

#include "project/window.h"

static struct window w; /* large */

static uint64_t enter(int64_t offset)
{
    uint64_t number = UINT64_MAX;
    CHECK(window_enter(&w, offset, &number));
    return number;
}

TEST(done_moves_over_what_has_ended_and_no_further)
{
    window_begin(&w, 10);
    uint64_t a = enter(10), b = enter(11), c = enter(15);
    CHECK_EQ_I64(w.done, 10);
    CHECK(!window_end(&w, c));
    CHECK(!window_end(&w, b));
    CHECK_EQ_I64(w.done, 10);
    CHECK(window_end(&w, a));
    CHECK_EQ_I64(w.done, 16);
    CHECK_EQ_I64(window_count(&w), 0);
}

TEST(an_offset_that_was_there_does_not_enter_again)
{
    uint64_t n;
    window_begin(&w, 0);
    enter(0);
    enter(5);
    CHECK(!window_enter(&w, 5, &n));
    CHECK(!window_enter(&w, 3, &n));
    CHECK(window_enter(&w, 6, &n));
}

TEST(after_a_failure_in_the_midst_nothing_is_done_any_more)
{
    uint64_t n;
    window_begin(&w, 0);
    uint64_t a = enter(0), b = enter(1), c = enter(2);
    CHECK(window_end(&w, a));
    window_stop(&w); /* b failed */
    CHECK(!window_end(&w, c));
    CHECK(!window_end(&w, b));
    CHECK_EQ_I64(w.done, 1);
    CHECK(!window_enter(&w, 3, &n));
    CHECK_EQ_I64(window_count(&w), 0);
}

TEST(an_end_of_an_earlier_life_changes_nothing)
{
    window_begin(&w, 0);
    uint64_t a = enter(0);
    window_stop(&w); /* taken away while under way */
    window_begin(&w, 0);
    uint64_t again = enter(0);
    CHECK(again != a);
    CHECK(!window_end(&w, a));
    CHECK_EQ_I64(w.done, 0);
    CHECK(window_end(&w, again));
    CHECK_EQ_I64(w.done, 1);
}

TEST(a_full_window_takes_nothing_and_goes_round)
{
    uint64_t n, first = 0;
    window_begin(&w, 0);
    for (int64_t i = 0; i < WINDOW_MAX; i++) {
        n = enter(i);
        first = i ? first : n;
    }
    CHECK(!window_enter(&w, WINDOW_MAX, &n));
    for (int64_t round = 0; round < 3 * WINDOW_MAX; round++) {
        CHECK(window_end(&w, first + (uint64_t)round));
        enter(WINDOW_MAX + round);
    }
    CHECK_EQ_I64(w.done, 3 * WINDOW_MAX);
    CHECK_EQ_I64(window_count(&w), WINDOW_MAX);
}

TEST(whatever_the_order_of_ends_all_is_done_at_last)
{
    uint64_t numbers[500], seed = 99;
    window_begin(&w, 7);
    for (int i = 0; i < 500; i++)
        numbers[i] = enter(7 + 2 * i);
    int64_t done = w.done;
    for (int left = 500; left; left--) {
        seed = seed * 6364136223846793005u + 1;
        int pick = (int)((seed >> 33) % (uint64_t)left);
        bool moved = window_end(&w, numbers[pick]);
        CHECK(moved == (w.done > done) && w.done >= done);
        done = w.done;
        numbers[pick] = numbers[left - 1];
    }
    CHECK_EQ_I64(w.done, 7 + 2 * 499 + 1);
}
