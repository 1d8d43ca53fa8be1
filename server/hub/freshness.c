/* SPDX-License-Identifier: Apache-2.0 */
/*
 * freshness: what the proofs of partitions allow us to call fresh. Hides how an end that was asked
 * for and a position become a proof, and when a proof is too old. Called on the hub thread.
 * Invariant: proved_ms is a time at which everything up to the partition's end of that time had
 * been applied.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"

#include <stdlib.h>

#define CHECK_MAX_MS 1000

/* ---- states ---- */

static enum bgw_slot_state partition_state(const struct stream *st, const struct partition *p,
                                           int64_t now_ms)
{
    int64_t age = now_ms - p->proved_ms;
    if (p->lost || !p->proved_ms || age > st->feed->stale_ms)
        return BGW_STATE_STALE;
    return age > st->feed->fresh_ms ? BGW_STATE_DELAYED : BGW_STATE_FRESH;
}

static void tell_list(struct bgw_hub *hub, struct bgw_list *list)
{
    for (struct bgw_list *at = list->next; at != list; at = at->next)
        tell_state(hub, BGW_CONTAINER(at, struct care, in_stream));
}

static void update_worst(struct bgw_hub *hub, struct stream *st)
{
    uint8_t worst = st->partition_count ? BGW_STATE_FRESH : BGW_STATE_STALE;
    for (size_t i = 0; i < st->partition_count; i++)
        if (st->partitions[i].state > worst)
            worst = st->partitions[i].state;
    if (worst == st->worst)
        return;
    st->worst = worst;
    tell_list(hub, &st->loose);
}

static void update_state(struct bgw_hub *hub, struct stream *st, struct partition *p)
{
    uint8_t state = (uint8_t)partition_state(st, p, hub->now.mono_ms);
    if (state == p->state)
        return;
    p->state = state;
    st->next_check_ms = 0;
    tell_list(hub, &p->watched);
    update_worst(hub, st);
}

/* When the partition's state can change by age alone; INT64_MAX: never. */
static int64_t partition_due(const struct stream *st, const struct partition *p)
{
    if (p->state == BGW_STATE_FRESH)
        return p->proved_ms + st->feed->fresh_ms + 1;
    if (p->state == BGW_STATE_DELAYED)
        return p->proved_ms + st->feed->stale_ms + 1;
    return INT64_MAX;
}

static int64_t stream_check(struct bgw_hub *hub, struct stream *st)
{
    int64_t due = INT64_MAX;
    if (hub->now.mono_ms < st->next_check_ms)
        return st->next_check_ms;
    for (size_t i = 0; i < st->partition_count; i++) {
        update_state(hub, st, &st->partitions[i]);
        int64_t next = partition_due(st, &st->partitions[i]);
        if (next < due)
            due = next;
    }
    st->next_check_ms = due; /* a new proof only makes it later, a worse state sets it to 0 */
    return due;
}

int64_t freshness_tick(struct bgw_hub *hub)
{
    int64_t wait = CHECK_MAX_MS;
    for (size_t i = 0; i < hub->config.feed_count; i++) {
        int64_t left = stream_check(hub, &hub->streams[i]) - hub->now.mono_ms;
        if (left < wait)
            wait = left;
    }
    return wait > 0 ? wait : 0;
}

/* ---- positions and proofs ---- */

int64_t stream_proved_ms(const struct stream *st)
{
    int64_t oldest = st->partition_count ? INT64_MAX : 0;
    for (size_t i = 0; i < st->partition_count; i++)
        if (st->partitions[i].proved_ms < oldest)
            oldest = st->partitions[i].proved_ms;
    return oldest;
}

static void prove(struct bgw_hub *hub, struct stream *st, struct partition *p, int64_t asked_ms)
{
    if (asked_ms > p->proved_ms) {
        p->proved_ms = asked_ms;
        st->proof_moved = true;
    }
    p->lost = false;
    update_state(hub, st, p);
}

static void prove_pending(struct bgw_hub *hub, struct stream *st, struct partition *p)
{
    while (p->pending_count > 0 && p->position >= p->pending[0].end) {
        struct proof reached = p->pending[0];
        p->pending[0] = p->pending[1];
        p->pending_count--;
        prove(hub, st, p, reached.asked_ms);
    }
}

static void look_if_ready(struct stream *st)
{
    if (st->ready || !st->epoch)
        return;
    for (size_t i = 0; i < st->partition_count; i++)
        if (st->partitions[i].position < st->partitions[i].start_end)
            return;
    st->ready = true; /* and stays so: what comes later is a matter of freshness */
}

static struct partition *partition_of(struct stream *st, int32_t partition)
{
    bool known = partition >= 0 && (size_t)partition < st->partition_count;
    return known ? &st->partitions[partition] : NULL;
}

void partition_advance(struct bgw_hub *hub, struct stream *st, int32_t partition,
                       int64_t next_offset)
{
    struct partition *p = &st->partitions[partition];
    if (!p->moved && next_offset <= p->position)
        return; /* a record that came twice does not take the position back */
    p->position = next_offset;
    p->moved = false;
    if (p->end_seen < next_offset)
        p->end_seen = next_offset;
    prove_pending(hub, st, p);
    barrier_advanced(hub, st, partition);
    look_if_ready(st);
}

