/* SPDX-License-Identifier: Apache-2.0 */
/* configured: keys and rules as somebody wrote them into the configuration. Private to server/auth. */
#ifndef BGW_AUTH_CONFIGURED_H
#define BGW_AUTH_CONFIGURED_H

#include "keys.h"

#include "bgw/auth.h"

struct bgw_configured_kinds { /* fixed-size value */
    bool secret, public_key, key_set;
};
struct bgw_configured_kinds bgw_configured_kinds(const struct bgw_auth_config *config);

/* BGW_JWT_ALGS as bits; an empty text allows all. BGW_CONFIG: `error` names the word that is none. */
BGW_MUST_CHECK enum bgw_status bgw_configured_algs(unsigned *out, const char *text, struct bgw_buf *error);
/* The set of configured keys, none of which has a name. BGW_CONFIG: `error` says what to set. */
BGW_MUST_CHECK enum bgw_status bgw_configured_read(struct bgw_key_set **out, const struct bgw_auth_config *config,
                                                   unsigned algs, struct bgw_buf *error);

#endif
