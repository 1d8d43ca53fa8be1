/* SPDX-License-Identifier: Apache-2.0 */
/* The asymmetric algorithms through the whole check: configured PEM keys, and what each refuses. */
#include "bgw/auth.h"

#include "auth/keys.h"
#include "auth/public_key.h"

#include "bgw/metrics.h"

#include "signer.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#define NOW_S 1800000000LL
#define PAYLOAD "{\"exp\":1800000060,\"sub\":\"alice\",\"scope\":\"accounts.read\",\"accounts\":[\"A\"]}"

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = NOW_S * 1000};
static struct bgw_feed feed;
static char said[2048]; /* what the last failed create said */

static struct bgw_auth *auth_of(const char *pem, const char *algs, const char *secret)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    struct bgw_auth_config config = {
        .secret = bgw_slice_str(secret), .public_key = pem, .algs = algs,
        .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed,
    };
    struct bgw_buf error;
    bgw_buf_init(&error, sizeof(said));
    struct bgw_auth *auth = NULL;
    enum bgw_status status = bgw_auth_create(&auth, &config, &error);
    CHECK((status == BGW_OK) == (auth != NULL));
    CHECK(status == BGW_OK || status == BGW_CONFIG);
    CHECK((status == BGW_OK) == (error.len == 0));
    snprintf(said, sizeof(said), "%.*s", (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return auth;
}

static struct bgw_auth *auth_of_key(EVP_PKEY *key, const char *algs)
{
    char pem[4096];
    put_pem(pem, sizeof(pem), key);
    return auth_of(pem, algs, NULL);
}

static const char *code_of(const struct bgw_auth *auth, struct bgw_slice token)
{
    struct bgw_claims claims;
    enum bgw_auth_result r = bgw_auth_verify(auth, token, now, &claims);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    return bgw_auth_code(r);
}

static const char *code_of_signed(const struct bgw_auth *auth, EVP_PKEY *key, const char *alg)
{
    struct bgw_buf token;
    sign_token(&token, key, alg, NULL, PAYLOAD);
    const char *code = code_of(auth, bgw_buf_slice(&token));
    bgw_buf_deinit(&token);
    return code;
}

/* ---- keys that live as long as the program ---- */

static EVP_PKEY *rsa(void)
{
    static EVP_PKEY *key;
    return key ? key : (key = make_rsa(2048));
}

static EVP_PKEY *p256(void)
{
    static EVP_PKEY *key;
    return key ? key : (key = make_ec("P-256"));
}

static EVP_PKEY *ed25519(void)
{
    static EVP_PKEY *key;
    return key ? key : (key = make_ed25519());
}

struct row {
    EVP_PKEY *(*key)(void);
    const char *alg, *algs;
};
static const struct row rows[] = {
    {rsa, "RS256", NULL}, {rsa, "RS256", "RS256,PS256"}, {rsa, "PS256", "HS256, PS256"},
    {p256, "ES256", ""}, {ed25519, "EdDSA", "EdDSA"},
};
#define ROWS (sizeof(rows) / sizeof(*rows))

TEST(each_algorithm_accepts_what_its_key_signed)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct bgw_auth *auth = auth_of_key(rows[i].key(), rows[i].algs);
        CHECK_EQ_STR(code_of_signed(auth, rows[i].key(), rows[i].alg), "ok");
        CHECK(bgw_auth_has_keys(auth, now));
        bgw_auth_destroy(&auth);
    }
}

TEST(any_changed_character_is_refused)
{
    for (size_t i = 0; i < ROWS; i++) {
        struct bgw_auth *auth = auth_of_key(rows[i].key(), rows[i].algs);
        struct bgw_buf token;
        sign_token(&token, rows[i].key(), rows[i].alg, NULL, PAYLOAD);
        for (size_t at = 0; at < token.len; at++) {
            char was = token.data[at];
            token.data[at] = was == 'A' ? 'B' : 'A';
            CHECK(strcmp(code_of(auth, bgw_buf_slice(&token)), "ok") != 0);
            token.data[at] = was;
        }
        CHECK_EQ_STR(code_of(auth, bgw_buf_slice(&token)), "ok");
        bgw_buf_deinit(&token);
        bgw_auth_destroy(&auth);
    }
}

