/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checks: the invariants, held against each message: some when the shard speaks (grants, expiry,
 * watermarks: they are about the moment of encoding), the rest when the client reads.
 */
#include "sim.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"

static int slot_of(const struct sim_message *m)
{
    return sim_slot_of(m->text, m->part);
}

/* ---- when the shard speaks ---- */

static void trace(struct client *c, const char *what, struct sim_message m)
{
    char items[512] = "";
    struct bgw_slice text;
    size_t n = 0;
    for (char tag; sim_list_next(&m.list, &tag, &text) && n < sizeof(items) - 32;)
        n += (size_t)snprintf(items + n, sizeof(items) - n, " %c:%.*s", tag, (int)text.len, text.data);
    sim_trace(c->world, "client %d %s %c id %llu %.*s part %x v %llx.%llu.%llu minor %lld merged %llu snap %d state %d%s",
              c->index, what, m.kind, (unsigned long long)m.id, m.kind == 'M' ? 0 : (int)m.text.len, m.text.data, m.part,
              (unsigned long long)m.version.epoch & 0xffff, (unsigned long long)m.version.seq,
              (unsigned long long)m.version.read, (long long)m.minor, (unsigned long long)m.merged, m.snap, m.state,
              items);
}

/* -1: an alias. */
static int life_of(const struct world *w, uint64_t epoch)
{
    for (int i = 0; i < w->topics; i++)
        if (w->topic_lives[i].epoch == epoch)
            return i;
    return -1;
}

static void raise_to(struct bgw_version *to, struct bgw_version v)
{
    if (!to->epoch || bgw_version_compare(v, *to) > 0)
        *to = v;
}

/* What the log of this life tells of the slot: versions are the ledger's. */
static void raise_to_log(const struct world *w, int slot, int life, struct bgw_version *to)
{
    const struct topic *t = &w->topic_lives[life];
    const struct partition_log *log = &t->logs[ledger_partition(w, slot, t->partitions)];
    for (int64_t i = 0; i < log->end; i++)
        if (log->records[i].slot == slot && log->records[i].kind != LOG_GARBAGE && log->records[i].has_v)
            raise_to(to, (struct bgw_version){t->epoch, log->records[i].v, 0});
}

/* A subscription begins: its first value is at least what anybody has been sent up to now. Where sources run ahead of the
 * stream nobody can know that here: there it is at least what the log says. */
void check_floor(struct client *c, int slot)
{
    struct world *w = c->world;
    struct held *h = &c->held[slot];
    int life = w->replicas[c->replica].topic;
    if (h->followed)
        return;
    h->followed = h->floor_due = true;
    memset(h->floor, 0, sizeof(h->floor));
    if (!w->source)
        memcpy(h->floor, w->shown[slot], sizeof(h->floor));
    raise_to_log(w, slot, life, &h->floor[life]);
}

/* True: it is too old to go without a label. */
static bool below_floor(struct client *c, int slot, struct bgw_version v)
{
    struct held *h = &c->held[slot];
    int life = life_of(c->world, v.epoch);
    if (!c->blind || !h->floor_due)
        return false;
    h->floor_due = false;
    if (life < 0)
        sim_fail(c->world, "client %d presents nothing and is shown an alias", c->index);
    sim_checks[CHECKED_blind_first_is_proved] += h->floor[life].epoch != 0;
    return h->floor[life].epoch && bgw_version_compare(v, h->floor[life]) < 0;
}

/* Returns the slots of the write that need a label, as bits. */
static uint32_t sent_update(struct client *c, const struct sim_message *m)
{
    struct world *w = c->world;
    int slot = slot_of(m);
    if (slot < 0)
        sim_fail(w, "an update of nobody's slot");
    if (!(c->grants & (1u << (slot / PARTS))))
        sim_fail(w, "I2: client %d was sent slot %d without a grant", c->index, slot);
    sim_checks[CHECKED_I2_grant_at_delivery]++;
    if (w->now.wall_ms >= c->expires_wall_ms)
        sim_fail(w, "I7: client %d was sent slot %d after its token expired", c->index, slot);
    sim_checks[CHECKED_I7_nothing_after_expiry]++;
    revoke_check_update(c, slot);
    uint32_t too_old = below_floor(c, slot, m->version) ? 1u << slot : 0;
    int life = life_of(w, m->version.epoch);
    if (life >= 0)
        raise_to(&w->shown[slot][life], m->version);
    reader_shown(&w->replicas[c->replica], slot, m->version);
    c->held[slot].sent = m->version;
    c->held[slot].sent_has = true;
    return too_old;
}

