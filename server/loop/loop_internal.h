/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_internal: what loop.c and mailbox.c share. An inbox is drained on the loop's thread in
 * every turn that follows a wake-up; loops have a handful of them, so a plain walk is enough.
 */
#ifndef BGW_LOOP_INTERNAL_H
#define BGW_LOOP_INTERNAL_H

#include "bgw/list.h"
#include "bgw/loop.h"

/* loop's thread only; embedded in a mailbox */
struct bgw_loop_inbox {
    struct bgw_list link;
    void (*drain)(struct bgw_loop_inbox *inbox);
};

/* Before the loop's thread runs, or on it; not from inside a drain. */
void bgw_loop_attach_inbox(struct bgw_loop *loop, struct bgw_loop_inbox *inbox);
void bgw_loop_detach_inbox(struct bgw_loop *loop, struct bgw_loop_inbox *inbox);

#endif
