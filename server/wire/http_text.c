/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_text: looking things up in a request that has been read: header lines, lists, the query,
 * percent-encoding. Hides that names come in any case and values with spaces around them. Pure;
 * shard thread. Invariant: what is handed out lies inside the request.
 */
#include "http_private.h"

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool bgw_slice_eq_nocase(struct bgw_slice a, struct bgw_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.data[i] != b.data[i] && lower(a.data[i]) != lower(b.data[i]))
            return false;
    }
    return true;
}

static struct bgw_slice trim(struct bgw_slice s)
{
    while (s.len && (s.data[0] == ' ' || s.data[0] == '\t')) {
        s.data++;
        s.len--;
    }
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* Most lines are told apart by their names' lengths. */
static inline bool line_is(const struct http_head *h, size_t i, struct bgw_slice name)
{
    return h->lines[i].name_len == name.len &&
           bgw_slice_eq_nocase(bgw_slice_of(h->head.data + h->lines[i].name_at, name.len), name);
}

static struct bgw_slice line_value(const struct http_head *h, size_t i)
{
    return trim(bgw_slice_of(h->head.data + h->lines[i].value_at, h->lines[i].value_len));
}

struct bgw_slice bgw_http_header(const struct bgw_http_request *r, const char *name, size_t n)
{
    const struct http_head *h = bgw_http_head_of(r->reader);
    const struct bgw_slice wanted = bgw_slice_str(name);
    if (!(h->name_lengths & http_length_bit(wanted.len)))
        return (struct bgw_slice){NULL, 0};
    for (size_t i = 0; i < h->line_count; i++) {
        if (line_is(h, i, wanted) && n-- == 0)
            return line_value(h, i);
    }
    return (struct bgw_slice){NULL, 0};
}

size_t bgw_http_header_count(const struct bgw_http_request *r, const char *name)
{
    const struct http_head *h = bgw_http_head_of(r->reader);
    const struct bgw_slice wanted = bgw_slice_str(name);
    size_t count = 0;
    if (!(h->name_lengths & http_length_bit(wanted.len)))
        return 0;
    for (size_t i = 0; i < h->line_count; i++)
        count += line_is(h, i, wanted);
    return count;
}

bool bgw_http_list_next(const struct bgw_http_request *r, const char *name,
                        struct bgw_http_cursor *cursor, struct bgw_slice *element)
{
    for (;;) {
        struct bgw_slice value = bgw_http_header(r, name, cursor->line);
        if (!value.data)
            return false;
        while (cursor->at < value.len) {
            const char *start = value.data + cursor->at;
            size_t left = value.len - cursor->at;
            const char *comma = memchr(start, ',', left);
            size_t len = comma ? (size_t)(comma - start) : left;
            cursor->at += len + 1;
            *element = trim(bgw_slice_of(start, len));
            if (element->len) /* empty elements mean nothing (RFC 9110, 5.6.1) */
                return true;
        }
        cursor->line++;
        cursor->at = 0;
    }
}

bool bgw_http_list_has(const struct bgw_http_request *r, const char *name, const char *wanted)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice element;
    while (bgw_http_list_next(r, name, &cursor, &element)) {
        if (bgw_slice_eq_nocase(element, bgw_slice_str(wanted)))
            return true;
    }
    return false;
}

/* ";q=0.000": named in order to be refused. Other parameters do not matter. */
static bool refused(struct bgw_slice parameters)
{
    static const char zeros[] = "q=0.000";
    while (parameters.len) {
        const char *end = memchr(parameters.data, ';', parameters.len);
        size_t len = end ? (size_t)(end - parameters.data) : parameters.len;
        struct bgw_slice q = trim(bgw_slice_of(parameters.data, len));
        if (q.len >= 3 && q.len < sizeof(zeros) && bgw_slice_eq_nocase(q, bgw_slice_of(zeros, q.len)))
            return true;
        len += end != NULL;
        parameters = bgw_slice_of(parameters.data + len, parameters.len - len);
    }
    return false;
}

bool bgw_http_accepts(const struct bgw_http_request *r, const char *name, const char *wanted)
{
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice one;
    while (bgw_http_list_next(r, name, &cursor, &one)) {
        const char *end = memchr(one.data, ';', one.len);
        size_t len = end ? (size_t)(end - one.data) : one.len;
        if (bgw_slice_eq_nocase(trim(bgw_slice_of(one.data, len)), bgw_slice_str(wanted)))
            return !end || !refused(bgw_slice_of(end + 1, one.len - len - 1));
    }
    return false;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

enum bgw_status bgw_http_unescape(struct bgw_slice in, char *out, size_t cap, size_t *len)
{
    size_t n = 0;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.data[i];
        if (c == '%') {
            int high = in.len - i > 2 ? hex(in.data[i + 1]) : -1;
            int low = high >= 0 ? hex(in.data[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return BGW_BAD_ENCODING;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (n == cap)
            return BGW_TOO_LARGE;
        out[n++] = c;
    }
    *len = n;
    return BGW_OK;
}

/* The next name[=value] of a query; *at starts at zero. value.data NULL: no '='. */
static bool query_next(struct bgw_slice query, size_t *at, struct bgw_slice *name,
                       struct bgw_slice *value)
{
    if (!query.data || *at >= query.len)
        return false;
    const char *start = query.data + *at;
    size_t left = query.len - *at;
    const char *amp = memchr(start, '&', left);
    size_t len = amp ? (size_t)(amp - start) : left;
    *at += len + 1;
    const char *equals = memchr(start, '=', len);
    *name = bgw_slice_of(start, equals ? (size_t)(equals - start) : len);
    *value = equals ? bgw_slice_of(equals + 1, len - name->len - 1) : (struct bgw_slice){NULL, 0};
    return true;
}

/* A name may be written with escapes, and by SignalR clients in any case: it is compared decoded, or a second reader would see
 * another name. */
static bool name_is(struct bgw_slice raw, const char *name)
{
    char decoded[64];
    size_t len;
    return bgw_http_unescape(raw, decoded, sizeof(decoded), &len) == BGW_OK &&
           bgw_slice_eq_nocase(bgw_slice_of(decoded, len), bgw_slice_str(name));
}

enum bgw_status bgw_http_query(struct bgw_slice query, const char *name, char *out, size_t cap,
                               size_t *len)
{
    struct bgw_slice raw_name, raw, found = {NULL, 0};
    size_t at = 0;
    bool seen = false;
    while (query_next(query, &at, &raw_name, &raw)) {
        if (!name_is(raw_name, name))
            continue;
        if (seen)
            return BGW_DUPLICATE;
        seen = true;
        found = raw;
    }
    return seen ? bgw_http_unescape(found, out, cap, len) : BGW_NOT_FOUND;
}

enum bgw_status bgw_http_query_next(struct bgw_http_params *p, char *out, size_t cap, size_t *len)
{
    struct bgw_slice raw_name, raw;
    while (query_next(p->query, &p->at, &raw_name, &raw)) {
        if (name_is(raw_name, p->name))
            return bgw_http_unescape(raw, out, cap, len);
    }
    return BGW_NOT_FOUND;
}

bool bgw_http_query_has(struct bgw_slice query, const char *name)
{
    struct bgw_slice raw_name, raw;
    size_t at = 0;
    while (query_next(query, &at, &raw_name, &raw)) {
        if (name_is(raw_name, name))
            return true;
    }
    return false;
}
