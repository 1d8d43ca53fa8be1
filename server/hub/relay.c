/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay: the dirty set between the hub and one shard. Hides the two vectors and their swap. put,
 * barrier and seal are called on the hub thread, take, done and want_seal on the shard's. Invariant: a (slot,
 * watcher) has at most one entry in the open vector, so the set is never longer than what is
 * watched, and the shard sees each slot's newest value with the count of all that led to it.
 */
#include "bgw/relay.h"

#include "bgw/assert.h"
#include "bgw/bugs.h"
#include "bgw/reserve.h"

#include <pthread.h>
#include <stdlib.h>

#define CAPACITY_MIN 64
#define CAPACITY_KEPT 65536 /* of a vector that was needed once and is mostly empty now */

/* owner: the relay; `open` under its mutex, `lent` the shard's between take and done */
struct vector {
    struct bgw_relay_entry *entries;
    size_t count, capacity;
};

/* both threads, under `mutex` but for `wake`, `arg` (immutable) and `lent` (shard thread) */
struct bgw_relay {
    pthread_mutex_t mutex;
    struct vector open, lent;
    bool lent_out;
    uint64_t batch; /* number of the open vector; a mark of another one points nowhere */
    uint64_t hub_seq, barrier_done, epoch;
    int64_t proved_mono_ms;
    uint64_t hub_seq_taken;
    uint64_t wanted; /* until this hub_seq is taken, every seal is worth a wake */
    bool news;  /* since the last take: worth a wake */
    bool woken; /* since the last take */
    bgw_relay_wake wake;
    void *arg;
};

struct bgw_relay *bgw_relay_create(bgw_relay_wake wake, void *arg)
{
    struct bgw_relay *r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    if (pthread_mutex_init(&r->mutex, NULL) != 0) {
        free(r);
        return NULL;
    }
    r->batch = 1; /* a zeroed mark is of no batch */
    r->wake = wake;
    r->arg = arg;
    return r;
}

static void drop_values(struct vector *v)
{
    for (size_t i = 0; i < v->count; i++)
        bgw_blob_release(v->entries[i].value);
    free(v->entries);
    *v = (struct vector){0};
}

void bgw_relay_destroy(struct bgw_relay **relay)
{
    struct bgw_relay *r = *relay;
    if (!r)
        return;
    BGW_ASSERT(!r->lent_out);
    drop_values(&r->open);
    drop_values(&r->lent);
    pthread_mutex_destroy(&r->mutex);
    free(r);
    *relay = NULL;
}

static void lock(struct bgw_relay *r)
{
    int failed = pthread_mutex_lock(&r->mutex);
    BGW_ASSERT(!failed);
}

static void unlock(struct bgw_relay *r)
{
    int failed = pthread_mutex_unlock(&r->mutex);
    BGW_ASSERT(!failed);
}

/* Returns the value that is no longer needed; it is released outside the lock. */
static struct bgw_blob *fold(struct bgw_relay_entry *cell, const struct bgw_relay_entry *e)
{
    struct bgw_relay_entry old = *cell;
    struct bgw_blob *unneeded = old.value;
    *cell = *e;
    if (!BGW_BUG("records_not_counted"))
        cell->records += old.records;
    cell->answered = old.answered || e->answered;
    cell->fetched = old.fetched || e->fetched;
    cell->joined = e->fetched ? e->joined : old.joined;
    if (!e->asked)
        cell->asked = old.asked;
    /* a record folded in is news, whatever the epoch did; a state change on top of a restamp is
     * none */
    cell->restamped = e->restamped ? old.restamped || old.records == 0
                                   : old.restamped && e->records == 0 &&
                                         bgw_version_equal(old.version, e->version);
    if (old.ingest_ns && (!e->ingest_ns || old.ingest_ns < e->ingest_ns))
        cell->ingest_ns = old.ingest_ns;
    bool removal = old.state == BGW_STATE_REMOVED || e->state == BGW_STATE_REMOVED;
    if (BGW_BUG("relay_fold_keeps_old_state") && removal) {
        cell->state = old.state;
        cell->reason = old.reason;
        cell->value = old.value;
        unneeded = e->value;
    }
    return unneeded;
}

