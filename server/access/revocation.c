/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation: one revocation as operators and the topic write it, from JSON to hashes. Hides its
 * grammar, and the sentences that say what is wrong with it. Called by the admin port and by the
 * reader of the topic; any thread, pure. Invariant: what is not understood whole is not a
 * revocation: somebody meant to take something back, and must be told that it did not happen.
 */
#include "bgw/revocations.h"

#include "bgw/buf.h"
#include "bgw/hash.h"
#include "bgw/json.h"

#include <stdlib.h>

#define SUBJECT_MAX 256 /* as tokens may have them */
#define TOKEN_ID_MAX 1024
#define BEFORE_AHEAD_S 60
#define DATE_MAX_S 253402300799 /* the last second of 9999: later ones are milliseconds by mistake */

/* What it says, member by member; type NULL: not there. */
enum member { M_JTI, M_SUB, M_BEFORE, M_ACCOUNTS, M_EXP, M_TENANT, MEMBERS };
static const char *const NAMES[MEMBERS] = {"jti", "sub", "before", "accounts", "exp", "tenant"};

struct reading {
    struct bgw_revocation *out;
    struct bgw_json at[MEMBERS];
    bool has[MEMBERS];
    int64_t now_s, keep_s;
    struct bgw_buf *error;
};

static enum bgw_status say(const struct reading *r, enum bgw_status status, const char *what)
{
    bgw_buf_append_str(r->error, what);
    return status;
}

static enum bgw_status find_members(struct reading *r, const struct bgw_json *root)
{
    const char *cursor = NULL;
    struct bgw_json name, value;
    while (bgw_json_next(root, &cursor, &name, &value)) {
        int m = 0;
        while (m < MEMBERS && !bgw_json_is(&name, NAMES[m]))
            m++;
        if (m == MEMBERS)
            return say(r, BGW_UNKNOWN_KEY,
                       "a member is none of jti, sub, before, accounts, exp and tenant");
        r->at[m] = value;
        r->has[m] = true;
    }
    return BGW_OK;
}

static enum bgw_status read_kind(const struct reading *r)
{
    const bool *has = r->has;
    if (has[M_JTI] == has[M_SUB])
        return say(r, has[M_JTI] ? BGW_BAD_VALUE : BGW_MISSING,
                   "name either a token by `jti` or a subject by `sub`");
    if (has[M_JTI] && (has[M_BEFORE] || has[M_ACCOUNTS]))
        return say(r, BGW_BAD_VALUE, "`before` and `accounts` go with `sub`, not with `jti`");
    if (has[M_SUB] && has[M_BEFORE] == has[M_ACCOUNTS])
        return say(r, has[M_BEFORE] ? BGW_BAD_VALUE : BGW_MISSING,
                   "`sub` goes with either `before` or `accounts`");
    r->out->kind = has[M_JTI]      ? BGW_REVOKE_TOKEN
                   : has[M_BEFORE] ? BGW_REVOKE_SUBJECT
                                   : BGW_REVOKE_ACCOUNTS;
    return BGW_OK;
}

/* The hash that the token's own claim has. */
static enum bgw_status read_id(const struct reading *r)
{
    char text[TOKEN_ID_MAX];
    size_t len = 0, len_max = r->has[M_JTI] ? TOKEN_ID_MAX : SUBJECT_MAX;
    enum bgw_status status =
        bgw_json_string(&r->at[r->has[M_JTI] ? M_JTI : M_SUB], text, sizeof(text), &len);
    if (status != BGW_OK || len == 0 || len > len_max)
        return say(r, BGW_BAD_ID,
                   "`jti` is a text of 1 to 1024 bytes, `sub` one of 1 to 256");
    r->out->id_hash = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(text, len));
    return BGW_OK;
}

static enum bgw_status read_tenant(const struct reading *r)
{
    size_t len = 0;
    char *text = r->out->tenant;
    r->out->any_tenant = !r->has[M_TENANT];
    if (r->out->any_tenant)
        return BGW_OK;
    if (bgw_json_string(&r->at[M_TENANT], text, BGW_TENANT_MAX, &len) != BGW_OK ||
        !bgw_tenant_valid(bgw_slice_of(text, len)))
        return say(r, BGW_BAD_ID, "`tenant` is 1 to 50 of A-Z a-z 0-9 _ -");
    text[len] = '\0';
    return BGW_OK;
}

