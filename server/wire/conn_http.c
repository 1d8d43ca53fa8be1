/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_http: requests on a connection and their responses. Hides when a connection outlives its
 * response and which deadline runs meanwhile. Called by conn, and by the files that answer requests
 * for their last step, on the shard's thread. Invariant: a request gets exactly one response, they
 * leave in the order of their requests, and the next one is parsed when its predecessor's response
 * is with the kernel.
 */
#include "conn_private.h"

#include "cors.h"

#include "bgw/assert.h"

#define OUT_KEPT 65536u /* of the response's memory, after a large file went by */

bool conn_http_last(const struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    return c->host->draining || !r->keep_alive;
}

static void forget_large(struct bgw_buf *out)
{
    if (out->cap <= OUT_KEPT)
        return;
    bgw_buf_deinit(out);
    bgw_buf_init(out, BGW_REPLY_MAX);
}

void conn_http_answered(struct bgw_conn *c, bool close)
{
    struct bgw_conn_host *h = c->host;
    bool waited = c->state != CONN_HTTP;
    if (c->state == CONN_DONE)
        return;
    c->served = true;
    c->state = CONN_HTTP;
    bgw_http_reader_destroy(&c->busy->reader);
    conn_drop_key_wait(c);
    if (h->out.failed) { /* no memory for the response: nothing of it went out */
        conn_abort(c);
        return;
    }
    conn_send(c, bgw_buf_slice(&h->out));
    if (close)
        conn_finish(c);
    else
        conn_arm(c, h->policy->idle_ms);
    forget_large(&h->out);
    /* what came behind the request is looked at when the turn ends */
    if (!waited || c->state != CONN_HTTP)
        return;
    h->answered = true;
    if (!bgw_list_linked(&c->busy->wait_link))
        bgw_list_push_back(&h->waiting, &c->busy->wait_link);
}

/* An allowed page may read why it was refused; without memory for that it sees a request that failed. */
void conn_http_make_problem(struct bgw_conn *c, const struct bgw_http_problem *p)
{
    struct bgw_http_problem whole = *p;
    struct bgw_buf lines;
    whole.head_only = bgw_http_reader_request(c->busy->reader)->method == BGW_HTTP_HEAD;
    bgw_buf_init(&lines, BGW_CORS_BYTES_MAX + 512);
    bgw_buf_append_str(&lines, p->headers ? p->headers : "");
    bgw_cors_append(bgw_http_reader_request(c->busy->reader), c->host->policy->origins, &lines);
    bgw_buf_append_byte(&lines, '\0');
    if (!lines.failed)
        whole.headers = lines.data;
    bgw_buf_clear(&c->host->out);
    bgw_http_reply_problem(&c->host->out, &whole, conn_now(c));
    bgw_buf_deinit(&lines);
}

void conn_http_problem(struct bgw_conn *c, enum bgw_refusal why, const char *headers)
{
    bool last = conn_http_last(c);
    const struct bgw_http_problem p = {.status = bgw_refusal_status(why),
                                       .code = bgw_refusal_code(why),
                                       .detail = bgw_refusal_sentence(why),
                                       .headers = headers,
                                       .head_only = bgw_http_reader_request(c->busy->reader)->method == BGW_HTTP_HEAD,
                                       .keep = !last};
    conn_http_make_problem(c, &p);
    conn_http_answered(c, last);
}

/* ---- refusals of what wanted a session ---- */

void conn_http_refuse(struct bgw_conn *c, enum bgw_metric counter, enum bgw_refusal why, const char *headers)
{
    const struct bgw_http_problem p = {
        .status = bgw_refusal_status(why), .code = bgw_refusal_code(why), .detail = bgw_refusal_sentence(why), .headers = headers};
    bgw_metric_add(counter, 1);
    conn_http_make_problem(c, &p);
    conn_http_answered(c, true);
}

