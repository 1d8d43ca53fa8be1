/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frames: reads what the gateway says and holds it against what was published. The rules are the
 * contract's, written down a second time on purpose: this file shares no logic with the server
 * beyond the strict JSON scanner and the version text.
 */
#include "hist.h"
#include "swarm.h"

#include "bgw/hash.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Every version of an account has its own value, so that a value shown under another's version is seen. */
int64_t swarm_value(uint64_t version, int account)
{
    return (int64_t)version * 1000 + account % 1000;
}

static int account_of(const struct swarm *s, const struct bgw_json *k)
{
    char text[BGW_KEY_MAX + 2];
    size_t len, prefix = strlen(s->opt.prefix);
    if (bgw_json_string(k, text, sizeof(text) - 1, &len) != BGW_OK || len <= prefix)
        return -1;
    text[len] = 0;
    return memcmp(text, s->opt.prefix, prefix) == 0 ? atoi(text + prefix) : -1;
}

static struct slot *slot_of(const struct swarm *s, struct client *c, int account)
{
    int at = account - c->first_account;
    if (at < 0)
        at += s->opt.accounts;
    return at < s->opt.per_client ? &c->slots[at] : NULL;
}

static uint64_t entry_hash(const struct swarm *s, int account, struct bgw_slice v)
{
    char text[BGW_KEY_MAX + 16];
    int n = snprintf(text, sizeof(text), "%s%06d|NGN|", s->opt.prefix, account);
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(text, (size_t)n));
    return bgw_hash_fnv64(h, v);
}

static void note_latency(struct swarm *s, int account, uint64_t version)
{
    int64_t sent = s->sent_ns[(size_t)account * SWARM_SENT_RING + version % SWARM_SENT_RING];
    if (sent && s->latency_count < s->latency_max)
        s->latency_us[s->latency_count++] = (uint32_t)((probe_mono_ns() - sent) / 1000);
}

static void check_order(struct swarm *s, struct client *c, struct slot *slot, struct bgw_version v,
                        uint64_t merged, bool snap)
{
    if (!slot->has || slot->version.epoch != v.epoch)
        return;
    int order = bgw_version_compare(v, slot->version);
    if (order < 0)
        s->total.regressions++;
    else if (order == 0 && !snap)
        s->total.duplicates++;
    else if (order > 0 && !snap && v.seq != slot->version.seq + merged + 1)
        s->total.gaps++;
    (void)c;
}

void swarm_entry(struct swarm *s, struct client *c, const struct bgw_json *entry)
{
    struct bgw_json k, v, d, minor, merged_member, snap_member;
    struct bgw_version version;
    int64_t amount = -1, merged = 0;
    int account = -1;
    if (!bgw_json_member(entry, "k", &k) || !bgw_json_member(entry, "v", &v) ||
        !bgw_json_member(entry, "d", &d) || !bgw_json_member(&d, "minor", &minor) ||
        (account = account_of(s, &k)) < 0 || account >= s->opt.accounts ||
        !bgw_version_parse(v.raw, &version)) {
        s->total.protocol_errors++;
        return;
    }
    if (bgw_json_member(entry, "merged", &merged_member) && bgw_json_i64(&merged_member, &merged) != BGW_OK)
        s->total.protocol_errors++;
    bool snap = bgw_json_member(entry, "snap", &snap_member) && snap_member.type == BGW_JSON_TRUE;
    struct slot *slot = slot_of(s, c, account);
    if (!slot) {
        s->total.protocol_errors++;
        return;
    }
    amount = strtoll(minor.raw.data, NULL, 10);
    if (amount != swarm_value(version.seq, account))
        s->total.wrong_values++;
    check_order(s, c, slot, version, (uint64_t)merged, snap);
    bool was_behind = !slot->has || slot->version.seq < s->published[account];
    if (!slot->has && s->first)
        hist_add(s->first, probe_mono_ns() - s->released_ns);
    c->digest ^= slot->hash;
    slot->hash = entry_hash(s, account, v.raw);
    c->digest ^= slot->hash;
    slot->version = version;
    slot->minor = amount;
    slot->has = true;
    if (was_behind && version.seq >= s->published[account] && s->behind)
        s->behind--;
    s->total.entries++;
    s->total.merged += (uint64_t)merged;
    s->total.snapshots += snap;
    if (!snap)
        note_latency(s, account, version.seq);
}

/* The same without a merge count: older never, equal only as the first of a connection. */
void swarm_value_seen(struct swarm *s, struct client *c, const struct bgw_json *record, bool first)
{
    struct bgw_json id, v, minor;
    uint64_t version = 0;
    int64_t amount = 0;
    int account = -1;
    if (!bgw_json_member(record, "accountId", &id) || !bgw_json_member(record, "v", &v) ||
        !bgw_json_member(record, "minor", &minor) || bgw_json_u63(&v, &version) != BGW_OK ||
        bgw_json_i64(&minor, &amount) != BGW_OK || (account = account_of(s, &id)) < 0 || account >= s->opt.accounts) {
        s->total.protocol_errors++;
        return;
    }
    struct slot *slot = slot_of(s, c, account);
    if (!slot) {
        s->total.protocol_errors++;
        return;
    }
    s->total.wrong_values += amount != swarm_value(version, account);
    if (slot->has && version < slot->version.seq)
        s->total.regressions++;
    if (slot->has && version == slot->version.seq && !first)
        s->total.duplicates++;
    bool was_behind = !slot->has || slot->version.seq < s->published[account];
    if (slot->has)
        note_latency(s, account, version);
    else
        s->total.snapshots++;
    slot->version = (struct bgw_version){.seq = version};
    slot->minor = amount;
    slot->has = true;
    if (was_behind && version >= s->published[account] && s->behind)
        s->behind--;
    s->total.entries++;
}

