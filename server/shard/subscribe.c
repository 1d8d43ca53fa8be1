/* SPDX-License-Identifier: Apache-2.0 */
/*
 * subscribe: sub and unsub. Hides how keys of a command become subs, cells and watches, and what is
 * denied. Called by the dialects' decoders through bgw/shard.h, on the shard's thread. Invariant: a
 * command is answered whatever is in it, and one key's denial does not touch the others. A blind
 * session's is answered before the call returns.
 */
#include "core.h"

#include "bgw/reserve.h"

#include <stdlib.h>

/* one key of one command on its way in */
struct entry {
    struct bgw_shard *s;
    struct bgw_session *n;
    const struct bgw_feed *feed;
    const struct bgw_sub_key *key;
    struct waiter *w;
    bool by_token; /* it presents no versions: what the resume token says may stand for them */
};

static const struct bgw_feed *feed_named(const struct bgw_shard *s, struct bgw_slice name)
{
    if (name.len == 0)
        return &s->config.feeds[0];
    for (size_t i = 0; i < s->config.feed_count; i++) {
        if (bgw_slice_eq(bgw_slice_str(s->config.feeds[i].name), name))
            return &s->config.feeds[i];
    }
    return NULL;
}

static uint8_t feed_index(const struct bgw_shard *s, const struct bgw_feed *feed)
{
    return (uint8_t)(feed - s->config.feeds);
}

static const struct bgw_feed *check_command(struct bgw_session *n, uint64_t id,
                                            struct bgw_slice feed_name, size_t count)
{
    const struct bgw_feed *feed = feed_named(n->shard, feed_name);
    if (!feed)
        session_error(n, true, id, "unknown_feed", "there is no feed of this name here");
    else if (count > COMMAND_KEYS_MAX)
        session_error(n, true, id, "too_large",
                      "a command may name 1000 keys: send several commands");
    else
        return feed;
    return NULL;
}

/* ---- sub ---- */

static struct group *find_or_make_group(const struct entry *e)
{
    struct group *g = group_find(e->s, feed_index(e->s, e->feed), e->n->tenant, e->key->key);
    if (g)
        return g;
    bgw_part part = e->key->part ? e->key->part : e->feed->default_part;
    return group_create(e->s, feed_index(e->s, e->feed), e->n->tenant, e->key->key, part);
}

/* The slot that the hub is asked for, in any case. */
static struct slot *want_slot(const struct entry *e, struct group *g)
{
    bgw_part part = e->key->part ? e->key->part : e->feed->default_part;
    struct slot *slot = group_slot(g, part);
    if (!slot)
        slot = slot_add(e->s, g, part);
    if (slot)
        group_want(e->s, g, slot);
    return slot;
}

/* A slot that the session follows already under another key is an answer to this one too: it is
 * told again. */
static struct cell *cover_slot(const struct entry *e, struct sub *sub, struct slot *slot,
                               bool fresh)
{
    struct cell *c = sub_cell(sub, slot);
    if (!c)
        return sub_add_cell(e->s, sub, slot);
    if (fresh)
        c->flags |= CELL_SNAP | CELL_RETELL;
    return c;
}

static bool cover(const struct entry *e, struct sub *sub, struct slot *slot, bool fresh)
{
    if (e->key->part) {
        struct cell *c = cover_slot(e, sub, slot, fresh);
        if (c)
            c->flags |= CELL_NAMED;
        return c;
    }
    sub->whole = true;
    for (struct slot *each = &sub->group->first; each; each = each->next) {
        if (!cover_slot(e, sub, each, fresh))
            return false;
    }
    return true;
}

static bool covered(const struct entry *e, struct sub *sub)
{
    if (!sub)
        return false;
    if (!e->key->part)
        return sub->whole;
    struct slot *slot = group_slot(sub->group, e->key->part);
    struct cell *c = slot ? sub_cell(sub, slot) : NULL;
    return c && c->flags & CELL_NAMED;
}

/* A table of the shard is full, or there is no memory: then it is not the client who asks for too much. */
static const char *no_room(const struct entry *e)
{
    const struct bgw_shard *s = e->s;
    if (s->groups.in_use < s->groups.count_max && s->subs.in_use < s->subs.count_max)
        session_no_memory(e->n);
    return "too_many_keys";
}

