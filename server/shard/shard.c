/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard: makes the parts, and runs a turn: batches in, commands out, one write for each session
 * that has something to say. Hides the flush window. Called by the worker's loop and by the
 * simulator; one thread. Invariants: after a flush outside the window no writable session has
 * anything left to say that it may say now; what was counted is published by the end of each call.
 */
#include "core.h"

#include "bgw/hash.h"

#include <stdlib.h>

#define TEXTS_MAX (1u << 20)
#define OUT_SPARE (4u << 20)   /* beyond budget and control lane: one value more, live, mark */
#define OUT_KEPT (256u << 10)  /* of a buffer that once was larger */
#define TIMERS_LOOK_MS 1000
#define POST_RETRY_MS 5 /* the hub's mailbox was full */
#define BUSY_WRITES 256 /* about a millisecond of writing: worth gathering for */
#define CALM_WRITES 64
#define BUSY_GAP_MS 5 /* flushes that follow each other like this are load, not a burst */

static size_t limited(size_t a, size_t b, size_t max)
{
    return b && a > max / b ? max : a * b < max ? a * b : max;
}

static enum bgw_status make_scratch(struct bgw_shard *s)
{
    const struct bgw_shard_config *c = &s->config;
    s->states_cap = c->flush_bytes_max / STATE_ITEM_BYTES + 2;
    s->slices_cap = 2 * s->states_cap;
    if (s->slices_cap < COMMAND_KEYS_MAX + SUB_PARTS_MAX + 4)
        s->slices_cap = COMMAND_KEYS_MAX + SUB_PARTS_MAX + 4;
    s->states = calloc(s->states_cap, sizeof(*s->states));
    s->slices = calloc(s->slices_cap, sizeof(*s->slices));
    s->slices2 = calloc(COMMAND_KEYS_MAX, sizeof(*s->slices2));
    s->denied = calloc(COMMAND_KEYS_MAX, sizeof(*s->denied));
    bgw_buf_init(&s->out, c->flush_bytes_max + c->control_bytes_max + BYE_BYTES + OUT_SPARE);
    bgw_buf_init(&s->texts, s->slices_cap * (BGW_KEY_MAX + BGW_PART_MAX + 1) + TEXTS_MAX);
    s->entries = calloc(s->slices_cap, sizeof(*s->entries));
    return s->states && s->entries && s->slices && s->slices2 && s->denied ? BGW_OK : BGW_NO_MEMORY;
}

enum bgw_status bgw_shard_create(struct bgw_shard **out, const struct bgw_shard_config *config,
                                 const struct bgw_shard_ops *ops, struct bgw_now now)
{
    BGW_ASSERT(config->feed_count > 0 && config->feed_count <= BGW_FEEDS_MAX && config->mac);
    BGW_ASSERT(config->flush_bytes_max > 0 && config->control_bytes_max > 0 &&
               config->limits.stall_ms > 0);
    struct bgw_shard *s = calloc(1, sizeof(*s));
    if (!s)
        return BGW_NO_MEMORY;
    bgw_hash_init();
    s->config = *config;
    s->ops = *ops;
    s->now = now;
    s->base_ms = now.mono_ms;
    s->walked_ms = INT64_MIN / 2;
    bgw_wheel_init(&s->wheel, now.mono_ms);
    bgw_pool_init(&s->sessions, sizeof(struct bgw_session), config->sessions_max);
    bgw_pool_init(&s->groups, sizeof(struct group), GROUPS_MAX);
    bgw_pool_init(&s->subs, sizeof(struct sub),
                  limited(config->sessions_max, config->limits.keys_per_session_max, SUBS_MAX));
    bgw_pool_init(&s->cells, sizeof(struct cell), CELLS_MAX);
    bgw_list_init(&s->all);
    bgw_list_init(&s->flush);
    bgw_list_init(&s->urgent);
    bgw_list_init(&s->unlabelled);
    bgw_list_init(&s->labelled);
    reads_init(s);
    bgw_map_init(&s->by_key, GROUPS_MAX);
    bgw_map_init(&s->tenants, GROUPS_MAX + config->sessions_max);
    s->table_free = UINT32_MAX;
    *out = s;
    if (make_scratch(s) == BGW_OK)
        return BGW_OK;
    bgw_shard_destroy(out);
    return BGW_NO_MEMORY;
}

