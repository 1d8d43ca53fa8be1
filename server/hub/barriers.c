/* SPDX-License-Identifier: Apache-2.0 */
/*
 * barriers: "tell me when you have read what was there when I asked". Hides the batching: all that
 * is asked within barrier_batch_ms shares one watermark query. Called on the hub thread. Invariant:
 * a ticket is answered only after a watermark that was asked for later than the ticket came has
 * been reached in every partition.
 */
#include "core.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define END_OPEN (-1) /* not answered */
#define END_REACHED (-2)

static size_t first_partition(const struct bgw_hub *hub, const struct stream *st)
{
    size_t n = 0;
    for (const struct stream *at = hub->streams; at != st; at++)
        n += at->partition_count;
    return n;
}

static bool all_assigned(const struct bgw_hub *hub)
{
    for (size_t i = 0; i < hub->config.feed_count; i++)
        if (!hub->streams[i].epoch)
            return false;
    return true;
}

static void release(struct bgw_hub *hub, struct barrier *b)
{
    free(b->ends);
    *b = (struct barrier){0};
    hub->barriers_out--;
}

static void complete(struct bgw_hub *hub, struct barrier *b)
{
    for (size_t i = 0; i < hub->config.shard_count; i++)
        if (b->tickets[i])
            bgw_relay_barrier(hub->config.relays[i], b->tickets[i]);
    release(hub, b);
}

static void look(struct bgw_hub *hub, struct barrier *b, size_t at, int64_t position)
{
    if (b->ends[at] < 0 || position < b->ends[at])
        return;
    b->ends[at] = END_REACHED;
    if (--b->open_count == 0)
        complete(hub, b);
}

static void merge_tickets(struct barrier *to, const struct barrier *from)
{
    for (size_t i = 0; i < BGW_SHARDS_MAX; i++)
        if (from->tickets[i] > to->tickets[i])
            to->tickets[i] = from->tickets[i];
    to->refresh |= from->refresh;
}

/* ---- asking ---- */

static struct barrier *free_barrier(struct bgw_hub *hub)
{
    for (size_t i = 0; i < BARRIERS_MAX; i++)
        if (!hub->barriers[i].query)
            return &hub->barriers[i];
    return NULL;
}

/* Tickets are done in their order: one that comes after an open refresh must not be done before it, so it refreshes too. */
static bool refresh_open(const struct bgw_hub *hub)
{
    for (size_t i = 0; i < BARRIERS_MAX; i++)
        if (hub->barriers[i].query && hub->barriers[i].refresh)
            return true;
    return false;
}

static void ask(struct bgw_hub *hub, struct barrier *b)
{
    const struct stream *last = &hub->streams[hub->config.feed_count];
    size_t count = first_partition(hub, last);
    int64_t *ends = malloc((count ? count : 1) * sizeof(*ends));
    if (!ends)
        return; /* it stays collected, and the next tick tries again */
    for (size_t i = 0; i < count; i++)
        ends[i] = END_OPEN;
    uint64_t query = ++hub->query_seq;
    bool refresh = hub->collecting.refresh || refresh_open(hub);
    *b = hub->collecting;
    b->refresh = refresh;
    b->query = query;
    b->asked_ms = hub->now.mono_ms;
    b->ends = ends;
    b->end_count = b->open_count = count;
    hub->collecting = (struct barrier){0};
    hub->collecting_any = false;
    hub->barrier_sent_ms = hub->now.mono_ms;
    hub->barriers_out++;
    if (count == 0) {
        complete(hub, b);
        return;
    }
    for (size_t i = 0; i < hub->config.feed_count; i++) /* an answer may come at once and end `b` */
        hub->ops.ask_watermark(hub->ops.arg, (uint8_t)i, query, refresh);
}

static void ask_if_due(struct bgw_hub *hub)
{
    struct barrier *b;
    if (!hub->collecting_any || hub->now.mono_ms < hub->collect_until_ms || !all_assigned(hub))
        return;
    b = free_barrier(hub); /* none: it goes on collecting until one has been answered */
    if (b)
        ask(hub, b);
}

static void collect(struct bgw_hub *hub, const struct barrier *tickets)
{
    merge_tickets(&hub->collecting, tickets);
    if (hub->collecting_any)
        return;
    hub->collecting_any = true;
    hub->collect_until_ms = hub->now.mono_ms;
    if (hub->query_seq && hub->barrier_sent_ms + hub->config.barrier_batch_ms > hub->now.mono_ms)
        hub->collect_until_ms = hub->barrier_sent_ms + hub->config.barrier_batch_ms;
}

void barrier_collect(struct bgw_hub *hub, uint8_t shard, uint64_t ticket, bool refresh)
{
    struct barrier one = {.refresh = refresh};
    BGW_ASSERT(ticket);
    one.tickets[shard] = ticket;
    collect(hub, &one);
}

static bool unanswered(const struct barrier *b)
{
    for (size_t i = 0; i < b->end_count; i++)
        if (b->ends[i] == END_OPEN)
            return true;
    return false;
}

static void collect_again(struct bgw_hub *hub, struct barrier *b)
{
    struct barrier old = *b;
    release(hub, b);
    old.ends = NULL;
    collect(hub, &old);
}

int64_t barrier_tick(struct bgw_hub *hub)
{
    int64_t due = INT64_MAX, now = hub->now.mono_ms;
    for (size_t i = 0; i < BARRIERS_MAX; i++) {
        struct barrier *b = &hub->barriers[i];
        if (!b->query || !unanswered(b))
            continue; /* answered and not reached: the position will tell */
        int64_t again = b->asked_ms + hub->config.barrier_max_ms;
        if (now >= again)
            collect_again(hub, b);
        else if (again < due)
            due = again;
    }
    ask_if_due(hub);
    if (hub->collecting_any && hub->collect_until_ms > now && hub->collect_until_ms < due)
        due = hub->collect_until_ms;
    return due == INT64_MAX ? due : due - now;
}

/* ---- answers ---- */

void barrier_answered(struct bgw_hub *hub, struct stream *st, uint64_t query, int32_t partition,
                      int64_t end)
{
    size_t at = first_partition(hub, st) + (size_t)partition;
    const struct partition *p = &st->partitions[partition];
    for (size_t i = 0; i < BARRIERS_MAX; i++) {
        struct barrier *b = &hub->barriers[i];
        if (b->query != query || b->ends[at] != END_OPEN)
            continue;
        BGW_ASSERT(end >= 0);
        b->ends[at] = end;
        if (!p->moved)
            look(hub, b, at, p->position);
        return;
    }
}

void barrier_advanced(struct bgw_hub *hub, struct stream *st, int32_t partition)
{
    if (!hub->barriers_out)
        return;
    size_t at = first_partition(hub, st) + (size_t)partition;
    for (size_t i = 0; i < BARRIERS_MAX; i++)
        if (hub->barriers[i].query)
            look(hub, &hub->barriers[i], at, st->partitions[partition].position);
}

/* The partitions are others now: what was asked of the old ones is asked of them. */
void barrier_reassigned(struct bgw_hub *hub)
{
    for (size_t i = 0; i < BARRIERS_MAX; i++)
        if (hub->barriers[i].query)
            collect_again(hub, &hub->barriers[i]);
}

void barrier_deinit(struct bgw_hub *hub)
{
    for (size_t i = 0; i < BARRIERS_MAX; i++)
        free(hub->barriers[i].ends);
}
