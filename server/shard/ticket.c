/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticket: a sub command from its arrival to its `live`. Hides when it is answered: at once, or,
 * where a key presented something that could make it `current`, in the first write after the hub
 * has been heard on each such key. Shard thread only. Invariants: a command gets one reply; its
 * `live` comes after the reply and after the last of its keys has been answered and encoded; until
 * the reply its subs are held.
 */
#include "core.h"

#include <stdlib.h>

struct ticket *ticket_create(struct bgw_session *n, uint64_t id, size_t count)
{
    struct ticket *t = calloc(1, sizeof(*t) + count * sizeof(t->keys[0]));
    if (!t)
        return NULL;
    t->session = n;
    t->id = id;
    t->count = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        t->keys[i].ticket = t;
    return t;
}

/* ---- waiters ---- */

void waiter_attach(struct waiter *w, struct pend *p, struct sub *sub)
{
    w->sub = sub;
    w->next = p->waiters;
    p->waiters = w;
    w->ticket->waiting++;
}

static void waiter_detach(struct waiter **at)
{
    struct waiter *w = *at;
    struct ticket *t = w->ticket;
    *at = w->next;
    BGW_ASSERT(t->waiting > 0 && (!t->late || w->sub->held > 0));
    if (t->late)
        w->sub->held--;
    w->sub = NULL;
    t->waiting--;
    if (w->unheard)
        t->unheard--;
    w->unheard = w->unproved = false;
}

void waiters_detach(struct sub *sub, bgw_part part, bool all)
{
    struct waiter **at = sub->pend ? &sub->pend->waiters : NULL;
    while (at && *at) {
        if (all || (*at)->part == part)
            waiter_detach(at);
        else
            at = &(*at)->next;
    }
    session_mark(sub->session);
}

static bgw_part wanted_part(const struct waiter *w)
{
    return w->part ? w->part : group_feed(w->sub->session->shard, w->sub->group)->default_part;
}

void ticket_slot_heard(struct slot *slot)
{
    struct group *g = slot->group;
    for (struct bgw_list *at = g->subs.next; at != &g->subs; at = at->next) {
        struct sub *sub = BGW_CONTAINER(at, struct sub, of_group);
        for (struct waiter *w = sub->pend ? sub->pend->waiters : NULL; w; w = w->next) {
            if (!w->unheard || wanted_part(w) != slot->part)
                continue;
            w->unheard = false;
            w->ticket->unheard--;
            session_mark(sub->session);
        }
    }
}

/* ---- current ---- */

static bgw_part since_part(const struct waiter *w, const struct bgw_since *since)
{
    return since->part ? since->part : w->part;
}

static const struct bgw_since *since_of(const struct waiter *w, const struct slot *slot)
{
    for (uint32_t i = 0; i < w->since_count; i++) {
        if (presented_names(w->sub, slot, since_part(w, &w->since[i])))
            return &w->since[i];
    }
    return NULL;
}

static bool covers(const struct waiter *w, const struct cell *c)
{
    return w->part == 0 || c->slot->part == w->part;
}

/* Not before we have read on: the client may have gone past what its token says, and we may not. */
static bool token_counts(const struct waiter *w)
{
    const struct presented *p = presented_unknown(w->sub);
    return !p || presented_proved(w->sub->session->shard, p);
}

static bool cell_presented(const struct waiter *w, struct cell *c)
{
    const struct bgw_since *since = since_of(w, c->slot);
    if (BGW_BUG("current_without_equal_version"))
        return since;
    if (c->flags & CELL_ALIAS) /* what was sent under that is on its way, and replaces what the client presents */
        return false;
    if (since)
        return bgw_version_equal(since->version, c->slot->version);
    return w->fresh && w->evidence && token_counts(w) &&
           resume_has(w->sub->session, slot_hash(c->slot));
}

/* The cell of this key that a presented version speaks of. */
static struct cell *since_cell(const struct waiter *w, const struct bgw_since *since)
{
    for (struct cell *c = cell_first(w->sub); c; c = c->next) {
        if (covers(w, c) && presented_names(w->sub, c->slot, since_part(w, since)))
            return c;
    }
    return NULL;
}

/* The client may hold a slot that we know nothing of: then its key is not current as a whole. */
static bool all_known(const struct waiter *w)
{
    for (uint32_t i = 0; i < w->since_count; i++) {
        const struct cell *c = since_cell(w, &w->since[i]);
        if (!c || !c->slot->value)
            return false;
    }
    return true;
}

