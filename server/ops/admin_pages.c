/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_pages: the pages of the admin port and the bytes of their responses. Called by
 * admin_http.c on the ops thread. A page is made whole in memory (bounded) before its header, so a
 * Content-Length always tells the truth.
 */
#include "admin_pages.h"

#include "flags_page.h"
#include "warmup_page.h"

#include "bgw/metrics.h"

#define BODY_MAX (8u << 20) /* thousands of partitions' lag fit many times */
#define JSON "application/json"
#define PROBLEM "application/problem+json"
#define METRICS "text/plain; version=0.0.4; charset=utf-8"

static const struct {
    int status;
    const char *title, *code, *detail;
} problems[] = {
    {400, "Bad Request", "bad_request", "the request is not well-formed HTTP/1.1 (CRLF line ends, one Host, one length)"},
    {403, "Forbidden", "browser", "this port is for operators: what a browser's page sends (Origin) is refused"},
    {404, "Not Found", "not_found", "the pages here are /metrics, /health, /livez, /readyz, /readyz?verbose, /version, /flags and, by POST, /revocations, /flags and /v1/warmup"},
    {405, "Method Not Allowed", "method_not_allowed", "pages are read with GET or HEAD; /revocations and /v1/warmup take POST, /flags takes both"},
    {408, "Request Timeout", "timeout", "the request did not arrive in time"},
    {411, "Length Required", "length_required", "a body is announced by Content-Length, and not sent in chunks"},
    {413, "Content Too Large", "too_large", "a revocation may have 131072 bytes, a warm-up 1048576, flags 4096; other requests have no body"},
    {414, "URI Too Long", "uri_too_long", "the request line may have 2048 bytes"},
    {415, "Unsupported Media Type", "media_type", "a body is sent as Content-Type: application/json"},
    {417, "Expectation Failed", "expectation", "the one expectation that is met here is 100-continue"},
    {422, "Unprocessable Content", "unprocessable", "the body was understood and cannot be acted on"},
    {431, "Request Header Fields Too Large", "header_too_large", "the request header may have 8192 bytes"},
    {500, "Internal Server Error", "internal", "the page could not be made: no memory"},
    {501, "Not Implemented", "transfer_encoding", "no transfer coding is understood here: send Content-Length"},
    {503, "Service Unavailable", "too_many_connections", "the admin port serves 64 connections at once"},
    {504, "Gateway Timeout", "no_answer", "the revocation acts on this gateway; whether it was recorded is not known: send it again"},
    {505, "HTTP Version Not Supported", "http_version", "this port speaks HTTP/1.1"},
};

static const char *title_of(int status)
{
    for (size_t i = 0; i < sizeof(problems) / sizeof(*problems); i++)
        if (problems[i].status == status)
            return problems[i].title;
    return status == 202 ? "Accepted" : "OK";
}

static const struct path {
    const char *text;
    bool reads, posts;
    size_t body_max;
} paths[] = {
    {"/metrics", true, false, 0},
    {"/health", true, false, 0},
    {"/livez", true, false, 0},
    {"/readyz", true, false, 0},
    {"/version", true, false, 0},
    {"/flags", true, true, 4096},
    {"/revocations", false, true, 131072},
    {"/v1/warmup", false, true, BGW_ADMIN_BODY_MAX},
};

static const struct path *path_of(struct bgw_slice text)
{
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        if (bgw_slice_eq(text, bgw_slice_str(paths[i].text)))
            return &paths[i];
    return NULL;
}

static const char *allow_line(struct bgw_slice path)
{
    const struct path *p = path_of(path);
    if (p && p->posts)
        return p->reads ? "Allow: GET, HEAD, POST\r\n\r\n" : "Allow: POST\r\n\r\n";
    return "Allow: GET, HEAD\r\n\r\n";
}

static void append_head(struct bgw_buf *out, int status, const char *type, size_t len, bool keep_alive)
{
    bgw_buf_appendf(out,
                    "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                    "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
                    status, title_of(status), type, len);
    if (status == 503)
        bgw_buf_append_str(out, "Retry-After: 1\r\n");
    bgw_buf_appendf(out, "Connection: %s\r\n\r\n", keep_alive ? "keep-alive" : "close");
}

static void append_problem(struct bgw_buf *body, int status)
{
    for (size_t i = 0; i < sizeof(problems) / sizeof(*problems); i++)
        if (problems[i].status == status)
            bgw_buf_appendf(body,
                            "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\","
                            "\"detail\":\"%s\"}",
                            problems[i].title, status, problems[i].code, problems[i].detail);
}

void bgw_admin_refuse(int status, struct bgw_slice path, struct bgw_buf *out)
{
    struct bgw_buf body;
    bgw_buf_init(&body, 4096);
    append_problem(&body, status);
    append_head(out, status, PROBLEM, body.len, false);
    if (status == 405) { /* before the empty line */
        out->len -= out->failed ? 0 : 2;
        bgw_buf_append_str(out, allow_line(path));
    }
    bgw_buf_append(out, bgw_buf_slice(&body));
    bgw_buf_deinit(&body);
}

