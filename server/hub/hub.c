/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub: life of the hub, the shards' commands and the turn. Hides how a watch joins the stream of
 * updates. Called on the hub thread. Invariant: what a watcher gets first is what the book holds at
 * that place of the sequence, and every later change follows it through the same relay.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"

#include <stdlib.h>

#define TICK_MAX_MS 1000
#define CARES_MAX SIZE_MAX /* bounded by the watched slots, which the shards bound */

enum bgw_status bgw_hub_create(struct bgw_hub **out, const struct bgw_hub_config *config,
                               const struct bgw_hub_ops *ops)
{
    BGW_ASSERT(config->feed_count > 0 && config->feed_count <= BGW_FEEDS_MAX);
    BGW_ASSERT(config->shard_count > 0 && config->shard_count <= BGW_SHARDS_MAX);
    BGW_ASSERT(config->retry_min_ms > 0 && config->retry_max_ms >= config->retry_min_ms);
    BGW_ASSERT(config->retry_max_ms <= INT32_MAX);
    BGW_ASSERT(ops->fetch && ops->ask_watermark);
    for (size_t i = 0; i < config->feed_count; i++)
        BGW_ASSERT(config->feeds[i].stale_ms >= config->feeds[i].fresh_ms && config->feeds[i].revalidate_ms >= 0);
    struct bgw_hub *hub = calloc(1, sizeof(*hub));
    if (!hub)
        return BGW_NO_MEMORY;
    hub->config = *config;
    hub->ops = *ops;
    hub->random = config->jitter_seed;
    book_init(&hub->book, config->keys_max);
    bgw_pool_init(&hub->care_pool, sizeof(struct care), CARES_MAX);
    bgw_pool_init(&hub->given_pool, sizeof(struct given), CARES_MAX);
    bgw_map_init(&hub->in_flight, SIZE_MAX);
    bgw_list_init(&hub->watched);
    bgw_list_init(&hub->suspects);
    for (size_t i = 0; i < config->feed_count; i++) {
        hub->streams[i].feed = &config->feeds[i];
        hub->streams[i].worst = BGW_STATE_STALE;
        bgw_list_init(&hub->streams[i].loose);
    }
    *out = hub;
    return BGW_OK;
}

void bgw_hub_destroy(struct bgw_hub **h)
{
    struct bgw_hub *hub = *h;
    if (!hub)
        return;
    bgw_metric_add(BGW_M_FETCHES_IN_FLIGHT, -(int64_t)hub->in_flight.count);
    bgw_map_deinit(&hub->in_flight);
    given_forget_all(hub);
    book_deinit(&hub->book);
    bgw_pool_deinit(&hub->care_pool);
    bgw_pool_deinit(&hub->given_pool);
    barrier_deinit(hub);
    for (size_t i = 0; i < hub->config.feed_count; i++)
        free(hub->streams[i].partitions);
    free(hub);
    *h = NULL;
}

void hub_set_now(struct bgw_hub *hub, struct bgw_now now)
{
    if (!hub->started)
        bgw_wheel_init(&hub->wheel, now.mono_ms);
    else if (now.mono_ms < hub->now.mono_ms)
        now.mono_ms = hub->now.mono_ms; /* read earlier in the turn: time stands still */
    hub->started = true;
    hub->now = now;
}

struct stream *hub_stream(struct bgw_hub *hub, uint8_t feed)
{
    BGW_ASSERT(feed < hub->config.feed_count);
    return &hub->streams[feed];
}

/* ---- commands ---- */

/* The book has no room for it, which is no statement about the key. */
static void tell_no_room(struct bgw_hub *hub, const struct bgw_hub_command *c, bgw_part part)
{
    struct bgw_relay_mark nowhere = {0};
    uint64_t epoch = hub->streams[c->name.feed].epoch;
    bgw_relay_put(hub->config.relays[c->shard], &nowhere,
                  &(struct bgw_relay_entry){
                      .group = c->group,
                      .part = part,
                      .state = BGW_STATE_UNKNOWN,
                      .reason = BGW_REASON_SOURCE_UNAVAILABLE,
                      .answered = true,
                      .asked = c->kind == BGW_HUB_ASK ? (uint32_t)c->ticket : 0,
                      .version.epoch = epoch ? epoch : EPOCH_UNASSIGNED,
                  });
}

