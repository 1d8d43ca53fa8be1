/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The balance codec against the grammar of a balance record: what is read, what is refused and by
 * which name, whom a refused record's key names, and what a client gets to see.
 */
#include "bgw/feed.h"

#include "../test.h"

static struct bgw_feed feed;
static struct bgw_decoded out;

static enum bgw_reject decode(const struct bgw_record *r)
{
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    return feed.decode(&feed, r, &out);
}

static enum bgw_reject decode_text(const char *key, const char *value)
{
    return decode(&(struct bgw_record){.key = bgw_slice_str(key), .value = bgw_slice_str(value)});
}

static struct bgw_slice name_key(void)
{
    return bgw_slice_of(out.name.key, out.name.key_len);
}

static struct bgw_slice name_tenant(void)
{
    return bgw_slice_of(out.name.tenant, out.name.tenant_len);
}

static void check_part(const char *part)
{
    char text[BGW_PART_MAX];
    CHECK_SLICE(bgw_slice_of(text, bgw_part_text(out.name.part, text)), part);
}

static void check_native(bool single, const char *want)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 4096);
    feed.encode_native(out.value, single, &b);
    CHECK(!b.failed);
    CHECK_SLICE(bgw_buf_slice(&b), want);
    bgw_buf_deinit(&b);
}

static void check_rest(const char *want)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 4096);
    feed.encode_rest(out.value, &b);
    CHECK(!b.failed);
    CHECK_SLICE(bgw_buf_slice(&b), want);
    bgw_buf_deinit(&b);
}

static void drop(void)
{
    bgw_blob_release(out.value);
    out.value = NULL;
}

static void check_reject(const char *value, enum bgw_reject why)
{
    enum bgw_reject got = decode_text("A", value);
    if (got != why)
        test_fail_(__FILE__, __LINE__, "%.60s is \"%s\", not \"%s\"", value, bgw_reject_text(got),
                   bgw_reject_text(why));
    CHECK(!out.value);
    drop();
}

TEST(record_as_the_estate_writes_it_is_read)
{
    const char *text = "{\"accountId\":\"msisdn::2348100000001\",\"minor\":123,\"currency\":"
                       "\"NGN\",\"pendingMinor\":0}";
    CHECK(decode_text("msisdn::2348100000001", text) == BGW_REJECT_NONE);
    CHECK_SLICE(name_key(), "msisdn::2348100000001");
    CHECK_SLICE(name_tenant(), "tnt_demo");
    check_part("NGN");
    CHECK(!out.has_v && !out.tombstone && !out.any_tenant);
    check_native(true, "{\"currency\":\"NGN\",\"minor\":\"123\",\"pendingMinor\":\"0\"}");
    CHECK_SLICE(feed.raw(out.value), text);
    drop();
}

TEST(optional_members_are_understood_and_others_are_let_be)
{
    CHECK(decode_text("A", " {\"accountId\":\"A\",\"minor\":-5,\"tenant\":\"t2\",\"currency\":"
                           "\"USD\",\"v\":7,\"ts\":1700000000123,"
                           "\"deltaMinor\":-50,\"txnId\":\"x\\\"y\",\"other\":{\"minor\":[1.5]},"
                           "\"pendingMinor\":9} ") == BGW_REJECT_NONE);
    CHECK_SLICE(name_tenant(), "t2");
    check_part("USD");
    CHECK(out.has_v && out.v == 7);
    check_native(
        true, "{\"currency\":\"USD\",\"minor\":\"-5\",\"pendingMinor\":\"9\",\"ts\":1700000000123,"
              "\"deltaMinor\":\"-50\",\"txnId\":\"x\\\"y\"}");
    check_native(
        false,
        "{\"currency\":\"USD\",\"minor\":\"-5\",\"pendingMinor\":\"9\",\"ts\":1700000000123}");
    drop();
}

