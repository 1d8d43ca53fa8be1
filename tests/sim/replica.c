/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replica: one gateway process of the simulated world: the real hub, relays and shards, with
 * models of what surrounds them: a consumer with positions, a bounded queue between shard and hub.
 */
#define _GNU_SOURCE
#include "sim.h"

#include <stdlib.h>

/* ---- what the hub asks for ---- */

static void on_ask(void *arg, uint8_t feed, uint64_t query, bool refresh)
{
    struct replica *r = arg;
    struct world *w = r->world;
    (void)feed;
    for (int i = 0; i < ASKS_MAX; i++) {
        struct ask *a = &r->asks[i];
        if (a->used)
            continue;
        *a = (struct ask){.query = query, .refresh = refresh, .used = true, .asked_ms = w->now.mono_ms, .topic = r->topic,
                          .due_ms = w->now.mono_ms + (int64_t)sim_rand(w, w->quiet ? 10 : sim_chance(w, 25) ? 400 : 40)};
        if (query)
            sim_trace(w, "replica %d asks %llu refresh %d, of life %d", r->index, (unsigned long long)query, refresh, r->topic);
        if (a->due_ms - a->asked_ms > 250)
            sim_faults[FAULT_watermark_late]++;
        for (int p = 0; p < PARTITIONS_MAX; p++)
            a->ends[p] = w->topic_lives[r->topic].logs[p].end;
        return;
    }
}

static void on_rejected(void *arg, uint8_t feed, const struct bgw_record *record, enum bgw_reject why)
{
    (void)arg, (void)feed, (void)record, (void)why;
}

/* ---- what a shard asks for ---- */

static bool on_post(void *arg, const struct bgw_hub_command *c)
{
    struct rig *rig = arg;
    if (rig->queued == QUEUE_MAX) {
        sim_faults[FAULT_queue_full]++;
        return false;
    }
    if (c->kind == BGW_HUB_WATCH) {
        int at = rig->group_count % 64;
        rig->groups[at] = c->name;
        rig->group_refs[at] = c->group;
        rig->group_count++;
    }
    rig->queue[rig->queued++] = *c;
    return true;
}

static enum bgw_sent on_send(void *arg, void *conn, struct bgw_slice bytes)
{
    (void)arg;
    return client_receive(conn, bytes);
}

static void on_hang_up(void *arg, void *conn, uint16_t code)
{
    struct client *c = conn;
    (void)arg;
    c->hung_up = true;
    if (code != 3510)
        return;
    c->was_revoked = true;
    c->old_jti = c->jti;
    /* or it did not hear it, and comes again with the same */
    c->token_dead = c->world->quiet || sim_chance(c->world, 50);
}

/* ---- life ---- */

static void assign(struct replica *r)
{
    struct world *w = r->world;
    struct topic *t = &w->topic_lives[r->topic];
    int64_t ends[PARTITIONS_MAX], positions[PARTITIONS_MAX] = {0};
    for (int p = 0; p < t->partitions; p++) {
        ends[p] = t->logs[p].end;
        r->position[p] = 0;
    }
    bgw_hub_on_assigned(r->hub, 0, t->epoch, positions, ends, (size_t)t->partitions, w->now);
    for (int i = 0; i < ASKS_MAX; i++)
        r->asks[i].topic = r->asks[i].used ? r->asks[i].topic : -1;
}

