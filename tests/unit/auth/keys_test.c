/* SPDX-License-Identifier: Apache-2.0 */
/* keys and crypto: which key checks a token, and published vectors of what OpenSSL is asked for. */
#include "auth/keys.h"

#include "auth/crypto.h"

#include "bgw/auth.h"

#include "../test.h"

#define SECRET "an-example-secret-of-32-bytes-ok!"

/* ---- keys ---- */

static const struct bgw_slice no_kid = {NULL, 0};

TEST(algorithms_are_known_by_their_exact_names)
{
    static const char *const wrong[] = {"", "none", "hs256", "HS384", "HS256 ", "RS512", "ES256K", "Ed25519"};
    enum bgw_alg alg;
    for (unsigned i = 0; i < BGW_ALG_COUNT; i++) {
        CHECK(bgw_alg_find(bgw_slice_str(bgw_alg_name((enum bgw_alg)i)), &alg));
        CHECK_EQ_I64(alg, i);
    }
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        CHECK(!bgw_alg_find(bgw_slice_str(wrong[i]), &alg));
}

TEST(a_fetched_key_is_found_by_its_name_and_a_configured_one_serves_all)
{
    struct bgw_key_set *configured = bgw_keys_create(), *fetched = bgw_keys_create();
    const struct bgw_key *key = NULL;
    CHECK(bgw_keys_choose(NULL, NULL, BGW_SLICE("k1"), BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k1"), BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_add_secret(fetched, "k1", BGW_SLICE("one")) == BGW_OK);
    CHECK(bgw_keys_add_secret(fetched, "k3", BGW_SLICE("three")) == BGW_OK);
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k1"), BGW_ALG_HS256, &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "one");
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k2"), BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k"), BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE(""), BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_choose(configured, fetched, no_kid, BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_add_secret(configured, NULL, BGW_SLICE("any")) == BGW_OK);
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k2"), BGW_ALG_HS256, &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "any");
    CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k3"), BGW_ALG_HS256, &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "three");
    CHECK(bgw_keys_choose(configured, fetched, no_kid, BGW_ALG_HS256, &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "any");
    bgw_keys_release(configured);
    bgw_keys_release(fetched);
}

TEST(a_key_serves_no_algorithm_but_its_own)
{
    struct bgw_key_set *configured = bgw_keys_create(), *fetched = bgw_keys_create();
    const struct bgw_key *key = NULL;
    CHECK(bgw_keys_add_secret(configured, NULL, BGW_SLICE("any")) == BGW_OK);
    CHECK(bgw_keys_add_secret(fetched, "k1", BGW_SLICE("one")) == BGW_OK);
    for (unsigned i = BGW_ALG_HS256 + 1; i < BGW_ALG_COUNT; i++) {
        enum bgw_alg alg = (enum bgw_alg)i;
        CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k1"), alg, &key) == BGW_KEY_OTHER_ALG);
        CHECK(bgw_keys_choose(configured, fetched, BGW_SLICE("k2"), alg, &key) == BGW_KEY_UNFIT);
        CHECK(bgw_keys_choose(configured, NULL, no_kid, alg, &key) == BGW_KEY_UNFIT);
        CHECK(bgw_keys_choose(NULL, fetched, no_kid, alg, &key) == BGW_KEY_OTHER_ALG);
    }
    bgw_keys_release(configured);
    bgw_keys_release(fetched);
}

TEST(a_token_without_a_name_is_checked_by_the_only_fetched_key)
{
    struct bgw_key_set *fetched = bgw_keys_create();
    const struct bgw_key *key = NULL;
    CHECK(bgw_keys_add_secret(fetched, "k1", BGW_SLICE("one")) == BGW_OK);
    CHECK(bgw_keys_choose(NULL, fetched, no_kid, BGW_ALG_HS256, &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "one");
    CHECK(bgw_keys_add_secret(fetched, "k2", BGW_SLICE("two")) == BGW_OK);
    CHECK(bgw_keys_choose(NULL, fetched, no_kid, BGW_ALG_HS256, &key) == BGW_KEY_NONE);
    bgw_keys_release(fetched);
}

TEST(a_full_key_set_refuses_more)
{
    struct bgw_key_set *set = bgw_keys_create();
    char kid[8];
    for (int i = 0; i < BGW_KEYS_MAX; i++) {
        snprintf(kid, sizeof(kid), "k%u", (unsigned)i % 1000);
        CHECK(bgw_keys_add_secret(set, kid, BGW_SLICE("s")) == BGW_OK);
    }
    CHECK(bgw_keys_add_secret(set, "one more", BGW_SLICE("s")) == BGW_FULL);
    bgw_keys_release(set);
}

TEST(a_name_stands_once_for_an_algorithm)
{
    struct bgw_key_set *set = bgw_keys_create();
    CHECK(bgw_keys_add_secret(set, "k", BGW_SLICE("s")) == BGW_OK);
    CHECK(bgw_keys_add_secret(set, "k", BGW_SLICE("t")) == BGW_DUPLICATE);
    CHECK_EQ_I64(set->count, 1);
    bgw_keys_release(set);
}

/* ---- the small tools ---- */

static void check_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char text[129];
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    CHECK_EQ_STR(text, hex);
}

TEST(rfc_4231_case_2_of_hmac_sha_256)
{
    uint8_t out[32];
    CHECK(bgw_crypto_hs256(BGW_SLICE("Jefe"), BGW_SLICE("what do ya want for nothing?"), out));
    check_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(sha1_of_the_websocket_example_key)
{
    uint8_t out[20];
    bgw_auth_sha1(BGW_SLICE("dGhlIHNhbXBsZSBub25jZQ==258EAFA5-E914-47DA-95CA-C5AB0DC85B11"), out);
    check_hex(out, 20, "b37a4f2cc0624f1690f64606cf385945b2bec4ea");
}

TEST(derived_keys_differ_by_purpose_and_secret)
{
    uint8_t a[32], b[32], c[32], again[32];
    bgw_auth_derive(BGW_SLICE(SECRET), "resume", a);
    bgw_auth_derive(BGW_SLICE(SECRET), "other", b);
    bgw_auth_derive(BGW_SLICE(SECRET "x"), "resume", c);
    bgw_auth_derive(BGW_SLICE(SECRET), "resume", again);
    CHECK(memcmp(a, b, 32) && memcmp(a, c, 32) && !memcmp(a, again, 32));
}

TEST(random_bytes_differ)
{
    uint8_t a[16], b[16];
    bgw_auth_random(a, sizeof(a));
    bgw_auth_random(b, sizeof(b));
    CHECK(memcmp(a, b, sizeof(a)) != 0);
}
