/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors: which pages may read an answer. Hides how an Origin header is compared with the gateway's
 * own host and with the operator's list. Called by api, the handshake and every file that answers
 * requests. Invariant: an origin is echoed only if it is allowed, and then byte for byte.
 */
#include "cors.h"

#define ORIGIN_BYTES_MAX 256u

static struct bgw_slice skip(struct bgw_slice s, size_t n)
{
    return bgw_slice_of(s.data + n, s.len - n);
}

static bool starts_with(struct bgw_slice s, const char *prefix)
{
    size_t len = strlen(prefix);
    return s.len >= len && bgw_slice_eq_nocase(bgw_slice_of(s.data, len), bgw_slice_str(prefix));
}

static bool ends_with(struct bgw_slice s, const char *suffix)
{
    size_t len = strlen(suffix);
    return s.len >= len && memcmp(s.data + s.len - len, suffix, len) == 0;
}

static struct bgw_slice without_port(struct bgw_slice host, const char *port)
{
    if (ends_with(host, port))
        host.len -= strlen(port);
    return host;
}

/* "http://host[:port]" names `host`, the scheme's own port written or not. */
static bool same_host(struct bgw_slice origin, struct bgw_slice host)
{
    const char *port = ":80";
    size_t scheme = strlen("http://");
    if (starts_with(origin, "https://")) {
        port = ":443";
        scheme = strlen("https://");
    } else if (!starts_with(origin, "http://")) {
        return false;
    }
    return host.len &&
           bgw_slice_eq_nocase(without_port(skip(origin, scheme), port), without_port(host, port));
}

static bool listed(struct bgw_slice origin, const char *origins)
{
    for (const char *at = origins; at && *at;) {
        at += strspn(at, ", \t");
        size_t len = strcspn(at, ", \t");
        struct bgw_slice entry = bgw_slice_of(at, len);
        if (len && (bgw_slice_eq(entry, BGW_SLICE("*")) || bgw_slice_eq_nocase(entry, origin)))
            return true;
        at += len;
    }
    return false;
}

bool bgw_cors_allowed(const struct bgw_http_request *r, const char *origins)
{
    struct bgw_slice origin = bgw_http_header(r, "origin", 0);
    return !origin.data || same_host(origin, r->host) || listed(origin, origins);
}

/* An origin that a browser sent and that may be echoed; data NULL: none. */
static struct bgw_slice echoed(const struct bgw_http_request *r, const char *origins)
{
    struct bgw_slice origin = bgw_http_header(r, "origin", 0);
    bool fine = origin.data && origin.len <= ORIGIN_BYTES_MAX && bgw_cors_allowed(r, origins);
    return fine ? origin : (struct bgw_slice){NULL, 0};
}

static void append_origin(struct bgw_slice origin, struct bgw_buf *headers)
{
    bgw_buf_append_str(headers, "Access-Control-Allow-Origin: ");
    bgw_buf_append(headers, origin);
    bgw_buf_append_str(headers, "\r\nAccess-Control-Allow-Credentials: true\r\n");
}

void bgw_cors_append(const struct bgw_http_request *r, const char *origins, struct bgw_buf *headers)
{
    struct bgw_slice origin = echoed(r, origins);
    bgw_buf_append_str(headers, "Vary: Origin\r\n");
    if (!origin.data)
        return;
    append_origin(origin, headers);
    bgw_buf_append_str(headers, "Access-Control-Expose-Headers: ETag, Age, Warning, Retry-After, X-Balance-Version, "
                                "X-Balance-Source, X-Cache-Status\r\n");
}

void bgw_cors_append_preflight(const struct bgw_http_request *r, const char *origins, const char *methods, struct bgw_buf *headers)
{
    struct bgw_slice origin = echoed(r, origins);
    bgw_buf_appendf(headers, "Allow: %s\r\nVary: Origin\r\n", methods);
    if (!origin.data)
        return;
    append_origin(origin, headers);
    if (!bgw_http_header(r, "access-control-request-method", 0).data)
        return;
    bgw_buf_appendf(headers, "Access-Control-Allow-Methods: %s\r\n", methods);
    bgw_buf_append_str(headers, "Access-Control-Allow-Headers: authorization, content-type, x-requested-with, x-signalr-user-agent, "
                                "if-none-match, cache-control, last-event-id, x-min-version, x-tenant-id\r\n"
                                "Access-Control-Max-Age: 600\r\n");
}
