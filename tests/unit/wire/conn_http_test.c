/* SPDX-License-Identifier: Apache-2.0 */
/* conn: requests and their order, deadlines, refusals. */
#include "conn_rig.h"

TEST(pipelined_requests_are_answered_in_order_each_when_the_last_is_out)
{
    open_conn();
    sock.full = true;
    give_str(GET("/livez") GET("/health") GET("/nothing") GET("/livez"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 "), 1);
    CHECK(sock.paused);
    sock.buffered = false; /* one goes out; the next fills the socket again */
    bgw_conn_writable(conn);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 2);
    CHECK_EQ_I64(sent_count("Atlas.Realtime"), 1);
    CHECK(!sock.finished);
    make_writable();
    CHECK_EQ_I64(sent_count("HTTP/1.1 "),
                 3); /* 404 ends the connection: the fourth is never read */
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    CHECK(sock.finished);
    close_conn();
}

TEST(a_request_in_pieces_is_answered_once)
{
    static const char text[] = GET("/ws/info");
    open_conn();
    for (size_t i = 0; i + 1 < sizeof(text); i++) {
        CHECK_EQ_I64(sock.sends, 0);
        give(text + i, 1);
    }
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("{\"endpoint\":\"/ws\",\"protocols\":[\"websocket\"],"
                            "\"features\":[\"balance-updates\",\"real-time-notifications\"]"),
                 1);
    CHECK(!sock.finished);
    close_conn();
}

TEST(a_header_that_takes_too_long_is_told_408_and_idleness_is_not)
{
    open_conn();
    give_str("GET / HT");
    pass(4999);
    CHECK_EQ_I64(sock.sent_len, 0);
    pass(2);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    CHECK(sock.finished);
    close_conn();

    open_conn(); /* nothing at all: the deadline runs since accept */
    pass(5001);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    close_conn();

    open_conn();
    give_str(GET("/livez"));
    size_t len = sock.sent_len;
    pass(59000);
    CHECK(!sock.finished);
    pass(2000);
    CHECK(sock.finished);
    CHECK_EQ_I64(sock.sent_len, len);
    close_conn();

    open_conn(); /* a later request has its own deadline, from its first byte */
    give_str(GET("/livez"));
    pass(30000);
    give_str("G");
    pass(5001);
    CHECK_EQ_I64(sent_count("HTTP/1.1 408"), 1);
    close_conn();
}

TEST(refusals_name_the_trouble_and_end_the_connection)
{
    static const struct {
        const char *text;
        const char *expected[4];
    } rows[] = {
        {"POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
         {"HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n"}},
        {"PURGE /health HTTP/1.1\r\nHost: a\r\n\r\n",
         {"HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n"}},
        {GET("/../etc/passwd"), {"HTTP/1.1 404", "\"code\":\"not_found\""}},
        {GET("/demo/token.json"), {"HTTP/1.1 404"}},
        {GET("/a%2Fb"), {"HTTP/1.1 400", "\"code\":\"bad_target\""}},
        {GET("/ws%2fnegotiate"), {"HTTP/1.1 400", "\"code\":\"bad_target\""}},
        {"POST /health HTTP/1.1\r\nHost: a\r\n\r\n", {"HTTP/1.1 405", "Allow: GET, HEAD, OPTIONS\r\n"}},
        {"GET / HTTP/1.1\r\n\r\n", {"HTTP/1.1 400", "\"code\":\"bad_host\""}},
        {UPGRADE_BUT_END "\r\n", {"HTTP/1.1 401", "WWW-Authenticate: Bearer", "token_missing"}},
        {UPGRADE_BUT_END NATIVE "Authorization: Basic x\r\n\r\n",
         {"HTTP/1.1 401", "WWW-Authenticate: Bearer"}},
        {UPGRADE_BUT_END NATIVE "Origin: https://evil.example.com\r\n\r\n",
         {"HTTP/1.1 403", "forbidden_origin"}},
        {UPGRADE_BUT_END NATIVE "Origin: null\r\n\r\n", {"HTTP/1.1 403", "forbidden_origin"}},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
         {"HTTP/1.1 426", "Sec-WebSocket-Version: 13\r\n", "websocket_version"}},
        {"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: "
         "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: short\r\n\r\n",
         {"HTTP/1.1 400", "bad_websocket_key"}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_conn();
        give_str(rows[i].text);
        for (size_t e = 0; e < 4 && rows[i].expected[e]; e++) {
            if (!sent_count(rows[i].expected[e]))
                printf("# row %zu wants %s: %.*s\n", i, rows[i].expected[e], (int)sock.sent_len,
                       sock.sent);
            CHECK(sent_count(rows[i].expected[e]) > 0);
        }
        CHECK_EQ_I64(sent_count("\r\nConnection: "), 1);
        CHECK_EQ_I64(sent_count("close\r\n"), 1);
        CHECK_EQ_I64(sent_count("application/problem+json"), 1);
        CHECK(sock.finished && !session.opened);
        size_t len = sock.sent_len;
        give_str(GET("/livez")); /* what comes while it lingers is dropped */
        CHECK_EQ_I64(sock.sent_len, len);
        close_conn();
    }
}

TEST(head_has_the_length_and_no_body_and_an_etag_saves_it)
{
    open_conn();
    give_str("HEAD /health HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Atlas"), 0);
    CHECK_EQ_I64(sent_count("Content-Length: 0\r\n"), 0);
    sock.sent_len = 0;
    give_str(GET("/"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    char etag[64], request[256];
    sock.sent[sock.sent_len] = '\0';
    const char *at = strstr(sock.sent, "ETag: ");
    CHECK(at && sscanf(at, "ETag: %63[^\r]", etag) == 1);
    snprintf(request, sizeof(request),
             "GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/%s\r\n\r\n", etag);
    sock.sent_len = 0;
    give_str(request);
    CHECK_EQ_I64(sent_count("HTTP/1.1 304"), 1);
    CHECK_EQ_I64(sent_count("<html"), 0);
    sock.sent_len = 0;
    give_str("OPTIONS * HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example.com\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 204"), 1);
    CHECK_EQ_I64(sent_count("Access-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK(!sock.finished);
    close_conn();
}
