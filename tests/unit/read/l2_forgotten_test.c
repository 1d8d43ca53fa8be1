/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_forgotten: a slot of an account of which everything was invalidated is removed once before it is
 * believed; when more is to be remembered than there is room for, too much is removed, never too little.
 */
#include "test.h"

#include "read/l2_forgotten.h"

static uint64_t random_state;

static uint64_t draw(uint64_t n)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    return (z ^ z >> 31) % n;
}

TEST(each_slot_is_removed_once_after_each_invalidation)
{
    static struct bgw_l2_forgotten f;
    CHECK(!bgw_l2_forgotten_has(&f, 1, 11, 0));
    bgw_l2_forgotten_account(&f, 1, 1000, 0);
    CHECK(bgw_l2_forgotten_has(&f, 1, 11, 10) && bgw_l2_forgotten_has(&f, 1, 12, 10) && !bgw_l2_forgotten_has(&f, 2, 21, 10));
    bgw_l2_forgotten_removed(&f, 11);
    CHECK(!bgw_l2_forgotten_has(&f, 1, 11, 10) && bgw_l2_forgotten_has(&f, 1, 12, 10));
    bgw_l2_forgotten_account(&f, 1, 1100, 100); /* again */
    CHECK(bgw_l2_forgotten_has(&f, 1, 11, 100));
    CHECK(bgw_l2_forgotten_has(&f, 1, 11, 1099) && !bgw_l2_forgotten_has(&f, 1, 11, 1100)); /* all that was there has ended */
}

TEST(an_account_that_loses_its_place_makes_every_slot_doubtful)
{
    static struct bgw_l2_forgotten f;
    bgw_l2_forgotten_account(&f, 1, 1000, 0);
    bgw_l2_forgotten_account(&f, 1 + BGW_L2_FORGOTTEN_MAX, 1500, 500);
    CHECK(bgw_l2_forgotten_has(&f, 1, 11, 500) && bgw_l2_forgotten_has(&f, 7, 71, 500));
    bgw_l2_forgotten_removed(&f, 71);
    CHECK(!bgw_l2_forgotten_has(&f, 7, 71, 500));
    CHECK(!bgw_l2_forgotten_has(&f, 1, 11, 1000) && bgw_l2_forgotten_has(&f, 1 + BGW_L2_FORGOTTEN_MAX, 13, 1000));
}

TEST(nothing_is_believed_that_was_invalidated_and_not_removed_whatever_happens)
{
    enum { ACCOUNTS = 3 * BGW_L2_FORGOTTEN_MAX, PARTS = 2, LIFE_MS = 300 };
    static struct bgw_l2_forgotten f;
    static int64_t invalidated_ms[ACCOUNTS];
    static bool removed[ACCOUNTS][PARTS];
    unsigned has = 0, spared = 0;
    for (int64_t ms = LIFE_MS; ms < 60000; ms++) {
        for (uint64_t n = draw(20); n; n--) {
            uint64_t a = draw(ACCOUNTS);
            bgw_l2_forgotten_account(&f, a * 2654435761u, ms + LIFE_MS, ms);
            invalidated_ms[a] = ms;
            removed[a][0] = removed[a][1] = false;
        }
        for (int n = 0; n < 20; n++) {
            uint64_t a = draw(ACCOUNTS), part = draw(PARTS), slot = (a * PARTS + part) * 40503u;
            if (bgw_l2_forgotten_has(&f, a * 2654435761u, slot, ms)) {
                bgw_l2_forgotten_removed(&f, slot);
                removed[a][part] = true;
                has++;
                continue;
            }
            CHECK(removed[a][part] || !invalidated_ms[a] || invalidated_ms[a] + LIFE_MS <= ms);
            spared++;
        }
    }
    CHECK(has > 1000 && spared > 1000);
}
