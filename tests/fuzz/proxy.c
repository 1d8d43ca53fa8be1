/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-proxy: the first bytes of a connection as a PROXY protocol v2 header.
 *
 * Properties: asked byte by byte, it says MORE until it has what it asked for, refuses for good, and
 * takes a header only if a second reading of the layout finds the same address and length.
 */
#include "fuzz.h"

#include "wire/proxy_header.h"

static const uint8_t signature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

static enum bgw_proxy_result parse(const uint8_t *data, size_t len, struct bgw_proxy_header *h)
{
    char *copy = fuzz_copy(bgw_slice_of((const char *)data, len));
    enum bgw_proxy_result r = bgw_proxy_parse(bgw_slice_of(copy, len), h);
    free(copy);
    FUZZ_CHECK(h->need >= BGW_PROXY_PREFIX && h->need <= BGW_PROXY_NEED_MAX);
    FUZZ_CHECK(r != BGW_PROXY_MORE || len < h->need);
    FUZZ_CHECK(r != BGW_PROXY_OK || (len >= h->need && h->total >= h->need && h->total <= BGW_PROXY_TOTAL_MAX));
    return r;
}

static void check_layout(const uint8_t *d, size_t size, const struct bgw_proxy_header *h)
{
    struct bgw_addr none = {0};
    FUZZ_CHECK(size >= 16 && memcmp(d, signature, sizeof(signature)) == 0);
    FUZZ_CHECK(h->total == 16u + (size_t)(d[14] << 8 | d[15]));
    bool proxied = d[12] == 0x21;
    FUZZ_CHECK(proxied || d[12] == 0x20);
    if (proxied && d[13] == 0x11) {
        static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
        FUZZ_CHECK(memcmp(h->addr.bytes, mapped, 12) == 0 && memcmp(h->addr.bytes + 12, d + 16, 4) == 0);
        FUZZ_CHECK(h->total >= 28);
    } else if (proxied && d[13] == 0x21) {
        FUZZ_CHECK(memcmp(h->addr.bytes, d + 16, 16) == 0 && h->total >= 52);
    } else {
        FUZZ_CHECK(bgw_addr_equal(&h->addr, &none));
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bgw_proxy_header h = {0}, last = {0};
    enum bgw_proxy_result r = BGW_PROXY_MORE;
    for (size_t len = 0; len <= size && r == BGW_PROXY_MORE; len++) {
        last = h;
        r = parse(data, len, &h);
        FUZZ_CHECK(r == BGW_PROXY_BAD || h.need >= last.need); /* it never asks for less */
    }
    if (r == BGW_PROXY_OK)
        check_layout(data, size, &h);
    if (r != BGW_PROXY_MORE && size <= BGW_PROXY_NEED_MAX) {
        struct bgw_proxy_header whole;
        FUZZ_CHECK(parse(data, size, &whole) == r);
        FUZZ_CHECK(r == BGW_PROXY_BAD || bgw_addr_equal(&whole.addr, &h.addr));
    }
    return 0;
}
