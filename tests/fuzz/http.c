/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-http: one request through the reader, whole and in pieces.
 *
 *   limits 1 | seed of the pieces 4 | bytes of the connection
 *
 * Properties: how the bytes arrive changes nothing; what is behind the request changes nothing and
 * is left alone; a request that was accepted reads the same to a reader of ours that knows nothing
 * but CR LF and colons, so that no proxy before us can have seen another one.
 */
#include "fuzz.h"

#include "wire/http_private.h"

#include "bgw/metrics.h"

static struct bgw_http_reader *read_in_pieces(struct bgw_slice bytes, const struct bgw_http_limits *limits, uint32_t seed, bool whole,
                                              enum bgw_http_progress *progress, size_t *used)
{
    struct bgw_http_reader *r = bgw_http_reader_create(limits);
    FUZZ_CHECK(r);
    *progress = BGW_HTTP_MORE;
    *used = 0;
    while (*used < bytes.len && *progress == BGW_HTTP_MORE) {
        size_t left = bytes.len - *used, n = whole ? left : fuzz_piece(&seed, left), taken = 0;
        char *piece = fuzz_copy(bgw_slice_of(bytes.data + *used, n));
        *progress = bgw_http_read(r, bgw_slice_of(piece, n), &taken);
        free(piece);
        FUZZ_CHECK(taken <= n);
        FUZZ_CHECK(*progress != BGW_HTTP_MORE || taken == n);
        *used += taken;
    }
    FUZZ_CHECK((*progress == BGW_HTTP_REFUSED) == (bgw_http_reader_refusal(r) != BGW_REFUSAL_NONE));
    return r;
}

static void check_same(const struct bgw_http_reader *a, const struct bgw_http_reader *b)
{
    const struct bgw_http_request *x = bgw_http_reader_request(a), *y = bgw_http_reader_request(b);
    const struct http_head *g = bgw_http_head_of(a), *h = bgw_http_head_of(b);
    FUZZ_CHECK(x->method == y->method && x->http10 == y->http10);
    FUZZ_CHECK(x->keep_alive == y->keep_alive && x->upgrade == y->upgrade);
    FUZZ_CHECK(bgw_slice_eq(x->path, y->path) && bgw_slice_eq(x->query, y->query));
    FUZZ_CHECK(!x->query.data == !y->query.data && bgw_slice_eq(x->host, y->host));
    FUZZ_CHECK(bgw_slice_eq(bgw_buf_slice(&g->head), bgw_buf_slice(&h->head)));
    FUZZ_CHECK(g->line_count == h->line_count && g->chunked == h->chunked);
    FUZZ_CHECK(g->content_length == h->content_length);
    for (size_t i = 0; i < g->line_count; i++)
        FUZZ_CHECK(memcmp(&g->lines[i], &h->lines[i], sizeof(g->lines[i])) == 0);
}

/* A block that is wrong in two ways may be refused for either: the name of the line that is one too many is seen when it is
 * whole, or at the end of a piece, which may come before a character that does not belong there. */
static void check_same_refusal(const struct bgw_http_reader *a, const struct bgw_http_reader *b)
{
    enum bgw_refusal x = bgw_http_reader_refusal(a), y = bgw_http_reader_refusal(b);
    bool full = bgw_http_head_of(a)->line_count == BGW_HTTP_HEADER_LINES_MAX;
    bool either = full && (x == BGW_REFUSAL_HEADERS_TOO_LARGE || y == BGW_REFUSAL_HEADERS_TOO_LARGE) &&
                  (x == BGW_REFUSAL_BAD_HEADER || y == BGW_REFUSAL_BAD_HEADER);
    FUZZ_CHECK(x == y || either);
}

/* ---- the simple reader ---- */

static struct bgw_slice next_line(struct bgw_slice *text)
{
    const char *end = memmem(text->data, text->len, "\r\n", 2);
    FUZZ_CHECK(end);
    struct bgw_slice line = {text->data, (size_t)(end - text->data)};
    for (size_t i = 0; i < line.len; i++) /* no second way to end a line, no NUL to end it early */
        FUZZ_CHECK(line.data[i] != '\r' && line.data[i] != '\n' && line.data[i]);
    *text = bgw_slice_of(end + 2, text->len - line.len - 2);
    return line;
}

