/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_warm: which balances are read before anybody asks, and at which pace: those of BGW_WARMUP at
 * start and every BGW_WARMUP_S, those that an operator names. Private to the gateway; main thread,
 * except `add`.
 */
#ifndef BGW_GATEWAY_WARM_H
#define BGW_GATEWAY_WARM_H

#include "bgw/worker.h"

struct bgw_warmup;

/* Reads the list: BGW_BAD_VALUE names what is no account, BGW_IO the file. */
BGW_MUST_CHECK enum bgw_status bgw_warmup_create(struct bgw_warmup **out, struct bgw_loop *loop, const struct bgw_config *config,
                                                 const struct bgw_feed *feed, struct bgw_buf *error);
/* From now on; the array is borrowed until destroy. */
void bgw_warmup_start(struct bgw_warmup *w, struct bgw_worker **workers, size_t count);
/* Any thread. False: as many as may wait already. */
bool bgw_warmup_add(struct bgw_warmup *w, const struct bgw_slot_name *name);
void bgw_warmup_destroy(struct bgw_warmup **w);

#endif
