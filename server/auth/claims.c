/* SPDX-License-Identifier: Apache-2.0 */
/*
 * claims: hides the forms in which issuers write who may see what: registered claims of RFC 7519,
 * `scope` (RFC 8693; an array of strings is accepted too, several issuers write one), the feed's
 * own list claim, and RFC 9396 `authorization_details`. Called by auth.c on any thread. A claim
 * that we read and that has the wrong form refuses the token; nothing is guessed and no key is
 * dropped silently. Names of scopes and claims come from the feed's row.
 */
#include "claims.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/json.h"

#define NUMERIC_DATE_MAX 253402300799LL /* the end of the year 9999: beyond it somebody sent milliseconds */

/* what is gathered while one token is read; on the stack of one call */
struct reading {
    const struct bgw_claims_rules *rules;
    const struct bgw_json *root;
    struct bgw_claims *out;
    bool may_read, may_read_all, granted;
};

/*
 * A NumericDate is a number of seconds and may have a fraction (RFC 7519 §2). The fraction is cut
 * off, or, for a time before which nothing is valid, rounded up: a token never lives longer than it
 * says, at either end. Signs and exponents are refused.
 */
static bool numeric_date(const struct bgw_json *value, bool up, int64_t *out)
{
    if (value->type != BGW_JSON_NUMBER)
        return false;
    struct bgw_slice text = value->raw;
    int64_t seconds = 0;
    bool more = false;
    size_t i = 0;
    for (; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++) {
        seconds = seconds * 10 + (text.data[i] - '0');
        if (seconds > NUMERIC_DATE_MAX)
            return false;
    }
    if (i == 0)
        return false;
    if (i < text.len && text.data[i] == '.')
        for (i++; i < text.len && text.data[i] >= '0' && text.data[i] <= '9'; i++)
            more = more || text.data[i] != '0';
    *out = seconds + (up && more);
    return i == text.len;
}

static enum bgw_auth_result read_times(struct reading *r, struct bgw_now now)
{
    struct bgw_json value;
    int64_t exp = 0, nbf = 0;
    if (!bgw_json_member(r->root, "exp", &value) || !numeric_date(&value, false, &exp))
        return BGW_AUTH_BAD_CLAIMS;
    if (bgw_json_member(r->root, "nbf", &value) && !numeric_date(&value, true, &nbf))
        return BGW_AUTH_BAD_CLAIMS;
    if (bgw_json_member(r->root, "iat", &value) && !numeric_date(&value, false, &r->out->issued_s))
        return BGW_AUTH_BAD_CLAIMS;
    r->out->expires_ms = (exp + r->rules->leeway_s) * 1000;
    if (now.wall_ms >= r->out->expires_ms)
        return BGW_AUTH_EXPIRED;
    if (now.wall_ms < (nbf - r->rules->leeway_s) * 1000)
        return BGW_AUTH_NOT_YET;
    return BGW_AUTH_OK;
}

static bool text_hash(const struct bgw_json *value, size_t len_max, uint64_t *out)
{
    char text[BGW_CLAIM_TEXT_MAX];
    size_t len = 0;
    if (bgw_json_string(value, text, sizeof(text), &len) != BGW_OK || len == 0 || len > len_max)
        return false;
    *out = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(text, len));
    return true;
}

/* Subject, token id and tenant. */
static bool read_identity(struct reading *r)
{
    struct bgw_json value;
    if (!bgw_json_member(r->root, "sub", &value) ||
        !text_hash(&value, BGW_SUBJECT_MAX, &r->out->subject_hash))
        return false;
    if (bgw_json_member(r->root, "jti", &value) &&
        !text_hash(&value, BGW_CLAIM_TEXT_MAX, &r->out->jti_hash))
        return false;
    struct bgw_slice tenant = r->rules->default_tenant;
    char text[BGW_TENANT_MAX + 1];
    if (bgw_json_member(r->root, "tenant", &value)) {
        size_t len = 0;
        if (bgw_json_string(&value, text, sizeof(text), &len) != BGW_OK)
            return false;
        tenant = bgw_slice_of(text, len);
        if (!bgw_tenant_valid(tenant))
            return false;
    }
    BGW_ASSERT(tenant.len <= BGW_TENANT_MAX);
    memcpy(r->out->tenant, tenant.data, tenant.len);
    r->out->tenant[tenant.len] = '\0';
    return true;
}

