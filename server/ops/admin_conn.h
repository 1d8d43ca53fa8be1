/* SPDX-License-Identifier: Apache-2.0 */
/* admin_conn: one connection of the admin port. Private to server/ops; ops thread only. */
#ifndef BGW_OPS_ADMIN_CONN_H
#define BGW_OPS_ADMIN_CONN_H

#include "bgw/list.h"
#include "bgw/ops.h"

struct bgw_admin_conn;

struct bgw_admin { /* ops thread only */
    struct bgw_loop *loop;
    struct bgw_admin_config config;
    struct ssl_ctx_st *tls; /* NULL: plain */
    struct bgw_loop_fd listener;
    struct bgw_timer accept_again;
    struct bgw_list conns;
    size_t conn_count;
    uint64_t last_token;
};

/* Takes `fd` if it is OK. It ends by itself, or with bgw_admin_conns_close. */
BGW_MUST_CHECK enum bgw_status bgw_admin_conn_open(struct bgw_admin *admin, int fd);
void bgw_admin_conns_close(struct bgw_admin *admin);

#endif
