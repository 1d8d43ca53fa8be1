/* SPDX-License-Identifier: Apache-2.0 */
/* SignalR's side of HTTP: negotiation, what ids are good for, and what is no request of a client. */
#include "hub_rig.h"

#include "bgw/metrics.h"

#define NEGOTIATE "POST /ws/negotiate?negotiateVersion=1" H

static struct bgw_quota *quota;

static void id_in(char *out, const char *name)
{
    char key[40];
    sock.sent[sock.sent_len] = '\0';
    snprintf(key, sizeof(key), "\"%s\":\"", name);
    const char *at = strstr(sock.sent, key);
    size_t len = at ? strcspn(at + strlen(key), "\"") : 0;
    CHECK(at && len < 100);
    memcpy(out, at ? at + strlen(key) : "", len);
    out[len] = '\0';
}

/* ---- negotiation ---- */

TEST(negotiation_names_an_id_a_token_and_what_transports_there_are)
{
    char id[100], token[100];
    uint8_t raw[BGW_ATTACHMENT_ID_LEN];
    int64_t ends_ms;
    open_hub();
    int64_t before = bgw_metric_read(BGW_M_NEGOTIATIONS_OK);
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Content-Type: application/json\r\n"), 1);
    CHECK_EQ_I64(sent_count("Cache-Control: no-store\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\n\r\n{\"negotiateVersion\":1,\"connectionId\":\""), 1);
    CHECK_EQ_I64(sent_count(",\"availableTransports\":[{\"transport\":\"WebSockets\",\"transferFormats\":[\"Text\"]},"
                            "{\"transport\":\"ServerSentEvents\",\"transferFormats\":[\"Text\"]}]}"), 1);
    id_in(id, "connectionId");
    id_in(token, "connectionToken");
    CHECK_EQ_I64(strlen(id), 22);
    CHECK(bgw_connection_token_read(host.connection_key, bgw_slice_str(token), raw, &ends_ms));
    CHECK_EQ_I64(ends_ms, now.wall_ms + BGW_CONNECTION_TOKEN_LIFE_MS);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_NEGOTIATIONS_OK), before + 1);
    CHECK(!sock.finished);
    host.signalr_sse = false;
    ask("POST /ws/negotiate?NEGOTIATEversion=7&useStatefulReconnect=true" H BEARER "Content-Length: 0\r\n\r\n");
    CHECK_EQ_I64(sent_count("{\"negotiateVersion\":1,"), 1);
    CHECK_EQ_I64(sent_count("[{\"transport\":\"WebSockets\",\"transferFormats\":[\"Text\"]}]}"), 1);
    CHECK_EQ_I64(sent_count("tatefulReconnect"), 0);
    close_hub();
}

TEST(version_0_has_one_name_for_both)
{
    char id[100];
    uint8_t raw[BGW_ATTACHMENT_ID_LEN];
    int64_t ends_ms;
    static const char *const queries[] = {"", "?", "?negotiateVersion=0", "?negotiateVersion=-0", "?x=1"};
    open_hub();
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        ask(with_id("POST /ws/negotiate%s" H BEARER "\r\n", queries[i]));
        CHECK_EQ_I64(sent_count("{\"negotiateVersion\":0,"), 1);
        CHECK_EQ_I64(sent_count("connectionToken"), 0);
        id_in(id, "connectionId");
        CHECK(bgw_connection_token_read(host.connection_key, bgw_slice_str(id), raw, &ends_ms));
    }
    close_hub();
}

TEST(versions_that_are_none_are_told_in_the_stock_servers_words)
{
    static const char *const good[] = {"1", "+1", "%201%20", "%2b2", "0001", "2147483647"};
    static const char *const bad[] = {"", "x", "1x", "1.0", "--1", "-", "+", "%20", "1%202", "2147483648", "-2147483649",
                                      "99999999999999999999", "00000000000000000000000000000000000001"};
    open_hub();
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        ask(with_id("POST /ws/negotiate?negotiateVersion=%s" H BEARER "\r\n", good[i]));
        CHECK_EQ_I64(sent_count("{\"negotiateVersion\":1,"), 1);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ask(with_id("POST /ws/negotiate?negotiateVersion=%s" H BEARER "\r\n", bad[i]));
        CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
        CHECK(body_is("{\"error\":\"The client requested a non-integer protocol version.\"}"));
    }
    ask("POST /ws/negotiate?negotiateVersion=-1" H BEARER "\r\n");
    CHECK(body_is("{\"error\":\"The client requested version '-1', but the server does not support this version.\"}"));
    ask("POST /ws/negotiate?negotiateVersion=-2147483648" H BEARER "\r\n");
    CHECK_EQ_I64(sent_count("version '-2147483648', but"), 1);
    ask("POST /ws/negotiate?negotiateVersion=1&NegotiateVersion=0" H BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 400"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE), 1);
    close_hub();
}

