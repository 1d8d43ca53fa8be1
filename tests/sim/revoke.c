/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke: tokens, subjects and accounts that are taken back. Each revocation reaches each replica
 * at a time of its own, within a second; a replica that starts has read them all. Checked: from its
 * arrival on nothing that it takes away is encoded there, nobody else loses anything, a token that
 * was taken back opens and refreshes nothing, and a newer token sees again what it grants.
 */
#include "sim.h"

#include "bgw/hash.h"

#define ARRIVAL_MS 1000 /* as promised */
#define WALK_MS 100     /* an idle session is looked through within that */
#define ENTRIES_MAX 1000

/* ---- what the world knows ---- */

static bool alive(const struct world *w, const struct taken *t)
{
    return t->until_s > w->now.wall_ms / 1000;
}

static bool takes_token(const struct client *c, const struct taken *t)
{
    if (!alive(c->world, t))
        return false;
    if (t->kind == BGW_REVOKE_TOKEN)
        return t->jti == c->jti;
    return t->kind == BGW_REVOKE_SUBJECT && t->subject == c->subject && c->issued_s < t->before_s;
}

static bool takes_account(const struct client *c, const struct taken *t, int account)
{
    if (takes_token(c, t))
        return true;
    return t->kind == BGW_REVOKE_ACCOUNTS && alive(c->world, t) && t->subject == c->subject &&
           t->accounts & (1u << account);
}

/* since: it has been at the client's replica for so long */
static bool arrived(const struct client *c, const struct taken *t, int64_t since_ms)
{
    return t->arrived[c->replica] && c->world->now.mono_ms >= t->arrived_ms[c->replica] + since_ms;
}

bool revoke_token_known(const struct client *c, int64_t since_ms)
{
    const struct world *w = c->world;
    for (int i = 0; i < w->taken_count; i++)
        if (arrived(c, &w->taken[i], since_ms) && takes_token(c, &w->taken[i]))
            return true;
    return false;
}

static bool account_known(const struct client *c, int account, int64_t since_ms)
{
    const struct world *w = c->world;
    for (int i = 0; i < w->taken_count; i++)
        if (arrived(c, &w->taken[i], since_ms) && takes_account(c, &w->taken[i], account))
            return true;
    return false;
}

/* The client knows from its issuer what it may not have for now. */
bool revoke_account(const struct client *c, int account)
{
    const struct world *w = c->world;
    for (int i = 0; i < w->taken_count; i++)
        if (w->taken[i].kind == BGW_REVOKE_ACCOUNTS && takes_account(c, &w->taken[i], account))
            return true;
    return false;
}

/* ---- its way to the replicas ---- */

static void add(struct replica *r, struct taken *t)
{
    struct world *w = r->world;
    struct bgw_revocation what = {.kind = t->kind, .any_tenant = t->any_tenant, .before_s = t->before_s,
                                  .id_hash = t->kind == BGW_REVOKE_TOKEN ? t->jti : t->subject, .until_s = t->until_s};
    memcpy(what.tenant, w->feed.default_tenant.data, w->feed.default_tenant.len);
    for (int a = 0; a < ACCOUNTS; a++)
        if (t->kind == BGW_REVOKE_ACCOUNTS && t->accounts & (1u << a))
            what.accounts[what.account_count++] = bgw_hash_keyed(bgw_slice_str(sim_account(a * PARTS)));
    if (bgw_revocations_add(r->revocations, &what, w->now) != BGW_OK)
        sim_fail(w, "a revocation was refused");
    if (t->arrived[r->index])
        return;
    t->arrived[r->index] = true;
    t->arrived_ms[r->index] = w->now.mono_ms;
    sim_trace(w, "revocation %d is known to replica %d", (int)(t - w->taken), r->index);
}

/* Ready is who has read the topic to its end. */
void revoke_start(struct replica *r)
{
    struct world *w = r->world;
    if (bgw_revocations_create(&r->revocations, ENTRIES_MAX) != BGW_OK)
        sim_fail(w, "no set of revocations");
    for (int i = 0; i < w->taken_count; i++) {
        sim_faults[FAULT_revocation_replayed]++;
        add(r, &w->taken[i]);
    }
}

void revoke_arrive(struct replica *r)
{
    struct world *w = r->world;
    for (int i = 0; i < w->taken_count; i++)
        if (!w->taken[i].arrived[r->index] && w->taken[i].due_ms[r->index] <= w->now.mono_ms)
            add(r, &w->taken[i]);
}