static void append(struct vector *v, const struct bgw_relay_entry *e)
{
    if (v->count == v->capacity) {
        size_t capacity = v->capacity ? v->capacity * 2 : CAPACITY_MIN;
        struct bgw_relay_entry *grown = realloc(v->entries, capacity * sizeof(*grown));
        if (!grown && bgw_reserve_spend())
            grown = realloc(v->entries, capacity * sizeof(*grown));
        /* without memory for what clients were promised there is nothing honest left to do */
        BGW_ASSERT(grown);
        v->entries = grown;
        v->capacity = capacity;
    }
    v->entries[v->count++] = *e;
}

void bgw_relay_put(struct bgw_relay *r, struct bgw_relay_mark *mark,
                   const struct bgw_relay_entry *e)
{
    struct bgw_blob *unneeded = NULL;
    lock(r);
    if (mark->batch == r->batch) {
        BGW_ASSERT(mark->index < r->open.count);
        struct bgw_relay_entry *cell = &r->open.entries[mark->index];
        BGW_ASSERT(cell->group == e->group && cell->part == e->part);
        unneeded = fold(cell, e);
    } else {
        BGW_ASSERT(r->open.count < UINT32_MAX);
        mark->batch = r->batch;
        mark->index = (uint32_t)r->open.count;
        append(&r->open, e);
    }
    r->news = true;
    unlock(r);
    bgw_blob_release(unneeded);
}

/* Once a second: worth a wake, for an idle shard still says how old its balances are. */
void bgw_relay_proved(struct bgw_relay *r, int64_t proved_mono_ms)
{
    lock(r);
    if (proved_mono_ms != r->proved_mono_ms) {
        r->proved_mono_ms = proved_mono_ms;
        r->news = true;
    }
    unlock(r);
}

void bgw_relay_barrier(struct bgw_relay *r, uint64_t ticket)
{
    lock(r);
    if (ticket > r->barrier_done) {
        r->barrier_done = ticket;
        r->news = true;
    }
    unlock(r);
}

/* A bare hub_seq wakes only who waits for one: it rises with every turn and concerns few shards. */
static bool wake_is_due(struct bgw_relay *r)
{
    bool awaited = r->wanted > r->hub_seq_taken && r->hub_seq > r->hub_seq_taken;
    bool due = !r->woken && (r->news || awaited);
    r->woken |= due;
    return due;
}

void bgw_relay_want_seal(struct bgw_relay *r, uint64_t hub_seq)
{
    lock(r);
    if (hub_seq > r->wanted)
        r->wanted = hub_seq;
    /* news alone wait for the seal */
    bool wake = r->hub_seq > r->hub_seq_taken && wake_is_due(r);
    unlock(r);
    if (wake && r->wake)
        r->wake(r->arg);
}

void bgw_relay_seal(struct bgw_relay *r, uint64_t hub_seq, uint64_t epoch)
{
    lock(r);
    if (epoch != r->epoch)
        r->news = true;
    r->hub_seq = hub_seq;
    r->epoch = epoch;
    bool wake = wake_is_due(r);
    unlock(r);
    if (wake && r->wake)
        r->wake(r->arg);
}

bool bgw_relay_take(struct bgw_relay *r, struct bgw_relay_batch *batch)
{
    BGW_ASSERT(!r->lent_out);
    lock(r);
    bool any = r->news || r->hub_seq != r->hub_seq_taken;
    if (any) {
        struct vector full = r->open;
        r->open = r->lent;
        r->lent = full;
        r->open.count = 0;
        r->batch++;
        r->news = r->woken = false;
        r->hub_seq_taken = r->hub_seq;
        *batch = (struct bgw_relay_batch){
            .entries = full.entries,
            .count = full.count,
            .hub_seq = r->hub_seq,
            .proved_mono_ms = r->proved_mono_ms,
            .barrier_done = r->barrier_done,
            .epoch = r->epoch,
        };
    }
    unlock(r);
    r->lent_out = any;
    return any;
}

void bgw_relay_done(struct bgw_relay *r, struct bgw_relay_batch *batch)
{
    BGW_ASSERT(r->lent_out && batch->entries == r->lent.entries);
    if (r->lent.capacity > CAPACITY_KEPT && r->lent.count < r->lent.capacity / 8) {
        free(r->lent.entries);
        r->lent = (struct vector){0};
    }
    r->lent.count = 0;
    r->lent_out = false;
    *batch = (struct bgw_relay_batch){0};
}
