/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_world: a random history of a Redis, an origin and other replicas that answer late, twice, at
 * once, never, with old values; of invalidations, a deaf channel, flags. What must hold is held against
 * each op and each answer. For lookup_random_test.c, and for lookup_bugs_test.c, which shows that it can fail.
 */
#ifndef BGW_TEST_LOOKUP_WORLD_H
#define BGW_TEST_LOOKUP_WORLD_H

#include "test.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"
#include "read/lookup.h"

#define SLOTS 6
#define FETCHES_MAX 128
#define EVENTS_MAX 512
#define LOCKS_MAX 1024
#define END_MS 4000
#define ORIGIN_MAX 3
#define PLACES 5
/* Redis twice, the lock twice, a lease, the queue, the call and its margin */
#define BOUND_MS (100 + 100 + 300 + 100 + 100 + 200 + 250)

enum event_kind { EVENT_L2, EVENT_LOCK, EVENT_ORIGIN };

struct event {
    int64_t due_ms;
    uint64_t id;
    uint64_t fetch; /* whose question it is */
    uint8_t kind, result;
    bool has_v;
    uint64_t v;
};

struct lock {
    uint64_t id, fetch;
    bool refused, settled;
};

struct fetch {
    int64_t asked_ms;
    uint64_t floor, l2_id, origin_id; /* the question that runs */
    int64_t l2_wall_ms, origin_wall_ms;
    unsigned calls, answers;
    bool tainted;   /* invalidated since it was asked, or the channel was down since the call */
    bool origin_miss, origin_said, l2_said;
    uint64_t origin_v, l2_v;
};

struct world {
    struct bgw_lookups *lookups;
    struct bgw_flags flags;
    struct bgw_now now;
    uint64_t random, seed;
    unsigned trouble, held; /* of ten answers so many are bad, of ten locks so many are another replica's */
    struct event events[EVENTS_MAX];
    size_t event_count, lock_count, fetch_count, calls;
    struct lock locks[LOCKS_MAX];
    struct fetch fetches[FETCHES_MAX]; /* its id is its place and one */
    uint64_t running[SLOTS], db_v[SLOTS];
    bool channel_up, ended;
    bool calm; /* nothing has failed, nothing was switched: the lock is asked for */
};

static unsigned answered_by[5], won_by_cache, written, waited_turns;

#define HOLDS(w, expr)                                                                             \
    do {                                                                                           \
        if (!(expr))                                                                               \
            test_fail_(__FILE__, __LINE__, "seed %" PRIu64 " at %" PRId64 " ms: %s is false",      \
                       (w)->seed, (w)->now.mono_ms, #expr);                                        \
    } while (0)

static uint64_t draw(struct world *w, uint64_t n)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15ULL;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return (z ^ z >> 31) % n;
}

static size_t slot_of(const struct bgw_slot_name *name)
{
    return (size_t)(name->key[0] - 'a') * 2 + name->part - 1;
}

static struct fetch *current(struct world *w, const struct bgw_slot_name *name, uint64_t *id)
{
    *id = w->running[slot_of(name)];
    HOLDS(w, *id);
    return &w->fetches[*id ? *id - 1 : 0];
}

static void deliver(struct world *w, const struct event *e);

/* Answers now, later, twice, or never. */
static void schedule(struct world *w, struct event e)
{
    uint64_t how = draw(w, 20);
    if (how < w->trouble && draw(w, 2))
        return; /* lost */
    if (how == 19) {
        deliver(w, &e);
        return;
    }
    static const uint64_t slowest[] = {3, 10, 40, 400};
    uint64_t delay = draw(w, slowest[how < w->trouble ? 3 : draw(w, 3)]);
    e.due_ms = w->now.mono_ms + (int64_t)delay;
    for (int copies = draw(w, 30) == 0 ? 2 : 1; copies && w->event_count < EVENTS_MAX; copies--) {
        w->events[w->event_count++] = e;
        e.due_ms += (int64_t)draw(w, 50);
    }
}

/* What a source says: mostly what the database holds, now and then older, nothing, a failure. */
static struct event say(struct world *w, enum event_kind kind, uint64_t id, const struct bgw_slot_name *name)
{
    uint64_t fetch = 0, db = w->db_v[slot_of(name)], how = draw(w, 10);
    (void)current(w, name, &fetch);
    struct event e = {.kind = (uint8_t)kind, .id = id, .fetch = fetch, .result = BGW_LOOKUP_VALUE, .has_v = draw(w, 5) != 0, .v = db};
    if (how < w->trouble)
        e.result = BGW_LOOKUP_FAILED;
    else if (kind == EVENT_L2 ? how > 5 || w->held >= 10 : how == 9) /* who always holds the lock has died, and writes nothing */
        e.result = BGW_LOOKUP_MISS;
    else if (how == 5)
        e.v = db - draw(w, 4);
    return e;
}

