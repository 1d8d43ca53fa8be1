/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source: what the simulated replicas ask beside the stream: a database of record, and a cache before it that may lag, forget or
 * go back. Answers come late, in another order, not at all (then the reader says so in the end), with and without `v`. What has no
 * `v` is never old when it is read: nobody could tell.
 */
#include "sim.h"

#define LOST_MS 4000 /* after which the reader gives a call up */

static bool same_slot(const struct bgw_slot_name *a, const struct bgw_slot_name *b)
{
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0 && a->part == b->part;
}

static int slot_of(const struct bgw_fetch *f)
{
    return sim_slot_of(bgw_slice_of(f->name.key, f->name.key_len), f->name.part);
}

/* What the source says, as of now; what goes wrong with it was drawn before. */
static void look_up(struct world *w, struct flying_fetch *fly, int slot)
{
    struct cached *cached = &w->cache[slot];
    const struct ledger_slot *l = &w->ledger[slot];
    bool from_cache = cached->has && !w->quiet && !w->honest && cached->v <= l->v && !l->removed && sim_chance(w, 40);
    fly->seen = *l;
    fly->source = BGW_SOURCE_DATABASE;
    fly->result = l->has && !l->removed ? BGW_FETCH_VALUE : BGW_FETCH_NOT_FOUND;
    sim_faults[FAULT_fetch_not_found] += fly->result == BGW_FETCH_NOT_FOUND;
    if (from_cache && w->source_v[slot / PARTS]) {
        fly->source = BGW_SOURCE_CACHE;
        fly->seen.v = cached->v;
        fly->seen.minor = cached->minor;
        sim_faults[FAULT_fetch_stale] += cached->v < l->v;
    } else if (fly->result == BGW_FETCH_VALUE && w->source_v[slot / PARTS]) {
        *cached = (struct cached){.has = true, .v = l->v, .minor = l->minor};
    }
}

static void break_it(struct world *w, struct flying_fetch *fly)
{
    if (w->dead)
        fly->result = BGW_FETCH_UNAVAILABLE;
    if (w->quiet || w->honest || w->dead)
        return;
    uint64_t dice = sim_rand(w, 100);
    if (dice < 12) {
        fly->result = BGW_FETCH_UNAVAILABLE;
        sim_faults[FAULT_fetch_unavailable]++;
    } else if (dice < 18) {
        fly->result = BGW_FETCH_SHED;
        sim_faults[FAULT_fetch_shed]++;
    } else if (dice < 22) {
        fly->result = BGW_FETCH_UNAVAILABLE;
        fly->due_ms = w->now.mono_ms + LOST_MS;
        sim_faults[FAULT_fetch_lost]++;
    }
}

bool source_fetch(void *arg, const struct bgw_fetch *f)
{
    struct replica *r = arg;
    struct world *w = r->world;
    int free_at = -1, slot = slot_of(f);
    for (int i = 0; i < FETCHES_MAX; i++) {
        if (!r->fetches[i].used)
            free_at = i;
        else if (same_slot(&r->fetches[i].fetch.name, &f->name))
            sim_fail(w, "I8: two fetches in flight for one slot");
    }
    sim_checks[CHECKED_I8_one_fetch]++;
    if (free_at < 0 || (!w->quiet && !w->honest && sim_chance(w, 10))) {
        if (slot >= 0)
            r->attempts[slot]++;
        return false;
    }
    struct flying_fetch *fly = &r->fetches[free_at];
    *fly = (struct flying_fetch){.fetch = *f, .used = true, .started_wall_ms = w->now.wall_ms,
                                 .due_ms = w->now.mono_ms + (int64_t)sim_rand(w, w->quiet || w->honest ? 20 : 1500)};
    sim_trace(w, "replica %d asks for slot %d", r->index, slot);
    if (!w->source || slot < 0) {
        fly->result = BGW_FETCH_NO_SOURCE;
        return true;
    }
    sim_faults[FAULT_fetch_late] += fly->due_ms - w->now.mono_ms > 1000;
    look_up(w, fly, slot);
    break_it(w, fly);
    return true;
}

