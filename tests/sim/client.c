/* SPDX-License-Identifier: Apache-2.0 */
/*
 * client: a model client: connects to either replica, subscribes with what it holds, reads slowly
 * or not at all, changes its token, goes away without a word. What it may rely on is in checks.c.
 */
#include "sim.h"

#include <stdlib.h>

#define RESUME_ONLY_PERCENT 30

static struct rig *rig_of(struct client *c)
{
    return &c->world->replicas[c->replica].rigs[c->rig];
}

static void claims_of(struct client *c, struct bgw_claims *claims)
{
    struct world *w = c->world;
    *claims = (struct bgw_claims){.subject_hash = c->subject, .expires_ms = c->expires_wall_ms,
                                  .jti_hash = c->jti, .issued_s = c->issued_s,
                                  .grants = bgw_grants_create(false)};
    memcpy(claims->tenant, w->feed.default_tenant.data, w->feed.default_tenant.len);
    for (int a = 0; a < ACCOUNTS; a++)
        if (c->grants & (1u << a) && bgw_grants_add(claims->grants, bgw_slice_str(sim_account(a * PARTS))) != BGW_OK)
            sim_fail(w, "no grant");
    bgw_grants_seal(claims->grants);
}

static void new_token(struct client *c, int64_t lives_ms)
{
    struct world *w = c->world;
    c->jti = ++w->next_jti;
    c->issued_s = w->now.wall_ms / 1000;
    c->expires_wall_ms = w->now.wall_ms + lives_ms;
    c->token_dead = false;
}

static struct pending *expect(struct client *c)
{
    for (int i = 0; i < PENDING_MAX; i++) {
        if (c->pending[i].used)
            continue;
        c->pending[i] = (struct pending){.used = true, .id = ++c->next_id};
        return &c->pending[i];
    }
    return NULL;
}

/* A token cannot speak of a topic that was made anew after it was given: who holds something of that presents versions, or finds
 * out by the digest. */
static bool of_its_epochs(const struct client *c)
{
    for (int s = 0; s < SLOTS; s++) {
        const struct held *h = &c->held[s];
        if (h->seen && h->version.epoch != h->mark_epoch)
            return false;
    }
    return true;
}

void client_connect(struct client *c, int replica)
{
    struct world *w = c->world;
    struct bgw_claims claims;
    sim_faults[FAULT_client_moved] += c->replica != replica;
    c->replica = replica;
    c->rig = (int)sim_rand(w, SHARDS);
    c->connected = true;
    c->blocked = c->hung_up = c->slow = c->rated = c->hello_seen = false;
    c->key_answered = 0;
    memset(c->covered_by, 0, sizeof(c->covered_by));
    memset(c->ended_by, 0, sizeof(c->ended_by));
    c->last_ok = 0;
    for (int s = 0; s < SLOTS; s++) {
        struct held *h = &c->held[s];
        h->hash = 0;
        h->state_known = h->sent_has = h->contiguous = h->repair_due = h->followed = h->floor_due = false;
    }
    if (c->blind)
        memset(c->held, 0, sizeof(c->held)); /* each connection begins from nothing */
    sim_faults[FAULT_blind_client] += c->blind;
    memset(c->pending, 0, sizeof(c->pending));
    if (c->expires_wall_ms <= w->now.wall_ms || c->token_dead)
        new_token(c, 5000 + (int64_t)sim_rand(w, 60000));
    c->doomed = false;
    c->opened_revoked = revoke_token_known(c, 0);
    sim_faults[FAULT_revoked_presented] += c->opened_revoked;
    claims_of(c, &claims);
    struct bgw_shard *shard = rig_of(c)->shard;
    bool first_message = sim_chance(w, 30);
    bgw_shard_set_now(shard, w->now);
    if (bgw_session_open(shard, c, c->blind ? &sim_blind_dialect : &sim_dialect, first_message ? NULL : &claims, w->now, &c->session) != BGW_OK)
        sim_fail(w, "no session");
    struct bgw_slice resume = {NULL, 0};
    struct client *other = &w->clients[(c->index + 1 + (int)sim_rand(w, CLIENTS - 1)) % CLIENTS];
    bool own = false;
    if (c->blind) {
        c->resume_len = 0;
    } else if (c->resume_len && sim_chance(w, 60)) {
        resume = bgw_slice_of(c->resume, c->resume_len);
        own = true;
        sim_faults[FAULT_resume_presented]++;
    } else if (!w->quiet && other->resume_len && sim_chance(w, 40)) {
        resume = bgw_slice_of(other->resume, other->resume_len);
        sim_faults[FAULT_foreign_resume]++;
        sim_trace(w, "client %d presents the token of client %d", c->index, other->index);
        memset(c->held, 0, sizeof(c->held)); /* somebody else's token on a new phone: nothing is held */
        c->resume_len = 0;
        memcpy(c->want_whole, other->want_whole, sizeof(c->want_whole));
        memcpy(c->want_part, other->want_part, sizeof(c->want_part));
    }
    if (first_message || resume.len)
        bgw_session_hello(shard, c->session, first_message ? &claims : NULL, resume, w->now);
    bgw_claims_deinit(&claims);
    sim_trace(w, "client %d connects to replica %d shard %d", c->index, replica, c->rig);
    /* Where sources run ahead of the stream a token alone cannot say how far: such clients present versions. */
    client_subscribe(c, own && !w->source && of_its_epochs(c) && sim_chance(w, RESUME_ONLY_PERCENT));
}

