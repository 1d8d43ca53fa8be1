/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_private: what http.c (the library), http_rules.c (what the library lets through) and
 * http_text.c (looking things up) share: one request while it is read. Shard thread only.
 */
#ifndef BGW_WIRE_HTTP_PRIVATE_H
#define BGW_WIRE_HTTP_PRIVATE_H

#include "bgw/http.h"

/* offsets into `head`: the buffer moves while it grows */
struct http_line {
    uint32_t name_at, value_at, name_len, value_len;
};

/* what the header lines of a request say, before they are judged */
struct http_head {
    struct bgw_buf head; /* request line and header lines, as they came */
    struct bgw_buf path; /* decoded */
    struct http_line lines[BGW_HTTP_HEADER_LINES_MAX];
    size_t line_count;
    uint64_t name_lengths; /* a bit for each length, from 63 on the last: what is looked for is mostly not there */
    size_t request_line_len; /* without CR LF; 0: not complete */
    struct bgw_slice target;
    bool chunked;
    uint64_t content_length;
};

/* Method, target, version of the complete line head[0 .. request_line_len). */
enum bgw_refusal bgw_http_rules_line(struct http_head *h, struct bgw_http_request *r);
/* All that must hold of the header lines; fills host, path, query, keep_alive, upgrade. */
enum bgw_refusal bgw_http_rules_headers(struct http_head *h, struct bgw_http_request *r);

static inline uint64_t http_length_bit(size_t len)
{
    return 1ull << (len < 63 ? len : 63);
}

const struct http_head *bgw_http_head_of(const struct bgw_http_reader *reader);

#endif
