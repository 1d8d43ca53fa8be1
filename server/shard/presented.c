/* SPDX-License-Identifier: Apache-2.0 */
/*
 * presented: versions that a client holds and that are above ours, of another epoch, or of a slot
 * that we know nothing of yet. Hides the wait for a barrier and what ends it. Shard thread only.
 * Invariant: while one applies to a cell and is not settled, no value of that cell is sent; so a
 * client that presents versions never sees one go back inside an epoch.
 *
 *   ours reaches it                 sent as usual
 *   barrier, still below it         sent under the connection's alias epoch
 *   barrier, still another epoch    sent as it is: the client takes another epoch as new
 *   no barrier for barrier_wait_ms  told as delayed (behind_client), which counts as an answer
 *
 * A resume token says that something was held, but not how new it was at the end: it stands for a
 * version of every part that only a barrier settles (PART_ANY). So does each subscription of a blind
 * client, which cannot say what it has seen; but it is never left without a value: after
 * barrier_wait_ms it gets what there is, called delayed until the barrier.
 */
#include "core.h"

#include <stdlib.h>

/* A session may hold two versions a key and so many more; beyond: bye 3501. */
#define PRESENTED_SPARE 4096u

bool presented_names(const struct sub *sub, const struct slot *slot, bgw_part part)
{
    if (part)
        return part == PART_ANY || slot->part == part;
    const struct bgw_shard *s = sub->session->shard;
    struct slot *usual = group_slot(sub->group, group_feed(s, sub->group)->default_part);
    if (usual && usual->value)
        return slot == usual;
    if (slot == usual)
        return !group_only_value(sub->group);
    return slot->value && slot == group_only_value(sub->group);
}

struct presented *presented_of(const struct sub *sub, const struct cell *c)
{
    struct presented *found = NULL;
    for (struct presented *p = sub->pend ? sub->pend->presented : NULL; p; p = p->next) {
        if (presented_names(sub, c->slot, p->part) && (!found || found->labelled))
            found = p;
    }
    return found;
}

static void count_withheld(struct bgw_session *n, const struct presented *p)
{
    if (p->labelled && n->dialect->blind)
        return; /* not any more */
    BGW_ASSERT(n->withheld > 0);
    n->withheld--;
}

static void stop_waiting(struct presented *p)
{
    if (!p->ticket)
        return;
    count_withheld(p->sub->session, p);
    bgw_list_remove(&p->of_shard);
    p->ticket = 0;
    p->labelled = false;
}

static void drop(struct presented *p)
{
    struct sub *sub = p->sub;
    struct presented **at = &sub->pend->presented;
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    stop_waiting(p);
    BGW_ASSERT(sub->session->presented_count > 0);
    sub->session->presented_count--;
    free(p);
}

void presented_free_all(struct bgw_shard *s, struct sub *sub)
{
    (void)s;
    while (sub->pend && sub->pend->presented)
        drop(sub->pend->presented);
}

void presented_free_part(struct bgw_shard *s, struct sub *sub, bgw_part part)
{
    (void)s;
    for (struct presented *p = sub->pend ? sub->pend->presented : NULL, *next; p; p = next) {
        next = p->next;
        if (p->part == part)
            drop(p);
    }
    sub_trim_pend(sub);
}

static bool has_aim(const struct presented *p)
{
    for (struct cell *c = cell_first(p->sub); c; c = c->next) {
        if (presented_names(p->sub, c->slot, p->part))
            return true;
    }
    return false;
}

void presented_free_aimless(struct sub *sub)
{
    for (struct presented *p = sub->pend ? sub->pend->presented : NULL, *next; p; p = next) {
        next = p->next;
        if (!has_aim(p))
            drop(p);
    }
    sub_trim_pend(sub);
}

bool presented_add(struct bgw_shard *s, struct sub *sub, const struct bgw_since *since)
{
    struct bgw_session *n = sub->session;
    if (BGW_BUG("presented_version_ignored"))
        return true;
    presented_free_part(s, sub, since->part);
    if (n->presented_count >= 2 * s->config.limits.keys_per_session_max + PRESENTED_SPARE) {
        session_bye(n, 3501, 0, "too_many_versions");
        return true;
    }
    struct pend *pend = sub_pend(sub);
    struct presented *p = pend ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        sub_trim_pend(sub);
        return false;
    }
    bgw_list_init(&p->of_shard);
    p->sub = sub;
    p->part = since->part;
    p->version = since->version;
    p->next = pend->presented;
    pend->presented = p;
    n->presented_count++;
    return true;
}

