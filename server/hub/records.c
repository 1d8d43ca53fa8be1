/* SPDX-License-Identifier: Apache-2.0 */
/*
 * records: one record of the stream. Hides what becomes of each: applied, unwatched, superseded or
 * rejected, exactly one of them counted. Called on the hub thread. Invariant: whatever a record
 * was, afterwards its partition's position lies behind it.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stddef.h>

_Static_assert((int)BGW_M_RECORDS_REJECTED_TOO_MANY - (int)BGW_M_RECORDS_REJECTED_BAD_JSON ==
                   (int)BGW_REJECT_TOO_MANY - (int)BGW_REJECT_BAD_JSON,
               "reject.def and the rows of bgw_records_rejected_total are in one order");

/* what became of a record, over all slots that it concerns */
struct outcome {
    bool applied, unwatched, superseded;
    enum bgw_reject why;
};

/* one record's */
struct work {
    struct bgw_hub *hub;
    const struct bgw_record *record;
    struct bgw_decoded decoded;
    struct outcome outcome;
    size_t keys_seen;
};

static void after_accept(struct work *w, struct key *k, struct slot *s)
{
    struct bgw_hub *hub = w->hub;
    if (w->record->timestamp_ms > hub->heard_wall_ms) /* whatever was missed was before it */
        set_era(s, hub->era);
    struct care *c = s->care;
    bool floor_open = c && c->has_floor && w->decoded.has_v && w->decoded.v < c->floor;
    bool floor_met = c && c->has_floor && w->decoded.has_v && !floor_open;
    /* a re-read that somebody asked for is still owed, unless this was what they meant */
    if (s->trouble != TROUBLE_INVALIDATED || floor_met)
        trouble_ends(s);
    if (floor_open)
        trouble_begins(s, TROUBLE_INVALIDATED, hub->now.mono_ms);
    if (c) {
        if (s->trouble && !floor_open)
            c->vouched_ms = hub->now.mono_ms; /* for this value nobody has said a word yet */
        int64_t ms = w->record->timestamp_ms;
        c->has_floor = floor_open;
        c->unknown_reason = BGW_REASON_NONE;
        c->failed = BGW_REASON_NONE;
        c->doubted = false;
        c->read_ms = 0; /* what a read proved was said of the value before */
        if (c->fetch_id && (ms < 0 || ms > c->record_ms))
            c->record_ms = ms < 0 ? hub->now.wall_ms : ms;
        if (!care_needs_fetch(c)) {
            c->backoff_ms = 0;
            bgw_wheel_cancel(&hub->wheel, &c->retry);
        }
        care_attach(hub, c);
    }
    tell_slot(hub, k, s, &(struct news){.records = 1, .ingest_ns = w->record->received_ns});
    if (k->watches)
        w->outcome.applied = true;
    else
        w->outcome.unwatched = true;
    care_drop_if_idle(hub, s);
}

/* The slot holds a read that may have seen this record: only another read can tell. */
static void hold_back(struct work *w, struct key *k, struct slot *s)
{
    struct bgw_hub *hub = w->hub;
    note_held(s, &w->decoded, w->record);
    trouble_begins(s, TROUBLE_READ_NEWER, hub->now.mono_ms);
    if (s->care)
        care_attach(hub, s->care);
    tell_slot(hub, k, s, &(struct news){0});
    slot_trouble(hub, k, s, TROUBLE_READ_NEWER);
    w->outcome.superseded = true;
}

static void restore(struct work *w, struct key *k, struct slot *s)
{
    s->flags &= (uint16_t) ~(SLOT_EVICTED | SLOT_SOURCE);
    slot_set_value(&w->hub->book, k, s, w->decoded.value);
    w->decoded.value = NULL;
    tell_slot(w->hub, k, s, &(struct news){0});
    w->outcome.superseded = true;
}

static void refuse(struct work *w, struct key *k, struct slot *s, enum bgw_reject why)
{
    slot_trouble(w->hub, k, s, TROUBLE_UNREADABLE);
    w->outcome.why = why;
}

/* The stream says what a source had said before it: from now on it vouches for it. */
static void confirm_fetched(struct work *w, struct slot *s)
{
    bool same = w->decoded.has_v && w->decoded.v == s->seq && s->value && !(s->flags & (SLOT_READ | SLOT_NUMBERED));
    if (slot_source(s) == BGW_SOURCE_STREAM || !same)
        return;
    s->flags &= (uint16_t)~SLOT_SOURCE;
    if (s->trouble == TROUBLE_SUSPECT)
        trouble_ends(s);
    if (s->care)
        tell_state(w->hub, s->care);
}

static void take_value(struct work *w, struct key *k, struct slot *s)
{
    switch (judge_value(s, &w->decoded, w->record)) {
    case VERDICT_ACCEPT:
        note_record(s, &w->decoded, w->record);
        slot_set_value(&w->hub->book, k, s, w->decoded.value);
        w->decoded.value = NULL;
        after_accept(w, k, s);
        break;
    case VERDICT_OLD:
        confirm_fetched(w, s);
        w->outcome.superseded = true;
        break;
    case VERDICT_RESTORE:
        restore(w, k, s);
        break;
    case VERDICT_HELD:
        hold_back(w, k, s);
        break;
    case VERDICT_REJECT_MODE:
        refuse(w, k, s, BGW_REJECT_VERSION_MODE);
        break;
    case VERDICT_REJECT_UNORDERED:
        refuse(w, k, s, BGW_REJECT_UNORDERED);
        break;
    }
}

