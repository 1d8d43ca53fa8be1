/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fetches: what the sources answered, and what they are asked after an invalidation. Hides when an
 * answer may be stored. Called on the hub thread. Invariants: a result that was asked for before an
 * invalidation is never stored; nobody to ask never overwrites nor denies; whoever was told to wait
 * is told how it ended.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#define RESTARTS_MAX 2 /* then those who came before the invalidation get the result as it is */

/* Tells those who wait that the slot stays unknown, and why. */
static void settle_unknown(struct bgw_hub *hub, struct care *c, enum bgw_state_reason reason)
{
    bool news = c->unknown_reason != reason;
    if (!slot_unknown(c->slot))
        return;
    c->unknown_reason = (uint8_t)reason;
    for (struct watch *w = c->key->watches; w; w = w->next) {
        struct cell *cell = watch_cell(w, c->slot);
        news |= cell->waiting;
        cell->waiting = false;
    }
    if (news)
        tell_slot(hub, c->key, c->slot, &(struct news){0});
}

static void not_proven(struct bgw_hub *hub, struct care *c, enum bgw_state_reason reason)
{
    if (slot_unknown(c->slot)) /* whoever comes later has it tried again */
        c->failed = (uint8_t)reason;
    settle_unknown(hub, c, reason);
    fetch_retry_later(hub, c);
}

static void failed(struct bgw_hub *hub, struct care *c, enum bgw_state_reason reason)
{
    c->failed = (uint8_t)reason;
    c->given_up |= c->unheard_of && reason == BGW_REASON_SOURCE_UNAVAILABLE;
    c->doubted = false;
    if (!slot_unknown(c->slot))
        tell_state(hub, c);
    not_proven(hub, c, reason);
    if (c->purpose == FETCH_AGAIN)
        round_again(hub, c);
}

static void proven(struct bgw_hub *hub, struct care *c)
{
    trouble_ends(c->slot);
    c->has_floor = false;
    c->backoff_ms = 0;
    c->restarts = 0;
    bgw_wheel_cancel(&hub->wheel, &c->retry);
}

static void count_swept(struct care *c, bool diverged)
{
    if (c->purpose == FETCH_SWEEP)
        bgw_metric_add(diverged ? BGW_M_SWEEP_DIVERGED : BGW_M_SWEEP_SAME, 1);
}

static bool same_value(const struct care *c, const struct bgw_fetched *f)
{
    const struct bgw_feed *feed = key_stream(c->hub, c->key)->feed;
    return c->slot->value && feed->same && feed->same(c->slot->value, f->value);
}

/* What we hold is what the source has. */
static void confirm(struct bgw_hub *hub, struct care *c)
{
    hub->fetched = c->slot;
    proven(hub, c);
    set_era(c->slot, hub->era);
    c->doubted = false;
    c->read_ms = c->fetch_ms;
    tell_state(hub, c);
}

static void accept_value(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    count_swept(c, true);
    hub->fetched = c->slot;
    slot_set_value(&hub->book, c->key, c->slot, f->value);
    f->value = NULL;
    if (!BGW_BUG("source_forgotten"))
        c->slot->flags = (uint16_t)((c->slot->flags & ~SLOT_SOURCE) | f->source << SLOT_SOURCE_SHIFT);
    set_era(c->slot, hub->era);
    hub->has_read |= f->source != BGW_SOURCE_STREAM;
    c->doubted = false;
    c->read_ms = c->fetch_ms;
    proven(hub, c);
    c->unknown_reason = BGW_REASON_NONE;
    tell_slot(hub, c->key, c->slot, &(struct news){0});
}

/* The source's `v` and the stream's are one order; a slot whose records carry none has no use for
 * it. */
static bool comparable(const struct slot *s, const struct bgw_fetched *f)
{
    return f->has_v && !(s->flags & SLOT_MODE_OFFSET);
}

static bool below_floor(const struct care *c, uint64_t v)
{
    return c->has_floor && v < c->floor && !BGW_BUG("floor_ignored");
}

/* A round has met something else than what the stream said last: mostly the record is still on its way. It looks once more, and
 * believes it if nothing came meanwhile. */
static bool doubt(struct bgw_hub *hub, struct care *c)
{
    const struct slot *s = c->slot;
    bool round = c->purpose == FETCH_AGAIN || c->purpose == FETCH_SWEEP;
    bool of_stream = s->value && slot_source(s) == BGW_SOURCE_STREAM;
    if (!round || !of_stream || s->trouble || c->has_floor || c->doubted)
        return false;
    c->doubted = true;
    c->doubt = c->purpose;
    bgw_wheel_arm(&hub->wheel, &c->reread, hub->now.mono_ms + hub->config.reread_ms);
    return true;
}

/* One version with two values: a source or the stream is wrong, and the order does not say which. */
static void look_for_conflict(struct care *c, const struct bgw_fetched *f)
{
    bool conflict = !same_value(c, f) && key_stream(c->hub, c->key)->feed->same && c->slot->value;
    count_swept(c, conflict);
    if (conflict)
        BGW_LOG(BGW_LOG_WARN, "source_disagrees", {"part", LI(c->slot->part)}, {"partition", LI(c->slot->partition)},
                {"v", LI((int64_t)f->v)}, {"source", LI(f->source)});
}

