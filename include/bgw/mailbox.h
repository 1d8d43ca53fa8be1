/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox: bounded queue of fixed-size values from any thread to a loop's thread. Wakes only on
 * empty -> non-empty. Nobody blocks: a full mailbox says BGW_FULL and the sender keeps the value.
 * A turn drains at most what was there when it began.
 */
#ifndef BGW_MAILBOX_H
#define BGW_MAILBOX_H

#include "bgw/loop.h"

struct bgw_mailbox; /* post: any thread; the rest: loop's thread */
typedef void (*bgw_mailbox_fn)(void *arg, const void *item);

BGW_MUST_CHECK enum bgw_status bgw_mailbox_create(struct bgw_mailbox **out, struct bgw_loop *loop,
                                                  size_t item_size, size_t capacity,
                                                  bgw_mailbox_fn receive, void *arg);
void bgw_mailbox_destroy(struct bgw_mailbox **m); /* undelivered items are handed to `receive` first */
BGW_MUST_CHECK enum bgw_status bgw_mailbox_post(struct bgw_mailbox *m, const void *item);

#endif
