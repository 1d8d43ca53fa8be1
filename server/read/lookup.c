/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup: the life of a fetch, the known-key filter and what Redis answers; the way to the origin is
 * lookup_origin.c's. Hides how questions find their fetch again and when the hedge begins. Called by
 * the reader, on its thread. Invariants: each fetch is answered once; a question ends by its answer or
 * by our own deadline, never twice, and what comes later is dropped with its value.
 */
#include "lookup_state.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define INDEX_BITS 24 /* of a question's id: where its fetch is; the rest rises */
#define TICK_MAX_MS 1000
#define KEY_LISTS_MIN 16u
#define KEY_LISTS_MAX 65536u

static const struct bgw_breaker_config BREAKER = {.failures_max = 5, .open_ms = 500, .open_max_ms = 10000};

/* ---- where a fetch is kept ---- */

static struct bgw_list *list_of(struct bgw_lookups *l, const struct bgw_slot_name *name)
{
    uint64_t hash = bgw_hash_keyed(bgw_slice_of(name->key, name->key_len)) + name->feed;
    return &l->keys[hash & l->key_mask];
}

uint64_t lookup_question(struct lookup *k)
{
    return ++k->all->serial << INDEX_BITS | k->index;
}

/* The fetch that may have put this question; whether it still runs is for the caller to compare. */
struct lookup *lookup_of(struct bgw_lookups *l, uint64_t id)
{
    uint64_t index = id & ((1u << INDEX_BITS) - 1);
    return id && index < l->made && l->lookups[index].serial ? &l->lookups[index] : NULL;
}

static void on_l2_deadline(struct bgw_timer *t, int64_t now_ms);
static void on_step(struct bgw_timer *t, int64_t now_ms);

static struct lookup *take_place(struct bgw_lookups *l)
{
    uint32_t index = l->first_free;
    if (index < l->made)
        l->first_free = l->lookups[index].next_free;
    else if (l->made < l->config.lookups_max)
        l->first_free = ++l->made;
    else
        return NULL;
    struct lookup *k = &l->lookups[index];
    *k = (struct lookup){.all = l, .index = index, .serial = ++l->serial};
    bgw_list_init(&k->by_key);
    bgw_list_init(&k->queue);
    bgw_timer_init(&k->l2_timer, on_l2_deadline);
    bgw_timer_init(&k->step, on_step);
    return k;
}

static void give_place(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    BGW_ASSERT(!k->l2_id && !k->lock_id && !k->origin_id);
    k->serial = 0;
    k->next_free = l->first_free;
    l->first_free = k->index;
}

/* Who is found is known from now on, and whom the origin denies is not asked for again so soon. */
static void learn(struct lookup *k, enum bgw_fetch_result result)
{
    struct bgw_lookups *l = k->all;
    const struct bgw_slot_name *name = &k->fetch.name;
    if (result == BGW_FETCH_VALUE && l->config.known)
        bgw_known_keys_add(l->config.known, bgw_slice_of(name->tenant, name->tenant_len), bgw_slice_of(name->key, name->key_len));
    if (result == BGW_FETCH_VALUE && k->doubted)
        l->ops.list_is_old(l->ops.arg);
    if (result == BGW_FETCH_NOT_FOUND && k->doubted)
        bgw_doubts_denied(l->doubts, k->doubted, l->now.mono_ms);
}

void lookup_answer(struct lookup *k, const struct bgw_fetched *f)
{
    struct bgw_lookups *l = k->all;
    struct bgw_fetched fetched = *f;
    BGW_ASSERT(k->phase != LOOKUP_ANSWERED && !k->origin_id && !k->lock_id && !bgw_list_linked(&k->queue));
    fetched.id = k->fetch.id;
    bgw_wheel_cancel(&l->wheel, &k->step);
    bgw_list_remove(&k->by_key);
    k->phase = LOOKUP_ANSWERED;
    learn(k, (enum bgw_fetch_result)f->result);
    if (!k->l2_id)
        give_place(k);
    l->ops.answer(l->ops.arg, &fetched);
}

void lookup_answer_verdict(struct lookup *k)
{
    if (k->verdict == BGW_FETCH_SHED)
        bgw_metric_add(BGW_M_SHED, 1);
    lookup_answer(k, &(struct bgw_fetched){.result = k->verdict});
}

bool lookup_below_floor(const struct lookup *k, const struct bgw_lookup_answer *a)
{
    return a->has_v && a->v < k->fetch.floor.seq && !BGW_BUG("lookup_floor_ignored"); /* without v there is nothing to compare */
}

/* ---- Redis ---- */

bool lookup_l2_usable(const struct bgw_lookups *l)
{
    return l->config.has_l2 && l->l2_up && bgw_flag(l->config.flags, BGW_FLAG_L2);
}

