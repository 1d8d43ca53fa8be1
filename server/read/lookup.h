/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup: how one value is fetched: filter, Redis, hedge timer, the lock across replicas, bucket,
 * breaker, origin, fenced write-back. Pure: no I/O, no clock; what it wants done goes out through
 * ops, what came of it comes back by id. The hub asks for a slot once at a time, so there is at most
 * one lookup a slot. Reader's thread, or the simulator.
 *
 *   a miss never wins · an older answer loses even if it is faster · errors are answered, never stored
 *   a lookup whose key was invalidated while it ran is answered, and not written back
 */
#ifndef BGW_READ_LOOKUP_H
#define BGW_READ_LOOKUP_H

#include "breaker.h"
#include "bucket.h"
#include "doubts.h"
#include "hedge.h"
#include "known_keys.h"

#include "bgw/flags.h"
#include "bgw/hub.h"

struct bgw_lookups;

enum bgw_lookup_result { BGW_LOOKUP_VALUE, BGW_LOOKUP_MISS /* L2: not there; origin: nobody knows it */, BGW_LOOKUP_FAILED };

/* what a source said; fixed-size value */
struct bgw_lookup_answer {
    enum bgw_lookup_result result;
    bool has_v;
    uint64_t v;
    struct bgw_blob *value; /* a reference: the lookups' from here on */
    struct bgw_slice body;  /* origin: what is to be written back; borrowed during the call */
};

struct bgw_lookup_ops {
    void *arg;
    /* Each is answered once by the call of the same name below, perhaps before it returns. `id` is this question's
     * own (a fetch may put several); answers to questions that are given up by now are fine. */
    void (*ask_l2)(void *arg, uint64_t id, const struct bgw_slot_name *name, bool trust_body /* may `bal:` be believed */);
    void (*take_lock)(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms);
    void (*ask_origin)(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms);
    /* Not answered. `id` is take_lock's: one of the two follows each take_lock that was not answered HELD or FAILED, perhaps
     * before its answer, so they must not overtake it. write_back stores only if the lock is still this lookup's and nothing
     * newer is there, and gives the lock back; it borrows the answer and its value. */
    void (*write_back)(void *arg, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a);
    void (*drop_lock)(void *arg, uint64_t id, const struct bgw_slot_name *name);
    void (*forget_origin)(void *arg, uint64_t id); /* ask_origin's id: its answer is not wanted any more; none comes after this */
    /* Exactly once a fetch; may ask again at once. */
    void (*answer)(void *arg, const struct bgw_fetched *f);
    void (*list_is_old)(void *arg); /* somebody who is not on the list of known accounts was found; NULL if there is no list */
};

struct bgw_lookup_config {
    const struct bgw_flags *flags; /* NULL: all on */
    bool has_l2, has_origin;
    int64_t origin_deadline_ms, l2_deadline_ms;
    int64_t lock_lease_ms;  /* at least the origin's deadline */
    int64_t lock_poll_ms;   /* how often a waiter looks whether the other replica has written, or given up */
    int64_t rate_per_s, burst, hedge_us;
    size_t lookups_max;     /* beyond it `ask` says false */
    size_t origin_max;      /* calls at a time; at it the origin is saturated: no hedges, others wait */
    struct bgw_known_keys *known; /* NULL: none */
    /* An account that was opened after the list was read is not on it: so many a second that come for the first time, and so many
     * that come again, are asked for all the same (doubts.h); who is found is known from then on. 0: none. */
    int64_t doubts_per_s;
    uint64_t seed;
};

BGW_MUST_CHECK enum bgw_status bgw_lookups_create(struct bgw_lookups **out, const struct bgw_lookup_config *config,
                                                  const struct bgw_lookup_ops *ops, struct bgw_now now);
/* Unanswered ones are answered UNAVAILABLE, calls forgotten, locks given back: by the ops, which must still be there. */
void bgw_lookups_destroy(struct bgw_lookups **l);
bool bgw_lookups_ask(struct bgw_lookups *l, const struct bgw_fetch *f, struct bgw_now now);
void bgw_lookups_on_l2(struct bgw_lookups *l, uint64_t id, const struct bgw_lookup_answer *a, struct bgw_now now);
enum bgw_lock_result { BGW_LOCK_TAKEN, BGW_LOCK_HELD /* by another replica */, BGW_LOCK_FAILED /* ask without it */ };
void bgw_lookups_on_lock(struct bgw_lookups *l, uint64_t id, enum bgw_lock_result result, struct bgw_now now);
void bgw_lookups_on_origin(struct bgw_lookups *l, uint64_t id, const struct bgw_lookup_answer *a, struct bgw_now now);
/* The key has changed at its source: whatever runs for it is not stored. part 0: all its parts. */
void bgw_lookups_on_invalidate(struct bgw_lookups *l, const struct bgw_slot_name *name, bool any_tenant);
/* While invalidations cannot be heard: nothing is written back, and what others wrote back (`bal:`) is not believed. */
void bgw_lookups_on_channel(struct bgw_lookups *l, bool up);
void bgw_lookups_on_l2_state(struct bgw_lookups *l, bool up, struct bgw_now now);
int64_t bgw_lookups_tick(struct bgw_lookups *l, struct bgw_now now); /* once a turn: deadlines; ms until the next */
void bgw_lookups_look(struct bgw_lookups *l, struct bgw_sources_view *view, struct bgw_now now); /* fills its part */

#endif
