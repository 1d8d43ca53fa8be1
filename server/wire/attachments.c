/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attachments: two maps under one lock, from id and from connection to one entry. Hides how long an
 * entry lives: a stream's as long as its connection, every other one until its token has ended.
 * Called by conn_negotiate on every shard's thread, some microseconds at a time. Invariants: `aging`
 * holds exactly the entries that are not live streams; an entry is found by its connection only
 * while that lives; a mailbox is posted to only under the lock, so that it can be taken away.
 */
#include "bgw/attachments.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/list.h"
#include "bgw/map.h"
#include "bgw/types.h"

#include <pthread.h>
#include <stdlib.h>

#define PURGED_AT_ONCE_MAX 1024u /* nobody waits for the lock while a whole storm is forgotten */

/* under the lock */
struct entry {
    struct bgw_attachment what; /* conn NULL: its connection is gone */
    struct bgw_list link;       /* aging */
};

struct bgw_attachments { /* any thread: under `lock` */
    pthread_mutex_t lock;
    struct bgw_map by_id, by_conn;
    struct bgw_list aging; /* as they came: one that may go waits at most a token's life behind one that may not */
    struct bgw_mailbox *mailboxes[BGW_SHARDS_MAX];
};

/* ---- finding ---- */

/* Ids are random, and only those that we have signed come here: they are their own hash. */
static uint64_t hash_of_id(const uint8_t id[BGW_ATTACHMENT_ID_LEN])
{
    uint64_t hash;
    memcpy(&hash, id, sizeof(hash));
    return hash;
}

static uint64_t hash_of_conn(const void *conn)
{
    return bgw_hash_keyed(bgw_slice_of((const char *)&conn, sizeof(conn)));
}

static bool has_id(const void *item, const void *id)
{
    return memcmp(((const struct entry *)item)->what.id, id, BGW_ATTACHMENT_ID_LEN) == 0;
}

static bool has_conn(const void *item, const void *conn)
{
    return ((const struct entry *)item)->what.conn == conn;
}

static struct entry *find(const struct bgw_attachments *a, const uint8_t id[BGW_ATTACHMENT_ID_LEN])
{
    return bgw_map_find(&a->by_id, hash_of_id(id), has_id, id);
}

/* ---- ends ---- */

static void let_conn_go(struct bgw_attachments *a, struct entry *e)
{
    if (!e->what.conn)
        return;
    bgw_map_remove(&a->by_conn, hash_of_conn(e->what.conn), e);
    e->what.conn = NULL;
}

static void forget(struct bgw_attachments *a, struct entry *e)
{
    let_conn_go(a, e);
    bgw_map_remove(&a->by_id, hash_of_id(e->what.id), e);
    bgw_list_remove(&e->link);
    free(e);
}

static void purge(struct bgw_attachments *a, int64_t mono_ms)
{
    for (unsigned n = 0; n < PURGED_AT_ONCE_MAX && !bgw_list_empty(&a->aging); n++) {
        struct entry *e = BGW_CONTAINER(a->aging.next, struct entry, link);
        if (e->what.token_ends_ms > mono_ms)
            return;
        forget(a, e);
    }
}

static void close_conn(struct bgw_attachments *a, const void *conn)
{
    struct entry *e = bgw_map_find(&a->by_conn, hash_of_conn(conn), has_conn, conn);
    if (!e)
        return;
    let_conn_go(a, e);
    if (!bgw_list_linked(&e->link)) /* a stream: its time begins now, and may be over */
        bgw_list_push_back(&a->aging, &e->link);
}

/* ---- life ---- */

enum bgw_status bgw_attachments_create(struct bgw_attachments **out, size_t entries_max)
{
    struct bgw_attachments *a = calloc(1, sizeof(*a));
    *out = a;
    if (!a)
        return BGW_NO_MEMORY;
    BGW_ASSERT(pthread_mutex_init(&a->lock, NULL) == 0);
    bgw_map_init(&a->by_id, entries_max);
    bgw_map_init(&a->by_conn, entries_max);
    bgw_list_init(&a->aging);
    return BGW_OK;
}

