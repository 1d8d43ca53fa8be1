/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_rules: what RFC 9110 and 9112 ask and the parsing library does not check: the exact request
 * line, target grammar, Host, singletons, framing of upgrades, versions. Pure; shard thread.
 * Invariant: a request that passes has one reading only, whatever proxy stood before us.
 */
#include "http_private.h"

static const char *const method_names[] = {"GET",    "HEAD",  "POST",   "PUT",
                                           "DELETE", "PATCH", "OPTIONS"};

static enum bgw_http_method method_of(struct bgw_slice word)
{
    for (size_t i = 0; i < sizeof(method_names) / sizeof(*method_names); i++) {
        if (bgw_slice_eq(word, bgw_slice_str(method_names[i])))
            return (enum bgw_http_method)i;
    }
    return BGW_HTTP_OTHER;
}

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* pchar, '/' and '?' of RFC 3986; what stands behind '%' is judged by the decoder. */
static bool target_char(unsigned char c)
{
    return is_alnum(c) || (c && strchr("-._~%!$&'()*+,;=:@/?", c));
}

static bool host_valid(struct bgw_slice host)
{
    size_t i = 0;
    if (host.len && host.data[0] == '[') { /* an IPv6 address */
        for (i = 1; i < host.len && host.data[i] != ']'; i++) {
            if (!strchr("0123456789abcdefABCDEF:.", host.data[i]))
                return false;
        }
        if (i < 3 || i >= host.len)
            return false;
        i++;
    } else {
        while (i < host.len &&
               (is_alnum((unsigned char)host.data[i]) || strchr("-._~", host.data[i])))
            i++;
        if (i == 0)
            return false;
    }
    if (i == host.len)
        return true;
    if (host.data[i++] != ':' || host.len - i > 5)
        return false;
    for (; i < host.len; i++) {
        if (host.data[i] < '0' || host.data[i] > '9')
            return false;
    }
    return true;
}

static bool split_line(struct bgw_slice line, struct bgw_slice word[3])
{
    const char *at = line.data, *end = line.data + line.len;
    for (int i = 0; i < 3; i++) {
        const char *space = i < 2 ? memchr(at, ' ', (size_t)(end - at)) : end;
        if (!space || space == at)
            return false;
        word[i] = bgw_slice_of(at, (size_t)(space - at));
        at = space + 1;
    }
    return true;
}

enum bgw_refusal bgw_http_rules_line(struct http_head *h, struct bgw_http_request *r)
{
    struct bgw_slice word[3];
    if (!split_line(bgw_slice_of(h->head.data, h->request_line_len), word))
        return BGW_REFUSAL_BAD_REQUEST_LINE;
    for (size_t i = 0; i < word[0].len; i++) {
        if ((word[0].data[i] < 'A' || word[0].data[i] > 'Z') && word[0].data[i] != '-')
            return BGW_REFUSAL_BAD_REQUEST_LINE;
    }
    r->method = method_of(word[0]);
    r->http10 = bgw_slice_eq(word[2], BGW_SLICE("HTTP/1.0"));
    if (!r->http10 && !bgw_slice_eq(word[2], BGW_SLICE("HTTP/1.1"))) {
        bool version = word[2].len == 8 && memcmp(word[2].data, "HTTP/", 5) == 0;
        return version ? BGW_REFUSAL_BAD_VERSION : BGW_REFUSAL_BAD_REQUEST_LINE;
    }
    if (r->method == BGW_HTTP_OTHER)
        return BGW_REFUSAL_METHOD;
    if (word[1].data[0] != '/' && !bgw_slice_eq(word[1], BGW_SLICE("*")) &&
        !memmem(word[1].data, word[1].len, "://", 3))
        return BGW_REFUSAL_BAD_TARGET;
    for (size_t i = 0; i < word[1].len; i++) {
        /* brackets stand around an address in http://[address]/path, nowhere else: judge_target sees to it */
        bool bracket = word[1].data[0] != '/' && (word[1].data[i] == '[' || word[1].data[i] == ']');
        if (!bracket && !target_char((unsigned char)word[1].data[i]))
            return BGW_REFUSAL_BAD_TARGET;
    }
    return BGW_REFUSAL_NONE;
}

/* The target again, now that the buffer does not move any more. http://host/path must name `host`.
 */
