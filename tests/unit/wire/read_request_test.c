/* SPDX-License-Identifier: Apache-2.0 */
/* read_request: what a read may say and where, and that nothing is chosen from what says two things. */
#include "test.h"

#include "wire/read_request.h"

#include <stdlib.h>

static const struct bgw_http_limits usual = {32768, 65536};
static struct bgw_feed feed;
static struct bgw_http_reader *reader;
static struct read_request q;
static struct read_ask asks[READ_ACCOUNTS_MAX];

static enum bgw_refusal parse(const char *target, const char *lines)
{
    static char text[40000];
    size_t used;
    bgw_http_reader_destroy(&reader);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    reader = bgw_http_reader_create(&usual);
    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: a\r\n%s\r\n", target, lines);
    CHECK(bgw_http_read(reader, bgw_slice_str(text), &used) == BGW_HTTP_DONE);
    enum bgw_refusal why = read_request_parse(&q, bgw_http_reader_request(reader), &feed);
    struct bgw_http_params walk = {0};
    for (size_t i = 0; !why && i < q.count; i++)
        read_request_next(&q, &feed, &walk, &asks[i]);
    return why;
}

__attribute__((destructor)) static void drop(void)
{
    bgw_http_reader_destroy(&reader);
}

static void check_ask(size_t i, enum bgw_refusal why, const char *key, const char *part)
{
    char text[BGW_PART_MAX];
    CHECK(asks[i].why == why);
    CHECK_SLICE(bgw_slice_of(asks[i].text, asks[i].key_len), key);
    CHECK_SLICE(bgw_slice_of(text, bgw_part_text(asks[i].part, text)), part);
}

TEST(account_of_the_path_is_what_stands_between_its_words)
{
    static const char long_id[] = "/ledger/accounts/aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggg/balance";
    CHECK(parse("/ledger/accounts/msisdn::234@x.y_z+1-2/balance", "") == BGW_REFUSAL_NONE);
    check_ask(0, BGW_REFUSAL_NONE, "msisdn::234@x.y_z+1-2", "");
    CHECK(!q.many && q.count == 1 && !q.prove && !q.has_floor && !q.tenant.data);
    CHECK(parse("/ledger/accounts/%41%3A/balance/global?currency=USD", "") == BGW_REFUSAL_NONE);
    check_ask(0, BGW_REFUSAL_NONE, "A:", "USD");
    CHECK(parse(long_id, "") == BGW_REFUSAL_NONE);
    static const char *const bad[] = {
        "/ledger/accounts//balance",         "/ledger/accounts/balance",          "/ledger/accounts/a/b/balance",
        "/ledger/accounts/A/USD/balance",    "/ledger/accounts/a%20b/balance",    "/ledger/accounts/%C3%A9/balance",
        "/ledger/accounts/a/balance/balance", "/ledger/accounts/a%7Cb/balance",    "/ledger/accounts/a%2Fb/balance",
        "/ledger/accounts%2fa/balance",       "/v1%2Fbalances",
        "/ledger/accounts/aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggh/balance",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (parse(bad[i], "") != BGW_REFUSAL_BAD_ID)
            test_fail_(__FILE__, __LINE__, "%s is taken", bad[i]);
}

TEST(currency_is_three_capitals_said_once)
{
    static const char *const bad[] = {"currency=usd", "currency=US", "currency=USDT", "currency=", "currency", "currency=%C3%A9"};
    char target[128];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(target, sizeof(target), "/ledger/accounts/A/balance?%s", bad[i]);
        if (parse(target, "") != BGW_REFUSAL_BAD_ID)
            test_fail_(__FILE__, __LINE__, "%s is taken", bad[i]);
    }
    CHECK(parse("/ledger/accounts/A/balance?currency=USD&currency=USD", "") == BGW_REFUSAL_BAD_QUERY);
    CHECK(parse("/ledger/accounts/A/balance?currency=USD&%63urrency=NGN", "") == BGW_REFUSAL_BAD_QUERY);
    CHECK(parse("/ledger/accounts/A/balance?currency=%zz", "") != BGW_REFUSAL_NONE);
    CHECK(parse("/ledger/accounts/A/balance?other=%41&x", "") == BGW_REFUSAL_NONE);
}

