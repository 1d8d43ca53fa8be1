/* SPDX-License-Identifier: Apache-2.0 */
/* auth: RFC vectors, forged and malformed tokens, and what each form of claim grants. */
#include "bgw/auth.h"

#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"

#include "../test.h"
#include "../../../server/auth/crypto.h"
#include "../../../server/auth/jws.h"
#include "../../../server/auth/keys.h"

#define SECRET "an-example-secret-of-32-bytes-ok!"
#define NOW_S 1800000000LL

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = NOW_S * 1000};

static struct bgw_feed feed;

static struct bgw_auth *make_auth(const char *issuer, const char *audience, int64_t leeway_s)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    struct bgw_auth_config config = {
        .secret = BGW_SLICE(SECRET),
        .issuer = issuer,
        .audience = audience,
        .leeway_s = leeway_s,
        .default_tenant = BGW_SLICE("tnt_demo"),
        .feed = &feed,
    };
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    struct bgw_auth *auth = NULL;
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    return auth;
}

/* Signs header and payload as they are, with the right key. */
static void sign_raw(struct bgw_buf *out, const char *header, const char *payload)
{
    static char text[16384];
    bgw_buf_init(out, 65536);
    bgw_base64url_encode((const uint8_t *)header, strlen(header), text);
    bgw_buf_append_str(out, text);
    bgw_buf_append_byte(out, '.');
    bgw_base64url_encode((const uint8_t *)payload, strlen(payload), text);
    bgw_buf_append_str(out, text);
    uint8_t mac[32];
    CHECK(bgw_crypto_hs256(BGW_SLICE(SECRET), bgw_buf_slice(out), mac));
    bgw_base64url_encode(mac, sizeof(mac), text);
    bgw_buf_append_byte(out, '.');
    bgw_buf_append_str(out, text);
}

static enum bgw_auth_result verify_with(struct bgw_auth *auth, const char *header,
                                        const char *payload, struct bgw_claims *claims)
{
    struct bgw_buf token;
    sign_raw(&token, header, payload);
    enum bgw_auth_result r = bgw_auth_verify(auth, bgw_buf_slice(&token), now, claims);
    bgw_buf_deinit(&token);
    return r;
}

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define EXP "\"exp\":1800000060"
#define BASE EXP ",\"sub\":\"alice\""
#define GRANT ",\"scope\":\"accounts.read\",\"accounts\":[\"A\",\"B\"]"

static const char *result_of(const char *header, const char *payload)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_claims claims;
    enum bgw_auth_result r = verify_with(auth, header, payload, &claims);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    else
        CHECK(claims.grants == NULL);
    bgw_auth_destroy(&auth);
    return bgw_auth_code(r);
}

static enum bgw_access may_read(const struct bgw_claims *c, const char *tenant, const char *key)
{
    return bgw_access_check(c, bgw_slice_str(tenant), bgw_slice_str(key), now);
}

/* ---- RFC 7515 A.1 ---- */

static const char rfc_token[] =
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
static const char rfc_key[] =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

static bool rfc_verify(struct bgw_slice token)
{
    uint8_t bytes[64];
    size_t len = 0;
    CHECK(bgw_base64url_decode(BGW_SLICE(rfc_key), bytes, sizeof(bytes), &len) == BGW_OK);
    struct bgw_key_set *set = bgw_keys_create();
    CHECK(bgw_keys_add_secret(set, NULL, bgw_slice_of((char *)bytes, len)) == BGW_OK);
    struct bgw_jws jws;
    enum bgw_alg alg;
    const struct bgw_key *found = NULL;
    bool ok = bgw_jws_parse(token, &jws) == BGW_AUTH_OK && bgw_alg_find(bgw_slice_str(jws.alg), &alg) &&
              bgw_keys_choose(set, NULL, (struct bgw_slice){NULL, 0}, alg, &found) == BGW_KEY_FOUND &&
              bgw_key_verify(found, jws.signing_input,
                             bgw_slice_of((char *)jws.signature, jws.signature_len));
    bgw_keys_release(set);
    return ok;
}

TEST(rfc_7515_example_a1_verifies)
{
    CHECK(rfc_verify(BGW_SLICE(rfc_token)));
}

