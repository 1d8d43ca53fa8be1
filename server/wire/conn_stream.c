/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_stream: GET /v1/stream, balances as Server-Sent Events. Hides what a request must say and be
 * allowed before it becomes a session: the rest is the shard's, through the SSE dialect. Called by
 * conn_http on the shard's thread, again for a request that waited for its token's key. Invariant:
 * one answer, or a wait; nothing of an account is said before its access rule was asked.
 */
#include "conn_private.h"

#include "command_text.h"
#include "cors.h"
#include "sse.h"

#define ACCOUNTS_MAX 200u
#define TEXT_MAX (BGW_KEY_MAX + 1 + BGW_PART_MAX) /* "A/USD" */
#define SUB_ID 1
#define LAST_ID_MAX 4096u /* longer than any token */

/* what the request asks for: decoded copies, for the reader goes before the session begins */
struct asked {
    struct bgw_sub_key keys[ACCOUNTS_MAX];
    char texts[ACCOUNTS_MAX][TEXT_MAX];
    size_t count;
    bgw_part currency; /* of the accounts that do not say theirs; 0: all there are */
    char resume[LAST_ID_MAX];
    struct bgw_slice resume_slice; /* empty: from the start */
};

/* ---- reading the request ---- */

static enum bgw_refusal read_currency(struct bgw_slice query, const struct bgw_feed *feed, bgw_part *out)
{
    char text[BGW_PART_MAX];
    size_t len = 0;
    switch (bgw_http_query(query, "currency", text, sizeof(text), &len)) {
    case BGW_NOT_FOUND:
        *out = 0;
        return BGW_REFUSAL_NONE;
    case BGW_DUPLICATE:
    case BGW_BAD_ENCODING:
        return BGW_REFUSAL_BAD_QUERY;
    case BGW_OK:
        if (feed->part_valid(bgw_slice_of(text, len))) {
            *out = bgw_part_of(bgw_slice_of(text, len));
            return BGW_REFUSAL_NONE;
        }
        return BGW_REFUSAL_BAD_ID;
    default:
        return BGW_REFUSAL_BAD_ID;
    }
}

static bool read_key(const struct bgw_feed *feed, struct bgw_slice text, bgw_part currency, struct bgw_sub_key *key)
{
    command_key(feed, text, key);
    if (!key->part)
        key->part = currency;
    return !key->invalid;
}

static enum bgw_refusal read_accounts(struct bgw_slice query, const struct bgw_feed *feed, struct asked *a)
{
    struct bgw_http_params params = {.query = query, .name = "account"};
    for (;;) {
        char text[TEXT_MAX];
        size_t len = 0;
        enum bgw_status status = bgw_http_query_next(&params, text, sizeof(text), &len);
        if (status == BGW_NOT_FOUND)
            return a->count ? BGW_REFUSAL_NONE : BGW_REFUSAL_NO_ACCOUNT;
        if (a->count == ACCOUNTS_MAX)
            return BGW_REFUSAL_TOO_MANY_ACCOUNTS;
        if (status == BGW_BAD_ENCODING)
            return BGW_REFUSAL_BAD_QUERY;
        if (status != BGW_OK)
            return BGW_REFUSAL_BAD_ID;
        memcpy(a->texts[a->count], text, len);
        if (!read_key(feed, bgw_slice_of(a->texts[a->count], len), a->currency, &a->keys[a->count]))
            return BGW_REFUSAL_BAD_ID;
        a->count++;
    }
}

/* The header is what EventSource sends when it comes again, with the address it had the first time:
 * so it is the newer one. A token that is none leads to everything being sent, and is counted. */
static void read_resume(const struct bgw_http_request *r, struct asked *a)
{
    struct bgw_slice header = bgw_http_header(r, "last-event-id", 0);
    size_t len = 0;
    a->resume_slice = (struct bgw_slice){NULL, 0};
    if (!header.data) {
        enum bgw_status status = bgw_http_query(r->query, "last_event_id", a->resume, sizeof(a->resume), &len);
        if (status != BGW_NOT_FOUND)
            a->resume_slice = status == BGW_OK ? bgw_slice_of(a->resume, len) : BGW_SLICE("?");
        return;
    }
    if (header.len > sizeof(a->resume)) {
        a->resume_slice = BGW_SLICE("?");
        return;
    }
    memcpy(a->resume, header.data, header.len);
    a->resume_slice = bgw_slice_of(a->resume, header.len);
}

/* Everything that must hold whoever asks. */
static enum bgw_refusal check_request(const struct bgw_conn *c, const struct bgw_http_request *r, struct asked *a)
{
    const struct bgw_feed *feed = &c->host->native.feeds[0];
    if (r->method != BGW_HTTP_GET && r->method != BGW_HTTP_HEAD)
        return BGW_REFUSAL_METHOD;
    enum bgw_refusal why = conn_door_shut(c);
    if (!why && !bgw_cors_allowed(r, c->host->policy->origins))
        why = BGW_REFUSAL_FORBIDDEN_ORIGIN;
    if (!why)
        why = read_currency(r->query, feed, &a->currency);
    if (!why)
        why = read_accounts(r->query, feed, a);
    if (!why)
        read_resume(r, a);
    return why;
}

/* ---- who asks ---- */

