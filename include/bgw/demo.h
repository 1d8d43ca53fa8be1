/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: a small double-entry ledger on a thread of its own that moves money between a few hundred
 * invented accounts and writes the balances to the topic. It never makes money: the sum over all
 * accounts is constant.
 */
#ifndef BGW_DEMO_H
#define BGW_DEMO_H

#include "bgw/buf.h"
#include "bgw/config.h"
#include "bgw/types.h"

#define BGW_DEMO_ACCOUNTS 300

struct bgw_demo;

/* Starts the ledger on a broker. Main thread. */
BGW_MUST_CHECK enum bgw_status bgw_demo_create(struct bgw_demo **out, const struct bgw_config *config,
                                               const char *bootstrap, struct bgw_buf *error);
/* Stops it; NULL inside is fine. */
void bgw_demo_destroy(struct bgw_demo **demo);
/* The name of account `i`, below BGW_DEMO_ACCOUNTS: for the page and the ready box. Any thread. */
void bgw_demo_account(size_t i, char out[BGW_KEY_MAX + 1]);

#endif
