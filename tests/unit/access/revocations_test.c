/* SPDX-License-Identifier: Apache-2.0 */
/* revocations: whom the set takes something from, for how long, and what it does when it is full. */
#include "test.h"

#include "bgw/buf.h"
#include "bgw/hash.h"
#include "bgw/revocations.h"

#define NOW_S 1793000000

static struct bgw_now at_s(int64_t s)
{
    return (struct bgw_now){1000, s * 1000};
}

static struct bgw_revocations *make(size_t max)
{
    struct bgw_revocations *r = NULL;
    CHECK(bgw_revocations_create(&r, max) == BGW_OK);
    return r;
}

static enum bgw_status add_at(struct bgw_revocations *r, const char *text, int64_t now_s)
{
    static struct bgw_revocation what;
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_revocation_parse(&what, bgw_slice_str(text), 3600, at_s(now_s), &error);
    CHECK(status == BGW_OK);
    bgw_buf_deinit(&error);
    return status == BGW_OK ? bgw_revocations_add(r, &what, at_s(now_s)) : status;
}

static enum bgw_status add(struct bgw_revocations *r, const char *text)
{
    return add_at(r, text, NOW_S);
}

static struct bgw_holder holder(const char *sub, const char *jti, int64_t iat, const char *tenant)
{
    struct bgw_holder h = {.issued_s = iat, .tenant = bgw_slice_str(tenant)};
    h.subject_hash = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(sub));
    h.jti_hash = jti ? bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(jti)) : 0;
    return h;
}

static enum bgw_revoked check_at(const struct bgw_revocations *r, struct bgw_holder h, int64_t now_s)
{
    return bgw_revocations_check(r, &h, at_s(now_s));
}

static enum bgw_revoked check(const struct bgw_revocations *r, struct bgw_holder h)
{
    return check_at(r, h, NOW_S);
}

static bool covers(const struct bgw_revocations *r, struct bgw_holder h, const char *key)
{
    return bgw_revocations_covers_key(r, &h, bgw_slice_str(key), at_s(NOW_S));
}

TEST(empty_set_takes_nothing)
{
    struct bgw_revocations *r = make(10);
    CHECK(check(r, holder("u", "t", 1, "t1")) == BGW_NOT_REVOKED);
    CHECK(!covers(r, holder("u", "t", 1, "t1"), "A"));
    CHECK_EQ_I64(bgw_revocations_generation(r), 0);
    CHECK_EQ_I64(bgw_revocations_count(r), 0);
    bgw_revocations_destroy(&r);
    CHECK(r == NULL);
    bgw_revocations_destroy(&r);
}

TEST(token_is_taken_back_by_its_id_and_no_other)
{
    struct bgw_revocations *r = make(10);
    CHECK(add(r, "{\"jti\":\"t1\"}") == BGW_OK);
    CHECK(check(r, holder("u", "t1", 1, "a")) == BGW_REVOKED_ALL);
    CHECK(check(r, holder("v", "t1", 0, "b")) == BGW_REVOKED_ALL);
    CHECK(check(r, holder("u", "t2", 1, "a")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("u", NULL, 1, "a")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("t1", NULL, 1, "a")) == BGW_NOT_REVOKED); /* a subject of that name */
    bgw_revocations_destroy(&r);
}

TEST(subject_loses_tokens_issued_before_and_those_without_a_date)
{
    struct bgw_revocations *r = make(10);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999000}") == BGW_OK);
    CHECK(check(r, holder("u", "t", 1792998999, "a")) == BGW_REVOKED_ALL);
    CHECK(check(r, holder("u", "t", 1792999000, "a")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("u", "t", 1792999001, "a")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("u", NULL, 0, "a")) == BGW_REVOKED_ALL);
    CHECK(check(r, holder("v", NULL, 0, "a")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("v", "u", 1, "a")) == BGW_NOT_REVOKED); /* a token of that name */
    bgw_revocations_destroy(&r);
}

