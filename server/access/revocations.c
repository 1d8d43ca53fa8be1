/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocations: the set of what was taken back. Hides how it is found: entries of 40 bytes in slabs,
 * chained from a table of 32-bit heads, so that a million cost less than 48 MB. Called by any
 * thread; one lock for writing, shared for asking, never held over anything but memory.
 * Invariants: an entry whose time has passed answers like none; an entry of accounts has a mark
 * beside it under its subject alone, so that whoever is not concerned costs two short look-ups.
 */
#include "bgw/revocations.h"

#include "bgw/assert.h"
#include "bgw/hash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define SLAB_ITEMS 4096u
#define HEADS_MIN 64u
#define NONE 0u /* entries count from 1, so that a table nobody has touched is empty */
#define SWEEP_HEADS 1024u       /* looked through for what has expired, with each add */
#define SWEEP_HEADS_FULL 65536u /* at a time, when room is needed */
#define ANY_TENANT 0u

enum entry_kind { ENTRY_TOKEN, ENTRY_SUBJECT, ENTRY_MARK, ENTRY_ACCOUNT };

/* under the set's lock */
struct entry {
    uint64_t id;    /* of the jti or the sub */
    uint64_t scope; /* its tenant, or ANY_TENANT; of an account: both, hashed together */
    int64_t before_s;
    int64_t until_s;
    uint32_t next; /* in its chain, or free */
    uint32_t kind;
};
_Static_assert(sizeof(struct entry) == 40, "a million entries are to cost less than 48 MB");

struct bgw_revocations { /* any thread */
    pthread_rwlock_t lock;
    atomic_uint_fast64_t generation;
    struct entry **slabs;
    uint32_t *heads;
    uint32_t head_count, made, free_first;
    uint32_t count, count_max;
    int64_t first_until_s; /* no entry ends before */
    uint32_t sweep_at;     /* the head where sweeping goes on */
    int64_t sweep_first_s; /* the first end among those that this round has passed */
};

/* what one entry is to be */
struct wanted {
    uint64_t id, scope;
    int64_t before_s, until_s;
    enum entry_kind kind;
};

static struct entry *at(const struct bgw_revocations *r, uint32_t i)
{
    return &r->slabs[(i - 1) / SLAB_ITEMS][(i - 1) % SLAB_ITEMS];
}

static uint64_t tenant_scope(struct bgw_slice tenant)
{
    uint64_t hash = bgw_hash_keyed(tenant);
    return hash == ANY_TENANT ? 1 : hash;
}

static uint64_t account_scope(uint64_t tenant, uint64_t account)
{
    const uint64_t both[2] = {tenant, account};
    return bgw_hash_keyed(bgw_slice_of((const char *)both, sizeof(both)));
}

/* What is asked by the subject alone lies together, whatever its tenant and kind. */
static uint32_t *chain(const struct bgw_revocations *r, uint64_t id, uint64_t scope,
                       enum entry_kind kind)
{
    const uint64_t name[2] = {id, kind == ENTRY_ACCOUNT ? scope : 0};
    uint64_t hash = bgw_hash_keyed(bgw_slice_of((const char *)name, sizeof(name)));
    return &r->heads[hash & (r->head_count - 1)];
}

static struct entry *find(const struct bgw_revocations *r, uint64_t id, uint64_t scope,
                          enum entry_kind kind)
{
    for (uint32_t i = *chain(r, id, scope, kind); i != NONE; i = at(r, i)->next) {
        struct entry *e = at(r, i);
        if (e->id == id && e->scope == scope && e->kind == kind)
            return e;
    }
    return NULL;
}

/* ---- life ---- */

/* Writers first: askers that never pause must not keep a revocation out. */
static bool make_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;
    if (pthread_rwlockattr_init(&attr) != 0)
        return false;
    bool made = pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0 &&
                pthread_rwlock_init(lock, &attr) == 0;
    pthread_rwlockattr_destroy(&attr);
    return made;
}

enum bgw_status bgw_revocations_create(struct bgw_revocations **out, size_t entries_max)
{
    BGW_ASSERT(entries_max > 0 && entries_max <= UINT32_MAX / 4);
    bgw_hash_init();
    struct bgw_revocations *r = calloc(1, sizeof(*r));
    if (!r)
        return BGW_NO_MEMORY;
    r->count_max = (uint32_t)entries_max;
    r->first_until_s = r->sweep_first_s = INT64_MAX;
    r->head_count = HEADS_MIN;
    while (r->head_count < entries_max)
        r->head_count *= 2;
    r->slabs = calloc((entries_max + SLAB_ITEMS - 1) / SLAB_ITEMS, sizeof(*r->slabs));
    r->heads = calloc(r->head_count, sizeof(*r->heads)); /* the system gives pages as they are used */
    if (!r->slabs || !r->heads || !make_lock(&r->lock)) {
        free(r->slabs);
        free(r->heads);
        free(r);
        return BGW_NO_MEMORY;
    }
    *out = r;
    return BGW_OK;
}

