/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What origins and caches say of a slot, against the rules: which bodies make a value, which are
 * refused and by which name, and that a value made so shows the bytes of a record that says the same.
 */
#include "bgw/feed.h"

#include "../test.h"

static struct bgw_feed feed;
static struct bgw_decoded out;

static struct bgw_slot_name name_of(const char *tenant, const char *key, const char *part)
{
    struct bgw_slot_name n = {.part = bgw_part_of(bgw_slice_str(part))};
    n.tenant_len = (uint8_t)strlen(tenant);
    n.key_len = (uint8_t)strlen(key);
    memcpy(n.tenant, tenant, n.tenant_len);
    memcpy(n.key, key, n.key_len);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    return n;
}

static enum bgw_reject decode(struct bgw_slice body)
{
    struct bgw_slot_name n = name_of("tnt_demo", "A", "NGN");
    return feed.decode_body(&feed, &n, body, &out);
}

static void drop(void)
{
    bgw_blob_release(out.value);
    out.value = NULL;
}

static void check_value(const char *body, const char *record)
{
    enum bgw_reject why = decode(bgw_slice_str(body));
    if (why != BGW_REJECT_NONE) {
        test_fail_(__FILE__, __LINE__, "%.80s is refused: %s", body, bgw_reject_text(why));
        return;
    }
    CHECK_SLICE(feed.raw(out.value), record);
    CHECK(out.name.key_len == 1 && out.name.key[0] == 'A' && out.name.part == feed.default_part);
    CHECK(!out.tombstone && !out.any_tenant);
    drop();
}

static void check_reject(const char *body, enum bgw_reject want)
{
    enum bgw_reject got = decode(bgw_slice_str(body));
    if (got != want)
        test_fail_(__FILE__, __LINE__, "%.80s is \"%s\", not \"%s\"", body, bgw_reject_text(got), bgw_reject_text(want));
    CHECK(!out.value);
    drop();
}