void client_cut(struct client *c)
{
    if (!c->connected)
        return;
    c->connected = false;
    sim_trace(c->world, "client %d is cut", c->index);
    bgw_session_close(rig_of(c)->shard, c->session);
    c->session = NULL;
    if (sim_chance(c->world, 50)) /* what was on the wire may or may not have arrived */
        client_read(c, 1000000);
    bgw_buf_clear(&c->inbox);
}

static size_t name_key(struct bgw_sub_key *k, char *text, int account, int part)
{
    int n = part < 0 ? snprintf(text, 16, "%s", sim_account(account * PARTS))
                     : snprintf(text, 16, "%s/%s", sim_account(account * PARTS), part ? "USD" : "NGN");
    *k = (struct bgw_sub_key){.text = bgw_slice_of(text, (size_t)n), .key = bgw_slice_of(text, 2),
                              .part = part < 0 ? 0 : sim_part(part)};
    return (size_t)n;
}

static uint32_t key_bit(int account, int part)
{
    return 1u << (account * 3 + part + 1);
}

/* What the client holds of the key, as `since`: for whole keys by currency. */
static uint32_t present(struct client *c, struct bgw_sub_key *k, struct bgw_since *since, int account, int part)
{
    size_t n = 0;
    uint32_t presented = 0;
    for (int p = 0; p < PARTS; p++) {
        const struct held *h = &c->held[account * PARTS + p];
        if (!h->seen || (part >= 0 && part != p))
            continue;
        presented |= 1u << (account * PARTS + p);
        since[n++] = (struct bgw_since){.part = part < 0 ? sim_part(p) : 0, .version = h->version};
    }
    k->since = since;
    k->since_count = n;
    sim_faults[FAULT_since_presented] += n > 0;
    return presented;
}

/* Everything that is wanted, in one command. Without `since` what was held before counts for nothing. */
void client_subscribe(struct client *c, bool resume_only)
{
    struct bgw_sub_key keys[ACCOUNTS * 3];
    struct bgw_since since[ACCOUNTS * 3][PARTS];
    char texts[ACCOUNTS * 3][16];
    size_t n = 0;
    struct pending *p = expect(c);
    if (!p)
        return;
    p->is_sub = true;
    p->by_token = resume_only;
    for (int a = 0; a < ACCOUNTS; a++) {
        for (int part = -1; part < PARTS; part++) {
            if (!(part < 0 ? c->want_whole[a] : c->want_part[a * PARTS + part]))
                continue;
            name_key(&keys[n], texts[n], a, part);
            for (int q = 0; q < PARTS && c->blind; q++)
                if (part < 0 || part == q)
                    check_floor(c, a * PARTS + q);
            if (!resume_only && !c->blind)
                p->presented |= present(c, &keys[n], since[n], a, part);
            p->keys |= key_bit(a, part);
            n++;
        }
    }
    p->answered = c->key_answered & p->keys;
    sim_trace(c->world, "client %d sub %llu keys %x answered %x", c->index, (unsigned long long)p->id, p->keys, p->answered);
    bgw_shard_set_now(rig_of(c)->shard, c->world->now);
    bgw_session_sub(rig_of(c)->shard, c->session, p->id, BGW_SLICE("balance"), keys, n);
}

