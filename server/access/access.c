/* SPDX-License-Identifier: Apache-2.0 */
/*
 * access: the decision itself. Hides the order of its questions: an expired token learns nothing,
 * another tenant's key is refused before grants are looked at, so `accounts.read.all` never crosses
 * tenants. Pure, any thread. Called at subscribe and again wherever data is delivered.
 */
#include "bgw/access.h"

#include "grants.h"

enum bgw_access bgw_access_decide(const struct bgw_grants *grants, int64_t expires_ms,
                                  bool own_tenant, struct bgw_slice key, struct bgw_now now)
{
    if (now.wall_ms >= expires_ms)
        return BGW_ACCESS_EXPIRED;
    if (!own_tenant)
        return BGW_ACCESS_OTHER_TENANT;
    if (!grants || !grants_cover(grants, key))
        return BGW_ACCESS_NO_GRANT;
    return BGW_ACCESS_OK;
}

enum bgw_access bgw_access_check(const struct bgw_claims *claims, struct bgw_slice tenant,
                                 struct bgw_slice key, struct bgw_now now)
{
    bool own_tenant = bgw_slice_eq(bgw_slice_str(claims->tenant), tenant);
    return bgw_access_decide(claims->grants, claims->expires_ms, own_tenant, key, now);
}

void bgw_claims_copy(struct bgw_claims *to, const struct bgw_claims *from)
{
    *to = *from;
    bgw_grants_acquire(to->grants);
}

void bgw_claims_deinit(struct bgw_claims *c)
{
    bgw_grants_release(c->grants);
    c->grants = NULL;
}