/* The slots that a state message calls delayed or worse. */
static uint32_t sent_labels(const struct sim_message *m)
{
    struct bgw_slice text, list = m->list;
    uint32_t slots = 0;
    for (char tag; m->state >= BGW_STATE_DELAYED && sim_list_next(&list, &tag, &text);)
        slots |= 1u << ((text.data[1] - '0') * PARTS + (text.len > 2 && text.data[3] == 'U'));
    return slots;
}

static void sent_mark(struct client *c)
{
    struct world *w = c->world;
    const struct rig *rig = &w->replicas[c->replica].rigs[c->rig];
    for (int s = 0; s < SLOTS; s++) {
        const struct held *h = &c->held[s];
        bool wanted = c->want_whole[s / PARTS] || c->want_part[s];
        if (!h->sent_has || !wanted || !rig->applied_has[s] || !(c->grants & (1u << (s / PARTS))))
            continue;
        if (h->sent.seq != rig->applied[s].seq || h->sent.read != rig->applied[s].read)
            sim_fail(w, "client %d: a mark while slot %d is pending: sent %llx.%llu, applied %llx.%llu", c->index, s,
                     (unsigned long long)h->sent.epoch, (unsigned long long)h->sent.seq,
                     (unsigned long long)rig->applied[s].epoch, (unsigned long long)rig->applied[s].seq);
        sim_checks[CHECKED_mark_nothing_pending]++;
    }
}

static void sent_reply(struct client *c, struct sim_message *m)
{
    struct world *w = c->world;
    const struct rig *rig = &w->replicas[c->replica].rigs[c->rig];
    struct bgw_slice text;
    for (char tag; sim_list_next(&m->list, &tag, &text);) {
        if (tag == 'r')
            revoke_check_denied(c, text.data[1] - '0');
        if (tag != 'c')
            continue;
        if (c->blind)
            sim_fail(w, "client %d presents nothing, and is called current", c->index);
        for (int p = 0; p < PARTS; p++) {
            int slot = sim_slot_of(bgw_slice_of(text.data, 2), sim_part(p));
            struct held *h = &c->held[slot];
            bool covered = text.len == 2 || text.data[3] == (p ? 'U' : 'N');
            if (!covered || !rig->applied_has[slot])
                continue;
            /* Decided a moment ago: a newer value may be pending by now, an older one or none never. What is called
             * current wrongly shows at the next mark, for `sent` is then not what was applied. */
            bool newer = h->seen && h->version.epoch == rig->applied[slot].epoch &&
                         bgw_version_compare(h->version, rig->applied[slot]) > 0;
            if (!h->seen || newer)
                sim_fail(w, "client %d: slot %d is called current, but it is not", c->index, slot);
            sim_checks[CHECKED_current_is_newest]++;
            h->sent = h->version;
            h->sent_has = true;
        }
    }
}

/* A token that was taken back refreshes nothing. */
static void sent_answer(struct client *c, const struct sim_message *m)
{
    for (int i = 0; i < PENDING_MAX; i++) {
        const struct pending *p = &c->pending[i];
        if (!p->used || p->id != m->id || !p->is_stolen)
            continue;
        if (m->kind == 'O' || !bgw_slice_eq(m->text, BGW_SLICE("revoked")))
            sim_fail(c->world, "client %d refreshed with a token that was taken back", c->index);
        sim_checks[CHECKED_revoked_is_refused]++;
    }
}

void check_sent(struct client *c, struct bgw_slice bytes)
{
    struct sim_message m;
    uint32_t too_old = 0, labelled = 0;
    while (bytes.len) {
        if (!sim_decode(&bytes, &m))
            sim_fail(c->world, "the shard cut a message");
        if (c->world->verbose)
            trace(c, "is sent", m);
        if (c->opened_revoked && m.kind != 'B')
            sim_fail(c->world, "client %d came with a token that was taken back, and is told %c", c->index, m.kind);
        if (m.kind == 'U')
            too_old |= sent_update(c, &m);
        else if (m.kind == 'S')
            labelled |= sent_labels(&m);
        else if (m.kind == 'V')
            revoke_check_revoked(c, &m);
        else if (m.kind == 'B')
            revoke_check_bye(c, &m);
        else if (m.kind == 'O' || m.kind == 'E')
            sent_answer(c, &m);
        else if (m.kind == 'M')
            sent_mark(c);
        else if (m.kind == 'R')
            sent_reply(c, &m);
    }
    sim_faults[FAULT_blind_labelled] += (too_old & labelled) != 0;
    if (too_old & ~labelled)
        sim_fail(c->world, "client %d presents nothing and is shown something older than others saw, without a label: slots %x",
                 c->index, too_old & ~labelled);
}

