/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: which key checks a token. The algorithm belongs to the key; a token only names a key (by
 * `kid`), and must then say the algorithm that this key has. Private to server/auth.
 */
#ifndef BGW_AUTH_KEYS_H
#define BGW_AUTH_KEYS_H

#include "bgw/slice.h"
#include "bgw/status.h"

#include <stdint.h>

#define BGW_KEYS_MAX 64
#define BGW_KID_MAX 256
#define BGW_SECRET_MIN 32 /* RFC 7518 §3.2: a key as long as the hash, or longer */

enum bgw_alg { BGW_ALG_HS256 };
const char *bgw_alg_name(enum bgw_alg alg); /* as it stands in a token's header */

/* any thread: immutable after it was added */
struct bgw_key {
    enum bgw_alg alg;
    char *kid;  /* NULL: serves tokens with any `kid`, or none */
    struct bgw_slice secret; /* owned; for the symmetric algorithms */
};

enum bgw_key_found {
    BGW_KEY_FOUND,
    BGW_KEY_NONE,
    BGW_KEY_PENDING, /* the set is being fetched and may hold it then */
};

/* any thread: immutable after the last add */
struct bgw_key_set {
    struct bgw_key keys[BGW_KEYS_MAX];
    size_t count;
};

/* Copies `secret`. `kid` NULL: no name. BGW_FULL, BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_keys_add_secret(struct bgw_key_set *set, const char *kid,
                                                   struct bgw_slice secret);
/* `kid.data` NULL: the token names none. Exact names first, then the first key without a name. */
enum bgw_key_found bgw_keys_find(const struct bgw_key_set *set, struct bgw_slice kid,
                                 const struct bgw_key **out);
/* Is `signature` the one that `key` makes of `input`. */
bool bgw_key_verify(const struct bgw_key *key, struct bgw_slice input, struct bgw_slice signature);
void bgw_keys_deinit(struct bgw_key_set *set); /* wipes */

#endif
