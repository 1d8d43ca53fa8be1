/* SPDX-License-Identifier: Apache-2.0 */
/* auth_private: what the token cache asks of auth.c. Private to server/auth. */
#ifndef BGW_AUTH_AUTH_PRIVATE_H
#define BGW_AUTH_AUTH_PRIVATE_H

#include "bgw/auth.h"

/* Which keys tokens are checked with. Two equal ones: with the same. */
struct bgw_auth_moment { /* fixed-size value */
    uint64_t generation; /* rises with every set that takes another's place */
    bool fetched;        /* are the fetched ones young enough */
};
struct bgw_auth_moment bgw_auth_moment(const struct bgw_auth *auth, struct bgw_now now);

#endif
