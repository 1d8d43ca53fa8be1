/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ledger: the truth of the simulated world: what was committed to each slot, and the topic's log
 * that tells of it: late, sometimes twice, sometimes again, sometimes broken. Every amount is
 * unique, so an amount names its commit.
 */
#include "sim.h"

#include <stdlib.h>

static const char *const NAMES[ACCOUNTS] = {"A0", "A1", "A2", "A3", "A4", "A5"};

const char *sim_account(int slot)
{
    return NAMES[slot / PARTS];
}

bgw_part sim_part(int slot)
{
    return bgw_part_of(slot % PARTS ? BGW_SLICE("USD") : BGW_SLICE("NGN"));
}

int sim_slot_of(struct bgw_slice key, bgw_part part)
{
    if (key.len != 2 || key.data[0] != 'A' || key.data[1] < '0' || key.data[1] >= '0' + ACCOUNTS)
        return -1;
    return (key.data[1] - '0') * PARTS + (part == sim_part(1) ? 1 : 0);
}

int ledger_partition(const struct world *w, int slot, int partitions)
{
    (void)w;
    return (slot / PARTS) % partitions;
}

static void topic_init(struct world *w, int life)
{
    struct topic *t = &w->topic_lives[life];
    char seed[32];
    int n = snprintf(seed, sizeof(seed), "life-%d", life);
    t->epoch = bgw_epoch_derive(bgw_slice_of(seed, (size_t)n));
    t->partitions = 1 + (int)sim_rand(w, PARTITIONS_MAX);
    for (int p = 0; p < PARTITIONS_MAX; p++)
        t->logs[p].records = calloc(LOG_MAX, sizeof(struct log_record));
}

void ledger_init(struct world *w)
{
    w->commits = calloc(COMMITS_MAX, sizeof(*w->commits));
    w->next_minor = FIRST_MINOR;
    w->source = sim_chance(w, 50);
    for (int a = 0; a < ACCOUNTS; a++)
        w->with_v[a] = sim_chance(w, 60);
    w->sweep = sim_chance(w, 50);
    for (int a = 0; a < ACCOUNTS; a++)
        w->source_v[a] = w->with_v[a] && sim_chance(w, 75);
    topic_init(w, 0);
    w->topics = 1;
}

void ledger_deinit(struct world *w)
{
    for (int t = 0; t < w->topics; t++)
        for (int p = 0; p < PARTITIONS_MAX; p++)
            free(w->topic_lives[t].logs[p].records);
    free(w->commits);
}

void ledger_commit(struct world *w, int slot, bool removed)
{
    if (w->commit_count == COMMITS_MAX)
        return;
    struct ledger_slot *l = &w->ledger[slot];
    if (removed && (!l->has || l->removed))
        removed = false;
    l->v++;
    l->has = true;
    l->removed = removed;
    l->minor = w->next_minor++;
    l->last_commit = w->commit_count;
    w->commits[w->commit_count++] =
        (struct commit){.slot = (uint8_t)slot, .removed = removed, .v = l->v, .minor = l->minor, .wall_ms = w->now.wall_ms};
    sim_trace(w, "commit slot %d v %llu minor %lld%s", slot, (unsigned long long)l->v, (long long)l->minor,
              removed ? " removed" : "");
}

void ledger_silent(struct world *w, int slot)
{
    size_t before = w->commit_count;
    ledger_commit(w, slot, false);
    if (w->commit_count == before)
        return;
    w->commits[before].appended = true;
    w->commits[before].topic = (uint8_t)w->topic;
    sim_faults[FAULT_silent_commit]++;
}

static void append(struct world *w, const struct log_record *r)
{
    struct topic *t = &w->topic_lives[w->topic];
    struct partition_log *log = &t->logs[ledger_partition(w, r->slot, t->partitions)];
    if (log->end < LOG_MAX) {
        log->records[log->end] = *r;
        log->records[log->end++].wall_ms = w->now.wall_ms;
    }
}

static struct log_record record_of(const struct world *w, const struct commit *c)
{
    return (struct log_record){.kind = c->removed ? LOG_TOMBSTONE : LOG_VALUE, .slot = c->slot,
                               .has_v = w->with_v[c->slot / PARTS], .v = c->v, .minor = c->minor};
}

void ledger_publish(struct world *w, int at_most)
{
    for (size_t i = 0; i < w->commit_count && at_most > 0; i++) {
        struct commit *c = &w->commits[i];
        if (c->appended)
            continue;
        struct log_record r = record_of(w, c);
        append(w, &r);
        c->appended = true;
        c->topic = (uint8_t)w->topic;
        at_most--;
        if (!w->quiet && r.has_v && sim_chance(w, 8)) {
            sim_faults[FAULT_record_duplicated]++;
            append(w, &r);
        }
        sim_faults[FAULT_tombstone] += c->removed;
    }
}

/* An old record again (only where versions tell old from new), or one that cannot be read. */
void ledger_log_fault(struct world *w)
{
    if (sim_chance(w, 50)) {
        struct log_record r = {.kind = LOG_GARBAGE, .slot = (uint8_t)sim_rand(w, SLOTS)};
        append(w, &r);
        sim_faults[FAULT_record_garbage]++;
        return;
    }
    for (int tries = 0; tries < 20 && w->commit_count; tries++) {
        const struct commit *c = &w->commits[sim_rand(w, w->commit_count)];
        bool removed = w->ledger[c->slot].removed || tries >= 15; /* first those that could revive what is gone */
        if (!c->appended || c->topic != w->topic || !w->with_v[c->slot / PARTS] || !removed)
            continue;
        struct log_record r = record_of(w, c);
        append(w, &r);
        sim_faults[FAULT_record_replayed]++;
        return;
    }
}

/* The topic is deleted and made anew; what was committed but not yet published goes to the new one. */
void ledger_new_topic(struct world *w)
{
    if (w->topics == EPOCHS_MAX)
        return;
    topic_init(w, w->topics);
    w->topic = w->topics++;
    sim_faults[FAULT_epoch_change]++;
    sim_trace(w, "topic life %d, %d partitions", w->topic, w->topic_lives[w->topic].partitions);
}

const struct commit *ledger_find(const struct world *w, int slot, int64_t minor)
{
    int64_t index = minor - FIRST_MINOR;
    if (index < 0 || (size_t)index >= w->commit_count || w->commits[index].slot != slot)
        return NULL;
    return &w->commits[index];
}

size_t ledger_record_text(const struct world *w, const struct log_record *r, char *out, size_t cap)
{
    char part[4] = {0}, v[32] = "";
    (void)w;
    if (r->kind == LOG_GARBAGE)
        return (size_t)snprintf(out, cap, "{\"accountId\":\"%s\",\"minor\":", sim_account(r->slot));
    bgw_part_text(sim_part(r->slot), part);
    if (r->has_v)
        snprintf(v, sizeof(v), ",\"v\":%llu", (unsigned long long)r->v);
    return (size_t)snprintf(out, cap, "{\"accountId\":\"%s\",\"minor\":%lld,\"currency\":\"%s\",\"pendingMinor\":0%s}",
                            sim_account(r->slot), (long long)r->minor, part, v);
}
