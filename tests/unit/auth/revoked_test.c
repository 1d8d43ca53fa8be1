/* SPDX-License-Identifier: Apache-2.0 */
/* A genuine token that was taken back is refused, says so, and is counted as that. */
#include "bgw/auth.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"

#include "../test.h"

#define SECRET "an-example-secret-of-32-bytes-ok!"

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = 1800000000000};
static struct bgw_feed feed;

static void revoke(struct bgw_revocations *all, const char *text)
{
    static struct bgw_revocation what;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    CHECK(bgw_revocation_parse(&what, bgw_slice_str(text), 3600, now, &error) == BGW_OK);
    CHECK(bgw_revocations_add(all, &what, now) == BGW_OK);
    bgw_buf_deinit(&error);
}

static struct bgw_claims seen; /* of the last check; its grants are gone */

static const char *code_of(const struct bgw_auth *auth, const char *who)
{
    struct bgw_buf token;
    struct bgw_claims claims;
    char payload[512];
    snprintf(payload, sizeof(payload), "{\"exp\":1800000060,\"scope\":\"accounts.read\",\"accounts\":[\"A\"],%s}", who);
    bgw_buf_init(&token, 65536);
    CHECK(bgw_auth_sign_hs256(BGW_SLICE(SECRET), bgw_slice_str(payload), &token) == BGW_OK);
    enum bgw_auth_result r = bgw_auth_verify(auth, bgw_buf_slice(&token), now, &claims);
    CHECK((r == BGW_AUTH_OK) == (claims.grants != NULL));
    seen = claims;
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    bgw_buf_deinit(&token);
    return bgw_auth_code(r);
}

TEST(tokens_and_subjects_that_were_taken_back_are_refused)
{
    struct bgw_revocations *all = NULL;
    struct bgw_auth *auth = NULL;
    struct bgw_buf error;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    bgw_buf_init(&error, 1024);
    CHECK(bgw_revocations_create(&all, 16) == BGW_OK);
    const struct bgw_auth_config config = {.secret = BGW_SLICE(SECRET), .revocations = all,
                                           .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"jti\":\"j1\""), "ok");
    revoke(all, "{\"jti\":\"j1\"}");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"jti\":\"j1\""), "revoked");
    CHECK_EQ_I64(bgw_metric_read(BGW_M_AUTH_REVOKED), 1);
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"jti\":\"j2\""), "ok");
    revoke(all, "{\"sub\":\"alice\",\"before\":1799999990}");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"jti\":\"j2\""), "revoked"); /* it does not say when */
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"iat\":1799999980"), "revoked");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"iat\":1799999995"), "ok");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"bob\",\"iat\":1799999980"), "ok");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"alice\",\"iat\":1799999980,\"jti\":\"j3\""), "revoked");
    CHECK(seen.subject_hash == bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("alice")) && seen.jti_hash == bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("j3")));
    CHECK(seen.expires_ms == 0 && !seen.ops_read); /* whose it is may be said; it opens nothing */
    CHECK_EQ_STR(seen.tenant, "tnt_demo");
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"carol\",\"nbf\":1800000030"), "token_not_yet_valid");
    CHECK(seen.subject_hash == bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("carol")) && !seen.grants);
    CHECK_EQ_STR(code_of(auth, "\"iat\":1799999980"), "bad_claims");
    CHECK(seen.subject_hash == 0 && !*seen.tenant);
    revoke(all, "{\"sub\":\"bob\",\"accounts\":[\"A\"]}"); /* single accounts are the shards' business */
    CHECK_EQ_STR(code_of(auth, "\"sub\":\"bob\""), "ok");
    bgw_auth_destroy(&auth);
    bgw_revocations_destroy(&all);
    bgw_buf_deinit(&error);
}
