/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys: which key checks a token. The algorithm belongs to the key; a token only names a key (by
 * `kid`), and must then say the algorithm that this key has. One token, at most one key: nothing
 * that a stranger sends makes us try several. Private to server/auth.
 */
#ifndef BGW_AUTH_KEYS_H
#define BGW_AUTH_KEYS_H

#include "bgw/slice.h"
#include "bgw/status.h"

#include <stdatomic.h>
#include <stdint.h>

#define BGW_KEYS_MAX 64
#define BGW_KID_MAX 256
#define BGW_SECRET_MIN 32 /* RFC 7518 §3.2: a key as long as the hash, or longer */

enum bgw_alg { BGW_ALG_HS256, BGW_ALG_RS256, BGW_ALG_PS256, BGW_ALG_ES256, BGW_ALG_EDDSA, BGW_ALG_COUNT };
#define BGW_ALGS_ALL ((1U << BGW_ALG_COUNT) - 1)  /* sets of algorithms are bits, 1 << alg */
const char *bgw_alg_name(enum bgw_alg alg);       /* as it stands in a token's header */
bool bgw_alg_find(struct bgw_slice name, enum bgw_alg *out); /* exact; false: none of ours */
/* Could a signature of this length be one of the algorithm's, whatever the key. */
bool bgw_alg_signature_fits(enum bgw_alg alg, size_t len);

struct bgw_public_key; /* any thread: immutable, counted by OpenSSL; public_key.h */

/* any thread: immutable after it was added */
struct bgw_key {
    enum bgw_alg alg;
    char *kid;               /* NULL: it has no name */
    struct bgw_slice secret; /* owned; HS256 */
    struct bgw_public_key *public_key; /* owned; the others */
};

enum bgw_key_found {
    BGW_KEY_FOUND,
    BGW_KEY_NONE,      /* nothing could be this token's key */
    BGW_KEY_OTHER_ALG, /* the key that it names is for another algorithm */
    BGW_KEY_UNFIT,     /* it names no key that is there, and those without a name are for other algorithms */
};

/* any thread: immutable after the last add; counted */
struct bgw_key_set {
    atomic_uint refs;
    size_t count;
    struct bgw_key keys[BGW_KEYS_MAX];
};

struct bgw_key_set *bgw_keys_create(void); /* one reference; NULL without memory */
struct bgw_key_set *bgw_keys_acquire(struct bgw_key_set *set); /* NULL passes through both */
void bgw_keys_release(struct bgw_key_set *set); /* the last one wipes and frees */
/* Copies `secret`. `kid` NULL: no name. BGW_FULL, BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_keys_add_secret(struct bgw_key_set *set, const char *kid,
                                                   struct bgw_slice secret);
/* Takes `key` over, on failure too. BGW_FULL; BGW_NO_MEMORY; BGW_DUPLICATE: a key of this name and algorithm is there. */
BGW_MUST_CHECK enum bgw_status bgw_keys_add_public(struct bgw_key_set *set, const char *kid, enum bgw_alg alg,
                                                   struct bgw_public_key *key);
size_t bgw_keys_drop_nameless(struct bgw_key_set *set); /* where there are other keys beside; how many went */
/*
 * `kid.data` NULL: the token names none. A key of exactly this name, else the configured one without
 * a name that has the algorithm, else, for a token without a name, a fetched key that is alone.
 * Either set may be NULL.
 */
enum bgw_key_found bgw_keys_choose(const struct bgw_key_set *configured, const struct bgw_key_set *fetched,
                                   struct bgw_slice kid, enum bgw_alg alg, const struct bgw_key **out);
/* Is `signature` the one that `key` makes of `input`. */
bool bgw_key_verify(const struct bgw_key *key, struct bgw_slice input, struct bgw_slice signature);

#endif