TEST(rfc_7515_example_a1_with_any_byte_changed_does_not)
{
    char token[sizeof(rfc_token)];
    for (size_t i = 0; i < sizeof(rfc_token) - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            memcpy(token, rfc_token, sizeof(token));
            token[i] = (char)(token[i] ^ (1 << bit));
            CHECK(!rfc_verify(bgw_slice_of(token, sizeof(rfc_token) - 1)));
        }
    }
}

TEST(a_truncated_token_does_not_verify_at_any_length)
{
    for (size_t len = 0; len < sizeof(rfc_token) - 1; len++)
        CHECK(!rfc_verify(bgw_slice_of(rfc_token, len)));
}

/* ---- the whole check ---- */

TEST(a_signed_token_is_accepted_and_its_claims_are_read)
{
    struct bgw_auth *auth = make_auth("", "", 5);
    struct bgw_buf token;
    bgw_buf_init(&token, 65536);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET),
                              BGW_SLICE("{" BASE GRANT ",\"tenant\":\"bank_a\",\"iat\":1799999999,"
                                        "\"jti\":\"j1\"}"),
                              &token) == BGW_OK);
    struct bgw_claims c;
    int64_t before = bgw_metric_read(BGW_M_AUTH_OK);
    CHECK(bgw_auth_verify(auth, bgw_buf_slice(&token), now, &c) == BGW_AUTH_OK);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_AUTH_OK), before + 1);
    CHECK_EQ_STR(c.tenant, "bank_a");
    CHECK_EQ_I64(c.issued_s, 1799999999);
    CHECK_EQ_I64(c.expires_ms, 1800000065000);
    CHECK(c.subject_hash == bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("alice")));
    CHECK(c.jti_hash == bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("j1")));
    CHECK(!c.ops_read);
    CHECK(may_read(&c, "bank_a", "A") == BGW_ACCESS_OK);
    CHECK(may_read(&c, "bank_a", "B") == BGW_ACCESS_OK);
    CHECK(may_read(&c, "bank_a", "C") == BGW_ACCESS_NO_GRANT);
    CHECK(may_read(&c, "tnt_demo", "A") == BGW_ACCESS_OTHER_TENANT);
    bgw_claims_deinit(&c);
    bgw_buf_deinit(&token);
    bgw_auth_destroy(&auth);
}

TEST(another_secret_is_a_bad_signature)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_buf token;
    bgw_buf_init(&token, 65536);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE("another-secret-that-is-32-bytes-long"),
                              BGW_SLICE("{" BASE GRANT "}"), &token) == BGW_OK);
    struct bgw_claims c;
    CHECK_EQ_STR(bgw_auth_code(bgw_auth_verify(auth, bgw_buf_slice(&token), now, &c)),
                 "bad_signature");
    bgw_buf_deinit(&token);
    bgw_auth_destroy(&auth);
}

TEST(a_missing_token_says_so)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_claims c;
    CHECK(bgw_auth_verify(auth, (struct bgw_slice){NULL, 0}, now, &c) == BGW_AUTH_MISSING);
    bgw_auth_destroy(&auth);
}