static void subscribe_more(struct client *c)
{
    struct world *w = c->world;
    int a = (int)sim_rand(w, ACCOUNTS);
    if (sim_chance(w, 60))
        c->want_whole[a] = true;
    else
        c->want_part[a * PARTS + (int)sim_rand(w, PARTS)] = true;
    client_subscribe(c, false);
}

static void unsubscribe(struct client *c)
{
    struct world *w = c->world;
    struct bgw_sub_key key;
    char text[16];
    int a = (int)sim_rand(w, ACCOUNTS), part = (int)sim_rand(w, PARTS + 1) - 1;
    bool *want = part < 0 ? &c->want_whole[a] : &c->want_part[a * PARTS + part];
    struct pending *p = *want ? expect(c) : NULL;
    if (!p)
        return;
    p->is_unsub = true;
    p->keys = key_bit(a, part);
    *want = false;
    for (int q = 0; q < PARTS; q++) { /* what the shard sent before says nothing about a subscription after */
        struct held *h = &c->held[a * PARTS + q];
        h->sent_has &= c->want_whole[a] || c->want_part[a * PARTS + q];
        h->followed &= c->want_whole[a] || c->want_part[a * PARTS + q];
        h->floor_due &= h->followed;
    }
    sim_faults[FAULT_unsubscribed]++;
    sim_trace(w, "client %d unsub %llu keys %x", c->index, (unsigned long long)p->id, p->keys);
    name_key(&key, text, a, part);
    bgw_session_unsub(rig_of(c)->shard, c->session, p->id, BGW_SLICE("balance"), &key, 1);
}

/* A new token names again what was taken back: the client asks for it. */
static void insist(struct client *c)
{
    for (int a = 0; a < ACCOUNTS; a++) {
        if (!revoke_account(c, a))
            continue;
        c->want_whole[a] = true;
        client_subscribe(c, false);
        return;
    }
}

/* A new token of the same subject: other grants, or a longer life. */
void client_refresh(struct client *c)
{
    struct world *w = c->world;
    struct bgw_claims claims;
    struct pending *p = expect(c);
    if (!p)
        return;
    c->doomed |= revoke_token_known(c, 0);
    new_token(c, w->quiet ? 10000000 : 500 + (int64_t)sim_rand(w, 60000));
    c->grants = w->quiet ? (1u << ACCOUNTS) - 1 : c->grants ^ (1u << sim_rand(w, ACCOUNTS));
    for (int slot = 0; slot < SLOTS; slot++)
        c->held[slot].sent_has &= (c->grants >> (slot / PARTS)) & 1;
    sim_faults[FAULT_grants_changed]++;
    sim_trace(w, "client %d refresh %llu grants %x", c->index, (unsigned long long)p->id, c->grants);
    claims_of(c, &claims);
    bgw_session_refresh(rig_of(c)->shard, c->session, p->id, &claims);
    bgw_claims_deinit(&claims);
    if (!w->quiet && sim_chance(w, 50))
        insist(c);
}

/* Somebody tries with what was taken back: nothing may come of it. */
static void refresh_stolen(struct client *c)
{
    struct bgw_claims claims;
    struct client stolen = *c;
    stolen.jti = c->old_jti;
    stolen.issued_s = 0;
    stolen.grants = (1u << ACCOUNTS) - 1;
    struct pending *p = c->old_jti && revoke_token_known(&stolen, 0) ? expect(c) : NULL;
    if (!p)
        return;
    p->is_stolen = true;
    sim_faults[FAULT_revoked_presented]++;
    claims_of(&stolen, &claims);
    bgw_session_refresh(rig_of(c)->shard, c->session, p->id, &claims);
    bgw_claims_deinit(&claims);
}

static void command(struct client *c)
{
    struct world *w = c->world;
    struct bgw_shard *shard = rig_of(c)->shard;
    uint64_t kind = sim_rand(w, 15);
    struct pending *p = NULL;
    if (!c->session || !bgw_session_authenticated(c->session) || bgw_session_choked(c->session))
        return;
    bgw_shard_set_now(shard, w->now);
    if (kind < 3)
        subscribe_more(c);
    else if (kind < 5)
        unsubscribe(c);
    else if (kind < 7)
        client_refresh(c);
    else if (kind == 14)
        refresh_stolen(c);
    else if ((p = expect(c)) == NULL)
        return;
    else if (kind < 9)
        bgw_session_ping(shard, c->session, p->id);
    else if (kind < 11) {
        sim_faults[FAULT_repair]++;
        sim_trace(w, "client %d repair %llu", c->index, (unsigned long long)p->id);
        p->is_repair = true;
        bgw_session_repair(shard, c->session, p->id);
    } else {
        c->rated = !c->rated;
        sim_faults[FAULT_rate_limited] += c->rated;
        bgw_session_rate(shard, c->session, p->id, c->rated ? 2000 : 0, 0);
    }
}

