/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_request: hides where a read says what it wants: path, query and header lines. Called by
 * conn_read before anybody is asked who he is, so whatever stands there is a stranger's. Invariant:
 * a name of the query that may stand once and stands twice is refused, never chosen from, and so are
 * query and header that say two things. (Header lines that stand twice were refused before.)
 */
#include "read_request.h"

#include "bgw/json.h"

#define PREFIX "/ledger/accounts/"

static bool cut_end(struct bgw_slice *s, const char *end)
{
    size_t len = strlen(end);
    if (s->len < len || memcmp(s->data + s->len - len, end, len) != 0)
        return false;
    s->len -= len;
    return true;
}

/* What stands between the words of the path, whatever it is. */
static struct bgw_slice id_of(struct bgw_slice path)
{
    if (!cut_end(&path, "/balance/global"))
        (void)cut_end(&path, "/balance");
    size_t skip = path.len < strlen(PREFIX) ? path.len : strlen(PREFIX);
    return bgw_slice_of(path.data + skip, path.len - skip);
}

static enum bgw_refusal read_currency(struct read_request *q, const struct bgw_feed *feed)
{
    char text[BGW_PART_MAX];
    size_t len = 0;
    switch (bgw_http_query(q->http->query, "currency", text, sizeof(text), &len)) {
    case BGW_NOT_FOUND:
        return BGW_REFUSAL_NONE;
    case BGW_OK:
        break;
    case BGW_TOO_LARGE:
        return BGW_REFUSAL_BAD_ID;
    default:
        return BGW_REFUSAL_BAD_QUERY;
    }
    if (!feed->part_valid(bgw_slice_of(text, len)))
        return BGW_REFUSAL_BAD_ID;
    q->part = bgw_part_of(bgw_slice_of(text, len));
    return BGW_REFUSAL_NONE;
}

/* A whole version, or its number alone, which then counts in any epoch. */
static bool parse_floor(struct bgw_slice text, struct bgw_version *out)
{
    char whole[BGW_VERSION_TEXT_MAX] = "0.";
    if (!text.len || text.len > sizeof(whole) - 2)
        return false;
    if (memchr(text.data, '.', text.len))
        return bgw_version_parse(text, out);
    memcpy(whole + 2, text.data, text.len);
    if (!bgw_version_parse(bgw_slice_of(whole, text.len + 2), out))
        return false;
    out->epoch = 0;
    return true;
}

static enum bgw_refusal read_floor(struct read_request *q)
{
    char text[BGW_VERSION_TEXT_MAX];
    size_t len = 0;
    struct bgw_version other;
    struct bgw_slice header = bgw_http_header(q->http, "x-min-version", 0);
    enum bgw_status status = bgw_http_query(q->http->query, "min_version", text, sizeof(text), &len);
    if (status == BGW_DUPLICATE || status == BGW_BAD_ENCODING)
        return BGW_REFUSAL_BAD_QUERY;
    if (status == BGW_NOT_FOUND && !header.data)
        return BGW_REFUSAL_NONE;
    q->has_floor = true;
    if (status == BGW_NOT_FOUND)
        return parse_floor(header, &q->floor) ? BGW_REFUSAL_NONE : BGW_REFUSAL_BAD_VERSION_ASKED;
    if (status != BGW_OK || !parse_floor(bgw_slice_of(text, len), &q->floor))
        return BGW_REFUSAL_BAD_VERSION_ASKED;
    if (header.data && (!parse_floor(header, &other) || !bgw_version_equal(other, q->floor)))
        return BGW_REFUSAL_BAD_VERSION_ASKED;
    return BGW_REFUSAL_NONE;
}

/* Escapes that are none make all of the query suspect; an account that is none spoils its own answer only. */
static enum bgw_refusal count_accounts(struct read_request *q)
{
    struct bgw_http_params walk = {.query = q->http->query, .name = "account"};
    char text[READ_TEXT_MAX];
    size_t len;
    for (;;) {
        enum bgw_status status = bgw_http_query_next(&walk, text, sizeof(text), &len);
        if (status == BGW_NOT_FOUND)
            return q->count ? BGW_REFUSAL_NONE : BGW_REFUSAL_NO_ACCOUNT;
        if (status == BGW_BAD_ENCODING)
            return BGW_REFUSAL_BAD_QUERY;
        if (++q->count > READ_ACCOUNTS_MAX)
            return BGW_REFUSAL_TOO_MANY_ACCOUNTS;
    }
}

enum bgw_refusal read_request_parse(struct read_request *out, const struct bgw_http_request *r, const struct bgw_feed *feed)
{
    *out = (struct read_request){.http = r, .many = bgw_slice_eq(r->path, BGW_SLICE("/v1/balances"))};
    if (r->encoded_slash) /* no account has one, wherever in the path it stands */
        return BGW_REFUSAL_BAD_ID;
    enum bgw_refusal why = BGW_REFUSAL_NONE;
    if (out->many) {
        why = count_accounts(out);
    } else {
        out->id = id_of(r->path);
        out->count = 1;
        why = feed->key_valid(out->id) ? BGW_REFUSAL_NONE : BGW_REFUSAL_BAD_ID;
    }
    if (!why)
        why = read_currency(out, feed);
    if (!why)
        why = read_floor(out);
    out->tenant = bgw_http_header(r, "x-tenant-id", 0);
    out->prove = bgw_http_list_has(r, "cache-control", "no-cache");
    return why;
}

/* "A" or "A/USD". */
static bool split(struct read_ask *a, size_t len, const struct bgw_feed *feed)
{
    const char *slash = memchr(a->text, '/', len);
    size_t key_len = slash ? (size_t)(slash - a->text) : len;
    if (!feed->key_valid(bgw_slice_of(a->text, key_len)))
        return false;
    if (slash) {
        struct bgw_slice part = bgw_slice_of(slash + 1, len - key_len - 1);
        if (!feed->part_valid(part))
            return false;
        a->part = bgw_part_of(part);
    }
    a->key_len = (uint8_t)key_len;
    return true;
}

void read_request_next(const struct read_request *q, const struct bgw_feed *feed, struct bgw_http_params *walk,
                       struct read_ask *out)
{
    size_t len = q->id.len;
    out->why = BGW_REFUSAL_NONE;
    out->part = q->part;
    out->key_len = (uint8_t)len;
    if (!q->many) {
        memcpy(out->text, q->id.data, len); /* a key: it was looked at */
        return;
    }
    walk->query = q->http->query;
    walk->name = "account";
    if (bgw_http_query_next(walk, out->text, sizeof(out->text), &len) == BGW_OK) {
        if (split(out, len, feed))
            return;
        out->key_len = (uint8_t)(bgw_utf8_valid(bgw_slice_of(out->text, len)) ? len : 0);
    } else { /* too long to be repeated */
        out->key_len = 0;
    }
    out->part = 0;
    out->why = BGW_REFUSAL_BAD_ID;
}

bool read_request_has_tag(const struct bgw_http_request *r, struct bgw_slice version)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice one;
    while (bgw_http_list_next(r, "if-none-match", &cursor, &one)) {
        if (bgw_slice_eq(one, BGW_SLICE("*")))
            return true;
        if (one.len > 2 && one.data[0] == 'W' && one.data[1] == '/')
            one = bgw_slice_of(one.data + 2, one.len - 2); /* weak comparison: RFC 9110, 13.1.2 */
        if (one.len >= 2 && one.data[0] == '"' && one.data[one.len - 1] == '"' &&
            bgw_slice_eq(bgw_slice_of(one.data + 1, one.len - 2), version))
            return true;
    }
    return false;
}