/* ---- when the client reads ---- */

static uint64_t hash_of(int slot, struct bgw_version v)
{
    char text[BGW_VERSION_TEXT_MAX + 32], version[BGW_VERSION_TEXT_MAX], part[4] = {0};
    bgw_part_text(sim_part(slot), part);
    bgw_version_format(v, version);
    int n = snprintf(text, sizeof(text), "%s|%s|%s", sim_account(slot), part, version);
    return bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(text, (size_t)n));
}

uint64_t check_digest(const struct client *c)
{
    uint64_t digest = 0;
    for (int s = 0; s < SLOTS; s++)
        digest ^= c->held[s].hash;
    return digest;
}

static bool of_a_topic(const struct world *w, uint64_t epoch)
{
    for (int i = 0; i < EPOCHS_MAX; i++)
        if (w->topic_lives[i].epoch == epoch)
            return true;
    return false;
}

/* The highest version seen of each of the last few epochs: a client that comes back to one is not fooled either. What comes under
 * an alias says that what the client held is gone, and its epoch begins anew. */
static void check_best(struct client *c, int slot, struct bgw_version v)
{
    struct held *h = &c->held[slot];
    if (!of_a_topic(c->world, v.epoch))
        memset(h->best, 0, sizeof(h->best));
    for (int i = 0; i < 4; i++) {
        if (h->best[i].epoch != v.epoch)
            continue;
        if (bgw_version_compare(v, h->best[i]) < 0)
            sim_fail(c->world, "I1: client %d slot %d went back from %llu.%llu to %llu.%llu", c->index, slot,
                     (unsigned long long)h->best[i].seq, (unsigned long long)h->best[i].read,
                     (unsigned long long)v.seq, (unsigned long long)v.read);
        h->best[i] = v;
        sim_checks[CHECKED_I1_version_never_back]++;
        return;
    }
    memmove(h->best + 1, h->best, 3 * sizeof(h->best[0]));
    h->best[0] = v;
}

static void check_value(struct client *c, int slot, const struct sim_message *m)
{
    struct world *w = c->world;
    const struct commit *commit = ledger_find(w, slot, m->minor);
    if (!commit || commit->removed)
        sim_fail(w, "I4: client %d slot %d shows %lld, which was never written", c->index, slot, (long long)m->minor);
    if (w->with_v[slot / PARTS] && m->version.seq != 0 && !m->version.read && m->version.seq != commit->v)
        sim_fail(w, "I4: client %d slot %d shows %lld of v %llu as v %llu", c->index, slot, (long long)m->minor,
                 (unsigned long long)commit->v, (unsigned long long)m->version.seq);
    sim_checks[CHECKED_I4_value_was_written]++;
}

static void check_gap(struct client *c, int slot, const struct sim_message *m)
{
    struct world *w = c->world;
    const struct held *h = &c->held[slot];
    if (m->snap || !h->contiguous || w->source || !w->with_v[slot / PARTS] || h->version.epoch != m->version.epoch ||
        h->version.seq == 0)
        return;
    if (m->version.seq != h->version.seq + m->merged + 1)
        sim_fail(w, "client %d slot %d: from %llu to %llu with merged %llu", c->index, slot,
                 (unsigned long long)h->version.seq, (unsigned long long)m->version.seq, (unsigned long long)m->merged);
    sim_checks[CHECKED_merged_closes_gaps]++;
}

static void answer_key(struct client *c, int account, int part)
{
    uint32_t bits = 1u << (account * 3);
    bits |= part < 0 ? 0 : 1u << (account * 3 + 1 + part);
    c->key_answered |= bits;
    for (int i = 0; i < PENDING_MAX; i++)
        if (c->pending[i].used && c->pending[i].is_sub)
            c->pending[i].answered |= bits;
}

static void read_update(struct client *c, const struct sim_message *m)
{
    int slot = slot_of(m);
    struct held *h = &c->held[slot];
    check_best(c, slot, m->version);
    check_value(c, slot, m);
    check_gap(c, slot, m);
    if (h->contiguous && !m->snap && h->has && bgw_version_equal(h->version, m->version))
        sim_fail(c->world, "client %d slot %d: version %llu came twice", c->index, slot,
                 (unsigned long long)m->version.seq);
    bool keeps_label = h->state_known && h->state != BGW_STATE_UNKNOWN && h->state != BGW_STATE_REMOVED;
    if (!keeps_label)
        h->state_known = false;
    h->has = h->seen = h->contiguous = true;
    sim_checks[CHECKED_repair_is_whole] += h->repair_due;
    h->repair_due = false;
    h->version = m->version;
    h->minor = m->minor;
    h->hash = hash_of(slot, m->version);
    answer_key(c, slot / PARTS, slot % PARTS);
}