TEST(another_key_of_the_same_type_is_a_bad_signature)
{
    EVP_PKEY *others[] = {make_rsa(2048), make_ec("P-256"), make_ed25519()};
    static const char *const algs[] = {"RS256", "ES256", "EdDSA"};
    EVP_PKEY *(*const ours[])(void) = {rsa, p256, ed25519};
    for (size_t i = 0; i < 3; i++) {
        struct bgw_auth *auth = auth_of_key(ours[i](), NULL);
        CHECK_EQ_STR(code_of_signed(auth, others[i], algs[i]), "bad_signature");
        bgw_auth_destroy(&auth);
        EVP_PKEY_free(others[i]);
    }
}

TEST(the_token_does_not_choose_between_rs256_and_ps256)
{
    struct bgw_auth *rs = auth_of_key(rsa(), NULL), *ps = auth_of_key(rsa(), "PS256");
    CHECK_EQ_STR(code_of_signed(rs, rsa(), "PS256"), "token_unsupported");
    CHECK_EQ_STR(code_of_signed(ps, rsa(), "RS256"), "token_unsupported");
    bgw_auth_destroy(&rs);
    bgw_auth_destroy(&ps);
}

TEST(the_text_of_a_public_key_is_no_secret)
{
    char pem[4096];
    put_pem(pem, sizeof(pem), rsa());
    struct bgw_auth *auth = auth_of(pem, NULL, NULL);
    struct bgw_buf token;
    bgw_buf_init(&token, 65536);
    for (size_t cut = 0; cut < 2; cut++) { /* with and without the last line feed */
        bgw_buf_clear(&token);
        CHECK(bgw_auth_sign_hs256(bgw_slice_of(pem, strlen(pem) - cut), BGW_SLICE(PAYLOAD), &token) == BGW_OK);
        CHECK_EQ_STR(code_of(auth, bgw_buf_slice(&token)), "token_unsupported");
    }
    bgw_auth_destroy(&auth);
    /* nor where a secret is configured beside it */
    auth = auth_of(pem, NULL, "an-example-secret-of-32-bytes-ok!");
    CHECK_EQ_STR(code_of(auth, bgw_buf_slice(&token)), "bad_signature");
    CHECK_EQ_STR(code_of_signed(auth, rsa(), "RS256"), "ok");
    bgw_buf_clear(&token);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE("an-example-secret-of-32-bytes-ok!"), BGW_SLICE(PAYLOAD), &token) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, bgw_buf_slice(&token)), "ok");
    bgw_auth_destroy(&auth);
    bgw_buf_deinit(&token);
}

/* ---- signatures by hand ---- */

static bool verifies(EVP_PKEY *key, enum bgw_alg alg, const uint8_t *signature, size_t len)
{
    return bgw_public_key_verify((const struct bgw_public_key *)key, alg, BGW_SLICE("input"),
                                 bgw_slice_of((const char *)signature, len));
}

TEST(only_a_salt_of_32_bytes_will_do)
{
    uint8_t signature[1024];
    for (int salt = 0; salt < 64; salt++) {
        size_t len = sign_bytes(rsa(), "PS256", salt, BGW_SLICE("input"), signature);
        CHECK(verifies(rsa(), BGW_ALG_PS256, signature, len) == (salt == 32));
    }
}

TEST(a_signature_has_the_length_of_its_key)
{
    uint8_t signature[1024] = {0};
    static const struct {
        EVP_PKEY *(*key)(void);
        const char *name;
        enum bgw_alg alg;
    } kinds[] = {{rsa, "RS256", BGW_ALG_RS256}, {rsa, "PS256", BGW_ALG_PS256},
                 {p256, "ES256", BGW_ALG_ES256}, {ed25519, "EdDSA", BGW_ALG_EDDSA}};
    for (size_t i = 0; i < 4; i++) {
        size_t right = sign_bytes(kinds[i].key(), kinds[i].name, 32, BGW_SLICE("input"), signature);
        memset(signature + right, 0, sizeof(signature) - right);
        for (size_t len = 0; len <= right + 64; len++)
            CHECK(verifies(kinds[i].key(), kinds[i].alg, signature, len) == (len == right));
    }
}