/* Somebody watches what is known: is there a reason to doubt it. */
static void look_closer(struct bgw_hub *hub, struct care *c)
{
    const struct slot *s = c->slot;
    if (hub->sources && !of_this_era(hub, s))
        round_again(hub, c);
    if (hub->sources && !s->trouble && fetch_idle(c) && c->told_state != BGW_STATE_FRESH && slot_unproved(hub, c->key, s))
        fetch_begin(hub, c, FETCH_PROOF);
    fetch_if_needed(hub, c);
}

/* The slot is told as it is; an unknown one is asked for, and told again when the answer is there.
 */
static void answer_wanted(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w)
{
    struct cell *cell = watch_cell(w, s);
    struct care *c = s->care;
    s->flags |= SLOT_WANTED;
    cell->wanted = true;
    if (slot_unknown(s)) {
        cell->bypassed = false;
        cell->waiting = true;
        cell->wait_generation = c->generation;
    }
    tell_watch(hub, k, s, w);
    if (!slot_unknown(s)) {
        look_closer(hub, c);
        return;
    }
    cell->began = !c->fetch_id;
    fetch_start(hub, c);
}

static void answer_known(struct bgw_hub *hub, struct key *k, struct slot *s, struct watch *w)
{
    if (s->flags & SLOT_EVICTED) {
        answer_wanted(hub, k, s, w);
    } else if (!slot_unknown(s)) {
        tell_watch(hub, k, s, w);
        look_closer(hub, s->care);
    }
}

static void watch(struct bgw_hub *hub, const struct bgw_hub_command *c)
{
    struct key *k;
    struct slot *wanted = NULL;
    const struct stream *st = hub_stream(hub, c->name.feed);
    bgw_part part = c->name.part ? c->name.part : st->feed->default_part;
    if (bgw_reserve_low() || book_find_or_add(&hub->book, &c->name, &k) != BGW_OK) {
        tell_no_room(hub, c, part);
        return;
    }
    struct watch *w = key_attach(&hub->book, k, c->shard, c->group);
    if (!w && bgw_reserve_spend())
        w = key_attach(&hub->book, k, c->shard, c->group);
    BGW_ASSERT(w); /* without memory for a promise there is nothing honest left to do */
    bool room = key_find_or_add(&hub->book, k, part, KEY_SLOTS_WANTED, &wanted) == BGW_OK;
    for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next) {
        struct care *care = care_of(hub, k, s);
        if (!bgw_list_linked(&care->in_stream))
            care_attach(hub, care);
        if (s != wanted)
            answer_known(hub, k, s, w);
    }
    if (room)
        answer_wanted(hub, k, wanted, w);
    else
        tell_no_room(hub, c, part);
}

static struct watch *watch_of(const struct key *k, uint8_t shard, uint64_t group)
{
    struct watch *w = k->watches;
    while (w && (w->shard != shard || w->group != group))
        w = w->next;
    return w;
}

static void ask(struct bgw_hub *hub, const struct bgw_hub_command *c)
{
    bgw_part part = c->name.part ? c->name.part : hub_stream(hub, c->name.feed)->feed->default_part;
    struct key *k = book_find(&hub->book, &c->name);
    struct slot *s = k ? key_find(k, part) : NULL;
    struct watch *w = s ? watch_of(k, c->shard, c->group) : NULL;
    if (w)
        ask_slot(hub, k, s, w, (uint32_t)c->ticket);
    else
        tell_no_room(hub, c, part); /* that is what became of its watch */
}

static void unwatch(struct bgw_hub *hub, const struct bgw_hub_command *c)
{
    struct key *k = book_find(&hub->book, &c->name);
    if (!k || !key_detach(&hub->book, k, c->shard, c->group) || k->watches)
        return;
    for (struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next) {
        s->flags &= (uint16_t)~SLOT_WANTED;
        fetches_stop_watching(hub, s);
    }
    key_prune(&hub->book, k);
}