void bgw_hub_on_position(struct bgw_hub *hub, uint8_t feed, int32_t partition, int64_t next_offset,
                         struct bgw_now now)
{
    hub_set_now(hub, now);
    struct stream *st = hub_stream(hub, feed);
    if (partition_of(st, partition)) /* else of an assignment that has ended */
        partition_advance(hub, st, partition, next_offset);
}

static void remember_proof(struct partition *p, int64_t end, int64_t asked_ms)
{
    size_t at = p->pending_count < 2 ? p->pending_count++ : 1;
    p->pending[at] = (struct proof){end, asked_ms};
}

void bgw_hub_on_watermark(struct bgw_hub *hub, uint8_t feed, uint64_t query, int32_t partition,
                          int64_t end_offset, int64_t asked_mono_ms, struct bgw_now now)
{
    hub_set_now(hub, now);
    struct stream *st = hub_stream(hub, feed);
    struct partition *p = partition_of(st, partition);
    if (!p)
        return;
    if (end_offset > p->end_seen)
        p->end_seen = end_offset;
    if (p->position >= end_offset && !p->moved)
        prove(hub, st, p, asked_mono_ms);
    else
        remember_proof(p, end_offset, asked_mono_ms);
    if (query)
        barrier_answered(hub, st, query, partition, end_offset);
}

void bgw_hub_on_gap(struct bgw_hub *hub, uint8_t feed, int32_t partition, struct bgw_now now)
{
    hub_set_now(hub, now);
    struct stream *st = hub_stream(hub, feed);
    struct partition *p = partition_of(st, partition);
    if (!p)
        return;
    p->lost = p->moved = true;
    p->pending_count = 0;
    update_state(hub, st, p);
}

/* ---- assignment ---- */

/* Every care is loose afterwards. */
static void drop_partitions(struct stream *st)
{
    struct bgw_list all;
    bgw_list_init(&all);
    bgw_list_splice(&all, &st->loose);
    for (size_t i = 0; i < st->partition_count; i++)
        bgw_list_splice(&all, &st->partitions[i].watched);
    free(st->partitions);
    st->partitions = NULL;
    st->partition_count = 0;
    bgw_list_splice(&st->loose, &all);
    st->worst = BGW_STATE_STALE;
}

static void make_partitions(struct bgw_hub *hub, struct stream *st, size_t count)
{
    struct bgw_list all;
    drop_partitions(st);
    st->partitions = calloc(count ? count : 1, sizeof(*st->partitions));
    if (!st->partitions && bgw_reserve_spend())
        st->partitions = calloc(count ? count : 1, sizeof(*st->partitions));
    BGW_ASSERT(st->partitions); /* without a stream there is no gateway */
    st->partition_count = count;
    for (size_t i = 0; i < count; i++) {
        bgw_list_init(&st->partitions[i].watched);
        st->partitions[i].state = BGW_STATE_STALE;
    }
    bgw_list_init(&all);
    bgw_list_splice(&all, &st->loose);
    while (!bgw_list_empty(&all)) {
        struct care *c = BGW_CONTAINER(all.next, struct care, in_stream);
        bgw_list_remove(&c->in_stream);
        care_attach(hub, c);
    }
}

static void restamp_key(struct bgw_hub *hub, struct key *k)
{
    for (struct slot *s = &k->first; s; s = s->next) {
        bool known = !slot_unknown(s);
        note_epoch(s);
        if (!known)
            continue;
        trouble_ends(s); /* of another stream */
        trouble_begins(s, TROUBLE_EPOCH, hub->now.mono_ms);
        if (s->care)
            care_attach(hub, s->care);
        tell_slot(hub, k, s, &(struct news){.restamped = true});
    }
    for (struct slot *s = &k->first; s && k->watches; s = s->next)
        slot_trouble(hub, k, s, TROUBLE_EPOCH);
}

static void restamp(struct bgw_hub *hub, uint8_t feed)
{
    size_t cursor = 0;
    for (struct key *k; (k = bgw_map_next(&hub->book.keys, &cursor));)
        if (k->feed == feed && k->slot_count > 0)
            restamp_key(hub, k);
}

static void set_positions(struct stream *st, const int64_t *positions, const int64_t *ends)
{
    for (size_t i = 0; i < st->partition_count; i++) {
        struct partition *p = &st->partitions[i];
        p->position = positions[i];
        p->start_end = ends[i];
        p->end_seen = ends[i];
        p->pending_count = 0;
        p->moved = false;
    }
    st->next_check_ms = 0;
}

void bgw_hub_on_assigned(struct bgw_hub *hub, uint8_t feed, uint64_t epoch,
                         const int64_t *positions, const int64_t *ends, size_t partitions,
                         struct bgw_now now)
{
    hub_set_now(hub, now);
    hub_begin_event(hub);
    struct stream *st = hub_stream(hub, feed);
    BGW_ASSERT(epoch);
    bool changed = epoch != st->epoch;
    if (changed && st->epoch)
        bgw_metric_add(BGW_M_EPOCH_CHANGES, 1);
    st->epoch = epoch;
    if (changed || partitions != st->partition_count)
        make_partitions(hub, st, partitions);
    set_positions(st, positions, ends);
    if (changed && !BGW_BUG("epoch_not_restamped"))
        restamp(hub, feed);
    barrier_reassigned(hub);
    look_if_ready(st);
}