/* Its breaker has allowed it. */
void lookup_ask_l2(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    k->l2_id = lookup_question(k);
    k->l2_asked_ms = l->now.mono_ms;
    k->l2_asked_wall_ms = l->now.wall_ms;
    bgw_wheel_arm(&l->wheel, &k->l2_timer, l->now.mono_ms + l->config.l2_deadline_ms);
    l->ops.ask_l2(l->ops.arg, k->l2_id, &k->fetch.name, l->channel_up || BGW_BUG("lookup_believes_while_deaf"));
}

static void cache_wins(struct lookup *k, const struct bgw_lookup_answer *a)
{
    struct bgw_fetched f = {.result = BGW_FETCH_VALUE, .source = BGW_SOURCE_CACHE, .has_v = a->has_v,
                            .v = a->v, .value = a->value, .started_wall_ms = k->l2_asked_wall_ms};
    struct bgw_lookups *l = k->all;
    if (k->hedged && k->called)
        bgw_metric_add(BGW_M_HEDGES_WON_CACHE, 1);
    lookup_leave_origin(k);
    lookup_answer(k, &f);
    lookup_pump(l); /* the origin may have room now */
}

static void cache_has_none(struct lookup *k)
{
    switch ((enum lookup_phase)k->phase) {
    case LOOKUP_CACHE:
        if (BGW_BUG("lookup_miss_wins"))
            lookup_answer(k, &(struct bgw_fetched){.result = BGW_FETCH_NOT_FOUND});
        else if (k->all->config.has_origin)
            lookup_want_origin(k, false);
        else /* a cache alone cannot deny that somebody knows it */
            lookup_answer(k, &(struct bgw_fetched){.result = BGW_FETCH_UNAVAILABLE});
        break;
    case LOOKUP_AGAIN:
        if (k->lock_id || k->l2_failed)
            lookup_enqueue(k);
        else
            lookup_hold(k);
        break;
    case LOOKUP_OVER:
        lookup_answer_verdict(k);
        break;
    case LOOKUP_ANSWERED:
        give_place(k);
        break;
    case LOOKUP_LOCK:
    case LOOKUP_HELD:
    case LOOKUP_QUEUE:
    case LOOKUP_CALL: /* hedged: the origin is at it already */
        break;
    }
}

static void l2_failed(struct lookup *k)
{
    bgw_metric_add(BGW_M_L2_FAILURES, 1);
    bgw_breaker_failed(&k->all->redis, k->all->now.mono_ms);
    k->l2_failed = true;
    cache_has_none(k);
}

static void l2_has_value(struct lookup *k, const struct bgw_lookup_answer *a)
{
    if (lookup_below_floor(k, a)) {
        bgw_metric_add(BGW_M_L2_OLD, 1);
        bgw_blob_release(a->value);
        cache_has_none(k);
        return;
    }
    bgw_metric_add(BGW_M_L2_HITS, 1);
    if (k->phase != LOOKUP_ANSWERED) {
        cache_wins(k, a);
        return;
    }
    bgw_blob_release(a->value);
    give_place(k);
}

/* Ends the question that runs. */
static void l2_ends(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    int64_t us = (l->now.mono_ms - k->l2_asked_ms) * 1000;
    bgw_wheel_cancel(&l->wheel, &k->l2_timer);
    k->l2_id = 0;
    bgw_metric_observe_us(BGW_M_REDIS_SECONDS, us);
}

void bgw_lookups_on_l2(struct bgw_lookups *l, uint64_t id, const struct bgw_lookup_answer *a, struct bgw_now now)
{
    struct lookup *k = lookup_of(l, id);
    BGW_ASSERT(a->result != BGW_LOOKUP_VALUE || a->value);
    l->now = now;
    if (!k || (k->l2_id != id && !(k->l2_id && BGW_BUG("lookup_takes_other_answers")))) {
        bgw_blob_release(a->value);
        return;
    }
    l2_ends(k);
    if (a->result == BGW_LOOKUP_FAILED) {
        bgw_blob_release(a->value);
        l2_failed(k);
        return;
    }
    bgw_hedge_sample(&l->hedge, (now.mono_ms - k->l2_asked_ms) * 1000, now.mono_ms);
    bgw_breaker_succeeded(&l->redis, now.mono_ms);
    if (a->result == BGW_LOOKUP_VALUE) {
        l2_has_value(k, a);
        return;
    }
    bgw_blob_release(a->value);
    bgw_metric_add(BGW_M_L2_MISSES, 1);
    cache_has_none(k);
}

static void on_l2_deadline(struct bgw_timer *t, int64_t now_ms)
{
    struct lookup *k = BGW_CONTAINER(t, struct lookup, l2_timer);
    l2_ends(k);
    bgw_hedge_sample(&k->all->hedge, (now_ms - k->l2_asked_ms) * 1000, now_ms); /* it took at least that */
    l2_failed(k);
}

