/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: model readers, that ask a shard for one slot and take one answer: plain, from a version on, or proved. What they may
 * rely on is held against each answer: it is never older than what the replica had shown to anybody before the question came, a
 * proved one not older than what any replica had; a floor is met; nothing was made up; and it comes in time.
 */
#define _GNU_SOURCE
#include "sim.h"

#include <stdlib.h>

/* Which life of the topic; below 0: none, an alias. */
static int life_of(const struct world *w, uint64_t epoch)
{
    int t = w->topics - 1;
    while (t >= 0 && w->topic_lives[t].epoch != epoch)
        t--;
    return t;
}

static bool newer(const struct world *w, struct bgw_version a, struct bgw_version b)
{
    int life_a = life_of(w, a.epoch), life_b = life_of(w, b.epoch);
    return life_a != life_b ? life_a > life_b : life_a >= 0 && bgw_version_compare(a, b) > 0;
}

void reader_shown(struct replica *r, int slot, struct bgw_version v)
{
    struct world *w = r->world;
    if (life_of(w, v.epoch) < 0)
        return;
    w->shown_last = slot;
    if (newer(w, v, r->shown[slot]))
        r->shown[slot] = v;
    struct bgw_version *all = &w->shown[slot][life_of(w, v.epoch)];
    if (!all->epoch || bgw_version_compare(v, *all) > 0)
        *all = v;
}

/* ---- answers ---- */

static void check_amount(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    struct bgw_slice raw = w->feed.raw(a->value);
    const char *at = memmem(raw.data, raw.len, "\"minor\":", 8);
    const struct commit *commit = at ? ledger_find(w, d->slot, strtoll(at + 8, NULL, 10)) : NULL;
    if (!commit || commit->removed)
        sim_fail(w, "I4: a read of slot %d was answered %.*s, which was never written", d->slot, (int)raw.len, raw.data);
    if (w->with_v[d->slot / PARTS] && a->version.seq != 0 && !a->version.read && a->version.seq != commit->v)
        sim_fail(w, "I4: a read of slot %d shows v %llu as %llu", d->slot, (unsigned long long)commit->v,
                 (unsigned long long)a->version.seq);
    sim_checks[CHECKED_I4_value_was_written]++;
}

static void check_age(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    if (newer(w, d->shown_here, a->version))
        sim_fail(w, "a read of slot %d at replica %d shard %d shows %llu.%llu, where %llu.%llu had been shown", d->slot, d->replica,
                 d->rig, (unsigned long long)a->version.seq, (unsigned long long)a->version.read,
                 (unsigned long long)d->shown_here.seq, (unsigned long long)d->shown_here.read);
    sim_checks[CHECKED_read_never_older] += d->shown_here.epoch != 0;
    int life = life_of(w, a->version.epoch);
    /* with a source replicas run ahead of the stream that the proof is of; and the stream may have become another one since */
    bool other_stream = a->state == BGW_STATE_STALE && a->reason == BGW_REASON_NEW_EPOCH;
    if (!a->proved || w->source || life < 0 || other_stream)
        return;
    const struct bgw_version *all = &d->shown_anywhere[life];
    if (all->epoch && bgw_version_compare(a->version, *all) < 0)
        sim_fail(w, "a proved read of slot %d at replica %d shows %llu, where some replica had shown %llu", d->slot, d->replica,
                 (unsigned long long)a->version.seq, (unsigned long long)all->seq);
    sim_checks[CHECKED_proof_never_older] += all->epoch != 0;
}

static void check_reached(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    if (!d->has_floor)
        return;
    bool epoch_fits = !d->floor.epoch || d->floor.epoch == a->version.epoch;
    bool met = epoch_fits && (d->floor.epoch ? bgw_version_compare(a->version, d->floor) >= 0 : a->version.seq >= d->floor.seq);
    if (met != (a->result == BGW_READ_VALUE))
        sim_fail(w, "a read of slot %d from %llu on shows %llu as result %d", d->slot, (unsigned long long)d->floor.seq,
                 (unsigned long long)a->version.seq, (int)a->result);
    sim_checks[CHECKED_floor_is_met]++;
}

/* Who asked for a source's word was given one, or told that there is none; and nobody is told of an error of before. */
static void check_asked(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    const struct replica *r = &w->replicas[d->replica];
    bool failed = a->reason == BGW_REASON_SOURCE_UNAVAILABLE || a->reason == BGW_REASON_SHED;
    if (!w->source)
        return;
    if (a->fetched && r->attempts[d->slot] == 0)
        sim_fail(w, "a read of slot %d says that a source was asked, and none was", d->slot);
    sim_checks[CHECKED_read_through] += a->fetched;
    if (d->at_once && a->result == BGW_READ_UNKNOWN && failed)
        sim_fail(w, "a read of slot %d is told of an error from before it came", d->slot);
    sim_checks[CHECKED_errors_are_not_kept] += a->result == BGW_READ_UNKNOWN && failed;
    if (!d->asks || failed || (a->result != BGW_READ_VALUE && a->result != BGW_READ_UNKNOWN) || a->state > BGW_STATE_FRESH)
        return;
    if (r->attempts[d->slot] == d->attempts)
        sim_fail(w, "a read of slot %d wanted a source's word, and none was asked", d->slot);
    sim_checks[CHECKED_ask_is_asked]++;
}

