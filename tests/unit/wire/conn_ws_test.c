/* SPDX-License-Identifier: Apache-2.0 */
/* conn: a WebSocket from its upgrade to its close, keys that are fetched, a drain. */
#include "conn_rig.h"

TEST(a_quiet_websocket_keeps_only_its_small_part)
{
    open_conn();
    CHECK_EQ_I64(host.busy_pool.in_use, 1);
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    give("\x89", 1); /* half a ping */
    CHECK_EQ_I64(host.busy_pool.in_use, 1);
    give("\x80\0\0\0\0", 5);
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    CHECK_EQ_I64(sent_count("\x8a"), 1);
    close_conn();
}

static void upgrade(void)
{
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 101 "), 1);
    CHECK_EQ_I64(sent_count("Sec-WebSocket-Protocol: bgw.v1\r\n"), 1);
    CHECK_EQ_I64(session.opened, 1);
    sock.sent_len = 0;
}

TEST(the_answer_to_an_upgrade_goes_out_together_with_the_sessions_first_words)
{
    mid_turn = true;
    open_conn();
    sock.sends = 0;
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(session.opened, 1);
    CHECK_EQ_I64(sock.sends, 0);
    CHECK(bgw_conn_send(NULL, conn, BGW_SLICE("first words")) == BGW_SENT_ALL);
    CHECK_EQ_I64(sock.sends, 1);
    CHECK(memcmp(sock.sent, "HTTP/1.1 101 ", 13) == 0);
    CHECK(memcmp(sock.sent + sock.sent_len - 15, "\r\n\r\nfirst words", 15) == 0);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(sock.sends, 1);
    close_conn();

    open_conn(); /* nothing to say in this turn */
    sock.sends = 0;
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(sock.sends, 1);
    CHECK_EQ_I64(sent_count("HTTP/1.1 101 "), 1);
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    close_conn();
    mid_turn = false;
}

TEST(first_words_too_long_to_be_copied_follow_the_answer)
{
    static char words[5000];
    memset(words, 'w', sizeof(words));
    mid_turn = true;
    open_conn();
    sock.sends = 0;
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    (void)bgw_conn_send(NULL, conn, bgw_slice_of(words, sizeof(words)));
    CHECK_EQ_I64(sock.sends, 2);
    CHECK(memcmp(sock.sent, "HTTP/1.1 101 ", 13) == 0);
    CHECK(memcmp(sock.sent + sock.sent_len - sizeof(words), words, sizeof(words)) == 0);
    CHECK_EQ_I64(sent_count("\r\n\r\nw"), 1);
    close_conn();
    mid_turn = false;
}

TEST(an_upgrade_that_fails_or_is_lost_in_its_first_turn_leaves_nothing_behind)
{
    mid_turn = true;
    open_conn();
    give(UPGRADE_BUT_END NATIVE "\r\n\xff\x80\0\0\0\0", strlen(UPGRADE_BUT_END NATIVE "\r\n") + 6);
    CHECK(sock.finished);
    CHECK(memcmp(sock.sent, "HTTP/1.1 101 ", 13) == 0);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xea"), 1); /* 1002 */
    bgw_conn_host_turn_end(&host);
    close_conn();

    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    size_t sent = sock.sent_len;
    bgw_conn_closed(conn);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(sock.sent_len, (int64_t)sent);
    CHECK(bgw_list_empty(&host.heads));
    conn = bgw_conn_opened(&host, &sock);
    close_conn();
    mid_turn = false;
}

TEST(frames_behind_the_upgrade_request_are_the_sessions)
{
    open_conn();
    give(UPGRADE_BUT_END NATIVE "Origin: http://a\r\n\r\n\x89\x82\0\0\0\0hi",
         strlen(UPGRADE_BUT_END NATIVE "Origin: http://a\r\n\r\n") + 8);
    CHECK_EQ_I64(sent_count("HTTP/1.1 101 "), 1);
    CHECK(sock.sent_len > 4 && memcmp(sock.sent + sock.sent_len - 4, "\x8a\x02hi", 4) == 0);
    pass(100000); /* its deadlines are the session's now */
    CHECK(!sock.finished && !sock.aborted);
    close_conn();
}