static void shard_start(struct replica *r, int index)
{
    struct world *w = r->world;
    struct rig *rig = &r->rigs[index];
    *rig = (struct rig){.replica = r, .index = index, .relay = r->relays[index]};
    struct bgw_shard_config config = {
        .shard = (uint8_t)index, .feeds = &w->feed, .feed_count = 1,
        .limits = {.ping_ms = 20000, .pong_wait_ms = 20000, .stall_ms = 30000, .auth_wait_ms = 5000, .keys_per_session_max = 100,
                   .read_keep_ms = 1000, .reads_kept_max = READS_KEPT_MAX},
        .mark_ms = 700, .flush_window_max_ms = 10, .barrier_wait_ms = 1000, .sessions_max = 64,
        .flush_bytes_max = 600, .control_bytes_max = 65536, .reads_max = READS_MAX,
        .conn_seed = w->seed + (uint64_t)index, .mac = sim_mac, .server_name = BGW_SLICE("sim"),
        .revocations = r->revocations};
    memset(config.resume_key, 7, sizeof(config.resume_key));
    struct bgw_shard_ops ops = {.arg = rig, .post = on_post, .send = on_send, .hang_up = on_hang_up,
                                .sequenced = reader_sequenced, .read_done = reader_done};
    if (bgw_shard_create(&rig->shard, &config, &ops, w->now) != BGW_OK)
        sim_fail(w, "no shard");
}

void replica_start(struct world *w, int index)
{
    struct replica *r = &w->replicas[index];
    *r = (struct replica){.world = w, .index = index, .topic = w->topic};
    revoke_start(r);
    for (int s = 0; s < SHARDS; s++)
        r->relays[s] = bgw_relay_create(NULL, NULL);
    struct bgw_hub_config config = {.feeds = &w->feed, .feed_count = 1, .relays = r->relays, .shard_count = SHARDS,
                                    .retry_min_ms = 200, .retry_max_ms = 3000, .reread_ms = 1000,
                                    .barrier_batch_ms = 20, .barrier_max_ms = 5000,
                                    .sweep_per_s = w->sweep ? 20 : 0, .revalidate_per_s = 50, .prove_per_s = 20};
    struct bgw_hub_ops ops = {.arg = r, .fetch = source_fetch, .ask_watermark = on_ask, .rejected = on_rejected};
    if (bgw_hub_create(&r->hub, &config, &ops) != BGW_OK)
        sim_fail(w, "no hub");
    bgw_hub_set_sources(r->hub, w->source);
    bgw_hub_on_channel(r->hub, true, w->now);
    for (int s = 0; s < SHARDS; s++)
        shard_start(r, s);
    assign(r);
    r->next_proof_ms = w->now.mono_ms;
}

void replica_stop(struct replica *r)
{
    struct world *w = r->world;
    for (int c = 0; c < CLIENTS; c++)
        if (w->clients[c].connected && w->clients[c].replica == r->index)
            client_cut(&w->clients[c]);
    readers_leave(r);
    for (int s = 0; s < SHARDS; s++)
        bgw_shard_destroy(&r->rigs[s].shard);
    bgw_hub_destroy(&r->hub);
    for (int s = 0; s < SHARDS; s++)
        bgw_relay_destroy(&r->relays[s]);
    bgw_revocations_destroy(&r->revocations);
}

/* The control thread has seen that the topic was recreated. */
void replica_change_topic(struct replica *r)
{
    if (r->topic == r->world->topic)
        return;
    r->topic = r->world->topic;
    for (int i = 0; i < ASKS_MAX; i++)
        if (r->asks[i].used && r->asks[i].query == 0)
            r->asks[i].used = false;
    assign(r);
}

void replica_channel(struct replica *r, bool up)
{
    up ? sim_faults[FAULT_channel_up]++ : sim_faults[FAULT_channel_down]++;
    sim_trace(r->world, "replica %d: its channel is %s", r->index, up ? "up" : "down");
    r->deaf = !up;
    bgw_hub_on_channel(r->hub, up, r->world->now);
}