static void wait_for_barrier(struct bgw_shard *s, struct presented *p, bool refresh)
{
    p->ticket = barrier_ask(s, refresh);
    if (BGW_BUG("barrier_of_before_is_taken") && s->barrier_posted)
        p->ticket = s->barrier_posted;
    p->label_ms = s->now.mono_ms + s->config.barrier_wait_ms;
    p->sub->session->withheld++;
    bgw_list_push_back(&s->unlabelled, &p->of_shard);
}

bool presented_add_unknown(struct bgw_shard *s, struct sub *sub)
{
    const struct bgw_since unknown = {.part = PART_ANY};
    if (!presented_add(s, sub, &unknown))
        return false;
    struct presented *p = presented_unknown(sub);
    if (p)
        wait_for_barrier(s, p, false);
    return true;
}

struct presented *presented_unknown(const struct sub *sub)
{
    struct presented *p = sub->pend ? sub->pend->presented : NULL;
    while (p && p->part != PART_ANY)
        p = p->next;
    return p;
}

bool presented_proved(const struct bgw_shard *s, const struct presented *p)
{
    return p->ticket && p->ticket <= s->barrier_done;
}

/* All parts at once: each cell is new, and goes out as a snapshot. */
static enum hold unknown_hold(const struct bgw_shard *s, const struct slot *slot, struct presented *p)
{
    struct sub *sub = p->sub;
    if (presented_proved(s, p)) {
        drop(p);
        sub_trim_pend(sub);
        return HOLD_NOTHING;
    }
    if (sub->session->dialect->blind)
        return p->labelled ? HOLD_LABEL : HOLD_ALL;
    if (!slot->value)
        return HOLD_NOTHING;
    return p->labelled ? HOLD_VALUE : HOLD_ALL;
}

static void settle(struct sub *sub, struct cell *c, struct presented *p, uint8_t flags)
{
    c->flags |= flags;
    drop(p);
    sub_trim_pend(sub);
}

static enum hold hold_of(struct bgw_shard *s, struct cell *c, struct presented *p)
{
    struct sub *sub = p->sub;
    const struct slot *slot = c->slot;
    if (p->part == PART_ANY)
        return unknown_hold(s, slot, p);
    if (!slot->value) { /* there is nothing to withhold; the next value is judged again */
        stop_waiting(p);
        return HOLD_NOTHING;
    }
    bool same_epoch = slot->version.epoch == p->version.epoch;
    if (same_epoch && bgw_version_compare(slot->version, p->version) >= 0) {
        settle(sub, c, p, CELL_SNAP);
        return HOLD_NOTHING;
    }
    if (presented_proved(s, p)) {
        settle(sub, c, p, same_epoch ? CELL_SNAP | CELL_ALIAS : CELL_SNAP);
        return HOLD_NOTHING;
    }
    if (!p->ticket)
        wait_for_barrier(s, p, !same_epoch);
    return p->labelled ? HOLD_VALUE : HOLD_ALL;
}

/* A token and a version may speak of the same cell: the one that allows least counts. */
enum hold presented_hold(struct bgw_shard *s, struct sub *sub, struct cell *c)
{
    enum hold least = HOLD_NOTHING;
    for (struct presented *p = sub->pend ? sub->pend->presented : NULL, *next; p; p = next) {
        next = p->next;
        enum hold one = presented_names(sub, c->slot, p->part) ? hold_of(s, c, p) : HOLD_NOTHING;
        least = one > least ? one : least;
    }
    return least;
}

/* Both lists are in the order of tickets: each is looked at once, however many wait. */
static void mark_settled(const struct bgw_shard *s, struct bgw_list *list)
{
    while (!bgw_list_empty(list)) {
        struct presented *p = BGW_CONTAINER(list->next, struct presented, of_shard);
        if (p->ticket > s->barrier_done)
            return;
        bgw_list_remove(&p->of_shard);
        sub_mark(p->sub);
    }
}

void presented_barrier_done(struct bgw_shard *s)
{
    mark_settled(s, &s->unlabelled);
    mark_settled(s, &s->labelled);
}

int64_t presented_tick(struct bgw_shard *s)
{
    while (!bgw_list_empty(&s->unlabelled)) {
        struct presented *p = BGW_CONTAINER(s->unlabelled.next, struct presented, of_shard);
        if (p->label_ms > s->now.mono_ms)
            return p->label_ms - s->now.mono_ms;
        bgw_list_remove(&p->of_shard);
        bgw_list_push_back(&s->labelled, &p->of_shard);
        if (p->sub->session->dialect->blind)
            count_withheld(p->sub->session, p);
        p->labelled = true;
        sub_mark(p->sub);
    }
    return INT64_MAX;
}
