/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: the routes of the client port. One row a path; what has no row is a static file or 404.
 * Called by conn on its shard's thread, answers at once. Invariant: exactly one whole response is
 * appended, unless the answer is UPGRADE.
 */
#include "api.h"

#include "cors.h"
#include "native.h"
#include "stats_page.h"

#include "bgw/assert.h"

#include <stdio.h>

#define HEADERS_MAX (BGW_CORS_BYTES_MAX + 512u)

/* one request's */
struct exchange {
    const struct bgw_api *api;
    const struct bgw_http_request *request;
    struct bgw_buf *out;
    struct bgw_now now;
    bool close;
};

/* ---- the pages: each appends a body and returns its status ---- */

static int page_health(const struct bgw_api *api, const struct bgw_http_request *r,
                       struct bgw_buf *body, struct bgw_now now)
{
    (void)r;
    return bgw_health_page(body, now, api->version);
}

static int page_livez(const struct bgw_api *api, const struct bgw_http_request *r,
                      struct bgw_buf *body, struct bgw_now now)
{
    (void)api;
    (void)r;
    (void)now;
    return bgw_health_livez(body);
}

static int page_readyz(const struct bgw_api *api, const struct bgw_http_request *r,
                       struct bgw_buf *body, struct bgw_now now)
{
    struct bgw_health health = {0};
    (void)now;
    if (api->health)
        api->health(api->health_arg, &health);
    return bgw_health_readyz(body, &health, bgw_http_query_has(r->query, "verbose"));
}

static struct bgw_sources_view sources_of(const struct bgw_api *api)
{
    struct bgw_sources_view view = {.redis_memory_bytes = -1};
    if (api->sources)
        api->sources(api->sources_arg, &view);
    return view;
}

static int page_shedding(const struct bgw_api *api, const struct bgw_http_request *r,
                         struct bgw_buf *body, struct bgw_now now)
{
    const struct bgw_sources_view view = sources_of(api);
    (void)r;
    return stats_page_shedding(body, &view, now);
}

static int page_cache(const struct bgw_api *api, const struct bgw_http_request *r,
                      struct bgw_buf *body, struct bgw_now now)
{
    const struct bgw_sources_view view = sources_of(api);
    (void)r;
    return stats_page_cache(body, &view, api->flags, now);
}

static int page_ws_info(const struct bgw_api *api, const struct bgw_http_request *r,
                        struct bgw_buf *body, struct bgw_now now)
{
    (void)r;
    (void)now;
    bgw_buf_append_str(body, "{\"endpoint\":\"/ws\",\"protocols\":[\"websocket\"],"
                             "\"features\":[\"balance-updates\",\"real-time-notifications\"],"
                             "\"subprotocols\":[\"" BGW_NATIVE_PROTOCOL "\"],"
                             "\"dialects\":[\"" BGW_NATIVE_PROTOCOL "\",\"signalr-json\",\"app\",\"sse\"],\"version\":");
    bgw_buf_append_json(body, bgw_slice_str(api->version));
    bgw_buf_append_byte(body, '}');
    return 200;
}

static int page_demo_token(const struct bgw_api *api, const struct bgw_http_request *r,
                           struct bgw_buf *body, struct bgw_now now)
{
    (void)r;
    (void)now;
    if (!api->demo_token)
        return 404;
    if (api->demo_token[0] == '{') { /* the composition root's own object: token and accounts */
        bgw_buf_append_str(body, api->demo_token);
        return 200;
    }
    bgw_buf_append_str(body, "{\"token\":");
    bgw_buf_append_json(body, bgw_slice_str(api->demo_token));
    bgw_buf_append_byte(body, '}');
    return 200;
}

static const struct {
    const char *path;
    int (*page)(const struct bgw_api *, const struct bgw_http_request *, struct bgw_buf *,
                struct bgw_now);
    bool shared; /* pages of allowed origins may read it */
} routes[] = {
    {"/health", page_health, true},
    {"/livez", page_livez, true},
    {"/readyz", page_readyz, true},
    {"/ws/info", page_ws_info, true},
    {"/payments/load-shedding/stats", page_shedding, true},
    {"/v1/stats/shedding", page_shedding, true},
    {"/ledger/cache/stats", page_cache, true},
    {"/v1/stats/cache", page_cache, true},
    {"/demo/token.json", page_demo_token, false},
};