void replica_invalidate(struct replica *r, int slot)
{
    struct world *w = r->world;
    if (r->deaf) {
        sim_faults[FAULT_invalidation_unheard]++;
        return;
    }
    struct bgw_slot_name name = {.feed = 0, .tenant_len = (uint8_t)w->feed.default_tenant.len, .key_len = 2};
    memcpy(name.tenant, w->feed.default_tenant.data, name.tenant_len);
    memcpy(name.key, sim_account(slot), 2);
    name.part = sim_chance(w, 50) ? sim_part(slot) : 0;
    bool has_v = name.part && w->with_v[slot / PARTS] && sim_chance(w, 50);
    sim_faults[FAULT_invalidation]++;
    for (int i = 0; i < FETCHES_MAX; i++) {
        const struct bgw_slot_name *at = &r->fetches[i].fetch.name;
        r->fetches[i].overtaken |= r->fetches[i].used && memcmp(at->key, name.key, 2) == 0 && (!name.part || at->part == name.part);
    }
    bgw_hub_on_invalidate(r->hub, 0, &name, false, has_v, has_v ? w->ledger[slot].v : 0, w->now);
}

/* ---- work ---- */

static void deliver_record(struct replica *r, int p)
{
    struct world *w = r->world;
    struct topic *t = &w->topic_lives[r->topic];
    const struct log_record *log = &t->logs[p].records[r->position[p]];
    char key[64], text[256], part[4] = {0}, v[32];
    bgw_part_text(sim_part(log->slot), part);
    int key_len = snprintf(key, sizeof(key), "%s|%.*s|%s", sim_account(log->slot), (int)w->feed.default_tenant.len,
                           w->feed.default_tenant.data, part);
    size_t len = ledger_record_text(w, log, text, sizeof(text));
    struct bgw_record record = {.key = bgw_slice_of(key, (size_t)key_len), .value = bgw_slice_of(text, len),
                                .partition = p, .leader_epoch = 1, .offset = r->position[p], .timestamp_ms = log->wall_ms,
                                .received_ns = w->now.mono_ms * 1000000};
    if (log->kind == LOG_TOMBSTONE) {
        record.value = (struct bgw_slice){NULL, 0};
        if (log->has_v)
            record.h_v = bgw_slice_of(v, (size_t)snprintf(v, sizeof(v), "%llu", (unsigned long long)log->v));
    }
    r->position[p]++;
    r->overtaken[log->slot] = 0; /* the stream speaks */
    if (log->kind == LOG_VALUE)
        r->known[log->minor - FIRST_MINOR] = r->by_record[log->minor - FIRST_MINOR] = true;
    bgw_hub_on_record(r->hub, 0, &record, w->now);
}

static void consume(struct replica *r, int p, int64_t at_most)
{
    struct topic *t = &r->world->topic_lives[r->topic];
    if (p >= t->partitions)
        return;
    while (at_most-- > 0 && r->position[p] < t->logs[p].end)
        deliver_record(r, p);
    if (r->position[p] == t->logs[p].end)
        bgw_hub_on_position(r->hub, 0, p, r->position[p], r->world->now);
}

static void answer_ask(struct replica *r, struct ask *a)
{
    struct world *w = r->world;
    a->used = false;
    if (a->query)
        sim_trace(w, "replica %d is answered %llu", r->index, (unsigned long long)a->query);
    if (a->refresh && r->topic != w->topic) {
        replica_change_topic(r);
        for (int p = 0; p < PARTITIONS_MAX; p++)
            a->ends[p] = w->topic_lives[r->topic].logs[p].end;
        a->topic = r->topic;
        a->asked_ms = w->now.mono_ms;
    }
    if (a->topic != r->topic) { /* asked of a topic that is gone: asked again of the one that is there */
        for (int p = 0; p < PARTITIONS_MAX; p++)
            a->ends[p] = w->topic_lives[r->topic].logs[p].end;
        a->asked_ms = w->now.mono_ms;
    }
    for (int p = 0; p < w->topic_lives[r->topic].partitions; p++)
        bgw_hub_on_watermark(r->hub, 0, a->query, p, a->ends[p], a->asked_ms, w->now);
}

