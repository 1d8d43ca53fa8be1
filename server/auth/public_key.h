/* SPDX-License-Identifier: Apache-2.0 */
/*
 * public_key: the public keys that may check a token, as OpenSSL holds them. Whatever they are made
 * of, the same is asked of them: RSA of 2,048 to 8,192 bits without the known weaknesses, P-256
 * with a point on the curve, Ed25519. Private to server/auth.
 */
#ifndef BGW_AUTH_PUBLIC_KEY_H
#define BGW_AUTH_PUBLIC_KEY_H

#include "keys.h"

#include "bgw/buf.h"

#define BGW_RSA_BITS_MIN 2048
#define BGW_RSA_BITS_MAX 8192
#define BGW_EC_SIGNATURE_LEN 64 /* ES256: r and s of 32 bytes; Ed25519: R and S */
#define BGW_EC_PART_LEN 32      /* a coordinate of P-256; a key of Ed25519 */

enum bgw_key_type { BGW_KEY_RSA, BGW_KEY_P256, BGW_KEY_ED25519 };

/*
 * Each makes *out or says in *why what is wrong with the key ("it is …"):
 * BGW_BAD_VALUE, BGW_NO_MEMORY. Numbers are big-endian; leading zeros do not count.
 */
BGW_MUST_CHECK enum bgw_status bgw_public_key_rsa(struct bgw_public_key **out, struct bgw_slice n,
                                                  struct bgw_slice e, const char **why);
BGW_MUST_CHECK enum bgw_status bgw_public_key_p256(struct bgw_public_key **out, const uint8_t x[BGW_EC_PART_LEN],
                                                   const uint8_t y[BGW_EC_PART_LEN], const char **why);
BGW_MUST_CHECK enum bgw_status bgw_public_key_ed25519(struct bgw_public_key **out,
                                                      const uint8_t x[BGW_EC_PART_LEN], const char **why);
/* One PEM block: PUBLIC KEY, or a CERTIFICATE, of which only the key is taken, whatever its dates are. */
BGW_MUST_CHECK enum bgw_status bgw_public_key_pem(struct bgw_public_key **out, enum bgw_key_type *type,
                                                  const char *pem, const char **why);
void bgw_public_key_free(struct bgw_public_key *key); /* NULL is nothing */
/* Leaves the thread's queue of OpenSSL errors as it was: TLS on the same thread reads it. */
bool bgw_public_key_verify(const struct bgw_public_key *key, enum bgw_alg alg, struct bgw_slice input,
                           struct bgw_slice signature);

#endif
