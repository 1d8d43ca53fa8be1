/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key sets are swapped while other threads verify with them: what they hold stays, a token of a key
 * that is in every set is accepted at every moment, and nothing is left at the end.
 */
#include "bgw/auth.h"

#include "auth/ring.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include "signer.h"

#include <pthread.h>

#define THREADS 4
#define SWAPS 300
#define SECRET "an-example-secret-of-32-bytes-ok!"
#define PAYLOAD "{\"exp\":1800000060,\"sub\":\"alice\",\"scope\":\"accounts.read\",\"accounts\":[\"A\"]}"

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = 1800000000000};
static struct bgw_feed feed;
static struct bgw_auth *auth;
static struct bgw_buf tokens[3]; /* of key 0, in every set; of key 1, in every other; of the secret */
static atomic_bool done;
static atomic_llong verified, questions;

static bool fetcher(void *arg)
{
    (void)arg;
    atomic_fetch_add(&questions, 1);
    return true;
}

static enum bgw_auth_result verify(int which)
{
    struct bgw_claims claims;
    enum bgw_auth_result r = bgw_auth_verify(auth, bgw_buf_slice(&tokens[which]), now, &claims);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    atomic_fetch_add(&verified, 1);
    return r;
}

static void *verifier(void *arg)
{
    (void)arg;
    bgw_metrics_thread_attach();
    while (!atomic_load(&done)) {
        CHECK(verify(0) == BGW_AUTH_OK);
        enum bgw_auth_result sometimes = verify(1);
        CHECK(sometimes == BGW_AUTH_OK || sometimes == BGW_AUTH_PENDING);
        CHECK(verify(2) == BGW_AUTH_OK);
        CHECK(bgw_auth_has_keys(auth, now));
    }
    return NULL;
}

static void load(EVP_PKEY *keys[2], int count, int turn)
{
    struct bgw_buf text, error;
    char more[64];
    bgw_buf_init(&text, 16384);
    bgw_buf_init(&error, 1024);
    bgw_buf_append_str(&text, "{\"keys\":[");
    for (int i = 0; i < count; i++) {
        snprintf(more, sizeof(more), ",\"kid\":\"k%d\",\"turn\":%d", i, turn);
        bgw_buf_append_str(&text, i ? "," : "");
        put_jwk(&text, keys[i], more);
    }
    bgw_buf_append_str(&text, "]}");
    CHECK(bgw_auth_load_keys(auth, bgw_buf_slice(&text), now, &error) == BGW_OK);
    bgw_buf_deinit(&text);
    bgw_buf_deinit(&error);
}

static const struct bgw_auth_config config = {
    .secret = {SECRET, sizeof(SECRET) - 1}, .key_set = true, .keys_max_age_ms = 1000,
    .default_tenant = {"tnt_demo", 8}, .feed = &feed,
};

static void *reloader(void *arg)
{
    (void)arg;
    bgw_metrics_thread_attach();
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    while (!atomic_load(&done))
        CHECK(bgw_auth_reload(auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    return NULL;
}

static void set_up(EVP_PKEY *keys[2])
{
    struct bgw_buf error;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    bgw_buf_init(&error, 1024);
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    bgw_auth_set_fetcher(auth, fetcher, NULL);
    sign_token(&tokens[0], keys[0], "ES256", "k0", PAYLOAD);
    sign_token(&tokens[1], keys[1], "EdDSA", "k1", PAYLOAD);
    bgw_buf_init(&tokens[2], 65536);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), BGW_SLICE(PAYLOAD), &tokens[2]) == BGW_OK);
}

TEST(keys_are_swapped_under_those_who_verify)
{
    EVP_PKEY *keys[2] = {make_ec("P-256"), make_ed25519()};
    pthread_t threads[THREADS + 1];
    set_up(keys);
    load(keys, 2, 0);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, verifier, NULL), 0);
    CHECK_EQ_I64(pthread_create(&threads[THREADS], NULL, reloader, NULL), 0);
    for (int i = 1; i <= SWAPS; i++)
        load(keys, 1 + i % 2, i);
    while (atomic_load(&verified) < 200 || atomic_load(&questions) == 0)
        load(keys, 1, SWAPS + 1); /* until each has happened; the last document is one of a single key */
    atomic_store(&done, true);
    for (int i = 0; i <= THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(verify(1) == BGW_AUTH_PENDING);
    for (int i = 0; i < 3; i++)
        bgw_buf_deinit(&tokens[i]);
    bgw_auth_destroy(&auth);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}

TEST(what_is_held_outlives_the_ring)
{
    struct bgw_key_ring ring;
    struct bgw_key_set *set = bgw_keys_create();
    CHECK(bgw_keys_add_secret(set, "k", BGW_SLICE(SECRET)) == BGW_OK);
    bgw_key_ring_init(&ring, 0);
    bgw_key_ring_fetched(&ring, set, 1, now);
    struct bgw_key_hold hold = bgw_key_ring_hold(&ring, now);
    bgw_key_ring_deinit(&ring);
    CHECK(hold.configured == NULL && hold.fetched == set);
    CHECK_SLICE(hold.fetched->keys[0].secret, SECRET);
    bgw_key_hold_release(&hold);
    CHECK(hold.fetched == NULL);
}