TEST(accounts_are_taken_from_every_token_of_the_subject)
{
    struct bgw_revocations *r = make(10);
    CHECK(add(r, "{\"sub\":\"u\",\"accounts\":[\"A\",\"B\"]}") == BGW_OK);
    CHECK(check(r, holder("u", "t", 1, "a")) == BGW_REVOKED_SOME);
    CHECK(check(r, holder("u", NULL, NOW_S + 100, "b")) == BGW_REVOKED_SOME);
    CHECK(covers(r, holder("u", NULL, 0, "b"), "A") && covers(r, holder("u", "x", 1, "a"), "B"));
    CHECK(!covers(r, holder("u", NULL, 0, "b"), "C") && !covers(r, holder("u", NULL, 0, "b"), "AB"));
    CHECK(check(r, holder("v", "t", 1, "a")) == BGW_NOT_REVOKED && !covers(r, holder("v", "t", 1, "a"), "A"));
    CHECK(add(r, "{\"jti\":\"t\"}") == BGW_OK);
    CHECK(check(r, holder("u", "t", 1, "a")) == BGW_REVOKED_ALL); /* the graver of the two */
    bgw_revocations_destroy(&r);
}

TEST(tenant_narrows_each_kind)
{
    struct bgw_revocations *r = make(20);
    CHECK(add(r, "{\"jti\":\"t\",\"tenant\":\"a\"}") == BGW_OK);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999000,\"tenant\":\"a\"}") == BGW_OK);
    CHECK(add(r, "{\"sub\":\"w\",\"accounts\":[\"A\"],\"tenant\":\"a\"}") == BGW_OK);
    CHECK(check(r, holder("x", "t", 1, "a")) == BGW_REVOKED_ALL && check(r, holder("x", "t", 1, "b")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("u", "y", 1, "a")) == BGW_REVOKED_ALL && check(r, holder("u", "y", 1, "b")) == BGW_NOT_REVOKED);
    CHECK(check(r, holder("w", "y", 1, "a")) == BGW_REVOKED_SOME && check(r, holder("w", "y", 1, "b")) == BGW_NOT_REVOKED);
    CHECK(covers(r, holder("w", "y", 1, "a"), "A") && !covers(r, holder("w", "y", 1, "b"), "A"));
    CHECK(check(r, holder("u", "y", 1, "")) == BGW_NOT_REVOKED);
    bgw_revocations_destroy(&r);
}

TEST(later_dates_win_and_repetition_changes_nothing)
{
    struct bgw_revocations *r = make(10);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999000,\"exp\":1793000500}") == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_generation(r), 1);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999000,\"exp\":1793000500}") == BGW_OK);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792998000,\"exp\":1793000400}") == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_generation(r), 1);
    CHECK(check(r, holder("u", "t", 1792998999, "a")) == BGW_REVOKED_ALL);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999500,\"exp\":1793000100}") == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_generation(r), 2);
    CHECK(check(r, holder("u", "t", 1792999499, "a")) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "t", 1, "a"), 1793000500 + BGW_REVOCATION_LEEWAY_S - 1) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "t", 1, "a"), 1793000500 + BGW_REVOCATION_LEEWAY_S) == BGW_NOT_REVOKED);
    CHECK_EQ_I64(bgw_revocations_count(r), 1);
    bgw_revocations_destroy(&r);
}

TEST(what_is_over_answers_like_nothing_and_may_begin_again)
{
    struct bgw_revocations *r = make(10);
    CHECK(add(r, "{\"sub\":\"u\",\"accounts\":[\"A\"],\"exp\":1793000001}") == BGW_OK);
    CHECK(add(r, "{\"sub\":\"u\",\"before\":1792999000,\"exp\":1793000001}") == BGW_OK);
    int64_t over_s = 1793000001 + BGW_REVOCATION_LEEWAY_S;
    CHECK(check_at(r, holder("u", "t", 1, "a"), over_s - 1) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "t", 1, "a"), over_s) == BGW_NOT_REVOKED);
    struct bgw_holder h = holder("u", "t", 1, "a");
    CHECK(!bgw_revocations_covers_key(r, &h, BGW_SLICE("A"), at_s(over_s)));
    /* a new one of the same subject does not inherit the old date */
    CHECK(add_at(r, "{\"sub\":\"u\",\"before\":5}", over_s) == BGW_OK);
    CHECK(check_at(r, holder("u", "t", 4, "a"), over_s) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "t", 5, "a"), over_s) == BGW_NOT_REVOKED);
    bgw_revocations_destroy(&r);
}