static bool same_tenant(const struct bgw_http_request *r, const struct bgw_claims *claims)
{
    struct bgw_slice tenant = bgw_http_header(r, "x-tenant-id", 0);
    return !tenant.data || bgw_slice_eq(tenant, bgw_slice_str(claims->tenant));
}

/* The shard asks again, when it subscribes and wherever it delivers: this only keeps streams out that could show nothing. */
static enum bgw_refusal check_key(const struct bgw_conn *c, const struct bgw_claims *claims, struct bgw_slice key)
{
    const struct bgw_revocations *revocations = bgw_auth_revocations(c->host->native.auth);
    const struct bgw_holder holder = {claims->subject_hash, claims->jti_hash, claims->issued_s, bgw_slice_str(claims->tenant)};
    if (bgw_access_check(claims, holder.tenant, key, conn_now(c)) != BGW_ACCESS_OK)
        return BGW_REFUSAL_NO_GRANT;
    if (!revocations || bgw_revocations_check(revocations, &holder, conn_now(c)) != BGW_REVOKED_SOME)
        return BGW_REFUSAL_NONE;
    return bgw_revocations_covers_key(revocations, &holder, key, conn_now(c)) ? BGW_REFUSAL_REVOKED_KEY : BGW_REFUSAL_NONE;
}

/* NONE if it may see at least one of them; else why not the first, and all are written down. */
static enum bgw_refusal check_keys(const struct bgw_conn *c, const struct bgw_claims *claims, const struct asked *a)
{
    for (size_t i = 0; i < a->count; i++) {
        if (check_key(c, claims, a->keys[i].key) == BGW_REFUSAL_NONE)
            return BGW_REFUSAL_NONE;
    }
    for (size_t i = 0; i < a->count; i++) {
        const char *code = bgw_refusal_code(check_key(c, claims, a->keys[i].key));
        const struct conn_audit_slot slot = {a->keys[i].key, a->keys[i].part, code};
        conn_audit_key(c, BGW_AUDIT_DENIED, claims, &slot);
    }
    return check_key(c, claims, a->keys[0].key);
}

static enum bgw_refusal check_claims(const struct bgw_conn *c, const struct bgw_http_request *r,
                                     const struct bgw_claims *claims, const struct asked *a)
{
    if (!same_tenant(r, claims))
        return BGW_REFUSAL_OTHER_TENANT;
    enum bgw_refusal why = check_keys(c, claims, a);
    if (why)
        return why;
    if (bgw_shard_session_count(c->host->native.shard) >= c->host->sessions_max)
        return BGW_REFUSAL_OVERLOAD;
    return BGW_REFUSAL_NONE;
}

/* ---- the answer ---- */

/* False: no memory for it. */
static bool make_head(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_conn_host *h = c->host;
    struct bgw_buf lines;
    bgw_buf_init(&lines, 256 + BGW_CORS_BYTES_MAX);
    bgw_buf_append_str(&lines, "Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                               "X-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n");
    bgw_cors_append(r, h->policy->origins, &lines);
    bgw_buf_append_byte(&lines, '\0');
    bgw_buf_clear(&h->out);
    if (!lines.failed) {
        const struct bgw_http_reply reply = {.status = 200, .headers = lines.data, .close = true};
        bgw_http_reply(&h->out, &reply, conn_now(c));
    }
    bool done = !lines.failed && !h->out.failed;
    bgw_buf_deinit(&lines);
    return done;
}

static void open_stream(struct bgw_conn *c, const struct asked *a, const struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    const struct bgw_feed *feed = &h->native.feeds[0];
    conn_send_head(c, bgw_buf_slice(&h->out));
    if (c->state == CONN_DONE || !conn_open_session(c, CONN_STREAM, &bgw_dialect_sse, claims))
        return;
    if (a->resume_slice.len)
        bgw_session_hello(h->native.shard, c->session, NULL, a->resume_slice, conn_now(c));
    bgw_session_sub(h->native.shard, c->session, SUB_ID, bgw_slice_str(feed->name), a->keys, a->count);
}

static void answer(struct bgw_conn *c, const struct bgw_http_request *r, const struct asked *a, const struct bgw_claims *claims)
{
    bool head_only = r->method == BGW_HTTP_HEAD;
    enum bgw_refusal why = check_claims(c, r, claims, a);
    if (why)
        conn_http_refuse_handshake(c, why);
    else if (!make_head(c, r))
        conn_abort(c);
    else if (head_only)
        conn_http_answered(c, true);
    else
        open_stream(c, a, claims);
}

void conn_stream_request(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    struct bgw_claims claims;
    struct asked a;
    a.count = 0;
    enum bgw_refusal why = check_request(c, r, &a);
    if (!why && !c->busy->key_wait) /* once, not each time that the key is asked for */
        why = conn_door_enter(c, r);
    if (why == BGW_REFUSAL_METHOD) {
        conn_http_problem(c, why, "Allow: GET, HEAD, OPTIONS\r\n");
        return;
    }
    if (why) {
        conn_http_refuse_handshake(c, why);
        return;
    }
    if (conn_door_token(c, r, CONN_TOKEN_REQUIRED, &claims) != CONN_TOKEN_OK)
        return;
    answer(c, r, &a, &claims);
    bgw_claims_deinit(&claims);
}