static void on_ask_l2(void *arg, uint64_t id, const struct bgw_slot_name *name, bool trust_body)
{
    struct world *w = arg;
    uint64_t fetch;
    struct fetch *f = current(w, name, &fetch);
    f->l2_wall_ms = w->now.wall_ms;
    f->l2_id = id;
    f->l2_said = false;
    HOLDS(w, trust_body == w->channel_up);
    schedule(w, say(w, EVENT_L2, id, name));
}

static void on_take_lock(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms)
{
    struct world *w = arg;
    uint64_t fetch, how = draw(w, 10);
    (void)current(w, name, &fetch);
    HOLDS(w, lease_ms == 300 && w->lock_count < LOCKS_MAX);
    w->locks[w->lock_count++ % LOCKS_MAX] = (struct lock){.id = id, .fetch = fetch};
    enum bgw_lock_result result = how < w->held ? BGW_LOCK_HELD : how == 9 ? BGW_LOCK_FAILED : BGW_LOCK_TAKEN;
    schedule(w, (struct event){.kind = EVENT_LOCK, .id = id, .fetch = fetch, .result = (uint8_t)result});
}

static bool asked_lock(const struct world *w, uint64_t fetch)
{
    for (size_t i = 0; i < w->lock_count; i++)
        if (w->locks[i].fetch == fetch)
            return true;
    return false;
}

static void on_ask_origin(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms)
{
    struct world *w = arg;
    uint64_t fetch;
    struct fetch *f = current(w, name, &fetch);
    HOLDS(w, deadline_ms == 200);
    HOLDS(w, ++f->calls == 1);
    HOLDS(w, ++w->calls <= ORIGIN_MAX);
    HOLDS(w, !w->calm || asked_lock(w, fetch));
    f->origin_id = id;
    f->origin_wall_ms = w->now.wall_ms;
    f->tainted |= !w->channel_up;
    schedule(w, say(w, EVENT_ORIGIN, id, name));
}

static void on_forget_origin(void *arg, uint64_t id)
{
    struct world *w = arg;
    for (size_t i = 0; i < w->fetch_count; i++) {
        if (w->fetches[i].origin_id != id)
            continue;
        w->fetches[i].origin_id = 0;
        w->calls--;
        return;
    }
    test_fail_(__FILE__, __LINE__, "seed %" PRIu64 ": a call that nobody makes is forgotten", w->seed);
}

static struct fetch *settle(struct world *w, uint64_t id)
{
    for (size_t i = 0; i < w->lock_count; i++) {
        struct lock *k = &w->locks[i];
        if (k->id != id)
            continue;
        HOLDS(w, !k->refused && !k->settled);
        k->settled = true;
        return &w->fetches[k->fetch - 1];
    }
    test_fail_(__FILE__, __LINE__, "seed %" PRIu64 ": a lock that nobody asked for is given back", w->seed);
    return &w->fetches[0];
}

static void on_write_back(void *arg, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a)
{
    struct world *w = arg;
    uint64_t fetch;
    struct fetch *f = settle(w, id);
    HOLDS(w, current(w, name, &fetch) == f);
    HOLDS(w, !f->tainted && w->channel_up && bgw_flag(&w->flags, BGW_FLAG_L2));
    HOLDS(w, a->result == BGW_LOOKUP_VALUE && a->value && f->origin_said && a->v == f->origin_v);
    HOLDS(w, !a->has_v || a->v >= f->floor);
    written++;
}

static void on_drop_lock(void *arg, uint64_t id, const struct bgw_slot_name *name)
{
    (void)name;
    (void)settle(arg, id);
}

static void ask(struct world *w);

