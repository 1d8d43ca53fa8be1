/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub: one session's interest in one key, with a cell for each slot that it covers. Hides where a
 * sub is listed and how cells hang on it. Called by whoever subscribes, unsubscribes, revokes or
 * delivers; shard thread only. Invariants: a sub is on its group's list and on one list of its
 * session; what is pending in a cell is counted as abandoned when the cell goes.
 */
#include "core.h"

#include <stdlib.h>

/* ---- the session's lists ---- */

struct bgw_list *session_subs(const struct bgw_session *n, int i)
{
    if (i == 2)
        return n->extra ? &n->extra->limited : NULL;
    return (struct bgw_list *)(uintptr_t)(i == 0 ? &n->clean : &n->dirty);
}

struct sub *session_next_sub(const struct bgw_session *n, int *list, struct bgw_list **at)
{
    for (; *list < 3; (*list)++, *at = NULL) {
        struct bgw_list *head = session_subs(n, *list);
        if (!head)
            continue;
        if (!*at)
            *at = head->next;
        if (*at == head)
            continue;
        struct sub *sub = BGW_CONTAINER(*at, struct sub, of_session);
        *at = (*at)->next;
        return sub;
    }
    return NULL;
}

void sub_place(struct sub *sub, enum sub_place place)
{
    if (sub->place == place && bgw_list_linked(&sub->of_session))
        return;
    bgw_list_remove(&sub->of_session);
    sub->place = (uint8_t)place;
    bgw_list_push_back(session_subs(sub->session, (int)place), &sub->of_session);
}

void sub_mark(struct sub *sub)
{
    if (BGW_BUG("dirty_mark_lost") && sub->session->flags & SESSION_BLOCKED)
        return;
    sub_place(sub, SUB_DIRTY);
    session_mark(sub->session);
}

/* Whichever side has fewer is searched. */
struct sub *sub_find(const struct bgw_session *n, const struct group *g)
{
    if (g->sub_count <= n->key_count) {
        for (const struct bgw_list *at = g->subs.next; at != &g->subs; at = at->next) {
            struct sub *sub = BGW_CONTAINER(at, struct sub, of_group);
            if (sub->session == n)
                return sub;
        }
        return NULL;
    }
    int list = 0;
    struct bgw_list *at = NULL;
    for (struct sub *sub; (sub = session_next_sub(n, &list, &at));) {
        if (sub->group == g)
            return sub;
    }
    return NULL;
}

/* ---- life ---- */

struct sub *sub_create(struct bgw_shard *s, struct bgw_session *n, struct group *g)
{
    struct sub *sub = bgw_pool_take(&s->subs);
    if (!sub)
        return NULL;
    bgw_list_init(&sub->of_session);
    bgw_list_init(&sub->of_group);
    sub->session = n;
    sub->group = g;
    sub->access_gen = (uint8_t)(n->access_gen - 1); /* not asked yet */
    sub_place(sub, SUB_CLEAN);
    group_attach(g, sub);
    return sub;
}

struct cell *sub_cell(struct sub *sub, const struct slot *slot)
{
    for (struct cell *c = cell_first(sub); c; c = c->next) {
        if (c->slot == slot)
            return c;
    }
    return NULL;
}

struct cell *sub_add_cell(struct bgw_shard *s, struct sub *sub, struct slot *slot)
{
    struct cell *c = &sub->first;
    BGW_ASSERT(!sub_cell(sub, slot) && slot->group == sub->group);
    if (c->slot) {
        c = bgw_pool_take(&s->cells);
        if (!c)
            return NULL;
        c->next = sub->first.next;
        sub->first.next = c;
    }
    c->slot = slot;
    c->sent_hash = 0;
    c->sent_count = slot->count;
    c->next_tick = tick_of(s, s->now.mono_ms);
    c->told = TOLD_NOTHING;
    c->told_reason = BGW_REASON_NONE;
    c->flags = CELL_SNAP;
    return c;
}

/* A part that was not known before: whole-key subscribers get a cell for it, whoever named it. */
struct slot *slot_add(struct bgw_shard *s, struct group *g, bgw_part part)
{
    struct slot *slot = group_add_slot(g, part);
    if (!slot)
        return NULL;
    for (struct bgw_list *at = g->subs.next; at != &g->subs; at = at->next) {
        struct sub *sub = BGW_CONTAINER(at, struct sub, of_group);
        if (sub->whole && !sub_add_cell(s, sub, slot))
            session_no_memory(sub->session);
    }
    return slot;
}

static void abandon(struct bgw_shard *s, struct cell *c, enum bgw_metric why)
{
    uint32_t pending = cell_pending(c);
    shard_unpend(s, pending);
    bgw_metric_add(why, pending);
    c->sent_count = c->slot->count;
}

void sub_drop_cell(struct bgw_shard *s, struct sub *sub, struct cell *c, enum bgw_metric why)
{
    abandon(s, c, why);
    cell_set_sent(sub->session, c, 0);
    presented_free_part(s, sub, c->slot->part);
    c->slot = NULL;
    if (c == &sub->first)
        return;
    struct cell **at = &sub->first.next;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    bgw_pool_give(&s->cells, c);
}

bool sub_empty(const struct sub *sub)
{
    return !sub->whole && !sub->first.slot && !sub->first.next;
}

uint32_t sub_keys(const struct sub *sub)
{
    uint32_t n = sub->whole;
    for (const struct cell *c = &sub->first; c; c = c->next)
        n += c->slot && c->flags & CELL_NAMED;
    return n;
}

static void count_keys(struct bgw_shard *s, struct bgw_session *n, uint32_t less)
{
    BGW_ASSERT(n->key_count >= less && s->key_count >= less);
    n->key_count -= less;
    s->key_count -= less;
    bgw_metric_add(BGW_M_SUBSCRIPTIONS, -(int64_t)less);
}

void sub_free(struct bgw_shard *s, struct sub *sub, enum bgw_metric why)
{
    waiters_detach(sub, 0, true);
    presented_free_all(s, sub);
    BGW_ASSERT(!sub->pend || (!sub->pend->waiters && !sub->pend->presented));
    sub_trim_pend(sub);
    count_keys(s, sub->session, sub_keys(sub));
    while (sub->first.next)
        sub_drop_cell(s, sub, sub->first.next, why);
    if (sub->first.slot)
        sub_drop_cell(s, sub, &sub->first, why);
    bgw_list_remove(&sub->of_session);
    group_detach(s, sub);
    bgw_pool_give(&s->subs, sub);
}

/* ---- what it has for a while ---- */

struct pend *sub_pend(struct sub *sub)
{
    if (!sub->pend)
        sub->pend = calloc(1, sizeof(*sub->pend));
    return sub->pend;
}

void sub_trim_pend(struct sub *sub)
{
    if (!sub->pend || sub->pend->waiters || sub->pend->presented)
        return;
    free(sub->pend);
    sub->pend = NULL;
}
