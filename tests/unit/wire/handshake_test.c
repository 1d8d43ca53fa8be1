/* SPDX-License-Identifier: Apache-2.0 */
/* handshake: origins, keys, subprotocols, and where a token may stand. */
#include "test.h"

#include "wire/handshake.h"

#include <stdlib.h>

#define HEAD "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct bgw_http_reader *read_request(const char *target, const char *host, const char *more)
{
    struct bgw_http_reader *r = bgw_http_reader_create(&(struct bgw_http_limits){32768, 0});
    struct bgw_buf b;
    size_t used;
    bgw_buf_init(&b, 1 << 20);
    bgw_buf_append_str(&b, "GET ");
    bgw_buf_append_str(&b, target);
    bgw_buf_append_str(&b, " HTTP/1.1\r\nHost: ");
    bgw_buf_append_str(&b, host);
    bgw_buf_append_str(&b, "\r\n" HEAD);
    bgw_buf_append_str(&b, more);
    bgw_buf_append_str(&b, "\r\n");
    CHECK(bgw_http_read(r, bgw_buf_slice(&b), &used) == BGW_HTTP_DONE);
    bgw_buf_deinit(&b);
    return r;
}

static enum bgw_refusal check(const char *host, const char *origins, const char *more,
                              struct bgw_handshake *shake)
{
    struct bgw_http_reader *r = read_request("/ws", host, more);
    enum bgw_refusal why = bgw_handshake_check(bgw_http_reader_request(r), origins, shake);
    bgw_http_reader_destroy(&r);
    return why;
}

