/* SPDX-License-Identifier: Apache-2.0 */
/* attachments: an id serves one connection once, bodies find their shard, and the same from several threads. */
#include "test.h"

#include "bgw/attachments.h"
#include "bgw/hash.h"

#include <pthread.h>
#include <sched.h>

#define LIFE_MS 30000

static struct bgw_attachments *a;
static char conns[64]; /* addresses of connections */
static const struct bgw_attachment_holder ada = {1, 10}, bob = {2, 10}, ada_elsewhere = {1, 11};

static void make(size_t max)
{
    bgw_hash_init();
    CHECK_EQ_I64(bgw_attachments_create(&a, max), BGW_OK);
}

static const uint8_t *id_of(uint64_t n)
{
    static _Thread_local uint8_t id[BGW_ATTACHMENT_ID_LEN];
    memset(id, 0, sizeof(id));
    memcpy(id, &n, sizeof(n));
    return id;
}

static enum bgw_attach_result take(uint64_t n, enum bgw_attachment_kind kind, void *conn, int64_t now_ms, int64_t ends_ms)
{
    struct bgw_attachment what = {.kind = kind, .shard = 3, .holder = ada, .token_ends_ms = ends_ms, .conn = conn};
    memcpy(what.id, id_of(n), sizeof(what.id));
    return bgw_attachments_take(a, &what, now_ms);
}

#define WEBSOCKET(n, conn, now) take(n, BGW_ATTACHED_WEBSOCKET, conn, now, LIFE_MS)
#define STREAM(n, conn, now) take(n, BGW_ATTACHED_STREAM, conn, now, LIFE_MS)

/* ---- one use ---- */

TEST(an_id_serves_one_connection_and_then_nobody)
{
    make(100);
    CHECK_EQ_I64(WEBSOCKET(1, &conns[0], 0), BGW_ATTACH_OK);
    CHECK_EQ_I64(WEBSOCKET(1, &conns[1], 0), BGW_ATTACH_IN_USE);
    CHECK_EQ_I64(STREAM(1, &conns[1], 0), BGW_ATTACH_TRANSPORT);
    CHECK_EQ_I64(WEBSOCKET(2, &conns[1], 0), BGW_ATTACH_OK);
    bgw_attachments_close(a, &conns[0], 5);
    CHECK_EQ_I64(WEBSOCKET(1, &conns[2], 10), BGW_ATTACH_USED);
    CHECK_EQ_I64(STREAM(1, &conns[2], 10), BGW_ATTACH_USED);
    CHECK_EQ_I64(WEBSOCKET(2, &conns[2], LIFE_MS - 1), BGW_ATTACH_IN_USE);
    bgw_attachments_close(a, &conns[5], 10); /* nobody's */
    bgw_attachments_destroy(&a);
    CHECK(a == NULL);
}

TEST(a_stream_holds_its_id_as_long_as_it_lives)
{
    make(100);
    CHECK_EQ_I64(STREAM(1, &conns[0], 0), BGW_ATTACH_OK);
    CHECK_EQ_I64(STREAM(1, &conns[1], 100 * LIFE_MS), BGW_ATTACH_IN_USE);
    CHECK_EQ_I64(WEBSOCKET(1, &conns[1], 100 * LIFE_MS), BGW_ATTACH_TRANSPORT);
    CHECK(bgw_attachments_conn(a, 3, id_of(1)) == &conns[0]);
    CHECK(bgw_attachments_conn(a, 2, id_of(1)) == NULL);
    bgw_attachments_close(a, &conns[0], 100 * LIFE_MS);
    CHECK(bgw_attachments_conn(a, 3, id_of(1)) == NULL);
    CHECK_EQ_I64(bgw_attachments_count(a), 0); /* its token has long ended */
    CHECK_EQ_I64(STREAM(2, &conns[0], 0), BGW_ATTACH_OK);
    bgw_attachments_close(a, &conns[0], 1);
    CHECK_EQ_I64(STREAM(2, &conns[0], 1), BGW_ATTACH_USED); /* its token has not */
    bgw_attachments_destroy(&a);
}

TEST(a_connections_address_may_come_again)
{
    make(100);
    CHECK_EQ_I64(WEBSOCKET(1, &conns[0], 0), BGW_ATTACH_OK);
    CHECK_EQ_I64(WEBSOCKET(2, &conns[0], 0), BGW_ATTACH_OK); /* the first one's end went unnoticed */
    CHECK_EQ_I64(WEBSOCKET(1, &conns[1], 0), BGW_ATTACH_USED);
    bgw_attachments_close(a, &conns[0], 0);
    CHECK_EQ_I64(WEBSOCKET(2, &conns[1], 0), BGW_ATTACH_USED);
    bgw_attachments_destroy(&a);
}

