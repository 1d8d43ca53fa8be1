/* SPDX-License-Identifier: Apache-2.0 */
/* Key sets that are fetched: what a document may hold, which key a token gets, and when it has to wait. */
#include "bgw/auth.h"

#include "auth/jwk.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include "rsa_8192.h"
#include "signer.h"

#define NOW_S 1800000000LL
#define PAYLOAD "{\"exp\":1800000060,\"sub\":\"alice\",\"scope\":\"accounts.read\",\"accounts\":[\"A\"]}"
#define K "\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"" /* 32 bytes of zero */

static struct bgw_now now = {.mono_ms = 1000, .wall_ms = NOW_S * 1000};
static struct bgw_feed feed;
static char said[2048];

static EVP_PKEY *ec(int n)
{
    static EVP_PKEY *keys[3];
    return keys[n] ? keys[n] : (keys[n] = make_ec("P-256"));
}

/* ---- documents ---- */

static enum bgw_status read_text(struct bgw_slice text, unsigned algs, struct bgw_key_set **set)
{
    struct bgw_buf error;
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_buf_init(&error, sizeof(said));
    *set = NULL;
    enum bgw_status status = bgw_jwks_read(set, text, algs, &error);
    CHECK((status == BGW_OK) == (*set != NULL));
    CHECK((status == BGW_OK) == (error.len == 0));
    snprintf(said, sizeof(said), "%.*s", (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return status;
}

/* How many keys remain of a document with these elements; -1: it is refused. */
static int count_of(const char *elements, unsigned algs)
{
    static char text[BGW_JWKS_BYTES_MAX];
    snprintf(text, sizeof(text), "{\"keys\":[%s]}", elements);
    struct bgw_key_set *set;
    enum bgw_status status = read_text(bgw_slice_str(text), algs, &set);
    CHECK(status == BGW_OK || status == BGW_BAD_VALUE);
    int count = set ? (int)set->count : -1;
    bgw_keys_release(set);
    return count;
}

static void refused(const char *elements, const char *word)
{
    CHECK_EQ_I64(count_of(elements, BGW_ALGS_ALL), -1);
    if (!strstr(said, word))
        printf("# %s: said: %s\n", elements, said);
    CHECK(strstr(said, word) != NULL);
}

TEST(documents_that_are_no_key_set_are_refused)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        {"", "not strict JSON"},
        {"[]", "array \"keys\""},
        {"{}", "array \"keys\""},
        {"{\"keys\":{}}", "array \"keys\""},
        {"{\"keys\":[]}", "no key that could be used"},
        {"{\"keys\":[1,null,[]]}", "not an object"},
        {"{\"keys\":[],\"keys\":[]}", "names the same member twice"},
        {"{\"keys\":[{\"kty\":\"oct\",\"kty\":\"oct\",\"k\":" K "}]}", "names the same member twice"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":" K "}]}}", "not strict JSON"},
        {"{\"keys\":[{\"kty\":\"oct\",\"k\":" K ",}]}", "not strict JSON"},
        {"<html>502 Bad Gateway</html>", "not strict JSON"},
    };
    struct bgw_key_set *set;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        CHECK(read_text(bgw_slice_str(rows[i].text), BGW_ALGS_ALL, &set) == BGW_BAD_VALUE);
        if (!strstr(said, rows[i].word))
            printf("# %s: said: %s\n", rows[i].text, said);
        CHECK(strstr(said, rows[i].word) != NULL);
    }
}

TEST(a_document_has_its_bounds)
{
    static char text[BGW_JWKS_BYTES_MAX + 2];
    struct bgw_key_set *set;
    const char *document = "{\"keys\":[{\"kty\":\"oct\",\"k\":" K "}]}";
    memset(text, ' ', sizeof(text));
    memcpy(text, document, strlen(document));
    CHECK(read_text(bgw_slice_of(text, BGW_JWKS_BYTES_MAX), BGW_ALGS_ALL, &set) == BGW_OK);
    bgw_keys_release(set);
    CHECK(read_text(bgw_slice_of(text, BGW_JWKS_BYTES_MAX + 1), BGW_ALGS_ALL, &set) == BGW_BAD_VALUE);
    for (int keys = BGW_KEYS_MAX; keys <= BGW_KEYS_MAX + 1; keys++) {
        static char elements[65536];
        size_t len = 0;
        for (int i = 0; i < keys; i++)
            len += (size_t)snprintf(elements + len, sizeof(elements) - len,
                                    "%s{\"kty\":\"oct\",\"kid\":\"k%d\",\"k\":" K "}", i ? "," : "", i);
        CHECK_EQ_I64(count_of(elements, BGW_ALGS_ALL), keys <= BGW_KEYS_MAX ? keys : -1);
    }
}