static void store_versioned(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    struct slot *s = c->slot;
    enum verdict verdict = below_floor(c, f->v) ? VERDICT_OLD : judge_fetched(s, f->v);
    if (verdict != VERDICT_OLD) {
        if (doubt(hub, c))
            return;
        note_fetched(s, f->v);
        accept_value(hub, c, f);
    } else if (f->v != s->seq || below_floor(c, f->v)) {
        c->doubted = false;
        not_proven(hub, c, BGW_REASON_SOURCE_UNAVAILABLE);
    } else if (slot_unknown(s)) { /* a read of this seq was given up: this one takes its place */
        note_read(s, f->started_wall_ms);
        accept_value(hub, c, f);
    } else { /* a duplicate: what we hold is what the source has */
        look_for_conflict(c, f);
        confirm(hub, c);
    }
}

static void restart(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f);

/* The same again needs no new version, unless records are to be compared with this read. */
static bool unchanged(const struct bgw_hub *hub, const struct care *c, const struct bgw_fetched *f)
{
    const struct slot *s = c->slot;
    bool healthy = s->trouble <= TROUBLE_SUSPECT || (s->trouble == TROUBLE_INVALIDATED && !(s->flags & SLOT_MODES));
    return hub->sources && healthy && !c->has_floor && same_value(c, f);
}

static void store_read(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    if (c->record_ms >= f->started_wall_ms && !slot_unknown(c->slot)) {
        /* a record overtook it: the read may have been made before that, in the same millisecond too */
        if (care_needs_fetch(c))
            restart(hub, c, f);
        return;
    }
    if (unchanged(hub, c, f)) {
        count_swept(c, false);
        confirm(hub, c);
        return;
    }
    if (doubt(hub, c))
        return;
    note_read(c->slot, f->started_wall_ms);
    accept_value(hub, c, f);
}

static void store_value(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    if (comparable(c->slot, f))
        store_versioned(hub, c, f);
    else
        store_read(hub, c, f);
}

static void not_found(struct bgw_hub *hub, struct care *c)
{
    c->doubted = false;
    if (!slot_unknown(c->slot)) {
        if (c->slot->flags & SLOT_REMOVED)
            proven(hub, c);
        else if (care_needs_fetch(c))
            fetch_retry_later(hub, c); /* the stream has named it: it is kept, labelled as it is */
        return;
    }
    if (c->has_floor || (c->slot->flags & SLOT_EVICTED)) { /* we know better */
        not_proven(hub, c, BGW_REASON_SOURCE_UNAVAILABLE);
        return;
    }
    count_swept(c, false);
    proven(hub, c);
    hub->fetched = c->slot;
    settle_unknown(hub, c, BGW_REASON_NO_SUCH_KEY);
}

/* There is nobody to ask, so nobody but the stream can have changed it. */
static void no_source(struct bgw_hub *hub, struct care *c)
{
    settle_unknown(hub, c, BGW_REASON_SOURCE_UNAVAILABLE);
    c->backoff_ms = 0;
    if (c->slot->trouble != TROUBLE_INVALIDATED || c->has_floor)
        return;
    trouble_ends(c->slot);
    tell_state(hub, c);
}

/* ---- results that were overtaken by an invalidation ---- */

/* What this result may be shown as; its version is used up in the book, so that nothing older
 * follows. */
static bool bypass_version(struct care *c, const struct bgw_fetched *f)
{
    struct slot *s = c->slot;
    if (!slot_unknown(s) || f->result != BGW_FETCH_VALUE)
        return false;
    if (!comparable(s, f)) {
        note_read(s, f->started_wall_ms);
        s->flags &= (uint16_t)~SLOT_READ; /* it is not held */
    } else if (below_floor(c, f->v) || judge_fetched(s, f->v) == VERDICT_OLD) {
        return false;
    } else {
        note_fetched(s, f->v);
    }
    s->flags |= SLOT_EVICTED;
    return true;
}

static void deny_as_it_is(struct bgw_hub *hub, struct care *c, struct watch *w)
{
    c->unknown_reason = BGW_REASON_NO_SUCH_KEY;
    watch_cell(w, c->slot)->waiting = false;
    tell_watch(hub, c->key, c->slot, w);
}

/* Returns whether somebody waits who came after the invalidation. */
static bool bypass(struct bgw_hub *hub, struct care *c, const struct bgw_fetched *f)
{
    bool shown = bypass_version(c, f) && given_remember(hub, c, f), waiting = false;
    for (struct watch *w = c->key->watches; w; w = w->next) {
        struct cell *cell = watch_cell(w, c->slot);
        if (!cell->waiting && !cell->asking)
            continue;
        bool before = cell->wait_generation <= c->fetch_generation;
        if (before && shown)
            given_show(hub, c, w, true);
        else if (before && f->result == BGW_FETCH_NOT_FOUND)
            deny_as_it_is(hub, c, w);
        else
            waiting = true;
    }
    tell_aging(hub, c);
    return waiting;
}