/* Every slot of the key that has a value must be the one that was presented; else all are sent. */
static bool key_current(const struct waiter *w)
{
    bool any = false;
    if (!all_known(w))
        return false;
    for (struct cell *c = cell_first(w->sub); c; c = c->next) {
        if (!covers(w, c))
            continue;
        if (!c->slot->value) {
            if (c->slot->part == wanted_part(w) && !c->slot->answered)
                return false;
            continue;
        }
        if (!cell_presented(w, c))
            return false;
        any = true;
    }
    return any;
}

/* As if it had been sent: it is part of the digest, and what was pending has reached the client
 * another way. */
static void make_current(struct bgw_shard *s, const struct waiter *w)
{
    for (struct cell *c = cell_first(w->sub); c; c = c->next) {
        if (!covers(w, c) || !c->slot->value)
            continue;
        uint32_t pending = cell_pending(c);
        shard_unpend(s, pending);
        s->tally.merged += pending;
        c->sent_count = c->slot->count;
        c->flags &= (uint8_t)~(CELL_SNAP | CELL_REPAIR | CELL_ALIAS);
        cell_set_sent(w->sub->session, c, slot_hash(c->slot));
        if (c->told == TOLD_NOTHING || c->told >= BGW_STATE_UNKNOWN)
            c->told = BGW_STATE_FRESH;
    }
    for (uint32_t i = 0; i < w->since_count; i++)
        presented_free_part(s, w->sub, since_part(w, &w->since[i]));
    presented_free_part(s, w->sub, PART_ANY);
}

/* The version may still be above ours, or of an epoch that we cannot judge: then its cell waits. */
static bool must_wait(const struct bgw_session *n, const struct cell *c,
                      struct bgw_version presented)
{
    if (!c || !c->slot->value)
        return true;
    if (c->flags & CELL_ALIAS && presented.epoch == session_alias(n, c->slot->version.epoch))
        return false;
    return c->slot->version.epoch != presented.epoch ||
           bgw_version_compare(c->slot->version, presented) < 0;
}

static void keep_presented(struct bgw_shard *s, const struct waiter *w)
{
    for (uint32_t i = 0; i < w->since_count && w->sub; i++) {
        struct bgw_since since = {since_part(w, &w->since[i]), w->since[i].version};
        struct cell *target = since_cell(w, &w->since[i]);
        if (target)
            target->flags |= CELL_SNAP;
        else if (w->part && since.part != w->part)
            continue; /* speaks of a slot that this key does not cover */
        if (must_wait(w->sub->session, target, since.version) && !presented_add(s, w->sub, &since))
            session_no_memory(w->sub->session);
    }
}

/* After all keys were judged: two names of one slot rest on the same evidence. */
static void consume_evidence(const struct ticket *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct waiter *w = &t->keys[i];
        if (!w->current)
            continue;
        for (struct cell *c = cell_first(w->sub); c; c = c->next) {
            if (covers(w, c))
                resume_consume(t->session, c->sent_hash);
        }
    }
}

/* ---- the reply ---- */

/* A stream's client is to have an id before it is shown anything: a write may break before its end, and
 * who comes again without any id would not be waited for by a replica that is behind. */
static void first_id(struct bgw_shard *s, struct bgw_session *n, struct bgw_buf *control)
{
    struct writing w = {.s = s, .n = n, .out = control};
    if (n->dialect->id_each && !(n->flags & SESSION_RESUMED))
        encode_id(&w);
}

static void reply(struct bgw_shard *s, struct ticket *t)
{
    struct bgw_session *n = t->session;
    struct bgw_sub_reply r = {
        .id = t->id, .ok = s->slices, .current = s->slices2, .denied = s->denied};
    BGW_ASSERT(!t->replied && t->unheard == 0 && t->count <= COMMAND_KEYS_MAX);
    for (uint32_t i = 0; i < t->count; i++) {
        struct waiter *w = &t->keys[i];
        if (w->denied) {
            s->denied[r.denied_count++] = (struct bgw_denied){w->text, w->denied};
        } else if (w->sub && w->evidence && key_current(w)) {
            s->slices2[r.current_count++] = w->text;
            make_current(s, w);
            w->current = true;
        } else {
            s->slices[r.ok_count++] = w->text;
            keep_presented(s, w);
        }
    }
    consume_evidence(t);
    struct bgw_buf *control = session_control_begin(n);
    if (control) {
        n->dialect->sub_reply(control, &r);
        first_id(s, n, control);
        session_control_end(n);
    }
    t->replied = true;
    for (uint32_t i = 0; i < t->count; i++) {
        struct waiter *w = &t->keys[i];
        w->since_count = 0;
        if (!w->sub)
            continue;
        if (t->late)
            w->sub->held--;
        sub_mark(w->sub);
    }
    free(t->late);
    t->late = NULL;
}

static size_t late_size(const struct ticket *t)
{
    size_t size = 1; /* never nothing: `late` says that the reply has to wait */
    for (uint32_t i = 0; i < t->count; i++)
        size += t->keys[i].since_count * sizeof(struct bgw_since) + t->keys[i].text.len;
    return size;
}