static void on_answer(void *arg, const struct bgw_fetched *a)
{
    struct world *w = arg;
    struct fetch *f = &w->fetches[a->id - 1];
    HOLDS(w, a->id >= 1 && a->id <= w->fetch_count && ++f->answers == 1);
    HOLDS(w, w->ended || w->now.mono_ms - f->asked_ms <= BOUND_MS);
    HOLDS(w, (a->result == BGW_FETCH_VALUE) == (a->value != NULL));
    HOLDS(w, f->origin_id == 0); /* no call goes on for nobody */
    HOLDS(w, a->result != BGW_FETCH_NOT_FOUND || f->origin_miss);
    HOLDS(w, a->result != BGW_FETCH_NO_SOURCE);
    if (a->result == BGW_FETCH_VALUE) {
        bool cache = a->source == BGW_SOURCE_CACHE;
        HOLDS(w, !a->has_v || a->v >= f->floor);
        HOLDS(w, a->started_wall_ms == (cache ? f->l2_wall_ms : f->origin_wall_ms));
        HOLDS(w, cache ? f->l2_said && a->v == f->l2_v : f->origin_said && a->v == f->origin_v);
        won_by_cache += cache;
    }
    answered_by[a->result]++;
    bgw_blob_release(a->value);
    for (size_t i = 0; i < SLOTS; i++)
        if (w->running[i] == a->id)
            w->running[i] = 0;
    if (draw(w, 8) == 0)
        ask(w);
}

/* False: there was no place. */
static bool ask_slot(struct world *w, size_t slot)
{
    uint64_t id = ++w->fetch_count;
    uint64_t floor = draw(w, 3) ? 0 : w->db_v[slot] - draw(w, 3);
    struct bgw_fetch f = {.id = id, .name = {.tenant_len = 1, .tenant = "t", .key_len = 1, .part = (bgw_part)(slot % 2 + 1)},
                          .floor = {.seq = floor}};
    f.name.key[0] = (char)('a' + slot / 2);
    w->fetches[id - 1] = (struct fetch){.asked_ms = w->now.mono_ms, .floor = floor};
    w->running[slot] = id;
    if (bgw_lookups_ask(w->lookups, &f, w->now))
        return true;
    w->fetches[id - 1].answers++; /* the hub asks later */
    w->running[slot] = 0;
    return false;
}

static void ask(struct world *w)
{
    size_t slot = draw(w, SLOTS);
    if (!w->running[slot] && w->fetch_count < FETCHES_MAX - PLACES)
        (void)ask_slot(w, slot);
}

static void deliver(struct world *w, const struct event *e)
{
    struct fetch *f = &w->fetches[e->fetch - 1];
    if (e->kind == EVENT_LOCK) {
        for (size_t i = 0; i < w->lock_count; i++)
            if (w->locks[i].id == e->id && !w->locks[i].settled && e->result != BGW_LOCK_TAKEN)
                w->locks[i].refused = true;
        bgw_lookups_on_lock(w->lookups, e->id, (enum bgw_lock_result)e->result, w->now);
        return;
    }
    bool value = e->result == BGW_LOOKUP_VALUE;
    struct bgw_lookup_answer a = {.result = (enum bgw_lookup_result)e->result, .has_v = value && e->has_v, .v = e->v,
                                  .value = value ? bgw_blob_copy(BGW_SLICE("x")) : NULL};
    if (e->kind == EVENT_L2) {
        f->l2_said = f->l2_id == e->id && value;
        f->l2_v = e->v;
        bgw_lookups_on_l2(w->lookups, e->id, &a, w->now);
        return;
    }
    if (f->origin_id == e->id) {
        f->origin_id = 0;
        w->calls--;
        f->origin_said = value;
        f->origin_v = e->v;
        f->origin_miss = e->result == BGW_LOOKUP_MISS;
    }
    bgw_lookups_on_origin(w->lookups, e->id, &a, w->now);
}

static void invalidate(struct world *w)
{
    size_t slot = draw(w, SLOTS);
    bool all_parts = draw(w, 2), any_tenant = draw(w, 2), other = draw(w, 4) == 0;
    struct bgw_slot_name name = {.tenant_len = 1, .key_len = 1, .part = all_parts ? 0 : (bgw_part)(slot % 2 + 1)};
    name.key[0] = (char)('a' + slot / 2);
    name.tenant[0] = other ? 'u' : 't';
    for (size_t i = 0; i < SLOTS; i++)
        if (i / 2 == slot / 2 && (all_parts || i == slot) && (!other || any_tenant) && w->running[i])
            w->fetches[w->running[i] - 1].tainted = true;
    for (size_t i = 0; i < SLOTS; i++)
        w->db_v[i] += i / 2 == slot / 2 && draw(w, 2);
    bgw_lookups_on_invalidate(w->lookups, &name, any_tenant);
}