static void prove(struct replica *r)
{
    struct world *w = r->world;
    if (w->now.mono_ms < r->next_proof_ms)
        return;
    r->next_proof_ms = w->now.mono_ms + 1000;
    if (w->now.mono_ms < r->proofs_blocked_until_ms) {
        sim_faults[FAULT_proof_lost]++;
        return;
    }
    r->last_proof_ms = w->now.mono_ms;
    on_ask(r, 0, 0, false);
}

static int64_t amount_of(struct world *w, const struct bgw_relay_entry *e)
{
    struct bgw_slice raw = e->value ? w->feed.raw(e->value) : (struct bgw_slice){NULL, 0};
    const char *at = raw.len ? memmem(raw.data, raw.len, "\"minor\":", 8) : NULL;
    return at ? strtoll(at + 8, NULL, 10) : 0;
}

/* Where it says that it is from, there it has come from; and what nobody can take back is not called fresh for long. */
static void check_source(struct rig *rig, const struct bgw_relay_entry *e, int slot)
{
    struct replica *r = rig->replica;
    struct world *w = r->world;
    int64_t amount = amount_of(w, e);
    if (!amount)
        return;
    bool from_stream = e->source == BGW_SOURCE_STREAM;
    if (!(from_stream ? r->by_record : r->by_fetch)[amount - FIRST_MINOR])
        sim_fail(w, "replica %d slot %d: %lld is said to come from source %d", r->index, slot, (long long)amount, e->source);
    sim_checks[CHECKED_source_is_told]++;
    if (!r->deaf || !rig->took_deaf || from_stream)
        return;
    if (e->state == BGW_STATE_FRESH && rig->took_hub_ms - r->read_ms[slot] > w->feed.fresh_ms)
        sim_fail(w, "replica %d slot %d: read %lld ms ago, nobody can invalidate it, and it is called fresh", r->index, slot,
                 (long long)(rig->took_hub_ms - r->read_ms[slot]));
    sim_checks[CHECKED_deaf_is_told]++;
}

/* A fetch that an invalidation overtook may be shown, as what it is; never as fresh. */
static void check_overtaken(struct rig *rig, const struct bgw_relay_entry *e, int slot)
{
    struct world *w = rig->replica->world;
    int64_t amount = rig->replica->overtaken[slot];
    if (!amount || !e->value)
        return;
    sim_checks[CHECKED_no_overtaken_fetch]++;
    if (e->state == BGW_STATE_FRESH && amount_of(w, e) == amount)
        sim_fail(w, "replica %d slot %d: a value read before an invalidation is called fresh after it",
                 rig->replica->index, slot);
}

static void shard_turn(struct rig *rig)
{
    struct world *w = rig->replica->world;
    struct bgw_relay_batch batch;
    revoke_arrive(rig->replica);
    bgw_shard_set_now(rig->shard, w->now);
    while (bgw_relay_take(rig->relay, &batch)) {
        if (batch.count > SLOTS * 4)
            sim_fail(w, "I5: a relay holds %zu entries for %d slots", batch.count, SLOTS);
        sim_checks[CHECKED_I5_bounded]++;
        for (size_t i = 0; i < batch.count; i++) {
            const struct bgw_relay_entry *e = &batch.entries[i];
            for (int g = 0; g < 64 && g < rig->group_count; g++) {
                int slot = rig->group_refs[g] == e->group
                               ? sim_slot_of(bgw_slice_of(rig->groups[g].key, rig->groups[g].key_len), e->part)
                               : -1;
                if (slot >= 0) {
                    check_overtaken(rig, e, slot);
                    check_source(rig, e, slot);
                    rig->applied_has[slot] = e->value != NULL;
                    rig->applied[slot] = e->version;
                }
            }
        }
        bgw_shard_on_batch(rig->shard, &batch, w->now);
        bgw_relay_done(rig->relay, &batch);
    }
    rig->took_hub_ms = rig->replica->hub_ms;
    rig->took_deaf = rig->replica->deaf;
    bgw_shard_tick(rig->shard, w->now);
    bgw_shard_flush(rig->shard, w->now);
    revoke_check_turn(rig);
    readers_check_turn(rig);
    for (int c = 0; c < CLIENTS; c++)
        if (w->clients[c].hung_up && w->clients[c].connected && w->clients[c].replica == rig->replica->index)
            client_cut(&w->clients[c]);
}