TEST(a_refused_negotiation_says_why_in_one_line_of_text)
{
    open_hub();
    int64_t before = bgw_metric_read(BGW_M_NEGOTIATIONS_REFUSED);
    ask(NEGOTIATE BEARER "Origin: https://evil.example\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 403"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE), 1);
    CHECK_EQ_I64(sent_count("Access-Control-Allow-Origin"), 0);
    host.draining = true;
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE) + sent_count("Retry-After: "), 2);
    CHECK(body_is("draining: this gateway is stopping: connect again, another one will answer"));
    CHECK(sock.finished);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_NEGOTIATIONS_REFUSED), before + 2);
    close_hub();

    open_hub();
    static const struct bgw_flags none; /* all are off */
    host.api.flags = &none;
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("\r\n\r\npush_off: "), 1);
    close_hub();

    open_hub();
    policy.handshakes_per_s = 1;
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE) + sent_count("Retry-After: "), 2);
    close_hub();

    open_hub();
    ask(NEGOTIATE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 401"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE), 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_NEGOTIATIONS_REFUSED), before + 5);
    close_hub();
}

TEST(pages_of_allowed_origins_may_read_every_answer)
{
    static const char *const requests[] = {
        NEGOTIATE BEARER "Origin: https://app.example.com\r\n\r\n",
        NEGOTIATE "Origin: https://app.example.com\r\n\r\n",
        "POST /ws" H "Origin: https://app.example.com\r\n\r\n",
        "PUT /ws" H "Origin: https://app.example.com\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof(requests) / sizeof(*requests); i++) {
        open_hub();
        ask(requests[i]);
        CHECK_EQ_I64(sent_count("Access-Control-Allow-Origin: https://app.example.com\r\n"), 1);
        CHECK_EQ_I64(sent_count("Access-Control-Allow-Credentials: true\r\n"), 1);
        close_hub();
    }
}

TEST(a_negotiation_that_waits_for_its_tokens_key_costs_one_place)
{
    open_hub();
    policy.handshakes_per_s = 1;
    key_pending = 3;
    ask(NEGOTIATE BEARER "\r\n");
    CHECK_EQ_I64(sock.sent_len, 0);
    pass(50);
    pass(50);
    CHECK_EQ_I64(sock.sent_len, 0);
    pass(50);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("connectionToken"), 1);
    close_hub();

    open_hub();
    key_pending = 1000;
    ask(NEGOTIATE BEARER "\r\n");
    for (int i = 0; i < 110; i++)
        pass(50);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count(TEXT_TYPE), 1);
    close_hub();
}

TEST(a_proxys_connection_negotiates_for_one_client_after_the_other)
{
    bool taken;
    open_hub();
    CHECK(bgw_quota_create(&quota) == BGW_OK);
    host.quota = quota;
    trust("10.0.0.0/8");
    CHECK(bgw_addr_parse(BGW_SLICE("10.0.0.1"), &sock.peer));
    policy.per_address_max = 1;
    struct bgw_addr client;
    CHECK(bgw_addr_parse(BGW_SLICE("192.0.2.1"), &client));
    for (int i = 0; i < 3; i++) { /* nor does it hold an address's place when it is over */
        ask(NEGOTIATE BEARER "X-Forwarded-For: 192.0.2.1\r\n\r\n");
        CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
        CHECK(bgw_quota_take(quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&client), 1, &taken) && taken);
        bgw_quota_give(quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&client));
    }
    CHECK(bgw_quota_take(quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&client), 1, &taken) && taken);
    ask(NEGOTIATE BEARER "X-Forwarded-For: 192.0.2.1\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 429"), 1);
    CHECK_EQ_I64(sent_count("Retry-After: ") + sent_count(TEXT_TYPE), 2);
    ask(NEGOTIATE BEARER "X-Forwarded-For: 192.0.2.2\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    bgw_quota_give(quota, BGW_QUOTA_ADDRESS, bgw_addr_line(&client));
    close_hub();
    bgw_quota_destroy(&quota);
}

/* ---- what the hub's path says to everything else ---- */