static void check_floor(const char *query, const char *lines, uint64_t seq, uint64_t read, bool any_epoch)
{
    char target[256];
    snprintf(target, sizeof(target), "/ledger/accounts/A/balance%s", query);
    CHECK(parse(target, lines) == BGW_REFUSAL_NONE);
    CHECK(q.has_floor && q.floor.seq == seq && q.floor.read == read);
    CHECK((q.floor.epoch == 0) == any_epoch);
}

TEST(min_version_is_a_whole_version_or_a_number_in_query_or_header)
{
    check_floor("?min_version=k3f9.120", "", 120, 0, false);
    check_floor("?min_version=k3f9.120.17", "", 120, 17, false);
    check_floor("?min_version=120", "", 120, 0, true);
    check_floor("?min_version=0", "", 0, 0, true);
    check_floor("", "X-Min-Version: 9223372036854775807\r\n", INT64_MAX, 0, true);
    check_floor("", "x-min-version:  zz.1 \r\n", 1, 0, false);
    check_floor("?min_version=120", "X-Min-Version: 120\r\n", 120, 0, true);
    check_floor("?min_version=k3f9%2e120", "X-Min-Version: k3f9.120\r\n", 120, 0, false);
    CHECK(q.floor.epoch == bgw_epoch_pack(BGW_SLICE("k3f9")));
    static const struct {
        const char *query, *lines;
    } bad[] = {
        {"?min_version=", ""},        {"?min_version", ""},          {"?min_version=-1", ""},
        {"?min_version=01", ""},      {"?min_version=1.", ""},       {"?min_version=k3f9.", ""},
        {"?min_version=K3F9.1", ""},  {"?min_version=1e3", ""},      {"?min_version=9223372036854775808", ""},
        {"?min_version=k3f9.1.2.3", ""}, {"", "X-Min-Version: \r\n"}, {"", "X-Min-Version: \"k3f9.1\"\r\n"},
        {"?min_version=1", "X-Min-Version: 2\r\n"}, {"?min_version=1", "X-Min-Version: k3f9.1\r\n"},
        {"?min_version=1", "X-Min-Version: x\r\n"},
        {"?min_version=0000000000000000000000000000000000000000000000000000000000000001", ""},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char target[256];
        snprintf(target, sizeof(target), "/ledger/accounts/A/balance%s", bad[i].query);
        if (parse(target, bad[i].lines) != BGW_REFUSAL_BAD_VERSION_ASKED)
            test_fail_(__FILE__, __LINE__, "%s %s is taken", bad[i].query, bad[i].lines);
    }
    CHECK(parse("/ledger/accounts/A/balance?min_version=1&min_version=1", "") == BGW_REFUSAL_BAD_QUERY);
}

TEST(no_cache_asks_for_proof_wherever_it_stands_in_the_list)
{
    CHECK(parse("/ledger/accounts/A/balance", "Cache-Control: max-age=0, No-Cache\r\n") == BGW_REFUSAL_NONE && q.prove);
    CHECK(parse("/ledger/accounts/A/balance", "Cache-Control: max-age=0\r\nCache-Control: no-cache\r\n") == BGW_REFUSAL_NONE);
    CHECK(q.prove);
    CHECK(parse("/ledger/accounts/A/balance", "Cache-Control: no-cachet, no-store\r\n") == BGW_REFUSAL_NONE && !q.prove);
}

TEST(tenant_of_the_header_is_handed_on_even_if_it_is_empty)
{
    CHECK(parse("/ledger/accounts/A/balance", "X-Tenant-Id:  t1 \r\n") == BGW_REFUSAL_NONE);
    CHECK_SLICE(q.tenant, "t1");
    CHECK(parse("/ledger/accounts/A/balance", "X-Tenant-Id:\r\n") == BGW_REFUSAL_NONE && q.tenant.data);
}

