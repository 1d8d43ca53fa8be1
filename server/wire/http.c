/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: reads one request. Hides llhttp, which splits header lines and bodies strictly but knows no
 * limits: the limits are here, the rules it does not have are in http_rules.c. Called by conn on
 * its shard's thread. Invariant: bytes after the request are never looked at, so a refused request
 * cannot hide a second one.
 */
#include "http_private.h"

#include "bgw/assert.h"

#include <llhttp.h>
#include <stdlib.h>

#define USUAL_HEAD 1024

struct bgw_http_reader { /* shard thread only */
    llhttp_t parser;
    struct bgw_http_request request;
    struct http_head head;
    struct bgw_buf body; /* of a POST */
    const char *fed;     /* the bytes that the library is looking at */
    size_t fed_at;       /* where they will lie in head.head */
    size_t header_bytes; /* so far, without the request line */
    size_t body_bytes;
    struct bgw_http_limits limits;
    enum bgw_refusal refusal;
    bool headers_complete, complete;
};

static struct bgw_http_reader *reader_of(const llhttp_t *parser)
{
    return parser->data;
}

static int refuse(struct bgw_http_reader *r, enum bgw_refusal why)
{
    if (!r->refusal)
        r->refusal = why;
    return HPE_USER;
}

static uint32_t offset_of(const struct bgw_http_reader *r, const char *at)
{
    return (uint32_t)(r->fed_at + (size_t)(at - r->fed));
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct bgw_http_reader *r = reader_of(parser);
    if (r->headers_complete)
        return refuse(r, BGW_REFUSAL_BAD_FRAMING); /* a trailer */
    struct http_head *h = &r->head;
    /* a name that comes in pieces: the open line has no value yet */
    if (h->line_count && !h->lines[h->line_count - 1].value_at) {
        h->lines[h->line_count - 1].name_len += (uint32_t)len;
        return 0;
    }
    if (h->line_count == BGW_HTTP_HEADER_LINES_MAX)
        return refuse(r, BGW_REFUSAL_HEADERS_TOO_LARGE);
    h->lines[h->line_count++] =
        (struct http_line){.name_at = offset_of(r, at), .name_len = (uint32_t)len};
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct bgw_http_reader *r = reader_of(parser);
    if (r->headers_complete)
        return refuse(r, BGW_REFUSAL_BAD_FRAMING);
    struct http_line *line = &r->head.lines[r->head.line_count - 1];
    if (!line->value_at)
        line->value_at = offset_of(r, at);
    line->value_len += (uint32_t)len;
    return 0;
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct bgw_http_reader *r = reader_of(parser);
    if (r->headers_complete || !r->head.line_count)
        return 0;
    struct http_line *line = &r->head.lines[r->head.line_count - 1];
    if (!line->value_at) /* an empty value still ends its line */
        line->value_at = line->name_at + line->name_len;
    r->head.name_lengths |= http_length_bit(line->name_len);
    return 0;
}

/* Pauses, so that the rules run before a single byte of a body is taken. */
static int on_headers_complete(llhttp_t *parser)
{
    struct bgw_http_reader *r = reader_of(parser);
    r->headers_complete = true;
    r->head.content_length = parser->content_length;
    return HPE_PAUSED;
}

/* What a chunk announces is refused before it is sent. */
static int on_chunk_header(llhttp_t *parser)
{
    struct bgw_http_reader *r = reader_of(parser);
    size_t room = r->limits.body_bytes_max - r->body_bytes;
    return parser->content_length > room ? refuse(r, BGW_REFUSAL_BODY_TOO_LARGE) : 0;
}

static int on_chunk_extension(llhttp_t *parser, const char *at, size_t len)
{
    (void)at;
    (void)len;
    return refuse(reader_of(parser), BGW_REFUSAL_BAD_FRAMING);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct bgw_http_reader *r = reader_of(parser);
    r->body_bytes += len;
    if (r->body_bytes > r->limits.body_bytes_max)
        return refuse(r, BGW_REFUSAL_BODY_TOO_LARGE);
    if (r->request.method != BGW_HTTP_POST)
        return 0;
    bgw_buf_append(&r->body, bgw_slice_of(at, len));
    return r->body.failed ? refuse(r, BGW_REFUSAL_INTERNAL) : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    reader_of(parser)->complete = true;
    return HPE_PAUSED; /* what follows is the next request's */
}

static const llhttp_settings_t settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_chunk_extension_name = on_chunk_extension,
    .on_chunk_extension_value = on_chunk_extension,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

struct bgw_http_reader *bgw_http_reader_create(const struct bgw_http_limits *limits)
{
    struct bgw_http_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    llhttp_init(&r->parser, HTTP_REQUEST, &settings);
    r->parser.data = r;
    r->limits = *limits;
    r->request.reader = r;
    bgw_buf_init(&r->head.head, BGW_HTTP_LINE_MAX + 2 + limits->header_bytes_max);
    (void)bgw_buf_reserve(&r->head.head, USUAL_HEAD);
    bgw_buf_init(&r->head.path, BGW_HTTP_LINE_MAX);
    bgw_buf_init(&r->body, limits->body_bytes_max);
    return r;
}

void bgw_http_reader_destroy(struct bgw_http_reader **reader)
{
    struct bgw_http_reader *r = *reader;
    *reader = NULL;
    if (!r)
        return;
    bgw_buf_deinit(&r->head.head);
    bgw_buf_deinit(&r->head.path);
    bgw_buf_deinit(&r->body);
    free(r);
}

const struct bgw_http_request *bgw_http_reader_request(const struct bgw_http_reader *reader)
{
    return &reader->request;
}