#define OCT(more) "{\"kty\":\"oct\",\"kid\":\"good\",\"k\":" K "}," more

TEST(keys_that_cannot_be_used_are_left_out_alone)
{
    static const char *const left_out[] = {
        "{}", "7", "{\"kty\":\"oct\",\"kid\":\"x\"}", "{\"kty\":\"OCT\",\"kid\":\"x\",\"k\":" K "}",
        "{\"kty\":\"oct\",\"kid\":7,\"k\":" K "}", "{\"kty\":\"oct\",\"kid\":\"a\\u0000b\",\"k\":" K "}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAA\"}", "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":7}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"alg\":\"none\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"alg\":\"HS512\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"alg\":\"RS256\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"alg\":7}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"use\":\"enc\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"use\":\"SIG\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"use\":null}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"key_ops\":[\"sign\"]}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"key_ops\":[]}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"key_ops\":\"verify\"}",
        "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"d\":\"AAAA\"}",
        "{\"kty\":\"oct\",\"k\":" K "}", /* no name beside another key */
    };
    for (size_t i = 0; i < sizeof(left_out) / sizeof(*left_out); i++) {
        static char elements[4096];
        snprintf(elements, sizeof(elements), OCT("%s"), left_out[i]);
        int count = count_of(elements, BGW_ALGS_ALL);
        if (count != 1)
            printf("# %s\n", left_out[i]);
        CHECK_EQ_I64(count, 1);
    }
    CHECK_EQ_I64(count_of(OCT("{\"kty\":\"oct\",\"kid\":\"x\",\"k\":" K ",\"use\":\"sig\",\"alg\":\"HS256\","
                              "\"key_ops\":[\"sign\",\"verify\"],\"x5t\":\"?\"}"), BGW_ALGS_ALL), 2);
}

static const char *jwk_of(EVP_PKEY *key, const char *more)
{
    static char rooms[4][4096];
    static int turn;
    struct bgw_buf b;
    bgw_buf_init(&b, 4000);
    put_jwk(&b, key, more);
    char *room = rooms[turn++ % 4];
    snprintf(room, sizeof(rooms[0]), "%.*s", (int)b.len, b.data);
    bgw_buf_deinit(&b);
    return room;
}

/* One key alone, with `more`; the count. */
static int count_one(EVP_PKEY *key, const char *more, unsigned algs)
{
    return count_of(jwk_of(key, more), algs);
}

TEST(public_keys_of_the_three_kinds_are_taken)
{
    EVP_PKEY *rsa = make_rsa(2048), *ed = make_ed25519();
    static const char *const wrong[] = {",\"alg\":\"HS256\"", ",\"alg\":\"ES384\"", ",\"use\":\"enc\"", ",\"d\":\"AA\""};
    EVP_PKEY *keys[] = {rsa, ec(0), ed};
    for (int k = 0; k < 3; k++) {
        CHECK_EQ_I64(count_one(keys[k], "", BGW_ALGS_ALL), 1);
        for (int i = 0; i < 4; i++)
            CHECK_EQ_I64(count_one(keys[k], wrong[i], BGW_ALGS_ALL), -1);
    }
    CHECK_EQ_I64(count_one(rsa, ",\"alg\":\"PS256\"", BGW_ALGS_ALL), 1);
    CHECK_EQ_I64(count_one(rsa, ",\"alg\":\"ES256\"", BGW_ALGS_ALL), -1);
    CHECK_EQ_I64(count_one(rsa, ",\"alg\":\"RS256\"", 1U << BGW_ALG_PS256), -1);
    CHECK_EQ_I64(count_one(rsa, "", 1U << BGW_ALG_PS256), 1); /* without alg it is what is allowed */
    CHECK_EQ_I64(count_one(rsa, "", 1U << BGW_ALG_ES256), -1);
    CHECK_EQ_I64(count_one(rsa, ",\"alg\":\"EdDSA\"", BGW_ALGS_ALL), -1);
    CHECK_EQ_I64(count_one(ed, ",\"alg\":\"EdDSA\"", BGW_ALGS_ALL), 1);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ed);
}

