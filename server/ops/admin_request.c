/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_request: hides the grammar of RFC 9112 as far as the admin port speaks it: CRLF only, no
 * folded lines, one Host, a body only with POST and only by Content-Length. Whatever could be read in two ways is refused, never repaired.
 * Called by admin_http.c; pure.
 */
#include "admin_request.h"

#include <strings.h>

struct header_seen {
    int host, content_length, content_type, transfer_encoding, expect;
    bool http_1_0, close, keep_alive;
    bool chunked;     /* and nothing else */
    bool expect_100;
    size_t length;    /* capped a little above what is taken */
};

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool slice_is(struct bgw_slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.data, text, s.len) == 0;
}

/* The line up to CRLF. False: none yet. *bad: a CR, LF or NUL where none may be. */
static bool take_line(struct bgw_slice *rest, struct bgw_slice *line, bool *bad)
{
    for (size_t i = 0; i < rest->len; i++) {
        char c = rest->data[i];
        if (c == '\r') {
            if (i + 1 == rest->len)
                return false;
            *bad = rest->data[i + 1] != '\n';
            *line = bgw_slice_of(rest->data, i);
            *rest = bgw_slice_of(rest->data + i + 2, rest->len - i - 2);
            return true;
        }
        if (c == '\n' || c == '\0') {
            *bad = true;
            return true;
        }
    }
    return false;
}

static int parse_version(struct bgw_slice text, struct header_seen *seen)
{
    if (text.len != 8 || memcmp(text.data, "HTTP/", 5) != 0 || text.data[6] != '.')
        return 400;
    seen->http_1_0 = memcmp(text.data + 5, "1.0", 3) == 0;
    return seen->http_1_0 || memcmp(text.data + 5, "1.1", 3) == 0 ? 200 : 505;
}

static bool target_valid(struct bgw_slice target)
{
    if (target.len == 0 || target.data[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++)
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f || strchr("\"#<>\\^`{|}", target.data[i]))
            return false;
    return true;
}

/* METHOD SP target SP version, single spaces. */
static int parse_request_line(struct bgw_slice line, struct bgw_admin_request *out,
                              struct header_seen *seen)
{
    const char *first = memchr(line.data, ' ', line.len);
    const char *last = memrchr(line.data, ' ', line.len);
    if (!first || first == last || first == line.data)
        return 400;
    struct bgw_slice method = bgw_slice_of(line.data, (size_t)(first - line.data));
    struct bgw_slice target = bgw_slice_of(first + 1, (size_t)(last - first - 1));
    struct bgw_slice version = bgw_slice_of(last + 1, (size_t)(line.data + line.len - last - 1));
    for (size_t i = 0; i < method.len; i++)
        if (!is_token_char(method.data[i]))
            return 400;
    int status = parse_version(version, seen);
    if (status != 200)
        return status;
    if (!target_valid(target))
        return 400;
    const char *question = memchr(target.data, '?', target.len);
    size_t path_len = question ? (size_t)(question - target.data) : target.len;
    out->path = bgw_slice_of(target.data, path_len);
    out->query = question ? bgw_slice_of(question + 1, target.len - path_len - 1)
                          : bgw_slice_of(target.data + target.len, 0);
    if (bgw_slice_eq(method, BGW_SLICE("HEAD")))
        out->method = BGW_ADMIN_HEAD;
    else if (bgw_slice_eq(method, BGW_SLICE("POST")))
        out->method = BGW_ADMIN_POST;
    else if (!bgw_slice_eq(method, BGW_SLICE("GET")))
        return 405;
    return 200;
}

static struct bgw_slice trim(struct bgw_slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = bgw_slice_of(s.data + 1, s.len - 1);
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static void take_connection(struct bgw_slice value, struct header_seen *seen)
{
    while (value.len) {
        const char *comma = memchr(value.data, ',', value.len);
        size_t len = comma ? (size_t)(comma - value.data) : value.len;
        struct bgw_slice word = trim(bgw_slice_of(value.data, len));
        seen->close = seen->close || slice_is(word, "close");
        seen->keep_alive = seen->keep_alive || slice_is(word, "keep-alive");
        value = comma ? bgw_slice_of(comma + 1, value.len - len - 1) : bgw_slice_of(value.data, 0);
    }
}

static int take_content_length(struct bgw_slice value, struct header_seen *seen)
{
    if (seen->content_length++ || value.len == 0)
        return 400;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 400;
        seen->length = seen->length * 10 + (size_t)(value.data[i] - '0');
        if (seen->length > BGW_ADMIN_BODY_MAX)
            seen->length = BGW_ADMIN_BODY_MAX + 1;
    }
    return 200;
}

