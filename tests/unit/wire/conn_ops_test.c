/* SPDX-License-Identifier: Apache-2.0 */
/* conn: GET /v1/ops and /v1/ops/stream: who may see it, what is said when, and how a stream ends. */
#include "conn_rig.h"

#include "bgw/metrics.h"

#define TOKEN "Authorization: Bearer x\r\n"
#define ORIGIN "Origin: https://app.example.com\r\n"
#define OPS(headers) "GET /v1/ops HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define STREAM(headers) "GET /v1/ops/stream HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

static struct bgw_ops_view *view;

static void look(void *arg, struct bgw_ops_facts *out)
{
    (void)arg;
    out->health.ready = true;
}

static void collect(void)
{
    bgw_ops_view_collect(view, now);
}

/* A connection to a host with a view in which one object is; a token with the scope. */
static void open_ops(void)
{
    const struct bgw_ops_view_config c = {.version = "1", .instance = "a:1", .shards = 1, .look = look, .now = {1, 1}};
    open_conn();
    bgw_metrics_init();
    CHECK(bgw_ops_view_create(&view, &c) == BGW_OK);
    collect();
    host.ops = view;
    snprintf(verified_claims.tenant, sizeof(verified_claims.tenant), "tnt_other");
    verified_claims.subject_hash = 9;
    verified_claims.ops_read = true;
    verified_claims.expires_ms = now.wall_ms + 60000;
}

static void close_ops(void)
{
    close_conn();
    CHECK_EQ_I64(bgw_metric_read(BGW_M_OPS_STREAMS), 0);
    CHECK(!bgw_timer_armed(&host.ops_timer) && host.ops_event == NULL);
    bgw_ops_view_destroy(&view); /* which asserts that no stream has a place */
}

static unsigned events_sent(void)
{
    return sent_count("event: ops\ndata: {\"timestamp\":");
}

/* ---- the page ---- */

TEST(the_page_is_the_object_alone)
{
    open_ops();
    give_str(OPS(TOKEN ORIGIN "X-Tenant-Id: any\r\n"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nContent-Type: application/json\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nCache-Control: no-store\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\n\r\n{\"timestamp\":"), 1);
    CHECK(sock.sent[sock.sent_len - 1] == '}');
    CHECK_EQ_I64(events_sent(), 0);
    CHECK_EQ_I64(session.opened, 0);
    give_str(OPS(TOKEN)); /* the connection goes on */
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 2);
    close_ops();
}

TEST(head_has_the_length_of_the_page_and_opens_no_stream)
{
    open_ops();
    give_str("HEAD /v1/ops HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("timestamp"), 0);
    give_str("HEAD /v1/ops/stream HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("text/event-stream"), 1);
    CHECK_EQ_I64(events_sent(), 0);
    CHECK(sock.finished);
    close_ops();
}

static void refused(const char *request, const char *status, const char *code)
{
    int64_t reads = bgw_metric_read(BGW_M_READS_REFUSED), handshakes = bgw_metric_read(BGW_M_HANDSHAKES_UNAUTHORIZED);
    give_str(request);
    CHECK_EQ_I64(sent_count(status), 1);
    CHECK_EQ_I64(sent_count(code), 1);
    CHECK_EQ_I64(sent_count("timestamp"), 0);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_READS_REFUSED), reads); /* it is neither */
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HANDSHAKES_UNAUTHORIZED), handshakes);
    close_ops();
}