/* ---- the paths that others answer ---- */

#define HUB "/ws"
#define ACCOUNTS "/ledger/accounts/"

static bool is_hub(const struct bgw_http_request *r)
{
    return bgw_slice_eq(r->path, BGW_SLICE(HUB)) || bgw_slice_eq(r->path, BGW_SLICE(HUB "/negotiate"));
}

static bool ends_with(struct bgw_slice s, const char *suffix)
{
    size_t len = strlen(suffix);
    return s.len >= len && memcmp(s.data + s.len - len, suffix, len) == 0;
}

static bool is_read(const struct bgw_http_request *r)
{
    size_t prefix = strlen(ACCOUNTS);
    if (bgw_slice_eq(r->path, BGW_SLICE("/v1/balances")))
        return true;
    return r->path.len > prefix && memcmp(r->path.data, ACCOUNTS, prefix) == 0 &&
           (ends_with(r->path, "/balance") || ends_with(r->path, "/balance/global"));
}

static bool is_ops(const struct bgw_http_request *r)
{
    return bgw_slice_eq(r->path, BGW_SLICE("/v1/ops")) || bgw_slice_eq(r->path, BGW_SLICE("/v1/ops/stream"));
}

static const char *methods_of(const struct bgw_http_request *r)
{
    return is_hub(r) ? "GET, POST, DELETE, OPTIONS" : "GET, HEAD, OPTIONS";
}

/* ---- answers ---- */

static enum bgw_api_result done(const struct exchange *x)
{
    return x->close ? BGW_API_CLOSE : BGW_API_REPLIED;
}

static enum bgw_api_result refuse(struct exchange *x, enum bgw_refusal why, const char *headers)
{
    struct bgw_buf lines;
    bgw_buf_init(&lines, HEADERS_MAX);
    if (headers)
        bgw_buf_append_str(&lines, headers);
    bgw_cors_append(x->request, x->api->origins, &lines);
    bgw_buf_append_byte(&lines, 0);
    bgw_http_refuse(x->out, why, lines.failed ? headers : lines.data, x->request->method == BGW_HTTP_HEAD, x->now);
    bgw_buf_deinit(&lines);
    return BGW_API_CLOSE;
}

static void reply(struct exchange *x, int status, const char *content_type, struct bgw_slice body,
                  struct bgw_buf *headers)
{
    bgw_buf_append(headers, bgw_slice_of("", 1)); /* the NUL of a C string */
    BGW_ASSERT(!headers->failed);
    struct bgw_http_reply r = {.status = status,
                               .content_type = content_type,
                               .body = body,
                               .headers = headers->data,
                               .head_only = x->request->method == BGW_HTTP_HEAD,
                               .close = x->close};
    bgw_http_reply(x->out, &r, x->now);
}

static enum bgw_api_result answer_page(struct exchange *x, size_t route)
{
    struct bgw_buf body, headers;
    bgw_buf_init(&body, 65536);
    bgw_buf_init(&headers, HEADERS_MAX);
    int status = routes[route].page(x->api, x->request, &body, x->now);
    enum bgw_api_result result = done(x);
    if (body.failed) {
        result = refuse(x, BGW_REFUSAL_INTERNAL, NULL);
    } else if (!body.len) {
        result = refuse(x, BGW_REFUSAL_NOT_FOUND, NULL);
    } else {
        bgw_buf_append_str(&headers, "Cache-Control: no-store\r\n");
        if (routes[route].shared)
            bgw_cors_append(x->request, x->api->origins, &headers);
        reply(x, status, "application/json", bgw_buf_slice(&body), &headers);
    }
    bgw_buf_deinit(&body);
    bgw_buf_deinit(&headers);
    return result;
}