void bgw_revocations_destroy(struct bgw_revocations **revocations)
{
    struct bgw_revocations *r = *revocations;
    if (!r)
        return;
    for (uint32_t i = 0; i < r->made; i += SLAB_ITEMS)
        free(r->slabs[i / SLAB_ITEMS]);
    pthread_rwlock_destroy(&r->lock);
    free(r->slabs);
    free(r->heads);
    free(r);
    *revocations = NULL;
}

/* ---- room ---- */

static void sweep_chain(struct bgw_revocations *r, uint32_t *link, int64_t now_s)
{
    while (*link != NONE) {
        uint32_t i = *link;
        struct entry *e = at(r, i);
        if (e->until_s > now_s) {
            r->sweep_first_s = e->until_s < r->sweep_first_s ? e->until_s : r->sweep_first_s;
            link = &e->next;
            continue;
        }
        *link = e->next;
        e->next = r->free_first;
        r->free_first = i;
        r->count--;
    }
}

/* A piece of the table, so that nobody waits for all of it. */
static void sweep(struct bgw_revocations *r, uint32_t heads, int64_t now_s)
{
    while (heads-- > 0 && r->first_until_s <= now_s) {
        sweep_chain(r, &r->heads[r->sweep_at], now_s);
        if (++r->sweep_at < r->head_count)
            continue;
        r->sweep_at = 0;
        r->first_until_s = r->sweep_first_s;
        r->sweep_first_s = INT64_MAX;
    }
}

/* Afterwards `more` entries can be made without failing. */
static enum bgw_status make_room(struct bgw_revocations *r, uint32_t more)
{
    if (more > r->count_max - r->count)
        return BGW_FULL;
    /* all that was made and is not in use is free */
    while (r->made - r->count < more) {
        struct entry *slab = malloc(SLAB_ITEMS * sizeof(*slab));
        if (!slab)
            return BGW_NO_MEMORY;
        r->slabs[r->made / SLAB_ITEMS] = slab;
        for (uint32_t i = SLAB_ITEMS; i > 0; i--) {
            slab[i - 1].next = r->free_first;
            r->free_first = r->made + i;
        }
        r->made += SLAB_ITEMS;
    }
    return BGW_OK;
}

/* ---- adding ---- */

static size_t wanted_count(const struct bgw_revocation *what)
{
    return what->kind == BGW_REVOKE_ACCOUNTS ? what->account_count + 1 : 1;
}

/* The i-th entry that a revocation stands for; the mark is the last. */
static struct wanted wanted_at(const struct bgw_revocation *what, uint64_t tenant, size_t i)
{
    struct wanted w = {what->id_hash, tenant, 0, what->until_s, ENTRY_TOKEN};
    if (what->kind == BGW_REVOKE_SUBJECT) {
        w.kind = ENTRY_SUBJECT;
        w.before_s = what->before_s;
    } else if (what->kind == BGW_REVOKE_ACCOUNTS && i < what->account_count) {
        w.kind = ENTRY_ACCOUNT;
        w.scope = account_scope(tenant, what->accounts[i]);
    } else if (what->kind == BGW_REVOKE_ACCOUNTS) {
        w.kind = ENTRY_MARK;
    }
    return w;
}

static bool better(struct entry *e, const struct wanted *w)
{
    bool changed = w->until_s > e->until_s || w->before_s > e->before_s;
    e->until_s = w->until_s > e->until_s ? w->until_s : e->until_s;
    e->before_s = w->before_s > e->before_s ? w->before_s : e->before_s;
    return changed;
}

/* One that is over and was not swept yet begins anew: its old `before` is of no concern. */
static bool put(struct bgw_revocations *r, const struct wanted *w, int64_t now_s)
{
    struct entry *e = find(r, w->id, w->scope, w->kind);
    r->first_until_s = w->until_s < r->first_until_s ? w->until_s : r->first_until_s;
    r->sweep_first_s = w->until_s < r->sweep_first_s ? w->until_s : r->sweep_first_s;
    if (e && e->until_s > now_s)
        return better(e, w);
    if (!e) {
        uint32_t i = r->free_first, *head = chain(r, w->id, w->scope, w->kind);
        BGW_ASSERT(i != NONE);
        e = at(r, i);
        r->free_first = e->next;
        e->next = *head;
        *head = i;
        r->count++;
    }
    e->id = w->id;
    e->scope = w->scope;
    e->kind = w->kind;
    e->before_s = w->before_s;
    e->until_s = w->until_s;
    return true;
}

static uint32_t missing(const struct bgw_revocations *r, const struct bgw_revocation *what,
                        uint64_t tenant)
{
    uint32_t n = 0;
    for (size_t i = 0; i < wanted_count(what); i++) {
        struct wanted w = wanted_at(what, tenant, i);
        n += find(r, w.id, w.scope, w.kind) == NULL;
    }
    return n;
}