static struct bgw_blob *value_of(struct world *w, int slot, const struct ledger_slot *seen, bool with_v)
{
    char text[256], key[64];
    struct log_record r = {.kind = LOG_VALUE, .slot = (uint8_t)slot, .has_v = with_v, .v = seen->v, .minor = seen->minor};
    size_t len = ledger_record_text(w, &r, text, sizeof(text));
    int key_len = snprintf(key, sizeof(key), "%s", sim_account(slot));
    struct bgw_record record = {.key = bgw_slice_of(key, (size_t)key_len), .value = bgw_slice_of(text, len),
                                .timestamp_ms = w->now.wall_ms};
    struct bgw_decoded decoded;
    if (w->feed.decode(&w->feed, &record, &decoded) != BGW_REJECT_NONE)
        sim_fail(w, "the model's own value was refused");
    return decoded.value;
}

static void note(struct replica *r, const struct flying_fetch *fly, int slot, bool has_v)
{
    struct world *w = r->world;
    int64_t at = fly->seen.minor - FIRST_MINOR;
    r->read_ms[slot] = fly->started_wall_ms - w->now.wall_ms + w->now.mono_ms;
    r->by_fetch[at] = true;
    if (has_v)
        return;
    bool old = fly->overtaken && fly->seen.minor != w->ledger[slot].minor && !r->known[at];
    r->known[at] |= !fly->overtaken;
    r->overtaken[slot] = old ? fly->seen.minor : 0;
}

static void answer(struct replica *r, struct flying_fetch *fly)
{
    struct world *w = r->world;
    int slot = slot_of(&fly->fetch);
    struct bgw_fetched done = {.id = fly->fetch.id, .result = fly->result, .source = fly->source,
                               .started_wall_ms = fly->started_wall_ms};
    if (slot >= 0)
        r->attempts[slot]++;
    if (done.result == BGW_FETCH_VALUE) {
        done.has_v = w->source_v[slot / PARTS];
        done.v = done.has_v ? fly->seen.v : 0;
        done.value = value_of(w, slot, &fly->seen, done.has_v);
        sim_faults[FAULT_fetch_without_v] += w->with_v[slot / PARTS] && !done.has_v;
        note(r, fly, slot, done.has_v);
    }
    sim_faults[FAULT_fetch_reordered] += fly->started_wall_ms < r->last_started_ms;
    r->last_started_ms = fly->started_wall_ms;
    fly->used = false;
    sim_trace(w, "replica %d fetched slot %d result %d source %d v %llu minor %lld", r->index, slot, done.result, done.source,
              (unsigned long long)done.v, (long long)fly->seen.minor);
    bgw_hub_on_fetched(r->hub, &done, w->now);
}

void source_answer(struct replica *r)
{
    for (int i = 0; i < FETCHES_MAX; i++)
        if (r->fetches[i].used && r->fetches[i].due_ms <= r->world->now.mono_ms)
            answer(r, &r->fetches[i]);
}

/* A failover of the cache: something older is there again, or nothing. */
void source_fault(struct world *w)
{
    int slot = (int)sim_rand(w, SLOTS);
    struct cached *cached = &w->cache[slot];
    if (sim_chance(w, 30)) {
        sim_faults[FAULT_cache_forgot] += cached->has;
        cached->has = false;
        return;
    }
    for (size_t i = 0; i < w->commit_count; i++) {
        const struct commit *c = &w->commits[i];
        if (c->slot != slot || c->removed || !cached->has || c->v >= cached->v || !sim_chance(w, 40))
            continue;
        *cached = (struct cached){.has = true, .v = c->v, .minor = c->minor};
        sim_faults[FAULT_cache_went_back]++;
        return;
    }
}
