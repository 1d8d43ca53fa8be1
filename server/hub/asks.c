/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asks: a shard wants a source's word, whatever is known. Hides how an ask finds the fetch that answers it. Called on the hub
 * thread. Invariant: a cell is asking only while a fetch of its slot is in flight; the entry that ends it carries its ticket.
 */
#include "core.h"

#include "bgw/bugs.h"

void ask_slot(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w, uint32_t ticket)
{
    struct cell *cell = watch_cell(w, s);
    struct care *c = s->care;
    cell->wanted = true;
    s->flags |= SLOT_WANTED;
    cell->ask = ticket;
    cell->asking = true;
    if (!cell->waiting)
        cell->wait_generation = c->generation;
    if (!hub->sources || BGW_BUG("ask_not_asked")) {
        tell_watch(hub, k, s, w);
        return;
    }
    if (c->fetch_id) {
        c->purpose = FETCH_NEEDED;
        return; /* whatever it was made for, what it brings is taken now */
    }
    cell->began = true;
    fetch_start(hub, c); /* its answer may have come before this returns */
    if (!cell->asking)
        return;
    if (!c->fetch_id && c->failed == BGW_REASON_NONE)
        c->failed = BGW_REASON_SOURCE_UNAVAILABLE;
    asks_settle(hub, c);
}

void asks_settle(struct bgw_hub *hub, struct care *c)
{
    if (c->fetch_id)
        return;
    for (struct watch *w = c->key->watches; w; w = w->next) {
        struct cell *cell = watch_cell(w, c->slot);
        if (cell->asking)
            tell_watch(hub, c->key, c->slot, w);
        cell->began = false;
    }
}