TEST(what_is_no_request_of_a_client_is_told_so_in_the_stock_servers_words)
{
    static const struct {
        const char *request, *status, *body;
    } rows[] = {
        {"GET /ws" H "\r\n", "400", "Connection ID required"},
        {"GET /ws?id=" H EVENTS "\r\n", "400", "Connection ID required"},
        {"GET /ws" H EVENTS "\r\n", "400", "Connection ID required"},
        {"POST /ws" H BEARER "\r\n", "400", "Connection ID required"},
        {"DELETE /ws" H BEARER "\r\n", "400", "Connection ID required"},
        {"DELETE /ws?id=x" H BEARER "\r\n", "400", "Cannot terminate this connection using the DELETE endpoint."},
        {"GET /ws?id=x" H BEARER "\r\n", "404", "LongPolling transport not supported by this end point type"},
        {"GET /ws?id=x" H BEARER EVENTS "\r\n", "404", "No Connection with that ID"},
        {"GET /ws?id=x" H BEARER "Accept: text/plain, TEXT/Event-Stream ; q=1\r\n\r\n", "404", "No Connection with that ID"},
        {"POST /ws?id=x" H BEARER "\r\n", "404", "No Connection with that ID"},
        {"POST /ws?id=x&ID=y" H BEARER "\r\n", "400", "bad_query: the query must be name=value pairs, strictly percent-encoded, each known name at most once"},
        {"GET /ws?id=%zz" H BEARER EVENTS "\r\n", "404", "No Connection with that ID"},
        {"POST /ws?id=%00" H BEARER "\r\n", "404", "No Connection with that ID"},
        {"PUT /ws?id=x" H "\r\n", "405", "this path does not take that method: see Allow"},
        {"HEAD /ws?id=x" H "\r\n", "405", ""},
        {"HEAD /ws/negotiate" H "\r\n", "405", ""},
        {"GET /ws/negotiate" H "\r\n", "405", "this path does not take that method: see Allow"},
        {"DELETE /ws/negotiate" H "\r\n", "405", "this path does not take that method: see Allow"},
        {"GET /ws HTTP/1.0\r\n\r\n", "400", "Connection ID required"},
        {"GET /ws?id=x HTTP/1.0\r\n" EVENTS "\r\n", "404", "No Connection with that ID"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char line[32];
        snprintf(line, sizeof(line), "HTTP/1.1 %s ", rows[i].status);
        open_hub();
        ask(rows[i].request);
        if (sent_count(line) != 1 || !body_is(rows[i].body) || sent_count(TEXT_TYPE) != 1)
            test_fail_(__FILE__, __LINE__, "%s -> %.*s", rows[i].request, (int)sock.sent_len, sock.sent);
        CHECK(strcmp(rows[i].status, "405") != 0 || sent_count("Allow: ") == 1);
        close_hub();
    }
}

TEST(streams_that_are_switched_off_are_not_a_transport)
{
    open_hub();
    host.signalr_sse = false;
    ask(with_id(STREAM_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    CHECK(body_is("ServerSentEvents transport not supported by this end point type"));
    close_hub();
}

/* ---- ids of WebSockets ---- */

TEST(an_id_opens_one_websocket)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    ask(with_id(UPGRADE_ID, id));
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    CHECK(session.open && session.dialect == &bgw_dialect_signalr_greeting);
    join(&other);
    tell(&other, with_id(UPGRADE_ID, id));
    CHECK(said(&other, "HTTP/1.1 409") && said(&other, "Content-Length: 0\r\n"));
    tell(&other, with_id(STREAM_ID, id));
    CHECK(said(&other, "HTTP/1.1 400") && said(&other, "\r\n\r\nCannot change transports mid-connection"));
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 405") && said(&other, "\r\n\r\nPOST requests are not allowed for WebSocket connections."));
    bgw_conn_closed(conn);
    tell(&other, with_id(UPGRADE_ID, id)); /* what a client that asked for stateful reconnect tries once */
    CHECK(said(&other, "HTTP/1.1 404") && said(&other, "\r\n\r\nNo Connection with that ID"));
    CHECK(!other.sock.finished);
    leave(&other);
    conn = bgw_conn_opened(&host, &sock);
    close_hub();
}

TEST(ids_that_are_old_foreign_or_from_the_future_open_nothing)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    now.wall_ms += BGW_CONNECTION_TOKEN_LIFE_MS;
    ask(with_id(UPGRADE_ID, id));
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    now.wall_ms -= 2 * BGW_CONNECTION_TOKEN_LIFE_MS + 1;
    ask(with_id(UPGRADE_ID, id));
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    host.connection_key[0] ^= 1;
    ask(with_id(UPGRADE_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    close_hub();

    open_hub();
    strcpy(id, new_id());
    host.connection_key[31] ^= 1;
    ask(with_id(UPGRADE_ID, id));
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    ask(with_id(STREAM_ID, id));
    CHECK_EQ_I64(sent_count("HTTP/1.1 404"), 1);
    CHECK_EQ_I64(session.opened, 0);
    close_hub();
}

TEST(an_open_websocket_costs_no_entry_for_longer_than_its_token_lives)
{
    open_hub();
    ask(with_id(UPGRADE_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(bgw_attachments_count(host.attachments), 1);
    pass(BGW_CONNECTION_TOKEN_LIFE_MS);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(bgw_attachments_count(host.attachments), 0);
    CHECK(session.open);
    close_hub();
}

TEST(an_upgrade_without_an_id_needs_none)
{
    open_hub();
    ask(with_id(UPGRADE_ID, ""));
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    CHECK_EQ_I64(bgw_attachments_count(host.attachments), 0);
    close_hub();
}

TEST(a_table_without_room_refuses_the_connection)
{
    open_hub();
    bgw_attachments_destroy(&host.attachments);
    CHECK(bgw_attachments_create(&host.attachments, 1) == BGW_OK);
    join(&other);
    tell(&other, with_id(UPGRADE_ID, new_id()));
    CHECK(said(&other, "HTTP/1.1 101"));
    ask(with_id(STREAM_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503") + sent_count("Retry-After: "), 2);
    leave(&other);
    close_hub();
}