/* A sub that ended up with nothing goes again, and its group with it if it was the only one. */
static const char *undo(const struct entry *e, struct group *g, struct sub *sub)
{
    if (sub && sub_empty(sub))
        sub_free(e->s, sub, BGW_M_UPDATES_ABANDONED_CLOSED);
    else if (!sub && g && g->sub_count == 0)
        post_queue(e->s, g);
    return no_room(e);
}

/* Somebody who may have seen more elsewhere, and does not say what: it waits until we have read on. */
static void doubt(const struct entry *e, struct sub *sub)
{
    bool blind = e->n->dialect->blind && !BGW_BUG("blind_snapshot_without_barrier");
    if (!blind && !e->by_token)
        return;
    if (!presented_add_unknown(e->s, sub))
        session_no_memory(e->n);
    e->w->unproved = e->by_token && presented_unknown(sub) != NULL;
}

static const char *join(const struct entry *e, struct group *g, struct sub *sub, bool fresh)
{
    struct slot *slot = want_slot(e, g);
    if (!slot)
        return undo(e, g, sub);
    if (!sub)
        sub = sub_create(e->s, e->n, g);
    struct pend *pend = sub ? sub_pend(sub) : NULL;
    if (!pend)
        return undo(e, g, sub);
    uint32_t before = sub_keys(sub);
    bool done = cover(e, sub, slot, fresh);
    /* counted even if it failed half way: freeing counts back */
    uint32_t more = sub_keys(sub) - before;
    e->n->key_count += more;
    e->s->key_count += more;
    bgw_metric_add(BGW_M_SUBSCRIPTIONS, more);
    if (!done) { /* half of a key is no subscription, and its other half may be an older one */
        sub_free(e->s, sub, BGW_M_UPDATES_ABANDONED_CLOSED);
        session_no_memory(e->n);
        return "too_many_keys";
    }
    waiter_attach(e->w, pend, sub);
    e->w->fresh = fresh;
    e->w->evidence = e->key->since_count > 0 || (fresh && e->by_token);
    e->w->unheard = e->w->evidence && !slot->heard;
    e->w->ticket->unheard += e->w->unheard;
    if (fresh)
        doubt(e, sub);
    sub_mark(sub);
    if (fresh)
        shard_seen(e->n, BGW_SEEN_SUBSCRIBED, e->key->key, e->key->part, NULL);
    return NULL;
}

/* NULL, or why not. */
static const char *subscribe(const struct entry *e)
{
    if (e->key->invalid || e->key->key.len == 0 || e->key->key.len > BGW_KEY_MAX)
        return "bad_id";
    enum bgw_access access = session_access(e->n, e->key->key);
    if (access != BGW_ACCESS_OK)
        return access == BGW_ACCESS_REVOKED ? "revoked" : "no_grant";
    struct group *g = group_find(e->s, feed_index(e->s, e->feed), e->n->tenant, e->key->key);
    struct sub *sub = g ? sub_find(e->n, g) : NULL;
    bool fresh = !covered(e, sub);
    if (fresh && (e->n->key_count >= e->s->config.limits.keys_per_session_max ||
                  (sub && sub_keys(sub) > SUB_PARTS_MAX)))
        return "too_many_keys";
    g = find_or_make_group(e);
    return g ? join(e, g, sub, fresh) : no_room(e);
}

/* A client that presents versions presents all it holds: keys without one are not held, whatever an
 * older token says. */
static bool presents_by_token(const struct bgw_session *n, const struct bgw_sub_key *keys,
                              size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (keys[i].since_count)
            return false;
    }
    return n->flags & SESSION_RESUMED;
}

static void note_denied(const struct entry *e)
{
    struct bgw_slice key = e->key->invalid ? e->key->text : e->key->key;
    error_count(e->w->denied);
    shard_seen(e->n, BGW_SEEN_DENIED, key, e->key->invalid ? 0 : e->key->part, e->w->denied);
}

