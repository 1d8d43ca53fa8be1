/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_signalr_stream: SignalR over Server-Sent Events: the stream that a GET opens, and the POSTs
 * that bring its client's records over other connections, perhaps to other shards. Hides that way.
 * Called by conn_negotiate and, for what was posted, by the shard's mailbox; shard thread only.
 * Invariant: a body reaches only the stream whose id it names, and only from who opened it.
 */
#include "conn_negotiate.h"

#include "cors.h"

#define TEXT_NO_STREAMS "ServerSentEvents transport not supported by this end point type"
#define TEXT_WEBSOCKET "POST requests are not allowed for WebSocket connections."
#define TEXT_OTHER_HOLDER "This connection was opened by another subject"
#define TEXT_BUSY "As many requests as may wait for this connection do so: try again"

/* ---- the stream ---- */

static enum bgw_refusal check_entry(struct bgw_conn *c, const struct bgw_http_request *r)
{
    enum bgw_refusal shut = conn_door_shut(c);
    if (shut)
        return shut;
    if (!bgw_cors_allowed(r, c->host->policy->origins))
        return BGW_REFUSAL_FORBIDDEN_ORIGIN;
    return c->busy->key_wait ? BGW_REFUSAL_NONE : conn_door_enter(c, r);
}

/* The head, and an empty line of events, on which browsers say that the stream is open. */
static bool send_head(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_buf *out = &c->host->out, lines;
    bgw_buf_init(&lines, BGW_CORS_BYTES_MAX + 512);
    bgw_buf_append_str(&lines, "Content-Type: text/event-stream\r\nCache-Control: no-cache,no-store\r\n"
                               "Content-Encoding: identity\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n");
    bgw_cors_append(r, c->host->policy->origins, &lines);
    bgw_buf_append_byte(&lines, '\0');
    bgw_buf_clear(out);
    if (!lines.failed) {
        const struct bgw_http_reply head = {.status = 200, .headers = lines.data, .close = true};
        bgw_http_reply(out, &head, conn_now(c));
        bgw_buf_append_str(out, ":\r\n");
    }
    bool ok = !lines.failed && !out->failed;
    bgw_buf_deinit(&lines);
    if (ok)
        conn_send(c, bgw_buf_slice(out));
    else
        conn_abort(c); /* no memory; nothing of it went out */
    return ok;
}

static void open_for(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_attachment *what,
                     const struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    if (bgw_shard_session_count(h->native.shard) >= h->sessions_max) {
        conn_http_refuse_handshake(c, BGW_REFUSAL_OVERLOAD);
        return;
    }
    if (!conn_open_place(c, claims))
        return;
    what->kind = BGW_ATTACHED_STREAM;
    if (!conn_negotiate_take(c, r, what, claims)) {
        conn_door_return(c, claims);
        bgw_metric_add(BGW_M_HANDSHAKES_BAD_REQUEST, 1);
        return;
    }
    c->kind = CONN_SIGNALR_STREAM; /* so that `closed` gives the id back even if no session comes of it */
    if (send_head(c, r))
        (void)conn_open_session(c, CONN_SIGNALR_STREAM, &bgw_dialect_signalr_stream_greeting, claims);
    else
        conn_door_return(c, claims);
}

void conn_signalr_stream_open(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_attachment what;
    struct bgw_claims claims;
    if (!c->host->signalr_sse || !c->host->attachments) {
        conn_negotiate_text(c, r, 404, TEXT_NO_STREAMS, NULL);
        return;
    }
    if (conn_negotiate_id(c, r, &what) != CONN_ID_OK) {
        bgw_metric_add(BGW_M_HANDSHAKES_BAD_REQUEST, 1);
        conn_negotiate_text(c, r, 404, CONN_NO_SUCH_ID, NULL);
        return;
    }
    enum bgw_refusal why = check_entry(c, r);
    if (why) {
        conn_http_refuse_handshake(c, why);
        return;
    }
    if (conn_door_token(c, r, CONN_TOKEN_TEXT | CONN_TOKEN_REQUIRED, &claims) != CONN_TOKEN_OK)
        return;
    open_for(c, r, &what, &claims);
    bgw_claims_deinit(&claims);
}

/* ---- what its client says ---- */

static void answer_post(struct bgw_conn *c, const struct bgw_http_request *r, enum bgw_attach_result result)
{
    switch (result) {
    case BGW_ATTACH_OK:
        conn_negotiate_text(c, r, 200, "", NULL);
        break;
    case BGW_ATTACH_OTHER:
        conn_negotiate_text(c, r, 403, TEXT_OTHER_HOLDER, NULL);
        break;
    case BGW_ATTACH_IN_USE:
        conn_negotiate_text(c, r, 405, TEXT_WEBSOCKET, "Allow: GET, OPTIONS\r\n");
        break;
    case BGW_ATTACH_BUSY:
        conn_negotiate_text(c, r, 503, TEXT_BUSY, "Retry-After: 1\r\n");
        break;
    case BGW_ATTACH_FULL:
        conn_negotiate_refuse(c, r, BGW_REFUSAL_INTERNAL);
        break;
    default:
        conn_negotiate_text(c, r, 404, CONN_NO_SUCH_ID, NULL);
        break;
    }
}

static enum bgw_attach_result post(struct bgw_conn *c, const struct bgw_http_request *r, const struct bgw_attachment *what,
                                   const struct bgw_claims *claims)
{
    const struct bgw_attachment_holder holder = conn_negotiate_holder(claims);
    if (!c->host->attachments)
        return BGW_ATTACH_UNKNOWN;
    struct bgw_blob *body = bgw_blob_copy(bgw_http_body(r));
    if (!body)
        return BGW_ATTACH_FULL;
    enum bgw_attach_result result = bgw_attachments_post(c->host->attachments, what->id, &holder, body);
    if (result != BGW_ATTACH_OK)
        bgw_blob_release(body);
    return result;
}

void conn_signalr_stream_post(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_attachment what;
    struct bgw_claims claims;
    enum conn_id id = conn_negotiate_id(c, r, &what);
    if (id != CONN_ID_OK && id != CONN_ID_OLD) { /* a stream outlives its token */
        conn_negotiate_text(c, r, 404, CONN_NO_SUCH_ID, NULL);
        return;
    }
    if (!bgw_cors_allowed(r, c->host->policy->origins)) {
        conn_negotiate_refuse(c, r, BGW_REFUSAL_FORBIDDEN_ORIGIN);
        return;
    }
    if (bgw_http_body(r).len > c->host->policy->message_bytes_max) {
        conn_negotiate_refuse(c, r, BGW_REFUSAL_BODY_TOO_LARGE);
        return;
    }
    if (conn_door_token(c, r, CONN_TOKEN_TEXT | CONN_TOKEN_REQUIRED | CONN_TOKEN_REQUEST, &claims) != CONN_TOKEN_OK)
        return;
    enum bgw_attach_result result = post(c, r, &what, &claims);
    bgw_claims_deinit(&claims);
    answer_post(c, r, result);
}

void conn_negotiate_posted(struct bgw_conn_host *h, const struct bgw_posted *posted)
{
    struct bgw_conn *c = bgw_attachments_conn(h->attachments, h->index, posted->id);
    if (c) /* else it ended while this was on its way */
        conn_signalr_posted(c, bgw_blob_slice(posted->body));
    bgw_blob_release(posted->body);
}
