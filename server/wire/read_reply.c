/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read_reply: hides how a balance is written for REST: one superset body for every reader, what a
 * cache may do with it, how old it is, and how each refusal is told. Called by conn_read on a
 * shard's thread, up to some ten thousand times a second, so without printf. Invariants: no value is
 * written that the answer does not have; one that is not proved current says so; CORS lines stand in
 * every response.
 */
#include "read_reply.h"

#include "cors.h"

#include "bgw/assert.h"

#define LINES_MAX 2000u     /* less than http_reply.c has room for */
#define BODY_SIZE 640u      /* the largest body of one account is shorter */
#define MANY_BYTES_MAX (READ_ACCOUNTS_MAX * 1024u)

enum bgw_refusal read_reply_verdict(const struct bgw_read_answer *a, const struct bgw_flags *flags)
{
    switch (a->result) {
    case BGW_READ_VALUE:
        BGW_ASSERT(a->value && a->version.epoch);
        return a->state == BGW_STATE_STALE && !bgw_flag(flags, BGW_FLAG_STALE) ? BGW_REFUSAL_SOURCE_UNAVAILABLE : BGW_REFUSAL_NONE;
    case BGW_READ_TIMEOUT:
        return BGW_REFUSAL_READ_TIMEOUT;
    case BGW_READ_BUSY:
        return BGW_REFUSAL_READ_BUSY;
    case BGW_READ_TOO_OLD:
        if (a->version.epoch)
            return BGW_REFUSAL_NOT_THERE_YET;
        break; /* there is nothing that could be too old */
    case BGW_READ_UNKNOWN:
        break;
    }
    if (a->state == BGW_STATE_REMOVED || a->reason == BGW_REASON_NO_SUCH_KEY)
        return BGW_REFUSAL_NO_SUCH_ACCOUNT;
    return a->reason == BGW_REASON_SHED ? BGW_REFUSAL_SHED : BGW_REFUSAL_SOURCE_UNAVAILABLE;
}

/* A source was asked, and what is told is its answer. */
static bool brought(const struct bgw_read_answer *a)
{
    return a->fetched && a->state != BGW_STATE_STALE && a->reason != BGW_REASON_SOURCE_UNAVAILABLE && a->reason != BGW_REASON_SHED;
}

enum read_cache read_reply_cache(const struct read_request *q, const struct bgw_read_answer *a)
{
    if (a->state == BGW_STATE_STALE)
        return READ_CACHE_STALE;
    if (q->prove && (a->proved || brought(a)))
        return READ_CACHE_BYPASS;
    if (!a->fetched)
        return READ_CACHE_HIT;
    return a->joined ? READ_CACHE_COALESCED : READ_CACHE_MISS;
}

enum read_source read_reply_source(const struct bgw_read_answer *a)
{
    if (a->source == BGW_SOURCE_STREAM)
        return READ_FROM_STREAM;
    if (!brought(a))
        return READ_FROM_L1;
    return a->source == BGW_SOURCE_CACHE ? READ_FROM_CACHE : READ_FROM_DATABASE;
}

static const char *source_text(enum read_source o)
{
    static const char *const texts[] = {"stream", "l1", "cache", "database"};
    return texts[o];
}

/* ---- pieces ---- */

static void append_padded(struct bgw_buf *out, unsigned value, unsigned digits, char behind)
{
    char text[8];
    for (unsigned i = digits; i-- > 0; value /= 10)
        text[i] = (char)('0' + value % 10);
    text[digits] = behind;
    bgw_buf_append(out, bgw_slice_of(text, digits + 1));
}

