/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_ready: how a gateway says that it is ready. Private to the gateway. */
#ifndef BGW_GATEWAY_READY_H
#define BGW_GATEWAY_READY_H

#include "bgw/buf.h"
#include "bgw/status.h"

struct bgw_ready_facts { /* borrows; addresses as really bound */
    const char *listen, *admin, *kafka;
    const char *demo_token; /* NULL outside the demo */
};

/* Removes what an earlier run left and makes sure that the file can be written. "" is no file. */
BGW_MUST_CHECK enum bgw_status bgw_ready_prepare(const char *path, struct bgw_buf *error);
/* One log line, the file (whole, by rename), and in the demo the box. */
BGW_MUST_CHECK enum bgw_status bgw_ready_announce(const char *path, const struct bgw_ready_facts *facts);

#endif
