/* SPDX-License-Identifier: Apache-2.0 */
/*
 * board: what was published and when, in memory that the one who publishes and all who receive share
 * (processes of one machine: the clock is CLOCK_MONOTONIC). One writer, any number of readers, no
 * locks. Latency counts from `due`, the moment at which the schedule wanted the record to be sent:
 * a publisher, broker or gateway that pauses shows as records that waited, not as records never
 * asked for. `acked` is when the broker had confirmed it, the commit.
 * Invariant: a version is on the board before anybody can receive it.
 */
#ifndef BENCH_BOARD_H
#define BENCH_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct board;

/* `ring`: how many versions of an account are remembered, a power of two. `file` NULL: inherited by
 * fork only; else others may attach to it. NULL when there is no memory or the file is not one. */
struct board *board_create(const char *file, int accounts, unsigned ring);
struct board *board_attach(const char *file);
void board_close(struct board *b);
unsigned board_ring_for(int accounts); /* the longest that keeps a board below 512 MiB, 16 to 4096 */

int board_accounts(const struct board *b);
/* The writer: gives the account's next version and says when it is due. */
uint64_t board_publish(struct board *b, int account, int64_t due_ns);
/* The one call that may come from another thread than the writer's; too late, it does nothing. */
void board_acked(struct board *b, int account, uint64_t version, int64_t at_ns);

/* Readers: the account's newest version, 0 if none yet; the sum of all newest versions. */
uint64_t board_newest(const struct board *b, int account);
uint64_t board_total(const struct board *b);
/* False: not remembered any more. `*acked_ns` is 0 while the broker has not confirmed it. */
bool board_times(const struct board *b, int account, uint64_t version, int64_t *due_ns, int64_t *acked_ns);

#endif
