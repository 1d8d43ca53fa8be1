/* SPDX-License-Identifier: Apache-2.0 */
/*
 * project: the projector. Reads `ledger-events` as a member of the group `ledger-projection`, keeps
 * each account's position in Redis (one step of its own language applies an event exactly once),
 * and from there the hash that gateways read, the record on `balance-updates` and the word on
 * `balance:invalidate`. Everything on one loop. Invariants: a position is the sum of all events of
 * its account up to the offsets that it names, or nothing is said of it; an event that was
 * acknowledged to the group has been told to everyone.
 */
#ifndef BGW_PROJECT_H
#define BGW_PROJECT_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/loop.h"

struct bgw_projector;

struct bgw_projector_config {
    const struct bgw_config *config; /* outlives it; REDIS, TOPIC_LEDGER, TOPIC_BALANCE_UPDATES, … */
    const char *bootstrap;
    bool broker_is_embedded;
    void *arg;
    void (*ready)(void *arg); /* once: what was there at the start is projected */
};
BGW_MUST_CHECK enum bgw_status bgw_projector_create(struct bgw_projector **out, struct bgw_loop *loop,
                                                    const struct bgw_projector_config *c, struct bgw_buf *error);
const char *bgw_projector_trouble(struct bgw_projector *p); /* any thread: why nothing moves, a sentence, or NULL */
void bgw_projector_metrics(void *projector, struct bgw_buf *out); /* Prometheus lines. Any thread */
/* Takes no more events; true when all that were taken are told and committed. Call until it is, then destroy. */
bool bgw_projector_drain(struct bgw_projector *p);
void bgw_projector_destroy(struct bgw_projector **p);

#endif
