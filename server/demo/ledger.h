/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the demonstration's book-keeping, pure: no clock, no I/O, the same moves from the same
 * seed. Every move takes from one account what it gives to another of the same currency; the sum
 * over all accounts is checked at every one, and no account ever goes below zero.
 */
#ifndef BGW_DEMO_LEDGER_H
#define BGW_DEMO_LEDGER_H

#include "bgw/demo.h"

#include <stdint.h>

#define BGW_LEDGER_USD_EVERY 25 /* every 25th account holds dollars too */
#define BGW_LEDGER_ROWS_MAX (BGW_DEMO_ACCOUNTS + BGW_DEMO_ACCOUNTS / BGW_LEDGER_USD_EVERY + 2)

/* one side of a move, as it is told to the world; fixed-size value */
struct bgw_ledger_leg {
    char account[BGW_KEY_MAX + 1];
    char currency[BGW_PART_MAX + 1];
    int64_t minor, delta_minor; /* the balance after it, and the change */
    uint64_t v;                 /* rises by one with every move of this account and currency */
};
struct bgw_ledger_move {
    struct bgw_ledger_leg from, to;
    uint64_t txn;
};

struct bgw_ledger; /* one thread */

/* `first_v`: the version of every account's first move, above 0. NULL without memory. */
struct bgw_ledger *bgw_ledger_create(uint64_t seed, uint64_t first_v);
void bgw_ledger_destroy(struct bgw_ledger **l);
/* The next move. The first ones fund each account from the house. */
void bgw_ledger_step(struct bgw_ledger *l, struct bgw_ledger_move *out);
bool bgw_ledger_opening(const struct bgw_ledger *l); /* accounts are still being funded */
/* How long people take until the next move. */
int64_t bgw_ledger_gap_ms(struct bgw_ledger *l);
int64_t bgw_ledger_sum_minor(const struct bgw_ledger *l, const char *currency);
int64_t bgw_ledger_least_minor(const struct bgw_ledger *l);

#endif
