/* SPDX-License-Identifier: Apache-2.0 */
/*
 * warm: see the header. Hides which of its reads are under way. Called by the worker on its shard's
 * thread. Invariant: a read's place is taken from its start until it is answered or cancelled.
 */
#include "warm.h"

#include "bgw/assert.h"

#define WAIT_MS 5000

static size_t free_place(const struct bgw_warm *w)
{
    size_t i = 0;
    while (i < BGW_WARM_READS_MAX && w->reads[i])
        i++;
    return i;
}

bool bgw_warm_ask(struct bgw_warm *w, const struct bgw_slot_name *name, struct bgw_now now)
{
    const struct bgw_read_question q = {
        .feed = w->feed,
        .tenant = bgw_slice_of(name->tenant, name->tenant_len),
        .key = bgw_slice_of(name->key, name->key_len),
        .part = name->part,
        .wait_ms = WAIT_MS,
    };
    struct bgw_read_answer answer;
    size_t i = free_place(w);
    if (i == BGW_WARM_READS_MAX)
        return false;
    struct bgw_read *read = NULL;
    if (bgw_shard_read(w->shard, &q, &w->reads[i], now, &read, &answer))
        return answer.result != BGW_READ_BUSY;
    w->reads[i] = read;
    w->under_way++;
    return true;
}

bool bgw_warm_done(struct bgw_warm *w, const void *user)
{
    struct bgw_read *const *place = user;
    if (place < w->reads || place >= w->reads + BGW_WARM_READS_MAX)
        return false;
    BGW_ASSERT(*place && w->under_way > 0);
    w->reads[place - w->reads] = NULL;
    w->under_way--;
    return true;
}

void bgw_warm_cancel(struct bgw_warm *w)
{
    for (size_t i = 0; i < BGW_WARM_READS_MAX && w->under_way; i++) {
        if (!w->reads[i])
            continue;
        bgw_shard_read_cancel(w->shard, w->reads[i]);
        w->reads[i] = NULL;
        w->under_way--;
    }
}
