/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8: well-formed or not, as the Unicode standard's table 3-7 has it: no overlong forms, no
 * surrogates, nothing above U+10FFFF. Called for every record and message, on any thread; pure.
 */
#include "bgw/json.h"

/* What the byte after a lead byte may be, and how many follow it; 0: not a lead byte. */
static int tail_count(unsigned char lead, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 1;
    if (lead >= 0xe0 && lead <= 0xef) {
        if (lead == 0xe0)
            *low = 0xa0; /* below: overlong */
        if (lead == 0xed)
            *high = 0x9f; /* above: surrogates */
        return 2;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        if (lead == 0xf0)
            *low = 0x90; /* below: overlong */
        if (lead == 0xf4)
            *high = 0x8f; /* above: past U+10FFFF */
        return 3;
    }
    return 0;
}

/* The length of the character at p, or 0 if it is not well-formed. */
static size_t char_len(const unsigned char *p, size_t left)
{
    unsigned char low, high;
    if (*p < 0x80)
        return 1;
    size_t tails = (size_t)tail_count(*p, &low, &high);
    if (tails == 0 || left <= tails || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i <= tails; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return tails + 1;
}

bool bgw_utf8_valid(struct bgw_slice bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.data;
    size_t at = 0;
    while (at < bytes.len) {
        uint64_t eight;
        if (bytes.len - at >= sizeof(eight)) {
            memcpy(&eight, p + at, sizeof(eight));
            if (!(eight & 0x8080808080808080ULL)) {
                at += sizeof(eight); /* ASCII, which nearly everything is */
                continue;
            }
        }
        size_t n = char_len(p + at, bytes.len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}
