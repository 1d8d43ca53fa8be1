/* SPDX-License-Identifier: Apache-2.0 */
/* crypto: the little that the auth room asks of OpenSSL. Private to server/auth. */
#ifndef BGW_AUTH_CRYPTO_H
#define BGW_AUTH_CRYPTO_H

#include "bgw/slice.h"

#include <stdint.h>

#define BGW_HS256_LEN 32

/* HMAC-SHA-256 with a key of any length. False if the library failed: treat as "does not match". */
bool bgw_crypto_hs256(struct bgw_slice key, struct bgw_slice bytes, uint8_t out[BGW_HS256_LEN]);
/* Takes the same time wherever the two differ. */
bool bgw_crypto_equal(const uint8_t *a, const uint8_t *b, size_t len);
/* For secrets that are about to be freed: not optimised away. */
void bgw_crypto_wipe(void *bytes, size_t len);

#endif