TEST(bodies_of_many_kinds_become_the_record_that_says_the_same)
{
    static const char *const rows[][2] = {
        {"{\"accountId\":\"A\",\"minor\":123}", "{\"accountId\":\"A\",\"minor\":123,\"currency\":\"NGN\",\"pendingMinor\":0}"},
        {" {\"pendingMinor\":-4, \"balanceMinor\":5,\"accountId\":\"\\u0041\"}\r\n",
         "{\"accountId\":\"A\",\"minor\":5,\"currency\":\"NGN\",\"pendingMinor\":-4}"},
        {"{\"accountId\":\"A\",\"availableMinor\":0}", "{\"accountId\":\"A\",\"minor\":0,\"currency\":\"NGN\",\"pendingMinor\":0}"},
        {"{\"accountId\":\"A\",\"balance\":-1,\"ts\":0}",
         "{\"accountId\":\"A\",\"minor\":-1,\"currency\":\"NGN\",\"pendingMinor\":0,\"ts\":0}"},
        {"{\"accountId\":\"A\",\"balance\":7,\"minor\":7,\"availableMinor\":7,\"balanceMinor\":7,\"v\":3,\"ts\":1700000000123,"
         "\"tenant\":\"tnt_demo\",\"currency\":\"NGN\",\"owner\":{\"minor\":[1.5,null]},\"txnId\":\"x\",\"deltaMinor\":\"?\"}",
         "{\"accountId\":\"A\",\"minor\":7,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":3,\"ts\":1700000000123}"},
        {"{\"accountId\":\"A\",\"minor\":1,\"ts\":\"2026-11-21T17:00:00Z\"}",
         "{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGN\",\"pendingMinor\":0}"},
        {"{\"accountId\":\"A\",\"minor\":1,\"ts\":null,\"v\":0}",
         "{\"accountId\":\"A\",\"minor\":1,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":0}"},
        {"{\"accountId\":\"A\",\"minor\":9007199254740993,\"pendingMinor\":-9007199254740993}",
         "{\"accountId\":\"A\",\"minor\":9007199254740993,\"currency\":\"NGN\",\"pendingMinor\":-9007199254740993}"},
        {"{\"accountId\":\"A\",\"minor\":9223372036854775807,\"v\":9223372036854775807}",
         "{\"accountId\":\"A\",\"minor\":9223372036854775807,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":9223372036854775807}"},
        {"{\"accountId\":\"A\",\"minor\":-9223372036854775808}",
         "{\"accountId\":\"A\",\"minor\":-9223372036854775808,\"currency\":\"NGN\",\"pendingMinor\":0}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_value(rows[i][0], rows[i][1]);
}

TEST(what_is_not_exactly_one_amount_of_the_asked_slot_is_refused)
{
    static const struct {
        const char *body;
        enum bgw_reject why;
    } rows[] = {
        {"", BGW_REJECT_EMPTY_VALUE},
        {" ", BGW_REJECT_BAD_JSON},
        {"null", BGW_REJECT_BAD_JSON},
        {"123", BGW_REJECT_BAD_JSON},
        {"[{\"accountId\":\"A\",\"minor\":1}]", BGW_REJECT_BAD_JSON},
        {"<html>It works!</html>", BGW_REJECT_BAD_JSON},
        {"{\"accountId\":\"A\",\"minor\":1", BGW_REJECT_BAD_JSON},
        {"{\"accountId\":\"A\",\"minor\":1}}", BGW_REJECT_BAD_JSON},
        {"{\"accountId\":\"A\",\"minor\":1}{}", BGW_REJECT_BAD_JSON},
        {"\xef\xbb\xbf{\"accountId\":\"A\",\"minor\":1}", BGW_REJECT_BAD_JSON},
        {"{\"accountId\":\"A\",\"minor\":1,\"x\":\"\xff\"}", BGW_REJECT_BAD_UTF8},
        {"{\"accountId\":\"A\",\"minor\":1,\"x\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", BGW_REJECT_TOO_DEEP},
        {"{\"accountId\":\"A\",\"minor\":1,\"minor\":1}", BGW_REJECT_DUPLICATE_MEMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"m\\u0069nor\":1}", BGW_REJECT_DUPLICATE_MEMBER},
        {"{}", BGW_REJECT_MISSING_MEMBER},
        {"{\"minor\":1}", BGW_REJECT_MISSING_MEMBER},
        {"{\"accountId\":\"A\"}", BGW_REJECT_MISSING_MEMBER},
        {"{\"accountId\":\"A\",\"pendingMinor\":1}", BGW_REJECT_MISSING_MEMBER},
        {"{\"accountId\":\"A\",\"Minor\":1}", BGW_REJECT_MISSING_MEMBER},
        {"{\"accountId\":\"B\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"a\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"minor\":1}",
         BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":1,\"minor\":1}", BGW_REJECT_BAD_ID},
        {"{\"accountId\":null,\"minor\":1}", BGW_REJECT_BAD_ID},
        {"{\"accountId\":\"A\",\"tenant\":\"other\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"A\",\"tenant\":null,\"minor\":1}", BGW_REJECT_BAD_ID},
        {"{\"accountId\":\"A\",\"currency\":\"USD\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"A\",\"currency\":\"NGNX\",\"minor\":1}", BGW_REJECT_KEY_MISMATCH},
        {"{\"accountId\":\"A\",\"currency\":[],\"minor\":1}", BGW_REJECT_BAD_ID},
        {"{\"accountId\":\"A\",\"minor\":1,\"balance\":2}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":100,\"balance\":1.00}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":9007199254740993,\"balanceMinor\":9007199254740992}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":null}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"balance\":null}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":\"12\"}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1.5}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1e3}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":-0}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":9223372036854775808}", BGW_REJECT_OUT_OF_RANGE},
        {"{\"accountId\":\"A\",\"minor\":1,\"pendingMinor\":null}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"pendingMinor\":-9223372036854775809}", BGW_REJECT_OUT_OF_RANGE},
        {"{\"accountId\":\"A\",\"minor\":1,\"v\":9223372036854775808}", BGW_REJECT_OUT_OF_RANGE},
        {"{\"accountId\":\"A\",\"minor\":1,\"v\":-1}", BGW_REJECT_OUT_OF_RANGE},
        {"{\"accountId\":\"A\",\"minor\":1,\"v\":\"k3f9.1\"}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"v\":null}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"ts\":1.5}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"ts\":{}}", BGW_REJECT_BAD_NUMBER},
        {"{\"accountId\":\"A\",\"minor\":1,\"ts\":92233720368547758070}", BGW_REJECT_OUT_OF_RANGE},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        check_reject(rows[i].body, rows[i].why);
}

TEST(a_body_cut_or_changed_anywhere_is_refused_or_says_the_same_slot)
{
    static const char body[] = "{\"accountId\":\"A\",\"tenant\":\"tnt_demo\",\"currency\":\"NGN\",\"minor\":-12345,\"v\":7,\"ts\":170}";
    char changed[sizeof(body)];
    for (size_t len = 0; len < sizeof(body) - 1; len++) {
        CHECK(decode(bgw_slice_of(body, len)) != BGW_REJECT_NONE && !out.value);
        drop();
    }
    for (size_t at = 0; at < sizeof(body) - 1; at++)
        for (int byte = 0; byte < 256; byte++) {
            memcpy(changed, body, sizeof(body));
            changed[at] = (char)byte;
            enum bgw_reject why = decode(bgw_slice_of(changed, sizeof(body) - 1));
            CHECK((why == BGW_REJECT_NONE) == (out.value != NULL));
            if (out.value)
                CHECK(out.name.key[0] == 'A' && strncmp(feed.raw(out.value).data, "{\"accountId\":\"A\",\"minor\":", 25) == 0);
            drop();
        }
}

TEST(a_body_larger_than_a_record_may_be_is_refused)
{
    static char body[65536 + 2];
    memset(body, ' ', sizeof(body));
    memcpy(body, "{\"accountId\":\"A\",\"minor\":1}", 27);
    CHECK(decode(bgw_slice_of(body, 65536)) == BGW_REJECT_NONE);
    drop();
    CHECK(decode(bgw_slice_of(body, 65537)) == BGW_REJECT_TOO_LARGE && !out.value);
}

TEST(the_bytes_of_a_value_are_a_record_that_makes_the_same_value)
{
    static const char *const bodies[] = {
        "{\"accountId\":\"A\",\"balance\":-9223372036854775808,\"pendingMinor\":9223372036854775807,\"v\":12,\"ts\":1700000000123}",
        "{\"accountId\":\"A\",\"balance\":0}",
        "{\"accountId\":\"A\",\"minor\":0,\"ts\":0,\"v\":0}",
    };
    for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
        struct bgw_decoded again;
        CHECK(decode(bgw_slice_str(bodies[i])) == BGW_REJECT_NONE);
        const struct bgw_record record = {.key = BGW_SLICE("A"), .value = feed.raw(out.value)};
        CHECK(feed.decode(&feed, &record, &again) == BGW_REJECT_NONE);
        CHECK(feed.same(out.value, again.value) && bgw_slice_eq(feed.raw(out.value), feed.raw(again.value)));
        CHECK(again.has_v == out.has_v && again.v == out.v && again.name.part == out.name.part);
        bgw_blob_release(again.value);
        drop();
    }
}

