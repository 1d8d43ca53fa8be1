/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm: balances that are read before anybody asks: at start, now and then, on an operator's word. A
 * read like any other, whose answer nobody waits for; it leaves the balance watched and Redis filled.
 * Shard thread only.
 */
#ifndef BGW_WIRE_WARM_H
#define BGW_WIRE_WARM_H

#include "bgw/shard.h"

#define BGW_WARM_READS_MAX 256u

struct bgw_warm {
    struct bgw_shard *shard;
    const struct bgw_feed *feed;
    struct bgw_read *reads[BGW_WARM_READS_MAX]; /* NULL: free */
    size_t under_way;
};

/* False: as many as may are under way. */
bool bgw_warm_ask(struct bgw_warm *w, const struct bgw_slot_name *name, struct bgw_now now);
/* A read was answered: true if it was one of these. */
bool bgw_warm_done(struct bgw_warm *w, const void *user);
void bgw_warm_cancel(struct bgw_warm *w);

#endif
