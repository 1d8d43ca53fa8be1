/* SPDX-License-Identifier: Apache-2.0 */
/* http: what is read, what is refused (a row each for what the parsing library lets through), what
 * is answered. */
#include "test.h"

#include "bgw/http.h"

#include <stdlib.h>

static const struct bgw_http_limits usual = {32768, 65536};

struct outcome {
    enum bgw_http_progress progress;
    enum bgw_refusal refusal;
    size_t used;
};

/* Feeds the text in pieces of `step` bytes; the reader stays with the caller. */
static struct outcome feed(struct bgw_http_reader *r, struct bgw_slice text, size_t step)
{
    struct outcome o = {BGW_HTTP_MORE, BGW_REFUSAL_NONE, 0};
    while (o.progress == BGW_HTTP_MORE && o.used < text.len) {
        size_t used, n = text.len - o.used < step ? text.len - o.used : step;
        char *copy = malloc(n); /* so that a sanitizer sees a look past the piece */
        memcpy(copy, text.data + o.used, n);
        o.progress = bgw_http_read(r, bgw_slice_of(copy, n), &used);
        free(copy);
        o.used += used;
        if (used < n)
            break;
    }
    o.refusal = bgw_http_reader_refusal(r);
    return o;
}

static enum bgw_refusal refusal_of(struct bgw_slice text, size_t step)
{
    struct bgw_http_reader *r = bgw_http_reader_create(&usual);
    struct outcome o = feed(r, text, step);
    if (o.progress != BGW_HTTP_REFUSED)
        o.refusal = BGW_REFUSAL_NONE;
    bgw_http_reader_destroy(&r);
    return o.refusal;
}

#define H "Host: a\r\n"
#define UP "Upgrade: websocket\r\nConnection: Upgrade\r\n"