static void wake(struct client *c)
{
    c->slow = false;
    if (c->blocked) {
        c->blocked = false;
        bgw_session_on_writable(rig_of(c)->shard, c->session, c->world->now);
    }
}

void client_step(struct client *c)
{
    struct world *w = c->world;
    if (!c->connected) {
        if (sim_chance(w, 40))
            client_connect(c, (int)sim_rand(w, REPLICAS));
        return;
    }
    switch (sim_rand(w, 12)) {
    case 0:
        if (!c->slow) {
            sim_faults[FAULT_client_slow]++;
            c->slow = true;
        } else {
            wake(c);
        }
        break;
    case 1:
        if (sim_chance(w, 30)) {
            sim_faults[FAULT_client_cut]++;
            client_cut(c);
        }
        break;
    case 2:
    case 3:
    case 4:
        command(c);
        break;
    default:
        if (!c->slow)
            client_read(c, 1 + sim_rand(w, 20));
        if (c->session && sim_chance(w, 50))
            bgw_session_on_pong(rig_of(c)->shard, c->session, w->now);
        break;
    }
}

enum bgw_sent client_receive(struct client *c, struct bgw_slice bytes)
{
    if (c->blocked)
        sim_fail(c->world, "the shard wrote to a connection that was not writable");
    check_sent(c, bytes);
    bgw_buf_append(&c->inbox, bytes);
    if (c->inbox.failed)
        sim_fail(c->world, "I5: a client's unread bytes have no bound");
    if (!c->slow)
        return BGW_SENT_ALL;
    c->blocked = true;
    return BGW_SENT_BUFFERED;
}

void client_read(struct client *c, size_t at_most)
{
    struct bgw_slice at = bgw_buf_slice(&c->inbox);
    struct sim_message m;
    while (at.len && at_most-- > 0) {
        if (!sim_decode(&at, &m))
            sim_fail(c->world, "a message was cut");
        check_read(c, &m);
    }
    bgw_buf_consume(&c->inbox, c->inbox.len - at.len);
}

/* Faults have stopped: come back, with a token for everything, and read all. */
void client_settle(struct client *c)
{
    struct world *w = c->world;
    for (int slot = 0; slot < SLOTS; slot++)
        if (revoke_account(c, slot / PARTS))
            c->want_whole[slot / PARTS] = c->want_part[slot] = false;
    if (!c->connected)
        client_connect(c, (int)sim_rand(w, REPLICAS));
    wake(c);
    client_read(c, 1000000);
    bgw_session_on_pong(rig_of(c)->shard, c->session, w->now);
    if (c->grants != (1u << ACCOUNTS) - 1 || c->expires_wall_ms < w->now.wall_ms + 1000000) {
        client_refresh(c);
        client_subscribe(c, false);
    }
    if (c->rated) {
        struct pending *p = expect(c);
        if (p)
            bgw_session_rate(rig_of(c)->shard, c->session, p->id, 0, 0);
        c->rated = false;
    }
}

void client_check_deadlines(struct client *c)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (c->pending[i].used)
            sim_fail(c->world, "I6: client %d's command %llu has no %s", c->index,
                     (unsigned long long)c->pending[i].id, c->pending[i].replied ? "live" : "answer");
    sim_checks[CHECKED_I6_answered]++;
}

bool client_converged(struct client *c, char *why, size_t cap)
{
    const struct world *w = c->world;
    for (int s = 0; s < SLOTS; s++) {
        const struct held *h = &c->held[s];
        const struct ledger_slot *l = &w->ledger[s];
        bool wanted = c->want_whole[s / PARTS] || c->want_part[s];
        if (!wanted || !l->has)
            continue;
        if (!h->has || h->minor != l->minor || (h->state_known && h->state != BGW_STATE_FRESH)) {
            snprintf(why, cap, "client %d slot %d holds %lld (has %d, state %d), the ledger %lld v %llu", c->index, s,
                     (long long)h->minor, h->has, h->state_known ? h->state : -1, (long long)l->minor,
                     (unsigned long long)l->v);
            return false;
        }
    }
    return true;
}
