/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rounds: walks over what is watched, a few a second: the sweep, that compares with the sources; the second reading, after
 * invalidations could not be heard; the reading that proves, while the stream cannot. Hides order and pace. Called on the hub
 * thread. Invariants: without sources nothing happens here; a round never asks for a slot that is being asked for, or paced.
 */
#include "core.h"

#include "bgw/bugs.h"

#define SECOND_US 1000000
#define BURST_US 100000 /* what a late turn may make up for */
#define IDLE_US 20000   /* nothing was to be done: look again */
#define SCAN_MAX 256    /* slots that one step looks at */
#define SLOT_GAP_MS 1000 /* few that are watched are no storm: one slot is swept no sooner after any fetch, asked no sooner after a failed one */

void round_join(struct bgw_hub *hub, struct care *c)
{
    if (c->key->watches && !bgw_list_linked(&c->in_round))
        bgw_list_push_back(&hub->watched, &c->in_round);
}

void round_again(struct bgw_hub *hub, struct care *c)
{
    if (!bgw_list_linked(&c->in_round))
        return;
    bgw_list_remove(&c->in_round);
    bgw_list_push_back(&hub->suspects, &c->in_round);
}

/* The first of the list, which is the last of the watched from now on. NULL: none. */
static struct care *take_first(struct bgw_hub *hub, struct bgw_list *list)
{
    if (bgw_list_empty(list))
        return NULL;
    struct care *c = BGW_CONTAINER(list->next, struct care, in_round);
    bgw_list_remove(&c->in_round);
    bgw_list_push_back(&hub->watched, &c->in_round);
    return c;
}

/* ---- the steps: false if there was nothing to do ---- */

static bool rested(const struct bgw_hub *hub, const struct care *c)
{
    return !c->fetch_ms || hub->now.mono_ms - c->fetch_ms >= SLOT_GAP_MS;
}

static bool to_ask(const struct bgw_hub *hub, const struct care *c)
{
    return fetch_idle(c) && (c->failed == BGW_REASON_NONE || rested(hub, c));
}

static bool to_sweep(const struct bgw_hub *hub, const struct care *c)
{
    const struct slot *s = c->slot;
    if (slot_unknown(s) && !(s->flags & SLOT_WANTED))
        return false;
    return fetch_idle(c) && rested(hub, c) && !s->trouble && !(s->flags & SLOT_REMOVED);
}

static bool to_prove(const struct bgw_hub *hub, const struct care *c)
{
    int64_t half = key_stream(c->hub, c->key)->feed->fresh_ms / 2;
    bool young = c->read_ms && hub->now.mono_ms - c->read_ms < half;
    return !young && to_ask(hub, c) && !c->slot->trouble && slot_unproved(hub, c->key, c->slot);
}

static bool walk(struct bgw_hub *hub, bool (*fits)(const struct bgw_hub *hub, const struct care *c), enum purpose purpose)
{
    for (int i = 0; i < SCAN_MAX; i++) {
        struct care *c = take_first(hub, &hub->watched);
        if (!c)
            return false;
        if (!fits(hub, c))
            continue;
        fetch_begin(hub, c, purpose);
        return true;
    }
    return false;
}

static bool step_sweep(struct bgw_hub *hub)
{
    return walk(hub, to_sweep, FETCH_SWEEP);
}

static bool step_prove(struct bgw_hub *hub)
{
    return walk(hub, to_prove, FETCH_PROOF);
}

static bool step_revalidate(struct bgw_hub *hub)
{
    for (int i = 0; i < SCAN_MAX; i++) {
        struct care *c = take_first(hub, &hub->suspects);
        if (!c)
            return false;
        if (slot_unknown(c->slot))
            continue; /* who waits for it asks already */
        if (to_ask(hub, c)) {
            fetch_begin(hub, c, FETCH_AGAIN);
            return true;
        }
        round_again(hub, c); /* what is on its way may have begun before we heard again */
    }
    return false;
}

/* ---- pace ---- */

static int64_t pace(struct bgw_hub *hub, struct round *r, int64_t per_s, bool (*step)(struct bgw_hub *hub))
{
    const int64_t now_us = hub->now.mono_ms * 1000;
    if (per_s <= 0)
        return INT64_MAX;
    const int64_t interval_us = per_s < SECOND_US ? SECOND_US / per_s : 1;
    if (r->due_us < now_us - BURST_US)
        r->due_us = now_us - (r->due_us ? BURST_US : 0);
    while (r->due_us <= now_us) {
        bool done = step(hub);
        r->due_us = done ? r->due_us + interval_us : now_us + IDLE_US;
    }
    return (r->due_us - now_us + 999) / 1000;
}