TEST(full_set_refuses_whole_revocations_and_keeps_what_it_has)
{
    struct bgw_revocations *r = make(4);
    CHECK(add(r, "{\"jti\":\"a\"}") == BGW_OK);
    CHECK(add(r, "{\"sub\":\"u\",\"accounts\":[\"A\",\"B\",\"C\"]}") == BGW_FULL); /* four with the subject's own */
    CHECK_EQ_I64(bgw_revocations_count(r), 1);
    CHECK(check(r, holder("u", "t", 1, "a")) == BGW_NOT_REVOKED);
    CHECK(add(r, "{\"sub\":\"u\",\"accounts\":[\"A\",\"B\"]}") == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_count(r), 4);
    uint64_t generation = bgw_revocations_generation(r);
    CHECK(add(r, "{\"jti\":\"b\"}") == BGW_FULL);
    CHECK_EQ_I64(bgw_revocations_generation(r), generation);
    CHECK(add(r, "{\"jti\":\"a\"}") == BGW_OK); /* it is there already */
    CHECK(add(r, "{\"sub\":\"u\",\"accounts\":[\"B\"]}") == BGW_OK);
    CHECK(check(r, holder("x", "a", 1, "a")) == BGW_REVOKED_ALL && covers(r, holder("u", "t", 1, "a"), "A"));
    bgw_revocations_destroy(&r);
}

TEST(expired_entries_make_room_first)
{
    struct bgw_revocations *r = make(3);
    CHECK(add(r, "{\"jti\":\"a\",\"exp\":1793000001}") == BGW_OK);
    CHECK(add(r, "{\"jti\":\"b\",\"exp\":1793009000}") == BGW_OK);
    CHECK(add(r, "{\"jti\":\"c\",\"exp\":1793000001}") == BGW_OK);
    CHECK(add(r, "{\"jti\":\"d\"}") == BGW_FULL);
    int64_t over_s = 1793000001 + BGW_REVOCATION_LEEWAY_S;
    CHECK(add_at(r, "{\"jti\":\"d\"}", over_s) == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_count(r), 2);
    CHECK(check_at(r, holder("u", "b", 1, "a"), over_s) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "d", 1, "a"), over_s) == BGW_REVOKED_ALL);
    CHECK(check_at(r, holder("u", "a", 1, "a"), over_s) == BGW_NOT_REVOKED);
    bgw_revocations_destroy(&r);
}

TEST(revocation_that_is_over_when_it_arrives_changes_nothing)
{
    struct bgw_revocations *r = make(3);
    struct bgw_revocation what = {.kind = BGW_REVOKE_TOKEN, .any_tenant = true, .id_hash = 7, .until_s = NOW_S};
    CHECK(bgw_revocations_add(r, &what, at_s(NOW_S)) == BGW_OK);
    CHECK_EQ_I64(bgw_revocations_count(r), 0);
    CHECK_EQ_I64(bgw_revocations_generation(r), 0);
    bgw_revocations_destroy(&r);
}

/* Growth, sweeps and reuse against a plain array. */
TEST(many_come_and_go_and_each_is_found)
{
    enum { MANY = 30000 };
    struct bgw_revocations *r = make(MANY);
    static int64_t until_s[MANY];
    uint64_t rng = 88172645463325252ULL;
    memset(until_s, 0, sizeof(until_s));
    for (int step = 0; step < 90000; step++) {
        rng ^= rng << 13;
        rng ^= rng >> 7;
        rng ^= rng << 17;
        size_t i = (size_t)(rng % MANY);
        int64_t now_s = NOW_S + step / 100;
        struct bgw_revocation what = {.kind = BGW_REVOKE_TOKEN, .any_tenant = i % 2, .id_hash = i + 1, .tenant = "a",
                                      .until_s = now_s + 1 + (int64_t)(rng >> 32) % 500};
        CHECK(bgw_revocations_add(r, &what, at_s(now_s)) == BGW_OK);
        if (until_s[i] <= now_s || what.until_s > until_s[i])
            until_s[i] = what.until_s;
        size_t j = (size_t)((rng >> 20) % MANY);
        struct bgw_holder h = {.subject_hash = 1, .jti_hash = j + 1, .tenant = BGW_SLICE("a")};
        CHECK_EQ_I64(bgw_revocations_check(r, &h, at_s(now_s)),
                     until_s[j] > now_s ? BGW_REVOKED_ALL : BGW_NOT_REVOKED);
        h.tenant = BGW_SLICE("b");
        CHECK_EQ_I64(bgw_revocations_check(r, &h, at_s(now_s)),
                     until_s[j] > now_s && j % 2 ? BGW_REVOKED_ALL : BGW_NOT_REVOKED);
    }
    CHECK(bgw_revocations_count(r) < MANY);
    bgw_revocations_destroy(&r);
}
