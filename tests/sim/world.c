/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world: one seed, one world: draws what happens next, lets time pass, and at the end stops every
 * fault and demands that everybody holds the newest committed value.
 */
#include "sim.h"

#include "bgw/hash.h"

#include <stdarg.h>
#include <stdlib.h>

#define EVENTS_MIN 500
#define SETTLE_ROUNDS 6000
#define STALE_MS 8000 /* sooner than the row's, so that it happens */
#define BLIND_EACH 4 /* of so many clients one presents nothing */

uint64_t sim_faults[FAULT_COUNT];
uint64_t sim_checks[CHECKED_COUNT];

uint64_t sim_rand(struct world *w, uint64_t below)
{
    w->rng ^= w->rng << 13;
    w->rng ^= w->rng >> 7;
    w->rng ^= w->rng << 17;
    return (w->rng * 0x2545f4914f6cdd1dULL >> 16) % below;
}

bool sim_chance(struct world *w, int percent)
{
    return sim_rand(w, 100) < (uint64_t)percent;
}

void sim_fail(struct world *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = snprintf(w->failure, sizeof(w->failure), "event %d: ", w->events);
    vsnprintf(w->failure + n, sizeof(w->failure) - (size_t)n, fmt, args);
    va_end(args);
    longjmp(w->fail, 1);
}

void sim_trace(struct world *w, const char *fmt, ...)
{
    va_list args;
    if (!w->verbose)
        return;
    va_start(args, fmt);
    fprintf(stderr, "%5d %8lld  ", w->events, (long long)w->now.mono_ms);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
}

static void pass(struct world *w, int64_t ms)
{
    w->now.mono_ms += ms;
    w->now.wall_ms += ms;
}

static void leap(struct world *w)
{
    sim_faults[FAULT_clock_leap]++;
    pass(w, 1000 + (int64_t)sim_rand(w, 4000));
    for (int c = 0; c < CLIENTS; c++)
        sim_faults[FAULT_token_expired] += w->clients[c].connected && w->clients[c].expires_wall_ms <= w->now.wall_ms;
}

static bool listens(const struct world *w, const struct client *c, const struct replica *r)
{
    return c->connected && c->replica == r->index && !c->slow && !c->rated && c->expires_wall_ms > w->now.wall_ms;
}

/* No proof arrives for longer than a slot may be called fresh: everybody who listens must have been told (I9). */
static void starve(struct world *w)
{
    struct replica *r = &w->replicas[sim_rand(w, REPLICAS)];
    bool reading = w->honest = w->source && sim_chance(w, 50);
    sim_faults[FAULT_reads_prove] += reading;
    r->proofs_blocked_until_ms = w->now.mono_ms + 6000;
    sim_faults[FAULT_proof_lost]++;
    for (int i = 0; i < 50; i++) {
        pass(w, 100);
        replica_starve(r, reading);
        for (int c = 0; c < CLIENTS; c++)
            if (w->clients[c].connected && w->clients[c].replica == r->index && !w->clients[c].slow)
                client_read(&w->clients[c], 100000);
    }
    w->honest = false;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        if (!listens(w, c, r))
            continue;
        for (int s = 0; s < SLOTS; s++) {
            bool told = c->held[s].state_known && c->held[s].state != BGW_STATE_FRESH;
            bool wanted = c->want_whole[s / PARTS] || c->want_part[s];
            bool read = reading && !w->ledger[s].removed && c->held[s].minor == w->ledger[s].minor;
            if (read && c->held[s].sent_has && c->held[s].has && wanted && !told) {
                sim_checks[CHECKED_read_proves]++;
                continue;
            }
            if (c->held[s].sent_has && c->held[s].has && wanted && (c->grants & (1u << (s / PARTS))) && !told)
                sim_fail(w, "I9: client %d slot %d is shown as fresh 5 s after the last proof", i, s);
            sim_checks[CHECKED_I9_labelled] += told;
        }
    }
}

static void abandoned_turns(struct replica *r, int64_t ms)
{
    struct world *w = r->world;
    for (; ms > 0; ms -= 100) {
        pass(w, 100);
        replica_abandon(r);
        for (int c = 0; c < CLIENTS; c++)
            if (w->clients[c].connected && w->clients[c].replica == r->index && !w->clients[c].slow)
                client_read(&w->clients[c], 100000);
    }
}

/* Something that a source alone has told it. */
static void read_silent(struct replica *r)
{
    struct world *w = r->world;
    w->honest = true;
    for (int s = (int)sim_rand(w, 4); s < SLOTS; s += 1 + (int)sim_rand(w, 6)) {
        ledger_silent(w, s);
        for (int i = 0; i < REPLICAS; i++)
            replica_invalidate(&w->replicas[i], s);
    }
    abandoned_turns(r, 1000);
    w->honest = false;
}