TEST(the_header_is_strict)
{
    const char *good = "{" BASE GRANT "}";
    static const struct {
        const char *header, *code;
    } rows[] = {
        {HEADER, "ok"},
        {"{\"alg\":\"HS256\"}", "ok"},
        {" {\"alg\" : \"HS256\"} ", "ok"},
        {"{\"alg\":\"HS256\",\"kid\":\"k1\",\"x\":{\"y\":[1]}}", "ok"},
        {"{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}", "ok"},
        {"{\"alg\":\"none\"}", "token_unsupported"},
        {"{\"alg\":\"None\"}", "token_unsupported"},
        {"{\"alg\":\"\"}", "token_unsupported"},
        {"{\"alg\":\"hs256\"}", "token_unsupported"},
        {"{\"alg\":\"HS512\"}", "token_unsupported"},
        {"{\"alg\":\"RS256\"}", "token_unsupported"},
        {"{\"alg\":\"HS256HS256HS256HS256\"}", "token_unsupported"},
        {"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"exp\":1}", "token_unsupported"},
        {"{\"alg\":\"HS256\",\"crit\":[]}", "token_unsupported"},
        {"{\"alg\":\"HS256\",\"b64\":true}", "token_unsupported"},
        {"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "token_malformed"},
        {"{\"alg\":\"none\",\"alg\":\"HS256\"}", "token_malformed"},
        {"{\"alg\":\"HS256\",\"typ\":1}", "token_malformed"},
        {"{\"alg\":\"HS256\",\"kid\":1}", "token_malformed"},
        {"{\"alg\":[\"HS256\"]}", "token_malformed"},
        {"{\"alg\":null}", "token_malformed"},
        {"{\"typ\":\"JWT\"}", "token_malformed"},
        {"{\"ALG\":\"HS256\"}", "token_malformed"},
        {"{}", "token_malformed"},
        {"[]", "token_malformed"},
        {"\"HS256\"", "token_malformed"},
        {"", "token_malformed"},
        {"{\"alg\":\"HS256\"", "token_malformed"},
        {"{\"alg\":\"HS256\"}x", "token_malformed"},
        {"{\"alg\":\"HS256\",}", "token_malformed"},
        {"{'alg':'HS256'}", "token_malformed"},
        {"{\"alg\":\"HS256\",\"a\":\"\xff\"}", "token_malformed"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *got = result_of(rows[i].header, good);
        if (strcmp(got, rows[i].code) != 0)
            printf("# header %s\n", rows[i].header);
        CHECK_EQ_STR(got, rows[i].code);
    }
}

TEST(an_escaped_algorithm_name_is_read_as_what_it_means)
{
    CHECK_EQ_STR(result_of("{\"\\u0061lg\":\"HS\\u003256\"}", "{" BASE GRANT "}"), "ok");
    CHECK_EQ_STR(result_of("{\"\\u0061lg\":\"HS256\",\"alg\":\"none\"}", "{" BASE GRANT "}"),
                 "token_malformed");
}

TEST(the_compact_form_is_strict)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_buf good;
    sign_raw(&good, HEADER, "{" BASE GRANT "}");
    struct bgw_claims c;
    static const char *const forms[] = {"%s.", ".%s", "%s.e30", "%s=", "%s==", " %s", "%s ", "%s\n",
                                        "Bearer %s", "\"%s\"", "%s%%00", "%sA", "%s-"};
    bgw_buf_append_byte(&good, '\0');
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        struct bgw_buf t;
        bgw_buf_init(&t, 65536);
        const char *at = strstr(forms[i], "%s");
        bgw_buf_append(&t, bgw_slice_of(forms[i], (size_t)(at - forms[i])));
        bgw_buf_append_str(&t, good.data);
        bgw_buf_append_str(&t, at + 2);
        enum bgw_auth_result r = bgw_auth_verify(auth, bgw_buf_slice(&t), now, &c);
        CHECK(r == BGW_AUTH_MALFORMED || r == BGW_AUTH_BAD_SIGNATURE);
        bgw_buf_deinit(&t);
    }
    static const char *const nonsense[] = {".", "..", "...", "a", "a.b", "a.b.c", "a.b.c.d", "eyJ9",
                                           "e30.e30.", "e30..e30", ".e30.e30", "\x80.\x80.\x80"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(*nonsense); i++)
        CHECK(bgw_auth_verify(auth, bgw_slice_str(nonsense[i]), now, &c) == BGW_AUTH_MALFORMED);
    bgw_buf_deinit(&good);
    bgw_auth_destroy(&auth);
}

TEST(an_empty_signature_is_refused)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_buf token;
    sign_raw(&token, HEADER, "{" BASE GRANT "}");
    while (token.data[token.len - 1] != '.')
        token.len--;
    struct bgw_claims c;
    CHECK_EQ_STR(bgw_auth_code(bgw_auth_verify(auth, bgw_buf_slice(&token), now, &c)),
                 "bad_signature");
    bgw_buf_deinit(&token);
    bgw_auth_destroy(&auth);
}

TEST(trailing_bits_of_the_signature_must_be_zero)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_buf token;
    sign_raw(&token, HEADER, "{" BASE GRANT "}");
    struct bgw_claims c;
    /* 32 bytes are 43 characters; the last carries two unused bits: its neighbours decode alike. */
    char *last = &token.data[token.len - 1];
    *last = *last == '9' ? '-' : (char)(*last + 1);
    CHECK_EQ_STR(bgw_auth_code(bgw_auth_verify(auth, bgw_buf_slice(&token), now, &c)),
                 "token_malformed");
    bgw_buf_deinit(&token);
    bgw_auth_destroy(&auth);
}