enum bgw_refusal bgw_http_reader_refusal(const struct bgw_http_reader *reader)
{
    return reader->refusal;
}

struct bgw_slice bgw_http_body(const struct bgw_http_request *r)
{
    return bgw_buf_slice(&r->reader->body);
}

const struct http_head *bgw_http_head_of(const struct bgw_http_reader *reader)
{
    return &reader->head;
}

static enum bgw_refusal refusal_of(const struct bgw_http_reader *r, llhttp_errno_t error)
{
    if (r->refusal)
        return r->refusal;
    switch (error) {
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
    case HPE_INVALID_CHUNK_SIZE:
    case HPE_INVALID_EOF_STATE:
        return BGW_REFUSAL_BAD_FRAMING;
    default:
        return r->headers_complete ? BGW_REFUSAL_BAD_FRAMING : BGW_REFUSAL_BAD_HEADER;
    }
}

/* Takes bytes of the request line, up to and with its LF. False: refused. */
static bool read_line(struct bgw_http_reader *r, struct bgw_slice bytes, size_t *used)
{
    struct http_head *h = &r->head;
    size_t n = 0;
    bool ended = false;
    while (n < bytes.len && !ended) {
        unsigned char c = (unsigned char)bytes.data[n];
        /* CR and LF are judged when the line is whole; nothing else below space, nothing above ~ */
        if (c != '\r' && c != '\n' && (c < 0x20 || c > 0x7e))
            return refuse(r, BGW_REFUSAL_BAD_REQUEST_LINE) == 0;
        n++;
        ended = c == '\n';
        if (h->head.len + n > BGW_HTTP_LINE_MAX + 2)
            return refuse(r, BGW_REFUSAL_TARGET_TOO_LONG) == 0;
    }
    bgw_buf_append(&h->head, bgw_slice_of(bytes.data, n));
    *used += n;
    if (h->head.failed)
        return refuse(r, BGW_REFUSAL_INTERNAL) == 0;
    /* what can only be refused is refused before it ends: a TLS hello, an empty line */
    if (h->head.len && (h->head.data[0] < 'A' || h->head.data[0] > 'Z'))
        return refuse(r, BGW_REFUSAL_BAD_REQUEST_LINE) == 0;
    if (!ended)
        return true;
    if (h->head.len < 2 || h->head.data[h->head.len - 2] != '\r')
        return refuse(r, BGW_REFUSAL_BAD_REQUEST_LINE) == 0;
    h->request_line_len = h->head.len - 2;
    enum bgw_refusal why = bgw_http_rules_line(h, &r->request);
    if (why)
        return refuse(r, why) == 0;
    r->fed = h->head.data;
    r->fed_at = 0;
    llhttp_errno_t error = llhttp_execute(&r->parser, h->head.data, h->head.len);
    return error == HPE_OK || refuse(r, BGW_REFUSAL_BAD_REQUEST_LINE) == 0;
}

static bool judge_headers(struct bgw_http_reader *r)
{
    enum bgw_refusal why = bgw_http_rules_headers(&r->head, &r->request);
    if (!why && r->head.content_length > r->limits.body_bytes_max)
        why = BGW_REFUSAL_BODY_TOO_LARGE;
    if (why)
        return refuse(r, why) == 0;
    if (!r->head.chunked && !r->head.content_length)
        r->complete = true;
    else
        llhttp_resume(&r->parser);
    return true;
}

/* Takes bytes of the header block. False: refused. */
static bool read_headers(struct bgw_http_reader *r, struct bgw_slice bytes, size_t *used)
{
    size_t room = r->limits.header_bytes_max - r->header_bytes;
    size_t n = bytes.len < room ? bytes.len : room;
    if (n == 0)
        return refuse(r, BGW_REFUSAL_HEADERS_TOO_LARGE) == 0;
    r->fed = bytes.data;
    r->fed_at = r->head.head.len;
    llhttp_errno_t error = llhttp_execute(&r->parser, bytes.data, n);
    if (error == HPE_PAUSED)
        n = (size_t)(llhttp_get_error_pos(&r->parser) - bytes.data);
    else if (error != HPE_OK)
        return refuse(r, refusal_of(r, error)) == 0;
    bgw_buf_append(&r->head.head, bgw_slice_of(bytes.data, n));
    r->header_bytes += n;
    *used += n;
    if (r->head.head.failed)
        return refuse(r, BGW_REFUSAL_INTERNAL) == 0;
    return !r->headers_complete || judge_headers(r);
}

static bool read_body(struct bgw_http_reader *r, struct bgw_slice bytes, size_t *used)
{
    llhttp_errno_t error = llhttp_execute(&r->parser, bytes.data, bytes.len);
    if (error != HPE_OK && error != HPE_PAUSED)
        return refuse(r, refusal_of(r, error)) == 0;
    *used +=
        error == HPE_PAUSED ? (size_t)(llhttp_get_error_pos(&r->parser) - bytes.data) : bytes.len;
    return true;
}

enum bgw_http_progress bgw_http_read(struct bgw_http_reader *r, struct bgw_slice bytes,
                                     size_t *used)
{
    *used = 0;
    while (!r->refusal && !r->complete && *used < bytes.len) {
        struct bgw_slice rest = bgw_slice_of(bytes.data + *used, bytes.len - *used);
        bool going;
        if (!r->head.request_line_len)
            going = read_line(r, rest, used);
        else if (!r->headers_complete)
            going = read_headers(r, rest, used);
        else
            going = read_body(r, rest, used);
        if (!going)
            break;
    }
    if (r->refusal)
        return BGW_HTTP_REFUSED;
    return r->complete ? BGW_HTTP_DONE : BGW_HTTP_MORE;
}
