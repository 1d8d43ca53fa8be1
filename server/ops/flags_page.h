/* SPDX-License-Identifier: Apache-2.0 */
/* flags_page: what is switched on, shown and changed on the admin port. Private to server/ops; ops thread. */
#ifndef BGW_OPS_FLAGS_PAGE_H
#define BGW_OPS_FLAGS_PAGE_H

#include "bgw/flags.h"

/* Each appends the response's JSON body and returns its status. */
int flags_page(const struct bgw_flags *flags, struct bgw_buf *out);
/* `text`: {"name":true or false, …}. All of it, or nothing. */
int flags_page_change(struct bgw_flags *flags, struct bgw_slice text, struct bgw_buf *out);

#endif
