/* SPDX-License-Identifier: Apache-2.0 */
/*
 * given: what a watcher was shown although an invalidation had overtaken it, and what the book therefore
 * does not hold. It stays on his screen, so it has to age like any other value. Called by fetches.c and
 * care.c, on the hub thread. Invariant: there is one only while the slot itself is unknown.
 */
#include "core.h"

bool given_remember(struct bgw_hub *hub, struct care *c, const struct bgw_fetched *f)
{
    struct given *g = c->given ? c->given : bgw_pool_take(&hub->given_pool);
    if (!g)
        return false;
    if (c->given)
        bgw_blob_release(g->value);
    c->given = g;
    *g = (struct given){.value = bgw_blob_acquire(f->value), .version = slot_version(hub, c->key, c->slot),
                        .read_ms = c->fetch_ms, .source = f->source};
    return true;
}

void given_forget(struct bgw_hub *hub, struct care *c)
{
    if (!c->given)
        return;
    bgw_blob_release(c->given->value);
    bgw_pool_give(&hub->given_pool, c->given);
    c->given = NULL;
}

void given_forget_all(struct bgw_hub *hub)
{
    size_t cursor = 0;
    for (struct key *k; hub->given_pool.in_use && (k = bgw_map_next(&hub->book.keys, &cursor));)
        for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next)
            if (s->care)
                given_forget(hub, s->care);
}

int64_t given_until(const struct stream *st, const struct care *c)
{
    return c->given && !c->given->stale ? c->given->read_ms + st->feed->stale_ms : INT64_MAX;
}

void given_show(struct bgw_hub *hub, struct care *c, struct watch *w, bool fetched)
{
    const struct given *g = c->given;
    struct cell *cell = watch_cell(w, c->slot);
    struct bgw_relay_entry e = {
        .group = w->group,
        .part = c->slot->part,
        .state = g->stale ? BGW_STATE_STALE : BGW_STATE_DELAYED,
        .reason = BGW_REASON_REREAD,
        .answered = true,
        .version = g->version,
        .value = bgw_blob_acquire(g->value),
        .proved_mono_ms = g->read_ms,
        .source = g->source,
        .failed = g->stale ? c->failed : BGW_REASON_NONE,
        .fetched = fetched,
        .joined = fetched && !cell->began,
        .asked = cell->asking ? cell->ask : 0,
    };
    cell->waiting = cell->asking = false;
    cell->bypassed = true;
    bgw_relay_put(hub->config.relays[w->shard], &cell->mark, &e);
}

void given_age(struct bgw_hub *hub, struct care *c)
{
    const struct stream *st = &hub->streams[c->key->feed];
    if (hub->now.mono_ms <= given_until(st, c))
        return;
    c->given->stale = true;
    for (struct watch *w = c->key->watches; w; w = w->next) {
        const struct cell *cell = watch_cell(w, c->slot);
        if (cell->bypassed && !cell->asking) /* who asks anew is answered by the fetch that was begun for him */
            given_show(hub, c, w, false);
    }
}
