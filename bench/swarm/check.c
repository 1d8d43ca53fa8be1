/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: holds what a client is shown against what was published and against what it was shown
 * before. The rules are the contract's, written down a second time on purpose: this file shares no
 * logic with the server beyond the strict JSON scanner and the version text. Called by the speeches.
 */
#include "swarm.h"

#include "bgw/hash.h"

#include <stdio.h>
#include <stdlib.h>

struct slot *swarm_slot(struct swarm *s, struct client *c, int i)
{
    return s->opt.per_client == 1 ? &c->held.one : &c->held.many[i];
}

size_t swarm_key(const struct swarm *s, const struct client *c, int i, char *out, size_t cap)
{
    int n = snprintf(out, cap, "%s%06d", s->opt.prefix, (c->first_account + i) % s->opt.accounts);
    return n < 0 || (size_t)n >= cap ? 0 : (size_t)n;
}

int swarm_account(const struct swarm *s, const struct bgw_json *key)
{
    size_t prefix = strlen(s->opt.prefix);
    struct bgw_slice text = key->raw;
    int64_t account = 0;
    if (key->type != BGW_JSON_STRING || key->escaped || text.len <= prefix || text.len > prefix + 9 ||
        memcmp(text.data, s->opt.prefix, prefix) != 0)
        return -1;
    for (size_t i = prefix; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        account = account * 10 + (text.data[i] - '0');
    }
    return account < s->opt.accounts ? (int)account : -1;
}

struct slot *swarm_slot_of(struct swarm *s, struct client *c, int account)
{
    int at = account - c->first_account;
    if (at < 0)
        at += s->opt.accounts;
    return at < s->opt.per_client ? swarm_slot(s, c, at) : NULL;
}

uint64_t swarm_hash(struct bgw_slice key, struct bgw_slice version)
{
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, key);
    h = bgw_hash_fnv64(h, BGW_SLICE("|NGN|"));
    return bgw_hash_fnv64(h, version);
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
    int64_t feed_ns = atomic_load_explicit(&s->control->feed_ns, memory_order_relaxed);
    if (!board_times(s->board, account, version, &due, &acked)) {
        COUNT(s, unremembered, 1);
        return;
    }
    if (!feed_ns || due < feed_ns)
        return;
    int64_t now = probe_mono_ns();
    hist_add(c->slow ? &s->r->slow_latency : &s->r->latency, now - due);
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

static void check(struct swarm *s, struct client *c, const struct told *t)
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

static bool read_data(const struct bgw_json *d, int64_t *minor)
{
    struct bgw_json name, value;
    for (const char *cursor = NULL; bgw_json_next(d, &cursor, &name, &value);) {
        if (bgw_json_is(&name, "minor")) {
            *minor = strtoll(value.raw.data, NULL, 10);
            return true;
        }
    }
    return false;
}

/* {"k":…,"v":…,"merged":…,"snap":…,"d":{"minor":…}} in one walk. */
static bool read_entry(const struct swarm *s, const struct bgw_json *entry, struct told *t)
{
    struct bgw_json name, value;
    struct bgw_slice key = {0}, version = {0};
    int64_t merged = 0;
    bool data = false;
    *t = (struct told){.account = -1};
    for (const char *cursor = NULL; bgw_json_next(entry, &cursor, &name, &value);) {
        if (bgw_slice_eq(name.raw, BGW_SLICE("k"))) {
            key = value.raw;
            t->account = swarm_account(s, &value);
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("v"))) {
            version = value.raw;
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("d"))) {
            data = read_data(&value, &t->minor);
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("merged"))) {
            if (bgw_json_i64(&value, &merged) != BGW_OK || merged < 0)
                return false;
        } else if (bgw_slice_eq(name.raw, BGW_SLICE("snap"))) {
            t->snap = value.type == BGW_JSON_TRUE;
        }
    }
    t->merged = (uint64_t)merged;
    if (!data || t->account < 0 || !bgw_version_parse(version, &t->version))
        return false;
    t->hash = swarm_hash(key, version);
    return true;
}

void swarm_entry(struct swarm *s, struct client *c, const struct bgw_json *entry)
{
    struct told t;
    if (read_entry(s, entry, &t))
        check(s, c, &t);
    else
        swarm_wrong(s, c, "an entry that cannot be read");
}

void swarm_entries(struct swarm *s, struct client *c, const struct bgw_json *list)
{
    struct bgw_json entry;
    const char *cursor = NULL;
    while (bgw_json_next(list, &cursor, NULL, &entry))
        swarm_entry(s, c, &entry);
}

/* ---- messages that many clients are told alike ---- */

static struct told_memo *memo_of(struct swarm *s, struct bgw_slice message)
{
    uint64_t a, b;
    if (message.len < 48 || message.len > TOLD_BYTES_MAX || !s->memo)
        return NULL;
    memcpy(&a, message.data + 24, 8); /* account and version stand somewhere here */
    memcpy(&b, message.data + 36, 8);
    return &s->memo[((a ^ (b << 1)) * 0x9e3779b97f4a7c15ull >> 40) % TOLD_ENTRIES];
}

bool swarm_known(struct swarm *s, struct client *c, struct bgw_slice message)
{
    const struct told_memo *m = memo_of(s, message);
    if (!m || m->len != message.len || memcmp(m->bytes, message.data, message.len) != 0)
        return false;
    check(s, c, &m->told);
    return true;
}

void swarm_remember(struct swarm *s, struct bgw_slice message, const struct bgw_json *list)
{
    struct told_memo *m = memo_of(s, message);
    struct bgw_json entry, second;
    const char *cursor = NULL;
    if (!m || !bgw_json_next(list, &cursor, NULL, &entry) || bgw_json_next(list, &cursor, NULL, &second))
        return;
    m->len = 0;
    if (!read_entry(s, &entry, &m->told))
        return;
    m->len = (uint32_t)message.len;
    memcpy(m->bytes, message.data, message.len);
}

void swarm_upd(struct swarm *s, struct client *c, struct bgw_slice json)
{
    struct bgw_json root, list;
    if (swarm_known(s, c, json))
        return;
    if (bgw_json_parse(json, &root) != BGW_OK || !bgw_json_member(&root, "u", &list)) {
        swarm_wrong(s, c, "a message that is no update");
        return;
    }
    swarm_entries(s, c, &list);
    swarm_remember(s, json, &list);
}

/* ---- values without a merge count: older never, equal only as the first of a connection ---- */

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

/* ---- at the end ---- */

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