TEST(every_ping_gets_its_pong_also_when_the_socket_is_full)
{
    upgrade();
    sock.full = true;
    char pings[80];
    size_t at = 0;
    for (char n = 0; n < 10; n++) {
        memcpy(pings + at, "\x89\x81\0\0\0\0", 6);
        pings[at + 6] = (char)('0' + n);
        at += 7;
    }
    give(pings, at);
    CHECK(sock.paused); /* what waits is bounded by what was read */
    sock.full = false;
    sock.buffered = false;
    for (int turn = 0; turn < 12; turn++)
        bgw_conn_writable(conn);
    CHECK_EQ_I64(sock.sent_len, 30);
    for (size_t n = 0; n < 10; n++)
        CHECK(sock.sent[3 * n + 2] == (char)('0' + n));
    CHECK(!sock.paused);
    close_conn();
}

TEST(a_choked_session_is_not_read_until_its_lane_is_free)
{
    upgrade();
    session.authenticated = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    CHECK_EQ_I64(session.pings, 1);
    session.choked = true;
    give_text("{\"op\":\"ping\",\"id\":2}");
    CHECK(sock.paused);
    CHECK_EQ_I64(session.pings, 1);
    bgw_conn_host_turn_end(&host);
    CHECK(sock.paused);
    session.choked = false;
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(session.pings, 2);
    CHECK(!sock.paused);
    close_conn();
}

TEST(tokens_of_upgrades_and_of_messages_are_looked_for_in_the_cache)
{
    static char cache; /* never looked into */
    cache_asked = 0;
    upgrade();
    host.native.tokens = (struct bgw_token_cache *)(void *)&cache;
    give_text("{\"op\":\"hello\",\"token\":\"x\"}");
    CHECK(session.authenticated);
    CHECK_EQ_I64(cache_asked, 1);
    close_conn();

    open_conn();
    host.native.tokens = (struct bgw_token_cache *)(void *)&cache;
    give_str(UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n\r\n");
    CHECK(session.authenticated);
    CHECK_EQ_I64(cache_asked, 2);
    close_conn();
}

TEST(limits_of_messages_depend_on_authentication)
{
    static char big[70000];
    memset(big, ' ', sizeof(big));
    memcpy(big, "{\"op\":\"hello\",\"token\":\"x\",\"x\":\"", 31);
    upgrade();
    memcpy(big + 20000 - 2, "\"}", 2);
    give_frame(0x81, big, 20000); /* a hello may have 32 KiB */
    CHECK(session.authenticated && !sock.finished);
    memcpy(big + 20000 - 2, "  ", 2);
    memcpy(big + 65536 - 2, "\"}", 2);
    give_frame(0x81, big, 65536);
    CHECK(!sock.finished);
    give_frame(0x81, big, 65537);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1); /* 1009 */
    CHECK(sock.finished && session.closed == 1);
    close_conn();

    upgrade();
    memcpy(big, "{\"op\":\"sub\",  \"x\":1,        \"x\":\"", 31);
    give_frame(0x81, big, 16385);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1);
    close_conn();
}

TEST(broken_frames_fail_the_connection_with_their_code)
{
    upgrade();
    give("\x81\x02hi", 4); /* not masked */
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xea"), 1);
    CHECK(sock.finished && session.closed == 1);
    close_conn();
    upgrade();
    give_frame(0x82, "hi", 2); /* binary */
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xeb"), 1);
    CHECK(sock.finished);
    close_conn();
}

TEST(the_peers_close_is_answered_and_ends_it)
{
    upgrade();
    give_frame(0x88, "\x03\xe8", 2);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xe8"), 1);
    CHECK(sock.finished && session.closed == 1);
    give_text("{\"op\":\"ping\",\"id\":1}");
    CHECK_EQ_I64(session.pings, 0);
    close_conn();
}

