/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types: the nouns that hub, shard, access and wire share. A slot is (feed, tenant, key, part);
 * for balances the key is the account and the part the currency, but hub and shard never know.
 */
#ifndef BGW_TYPES_H
#define BGW_TYPES_H

#include "bgw/blob.h"
#include "bgw/slice.h"

#include <stdint.h>

#define BGW_KEY_MAX 64
#define BGW_TENANT_MAX 50
#define BGW_PART_MAX 3
#define BGW_EPOCH_MAX 8
#define BGW_VERSION_TEXT_MAX 56 /* epoch.seq.read and a NUL */
#define BGW_SHARDS_MAX 64
#define BGW_FEEDS_MAX 8

/* one to three bytes packed into an integer, 0 = no part; compared and copied as a number */
typedef uint32_t bgw_part;

/* fixed-size value. epoch: 1-8 bytes of [0-9a-z] packed little-endian, 0 = none */
struct bgw_version {
    uint64_t epoch;
    uint64_t seq;
    uint64_t read;
};

/* fixed-size value: who is meant, as it crosses threads */
struct bgw_slot_name {
    uint8_t feed;
    uint8_t tenant_len;
    uint8_t key_len;
    char tenant[BGW_TENANT_MAX];
    char key[BGW_KEY_MAX];
    bgw_part part;
};

/* What a client may believe of a slot. The order is the order of trust. */
enum bgw_slot_state {
    BGW_STATE_FRESH,
    BGW_STATE_DELAYED,
    BGW_STATE_STALE,
    BGW_STATE_UNKNOWN, /* no value */
    BGW_STATE_REMOVED, /* no value any more */
};

/* Why, where the state alone does not say. Texts: bgw_reason_text. */
enum bgw_state_reason {
    BGW_REASON_NONE,
    BGW_REASON_NO_SUCH_KEY, /* "no_such_account" on the wire of the balance feed */
    BGW_REASON_SOURCE_UNAVAILABLE,
    BGW_REASON_SOURCE_LAGGING,    /* no recent proof that the stream is read to its end */
    BGW_REASON_UNREADABLE_RECORD, /* a record of this slot was rejected */
    BGW_REASON_NEW_EPOCH,
    BGW_REASON_BEHIND_CLIENT, /* the client presented a version above ours */
    BGW_REASON_REREAD,        /* an invalidation or a rule asked for a re-read */
    BGW_REASON_SHED,          /* to ask was more than the budget allows now */
};

/* Where a value comes from. */
enum bgw_source { BGW_SOURCE_STREAM, BGW_SOURCE_CACHE /* Redis */, BGW_SOURCE_DATABASE /* the origin */ };

const char *bgw_slot_state_text(enum bgw_slot_state s);
const char *bgw_reason_text(enum bgw_state_reason r);

static inline bgw_part bgw_part_of(struct bgw_slice s)
{
    bgw_part p = 0;
    for (size_t i = 0; i < s.len && i < BGW_PART_MAX; i++)
        p |= (bgw_part)(unsigned char)s.data[i] << (8 * i);
    return p;
}
/* Writes at most BGW_PART_MAX bytes, no NUL; returns the length. */
static inline size_t bgw_part_text(bgw_part p, char *out)
{
    size_t n = 0;
    for (; n < BGW_PART_MAX && (p >> (8 * n)) & 0xff; n++)
        out[n] = (char)((p >> (8 * n)) & 0xff);
    return n;
}

/* Inside one epoch: <0, 0, >0 by (seq, read). Asserts that the epochs are equal. */
int bgw_version_compare(struct bgw_version a, struct bgw_version b);
bool bgw_version_equal(struct bgw_version a, struct bgw_version b);
/* "k3f9.120" or "k3f9.120.17", NUL-terminated; returns the length. */
size_t bgw_version_format(struct bgw_version v, char out[BGW_VERSION_TEXT_MAX]);
/* Strict: no leading zeros, no signs, 63 bits, epoch grammar. False if it is not a version. */
bool bgw_version_parse(struct bgw_slice text, struct bgw_version *out);
/* Packs 1-8 bytes of [0-9a-z]; 0 if the text is not one. */
uint64_t bgw_epoch_pack(struct bgw_slice text);
/* Derives a printable epoch from anything. */
uint64_t bgw_epoch_derive(struct bgw_slice seed);
size_t bgw_epoch_format(uint64_t epoch, char out[BGW_EPOCH_MAX + 1]);

#endif