void bgw_session_sub(struct bgw_shard *s, struct bgw_session *n, uint64_t id,
                     struct bgw_slice feed_name, const struct bgw_sub_key *keys, size_t count)
{
    if (!session_ready(n, true, id))
        return;
    if (bgw_reserve_low()) {
        session_no_memory(n);
        return;
    }
    const struct bgw_feed *feed = check_command(n, id, feed_name, count);
    if (!feed)
        return;
    struct extra *x = session_extra(n);
    if (x && (x->ticket_count >= TICKETS_MAX ||
              x->waiting_keys + count > s->config.limits.keys_per_session_max + COMMAND_KEYS_MAX)) {
        session_error(n, true, id, "too_many_keys",
                      "too many subscribes are not answered yet: wait for their live");
        return;
    }
    struct ticket *t = x ? ticket_create(n, id, count) : NULL;
    if (!t) {
        session_no_memory(n);
        return;
    }
    const bool blind = n->dialect->blind;
    bool by_token = !blind && presents_by_token(n, keys, count);
    for (size_t i = 0; i < count; i++) {
        struct entry e = {s, n, feed, &keys[i], &t->keys[i], by_token};
        e.w->text = keys[i].text;
        e.w->part = keys[i].part;
        e.w->since = keys[i].since;
        e.w->since_count = (uint32_t)keys[i].since_count;
        BGW_ASSERT(!blind || !keys[i].since_count);
        e.w->denied = subscribe(&e);
        if (e.w->denied)
            note_denied(&e);
    }
    ticket_start(s, t);
    BGW_ASSERT(!blind || t->replied); /* its id may point to what ends with this call */
}

/* ---- unsub ---- */

/* Cells that nothing covers any more go. */
static void uncover(struct bgw_shard *s, struct sub *sub)
{
    struct cell *c = cell_first(sub);
    while (c) {
        struct cell *next = c->next;
        if (!sub->whole && !(c->flags & CELL_NAMED))
            sub_drop_cell(s, sub, c, BGW_M_UPDATES_ABANDONED_UNSUBSCRIBED);
        c = next;
    }
}

static void leave(struct bgw_shard *s, struct sub *sub, bgw_part part)
{
    struct slot *slot = part ? group_slot(sub->group, part) : NULL;
    struct cell *c = slot ? sub_cell(sub, slot) : NULL;
    if (part ? !c || !(c->flags & CELL_NAMED) : !sub->whole)
        return; /* it was not subscribed to: that is what was asked for */
    shard_seen(sub->session, BGW_SEEN_UNSUBSCRIBED, group_key(sub->group), part, NULL);
    if (sub_keys(sub) == 1) {
        sub_free(s, sub, BGW_M_UPDATES_ABANDONED_UNSUBSCRIBED);
        return;
    }
    waiters_detach(sub, part, false);
    if (part)
        c->flags &= (uint8_t)~CELL_NAMED;
    else
        sub->whole = false;
    sub->session->key_count--;
    s->key_count--;
    bgw_metric_add(BGW_M_SUBSCRIPTIONS, -1);
    uncover(s, sub);
    presented_free_aimless(sub);
    sub_mark(sub);
}

void bgw_session_unsub(struct bgw_shard *s, struct bgw_session *n, uint64_t id,
                       struct bgw_slice feed_name, const struct bgw_sub_key *keys, size_t count)
{
    bool invalid = false;
    if (!session_ready(n, true, id))
        return;
    const struct bgw_feed *feed = check_command(n, id, feed_name, count);
    if (!feed)
        return;
    for (size_t i = 0; i < count; i++) {
        struct group *g = group_find(s, feed_index(s, feed), n->tenant, keys[i].key);
        struct sub *sub = g && !keys[i].invalid ? sub_find(n, g) : NULL;
        invalid |= keys[i].invalid;
        if (sub)
            leave(s, sub, keys[i].part);
    }
    shard_publish(s);
    if (invalid) {
        session_error(n, true, id, "bad_id",
                      "a key is not of the form A or A/USD; the others were unsubscribed");
        return;
    }
    struct bgw_buf *control = session_control_begin(n);
    if (!control)
        return;
    n->dialect->ok(control, id);
    session_control_end(n);
}