/* The stream is proved all the time, but it has never named some of what is shown, and whoever else could vouch for that is away:
 * its sources do not answer, and invalidations are not heard, or were not for a while. It is stale in the end, and everybody who
 * listens has been told (I9). */
static void abandon(struct world *w)
{
    struct replica *r = &w->replicas[sim_rand(w, REPLICAS)];
    bool deaf = sim_chance(w, 50);
    if (!w->source)
        return;
    read_silent(r);
    deaf ? sim_faults[FAULT_sources_dead_and_deaf]++ : sim_faults[FAULT_sources_dead_and_suspect]++;
    if (!r->deaf)
        replica_channel(r, false);
    if (!deaf)
        replica_channel(r, true);
    w->dead = true;
    abandoned_turns(r, w->feed.stale_ms + 2000);
    w->dead = false;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        for (int s = 0; s < SLOTS && listens(w, c, r); s++) {
            const struct held *h = &c->held[s];
            bool wanted = (c->want_whole[s / PARTS] || c->want_part[s]) && (c->grants & (1u << (s / PARTS)));
            if (!h->sent_has || !h->has || !wanted || r->by_record[h->minor - FIRST_MINOR])
                continue;
            if (!h->state_known || h->state < BGW_STATE_STALE)
                sim_fail(w, "I9: client %d slot %d is shown as %d, and nobody has vouched for it for %lld ms", i, s,
                         h->state_known ? h->state : BGW_STATE_FRESH, (long long)w->feed.stale_ms + 2000);
            sim_checks[CHECKED_I9_nobody_vouches]++;
        }
    }
}

static void restart(struct world *w)
{
    int index = (int)sim_rand(w, REPLICAS);
    sim_faults[FAULT_replica_restart]++;
    sim_trace(w, "replica %d restarts", index);
    replica_stop(&w->replicas[index]);
    replica_start(w, index);
}

/* The publisher died between the write and the word. */
static void silent(struct world *w)
{
    int slot = (int)sim_rand(w, SLOTS);
    if (!w->source)
        return;
    ledger_silent(w, slot);
    for (int r = 0; r < REPLICAS && !w->sweep; r++)
        replica_invalidate(&w->replicas[r], slot);
}

static void channel(struct world *w)
{
    struct replica *r = &w->replicas[sim_rand(w, REPLICAS)];
    replica_channel(r, r->deaf || sim_chance(w, 10));
}

static void invalidate(struct world *w)
{
    int slot = (int)sim_rand(w, SLOTS);
    for (int r = 0; r < REPLICAS; r++) {
        if (sim_chance(w, 20))
            sim_faults[FAULT_invalidation_lost]++;
        else
            replica_invalidate(&w->replicas[r], slot);
    }
}

static void one_event(struct world *w)
{
    uint64_t dice = sim_rand(w, 1154);
    if (dice < 180)
        ledger_commit(w, (int)sim_rand(w, SLOTS), sim_chance(w, 6));
    else if (dice < 330)
        ledger_publish(w, 1 + (int)sim_rand(w, 4));
    else if (dice < 350)
        ledger_log_fault(w);
    else if (dice < 740)
        replica_step(&w->replicas[sim_rand(w, REPLICAS)]);
    else if (dice < 960)
        client_step(&w->clients[sim_rand(w, CLIENTS)]);
    else if (dice < 975)
        invalidate(w);
    else if (dice < 978)
        leap(w);
    else if (dice < 980)
        starve(w);
    else if (dice < 983)
        restart(w);
    else if (dice < 985)
        ledger_new_topic(w);
    else if (dice < 988)
        revoke_some(w);
    else if (dice < 992)
        replica_change_topic(&w->replicas[sim_rand(w, REPLICAS)]);
    else if (dice < 1000)
        pass(w, (int64_t)sim_rand(w, 300));
    else if (dice < 1120)
        reader_step(&w->readers[sim_rand(w, READERS)]);
    else if (dice < 1130)
        source_fault(w);
    else if (dice < 1140)
        silent(w);
    else if (dice < 1150)
        channel(w);
    else
        abandon(w);
    pass(w, (int64_t)sim_rand(w, 8));
    w->events++;
}

