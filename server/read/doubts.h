/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doubts: which of the accounts that are on no list are asked for all the same. The list is as old as
 * its last reading, so an account that was opened since must be found, while a flood of invented ones
 * must not get through. Hides both budgets and what is remembered. Pure; the lookup's, one thread.
 *
 *   who is asked for the first time shares a budget with every invented id; who comes again has
 *   another one, which a flood that never names an id twice does not touch; and of whom the origin
 *   said lately that nobody knows him, nobody is asked
 */
#ifndef BGW_READ_DOUBTS_H
#define BGW_READ_DOUBTS_H

#include "bucket.h"

struct bgw_doubts;

/* `per_s` of each kind, twice that and one more at once. */
struct bgw_doubts *bgw_doubts_create(int64_t per_s, int64_t now_ms);
void bgw_doubts_destroy(struct bgw_doubts **d);
/* May the account of this hash be asked for, although it is on no list? */
bool bgw_doubts_take(struct bgw_doubts *d, uint64_t hash, int64_t now_ms);
/* As if for the first time: nobody waits for it, it is compared in its turn. */
bool bgw_doubts_take_unasked(struct bgw_doubts *d, uint64_t hash, int64_t now_ms);
/* The origin was asked, and nobody knows it. */
void bgw_doubts_denied(struct bgw_doubts *d, uint64_t hash, int64_t now_ms);

#endif