static void on_mark(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json digest;
    char text[32];
    size_t len;
    s->total.marks++;
    if (!bgw_json_member(root, "digest", &digest) || bgw_json_string(&digest, text, sizeof(text) - 1, &len) != BGW_OK) {
        s->total.protocol_errors++;
        return;
    }
    text[len] = 0;
    s->total.digests_checked++;
    if (strtoull(text, NULL, 16) != c->digest)
        s->total.digest_mismatches++;
}

void swarm_subscribe(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    char version[BGW_VERSION_TEXT_MAX];
    bgw_buf_init(&b, 1 << 20);
    bgw_buf_append_str(&b, "{\"op\":\"sub\",\"id\":1,\"keys\":[");
    for (int i = 0; i < s->opt.per_client; i++)
        bgw_buf_appendf(&b, "%s\"%s%06d\"", i ? "," : "", s->opt.prefix,
                        (c->first_account + i) % s->opt.accounts);
    bgw_buf_append_str(&b, "],\"since\":{");
    bool first = true;
    for (int i = 0; i < s->opt.per_client; i++) {
        if (!c->slots[i].has)
            continue;
        bgw_version_format(c->slots[i].version, version);
        bgw_buf_appendf(&b, "%s\"%s%06d\":\"%s\"", first ? "" : ",", s->opt.prefix,
                        (c->first_account + i) % s->opt.accounts, version);
        first = false;
    }
    bgw_buf_append_str(&b, "}}");
    if (b.failed || !swarm_send_text(c, bgw_buf_slice(&b)))
        s->total.protocol_errors++;
    bgw_buf_deinit(&b);
}

static void on_hello(struct swarm *s, struct client *c)
{
    if (s->opt.hold)
        s->greeted++;
    else
        swarm_subscribe(s, c);
}

void swarm_live(struct swarm *s, struct client *c)
{
    if (c->state != CLIENT_LIVE) {
        c->state = CLIENT_LIVE;
        s->live_now++;
        s->total.live++;
        c->was_live = true;
        if (s->lost_at_ms && !s->back_ms && s->live_now >= s->opt.clients - s->opt.clients / 100)
            s->back_ms = probe_mono_ns() / 1000000 - s->lost_at_ms;
    }
}

/* What is not sent again is not part of the new connection's digest, except what `current` names. */
static void on_sub(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json denied, current, item;
    const char *cursor = NULL;
    if (bgw_json_member(root, "denied", &denied) && bgw_json_next(&denied, &cursor, NULL, &item))
        s->total.protocol_errors++;
    c->digest = 0;
    cursor = NULL;
    for (int i = 0; i < s->opt.per_client; i++)
        c->slots[i].hash = 0;
    if (!bgw_json_member(root, "current", &current))
        return;
    while (bgw_json_next(&current, &cursor, NULL, &item)) {
        int account = account_of(s, &item);
        struct slot *slot = account < 0 ? NULL : slot_of(s, c, account);
        char version[BGW_VERSION_TEXT_MAX];
        if (!slot || !slot->has) {
            s->total.protocol_errors++;
            continue;
        }
        size_t len = bgw_version_format(slot->version, version);
        slot->hash = entry_hash(s, account, bgw_slice_of(version, len));
        c->digest ^= slot->hash;
    }
}

static void on_upd(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json list, entry;
    const char *cursor = NULL;
    if (!bgw_json_member(root, "u", &list)) {
        s->total.protocol_errors++;
        return;
    }
    while (bgw_json_next(&list, &cursor, NULL, &entry))
        swarm_entry(s, c, &entry);
}

static void on_bye(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json retry;
    int64_t retry_ms = 0;
    if (!bgw_json_member(root, "retry_ms", &retry) || bgw_json_i64(&retry, &retry_ms) != BGW_OK)
        s->total.protocol_errors++;
    swarm_on_bye(s, c, retry_ms);
}

void swarm_frame(struct swarm *s, struct client *c, struct bgw_slice payload)
{
    struct bgw_json root, ev;
    s->total.frames++;
    if (s->opt.dialect != SPEAK_NATIVE) {
        estate_message(s, c, payload);
        return;
    }
    if (bgw_json_parse(payload, &root) != BGW_OK || !bgw_json_member(&root, "ev", &ev)) {
        s->total.protocol_errors++;
        return;
    }
    if (bgw_json_is(&ev, "upd"))
        on_upd(s, c, &root);
    else if (bgw_json_is(&ev, "hello"))
        on_hello(s, c);
    else if (bgw_json_is(&ev, "sub"))
        on_sub(s, c, &root);
    else if (bgw_json_is(&ev, "live"))
        swarm_live(s, c);
    else if (bgw_json_is(&ev, "mark"))
        on_mark(s, c, &root);
    else if (bgw_json_is(&ev, "state"))
        s->total.states++;
    else if (bgw_json_is(&ev, "bye"))
        on_bye(s, c, &root);
    else
        s->total.protocol_errors++;
}