TEST(a_token_without_the_scope_is_refused_and_written_down)
{
    open_ops();
    verified_claims.ops_read = false;
    host.audit = (struct bgw_audit *)&event_count;
    give_str(OPS(TOKEN ORIGIN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 403 Forbidden\r\n"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"no_scope\""), 1);
    CHECK_EQ_I64(sent_count("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK_EQ_I64(event_count, 1);
    CHECK_EQ_I64(events[0].kind, BGW_AUDIT_REFUSED);
    CHECK_EQ_STR(events[0].code, "no_scope");
    close_ops();
    open_ops();
    verified_claims.ops_read = false;
    grants_all = true; /* staff that may read every balance, and this not */
    refused(STREAM(TOKEN), "HTTP/1.1 403", "\"code\":\"no_scope\"");
}

TEST(no_token_and_a_bad_one_are_refused)
{
    open_ops();
    refused(OPS(""), "HTTP/1.1 401", "\"code\":\"token_missing\"");
    open_ops();
    refused(STREAM(""), "HTTP/1.1 401", "\"code\":\"token_missing\"");
    open_ops();
    verdict = BGW_AUTH_REVOKED;
    refused(STREAM(TOKEN), "HTTP/1.1 401", "\"code\":\"revoked\"");
    open_ops();
    verdict = BGW_AUTH_REVOKED;
    refused(OPS(TOKEN), "HTTP/1.1 401", "\"code\":\"revoked\"");
}

TEST(staff_needs_its_certificate_here_too)
{
    open_ops();
    policy.staff_needs_certificate = true;
    refused(OPS(TOKEN), "HTTP/1.1 403", "\"code\":\"client_certificate_required\"");
    open_ops();
    policy.staff_needs_certificate = sock.verified = true;
    give_str(OPS(TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    close_ops();
}

TEST(other_origins_methods_and_a_drain_get_no_stream)
{
    open_ops();
    refused(STREAM(TOKEN "Origin: https://evil.example.com\r\n"), "HTTP/1.1 403", "\"code\":\"forbidden_origin\"");
    open_ops();
    refused("DELETE /v1/ops/stream HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n", "HTTP/1.1 405", "\"code\":\"method_not_allowed\"");
    open_ops();
    host.draining = true;
    refused(STREAM(TOKEN), "HTTP/1.1 503", "\"code\":\"draining\"");
}

TEST(a_gateway_without_a_view_has_no_such_page)
{
    open_conn();
    give_str(OPS(TOKEN));
    CHECK_EQ_I64(sent_count("\"code\":\"not_found\""), 1);
    close_conn();
}

TEST(a_request_waits_for_its_tokens_key)
{
    open_ops();
    key_pending = 2;
    give_str(STREAM(TOKEN));
    CHECK_EQ_I64(sock.sent_len, 0);
    CHECK(sock.paused);
    pass(60);
    CHECK_EQ_I64(events_sent(), 0);
    pass(60);
    CHECK_EQ_I64(events_sent(), 1);
    CHECK(!sock.paused); /* or its end would not be seen */
    give_str("x");
    CHECK(sock.finished);
    close_ops();
}

/* ---- the stream ---- */

TEST(a_stream_has_the_object_at_once_and_then_each_new_one_once)
{
    open_ops();
    give_str(STREAM(TOKEN ORIGIN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nContent-Type: text/event-stream\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nAccess-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nX-Accel-Buffering: no\r\n"), 1);
    CHECK_EQ_I64(sent_count("Content-Length"), 0);
    CHECK_EQ_I64(sent_count("\r\n\r\nretry: 2000\n\nevent: ops\ndata: {"), 1);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_OPS_STREAMS), 1);
    pass(2000);
    CHECK_EQ_I64(events_sent(), 1);
    for (unsigned i = 2; i < 6; i++) {
        collect();
        pass(1000);
        CHECK_EQ_I64(events_sent(), i);
    }
    CHECK_EQ_I64(sent_count("\n: \n\n"), 0);
    CHECK_EQ_I64(session.opened, 0);
    close_ops();
}

TEST(silence_is_broken_by_a_comment)
{
    open_ops();
    give_str(STREAM(TOKEN));
    pass(4500);
    CHECK_EQ_I64(sent_count("\n: \n\n"), 0);
    pass(1000);
    CHECK_EQ_I64(sent_count("\n: \n\n"), 1);
    pass(5000);
    CHECK_EQ_I64(sent_count(": \n\n"), 2);
    close_ops();
}

TEST(whose_socket_is_full_misses_an_event_and_nothing_is_kept_for_it)
{
    open_ops();
    give_str(STREAM(TOKEN));
    sock.full = true;
    collect();
    pass(1000);
    CHECK_EQ_I64(events_sent(), 2); /* this one filled it */
    collect();
    pass(1000);
    collect();
    pass(1000);
    CHECK_EQ_I64(events_sent(), 2);
    make_writable();
    CHECK_EQ_I64(events_sent(), 2);
    collect();
    pass(1000);
    CHECK_EQ_I64(events_sent(), 3);
    close_ops();
}

TEST(nothing_is_sent_after_the_tokens_end)
{
    open_ops();
    verified_claims.expires_ms = now.wall_ms + 2100;
    give_str(STREAM(TOKEN));
    pass(2000);
    CHECK(!sock.finished);
    collect();
    now.wall_ms += 100; /* the clocks do not go side by side: it has ended before the next look */
    pass(250);
    CHECK_EQ_I64(events_sent(), 1);
    CHECK_EQ_I64(sent_count("event: bye\ndata: {\"code\":3005,\"retry_ms\":0,\"reason\":\"token_expired\"}\n\n"), 1);
    CHECK(sock.finished);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_OPS_STREAMS), 0);
    close_ops();
}

TEST(a_drain_says_bye_to_streams_at_once)
{
    open_ops();
    give_str(STREAM(TOKEN));
    bgw_conn_host_drain(&host);
    CHECK_EQ_I64(sent_count("retry: 2000\nevent: bye\ndata: {\"code\":3001,\"retry_ms\":2000,\"reason\":\"draining\"}\n\n"), 1);
    CHECK(sock.finished);
    close_ops();
}

TEST(the_last_words_wait_for_a_slow_socket)
{
    open_ops();
    sock.full = true;
    give_str(STREAM(TOKEN));
    bgw_conn_host_drain(&host);
    CHECK(!sock.finished);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_OPS_STREAMS), 0);
    make_writable();
    CHECK_EQ_I64(sent_count("\"reason\":\"draining\"}\n\n"), 1);
    CHECK(sock.finished);
    close_ops();
}