TEST(an_ecdsa_signature_in_der_is_refused)
{
    uint8_t der[80], padded[64] = {0};
    size_t len = sizeof(der);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    CHECK(EVP_DigestSignInit_ex(ctx, NULL, "SHA256", NULL, NULL, p256(), NULL) == 1);
    CHECK(EVP_DigestSign(ctx, der, &len, (const unsigned char *)"input", 5) == 1);
    EVP_MD_CTX_free(ctx);
    CHECK(!verifies(p256(), BGW_ALG_ES256, der, len));
    memcpy(padded, der, 64);
    CHECK(!verifies(p256(), BGW_ALG_ES256, padded, sizeof(padded)));
}

TEST(r_and_s_have_to_be_in_range)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17,
                                      0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint8_t parts[4][32] = {{0}, {[31] = 1}, {0}, {0}}, signature[64];
    memcpy(parts[2], order, 32);
    memset(parts[3], 0xff, 32);
    for (int r = 0; r < 4; r++)
        for (int s = 0; s < 4; s++) {
            memcpy(signature, parts[r], 32);
            memcpy(signature + 32, parts[s], 32);
            CHECK(!verifies(p256(), BGW_ALG_ES256, signature, 64));
        }
}

TEST(small_halves_of_a_signature_are_read_right)
{
    /* r or s begins with a zero byte in one signature of 128: some of each are among these. */
    uint8_t signature[1024];
    int short_ones = 0;
    for (int i = 0; i < 2000 && short_ones < 8; i++) {
        size_t len = sign_bytes(p256(), "ES256", 0, BGW_SLICE("input"), signature);
        CHECK(verifies(p256(), BGW_ALG_ES256, signature, len));
        short_ones += signature[0] == 0 || signature[32] == 0;
    }
    CHECK(short_ones > 0);
}

TEST(a_refused_signature_leaves_no_error_behind)
{
    uint8_t signature[1024] = {0};
    ERR_clear_error();
    CHECK(!verifies(rsa(), BGW_ALG_RS256, signature, 256));
    CHECK(!verifies(rsa(), BGW_ALG_PS256, signature, 256));
    CHECK(!verifies(p256(), BGW_ALG_ES256, signature, 64));
    CHECK(!verifies(ed25519(), BGW_ALG_EDDSA, signature, 64));
    CHECK(ERR_peek_error() == 0);
}

/* ---- configuration ---- */

static void refused(const char *pem, const char *algs, const char *word)
{
    struct bgw_auth *auth = auth_of(pem, algs, NULL);
    CHECK(auth == NULL);
    if (!strstr(said, word))
        printf("# said: %s\n", said);
    CHECK(strstr(said, word) != NULL);
    CHECK(ERR_peek_error() == 0);
    bgw_auth_destroy(&auth);
}

static void refused_key(EVP_PKEY *key, const char *algs, const char *word)
{
    char pem[8192];
    put_pem(pem, sizeof(pem), key);
    refused(pem, algs, word);
    EVP_PKEY_free(key);
}

TEST(without_any_key_all_three_are_named)
{
    refused(NULL, NULL, "BGW_JWT_SECRET");
    CHECK(strstr(said, "BGW_JWT_PUBLIC_KEY") && strstr(said, "BGW_JWT_JWKS"));
}

TEST(keys_that_we_do_not_want_are_refused_in_words)
{
    refused_key(make_rsa(1024), NULL, "less than 2048 bits");
    refused_key(make_ec("P-384"), NULL, "another curve");
    refused_key(make_ec("secp256k1"), NULL, "another curve");
    refused_key(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, "neither RSA nor P-256 nor Ed25519");
    refused_key(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), NULL, "neither RSA nor P-256 nor Ed25519");
    EVP_PKEY_up_ref(p256());
    refused_key(p256(), "RS256,EdDSA", "BGW_JWT_ALGS does not allow");
    EVP_PKEY_up_ref(rsa());
    refused_key(rsa(), "ES256", "BGW_JWT_ALGS does not allow");
    EVP_PKEY_up_ref(rsa());
    refused_key(rsa(), "RS256,none", "names \"none\"");
}