static void something_happens(struct world *w)
{
    switch (draw(w, 24)) {
    case 0:
        w->channel_up = !w->channel_up || draw(w, 3) != 0;
        for (size_t i = 0; i < SLOTS && !w->channel_up; i++)
            if (w->running[i])
                w->fetches[w->running[i] - 1].tainted = true;
        bgw_lookups_on_channel(w->lookups, w->channel_up);
        break;
    case 1:
        w->calm = false;
        bgw_lookups_on_l2_state(w->lookups, draw(w, 4) != 0, w->now);
        break;
    case 2:
        w->calm = false;
        bgw_flag_set(&w->flags, draw(w, 2) ? BGW_FLAG_L2 : BGW_FLAG_HEDGE, draw(w, 4) != 0);
        break;
    case 3:
    case 4:
        invalidate(w);
        break;
    default:
        ask(w);
        break;
    }
}

static void step_to(struct world *w, int64_t next_ms)
{
    w->now.wall_ms += next_ms - w->now.mono_ms;
    w->now.mono_ms = next_ms;
    for (size_t i = 0; i < w->event_count;) {
        struct event e = w->events[i];
        if (e.due_ms > next_ms) {
            i++;
            continue;
        }
        w->events[i] = w->events[--w->event_count];
        deliver(w, &e);
    }
}

static void run(struct world *w, int64_t end_ms)
{
    int64_t act_ms = w->now.mono_ms;
    while (w->now.mono_ms < end_ms) {
        int64_t next = w->now.mono_ms + bgw_lookups_tick(w->lookups, w->now);
        bool acts = w->now.mono_ms < END_MS / 2;
        for (size_t i = 0; i < w->event_count; i++)
            next = w->events[i].due_ms < next ? w->events[i].due_ms : next;
        next = acts && act_ms < next ? act_ms : next;
        step_to(w, next > w->now.mono_ms ? next : w->now.mono_ms + 1);
        if (acts && w->now.mono_ms >= act_ms) {
            something_happens(w);
            act_ms = w->now.mono_ms + (int64_t)draw(w, 60);
        }
        waited_turns++;
    }
}

static void history(uint64_t seed)
{
    struct world *w = calloc(1, sizeof(*w));
    struct bgw_lookup_ops ops = {w, on_ask_l2, on_take_lock, on_ask_origin, on_write_back, on_drop_lock, on_forget_origin,
                                 on_answer, NULL};
    w->seed = w->random = seed;
    w->trouble = (unsigned)draw(w, 5);
    w->held = (unsigned)draw(w, 8) + (draw(w, 8) == 0 ? 3 : 0);
    w->now = (struct bgw_now){.mono_ms = (int64_t)draw(w, 5), .wall_ms = 100000};
    for (size_t i = 0; i < SLOTS; i++)
        w->db_v[i] = 10;
    CHECK(bgw_flags_parse(&w->flags, "all", NULL) == BGW_OK);
    struct bgw_lookup_config config = {.flags = &w->flags, .has_l2 = draw(w, 10) != 0, .has_origin = draw(w, 10) != 0,
                                       .origin_deadline_ms = 200, .l2_deadline_ms = 100, .lock_lease_ms = 300, .lock_poll_ms = 15,
                                       .rate_per_s = draw(w, 4) ? 400 : 2, .burst = draw(w, 4) ? 800 : 4,
                                       .hedge_us = draw(w, 2) ? 12000 : 0, .lookups_max = PLACES, .origin_max = ORIGIN_MAX, .seed = seed};
    config.has_origin |= !config.has_l2;
    w->calm = w->trouble == 0 && config.has_l2;
    CHECK(bgw_lookups_create(&w->lookups, &config, &ops, w->now) == BGW_OK);
    bgw_lookups_on_channel(w->lookups, w->channel_up = true);
    bgw_lookups_on_l2_state(w->lookups, config.has_l2, w->now);
    run(w, draw(w, 4) ? END_MS : (int64_t)draw(w, END_MS / 2)); /* some end in the middle */
    for (size_t i = 0; i < w->fetch_count && w->now.mono_ms >= END_MS; i++)
        HOLDS(w, w->fetches[i].answers == 1);
    w->ended = true;
    for (size_t i = 0; i < PLACES && w->now.mono_ms >= END_MS; i++)
        HOLDS(w, ask_slot(w, i)); /* every place is free again */
    bgw_lookups_destroy(&w->lookups);
    for (size_t i = 0; i < w->fetch_count; i++)
        HOLDS(w, w->fetches[i].answers == 1);
    for (size_t i = 0; i < w->lock_count; i++)
        HOLDS(w, w->locks[i].refused != w->locks[i].settled);
    HOLDS(w, w->calls == 0);
    free(w);
}

#endif