/* The calendar repeats itself every 400 years of 146,097 days; years are counted from March on, so that the leap day is the last one. */
void read_reply_time(struct bgw_buf *out, int64_t wall_ms)
{
    int64_t ms = wall_ms > 0 ? wall_ms : 0;
    int64_t days = ms / 86400000 + 719468; /* since 0000-03-01 */
    unsigned in_day = (unsigned)(ms % 86400000);
    unsigned of_era = (unsigned)(days % 146097);
    unsigned year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned month = (5 * of_year + 2) / 153; /* from March */
    unsigned year = year_of_era + (unsigned)(days / 146097) * 400 + (month >= 10);
    bgw_buf_append_byte(out, '"');
    append_padded(out, year, 4, '-');
    append_padded(out, month < 10 ? month + 3 : month - 9, 2, '-');
    append_padded(out, of_year - (153 * month + 2) / 5 + 1, 2, 'T');
    append_padded(out, in_day / 3600000, 2, ':');
    append_padded(out, in_day / 60000 % 60, 2, ':');
    append_padded(out, in_day / 1000 % 60, 2, '.');
    append_padded(out, in_day % 1000, 3, 'Z');
    bgw_buf_append_byte(out, '"');
}

static void append_version(struct bgw_buf *out, const char *before, struct bgw_version v, const char *behind)
{
    char text[BGW_VERSION_TEXT_MAX];
    size_t len = bgw_version_format(v, text);
    bgw_buf_append_str(out, before);
    bgw_buf_append(out, bgw_slice_of(text, len));
    bgw_buf_append_str(out, behind);
}

static struct bgw_slice key_of(const struct read_result *r)
{
    return bgw_slice_of(r->ask.text, r->ask.key_len);
}

/* A good account has nothing to escape, but for a foreign one that is repeated. */
static void append_account(struct bgw_buf *out, const struct read_result *r)
{
    bgw_buf_append_str(out, "\"accountId\":");
    if (r->ask.key_len)
        bgw_buf_append_json(out, key_of(r));
    else
        bgw_buf_append_str(out, "null");
}

/* The members of one balance, without braces. */
static void append_balance(struct bgw_buf *out, const struct read_context *x, const struct read_result *r)
{
    const struct bgw_read_answer *a = &r->answer;
    append_account(out, r);
    bgw_buf_append_str(out, ",\"tenant\":\"");
    bgw_buf_append(out, x->tenant);
    bgw_buf_append_str(out, "\",");
    x->feed->encode_rest(a->value, out);
    append_version(out, ",\"v\":\"", a->version, "\",\"asOf\":");
    if (a->lag_ms >= 0)
        read_reply_time(out, x->now.wall_ms - a->lag_ms);
    else
        bgw_buf_append_str(out, "null"); /* it was never proved: nobody knows */
    bgw_buf_append_str(out, ",\"state\":\"");
    bgw_buf_append_str(out, bgw_slot_state_text(a->state));
    if (a->reason != BGW_REASON_NONE) {
        bgw_buf_append_str(out, "\",\"reason\":\"");
        bgw_buf_append_str(out, bgw_reason_text(a->reason));
    }
    bgw_buf_append_str(out, "\",\"source\":\"");
    bgw_buf_append_str(out, source_text(read_reply_source(a)));
    bgw_buf_append_byte(out, '"');
}

/* ---- header lines ---- */

static void begin_lines(struct bgw_buf *lines, const struct read_context *x)
{
    bgw_buf_init(lines, LINES_MAX);
    (void)bgw_buf_reserve(lines, 512); /* one step instead of four */
    bgw_cors_append(x->request->http, x->origins, lines);
}

static void append_version_lines(struct bgw_buf *lines, struct bgw_version v)
{
    append_version(lines, "ETag: \"", v, "\"\r\n");
    append_version(lines, "X-Balance-Version: ", v, "\r\n");
}

static void append_origin_lines(struct bgw_buf *lines, enum read_source from, enum read_cache how)
{
    static const char *const texts[] = {"HIT\r\n", "BYPASS\r\n", "COALESCED\r\n", "MISS\r\n",
                                        "STALE\r\nWarning: 110 - \"Response is Stale\"\r\n"};
    bgw_buf_append_str(lines, "X-Balance-Source: ");
    bgw_buf_append_str(lines, source_text(from));
    bgw_buf_append_str(lines, "\r\nX-Cache-Status: ");
    bgw_buf_append_str(lines, texts[how]);
}