static void read_state(struct client *c, struct sim_message *m)
{
    struct bgw_slice text;
    for (char tag; sim_list_next(&m->list, &tag, &text);) {
        int account = text.data[1] - '0';
        int part = text.len == 2 ? 0 : text.data[3] == 'U';
        struct held *h = &c->held[account * PARTS + part];
        h->state = m->state;
        h->state_known = true;
        if (m->state == BGW_STATE_REMOVED || m->state == BGW_STATE_UNKNOWN) {
            h->hash = 0;
            h->has = h->contiguous = h->sent_has = h->repair_due = false;
        }
        sim_checks[CHECKED_state_told]++;
        answer_key(c, account, part);
        if (text.len == 2)
            answer_key(c, account, -1);
    }
}

static struct pending *pending_of(struct client *c, uint64_t id)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (c->pending[i].used && c->pending[i].id == id)
            return &c->pending[i];
    return NULL;
}

static bool *want_of(struct client *c, int account, int part)
{
    return part < 0 ? &c->want_whole[account] : &c->want_part[account * PARTS + part];
}

static void read_reply(struct client *c, struct sim_message *m)
{
    struct pending *p = pending_of(c, m->id);
    struct bgw_slice text;
    if (!p || p->replied)
        sim_fail(c->world, "client %d: a reply to nothing", c->index);
    p->replied = true;
    for (char tag; sim_list_next(&m->list, &tag, &text);) {
        int account = text.data[1] - '0', part = text.len == 2 ? -1 : text.data[3] == 'U';
        int bit = account * 3 + part + 1;
        if (tag == 'r')
            *want_of(c, account, part) = false;
        if (tag == 'd' || tag == 'r')
            p->keys &= ~(1u << bit);
        else if (m->id > c->ended_by[bit])
            c->covered_by[bit] = m->id;
        if (tag != 'c')
            continue;
        for (int q = 0; q < PARTS; q++) {
            struct held *h = &c->held[account * PARTS + q];
            bool presented = p->by_token ? h->has : (p->presented >> (account * PARTS + q)) & 1;
            if (!presented || (part >= 0 && part != q))
                continue;
            h->state_known &= h->has; /* a value that comes back comes without its old label */
            h->has = true;
            h->repair_due = false; /* the client has said itself that it holds this */
            h->hash = hash_of(account * PARTS + q, h->version);
        }
        answer_key(c, account, part);
    }
}

static void read_live(struct client *c, const struct sim_message *m)
{
    struct pending *p = pending_of(c, m->id);
    if (!p || !p->replied)
        sim_fail(c->world, "client %d: live for a command that was not answered", c->index);
    if ((p->keys & p->answered) != p->keys)
        sim_fail(c->world, "client %d: live %llu before its snapshots: keys %x, answered %x", c->index,
                 (unsigned long long)m->id, p->keys, p->answered);
    sim_checks[CHECKED_live_after_all]++;
    p->used = false;
}

/* In the order of the replies, not of the commands: a later subscribe does not save what an earlier unsub ended. */
static void end_cover(struct client *c, uint32_t keys, uint64_t by)
{
    for (int bit = 0; bit < ACCOUNTS * 3; bit++) {
        if (!(keys & (1u << bit)))
            continue;
        c->ended_by[bit] = by;
        if (c->covered_by[bit] < by)
            c->covered_by[bit] = 0;
    }
}

static void forget_uncovered(struct client *c, int account)
{
    const uint64_t *covered = &c->covered_by[account * 3];
    for (int q = 0; q < PARTS; q++) {
        struct held *h = &c->held[account * PARTS + q];
        if (covered[0] || covered[1 + q])
            continue;
        h->hash = 0;
        h->contiguous = h->sent_has = h->state_known = h->repair_due = false;
        c->key_answered &= ~(1u << (account * 3 + 1 + q));
    }
    if (!covered[0])
        c->key_answered &= ~(1u << (account * 3));
}

/* What was given up or taken away is no longer owed to the subscribes before. */
static void no_longer_owed(struct client *c, uint32_t keys, uint64_t by)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (c->pending[i].is_sub && c->pending[i].id < by)
            c->pending[i].keys &= ~keys;
}

