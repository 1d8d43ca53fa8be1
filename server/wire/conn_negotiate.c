/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_negotiate: SignalR's side of HTTP: who answers what at /ws without an upgrade, POST
 * /ws/negotiate, and the ids that it hands out. Hides the verbatim texts and when an id may be used.
 * Called by conn_http and conn_ws on the shard's thread; a request that waited for its token's key
 * comes here again from its beginning. Invariants: every request gets one answer; an id serves one
 * connection, whichever replica made it, for as long as that replica's clock is about right.
 */
#include "conn_negotiate.h"

#include "connection_token.h"
#include "cors.h"

#include "bgw/assert.h"
#include "bgw/base64.h"
#include "bgw/hash.h"

#include <stdio.h>

#define HEADERS_MAX (BGW_CORS_BYTES_MAX + 512u)
#define VERSION_MAX 1
#define VERSION_TEXT_MAX 32u /* longer is no number that anybody means */
#define TEXT_ID_REQUIRED "Connection ID required"
#define TEXT_NO_DELETE "Cannot terminate this connection using the DELETE endpoint."
#define TEXT_NO_POLLING "LongPolling transport not supported by this end point type"
#define TEXT_OTHER_TRANSPORT "Cannot change transports mid-connection"

/* ---- answers ---- */

static void reply(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_http_reply *reply_, const char *headers)
{
    struct bgw_buf *out = &c->host->out, lines;
    bool last = conn_http_last(c);
    bgw_buf_init(&lines, HEADERS_MAX);
    bgw_buf_append_str(&lines, "Cache-Control: no-store\r\n");
    bgw_buf_append_str(&lines, headers ? headers : "");
    bgw_cors_append(r, c->host->policy->origins, &lines);
    bgw_buf_append_byte(&lines, '\0');
    bgw_buf_clear(out);
    if (lines.failed) {
        out->failed = true;
    } else {
        reply_->headers = lines.data;
        reply_->head_only = r->method == BGW_HTTP_HEAD;
        reply_->close = last;
        bgw_http_reply(out, reply_, conn_now(c));
    }
    bgw_buf_deinit(&lines);
    conn_http_answered(c, last);
}

void conn_negotiate_text(struct bgw_conn *c, const struct bgw_http_request *r, int status, const char *text, const char *headers)
{
    struct bgw_http_reply answer = {.status = status, .content_type = "text/plain", .body = bgw_slice_str(text)};
    reply(c, r, &answer, headers);
}

void conn_negotiate_refuse(struct bgw_conn *c, const struct bgw_http_request *r, enum bgw_refusal why)
{
    int status = bgw_refusal_status(why);
    char retry_after[40], text[256];
    const char *headers = NULL;
    if (why == BGW_REFUSAL_BUDGET || status == 429) {
        conn_door_retry_after(c->host, retry_after);
        headers = retry_after;
    } else if (status == 503) {
        headers = "Retry-After: 2\r\n";
    }
    snprintf(text, sizeof(text), "%s: %s", bgw_refusal_code(why), bgw_refusal_sentence(why));
    conn_negotiate_text(c, r, status, text, headers);
}

/* ---- ids ---- */

struct bgw_attachment_holder conn_negotiate_holder(const struct bgw_claims *claims)
{
    return (struct bgw_attachment_holder){
        .subject_hash = claims->subject_hash,
        .tenant_hash = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(claims->tenant)),
    };
}

enum conn_id conn_negotiate_id(const struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_attachment *out)
{
    char text[BGW_CONNECTION_TOKEN_LEN];
    size_t len = 0;
    int64_t ends_ms;
    struct bgw_now now = conn_now(c);
    *out = (struct bgw_attachment){.shard = c->host->index};
    switch (bgw_http_query(r->query, "id", text, sizeof(text), &len)) {
    case BGW_OK:
        break;
    case BGW_NOT_FOUND:
        return CONN_ID_NONE;
    case BGW_DUPLICATE:
        return CONN_ID_BAD;
    default: /* longer than any, or not even text */
        return CONN_ID_UNKNOWN;
    }
    if (!len)
        return CONN_ID_NONE;
    if (!bgw_connection_token_read(c->host->connection_key, bgw_slice_of(text, len), out->id, &ends_ms))
        return CONN_ID_UNKNOWN;
    int64_t left_ms = ends_ms - now.wall_ms; /* both are epoch times of this age of the world, or it is OLD */
    if (ends_ms <= now.wall_ms || left_ms > 2 * BGW_CONNECTION_TOKEN_LIFE_MS)
        return CONN_ID_OLD;
    out->token_ends_ms = now.mono_ms + left_ms;
    return CONN_ID_OK;
}