static enum bgw_status add_locked(struct bgw_revocations *r, const struct bgw_revocation *what,
                                  int64_t now_s)
{
    uint64_t tenant =
        what->any_tenant ? ANY_TENANT : tenant_scope(bgw_slice_str(what->tenant));
    sweep(r, SWEEP_HEADS, now_s);
    uint32_t more = missing(r, what, tenant), passed = 0;
    while (more > r->count_max - r->count && r->first_until_s <= now_s && passed < r->head_count) {
        sweep(r, SWEEP_HEADS_FULL, now_s);
        passed += SWEEP_HEADS_FULL;
        more = missing(r, what, tenant);
    }
    enum bgw_status status = make_room(r, more);
    if (status != BGW_OK)
        return status;
    bool changed = false;
    for (size_t i = 0; i < wanted_count(what); i++) {
        struct wanted w = wanted_at(what, tenant, i);
        changed |= put(r, &w, now_s);
    }
    /* release: whoever sees the number finds what it stands for */
    if (changed)
        atomic_fetch_add_explicit(&r->generation, 1, memory_order_release);
    return BGW_OK;
}

enum bgw_status bgw_revocations_add(struct bgw_revocations *r, const struct bgw_revocation *what,
                                    struct bgw_now now)
{
    BGW_ASSERT(what->account_count <= BGW_REVOCATION_ACCOUNTS_MAX);
    BGW_ASSERT((what->kind == BGW_REVOKE_ACCOUNTS) == (what->account_count > 0));
    int64_t now_s = now.wall_ms / 1000;
    if (what->until_s <= now_s)
        return BGW_OK; /* nobody is concerned any more */
    pthread_rwlock_wrlock(&r->lock);
    enum bgw_status status = add_locked(r, what, now_s);
    pthread_rwlock_unlock(&r->lock);
    return status;
}

/* ---- asking ---- */

uint64_t bgw_revocations_generation(const struct bgw_revocations *r)
{
    return atomic_load_explicit(&r->generation, memory_order_acquire); /* as above */
}

static pthread_rwlock_t *lock_of(const struct bgw_revocations *r)
{
    return (pthread_rwlock_t *)(uintptr_t)&r->lock;
}

size_t bgw_revocations_count(const struct bgw_revocations *r)
{
    pthread_rwlock_rdlock(lock_of(r));
    size_t count = r->count;
    pthread_rwlock_unlock(lock_of(r));
    return count;
}

/* What the chain of one id says. */
static enum bgw_revoked ask(const struct bgw_revocations *r, uint64_t id, bool token,
                            const struct bgw_holder *h, int64_t now_s)
{
    enum bgw_revoked known = BGW_NOT_REVOKED;
    uint64_t tenant = tenant_scope(h->tenant);
    for (uint32_t i = *chain(r, id, 0, ENTRY_TOKEN); i != NONE; i = at(r, i)->next) {
        const struct entry *e = at(r, i);
        if (e->id != id || e->until_s <= now_s || (e->scope != ANY_TENANT && e->scope != tenant))
            continue;
        if (token && e->kind == ENTRY_TOKEN)
            return BGW_REVOKED_ALL;
        if (!token && e->kind == ENTRY_SUBJECT && (!h->issued_s || h->issued_s < e->before_s))
            return BGW_REVOKED_ALL;
        if (!token && e->kind == ENTRY_MARK)
            known = BGW_REVOKED_SOME;
    }
    return known;
}

enum bgw_revoked bgw_revocations_check(const struct bgw_revocations *r, const struct bgw_holder *h,
                                       struct bgw_now now)
{
    int64_t now_s = now.wall_ms / 1000;
    enum bgw_revoked known = BGW_NOT_REVOKED;
    pthread_rwlock_rdlock(lock_of(r));
    if (r->count) {
        known = ask(r, h->subject_hash, false, h, now_s);
        if (known != BGW_REVOKED_ALL && h->jti_hash &&
            ask(r, h->jti_hash, true, h, now_s) == BGW_REVOKED_ALL)
            known = BGW_REVOKED_ALL;
    }
    pthread_rwlock_unlock(lock_of(r));
    return known;
}

bool bgw_revocations_covers_key(const struct bgw_revocations *r, const struct bgw_holder *h,
                                struct bgw_slice key, struct bgw_now now)
{
    int64_t now_s = now.wall_ms / 1000;
    uint64_t account = bgw_hash_keyed(key);
    const uint64_t scopes[2] = {account_scope(ANY_TENANT, account),
                                account_scope(tenant_scope(h->tenant), account)};
    bool covered = false;
    pthread_rwlock_rdlock(lock_of(r));
    for (int i = 0; i < 2 && !covered; i++) {
        const struct entry *e = find(r, h->subject_hash, scopes[i], ENTRY_ACCOUNT);
        covered = e && e->until_s > now_s;
    }
    pthread_rwlock_unlock(lock_of(r));
    return covered;
}
