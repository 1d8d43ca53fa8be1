/* SPDX-License-Identifier: Apache-2.0 */
/* net: what is an address, which line it belongs to, which lists contain it, which lists are wrong. */
#include "test.h"

#include "bgw/net.h"

#include <netinet/in.h>

static struct bgw_addr addr(const char *text)
{
    struct bgw_addr a;
    CHECK(bgw_addr_parse(bgw_slice_str(text), &a));
    return a;
}

TEST(addresses_are_written_as_they_were_read)
{
    static const char *const rows[][2] = {
        {"192.0.2.1", "192.0.2.1"},       {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"}, {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"}, {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"}, {"::1", "::1"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char text[BGW_ADDR_TEXT_MAX];
        struct bgw_addr a = addr(rows[i][0]);
        CHECK_EQ_I64(bgw_addr_format(&a, text), strlen(rows[i][1]));
        CHECK_EQ_STR(text, rows[i][1]);
        CHECK(bgw_addr_known(&a));
    }
    struct bgw_addr nobody = {{0}};
    char text[BGW_ADDR_TEXT_MAX];
    CHECK_EQ_I64(bgw_addr_format(&nobody, text), 7);
    CHECK_EQ_STR(text, "unknown");
}

TEST(what_is_not_exactly_an_address_is_none)
{
    static const char *const rows[] = {
        "", " ", "::", "[::]", "192.0.2", "192.0.2.1.1", "192.0.2.01", "192.0.2.256", "0x7f.0.0.1",
        "192.0.2.1:80", " 192.0.2.1", "192.0.2.1 ", "[192.0.2.1]", "[2001:db8::1", "2001:db8::1]",
        "[2001:db8::1]:443", "fe80::1%eth0", "2001:db8:::1", "12345::", "localhost", "[]", "unknown",
        "1.2.3.4/32", "::ffff:1.2.3", "1111:2222:3333:4444:5555:6666:7777:8888:9999",
    };
    struct bgw_addr a;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (bgw_addr_parse(bgw_slice_str(rows[i]), &a))
            test_fail_(__FILE__, __LINE__, "%s is taken for an address", rows[i]);
    }
    CHECK(!bgw_addr_parse(bgw_slice_of("1.2.3.4\0", 8), &a));
    CHECK(!bgw_addr_parse(bgw_slice_of(NULL, 0), &a));
}

TEST(a_socket_address_gives_its_address)
{
    struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(8443)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(80)};
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct bgw_addr a, want = addr("10.1.2.3");
    in4.sin_addr.s_addr = htonl(0x0a010203);
    CHECK(bgw_addr_of_sockaddr((struct sockaddr *)&in4, &a));
    CHECK(bgw_addr_equal(&a, &want));
    /* an IPv4 client on an IPv6 socket is the same client */
    memcpy(&in6.sin6_addr, want.bytes, 16);
    CHECK(bgw_addr_of_sockaddr((struct sockaddr *)&in6, &a));
    CHECK(bgw_addr_equal(&a, &want));
    CHECK(!bgw_addr_of_sockaddr(&local, &a));
    CHECK(!bgw_addr_known(&a));
}

TEST(a_line_is_an_ipv4_address_or_an_ipv6_64)
{
    struct bgw_addr a = addr("192.0.2.1"), b = addr("::ffff:192.0.2.1"), c = addr("192.0.2.2");
    struct bgw_addr d = addr("2001:db8:1:2::1"), e = addr("2001:db8:1:2:ffff::9"), f = addr("2001:db8:1:3::1");
    CHECK(bgw_addr_line(&a) == bgw_addr_line(&b));
    CHECK(bgw_addr_line(&a) != bgw_addr_line(&c));
    CHECK(bgw_addr_line(&d) == bgw_addr_line(&e));
    CHECK(bgw_addr_line(&d) != bgw_addr_line(&f));
}

static bool in(const char *list, const char *text)
{
    struct bgw_nets *n;
    struct bgw_addr a = addr(text);
    CHECK_EQ_I64(bgw_nets_parse(&n, list, NULL), BGW_OK);
    bool contained = bgw_nets_contain(n, &a);
    bgw_nets_release(n);
    return contained;
}