void bgw_attachments_destroy(struct bgw_attachments **attachments)
{
    struct bgw_attachments *a = *attachments;
    struct entry *e;
    size_t cursor = 0;
    *attachments = NULL;
    if (!a)
        return;
    while ((e = bgw_map_next(&a->by_id, &cursor)))
        free(e);
    bgw_map_deinit(&a->by_id);
    bgw_map_deinit(&a->by_conn);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

void bgw_attachments_set_mailbox(struct bgw_attachments *a, uint8_t shard, struct bgw_mailbox *mailbox)
{
    BGW_ASSERT(shard < BGW_SHARDS_MAX);
    pthread_mutex_lock(&a->lock);
    a->mailboxes[shard] = mailbox;
    pthread_mutex_unlock(&a->lock);
}

void bgw_attachments_purge(struct bgw_attachments *a, int64_t mono_ms)
{
    pthread_mutex_lock(&a->lock);
    purge(a, mono_ms);
    pthread_mutex_unlock(&a->lock);
}

size_t bgw_attachments_count(struct bgw_attachments *a)
{
    pthread_mutex_lock(&a->lock);
    size_t count = a->by_id.count;
    pthread_mutex_unlock(&a->lock);
    return count;
}

/* ---- an id's use ---- */

static enum bgw_attach_result insert(struct bgw_attachments *a, const struct bgw_attachment *what)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return BGW_ATTACH_FULL;
    e->what = *what;
    bgw_list_init(&e->link);
    if (bgw_map_insert(&a->by_id, hash_of_id(what->id), e) != BGW_OK) {
        free(e);
        return BGW_ATTACH_FULL;
    }
    if (bgw_map_insert(&a->by_conn, hash_of_conn(what->conn), e) != BGW_OK) {
        bgw_map_remove(&a->by_id, hash_of_id(what->id), e);
        free(e);
        return BGW_ATTACH_FULL;
    }
    if (what->kind == BGW_ATTACHED_WEBSOCKET)
        bgw_list_push_back(&a->aging, &e->link);
    return BGW_ATTACH_OK;
}

static enum bgw_attach_result refusal_of(const struct entry *e, enum bgw_attachment_kind wanted)
{
    if (!e->what.conn)
        return BGW_ATTACH_USED;
    return e->what.kind == wanted ? BGW_ATTACH_IN_USE : BGW_ATTACH_TRANSPORT;
}

enum bgw_attach_result bgw_attachments_take(struct bgw_attachments *a, const struct bgw_attachment *what, int64_t mono_ms)
{
    BGW_ASSERT(what->conn && what->shard < BGW_SHARDS_MAX);
    pthread_mutex_lock(&a->lock);
    purge(a, mono_ms);
    const struct entry *e = find(a, what->id);
    enum bgw_attach_result result;
    if (e) {
        result = refusal_of(e, what->kind);
    } else {
        close_conn(a, what->conn); /* the address of one that is gone may come again */
        result = insert(a, what);
    }
    pthread_mutex_unlock(&a->lock);
    return result;
}

void bgw_attachments_close(struct bgw_attachments *a, const void *conn, int64_t mono_ms)
{
    pthread_mutex_lock(&a->lock);
    close_conn(a, conn);
    purge(a, mono_ms);
    pthread_mutex_unlock(&a->lock);
}

/* ---- bodies ---- */

static enum bgw_attach_result post(struct bgw_attachments *a, const struct entry *e,
                                   const struct bgw_attachment_holder *holder, struct bgw_blob *body)
{
    if (!e || !e->what.conn)
        return BGW_ATTACH_UNKNOWN;
    if (e->what.holder.subject_hash != holder->subject_hash || e->what.holder.tenant_hash != holder->tenant_hash)
        return BGW_ATTACH_OTHER;
    if (e->what.kind == BGW_ATTACHED_WEBSOCKET)
        return BGW_ATTACH_IN_USE;
    struct bgw_mailbox *mailbox = a->mailboxes[e->what.shard];
    if (!mailbox) /* that shard has ended, and its streams with it */
        return BGW_ATTACH_UNKNOWN;
    struct bgw_posted posted = {.body = body};
    memcpy(posted.id, e->what.id, sizeof(posted.id));
    return bgw_mailbox_post(mailbox, &posted) == BGW_OK ? BGW_ATTACH_OK : BGW_ATTACH_BUSY;
}

enum bgw_attach_result bgw_attachments_post(struct bgw_attachments *a, const uint8_t id[BGW_ATTACHMENT_ID_LEN],
                                            const struct bgw_attachment_holder *holder, struct bgw_blob *body)
{
    pthread_mutex_lock(&a->lock);
    enum bgw_attach_result result = post(a, find(a, id), holder, body);
    pthread_mutex_unlock(&a->lock);
    return result;
}

void *bgw_attachments_conn(struct bgw_attachments *a, uint8_t shard, const uint8_t id[BGW_ATTACHMENT_ID_LEN])
{
    pthread_mutex_lock(&a->lock);
    const struct entry *e = find(a, id);
    bool here = e && e->what.shard == shard && e->what.kind == BGW_ATTACHED_STREAM;
    void *conn = here ? e->what.conn : NULL;
    pthread_mutex_unlock(&a->lock);
    return conn;
}
