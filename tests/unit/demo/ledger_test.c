/* SPDX-License-Identifier: Apache-2.0 */
/* ledger: pure, so a hundred thousand moves take a moment. */
#include "../../../server/demo/ledger.h"

#include "../test.h"

#define MOVES 100000

TEST(sum_over_all_accounts_never_changes_and_no_account_goes_below_zero)
{
    struct bgw_ledger *l = bgw_ledger_create(7, 1);
    struct bgw_ledger_move m;
    int64_t ngn = bgw_ledger_sum_minor(l, "NGN"), usd = bgw_ledger_sum_minor(l, "USD");
    CHECK(ngn > 0 && usd > 0);
    int64_t dollar_moves = 0;
    for (int i = 0; i < MOVES; i++) {
        bgw_ledger_step(l, &m);
        CHECK_EQ_I64(m.from.delta_minor + m.to.delta_minor, 0);
        CHECK(m.to.delta_minor > 0 && m.from.minor >= 0);
        CHECK_EQ_STR(m.from.currency, m.to.currency);
        dollar_moves += strcmp(m.from.currency, "USD") == 0;
        CHECK_EQ_I64(bgw_ledger_sum_minor(l, "NGN"), ngn);
        CHECK_EQ_I64(bgw_ledger_sum_minor(l, "USD"), usd);
    }
    CHECK(bgw_ledger_least_minor(l) >= 0);
    CHECK(dollar_moves > MOVES / 100);
    bgw_ledger_destroy(&l);
}

TEST(same_seed_makes_the_same_moves_and_another_seed_others)
{
    struct bgw_ledger *a = bgw_ledger_create(1, 1), *b = bgw_ledger_create(1, 1),
                      *c = bgw_ledger_create(2, 1);
    int different = 0;
    for (int i = 0; i < 2000; i++) {
        struct bgw_ledger_move x, y, z;
        memset(&x, 0, sizeof(x));
        memset(&y, 0, sizeof(y));
        memset(&z, 0, sizeof(z));
        bgw_ledger_step(a, &x);
        bgw_ledger_step(b, &y);
        bgw_ledger_step(c, &z);
        CHECK(strcmp(x.from.account, y.from.account) == 0);
        CHECK(strcmp(x.to.account, y.to.account) == 0);
        CHECK_EQ_I64(x.from.minor, y.from.minor);
        CHECK_EQ_I64(x.to.delta_minor, y.to.delta_minor);
        CHECK_EQ_I64(bgw_ledger_gap_ms(a), bgw_ledger_gap_ms(b));
        bgw_ledger_gap_ms(c);
        different += x.from.minor != z.from.minor;
    }
    CHECK(different > 1000);
    bgw_ledger_destroy(&a);
    bgw_ledger_destroy(&b);
    bgw_ledger_destroy(&c);
}

TEST(versions_of_a_slot_rise_by_one_from_the_first)
{
    struct bgw_ledger *l = bgw_ledger_create(3, 100);
    uint64_t last = 99;
    char name[BGW_KEY_MAX + 1];
    bgw_demo_account(4, name);
    for (int i = 0; i < MOVES; i++) {
        struct bgw_ledger_move m;
        bgw_ledger_step(l, &m);
        const struct bgw_ledger_leg *legs[] = {&m.from, &m.to};
        for (int k = 0; k < 2; k++) {
            if (strcmp(legs[k]->account, name) == 0 && strcmp(legs[k]->currency, "NGN") == 0)
                CHECK_EQ_I64(legs[k]->v, ++last);
        }
    }
    CHECK(last > 200);
    bgw_ledger_destroy(&l);
}

TEST(every_account_is_opened_before_anybody_pays)
{
    struct bgw_ledger *l = bgw_ledger_create(5, 1);
    struct bgw_ledger_move m;
    int opened = 0, ngn = 0;
    while (bgw_ledger_opening(l)) {
        bgw_ledger_step(l, &m);
        CHECK_EQ_STR(m.from.account, "house::treasury");
        CHECK_EQ_I64(m.to.v, 1);
        CHECK(m.to.minor > 0);
        ngn += strcmp(m.to.currency, "NGN") == 0;
        opened++;
    }
    CHECK_EQ_I64(ngn, BGW_DEMO_ACCOUNTS);
    CHECK_EQ_I64(opened, BGW_LEDGER_ROWS_MAX - 2);
    bgw_ledger_destroy(&l);
}

TEST(people_move_money_twenty_to_fifty_times_a_second)
{
    struct bgw_ledger *l = bgw_ledger_create(6, 1);
    int64_t total_ms = 0;
    for (int i = 0; i < MOVES; i++)
        total_ms += bgw_ledger_gap_ms(l);
    CHECK(total_ms / MOVES >= 20 && total_ms / MOVES <= 50);
    bgw_ledger_destroy(&l);
}

TEST(account_names_are_those_of_the_estate)
{
    char name[BGW_KEY_MAX + 1];
    bgw_demo_account(0, name);
    CHECK_EQ_STR(name, "msisdn::2348100000001");
    bgw_demo_account(BGW_DEMO_ACCOUNTS - 1, name);
    CHECK_EQ_STR(name, "msisdn::2348100000300");
}