static const struct {
    const char *what;
    const char *text;
    enum bgw_refusal refusal;
} rows[] = {
    {"no host", "GET / HTTP/1.1\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"blank host", "GET / HTTP/1.1\r\nHost:   \r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"two hosts on 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"host with a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"host with a long port", "GET / HTTP/1.1\r\nHost: a:123456\r\n\r\n", BGW_REFUSAL_BAD_HOST},
    {"two authorizations",
     "GET / HTTP/1.1\r\n" H "Authorization: Bearer x\r\nAuthorization: Bearer x\r\n\r\n",
     BGW_REFUSAL_DUPLICATE_HEADER},
    {"two origins", "GET / HTTP/1.1\r\n" H "Origin: http://a\r\nOrigin: http://b\r\n\r\n",
     BGW_REFUSAL_DUPLICATE_HEADER},
    {"two websocket keys",
     "GET / HTTP/1.1\r\n" H "Sec-WebSocket-Key: a\r\nSec-WebSocket-Key: a\r\n\r\n",
     BGW_REFUSAL_DUPLICATE_HEADER},
    {"HTTP/2.0", "GET / HTTP/2.0\r\n" H "\r\n", BGW_REFUSAL_BAD_VERSION},
    {"HTTP/0.9", "GET / HTTP/0.9\r\n" H "\r\n", BGW_REFUSAL_BAD_VERSION},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" H "\r\n", BGW_REFUSAL_BAD_VERSION},
    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BGW_REFUSAL_BAD_VERSION},
    {"a simple request", "GET /\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"RTSP", "DESCRIBE rtsp://a/b RTSP/1.0\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a method of RTSP", "DESCRIBE / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_METHOD},
    {"ICE", "SOURCE /live ICE/1.0\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a method of ICE", "SOURCE / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_METHOD},
    {"PURGE", "PURGE / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_METHOD},
    {"CONNECT", "CONNECT a:443 HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_METHOD},
    {"TRACE", "TRACE / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_METHOD},
    {"lower-case method", "get / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"upgrade on 1.0", "GET / HTTP/1.0\r\n" H UP "\r\n", BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade with a length", "GET / HTTP/1.1\r\n" H UP "Content-Length: 2\r\n\r\nab",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade with chunks", "GET / HTTP/1.1\r\n" H UP "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade to h2c", "GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade to a list",
     "GET / HTTP/1.1\r\n" H "Upgrade: websocket, h2c\r\nConnection: Upgrade\r\n\r\n",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade twice", "GET / HTTP/1.1\r\n" H UP "Upgrade: websocket\r\n\r\n", BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade to a version", "GET / HTTP/1.1\r\n" H "Upgrade: websocket/13\r\nConnection: Upgrade\r\n\r\n",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade without connection", "GET / HTTP/1.1\r\n" H "Upgrade: websocket\r\n\r\n",
     BGW_REFUSAL_BAD_UPGRADE},
    {"upgrade with POST", "POST / HTTP/1.1\r\n" H UP "\r\n", BGW_REFUSAL_BAD_UPGRADE},
    {"transfer coding on 1.0", "POST / HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"gzip, chunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"gzip and chunked",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"xchunked", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"length and chunks",
     "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"chunks and length",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"two lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
     BGW_REFUSAL_BAD_FRAMING},
    {"two lengths that differ", "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
     BGW_REFUSAL_BAD_FRAMING},
    {"a list of lengths", "POST / HTTP/1.1\r\n" H "Content-Length: 3, 3\r\n\r\nabc", BGW_REFUSAL_BAD_FRAMING},
    {"a length in two words", "POST / HTTP/1.1\r\n" H "Content-Length: 1 2\r\n\r\nabc", BGW_REFUSAL_BAD_FRAMING},
    {"a length of nothing", "POST / HTTP/1.1\r\n" H "Content-Length:\r\n\r\n", BGW_REFUSAL_BAD_FRAMING},
    {"a length in hexadecimal", "POST / HTTP/1.1\r\n" H "Content-Length: 0x3\r\n\r\nabc",
     BGW_REFUSAL_BAD_FRAMING},
    {"chunked twice in a list", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"chunked in two lines",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"identity", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", BGW_REFUSAL_BAD_FRAMING},
    {"chunked with a parameter", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"chunked behind a control character", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: \x0b" "chunked\r\n\r\n",
     BGW_REFUSAL_BAD_HEADER},
    {"a folded coding", "POST / HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a space before a coding's colon", "POST / HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n",
     BGW_REFUSAL_BAD_HEADER},
    {"chunked in capitals", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
     BGW_REFUSAL_NONE},
    {"a chunk size that is none", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nx\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a chunk size of 65 bits", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a chunk with a bare LF", "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a chunk that is longer than it says",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", BGW_REFUSAL_BAD_FRAMING},
    {"a signed length", "POST / HTTP/1.1\r\n" H "Content-Length: +3\r\n\r\nabc",
     BGW_REFUSAL_BAD_FRAMING},
    {"a negative length", "POST / HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a chunk extension",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a trailer",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"an announced trailer",
     "POST / HTTP/1.1\r\n" H "Trailer: A\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"the largest length", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551615\r\n\r\n",
     BGW_REFUSAL_BODY_TOO_LARGE},
    {"a longer length", "POST / HTTP/1.1\r\n" H "Content-Length: 18446744073709551616\r\n\r\n",
     BGW_REFUSAL_BAD_FRAMING},
    {"a body above the cap", "POST / HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\n",
     BGW_REFUSAL_BODY_TOO_LARGE},
    {"a chunk above the cap",
     "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\nfffffff0\r\n", BGW_REFUSAL_BODY_TOO_LARGE},
    {"two spaces before the target", "GET  / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"two spaces behind the target", "GET /  HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a tab in the line", "GET\t/ HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a space behind the version", "GET / HTTP/1.1 \r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a leading empty line", "\r\nGET / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a leading space", " GET / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a TLS hello", "\x16\x03\x01\x02", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a quote", "GET /a\"b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an angle bracket", "GET /a<b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a backslash", "GET /a\\b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"the other bracket", "GET /a>b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a circumflex", "GET /a^b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a backtick", "GET /a`b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a brace", "GET /a{b} HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a bar", "GET /a|b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a fragment in the query", "GET /a?b#c HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an escape at the end", "GET /a% HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an escape of another kind", "GET /%u0041 HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an encoded line end", "GET /a%0d%0aX:%20b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an encoded DEL", "GET /%7f HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a double escape", "GET /%252e%252e/a HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_NONE},
    {"an absolute target without path", "GET http://a HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an absolute target with a user", "GET http://u@a/ HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an absolute target with another port", "GET http://a:81/ HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an absolute target without host", "GET http:///b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an authority with GET", "GET a:80 HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an encoded backslash", "GET /a%5cb HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"an encoded NUL", "GET /a%00b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"half an escape", "GET /a%4 HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"no path", "GET a HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"raw UTF-8", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"ftp", "GET ftp://a/b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"another host's target", "GET http://b/ HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a star with GET", "GET * HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a bare LF line", "GET / HTTP/1.1\n" H "\r\n", BGW_REFUSAL_BAD_REQUEST_LINE},
    {"a bare LF header", "GET / HTTP/1.1\r\nHost: a\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a bare CR", "GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a line without colon", "GET / HTTP/1.1\r\nHost a\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"a control character", "GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", BGW_REFUSAL_BAD_HEADER},
    {"an expectation", "POST / HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n",
     BGW_REFUSAL_EXPECTATION},
    {"a plain request", "GET / HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_NONE},
    {"1.0 without host", "GET / HTTP/1.0\r\n\r\n", BGW_REFUSAL_NONE},
    {"an absolute target", "GET http://a/b HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_NONE},
    {"an absolute target of an address", "GET http://[::1]:80/b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", BGW_REFUSAL_NONE},
    {"a bracket in a path", "GET /[b] HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a bracket in an absolute target's path", "GET http://a/[b] HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"a bracket in an absolute target's query", "GET http://a/?b] HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_BAD_TARGET},
    {"OPTIONS *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", BGW_REFUSAL_NONE},
    {"an address", "GET / HTTP/1.1\r\nHost: [::1]:5851\r\n\r\n", BGW_REFUSAL_NONE},
    {"an upgrade", "GET /ws HTTP/1.1\r\n" H UP "\r\n", BGW_REFUSAL_NONE},
    {"an upgrade by a browser",
     "GET /ws HTTP/1.1\r\n" H "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n",
     BGW_REFUSAL_NONE},
};

TEST(each_malformed_request_has_its_refusal_however_it_is_cut)
{
    static const size_t steps[] = {1, 2, 7, 100000};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (size_t s = 0; s < sizeof(steps) / sizeof(*steps); s++) {
            enum bgw_refusal got = refusal_of(bgw_slice_str(rows[i].text), steps[s]);
            if (got != rows[i].refusal)
                printf("# %s, in steps of %zu: %s, not %s\n", rows[i].what, steps[s],
                       got ? bgw_refusal_code(got) : "taken",
                       rows[i].refusal ? bgw_refusal_code(rows[i].refusal) : "taken");
            CHECK(got == rows[i].refusal);
        }
    }
}

TEST(a_nul_is_refused_in_line_and_header)
{
    CHECK(refusal_of(BGW_SLICE("GET /\0 HTTP/1.1\r\n" H "\r\n"), 100) ==
          BGW_REFUSAL_BAD_REQUEST_LINE);
    CHECK(refusal_of(BGW_SLICE("GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n"), 100) ==
          BGW_REFUSAL_BAD_HEADER);
}

static struct bgw_slice many(struct bgw_buf *b, const char *head, const char *piece, size_t count,
                             const char *tail)
{
    bgw_buf_init(b, 1 << 20);
    bgw_buf_append_str(b, head);
    for (size_t i = 0; i < count; i++)
        bgw_buf_append_str(b, piece);
    bgw_buf_append_str(b, tail);
    CHECK(!b->failed);
    return bgw_buf_slice(b);
}

TEST(limits_hold_to_the_byte)
{
    struct bgw_buf b;
    size_t line = BGW_HTTP_LINE_MAX - strlen("GET / HTTP/1.1");
    CHECK(refusal_of(many(&b, "GET /", "a", line, " HTTP/1.1\r\n" H "\r\n"), 1000) ==
          BGW_REFUSAL_NONE);
    bgw_buf_deinit(&b);
    CHECK(refusal_of(many(&b, "GET /", "a", line + 1, " HTTP/1.1\r\n" H "\r\n"), 1000) ==
          BGW_REFUSAL_TARGET_TOO_LONG);
    bgw_buf_deinit(&b);
    CHECK(refusal_of(many(&b, "GET /", "a", 300000, " HTTP/1.1\r\n" H "\r\n"), 4096) ==
          BGW_REFUSAL_TARGET_TOO_LONG);
    bgw_buf_deinit(&b);
    size_t block = usual.header_bytes_max - strlen(H "X: \r\n\r\n");
    CHECK(refusal_of(many(&b, "GET / HTTP/1.1\r\n" H "X: ", "b", block, "\r\n\r\n"), 999) ==
          BGW_REFUSAL_NONE);
    bgw_buf_deinit(&b);
    CHECK(refusal_of(many(&b, "GET / HTTP/1.1\r\n" H "X: ", "b", block + 1, "\r\n\r\n"), 999) ==
          BGW_REFUSAL_HEADERS_TOO_LARGE);
    bgw_buf_deinit(&b);
    CHECK(refusal_of(
              many(&b, "GET / HTTP/1.1\r\n" H, "A: b\r\n", BGW_HTTP_HEADER_LINES_MAX - 1, "\r\n"),
              999) == BGW_REFUSAL_NONE);
    bgw_buf_deinit(&b);
    CHECK(
        refusal_of(many(&b, "GET / HTTP/1.1\r\n" H, "A: b\r\n", BGW_HTTP_HEADER_LINES_MAX, "\r\n"),
                   999) == BGW_REFUSAL_HEADERS_TOO_LARGE);
    bgw_buf_deinit(&b);
    CHECK(refusal_of(many(&b, "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n",
                          "1\r\na\r\n", 65537, ""),
                     4096) == BGW_REFUSAL_BODY_TOO_LARGE);
    bgw_buf_deinit(&b);
}

static enum bgw_refusal refusal_within(struct bgw_slice text, size_t header_max, size_t body_max)
{
    const struct bgw_http_limits limits = {header_max, body_max};
    struct bgw_http_reader *r = bgw_http_reader_create(&limits);
    struct outcome o = feed(r, text, 1000);
    bgw_http_reader_destroy(&r);
    return o.progress == BGW_HTTP_REFUSED ? o.refusal : BGW_REFUSAL_NONE;
}

TEST(configured_limits_hold_to_the_byte_too)
{
    static const size_t blocks[] = {1024, 32768, 65536, 131072};
    struct bgw_buf b;
    for (size_t i = 0; i < sizeof(blocks) / sizeof(*blocks); i++) {
        size_t rest = blocks[i] - strlen(H "X: \r\n\r\n");
        CHECK(refusal_within(many(&b, "GET / HTTP/1.1\r\n" H "X: ", "b", rest, "\r\n\r\n"), blocks[i], 0) ==
              BGW_REFUSAL_NONE);
        bgw_buf_deinit(&b);
        CHECK(refusal_within(many(&b, "GET / HTTP/1.1\r\n" H "X: ", "b", rest + 1, "\r\n\r\n"), blocks[i], 0) ==
              BGW_REFUSAL_HEADERS_TOO_LARGE);
        bgw_buf_deinit(&b);
    }
    struct bgw_slice three = BGW_SLICE("POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc");
    struct bgw_slice chunks = BGW_SLICE("POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
                                        "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    for (size_t max = 0; max < 5; max++) {
        CHECK(refusal_within(three, 1024, max) == (max < 3 ? BGW_REFUSAL_BODY_TOO_LARGE : BGW_REFUSAL_NONE));
        CHECK(refusal_within(chunks, 1024, max) == (max < 3 ? BGW_REFUSAL_BODY_TOO_LARGE : BGW_REFUSAL_NONE));
    }
}

TEST(a_header_longer_than_64_kib_is_read_whole)
{
    const struct bgw_http_limits limits = {131072, 0};
    struct bgw_http_reader *r = bgw_http_reader_create(&limits);
    struct bgw_buf b;
    CHECK(feed(r, many(&b, "GET / HTTP/1.1\r\n" H "X: ", "b", 70000, "c\r\nY: d\r\n\r\n"), 16384).progress == BGW_HTTP_DONE);
    struct bgw_slice x = bgw_http_header(bgw_http_reader_request(r), "x", 0);
    CHECK_EQ_I64(x.len, 70001);
    CHECK(x.data && x.data[70000] == 'c');
    CHECK_SLICE(bgw_http_header(bgw_http_reader_request(r), "y", 0), "d");
    bgw_buf_deinit(&b);
    bgw_http_reader_destroy(&r);
}

TEST(a_request_ends_where_the_next_begins)
{
    static const struct {
        const char *first, *second;
    } pairs[] = {
        {"GET /1 HTTP/1.1\r\n" H "\r\n", "GET /2 HTTP/1.1\r\n" H "\r\n"},
        {"POST /1 HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "GET /2 HTTP/1.1\r\n" H "\r\n"},
        {"POST /1 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
         "GET /2 HTTP/1.1\r\n\r\n"},
        {"GET /ws HTTP/1.1\r\n" H UP "\r\n", "\x81\x80\x01\x02\x03\x04"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
        for (size_t step = 1; step < 200; step += 13) {
            char text[512];
            snprintf(text, sizeof(text), "%s%s", pairs[i].first, pairs[i].second);
            struct bgw_http_reader *r = bgw_http_reader_create(&usual);
            struct outcome o = feed(r, bgw_slice_str(text), step);
            CHECK(o.progress == BGW_HTTP_DONE);
            CHECK_EQ_I64(o.used, strlen(pairs[i].first));
            bgw_http_reader_destroy(&r);
        }
    }
}

TEST(a_request_tells_what_it_said)
{
    struct bgw_http_reader *r = bgw_http_reader_create(&usual);
    struct outcome o = feed(
        r,
        BGW_SLICE(
            "GET /a%20b/c?x=1&access_token=a%2Eb&y HTTP/1.1\r\nhOsT:  Example.com:80 \r\n"
            "Empty:\r\nsec-websocket-protocol: a, ,bgw.v1\r\nSec-WebSocket-Protocol: c\r\n\r\n"),
        3);
    CHECK(o.progress == BGW_HTTP_DONE);
    const struct bgw_http_request *q = bgw_http_reader_request(r);
    CHECK_SLICE(q->path, "/a b/c");
    CHECK_SLICE(q->host, "Example.com:80");
    CHECK(q->keep_alive && !q->http10 && !q->upgrade && q->method == BGW_HTTP_GET);
    CHECK(bgw_http_header(q, "empty", 0).data && bgw_http_header(q, "empty", 0).len == 0);
    CHECK(!bgw_http_header(q, "absent", 0).data);
    CHECK_SLICE(bgw_http_header(q, "sec-websocket-protocol", 1), "c");
    struct bgw_http_cursor cursor = {0};
    struct bgw_slice e;
    CHECK(bgw_http_list_next(q, "sec-websocket-protocol", &cursor, &e) &&
          bgw_slice_eq(e, BGW_SLICE("a")));
    CHECK(bgw_http_list_next(q, "sec-websocket-protocol", &cursor, &e) &&
          bgw_slice_eq(e, BGW_SLICE("bgw.v1")));
    CHECK(bgw_http_list_next(q, "sec-websocket-protocol", &cursor, &e) &&
          bgw_slice_eq(e, BGW_SLICE("c")));
    CHECK(!bgw_http_list_next(q, "sec-websocket-protocol", &cursor, &e));
    char out[8];
    size_t len;
    CHECK(bgw_http_query(q->query, "access_token", out, sizeof(out), &len) == BGW_OK && len == 3 &&
          !memcmp(out, "a.b", 3));
    CHECK(bgw_http_query_has(q->query, "y") && !bgw_http_query_has(q->query, "z"));
    bgw_http_reader_destroy(&r);
}

TEST(keep_alive_follows_version_and_connection)
{
    static const struct {
        const char *text;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\n" H "\r\n", true},
        {"GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\n" H "Connection: x\r\nConnection: y, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bgw_http_reader *r = bgw_http_reader_create(&usual);
        CHECK(feed(r, bgw_slice_str(cases[i].text), 5).progress == BGW_HTTP_DONE);
        CHECK(bgw_http_reader_request(r)->keep_alive == cases[i].keep);
        bgw_http_reader_destroy(&r);
    }
}

TEST(what_is_accepted_is_named_and_not_refused)
{
    static const struct {
        const char *line;
        bool taken;
    } cases[] = {
        {"gzip", true},
        {"br, GZip", true},
        {"br;q=1.0,\tgzip\t; q=0.5", true},
        {"gzip;q=0.001", true},
        {"gzip; q=1", true},
        {"gzip;level=9", true},
        {"br\r\nAccept-Encoding: gzip", true},
        {"gzip;q=0", false},
        {"gzip;q=0.", false},
        {"gzip;q=0.0", false},
        {"br, gzip ; Q=0.000 , deflate", false},
        {"gzip;level=9; q=0", false},
        {"gzip;q=0, gzip", false}, /* who contradicts himself gets what everybody can read */
        {"gzipped, x-gzip, gzi", false},
        {"*", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[160];
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" H "Accept-Encoding: %s\r\n\r\n", cases[i].line);
        struct bgw_http_reader *r = bgw_http_reader_create(&usual);
        CHECK(feed(r, bgw_slice_str(text), 7).progress == BGW_HTTP_DONE);
        const struct bgw_http_request *q = bgw_http_reader_request(r);
        if (bgw_http_accepts(q, "accept-encoding", "gzip") != cases[i].taken)
            fprintf(stderr, "Accept-Encoding: %s\n", cases[i].line);
        CHECK(bgw_http_accepts(q, "accept-encoding", "gzip") == cases[i].taken);
        CHECK(!bgw_http_accepts(q, "accept", "gzip"));
        bgw_http_reader_destroy(&r);
    }
}

TEST(the_query_is_decoded_strictly)
{
    char out[4];
    size_t len;
    CHECK(bgw_http_query(BGW_SLICE("a=1&a=2"), "a", out, sizeof(out), &len) == BGW_DUPLICATE);
    CHECK(bgw_http_query(BGW_SLICE("a=1&%61=2"), "a", out, sizeof(out), &len) == BGW_DUPLICATE);
    CHECK(bgw_http_query(BGW_SLICE("a=%zz"), "a", out, sizeof(out), &len) == BGW_BAD_ENCODING);
    CHECK(bgw_http_query(BGW_SLICE("a=%2"), "a", out, sizeof(out), &len) == BGW_BAD_ENCODING);
    CHECK(bgw_http_query(BGW_SLICE("a=%00"), "a", out, sizeof(out), &len) == BGW_BAD_ENCODING);
    CHECK(bgw_http_query(BGW_SLICE("a=12345"), "a", out, sizeof(out), &len) == BGW_TOO_LARGE);
    CHECK(bgw_http_query(BGW_SLICE("b=1"), "a", out, sizeof(out), &len) == BGW_NOT_FOUND);
    CHECK(bgw_http_query((struct bgw_slice){NULL, 0}, "a", out, sizeof(out), &len) ==
          BGW_NOT_FOUND);
    CHECK(bgw_http_query(BGW_SLICE("a=+%2B"), "a", out, sizeof(out), &len) == BGW_OK && len == 2 &&
          !memcmp(out, "++", 2));
    CHECK(bgw_http_query(BGW_SLICE("a"), "a", out, sizeof(out), &len) == BGW_OK && len == 0);
}

TEST(parameters_of_one_name_come_one_after_the_other)
{
    struct bgw_http_params p = {.query = BGW_SLICE("a=1&b=9&%61=%32&a&a=%zz&a=12345&aa=3&a=4"), .name = "a"};
    char out[4];
    size_t len = 9;
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_OK && len == 1 && out[0] == '1');
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_OK && len == 1 && out[0] == '2');
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_OK && len == 0);
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_BAD_ENCODING);
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_TOO_LARGE);
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_OK && len == 1 && out[0] == '4');
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_NOT_FOUND);
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_NOT_FOUND);
    p = (struct bgw_http_params){.name = "a"};
    CHECK(bgw_http_query_next(&p, out, sizeof(out), &len) == BGW_NOT_FOUND);
}

TEST(a_refusal_is_a_whole_response_that_ends_the_connection)
{
    struct bgw_buf out;
    struct bgw_now now = {0, 784111777000};
    bgw_buf_init(&out, 4096);
    bgw_http_refuse(&out, BGW_REFUSAL_METHOD, "Allow: GET\r\n", false, now);
    bgw_buf_append_byte(&out, '\0');
    CHECK(strstr(out.data, "HTTP/1.1 405 Method Not Allowed\r\n") == out.data);
    CHECK(strstr(out.data, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") != NULL);
    CHECK(strstr(out.data, "Content-Type: application/problem+json\r\n") != NULL);
    CHECK(strstr(out.data, "Allow: GET\r\n") && strstr(out.data, "Connection: close\r\n"));
    const char *body = strstr(out.data, "\r\n\r\n") + 4;
    char length[64];
    snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
    CHECK(strstr(out.data, length) != NULL);
    CHECK(strstr(body, "\"status\":405,\"code\":\"method_not_allowed\"") != NULL);
    bgw_buf_clear(&out);
    bgw_http_refuse(&out, BGW_REFUSAL_NOT_FOUND, NULL, true, now);
    CHECK(out.len > 4 && memcmp(out.data + out.len - 4, "\r\n\r\n", 4) == 0);
    bgw_buf_deinit(&out);
}
