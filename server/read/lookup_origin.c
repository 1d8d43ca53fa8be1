/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_origin: a fetch's way to the origin: bucket, breaker, the lock across replicas, the queue,
 * the call, the write-back. Called by lookup.c, on the reader's thread. Invariants: one call a fetch
 * at most; each lock that may be ours ends by one write_back or one drop_lock; while Redis is slow or
 * silent nothing here waits for it.
 */
#include "lookup_state.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/metrics.h"

#define ORIGIN_MARGIN_MS 50 /* the adapter's own deadline is to end it, this one if it does not */

/* ---- the end ---- */

static void settle_lock(struct lookup *k, const struct bgw_lookup_answer *store)
{
    struct bgw_lookups *l = k->all;
    uint64_t id = k->lock_id;
    k->lock_id = 0;
    k->locked = false;
    if (!id || (!store && BGW_BUG("lookup_keeps_locks")))
        return;
    if (store)
        l->ops.write_back(l->ops.arg, id, &k->fetch.name, store);
    else
        l->ops.drop_lock(l->ops.arg, id, &k->fetch.name);
}

/* The origin has nothing for us; if Redis still runs, it may. */
static void over(struct lookup *k, enum bgw_fetch_result verdict)
{
    struct bgw_lookups *l = k->all;
    bgw_wheel_cancel(&l->wheel, &k->step);
    settle_lock(k, NULL);
    k->phase = LOOKUP_OVER;
    k->verdict = (uint8_t)verdict;
    if (!k->l2_id)
        lookup_answer_verdict(k);
}

/* Ends the call that runs. */
static void call_ends(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    k->origin_id = 0;
    l->calls--;
    bgw_wheel_cancel(&l->wheel, &k->step);
}

void lookup_leave_origin(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    uint64_t id = k->origin_id;
    bgw_wheel_cancel(&l->wheel, &k->step);
    bgw_list_remove(&k->queue);
    if (id) {
        call_ends(k);
        bgw_breaker_abandoned(&l->origin, l->now.mono_ms);
        l->ops.forget_origin(l->ops.arg, id);
    }
    settle_lock(k, NULL);
}

/* ---- the call ---- */

static void call(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    int64_t deadline = l->config.origin_deadline_ms;
    if (!bgw_breaker_allow(&l->origin, l->now.mono_ms)) {
        over(k, BGW_FETCH_UNAVAILABLE);
        return;
    }
    k->phase = LOOKUP_CALL;
    k->called = true;
    k->origin_id = lookup_question(k);
    k->origin_asked_ms = l->now.mono_ms;
    k->origin_asked_wall_ms = l->now.wall_ms;
    k->not_stored |= !l->channel_up && !BGW_BUG("lookup_stores_what_began_deaf"); /* even if it is up by the end */
    l->calls++;
    bgw_wheel_arm(&l->wheel, &k->step, l->now.mono_ms + deadline + ORIGIN_MARGIN_MS);
    if (k->hedged)
        bgw_metric_add(BGW_M_HEDGES, 1);
    else
        bgw_hedge_called(&l->hedge, l->now.mono_ms);
    l->ops.ask_origin(l->ops.arg, k->origin_id, &k->fetch.name, deadline);
}

/* A loop, not a recursion: an origin that refuses at once would have as many frames as there wait. */
void lookup_pump(struct bgw_lookups *l)
{
    if (l->pumping)
        return;
    l->pumping = true;
    while (!bgw_list_empty(&l->queue) && l->calls < l->config.origin_max) {
        struct lookup *k = BGW_CONTAINER(l->queue.next, struct lookup, queue);
        bgw_list_remove(&k->queue);
        call(k);
    }
    l->pumping = false;
}

void lookup_enqueue(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    k->phase = LOOKUP_QUEUE;
    bgw_list_push_back(&l->queue, &k->queue);
    bgw_wheel_arm(&l->wheel, &k->step, l->now.mono_ms + l->config.origin_deadline_ms);
    lookup_pump(l);
}

void lookup_on_origin_step(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    if (k->phase == LOOKUP_QUEUE) {
        bgw_list_remove(&k->queue);
        over(k, BGW_FETCH_SHED);
        return;
    }
    uint64_t id = k->origin_id, serial = k->serial;
    bgw_metric_add(BGW_M_ORIGIN_FAILURES, 1);
    bgw_metric_observe_us(BGW_M_ORIGIN_SECONDS, (l->now.mono_ms - k->origin_asked_ms) * 1000);
    bgw_breaker_failed(&l->origin, l->now.mono_ms);
    call_ends(k);
    l->ops.forget_origin(l->ops.arg, id);
    if (lookup_same(k, serial))
        over(k, BGW_FETCH_UNAVAILABLE);
    lookup_pump(l);
}

static void origin_has_value(struct lookup *k, const struct bgw_lookup_answer *a)
{
    struct bgw_lookups *l = k->all;
    struct bgw_fetched f = {.result = BGW_FETCH_VALUE, .source = BGW_SOURCE_DATABASE, .has_v = a->has_v,
                            .v = a->v, .value = a->value, .started_wall_ms = k->origin_asked_wall_ms};
    if (lookup_below_floor(k, a)) {
        bgw_metric_add(BGW_M_ORIGIN_OLD, 1);
        bgw_blob_release(a->value);
        over(k, BGW_FETCH_UNAVAILABLE);
        return;
    }
    bool store = !k->not_stored && l->channel_up && lookup_l2_usable(l);
    bgw_metric_add(BGW_M_ORIGIN_VALUES, 1);
    if (k->hedged)
        bgw_metric_add(BGW_M_HEDGES_WON_ORIGIN, 1);
    settle_lock(k, store ? a : NULL);
    lookup_answer(k, &f);
}

