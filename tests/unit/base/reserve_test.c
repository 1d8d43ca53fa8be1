/* SPDX-License-Identifier: Apache-2.0 */
/* reserve: what happens when it is spent, and how it comes back. */
#include "bgw/reserve.h"

#include "../test.h"

#include "bgw/metrics.h"

TEST(without_a_reserve_nothing_is_spent_and_nothing_is_low)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    CHECK(!bgw_reserve_spend());
    CHECK(!bgw_reserve_low());
    bgw_reserve_refill(1);
    CHECK(!bgw_reserve_spend());
}

TEST(reserve_is_spent_once_and_then_nothing_new_is_promised_until_it_is_filled)
{
    bgw_reserve_init((size_t)1 << 20);
    CHECK(!bgw_reserve_low());
    CHECK(bgw_reserve_spend());
    CHECK(bgw_reserve_low());
    CHECK(bgw_reserve_spend()); /* a second thread in need: what the first gave back may do for it too */
    CHECK_EQ_I64(bgw_metric_read(BGW_M_MEMORY_RESERVE_SPENT), 1);
    bgw_reserve_refill(100);
    CHECK(!bgw_reserve_low());
    CHECK(bgw_reserve_spend());
    CHECK_EQ_I64(bgw_metric_read(BGW_M_MEMORY_RESERVE_SPENT), 2);
}

TEST(reserve_that_cannot_be_had_is_low_from_the_start)
{
    bgw_reserve_init(SIZE_MAX / 4);
    CHECK(bgw_reserve_low());
    bgw_reserve_refill(100);
    CHECK(bgw_reserve_low());
    bgw_reserve_refill(10); /* a quarter of it is still too much */
    CHECK(bgw_reserve_low());
}
