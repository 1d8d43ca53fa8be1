/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocations: which tokens, subjects and accounts of subjects were taken back. One set for the
 * process: the revocation reader and the admin port add, shards ask. What was taken back is kept
 * until the tokens concerned would have expired anyway. No I/O, no clock.
 */
#ifndef BGW_REVOCATIONS_H
#define BGW_REVOCATIONS_H

#include "bgw/access.h"

#define BGW_REVOCATION_ACCOUNTS_MAX 1000 /* named in one revocation */
#define BGW_REVOCATION_BYTES_MAX 131072
#define BGW_REVOCATION_LEEWAY_S 300 /* the largest leeway there is: until then a token past its `exp` may still be taken */

struct bgw_revocations; /* any thread */

/* One revocation as it was written, checked and hashed; borrows nothing. */
enum bgw_revocation_kind { BGW_REVOKE_TOKEN, BGW_REVOKE_SUBJECT, BGW_REVOKE_ACCOUNTS };
struct bgw_revocation {
    uint8_t kind;
    bool any_tenant;        /* no `tenant` member */
    uint64_t id_hash;       /* FNV-1a 64 of jti or sub, the hash of struct bgw_claims */
    char tenant[BGW_TENANT_MAX + 1];
    int64_t before_s;       /* SUBJECT: tokens issued before this, and tokens without `iat` */
    int64_t until_s;        /* kept until then */
    uint64_t accounts[BGW_REVOCATION_ACCOUNTS_MAX]; /* ACCOUNTS: their keyed hashes, ascending, each once */
    size_t account_count;
};

BGW_MUST_CHECK enum bgw_status bgw_revocations_create(struct bgw_revocations **out, size_t entries_max);
void bgw_revocations_destroy(struct bgw_revocations **r);

/*
 * Reads {"jti"} | {"sub","before"} | {"sub","accounts":[…]}, each with `exp` (seconds; absent: now + keep_s) and perhaps `tenant`.
 * Strict: unknown and duplicate members, both or neither of jti and sub, before with accounts, `before` later than now + 60 s:
 * BGW_BAD_VALUE and the like, `error` says what is expected. BGW_EXPIRED: `exp` and any leeway have passed, there is nothing to do.
 */
BGW_MUST_CHECK enum bgw_status bgw_revocation_parse(struct bgw_revocation *out, struct bgw_slice text, int64_t keep_s,
                                                    struct bgw_now now, struct bgw_buf *error);
/* Idempotent; the later `until` and the later `before` win. Expired entries make room first. An entry each for a token, a subject, a
 * subject with accounts and each of its accounts. BGW_FULL, BGW_NO_MEMORY: nothing of it was taken. */
BGW_MUST_CHECK enum bgw_status bgw_revocations_add(struct bgw_revocations *r, const struct bgw_revocation *what,
                                                   struct bgw_now now);
/* Rises with every add that changed something: a shard that has seen this number has nothing to look for. */
uint64_t bgw_revocations_generation(const struct bgw_revocations *r);
size_t bgw_revocations_count(const struct bgw_revocations *r);

/* What is known against a holder. */
enum bgw_revoked { BGW_NOT_REVOKED, BGW_REVOKED_SOME /* accounts: ask for each */, BGW_REVOKED_ALL };
struct bgw_holder { /* fixed-size value; borrows tenant */
    uint64_t subject_hash, jti_hash;
    int64_t issued_s;
    struct bgw_slice tenant;
};
enum bgw_revoked bgw_revocations_check(const struct bgw_revocations *r, const struct bgw_holder *h, struct bgw_now now);
bool bgw_revocations_covers_key(const struct bgw_revocations *r, const struct bgw_holder *h, struct bgw_slice key,
                                struct bgw_now now); /* only after BGW_REVOKED_SOME */

#endif
