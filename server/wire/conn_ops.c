/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_ops: GET /v1/ops and /v1/ops/stream, how the gateway is doing, for tokens with the scope
 * ops.read. Hides who may see it, and that all streams of a shard are fed by one timer from one
 * event that the ops room has made once for everybody. Called by conn_http with a whole request
 * (again for one that waited for its token's key) and by the loop, on the shard's thread.
 * Invariants: each event is preceded by a look at the stream's token; a stream whose socket is full
 * misses an event instead of keeping it; each open stream has a place of the process's and gives it
 * back once.
 */
#include "conn_private.h"

#include "cors.h"
#include "sse.h"

#include "bgw/assert.h"
#include "bgw/ops_view.h"

#include <stdlib.h>

#define LOOK_MS 250       /* between two looks at tokens, and for something newer */
#define HEARTBEAT_MS 5000 /* of silence, should nothing newer come */
#define RETRY_MS 2000
#define DRAIN_SPREAD_MS 5000
#define GOLDEN 2654435769u /* its multiples fill any window evenly */

/* an open stream; shard thread only */
struct conn_ops {
    struct bgw_conn *conn;
    struct bgw_list link; /* host->ops_streams */
    struct bgw_claims claims;
};

/* ---- streams ---- */

void conn_ops_drop(struct bgw_conn *c)
{
    struct bgw_conn_host *h = c->host;
    struct conn_ops *stream = c->busy->ops;
    if (!stream)
        return;
    c->busy->ops = NULL;
    bgw_list_remove(&stream->link);
    bgw_claims_deinit(&stream->claims);
    free(stream);
    bgw_ops_view_leave(h->ops);
    bgw_metric_add(BGW_M_OPS_STREAMS, -1);
    if (!bgw_list_empty(&h->ops_streams))
        return;
    bgw_wheel_cancel(bgw_loop_wheel(h->loop), &h->ops_timer);
    bgw_blob_release(h->ops_event);
    h->ops_event = NULL;
}

static void end(struct bgw_conn *c, uint16_t code, int64_t retry_ms, const char *reason)
{
    struct bgw_buf *out = &c->host->out;
    bgw_buf_clear(out);
    bgw_dialect_sse.bye(out, code, retry_ms, reason);
    conn_send(c, bgw_buf_slice(out));
    conn_finish(c);
}

/* False: it was told why, and is gone. */
static bool is_good(struct conn_ops *stream)
{
    struct bgw_conn *c = stream->conn;
    const struct bgw_claims *claims = &stream->claims;
    const struct bgw_revocations *revocations = bgw_auth_revocations(c->host->native.auth);
    const struct bgw_holder holder = {claims->subject_hash, claims->jti_hash, claims->issued_s, bgw_slice_str(claims->tenant)};
    if (conn_now(c).wall_ms >= claims->expires_ms) {
        end(c, 3005, 0, "token_expired");
        return false;
    }
    if (revocations && bgw_revocations_check(revocations, &holder, conn_now(c)) == BGW_REVOKED_ALL) {
        end(c, 3510, 0, "revoked");
        return false;
    }
    return true;
}

static void say(struct bgw_conn *c, struct bgw_slice bytes)
{
    if (!c->busy->out && !bgw_socket_buffered(c->sock))
        conn_send(c, bytes);
}

/* True: `ops_event` is another one than before. */
static bool take_event(struct bgw_conn_host *h)
{
    struct bgw_blob *event = bgw_ops_view_get(h->ops);
    bool newer = event != h->ops_event;
    bgw_blob_release(newer ? h->ops_event : event);
    h->ops_event = event;
    return newer;
}

static void look(struct bgw_conn_host *h)
{
    int64_t now_ms = bgw_loop_now(h->loop).mono_ms;
    struct bgw_slice news = {NULL, 0};
    if (take_event(h))
        news = bgw_blob_slice(h->ops_event);
    else if (now_ms - h->ops_said_ms >= HEARTBEAT_MS)
        news = BGW_SLICE(": \n\n");
    if (news.len)
        h->ops_said_ms = now_ms;
    for (struct bgw_list *at = h->ops_streams.next, *next; at != &h->ops_streams; at = next) {
        struct conn_ops *stream = BGW_CONTAINER(at, struct conn_ops, link);
        next = at->next;
        if (is_good(stream) && news.len)
            say(stream->conn, news);
    }
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_conn_host *h = BGW_CONTAINER(timer, struct bgw_conn_host, ops_timer);
    look(h);
    if (!bgw_list_empty(&h->ops_streams))
        bgw_wheel_arm(bgw_loop_wheel(h->loop), timer, now_ms + LOOK_MS);
}

void conn_ops_init(struct bgw_conn_host *h)
{
    bgw_list_init(&h->ops_streams);
    bgw_timer_init(&h->ops_timer, on_timer);
}

void conn_ops_drain(struct bgw_conn_host *h)
{
    for (uint32_t i = 0; !bgw_list_empty(&h->ops_streams); i++) {
        struct conn_ops *stream = BGW_CONTAINER(h->ops_streams.next, struct conn_ops, link);
        int64_t retry_ms = RETRY_MS + (int64_t)((uint64_t)(uint32_t)(i * GOLDEN) * DRAIN_SPREAD_MS >> 32);
        end(stream->conn, 3001, retry_ms, "draining");
    }
}

/* ---- requests ---- */

static bool wants_stream(const struct bgw_http_request *r)
{
    return bgw_slice_eq(r->path, BGW_SLICE("/v1/ops/stream"));
}

static void refuse(struct bgw_conn *c, enum bgw_refusal why)
{
    conn_http_problem(c, why, bgw_refusal_status(why) == 503 ? "Retry-After: 2\r\n" : NULL);
}

/* `body.data` NULL: the head of a stream. False: no memory for it. */
static bool make_response(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_slice body)
{
    struct bgw_conn_host *h = c->host;
    struct bgw_buf lines;
    bgw_buf_init(&lines, 256 + BGW_CORS_BYTES_MAX);
    bgw_buf_append_str(&lines, "Cache-Control: no-store\r\n");
    if (!body.data)
        bgw_buf_append_str(&lines, "Content-Type: text/event-stream\r\nX-Accel-Buffering: no\r\nX-Content-Type-Options: nosniff\r\n");
    bgw_cors_append(r, h->policy->origins, &lines);
    bgw_buf_append_byte(&lines, '\0');
    bgw_buf_clear(&h->out);
    const struct bgw_http_reply reply = {.status = 200,
                                         .content_type = body.data ? "application/json" : NULL,
                                         .body = body,
                                         .headers = lines.data,
                                         .head_only = r->method == BGW_HTTP_HEAD,
                                         .close = !body.data || conn_http_last(c)};
    if (!lines.failed)
        bgw_http_reply(&h->out, &reply, conn_now(c));
    bool made = !lines.failed && !h->out.failed;
    bgw_buf_deinit(&lines);
    return made;
}

static void answer_page(struct bgw_conn *c, const struct bgw_http_request *r)
{
    struct bgw_blob *event = bgw_ops_view_get(c->host->ops);
    if (!event || !make_response(c, r, bgw_ops_view_json(event)))
        refuse(c, BGW_REFUSAL_INTERNAL);
    else
        conn_http_answered(c, conn_http_last(c));
    bgw_blob_release(event);
}

/* The head is in host->out, a place was taken. Takes the claims. */
static void open_stream(struct bgw_conn *c, struct conn_ops *stream, struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    static const char hello[] = "retry: 2000\n\n";
    if (bgw_list_empty(&h->ops_streams)) {
        (void)take_event(h);
        h->ops_said_ms = conn_now(c).mono_ms;
        bgw_wheel_arm(bgw_loop_wheel(h->loop), &h->ops_timer, conn_now(c).mono_ms + LOOK_MS);
    }
    *stream = (struct conn_ops){.conn = c, .claims = *claims};
    *claims = (struct bgw_claims){0};
    bgw_list_push_back(&h->ops_streams, &stream->link);
    c->busy->ops = stream;
    bgw_metric_add(BGW_M_OPS_STREAMS, 1);
    bgw_http_reader_destroy(&c->busy->reader);
    conn_drop_key_wait(c);
    conn_disarm(c);
    c->state = CONN_OPS;
    bgw_buf_append(&h->out, bgw_slice_of(hello, sizeof(hello) - 1));
    bgw_buf_append(&h->out, bgw_blob_slice(h->ops_event));
    if (h->out.failed)
        conn_abort(c);
    else
        conn_send(c, bgw_buf_slice(&h->out));
}

static void answer_stream(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_claims *claims)
{
    if (r->method == BGW_HTTP_HEAD) {
        if (make_response(c, r, (struct bgw_slice){NULL, 0}))
            conn_http_answered(c, true);
        else
            conn_abort(c);
        return;
    }
    if (!bgw_ops_view_enter(c->host->ops)) {
        refuse(c, BGW_REFUSAL_OPS_STREAMS);
        return;
    }
    struct conn_ops *stream = make_response(c, r, (struct bgw_slice){NULL, 0}) ? malloc(sizeof(*stream)) : NULL;
    if (stream) {
        open_stream(c, stream, claims);
        return;
    }
    bgw_ops_view_leave(c->host->ops);
    conn_abort(c);
}

/* What must hold of a stream whoever asks: the page, which any page of any origin may ask for in vain, has CORS alone. */
static enum bgw_refusal check_stream(const struct bgw_conn *c, const struct bgw_http_request *r)
{
    if (c->host->draining)
        return BGW_REFUSAL_DRAINING;
    return bgw_cors_allowed(r, c->host->policy->origins) ? BGW_REFUSAL_NONE : BGW_REFUSAL_FORBIDDEN_ORIGIN;
}

void conn_ops_request(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    const unsigned flags = CONN_TOKEN_REQUEST | CONN_TOKEN_REQUIRED | CONN_TOKEN_UNCOUNTED;
    struct bgw_claims claims;
    enum bgw_refusal why = !c->host->ops ? BGW_REFUSAL_NOT_FOUND : wants_stream(r) ? check_stream(c, r) : BGW_REFUSAL_NONE;
    if (why) {
        refuse(c, why);
        return;
    }
    if (conn_door_token(c, r, flags, &claims) != CONN_TOKEN_OK)
        return;
    if (!claims.ops_read) {
        conn_audit(c, BGW_AUDIT_REFUSED, &claims, bgw_refusal_code(BGW_REFUSAL_NO_SCOPE));
        refuse(c, BGW_REFUSAL_NO_SCOPE);
    } else if (wants_stream(r)) {
        answer_stream(c, r, &claims);
    } else {
        answer_page(c, r);
    }
    bgw_claims_deinit(&claims);
}