static struct bgw_slice trim(struct bgw_slice s)
{
    for (; s.len && (*s.data == ' ' || *s.data == '\t'); s.len--)
        s.data++;
    while (s.len && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static void check_header_line(const struct http_head *h, size_t i, struct bgw_slice line)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    const char *colon = memchr(line.data, ':', line.len);
    FUZZ_CHECK(i < h->line_count && colon && colon > line.data);
    struct bgw_slice name = {line.data, (size_t)(colon - line.data)};
    struct bgw_slice value = {colon + 1, line.len - name.len - 1};
    for (size_t c = 0; c < name.len; c++)
        FUZZ_CHECK(strchr(token, name.data[c]));
    FUZZ_CHECK(bgw_slice_eq(name, bgw_slice_of(h->head.data + h->lines[i].name_at, h->lines[i].name_len)));
    FUZZ_CHECK(bgw_slice_eq(trim(value), trim(bgw_slice_of(h->head.data + h->lines[i].value_at,
                                                           h->lines[i].value_len))));
}

static uint64_t simple_number(struct bgw_slice digits, unsigned base)
{
    static const char all[] = "0123456789abcdef";
    uint64_t n = 0;
    FUZZ_CHECK(digits.len);
    for (size_t i = 0; i < digits.len; i++) {
        char c = digits.data[i];
        const char *at = memchr(all, c >= 'A' && c <= 'F' ? c | 0x20 : c, base);
        FUZZ_CHECK(at);
        n = n * base + (uint64_t)(at - all);
    }
    return n;
}

/* Where the body ends, by counting. */
static size_t simple_body(const struct bgw_http_request *r, const struct http_head *h, struct bgw_slice rest)
{
    struct bgw_slice start = rest;
    if (!h->chunked) {
        struct bgw_slice length = bgw_http_header(r, "content-length", 0);
        return length.data ? simple_number(length, 10) : 0;
    }
    for (;;) {
        uint64_t n = simple_number(next_line(&rest), 16);
        FUZZ_CHECK(n <= rest.len);
        rest = bgw_slice_of(rest.data + n, rest.len - n);
        FUZZ_CHECK(next_line(&rest).len == 0);
        if (n == 0)
            return start.len - rest.len;
    }
}

static void check_reads_one_way(const struct bgw_http_reader *reader, struct bgw_slice bytes, size_t used)
{
    const struct bgw_http_request *r = bgw_http_reader_request(reader);
    const struct http_head *h = bgw_http_head_of(reader);
    struct bgw_slice rest = {bytes.data, used}, line;
    size_t count = 0;
    FUZZ_CHECK(next_line(&rest).len == h->request_line_len);
    while ((line = next_line(&rest)).len)
        check_header_line(h, count++, line);
    FUZZ_CHECK(count == h->line_count);
    FUZZ_CHECK(used - rest.len == h->head.len);
    FUZZ_CHECK(simple_body(r, h, rest) == rest.len);
    FUZZ_CHECK(r->method != BGW_HTTP_OTHER && r->path.len);
    FUZZ_CHECK(r->path.data[0] == '/' || (r->path.len == 1 && r->method == BGW_HTTP_OPTIONS));
    FUZZ_CHECK(!memchr(r->path.data, 0, r->path.len));
    FUZZ_CHECK(r->http10 || r->host.len);
    FUZZ_CHECK(!r->upgrade || (used == h->head.len && r->method == BGW_HTTP_GET));
    FUZZ_CHECK(!r->http10 || !r->keep_alive);
}

/* Lists and queries are looked up by whoever answers. */
static void look_up(const struct bgw_http_request *r)
{
    static const char *const names[] = {"connection", "sec-websocket-protocol", "if-none-match", "host"};
    char out[256];
    size_t len;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        struct bgw_http_cursor cursor = {0};
        struct bgw_slice element;
        while (bgw_http_list_next(r, names[i], &cursor, &element))
            FUZZ_CHECK(element.len && !memchr(element.data, ',', element.len));
    }
    enum bgw_status status = bgw_http_query(r->query, "access_token", out, sizeof(out), &len);
    FUZZ_CHECK((status == BGW_NOT_FOUND) == !bgw_http_query_has(r->query, "access_token"));
    FUZZ_CHECK(status != BGW_OK || (len <= sizeof(out) && !memchr(out, 0, len)));
}

/* The same request with nothing behind it, with something else behind it, and without its last byte. */
static void check_ends_there(struct bgw_slice bytes, size_t used, const struct bgw_http_limits *limits)
{
    enum bgw_http_progress progress;
    size_t again;
    struct bgw_http_reader *r = read_in_pieces(bgw_slice_of(bytes.data, used), limits, 0, true, &progress, &again);
    FUZZ_CHECK(progress == BGW_HTTP_DONE && again == used);
    bgw_http_reader_destroy(&r);
    r = read_in_pieces(bgw_slice_of(bytes.data, used - 1), limits, 0, true, &progress, &again);
    FUZZ_CHECK(progress == BGW_HTTP_MORE);
    bgw_http_reader_destroy(&r);
    char *longer = malloc(used + 3);
    memcpy(longer, bytes.data, used);
    memcpy(longer + used, "\0\r\n", 3);
    r = read_in_pieces(bgw_slice_of(longer, used + 3), limits, 0, true, &progress, &again);
    FUZZ_CHECK(progress == BGW_HTTP_DONE && again == used);
    bgw_http_reader_destroy(&r);
    free(longer);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    uint32_t size_choice = fuzz_take(&in, 1);
    const struct bgw_http_limits limits = {.header_bytes_max = size_choice & 1 ? 64 : 32768, .body_bytes_max = 8u * size_choice};
    uint32_t seed = fuzz_take(&in, 4);
    struct bgw_slice bytes = fuzz_rest(&in);
    enum bgw_http_progress progress[2];
    size_t used[2];
    struct bgw_http_reader *whole = read_in_pieces(bytes, &limits, 0, true, &progress[0], &used[0]);
    struct bgw_http_reader *pieces = read_in_pieces(bytes, &limits, seed, false, &progress[1], &used[1]);
    FUZZ_CHECK(progress[0] == progress[1]);
    check_same_refusal(whole, pieces);
    if (progress[0] == BGW_HTTP_DONE) {
        FUZZ_CHECK(used[0] == used[1]);
        check_same(whole, pieces);
        check_reads_one_way(whole, bytes, used[0]);
        look_up(bgw_http_reader_request(whole));
        check_ends_there(bytes, used[0], &limits);
    }
    bgw_http_reader_destroy(&whole);
    bgw_http_reader_destroy(&pieces);
    return 0;
}