/* What is not current is not answered before a source was asked, but for as long as the feed allows. */
static void check_renewed(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    const int64_t allowed = w->feed.fresh_ms + w->feed.revalidate_ms;
    if (a->result != BGW_READ_VALUE || a->state == BGW_STATE_FRESH)
        return;
    sim_checks[CHECKED_old_is_renewed_first] += !d->at_once;
    if (d->at_once && (a->lag_ms < 0 || a->lag_ms > allowed))
        sim_fail(w, "a read of slot %d is answered at once with what was last proved %lld ms ago: allowed are %lld", d->slot,
                 (long long)a->lag_ms, (long long)allowed);
    sim_faults[FAULT_renewed_behind] += d->at_once && a->lag_ms > w->feed.fresh_ms;
}

static void check_answer(const struct reader *d, const struct bgw_read_answer *a)
{
    struct world *w = d->world;
    if (a->part != sim_part(d->slot))
        sim_fail(w, "a read of slot %d was answered with another part", d->slot);
    if (a->result == BGW_READ_TOO_OLD && !d->has_floor)
        sim_fail(w, "a read of slot %d without a floor is too old", d->slot);
    if (!d->prove && a->proved)
        sim_fail(w, "a read of slot %d was proved and nobody had asked", d->slot);
    if (a->result == BGW_READ_VALUE || a->result == BGW_READ_TOO_OLD) {
        if (d->prove && !a->proved && a->result == BGW_READ_VALUE && a->state == BGW_STATE_FRESH)
            sim_fail(w, "I9: a read of slot %d that could not be proved is called fresh", d->slot);
        check_amount(d, a);
        check_age(d, a);
        check_reached(d, a);
        reader_shown(&w->replicas[d->replica], d->slot, a->version);
    } else if (a->value) {
        sim_fail(w, "a read of slot %d has a value and result %d", d->slot, (int)a->result);
    }
    if (a->result == BGW_READ_UNKNOWN && a->state != BGW_STATE_REMOVED && d->shown_here.epoch && !w->source)
        sim_fail(w, "a read of slot %d at replica %d knows nothing of what had been shown", d->slot, d->replica);
    check_asked(d, a);
    check_renewed(d, a);
    sim_checks[CHECKED_read_answered]++;
}

static void answered(struct reader *d, const struct bgw_read_answer *a)
{
    sim_trace(d->world, "reader %d slot %d replica %d shard %d: result %d v %llu.%llu state %d proved %d watched %d", d->index,
              d->slot, d->replica, d->rig, (int)a->result, (unsigned long long)a->version.seq, (unsigned long long)a->version.read,
              (int)a->state, a->proved, a->watched);
    sim_faults[FAULT_read_busy] += a->result == BGW_READ_BUSY;
    d->minor = -1;
    d->fresh = a->result == BGW_READ_VALUE && a->state == BGW_STATE_FRESH;
    check_answer(d, a);
    if (!a->value)
        return;
    struct bgw_slice raw = d->world->feed.raw(a->value);
    d->minor = strtoll((const char *)memmem(raw.data, raw.len, "\"minor\":", 8) + 8, NULL, 10);
}

void reader_done(void *arg, void *user, const struct bgw_read_answer *a)
{
    struct reader *d = user;
    (void)arg;
    if (!d->read)
        sim_fail(d->world, "reader %d is answered and had not asked", d->index);
    d->read = NULL;
    d->at_once = false;
    answered(d, a);
}

uint64_t reader_sequenced(void *arg)
{
    struct rig *rig = arg;
    return bgw_hub_sequenced(rig->replica->hub);
}

/* ---- questions ---- */

static struct bgw_shard *shard_of(const struct reader *d)
{
    return d->world->replicas[d->replica].rigs[d->rig].shard;
}

/* A version that somebody has seen, or a little more than that. */
static void choose_floor(struct reader *d)
{
    struct world *w = d->world;
    int life = sim_chance(w, 80) ? w->topic : (int)sim_rand(w, (uint64_t)w->topics);
    d->floor = w->shown[d->slot][life];
    d->has_floor = d->floor.epoch;
    if (!d->has_floor)
        return;
    d->floor.seq += sim_rand(w, 3);
    if (sim_chance(w, 40))
        d->floor.epoch = d->floor.read = 0;
    sim_faults[FAULT_read_floor]++;
}