void bgw_lookups_on_origin(struct bgw_lookups *l, uint64_t id, const struct bgw_lookup_answer *a, struct bgw_now now)
{
    struct lookup *k = lookup_of(l, id);
    BGW_ASSERT(a->result != BGW_LOOKUP_VALUE || a->value);
    l->now = now;
    if (!k || k->origin_id != id) {
        bgw_blob_release(a->value);
        return;
    }
    call_ends(k);
    bgw_metric_observe_us(BGW_M_ORIGIN_SECONDS, (now.mono_ms - k->origin_asked_ms) * 1000);
    if (a->result == BGW_LOOKUP_FAILED)
        bgw_breaker_failed(&l->origin, now.mono_ms);
    else
        bgw_breaker_succeeded(&l->origin, now.mono_ms);
    if (a->result == BGW_LOOKUP_VALUE) {
        origin_has_value(k, a);
    } else {
        bool miss = a->result == BGW_LOOKUP_MISS || BGW_BUG("lookup_failure_is_a_miss");
        bgw_blob_release(a->value);
        bgw_metric_add(miss ? BGW_M_ORIGIN_NOT_FOUND : BGW_M_ORIGIN_FAILURES, 1);
        over(k, miss ? BGW_FETCH_NOT_FOUND : BGW_FETCH_UNAVAILABLE);
    }
    lookup_pump(l);
}

/* ---- the lock ---- */

static bool lock_usable(struct bgw_lookups *l)
{
    return lookup_l2_usable(l) && !bgw_breaker_open(&l->redis, l->now.mono_ms) && !BGW_BUG("lookup_asks_no_lock");
}

static void take_lock(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    k->lock_id = lookup_question(k);
    l->ops.take_lock(l->ops.arg, k->lock_id, &k->fetch.name, l->config.lock_lease_ms);
}

static void wait_for_lock(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    k->phase = LOOKUP_LOCK;
    bgw_wheel_arm(&l->wheel, &k->step, l->now.mono_ms + l->config.l2_deadline_ms);
    take_lock(k);
}

void lookup_hold(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    int64_t next = l->now.mono_ms + l->config.lock_poll_ms;
    k->phase = LOOKUP_HELD;
    bgw_wheel_arm(&l->wheel, &k->step, next < k->wait_until_ms || BGW_BUG("lookup_waits_for_ever") ? next : k->wait_until_ms);
}

void lookup_on_lock_step(struct lookup *k)
{
    if (k->phase == LOOKUP_HELD && lock_usable(k->all)) {
        wait_for_lock(k);
        return;
    }
    settle_lock(k, NULL); /* no answer: it may have been taken */
    lookup_enqueue(k);
}

/* Whoever had the lock has written before it was given back: the value is looked for once more. */
static void ask_again(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    if (lookup_l2_usable(l) && bgw_breaker_allow(&l->redis, l->now.mono_ms)) {
        k->phase = LOOKUP_AGAIN;
        lookup_ask_l2(k);
    } else {
        lookup_enqueue(k);
    }
}

static void lock_held(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    if (!k->waited) {
        k->waited = true;
        k->wait_until_ms = l->now.mono_ms + l->config.lock_lease_ms;
        bgw_metric_add(BGW_M_LOCKS_WAITED, 1);
        lookup_hold(k);
    } else if (l->now.mono_ms < k->wait_until_ms || BGW_BUG("lookup_waits_for_ever")) {
        ask_again(k);
    } else {
        lookup_enqueue(k); /* a third one was quicker: nobody waits longer than one lease */
    }
}

void bgw_lookups_on_lock(struct bgw_lookups *l, uint64_t id, enum bgw_lock_result result, struct bgw_now now)
{
    struct lookup *k = lookup_of(l, id);
    l->now = now;
    if (!k || k->lock_id != id || k->locked)
        return; /* was given back when it was given up */
    k->locked = result == BGW_LOCK_TAKEN;
    if (!k->locked)
        k->lock_id = 0;
    if (k->phase != LOOKUP_LOCK)
        return; /* hedged: nobody waits for it */
    bgw_wheel_cancel(&l->wheel, &k->step);
    if (result == BGW_LOCK_HELD)
        lock_held(k);
    else if (k->locked && k->waited)
        ask_again(k);
    else
        lookup_enqueue(k);
}

/* ---- the beginning ---- */

void lookup_want_origin(struct lookup *k, bool hedged)
{
    struct bgw_lookups *l = k->all;
    bgw_wheel_cancel(&l->wheel, &k->step);
    k->hedged = hedged;
    if (bgw_flag(l->config.flags, BGW_FLAG_SHEDDING) && !bgw_bucket_take(&l->bucket, l->now.mono_ms)) {
        over(k, BGW_FETCH_SHED);
    } else if (bgw_breaker_open(&l->origin, l->now.mono_ms)) {
        over(k, BGW_FETCH_UNAVAILABLE);
    } else if (!lock_usable(l) || k->l2_failed) {
        lookup_enqueue(k);
    } else if (!hedged) {
        wait_for_lock(k);
    } else { /* Redis is slow: the lock is asked for, for the sake of the write-back, and not waited for */
        uint64_t serial = k->serial;
        k->phase = LOOKUP_QUEUE;
        take_lock(k);
        if (lookup_same(k, serial) && k->phase == LOOKUP_QUEUE)
            lookup_enqueue(k);
    }
}
