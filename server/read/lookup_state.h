/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_state: what the two halves of lookup share: lookup.c (life, answers, Redis's value) and
 * lookup_origin.c (the way to the origin: bucket, lock, queue, call). Nobody else includes it.
 * Whatever calls an op may find its lookup gone afterwards: such calls stand last, or look at
 * lookup_same().
 */
#ifndef BGW_READ_LOOKUP_STATE_H
#define BGW_READ_LOOKUP_STATE_H

#include "lookup.h"

#include "bgw/list.h"
#include "bgw/wheel.h"

/* where a fetch stands; what `step` times is in brackets */
enum lookup_phase {
    LOOKUP_CACHE,    /* Redis was asked, the origin is not wanted yet (hedge) */
    LOOKUP_LOCK,     /* the lock was asked for (Redis's deadline) */
    LOOKUP_HELD,     /* another replica has it (the next look) */
    LOOKUP_AGAIN,    /* the lock's state is known: Redis is asked whether there is a value by now */
    LOOKUP_QUEUE,    /* the origin has enough to do (how long we wait for our turn) */
    LOOKUP_CALL,     /* the origin was asked (its deadline) */
    LOOKUP_OVER,     /* the origin has no value for us; Redis still runs and may have one */
    LOOKUP_ANSWERED, /* answered; Redis's answer only tells how Redis is */
};

struct lookup {
    struct bgw_lookups *all;
    uint64_t serial; /* of the fetch that is here; 0: free */
    uint32_t index, next_free;
    struct bgw_list by_key;         /* in all->keys, until answered */
    struct bgw_list queue;          /* in all->queue */
    struct bgw_timer l2_timer, step;
    struct bgw_fetch fetch;
    uint64_t l2_id, lock_id, origin_id; /* the questions that run, or the lock that is ours; 0: none */
    int64_t l2_asked_ms, l2_asked_wall_ms, origin_asked_ms, origin_asked_wall_ms;
    int64_t wait_until_ms; /* then the other replica's lease has passed */
    uint8_t phase, verdict /* of OVER: enum bgw_fetch_result */;
    uint64_t doubted; /* hash of an account that is on no list; 0: it is, or nobody looked */
    bool l2_failed, locked /* lock_id is ours for sure */, waited, hedged, called, not_stored;
};

struct bgw_lookups {
    struct bgw_lookup_config config;
    struct bgw_lookup_ops ops;
    struct bgw_now now;
    struct bgw_wheel wheel;
    struct bgw_breaker redis, origin;
    struct bgw_bucket bucket;
    struct bgw_doubts *doubts; /* NULL: none */
    struct bgw_hedge hedge;
    struct lookup *lookups; /* lookups_max, those from `made` on never used */
    struct bgw_list *keys;  /* hashed by feed and key */
    struct bgw_list queue;  /* for the origin, first come first served */
    uint64_t key_mask, serial;
    uint32_t made, first_free;
    size_t calls; /* of the origin that run */
    bool l2_up, channel_up, pumping, closing;
};

/* lookup.c */
void lookup_ask_l2(struct lookup *k);
bool lookup_l2_usable(const struct bgw_lookups *l);
uint64_t lookup_question(struct lookup *k);
struct lookup *lookup_of(struct bgw_lookups *l, uint64_t id);
bool lookup_below_floor(const struct lookup *k, const struct bgw_lookup_answer *a);
void lookup_answer(struct lookup *k, const struct bgw_fetched *f);
void lookup_answer_verdict(struct lookup *k);
static inline bool lookup_same(const struct lookup *k, uint64_t serial)
{
    return k->serial == serial;
}

/* lookup_origin.c */
void lookup_want_origin(struct lookup *k, bool hedged);
void lookup_enqueue(struct lookup *k);
void lookup_hold(struct lookup *k); /* another replica has the lock: look again soon */
void lookup_on_lock_step(struct lookup *k);   /* LOCK: no answer; HELD: look again */
void lookup_on_origin_step(struct lookup *k); /* QUEUE, CALL: too long */
void lookup_leave_origin(struct lookup *k);   /* it is not wanted any more, whatever it was doing */
void lookup_pump(struct bgw_lookups *l);

#endif
