/* SPDX-License-Identifier: Apache-2.0 */
/* jws: the compact form of RFC 7515, taken apart strictly. Private to server/auth. */
#ifndef BGW_AUTH_JWS_H
#define BGW_AUTH_JWS_H

#include "keys.h"

#include "bgw/auth.h"

#define BGW_SIGNATURE_MAX 1024 /* RSA of 8192 bits */
#define BGW_ALG_NAME_MAX 16

/* fixed-size; a check's own, on its stack */
struct bgw_jws {
    struct bgw_slice signing_input; /* borrows the token: header "." payload, as they were sent */
    char alg[BGW_ALG_NAME_MAX + 1]; /* what the header claims; the key decides */
    bool has_kid;
    char kid[BGW_KID_MAX];
    size_t kid_len;
    uint8_t payload[BGW_TOKEN_MAX / 4 * 3];
    size_t payload_len;
    uint8_t signature[BGW_SIGNATURE_MAX];
    size_t signature_len;
};

/* BGW_AUTH_OK: well formed, nothing about genuineness. BGW_AUTH_MISSING, _MALFORMED, _UNSUPPORTED. */
enum bgw_auth_result bgw_jws_parse(struct bgw_slice token, struct bgw_jws *out);

#endif
