/* SPDX-License-Identifier: Apache-2.0 */
/* forwarded: whom a chain of proxies speaks for, and what of it cannot be read. */
#include "test.h"

#include "wire/forwarded.h"

/* 10.0.0.0/8 and 2001:db8:ffff::/48 are our proxies. */
static const char *said(const char *headers)
{
    static char text[128];
    static const struct bgw_http_limits limits = {100000, 0};
    struct bgw_http_reader *r = bgw_http_reader_create(&limits);
    struct bgw_nets *trusted;
    struct bgw_addr client;
    struct bgw_buf request;
    size_t used;
    CHECK(bgw_nets_parse(&trusted, "10.0.0.0/8,2001:db8:ffff::/48", NULL) == BGW_OK);
    bgw_buf_init(&request, 100000);
    bgw_buf_appendf(&request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
    enum bgw_http_progress progress = bgw_http_read(r, bgw_buf_slice(&request), &used);
    if (progress != BGW_HTTP_DONE) {
        snprintf(text, sizeof(text), "(not taken by http)");
    } else {
        switch (bgw_forwarded_client(bgw_http_reader_request(r), trusted, &client)) {
        case BGW_FORWARDED_CLIENT:
            bgw_addr_format(&client, text);
            break;
        case BGW_FORWARDED_UNKNOWN:
            CHECK(!bgw_addr_known(&client));
            snprintf(text, sizeof(text), "unknown");
            break;
        case BGW_FORWARDED_BAD:
            snprintf(text, sizeof(text), "bad");
            break;
        case BGW_FORWARDED_NONE:
            snprintf(text, sizeof(text), "none");
            break;
        }
    }
    bgw_buf_deinit(&request);
    bgw_nets_release(trusted);
    bgw_http_reader_destroy(&r);
    return text;
}

static const struct {
    const char *headers, *client;
} rows[] = {
    {"", "none"},
    {"X-Forwarded-For:\r\n", "none"},
    {"X-Forwarded-For: , ,\r\n", "none"},
    {"Forwarded: \r\n", "none"},
    {"X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
    {"X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n", "198.51.100.7"},
    {"X-Forwarded-For: 192.0.2.1, 198.51.100.7, 10.1.2.3\r\n", "198.51.100.7"},
    {"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 198.51.100.7\r\n", "198.51.100.7"},
    {"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 10.0.0.9\r\n", "192.0.2.1"},
    {"X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n", "10.0.0.1"},
    {"X-Forwarded-For: 2001:db8::7, 2001:db8:ffff::1\r\n", "2001:db8::7"},
    {"X-Forwarded-For: 192.0.2.1:4711\r\n", "192.0.2.1"},
    {"X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"},
    {"X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"},
    {"X-Forwarded-For: unknown\r\n", "unknown"},
    {"X-Forwarded-For: 192.0.2.1, unknown, 10.0.0.1\r\n", "unknown"},
    /* what a stranger wrote, left of the proxy's word, decides nothing */
    {"X-Forwarded-For: <script>, 198.51.100.7\r\n", "198.51.100.7"},
    {"X-Forwarded-For: nonsense, 198.51.100.7, 10.0.0.1\r\n", "198.51.100.7"},
    {"X-Forwarded-For: 10.0.0.1, 198.51.100.7\r\n", "198.51.100.7"},
    {"X-Forwarded-For: nonsense\r\n", "bad"},
    {"X-Forwarded-For: nonsense, 10.0.0.1\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.1, nonsense\r\n", "bad"},
    {"X-Forwarded-For: \"192.0.2.1\"\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.1:\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.1:999999\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.1:80x\r\n", "bad"},
    {"X-Forwarded-For: [2001:db8::7\r\n", "bad"},
    {"X-Forwarded-For: 2001:db8::7]\r\n", "bad"},
    {"X-Forwarded-For: [2001:db8::7]4711\r\n", "bad"},
    {"X-Forwarded-For: [192.0.2.1]\r\n", "bad"},
    {"X-Forwarded-For: ]\r\n", "bad"},
    {"X-Forwarded-For: :\r\n", "bad"},
    {"X-Forwarded-For: ::\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.1 198.51.100.7\r\n", "bad"},
    {"X-Forwarded-For: 192.0.2.256\r\n", "bad"},

    {"Forwarded: for=192.0.2.1\r\n", "192.0.2.1"},
    {"forwarded: FOR=192.0.2.1;Proto=https;BY=203.0.113.43\r\n", "192.0.2.1"},
    {"Forwarded: proto=https ; for=\"192.0.2.1:80\"\r\n", "192.0.2.1"},
    {"Forwarded: for=\"[2001:db8::7]:4711\"\r\n", "2001:db8::7"},
    {"Forwarded: for=\"[2001:db8::7]\", for=10.0.0.1\r\n", "2001:db8::7"},
    {"Forwarded: for=192.0.2.1, for=198.51.100.7\r\n", "198.51.100.7"},
    {"Forwarded: for=192.0.2.1\r\nForwarded: for=198.51.100.7,for=10.0.0.1\r\n", "198.51.100.7"},
    {"Forwarded: for=10.0.0.1,, for=10.0.0.2\r\n", "10.0.0.1"},
    {"Forwarded: for=_hidden\r\n", "unknown"},
    {"Forwarded: for=\"_SEVKISEK:_port\"\r\n", "unknown"},
    {"Forwarded: for=unknown\r\n", "unknown"},
    {"Forwarded: for=\"unknown:_x\"\r\n", "unknown"},
    {"Forwarded: proto=https;host=a\r\n", "unknown"},
    {"Forwarded: for=192.0.2.1, proto=https\r\n", "unknown"},
    {"Forwarded: for=192.0.2.1, for=unknown, for=10.0.0.1\r\n", "unknown"},
    {"Forwarded: host=\"a, for=6.6.6.6\";for=192.0.2.1\r\n", "192.0.2.1"},
    {"Forwarded: host=\"a\\\", for=6.6.6.6\";for=192.0.2.1\r\n", "192.0.2.1"},
    {"Forwarded: for=nonsense, for=192.0.2.1\r\n", "192.0.2.1"},
    {"Forwarded: for=nonsense\r\n", "bad"},
    {"Forwarded: for=nonsense, for=10.0.0.1\r\n", "bad"},
    {"Forwarded: for=\"\"\r\n", "bad"},
    {"Forwarded: for=\r\n", "bad"},
    {"Forwarded: for\r\n", "bad"},
    {"Forwarded: 192.0.2.1\r\n", "bad"},
    {"Forwarded: for = 192.0.2.1\r\n", "bad"},
    {"Forwarded: for=192.0.2.1;for=198.51.100.7\r\n", "bad"},
    {"Forwarded: for=192.0.2.1;;proto=https\r\n", "bad"},
    {"Forwarded: for=192.0.2.1;\r\n", "bad"},
    {"Forwarded: for=192.0.2.1 proto=https\r\n", "bad"},
    {"Forwarded: for=[2001:db8::7]\r\n", "bad"}, /* brackets need quotes */
    {"Forwarded: for=192.0.2.1:80\r\n", "bad"},
    {"Forwarded: for=\"192.0.2.1\r\n", "bad"},
    {"Forwarded: for=\"192.0.2.1\\\"\r\n", "bad"},
    {"Forwarded: for=\"192.0.2.\\1\"\r\n", "bad"},
    /* a client's open quote cannot swallow what the proxy wrote behind it and come out well */
    {"Forwarded: for=\"6.6.6.6, for=192.0.2.1\r\n", "bad"},
    {"Forwarded: for=6.6.6.6;x=\", for=\"192.0.2.1\"\r\n", "bad"},

    {"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1"},
    {"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.1, 10.0.0.1\r\n", "192.0.2.1"},
    {"Forwarded: for=unknown\r\nX-Forwarded-For: unknown\r\n", "unknown"},
    {"Forwarded: for=6.6.6.6\r\nX-Forwarded-For: 192.0.2.1\r\n", "bad"},
    {"Forwarded: for=192.0.2.1\r\nX-Forwarded-For: 6.6.6.6\r\n", "bad"},
    {"Forwarded: for=unknown\r\nX-Forwarded-For: 192.0.2.1\r\n", "bad"},
    {"Forwarded: nonsense\r\nX-Forwarded-For: 192.0.2.1\r\n", "bad"},
};

TEST(the_client_is_the_rightmost_hop_that_is_no_proxy_of_ours)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const char *got = said(rows[i].headers);
        if (strcmp(got, rows[i].client) != 0)
            test_fail_(__FILE__, __LINE__, "%.*s: %s, not %s", (int)strcspn(rows[i].headers, "\r"), rows[i].headers,
                       got, rows[i].client);
    }
}

TEST(a_long_chain_is_read_to_its_end)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 100000);
    bgw_buf_append_str(&b, "X-Forwarded-For: 6.6.6.6, 192.0.2.1");
    for (int i = 0; i < 5000; i++)
        bgw_buf_append_str(&b, ", 10.0.0.1");
    bgw_buf_append_str(&b, "\r\n");
    bgw_buf_append_byte(&b, '\0');
    CHECK_EQ_STR(said(b.data), "192.0.2.1");
    bgw_buf_deinit(&b);
}
