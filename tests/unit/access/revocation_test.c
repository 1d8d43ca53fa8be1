/* SPDX-License-Identifier: Apache-2.0 */
/* revocation: what is one, what is not, and what is said of it. */
#include "test.h"

#include "bgw/buf.h"
#include "bgw/hash.h"
#include "bgw/revocations.h"

#define NOW_S 1793000000
#define KEEP_S 86400

static const struct bgw_now NOW = {1000, NOW_S * 1000LL + 999};
static struct bgw_revocation out;
static char said[256];

static enum bgw_status parse(const char *text)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_revocation_parse(&out, bgw_slice_str(text), KEEP_S, NOW, &error);
    CHECK((status == BGW_OK) == (error.len == 0)); /* a refusal says what is expected */
    snprintf(said, sizeof(said), "%.*s", (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return status;
}

static uint64_t hash(const char *text)
{
    return bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(text));
}

TEST(token_is_named_by_its_id)
{
    CHECK(parse("{\"jti\":\"t-1\",\"exp\":1793000100}") == BGW_OK);
    CHECK(out.kind == BGW_REVOKE_TOKEN && out.any_tenant && out.id_hash == hash("t-1"));
    CHECK_EQ_I64(out.until_s, 1793000100 + BGW_REVOCATION_LEEWAY_S);
    CHECK_EQ_I64(out.account_count, 0);
}

TEST(subject_is_named_with_a_date)
{
    CHECK(parse(" { \"before\" : 1792999999 , \"tenant\" : \"tnt_a\", \"sub\" : \"user-7\" } ") == BGW_OK);
    CHECK(out.kind == BGW_REVOKE_SUBJECT && !out.any_tenant && out.id_hash == hash("user-7"));
    CHECK_EQ_STR(out.tenant, "tnt_a");
    CHECK_EQ_I64(out.before_s, 1792999999);
    CHECK_EQ_I64(out.until_s, NOW_S + KEEP_S); /* without exp */
}

TEST(subject_is_named_with_accounts)
{
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"msisdn::1\",\"B\",\"msisdn::1\"],\"exp\":1793000100}") == BGW_OK);
    CHECK(out.kind == BGW_REVOKE_ACCOUNTS);
    CHECK_EQ_I64(out.account_count, 2); /* each once */
    CHECK(out.accounts[0] < out.accounts[1]);
    uint64_t b = bgw_hash_keyed(BGW_SLICE("B"));
    CHECK(out.accounts[0] == b || out.accounts[1] == b);
}

TEST(escapes_mean_what_they_spell)
{
    CHECK(parse("{\"\\u0073ub\":\"J\\u00fcrgen \\ud83d\\ude00\",\"before\":1}") == BGW_OK);
    CHECK(out.id_hash == hash("J\xc3\xbcrgen \xf0\x9f\x98\x80"));
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"\\u002b234\"]}") == BGW_OK); /* as .NET writes a plus */
    CHECK(out.accounts[0] == bgw_hash_keyed(BGW_SLICE("+234")));
}

TEST(members_that_do_not_go_together_are_refused)
{
    static const struct {
        const char *text;
        enum bgw_status status;
    } CASES[] = {
        {"{}", BGW_MISSING},
        {"{\"exp\":1793000100}", BGW_MISSING},
        {"{\"sub\":\"u\"}", BGW_MISSING},
        {"{\"jti\":\"t\",\"sub\":\"u\"}", BGW_BAD_VALUE},
        {"{\"jti\":\"t\",\"before\":1}", BGW_BAD_VALUE},
        {"{\"jti\":\"t\",\"accounts\":[\"A\"]}", BGW_BAD_VALUE},
        {"{\"sub\":\"u\",\"before\":1,\"accounts\":[\"A\"]}", BGW_BAD_VALUE},
        {"{\"jti\":\"t\",\"reason\":\"stolen\"}", BGW_UNKNOWN_KEY},
        {"{\"jti\":\"t\",\"jti\":\"t\"}", BGW_DUPLICATE},
        {"{\"jti\":\"t\",\"\\u006ati\":\"t\"}", BGW_DUPLICATE},
        {"[{\"jti\":\"t\"}]", BGW_BAD_JSON},
        {"\"t\"", BGW_BAD_JSON},
        {"", BGW_BAD_JSON},
        {"{\"jti\":\"t\"} x", BGW_BAD_JSON},
        {"{\"jti\":\"\xff\"}", BGW_BAD_UTF8},
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++)
        CHECK_EQ_I64(parse(CASES[i].text), CASES[i].status);
}

