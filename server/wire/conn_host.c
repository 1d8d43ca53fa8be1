/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_host: what the connections of one shard share, and what happens to all of them at once: the
 * end of a turn, a drain. Hides who waits and how a drain's goodbyes are spread. Called by the worker
 * on the shard's thread. Invariant: whoever stopped reading is on `waiting` until it reads again.
 */
#include "conn_private.h"

#include "bgw/assert.h"

#define FORGET_MS 1000
#define LAST_WORDS 1024

void bgw_conn_host_init(struct bgw_conn_host *h, size_t conns_max)
{
    bgw_pool_init(&h->pool, sizeof(struct bgw_conn), conns_max);
    bgw_pool_init(&h->busy_pool, sizeof(struct conn_busy), conns_max);
    bgw_list_init(&h->busy);
    bgw_list_init(&h->waiting);
    bgw_list_init(&h->heads);
    conn_ops_init(h);
    bgw_buf_init(&h->out, BGW_REPLY_MAX);
    (void)bgw_buf_reserve(&h->out, LAST_WORDS); /* they need no memory later, when there may be none */
    bgw_buf_clear(&h->out);
}

void bgw_conn_host_deinit(struct bgw_conn_host *h)
{
    BGW_ASSERT(h->pool.in_use == 0 && h->busy_pool.in_use == 0);
    bgw_buf_deinit(&h->out);
    bgw_pool_deinit(&h->busy_pool);
    bgw_pool_deinit(&h->pool);
}

/* Also where nobody comes or goes any more. */
static void forget_ids(struct bgw_conn_host *h)
{
    int64_t now_ms = bgw_loop_now(h->loop).mono_ms;
    if (!h->attachments || now_ms < h->forget_due_ms)
        return;
    h->forget_due_ms = now_ms + FORGET_MS;
    bgw_attachments_purge(h->attachments, now_ms);
}

/* Those that still have to wait go back, behind this turn's. */
static void resume_waiting(struct bgw_conn_host *h)
{
    struct bgw_list list;
    bgw_list_init(&list);
    bgw_list_splice(&list, &h->waiting);
    while (!bgw_list_empty(&list)) {
        struct conn_busy *b = BGW_CONTAINER(list.next, struct conn_busy, wait_link);
        bgw_list_remove(&b->wait_link);
        bgw_list_push_back(&h->waiting, &b->wait_link);
        conn_resume(b->conn);
    }
}

void bgw_conn_host_release_heads(struct bgw_conn_host *h)
{
    while (!bgw_list_empty(&h->heads)) {
        struct bgw_conn *c = BGW_CONTAINER(h->heads.next, struct conn_busy, head_link)->conn;
        conn_release_head(c);
        conn_settle(c);
    }
}

void bgw_conn_host_turn_end(struct bgw_conn_host *h)
{
    forget_ids(h);
    if (!bgw_list_empty(&h->waiting))
        resume_waiting(h);
    bgw_conn_host_release_heads(h);
}

void bgw_conn_host_posted(void *host, const void *posted)
{
    conn_negotiate_posted(host, posted);
}

/* ---- drain ---- */

void bgw_conn_host_drain(struct bgw_conn_host *h)
{
    h->draining = true;
    h->drain_began_ms = bgw_loop_now(h->loop).mono_ms;
    conn_ops_drain(h);
    for (struct bgw_list *at = h->busy.next, *next; at != &h->busy; at = next) {
        struct conn_busy *b = BGW_CONTAINER(at, struct conn_busy, link);
        next = at->next;
        /* one that has said nothing yet may have a request on its way: its header's deadline ends it */
        if (b->conn->state == CONN_HTTP && !b->reader && b->conn->served)
            conn_finish(b->conn);
    }
}

#define BYE_STEP_MS 100 /* between two walks that look for whose turn it is */
#define GOLDEN 2654435769u /* multiples of the golden ratio fill any window evenly, however many come */

/* one walk over the sessions */
struct bye_walk {
    struct bgw_conn_host *host;
    size_t left;
    int64_t window_ms, elapsed_ms;
    bool more;   /* there was no room for all */
    bool others; /* whose turn is later */
};

/* Stock SignalR clients and the app know no retry_ms: they come back at once, so that the window is ours to keep. A quarter of
 * it is for those who say goodbye in return. */
static int64_t bye_due_ms(const struct bye_walk *walk, const struct bgw_conn *c, const struct bgw_session *session)
{
    if (c->kind == CONN_NATIVE || c->kind == CONN_STREAM)
        return 0;
    uint64_t turn = (uint32_t)(bgw_session_conn_id(session) * GOLDEN);
    return (int64_t)(turn * (uint64_t)(walk->window_ms / 4 * 3) >> 32);
}

static void say_bye(void *arg, struct bgw_session *session)
{
    struct bye_walk *walk = arg;
    struct bgw_conn *c = bgw_session_conn(session);
    if (c->bye_said || (c->state != CONN_OPEN && c->state != CONN_KEY_WAIT_OPEN))
        return;
    if (walk->elapsed_ms < bye_due_ms(walk, c, session)) {
        walk->others = true;
        return;
    }
    if (walk->left == 0) {
        walk->more = true;
        return;
    }
    walk->left--;
    c->bye_said = true;
    uint64_t turn = (uint32_t)(walk->host->byes++ * GOLDEN);
    int64_t retry_ms = (int64_t)(turn * (uint64_t)walk->window_ms >> 32);
    bgw_session_bye(walk->host->native.shard, session, 3001, retry_ms, "draining");
}

bool bgw_conn_host_say_bye(struct bgw_conn_host *h, size_t count, int64_t window_ms)
{
    int64_t now_ms = bgw_loop_now(h->loop).mono_ms;
    struct bye_walk walk = {.host = h, .left = count, .window_ms = window_ms, .elapsed_ms = now_ms - h->drain_began_ms};
    bgw_shard_each_session(h->native.shard, say_bye, &walk);
    h->byes_due_ms = walk.more ? now_ms : now_ms + BYE_STEP_MS;
    return walk.more || walk.others;
}