static void on_hedge(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    bool saturated = l->calls >= l->config.origin_max || !bgw_list_empty(&l->queue);
    if (bgw_flag(l->config.flags, BGW_FLAG_HEDGE) && bgw_hedge_take(&l->hedge, saturated, l->now.mono_ms))
        lookup_want_origin(k, true);
}

static void on_step(struct bgw_timer *t, int64_t now_ms)
{
    struct lookup *k = BGW_CONTAINER(t, struct lookup, step);
    (void)now_ms; /* tick has set it for all */
    switch ((enum lookup_phase)k->phase) {
    case LOOKUP_CACHE:
        on_hedge(k);
        break;
    case LOOKUP_LOCK:
    case LOOKUP_HELD:
        lookup_on_lock_step(k);
        break;
    case LOOKUP_QUEUE:
    case LOOKUP_CALL:
        lookup_on_origin_step(k);
        break;
    case LOOKUP_AGAIN:
    case LOOKUP_OVER:
    case LOOKUP_ANSWERED:
        BGW_ASSERT(k->phase == LOOKUP_CACHE); /* there is no step to wait for */
    }
}

/* ---- the life of a fetch ---- */

static void begin(struct lookup *k)
{
    struct bgw_lookups *l = k->all;
    bool past_cache = k->fetch.past_cache && l->config.has_origin;
    if (!past_cache && lookup_l2_usable(l) && bgw_breaker_allow(&l->redis, l->now.mono_ms)) {
        int64_t delay_ms = (bgw_hedge_delay_us(&l->hedge, l->now.mono_ms) + 999) / 1000;
        if (l->config.has_origin && bgw_flag(l->config.flags, BGW_FLAG_HEDGE))
            bgw_wheel_arm(&l->wheel, &k->step, l->now.mono_ms + delay_ms);
        lookup_ask_l2(k);
    } else if (l->config.has_origin) {
        lookup_want_origin(k, false);
    } else {
        lookup_answer(k, &(struct bgw_fetched){.result = BGW_FETCH_UNAVAILABLE});
    }
}

/* Nobody may be denied whom somebody has seen, and a few are asked for although the list does not have them. */
static bool filtered(struct bgw_lookups *l, const struct bgw_fetch *f, uint64_t *doubted)
{
    const struct bgw_slot_name *name = &f->name;
    if (!l->config.known || !bgw_flag(l->config.flags, BGW_FLAG_FILTER) || f->floor.seq || f->known)
        return false;
    struct bgw_slice tenant = bgw_slice_of(name->tenant, name->tenant_len), key = bgw_slice_of(name->key, name->key_len);
    if (!bgw_known_keys_certainly_unknown(l->config.known, tenant, key))
        return false;
    uint64_t hash = bgw_known_keys_hash(tenant, key);
    bool (*take)(struct bgw_doubts *, uint64_t, int64_t) = f->past_cache ? bgw_doubts_take_unasked : bgw_doubts_take;
    if (!l->doubts || !take(l->doubts, hash, l->now.mono_ms))
        return true;
    *doubted = hash;
    bgw_metric_add(BGW_M_FILTER_DOUBTED, 1);
    return false;
}

bool bgw_lookups_ask(struct bgw_lookups *l, const struct bgw_fetch *f, struct bgw_now now)
{
    struct bgw_fetched at_once = {.id = f->id, .result = BGW_FETCH_NO_SOURCE};
    uint64_t doubted = 0;
    l->now = now;
    if (l->closing)
        return false;
    if (filtered(l, f, &doubted)) {
        bgw_metric_add(BGW_M_FILTERED, 1);
        at_once.result = BGW_FETCH_NOT_FOUND;
    }
    if (at_once.result == BGW_FETCH_NOT_FOUND || (!l->config.has_l2 && !l->config.has_origin)) {
        l->ops.answer(l->ops.arg, &at_once);
        return true;
    }
    struct lookup *k = take_place(l);
    if (!k)
        return false;
    k->fetch = *f;
    k->doubted = doubted;
    bgw_list_push_back(list_of(l, &f->name), &k->by_key);
    begin(k);
    return true;
}

void bgw_lookups_on_invalidate(struct bgw_lookups *l, const struct bgw_slot_name *name, bool any_tenant)
{
    struct bgw_list *list = list_of(l, name);
    for (struct bgw_list *at = list->next; at != list; at = at->next) {
        struct lookup *k = BGW_CONTAINER(at, struct lookup, by_key);
        const struct bgw_slot_name *own = &k->fetch.name;
        bool same = own->feed == name->feed && own->key_len == name->key_len &&
                    memcmp(own->key, name->key, own->key_len) == 0 && (!name->part || own->part == name->part);
        if (same && (any_tenant || bgw_slice_eq(bgw_slice_of(own->tenant, own->tenant_len),
                                                bgw_slice_of(name->tenant, name->tenant_len))))
            k->not_stored = !BGW_BUG("lookup_stores_what_was_invalidated");
    }
}