TEST(ids_follow_their_grammar)
{
    char text[2400], id[1100];
    memset(id, 'x', sizeof(id));
    const struct {
        const char *name;
        int len;
        enum bgw_status status;
    } CASES[] = {{"jti\":\"", 1024, BGW_OK},        {"jti\":\"", 1025, BGW_BAD_ID},     {"jti\":\"", 0, BGW_BAD_ID},
                 {"before\":1,\"sub\":\"", 256, BGW_OK}, {"before\":1,\"sub\":\"", 257, BGW_BAD_ID},
                 {"before\":1,\"sub\":\"", 0, BGW_BAD_ID}, {"jti\":\"t\",\"tenant\":\"", 50, BGW_OK},
                 {"jti\":\"t\",\"tenant\":\"", 51, BGW_BAD_ID}, {"jti\":\"t\",\"tenant\":\"", 0, BGW_BAD_ID}};
    for (size_t i = 0; i < sizeof(CASES) / sizeof(*CASES); i++) {
        snprintf(text, sizeof(text), "{\"%s%.*s\"}", CASES[i].name, CASES[i].len, id);
        CHECK_EQ_I64(parse(text), CASES[i].status);
    }
    CHECK(parse("{\"jti\":7}") == BGW_BAD_ID);
    CHECK(parse("{\"jti\":null}") == BGW_BAD_ID);
    CHECK(parse("{\"jti\":\"a\\u0000b\"}") == BGW_BAD_ID);
    CHECK(parse("{\"jti\":\"t\",\"tenant\":\"a b\"}") == BGW_BAD_ID);
    CHECK(parse("{\"jti\":\"t\",\"tenant\":null}") == BGW_BAD_ID);
}

TEST(accounts_follow_their_grammar_and_their_limit)
{
    static char text[BGW_REVOCATION_BYTES_MAX];
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[]}") == BGW_MISSING);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":\"A\"}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":{\"A\":1}}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"A\",7]}") == BGW_BAD_ID);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"A/USD\"]}") == BGW_BAD_ID);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"\"]}") == BGW_BAD_ID);
    CHECK(parse("{\"sub\":\"u\",\"accounts\":[\"*\"]}") == BGW_BAD_ID);
    for (int count = BGW_REVOCATION_ACCOUNTS_MAX; count <= BGW_REVOCATION_ACCOUNTS_MAX + 1; count++) {
        size_t n = (size_t)snprintf(text, sizeof(text), "{\"sub\":\"u\",\"accounts\":[");
        for (int i = 0; i < count; i++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"%064d\"", i ? "," : "", i);
        snprintf(text + n, sizeof(text) - n, "]}");
        CHECK_EQ_I64(parse(text), count == BGW_REVOCATION_ACCOUNTS_MAX ? BGW_OK : BGW_TOO_LARGE);
    }
    CHECK_EQ_STR(said, "`accounts` names at most 1000: send several");
}

TEST(dates_are_whole_seconds_of_this_world)
{
    CHECK(parse("{\"sub\":\"u\",\"before\":1793000060}") == BGW_OK);
    CHECK(parse("{\"sub\":\"u\",\"before\":1793000061}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"before\":1}") == BGW_OK);
    CHECK(parse("{\"sub\":\"u\",\"before\":0}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"before\":-5}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"before\":1.5}") == BGW_BAD_VALUE);
    CHECK(parse("{\"sub\":\"u\",\"before\":\"1\"}") == BGW_BAD_VALUE);
    CHECK(parse("{\"jti\":\"t\",\"exp\":253402300799}") == BGW_OK);
    CHECK(parse("{\"jti\":\"t\",\"exp\":1793000100000}") == BGW_BAD_VALUE); /* milliseconds by mistake */
    CHECK(parse("{\"jti\":\"t\",\"exp\":9223372036854775807}") == BGW_BAD_VALUE);
    CHECK(parse("{\"jti\":\"t\",\"exp\":null}") == BGW_BAD_VALUE);
}

TEST(revocation_of_tokens_that_are_dead_is_expired)
{
    char text[64];
    snprintf(text, sizeof(text), "{\"jti\":\"t\",\"exp\":%d}", NOW_S - BGW_REVOCATION_LEEWAY_S + 1);
    CHECK(parse(text) == BGW_OK); /* a leeway may keep such a token alive */
    snprintf(text, sizeof(text), "{\"jti\":\"t\",\"exp\":%d}", NOW_S - BGW_REVOCATION_LEEWAY_S);
    CHECK(parse(text) == BGW_EXPIRED);
    CHECK(parse("{\"jti\":\"t\",\"exp\":1}") == BGW_EXPIRED);
}

TEST(text_longer_than_its_limit_is_not_read)
{
    static char text[BGW_REVOCATION_BYTES_MAX + 2];
    memset(text, ' ', sizeof(text) - 1);
    memcpy(text, "{\"jti\":\"t\"}", 11);
    CHECK(parse(text) == BGW_TOO_LARGE);
    text[BGW_REVOCATION_BYTES_MAX] = '\0';
    CHECK(parse(text) == BGW_OK);
}
