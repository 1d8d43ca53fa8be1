/* SPDX-License-Identifier: Apache-2.0 */
/*
 * post: what the hub must hear: watches, the end of watches, barriers. Hides that its mailbox may
 * be full: groups stay queued and are tried again at the next flush. Shard thread only. Invariants:
 * commands leave in the order in which they arose (a key's UNWATCH before its next WATCH, a barrier
 * after the watches that came before it), and the queue is bounded by the groups there are.
 */
#include "core.h"

void post_queue(struct bgw_shard *s, struct group *g)
{
    if (g->queued)
        return;
    g->queued = true;
    g->post_next = NULL;
    if (s->post_last)
        s->post_last->post_next = g;
    else
        s->post_first = g;
    s->post_last = g;
}

static bool post_one(struct bgw_shard *s, enum bgw_hub_command_kind kind, const struct group *g,
                     bgw_part part, uint64_t ticket)
{
    struct bgw_hub_command c = {
        .kind = (uint8_t)kind,
        .shard = s->config.shard,
        .group = g->index | (uint64_t)g->generation << 32,
        .ticket = ticket,
    };
    struct bgw_slice key = group_key(g);
    c.name.feed = g->feed;
    c.name.tenant_len = g->tenant->len;
    c.name.key_len = g->key_len;
    memcpy(c.name.tenant, g->tenant->text, g->tenant->len);
    memcpy(c.name.key, key.data, key.len);
    c.name.part = part;
    return s->ops.post(s->ops.arg, &c);
}

static bool post_ask(struct bgw_shard *s, const struct group *g, struct slot *slot, bgw_part part)
{
    if (!slot->ask_due)
        return true;
    if (!post_one(s, BGW_HUB_ASK, g, part, s->ask_ticket))
        return false;
    slot->ask_due = false;
    s->ask_posted = true;
    return true;
}

/* The default part is named as 0: the hub knows what that covers. */
static bool post_watches(struct bgw_shard *s, struct group *g)
{
    bgw_part default_part = group_feed(s, g)->default_part;
    for (struct slot *slot = &g->first; slot; slot = slot->next) {
        bgw_part part = slot->part == default_part ? 0 : slot->part;
        if (slot->wanted && !slot->posted) {
            if (!post_one(s, BGW_HUB_WATCH, g, part, 0))
                return false;
            slot->posted = true;
            g->told = true;
        }
        if (!post_ask(s, g, slot, part))
            return false;
    }
    return true;
}

static bool post_group(struct bgw_shard *s, struct group *g)
{
    if (g->forget) {
        g->forget = false;
        return !g->told || post_one(s, BGW_HUB_UNWATCH, g, 0, 0);
    }
    if (group_needed(g))
        return post_watches(s, g);
    return !g->told || post_one(s, BGW_HUB_UNWATCH, g, 0, 0);
}

uint32_t ask_slot_due(struct bgw_shard *s, struct slot *slot)
{
    slot->ask_due = true;
    post_queue(s, slot->group);
    return s->ask_ticket;
}

/* False: the mailbox is full. */
static bool post_groups(struct bgw_shard *s)
{
    while (s->post_first) {
        struct group *g = s->post_first;
        if (!post_group(s, g))
            return false;
        s->post_first = g->post_next;
        if (!s->post_first)
            s->post_last = NULL;
        g->queued = false;
        if (!group_needed(g))
            group_free(s, g);
    }
    return true;
}

void post_all(struct bgw_shard *s)
{
    s->post_behind = !post_groups(s);
    if (s->ask_posted && ++s->ask_ticket == 0) /* who asks from here on is not served by what is posted */
        s->ask_ticket = 1;
    s->ask_posted = false;
    if (s->post_behind)
        return;
    if (s->barrier_asked == s->barrier_posted)
        return;
    struct bgw_hub_command c = {
        .kind = BGW_HUB_BARRIER,
        .shard = s->config.shard,
        .refresh = s->barrier_refresh,
        .ticket = s->barrier_asked,
    };
    if (!s->ops.post(s->ops.arg, &c))
        return;
    s->barrier_posted = s->barrier_asked;
    s->barrier_refresh = false;
}

bool post_waiting(const struct bgw_shard *s)
{
    return s->post_first || s->barrier_asked != s->barrier_posted;
}

/* Everyone who asks before the next post shares a ticket. */
uint64_t barrier_ask(struct bgw_shard *s, bool refresh)
{
    if (s->barrier_asked == s->barrier_posted)
        s->barrier_asked++;
    s->barrier_refresh |= refresh;
    return s->barrier_asked;
}
