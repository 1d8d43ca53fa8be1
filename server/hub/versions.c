/* SPDX-License-Identifier: Apache-2.0 */
/*
 * versions: which of two values is newer, and what the newer one does to a slot's version. Hides
 * the order rules: with `v`, by position in the partition, by time of a read, and the floors of
 * removed slots. Pure; called by the other files of hub/. Invariant: inside an epoch a slot's
 * (seq, read) never goes down, and two different values never share one.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"

#define ORDER_EPOCH_SHIFT 40
#define ORDER_EPOCH_MAX ((1 << 23) - 1) /* what leaves 63 bits */

uint64_t record_order(const struct bgw_record *r)
{
    uint64_t epoch = r->leader_epoch < 0 ? 0 : (uint64_t)r->leader_epoch;
    if (epoch > ORDER_EPOCH_MAX)
        epoch = ORDER_EPOCH_MAX;
    return (epoch << ORDER_EPOCH_SHIFT) + (uint64_t)r->offset + 1;
}

static bool same_partition(const struct slot *s, const struct bgw_record *r)
{
    return s->partition == r->partition;
}

/* It lies, in its partition, at or before what the slot has seen already. */
static bool passed(const struct slot *s, const struct bgw_record *r)
{
    return s->order && same_partition(s, r) && record_order(r) <= s->order;
}

static int64_t read_start(const struct slot *s)
{
    return (int64_t)(s->read_high - s->read_lead);
}

/* The read that is held may have seen this record already: which of the two is newer is not known.
 */
static bool covered_by_read(const struct slot *s, const struct bgw_record *r)
{
    return (s->flags & SLOT_READ) && r->timestamp_ms <= read_start(s);
}

static bool wrong_mode(const struct slot *s, bool has_v)
{
    return (s->flags & (has_v ? SLOT_MODE_OFFSET : SLOT_MODE_V)) != 0;
}

/* Only reads without `v` made its version: a first record has nothing to compare itself with. */
static bool without_record(const struct slot *s)
{
    return !(s->flags & SLOT_MODES);
}

static enum verdict unless_covered(const struct slot *s, const struct bgw_record *r)
{
    return covered_by_read(s, r) ? VERDICT_HELD : VERDICT_ACCEPT;
}

static enum verdict judge_v(const struct slot *s, uint64_t v, const struct bgw_record *r)
{
    if (!(s->flags & SLOT_VERSIONED) || without_record(s))
        return unless_covered(s, r);
    if (v == s->seq && (s->flags & SLOT_EVICTED) && !(s->flags & SLOT_NUMBERED))
        return VERDICT_RESTORE;
    return v > s->seq ? unless_covered(s, r) : VERDICT_OLD;
}

static enum verdict judge_order(const struct slot *s, const struct bgw_record *r)
{
    if ((s->flags & SLOT_MODE_OFFSET) && !same_partition(s, r))
        return VERDICT_REJECT_UNORDERED; /* offsets of two partitions say nothing to each other */
    if (!(s->flags & SLOT_VERSIONED) || without_record(s))
        return unless_covered(s, r);
    if (record_order(r) == s->seq && (s->flags & SLOT_EVICTED) && !(s->flags & SLOT_NUMBERED))
        return VERDICT_RESTORE;
    return record_order(r) > s->seq ? unless_covered(s, r) : VERDICT_OLD;
}

enum verdict judge_value(const struct slot *s, const struct bgw_decoded *d,
                         const struct bgw_record *r)
{
    if (BGW_BUG("version_check_off"))
        return VERDICT_ACCEPT;
    if (s->flags & SLOT_RESTAMPED)
        return VERDICT_ACCEPT;
    if (wrong_mode(s, d->has_v))
        return VERDICT_REJECT_MODE;
    if (BGW_BUG("tombstone_revived_by_older") && (s->flags & SLOT_REMOVED))
        return VERDICT_ACCEPT;
    if ((s->flags & SLOT_ORDER_FLOOR) && passed(s, r))
        return VERDICT_OLD;
    return d->has_v ? judge_v(s, d->v, r) : judge_order(s, r);
}

static enum verdict judge_tombstone_order(const struct slot *s, const struct bgw_record *r)
{
    if (s->order && !same_partition(s, r))
        return VERDICT_REJECT_UNORDERED;
    if (passed(s, r))
        return VERDICT_OLD;
    return unless_covered(s, r);
}

enum verdict judge_tombstone(const struct slot *s, const struct bgw_decoded *d,
                             const struct bgw_record *r)
{
    if (s->flags & SLOT_RESTAMPED)
        return VERDICT_ACCEPT;
    if (!d->has_v)
        return judge_tombstone_order(s, r);
    if (wrong_mode(s, true))
        return VERDICT_REJECT_MODE;
    if ((s->flags & SLOT_VERSIONED) && !without_record(s) && d->v <= s->seq)
        return VERDICT_OLD;
    return unless_covered(s, r);
}