/* To be kept by who asked alone, and asked about each time: the tag makes the question cheap. */
static void append_value_lines(struct bgw_buf *lines, const struct read_context *x, const struct bgw_read_answer *a)
{
    append_version_lines(lines, a->version);
    bgw_buf_append_str(lines, "Cache-Control: private, no-cache\r\nVary: Authorization\r\n");
    append_origin_lines(lines, read_reply_source(a), read_reply_cache(x->request, a));
    if (a->lag_ms < 0)
        return;
    bgw_buf_append_str(lines, "Age: ");
    bgw_buf_append_u64(lines, (uint64_t)a->lag_ms / 1000);
    bgw_buf_append_str(lines, "\r\n");
}

/* Of several: the farthest source, and the worst news. Nothing where no account has a value. */
static void append_worst_lines(struct bgw_buf *lines, const struct read_context *x, const struct read_result *const *results,
                               size_t count)
{
    enum read_source from = READ_FROM_STREAM;
    enum read_cache how = READ_CACHE_HIT;
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (results[i]->why)
            continue;
        enum read_source o = read_reply_source(&results[i]->answer);
        enum read_cache h = read_reply_cache(x->request, &results[i]->answer);
        from = o > from ? o : from;
        how = h > how ? h : how;
        any = true;
    }
    if (any)
        append_origin_lines(lines, from, how);
}

static const char *end_lines(struct bgw_buf *lines)
{
    bgw_buf_append_byte(lines, '\0');
    return lines->failed ? NULL : lines->data;
}

/* ---- responses ---- */

/* Without memory for a part nothing of it goes out: `out` says so. */
static void reply(struct bgw_buf *out, const struct read_context *x, int status, const struct bgw_buf *body, struct bgw_buf *lines)
{
    struct bgw_http_reply r = {.status = status,
                               .content_type = !body ? NULL : status == 200 ? "application/json" : "text/plain",
                               .headers = end_lines(lines),
                               .head_only = x->request->http->method == BGW_HTTP_HEAD,
                               .close = x->last};
    if (body)
        r.body = bgw_buf_slice(body);
    if (!r.headers || (body && body->failed))
        out->failed = true;
    else
        bgw_http_reply(out, &r, x->now);
}

bool read_reply_one(struct bgw_buf *out, const struct read_context *x, const struct read_result *r)
{
    char version[BGW_VERSION_TEXT_MAX];
    struct bgw_buf body, lines;
    size_t len = bgw_version_format(r->answer.version, version);
    begin_lines(&lines, x);
    append_value_lines(&lines, x, &r->answer);
    bool known = read_request_has_tag(x->request->http, bgw_slice_of(version, len));
    if (known) {
        reply(out, x, 304, NULL, &lines);
    } else {
        bgw_buf_init(&body, 2 * BODY_SIZE);
        (void)bgw_buf_reserve(&body, BODY_SIZE);
        bgw_buf_append_byte(&body, '{');
        append_balance(&body, x, r);
        bgw_buf_append_byte(&body, '}');
        reply(out, x, 200, &body, &lines);
        bgw_buf_deinit(&body);
    }
    bgw_buf_deinit(&lines);
    return known;
}

static void append_part(struct bgw_buf *out, bgw_part part)
{
    char text[BGW_PART_MAX];
    if (!part)
        return;
    bgw_buf_append_str(out, ",\"currency\":\"");
    bgw_buf_append(out, bgw_slice_of(text, bgw_part_text(part, text)));
    bgw_buf_append_byte(out, '"');
}

static void append_refused(struct bgw_buf *out, const struct read_result *r)
{
    append_account(out, r);
    append_part(out, r->ask.part);
    if (r->why == BGW_REFUSAL_NOT_THERE_YET)
        append_version(out, ",\"v\":\"", r->answer.version, "\"");
    bgw_buf_append_str(out, ",\"status\":");
    bgw_buf_append_u64(out, (uint64_t)bgw_refusal_status(r->why));
    bgw_buf_append_str(out, ",\"code\":");
    bgw_buf_append_json(out, bgw_slice_str(bgw_refusal_code(r->why)));
    bgw_buf_append_str(out, ",\"detail\":");
    bgw_buf_append_json(out, bgw_slice_str(bgw_refusal_sentence(r->why)));
}

