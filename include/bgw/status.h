/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status: the one enum for operating errors. One row a value in server/base/status.def:
 * BGW_STATUS_ROW(NAME, "sentence"). Functions that return it must be checked.
 */
#ifndef BGW_STATUS_H
#define BGW_STATUS_H

#define BGW_MUST_CHECK __attribute__((warn_unused_result))

enum bgw_status {
#define BGW_STATUS_ROW(name, sentence) BGW_##name,
#include "../../server/base/status.def"
#undef BGW_STATUS_ROW
};

/* A sentence for people. Never NULL. Any thread. */
const char *bgw_status_text(enum bgw_status status);

/* The row's name in lower case ("too_large"): stable, for logs and metrics. Any thread. */
const char *bgw_status_name(enum bgw_status status);

#endif
