/* SPDX-License-Identifier: Apache-2.0 */
/* SignalR's event streams, and what is posted to them. */
#include "hub_rig.h"

static struct peer third;

TEST(a_stream_says_its_head_and_an_empty_line_at_once)
{
    open_hub();
    ask(with_id("GET /ws?id=%s" H BEARER EVENTS "Origin: https://app.example.com\r\n\r\n", new_id()));
    sock.sent[sock.sent_len] = '\0';
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache,no-store\r\nContent-Encoding: identity\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nX-Accel-Buffering: no\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nConnection: close\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK_EQ_I64(sent_count("Content-Length"), 0);
    CHECK_EQ_I64(sent_count("Transfer-Encoding"), 0);
    CHECK(body_is(":\r\n"));
    CHECK(session.open && session.authenticated && session.dialect == &bgw_dialect_signalr_stream_greeting);
    close_hub();
}

TEST(a_stream_is_refused_like_an_upgrade)
{
    open_hub();
    ask(with_id("GET /ws?id=%s" H EVENTS "\r\n", new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 401"), 1);
    close_hub();
    open_hub();
    ask(with_id("GET /ws?id=%s" H BEARER EVENTS "Origin: https://evil.example\r\n\r\n", new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 403"), 1);
    close_hub();
    open_hub();
    host.draining = true;
    ask(with_id(STREAM_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503") + sent_count("Retry-After: "), 2);
    close_hub();
    open_hub();
    host.sessions_max = 0;
    ask(with_id(STREAM_ID, new_id()));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503") + sent_count("Retry-After: "), 2);
    CHECK_EQ_I64(bgw_attachments_count(host.attachments), 0);
    close_hub();
}

TEST(what_is_posted_reaches_the_streams_session)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    ask(with_id(STREAM_ID, id));
    join(&other);
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 200") && said(&other, "Content-Length: 0\r\n") && !other.sock.finished);
    CHECK(session.dialect->greeting);
    deliver_posted();
    CHECK(session.dialect == &bgw_dialect_signalr_stream);
    CHECK_EQ_I64(session.traffic, 1);
    CHECK_EQ_I64(sent_count("data: {}\x1e\r\n\r\n"), 1);
    now.wall_ms += 3600000; /* a stream outlives its id's token */
    tell(&other, with_id("POST /ws?id=%s" H BEARER "Content-Length: 11\r\n\r\n{\"type\":6}\x1e", id));
    CHECK(said(&other, "HTTP/1.1 200"));
    deliver_posted();
    CHECK_EQ_I64(session.client_pings, 1);
    tell(&other, with_id("POST /ws?id=%s" H BEARER "\r\n", id)); /* nothing is fine too */
    CHECK(said(&other, "HTTP/1.1 200"));
    deliver_posted();
    leave(&other);
    close_hub();
}

TEST(only_who_opened_a_stream_may_speak_for_it)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    ask(with_id(STREAM_ID, id));
    join(&other);
    verified_claims.subject_hash = 8;
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 403") && said(&other, TEXT_TYPE));
    verified_claims.subject_hash = 7;
    strcpy(verified_claims.tenant, "tnt_else");
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 403"));
    tell(&other, with_id("POST /ws?id=%s" H BEARER "Origin: https://evil.example\r\n\r\n", id));
    CHECK(said(&other, "HTTP/1.1 403"));
    tell(&other, with_id("POST /ws?id=%s" H "\r\n", id));
    CHECK(said(&other, "HTTP/1.1 401") && said(&other, TEXT_TYPE));
    CHECK_EQ_I64(rig_posted_count, 0);
    leave(&other);
    close_hub();
}

TEST(a_body_that_is_too_large_or_one_too_many_is_refused)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    ask(with_id(STREAM_ID, id));
    join(&other);
    policy.message_bytes_max = 31;
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 413") && said(&other, TEXT_TYPE));
    policy.message_bytes_max = 32;
    rig_posted_max = 1;
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 200"));
    tell(&other, with_id(POST_ID, id));
    CHECK(said(&other, "HTTP/1.1 503") && said(&other, "Retry-After: 1\r\n"));
    deliver_posted();
    leave(&other);
    close_hub();
}

TEST(a_streams_id_ends_with_it)
{
    char id[BGW_CONNECTION_TOKEN_LEN + 1];
    open_hub();
    strcpy(id, new_id());
    join(&other);
    tell(&other, with_id(STREAM_ID, id));
    CHECK(said(&other, "HTTP/1.1 200"));
    join(&third);
    tell(&third, with_id(STREAM_ID, id));
    CHECK(said(&third, "HTTP/1.1 409"));
    tell(&third, with_id(UPGRADE_ID, id));
    CHECK(said(&third, "HTTP/1.1 400") && said(&third, "\r\n\r\nCannot change transports mid-connection"));
    tell(&third, with_id(POST_ID, id));
    CHECK(said(&third, "HTTP/1.1 200"));
    leave(&other);
    deliver_posted(); /* for nobody */
    tell(&third, with_id(POST_ID, id));
    CHECK(said(&third, "HTTP/1.1 404") && said(&third, "\r\n\r\nNo Connection with that ID"));
    tell(&third, with_id(STREAM_ID, id));
    CHECK(said(&third, "HTTP/1.1 404"));
    leave(&third);
    close_hub();
}