static void take_tombstone(struct work *w, struct key *k, struct slot *s)
{
    switch (judge_tombstone(s, &w->decoded, w->record)) {
    case VERDICT_ACCEPT:
        note_tombstone(s, &w->decoded, w->record);
        slot_set_value(&w->hub->book, k, s, NULL);
        if (s->care)
            s->care->generation++; /* a read that is on its way may be from before */
        after_accept(w, k, s);
        break;
    case VERDICT_OLD:
    case VERDICT_RESTORE:
        w->outcome.superseded = true;
        break;
    case VERDICT_HELD:
        hold_back(w, k, s);
        break;
    case VERDICT_REJECT_MODE:
        refuse(w, k, s, BGW_REJECT_VERSION_MODE);
        break;
    case VERDICT_REJECT_UNORDERED:
        refuse(w, k, s, BGW_REJECT_UNORDERED);
        break;
    }
}

/* ---- whom it concerns ---- */

static struct slot *slot_for(struct work *w, struct key *k, bgw_part part)
{
    struct slot *s = NULL;
    enum bgw_status status = key_find_or_add(&w->hub->book, k, part, KEY_SLOTS_MAX, &s);
    if (status != BGW_OK) {
        w->outcome.why = status == BGW_FULL ? BGW_REJECT_TOO_MANY : BGW_REJECT_NO_MEMORY;
        return NULL;
    }
    if (k->watches) /* whoever watches the key watches its new part too */
        care_attach(w->hub, care_of(w->hub, k, s));
    return s;
}

static struct key *key_for(struct work *w)
{
    struct key *k = NULL;
    enum bgw_status status = book_find_or_add(&w->hub->book, &w->decoded.name, &k);
    if (status != BGW_OK)
        w->outcome.why = status == BGW_FULL ? BGW_REJECT_TOO_MANY : BGW_REJECT_NO_MEMORY;
    return status == BGW_OK ? k : NULL;
}

static void tombstone_key(void *arg, struct key *k)
{
    struct work *w = arg;
    w->keys_seen++;
    if (w->decoded.name.part || k->slot_count == 0) {
        bgw_part part = w->decoded.name.part;
        struct slot *s = slot_for(w, k, part ? part : key_stream(w->hub, k)->feed->default_part);
        if (s)
            take_tombstone(w, k, s);
        return;
    }
    for (struct slot *s = &k->first; s; s = s->next)
        take_tombstone(w, k, s);
}

static void take_decoded(struct work *w)
{
    struct key *k;
    if (w->decoded.tombstone) {
        book_each(&w->hub->book, &w->decoded.name, w->decoded.any_tenant, tombstone_key, w);
        if (w->keys_seen == 0 && (k = key_for(w)))
            tombstone_key(w, k); /* nobody has heard of it: the floor must be kept all the same */
        return;
    }
    k = key_for(w);
    struct slot *s = k ? slot_for(w, k, w->decoded.name.part) : NULL;
    if (s)
        take_value(w, k, s);
    else if (k && !k->watches)
        key_prune(&w->hub->book, k);
}

static void mark_key(void *arg, struct key *k)
{
    struct work *w = arg;
    bgw_part part = w->decoded.name.part;
    for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next)
        if (!part || part == s->part)
            slot_trouble(w->hub, k, s, TROUBLE_UNREADABLE);
}

/* ---- what is counted ---- */

static void reject(struct work *w, uint8_t feed, enum bgw_reject why)
{
    int row = (int)BGW_M_RECORDS_REJECTED_BAD_JSON + (int)why - (int)BGW_REJECT_BAD_JSON;
    bgw_metric_add((enum bgw_metric)row, 1);
    if (w->hub->ops.rejected)
        w->hub->ops.rejected(w->hub->ops.arg, feed, w->record, why);
}

/* Good news for one slot outweighs the rest of a tombstone that concerned several. */
static void count(struct work *w, uint8_t feed)
{
    const struct outcome *o = &w->outcome;
    if (o->applied)
        bgw_metric_add(BGW_M_RECORDS_APPLIED, 1);
    else if (o->unwatched)
        bgw_metric_add(BGW_M_RECORDS_UNWATCHED, 1);
    else if (o->why != BGW_REJECT_NONE)
        reject(w, feed, o->why);
    else
        bgw_metric_add(BGW_M_RECORDS_SUPERSEDED, 1);
}

static enum bgw_reject order_known(const struct stream *st, const struct work *w)
{
    const struct bgw_record *r = w->record;
    if (r->partition < 0 || (size_t)r->partition >= st->partition_count)
        return BGW_REJECT_UNORDERED; /* of an assignment that has ended */
    if (!r->key.data && !w->decoded.has_v && st->partition_count != 1)
        return BGW_REJECT_UNORDERED;
    return BGW_REJECT_NONE;
}

void bgw_hub_on_record(struct bgw_hub *hub, uint8_t feed, const struct bgw_record *record,
                       struct bgw_now now)
{
    struct work w; /* `decoded` is the codec's to fill, and large */
    w.hub = hub;
    w.record = record;
    w.outcome = (struct outcome){0};
    w.keys_seen = 0;
    hub_set_now(hub, now);
    hub_begin_event(hub);
    struct stream *st = hub_stream(hub, feed);
    bgw_metric_add(BGW_M_RECORDS_CONSUMED, 1);
    w.outcome.why = st->feed->decode(st->feed, record, &w.decoded);
    if (w.outcome.why == BGW_REJECT_NONE)
        w.outcome.why = order_known(st, &w);
    if (w.outcome.why == BGW_REJECT_NONE)
        take_decoded(&w);
    else if (w.decoded.name.key_len)
        book_each(&hub->book, &w.decoded.name, w.decoded.any_tenant, mark_key, &w);
    count(&w, feed);
    bgw_blob_release(w.decoded.value);
    if (record->partition >= 0 && (size_t)record->partition < st->partition_count)
        partition_advance(hub, st, record->partition, record->offset + 1);
}
