/* SPDX-License-Identifier: Apache-2.0 */
/* admin_request: the head of one HTTP/1.1 request, read strictly. Private to server/ops. */
#ifndef BGW_OPS_ADMIN_REQUEST_H
#define BGW_OPS_ADMIN_REQUEST_H

#include "bgw/slice.h"

#define BGW_ADMIN_HEADER_MAX 8192 /* request line and header; beyond it 431 */
#define BGW_ADMIN_LINE_MAX 2048   /* the request line; beyond it 414 */
#define BGW_ADMIN_BODY_MAX 1048576 /* beyond it 413: the largest list of accounts to warm; other paths take less, see admin_pages.c */

enum bgw_admin_method { BGW_ADMIN_GET, BGW_ADMIN_HEAD, BGW_ADMIN_POST };

struct bgw_admin_request { /* borrows the bytes */
    enum bgw_admin_method method;
    struct bgw_slice path, query;
    bool keep_alive;
    bool origin;          /* a browser's page sent it */
    bool json;            /* Content-Type: application/json */
    bool expects;         /* waits for 100 before it sends the body */
    bool has_length;
    size_t content_length; /* GET and HEAD: 0 */
};

#define BGW_ADMIN_MORE 0 /* the header is not complete yet */

/* 200: `out` is filled and *used bytes are read, the body comes next. BGW_ADMIN_MORE. Otherwise the status to refuse with; the
 * connection ends then; method and path are filled if the request line was good. */
int bgw_admin_request_parse(struct bgw_slice bytes, struct bgw_admin_request *out, size_t *used);

#endif
