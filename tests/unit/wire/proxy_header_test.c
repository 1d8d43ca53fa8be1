/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header_test: the header of PROXY protocol v2, whole and cut, and everything else that may
 * stand at the beginning of a connection.
 */
#include "wire/proxy_header.h"

#include "test.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

static struct bgw_proxy_header got;

static enum bgw_proxy_result parse(const char *bytes, size_t len)
{
    return bgw_proxy_parse(bgw_slice_of(bytes, len), &got);
}

#define PARSE(lit) parse(lit, sizeof(lit) - 1)

static const char *addr(void)
{
    static char text[BGW_ADDR_TEXT_MAX];
    bgw_addr_format(&got.addr, text);
    return text;
}

TEST(client_of_either_family_is_named)
{
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\xd9\x03\x01\xbb"), BGW_PROXY_OK);
    CHECK_EQ_STR(addr(), "192.0.2.1");
    CHECK_EQ_I64(got.total, 28);
    CHECK_EQ_I64(got.need, 28);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"
                                 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50\x01\xbb"),
                 BGW_PROXY_OK);
    CHECK_EQ_STR(addr(), "2001:db8::7");
    CHECK_EQ_I64(got.total, 52);
}

TEST(local_and_unspecified_connections_name_nobody)
{
    CHECK_EQ_I64(PARSE(SIGNATURE "\x20\x00\x00\x00"), BGW_PROXY_OK);
    CHECK(!bgw_addr_known(&got.addr));
    CHECK_EQ_I64(got.total, 16);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x00\x00\x00"), BGW_PROXY_OK);
    CHECK(!bgw_addr_known(&got.addr));
    /* a LOCAL one with an address: the address is skipped, not believed */
    CHECK_EQ_I64(PARSE(SIGNATURE "\x20\x11\x00\x0c"), BGW_PROXY_OK);
    CHECK(!bgw_addr_known(&got.addr));
    CHECK_EQ_I64(got.need, 16);
    CHECK_EQ_I64(got.total, 28);
}

TEST(what_follows_the_addresses_belongs_to_the_header_up_to_4096_bytes)
{
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x11\x10\x00\xc0\x00\x02\x01\x7f\x00\x00\x01\xd9\x03\x01\xbb"), BGW_PROXY_OK);
    CHECK_EQ_I64(got.total, 16 + 4096);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x11\x10\x01"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x20\x00\xff\xff"), BGW_PROXY_BAD);
}

TEST(header_that_is_too_short_for_its_family_is_refused)
{
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x11\x00\x0b"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x21\x00\x0c"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x11\x00\x00"), BGW_PROXY_BAD);
}

TEST(every_cut_asks_for_more_and_never_for_a_byte_too_many)
{
    static const char whole[] = SIGNATURE "\x21\x11\x00\x0f\xc0\x00\x02\x01\x7f\x00\x00\x01\xd9\x03\x01\xbb\x04\x00\x00";
    for (size_t len = 0; len < 28; len++) {
        CHECK_EQ_I64(parse(whole, len), BGW_PROXY_MORE);
        CHECK_EQ_I64(got.need, len < 16 ? 16 : 28);
        CHECK(!bgw_addr_known(&got.addr));
    }
    CHECK_EQ_I64(parse(whole, 28), BGW_PROXY_OK);
    CHECK_EQ_I64(got.total, 31);
}

TEST(anything_else_is_refused_at_the_byte_that_shows_it)
{
    static const char good[] = SIGNATURE "\x21\x11\x00\x0c";
    CHECK_EQ_I64(PARSE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE("P"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE("GET / HTTP/1.1\r\n"), BGW_PROXY_BAD);
    CHECK_EQ_I64(PARSE("\x16\x03\x01"), BGW_PROXY_BAD);
    for (size_t i = 0; i < 14; i++) {
        char bad[sizeof(good)];
        memcpy(bad, good, sizeof(good));
        bad[i] ^= 0x40;
        CHECK_EQ_I64(parse(bad, i + 1), BGW_PROXY_BAD);
    }
    CHECK_EQ_I64(PARSE(SIGNATURE "\x11"), BGW_PROXY_BAD);     /* version 1 */
    CHECK_EQ_I64(PARSE(SIGNATURE "\x22"), BGW_PROXY_BAD);     /* no such command */
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x12"), BGW_PROXY_BAD); /* UDP */
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x31"), BGW_PROXY_BAD); /* a local socket */
    CHECK_EQ_I64(PARSE(SIGNATURE "\x21\x10"), BGW_PROXY_BAD);
}
