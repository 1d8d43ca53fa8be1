/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: every limit, deadline and allow-list that may change while the gateway runs. Made whole
 * from a configuration, then immutable and counted; a reload makes another one, and each shard
 * changes over at the end of a turn. So no reader ever sees half of a change.
 */
#ifndef BGW_POLICY_H
#define BGW_POLICY_H

#include "bgw/config.h"
#include "bgw/net.h"

#include <stdatomic.h>

struct bgw_policy { /* any thread: immutable after create; counted */
    atomic_uint refs;
    /* admission */
    int64_t handshakes_per_s;        /* of one shard: TLS handshakes and upgrades, each its own bucket */
    int64_t storm_spread_s;          /* who is refused for the budget is told to come back within this */
    int64_t per_subject_max, per_tenant_max, per_address_max; /* connections; 0: no limit */
    struct bgw_nets *trusted_proxies;
    bool proxy_protocol;             /* peers on the list speak PROXY v2 first */
    char *origins;
    bool staff_needs_certificate;    /* accounts.read.all and ops.read only with a verified client certificate */
    /* one connection */
    int64_t tls_ms, header_ms, auth_ms, idle_ms, ping_ms, pong_wait_ms, stall_ms;
    int64_t heartbeat_ms, client_timeout_ms, greeting_ms;
    int64_t read_keep_ms;
    size_t reads_kept_max;
    size_t header_bytes_max, body_bytes_max;
    size_t message_bytes_max, early_message_bytes_max, fragments_max;
    int64_t commands_per_s;          /* 0: no limit */
    size_t keys_max;
};

/* BGW_CONFIG: an allow-list is wrong; `error` says where. BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_policy_create(struct bgw_policy **out, const struct bgw_config *config,
                                                 struct bgw_buf *error);
struct bgw_policy *bgw_policy_acquire(struct bgw_policy *p);
void bgw_policy_release(struct bgw_policy *p);

#endif