TEST(weak_and_impossible_public_keys_are_left_out)
{
    EVP_PKEY *small = make_rsa(1024);
    CHECK_EQ_I64(count_one(small, "", BGW_ALGS_ALL), -1);
    CHECK(strstr(said, "less than 2048 bits"));
    EVP_PKEY_free(small);
    static char n[2048];
    memset(n, '_', 1400); /* every bit set */
#define RSA(len, e) "{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"" e "\"}", len, n
    static char jwk[4096];
    snprintf(jwk, sizeof(jwk), RSA(1368, "AQAB")); /* 8208 bits */
    refused(jwk, "more than 8192 bits");
    snprintf(jwk, sizeof(jwk), RSA(344, "AQAB")); /* 2^2064 - 1 is divisible by 3 */
    refused(jwk, "small divisor");
    snprintf(jwk, sizeof(jwk), RSA(344, "AQ"));
    refused(jwk, "even or 1");
    snprintf(jwk, sizeof(jwk), RSA(344, "Ag"));
    refused(jwk, "even or 1");
    snprintf(jwk, sizeof(jwk), RSA(344, "____________"));
    refused(jwk, "more than 64 bits");
    snprintf(jwk, sizeof(jwk), RSA(344, ""));
    refused(jwk, "n or e is missing");
    refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" K ",\"y\":" K "}", "no point on its curve");
    refused("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":" K "}", "coordinate");
    refused("{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":" K ",\"y\":" K "}", "crv is not P-256");
    refused("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":" K "}", "crv is not Ed25519");
    refused("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", "coordinate");
}

TEST(a_name_that_stands_twice_makes_the_document_unusable)
{
    char two[8192];
    snprintf(two, sizeof(two), "%s,%s", jwk_of(ec(0), ",\"kid\":\"a\""), jwk_of(ec(1), ",\"kid\":\"a\""));
    refused(two, "two keys with the same kid");
    snprintf(two, sizeof(two), "%s,%s", jwk_of(ec(0), ",\"kid\":\"a\""), jwk_of(ec(0), ",\"kid\":\"\\u0061\""));
    refused(two, "two keys with the same kid");
    snprintf(two, sizeof(two), "%s,%s", jwk_of(ec(0), ",\"kid\":\"a\",\"use\":\"enc\""), jwk_of(ec(1), ",\"kid\":\"a\""));
    CHECK_EQ_I64(count_of(two, BGW_ALGS_ALL), 1); /* one of the two is not for us */
    EVP_PKEY *rsa = make_rsa(2048);
    snprintf(two, sizeof(two), "%s,%s", jwk_of(rsa, ",\"kid\":\"a\",\"alg\":\"RS256\""),
             jwk_of(rsa, ",\"kid\":\"a\",\"alg\":\"PS256\""));
    CHECK_EQ_I64(count_of(two, BGW_ALGS_ALL), 2); /* one key published for both */
    EVP_PKEY_free(rsa);
}

TEST(a_secret_in_a_public_document_is_no_secret)
{
    char two[8192];
    snprintf(two, sizeof(two), "{\"kty\":\"oct\",\"kid\":\"s\",\"k\":" K "},%s", jwk_of(ec(0), ",\"kid\":\"a\""));
    CHECK_EQ_I64(count_of(two, BGW_ALGS_ALL), 1);
    snprintf(two, sizeof(two), "{\"kty\":\"oct\",\"kid\":\"s\",\"k\":" K "},%s",
             jwk_of(ec(0), ",\"kid\":\"a\",\"use\":\"enc\""));
    CHECK_EQ_I64(count_of(two, BGW_ALGS_ALL), -1);
}

/* ---- the whole check ---- */

static int asked;
static bool answer;

static bool fetcher(void *arg)
{
    CHECK(arg == &asked);
    asked++;
    return answer;
}

static struct bgw_auth *auth_of(const char *secret, int64_t max_age_ms)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    const struct bgw_auth_config config = {
        .secret = bgw_slice_str(secret), .key_set = true, .keys_max_age_ms = max_age_ms,
        .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed,
    };
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    struct bgw_auth *auth = NULL;
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    asked = 0;
    answer = true;
    bgw_auth_set_fetcher(auth, fetcher, &asked);
    return auth;
}

static enum bgw_status load(struct bgw_auth *auth, const char *one, const char *two)
{
    static char text[16384];
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    snprintf(text, sizeof(text), "{\"keys\":[%s%s%s]}", one, two ? "," : "", two ? two : "");
    enum bgw_status status = bgw_auth_load_keys(auth, bgw_slice_str(text), now, &error);
    CHECK((status == BGW_OK) == (error.len == 0));
    bgw_buf_deinit(&error);
    return status;
}

static const char *code_of_text(const struct bgw_auth *auth, struct bgw_slice token)
{
    struct bgw_claims claims;
    enum bgw_auth_result r = bgw_auth_verify(auth, token, now, &claims);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    return bgw_auth_code(r);
}

