/* SPDX-License-Identifier: Apache-2.0 */
/* claims: what a genuine token says, read into struct bgw_claims. Private to server/auth. */
#ifndef BGW_AUTH_CLAIMS_H
#define BGW_AUTH_CLAIMS_H

#include "bgw/auth.h"

#define BGW_SUBJECT_MAX 256
#define BGW_CLAIM_TEXT_MAX 1024 /* iss, one aud, jti */

/* any thread: immutable; borrows what the auth owns */
struct bgw_claims_rules {
    const char *issuer, *audience; /* "": not checked */
    int64_t leeway_s;
    struct bgw_slice default_tenant;
    const struct bgw_feed *feed;
};

/* `payload` is the JSON text of a token whose signature has been checked. On BGW_AUTH_OK `out` holds a
 * reference to grants; otherwise it grants nothing, and says at most whose token it was. */
enum bgw_auth_result bgw_claims_read(const struct bgw_claims_rules *rules, struct bgw_slice payload,
                                     struct bgw_now now, struct bgw_claims *out);

/* Takes everything away that would let somebody in; whose genuine token it was may stay, for the audit log. */
void bgw_claims_refuse(struct bgw_claims *claims, bool keep_identity);

#endif