TEST(after_our_bye_the_peer_has_five_seconds_to_close)
{
    for (int answers = 0; answers < 2; answers++) {
        upgrade();
        session.authenticated = session.bye_on_ping = true;
        give_text("{\"op\":\"ping\",\"id\":1}");
        CHECK_EQ_I64(sent_count("\"code\":3501"), 1);
        give_text("{\"op\":\"ping\",\"id\":2}");
        CHECK_EQ_I64(session.pings, 1); /* nothing has an effect any more */
        CHECK(!sock.finished);
        if (answers)
            give_frame(0x88, "\x0d\xad", 2);
        else
            pass(5001);
        CHECK(sock.finished && session.closed == 1);
        close_conn();
    }
    upgrade(); /* a peer that does not even take the bye */
    session.authenticated = session.bye_on_ping = sock.full = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    pass(5001);
    CHECK(sock.aborted);
    close_conn();
}

TEST(an_upgrade_waits_for_its_tokens_key)
{
    open_conn();
    key_pending = 3;
    give_str(UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n\r\n");
    CHECK(sock.paused && !session.opened && sock.sent_len == 0);
    give("\x89\x80\0\0\0\0", 6); /* a ping sent ahead waits too */
    for (int i = 0; i < 4; i++)
        pass(51);
    CHECK_EQ_I64(session.opened, 1);
    CHECK(session.authenticated);
    bgw_conn_host_turn_end(&host);
    CHECK(!sock.paused);
    CHECK(memcmp(sock.sent + sock.sent_len - 2, "\x8a\0", 2) == 0);
    close_conn();

    open_conn();
    key_pending = 1000000;
    give_str(UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n\r\n");
    for (int i = 0; i < 110; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("key_unavailable"), 1);
    CHECK(sock.finished && !session.opened);
    close_conn();
}

TEST(a_hello_waits_for_its_tokens_key_and_what_follows_waits_behind_it)
{
    upgrade();
    key_pending = 2;
    give_text("{\"op\":\"hello\",\"token\":\"x\"}");
    CHECK(sock.paused && !session.authenticated);
    give_text("{\"op\":\"ping\",\"id\":1}");
    pass(51);
    CHECK(!session.authenticated && !session.pings);
    pass(51);
    CHECK(session.authenticated);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(session.pings, 1);
    CHECK(!sock.paused);
    close_conn();

    upgrade();
    key_pending = 1000000;
    give_text("{\"op\":\"hello\",\"token\":\"x\"}");
    for (int i = 0; i < 110; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("key_unavailable"), 2); /* in the bye and in its close frame */
    close_conn();
}

TEST(a_drain_refuses_sessions_says_bye_and_keeps_answering)
{
    upgrade();
    bgw_conn_host_drain(&host);
    CHECK(!bgw_conn_host_say_bye(&host, 10, 20000));
    CHECK_EQ_I64(sent_count("{\"ev\":\"bye\",\"code\":3001,\"retry_ms\":"), 1);
    CHECK(!bgw_conn_host_say_bye(&host, 10, 20000));
    CHECK_EQ_I64(sent_count("{\"ev\":\"bye\""), 1);
    close_conn();

    open_conn();
    host.draining = true; /* it came while the others went */
    give_str(GET("/livez"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Connection: close\r\n"), 1);
    CHECK(sock.finished);
    close_conn();

    open_conn();
    host.draining = true; /* it came while the others went */
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK(sock.finished && !session.opened);
    close_conn();

    open_conn(); /* nothing was asked on it yet: a request may be on its way, and is answered */
    bgw_conn_host_drain(&host);
    CHECK(!sock.finished);
    give_str(GET("/readyz"));
    CHECK(sent_count("HTTP/1.1 ") == 1 && sock.finished);
    close_conn();

    open_conn(); /* one that was served and is idle goes at once, without a word */
    give_str(GET("/livez"));
    sock.sent_len = 0;
    bgw_conn_host_drain(&host);
    CHECK(sock.finished && sock.sent_len == 0);
    close_conn();
}

TEST(upgrades_are_refused_while_push_is_off)
{
    struct bgw_flags flags = {0};
    open_conn();
    host.api.flags = &flags;
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"push_off\""), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK(sock.finished && !session.opened);
    close_conn();
}
