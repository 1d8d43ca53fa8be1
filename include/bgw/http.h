/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http: HTTP/1.1 (and 1.0) requests in, responses out, without I/O. Hides llhttp. Everything that
 * the library lets through and a bank should not is refused here, each with a row of refusal.def.
 * A reader exists only while one request is being read; it never reads past that request.
 */
#ifndef BGW_HTTP_H
#define BGW_HTTP_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/status.h"

#include <stdint.h>

#define BGW_HTTP_LINE_MAX 16384u
#define BGW_HTTP_HEADER_LINES_MAX 100u

enum bgw_refusal {
    BGW_REFUSAL_NONE,
#define BGW_REFUSAL_ROW(NAME, status, code, sentence) BGW_REFUSAL_##NAME,
#include "../../server/wire/refusal.def"
#undef BGW_REFUSAL_ROW
    BGW_REFUSAL_COUNT
};
int bgw_refusal_status(enum bgw_refusal r);
const char *bgw_refusal_code(enum bgw_refusal r);
const char *bgw_refusal_sentence(enum bgw_refusal r);

enum bgw_http_method {
    BGW_HTTP_GET,
    BGW_HTTP_HEAD,
    BGW_HTTP_POST,
    BGW_HTTP_PUT,
    BGW_HTTP_DELETE,
    BGW_HTTP_PATCH,
    BGW_HTTP_OPTIONS,
    BGW_HTTP_OTHER, /* a well-formed word that nothing here takes */
};

struct bgw_http_reader; /* shard thread only */

/* One whole request; borrows its reader, until that is destroyed. */
struct bgw_http_request {
    enum bgw_http_method method;
    bool http10;
    bool keep_alive;        /* the client wants the connection to stay */
    bool upgrade;           /* Upgrade: websocket and Connection: Upgrade */
    bool encoded_slash;     /* the path has two readings: whoever takes it must refuse what stands there */
    struct bgw_slice path;  /* percent-decoded; begins with '/', or is "*" with OPTIONS */
    struct bgw_slice query; /* as it came, without '?'; data NULL: none */
    struct bgw_slice host;
    const struct bgw_http_reader *reader;
};

enum bgw_http_progress { BGW_HTTP_MORE, BGW_HTTP_DONE, BGW_HTTP_REFUSED };

struct bgw_http_limits {
    size_t header_bytes_max; /* of the header block, the request line not counted; more is 431 */
    size_t body_bytes_max;   /* of a body, which is kept only for POST; more is 413 */
};

/* Copies the limits. NULL without memory. */
struct bgw_http_reader *bgw_http_reader_create(const struct bgw_http_limits *limits);
void bgw_http_reader_destroy(struct bgw_http_reader **reader);
/* Feeds bytes; *used says how many belong to this request. After DONE or REFUSED it takes no more.
 */
enum bgw_http_progress bgw_http_read(struct bgw_http_reader *reader, struct bgw_slice bytes,
                                     size_t *used);
/* After DONE; after REFUSED only `method` and `http10` say something. */
const struct bgw_http_request *bgw_http_reader_request(const struct bgw_http_reader *reader);
enum bgw_refusal bgw_http_reader_refusal(const struct bgw_http_reader *reader);

/* Of a POST; empty: none. Borrows the reader. */
struct bgw_slice bgw_http_body(const struct bgw_http_request *r);
/* The n-th header of that name (lower case), spaces around it cut; data NULL: there is none. */
struct bgw_slice bgw_http_header(const struct bgw_http_request *r, const char *name, size_t n);
size_t bgw_http_header_count(const struct bgw_http_request *r, const char *name);
/* Walks the comma-separated elements of all headers of that name; *cursor starts at zero. */
struct bgw_http_cursor {
    size_t line, at;
};
bool bgw_http_list_next(const struct bgw_http_request *r, const char *name,
                        struct bgw_http_cursor *cursor, struct bgw_slice *element);
bool bgw_http_list_has(const struct bgw_http_request *r, const char *name,
                       const char *element);                      /* any case */
/* Of Accept and Accept-Encoding: named there by name, and not with q=0. */
bool bgw_http_accepts(const struct bgw_http_request *r, const char *name, const char *wanted);
bool bgw_slice_eq_nocase(struct bgw_slice a, struct bgw_slice b); /* ASCII */

/* Strict percent-decoding, '+' is itself. BGW_BAD_ENCODING (also for %00), BGW_TOO_LARGE. */
BGW_MUST_CHECK enum bgw_status bgw_http_unescape(struct bgw_slice in, char *out, size_t cap,
                                                 size_t *len);
/* One query parameter, decoded; names in any case. BGW_NOT_FOUND, BGW_DUPLICATE, BGW_BAD_ENCODING, BGW_TOO_LARGE. */
BGW_MUST_CHECK enum bgw_status bgw_http_query(struct bgw_slice query, const char *name, char *out,
                                              size_t cap, size_t *len);
/* Walks the parameters of one name that may stand several times; `at` starts at zero. BGW_NOT_FOUND: no more of them. After
 * BGW_BAD_ENCODING and BGW_TOO_LARGE, which are of one of them, the walk may go on. */
struct bgw_http_params {
    struct bgw_slice query;
    const char *name;
    size_t at;
};
BGW_MUST_CHECK enum bgw_status bgw_http_query_next(struct bgw_http_params *p, char *out, size_t cap, size_t *len);
bool bgw_http_query_has(struct bgw_slice query, const char *name); /* with or without a value */

/* ---- responses ---- */
struct bgw_http_reply { /* borrows */
    int status;
    const char *content_type; /* NULL: no body, no length */
    struct bgw_slice body;
    const char *headers; /* whole lines, each with CR LF; NULL: none */
    bool head_only;      /* HEAD: the length of the body, not the body */
    bool close;
};
/* Appends the response; counts it by status. */
void bgw_http_reply(struct bgw_buf *out, const struct bgw_http_reply *r, struct bgw_now now);
/* Only the status line and headers, for a body of `body_len` bytes that the caller sends. */
void bgw_http_reply_head(struct bgw_buf *out, const struct bgw_http_reply *r, size_t body_len,
                         struct bgw_now now);
/* A refusal: RFC 9457 body, Connection: close. `headers` as above. */
void bgw_http_refuse(struct bgw_buf *out, enum bgw_refusal why, const char *headers, bool head_only,
                     struct bgw_now now);
/* The same with words of another table (a token's). */
struct bgw_http_problem {
    int status;
    const char *code, *detail;
    const char *headers;
    bool head_only;
    bool keep; /* the connection goes on; else the answer ends it */
    struct bgw_slice members; /* further members of the body, each with a leading comma; may be empty */
};
void bgw_http_reply_problem(struct bgw_buf *out, const struct bgw_http_problem *p,
                            struct bgw_now now);
/* 101; `protocol` may be NULL. */
void bgw_http_reply_upgrade(struct bgw_buf *out, const char *accept, const char *protocol);

#endif