/* ---- how long they are known ---- */

TEST(websockets_and_used_ids_are_forgotten_with_their_tokens)
{
    make(10000);
    for (uint64_t i = 0; i < 3000; i++)
        CHECK_EQ_I64(take(i, BGW_ATTACHED_WEBSOCKET, (void *)(uintptr_t)(0x1000 + i), 0, LIFE_MS + (int64_t)i), BGW_ATTACH_OK);
    bgw_attachments_purge(a, LIFE_MS - 1);
    CHECK_EQ_I64(bgw_attachments_count(a), 3000);
    bgw_attachments_purge(a, LIFE_MS + 9);
    CHECK_EQ_I64(bgw_attachments_count(a), 2990);
    bgw_attachments_purge(a, 2 * LIFE_MS);
    CHECK(bgw_attachments_count(a) > 0); /* some at a time: nobody waits for all of them */
    bgw_attachments_purge(a, 2 * LIFE_MS);
    bgw_attachments_purge(a, 2 * LIFE_MS);
    CHECK_EQ_I64(bgw_attachments_count(a), 0);
    bgw_attachments_close(a, (void *)(uintptr_t)0x1001, 2 * LIFE_MS); /* a WebSocket that lived longer than its token */
    bgw_attachments_destroy(&a);
}

TEST(one_whose_time_is_not_over_hides_those_behind_it_no_longer_than_that)
{
    make(10);
    CHECK_EQ_I64(take(1, BGW_ATTACHED_WEBSOCKET, &conns[1], 0, 200), BGW_ATTACH_OK);
    CHECK_EQ_I64(take(2, BGW_ATTACHED_WEBSOCKET, &conns[2], 0, 100), BGW_ATTACH_OK);
    bgw_attachments_purge(a, 150);
    CHECK_EQ_I64(bgw_attachments_count(a), 2);
    bgw_attachments_purge(a, 200);
    CHECK_EQ_I64(bgw_attachments_count(a), 0);
    bgw_attachments_destroy(&a);
}

TEST(a_full_table_refuses_newcomers_until_somebody_is_forgotten)
{
    make(8);
    for (uint64_t i = 0; i < 8; i++)
        CHECK_EQ_I64(take(i, i % 2 ? BGW_ATTACHED_WEBSOCKET : BGW_ATTACHED_STREAM, &conns[i], 0, 100), BGW_ATTACH_OK);
    CHECK_EQ_I64(take(8, BGW_ATTACHED_WEBSOCKET, &conns[8], 99, 1000), BGW_ATTACH_FULL);
    CHECK_EQ_I64(take(8, BGW_ATTACHED_STREAM, &conns[8], 99, 1000), BGW_ATTACH_FULL);
    CHECK_EQ_I64(bgw_attachments_count(a), 8);
    CHECK_EQ_I64(take(8, BGW_ATTACHED_WEBSOCKET, &conns[8], 100, 1000), BGW_ATTACH_OK);
    CHECK_EQ_I64(bgw_attachments_count(a), 5); /* the streams, and this one */
    bgw_attachments_destroy(&a);
}

/* ---- bodies ---- */

struct reader { /* one loop's thread */
    struct bgw_loop *loop;
    struct bgw_mailbox *box;
    unsigned got, wrong;
    uint64_t last_id;
    char last[64];
};

static void receive(void *arg, const void *item)
{
    struct reader *reader = arg;
    const struct bgw_posted *posted = item;
    struct bgw_slice body = bgw_blob_slice(posted->body);
    reader->got++;
    memcpy(&reader->last_id, posted->id, sizeof(reader->last_id));
    memcpy(reader->last, body.data, body.len < sizeof(reader->last) ? body.len : 0);
    reader->wrong += bgw_attachments_conn(a, 3, posted->id) == NULL;
    bgw_blob_release(posted->body);
}

static void open_reader(struct reader *reader, size_t capacity)
{
    *reader = (struct reader){0};
    CHECK_EQ_I64(bgw_loop_create(&reader->loop), BGW_OK);
    CHECK_EQ_I64(bgw_mailbox_create(&reader->box, reader->loop, sizeof(struct bgw_posted), capacity, receive, reader), BGW_OK);
    bgw_attachments_set_mailbox(a, 3, reader->box);
}

static void close_reader(struct reader *reader)
{
    bgw_attachments_set_mailbox(a, 3, NULL);
    bgw_mailbox_destroy(&reader->box);
    bgw_loop_destroy(&reader->loop);
}