/* Their end is not the hub's concern any more. */
static void free_groups(struct bgw_shard *s)
{
    size_t cursor = 0;
    for (struct group *g; (g = bgw_map_next(&s->by_key, &cursor));) {
        g->queued = false;
        group_free(s, g);
    }
    BGW_ASSERT(s->by_key.count == 0 && s->tenants.count == 0);
}

void bgw_shard_destroy(struct bgw_shard **shard)
{
    struct bgw_shard *s = *shard;
    if (!s)
        return;
    BGW_ASSERT(bgw_list_empty(&s->all) && s->key_count == 0 && s->pending == 0);
    reads_deinit(s);
    free_groups(s);
    bgw_map_deinit(&s->by_key);
    bgw_map_deinit(&s->tenants);
    bgw_pool_deinit(&s->sessions);
    bgw_pool_deinit(&s->groups);
    bgw_pool_deinit(&s->subs);
    bgw_pool_deinit(&s->cells);
    bgw_buf_deinit(&s->out);
    bgw_buf_deinit(&s->texts);
    free(s->states);
    free(s->slices);
    free(s->slices2);
    free(s->entries);
    free(s->denied);
    free(s->table);
    free(s);
    *shard = NULL;
}

void bgw_shard_set_limits(struct bgw_shard *s, const struct bgw_shard_limits *limits)
{
    BGW_ASSERT(limits->stall_ms > 0);
    const struct bgw_shard_limits before = s->config.limits;
    s->config.limits = *limits;
    s->subs.count_max = limited(s->config.sessions_max, limits->keys_per_session_max, SUBS_MAX);
    reads_limits_changed(s);
    for (struct bgw_list *at = s->all.next; at != &s->all; at = at->next)
        deadlines_changed(BGW_CONTAINER(at, struct bgw_session, of_shard), &before);
}

/* ---- counting ---- */

void shard_publish(struct bgw_shard *s)
{
    struct tally *t = &s->tally;
    if (t->offered)
        bgw_metric_add(BGW_M_UPDATES_OFFERED, t->offered);
    if (t->delivered)
        bgw_metric_add(BGW_M_UPDATES_DELIVERED, t->delivered);
    if (t->merged)
        bgw_metric_add(BGW_M_UPDATES_MERGED, t->merged);
    if (t->snapshots)
        bgw_metric_add(BGW_M_SNAPSHOTS_SENT, t->snapshots);
    if (t->repairs)
        bgw_metric_add(BGW_M_REPAIRS_SENT, t->repairs);
    if (s->pending != s->pending_shown)
        bgw_metric_add(BGW_M_UPDATES_PENDING, s->pending - s->pending_shown);
    s->pending_shown = s->pending;
    *t = (struct tally){0};
}

size_t bgw_shard_session_count(const struct bgw_shard *s)
{
    return s->sessions.in_use;
}

void bgw_shard_look(const struct bgw_shard *s, struct bgw_shard_view *view)
{
    *view = (struct bgw_shard_view){
        .sessions = s->sessions.in_use,
        .subscriptions = s->key_count,
        .groups = s->groups.in_use,
        .reads_waiting = s->reads.waiting.in_use,
        .reads_kept = s->reads.idle_count,
        .pending = s->pending,
        .window_ms = s->window_ms,
        .hub_behind = post_waiting(s),
    };
}

void bgw_shard_each_session(struct bgw_shard *s, void (*fn)(void *arg, struct bgw_session *session),
                            void *arg)
{
    for (struct bgw_list *at = s->all.next, *next; at != &s->all; at = next) {
        next = at->next;
        fn(arg, BGW_CONTAINER(at, struct bgw_session, of_shard));
    }
}

/* ---- a turn ---- */

void bgw_shard_set_now(struct bgw_shard *s, struct bgw_now now)
{
    int64_t mono_ms = s->now.mono_ms; /* readings of one turn may be handed in out of order */
    s->now = now;
    if (now.mono_ms < mono_ms)
        s->now.mono_ms = mono_ms;
}

void bgw_shard_on_batch(struct bgw_shard *s, const struct bgw_relay_batch *batch,
                        struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    for (size_t i = 0; i < batch->count; i++)
        news_apply(s, &batch->entries[i]);
    BGW_ASSERT(batch->hub_seq >= s->hub_seq && batch->barrier_done >= s->barrier_done);
    s->hub_seq = batch->hub_seq;
    s->epoch = batch->epoch;
    s->proved_mono_ms = batch->proved_mono_ms;
    if (batch->barrier_done > s->barrier_done) {
        s->barrier_done = batch->barrier_done;
        presented_barrier_done(s);
    }
    reads_advanced(s);
    shard_publish(s);
}