static const char *code_of(const struct bgw_auth *auth, EVP_PKEY *key, const char *kid)
{
    struct bgw_buf token;
    sign_token(&token, key, "ES256", kid, PAYLOAD);
    const char *code = code_of_text(auth, bgw_buf_slice(&token));
    bgw_buf_deinit(&token);
    return code;
}

TEST(until_the_first_key_set_came_tokens_wait)
{
    struct bgw_auth *auth = auth_of(NULL, 0);
    CHECK(!bgw_auth_has_keys(auth, now));
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "pending");
    CHECK_EQ_STR(code_of(auth, ec(0), NULL), "pending");
    CHECK_EQ_I64(asked, 2);
    answer = false; /* nothing runs now, but there is nothing to refuse it by either */
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "pending");
    CHECK(load(auth, jwk_of(ec(0), ",\"kid\":\"a\""), NULL) == BGW_OK);
    CHECK(bgw_auth_has_keys(auth, now));
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    CHECK_EQ_STR(code_of(auth, ec(0), NULL), "ok"); /* it is alone */
    CHECK_EQ_STR(code_of(auth, ec(1), "a"), "bad_signature");
    CHECK_EQ_STR(code_of(auth, ec(1), NULL), "bad_signature");
    CHECK_EQ_I64(asked, 3);
    bgw_auth_destroy(&auth);
}

TEST(an_unknown_name_waits_while_a_fetch_runs_and_is_refused_otherwise)
{
    struct bgw_auth *auth = auth_of(NULL, 0);
    CHECK(load(auth, jwk_of(ec(0), ",\"kid\":\"a\""), jwk_of(ec(1), ",\"kid\":\"b\"")) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, ec(2), "c"), "pending");
    CHECK_EQ_I64(asked, 1);
    answer = false;
    CHECK_EQ_STR(code_of(auth, ec(2), "c"), "bad_signature");
    CHECK_EQ_I64(asked, 2);
    CHECK_EQ_STR(code_of(auth, ec(0), "A"), "bad_signature"); /* names are exact */
    CHECK_EQ_STR(code_of(auth, ec(0), ""), "bad_signature");
    CHECK_EQ_I64(asked, 4);
    CHECK_EQ_STR(code_of(auth, ec(0), NULL), "bad_signature"); /* which of the two is not tried */
    CHECK_EQ_STR(code_of(auth, ec(0), "b"), "bad_signature");
    CHECK_EQ_I64(asked, 4);
    bgw_auth_destroy(&auth);
}

/* The fetch that was waited for ends between the look at the keys and the question whether one runs. */
static bool ended_just_now(void *arg)
{
    asked++;
    if (asked == 1)
        CHECK(load(*(struct bgw_auth **)arg, jwk_of(ec(1), ",\"kid\":\"b\""), NULL) == BGW_OK);
    return false;
}

TEST(a_key_that_came_while_it_was_looked_for_is_looked_for_again)
{
    struct bgw_auth *auth = auth_of(NULL, 0);
    CHECK(load(auth, jwk_of(ec(0), ",\"kid\":\"a\""), NULL) == BGW_OK);
    bgw_auth_set_fetcher(auth, ended_just_now, &auth);
    CHECK_EQ_STR(code_of(auth, ec(1), "b"), "pending");
    CHECK_EQ_STR(code_of(auth, ec(1), "b"), "ok");
    CHECK_EQ_STR(code_of(auth, ec(2), "c"), "bad_signature");
    bgw_auth_destroy(&auth);
}

TEST(what_no_key_could_make_valid_starts_no_fetch)
{
    struct bgw_auth *auth = auth_of(NULL, 0);
    struct bgw_buf token;
    static const char *const tokens[] = {
        "", "a.b", "e30.e30.", "eyJhbGciOiJub25lIiwia2lkIjoiYyJ9.e30.", /* none */
        "eyJhbGciOiJIUzUxMiIsImtpZCI6ImMifQ.e30.AAAA",                     /* HS512 */
        "eyJhbGciOiJFUzI1NiIsImtpZCI6ImMifQ.e30.AAAA",                     /* ES256, three bytes */
    };
    for (size_t i = 0; i < sizeof(tokens) / sizeof(*tokens); i++)
        CHECK(strcmp(code_of_text(auth, bgw_slice_str(tokens[i])), "pending") != 0);
    sign_token(&token, ec(0), "ES256", "c", "[]");
    CHECK_EQ_STR(code_of_text(auth, bgw_buf_slice(&token)), "bad_signature");
    bgw_buf_deinit(&token);
    sign_token(&token, ec(0), "ES256", "c", "{\"exp\":1,\"exp\":1}");
    CHECK_EQ_STR(code_of_text(auth, bgw_buf_slice(&token)), "bad_signature");
    bgw_buf_deinit(&token);
    CHECK_EQ_I64(asked, 0);
    bgw_auth_destroy(&auth);
}

