/* SPDX-License-Identifier: Apache-2.0 */
/*
 * news: what the hub says, applied to this shard's slots. Hides what counts as news. Called with
 * each entry of a batch, on the shard's thread. Invariants: a slot's version never goes back inside
 * an epoch; every record is offered once to each cell of its slot, and the slot's subs are dirty
 * then.
 */
#include "core.h"

static void check_version(const struct slot *slot, const struct bgw_relay_entry *e)
{
    if (!slot->value || !e->value || slot->version.epoch != e->version.epoch)
        return;
    BGW_ASSERT(bgw_version_compare(e->version, slot->version) >= 0); /* I1 */
}

static void drop_prepared(struct slot *slot)
{
    for (int i = 0; i < BGW_ENCODING_COUNT; i++) {
        bgw_blob_release(slot->prepared[i]);
        slot->prepared[i] = NULL;
    }
}

/* True if anything that a subscriber could be told has changed. Takes the value. */
static bool take_entry(struct slot *slot, const struct bgw_relay_entry *e)
{
    bool other_version = !bgw_version_equal(slot->version, e->version);
    bool other_value = slot->value != e->value || other_version;
    bool news = other_value || e->records || slot->state != e->state || slot->reason != e->reason ||
                (e->answered && !slot->answered);
    check_version(slot, e);
    if (other_value)
        drop_prepared(slot);
    if (other_version)
        slot->hash = 0;
    bgw_blob_release(slot->value);
    slot->value = e->value;
    slot->version = e->version;
    slot->state = e->state;
    slot->reason = e->reason;
    slot->answered |= e->answered;
    slot->proved_mono_ms = e->proved_mono_ms;
    slot->source = e->source & 3u;
    slot->failed = e->failed & 15u;
    if (e->asked)
        slot->asked = e->asked;
    slot->count += e->records;
    return news;
}

/* Thousands of subs and their sessions, all cold: the next ones are fetched while one is marked. */
static void look_ahead(const struct bgw_list *at, const struct bgw_list *subs)
{
    const struct bgw_list *next = at->next;
    if (next == subs || next->next == subs)
        return;
    const struct bgw_session *n = BGW_CONTAINER(next, struct sub, of_group)->session;
    __builtin_prefetch(&n->of_flush, 1);
    __builtin_prefetch(&n->flags);
    const struct sub *after = BGW_CONTAINER(next->next, struct sub, of_group);
    __builtin_prefetch(after, 1);
    __builtin_prefetch(&after->first);
}

static void offer(struct bgw_shard *s, struct slot *slot, uint32_t records)
{
    struct bgw_list *subs = &slot->group->subs;
    int64_t cells = 0;
    for (struct bgw_list *at = subs->next; at != subs; at = at->next) {
        struct sub *sub = BGW_CONTAINER(at, struct sub, of_group);
        look_ahead(at, subs);
        if (!sub_cell(sub, slot))
            continue;
        cells++;
        sub_mark(sub);
    }
    s->tally.offered += cells * records;
    s->pending += cells * records;
}

void news_apply(struct bgw_shard *s, const struct bgw_relay_entry *e)
{
    struct group *g = group_of_ref(s, e->group);
    if (!g) { /* put before the hub heard that nobody is left */
        bgw_blob_release(e->value);
        return;
    }
    struct slot *slot = group_slot(g, e->part);
    if (!slot)
        slot = slot_add(s, g, e->part);
    /* without memory for what subscribers were promised there is nothing honest left to do */
    BGW_ASSERT(slot);
    bool news = take_entry(slot, e);
    if (!slot->heard) {
        slot->heard = true;
        ticket_slot_heard(slot);
    }
    if (news)
        offer(s, slot, e->records);
    if (g->kept)
        reads_news(s, slot, e);
}
