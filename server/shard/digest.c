/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest: what a value is known as, on a connection and in its digest. Hides the hash (FNV-1a 64 of
 * `key|part|version`, fixed by the protocol) and the alias epoch. Shard thread only.
 * Invariant: a session's digest is the XOR of sent_hash over all its cells.
 */
#include "core.h"

#include "bgw/hash.h"

uint64_t version_hash(const struct slot *slot, struct bgw_version v)
{
    char text[BGW_PART_MAX + 2 + BGW_VERSION_TEXT_MAX];
    size_t n = 0;
    text[n++] = '|';
    n += bgw_part_text(slot->part, text + n);
    text[n++] = '|';
    n += bgw_version_format(v, text + n);
    uint64_t hash = bgw_hash_fnv64(BGW_FNV64_INIT, group_key(slot->group));
    return bgw_hash_fnv64(hash, bgw_slice_of(text, n));
}

uint64_t slot_hash(struct slot *slot)
{
    if (!slot->hash)
        slot->hash = version_hash(slot, slot->version);
    return slot->hash;
}

/* Any other string, the same for as long as connection and epoch are: nobody else is told of it. */
uint64_t session_alias(const struct bgw_session *n, uint64_t epoch)
{
    uint64_t seed[2] = {n->conn_id, epoch};
    uint64_t alias = bgw_epoch_derive(bgw_slice_of((const char *)seed, sizeof(seed)));
    while (alias == epoch) {
        seed[0]++;
        alias = bgw_epoch_derive(bgw_slice_of((const char *)seed, sizeof(seed)));
    }
    return alias;
}

struct bgw_version cell_alias_version(const struct bgw_session *n, const struct cell *c)
{
    struct bgw_version v = c->slot->version;
    v.epoch = session_alias(n, v.epoch);
    return v;
}

void cell_set_sent(struct bgw_session *n, struct cell *c, uint64_t hash)
{
    n->digest ^= c->sent_hash ^ hash;
    c->sent_hash = hash;
}
