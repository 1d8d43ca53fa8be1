/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_reply: responses as bytes. Hides status texts, the Date header, problem bodies (RFC 9457)
 * and the counters by status. Called by conn and api on a shard's thread. Invariant: every response
 * that ends the connection says so, and every refusal carries a body with a stable code.
 */
#include "bgw/http.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <time.h>

static const struct {
    int status;
    const char *code, *sentence;
} refusals[BGW_REFUSAL_COUNT] = {
    {500, "internal_error", "the gateway could not answer: try again"}, /* NONE is never sent */
#define BGW_REFUSAL_ROW(NAME, status, code, sentence) {status, code, sentence},
#include "refusal.def"
#undef BGW_REFUSAL_ROW
};

static const struct {
    int status;
    enum bgw_metric counter;
    const char *text;
} statuses[] = {
    {101, BGW_M_HTTP_101, "Switching Protocols"},
    {200, BGW_M_HTTP_200, "OK"},
    {202, BGW_M_HTTP_202, "Accepted"},
    {204, BGW_M_HTTP_204, "No Content"},
    {304, BGW_M_HTTP_304, "Not Modified"},
    {400, BGW_M_HTTP_400, "Bad Request"},
    {401, BGW_M_HTTP_401, "Unauthorized"},
    {403, BGW_M_HTTP_403, "Forbidden"},
    {404, BGW_M_HTTP_404, "Not Found"},
    {405, BGW_M_HTTP_405, "Method Not Allowed"},
    {408, BGW_M_HTTP_408, "Request Timeout"},
    {409, BGW_M_HTTP_409, "Conflict"},
    {412, BGW_M_HTTP_412, "Precondition Failed"},
    {413, BGW_M_HTTP_413, "Content Too Large"},
    {414, BGW_M_HTTP_414, "URI Too Long"},
    {417, BGW_M_HTTP_417, "Expectation Failed"},
    {426, BGW_M_HTTP_426, "Upgrade Required"},
    {429, BGW_M_HTTP_429, "Too Many Requests"},
    {431, BGW_M_HTTP_431, "Request Header Fields Too Large"},
    {500, BGW_M_HTTP_500, "Internal Server Error"},
    {503, BGW_M_HTTP_503, "Service Unavailable"},
};

int bgw_refusal_status(enum bgw_refusal r)
{
    BGW_ASSERT(r < BGW_REFUSAL_COUNT);
    return refusals[r].status;
}

const char *bgw_refusal_code(enum bgw_refusal r)
{
    BGW_ASSERT(r < BGW_REFUSAL_COUNT);
    return refusals[r].code;
}

const char *bgw_refusal_sentence(enum bgw_refusal r)
{
    BGW_ASSERT(r < BGW_REFUSAL_COUNT);
    return refusals[r].sentence;
}

static size_t status_row(int status)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        if (statuses[i].status == status)
            return i;
    }
    bgw_assert_fail("every status has a row", __FILE__, __LINE__);
    return 0;
}

/* A second's line serves all of its responses. */
struct date_line { /* one thread's */
    int64_t second;
    int len; /* 0: none yet */
    char text[64];
};

static void make_date(struct date_line *d, int64_t second)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)second;
    struct tm t;
    d->len = 0;
    d->second = second;
    if (!gmtime_r(&seconds, &t))
        return;
    int len = snprintf(d->text, sizeof(d->text), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[t.tm_wday],
                       t.tm_mday, months[t.tm_mon], t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
    d->len = len < (int)sizeof(d->text) ? len : 0;
}

static void append_date(struct bgw_buf *out, struct bgw_now now)
{
    static _Thread_local struct date_line line;
    int64_t second = now.wall_ms / 1000;
    if (!line.len || line.second != second)
        make_date(&line, second);
    bgw_buf_append(out, bgw_slice_of(line.text, (size_t)line.len));
}

void bgw_http_reply_head(struct bgw_buf *out, const struct bgw_http_reply *r, size_t body_len,
                         struct bgw_now now)
{
    size_t row = status_row(r->status);
    bgw_metric_add(statuses[row].counter, 1);
    bgw_buf_append_str(out, "HTTP/1.1 ");
    bgw_buf_append_u64(out, (uint64_t)r->status);
    bgw_buf_append_byte(out, ' ');
    bgw_buf_append_str(out, statuses[row].text);
    bgw_buf_append_str(out, "\r\n");
    append_date(out, now);
    if (r->content_type) {
        bgw_buf_append_str(out, "Content-Type: ");
        bgw_buf_append_str(out, r->content_type);
        bgw_buf_append_str(out, "\r\nContent-Length: ");
        bgw_buf_append_u64(out, body_len);
        bgw_buf_append_str(out, "\r\nX-Content-Type-Options: nosniff\r\n");
    }
    if (r->headers)
        bgw_buf_append_str(out, r->headers);
    if (r->close)
        bgw_buf_append_str(out, r->status == 426 ? "Connection: Upgrade, close\r\n" : "Connection: close\r\n");
    bgw_buf_append_str(out, "\r\n");
}

void bgw_http_reply(struct bgw_buf *out, const struct bgw_http_reply *r, struct bgw_now now)
{
    bgw_http_reply_head(out, r, r->body.len, now);
    if (r->content_type && !r->head_only)
        bgw_buf_append(out, r->body);
}

void bgw_http_reply_problem(struct bgw_buf *out, const struct bgw_http_problem *p,
                            struct bgw_now now)
{
    struct bgw_buf body;
    bgw_buf_init(&body, 65536);
    bgw_buf_appendf(
        &body,
        "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":",
        statuses[status_row(p->status)].text, p->status, p->code);
    bgw_buf_append_json(&body, bgw_slice_str(p->detail));
    bgw_buf_append(&body, p->members);
    bgw_buf_append_str(&body, "}\n");
    char headers[2048] = "Cache-Control: no-store\r\n";
    if (p->headers) {
        BGW_ASSERT(strlen(headers) + strlen(p->headers) < sizeof(headers));
        strcat(headers, p->headers);
    }
    struct bgw_http_reply r = {.status = p->status,
                               .content_type = "application/problem+json",
                               .body = bgw_buf_slice(&body),
                               .headers = headers,
                               .head_only = p->head_only,
                               .close = !p->keep};
    bgw_http_reply(out, &r, now);
    bgw_buf_deinit(&body);
}

void bgw_http_refuse(struct bgw_buf *out, enum bgw_refusal why, const char *headers, bool head_only,
                     struct bgw_now now)
{
    struct bgw_http_problem p = {.status = bgw_refusal_status(why),
                                 .code = bgw_refusal_code(why),
                                 .detail = bgw_refusal_sentence(why),
                                 .headers = headers,
                                 .head_only = head_only};
    bgw_http_reply_problem(out, &p, now);
}

void bgw_http_reply_upgrade(struct bgw_buf *out, const char *accept, const char *protocol)
{
    bgw_metric_add(BGW_M_HTTP_101, 1);
    bgw_buf_append_str(
        out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             "Sec-WebSocket-Accept: ");
    bgw_buf_append_str(out, accept);
    if (protocol) {
        bgw_buf_append_str(out, "\r\nSec-WebSocket-Protocol: ");
        bgw_buf_append_str(out, protocol);
    }
    bgw_buf_append_str(out, "\r\n\r\n");
}