TEST(transaction_id_may_be_a_number_and_null_is_none)
{
    CHECK(decode_text("A", "{\"accountId\":\"A\",\"minor\":1,\"txnId\":42}") == BGW_REJECT_NONE);
    check_native(true,
                 "{\"currency\":\"NGN\",\"minor\":\"1\",\"pendingMinor\":\"0\",\"txnId\":\"42\"}");
    drop();
    CHECK(decode_text("A", "{\"accountId\":\"A\",\"minor\":1,\"txnId\":null}") == BGW_REJECT_NONE);
    check_native(true, "{\"currency\":\"NGN\",\"minor\":\"1\",\"pendingMinor\":\"0\"}");
    drop();
}

TEST(money_survives_the_whole_64_bit_range)
{
    static const char *const amounts[] = {"9007199254740993", "9223372036854775807",
                                          "-9223372036854775808", "0"};
    for (size_t i = 0; i < sizeof(amounts) / sizeof(*amounts); i++) {
        char text[160], want[160];
        snprintf(text, sizeof(text), "{\"accountId\":\"A\",\"minor\":%s,\"pendingMinor\":%s}",
                 amounts[i], amounts[i]);
        snprintf(want, sizeof(want),
                 "{\"currency\":\"NGN\",\"minor\":\"%s\",\"pendingMinor\":\"%s\"}", amounts[i],
                 amounts[i]);
        CHECK(decode_text("A", text) == BGW_REJECT_NONE);
        check_native(true, want);
        drop();
    }
}

TEST(money_that_is_no_plain_64_bit_integer_is_rejected)
{
    check_reject("{\"accountId\":\"A\",\"minor\":1.5}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1e3}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":\"12\"}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":null}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":true}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":[1]}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":9223372036854775808}", BGW_REJECT_OUT_OF_RANGE);
    check_reject("{\"accountId\":\"A\",\"minor\":-9223372036854775809}", BGW_REJECT_OUT_OF_RANGE);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"pendingMinor\":null}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"deltaMinor\":0.1}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"ts\":\"now\"}", BGW_REJECT_BAD_NUMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"v\":-1}", BGW_REJECT_OUT_OF_RANGE);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"v\":9223372036854775808}",
                 BGW_REJECT_OUT_OF_RANGE);
}

TEST(text_that_is_not_one_good_object_is_rejected_by_name)
{
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"minor\":1}", BGW_REJECT_DUPLICATE_MEMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"x\":{\"y\":1,\"y\":2}}",
                 BGW_REJECT_DUPLICATE_MEMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"m\\u0069nor\":2}",
                 BGW_REJECT_DUPLICATE_MEMBER);
    check_reject("{\"accountId\":\"A\",\"minor\":1}x", BGW_REJECT_BAD_JSON);
    check_reject("{\"accountId\":\"A\",\"minor\":1}{}", BGW_REJECT_BAD_JSON);
    check_reject("{\"accountId\":\"A\",\"minor\":01}", BGW_REJECT_BAD_JSON);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"x\":\"\xff\"}", BGW_REJECT_BAD_UTF8);
    check_reject("[1]", BGW_REJECT_BAD_JSON);
    check_reject("null", BGW_REJECT_BAD_JSON);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
                 BGW_REJECT_TOO_DEEP);
}

TEST(nesting_of_sixteen_is_allowed)
{
    CHECK(decode_text("A",
                      "{\"accountId\":\"A\",\"minor\":1,\"x\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}") ==
          BGW_REJECT_NONE);
    drop();
}

TEST(missing_members_and_bad_names_are_rejected)
{
    check_reject("{\"minor\":1}", BGW_REJECT_MISSING_MEMBER);
    check_reject("{\"accountId\":\"A\"}", BGW_REJECT_MISSING_MEMBER);
    check_reject("{\"accountId\":5,\"minor\":1}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"\",\"minor\":1}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"a b\",\"minor\":1}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"currency\":\"ngn\"}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGNX\"}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"currency\":null}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"tenant\":\"a.b\"}", BGW_REJECT_BAD_ID);
    check_reject("{\"accountId\":\"A\",\"minor\":1,\"txnId\":{}}", BGW_REJECT_BAD_ID);
}