TEST(a_bad_document_changes_nothing_and_a_good_one_replaces_all)
{
    struct bgw_auth *auth = auth_of(NULL, 0);
    answer = false;
    CHECK(load(auth, jwk_of(ec(0), ",\"kid\":\"a\""), NULL) == BGW_OK);
    CHECK(load(auth, "{}", NULL) == BGW_BAD_VALUE);
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    CHECK(load(auth, jwk_of(ec(1), ",\"kid\":\"b\""), NULL) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, ec(1), "b"), "ok");
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "bad_signature");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_JWKS_KEYS), 1);
    bgw_auth_destroy(&auth);
}

TEST(keys_grow_old_unless_they_come_again)
{
    struct bgw_auth *auth = auth_of(NULL, 5000);
    const char *document = jwk_of(ec(0), ",\"kid\":\"a\"");
    CHECK(load(auth, document, NULL) == BGW_OK);
    now.mono_ms += 5000;
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    CHECK(load(auth, document, NULL) == BGW_OK); /* the same bytes */
    now.mono_ms += 5000;
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    CHECK(bgw_auth_has_keys(auth, now));
    now.mono_ms += 1;
    CHECK(!bgw_auth_has_keys(auth, now));
    CHECK_EQ_I64(asked, 0);
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "pending");
    CHECK_EQ_I64(asked, 1);
    CHECK(load(auth, document, NULL) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    bgw_auth_destroy(&auth);
}

TEST(a_configured_key_works_beside_a_key_set)
{
#define SECRET "an-example-secret-of-32-bytes-ok!"
    struct bgw_auth *auth = auth_of(SECRET, 0);
    struct bgw_buf token;
    bgw_buf_init(&token, 65536);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), BGW_SLICE(PAYLOAD), &token) == BGW_OK);
    CHECK_EQ_STR(code_of_text(auth, bgw_buf_slice(&token)), "ok");
    CHECK(bgw_auth_has_keys(auth, now));
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "pending");
    CHECK_EQ_I64(asked, 1);
    CHECK(load(auth, jwk_of(ec(0), ",\"kid\":\"a\""), NULL) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, ec(0), "a"), "ok");
    CHECK_EQ_STR(code_of(auth, ec(0), NULL), "ok");
    CHECK_EQ_STR(code_of_text(auth, bgw_buf_slice(&token)), "ok");
    bgw_buf_clear(&token);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE("another-secret-that-is-32-bytes-long"), BGW_SLICE(PAYLOAD), &token) == BGW_OK);
    CHECK_EQ_STR(code_of_text(auth, bgw_buf_slice(&token)), "bad_signature");
    CHECK_EQ_I64(asked, 1);
    bgw_buf_deinit(&token);
    bgw_auth_destroy(&auth);
}

TEST(signatures_of_8192_bits_have_room)
{
    char rs[2048], ps[2048];
    struct bgw_auth *auth = auth_of(NULL, 0);
    snprintf(rs, sizeof(rs), "{\"kty\":\"RSA\",\"kid\":\"RS256\",\"n\":\"%s\",\"e\":\"AQAB\"}", rsa_8192_n);
    snprintf(ps, sizeof(ps), "{\"kty\":\"RSA\",\"kid\":\"PS256\",\"alg\":\"PS256\",\"n\":\"%s\",\"e\":\"AQAB\"}",
             rsa_8192_n);
    CHECK(load(auth, rs, ps) == BGW_OK);
    CHECK_EQ_STR(code_of_text(auth, bgw_slice_str(rsa_8192_rs256)), "ok");
    CHECK_EQ_STR(code_of_text(auth, bgw_slice_str(rsa_8192_ps256)), "ok");
    CHECK_EQ_STR(code_of_text(auth, bgw_slice_of(rsa_8192_rs256, sizeof(rsa_8192_rs256) - 3)), "bad_signature");
    CHECK_EQ_I64(asked, 0);
    bgw_auth_destroy(&auth);
}

TEST(the_keys_of_this_test_are_given_back)
{
    for (int i = 0; i < 3; i++)
        EVP_PKEY_free(ec(i));
    CHECK_EQ_I64(asked, 0);
}