/* As the wire does it: what was not taken is still ours. */
static enum bgw_attach_result post(uint64_t n, const struct bgw_attachment_holder *holder, const char *text)
{
    struct bgw_blob *body = bgw_blob_copy(bgw_slice_str(text));
    enum bgw_attach_result result = bgw_attachments_post(a, id_of(n), holder, body);
    if (result != BGW_ATTACH_OK)
        bgw_blob_release(body);
    return result;
}

TEST(a_body_reaches_the_stream_that_it_names_and_only_from_its_holder)
{
    struct reader reader;
    make(100);
    open_reader(&reader, 2);
    CHECK_EQ_I64(STREAM(1, &conns[0], 0), BGW_ATTACH_OK);
    CHECK_EQ_I64(WEBSOCKET(2, &conns[1], 0), BGW_ATTACH_OK);
    CHECK_EQ_I64(post(9, &ada, "x"), BGW_ATTACH_UNKNOWN);
    CHECK_EQ_I64(post(1, &bob, "x"), BGW_ATTACH_OTHER);
    CHECK_EQ_I64(post(1, &ada_elsewhere, "x"), BGW_ATTACH_OTHER);
    CHECK_EQ_I64(post(2, &bob, "x"), BGW_ATTACH_OTHER);
    CHECK_EQ_I64(post(2, &ada, "x"), BGW_ATTACH_IN_USE);
    CHECK_EQ_I64(post(1, &ada, "first"), BGW_ATTACH_OK);
    CHECK_EQ_I64(post(1, &ada, "second"), BGW_ATTACH_OK);
    CHECK_EQ_I64(post(1, &ada, "third"), BGW_ATTACH_BUSY);
    bgw_attachments_close(a, &conns[0], 0);
    CHECK_EQ_I64(post(1, &ada, "fourth"), BGW_ATTACH_UNKNOWN);
    close_reader(&reader); /* what was on its way is handed over, and finds nobody */
    CHECK_EQ_I64(reader.got, 2);
    CHECK_EQ_I64(reader.wrong, 2);
    CHECK_EQ_I64(reader.last_id, 1);
    CHECK_EQ_STR(reader.last, "second");
    bgw_attachments_destroy(&a);
}

TEST(a_shard_that_has_ended_is_unknown)
{
    struct reader reader;
    make(100);
    open_reader(&reader, 2);
    CHECK_EQ_I64(STREAM(1, &conns[0], 0), BGW_ATTACH_OK);
    close_reader(&reader);
    CHECK_EQ_I64(post(1, &ada, "x"), BGW_ATTACH_UNKNOWN);
    bgw_attachments_destroy(&a);
}

/* ---- several threads ---- */

#define THREADS 4
#define IDS 2000

static atomic_uint taken[IDS], posted_ok;
static atomic_bool stop_posting;

static void *rush(void *arg)
{
    char *own = arg; /* this thread's connection */
    for (uint64_t i = 0; i < IDS; i++) {
        if (WEBSOCKET(i, own, 0) != BGW_ATTACH_OK)
            continue;
        atomic_fetch_add(&taken[i], 1);
        bgw_attachments_close(a, own, 0);
    }
    return NULL;
}

TEST(of_all_threads_one_gets_an_id)
{
    pthread_t threads[THREADS];
    make(IDS);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, rush, &conns[i]) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < IDS; i++)
        CHECK_EQ_I64(atomic_load(&taken[i]), 1);
    bgw_attachments_destroy(&a);
}

static void *flood(void *arg)
{
    (void)arg;
    while (!atomic_load(&stop_posting)) {
        if (post(1, &ada, "x") == BGW_ATTACH_OK)
            atomic_fetch_add(&posted_ok, 1);
        else
            sched_yield();
    }
    return NULL;
}

/* The mailbox goes while others post: every body that was taken is received, and released. */
TEST(a_shard_may_end_while_bodies_are_posted_to_it)
{
    pthread_t threads[THREADS];
    make(100);
    CHECK_EQ_I64(STREAM(1, &conns[0], 0), BGW_ATTACH_OK);
    atomic_store(&posted_ok, 0);
    atomic_store(&stop_posting, false);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, flood, NULL) == 0);
    unsigned got = 0;
    for (unsigned round = 0; round < 200; round++) {
        struct reader reader;
        unsigned before = atomic_load(&posted_ok);
        open_reader(&reader, 8);
        while (atomic_load(&posted_ok) == before)
            sched_yield();
        close_reader(&reader);
        got += reader.got;
        CHECK_EQ_I64(reader.wrong, 0);
    }
    atomic_store(&stop_posting, true);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ_I64(got, atomic_load(&posted_ok));
    bgw_attachments_destroy(&a);
}
