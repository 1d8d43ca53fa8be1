/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_door: everything that decides who comes in and for how long: policy, certificates, token
 * keys, revocations, quotas, the audit log. Made before the shards, changed by a reload, gone after
 * them. Private to the gateway; main thread, except what says otherwise.
 */
#ifndef BGW_GATEWAY_DOOR_H
#define BGW_GATEWAY_DOOR_H

#include "bgw/audit.h"
#include "bgw/auth.h"
#include "bgw/config.h"
#include "bgw/health.h"
#include "bgw/loop.h"
#include "bgw/policy.h"
#include "bgw/quota.h"
#include "bgw/revocations.h"
#include "bgw/tls.h"
#include "bgw/url_watch.h"

struct bgw_door {
    struct bgw_policy *policy; /* of the last reload */
    struct bgw_tls *tls;       /* NULL: a plain client port */
    struct bgw_quota *quota;
    struct bgw_revocations *revocations;
    struct bgw_auth *auth;
    struct bgw_audit *audit;   /* NULL: none */
    struct bgw_url_watch *keys; /* NULL: no key set */
    const struct bgw_feed *feed;
    struct bgw_slice secret;   /* borrowed from the configuration of the start */
    uint8_t resume_key[32];
    void (*keys_loaded)(void *arg); /* reader's thread, each time; NULL: nobody cares */
    void *arg;
};

/* `secret`: the HS256 key in force, the demo's perhaps; empty: none. On failure `error` says what to set. */
BGW_MUST_CHECK enum bgw_status bgw_door_create(struct bgw_door *d, const struct bgw_config *config,
                                               const struct bgw_feed *feed, struct bgw_slice secret,
                                               struct bgw_buf *error);
/* Keeps the key set up to date on the reader's loop; nothing to do without BGW_JWT_JWKS. Before the threads start. */
BGW_MUST_CHECK enum bgw_status bgw_door_watch_keys(struct bgw_door *d, const struct bgw_config *config,
                                                   struct bgw_loop *loop, struct bgw_buf *error);
/* All of it or nothing: on failure everything stays as it was, and `error` says why. */
BGW_MUST_CHECK enum bgw_status bgw_door_reload(struct bgw_door *d, const struct bgw_config *fresh,
                                               struct bgw_buf *error);
/* Any thread: without keys nobody can be let in, so the gateway is not ready; older keys than wanted degrade it. */
void bgw_door_health(const struct bgw_door *d, struct bgw_health *out);
bool bgw_door_ready(const struct bgw_door *d); /* any thread */
void bgw_door_stop_watching(struct bgw_door *d); /* after the reader's loop has ended */
void bgw_door_destroy(struct bgw_door *d);     /* after the shards */

#endif