static bool audience_names(const struct bgw_json *aud, const char *wanted)
{
    if (aud->type == BGW_JSON_STRING)
        return bgw_json_is(aud, wanted);
    if (aud->type != BGW_JSON_ARRAY)
        return false;
    const char *cursor = NULL;
    struct bgw_json name, item;
    while (bgw_json_next(aud, &cursor, &name, &item))
        if (bgw_json_is(&item, wanted))
            return true;
    return false;
}

static enum bgw_auth_result check_parties(const struct reading *r)
{
    struct bgw_json value;
    if (*r->rules->issuer &&
        (!bgw_json_member(r->root, "iss", &value) || !bgw_json_is(&value, r->rules->issuer)))
        return BGW_AUTH_WRONG_ISSUER;
    if (*r->rules->audience &&
        (!bgw_json_member(r->root, "aud", &value) || !audience_names(&value, r->rules->audience)))
        return BGW_AUTH_WRONG_AUDIENCE;
    return BGW_AUTH_OK;
}

static void take_scope(struct reading *r, struct bgw_slice word)
{
    if (bgw_slice_eq(word, bgw_slice_str(r->rules->feed->read_scope)))
        r->may_read = true;
    else if (bgw_slice_eq(word, bgw_slice_str(r->rules->feed->read_all_scope)))
        r->may_read_all = true;
    else if (bgw_slice_eq(word, BGW_SLICE("ops.read")))
        r->out->ops_read = true;
}

/* One string of words separated by spaces; an array's strings are read the same way. */
static bool take_scope_text(struct reading *r, const struct bgw_json *value)
{
    char text[BGW_TOKEN_MAX]; /* a token has no room for more */
    size_t len = 0;
    if (bgw_json_string(value, text, sizeof(text), &len) != BGW_OK)
        return false;
    for (size_t begin = 0, i = 0; i <= len; i++) {
        if (i < len && text[i] != ' ')
            continue;
        take_scope(r, bgw_slice_of(text + begin, i - begin));
        begin = i + 1;
    }
    return true;
}

static bool read_scope(struct reading *r)
{
    struct bgw_json scope, name, item;
    if (!bgw_json_member(r->root, "scope", &scope))
        return true;
    if (scope.type != BGW_JSON_ARRAY)
        return take_scope_text(r, &scope);
    const char *cursor = NULL;
    while (bgw_json_next(&scope, &cursor, &name, &item))
        if (!take_scope_text(r, &item))
            return false;
    return true;
}

static bool add_key(struct reading *r, const struct bgw_json *value)
{
    char text[BGW_KEY_MAX];
    size_t len = 0;
    if (bgw_json_string(value, text, sizeof(text), &len) != BGW_OK)
        return false;
    struct bgw_slice key = bgw_slice_of(text, len);
    return r->rules->feed->key_valid(key) && bgw_grants_add(r->out->grants, key) == BGW_OK;
}

static bool add_keys(struct reading *r, const struct bgw_json *list)
{
    if (list->type != BGW_JSON_ARRAY)
        return false;
    const char *cursor = NULL;
    struct bgw_json name, item;
    while (bgw_json_next(list, &cursor, &name, &item))
        if (!add_key(r, &item))
            return false;
    return true;
}

/* Is "read" among the actions; a missing list grants nothing. False in *ok: wrong form. */
static bool allows_read(const struct bgw_json *detail, bool *ok)
{
    struct bgw_json actions, name, item;
    *ok = true;
    if (!bgw_json_member(detail, "actions", &actions))
        return false;
    *ok = actions.type == BGW_JSON_ARRAY;
    const char *cursor = NULL;
    while (*ok && bgw_json_next(&actions, &cursor, &name, &item))
        if (bgw_json_is(&item, "read"))
            return true;
    return false;
}