TEST(lists_contain_their_networks_and_nothing_else)
{
    CHECK(in("10.0.0.0/8", "10.0.0.0") && in("10.0.0.0/8", "10.255.255.255"));
    CHECK(!in("10.0.0.0/8", "11.0.0.0") && !in("10.0.0.0/8", "9.255.255.255"));
    CHECK(in("10.64.0.0/10", "10.127.255.255") && !in("10.64.0.0/10", "10.128.0.0"));
    CHECK(in("127.0.0.1", "127.0.0.1") && !in("127.0.0.1", "127.0.0.2"));
    CHECK(in(" 192.0.2.7 ,\t2001:db8::/33 ", "2001:db8:7fff::1"));
    CHECK(!in("192.0.2.7, 2001:db8::/33", "2001:db8:8000::1"));
    CHECK(in("::ffff:10.0.0.0/104", "10.9.9.9")); /* the same network, written the other way */
    CHECK(in("0.0.0.0/0", "203.0.113.9") && in("::/0", "2001:db8::1"));
    CHECK(!in("::/0", "203.0.113.9") && !in("0.0.0.0/0", "2001:db8::1"));
    CHECK(!in("::/0", "0.0.0.1"));
    CHECK(!in("", "10.0.0.1") && !in("  ", "10.0.0.1"));
    struct bgw_addr nobody = {{0}}, a = addr("10.0.0.1");
    struct bgw_nets *n;
    CHECK_EQ_I64(bgw_nets_parse(&n, "::/0,0.0.0.0/0", NULL), BGW_OK);
    CHECK(!bgw_nets_contain(n, &nobody));
    CHECK(!bgw_nets_contain(NULL, &a));
    CHECK_EQ_I64(bgw_nets_count(n), 2);
    CHECK_EQ_I64(bgw_nets_count(NULL), 0);
    CHECK(bgw_nets_acquire(n) == n);
    bgw_nets_release(n);
    CHECK(bgw_nets_contain(n, &a)); /* the other reference holds it */
    bgw_nets_release(n);
    CHECK(bgw_nets_acquire(NULL) == NULL);
    bgw_nets_release(NULL);
    CHECK_EQ_I64(bgw_nets_parse(&n, NULL, NULL), BGW_OK);
    CHECK_EQ_I64(bgw_nets_count(n), 0);
    bgw_nets_release(n);
}

TEST(a_wrong_list_is_refused_with_its_entry_and_what_is_expected)
{
    static const struct {
        const char *list, *named, *expected;
    } rows[] = {
        {"10.0.0.1/8", "\"10.0.0.1/8\"", "bits behind its length"},
        {"10.0.0.0/8, 2001:db8::1/32", "\"2001:db8::1/32\"", "bits behind its length"},
        {"::1/0", "\"::1/0\"", "bits behind"},
        {"10.0.0.0/33", "\"10.0.0.0/33\"", "0 to 32"},
        {"2001:db8::/129", "\"2001:db8::/129\"", "0 to 128"},
        {"10.0.0.0/", "\"10.0.0.0/\"", "0 to 32"},
        {"10.0.0.0/08", "\"10.0.0.0/08\"", "0 to 32"},
        {"10.0.0.0/+8", "\"10.0.0.0/+8\"", "0 to 32"},
        {"10.0.0.0/8/8", "\"10.0.0.0/8/8\"", "0 to 32"},
        {"10.0.0/8", "\"10.0.0/8\"", "10.0.0.0/8"},
        {"proxy.example.com", "\"proxy.example.com\"", "must be an address"},
        {"[2001:db8::1]", "\"[2001:db8::1]\"", "must be an address"},
        {"10.0.0.1,,10.0.0.2", "\"\"", "empty"},
        {"10.0.0.1,", "\"\"", "empty"},
        {",", "\"\"", "empty"},
        {"10.0.0.1 10.0.0.2", "\"10.0.0.1 10.0.0.2\"", "must be an address"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_nets *n;
        struct bgw_buf error;
        bgw_buf_init(&error, 1000);
        CHECK_EQ_I64(bgw_nets_parse(&n, rows[i].list, &error), BGW_BAD_VALUE);
        CHECK(n == NULL);
        bgw_buf_append(&error, bgw_slice_of("", 1));
        if (!strstr(error.data, rows[i].named) || !strstr(error.data, rows[i].expected))
            test_fail_(__FILE__, __LINE__, "%s: %s", rows[i].list, error.data);
        bgw_buf_deinit(&error);
    }
}

TEST(a_list_may_have_256_entries)
{
    char text[BGW_NETS_MAX * 12 + 12] = "";
    size_t len = 0;
    struct bgw_nets *n;
    for (int i = 0; i < BGW_NETS_MAX; i++)
        len += (size_t)sprintf(text + len, "%s10.0.0.%d", i ? "," : "", i);
    CHECK_EQ_I64(bgw_nets_parse(&n, text, NULL), BGW_OK);
    CHECK_EQ_I64(bgw_nets_count(n), BGW_NETS_MAX);
    bgw_nets_release(n);
    strcpy(text + len, ",1.1.1.1");
    CHECK_EQ_I64(bgw_nets_parse(&n, text, NULL), BGW_BAD_VALUE);
}