/* "application/json", perhaps with parameters. */
static int take_content_type(struct bgw_slice value, struct header_seen *seen, struct bgw_admin_request *out)
{
    const char *semicolon = memchr(value.data, ';', value.len);
    struct bgw_slice type = bgw_slice_of(value.data, semicolon ? (size_t)(semicolon - value.data) : value.len);
    out->json = slice_is(trim(type), "application/json");
    return seen->content_type++ ? 400 : 200;
}

static int take_field(struct bgw_slice name, struct bgw_slice value, struct header_seen *seen,
                      struct bgw_admin_request *out)
{
    if (slice_is(name, "host"))
        return seen->host++ || value.len == 0 ? 400 : 200;
    if (slice_is(name, "content-length"))
        return take_content_length(value, seen);
    if (slice_is(name, "content-type"))
        return take_content_type(value, seen, out);
    if (slice_is(name, "transfer-encoding"))
        seen->chunked = !seen->transfer_encoding++ && slice_is(value, "chunked");
    if (slice_is(name, "expect"))
        seen->expect_100 = !seen->expect++ && slice_is(value, "100-continue");
    if (slice_is(name, "connection"))
        take_connection(value, seen);
    if (slice_is(name, "origin"))
        out->origin = true;
    return 200;
}

static int parse_header(struct bgw_slice line, struct header_seen *seen, struct bgw_admin_request *out)
{
    const char *colon = memchr(line.data, ':', line.len);
    if (!colon || colon == line.data)
        return 400;
    struct bgw_slice name = bgw_slice_of(line.data, (size_t)(colon - line.data));
    for (size_t i = 0; i < name.len; i++)
        if (!is_token_char(name.data[i])) /* also a folded line, and a space before the colon */
            return 400;
    struct bgw_slice value = trim(bgw_slice_of(colon + 1, line.len - name.len - 1));
    for (size_t i = 0; i < value.len; i++)
        if (((unsigned char)value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
            return 400;
    return take_field(name, value, seen, out);
}

/* What the fields say together. */
static int judge(const struct header_seen *seen, struct bgw_admin_request *out)
{
    bool posts = out->method == BGW_ADMIN_POST;
    if (!seen->host && (!seen->http_1_0 || posts))
        return 400;
    if (seen->transfer_encoding && (seen->content_length || seen->http_1_0))
        return 400; /* where would the body end? */
    if (seen->transfer_encoding)
        return seen->chunked ? 411 : 501;
    if (seen->length > (posts ? BGW_ADMIN_BODY_MAX : 0))
        return 413;
    if (seen->expect && !seen->expect_100)
        return 417;
    out->expects = seen->expect_100 && !seen->http_1_0;
    out->has_length = seen->content_length > 0;
    out->content_length = seen->length;
    out->keep_alive = !seen->close && (!seen->http_1_0 || seen->keep_alive);
    return 200;
}

static int incomplete(struct bgw_slice bytes, bool in_first_line)
{
    if (in_first_line && bytes.len > BGW_ADMIN_LINE_MAX)
        return 414;
    return bytes.len >= BGW_ADMIN_HEADER_MAX ? 431 : BGW_ADMIN_MORE;
}

int bgw_admin_request_parse(struct bgw_slice bytes, struct bgw_admin_request *out, size_t *used)
{
    struct bgw_slice rest = bytes, line;
    struct header_seen seen = {0};
    bool bad = false;
    if (!take_line(&rest, &line, &bad))
        return incomplete(bytes, true);
    if (bad)
        return 400;
    if (line.len > BGW_ADMIN_LINE_MAX)
        return 414;
    int status = parse_request_line(line, out, &seen);
    if (status != 200)
        return status;
    for (;;) {
        if (!take_line(&rest, &line, &bad))
            return incomplete(bytes, false);
        if (bad)
            return 400;
        if (line.len == 0)
            break;
        status = parse_header(line, &seen, out);
        if (status != 200)
            return status;
    }
    *used = bytes.len - rest.len;
    return *used <= BGW_ADMIN_HEADER_MAX ? judge(&seen, out) : 431;
}
