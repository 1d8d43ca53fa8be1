/* SPDX-License-Identifier: Apache-2.0 */
/* admin_pages: what the admin port answers. Private to server/ops. */
#ifndef BGW_OPS_ADMIN_PAGES_H
#define BGW_OPS_ADMIN_PAGES_H

#include "admin_request.h"

#include "bgw/ops.h"

/* Appends a whole response, header included, to `out`. */
void bgw_admin_answer(const struct bgw_admin_config *config, const struct bgw_admin_request *request,
                      struct bgw_now now, struct bgw_buf *out);
/* A refusal: a problem body, `Connection: close`. */
void bgw_admin_refuse(int status, struct bgw_buf *out);

#endif
