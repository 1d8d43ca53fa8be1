/* SPDX-License-Identifier: Apache-2.0 */
/* What an event of the ledger may look like, and what becomes of one that does not. */
#include "test.h"

#include "project/entry.h"

static struct bgw_feed feed_of(void)
{
    struct bgw_feed feed;
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    return feed;
}

static enum entry_reject read(const char *text, struct entry *out)
{
    const struct bgw_feed feed = feed_of();
    return entry_read(&feed, bgw_slice_str(text), out);
}

#define REST ",\"source\":\"a\",\"dest\":\"b\"}"

TEST(an_event_says_who_and_how_much)
{
    struct entry e;
    CHECK_EQ_I64(read("{\"correlationId\":\"c\",\"tenant\":\"t2\",\"minor\":9007199254740993,\"currency\":\"USD\",\"source\":\"x::1\","
                      "\"dest\":\"y\",\"entryId\":\"e-1\",\"more\":[1,{}]}", &e), ENTRY_OK);
    CHECK_EQ_I64(e.minor, INT64_C(9007199254740993));
    CHECK_SLICE(bgw_slice_of(e.source.tenant, e.source.tenant_len), "t2");
    CHECK_SLICE(bgw_slice_of(e.source.key, e.source.key_len), "x::1");
    CHECK_SLICE(bgw_slice_of(e.dest.key, e.dest.key_len), "y");
    CHECK(e.source.part == bgw_part_of(BGW_SLICE("USD")) && e.dest.part == e.source.part);
    CHECK_SLICE(bgw_slice_of(e.id, e.id_len), "e-1");
    CHECK(e.id_is_text && !entry_of_one(&e));
}

TEST(tenant_and_currency_that_are_absent_are_the_defaults)
{
    struct entry e;
    CHECK_EQ_I64(read("{\"minor\":1" REST, &e), ENTRY_OK);
    CHECK_SLICE(bgw_slice_of(e.dest.tenant, e.dest.tenant_len), "tnt_demo");
    CHECK(e.dest.part == bgw_part_of(BGW_SLICE("NGN")));
    CHECK_EQ_I64(e.id_len, 0);
}

TEST(each_rule_that_is_broken_has_its_reason)
{
    static const struct {
        const char *text;
        enum entry_reject why;
    } cases[] = {
        {"", ENTRY_EMPTY_VALUE}, {"[]", ENTRY_BAD_JSON}, {"1", ENTRY_BAD_JSON}, {"{\"minor\":1" REST "x", ENTRY_BAD_JSON},
        {"{\"minor\":1", ENTRY_BAD_JSON}, {"{\"minor\":1,\"x\":\"\xff\"" REST, ENTRY_BAD_UTF8},
        {"{\"minor\":1,\"minor\":1" REST, ENTRY_DUPLICATE_MEMBER}, {"{\"minor\":1,\"m\\u0069nor\":1" REST, ENTRY_DUPLICATE_MEMBER},
        {"{\"minor\":1,\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]" REST, ENTRY_TOO_DEEP},
        {"{\"minor\":1.5" REST, ENTRY_BAD_NUMBER}, {"{\"minor\":1e3" REST, ENTRY_BAD_NUMBER}, {"{\"minor\":\"12\"" REST, ENTRY_BAD_NUMBER},
        {"{\"minor\":null" REST, ENTRY_BAD_NUMBER}, {"{\"minor\":0" REST, ENTRY_OUT_OF_RANGE}, {"{\"minor\":-1" REST, ENTRY_OUT_OF_RANGE},
        {"{\"minor\":9223372036854775808" REST, ENTRY_OUT_OF_RANGE}, {"{\"source\":\"a\",\"dest\":\"b\"}", ENTRY_MISSING_MEMBER},
        {"{\"minor\":1,\"source\":\"a\"}", ENTRY_MISSING_MEMBER}, {"{\"minor\":1,\"source\":\"a b\",\"dest\":\"b\"}", ENTRY_BAD_ID},
        {"{\"minor\":1,\"source\":\"\",\"dest\":\"b\"}", ENTRY_BAD_ID}, {"{\"minor\":1,\"source\":\"a\",\"dest\":7}", ENTRY_BAD_ID},
        {"{\"minor\":1,\"currency\":\"ngn\"" REST, ENTRY_BAD_ID}, {"{\"minor\":1,\"tenant\":null" REST, ENTRY_BAD_ID},
        {"{\"minor\":1,\"tenant\":\"a:b\"" REST, ENTRY_BAD_ID},
    };
    struct entry e;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (read(cases[i].text, &e) != cases[i].why)
            test_fail_(__FILE__, __LINE__, "%s: %s", cases[i].text, entry_reject_text(read(cases[i].text, &e)));
    const struct bgw_feed feed = feed_of();
    CHECK_EQ_I64(entry_read(&feed, (struct bgw_slice){NULL, 0}, &e), ENTRY_NULL_VALUE);
    static char large[65537];
    memset(large, ' ', sizeof(large));
    CHECK_EQ_I64(entry_read(&feed, bgw_slice_of(large, sizeof(large)), &e), ENTRY_TOO_LARGE);
}

TEST(the_greatest_amount_and_the_longest_account_are_read)
{
    char text[200], account[66];
    struct entry e;
    memset(account, 'a', 65);
    account[64] = '\0';
    snprintf(text, sizeof(text), "{\"minor\":9223372036854775807,\"source\":\"%s\",\"dest\":\"b\"}", account);
    CHECK_EQ_I64(read(text, &e), ENTRY_OK);
    CHECK(e.minor == INT64_MAX && e.source.key_len == 64);
    account[64] = 'a';
    account[65] = '\0';
    snprintf(text, sizeof(text), "{\"minor\":1,\"source\":\"%s\",\"dest\":\"b\"}", account);
    CHECK_EQ_I64(read(text, &e), ENTRY_BAD_ID);
}

TEST(an_id_that_no_gateway_carries_is_left_out_and_the_event_counts)
{
    char text[400], id[300];
    struct entry e;
    memset(id, 'i', sizeof(id));
    id[257] = '\0';
    snprintf(text, sizeof(text), "{\"minor\":1,\"entryId\":\"%s\"" REST, id);
    CHECK_EQ_I64(read(text, &e), ENTRY_OK);
    CHECK_EQ_I64(e.id_len, 0);
    CHECK_EQ_I64(read("{\"minor\":1,\"entryId\":{}" REST, &e), ENTRY_OK);
    CHECK_EQ_I64(e.id_len, 0);
    CHECK_EQ_I64(read("{\"minor\":1,\"entryId\":77" REST, &e), ENTRY_OK);
    CHECK(e.id_len == 2 && !e.id_is_text);
    CHECK_EQ_I64(read("{\"minor\":1,\"entryId\":\"a\\\"b\"" REST, &e), ENTRY_OK);
    CHECK_SLICE(bgw_slice_of(e.id, e.id_len), "a\\\"b");
}

TEST(a_transfer_to_oneself_is_an_event_of_one_account)
{
    struct entry e;
    CHECK_EQ_I64(read("{\"minor\":5,\"source\":\"a\",\"dest\":\"\\u0061\"}", &e), ENTRY_OK);
    CHECK(entry_of_one(&e));
}