void bgw_hub_on_command(struct bgw_hub *hub, const struct bgw_hub_command *c, struct bgw_now now)
{
    hub_set_now(hub, now);
    hub_begin_event(hub);
    BGW_ASSERT(c->shard < hub->config.shard_count);
    switch ((enum bgw_hub_command_kind)c->kind) {
    case BGW_HUB_WATCH:
        watch(hub, c);
        break;
    case BGW_HUB_UNWATCH:
        unwatch(hub, c);
        break;
    case BGW_HUB_ASK:
        ask(hub, c);
        break;
    case BGW_HUB_BARRIER:
        barrier_collect(hub, c->shard, c->ticket, c->refresh);
        break;
    }
}

/* ---- the turn ---- */

int64_t bgw_hub_tick(struct bgw_hub *hub, struct bgw_now now)
{
    hub_set_now(hub, now);
    bgw_wheel_advance(&hub->wheel, hub->now.mono_ms);
    int64_t rounds = rounds_tick(hub); /* before the wheel is asked: they arm timers */
    int64_t wait = bgw_wheel_wait_ms(&hub->wheel, TICK_MAX_MS);
    int64_t freshness = freshness_tick(hub), barriers = barrier_tick(hub), channel = channel_tick(hub);
    if (freshness < wait)
        wait = freshness;
    if (rounds < wait)
        wait = rounds;
    if (channel < wait)
        wait = channel;
    return barriers < wait ? barriers : wait;
}

void bgw_hub_flush(struct bgw_hub *hub)
{
    struct stream *first = &hub->streams[0];
    int64_t proved_ms = first->proof_moved ? stream_proved_ms(first) : 0;
    first->proof_moved = false;
    for (size_t i = 0; i < hub->config.shard_count; i++) {
        if (proved_ms)
            bgw_relay_proved(hub->config.relays[i], proved_ms);
        bgw_relay_seal(hub->config.relays[i], hub->seq, first->epoch);
    }
    bgw_metric_add(BGW_M_HUB_EVENTS, (int64_t)(hub->seq - hub->seq_counted));
    hub->seq_counted = hub->seq;
    bgw_metric_set(BGW_M_BOOK_SLOTS, (int64_t)hub->book.slot_count);
    bgw_metric_set(BGW_M_BOOK_KEYS, (int64_t)hub->book.keys.count);
    bgw_metric_set(BGW_M_READY, bgw_hub_ready(hub));
}

uint64_t bgw_hub_sequenced(const struct bgw_hub *hub)
{
    /* acquire: pairs with hub_begin_event */
    return atomic_load_explicit(&hub->begun, memory_order_acquire);
}

bool bgw_hub_ready(const struct bgw_hub *hub)
{
    for (size_t i = 0; i < hub->config.feed_count; i++)
        if (!hub->streams[i].ready)
            return false;
    return true;
}

static void look_at_partition(const struct partition *p, struct bgw_hub_view *view)
{
    if (p->end_seen > p->position)
        view->lag_records += p->end_seen - p->position;
    if (view->partitions == 0 || p->proved_ms < view->oldest_proof_mono_ms)
        view->oldest_proof_mono_ms = p->proved_ms;
    if (p->state > view->worst_state)
        view->worst_state = p->state;
    view->partitions++;
}

void bgw_hub_look(const struct bgw_hub *hub, struct bgw_hub_view *view)
{
    *view = (struct bgw_hub_view){
        .keys = hub->book.keys.count,
        .slots = hub->book.slot_count,
        .watched_keys = hub->book.watched_keys,
        .fetches_in_flight = hub->in_flight.count,
        .hub_seq = hub->seq,
    };
    for (size_t i = 0; i < hub->config.feed_count; i++) {
        const struct stream *st = &hub->streams[i];
        for (size_t n = 0; n < st->partition_count; n++)
            look_at_partition(&st->partitions[n], view);
        if (st->partition_count == 0)
            view->worst_state = BGW_STATE_STALE;
    }
}