void bgw_lookups_on_channel(struct bgw_lookups *l, bool up)
{
    l->channel_up = up;
    for (uint32_t i = 0; i < l->made && !up && !BGW_BUG("lookup_stores_what_began_deaf"); i++)
        l->lookups[i].not_stored = true; /* an invalidation may be missed before it is up again */
}

void bgw_lookups_on_l2_state(struct bgw_lookups *l, bool up, struct bgw_now now)
{
    l->now = now;
    l->l2_up = up; /* questions that run fail by themselves */
}

int64_t bgw_lookups_tick(struct bgw_lookups *l, struct bgw_now now)
{
    l->now = now;
    bgw_wheel_advance(&l->wheel, now.mono_ms);
    bgw_metric_set(BGW_M_REDIS_BREAKER, (int64_t)l->redis.state);
    bgw_metric_set(BGW_M_ORIGIN_BREAKER, (int64_t)l->origin.state);
    return bgw_wheel_wait_ms(&l->wheel, TICK_MAX_MS);
}

void bgw_lookups_look(struct bgw_lookups *l, struct bgw_sources_view *view, struct bgw_now now)
{
    view->redis_breaker = l->redis.state;
    view->origin_breaker = l->origin.state;
    view->tokens_milli = bgw_bucket_tokens_milli(&l->bucket, now.mono_ms);
    view->rate_per_s = l->bucket.rate_per_s;
    view->burst = l->bucket.burst;
    view->filter_complete = l->config.known && bgw_known_keys_in_force(l->config.known);
    view->known_keys = l->config.known ? bgw_known_keys_count(l->config.known) : 0;
    view->hedge_delay_us = bgw_hedge_delay_us(&l->hedge, now.mono_ms);
}

enum bgw_status bgw_lookups_create(struct bgw_lookups **out, const struct bgw_lookup_config *config,
                                   const struct bgw_lookup_ops *ops, struct bgw_now now)
{
    BGW_ASSERT(config->lookups_max > 0 && config->lookups_max < 1u << INDEX_BITS && config->origin_max > 0);
    BGW_ASSERT(config->lock_lease_ms >= config->origin_deadline_ms && config->origin_deadline_ms > 0);
    BGW_ASSERT(config->l2_deadline_ms > 0 && config->lock_poll_ms > 0 && (!config->known || ops->list_is_old));
    struct bgw_lookups *l = calloc(1, sizeof(*l));
    size_t lists = KEY_LISTS_MIN;
    while (lists < config->lookups_max / 4 && lists < KEY_LISTS_MAX)
        lists *= 2;
    if (l) {
        l->lookups = calloc(config->lookups_max, sizeof(*l->lookups)); /* pages that nobody touches cost nothing */
        l->keys = calloc(lists, sizeof(*l->keys));
    }
    if (l && config->doubts_per_s > 0)
        l->doubts = bgw_doubts_create(config->doubts_per_s, now.mono_ms);
    if (!l || !l->lookups || !l->keys || (config->doubts_per_s > 0 && !l->doubts)) {
        bgw_lookups_destroy(&l);
        return BGW_NO_MEMORY;
    }
    l->config = *config;
    l->ops = *ops;
    l->now = now;
    l->key_mask = lists - 1;
    for (size_t i = 0; i < lists; i++)
        bgw_list_init(&l->keys[i]);
    bgw_list_init(&l->queue);
    bgw_wheel_init(&l->wheel, now.mono_ms);
    bgw_breaker_init(&l->redis, &BREAKER, config->seed);
    bgw_breaker_init(&l->origin, &BREAKER, config->seed + 1);
    bgw_bucket_init(&l->bucket, config->rate_per_s, config->burst, now.mono_ms);
    bgw_hedge_init(&l->hedge, config->hedge_us);
    *out = l;
    return BGW_OK;
}

void bgw_lookups_destroy(struct bgw_lookups **out)
{
    struct bgw_lookups *l = *out;
    if (!l)
        return;
    l->closing = true;
    l->pumping = true; /* nothing new is asked */
    for (uint32_t i = 0; i < l->made; i++) {
        struct lookup *k = &l->lookups[i];
        k->l2_id = 0;
        if (!k->serial || k->phase == LOOKUP_ANSWERED)
            continue;
        lookup_leave_origin(k);
        lookup_answer(k, &(struct bgw_fetched){.result = BGW_FETCH_UNAVAILABLE});
    }
    bgw_doubts_destroy(&l->doubts);
    free(l->lookups);
    free(l->keys);
    free(l);
    *out = NULL;
}
