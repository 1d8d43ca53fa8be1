/* SPDX-License-Identifier: Apache-2.0 */
/* admin_request: one HTTP/1.1 request without a body, read strictly. Private to server/ops. */
#ifndef BGW_OPS_ADMIN_REQUEST_H
#define BGW_OPS_ADMIN_REQUEST_H

#include "bgw/slice.h"

#define BGW_ADMIN_HEADER_MAX 8192 /* request line and header; beyond it 431 */
#define BGW_ADMIN_LINE_MAX 2048   /* the request line; beyond it 414 */

struct bgw_admin_request { /* borrows the bytes */
    struct bgw_slice path, query;
    bool head;       /* HEAD: no body */
    bool keep_alive;
};

#define BGW_ADMIN_MORE 0 /* the header is not complete yet */

/* 200: `out` is filled and *used bytes are read. BGW_ADMIN_MORE. Otherwise the status to refuse with; the
 * connection ends then. */
int bgw_admin_request_parse(struct bgw_slice bytes, struct bgw_admin_request *out, size_t *used);

#endif
