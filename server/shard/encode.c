/* SPDX-License-Identifier: Apache-2.0 */
/*
 * encode: from cells to entries. Hides how a cell is compared with its slot, what a value implies
 * about the state that a client believes in, and the counting of deliveries. Called by the outbox
 * for each dirty sub of a write, on the shard's thread. Invariants: nothing is encoded without a
 * grant asked since the grants last changed; a cell's version never goes back; what was pending is
 * counted as delivered or merged exactly when it is said.
 */
#include "core.h"

bool encode_full(const struct writing *w)
{
    return w->out->len + w->state_count * STATE_ITEM_BYTES >= w->s->config.flush_bytes_max;
}

void encode_end_updates(struct writing *w)
{
    if (!w->in_updates)
        return;
    w->n->dialect->updates_end(w->out, w->updates_at);
    w->in_updates = false;
    if (w->n->dialect->id_each)
        encode_id(w);
}

void encode_id(struct writing *w)
{
    char text[RESUME_TEXT_MAX];
    w->n->dialect->mark(w->out, (struct bgw_slice){NULL, 0}, 0, resume_make(w->s, w->n, text));
}

/* Everything pending in the cell is part of what is being said now. */
static void absorb(struct bgw_shard *s, struct cell *c, uint32_t pending)
{
    if (pending == 0)
        return;
    shard_unpend(s, pending);
    s->tally.delivered++;
    s->tally.merged += pending - 1;
    c->sent_count = c->slot->count;
}

/* ---- values ---- */

static bool wants_value(const struct bgw_session *n, const struct cell *c)
{
    return c->flags & CELL_SNAP || cell_pending(c) || c->sent_hash != cell_hash(n, c);
}

static const struct bgw_blob *prepared(const struct bgw_dialect *dialect, struct slot *slot,
                                       const struct bgw_update *u)
{
    struct bgw_blob **blob = &slot->prepared[dialect->encoding];
    if (!*blob) {
        struct bgw_update plain = *u; /* as most connections see it */
        plain.version = slot->version;
        plain.merged = 0;
        plain.snap = false;
        *blob = dialect->prepare(&plain);
    }
    return *blob;
}

static void count_snapshot(struct bgw_shard *s, struct cell *c)
{
    if (c->flags & CELL_REPAIR)
        s->tally.repairs++;
    else
        s->tally.snapshots++;
}

static void send_value(struct writing *w, struct sub *sub, struct cell *c)
{
    struct slot *slot = c->slot;
    const struct bgw_dialect *dialect = w->n->dialect;
    uint32_t pending = cell_pending(c);
    struct bgw_update u = {
        .feed = group_feed(w->s, sub->group),
        .key = group_key(sub->group),
        .part = slot->part,
        .version = cell_version(w->n, c),
        .value = slot->value,
        .merged = pending > 1 && !BGW_BUG("merge_not_counted") ? pending - 1 : 0,
        .snap = c->flags & CELL_SNAP || pending == 0,
    };
    if (sub->group->sub_count > 1) /* nobody to share it with: an account each costs no copy */
        u.prepared = prepared(dialect, slot, &u);
    if (!w->in_updates)
        w->updates_at = dialect->updates_begin(w->out);
    w->in_updates = true;
    dialect->update(w->out, &u);
    if (u.snap)
        count_snapshot(w->s, c);
    absorb(w->s, c, pending);
    cell_set_sent(w->n, c, cell_hash(w->n, c));
    c->flags &= (uint8_t)~(CELL_SNAP | CELL_REPAIR);
    /* a value says itself that the slot is known */
    if (c->told == TOLD_NOTHING || c->told >= BGW_STATE_UNKNOWN) {
        c->told = BGW_STATE_FRESH;
        c->told_reason = BGW_REASON_NONE;
    }
    rate_sent(w->n, c);
}

static void drop_value(struct writing *w, struct cell *c)
{
    absorb(w->s, c, cell_pending(c));
    if (!BGW_BUG("digest_wrong_set"))
        cell_set_sent(w->n, c, 0);
    c->flags &= (uint8_t)~CELL_REPAIR;
}

/* ---- states ---- */

