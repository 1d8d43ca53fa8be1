/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_forgotten: two tables with one place a hash. An account that loses its place to another one makes
 * all slots doubtful; a slot that loses its place is removed once more, which costs a fetch and is never
 * wrong. Called by l2.c, on the reader's thread. Invariant: what was invalidated later than it was removed
 * is removed before it is believed.
 */
#include "l2_forgotten.h"

static bool live(const struct bgw_l2_forgotten_place *p, int64_t now_ms)
{
    return p->order && p->until_ms > now_ms;
}

void bgw_l2_forgotten_account(struct bgw_l2_forgotten *f, uint64_t account, int64_t until_ms, int64_t now_ms)
{
    struct bgw_l2_forgotten_place *p = &f->accounts[account % BGW_L2_FORGOTTEN_MAX];
    if (live(p, now_ms) && p->hash != account) {
        if (f->all.order < p->order)
            f->all.order = p->order;
        if (f->all.until_ms < p->until_ms)
            f->all.until_ms = p->until_ms;
    }
    *p = (struct bgw_l2_forgotten_place){.hash = account, .order = ++f->order, .until_ms = until_ms};
}

bool bgw_l2_forgotten_has(const struct bgw_l2_forgotten *f, uint64_t account, uint64_t slot, int64_t now_ms)
{
    const struct bgw_l2_forgotten_place *p = &f->accounts[account % BGW_L2_FORGOTTEN_MAX];
    uint64_t since = live(p, now_ms) && p->hash == account ? p->order : 0;
    if (live(&f->all, now_ms) && f->all.order > since)
        since = f->all.order;
    if (!since)
        return false;
    const struct bgw_l2_forgotten_place *s = &f->slots[slot % BGW_L2_FORGOTTEN_MAX];
    return s->hash != slot || s->order < since;
}

void bgw_l2_forgotten_removed(struct bgw_l2_forgotten *f, uint64_t slot)
{
    f->slots[slot % BGW_L2_FORGOTTEN_MAX] = (struct bgw_l2_forgotten_place){.hash = slot, .order = ++f->order};
}