static void restart(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    if (c->restarts < RESTARTS_MAX) {
        c->restarts++;
        fetch_start(hub, c);
        return;
    }
    c->restarts = 0;
    if (bypass(hub, c, f))
        fetch_start(hub, c);
    else
        fetch_retry_later(hub, c); /* a storm ends here: one more when it has had time to pass */
}

static void answer(struct bgw_hub *hub, struct care *c, struct bgw_fetched *f)
{
    bool moved = c->fetch_generation != c->generation && !BGW_BUG("generation_ignored");
    bool about_value = f->result == BGW_FETCH_VALUE || f->result == BGW_FETCH_NOT_FOUND;
    if (moved && about_value) {
        if (care_needs_fetch(c))
            restart(hub, c, f);
        else if (hub->sources && (c->purpose != FETCH_NEEDED || !of_this_era(hub, c->slot)))
            round_again(hub, c); /* what it was begun for is still to be done */
        return;
    }
    c->failed = BGW_REASON_NONE;
    switch ((enum bgw_fetch_result)f->result) {
    case BGW_FETCH_VALUE:
        BGW_ASSERT(f->value);
        store_value(hub, c, f);
        break;
    case BGW_FETCH_NOT_FOUND:
        not_found(hub, c);
        break;
    case BGW_FETCH_NO_SOURCE:
        no_source(hub, c);
        break;
    case BGW_FETCH_UNAVAILABLE:
        failed(hub, c, BGW_REASON_SOURCE_UNAVAILABLE);
        break;
    case BGW_FETCH_SHED:
        failed(hub, c, BGW_REASON_SHED);
        break;
    }
}

_Static_assert(BGW_M_FETCHES_SHED == BGW_M_FETCHES_VALUE + (int)BGW_FETCH_SHED,
               "the rows of bgw_fetches_total are in the order of the results");

void bgw_hub_on_fetched(struct bgw_hub *hub, const struct bgw_fetched *fetched, struct bgw_now now)
{
    struct bgw_fetched f = *fetched;
    hub_set_now(hub, now);
    hub_begin_event(hub);
    struct care *c = fetch_find(hub, f.id);
    if (c) {
        BGW_ASSERT(f.result <= BGW_FETCH_SHED);
        bgw_metric_add((enum bgw_metric)(BGW_M_FETCHES_VALUE + (int)f.result), 1);
        struct key *k = c->key;
        struct slot *s = c->slot;
        const struct slot *outer = hub->fetched;
        fetch_forget(hub, c);
        hub->fetched = NULL; /* until it proves to be of use */
        answer(hub, c, &f);
        if (k->watches)
            asks_settle(hub, c);
        hub->fetched = outer;
        if (!k->watches) {
            care_drop_if_idle(hub, s);
            key_prune(&hub->book, k);
        } else if (c->again && !c->fetch_id) {
            c->again = false;
            fetch_start(hub, c);
        }
    }
    bgw_blob_release(f.value);
}

/* ---- invalidations ---- */

struct invalidation {
    struct bgw_hub *hub;
    bgw_part part;
    bool has_v;
    uint64_t v;
};

static void raise_floor(struct bgw_hub *hub, struct key *k, struct slot *s, uint64_t v)
{
    if (!k->watches && slot_unknown(s))
        return; /* nothing is held that could be wrong, and nobody waits */
    struct care *c = care_of(hub, k, s);
    if (!c->has_floor || c->floor < v)
        c->floor = v;
    c->has_floor = true;
    slot_trouble(hub, k, s, TROUBLE_INVALIDATED);
}

static void invalidate_slot(struct invalidation *in, struct key *k, struct slot *s)
{
    struct bgw_hub *hub = in->hub;
    bool comparable_v = in->has_v && !(s->flags & SLOT_MODE_OFFSET);
    if (comparable_v) {
        bool known = (s->flags & SLOT_MODE_V) && s->seq >= in->v;
        if (!known)
            raise_floor(hub, k, s, in->v);
        return;
    }
    bool of_use = !slot_unknown(s) || (s->flags & (SLOT_WANTED | SLOT_EVICTED));
    if (s->care)
        s->care->bare = true;
    if (k->watches && s->care && of_use)
        bgw_wheel_arm(&hub->wheel, &s->care->reread, hub->now.mono_ms + hub->config.reread_ms);
    slot_trouble(hub, k, s, TROUBLE_INVALIDATED);
}

static void invalidate_key(void *arg, struct key *k)
{
    struct invalidation *in = arg;
    for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next)
        if (!in->part || in->part == s->part)
            invalidate_slot(in, k, s);
}

void bgw_hub_on_invalidate(struct bgw_hub *hub, uint8_t feed, const struct bgw_slot_name *name,
                           bool any_tenant, bool has_v, uint64_t v, struct bgw_now now)
{
    struct invalidation in = {.hub = hub, .part = name->part, .has_v = has_v, .v = v};
    hub_set_now(hub, now);
    hub_begin_event(hub);
    BGW_ASSERT(name->feed == feed);
    if (BGW_BUG("invalidate_lost"))
        return;
    book_each(&hub->book, name, any_tenant, invalidate_key, &in);
}
