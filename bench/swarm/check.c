/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: holds what a client is shown against what was published and against what it was shown
 * before. The rules are the contract's, written down a second time on purpose: this file shares no
 * logic with the server beyond the strict JSON scanner and the version text. Called by told.c and by
 * speeches that have no updates of the native form.
 */
#include "swarm.h"

#include <stdio.h>

struct slot *swarm_slot(struct swarm *s, struct client *c, int i)
{
    return s->opt.per_client == 1 ? &c->held.one : &c->held.many[i];
}

size_t swarm_key(const struct swarm *s, const struct client *c, int i, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s%06d", s->opt.prefix, (c->first_account + i) % s->opt.accounts);
    return n < 0 || (size_t)n >= cap ? 0 : (size_t)n;
}

struct slot *swarm_slot_of(struct swarm *s, struct client *c, int account)
{
    int at = account - c->first_account;
    if (at < 0)
        at += s->opt.accounts;
    return at < s->opt.per_client ? swarm_slot(s, c, at) : NULL;
}

void swarm_wrong(struct swarm *s, struct client *c, const char *what)
{
    COUNT(s, protocol_errors, 1);
    if (!s->r->error[0])
        snprintf(s->r->error, sizeof(s->r->error), "client %d: %s", c->number, what);
}

static void note_latency(struct swarm *s, struct client *c, int account, uint64_t version)
{
    int64_t due = 0, acked = 0;
    if (!s->board)
        return;
    int64_t measure_ns = atomic_load_explicit(&s->control->measure_ns, memory_order_relaxed);
    if (!board_times(s->board, account, version, &due, &acked)) {
        COUNT(s, unremembered, 1);
        return;
    }
    if (!measure_ns || due < measure_ns)
        return;
    int64_t now = probe_mono_ns();
    hist_add(c->slow ? &s->r->slow_latency : &s->r->latency, now - due);
    if (acked || s->opt.feed.sink == FEED_KAFKA) /* received before it was confirmed; others never confirm */
        hist_add(c->slow ? &s->r->slow_commit : &s->r->commit, acked ? now - acked : 0);
}

/* Takes a version over into the slot and what it is worth into the sums. */
static void hold(struct swarm *s, struct client *c, struct slot *slot, const struct told *t)
{
    uint64_t before = slot->has ? slot->version.seq : 0;
    slot->version = t->version;
    slot->has = true;
    slot->again = false;
    if (c->slow) {
        COUNT(s, slow_entries, 1);
        COUNT(s, slow_merged, t->merged);
        return;
    }
    COUNT(s, entries, 1);
    COUNT(s, merged, t->merged);
    COUNT(s, held, t->version.seq - before);
}

static void check_value(struct swarm *s, const struct told *t)
{
    if (t->minor != feed_value(t->version.seq, t->account))
        COUNT(s, wrong_values, 1);
    if (s->board && t->version.seq > board_newest(s->board, t->account))
        COUNT(s, futures, 1);
}

static void check_order(struct swarm *s, const struct slot *slot, const struct told *t)
{
    if (!slot->has || slot->version.epoch != t->version.epoch)
        return;
    int order = bgw_version_compare(t->version, slot->version);
    if (order < 0)
        COUNT(s, regressions, 1);
    else if (slot->again && order > 0)
        COUNT(s, missed, t->snap ? 0 : t->version.seq - slot->version.seq - 1);
    else if (order == 0 && !t->snap && !slot->again)
        COUNT(s, duplicates, 1);
    else if (order > 0 && !t->snap && t->version.seq != slot->version.seq + t->merged + 1)
        COUNT(s, gaps, 1);
}

void swarm_check(struct swarm *s, struct client *c, const struct told *t)
{
    struct slot *slot = swarm_slot_of(s, c, t->account);
    if (!slot) {
        swarm_wrong(s, c, "an entry of an account that it did not ask for");
        return;
    }
    bool again = slot->again;
    check_value(s, t);
    check_order(s, slot, t);
    if (!slot->has && s->first_value)
        hist_add(s->first_value, probe_mono_ns() - s->released_ns);
    if (t->snap)
        COUNT(s, snapshots, 1);
    else if (!again)
        note_latency(s, c, t->account, t->version.seq);
    c->digest ^= slot->hash ^ t->hash;
    slot->hash = t->hash;
    hold(s, c, slot, t);
}

/* Without a merge count: older never, equal only as the first of a connection. */
void swarm_value_seen(struct swarm *s, struct client *c, const struct bgw_json *record)
{
    struct bgw_json id, v, minor;
    struct told t = {.account = -1};
    if (!bgw_json_member(record, "accountId", &id) || !bgw_json_member(record, "v", &v) ||
        !bgw_json_member(record, "minor", &minor) || bgw_json_u63(&v, &t.version.seq) != BGW_OK ||
        bgw_json_i64(&minor, &t.minor) != BGW_OK || (t.account = swarm_account(s, &id)) < 0) {
        swarm_wrong(s, c, "a record that cannot be read");
        return;
    }
    struct slot *slot = swarm_slot_of(s, c, t.account);
    if (!slot) {
        swarm_wrong(s, c, "a record of an account that it did not ask for");
        return;
    }
    check_value(s, &t);
    if (slot->has && t.version.seq < slot->version.seq)
        COUNT(s, regressions, 1);
    if (slot->has && t.version.seq == slot->version.seq && !slot->again)
        COUNT(s, duplicates, 1);
    if (slot->has && !slot->again)
        note_latency(s, c, t.account, t.version.seq);
    else
        COUNT(s, snapshots, 1);
    hold(s, c, slot, &t);
}

void swarm_count_behind(struct swarm *s)
{
    for (int i = 0; s->board && i < s->count; i++) {
        struct client *c = &s->clients[i];
        for (int k = 0; k < s->opt.per_client; k++) {
            const struct slot *slot = swarm_slot(s, c, k);
            uint64_t newest = board_newest(s->board, (c->first_account + k) % s->opt.accounts);
            if (newest && (!slot->has || slot->version.seq < newest))
                results_add(c->slow ? &s->r->slow_behind : &s->r->behind, 1);
        }
    }
}