static void queue_turn(struct rig *rig, int at_most)
{
    int n = rig->queued < at_most ? rig->queued : at_most;
    for (int i = 0; i < n; i++)
        bgw_hub_on_command(rig->replica->hub, &rig->queue[i], rig->replica->world->now);
    memmove(rig->queue, rig->queue + n, (size_t)(rig->queued - n) * sizeof(rig->queue[0]));
    rig->queued -= n;
}

static void hub_turn(struct replica *r)
{
    r->hub_ms = r->world->now.mono_ms;
    bgw_hub_tick(r->hub, r->world->now);
    bgw_hub_flush(r->hub);
}

/* Shards may look at their relays before it comes to the seal. */
static void half_a_hub_turn(struct replica *r)
{
    sim_faults[FAULT_seal_late]++;
    r->hub_ms = r->world->now.mono_ms;
    bgw_hub_tick(r->hub, r->world->now);
}

void replica_step(struct replica *r)
{
    struct world *w = r->world;
    struct rig *rig = &r->rigs[sim_rand(w, SHARDS)];
    prove(r);
    switch (sim_rand(w, 6)) {
    case 0:
        consume(r, (int)sim_rand(w, PARTITIONS_MAX), 1 + (int64_t)sim_rand(w, 6));
        break;
    case 1:
        queue_turn(rig, 1 + (int)sim_rand(w, QUEUE_MAX));
        break;
    case 2:
        for (int i = 0; i < ASKS_MAX; i++)
            if (r->asks[i].used && r->asks[i].due_ms <= w->now.mono_ms)
                answer_ask(r, &r->asks[i]);
        break;
    case 3:
        source_answer(r);
        break;
    default:
        shard_turn(rig);
        return;
    }
    if (sim_chance(w, 20))
        half_a_hub_turn(r);
    else
        hub_turn(r);
}

void replica_settle(struct replica *r)
{
    struct world *w = r->world;
    prove(r);
    if (r->deaf)
        replica_channel(r, true);
    replica_change_topic(r);
    for (int p = 0; p < PARTITIONS_MAX; p++)
        consume(r, p, LOG_MAX);
    for (int i = 0; i < ASKS_MAX; i++)
        if (r->asks[i].used && r->asks[i].due_ms <= w->now.mono_ms)
            answer_ask(r, &r->asks[i]);
    source_answer(r);
    for (int s = 0; s < SHARDS; s++)
        queue_turn(&r->rigs[s], QUEUE_MAX);
    hub_turn(r);
    for (int s = 0; s < SHARDS; s++)
        shard_turn(&r->rigs[s]);
}

static void turn_of_all(struct replica *r)
{
    for (int s = 0; s < SHARDS; s++)
        queue_turn(&r->rigs[s], QUEUE_MAX);
    hub_turn(r);
    for (int s = 0; s < SHARDS; s++)
        shard_turn(&r->rigs[s]);
}

void replica_starve(struct replica *r, bool reading)
{
    if (reading)
        source_answer(r);
    for (int i = 0; i < ASKS_MAX; i++)
        if (r->asks[i].used && r->asks[i].query == 0)
            r->asks[i].used = false;
    turn_of_all(r);
}

void replica_abandon(struct replica *r)
{
    prove(r);
    for (int p = 0; p < PARTITIONS_MAX; p++)
        consume(r, p, LOG_MAX);
    for (int i = 0; i < ASKS_MAX; i++)
        if (r->asks[i].used && r->asks[i].due_ms <= r->world->now.mono_ms)
            answer_ask(r, &r->asks[i]);
    source_answer(r);
    turn_of_all(r);
}