TEST(a_source_that_does_not_speak_of_what_is_pending_contradicts_nobody)
{
    static const char *const bodies[] = {"{\"accountId\":\"A\",\"minor\":5,\"pendingMinor\":2}", "{\"accountId\":\"A\",\"minor\":5}",
                                         "{\"accountId\":\"A\",\"minor\":5,\"pendingMinor\":0}", "{\"accountId\":\"A\",\"minor\":6}"};
    struct bgw_blob *values[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK(decode(bgw_slice_str(bodies[i])) == BGW_REJECT_NONE);
        values[i] = bgw_blob_acquire(out.value);
        drop();
    }
    CHECK(feed.same(values[0], values[1]) && feed.same(values[1], values[2]));
    CHECK(!feed.same(values[0], values[2]) && !feed.same(values[1], values[3]));
    for (size_t i = 0; i < 4; i++)
        bgw_blob_release(values[i]);
}

TEST(bare_numbers_make_the_same_value_as_a_body)
{
    struct bgw_slot_name n = name_of("t2", "msisdn::2348100000001", "USD");
    struct bgw_amounts a = {.minor = 9007199254740993, .pending_minor = -3, .ts_ms = 1700000000123, .has_v = true, .v = 41};
    CHECK(feed.decode_amounts(&feed, &n, &a, &out) == BGW_REJECT_NONE);
    CHECK_SLICE(feed.raw(out.value), "{\"accountId\":\"msisdn::2348100000001\",\"minor\":9007199254740993,\"currency\":\"USD\","
                                     "\"pendingMinor\":-3,\"v\":41,\"ts\":1700000000123}");
    CHECK(out.has_v && out.v == 41 && out.name.tenant_len == 2 && out.name.part == n.part);
    struct bgw_decoded other;
    CHECK(feed.decode_body(&feed, &n, feed.raw(out.value), &other) == BGW_REJECT_NONE);
    CHECK(bgw_slice_eq(bgw_blob_slice(out.value), bgw_blob_slice(other.value)));
    bgw_blob_release(other.value);
    drop();
    a = (struct bgw_amounts){.ts_ms = -1};
    CHECK(feed.decode_amounts(&feed, &n, &a, &out) == BGW_REJECT_NONE && !out.has_v);
    CHECK_SLICE(feed.raw(out.value), "{\"accountId\":\"msisdn::2348100000001\",\"minor\":0,\"currency\":\"USD\",\"pendingMinor\":0}");
    drop();
    a = (struct bgw_amounts){.has_v = true, .v = (uint64_t)INT64_MAX + 1};
    CHECK(feed.decode_amounts(&feed, &n, &a, &out) == BGW_REJECT_OUT_OF_RANGE && !out.value);
}