static enum bgw_refusal judge_target(struct http_head *h, struct bgw_http_request *r)
{
    struct bgw_slice word[3];
    if (!split_line(bgw_slice_of(h->head.data, h->request_line_len), word))
        return BGW_REFUSAL_BAD_REQUEST_LINE;
    struct bgw_slice target = word[1];
    if (r->method == BGW_HTTP_OPTIONS && bgw_slice_eq(target, BGW_SLICE("*"))) {
        r->path = target;
        return BGW_REFUSAL_NONE;
    }
    if (target.data[0] != '/') {
        size_t scheme = target.len > 7 && bgw_slice_eq_nocase(bgw_slice_of(target.data, 7),
                                                              BGW_SLICE("http://"))
                            ? 7
                        : target.len > 8 && bgw_slice_eq_nocase(bgw_slice_of(target.data, 8),
                                                                BGW_SLICE("https://"))
                            ? 8
                            : 0;
        const char *slash = scheme ? memchr(target.data + scheme, '/', target.len - scheme) : NULL;
        if (!slash || !bgw_slice_eq_nocase(bgw_slice_of(target.data + scheme,
                                                        (size_t)(slash - target.data) - scheme),
                                           r->host))
            return BGW_REFUSAL_BAD_TARGET;
        target = bgw_slice_of(slash, target.len - (size_t)(slash - target.data));
        if (memchr(target.data, '[', target.len) || memchr(target.data, ']', target.len))
            return BGW_REFUSAL_BAD_TARGET;
    }
    const char *question = memchr(target.data, '?', target.len);
    struct bgw_slice path = target;
    if (question) {
        path.len = (size_t)(question - target.data);
        r->query = bgw_slice_of(question + 1, target.len - path.len - 1);
    }
    char *decoded = bgw_buf_reserve(&h->path, path.len);
    size_t len = 0;
    if (!decoded)
        return BGW_REFUSAL_INTERNAL;
    if (bgw_http_unescape(path, decoded, path.len, &len) != BGW_OK)
        return BGW_REFUSAL_BAD_TARGET;
    r->path = bgw_slice_of(decoded, len);
    for (size_t i = 0; i < path.len; i++)
        r->encoded_slash |= path.data[i] == '%' && path.data[i + 1] == '2' && (path.data[i + 2] | 0x20) == 'f';
    /* a control character would make two readings of one path */
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)decoded[i] < 0x20 || decoded[i] == '\\' || decoded[i] == 0x7f)
            return BGW_REFUSAL_BAD_TARGET;
    }
    return BGW_REFUSAL_NONE;
}

static enum bgw_refusal judge_host(struct bgw_http_request *r)
{
    size_t count = bgw_http_header_count(r, "host");
    if (count == 0 && r->http10)
        return BGW_REFUSAL_NONE;
    r->host = bgw_http_header(r, "host", 0);
    return count == 1 && host_valid(r->host) ? BGW_REFUSAL_NONE : BGW_REFUSAL_BAD_HOST;
}

static enum bgw_refusal judge_framing(struct http_head *h, struct bgw_http_request *r)
{
    size_t codings = bgw_http_header_count(r, "transfer-encoding");
    if (codings) {
        if (r->http10 || codings != 1 ||
            !bgw_slice_eq_nocase(bgw_http_header(r, "transfer-encoding", 0),
                                 BGW_SLICE("chunked")) ||
            bgw_http_header_count(r, "content-length"))
            return BGW_REFUSAL_BAD_FRAMING;
        h->chunked = true;
    }
    if (bgw_http_header_count(r, "content-length") > 1 || bgw_http_header_count(r, "trailer"))
        return BGW_REFUSAL_BAD_FRAMING;
    return BGW_REFUSAL_NONE;
}

static enum bgw_refusal judge_upgrade(const struct http_head *h, struct bgw_http_request *r)
{
    size_t count = bgw_http_header_count(r, "upgrade");
    if (!count)
        return BGW_REFUSAL_NONE;
    if (count != 1 || r->http10 || h->chunked || h->content_length || r->method != BGW_HTTP_GET ||
        !bgw_slice_eq_nocase(bgw_http_header(r, "upgrade", 0), BGW_SLICE("websocket")))
        return BGW_REFUSAL_BAD_UPGRADE;
    r->upgrade = bgw_http_list_has(r, "connection", "upgrade");
    return r->upgrade ? BGW_REFUSAL_NONE : BGW_REFUSAL_BAD_UPGRADE;
}

enum bgw_refusal bgw_http_rules_headers(struct http_head *h, struct bgw_http_request *r)
{
    static const char *const once[] = {"authorization", "origin",
                                       "content-type",  "sec-websocket-key",
                                       "if-none-match", "sec-websocket-version",
                                       "x-tenant-id",   "last-event-id",
                                       "x-min-version"};
    enum bgw_refusal why = judge_host(r);
    for (size_t i = 0; !why && i < sizeof(once) / sizeof(*once); i++) {
        if (bgw_http_header_count(r, once[i]) > 1)
            why = BGW_REFUSAL_DUPLICATE_HEADER;
    }
    if (!why)
        why = judge_target(h, r);
    if (!why)
        why = judge_framing(h, r);
    if (!why)
        why = judge_upgrade(h, r);
    if (!why && bgw_http_header_count(r, "expect"))
        why = BGW_REFUSAL_EXPECTATION;
    r->keep_alive = !r->http10 && !bgw_http_list_has(r, "connection", "close");
    return why;
}
