/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handoff: the relay between hub and shard, both ends on one thread: what crossing costs in
 * instructions, without the waiting and the cache misses of two. One entry a seal, as under light
 * load, and a turn of 250; and one cell that is folded into again and again.
 */
#include "micro.h"

#include "bgw/relay.h"

#include <stdlib.h>

#define ENTRIES 250u

struct handoff_case { /* immutable */
    size_t seals; /* of a run */
    size_t cells; /* a seal finds */
};

struct handoff {
    const struct handoff_case *what;
    struct bgw_relay *relay;
    struct bgw_feed feed;
    struct bgw_blob *value;
    struct bgw_relay_mark marks[ENTRIES];
    uint64_t hub_seq, records;
};

static void *handoff_make(const struct micro *m)
{
    struct handoff *h = micro_alloc(1, sizeof(*h));
    h->what = m->with;
    micro_feed(&h->feed);
    h->relay = bgw_relay_create(NULL, NULL);
    if (!h->relay)
        micro_die("no memory");
    h->value = micro_value(&h->feed, 0, MICRO_V);
    return h;
}

static void take_all(struct handoff *h)
{
    struct bgw_relay_batch batch;
    if (!bgw_relay_take(h->relay, &batch))
        return;
    for (size_t i = 0; i < batch.count; i++) {
        h->records += batch.entries[i].records;
        bgw_blob_release(batch.entries[i].value);
    }
    bgw_relay_done(h->relay, &batch);
}

static void handoff_run(void *state)
{
    struct handoff *h = state;
    const size_t puts = ENTRIES / h->what->seals;
    for (size_t seal = 0; seal < h->what->seals; seal++) {
        for (size_t i = 0; i < puts; i++) {
            struct bgw_relay_entry e = {
                .group = i % h->what->cells, .part = h->feed.default_part, .state = BGW_STATE_FRESH, .answered = true, .records = 1,
                .version = {1, MICRO_V, 0}, .value = bgw_blob_acquire(h->value), .proved_mono_ms = 1, .ingest_ns = 1,
            };
            bgw_relay_put(h->relay, &h->marks[i % h->what->cells], &e);
        }
        bgw_relay_seal(h->relay, ++h->hub_seq, 1);
        take_all(h);
    }
}

static uint64_t handoff_right(void *state)
{
    const struct handoff *h = state;
    return h->records;
}

static void handoff_drop(void *state)
{
    struct handoff *h = state;
    bgw_relay_destroy(&h->relay);
    bgw_blob_release(h->value);
    free(h);
}

#define HANDOFF(label, seals_of_run, cells_of_seal)                                                                    \
    {                                                                                                                  \
        "handoff/" label, "entry", ENTRIES, 40, &(const struct handoff_case){seals_of_run, cells_of_seal},             \
            handoff_make, NULL, handoff_run, handoff_right, handoff_drop                                               \
    }

const struct micro micro_handoff[] = {
    HANDOFF("one_at_a_time", ENTRIES, 1),
    HANDOFF("turn_of_250", 1, ENTRIES),
    HANDOFF("folded", 1, 1),
    {0},
};