/* What was borrowed from the command is copied: versions first, they are aligned. */
static bool keep(struct ticket *t)
{
    t->late = malloc(late_size(t));
    if (!t->late)
        return false;
    char *to = t->late;
    for (uint32_t i = 0; i < t->count; i++) {
        struct waiter *w = &t->keys[i];
        size_t size = w->since_count * sizeof(*w->since);
        if (size)
            memcpy(to, w->since, size);
        w->since = (const struct bgw_since *)(const void *)to;
        to += size;
    }
    for (uint32_t i = 0; i < t->count; i++) {
        struct waiter *w = &t->keys[i];
        memcpy(to, w->text.data, w->text.len);
        w->text.data = to;
        to += w->text.len;
        if (w->sub)
            w->sub->held++;
    }
    return true;
}

static bool any_evidence(const struct ticket *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->keys[i].evidence)
            return true;
    }
    return false;
}

/* `current` is decided when it is written, not when it was asked: a slow socket must not make it
 * untrue. */
void ticket_start(struct bgw_shard *s, struct ticket *t)
{
    struct bgw_session *n = t->session;
    struct extra *x = n->extra;
    *x->tickets_tail = t;
    x->tickets_tail = &t->next;
    x->ticket_count++;
    x->waiting_keys += t->count;
    if (any_evidence(t) && keep(t)) {
        session_mark_urgent(n);
        return;
    }
    /* or there was no memory to wait with: answered from what is known now */
    for (uint32_t i = 0; i < t->count; i++)
        t->keys[i].unheard = false;
    t->unheard = 0;
    reply(s, t);
    session_mark(n);
}

/* What a token stands for is compared when we have read on to where the client may have been, or
 * have waited long enough. */
static bool proved(const struct bgw_shard *s, const struct ticket *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct waiter *w = &t->keys[i];
        const struct presented *p = w->unproved && w->sub ? presented_unknown(w->sub) : NULL;
        if (p && !presented_proved(s, p) && !p->labelled)
            return false;
    }
    return true;
}

void tickets_reply(struct bgw_shard *s, struct bgw_session *n)
{
    for (struct ticket *t = n->extra ? n->extra->tickets : NULL; t; t = t->next) {
        if (!t->replied && t->unheard == 0 && proved(s, t))
            reply(s, t);
    }
}

bool tickets_held(const struct bgw_session *n)
{
    for (const struct ticket *t = n->extra ? n->extra->tickets : NULL; t; t = t->next) {
        if (!t->replied)
            return true;
    }
    return false;
}

/* ---- live ---- */

static bool settled(struct bgw_shard *s, const struct waiter *w)
{
    struct slot *wanted = group_slot(w->sub->group, wanted_part(w));
    if (!w->ticket->replied || !wanted || (!wanted->answered && !wanted->value))
        return false;
    for (struct cell *c = cell_first(w->sub); c; c = c->next) {
        if (covers(w, c) && !cell_quiet(s, w->sub, c))
            return false;
    }
    return true;
}

void tickets_settle(struct bgw_shard *s, struct sub *sub)
{
    struct waiter **at = &sub->pend->waiters;
    while (*at) {
        if (settled(s, *at))
            waiter_detach(at);
        else
            at = &(*at)->next;
    }
    sub_trim_pend(sub);
}

static void unlink_ticket(struct extra *x, struct ticket **at)
{
    struct ticket *t = *at;
    *at = t->next;
    if (x->tickets_tail == &t->next)
        x->tickets_tail = at;
    x->ticket_count--;
    x->waiting_keys -= t->count;
    free(t->late);
    free(t);
}

bool tickets_say_live(struct bgw_shard *s, struct bgw_session *n, struct bgw_buf *out)
{
    struct extra *x = n->extra;
    bool said = false;
    (void)s;
    for (struct ticket **at = &x->tickets; *at;) {
        struct ticket *t = *at;
        bool early = BGW_BUG("live_before_snapshots") && t->replied;
        if (!t->replied || (t->waiting && !early)) {
            at = &t->next;
            continue;
        }
        n->dialect->live(out, t->id);
        said = true;
        for (uint32_t i = 0; i < t->count && t->waiting; i++) {
            if (t->keys[i].sub)
                waiters_detach(t->keys[i].sub, t->keys[i].part, false);
        }
        unlink_ticket(x, at);
    }
    return said;
}

void tickets_free(struct bgw_session *n)
{
    struct extra *x = n->extra;
    while (x && x->tickets) {
        BGW_ASSERT(x->tickets->waiting == 0);
        unlink_ticket(x, &x->tickets);
    }
}
