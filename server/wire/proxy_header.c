/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header: hides the layout of PROXY protocol v2. Called by admission on a shard's thread, and
 * by the fuzzer. Invariant: a byte is refused as soon as it is seen and wrong, so that a client that
 * speaks anything else is not waited for; nothing past `need` is ever asked for.
 */
#include "proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define SIGNATURE_LEN 12
#define IPV4_BYTES 12 /* two addresses, two ports */
#define IPV6_BYTES 36

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21 }; /* with the version in the upper half */
enum { FAMILY_UNSPEC = 0x00, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };

static bool prefix_good(struct bgw_slice bytes)
{
    size_t signature = bytes.len < SIGNATURE_LEN ? bytes.len : SIGNATURE_LEN;
    const uint8_t *at = (const uint8_t *)bytes.data;
    if (signature && memcmp(at, SIGNATURE, signature) != 0)
        return false;
    if (bytes.len > 12 && at[12] != COMMAND_LOCAL && at[12] != COMMAND_PROXY)
        return false;
    return bytes.len <= 13 || at[13] == FAMILY_UNSPEC || at[13] == FAMILY_TCP4 || at[13] == FAMILY_TCP6;
}

static void take_addr(struct bgw_proxy_header *out, const uint8_t *source, bool ipv4)
{
    if (ipv4) {
        out->addr.bytes[10] = out->addr.bytes[11] = 0xff;
        memcpy(out->addr.bytes + 12, source, 4);
    } else {
        memcpy(out->addr.bytes, source, 16);
    }
}

enum bgw_proxy_result bgw_proxy_parse(struct bgw_slice bytes, struct bgw_proxy_header *out)
{
    const uint8_t *at = (const uint8_t *)bytes.data;
    *out = (struct bgw_proxy_header){.need = BGW_PROXY_PREFIX};
    if (!prefix_good(bytes))
        return BGW_PROXY_BAD;
    if (bytes.len < BGW_PROXY_PREFIX)
        return BGW_PROXY_MORE;
    /* a LOCAL connection is the proxy's own, whatever stands in its address */
    uint8_t family = at[12] == COMMAND_PROXY ? at[13] : FAMILY_UNSPEC;
    size_t rest = (size_t)(at[14] << 8 | at[15]);
    size_t addresses = family == FAMILY_TCP4 ? IPV4_BYTES : family == FAMILY_TCP6 ? IPV6_BYTES : 0;
    if (rest < addresses || rest > BGW_PROXY_TOTAL_MAX - BGW_PROXY_PREFIX)
        return BGW_PROXY_BAD;
    out->need = BGW_PROXY_PREFIX + addresses;
    out->total = BGW_PROXY_PREFIX + rest;
    if (bytes.len < out->need)
        return BGW_PROXY_MORE;
    if (family == FAMILY_TCP4)
        take_addr(out, at + 16, true);
    else if (family == FAMILY_TCP6)
        take_addr(out, at + 16, false);
    return BGW_PROXY_OK;
}