static void read_ok(struct client *c, const struct sim_message *m)
{
    struct pending *p = pending_of(c, m->id);
    if (!p)
        return;
    c->last_ok = p->id;
    if (p->is_unsub) {
        no_longer_owed(c, p->keys, p->id);
        end_cover(c, p->keys, p->id);
        forget_uncovered(c, (__builtin_ctz(p->keys)) / 3);
    }
    for (int s = 0; s < SLOTS && p->is_repair; s++)
        c->held[s].repair_due = c->held[s].hash != 0;
    p->used = p->is_sub;
}

/* It came by itself: what was answered before it is over, what was not will be denied. */
static void take_back(struct client *c, uint32_t keys)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (c->pending[i].is_sub && c->pending[i].replied)
            c->pending[i].keys &= ~keys;
    for (int bit = 0; bit < ACCOUNTS * 3; bit++)
        if (keys & (1u << bit))
            c->covered_by[bit] = 0;
}

static void read_revoked(struct client *c, struct sim_message *m)
{
    struct bgw_slice text;
    for (char tag; sim_list_next(&m->list, &tag, &text);) {
        int account = text.data[1] - '0';
        uint32_t keys = 7u << (account * 3);
        bool taken_back = bgw_slice_eq(m->text, BGW_SLICE("revoked"));
        if (taken_back)
            take_back(c, keys);
        no_longer_owed(c, keys, c->last_ok);
        end_cover(c, keys, c->last_ok);
        forget_uncovered(c, account);
        if (!taken_back && c->grants & (1u << account))
            continue; /* granted again meanwhile, and perhaps subscribed again */
        c->want_whole[account] = false;
        for (int q = 0; q < PARTS; q++)
            c->want_part[account * PARTS + q] = false;
    }
}

static void read_mark(struct client *c, const struct sim_message *m)
{
    if (m->id != check_digest(c))
        sim_fail(c->world, "client %d: digest %016llx, held %016llx", c->index, (unsigned long long)m->id,
                 (unsigned long long)check_digest(c));
    sim_checks[CHECKED_digest_fits]++;
    for (int s = 0; s < SLOTS; s++)
        if (c->held[s].repair_due)
            sim_fail(c->world, "client %d slot %d was not sent again by a repair", c->index, s);
    for (int s = 0; s < SLOTS; s++)
        c->held[s].mark_epoch = c->held[s].version.epoch;
    c->resume_len = m->text2.len < sizeof(c->resume) ? m->text2.len : 0;
    memcpy(c->resume, m->text2.data, c->resume_len);
}

void check_read(struct client *c, const struct sim_message *message)
{
    struct sim_message m = *message;
    if (c->world->verbose)
        trace(c, "reads", m);
    switch (m.kind) {
    case 'U': read_update(c, &m); break;
    case 'S': read_state(c, &m); break;
    case 'R': read_reply(c, &m); break;
    case 'L': read_live(c, &m); break;
    case 'V': read_revoked(c, &m); break;
    case 'M': read_mark(c, &m); break;
    case 'H': c->hello_seen = true; break;
    case 'O':
    case 'P':
    case 'E': read_ok(c, &m); break;
    default: break;
    }
}

/* Rows of one name follow each other. */
static int64_t sum(enum bgw_metric first, int rows)
{
    int64_t n = 0;
    for (int i = 0; i < rows; i++)
        n += bgw_metric_read((enum bgw_metric)((int)first + i));
    return n;
}

/* I10: every record and every offered update is accounted for, to the last one. */
void check_identities(struct world *w)
{
    int64_t consumed = bgw_metric_read(BGW_M_RECORDS_CONSUMED);
    int64_t parts = bgw_metric_read(BGW_M_RECORDS_APPLIED) + bgw_metric_read(BGW_M_RECORDS_SUPERSEDED) +
                    bgw_metric_read(BGW_M_RECORDS_UNWATCHED) +
                    sum(BGW_M_RECORDS_REJECTED_BAD_JSON, BGW_REJECT_COUNT - 1);
    int64_t offered = bgw_metric_read(BGW_M_UPDATES_OFFERED);
    int64_t ends = bgw_metric_read(BGW_M_UPDATES_DELIVERED) + bgw_metric_read(BGW_M_UPDATES_MERGED) +
                   sum(BGW_M_UPDATES_ABANDONED_CLOSED, 4) +
                   bgw_metric_read(BGW_M_UPDATES_PENDING);
    if (consumed != parts)
        sim_fail(w, "I10: %lld records consumed, %lld accounted for", (long long)consumed, (long long)parts);
    if (offered != ends)
        sim_fail(w, "I10: %lld updates offered, %lld accounted for", (long long)offered, (long long)ends);
    sim_checks[CHECKED_I10_identities]++;
}