TEST(record_over_64_kib_is_rejected_and_one_of_64_kib_is_not)
{
    static char text[65537];
    const char *head = "{\"accountId\":\"A\",\"minor\":1,\"x\":\"";
    memset(text, 'x', sizeof(text));
    memcpy(text, head, strlen(head));
    memcpy(text + 65533, "\"}", 2); /* with the key's one byte: 65536 */
    struct bgw_record r = {.key = BGW_SLICE("A"), .value = bgw_slice_of(text, 65535)};
    CHECK(decode(&r) == BGW_REJECT_NONE);
    drop();
    r.value.len++;
    CHECK(decode(&r) == BGW_REJECT_TOO_LARGE);
    CHECK_SLICE(name_key(), "A");
}

TEST(key_may_name_account_tenant_and_currency)
{
    CHECK(decode_text("A|t9|USD", "{\"accountId\":\"A\",\"minor\":1}") == BGW_REJECT_NONE);
    CHECK_SLICE(name_tenant(), "t9");
    check_part("USD");
    check_native(true, "{\"currency\":\"USD\",\"minor\":\"1\",\"pendingMinor\":\"0\"}");
    drop();
}

TEST(key_that_is_neither_form_is_rejected_and_names_nobody)
{
    static const char *const keys[] = {"",        "A|t9",   "A|t9|usd", "A|t9|USD|x",
                                       "|t9|USD", "A||USD", "a b",      "A|t9|"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
        CHECK(decode_text(keys[i], "{\"accountId\":\"A\",\"minor\":1}") == BGW_REJECT_BAD_ID);
        CHECK_EQ_I64(out.name.key_len, 0);
    }
}

TEST(key_and_account_that_disagree_are_key_mismatch_and_the_key_is_named)
{
    CHECK(decode_text("B", "{\"accountId\":\"A\",\"minor\":1}") == BGW_REJECT_KEY_MISMATCH);
    CHECK_SLICE(name_key(), "B");
    CHECK(out.any_tenant);
    CHECK(decode_text("A|t9|USD", "{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGN\"}") ==
          BGW_REJECT_KEY_MISMATCH);
    check_part("USD");
    CHECK(decode_text("A|t9|USD", "{\"accountId\":\"A\",\"minor\":1,\"tenant\":\"t8\"}") ==
          BGW_REJECT_KEY_MISMATCH);
    CHECK_SLICE(name_tenant(), "t9");
    CHECK(!out.any_tenant);
}

TEST(account_at_its_full_length_is_read_and_one_longer_is_not)
{
    char key[70], text[160];
    memset(key, 'k', 65);
    key[64] = '\0';
    snprintf(text, sizeof(text), "{\"accountId\":\"%s\",\"minor\":1}", key);
    CHECK(decode_text(key, text) == BGW_REJECT_NONE);
    CHECK_EQ_I64(out.name.key_len, 64);
    drop();
    key[64] = 'k';
    key[65] = '\0';
    CHECK(decode_text(key, text) == BGW_REJECT_BAD_ID);
}

TEST(record_without_key_is_read_by_its_account)
{
    CHECK(decode_text(NULL, "{\"accountId\":\"A\",\"minor\":1}") == BGW_REJECT_NONE);
    CHECK_SLICE(name_key(), "A");
    drop();
}

TEST(headers_say_tenant_and_version_too)
{
    struct bgw_record r = {.key = BGW_SLICE("A"),
                           .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":1}"),
                           .h_tenant = BGW_SLICE("t3"),
                           .h_v = BGW_SLICE("12")};
    CHECK(decode(&r) == BGW_REJECT_NONE);
    CHECK_SLICE(name_tenant(), "t3");
    CHECK(out.has_v && out.v == 12);
    drop();
}

TEST(header_and_member_that_disagree_are_key_mismatch)
{
    struct bgw_record r = {
        .key = BGW_SLICE("A"),
        .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":1,\"v\":3,\"tenant\":\"t3\"}")};
    r.h_v = BGW_SLICE("3");
    r.h_tenant = BGW_SLICE("t3");
    CHECK(decode(&r) == BGW_REJECT_NONE);
    drop();
    r.h_v = BGW_SLICE("4");
    CHECK(decode(&r) == BGW_REJECT_KEY_MISMATCH);
    r.h_v = BGW_SLICE("3");
    r.h_tenant = BGW_SLICE("t4");
    CHECK(decode(&r) == BGW_REJECT_KEY_MISMATCH);
}

