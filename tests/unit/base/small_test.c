/* SPDX-License-Identifier: Apache-2.0 */
/* The small ones: status, clock, list. */
#include "bgw/clock.h"
#include "bgw/list.h"
#include "bgw/status.h"

#include "../test.h"

TEST(zero_is_success)
{
    CHECK_EQ_I64(BGW_OK, 0);
    CHECK_EQ_STR(bgw_status_name(BGW_OK), "ok");
}

TEST(every_status_has_its_own_name_and_a_sentence)
{
    const char *names[256];
    size_t count = 0;
#define BGW_STATUS_ROW(name, sentence) names[count++] = bgw_status_name(BGW_##name);
#include "../../../server/base/status.def"
#undef BGW_STATUS_ROW
    for (size_t i = 0; i < count; i++) {
        CHECK(*names[i] &&
              strspn(names[i], "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(names[i]));
        CHECK(strlen(bgw_status_text((enum bgw_status)i)) > 3);
        for (size_t k = 0; k < i; k++)
            CHECK(strcmp(names[i], names[k]) != 0);
    }
    CHECK_EQ_STR(bgw_status_name(BGW_DUPLICATE_VERSION), "duplicate_version");
    CHECK_EQ_STR(bgw_status_name(BGW_BAD_UTF8), "bad_utf8");
}

TEST(a_status_outside_the_table_has_a_text)
{
    CHECK_EQ_STR(bgw_status_name((enum bgw_status)4000), "unknown_status");
    CHECK(bgw_status_text((enum bgw_status)4000) != NULL);
}

TEST(the_monotonic_clock_does_not_go_back)
{
    struct bgw_now before = bgw_clock_now();
    int64_t ns = bgw_clock_mono_ns();
    for (int i = 0; i < 1000; i++) {
        struct bgw_now now = bgw_clock_now();
        CHECK(now.mono_ms >= before.mono_ms);
        before = now;
    }
    CHECK(bgw_clock_mono_ns() > ns);
    CHECK(before.wall_ms > 1700000000000); /* 2023 */
    CHECK(ns / 1000000 <= before.mono_ms); /* one clock, two units */
}

TEST(a_list_keeps_order_through_removal_and_splice)
{
    struct bgw_list a, b, n[5];
    bgw_list_init(&a);
    bgw_list_init(&b);
    for (int i = 0; i < 5; i++) {
        bgw_list_init(&n[i]);
        CHECK(!bgw_list_linked(&n[i]));
        bgw_list_push_back(i < 3 ? &a : &b, &n[i]);
    }
    bgw_list_remove(&n[1]);
    CHECK(!bgw_list_linked(&n[1]) && bgw_list_linked(&n[0]));
    bgw_list_splice(&a, &b);
    CHECK(bgw_list_empty(&b));
    const int want[] = {0, 2, 3, 4};
    size_t at = 0;
    for (struct bgw_list *p = a.next; p != &a; p = p->next)
        CHECK(at < 4 && p == &n[want[at++]]);
    CHECK_EQ_I64(at, 4);
    bgw_list_splice(&a, &b); /* of an empty list: nothing happens */
    CHECK(a.prev == &n[4] && bgw_list_empty(&b));
}

TEST(a_container_is_found_from_its_member)
{
    struct outer {
        int number;
        struct bgw_list link;
    } o = {.number = 7};
    CHECK(BGW_CONTAINER(&o.link, struct outer, link) == &o);
}
