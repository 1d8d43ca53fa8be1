/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jwk: keys in the form of RFC 7517, which somebody else writes and we fetch. A key that we cannot
 * use is left out, with a line in the log; a document that is not what it should be is refused
 * whole. Private to server/auth.
 */
#ifndef BGW_AUTH_JWK_H
#define BGW_AUTH_JWK_H

#include "keys.h"

#include "bgw/buf.h"

#define BGW_JWKS_BYTES_MAX 262144
#define BGW_JWK_SECRET_MAX 1024

/* `algs`: bits of the algorithms that may be used. BGW_BAD_VALUE: `error` says why; BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_jwks_read(struct bgw_key_set **out, struct bgw_slice text, unsigned algs,
                                             struct bgw_buf *error);

#endif
