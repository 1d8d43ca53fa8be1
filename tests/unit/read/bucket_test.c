/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bucket: what is admitted, to the token.
 */
#include "test.h"

#include "read/bucket.h"

TEST(a_thousand_a_second_for_ten_seconds_admit_4800)
{
    struct bgw_bucket b;
    int admitted = 0;
    bgw_bucket_init(&b, 400, 800, 5);
    for (int64_t ms = 0; ms < 10000; ms++)
        admitted += bgw_bucket_take(&b, 5 + ms);
    CHECK_EQ_I64(admitted, 4799); /* 800 + 400 * 9.999 */
    admitted += bgw_bucket_take(&b, 10005);
    CHECK_EQ_I64(admitted, 4800);
}

TEST(the_same_comes_of_bursts_as_of_a_steady_flow)
{
    struct bgw_bucket b;
    int admitted = 0;
    bgw_bucket_init(&b, 400, 800, 0);
    for (int64_t ms = 0; ms <= 10000; ms += 250)
        for (int i = 0; i < 250; i++)
            admitted += bgw_bucket_take(&b, ms);
    CHECK_EQ_I64(admitted, 4800);
}

TEST(it_never_holds_more_than_the_burst)
{
    struct bgw_bucket b;
    bgw_bucket_init(&b, 10000000, 3, 0);
    CHECK_EQ_I64(bgw_bucket_tokens_milli(&b, 0), 3000);
    CHECK(bgw_bucket_take(&b, 0));
    CHECK_EQ_I64(bgw_bucket_tokens_milli(&b, INT64_MAX - 1), 3000);
}

TEST(slow_rates_lose_nothing)
{
    struct bgw_bucket b;
    int admitted = 0;
    bgw_bucket_init(&b, 1, 1, 0);
    for (int64_t ms = 0; ms <= 60000; ms++)
        admitted += bgw_bucket_take(&b, ms);
    CHECK_EQ_I64(admitted, 61);
}

TEST(a_clock_that_goes_back_gives_nothing_and_takes_nothing)
{
    struct bgw_bucket b;
    bgw_bucket_init(&b, 1000, 2, 1000);
    CHECK(bgw_bucket_take(&b, 1000));
    CHECK(bgw_bucket_take(&b, 1000));
    CHECK(!bgw_bucket_take(&b, 0));
    CHECK(!bgw_bucket_take(&b, 1000));
    CHECK(bgw_bucket_take(&b, 1001));
}
