/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub: what one record costs the sequencer's thread: reading it, finding its account among 100,000,
 * judging its version, and putting it before the shard that watches. What the shard does with it is
 * not in it, the seal at the end of a turn is.
 */
#include "micro.h"

#include "bgw/hub.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define ACCOUNTS 100000u
#define PARTITIONS 16
#define TURN 250 /* records; what comes off the queue at once under load */
#define STRIDE 40503u /* prime to ACCOUNTS: neighbours in the stream are no neighbours in memory */

struct book {
    struct bgw_feed feed;
    struct bgw_relay *relay;
    struct bgw_hub *hub;
    struct bgw_now now;
    enum bgw_metric counter;
    int64_t before;
    size_t next;
    bool watched;
    struct micro_record turn[TURN];
};

static bool no_fetch(void *arg, const struct bgw_fetch *f)
{
    (void)arg, (void)f;
    return false;
}

static void no_watermark(void *arg, uint8_t feed, uint64_t query, bool refresh)
{
    (void)arg, (void)feed, (void)query, (void)refresh;
}

static void rejected(void *arg, uint8_t feed, const struct bgw_record *r, enum bgw_reject why)
{
    (void)arg, (void)feed, (void)r;
    micro_die("a record was rejected: %s", bgw_reject_text(why));
}

static void take_away(struct book *b)
{
    struct bgw_relay_batch batch;
    bgw_hub_tick(b->hub, b->now);
    bgw_hub_flush(b->hub);
    if (!bgw_relay_take(b->relay, &batch))
        return;
    for (size_t i = 0; i < batch.count; i++)
        bgw_blob_release(batch.entries[i].value);
    bgw_relay_done(b->relay, &batch);
}

static void watch(struct book *b, size_t account)
{
    struct bgw_hub_command c = {.kind = BGW_HUB_WATCH, .group = account};
    char id[MICRO_KEY_MAX];
    c.name.tenant_len = (uint8_t)b->feed.default_tenant.len;
    memcpy(c.name.tenant, b->feed.default_tenant.data, c.name.tenant_len);
    c.name.key_len = (uint8_t)micro_account(id, account);
    memcpy(c.name.key, id, c.name.key_len);
    bgw_hub_on_command(b->hub, &c, b->now);
}

static void fill(struct book *b)
{
    int64_t zeros[PARTITIONS] = {0};
    bgw_hub_on_assigned(b->hub, 0, bgw_epoch_pack(BGW_SLICE(MICRO_EPOCH)), zeros, zeros, PARTITIONS, b->now);
    for (size_t account = 0; account < ACCOUNTS; account++) {
        micro_record_full(&b->turn[0], account, MICRO_V);
        bgw_hub_on_record(b->hub, 0, &b->turn[0].record, b->now);
        if (b->watched)
            watch(b, account);
    }
    for (int32_t p = 0; p < PARTITIONS; p++)
        bgw_hub_on_watermark(b->hub, 0, 0, p, MICRO_V + 1, b->now.mono_ms, b->now);
    take_away(b);
}

static void *book_make(const struct micro *m)
{
    struct book *b = micro_alloc(1, sizeof(*b));
    micro_feed(&b->feed);
    b->watched = m->with != NULL;
    b->counter = b->watched ? BGW_M_RECORDS_APPLIED : BGW_M_RECORDS_UNWATCHED;
    b->now = (struct bgw_now){.mono_ms = 1000, .wall_ms = MICRO_WALL_MS};
    b->relay = bgw_relay_create(NULL, NULL);
    struct bgw_hub_config config = {
        .feeds = &b->feed, .feed_count = 1, .relays = &b->relay, .shard_count = 1, .retry_min_ms = 250, .retry_max_ms = 30000,
        .reread_ms = 1000, .barrier_batch_ms = 20, .barrier_max_ms = 250, .jitter_seed = 7,
    };
    struct bgw_hub_ops ops = {b, no_fetch, no_watermark, rejected};
    if (!b->relay || bgw_hub_create(&b->hub, &config, &ops) != BGW_OK)
        micro_die("no hub");
    fill(b);
    b->before = bgw_metric_read(b->counter);
    return b;
}

static void book_ready(void *state)
{
    struct book *b = state;
    take_away(b);
    for (size_t i = 0; i < TURN; i++, b->next++)
        micro_record_full(&b->turn[i], b->next * STRIDE % ACCOUNTS, MICRO_V + 1 + b->next / ACCOUNTS);
    for (size_t i = 0; i < TURN; i++) /* of a partition offsets rise with time, whatever the account */
        b->turn[i].record.offset += (int64_t)(b->next + i);
}

static void book_run(void *state)
{
    struct book *b = state;
    for (size_t i = 0; i < TURN; i++)
        bgw_hub_on_record(b->hub, 0, &b->turn[i].record, b->now);
    bgw_hub_tick(b->hub, b->now);
    bgw_hub_flush(b->hub);
}

static uint64_t book_right(void *state)
{
    struct book *b = state;
    struct bgw_hub_view view;
    bgw_hub_look(b->hub, &view);
    return view.keys == ACCOUNTS ? (uint64_t)(bgw_metric_read(b->counter) - b->before) : 0;
}

static void book_drop(void *state)
{
    struct book *b = state;
    bgw_hub_destroy(&b->hub);
    bgw_relay_destroy(&b->relay);
    free(b);
}

const struct micro micro_hub[] = {
    {"hub/unwatched", "record", TURN, 40, NULL, book_make, book_ready, book_run, book_right, book_drop},
    {"hub/watched", "record", TURN, 40, "watched", book_make, book_ready, book_run, book_right, book_drop},
    {0},
};