bool conn_negotiate_take(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_attachment *what,
                         const struct bgw_claims *claims)
{
    if (!c->host->attachments)
        return true;
    what->conn = c;
    what->holder = conn_negotiate_holder(claims);
    switch (bgw_attachments_take(c->host->attachments, what, conn_now(c).mono_ms)) {
    case BGW_ATTACH_OK:
        return true;
    case BGW_ATTACH_IN_USE:
        conn_negotiate_text(c, r, 409, "", NULL);
        return false;
    case BGW_ATTACH_TRANSPORT:
        conn_negotiate_text(c, r, 400, TEXT_OTHER_TRANSPORT, NULL);
        return false;
    case BGW_ATTACH_FULL:
        conn_negotiate_refuse(c, r, BGW_REFUSAL_OVERLOAD);
        return false;
    default:
        conn_negotiate_text(c, r, 404, CONN_NO_SUCH_ID, NULL);
        return false;
    }
}

static bool take_for_websocket(struct bgw_conn *c, const struct bgw_http_request *r, const struct bgw_claims *claims)
{
    struct bgw_attachment what;
    switch (conn_negotiate_id(c, r, &what)) {
    case CONN_ID_NONE: /* a client that skips negotiation */
        return true;
    case CONN_ID_OK:
        break;
    case CONN_ID_BAD:
        conn_negotiate_refuse(c, r, BGW_REFUSAL_BAD_QUERY);
        return false;
    default:
        conn_negotiate_text(c, r, 404, CONN_NO_SUCH_ID, NULL);
        return false;
    }
    what.kind = BGW_ATTACHED_WEBSOCKET;
    if (!conn_negotiate_take(c, r, &what, claims))
        return false;
    c->kind = CONN_UNDECIDED; /* so that `closed` gives the id back even if no session comes of it */
    return true;
}

bool conn_negotiate_attach(struct bgw_conn *c, const struct bgw_http_request *r, const struct bgw_claims *claims)
{
    if (take_for_websocket(c, r, claims))
        return false;
    bgw_metric_add(BGW_M_HANDSHAKES_BAD_REQUEST, 1);
    return true;
}

/* An id is found by its connection: an open one remembers nothing. */
void conn_negotiate_closed(struct bgw_conn *c)
{
    if (c->kind == CONN_NATIVE || c->kind == CONN_STREAM || !c->host->attachments)
        return;
    bgw_attachments_close(c->host->attachments, c, conn_now(c).mono_ms);
}

/* ---- negotiation ---- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As the stock server reads it: spaces around, a sign, 32 bits. */
static bool read_version(struct bgw_slice s, int64_t *out)
{
    int64_t value = 0;
    while (s.len && is_space(s.data[0]))
        s = bgw_slice_of(s.data + 1, s.len - 1);
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    bool minus = s.len && s.data[0] == '-';
    if (s.len && (minus || s.data[0] == '+'))
        s = bgw_slice_of(s.data + 1, s.len - 1);
    if (!s.len)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9' || value > INT32_MAX)
            return false;
        value = value * 10 + (s.data[i] - '0');
    }
    *out = minus ? -value : value;
    return *out >= INT32_MIN && *out <= INT32_MAX;
}

enum version { VERSION_OK, VERSION_NO_NUMBER, VERSION_TOO_LOW, VERSION_BAD_QUERY };

static enum version version_of(const struct bgw_http_request *r, int64_t *version)
{
    char text[VERSION_TEXT_MAX];
    size_t len = 0;
    *version = 0;
    switch (bgw_http_query(r->query, "negotiateVersion", text, sizeof(text), &len)) {
    case BGW_OK:
        break;
    case BGW_NOT_FOUND:
        return VERSION_OK;
    case BGW_TOO_LARGE:
        return VERSION_NO_NUMBER;
    default:
        return VERSION_BAD_QUERY;
    }
    if (!read_version(bgw_slice_of(text, len), version))
        return VERSION_NO_NUMBER;
    if (*version < 0)
        return VERSION_TOO_LOW;
    if (*version > VERSION_MAX)
        *version = VERSION_MAX;
    return VERSION_OK;
}

/* Version 0 has one name for both: what is shown is what is presented. */
static void append_ids(struct bgw_conn *c, struct bgw_buf *body, int64_t version)
{
    uint8_t id[BGW_ATTACHMENT_ID_LEN];
    char shown[BGW_BASE64_LEN(BGW_ATTACHMENT_ID_LEN) + 1], token[BGW_CONNECTION_TOKEN_LEN + 1];
    bgw_auth_random(id, sizeof(id));
    bgw_base64url_encode(id, sizeof(id), shown);
    bgw_connection_token_make(c->host->connection_key, id, conn_now(c), token);
    bgw_buf_appendf(body, "\"connectionId\":\"%s\"", version > 0 ? shown : token);
    if (version > 0)
        bgw_buf_appendf(body, ",\"connectionToken\":\"%s\"", token);
}