void bgw_admin_reply(int status, struct bgw_slice json, bool keep_alive, struct bgw_buf *out)
{
    append_head(out, status, status < 400 ? JSON : PROBLEM, json.len, keep_alive);
    bgw_buf_append(out, json);
}

int bgw_admin_problem(struct bgw_buf *out, int status, const char *code, struct bgw_slice detail)
{
    bgw_buf_appendf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":", title_of(status), status,
                    code);
    bgw_buf_append_json(out, detail);
    bgw_buf_append_byte(out, '}');
    return status;
}

/* What this gateway has no part for is not there. */
static bool has_part(const struct bgw_admin_config *config, struct bgw_slice path)
{
    if (bgw_slice_eq(path, BGW_SLICE("/revocations")))
        return config->revoke;
    if (bgw_slice_eq(path, BGW_SLICE("/v1/warmup")))
        return config->warm;
    return config->flags || !bgw_slice_eq(path, BGW_SLICE("/flags"));
}

int bgw_admin_route(const struct bgw_admin_config *config, const struct bgw_admin_request *request)
{
    const struct path *p = path_of(request->path);
    if (!p || !has_part(config, request->path))
        return 404;
    if (request->method != BGW_ADMIN_POST)
        return p->reads ? 200 : 405;
    if (!p->posts)
        return 405;
    if (request->origin)
        return 403;
    if (!request->has_length)
        return 411;
    if (request->content_length > p->body_max)
        return 413;
    return request->json ? 200 : 415;
}

int bgw_admin_post(const struct bgw_admin_config *config, const char *path, struct bgw_slice body, uint64_t token,
                   struct bgw_buf *answer)
{
    if (strcmp(path, "/flags") == 0)
        return flags_page_change(config->flags, body, answer);
    if (strcmp(path, "/v1/warmup") == 0)
        return warmup_page(config, body, answer);
    return config->revoke(config->revoke_arg, body, token, answer);
}

static bool has_flag(struct bgw_slice query, const char *name)
{
    while (query.len) {
        const char *amp = memchr(query.data, '&', query.len);
        size_t len = amp ? (size_t)(amp - query.data) : query.len;
        const char *eq = memchr(query.data, '=', len);
        struct bgw_slice word = bgw_slice_of(query.data, eq ? (size_t)(eq - query.data) : len);
        if (bgw_slice_eq(word, bgw_slice_str(name)))
            return true;
        query = amp ? bgw_slice_of(amp + 1, query.len - len - 1) : bgw_slice_of(query.data, 0);
    }
    return false;
}

/* Fills the body; returns the status and the media type. */
static int make_page(const struct bgw_admin_config *config, const struct bgw_admin_request *request,
                     struct bgw_now now, struct bgw_buf *body, const char **type)
{
    *type = JSON;
    if (bgw_slice_eq(request->path, BGW_SLICE("/metrics"))) {
        *type = METRICS;
        bgw_metrics_write(body);
        return 200;
    }
    if (bgw_slice_eq(request->path, BGW_SLICE("/health")))
        return bgw_health_page(body, now, config->version);
    if (bgw_slice_eq(request->path, BGW_SLICE("/livez")))
        return bgw_health_livez(body);
    if (bgw_slice_eq(request->path, BGW_SLICE("/readyz"))) {
        struct bgw_health health = {0};
        config->health(config->health_arg, &health);
        return bgw_health_readyz(body, &health, has_flag(request->query, "verbose"));
    }
    if (bgw_slice_eq(request->path, BGW_SLICE("/flags")) && config->flags)
        return flags_page(config->flags, body);
    if (bgw_slice_eq(request->path, BGW_SLICE("/version"))) {
        bgw_buf_append_str(body, "{\"service\":\"bgw\",\"version\":");
        bgw_buf_append_json(body, bgw_slice_str(config->version));
        bgw_buf_append_str(body, "}");
        return 200;
    }
    *type = PROBLEM;
    append_problem(body, 404);
    return 404;
}

void bgw_admin_answer(const struct bgw_admin_config *config, const struct bgw_admin_request *request,
                      struct bgw_now now, struct bgw_buf *out)
{
    struct bgw_buf body;
    const char *type;
    bgw_buf_init(&body, BODY_MAX);
    int status = make_page(config, request, now, &body, &type);
    if (body.failed) {
        bgw_buf_deinit(&body);
        bgw_admin_refuse(500, request->path, out);
        return;
    }
    append_head(out, status, type, body.len, request->keep_alive);
    if (request->method != BGW_ADMIN_HEAD)
        bgw_buf_append(out, bgw_buf_slice(&body));
    bgw_buf_deinit(&body);
}
