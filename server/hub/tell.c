/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tell: from the book to the relays. Hides how a slot's own trouble and its partition's proof add
 * up to one state, and who is told of what. Called by the other files of hub/, on the hub thread.
 * Invariants: whoever watches a key is told every change of its slots that hold a value; `unknown`
 * is told only to those who named the slot; a state is never better than what can be proved.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/metrics.h"

struct bgw_version slot_version(const struct bgw_hub *hub, const struct key *k,
                                const struct slot *s)
{
    uint64_t epoch = hub->streams[k->feed].epoch;
    return (struct bgw_version){
        .epoch = epoch ? epoch : EPOCH_UNASSIGNED,
        .seq = s->seq,
        .read = s->flags & SLOT_NUMBERED ? s->read_high : 0,
    };
}

static const struct partition *slot_partition(const struct stream *st, const struct slot *s)
{
    bool known = s->partition >= 0 && (size_t)s->partition < st->partition_count;
    return known ? &st->partitions[s->partition] : NULL;
}

/* It came from a source, and who would say that it changed cannot be heard. */
static bool unheard(const struct bgw_hub *hub, const struct slot *s)
{
    return hub->deaf && slot_source(s) != BGW_SOURCE_STREAM && !BGW_BUG("deaf_not_told");
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The last moment at which somebody vouched for it; 0: never, or nobody knows. */
static int64_t slot_proved_ms(const struct bgw_hub *hub, const struct stream *st, const struct slot *s)
{
    const struct partition *p = slot_partition(st, s);
    const struct care *c = s->care;
    int64_t ms = p ? p->proved_ms : stream_proved_ms(st);
    if (unheard(hub, s))
        ms = earlier(ms, hub->deaf_ms);
    if (s->trouble)
        ms = c && !c->unheard_of ? earlier(ms, c->vouched_ms) : 0;
    return hub->sources && c ? later(ms, c->read_ms) : ms;
}

/* Trouble that somebody may still end: until it is too old. */
static bool ages(const struct slot *s)
{
    return s->trouble != TROUBLE_NONE && s->trouble <= TROUBLE_READ_NEWER && !BGW_BUG("trouble_never_ages");
}

static int64_t ages_until(const struct stream *st, const struct care *c)
{
    return later(c->vouched_ms, c->read_ms) + st->feed->stale_ms;
}

static enum bgw_slot_state aged_state(const struct bgw_hub *hub, const struct stream *st, const struct slot *s)
{
    const struct care *c = s->care;
    bool old = c && ages(s) && (c->given_up || hub->now.mono_ms > ages_until(st, c));
    return old ? BGW_STATE_STALE : BGW_STATE_DELAYED;
}

static enum bgw_slot_state trouble_state(const struct bgw_hub *hub, const struct stream *st, const struct slot *s,
                                         enum bgw_state_reason *reason)
{
    switch ((enum trouble)s->trouble) {
    case TROUBLE_NONE:
        break;
    case TROUBLE_SUSPECT:
        *reason = BGW_REASON_SOURCE_LAGGING;
        return aged_state(hub, st, s);
    case TROUBLE_INVALIDATED:
    case TROUBLE_READ_NEWER:
        *reason = BGW_REASON_REREAD;
        return aged_state(hub, st, s);
    case TROUBLE_EPOCH:
        *reason = BGW_REASON_NEW_EPOCH;
        return BGW_STATE_STALE;
    case TROUBLE_UNREADABLE:
        *reason = BGW_REASON_UNREADABLE_RECORD;
        return BGW_STATE_STALE;
    }
    *reason = BGW_REASON_NONE;
    return BGW_STATE_FRESH;
}

/* What the stream allows us to call it, and the channel. */
static enum bgw_slot_state vouched_state(const struct bgw_hub *hub, const struct stream *st, const struct slot *s)
{
    const struct partition *p = slot_partition(st, s);
    enum bgw_slot_state state = p ? p->state : st->worst;
    return unheard(hub, s) && state < st->deaf_state ? st->deaf_state : state;
}

/* A value that was read is as good as its read. */
static enum bgw_slot_state read_state(const struct bgw_hub *hub, const struct stream *st, const struct care *c)
{
    if (!hub->sources || !c || !c->read_ms)
        return BGW_STATE_STALE;
    int64_t age = hub->now.mono_ms - c->read_ms;
    if (age > st->feed->stale_ms)
        return BGW_STATE_STALE;
    return age > st->feed->fresh_ms && !BGW_BUG("read_never_ages") ? BGW_STATE_DELAYED : BGW_STATE_FRESH;
}

bool slot_unproved(const struct bgw_hub *hub, const struct key *k, const struct slot *s)
{
    return s->value && vouched_state(hub, &hub->streams[k->feed], s) != BGW_STATE_FRESH;
}

void tell_aging(struct bgw_hub *hub, struct care *c)
{
    const struct stream *st = &hub->streams[c->key->feed];
    enum bgw_slot_state read = read_state(hub, st, c);
    int64_t until = INT64_MAX;
    if (!c->key->watches)
        return;
    if (read < vouched_state(hub, st, c->slot))
        until = c->read_ms + (read == BGW_STATE_FRESH ? st->feed->fresh_ms : st->feed->stale_ms);
    if (ages(c->slot) && aged_state(hub, st, c->slot) != BGW_STATE_STALE)
        until = earlier(until, ages_until(st, c));
    until = earlier(until, given_until(st, c));
    if (until == INT64_MAX)
        bgw_wheel_cancel(&hub->wheel, &c->aging);
    else
        bgw_wheel_arm(&hub->wheel, &c->aging, until + 1);
}

enum bgw_slot_state slot_state(const struct bgw_hub *hub, const struct key *k, const struct slot *s,
                               enum bgw_state_reason *reason)
{
    *reason = BGW_REASON_NONE;
    if (s->flags & SLOT_REMOVED)
        return BGW_STATE_REMOVED;
    if (!s->value) {
        *reason = s->care ? s->care->unknown_reason : BGW_REASON_NONE;
        return BGW_STATE_UNKNOWN;
    }
    const struct stream *st = &hub->streams[k->feed];
    enum bgw_slot_state vouched = vouched_state(hub, st, s);
    enum bgw_slot_state read = vouched == BGW_STATE_FRESH ? vouched : read_state(hub, st, s->care);
    enum bgw_slot_state proved = read < vouched ? read : vouched;
    enum bgw_slot_state own = trouble_state(hub, st, s, reason);
    if (own >= proved)
        return own;
    *reason = BGW_REASON_SOURCE_LAGGING;
    return proved;
}

static void put(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w,
                const struct news *news)
{
    enum bgw_state_reason reason;
    struct cell *cell = watch_cell(w, s);
    if (!slot_unknown(s))
        cell->waiting = cell->bypassed = false;
    const struct care *c = s->care;
    bool asked = cell->asking && !(c && c->fetch_id); /* else what it waits for is still under way */
    if (asked)
        cell->asking = false;
    struct bgw_relay_entry e = {
        .group = w->group,
        .part = s->part,
        .state = (uint8_t)slot_state(hub, k, s, &reason),
        .answered = !cell->waiting,
        .restamped = news->restamped,
        .records = news->records,
        .version = slot_version(hub, k, s),
        .value = s->flags & SLOT_REMOVED ? NULL : bgw_blob_acquire(s->value),
        .proved_mono_ms = slot_proved_ms(hub, &hub->streams[k->feed], s),
        .ingest_ns = news->ingest_ns,
        .source = (uint8_t)slot_source(s),
        .failed = c ? c->failed : BGW_REASON_NONE,
        .fetched = hub->fetched == s,
        .joined = hub->fetched == s && !cell->began,
        .asked = asked ? cell->ask : 0,
    };
    e.reason = (uint8_t)reason;
    bgw_relay_put(hub->config.relays[w->shard], &cell->mark, &e);
}

static void count_change(enum bgw_slot_state state)
{
    bgw_metric_add((enum bgw_metric)(BGW_M_STATE_CHANGES_FRESH + (int)state), 1);
}

_Static_assert(BGW_M_STATE_CHANGES_REMOVED == BGW_M_STATE_CHANGES_FRESH + (int)BGW_STATE_REMOVED,
               "the rows of bgw_state_changes_total are in the order of the states");

static void remember_told(struct bgw_hub *hub, struct key *k, struct slot *s)
{
    enum bgw_state_reason reason;
    enum bgw_slot_state state = slot_state(hub, k, s, &reason);
    if (!s->care)
        return;
    if (!slot_unknown(s))
        given_forget(hub, s->care);
    if (s->care->told_state != state)
        count_change(state);
    s->care->told_state = (uint8_t)state;
    s->care->told_reason = (uint8_t)reason;
    tell_aging(hub, s->care);
}

void tell_slot(struct bgw_hub *hub, struct key *k, struct slot *s, const struct news *news)
{
    for (struct watch *w = k->watches; w; w = w->next) {
        struct cell *cell = watch_cell(w, s);
        if (slot_unknown(s) && (!cell->wanted || cell->bypassed))
            continue;
        put(hub, k, s, w, news);
    }
    remember_told(hub, k, s);
}

/* A read has aged since the others were told, and its timer has not fired in this turn yet. */
static bool told_otherwise(const struct bgw_hub *hub, const struct key *k, const struct slot *s)
{
    enum bgw_state_reason reason;
    if (!s->care || !s->value)
        return false;
    return slot_state(hub, k, s, &reason) != s->care->told_state || reason != s->care->told_reason;
}

void tell_watch(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w)
{
    if (told_otherwise(hub, k, s))
        tell_slot(hub, k, s, &(struct news){0}); /* or it would be remembered as told to all */
    put(hub, k, s, w, &(struct news){0});
    remember_told(hub, k, s);
}

void tell_state(struct bgw_hub *hub, struct care *c)
{
    enum bgw_state_reason reason;
    enum bgw_slot_state state = slot_state(hub, c->key, c->slot, &reason);
    tell_aging(hub, c);
    if (state == c->told_state && reason == c->told_reason)
        return;
    if (BGW_BUG("stale_never_told") && state != BGW_STATE_FRESH)
        return;
    tell_slot(hub, c->key, c->slot, &(struct news){0});
}