static void issue(struct world *w)
{
    struct client *c = &w->clients[sim_rand(w, CLIENTS)];
    int64_t now_s = w->now.wall_ms / 1000;
    struct taken *t = &w->taken[w->taken_count];
    *t = (struct taken){.kind = (uint8_t)sim_rand(w, 3), .any_tenant = sim_chance(w, 50), .subject = c->subject,
                        .jti = c->jti, .issued_ms = w->now.mono_ms, .until_s = now_s + 70};
    if (t->kind == BGW_REVOKE_TOKEN) {
        sim_faults[FAULT_revoked_token]++;
    } else if (t->kind == BGW_REVOKE_SUBJECT) {
        t->before_s = now_s + (int64_t)sim_rand(w, 2);
        sim_faults[FAULT_revoked_subject]++;
    } else {
        t->accounts = 1u << sim_rand(w, ACCOUNTS) | 1u << sim_rand(w, ACCOUNTS);
        t->until_s = now_s + 2 + (int64_t)sim_rand(w, 20);
        sim_faults[FAULT_revoked_accounts]++;
    }
    for (int r = 0; r < REPLICAS; r++)
        t->due_ms[r] = w->now.mono_ms + (sim_chance(w, 50) ? 0 : (int64_t)sim_rand(w, ARRIVAL_MS));
    w->taken_count++;
    sim_trace(w, "revocation %d of client %d: kind %d accounts %x", w->taken_count - 1, c->index, t->kind, t->accounts);
}

/* They often come together: somebody's phone was stolen. */
void revoke_some(struct world *w)
{
    for (uint64_t n = 1 + sim_rand(w, 3); n > 0 && w->taken_count < TAKEN_MAX; n--)
        issue(w);
}

/* ---- checks, when the shard speaks ---- */

void revoke_check_update(struct client *c, int slot)
{
    struct world *w = c->world;
    for (int i = 0; i < w->taken_count; i++) {
        const struct taken *t = &w->taken[i];
        if (!takes_account(c, t, slot / PARTS))
            continue;
        if (t->arrived[c->replica])
            sim_fail(w, "client %d was sent slot %d, which revocation %d took back", c->index, slot, i);
        if (w->now.mono_ms >= t->issued_ms + ARRIVAL_MS)
            sim_fail(w, "client %d was sent slot %d a second after revocation %d", c->index, slot, i);
    }
    sim_checks[CHECKED_nothing_revoked_is_sent]++;
    sim_checks[CHECKED_newer_token_heals] += c->was_revoked;
}

/* Was there a reason? The words may have waited for a slow socket longer than the revocation lived. */
static bool was_taken(const struct client *c, int account)
{
    const struct world *w = c->world;
    for (int i = 0; i < w->taken_count; i++) {
        const struct taken *t = &w->taken[i];
        if (t->arrived[c->replica] && t->kind == BGW_REVOKE_ACCOUNTS && t->subject == c->subject &&
            t->accounts & (1u << account))
            return true;
    }
    return c->doomed || account_known(c, account, 0);
}

/* What is taken away for this reason was taken back. */
void revoke_check_revoked(struct client *c, const struct sim_message *m)
{
    struct bgw_slice text, list = m->list;
    bool by_revocation = bgw_slice_eq(m->text, BGW_SLICE("revoked"));
    for (char tag; sim_list_next(&list, &tag, &text);) {
        int account = text.data[1] - '0';
        for (int p = 0; p < PARTS; p++)
            c->held[account * PARTS + p].sent_has = false;
        if (!by_revocation)
            continue;
        if (!was_taken(c, account))
            sim_fail(c->world, "client %d: account %d is called revoked, and is not", c->index, account);
        sim_checks[CHECKED_only_revoked_is_taken]++;
    }
}

void revoke_check_denied(struct client *c, int account)
{
    if (!was_taken(c, account))
        sim_fail(c->world, "client %d: account %d is denied as revoked, and is not", c->index, account);
    sim_checks[CHECKED_revoked_is_refused]++;
}

void revoke_check_bye(struct client *c, const struct sim_message *m)
{
    if (m->id != 3510)
        return;
    if (!c->doomed && !revoke_token_known(c, 0))
        sim_fail(c->world, "client %d is ended as revoked, and its token was not", c->index);
    sim_checks[CHECKED_only_revoked_is_taken]++;
    sim_checks[CHECKED_revoked_is_refused] += c->opened_revoked;
}

/* After a turn of its shard: whoever can be told has been told. */
void revoke_check_turn(const struct rig *rig)
{
    struct world *w = rig->replica->world;
    for (int i = 0; i < CLIENTS; i++) {
        const struct client *c = &w->clients[i];
        if (!c->connected || c->replica != rig->replica->index || c->rig != rig->index || c->blocked || c->hung_up)
            continue;
        if (revoke_token_known(c, WALK_MS))
            sim_fail(w, "client %d is still connected with a token that was taken back", i);
        for (int s = 0; s < SLOTS; s++)
            if (c->held[s].sent_has && account_known(c, s / PARTS, WALK_MS))
                sim_fail(w, "client %d was not told that slot %d was taken back", i, s);
        sim_checks[CHECKED_revoked_are_told]++;
    }
}
