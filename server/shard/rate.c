/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rate: the delivery budget that a client set for itself: max_hz for each slot, max_bytes_s for the
 * connection. Hides where limited subs wait, so that they cost nothing until they may go on. What
 * waits merges, as for a slow socket. Shard thread only. Replies are never limited.
 */
#include "core.h"

static const struct extra *limits_of(const struct bgw_session *n)
{
    return n->extra && (n->extra->interval_ms || n->extra->bytes_s) ? n->extra : NULL;
}

bool rate_allows(const struct bgw_session *n, const struct cell *c)
{
    const struct extra *x = limits_of(n);
    if (!x || !x->interval_ms)
        return true;
    int32_t wait_ms = tick_diff(c->next_tick, tick_of(n->shard, n->shard->now.mono_ms));
    return wait_ms <= 0 ||
           wait_ms > (int64_t)x->interval_ms; /* further off than any wait: a tick of long ago */
}

void rate_sent(struct bgw_session *n, struct cell *c)
{
    const struct extra *x = limits_of(n);
    if (x && x->interval_ms)
        c->next_tick = tick_of(n->shard, n->shard->now.mono_ms) + x->interval_ms;
}

/* A token bucket of one second; it may be overdrawn by one write. */
bool rate_has_bytes(struct bgw_session *n)
{
    struct extra *x = n->extra;
    if (!x || !x->bytes_s)
        return true;
    int64_t now_ms = n->shard->now.mono_ms, passed_ms = now_ms - x->refilled_ms;
    if (passed_ms > 0) {
        int64_t more = passed_ms >= 1000 ? x->bytes_s * (passed_ms / 1000) : 0;
        more += x->bytes_s * (passed_ms % 1000) / 1000;
        if (more > 0)
            x->refilled_ms = now_ms;
        x->tokens = x->tokens + more > x->bytes_s ? x->bytes_s : x->tokens + more;
    }
    if (x->tokens > 0)
        return true;
    deadlines_by(n, now_ms + (1 - x->tokens) * 1000 / x->bytes_s + 1);
    return false;
}

void rate_spend(struct bgw_session *n, size_t bytes)
{
    if (n->extra && n->extra->bytes_s)
        n->extra->tokens -= (int64_t)bytes;
}

/* The first time at which one of the sub's cells may go on. */
static int64_t sub_due_ms(const struct bgw_session *n, struct sub *sub)
{
    int64_t due_ms = INT64_MAX, now_ms = n->shard->now.mono_ms;
    for (struct cell *c = cell_first(sub); c; c = c->next) {
        int64_t at_ms = now_ms + tick_diff(c->next_tick, tick_of(n->shard, now_ms));
        if (!rate_allows(n, c) && at_ms < due_ms)
            due_ms = at_ms;
    }
    return due_ms == INT64_MAX ? now_ms : due_ms;
}

void rate_limit(struct bgw_session *n, struct sub *sub)
{
    struct extra *x = n->extra;
    BGW_ASSERT(x);
    int64_t due_ms = sub_due_ms(n, sub);
    sub_place(sub, SUB_LIMITED);
    if (!x->limited_until_ms || due_ms < x->limited_until_ms)
        x->limited_until_ms = due_ms;
    deadlines_by(n, x->limited_until_ms);
}

/* All are looked at again: those that still may not, come back. */
void rate_release_due(struct bgw_session *n)
{
    struct extra *x = n->extra;
    if (!x || !x->limited_until_ms || n->shard->now.mono_ms < x->limited_until_ms)
        return;
    x->limited_until_ms = 0;
    while (!bgw_list_empty(&x->limited))
        sub_place(BGW_CONTAINER(x->limited.next, struct sub, of_session), SUB_DIRTY);
    session_mark(n);
}

int64_t rate_due_ms(const struct bgw_session *n)
{
    const struct extra *x = n->extra;
    int64_t due_ms = INT64_MAX;
    if (!x)
        return due_ms;
    if (x->limited_until_ms)
        due_ms = x->limited_until_ms;
    if (x->bytes_s && x->tokens <= 0 && !bgw_list_empty(&n->dirty)) {
        int64_t refilled_ms = x->refilled_ms + (1 - x->tokens) * 1000 / x->bytes_s + 1;
        if (refilled_ms < due_ms)
            due_ms = refilled_ms;
    }
    return due_ms;
}
