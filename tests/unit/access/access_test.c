/* SPDX-License-Identifier: Apache-2.0 */
/* access: grants and the decision over them. */
#include "test.h"

#include "bgw/access.h"

static const struct bgw_now NOW = {1000, 1793000000000};

static struct bgw_claims claims_for(const char *const *keys, size_t count)
{
    struct bgw_claims c = {.subject_hash = 1, .expires_ms = NOW.wall_ms + 1000, .tenant = "t1"};
    c.grants = bgw_grants_create(false);
    for (size_t i = 0; i < count; i++)
        CHECK(bgw_grants_add(c.grants, bgw_slice_str(keys[i])) == BGW_OK);
    bgw_grants_seal(c.grants);
    return c;
}

static enum bgw_access ask(const struct bgw_claims *c, const char *tenant, const char *key, struct bgw_now now)
{
    return bgw_access_check(c, bgw_slice_str(tenant), bgw_slice_str(key), now);
}

TEST(granted_keys_are_seen_and_no_others)
{
    const char *const keys[] = {"msisdn::2348100000003", "msisdn::2348100000001", "B", "BB"};
    struct bgw_claims c = claims_for(keys, 4);
    for (int i = 0; i < 4; i++)
        CHECK(ask(&c, "t1", keys[i], NOW) == BGW_ACCESS_OK);
    CHECK(ask(&c, "t1", "msisdn::2348100000002", NOW) == BGW_ACCESS_NO_GRANT);
    CHECK(ask(&c, "t1", "msisdn::234810000000", NOW) == BGW_ACCESS_NO_GRANT);
    CHECK(ask(&c, "t1", "BBB", NOW) == BGW_ACCESS_NO_GRANT);
    CHECK(ask(&c, "t1", "A", NOW) == BGW_ACCESS_NO_GRANT);
    CHECK(ask(&c, "t1", "b", NOW) == BGW_ACCESS_NO_GRANT);
    bgw_claims_deinit(&c);
}

TEST(another_tenants_key_is_refused_even_to_staff)
{
    struct bgw_claims c = {.expires_ms = NOW.wall_ms + 1, .tenant = "t1", .grants = bgw_grants_create(true)};
    bgw_grants_seal(c.grants);
    CHECK(ask(&c, "t1", "anything", NOW) == BGW_ACCESS_OK);
    CHECK(ask(&c, "t2", "anything", NOW) == BGW_ACCESS_OTHER_TENANT);
    CHECK(ask(&c, "t", "anything", NOW) == BGW_ACCESS_OTHER_TENANT);
    bgw_claims_deinit(&c);
}

TEST(expired_claims_see_nothing_from_their_last_millisecond_on)
{
    const char *const keys[] = {"A"};
    struct bgw_claims c = claims_for(keys, 1);
    struct bgw_now before = {NOW.mono_ms, c.expires_ms - 1}, at = {NOW.mono_ms, c.expires_ms};
    CHECK(ask(&c, "t1", "A", before) == BGW_ACCESS_OK);
    CHECK(ask(&c, "t1", "A", at) == BGW_ACCESS_EXPIRED);
    CHECK(ask(&c, "t2", "Z", at) == BGW_ACCESS_EXPIRED); /* it learns nothing else */
    bgw_claims_deinit(&c);
}

TEST(claims_without_grants_see_nothing)
{
    struct bgw_claims none = {.expires_ms = NOW.wall_ms + 1, .tenant = "t1"};
    struct bgw_claims empty = claims_for(NULL, 0);
    CHECK(ask(&none, "t1", "A", NOW) == BGW_ACCESS_NO_GRANT);
    CHECK(ask(&empty, "t1", "A", NOW) == BGW_ACCESS_NO_GRANT);
    bgw_claims_deinit(&empty);
}

TEST(copies_share_their_grants)
{
    const char *const keys[] = {"A"};
    struct bgw_claims c = claims_for(keys, 1), copy;
    bgw_claims_copy(&copy, &c);
    CHECK(copy.grants == c.grants);
    bgw_claims_deinit(&c);
    CHECK(!c.grants);
    CHECK(ask(&copy, "t1", "A", NOW) == BGW_ACCESS_OK);
    bgw_claims_deinit(&copy);
}

TEST(duplicates_are_dropped_at_seal)
{
    const char *const keys[] = {"B", "A", "B", "A", "C"};
    struct bgw_claims c = claims_for(keys, 5);
    CHECK_EQ_I64(bgw_grants_count(c.grants), 3);
    CHECK(ask(&c, "t1", "C", NOW) == BGW_ACCESS_OK);
    bgw_claims_deinit(&c);
}

TEST(keys_out_of_form_and_beyond_the_limit_are_refused)
{
    struct bgw_grants *g = bgw_grants_create(false);
    char key[BGW_KEY_MAX + 2];
    memset(key, 'x', sizeof(key));
    CHECK(bgw_grants_add(g, bgw_slice_of(key, 0)) == BGW_BAD_ID);
    CHECK(bgw_grants_add(g, bgw_slice_of(key, BGW_KEY_MAX + 1)) == BGW_BAD_ID);
    for (int i = 0; i < BGW_GRANT_KEYS_MAX; i++) {
        snprintf(key, sizeof(key), "key-%d", (i * 7919) % BGW_GRANT_KEYS_MAX);
        CHECK(bgw_grants_add(g, bgw_slice_str(key)) == BGW_OK);
    }
    CHECK(bgw_grants_add(g, BGW_SLICE("one more")) == BGW_FULL);
    bgw_grants_seal(g);
    CHECK_EQ_I64(bgw_grants_count(g), BGW_GRANT_KEYS_MAX);
    for (int i = 0; i < BGW_GRANT_KEYS_MAX; i++) {
        snprintf(key, sizeof(key), "key-%d", i);
        CHECK(bgw_access_decide(g, NOW.wall_ms + 1, true, bgw_slice_str(key), NOW) == BGW_ACCESS_OK);
    }
    bgw_grants_release(g);
}

TEST(grants_that_were_never_sealed_are_freed)
{
    struct bgw_grants *g = bgw_grants_create(false);
    CHECK(bgw_grants_add(g, BGW_SLICE("A")) == BGW_OK);
    bgw_grants_release(g);
    bgw_grants_release(NULL);
}