TEST(what_a_streams_client_says_afterwards_ends_it)
{
    open_ops();
    give_str(STREAM(TOKEN) OPS(TOKEN));
    CHECK(sock.finished);
    CHECK_EQ_I64(events_sent(), 1);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    close_ops();
}

TEST(as_many_streams_as_a_gateway_takes_and_not_one_more)
{
    open_ops();
    for (int i = 0; i < BGW_OPS_STREAMS_MAX; i++)
        CHECK(bgw_ops_view_enter(view));
    give_str(STREAM(TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"ops_streams\""), 1);
    CHECK_EQ_I64(sent_count("\r\nRetry-After: 2\r\n"), 1);
    give_str(OPS(TOKEN)); /* which it may ask for instead, as the answer says */
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    bgw_ops_view_leave(view);
    give_str(STREAM(TOKEN));
    CHECK_EQ_I64(events_sent(), 1);
    for (int i = 1; i < BGW_OPS_STREAMS_MAX; i++)
        bgw_ops_view_leave(view);
    close_ops();
}

TEST(the_push_flag_keeps_nobody_from_looking)
{
    struct bgw_flags flags = {0};
    open_ops();
    host.api.flags = &flags;
    give_str(STREAM(TOKEN));
    CHECK_EQ_I64(events_sent(), 1);
    close_ops();
}

TEST(the_streams_of_a_shard_share_one_event)
{
    static struct bgw_socket socks[3];
    void *conns[3];
    open_ops();
    for (int i = 0; i < 3; i++) {
        socks[i] = (struct bgw_socket){0};
        conns[i] = bgw_conn_opened(&host, &socks[i]);
        bgw_conn_received(conns[i], BGW_SLICE(STREAM(TOKEN)));
    }
    collect();
    struct bgw_blob *event = bgw_ops_view_get(view);
    pass(250);
    CHECK_EQ_I64(event->refs, 3); /* the view's, this shard's, ours */
    for (int i = 0; i < 3; i++) {
        CHECK(socks[i].sent_len > event->len && memcmp(socks[i].sent + socks[i].sent_len - event->len, event->data, event->len) == 0);
        if (i == 1) /* one that goes takes nothing with it */
            bgw_conn_closed(conns[i]);
    }
    bgw_blob_release(event);
    collect();
    pass(250);
    CHECK_EQ_I64(socks[0].sends, 3);
    CHECK_EQ_I64(socks[1].sends, 2);
    CHECK_EQ_I64(socks[2].sends, 3);
    bgw_conn_closed(conns[0]);
    bgw_conn_closed(conns[2]);
    close_ops();
}
