/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2: the shared cache in Redis: the projector's hash and the gateway's own short string, read in one
 * pipeline; the lock of a slot; the fenced write-back (one Lua step); their removal when the key was
 * invalidated. Hides key names and formats (contracts, section 3). Reader's thread.
 */
#ifndef BGW_READ_L2_H
#define BGW_READ_L2_H

#include "lookup.h"
#include "bgw/redis.h"

struct bgw_l2;
struct bgw_l2_config { /* copied */
    const char *url, *ca_file;
    const struct bgw_feed *feed;
    int64_t command_ms, body_ttl_ms /* 5000, +-10 % */;
    bool hash_v_opaque; /* BGW_HASH_V=opaque */
    bool tracking;      /* RESP3 client-side tracking, BCAST PREFIX balance: */
    uint64_t seed;
    void *arg;
    void (*state)(void *arg, bool up);
    void (*answered)(void *arg, uint64_t id, const struct bgw_lookup_answer *a);
    void (*locked)(void *arg, uint64_t id, enum bgw_lock_result result);
    void (*changed)(void *arg, const struct bgw_slot_name *name); /* by tracking: this key's hash was written */
};
BGW_MUST_CHECK enum bgw_status bgw_l2_create(struct bgw_l2 **out, struct bgw_loop *loop, const struct bgw_l2_config *config,
                                             struct bgw_buf *error);
void bgw_l2_destroy(struct bgw_l2 **l);
bool bgw_l2_up(const struct bgw_l2 *l);
void bgw_l2_ask(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, bool trust_body);
void bgw_l2_lock(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms);
void bgw_l2_unlock(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name);
void bgw_l2_write(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a);
/* Deletes `bal:` and the lock; part 0, any tenant: of whatever it covers, at once or before it is next believed. */
void bgw_l2_forget(struct bgw_l2 *l, const struct bgw_slot_name *name, bool any_tenant);
void bgw_l2_doubt(struct bgw_l2 *l); /* no body that is there now is believed: removals may have been missed */
void bgw_l2_ping(struct bgw_l2 *l, struct bgw_slice channel, struct bgw_slice payload); /* PUBLISH: the channel's heartbeat */
int64_t bgw_l2_memory(const struct bgw_l2 *l); /* used_memory of the last INFO, below 0: not known */

#endif
