/* SPDX-License-Identifier: Apache-2.0 */
/* admin_pages: what the admin port answers. Private to server/ops. */
#ifndef BGW_OPS_ADMIN_PAGES_H
#define BGW_OPS_ADMIN_PAGES_H

#include "admin_request.h"

#include "bgw/ops.h"

/* May this be asked here: 200, 404, 405, 403 (a browser's POST), 411, 413 or 415. */
int bgw_admin_route(const struct bgw_admin_config *config, const struct bgw_admin_request *request);
/* Appends a whole response, header included, to `out`: to GET and HEAD. */
void bgw_admin_answer(const struct bgw_admin_config *config, const struct bgw_admin_request *request,
                      struct bgw_now now, struct bgw_buf *out);
/* What a POST with this body comes to, as bgw_admin_config.revoke: its status, or 0 and bgw_admin_finish(token) later. */
int bgw_admin_post(const struct bgw_admin_config *config, const char *path, struct bgw_slice body, uint64_t token,
                   struct bgw_buf *answer);
/* Appends the JSON body of a problem; returns the status. */
int bgw_admin_problem(struct bgw_buf *out, int status, const char *code, struct bgw_slice detail);
/* The response to a POST: a problem from 400 on. */
void bgw_admin_reply(int status, struct bgw_slice json, bool keep_alive, struct bgw_buf *out);
/* A refusal: a problem body, `Connection: close`. `path` decides what a 405 allows. */
void bgw_admin_refuse(int status, struct bgw_slice path, struct bgw_buf *out);

#endif
