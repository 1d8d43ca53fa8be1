/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base64: two alphabets, and decoders that accept one spelling of each byte string only: what a
 * signature covers must not have a second form. Called by tokens and handshakes, on any thread.
 */
#include "bgw/base64.h"

static const char url_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char standard_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t encode(const char *alphabet, const uint8_t *in, size_t len, char *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t word = (uint32_t)in[i] << 16;
        if (have > 1)
            word |= (uint32_t)in[i + 1] << 8;
        if (have > 2)
            word |= in[i + 2];
        for (size_t k = 0; k <= have; k++)
            out[n++] = alphabet[word >> (18 - 6 * k) & 63];
    }
    return n;
}

size_t bgw_base64url_encode(const uint8_t *in, size_t len, char *out)
{
    size_t n = encode(url_alphabet, in, len, out);
    out[n] = '\0';
    return n;
}

size_t bgw_base64_encode(const uint8_t *in, size_t len, char *out)
{
    size_t n = encode(standard_alphabet, in, len, out);
    while (n % 4)
        out[n++] = '=';
    out[n] = '\0';
    return n;
}

/* 0-63, or 64 for a byte outside the alphabet, of which only the last two differ. */
static uint32_t value_of(char c, const char *alphabet)
{
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A');
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a' + 26);
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0' + 52);
    if (c == alphabet[62])
        return 62;
    return c == alphabet[63] ? 63 : 64;
}

/* `in` without padding. */
static enum bgw_status decode(const char *alphabet, struct bgw_slice in, uint8_t *out, size_t cap,
                              size_t *len)
{
    size_t n = 0;
    uint32_t word = 0;
    unsigned bits = 0;
    if (in.len % 4 == 1)
        return BGW_BAD_ENCODING;
    if (in.len / 4 * 3 + in.len % 4 * 3 / 4 > cap)
        return BGW_TOO_LARGE;
    for (size_t i = 0; i < in.len; i++) {
        uint32_t v = value_of(in.data[i], alphabet);
        if (v > 63)
            return BGW_BAD_ENCODING;
        word = (word << 6 | v) & 0xffff;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(word >> bits);
        }
    }
    if (word & ((1U << bits) - 1))
        return BGW_BAD_ENCODING; /* left-over bits that are not zero: a second spelling */
    *len = n;
    return BGW_OK;
}

enum bgw_status bgw_base64url_decode(struct bgw_slice in, uint8_t *out, size_t cap, size_t *len)
{
    return decode(url_alphabet, in, out, cap, len);
}

enum bgw_status bgw_base64_decode(struct bgw_slice in, uint8_t *out, size_t cap, size_t *len)
{
    if (in.len % 4)
        return BGW_BAD_ENCODING;
    for (int pad = 0; pad < 2 && in.len && in.data[in.len - 1] == '='; pad++)
        in.len--;
    return decode(standard_alphabet, in, out, cap, len);
}
