/* SPDX-License-Identifier: Apache-2.0 */
/*
 * micro: the contract between the program that counts (main.c) and what is counted, one table a
 * file. A case does its work in chunks: `run` is counted, everything else is not. Invariants: the
 * same program does the same work each time it runs (fixed seeds, fixed time, no threads, no I/O), and
 * a case can say afterwards of how many operations the result was right.
 */
#ifndef BGW_MICRO_H
#define BGW_MICRO_H

#include "bgw/feed.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Immutable; a table ends with a name of NULL. */
struct micro {
    const char *name; /* "shard/one_native" */
    const char *unit; /* what an operation is */
    size_t chunk;     /* operations of one run */
    size_t chunks;    /* that are counted if nobody says otherwise */
    const void *with; /* what cases of one kind differ in */
    void *(*make)(const struct micro *m); /* never NULL: micro_die instead */
    void (*ready)(void *state);           /* before each run, not counted; NULL: nothing to do */
    void (*run)(void *state);
    uint64_t (*right)(void *state); /* operations of all runs whose result is as it should be */
    void (*drop)(void *state);
};

extern const struct micro micro_record[], micro_encode[], micro_hub[], micro_shard[], micro_handoff[], micro_wheel[], micro_ws[],
    micro_token[];

_Noreturn void micro_die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void *micro_alloc(size_t count, size_t size); /* zeroed; never NULL */

/* ---- records.c: what all cases speak of ---- */

#define MICRO_WALL_MS 1793000000000
#define MICRO_EPOCH "k3f9"
#define MICRO_TEXT_MAX 320
#define MICRO_KEY_MAX 24

/* one record and room for its bytes */
struct micro_record {
    char key[80], value[MICRO_TEXT_MAX];
    struct bgw_record record;
};

void micro_feed(struct bgw_feed *feed);
size_t micro_account(char out[MICRO_KEY_MAX], size_t account); /* its id, without a NUL's count */
int64_t micro_minor(size_t account, uint64_t v);               /* always nine digits */
/* As the projector writes it: every member, the key names account, tenant and currency. Always of the same size while
 * 1,000,000 <= v < 10,000,000. */
void micro_record_full(struct micro_record *r, size_t account, uint64_t v);
/* As the bench's feed writes it: the account and its amounts. */
void micro_record_short(struct micro_record *r, size_t account, uint64_t v);
struct bgw_blob *micro_value(const struct bgw_feed *feed, size_t account, uint64_t v); /* never NULL */
bool micro_holds(struct bgw_slice bytes, size_t account, uint64_t v); /* the amount stands in it */

#define MICRO_V 1000000 /* the first version */

#endif