static enum bgw_metric counter_of(enum bgw_refusal why)
{
    switch (why) {
    case BGW_REFUSAL_FORBIDDEN_ORIGIN:
        return BGW_M_HANDSHAKES_FORBIDDEN_ORIGIN;
    case BGW_REFUSAL_FORBIDDEN_CLIENT:
        return BGW_M_HANDSHAKES_FORBIDDEN_CLIENT;
    case BGW_REFUSAL_BUDGET:
        return BGW_M_HANDSHAKES_BUDGET;
    case BGW_REFUSAL_ADDRESS_LIMIT:
        return BGW_M_HANDSHAKES_ADDRESS_LIMIT;
    case BGW_REFUSAL_DRAINING:
        return BGW_M_HANDSHAKES_DRAINING;
    case BGW_REFUSAL_PUSH_OFF:
        return BGW_M_HANDSHAKES_PUSH_OFF;
    case BGW_REFUSAL_KEY_UNAVAILABLE:
        return BGW_M_HANDSHAKES_TIMEOUT;
    case BGW_REFUSAL_INTERNAL:
    case BGW_REFUSAL_OVERLOAD:
        return BGW_M_HANDSHAKES_OVERLOAD;
    default:
        return bgw_refusal_status(why) == 401 ? BGW_M_HANDSHAKES_UNAUTHORIZED : BGW_M_HANDSHAKES_BAD_REQUEST;
    }
}

void conn_http_refuse_handshake(struct bgw_conn *c, enum bgw_refusal why)
{
    char retry_after[40];
    const char *headers = NULL;
    int status = bgw_refusal_status(why);
    if (status == 426)
        headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    if (status == 401)
        headers = "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_request\"\r\n";
    if (why == BGW_REFUSAL_BUDGET || status == 429) {
        conn_door_retry_after(c->host, retry_after);
        headers = retry_after;
    } else if (status == 503) {
        headers = "Retry-After: 2\r\n";
    }
    conn_http_refuse(c, counter_of(why), why, headers);
}

/* ---- requests ---- */

static void refuse_unread(struct bgw_conn *c)
{
    enum bgw_refusal why = bgw_http_reader_refusal(c->busy->reader);
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    bgw_buf_clear(&c->host->out);
    bgw_http_refuse(&c->host->out, why, why == BGW_REFUSAL_METHOD ? "Allow: GET, HEAD, OPTIONS\r\n" : NULL,
                    r->method == BGW_HTTP_HEAD, conn_now(c));
    conn_http_answered(c, true);
}

void conn_http_request(struct bgw_conn *c)
{
    struct bgw_conn_host *h = c->host;
    bgw_buf_clear(&h->out);
    h->api.origins = h->policy->origins;
    switch (bgw_api_answer(&h->api, bgw_http_reader_request(c->busy->reader), h->draining, &h->out, conn_now(c))) {
    case BGW_API_REPLIED:
        conn_http_answered(c, false);
        break;
    case BGW_API_CLOSE:
        conn_http_answered(c, true);
        break;
    case BGW_API_UPGRADE:
        conn_ws_upgrade(c);
        break;
    case BGW_API_NEGOTIATE:
        conn_negotiate_request(c);
        break;
    case BGW_API_STREAM:
        conn_stream_request(c);
        break;
    case BGW_API_OPS:
        conn_ops_request(c);
        break;
    case BGW_API_READ:
        conn_read_request(c);
        break;
    }
}

static bool begin(struct bgw_conn *c)
{
    const struct bgw_policy *p = c->host->policy;
    const struct bgw_http_limits limits = {p->header_bytes_max, p->body_bytes_max};
    c->busy->reader = bgw_http_reader_create(&limits);
    if (!c->busy->reader) {
        conn_abort(c);
        return false;
    }
    if (c->served) /* the first request's deadline runs since accept */
        conn_arm(c, p->header_ms);
    return true;
}

size_t conn_http_feed(struct bgw_conn *c, struct bgw_slice bytes)
{
    size_t used = 0;
    if (!c->busy->reader && !begin(c))
        return bytes.len;
    switch (bgw_http_read(c->busy->reader, bytes, &used)) {
    case BGW_HTTP_MORE:
        break;
    case BGW_HTTP_DONE:
        conn_http_request(c);
        break;
    case BGW_HTTP_REFUSED:
        refuse_unread(c);
        return bytes.len;
    }
    return used;
}

void conn_http_deadline(struct bgw_conn *c)
{
    if (bgw_socket_buffered(c->sock)) { /* a response is on its way: the transport judges stalls */
        conn_arm(c, c->host->policy->idle_ms);
        return;
    }
    if (c->busy->reader || !c->served) {
        bgw_buf_clear(&c->host->out);
        bgw_http_refuse(&c->host->out, BGW_REFUSAL_TIMEOUT, NULL, false, conn_now(c));
        conn_send(c, bgw_buf_slice(&c->host->out));
    }
    conn_finish(c);
}