/* No tag: it would have to cover every account's version, and what became of those without one. */
void read_reply_many(struct bgw_buf *out, const struct read_context *x, const struct read_result *const *results, size_t count)
{
    struct bgw_buf body, lines;
    begin_lines(&lines, x);
    bgw_buf_append_str(&lines, "Cache-Control: no-store\r\nVary: Authorization\r\n");
    append_worst_lines(&lines, x, results, count);
    bgw_buf_init(&body, MANY_BYTES_MAX);
    (void)bgw_buf_reserve(&body, count * 256);
    bgw_buf_append_str(&body, "{\"balances\":[");
    for (size_t i = 0; i < count; i++) {
        bgw_buf_append_str(&body, i ? ",{" : "{");
        if (results[i]->why) {
            append_refused(&body, results[i]);
        } else {
            append_balance(&body, x, results[i]);
            bgw_buf_append_str(&body, ",\"status\":200");
        }
        bgw_buf_append_byte(&body, '}');
    }
    bgw_buf_append_str(&body, "],\"asOf\":");
    read_reply_time(&body, x->now.wall_ms);
    bgw_buf_append_byte(&body, '}');
    reply(out, x, 200, &body, &lines);
    bgw_buf_deinit(&body);
    bgw_buf_deinit(&lines);
}

static void problem(struct bgw_buf *out, const struct read_context *x, struct bgw_http_problem *p, struct bgw_buf *lines)
{
    p->headers = end_lines(lines);
    p->head_only = x->request->http->method == BGW_HTTP_HEAD;
    p->keep = !x->last;
    if (p->headers)
        bgw_http_reply_problem(out, p, x->now);
    else
        out->failed = true;
    bgw_buf_deinit(lines);
}

/* As the estate's clients know it: one sentence of text. */
static void reply_shed(struct bgw_buf *out, const struct read_context *x)
{
    struct bgw_buf body, lines;
    bgw_buf_init(&body, BODY_SIZE);
    bgw_buf_append_str(&body, bgw_refusal_sentence(BGW_REFUSAL_SHED));
    begin_lines(&lines, x);
    bgw_buf_append_str(&lines, "Retry-After: 1\r\nCache-Control: no-store\r\n");
    reply(out, x, bgw_refusal_status(BGW_REFUSAL_SHED), &body, &lines);
    bgw_buf_deinit(&body);
    bgw_buf_deinit(&lines);
}

void read_reply_problem(struct bgw_buf *out, const struct read_context *x, enum bgw_refusal why, const struct read_result *r)
{
    if (why == BGW_REFUSAL_SHED) {
        reply_shed(out, x);
        return;
    }
    struct bgw_buf lines, members;
    struct bgw_http_problem p = {.status = bgw_refusal_status(why), .code = bgw_refusal_code(why), .detail = bgw_refusal_sentence(why)};
    begin_lines(&lines, x);
    bgw_buf_init(&members, 1024);
    if (p.status == 503)
        bgw_buf_append_str(&lines, "Retry-After: 1\r\n");
    if (r) {
        bgw_buf_append_byte(&members, ',');
        append_account(&members, r);
        append_part(&members, r->ask.part);
    }
    if (r && why == BGW_REFUSAL_NOT_THERE_YET) {
        append_version_lines(&lines, r->answer.version);
        append_version(&members, ",\"v\":\"", r->answer.version, "\"");
    }
    if (!members.failed)
        p.members = bgw_buf_slice(&members);
    problem(out, x, &p, &lines);
    bgw_buf_deinit(&members);
}

void read_reply_unauthorized(struct bgw_buf *out, const struct read_context *x, const char *code, const char *detail)
{
    struct bgw_buf lines;
    struct bgw_http_problem p = {.status = 401, .code = code, .detail = detail};
    begin_lines(&lines, x);
    bgw_buf_append_str(&lines, "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_token\"\r\n");
    problem(out, x, &p, &lines);
}