/* Mostly what has just been shown to somebody, wherever. */
static void choose(struct reader *d)
{
    struct world *w = d->world;
    d->replica = (int)sim_rand(w, REPLICAS);
    d->rig = (int)sim_rand(w, SHARDS);
    d->slot = sim_chance(w, 70) ? w->shown_last : (int)sim_rand(w, SLOTS);
}

static void ask(struct reader *d, int64_t wait_ms)
{
    struct world *w = d->world;
    struct bgw_read_answer answer;
    struct bgw_read_question q = {.feed = &w->feed, .tenant = w->feed.default_tenant, .part = sim_part(d->slot),
                                  .key = bgw_slice_of(sim_account(d->slot), 2), .has_floor = d->has_floor, .floor = d->floor,
                                  .prove = d->prove, .ask = d->asks, .wait_ms = wait_ms};
    if (d->slot % PARTS == 0 && sim_chance(w, 50))
        q.part = 0;
    d->shown_here = w->replicas[d->replica].shown[d->slot];
    memcpy(d->shown_anywhere, w->shown[d->slot], sizeof(d->shown_anywhere));
    d->due_ms = w->now.mono_ms + wait_ms;
    d->at_once = true;
    d->attempts = w->replicas[d->replica].attempts[d->slot];
    if (bgw_shard_read(shard_of(d), &q, d, w->now, &d->read, &answer))
        answered(d, &answer);
    else
        sim_faults[FAULT_read_waits]++;
}

static void cancel(struct reader *d)
{
    bgw_shard_read_cancel(shard_of(d), d->read);
    d->read = NULL;
}

void reader_step(struct reader *d)
{
    struct world *w = d->world;
    if (d->read && !sim_chance(w, 10))
        return;
    if (d->read) {
        sim_faults[FAULT_read_cancelled]++;
        cancel(d);
        return;
    }
    choose(d);
    d->has_floor = false;
    d->prove = sim_chance(w, 40);
    sim_faults[FAULT_read_proof] += d->prove;
    d->asks = sim_chance(w, 30);
    sim_faults[FAULT_read_asks] += d->asks;
    if (sim_chance(w, 40))
        choose_floor(d);
    ask(d, sim_chance(w, 50) ? 20 + (int64_t)sim_rand(w, 300) : 500 + (int64_t)sim_rand(w, 2500));
}

/* ---- the world around them ---- */

void readers_start(struct world *w)
{
    for (int i = 0; i < READERS; i++)
        w->readers[i] = (struct reader){.world = w, .index = i};
}

void readers_leave(struct replica *r)
{
    for (int i = 0; i < READERS; i++) {
        struct reader *d = &r->world->readers[i];
        if (d->read && d->replica == r->index)
            cancel(d);
    }
}

/* The shard has just had a turn: whose time is over has been answered, and nothing has grown beyond its bounds. */
void readers_check_turn(const struct rig *rig)
{
    struct world *w = rig->replica->world;
    struct bgw_shard_view view;
    bgw_shard_look(rig->shard, &view);
    if (view.reads_waiting > READS_MAX || view.reads_kept > READS_KEPT_MAX)
        sim_fail(w, "I5: %zu reads wait, %zu are kept", view.reads_waiting, view.reads_kept);
    for (int i = 0; i < READERS; i++) {
        const struct reader *d = &w->readers[i];
        if (d->read && d->replica == rig->replica->index && d->rig == rig->index && w->now.mono_ms >= d->due_ms)
            sim_fail(w, "I6: reader %d has not been answered in its time", i);
    }
}

/* Faults have stopped and everybody holds the newest: so must the answers of each shard, to the first reader. */
bool readers_settled(struct world *w, char *why, size_t cap)
{
    struct reader *d = &w->readers[0];
    for (int i = 0; i < READERS; i++) {
        if (!w->readers[i].read)
            continue;
        snprintf(why, cap, "reader %d still waits", i);
        return false;
    }
    if (d->settling && d->fresh && d->minor == w->ledger[d->slot].minor) {
        sim_checks[CHECKED_read_is_newest]++;
        d->settled++;
    }
    if (d->settled == SLOTS * REPLICAS * SHARDS)
        return true;
    d->settling = true;
    d->slot = d->settled % SLOTS;
    d->replica = d->settled / SLOTS % REPLICAS;
    d->rig = d->settled / SLOTS / REPLICAS;
    d->has_floor = d->prove = false;
    d->asks = w->source && !w->sweep; /* what no one watched when its invalidation was not heard */
    snprintf(why, cap, "a read of slot %d at replica %d shard %d is not answered with the newest", d->slot, d->replica, d->rig);
    ask(d, 1000);
    return false;
}