static bool settled(struct world *w, char *why, size_t cap)
{
    for (int c = 0; c < CLIENTS; c++) {
        if (!client_converged(&w->clients[c], why, cap))
            return false;
        for (int i = 0; i < PENDING_MAX; i++) {
            if (!w->clients[c].pending[i].used)
                continue;
            snprintf(why, cap, "client %d still waits for command %llu", c,
                     (unsigned long long)w->clients[c].pending[i].id);
            return false;
        }
    }
    return true;
}

/* Of some slots the topic does not say the last word: where there is a sweep nobody does, else an invalidation, which those hear who
 * can. Half of the replicas cannot at first. */
static void silent_at_the_end(struct world *w, int slot)
{
    if (slot == 0 && sim_chance(w, 50))
        replica_channel(&w->replicas[sim_rand(w, REPLICAS)], false);
    if (sim_chance(w, 60))
        return;
    ledger_silent(w, slot);
    for (int r = 0; r < REPLICAS && !w->sweep; r++)
        replica_invalidate(&w->replicas[r], slot);
}

/* Faults stop, every slot is written once more: in bounded time everybody holds exactly that (I3). */
static void settle(struct world *w)
{
    char why[256] = "";
    w->quiet = true;
    for (int s = 0; s < SLOTS; s++)
        ledger_commit(w, s, false);
    ledger_publish(w, COMMITS_MAX);
    for (int r = 0; r < REPLICAS; r++) /* an invalidation of what is not known yet would be forgotten */
        replica_settle(&w->replicas[r]);
    for (int s = 0; s < SLOTS && w->source; s++)
        silent_at_the_end(w, s);
    for (int i = 0; i < SETTLE_ROUNDS; i++) {
        for (int r = 0; r < REPLICAS; r++)
            replica_settle(&w->replicas[r]);
        for (int c = 0; c < CLIENTS; c++)
            client_settle(&w->clients[c]);
        pass(w, 5);
        if (i > 50 && settled(w, why, sizeof(why)) && readers_settled(w, why, sizeof(why)))
            break;
        if (i == SETTLE_ROUNDS - 1)
            sim_fail(w, "I3: not converged %d s after the last fault: %s", SETTLE_ROUNDS * 5 / 1000, why);
    }
    sim_checks[CHECKED_I3_converges]++;
    for (int c = 0; c < CLIENTS; c++)
        client_check_deadlines(&w->clients[c]);
    check_identities(w);
}

static void world_init(struct world *w, uint64_t seed, bool verbose)
{
    *w = (struct world){.seed = seed, .rng = seed * 0x9e3779b97f4a7c15ULL + 1, .verbose = verbose,
                        .now = {.mono_ms = 1000000, .wall_ms = 1793000000000}};
    bgw_hash_init_fixed(seed, ~seed);
    bgw_feed_balance_init(&w->feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    w->feed.stale_ms = STALE_MS;
    w->feed.revalidate_ms = seed % 3 ? 0 : 5000; /* a balance's rule, or that of a feed that may be old for a while */
    ledger_init(w);
    readers_start(w);
    for (int r = 0; r < REPLICAS; r++)
        replica_start(w, r);
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &w->clients[i];
        *c = (struct client){.world = w, .index = i, .subject = 100 + (uint64_t)i, .grants = (1u << ACCOUNTS) - 1,
                             .blind = (seed + (uint64_t)i) % BLIND_EACH == 0,
                             .jti = ++w->next_jti, .issued_s = w->now.wall_ms / 1000,
                             .expires_wall_ms = w->now.wall_ms + 5000 + (int64_t)sim_rand(w, 60000)};
        bgw_buf_init(&c->inbox, 16u << 20);
        for (int a = 0; a < ACCOUNTS; a++)
            c->want_whole[a] = sim_chance(w, 30);
    }
}

static void world_deinit(struct world *w)
{
    for (int c = 0; c < CLIENTS; c++)
        client_cut(&w->clients[c]);
    for (int r = 0; r < REPLICAS; r++)
        replica_stop(&w->replicas[r]);
    for (int c = 0; c < CLIENTS; c++)
        bgw_buf_deinit(&w->clients[c].inbox);
    ledger_deinit(w);
}

/* A failed world is left as it is: its parts may be in the middle of anything. The run ends with it. */
bool sim_run_seed(uint64_t seed, bool verbose, char *failure, size_t cap)
{
    struct world *w = malloc(sizeof(*w));
    world_init(w, seed, verbose);
    if (setjmp(w->fail)) {
        snprintf(failure, cap, "%s", w->failure);
        return false;
    }
    int events = EVENTS_MIN + (int)sim_rand(w, 300);
    while (w->events < events)
        one_event(w);
    settle(w);
    world_deinit(w);
    free(w);
    return true;
}