static bool stream_unproved(const struct bgw_hub *hub)
{
    for (size_t i = 0; i < hub->config.feed_count; i++)
        if (hub->streams[i].worst != BGW_STATE_FRESH)
            return true;
    return false;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t rounds_tick(struct bgw_hub *hub)
{
    int64_t wait = INT64_MAX;
    if (!hub->sources)
        return wait;
    if (!bgw_list_empty(&hub->suspects) && !hub->deaf)
        wait = pace(hub, &hub->revalidate, hub->config.revalidate_per_s, step_revalidate);
    if (bgw_list_empty(&hub->watched))
        return wait;
    if (stream_unproved(hub) || hub->deaf)
        wait = sooner(wait, pace(hub, &hub->prove, hub->config.prove_per_s, step_prove));
    return sooner(wait, pace(hub, &hub->sweep, BGW_BUG("sweep_off") ? 0 : hub->config.sweep_per_s, step_sweep));
}

/* ---- the channel ---- */

static void suspect_key(struct bgw_hub *hub, struct key *k, int64_t heard_until_ms)
{
    for (struct slot *s = &k->first; s; s = s->next) {
        if (!s->value || slot_source(s) == BGW_SOURCE_STREAM || s->trouble >= TROUBLE_SUSPECT)
            continue;
        trouble_begins(s, TROUBLE_SUSPECT, heard_until_ms);
        if (s->care && k->watches)
            tell_state(hub, s->care);
    }
}

static void tell_list(struct bgw_hub *hub, struct bgw_list *list)
{
    for (struct bgw_list *at = list->next; at != list; at = at->next)
        tell_state(hub, BGW_CONTAINER(at, struct care, in_round));
}

static void tell_watched(struct bgw_hub *hub)
{
    tell_list(hub, &hub->watched);
    tell_list(hub, &hub->suspects);
}

/* What is on its way may have been read before we heard again. */
static void overtake_fetches(struct bgw_hub *hub)
{
    size_t cursor = 0;
    for (struct care *c; (c = bgw_map_next(&hub->in_flight, &cursor));)
        c->generation++;
}

/* Those that are labelled first. */
static void queue_all(struct bgw_hub *hub)
{
    struct bgw_list *next;
    bgw_list_splice(&hub->watched, &hub->suspects);
    for (struct bgw_list *at = hub->watched.next; at != &hub->watched; at = next) {
        next = at->next;
        if (!BGW_CONTAINER(at, struct care, in_round)->slot->trouble)
            continue;
        bgw_list_remove(at);
        bgw_list_push_back(&hub->suspects, at);
    }
    bgw_list_splice(&hub->suspects, &hub->watched);
}

/* The number of the era comes round: what is of any era before is of the oldest. */
static void begin_era(struct bgw_hub *hub)
{
    size_t cursor = 0;
    hub->heard_wall_ms = hub->now.wall_ms;
    if (hub->era < SLOT_ERA_MAX) {
        hub->era++;
        return;
    }
    hub->era = 1;
    for (struct key *k; (k = bgw_map_next(&hub->book.keys, &cursor));)
        for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next)
            set_era(s, 0);
}

static void heard_again(struct bgw_hub *hub)
{
    size_t cursor = 0;
    const int64_t heard_until_ms = hub->deaf ? hub->deaf_ms : hub->now.mono_ms;
    if (hub->heard) /* what was known before the first time is the stream's, or suspect */
        begin_era(hub);
    hub->heard = true;
    hub->deaf = false;
    bgw_list_splice(&hub->watched, &hub->suspects);
    if (BGW_BUG("channel_not_revalidated"))
        return;
    overtake_fetches(hub);
    for (struct key *k; hub->has_read && (k = bgw_map_next(&hub->book.keys, &cursor));)
        if (k->slot_count > 0)
            suspect_key(hub, k, heard_until_ms);
    tell_watched(hub); /* what it was deaf for is over */
    queue_all(hub);
    hub->revalidate.due_us = hub->now.mono_ms * 1000;
}

static void lost(struct bgw_hub *hub)
{
    hub->deaf = true;
    hub->deaf_ms = hub->now.mono_ms; /* that is when it was noticed: what was not read just now is delayed from then on */
    for (size_t i = 0; i < hub->config.feed_count; i++)
        hub->streams[i].deaf_state = BGW_STATE_DELAYED;
    bgw_list_splice(&hub->watched, &hub->suspects); /* it begins anew when we hear again */
    tell_watched(hub);
}

/* As with partitions: what is deaf changes at one moment for all of a feed. */
int64_t channel_tick(struct bgw_hub *hub)
{
    int64_t wait = INT64_MAX;
    for (size_t i = 0; i < hub->config.feed_count && hub->deaf; i++) {
        struct stream *st = &hub->streams[i];
        int64_t left = hub->deaf_ms + st->feed->stale_ms + 1 - hub->now.mono_ms;
        if (st->deaf_state == BGW_STATE_STALE || BGW_BUG("deaf_never_stale"))
            continue;
        if (left > 0) {
            wait = sooner(wait, left);
            continue;
        }
        st->deaf_state = BGW_STATE_STALE;
        tell_watched(hub);
    }
    return wait;
}

void bgw_hub_on_channel(struct bgw_hub *hub, bool up, struct bgw_now now)
{
    hub_set_now(hub, now);
    hub_begin_event(hub);
    if (!hub->sources)
        return;
    if (up)
        heard_again(hub);
    else if (!hub->deaf)
        lost(hub);
}

void bgw_hub_set_sources(struct bgw_hub *hub, bool any)
{
    hub->sources = any;
}