/* `unknown` is for those who named the slot, or for whole keys when nothing of the key is known. */
static bool suppressed(const struct writing *w, const struct sub *sub, const struct cell *c)
{
    const struct slot *slot = c->slot;
    if (slot->state != BGW_STATE_UNKNOWN || c->flags & CELL_NAMED)
        return false;
    if (c->told != TOLD_NOTHING && c->told != BGW_STATE_UNKNOWN)
        return false; /* a value was shown: that it is gone must be said */
    return slot->part != group_feed(w->s, sub->group)->default_part ||
           group_has_value_beside(sub->group, slot);
}

static bool needs_telling(const struct cell *c, uint8_t state, uint8_t reason)
{
    if (c->told != state)
        return !BGW_BUG("state_change_not_told") || c->told >= BGW_STATE_UNKNOWN ||
               state >= BGW_STATE_UNKNOWN;
    if (state == BGW_STATE_UNKNOWN && c->told_reason != reason)
        return true;
    return c->flags & CELL_RETELL && state != BGW_STATE_FRESH;
}

static void push_state(struct writing *w, const struct sub *sub, struct cell *c, uint8_t state,
                       uint8_t reason)
{
    const struct slot *slot = c->slot;
    bool aged =
        slot->proved_mono_ms > 0 && (state == BGW_STATE_DELAYED || state == BGW_STATE_STALE);
    BGW_ASSERT(w->state_count < w->s->states_cap);
    w->s->states[w->state_count++] = (struct state_item){
        .sub = sub,
        .cell = c,
        .lag_ms = aged ? w->s->now.mono_ms - slot->proved_mono_ms : -1,
        .state = state,
        .reason = reason,
    };
    c->told = state;
    c->told_reason = reason;
}

/* While a newer value may not go out yet, the older one must not look better than it did. */
static void tell_state(struct writing *w, const struct sub *sub, struct cell *c, enum hold hold,
                       bool limited)
{
    const struct slot *slot = c->slot;
    uint8_t state = slot->state, reason = slot->reason;
    if (suppressed(w, sub, c))
        return;
    if (hold != HOLD_NOTHING && state < BGW_STATE_DELAYED && !BGW_BUG("blind_label_forgotten")) {
        state = BGW_STATE_DELAYED;
        reason = hold == HOLD_VALUE ? BGW_REASON_BEHIND_CLIENT : BGW_REASON_SOURCE_LAGGING;
    }
    if (limited && (c->told == TOLD_NOTHING || state <= c->told))
        return;
    if (needs_telling(c, state, reason))
        push_state(w, sub, c, state, reason);
    c->flags &= (uint8_t)~CELL_RETELL;
}

/* ---- cells ---- */

/* True: the value must wait for its rate. */
static bool encode_cell(struct writing *w, struct sub *sub, struct cell *c)
{
    struct slot *slot = c->slot;
    bool limited = false;
    if (!slot->value && !slot->answered)
        return false; /* nothing to say yet: the answer marks the sub again */
    const enum hold hold = presented_hold(w->s, sub, c);
    if (hold == HOLD_ALL)
        return false;
    if (!slot->value) {
        drop_value(w, c);
    } else if (hold != HOLD_VALUE && wants_value(w->n, c)) {
        limited = !rate_allows(w->n, c);
        if (!limited)
            send_value(w, sub, c);
    }
    tell_state(w, sub, c, hold, limited);
    return limited;
}

/* Grants change seldom, deliveries come often: the answer holds until they change. */
static bool may_see(struct writing *w, struct sub *sub)
{
    if (sub->access_gen == w->n->access_gen || BGW_BUG("grant_checked_only_at_subscribe"))
        return true;
    return !revoke_sub(w->n, sub);
}

bool encode_sub(struct writing *w, struct sub *sub)
{
    bool limited = false;
    if (!may_see(w, sub))
        return true; /* and it is gone */
    for (struct cell *c = cell_first(sub); c; c = c->next) {
        if (encode_full(w))
            return false;
        limited |= encode_cell(w, sub, c);
    }
    if (limited)
        rate_limit(w->n, sub);
    if (sub->pend && sub->pend->waiters)
        tickets_settle(w->s, sub);
    return true;
}

bool cell_quiet(struct bgw_shard *s, struct sub *sub, struct cell *c)
{
    (void)s;
    const struct presented *p = presented_of(sub, c);
    const bool blind = sub->session->dialect->blind;
    if (blind && p && !p->labelled)
        return false;
    if (!c->slot->value)
        return true; /* said, or to be said when the hub has answered */
    if (blind || !p)
        return !wants_value(sub->session, c);
    return p->labelled && c->told != TOLD_NOTHING;
}