TEST(a_token_over_the_size_cap_is_malformed_and_one_at_the_cap_is_read)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_claims c;
    static char payload[24000];
    /* header 36 + dots 2 + signature 43 leave 16303 characters: 12227 bytes of payload */
    for (int over = 0; over < 2; over++) {
        int len = snprintf(payload, sizeof(payload), "{" BASE GRANT ",\"pad\":\"");
        size_t target = over ? 12228 : 12227;
        memset(payload + len, 'x', target - (size_t)len - 2);
        memcpy(payload + target - 2, "\"}", 3);
        enum bgw_auth_result r = verify_with(auth, HEADER, payload, &c);
        CHECK(r == (over ? BGW_AUTH_MALFORMED : BGW_AUTH_OK));
        if (r == BGW_AUTH_OK)
            bgw_claims_deinit(&c);
    }
    bgw_auth_destroy(&auth);
}

static const struct {
    const char *payload, *code;
} claim_rows[] = {
    {"{" BASE GRANT "}", "ok"},
    {"{\"exp\":1800000060.9,\"sub\":\"a\"" GRANT "}", "ok"},
    {"{\"exp\":1800000000.9,\"sub\":\"a\"" GRANT "}", "token_expired"},
    {"{" BASE ",\"nbf\":1800000000.0" GRANT "}", "ok"},
    {"{" BASE ",\"nbf\":1800000000.01" GRANT "}", "token_not_yet_valid"},
    {"{\"exp\":1800000000,\"sub\":\"a\"" GRANT "}", "token_expired"},
    {"{\"exp\":1800000001,\"sub\":\"a\"" GRANT "}", "ok"},
    {"{\"exp\":0,\"sub\":\"a\"" GRANT "}", "token_expired"},
    {"{\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{\"exp\":\"1800000060\",\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{\"exp\":-1,\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{\"exp\":1.8e9,\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{\"exp\":1800000060000,\"sub\":\"a\"" GRANT "}", "bad_claims"}, /* milliseconds */
    {"{\"exp\":99999999999999999999999,\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{\"exp\":null,\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{" EXP "," EXP ",\"sub\":\"a\"" GRANT "}", "bad_claims"},
    {"{" EXP GRANT "}", "bad_claims"},
    {"{" EXP ",\"sub\":\"\"" GRANT "}", "bad_claims"},
    {"{" EXP ",\"sub\":7" GRANT "}", "bad_claims"},
    {"{" EXP ",\"sub\":\"a\\u0000b\"" GRANT "}", "bad_claims"},
    {"{" BASE ",\"nbf\":1800000000" GRANT "}", "ok"},
    {"{" BASE ",\"nbf\":1800000001" GRANT "}", "token_not_yet_valid"},
    {"{" BASE ",\"nbf\":\"soon\"" GRANT "}", "bad_claims"},
    {"{" BASE ",\"iat\":true" GRANT "}", "bad_claims"},
    {"{" BASE ",\"jti\":[]" GRANT "}", "bad_claims"},
    {"{" BASE ",\"tenant\":\"\"" GRANT "}", "bad_claims"},
    {"{" BASE ",\"tenant\":\"a b\"" GRANT "}", "bad_claims"},
    {"{" BASE ",\"tenant\":1" GRANT "}", "bad_claims"},
    {"{" BASE ",\"scope\":7,\"accounts\":[\"A\"]}", "bad_claims"},
    {"{" BASE ",\"scope\":[7],\"accounts\":[\"A\"]}", "bad_claims"},
    {"{" BASE ",\"scope\":\"accounts.read\",\"accounts\":\"A\"}", "bad_claims"},
    {"{" BASE ",\"scope\":\"accounts.read\",\"accounts\":[\"a b\"]}", "bad_claims"},
    {"{" BASE ",\"scope\":\"accounts.read\",\"accounts\":[\"\"]}", "bad_claims"},
    {"{" BASE ",\"scope\":\"accounts.read\",\"accounts\":[1]}", "bad_claims"},
    {"{" BASE ",\"authorization_details\":{}}", "bad_claims"},
    {"{" BASE ",\"authorization_details\":[7]}", "bad_claims"},
    {"{" BASE ",\"authorization_details\":[{}]}", "bad_claims"},
    {"{" BASE ",\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":\"read\"}]}",
     "bad_claims"},
    {"{" BASE ",\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":[\"read\"],"
     "\"identifiers\":\"A\"}]}",
     "bad_claims"},
    {"{" BASE "}", "no_grant"},
    {"{" BASE ",\"scope\":\"accounts.read\"}", "no_grant"},
    {"{" BASE ",\"accounts\":[\"A\"]}", "no_grant"},
    {"{" BASE ",\"scope\":\"accounts.readx xaccounts.read accounts\",\"accounts\":[\"A\"]}",
     "no_grant"},
    {"{" BASE ",\"scope\":\"ACCOUNTS.READ\",\"accounts\":[\"A\"]}", "no_grant"},
    {"{" BASE ",\"authorization_details\":[]}", "no_grant"},
    {"{" BASE ",\"authorization_details\":[{\"type\":\"payment\",\"actions\":1}]}", "no_grant"},
    {"{" BASE ",\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":[\"write\"],"
     "\"identifiers\":[\"A\"]}]}",
     "no_grant"},
    {"{" BASE ",\"authorization_details\":[{\"type\":\"account_balance\","
     "\"identifiers\":[\"A\"]}]}",
     "no_grant"},
    {"{" BASE ",\"scope\":\"accounts.read\",\"accounts\":[]}", "ok"},
    {"{" BASE ",\"scope\":\"ops.read\"}", "ok"},
    {"[]", "bad_claims"},
    {"", "bad_claims"},
    {"null", "bad_claims"},
    {"{" BASE GRANT "} x", "bad_claims"},
};

TEST(claims_have_to_have_their_form)
{
    for (size_t i = 0; i < sizeof(claim_rows) / sizeof(*claim_rows); i++) {
        const char *got = result_of(HEADER, claim_rows[i].payload);
        if (strcmp(got, claim_rows[i].code) != 0)
            printf("# payload %s\n", claim_rows[i].payload);
        CHECK_EQ_STR(got, claim_rows[i].code);
    }
}

static enum bgw_access access_of(const char *extra, const char *key)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_claims c;
    static char payload[2048];
    snprintf(payload, sizeof(payload), "{" BASE "%s}", extra);
    CHECK_EQ_STR(bgw_auth_code(verify_with(auth, HEADER, payload, &c)), "ok");
    enum bgw_access a = may_read(&c, "tnt_demo", key);
    bgw_claims_deinit(&c);
    bgw_auth_destroy(&auth);
    return a;
}

TEST(every_form_of_grant_opens_its_accounts_and_no_others)
{
    static const char *const forms[] = {
        ",\"scope\":\"accounts.read\",\"accounts\":[\"A\",\"A\"]",
        ",\"scope\":\"openid  accounts.read profile\",\"accounts\":[\"A\"]",
        ",\"scope\":[\"openid\",\"accounts.read\"],\"accounts\":[\"A\"]",
        ",\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":[\"list\",\"read\"],"
        "\"identifiers\":[\"A\"]}]",
        ",\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":[\"read\"],"
        "\"identifier\":\"A\"},{\"type\":\"other\"}]",
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(*forms); i++) {
        CHECK(access_of(forms[i], "A") == BGW_ACCESS_OK);
        CHECK(access_of(forms[i], "B") == BGW_ACCESS_NO_GRANT);
        CHECK(access_of(forms[i], "a") == BGW_ACCESS_NO_GRANT);
    }
}

TEST(the_staff_scope_opens_every_account_of_its_tenant_only)
{
    struct bgw_auth *auth = make_auth("", "", 0);
    struct bgw_claims c;
    CHECK(verify_with(auth, HEADER, "{" BASE ",\"scope\":\"accounts.read.all ops.read\"}", &c) ==
          BGW_AUTH_OK);
    CHECK(c.ops_read);
    CHECK(may_read(&c, "tnt_demo", "anything") == BGW_ACCESS_OK);
    CHECK(may_read(&c, "bank_a", "anything") == BGW_ACCESS_OTHER_TENANT);
    bgw_claims_deinit(&c);
    bgw_auth_destroy(&auth);
}

TEST(ops_scope_alone_opens_no_account)
{
    CHECK(access_of(",\"scope\":\"ops.read\"", "A") == BGW_ACCESS_NO_GRANT);
}

TEST(an_empty_list_grants_nothing_but_is_a_valid_refresh)
{
    CHECK(access_of(",\"scope\":\"accounts.read\",\"accounts\":[]", "A") == BGW_ACCESS_NO_GRANT);
}

static const char *party_result(const char *extra)
{
    struct bgw_auth *auth = make_auth("https://id.example", "bgw", 0);
    struct bgw_claims c;
    static char payload[2048];
    snprintf(payload, sizeof(payload), "{" BASE GRANT "%s}", extra);
    enum bgw_auth_result r = verify_with(auth, HEADER, payload, &c);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&c);
    bgw_auth_destroy(&auth);
    return bgw_auth_code(r);
}

TEST(issuer_and_audience_are_checked_where_they_are_configured)
{
#define ISS ",\"iss\":\"https://id.example\""
    CHECK_EQ_STR(party_result(ISS ",\"aud\":\"bgw\""), "ok");
    CHECK_EQ_STR(party_result(ISS ",\"aud\":[\"x\",\"bgw\"]"), "ok");
    CHECK_EQ_STR(party_result(ISS), "wrong_audience");
    CHECK_EQ_STR(party_result(ISS ",\"aud\":\"bgwx\""), "wrong_audience");
    CHECK_EQ_STR(party_result(ISS ",\"aud\":[\"x\"]"), "wrong_audience");
    CHECK_EQ_STR(party_result(ISS ",\"aud\":[]"), "wrong_audience");
    CHECK_EQ_STR(party_result(ISS ",\"aud\":{\"bgw\":1}"), "wrong_audience");
    CHECK_EQ_STR(party_result(",\"aud\":\"bgw\""), "wrong_issuer");
    CHECK_EQ_STR(party_result(",\"iss\":\"https://id.example/\",\"aud\":\"bgw\""), "wrong_issuer");
    CHECK_EQ_STR(party_result(",\"iss\":[\"https://id.example\"],\"aud\":\"bgw\""), "wrong_issuer");
#undef ISS
}

TEST(leeway_widens_both_ends)
{
    struct bgw_auth *auth = make_auth("", "", 30);
    struct bgw_claims c;
    CHECK(verify_with(auth, HEADER, "{\"exp\":1799999971,\"sub\":\"a\"" GRANT "}", &c) == BGW_AUTH_OK);
    CHECK_EQ_I64(c.expires_ms, 1800000001000);
    bgw_claims_deinit(&c);
    CHECK(verify_with(auth, HEADER, "{\"exp\":1799999970,\"sub\":\"a\"" GRANT "}", &c) ==
          BGW_AUTH_EXPIRED);
    CHECK(verify_with(auth, HEADER, "{" BASE ",\"nbf\":1800000030" GRANT "}", &c) == BGW_AUTH_OK);
    bgw_claims_deinit(&c);
    CHECK(verify_with(auth, HEADER, "{" BASE ",\"nbf\":1800000031" GRANT "}", &c) == BGW_AUTH_NOT_YET);
    bgw_auth_destroy(&auth);
}

TEST(a_short_or_missing_secret_is_a_configuration_error_that_says_what_to_set)
{
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    struct bgw_auth_config config = {.secret = BGW_SLICE("0123456789012345678901234567890"),
                                     .default_tenant = BGW_SLICE("t"),
                                     .feed = &feed};
    for (int i = 0; i < 2; i++) {
        struct bgw_buf error;
        bgw_buf_init(&error, 1024);
        struct bgw_auth *auth = NULL;
        CHECK(bgw_auth_create(&auth, &config, &error) == BGW_CONFIG);
        CHECK(auth == NULL);
        bgw_buf_append_byte(&error, '\0');
        CHECK(strstr(error.data, "BGW_JWT_SECRET") && strstr(error.data, "openssl rand"));
        CHECK(!strstr(error.data, "0123456789"));
        bgw_buf_deinit(&error);
        config.secret = (struct bgw_slice){NULL, 0};
    }
}