enum verdict judge_fetched(const struct slot *s, uint64_t v)
{
    if (BGW_BUG("version_check_off") || BGW_BUG("floor_ignored"))
        return VERDICT_ACCEPT;
    if (BGW_BUG("tombstone_revived_by_older") && (s->flags & SLOT_REMOVED))
        return VERDICT_ACCEPT;
    if (!(s->flags & SLOT_VERSIONED) || (s->flags & SLOT_RESTAMPED))
        return VERDICT_ACCEPT;
    if (v == s->seq && (s->flags & SLOT_EVICTED) && !(s->flags & SLOT_NUMBERED))
        return VERDICT_RESTORE;
    return v > s->seq ? VERDICT_ACCEPT : VERDICT_OLD;
}

/* ---- what it does to the slot ---- */

uint64_t take_read_number(struct slot *s, int64_t started_wall_ms)
{
    uint64_t start = started_wall_ms > 0 ? (uint64_t)started_wall_ms : 0;
    uint64_t number = start > s->read_high + 1 ? start : s->read_high + 1;
    uint64_t lead = number - start;
    BGW_ASSERT(number <= INT64_MAX);
    s->read_high = number;
    s->read_lead = lead > UINT32_MAX ? UINT32_MAX : (uint32_t)lead;
    return number;
}

static void note_place(struct slot *s, const struct bgw_record *r)
{
    s->order = record_order(r);
    s->partition = r->partition;
}

static void set_seq(struct slot *s, uint64_t seq)
{
    /* `v` 0 of a slot that had no record in this epoch: the version may have been shown with
     * another value */
    bool shown = (s->flags & SLOT_VERSIONED) && seq == s->seq;
    s->seq = seq;
    s->flags &= (uint16_t)~SLOT_NUMBERED;
    if (shown) {
        take_read_number(s, 0);
        s->flags |= SLOT_NUMBERED;
    }
    s->flags |= SLOT_VERSIONED;
}

static void set_mode(struct slot *s, bool has_v)
{
    s->flags = (uint16_t)((s->flags & ~SLOT_MODES) | (has_v ? SLOT_MODE_V : SLOT_MODE_OFFSET));
}

#define SLOT_REPLACED (SLOT_SOURCE | SLOT_READ | SLOT_REMOVED | SLOT_ORDER_FLOOR | SLOT_EVICTED | SLOT_RESTAMPED)

void note_record(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r)
{
    set_seq(s, d->has_v ? d->v : record_order(r));
    set_mode(s, d->has_v);
    s->flags &= (uint16_t)~SLOT_REPLACED;
    note_place(s, r);
}

void note_tombstone(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r)
{
    bool by_offset = !d->has_v && (s->flags & SLOT_MODE_OFFSET);
    if (d->has_v || by_offset)
        set_seq(s, d->has_v ? d->v : record_order(r));
    if (d->has_v)
        set_mode(s, true);
    s->flags &= (uint16_t)~SLOT_REPLACED;
    s->flags |= SLOT_REMOVED;
    if (!d->has_v)
        s->flags |= SLOT_ORDER_FLOOR;
    note_place(s, r);
}

/* The read is not older than the record, so it takes the record's place in the order. */
void note_held(struct slot *s, const struct bgw_decoded *d, const struct bgw_record *r)
{
    if (!d->tombstone || d->has_v) {
        s->seq = d->has_v ? d->v : record_order(r);
        set_mode(s, d->has_v);
    }
    note_place(s, r);
}

void note_fetched(struct slot *s, uint64_t v)
{
    bool given_up = (s->flags & SLOT_EVICTED) && !(s->flags & (SLOT_NUMBERED | SLOT_RESTAMPED));
    if (!given_up || v != s->seq) /* else the value that had this version is back */
        set_seq(s, v);
    set_mode(s, true);
    s->flags &= (uint16_t)~SLOT_REPLACED;
}

void note_read(struct slot *s, int64_t started_wall_ms)
{
    take_read_number(s, started_wall_ms);
    s->flags &= (uint16_t)~SLOT_REPLACED;
    s->flags |= SLOT_VERSIONED | SLOT_READ | SLOT_NUMBERED;
}

void note_epoch(struct slot *s)
{
    uint16_t kept = s->flags & (SLOT_REMOVED | SLOT_EVICTED | SLOT_WANTED | SLOT_SOURCE | SLOT_ERA);
    if (s->flags & SLOT_VERSIONED)
        kept |= SLOT_VERSIONED | SLOT_RESTAMPED;
    else if (s->flags & SLOT_REMOVED)
        kept |= SLOT_RESTAMPED;
    s->flags = kept;
    s->seq = 0;
    s->order = 0;
    s->partition = -1;
}
