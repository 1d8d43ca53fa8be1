/* SPDX-License-Identifier: Apache-2.0 */
/* budget_test: who comes in, and when the others are told to come back. */
#include "test.h"

#include "wire/budget.h"

TEST(a_second_is_there_at_once_and_then_the_rate)
{
    struct bgw_budget b = {0};
    int taken = 0;
    for (int i = 0; i < 100; i++)
        taken += bgw_budget_take(&b, 10, 5000);
    CHECK(taken == 10);
    CHECK(!bgw_budget_take(&b, 10, 5099));
    CHECK(bgw_budget_take(&b, 10, 5100));
    CHECK(!bgw_budget_take(&b, 10, 5100));
}

TEST(a_long_rest_is_not_saved_up)
{
    struct bgw_budget b = {0};
    int taken = 0;
    while (bgw_budget_take(&b, 10, 0))
        taken++;
    for (int i = 0; i < 100; i++)
        taken += bgw_budget_take(&b, 10, 3600000);
    CHECK(taken == 20);
}

TEST(without_a_rate_everybody_comes_in)
{
    struct bgw_budget b = {0};
    for (int i = 0; i < 1000; i++)
        CHECK(bgw_budget_take(&b, 0, 1));
    CHECK(bgw_budget_retry_s(&b, 0, 10, 1) == 1);
}

TEST(a_smaller_rate_takes_effect_at_once)
{
    struct bgw_budget b = {0};
    CHECK(bgw_budget_take(&b, 1000, 0));
    int taken = 0;
    for (int i = 0; i < 1000; i++)
        taken += bgw_budget_take(&b, 5, 1);
    CHECK(taken == 5);
}

TEST(few_who_were_sent_away_come_back_soon)
{
    struct bgw_budget b = {0};
    int told[11] = {0};
    for (int i = 0; i < 250; i++)
        told[bgw_budget_retry_s(&b, 100, 10, 1000)]++;
    CHECK(told[1] == 100 && told[2] == 100 && told[3] == 50);
}

TEST(places_become_free_with_time)
{
    struct bgw_budget b = {0};
    for (int i = 0; i < 300; i++)
        (void)bgw_budget_retry_s(&b, 100, 10, 0);
    CHECK(bgw_budget_retry_s(&b, 100, 10, 0) == 4);
    CHECK(bgw_budget_retry_s(&b, 100, 10, 2000) == 2);
    CHECK(bgw_budget_retry_s(&b, 100, 10, 60000) == 1);
}

TEST(more_than_the_window_can_serve_are_spread_evenly)
{
    struct bgw_budget b = {0};
    int told[11] = {0};
    for (int i = 0; i < 10000; i++) {
        int64_t s = bgw_budget_retry_s(&b, 10, 10, 0);
        CHECK(s >= 1 && s <= 10);
        told[s]++;
    }
    for (int s = 1; s <= 10; s++)
        CHECK(told[s] > 950 && told[s] < 1050);
}