/*
 * In a fan-out every session, its sub and its connection are cold, and a write takes microseconds:
 * time enough to fetch what the next writes will want.
 */
static void look_ahead(const struct bgw_list *list)
{
    const struct bgw_list *next = list->next, *after = next->next;
    if (after == list)
        return;
    const struct bgw_session *n = BGW_CONTAINER(next, struct bgw_session, of_flush);
    __builtin_prefetch(n->conn);
    __builtin_prefetch(n->dirty.next);
    __builtin_prefetch((const char *)n->dirty.next + 64);
    const char *later = (const char *)BGW_CONTAINER(after, struct bgw_session, of_flush);
    for (size_t at = 0; at < sizeof(*n); at += 64)
        __builtin_prefetch(later + at);
}

/* Writes until nobody has anything left to say now; returns how many writes. */
static int64_t drain(struct bgw_shard *s, bool urgent_only)
{
    int64_t writes = 0;
    for (;;) {
        struct bgw_list *list = bgw_list_empty(&s->urgent) && !urgent_only ? &s->flush : &s->urgent;
        if (bgw_list_empty(list))
            return writes;
        struct bgw_session *n = BGW_CONTAINER(list->next, struct bgw_session, of_flush);
        bgw_list_remove(&n->of_flush);
        look_ahead(list);
        outbox_flush(s, n);
        writes++;
    }
}

/*
 * Under load updates are gathered: a write costs the same whether it carries one or sixteen. Where
 * the accounts differ so much that a write carries one all the same, waiting would only be later.
 */
static void adapt_window(struct bgw_shard *s, int64_t writes, int64_t updates)
{
    int64_t gap_ms = s->now.mono_ms - s->flushed_ms;
    bool worth = updates >= writes + writes / 4;
    if (worth && writes >= BUSY_WRITES && gap_ms <= s->window_ms + BUSY_GAP_MS)
        s->window_ms++;
    else if (!worth || writes < CALM_WRITES || gap_ms > 2 * (s->window_ms + BUSY_GAP_MS))
        s->window_ms /= 2;
    if (s->window_ms > s->config.flush_window_max_ms)
        s->window_ms = s->config.flush_window_max_ms;
    s->flushed_ms = s->now.mono_ms;
    s->window_until_ms = s->now.mono_ms + s->window_ms;
}

void bgw_shard_flush(struct bgw_shard *s, struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    revoke_look(s);
    post_all(s);
    drain(s, true);
    if (!bgw_list_empty(&s->flush) && s->now.mono_ms >= s->window_until_ms) {
        int64_t before = s->tally.delivered + s->tally.merged;
        int64_t writes = drain(s, false);
        adapt_window(s, writes, s->tally.delivered + s->tally.merged - before);
    }
    post_all(s); /* barriers asked for while encoding */
    if (s->out.cap > OUT_KEPT) {
        size_t len_max = s->out.len_max;
        bgw_buf_deinit(&s->out);
        bgw_buf_init(&s->out, len_max);
        (void)bgw_buf_reserve(&s->out, BYE_BYTES);
        bgw_buf_clear(&s->out);
    }
    shard_publish(s);
}

int64_t bgw_shard_tick(struct bgw_shard *s, struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    bgw_wheel_advance(&s->wheel, s->now.mono_ms);
    const int64_t waits_ms[] = {revoke_tick(s), presented_tick(s), reads_tick(s)};
    int64_t wait_ms = bgw_wheel_wait_ms(&s->wheel, TIMERS_LOOK_MS);
    for (size_t i = 0; i < sizeof(waits_ms) / sizeof(*waits_ms); i++) {
        if (waits_ms[i] < wait_ms)
            wait_ms = waits_ms[i];
    }
    if (post_waiting(s) && wait_ms > POST_RETRY_MS)
        wait_ms = POST_RETRY_MS;
    if (!bgw_list_empty(&s->flush) && s->window_until_ms - s->now.mono_ms < wait_ms)
        wait_ms = s->window_until_ms - s->now.mono_ms;
    if (!bgw_list_empty(&s->urgent) || wait_ms < 0)
        wait_ms = 0;
    shard_publish(s);
    return wait_ms;
}