/* One element of authorization_details. Other types are other services' business. */
static bool read_detail(struct reading *r, const struct bgw_json *detail)
{
    struct bgw_json value;
    if (detail->type != BGW_JSON_OBJECT || !bgw_json_member(detail, "type", &value) ||
        value.type != BGW_JSON_STRING)
        return false;
    if (!bgw_json_is(&value, r->rules->feed->grant_type))
        return true;
    bool ok;
    if (!allows_read(detail, &ok))
        return ok;
    if (bgw_json_member(detail, "identifier", &value) && !add_key(r, &value)) /* the RFC's own field */
        return false;
    if (bgw_json_member(detail, "identifiers", &value) && !add_keys(r, &value))
        return false;
    r->granted = true;
    return true;
}

static bool read_details(struct reading *r)
{
    struct bgw_json details, name, item;
    if (!bgw_json_member(r->root, "authorization_details", &details))
        return true;
    if (details.type != BGW_JSON_ARRAY)
        return false;
    const char *cursor = NULL;
    while (bgw_json_next(&details, &cursor, &name, &item))
        if (!read_detail(r, &item))
            return false;
    return true;
}

/*
 * An empty list is a grant of nothing, not a missing grant: a refresh with it takes every key away
 * and leaves the connection. A token that speaks of this service nowhere is refused.
 */
static enum bgw_auth_result read_grants(struct reading *r)
{
    struct bgw_json list;
    if (!read_scope(r))
        return BGW_AUTH_BAD_CLAIMS;
    r->granted = r->may_read_all || r->out->ops_read;
    r->out->grants = bgw_grants_create(r->may_read_all);
    if (!r->out->grants)
        return BGW_AUTH_BAD_CLAIMS;
    if (r->may_read && bgw_json_member(r->root, r->rules->feed->grant_claim, &list)) {
        if (!add_keys(r, &list))
            return BGW_AUTH_BAD_CLAIMS;
        r->granted = true;
    }
    if (!read_details(r))
        return BGW_AUTH_BAD_CLAIMS;
    bgw_grants_seal(r->out->grants);
    return r->granted ? BGW_AUTH_OK : BGW_AUTH_NO_GRANT;
}

static enum bgw_auth_result read_all(struct reading *r, struct bgw_now now)
{
    if (!read_identity(r))
        return BGW_AUTH_BAD_CLAIMS;
    enum bgw_auth_result result = read_times(r, now);
    if (result == BGW_AUTH_OK)
        result = check_parties(r);
    if (result == BGW_AUTH_OK)
        result = read_grants(r);
    return result;
}

void bgw_claims_refuse(struct bgw_claims *claims, bool keep_identity)
{
    struct bgw_claims who = {0};
    bgw_grants_release(claims->grants);
    if (keep_identity) {
        who.subject_hash = claims->subject_hash;
        who.jti_hash = claims->jti_hash;
        memcpy(who.tenant, claims->tenant, sizeof(who.tenant));
    }
    *claims = who;
}

enum bgw_auth_result bgw_claims_read(const struct bgw_claims_rules *rules, struct bgw_slice payload,
                                     struct bgw_now now, struct bgw_claims *out)
{
    *out = (struct bgw_claims){0};
    struct bgw_json root;
    if (bgw_json_parse(payload, &root) != BGW_OK || root.type != BGW_JSON_OBJECT)
        return BGW_AUTH_BAD_CLAIMS;
    struct reading r = {.rules = rules, .root = &root, .out = out};
    enum bgw_auth_result result = read_all(&r, now);
    if (result != BGW_AUTH_OK)
        bgw_claims_refuse(out, result != BGW_AUTH_BAD_CLAIMS);
    return result;
}