TEST(a_private_key_is_refused_and_not_repeated)
{
    char pem[8192];
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_PrivateKey(bio, rsa(), NULL, NULL, 0, NULL, NULL) == 1);
    take_bio(bio, pem, sizeof(pem));
    refused(pem, NULL, "private key");
    CHECK(strstr(said, "openssl pkey -in KEY -pubout"));
    pem[60] = '\0';
    CHECK(!strstr(said, pem + 40));
}

TEST(texts_that_are_no_single_public_key_are_refused)
{
    char pem[4096], twice[8192];
    refused("hello", NULL, "no PEM text");
    refused("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", NULL, "is no public key");
    refused("-----BEGIN PUBLIC KEY-----\nAAAA\n", NULL, "no PEM text");
    refused("-----BEGIN RSA PUBLIC KEY-----\nAAAA\n-----END RSA PUBLIC KEY-----\n", NULL, "RSAPublicKey_in");
    put_pem(pem, sizeof(pem), p256());
    snprintf(twice, sizeof(twice), "%s%s", pem, pem);
    refused(twice, NULL, "more than one");
}

TEST(a_certificate_gives_its_key)
{
    char pem[8192];
    X509 *x = X509_new();
    CHECK(X509_set_pubkey(x, p256()) == 1);
    X509_gmtime_adj(X509_getm_notBefore(x), 0);
    X509_gmtime_adj(X509_getm_notAfter(x), -1); /* its dates are not asked for */
    CHECK(X509_sign(x, p256(), EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    CHECK(PEM_write_bio_X509(bio, x) == 1);
    X509_free(x);
    take_bio(bio, pem, sizeof(pem));
    struct bgw_auth *auth = auth_of(pem, NULL, NULL);
    CHECK_EQ_STR(code_of_signed(auth, p256(), "ES256"), "ok");
    bgw_auth_destroy(&auth);
}

TEST(a_reload_takes_the_new_key_or_keeps_the_old)
{
    char pem[4096];
    EVP_PKEY *next = make_ec("P-256");
    put_pem(pem, sizeof(pem), p256());
    struct bgw_auth *auth = auth_of(pem, NULL, NULL);
    struct bgw_auth_config config = {.public_key = "nonsense", .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    CHECK(bgw_auth_reload(auth, &config, &error) == BGW_CONFIG && error.len > 0);
    CHECK_EQ_STR(code_of_signed(auth, p256(), "ES256"), "ok");
    config.secret = BGW_SLICE("an-example-secret-of-32-bytes-ok!"); /* another kind: a restart */
    bgw_buf_clear(&error);
    CHECK(bgw_auth_reload(auth, &config, &error) == BGW_CONFIG && error.len > 0);
    config.secret = (struct bgw_slice){NULL, 0};
    put_pem(pem, sizeof(pem), next);
    config.public_key = pem;
    CHECK(bgw_auth_reload(auth, &config, &error) == BGW_OK);
    CHECK_EQ_STR(code_of_signed(auth, p256(), "ES256"), "bad_signature");
    CHECK_EQ_STR(code_of_signed(auth, next, "ES256"), "ok");
    bgw_buf_deinit(&error);
    bgw_auth_destroy(&auth);
    EVP_PKEY_free(next);
}

TEST(lengths_of_rsa_signatures_are_bounded_and_the_keys_are_given_back)
{
    EVP_PKEY_free(rsa());
    EVP_PKEY_free(p256());
    EVP_PKEY_free(ed25519());
    CHECK(bgw_alg_signature_fits(BGW_ALG_RS256, 1024) && !bgw_alg_signature_fits(BGW_ALG_RS256, 1025));
}