TEST(the_accept_key_is_the_rfcs)
{
    struct bgw_handshake shake;
    CHECK(check("a", "", KEY, &shake) == BGW_REFUSAL_NONE);
    CHECK_EQ_STR(shake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(!shake.native);
}

TEST(an_origin_is_the_own_host_or_listed)
{
    static const struct {
        const char *host, *origin, *origins;
        bool allowed;
    } rows[] = {
        {"a.example", "http://a.example", "", true},
        {"a.example", "https://A.example", "", true},
        {"a.example:80", "http://a.example", "", true},
        {"a.example", "http://a.example:80", "", true},
        {"a.example", "https://a.example:443", "", true},
        {"a.example:5851", "http://a.example:5851", "", true},
        {"a.example:5851", "http://a.example", "", false},
        {"a.example", "https://a.example:80", "", false},
        {"a.example", "http://a.example.evil", "", false},
        {"a.example", "http://evil-a.example", "", false},
        {"a.example", "ftp://a.example", "", false},
        {"a.example", "null", "", false},
        {"a.example", "null", "*", true},
        {"a.example", "https://app.example", "https://x.example, https://app.example", true},
        {"a.example", "https://app.example", "https://x.example,https://app.example:8443", false},
        {"a.example", "http://app.example", "https://app.example", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_handshake shake;
        char more[256];
        snprintf(more, sizeof(more), KEY "Origin: %s\r\n", rows[i].origin);
        bool allowed = check(rows[i].host, rows[i].origins, more, &shake) == BGW_REFUSAL_NONE;
        if (allowed != rows[i].allowed)
            printf("# row %zu: %s on %s\n", i, rows[i].origin, rows[i].host);
        CHECK(allowed == rows[i].allowed);
    }
}

TEST(keys_and_protocols_are_checked)
{
    static const struct {
        const char *more;
        enum bgw_refusal refusal;
        bool native;
    } rows[] = {
        {"", BGW_REFUSAL_BAD_WS_KEY, false},
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", BGW_REFUSAL_BAD_WS_KEY, false},
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n", BGW_REFUSAL_BAD_WS_KEY,
         false}, /* trailing bits */
        {"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEyMw==\r\n", BGW_REFUSAL_BAD_WS_KEY, false},
        {"Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n", BGW_REFUSAL_BAD_WS_KEY, false},
        {KEY "Sec-WebSocket-Protocol: bgw.v1\r\n", BGW_REFUSAL_NONE, true},
        {KEY "Sec-WebSocket-Protocol: x, bgw.v1\r\nSec-WebSocket-Protocol: y\r\n", BGW_REFUSAL_NONE,
         true},
        {KEY "Sec-WebSocket-Protocol: BGW.V1\r\n", BGW_REFUSAL_NONE,
         false}, /* names are case-sensitive */
        {KEY "Sec-WebSocket-Protocol: bgw.v1, bgw.v1\r\n", BGW_REFUSAL_BAD_PROTOCOLS, false},
        {KEY "Sec-WebSocket-Protocol: a b\r\n", BGW_REFUSAL_BAD_PROTOCOLS, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_handshake shake = {.native = false};
        enum bgw_refusal why = check("a", "", rows[i].more, &shake);
        if (why != rows[i].refusal)
            printf("# row %zu: %s\n", i, why ? bgw_refusal_code(why) : "taken");
        CHECK(why == rows[i].refusal);
        CHECK(why || shake.native == rows[i].native);
    }
}

TEST(a_long_list_of_extensions_and_protocols_is_no_trouble)
{
    struct bgw_buf b;
    struct bgw_handshake shake;
    bgw_buf_init(&b, 1 << 16);
    bgw_buf_append_str(&b, KEY "Sec-WebSocket-Extensions: ");
    for (int i = 0; i < 200; i++)
        bgw_buf_append_str(&b, "permessage-deflate; client_max_window_bits, ");
    bgw_buf_append_str(&b, "x\r\nSec-WebSocket-Protocol: ");
    for (int i = 0; i < 200; i++)
        bgw_buf_appendf(&b, "a-rather-long-name-of-a-protocol-%d, ", i);
    bgw_buf_append_str(&b, "bgw.v1\r\n");
    bgw_buf_append_byte(&b, '\0');
    CHECK(check("a", "", b.data, &shake) == BGW_REFUSAL_NONE);
    CHECK(shake.native);
    bgw_buf_deinit(&b);
}

TEST(a_token_stands_in_one_place_only)
{
    static const struct {
        const char *target, *more;
        enum bgw_refusal refusal;
        bool given;
        const char *token;
    } rows[] = {
        {"/ws", "", BGW_REFUSAL_NONE, false, ""},
        {"/ws?x=1", "Authorization: Bearer a.b.c\r\n", BGW_REFUSAL_NONE, true, "a.b.c"},
        {"/ws", "Authorization: bearer  a.b.c \r\n", BGW_REFUSAL_NONE, true, "a.b.c"},
        {"/ws?access_token=a%2Eb.c&x", "", BGW_REFUSAL_NONE, true, "a.b.c"},
        {"/ws?access_token=", "", BGW_REFUSAL_NONE, true, ""},
        {"/ws?access_token=a&access_token=a", "", BGW_REFUSAL_BAD_QUERY, true, ""},
        {"/ws?access_token=%zz", "", BGW_REFUSAL_BAD_QUERY, true, ""},
        {"/ws?access_token=a", "Authorization: Bearer b\r\n", BGW_REFUSAL_NONE, true, "b"},
        {"/ws", "Authorization: Basic YTpi\r\n", BGW_REFUSAL_BAD_AUTHORIZATION, true, ""},
        {"/ws", "Authorization: Bearer\r\n", BGW_REFUSAL_BAD_AUTHORIZATION, true, ""},
        {"/ws", "Authorization: Bearer a b\r\n", BGW_REFUSAL_BAD_AUTHORIZATION, true, ""},
        {"/ws", "Authorization:\r\n", BGW_REFUSAL_BAD_AUTHORIZATION, true, ""},
    };
    char *token = malloc(BGW_TOKEN_MAX);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct bgw_http_reader *r = read_request(rows[i].target, "a", rows[i].more);
        size_t len = 0;
        bool given = true;
        enum bgw_refusal why = bgw_handshake_token(bgw_http_reader_request(r), token, &len, &given);
        if (why != rows[i].refusal)
            printf("# row %zu: %s\n", i, why ? bgw_refusal_code(why) : "taken");
        CHECK(why == rows[i].refusal);
        if (!why) {
            CHECK(given == rows[i].given);
            CHECK_SLICE(bgw_slice_of(token, given ? len : 0), rows[i].token);
        }
        bgw_http_reader_destroy(&r);
    }
    free(token);
}
