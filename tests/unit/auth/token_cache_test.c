/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache says what a verification would say, whatever happens to clock, keys and revocations in
 * between; it keeps only good tokens, and not more of them than it may.
 */
#include "bgw/auth.h"

#include "bgw/hash.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include "signer.h"

#include "../test.h"

#define SECRET_A "an-example-secret-of-32-bytes-ok!"
#define SECRET_B "another-secret-that-is-long-enough"
#define NOW_S 1800000000LL
#define TOKENS 24

static struct bgw_feed feed;
static struct bgw_now now;
static struct bgw_revocations *revocations;
static struct bgw_auth *auth;
static struct bgw_token_cache *cache;
static struct bgw_buf tokens[TOKENS];
static size_t token_count;

static struct bgw_auth_config config_of(const char *secret)
{
    return (struct bgw_auth_config){
        .secret = bgw_slice_str(secret),
        .key_set = true,
        .keys_max_age_ms = 60000,
        .revocations = revocations,
        .leeway_s = 3,
        .default_tenant = BGW_SLICE("tnt_demo"),
        .feed = &feed,
    };
}

static void begin(size_t entries_max, size_t bytes_max)
{
    struct bgw_buf error;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    now = (struct bgw_now){.mono_ms = 1000000, .wall_ms = NOW_S * 1000};
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_revocations_create(&revocations, 1000) == BGW_OK);
    bgw_buf_init(&error, 1024);
    const struct bgw_auth_config config = config_of(SECRET_A);
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
    CHECK(bgw_token_cache_create(&cache, auth, entries_max, bytes_max) == BGW_OK);
    token_count = 0;
}

static void end(void)
{
    while (token_count)
        bgw_buf_deinit(&tokens[--token_count]);
    bgw_token_cache_destroy(&cache);
    bgw_auth_destroy(&auth);
    bgw_revocations_destroy(&revocations);
}

static void add(const char *secret, const char *payload)
{
    struct bgw_buf *token = &tokens[token_count++];
    CHECK(token_count <= TOKENS);
    bgw_buf_init(token, 65536);
    CHECK(bgw_auth_sign_hs256(bgw_slice_str(secret), bgw_slice_str(payload), token) == BGW_OK);
}

static void add_plain(int i)
{
    char payload[256];
    snprintf(payload, sizeof(payload),
             "{\"exp\":%lld,\"sub\":\"user-%d\",\"scope\":\"accounts.read\",\"accounts\":[\"A%d\"]}", NOW_S + 60, i, i);
    add(SECRET_A, payload);
}

static void reload(const char *secret)
{
    struct bgw_buf error;
    const struct bgw_auth_config config = config_of(secret);
    bgw_buf_init(&error, 1024);
    CHECK(bgw_auth_reload(auth, &config, &error) == BGW_OK);
    bgw_buf_deinit(&error);
}

static void revoke(const char *text)
{
    static struct bgw_revocation what;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    if (bgw_revocation_parse(&what, bgw_slice_str(text), 5, now, &error) == BGW_OK)
        CHECK(bgw_revocations_add(revocations, &what, now) == BGW_OK);
    bgw_buf_deinit(&error);
}

/* One question to both; the claims of the last one are compared, and gone. */
static enum bgw_auth_result ask(size_t i)
{
    static const char *const keys[] = {"A", "B", "A0", "A1", "A2", "A3"};
    struct bgw_claims have, want;
    struct bgw_slice token = bgw_buf_slice(&tokens[i]);
    enum bgw_auth_result got = bgw_token_cache_verify(cache, token, now, &have);
    enum bgw_auth_result wanted = bgw_auth_verify(auth, token, now, &want);
    if (got != wanted)
        test_fail_(__FILE__, __LINE__, "token %zu is %s, not %s", i, bgw_auth_code(got), bgw_auth_code(wanted));
    CHECK(have.subject_hash == want.subject_hash && have.jti_hash == want.jti_hash && have.issued_s == want.issued_s);
    CHECK(have.expires_ms == want.expires_ms && have.ops_read == want.ops_read);
    CHECK_EQ_STR(have.tenant, want.tenant);
    CHECK((have.grants == NULL) == (want.grants == NULL));
    for (size_t k = 0; k < sizeof(keys) / sizeof(*keys); k++) {
        struct bgw_slice tenant = bgw_slice_str(want.tenant), key = bgw_slice_str(keys[k]);
        CHECK(bgw_access_check(&have, tenant, key, now) == bgw_access_check(&want, tenant, key, now));
    }
    if (got == BGW_AUTH_OK)
        bgw_claims_deinit(&have);
    if (wanted == BGW_AUTH_OK)
        bgw_claims_deinit(&want);
    return got;
}