TEST(headers_follow_the_same_grammar)
{
    struct bgw_record r = {.key = BGW_SLICE("A"),
                           .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":1}")};
    static const char *const bad[] = {"", "01", "1.0", "-0", "x", "1 "};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        r.h_v = bgw_slice_str(bad[i]);
        CHECK(decode(&r) == BGW_REJECT_BAD_NUMBER);
    }
    r.h_v = BGW_SLICE("9223372036854775808");
    CHECK(decode(&r) == BGW_REJECT_OUT_OF_RANGE);
    r.h_v = (struct bgw_slice){NULL, 0};
    r.h_tenant = BGW_SLICE("no.dots");
    CHECK(decode(&r) == BGW_REJECT_BAD_ID);
    CHECK_SLICE(name_key(), "A");
}

TEST(null_value_is_a_tombstone_for_all_slots_of_its_key)
{
    struct bgw_record r = {.key = BGW_SLICE("A")};
    CHECK(decode(&r) == BGW_REJECT_NONE);
    CHECK(out.tombstone && out.any_tenant && !out.has_v && out.name.part == 0);
    r.key = BGW_SLICE("A|t9|USD");
    r.h_v = BGW_SLICE("8");
    CHECK(decode(&r) == BGW_REJECT_NONE);
    CHECK(out.tombstone && !out.any_tenant && out.has_v && out.v == 8);
    check_part("USD");
    r.key = (struct bgw_slice){NULL, 0};
    CHECK(decode(&r) == BGW_REJECT_MISSING_MEMBER);
}

TEST(empty_value_is_not_null)
{
    struct bgw_record r = {.key = BGW_SLICE("A"), .value = BGW_SLICE("")};
    CHECK(decode(&r) == BGW_REJECT_EMPTY_VALUE);
    CHECK_SLICE(name_key(), "A");
}

TEST(every_reject_has_its_label)
{
    CHECK_EQ_STR(bgw_reject_text(BGW_REJECT_VERSION_MODE), "version_mode");
    for (int i = 1; i < BGW_REJECT_COUNT; i++)
        CHECK(bgw_reject_text((enum bgw_reject)i)[0] != '\0');
}

TEST(tenants_are_1_to_50_letters_digits_underscores_and_dashes)
{
    char text[52];
    memset(text, 't', sizeof(text));
    CHECK(bgw_tenant_valid(bgw_slice_of(text, 50)));
    CHECK(!bgw_tenant_valid(bgw_slice_of(text, 51)));
    CHECK(!bgw_tenant_valid(bgw_slice_of(text, 0)));
    CHECK(bgw_tenant_valid(BGW_SLICE("Aa0_-")));
    CHECK(!bgw_tenant_valid(BGW_SLICE("a:b")));
}

TEST(rest_body_says_the_same_integer_under_every_readers_name)
{
    CHECK(decode_text("A", "{\"accountId\":\"A\",\"minor\":9007199254740993,\"currency\":\"USD\"}") == BGW_REJECT_NONE);
    check_rest("\"currency\":\"USD\",\"balance\":9007199254740993,\"minor\":9007199254740993,"
               "\"availableMinor\":9007199254740993,\"balanceMinor\":9007199254740993,\"pendingMinor\":0,\"ts\":null");
    drop();
    CHECK(decode_text("A", "{\"accountId\":\"A\",\"minor\":-9223372036854775808,\"pendingMinor\":-7,\"ts\":0}") ==
          BGW_REJECT_NONE);
    check_rest("\"currency\":\"NGN\",\"balance\":-9223372036854775808,\"minor\":-9223372036854775808,"
               "\"availableMinor\":-9223372036854775808,\"balanceMinor\":-9223372036854775808,\"pendingMinor\":-7,\"ts\":0");
    drop();
}

TEST(an_old_balance_is_never_answered_while_there_is_somebody_to_ask)
{
    struct bgw_feed row;
    bgw_feed_balance_init(&row, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK_EQ_I64(row.revalidate_ms, 0);
}
