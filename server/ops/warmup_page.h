/* SPDX-License-Identifier: Apache-2.0 */
/* warmup_page: accounts that an operator wants to be read before anybody asks. Private to server/ops; ops thread. */
#ifndef BGW_OPS_WARMUP_PAGE_H
#define BGW_OPS_WARMUP_PAGE_H

#include "bgw/ops.h"

#define WARMUP_ACCOUNTS_MAX 10000u

/* `text`: {"accounts":[…],"currency"?,"tenant"?}. Appends the response's JSON body and returns its status. */
int warmup_page(const struct bgw_admin_config *config, struct bgw_slice text, struct bgw_buf *out);

#endif