static enum bgw_status read_times(const struct reading *r)
{
    struct bgw_revocation *out = r->out;
    int64_t exp_s = 0;
    if (r->has[M_BEFORE] && (bgw_json_i64(&r->at[M_BEFORE], &out->before_s) != BGW_OK ||
                             out->before_s < 1 || out->before_s > r->now_s + BEFORE_AHEAD_S))
        return say(r, BGW_BAD_VALUE,
                   "`before` is a whole number of seconds since 1970, and not in the future");
    if (!r->has[M_EXP]) {
        out->until_s = r->now_s + r->keep_s;
        return BGW_OK;
    }
    if (bgw_json_i64(&r->at[M_EXP], &exp_s) != BGW_OK || exp_s < 1 || exp_s > DATE_MAX_S)
        return say(r, BGW_BAD_VALUE,
                   "`exp` is a whole number of seconds since 1970, before the year 10000");
    out->until_s = exp_s + BGW_REVOCATION_LEEWAY_S;
    if (out->until_s <= r->now_s)
        return say(r, BGW_EXPIRED, "`exp` has passed: no token that it concerns is alive");
    return BGW_OK;
}

static int compare_hashes(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static enum bgw_status read_accounts(const struct reading *r)
{
    struct bgw_revocation *out = r->out;
    struct bgw_feed balance;
    const char *cursor = NULL;
    struct bgw_json value;
    size_t n = 0, kept = 0;
    bgw_feed_balance_init(&balance, BGW_SLICE("any"), bgw_part_of(BGW_SLICE("NGN")));
    if (r->at[M_ACCOUNTS].type != BGW_JSON_ARRAY)
        return say(r, BGW_BAD_VALUE, "`accounts` is a list of account ids");
    while (bgw_json_next(&r->at[M_ACCOUNTS], &cursor, NULL, &value)) {
        char text[BGW_KEY_MAX];
        size_t len = 0;
        if (n == BGW_REVOCATION_ACCOUNTS_MAX)
            return say(r, BGW_TOO_LARGE, "`accounts` names at most 1000: send several");
        if (bgw_json_string(&value, text, sizeof(text), &len) != BGW_OK ||
            !balance.key_valid(bgw_slice_of(text, len)))
            return say(r, BGW_BAD_ID, "an account is 1 to 64 of A-Z a-z 0-9 . _ : @ + -");
        out->accounts[n++] = bgw_hash_keyed(bgw_slice_of(text, len));
    }
    if (n == 0)
        return say(r, BGW_MISSING, "`accounts` names at least one");
    qsort(out->accounts, n, sizeof(*out->accounts), compare_hashes);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || out->accounts[i] != out->accounts[i - 1])
            out->accounts[kept++] = out->accounts[i];
    }
    out->account_count = kept;
    return BGW_OK;
}

enum bgw_status bgw_revocation_parse(struct bgw_revocation *out, struct bgw_slice text,
                                     int64_t keep_s, struct bgw_now now, struct bgw_buf *error)
{
    struct reading r = {
        .out = out, .now_s = now.wall_ms / 1000, .keep_s = keep_s, .error = error};
    struct bgw_json root;
    bgw_hash_init();
    memset(out, 0, sizeof(*out));
    if (text.len > BGW_REVOCATION_BYTES_MAX)
        return say(&r, BGW_TOO_LARGE, "a revocation is at most 128 KiB");
    enum bgw_status status = bgw_json_parse(text, &root);
    if (status != BGW_OK)
        return say(&r, status, bgw_status_text(status));
    if (root.type != BGW_JSON_OBJECT)
        return say(&r, BGW_BAD_JSON, "a revocation is a JSON object");
    enum bgw_status (*const steps[])(const struct reading *) = {read_kind, read_id, read_tenant,
                                                                read_times};
    status = find_members(&r, &root);
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && status == BGW_OK; i++)
        status = steps[i](&r);
    if (status == BGW_OK && out->kind == BGW_REVOKE_ACCOUNTS)
        status = read_accounts(&r);
    return status;
}