TEST(several_accounts_are_answered_as_asked_and_a_bad_one_spoils_itself_alone)
{
    CHECK(parse("/v1/balances?account=A&x=1&account=B/USD&account=A&%61ccount=C%2FEUR&currency=GBP", "") == BGW_REFUSAL_NONE);
    CHECK(q.many && q.count == 4);
    check_ask(0, BGW_REFUSAL_NONE, "A", "GBP");
    check_ask(1, BGW_REFUSAL_NONE, "B", "USD");
    check_ask(2, BGW_REFUSAL_NONE, "A", "GBP");
    check_ask(3, BGW_REFUSAL_NONE, "C", "EUR");
    CHECK(parse("/v1/balances?account=a%20b&account=&account&account=A/usd&account=A/USD/NGN&account=%FF&account=OK", "") ==
          BGW_REFUSAL_NONE);
    check_ask(0, BGW_REFUSAL_BAD_ID, "a b", "");
    check_ask(1, BGW_REFUSAL_BAD_ID, "", "");
    check_ask(2, BGW_REFUSAL_BAD_ID, "", "");
    check_ask(3, BGW_REFUSAL_BAD_ID, "A/usd", "");
    check_ask(4, BGW_REFUSAL_BAD_ID, "A/USD/NGN", "");
    check_ask(5, BGW_REFUSAL_BAD_ID, "", ""); /* no UTF-8: it cannot be repeated in JSON */
    check_ask(6, BGW_REFUSAL_NONE, "OK", "");
}

TEST(accounts_are_one_to_two_hundred)
{
    static char target[16000];
    CHECK(parse("/v1/balances", "") == BGW_REFUSAL_NO_ACCOUNT);
    CHECK(parse("/v1/balances?", "") == BGW_REFUSAL_NO_ACCOUNT);
    CHECK(parse("/v1/balances?accounts=A", "") == BGW_REFUSAL_NO_ACCOUNT);
    CHECK(parse("/v1/balances?account=A&account=%4", "") == BGW_REFUSAL_BAD_QUERY);
    for (int count = 200; count <= 201; count++) {
        strcpy(target, "/v1/balances?account=A0");
        for (int i = 1; i < count; i++)
            snprintf(target + strlen(target), 32, "&account=A%d", i);
        CHECK(parse(target, "") == (count == 200 ? BGW_REFUSAL_NONE : BGW_REFUSAL_TOO_MANY_ACCOUNTS));
    }
    snprintf(target, sizeof(target), "/v1/balances?account=%0200d&account=%065d", 0, 0);
    CHECK(parse(target, "") == BGW_REFUSAL_NONE && q.count == 2);
    CHECK(asks[0].why == BGW_REFUSAL_BAD_ID && asks[0].key_len == 0); /* too long to be repeated */
    CHECK(asks[1].why == BGW_REFUSAL_BAD_ID && asks[1].key_len == 65);
}

static bool has_tag(const char *lines)
{
    CHECK(parse("/ledger/accounts/A/balance", lines) == BGW_REFUSAL_NONE);
    return read_request_has_tag(bgw_http_reader_request(reader), BGW_SLICE("k3f9.120"));
}

TEST(tags_are_found_in_lists_weak_ones_too)
{
    CHECK(has_tag("If-None-Match: \"k3f9.120\"\r\n"));
    CHECK(has_tag("If-None-Match: W/\"k3f9.120\"\r\n"));
    CHECK(has_tag("If-None-Match: \"k3f9.119\", W/\"x\" , \"k3f9.120\"\r\n"));
    CHECK(has_tag("If-None-Match: *\r\n"));
    CHECK(!has_tag(""));
    CHECK(!has_tag("If-None-Match: k3f9.120\r\n"));
    CHECK(!has_tag("If-None-Match: \"k3f9.12\"\r\n"));
    CHECK(!has_tag("If-None-Match: \"k3f9.1200\"\r\n"));
    CHECK(!has_tag("If-None-Match: \"\r\n"));
    CHECK(!has_tag("If-None-Match: W/\r\n"));
}
