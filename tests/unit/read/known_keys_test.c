/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_keys: never denies who was put in, denies nearly all others, and what happens around lists.
 */
#include "test.h"

#include "bgw/hash.h"
#include "read/known_keys.h"

static struct bgw_slice key_text(const char *prefix, unsigned i)
{
    static char text[BGW_KEY_MAX];
    int n = snprintf(text, sizeof(text), "%s%u", prefix, i);
    return bgw_slice_of(text, (size_t)n);
}

static struct bgw_known_keys *filter_of(size_t keys_max)
{
    bgw_hash_init();
    struct bgw_known_keys *k = bgw_known_keys_create(keys_max);
    CHECK(k);
    return k;
}

static void list(struct bgw_known_keys *k, const char *prefix, unsigned n)
{
    bgw_known_keys_begin(k);
    for (unsigned i = 0; i < n; i++)
        bgw_known_keys_listed(k, BGW_SLICE("default"), key_text(prefix, i));
    bgw_known_keys_complete(k);
}

static unsigned denied(const struct bgw_known_keys *k, const char *prefix, unsigned n)
{
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++)
        count += bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), key_text(prefix, i));
    return count;
}

TEST(ten_thousand_known_ones_pass_and_of_others_less_than_a_hundredth)
{
    struct bgw_known_keys *k = filter_of(10000);
    list(k, "acc-", 10000);
    CHECK_EQ_I64(denied(k, "acc-", 10000), 0);
    CHECK(denied(k, "random-", 100000) >= 99000);
    CHECK(bgw_known_keys_count(k) > 9900 && bgw_known_keys_count(k) <= 10000);
    bgw_known_keys_destroy(&k);
    CHECK(!k);
}

TEST(more_than_it_was_made_for_leak_and_are_not_denied)
{
    struct bgw_known_keys *k = filter_of(100);
    list(k, "acc-", 5000);
    CHECK_EQ_I64(denied(k, "acc-", 5000), 0);
    bgw_known_keys_destroy(&k);
}

TEST(it_denies_nobody_before_the_first_list_is_complete)
{
    struct bgw_known_keys *k = filter_of(100);
    CHECK(!bgw_known_keys_in_force(k));
    CHECK_EQ_I64(denied(k, "acc-", 100), 0);
    bgw_known_keys_begin(k);
    CHECK_EQ_I64(denied(k, "acc-", 100), 0);
    bgw_known_keys_abandon(k);
    CHECK(!bgw_known_keys_in_force(k));
    CHECK_EQ_I64(denied(k, "acc-", 100), 0);
    CHECK_EQ_I64(bgw_known_keys_count(k), 0);
    list(k, "acc-", 0);
    CHECK(bgw_known_keys_in_force(k));
    CHECK_EQ_I64(denied(k, "acc-", 100), 100);
    bgw_known_keys_destroy(&k);
}

TEST(what_turns_up_while_a_list_is_read_is_in_the_old_and_in_the_new)
{
    struct bgw_known_keys *k = filter_of(1000);
    list(k, "old-", 100);
    bgw_known_keys_begin(k);
    for (unsigned i = 0; i < 50; i++)
        bgw_known_keys_add(k, BGW_SLICE("default"), key_text("new-", i));
    CHECK_EQ_I64(denied(k, "new-", 50), 0);
    CHECK_EQ_I64(denied(k, "old-", 100), 0);
    bgw_known_keys_complete(k);
    CHECK_EQ_I64(denied(k, "new-", 50), 0);
    CHECK(denied(k, "old-", 100) >= 99); /* the new list does not name them */
    bgw_known_keys_destroy(&k);
}

TEST(what_turned_up_just_before_a_list_began_is_not_lost)
{
    struct bgw_known_keys *k = filter_of(10000);
    for (unsigned i = 0; i < 4096; i++)
        bgw_known_keys_add(k, BGW_SLICE("default"), key_text("new-", i));
    list(k, "acc-", 100);
    CHECK_EQ_I64(denied(k, "new-", 4096), 0);
    bgw_known_keys_destroy(&k);
}

TEST(a_list_that_broke_off_leaves_everything_as_it_was)
{
    struct bgw_known_keys *k = filter_of(1000);
    list(k, "acc-", 100);
    bgw_known_keys_begin(k);
    bgw_known_keys_listed(k, BGW_SLICE("default"), BGW_SLICE("half"));
    bgw_known_keys_add(k, BGW_SLICE("default"), BGW_SLICE("seen"));
    bgw_known_keys_abandon(k);
    CHECK_EQ_I64(denied(k, "acc-", 100), 0);
    CHECK(!bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), BGW_SLICE("seen")));
    list(k, "acc-", 200);
    CHECK_EQ_I64(denied(k, "acc-", 200), 0);
    CHECK(!bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), BGW_SLICE("seen")));
    bgw_known_keys_destroy(&k);
}

TEST(tenants_are_apart)
{
    struct bgw_known_keys *k = filter_of(1000);
    list(k, "acc-", 1000);
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++)
        count += bgw_known_keys_certainly_unknown(k, BGW_SLICE("other"), key_text("acc-", i));
    CHECK(count >= 980);
    CHECK(bgw_known_keys_certainly_unknown(k, BGW_SLICE("defaul"), BGW_SLICE("tacc-1")));
    bgw_known_keys_destroy(&k);
}

TEST(ids_that_are_too_long_for_anybody_are_left_to_others)
{
    struct bgw_known_keys *k = filter_of(10);
    char text[BGW_KEY_MAX + 1];
    memset(text, 'x', sizeof(text));
    list(k, "acc-", 1);
    bgw_known_keys_add(k, BGW_SLICE("default"), bgw_slice_of(text, sizeof(text)));
    CHECK(!bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), bgw_slice_of(text, sizeof(text))));
    CHECK(bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), bgw_slice_of(text, BGW_KEY_MAX)));
    bgw_known_keys_destroy(&k);
}

TEST(a_key_without_a_tenant_is_everybodys_also_in_the_lists_to_come)
{
    struct bgw_known_keys *k = filter_of(1000);
    bgw_known_keys_begin(k);
    bgw_known_keys_listed(k, BGW_SLICE("default"), BGW_SLICE("listed"));
    bgw_known_keys_complete(k);
    CHECK(bgw_known_keys_certainly_unknown(k, BGW_SLICE("t2"), BGW_SLICE("anyones")));
    bgw_known_keys_add(k, BGW_SLICE(""), BGW_SLICE("anyones"));
    for (int round = 0; round < 2; round++) {
        CHECK(!bgw_known_keys_certainly_unknown(k, BGW_SLICE("t2"), BGW_SLICE("anyones")));
        CHECK(!bgw_known_keys_certainly_unknown(k, BGW_SLICE("default"), BGW_SLICE("anyones")));
        CHECK(bgw_known_keys_certainly_unknown(k, BGW_SLICE("t2"), BGW_SLICE("listed")));
        bgw_known_keys_begin(k);
        bgw_known_keys_listed(k, BGW_SLICE("default"), BGW_SLICE("listed"));
        bgw_known_keys_complete(k);
    }
    bgw_known_keys_destroy(&k);
}