static void append_offer(struct bgw_conn *c, struct bgw_buf *body, int64_t version)
{
    bgw_buf_appendf(body, "{\"negotiateVersion\":%d,", (int)version);
    append_ids(c, body, version);
    bgw_buf_append_str(body, ",\"availableTransports\":[{\"transport\":\"WebSockets\",\"transferFormats\":[\"Text\"]}");
    if (c->host->signalr_sse)
        bgw_buf_append_str(body, ",{\"transport\":\"ServerSentEvents\",\"transferFormats\":[\"Text\"]}");
    bgw_buf_append_str(body, "]}");
}

static void offer(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_buf body;
    int64_t version;
    bgw_buf_init(&body, 1024);
    enum version result = version_of(r, &version);
    if (result == VERSION_OK)
        append_offer(c, &body, version);
    else if (result == VERSION_NO_NUMBER)
        bgw_buf_append_str(&body, "{\"error\":\"The client requested a non-integer protocol version.\"}");
    else
        bgw_buf_appendf(&body,
                        "{\"error\":\"The client requested version '%lld', but the server does not support this version.\"}",
                        (long long)version);
    bgw_metric_add(result == VERSION_OK ? BGW_M_NEGOTIATIONS_OK : BGW_M_NEGOTIATIONS_REFUSED, 1);
    struct bgw_http_reply answer = {.status = 200, .content_type = "application/json", .body = bgw_buf_slice(&body)};
    if (result == VERSION_BAD_QUERY)
        conn_negotiate_refuse(c, r, BGW_REFUSAL_BAD_QUERY);
    else if (body.failed)
        conn_negotiate_refuse(c, r, BGW_REFUSAL_INTERNAL);
    else
        reply(c, r, &answer, NULL);
    bgw_buf_deinit(&body);
}

static enum bgw_refusal check_negotiation(struct bgw_conn *c, const struct bgw_http_request *r)
{
    enum bgw_refusal shut = conn_door_shut(c);
    if (shut)
        return shut;
    if (!bgw_cors_allowed(r, c->host->policy->origins))
        return BGW_REFUSAL_FORBIDDEN_ORIGIN;
    return c->busy->key_wait ? BGW_REFUSAL_NONE : conn_door_enter(c, r);
}

/* False: it was refused, or waits for its token's key. */
static bool may_negotiate(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_claims claims;
    enum bgw_refusal why = check_negotiation(c, r);
    if (why) {
        conn_negotiate_refuse(c, r, why);
        return false;
    }
    if (conn_door_token(c, r, CONN_TOKEN_TEXT | CONN_TOKEN_REQUIRED, &claims) != CONN_TOKEN_OK)
        return false;
    bgw_claims_deinit(&claims);
    return true;
}

static void negotiate(struct bgw_conn *c, const struct bgw_http_request *r)
{
    if (may_negotiate(c, r))
        offer(c, r);
    else if (c->state == CONN_KEY_WAIT)
        return;
    else
        bgw_metric_add(BGW_M_NEGOTIATIONS_REFUSED, 1);
    conn_door_closed(c); /* a proxy's connection brings the next client's request */
}

/* ---- requests ---- */

static void refuse_method(struct bgw_conn *c, const struct bgw_http_request *r, const char *allow)
{
    conn_negotiate_text(c, r, 405, bgw_refusal_sentence(BGW_REFUSAL_METHOD), allow);
}

static bool has_id(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_attachment what;
    switch (conn_negotiate_id(c, r, &what)) {
    case CONN_ID_NONE:
        conn_negotiate_text(c, r, 400, TEXT_ID_REQUIRED, NULL);
        return false;
    case CONN_ID_BAD:
        conn_negotiate_refuse(c, r, BGW_REFUSAL_BAD_QUERY);
        return false;
    default:
        return true;
    }
}

void conn_negotiate_request(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    if (!bgw_slice_eq(r->path, BGW_SLICE("/ws"))) {
        if (r->method == BGW_HTTP_POST)
            negotiate(c, r);
        else
            refuse_method(c, r, "Allow: POST, OPTIONS\r\n");
        return;
    }
    bool get = r->method == BGW_HTTP_GET;
    if (!get && r->method != BGW_HTTP_POST && r->method != BGW_HTTP_DELETE)
        refuse_method(c, r, "Allow: GET, POST, DELETE, OPTIONS\r\n");
    else if (!has_id(c, r))
        return;
    else if (r->method == BGW_HTTP_POST)
        conn_signalr_stream_post(c, r);
    else if (r->method == BGW_HTTP_DELETE)
        conn_negotiate_text(c, r, 400, TEXT_NO_DELETE, NULL);
    else if (bgw_http_accepts(r, "accept", "text/event-stream"))
        conn_signalr_stream_open(c, r);
    else
        conn_negotiate_text(c, r, 404, TEXT_NO_POLLING, NULL);
}
