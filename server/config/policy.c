/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy: a configuration's limits, deadlines and allow-lists as one immutable object. Hides units
 * (seconds there, milliseconds here) and who owns the lists. Made on the main thread at start and at
 * each reload, read on all.
 */
#include "bgw/policy.h"

#include "bgw/assert.h"

#include <limits.h>
#include <stdlib.h>

static void take_numbers(struct bgw_policy *p, const struct bgw_config *c)
{
    p->handshakes_per_s = c->handshakes_per_s;
    p->storm_spread_s = c->storm_spread_s;
    p->per_subject_max = c->connections_per_subject;
    p->per_tenant_max = c->connections_per_tenant;
    p->per_address_max = c->connections_per_address;
    p->proxy_protocol = c->proxy_protocol;
    p->staff_needs_certificate = strcmp(c->tls_client_auth, "staff") == 0;
    p->tls_ms = c->tls_deadline_s * 1000;
    p->header_ms = c->header_deadline_s * 1000;
    p->auth_ms = c->auth_deadline_s * 1000;
    p->idle_ms = c->idle_s * 1000;
    p->ping_ms = c->ping_s * 1000;
    p->pong_wait_ms = c->pong_wait_s * 1000;
    p->stall_ms = c->stall_s * 1000;
    p->heartbeat_ms = c->heartbeat_s * 1000;
    p->client_timeout_ms = c->client_timeout_s * 1000;
    p->greeting_ms = c->greeting_s * 1000;
    p->read_keep_ms = c->read_watch_s * 1000;
    p->reads_kept_max = (size_t)c->read_watch_max;
    p->header_bytes_max = (size_t)c->header_bytes_max;
    p->body_bytes_max = (size_t)c->body_bytes_max;
    p->message_bytes_max = (size_t)c->message_bytes_max;
    p->early_message_bytes_max = (size_t)c->early_message_bytes_max;
    p->fragments_max = (size_t)c->fragments_max;
    p->commands_per_s = c->commands_per_s;
    p->keys_max = (size_t)c->keys_max;
}

enum bgw_status bgw_policy_create(struct bgw_policy **out, const struct bgw_config *config,
                                  struct bgw_buf *error)
{
    *out = NULL;
    struct bgw_policy *p = calloc(1, sizeof(*p));
    if (!p)
        return BGW_NO_MEMORY;
    atomic_init(&p->refs, 1);
    take_numbers(p, config);
    p->origins = strdup(config->origins);
    enum bgw_status status = bgw_nets_parse(&p->trusted_proxies, config->trusted_proxies, error);
    if (status == BGW_OK && p->origins) {
        *out = p;
        return BGW_OK;
    }
    bgw_policy_release(p);
    return status == BGW_BAD_VALUE ? BGW_CONFIG : BGW_NO_MEMORY;
}

struct bgw_policy *bgw_policy_acquire(struct bgw_policy *p)
{
    /* relaxed: the caller holds a reference already */
    unsigned before = atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    BGW_ASSERT(before > 0 && before < UINT_MAX / 2);
    return p;
}

void bgw_policy_release(struct bgw_policy *p)
{
    if (!p)
        return;
    /* release our reads, acquire everyone's before freeing */
    unsigned before = atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel);
    BGW_ASSERT(before > 0);
    if (before > 1)
        return;
    bgw_nets_release(p->trusted_proxies);
    free(p->origins);
    free(p);
}
