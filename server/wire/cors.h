/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cors: what pages of other origins may read. An allowed origin is echoed, with credentials, for
 * SignalR clients send them; every answer says that it varies by origin. Any thread; pure.
 */
#ifndef BGW_WIRE_CORS_H
#define BGW_WIRE_CORS_H

#include "bgw/http.h"

#define BGW_CORS_BYTES_MAX 1024u /* of all lines of one answer */

/* Own host, absent, or listed. */
bool bgw_cors_allowed(const struct bgw_http_request *r, const char *origins);
/* Appends whole header lines for an answer; only `Vary` if the origin is not allowed. */
void bgw_cors_append(const struct bgw_http_request *r, const char *origins, struct bgw_buf *headers);
/* Appends Allow and, for a preflight of an allowed page, what it may send. */
void bgw_cors_append_preflight(const struct bgw_http_request *r, const char *origins, const char *methods, struct bgw_buf *headers);

#endif