static int64_t hits(void)
{
    return bgw_metric_read(BGW_M_TOKEN_CACHE_HITS);
}

static bool hit(size_t i)
{
    int64_t before = hits();
    CHECK(ask(i) == BGW_AUTH_OK);
    return hits() > before;
}

TEST(second_question_is_a_hit_and_counts_as_a_good_token)
{
    begin(10, 100000);
    add_plain(0);
    CHECK(!hit(0));
    int64_t good = bgw_metric_read(BGW_M_AUTH_OK);
    CHECK(hit(0));
    CHECK_EQ_I64(bgw_metric_read(BGW_M_AUTH_OK), good + 2); /* the cache, and the check beside it */
    tokens[0].data[tokens[0].len - 1] ^= 1; /* another signature, so another token */
    CHECK(ask(0) != BGW_AUTH_OK);
    tokens[0].data[tokens[0].len - 1] ^= 1;
    CHECK(hit(0));
    end();
}

TEST(hit_ends_at_the_last_millisecond_and_a_clock_that_goes_back_is_asked_about)
{
    begin(10, 100000);
    add(SECRET_A, "{\"exp\":1800000060,\"nbf\":1799999990,\"sub\":\"a\",\"scope\":\"accounts.read.all\"}");
    CHECK(!hit(0));
    now.wall_ms = (NOW_S + 63) * 1000 - 1; /* leeway 3 */
    CHECK(hit(0));
    now.wall_ms++;
    CHECK(ask(0) == BGW_AUTH_EXPIRED);
    now.wall_ms--;
    CHECK(!hit(0)); /* it was dropped */
    now.wall_ms = (NOW_S - 14) * 1000;
    CHECK(ask(0) == BGW_AUTH_NOT_YET);
    end();
}

TEST(another_secret_another_document_and_keys_that_grow_too_old_end_a_hit)
{
    static char text[8192];
    struct bgw_buf error, jwk;
    EVP_PKEY *key = make_ed25519();
    begin(10, 100000);
    bgw_buf_init(&error, 1024);
    bgw_buf_init(&jwk, 4096);
    add_plain(0);
    sign_token(&tokens[token_count++], key, "EdDSA", "k", "{\"exp\":1800000600,\"sub\":\"b\",\"scope\":\"accounts.read.all\"}");
    CHECK(ask(1) == BGW_AUTH_PENDING);
    put_jwk(&jwk, key, ",\"kid\":\"k\"");
    snprintf(text, sizeof(text), "{\"keys\":[%.*s]}", (int)jwk.len, jwk.data);
    CHECK(bgw_auth_load_keys(auth, bgw_slice_str(text), now, &error) == BGW_OK);
    CHECK(!hit(1) && hit(1));
    CHECK(!hit(0) && hit(0));
    reload(SECRET_B);
    CHECK(ask(0) == BGW_AUTH_BAD_SIGNATURE);
    CHECK(!hit(1) && hit(1)); /* its key is there still: it was looked at again */
    now.mono_ms += 60001;
    CHECK(ask(1) == BGW_AUTH_PENDING);
    CHECK(bgw_auth_load_keys(auth, bgw_slice_str(text), now, &error) == BGW_OK); /* the same document */
    CHECK(!hit(1) && hit(1));
    EVP_PKEY *other = make_ed25519();
    bgw_buf_clear(&jwk);
    put_jwk(&jwk, other, ",\"kid\":\"k\"");
    snprintf(text, sizeof(text), "{\"keys\":[%.*s]}", (int)jwk.len, jwk.data);
    CHECK(bgw_auth_load_keys(auth, bgw_slice_str(text), now, &error) == BGW_OK);
    CHECK(ask(1) == BGW_AUTH_BAD_SIGNATURE);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    bgw_buf_deinit(&jwk);
    bgw_buf_deinit(&error);
    end();
}

TEST(revocation_of_somebody_else_leaves_the_hit_and_ones_own_ends_it)
{
    begin(10, 100000);
    add_plain(0);
    CHECK(!hit(0));
    revoke("{\"jti\":\"of-nobody\"}");
    CHECK(hit(0));
    revoke("{\"sub\":\"user-0\",\"accounts\":[\"A0\"]}"); /* single accounts are asked for at the access rule */
    CHECK(hit(0));
    revoke("{\"sub\":\"user-0\",\"before\":1800000001}");
    CHECK(ask(0) == BGW_AUTH_REVOKED);
    now.wall_ms += 10 * 60 * 1000;
    end();
}

