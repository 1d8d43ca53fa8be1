/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_ops: the operators' thread: the admin port, and the revocations that come through it or
 * through their topic. Private to the gateway; main thread, except what says otherwise.
 */
#ifndef BGW_GATEWAY_OPS_H
#define BGW_GATEWAY_OPS_H

#include "gateway_door.h"

#include "bgw/health.h"
#include "bgw/ops_view.h"
#include "bgw/worker.h"

struct bgw_ops_host; /* main thread, except the thread's own parts */

struct bgw_ops_host_config {
    const struct bgw_config *config;
    struct bgw_door *door;
    const char *bootstrap, *version;
    bool broker_is_embedded;
    struct bgw_worker *const *workers; /* told of revocations; they outlive the host */
    size_t worker_count;
    struct bgw_flags *flags;
    struct bgw_ops_view *view; /* collected each second, from the end of the create on */
    const struct bgw_feed *feed;
    bool (*warm)(void *arg, const struct bgw_slot_name *name); /* any thread */
    void (*health)(void *arg, struct bgw_health *out);
    void (*ready)(void *arg); /* ops thread, once: the revocations have been read */
    void *arg;
};

BGW_MUST_CHECK enum bgw_status bgw_ops_host_create(struct bgw_ops_host **out, const struct bgw_ops_host_config *config,
                                                   struct bgw_buf *error);
const char *bgw_ops_host_bound(const struct bgw_ops_host *h); /* the admin port's address */
BGW_MUST_CHECK enum bgw_status bgw_ops_host_start(struct bgw_ops_host *h); /* the thread */
bool bgw_ops_host_ready(const struct bgw_ops_host *h); /* any thread: every revocation that was there at the start is known */
void bgw_ops_host_health(const struct bgw_ops_host *h, struct bgw_health *out); /* any thread */
void bgw_ops_host_destroy(struct bgw_ops_host **h); /* ends the thread */

#endif
