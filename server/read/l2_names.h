/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_names: the keys of a slot in Redis (contracts, section 3), both ways, and the body that is stored.
 * Private to l2; pure. `bal:` and `lock:` are followed by the account alone in the default tenant and part.
 */
#ifndef BGW_READ_L2_NAMES_H
#define BGW_READ_L2_NAMES_H

#include "bgw/feed.h"

#define BGW_L2_KEY_MAX 160
#define BGW_L2_HASH_PREFIX "balance:"

struct bgw_l2_key { /* fixed-size value */
    char text[BGW_L2_KEY_MAX];
    size_t len;
};
static inline struct bgw_slice bgw_l2_key_slice(const struct bgw_l2_key *k)
{
    return (struct bgw_slice){k->text, k->len};
}

struct bgw_slot_name bgw_l2_whole_name(const struct bgw_feed *feed, const struct bgw_slot_name *name); /* with tenant and part */
struct bgw_l2_key bgw_l2_hash_key(const struct bgw_slot_name *whole);
struct bgw_l2_key bgw_l2_short_key(const struct bgw_feed *feed, const char *prefix, const struct bgw_slot_name *whole);
/* False: it is no key of a hash of a slot of this feed. */
bool bgw_l2_hash_name(const struct bgw_feed *feed, struct bgw_slice key, struct bgw_slot_name *out);
/* The origin's object with `tenant`, and with its version first. False: no object, or too large. */
bool bgw_l2_body(struct bgw_buf *out, struct bgw_slice origin, const struct bgw_slot_name *whole, const char *v);
/* Digits alone, with a sign perhaps: what JSON would call an integer. */
bool bgw_l2_i64(struct bgw_slice text, int64_t *out);
bool bgw_l2_u63(struct bgw_slice text, uint64_t *out);

#endif
