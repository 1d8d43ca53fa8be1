/* SPDX-License-Identifier: Apache-2.0 */
/* base64: the URL alphabet without padding (tokens) and the standard one (WebSocket accept key). */
#ifndef BGW_BASE64_H
#define BGW_BASE64_H

#include "bgw/slice.h"
#include "bgw/status.h"

#include <stdint.h>

#define BGW_BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* `out` holds BGW_BASE64_LEN(len) + 1 bytes; returns the length written, NUL after it. */
size_t bgw_base64url_encode(const uint8_t *in, size_t len, char *out);
size_t bgw_base64_encode(const uint8_t *in, size_t len, char *out);
/* Strict: no padding, no white space, zero trailing bits. BGW_BAD_ENCODING, BGW_TOO_LARGE. */
BGW_MUST_CHECK enum bgw_status bgw_base64url_decode(struct bgw_slice in, uint8_t *out, size_t cap,
                                                    size_t *len);
/* The standard alphabet; canonical padding is required. */
BGW_MUST_CHECK enum bgw_status bgw_base64_decode(struct bgw_slice in, uint8_t *out, size_t cap,
                                                 size_t *len);

#endif
