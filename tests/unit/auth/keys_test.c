/* SPDX-License-Identifier: Apache-2.0 */
/* keys and crypto: which key checks a token, and published vectors of what OpenSSL is asked for. */
#include "auth/keys.h"

#include "auth/crypto.h"

#include "bgw/auth.h"

#include "../test.h"

#define SECRET "an-example-secret-of-32-bytes-ok!"

/* ---- keys ---- */

TEST(a_key_is_found_by_its_name_and_a_nameless_one_serves_all)
{
    static struct bgw_key_set set;
    const struct bgw_key *key = NULL;
    CHECK(bgw_keys_find(&set, BGW_SLICE("k1"), &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_add_secret(&set, "k1", BGW_SLICE("one")) == BGW_OK);
    CHECK(bgw_keys_find(&set, BGW_SLICE("k1"), &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "one");
    CHECK(bgw_keys_find(&set, BGW_SLICE("k2"), &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_find(&set, (struct bgw_slice){NULL, 0}, &key) == BGW_KEY_NONE);
    CHECK(bgw_keys_add_secret(&set, NULL, BGW_SLICE("any")) == BGW_OK);
    CHECK(bgw_keys_find(&set, BGW_SLICE("k2"), &key) == BGW_KEY_FOUND);
    CHECK_SLICE(key->secret, "any");
    bgw_keys_deinit(&set);
}

TEST(a_full_key_set_refuses_more)
{
    static struct bgw_key_set set;
    for (int i = 0; i < BGW_KEYS_MAX; i++)
        CHECK(bgw_keys_add_secret(&set, NULL, BGW_SLICE("s")) == BGW_OK);
    CHECK(bgw_keys_add_secret(&set, NULL, BGW_SLICE("s")) == BGW_FULL);
    bgw_keys_deinit(&set);
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