static enum bgw_api_result answer_options(struct exchange *x)
{
    struct bgw_buf headers;
    bgw_buf_init(&headers, HEADERS_MAX);
    bgw_cors_append_preflight(x->request, x->api->origins, methods_of(x->request), &headers);
    reply(x, 204, NULL, BGW_SLICE(""), &headers);
    bgw_buf_deinit(&headers);
    return done(x);
}

static bool etag_matches(const struct bgw_http_request *r, const char *etag)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice one;
    while (bgw_http_list_next(r, "if-none-match", &cursor, &one)) {
        if (one.len > 2 && one.data[0] == 'W' && one.data[1] == '/')
            one = bgw_slice_of(one.data + 2, one.len - 2); /* weak comparison: RFC 9110, 13.1.2 */
        if (bgw_slice_eq(one, BGW_SLICE("*")) || bgw_slice_eq(one, bgw_slice_str(etag)))
            return true;
    }
    return false;
}

static enum bgw_api_result answer_static(struct exchange *x)
{
    struct bgw_page page;
    struct bgw_buf headers;
    enum bgw_api_result result = done(x);
    bgw_buf_init(&headers, HEADERS_MAX);
    bool gzip = bgw_http_accepts(x->request, "accept-encoding", "gzip");
    if (!bgw_static_find(x->api->config->web_root, x->request->path, gzip, &page)) {
        result = refuse(x, BGW_REFUSAL_NOT_FOUND, NULL);
    } else {
        /* no-cache: keep it, but ask each time; the tag makes the question cheap */
        bgw_buf_appendf(&headers, "ETag: %s\r\nCache-Control: %s\r\n%s%s", page.etag,
                        page.lasting ? "public, max-age=31536000, immutable" : "no-cache",
                        page.varies ? "Vary: Accept-Encoding\r\n" : "", page.gzip ? "Content-Encoding: gzip\r\n" : "");
        bgw_buf_append_str(
            &headers,
            "Content-Security-Policy: default-src 'self'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'\r\n"
            "Referrer-Policy: no-referrer\r\n");
        if (etag_matches(x->request, page.etag))
            reply(x, 304, NULL, BGW_SLICE(""), &headers);
        else
            reply(x, 200, page.content_type, page.body, &headers);
    }
    bgw_buf_deinit(&page.loaded);
    bgw_buf_deinit(&headers);
    return result;
}

static enum bgw_api_result answer_path(struct exchange *x)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
        if (bgw_slice_eq(x->request->path, bgw_slice_str(routes[i].path)))
            return answer_page(x, i);
    }
    return answer_static(x);
}

enum bgw_api_result bgw_api_answer(const struct bgw_api *api, const struct bgw_http_request *r,
                                   bool last, struct bgw_buf *out, struct bgw_now now)
{
    struct exchange x = {
        .api = api, .request = r, .out = out, .now = now, .close = last || !r->keep_alive};
    if (r->encoded_slash && !is_read(r)) /* in an account it is a bad id, as anything else that is none */
        return refuse(&x, BGW_REFUSAL_BAD_TARGET, NULL);
    if (r->method == BGW_HTTP_OPTIONS)
        return answer_options(&x);
    if (is_hub(r))
        return r->upgrade && bgw_slice_eq(r->path, BGW_SLICE(HUB)) ? BGW_API_UPGRADE : BGW_API_NEGOTIATE;
    if (r->method != BGW_HTTP_GET && r->method != BGW_HTTP_HEAD) {
        char allow[64];
        snprintf(allow, sizeof(allow), "Allow: %s\r\n", methods_of(r));
        return refuse(&x, BGW_REFUSAL_METHOD, allow);
    }
    if (r->upgrade)
        return refuse(&x, BGW_REFUSAL_NOT_FOUND, NULL);
    if (bgw_slice_eq(r->path, BGW_SLICE("/v1/stream")))
        return BGW_API_STREAM;
    if (is_ops(r))
        return BGW_API_OPS;
    return is_read(r) ? BGW_API_READ : answer_path(&x);
}