TEST(longest_unused_go_first_and_neither_maximum_is_passed)
{
    begin(3, 100000);
    for (int i = 0; i < 4; i++)
        add_plain(i);
    CHECK(!hit(0) && !hit(1) && !hit(2));
    CHECK(hit(0)); /* the oldest is used again */
    CHECK(!hit(3)); /* and 1 goes */
    CHECK(hit(0) && hit(2) && hit(3));
    CHECK(!hit(1));
    end();
    begin(100, 2 * (4 * 256 + 256));
    for (int i = 0; i < 10; i++)
        add_plain(i);
    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < 10; i++)
            CHECK(!hit(i)); /* ten do not fit, and each pushes another one out */
    CHECK(hit(9));
    end();
    begin(100, 10);
    add_plain(0);
    CHECK(!hit(0) && !hit(0)); /* too large to be kept at all */
    end();
}

/* ---- whatever happens ---- */

static uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void add_any(int i, EVP_PKEY *keys[2])
{
    static const char *const grants[] = {
        "\"scope\":\"accounts.read\",\"accounts\":[\"A\",\"B\",\"A1\"]",
        "\"scope\":\"accounts.read accounts.read.all\"",
        "\"authorization_details\":[{\"type\":\"account_balance\",\"actions\":[\"read\"],\"identifiers\":[\"A2\"]}]",
        "\"scope\":\"ops.read\"",
    };
    char payload[512], iat[64] = "", nbf[64] = "";
    if (draw(2))
        snprintf(iat, sizeof(iat), "\"iat\":%lld,", NOW_S - 10 + (long long)draw(20));
    if (draw(3) == 0)
        snprintf(nbf, sizeof(nbf), "\"nbf\":%lld,", NOW_S - 5 + (long long)draw(30));
    snprintf(payload, sizeof(payload), "{%s%s\"exp\":%lld,\"sub\":\"s%d\",\"jti\":\"j%d\",\"tenant\":\"t%d\",%s}", iat, nbf,
             NOW_S + 5 + (long long)draw(200), i % 5, i, i % 3, grants[draw(4)]);
    switch (draw(4)) {
    case 0:
        add(SECRET_B, payload);
        break;
    case 1:
        sign_token(&tokens[token_count++], keys[draw(2)], "EdDSA", draw(2) ? "k" : NULL, payload);
        break;
    default:
        add(SECRET_A, payload);
    }
}

static void load_one(EVP_PKEY *key)
{
    static char text[8192];
    struct bgw_buf error, jwk;
    bgw_buf_init(&error, 1024);
    bgw_buf_init(&jwk, 4096);
    put_jwk(&jwk, key, ",\"kid\":\"k\"");
    snprintf(text, sizeof(text), "{\"keys\":[%.*s]}", (int)jwk.len, jwk.data);
    CHECK(bgw_auth_load_keys(auth, bgw_slice_str(text), now, &error) == BGW_OK);
    bgw_buf_deinit(&jwk);
    bgw_buf_deinit(&error);
}

static void disturb(EVP_PKEY *keys[2])
{
    char text[256];
    switch (draw(40)) {
    case 0:
        snprintf(text, sizeof(text), "{\"jti\":\"j%d\"}", (int)draw(TOKENS));
        revoke(text);
        break;
    case 1:
        snprintf(text, sizeof(text), "{\"sub\":\"s%d\",\"tenant\":\"t%d\",\"before\":%lld}", (int)draw(5), (int)draw(3),
                 NOW_S - 10 + (long long)draw(20));
        revoke(text);
        break;
    case 2:
        snprintf(text, sizeof(text), "{\"sub\":\"s%d\",\"accounts\":[\"A\"]}", (int)draw(5));
        revoke(text);
        break;
    case 3:
        reload(draw(3) ? SECRET_A : SECRET_B);
        break;
    case 4:
        load_one(keys[draw(2)]);
        break;
    case 5:
        now.mono_ms += (int64_t)draw(70000); /* keys grow old */
        break;
    case 6:
        now.wall_ms += (int64_t)draw(20000) - 9000; /* the clock is set */
        break;
    default:
        now.mono_ms += (int64_t)draw(40);
        now.wall_ms += (int64_t)draw(40);
    }
}

TEST(whatever_happens_the_cache_says_what_a_verification_says)
{
    EVP_PKEY *keys[2] = {make_ed25519(), make_ed25519()};
    int64_t first = hits();
    unsigned questions = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        random_state = seed * 0x9E3779B97F4A7C15u;
        begin(1 + draw(30), 2000 + draw(60000));
        for (int i = 0; i < TOKENS; i++)
            add_any(i, keys);
        for (int step = 0; step < 600; step++, questions++) {
            disturb(keys);
            (void)ask(draw(2) ? draw(TOKENS) : draw(4));
        }
        end();
    }
    CHECK(hits() - first > questions / 10); /* else nothing was shown */
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
}
