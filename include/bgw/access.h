/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: may this token see this slot now. Pure. Claims come from the auth room already checked;
 * grants are immutable and counted, so sessions of one token set can share them.
 */
#ifndef BGW_ACCESS_H
#define BGW_ACCESS_H

#include "bgw/clock.h"
#include "bgw/feed.h"
#include "bgw/status.h"

#define BGW_GRANT_KEYS_MAX 10000

struct bgw_grants; /* any thread: immutable after build; counted */

/* what a verified token says; fixed-size but for the counted grants */
struct bgw_claims {
    uint64_t subject_hash; /* FNV-1a 64 of `sub`: equal on every replica */
    uint64_t jti_hash;     /* 0: none */
    int64_t issued_s;      /* 0: none */
    int64_t expires_ms;    /* exp + leeway, wall clock: from here on nothing is encoded */
    char tenant[BGW_TENANT_MAX + 1];
    bool ops_read;
    struct bgw_grants *grants; /* one reference */
};

/* Building: hands over keys one by one, then seals (sorts, drops duplicates). add: BGW_FULL at BGW_GRANT_KEYS_MAX keys,
 * BGW_BAD_ID for no key or one above BGW_KEY_MAX bytes, BGW_NO_MEMORY. */
struct bgw_grants *bgw_grants_create(bool all_keys); /* all_keys: every key of the claims' tenant; NULL without memory */
BGW_MUST_CHECK enum bgw_status bgw_grants_add(struct bgw_grants *g, struct bgw_slice key);
void bgw_grants_seal(struct bgw_grants *g);
struct bgw_grants *bgw_grants_acquire(struct bgw_grants *g);
void bgw_grants_release(struct bgw_grants *g);

/* The decision, asked at subscribe and again at every delivery. */
enum bgw_access { BGW_ACCESS_OK, BGW_ACCESS_EXPIRED, BGW_ACCESS_NO_GRANT, BGW_ACCESS_OTHER_TENANT, BGW_ACCESS_REVOKED };
enum bgw_access bgw_access_check(const struct bgw_claims *claims, struct bgw_slice tenant, struct bgw_slice key,
                                 struct bgw_now now);
/* The same decision for a holder that keeps its claims in pieces: sessions, of which there are many, share their tenant's text. */
enum bgw_access bgw_access_decide(const struct bgw_grants *grants, int64_t expires_ms, bool own_tenant,
                                  struct bgw_slice key, struct bgw_now now);
bool bgw_grants_all(const struct bgw_grants *g);      /* accounts.read.all */
size_t bgw_grants_count(const struct bgw_grants *g); /* keys named; 0 for all_keys */
void bgw_claims_copy(struct bgw_claims *to, const struct bgw_claims *from); /* acquires grants */
void bgw_claims_deinit(struct bgw_claims *c);

#endif
