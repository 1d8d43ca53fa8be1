/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-jwks: the input is a key set that takes the place of a good one.
 *
 * Properties: it is taken, or refused with a sentence and the keys from before go on; once it is
 * taken, a token is accepted only if the document holds the very key that made it.
 */
#include "fuzz.h"
#include "tokens.h"

#include "bgw/auth.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

static struct bgw_feed feed;
static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = FUZZ_NOW_S * INT64_C(1000)};
static char materials[FUZZ_TOKENS][512]; /* what must stand in a document that holds the key */

static bool accepts(struct bgw_auth *auth, int token)
{
    struct bgw_claims claims;
    if (bgw_auth_verify(auth, bgw_slice_str(fuzz_tokens[token]), now, &claims) != BGW_AUTH_OK)
        return false;
    bgw_claims_deinit(&claims);
    return true;
}

static struct bgw_auth *make_auth(void)
{
    struct bgw_auth *auth = NULL;
    struct bgw_buf error;
    const struct bgw_auth_config config = {.key_set = true, .keys_max_age_ms = 86400000,
                                           .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    bgw_buf_init(&error, 1024);
    FUZZ_CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK && !bgw_auth_has_keys(auth, now));
    FUZZ_CHECK(bgw_auth_load_keys(auth, bgw_slice_str(fuzz_jwks), now, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    return auth;
}

/* n of an RSA key, x of the others, as they stand in the good document. */
static void find_materials(void)
{
    struct bgw_json root, keys, key, value;
    const char *cursor = NULL;
    FUZZ_CHECK(bgw_json_parse(bgw_slice_str(fuzz_jwks), &root) == BGW_OK && bgw_json_member(&root, "keys", &keys));
    for (int i = FUZZ_RS256; bgw_json_next(&keys, &cursor, NULL, &key); i++) {
        FUZZ_CHECK(bgw_json_member(&key, i <= FUZZ_PS256 ? "n" : "x", &value) && value.raw.len < sizeof(materials[i]));
        memcpy(materials[i], value.raw.data, value.raw.len);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    find_materials();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bgw_slice document = {(const char *)data, size};
    struct bgw_auth *auth = make_auth();
    struct bgw_buf error;
    char *copy = fuzz_copy(document);
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_auth_load_keys(auth, bgw_slice_of(copy, size), now, &error);
    free(copy);
    FUZZ_CHECK(status == BGW_OK || (status == BGW_BAD_VALUE && error.len));
    FUZZ_CHECK(bgw_auth_has_keys(auth, now));
    FUZZ_CHECK(!accepts(auth, FUZZ_HS256)); /* nobody configured its secret */
    bool plain = !size || !memchr(data, '\\', size);
    for (int i = FUZZ_RS256; i < FUZZ_TOKENS; i++) {
        bool accepted = accepts(auth, i);
        bool there = memmem(document.data, document.len, materials[i], strlen(materials[i])) != NULL;
        FUZZ_CHECK(status == BGW_OK || accepted);
        FUZZ_CHECK(status != BGW_OK || !plain || there || !accepted);
    }
    bgw_buf_deinit(&error);
    bgw_auth_destroy(&auth);
    return 0;
}
