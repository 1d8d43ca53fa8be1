/* SPDX-License-Identifier: Apache-2.0 */
/* conn: GET /v1/stream from its request to its end. */
#include "conn_rig.h"

#include "bgw/metrics.h"

#define TOKEN "Authorization: Bearer x\r\n"
#define STREAM(query, headers) "GET /v1/stream" query " HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

static void open_tenant(void)
{
    open_conn();
    snprintf(verified_claims.tenant, sizeof(verified_claims.tenant), "tnt_a");
    verified_claims.subject_hash = 9;
}

static const char *sent_text(void)
{
    CHECK(sock.sent_len < sizeof(sock.sent));
    sock.sent[sock.sent_len] = '\0';
    return sock.sent;
}

TEST(a_stream_is_a_head_without_a_length_and_then_a_quiet_session)
{
    open_tenant();
    give_str(STREAM("?account=A&account=B/USD", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nContent-Type: text/event-stream\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nCache-Control: no-store\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nX-Accel-Buffering: no\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nConnection: close\r\n"), 1);
    CHECK_EQ_I64(sent_count("\r\nVary: Origin\r\n"), 1);
    CHECK_EQ_I64(sent_count("Content-Length"), 0);
    CHECK_EQ_I64(sent_count("Transfer-Encoding"), 0);
    CHECK(strcmp(sent_text() + sock.sent_len - 4, "\r\n\r\n") == 0);
    CHECK_EQ_I64(session.opened, 1);
    CHECK(session.dialect->id_each && session.dialect->heartbeat && !session.dialect->blind);
    CHECK_EQ_I64(session.subs, 1);
    CHECK_EQ_STR(session.sub_text, "A B/USD ");
    CHECK_EQ_STR(session.sub_parts, "- USD ");
    CHECK_EQ_STR(session.resume, "");
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    pass(1000000); /* its deadlines are the session's */
    CHECK(!sock.finished && !sock.aborted && !sock.paused);
    close_conn();
}

TEST(what_a_streams_client_says_afterwards_ends_it)
{
    open_tenant();
    give_str(STREAM("?account=A", TOKEN));
    CHECK(session.open);
    give_str("x");
    CHECK(sock.finished);
    CHECK(!session.open);
    close_conn();
    open_tenant(); /* a second request behind the first */
    give_str(STREAM("?account=A", TOKEN) GET("/livez"));
    CHECK(sock.finished);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    close_conn();
}

TEST(the_currency_is_of_those_that_do_not_say_theirs)
{
    open_tenant();
    give_str(STREAM("?account=A&currency=EUR&account=B%2FUSD&%61ccount=C", TOKEN));
    CHECK_EQ_STR(session.sub_text, "A B/USD C ");
    CHECK_EQ_STR(session.sub_parts, "EUR USD EUR ");
    close_conn();
}

TEST(the_last_event_id_is_presented_and_the_header_is_the_newer_one)
{
    static const struct {
        const char *query, *header, *resume;
    } rows[] = {
        {"", "", ""},
        {"", "Last-Event-ID: abc\r\n", "abc"},
        {"&last_event_id=q%5Fx", "", "q_x"},
        {"&last_event_id=q", "last-event-id: h\r\n", "h"},
        {"&last_event_id=a&last_event_id=b", "", "?"},
        {"", "Last-Event-ID:\r\n", ""},
        {"&last_event_id=", "", ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char request[512];
        open_tenant();
        snprintf(request, sizeof(request), "GET /v1/stream?account=A%s HTTP/1.1\r\nHost: a\r\n" TOKEN "%s\r\n", rows[i].query,
                 rows[i].header);
        give_str(request);
        CHECK_EQ_I64(session.subs, 1);
        CHECK_EQ_STR(session.resume, rows[i].resume);
        close_conn();
    }
}

TEST(a_last_event_id_that_is_too_long_counts_as_a_bad_one)
{
    char request[6000], id[4200];
    memset(id, 'a', sizeof(id));
    for (int in_query = 0; in_query < 2; in_query++) {
        open_tenant();
        snprintf(request, sizeof(request), "GET /v1/stream?account=A%s%.*s HTTP/1.1\r\nHost: a\r\n" TOKEN "%s%.*s%s\r\n",
                 in_query ? "&last_event_id=" : "", in_query ? 4100 : 0, id, in_query ? "" : "Last-Event-ID: ",
                 in_query ? 0 : 4100, id, in_query ? "" : "\r\n");
        give_str(request);
        CHECK_EQ_I64(session.subs, 1);
        CHECK_EQ_STR(session.resume, "?");
        close_conn();
    }
}

/* ---- refusals ---- */

static const struct {
    const char *what, *request, *status, *code;
} refused[] = {
    {"no account", STREAM("", TOKEN), "400", "account_required"},
    {"no account but a currency", STREAM("?currency=USD", TOKEN), "400", "account_required"},
    {"an empty account", STREAM("?account=", TOKEN), "400", "bad_id"},
    {"an account without a value", STREAM("?account", TOKEN), "400", "bad_id"},
    {"a bad account among good ones", STREAM("?account=A&account=a%20b", TOKEN), "400", "bad_id"},
    {"a line's end in an account", STREAM("?account=A%0D%0AB", TOKEN), "400", "bad_id"},
    {"an account too long",
     STREAM("?account=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", TOKEN), "400", "bad_id"},
    {"and one far too long",
     STREAM("?account=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", TOKEN), "400", "bad_id"},
    {"a bad currency behind a slash", STREAM("?account=A/usd", TOKEN), "400", "bad_id"},
    {"two currencies behind slashes", STREAM("?account=A/USD/EUR", TOKEN), "400", "bad_id"},
    {"a bad currency", STREAM("?account=A&currency=us", TOKEN), "400", "bad_id"},
    {"a long currency", STREAM("?account=A&currency=USDX", TOKEN), "400", "bad_id"},
    {"an empty currency", STREAM("?account=A&currency=", TOKEN), "400", "bad_id"},
    {"two currencies", STREAM("?account=A&currency=USD&currency=EUR", TOKEN), "400", "bad_query"},
    {"broken escapes", STREAM("?account=%zz", TOKEN), "400", "bad_query"},
    {"a NUL", STREAM("?account=A%00", TOKEN), "400", "bad_query"},
    {"no token", STREAM("?account=A", ""), "401", "token_missing"},
    {"two tokens", STREAM("?account=A&access_token=x&access_token=y", ""), "400", "bad_query"},
    {"another tenant", STREAM("?account=A", TOKEN "X-Tenant-Id: tnt_b\r\n"), "403", "other_tenant"},
    {"two tenants", STREAM("?account=A", TOKEN "X-Tenant-Id: tnt_a\r\nX-Tenant-Id: tnt_b\r\n"), "400", "duplicate_header"},
    {"an empty tenant", STREAM("?account=A", TOKEN "X-Tenant-Id:\r\n"), "403", "other_tenant"},
    {"two last events", STREAM("?account=A", TOKEN "Last-Event-ID: a\r\nLast-Event-ID: b\r\n"), "400", "duplicate_header"},
    {"nothing granted", STREAM("?account=NO_A&account=NO_B/USD", TOKEN), "403", "no_grant"},
    {"a page from elsewhere", STREAM("?account=A", TOKEN "Origin: https://evil.example\r\n"), "403", "forbidden_origin"},
    {"a method", "POST /v1/stream?account=A HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n" TOKEN "\r\n", "405",
     "method_not_allowed"},
};

TEST(every_refusal_is_one_whole_answer_and_no_session)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(*refused); i++) {
        char status[32], code[64];
        open_tenant();
        give_str(refused[i].request);
        snprintf(status, sizeof(status), "HTTP/1.1 %s ", refused[i].status);
        snprintf(code, sizeof(code), "\"code\":\"%s\"", refused[i].code);
        if (sent_count("HTTP/1.1 ") != 1 || sent_count(status) != 1 || sent_count(code) != 1 || session.opened)
            printf("# %s: %.300s\n", refused[i].what, sent_text());
        CHECK_EQ_I64(sent_count("HTTP/1.1 "), 1);
        CHECK_EQ_I64(sent_count(status), 1);
        CHECK_EQ_I64(sent_count(code), 1);
        CHECK_EQ_I64(session.opened, 0);
        close_conn();
    }
}

static void ask_for(size_t accounts)
{
    static char request[8000];
    size_t at = (size_t)snprintf(request, sizeof(request), "GET /v1/stream?x=1");
    for (size_t i = 0; i < accounts; i++)
        at += (size_t)snprintf(request + at, sizeof(request) - at, "&account=ACC-%zu", i);
    snprintf(request + at, sizeof(request) - at, " HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n");
    give_str(request);
}

TEST(two_hundred_accounts_are_one_stream_and_one_more_is_too_many)
{
    open_tenant();
    ask_for(200);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(session.subs, 1);
    close_conn();
    open_tenant();
    ask_for(201);
    CHECK_EQ_I64(sent_count("HTTP/1.1 400"), 1);
    CHECK_EQ_I64(sent_count("too_many_accounts"), 1);
    CHECK_EQ_I64(session.opened, 0);
    close_conn();
}

TEST(one_granted_account_is_enough_and_the_shard_denies_the_others)
{
    open_tenant();
    give_str(STREAM("?account=NO_A&account=B&account=NO_C", TOKEN "X-Tenant-Id: tnt_a\r\n"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_STR(session.sub_text, "NO_A B NO_C ");
    close_conn();
}

TEST(who_may_see_nothing_is_written_down)
{
    open_tenant();
    host.audit = (struct bgw_audit *)&event_count; /* only asked whether it is there */
    give_str(STREAM("?account=NO_A&account=NO_B/USD", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 403"), 1);
    CHECK_EQ_I64(event_count, 2);
    for (size_t i = 0; i < 2; i++) {
        CHECK_EQ_I64(events[i].kind, BGW_AUDIT_DENIED);
        CHECK_EQ_I64(events[i].subject_hash, 9);
        CHECK_EQ_STR(events[i].key, i ? "NO_B" : "NO_A");
        CHECK_EQ_STR(events[i].code, "no_grant");
        CHECK(events[i].part == (i ? bgw_part_of(BGW_SLICE("USD")) : 0));
    }
    close_conn();
}

TEST(an_allowed_page_may_read_the_stream)
{
    open_tenant();
    give_str(STREAM("?account=A", TOKEN "Origin: https://app.example.com\r\n"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("Access-Control-Allow-Origin: https://app.example.com\r\n"), 1);
    CHECK_EQ_I64(sent_count("Access-Control-Allow-Credentials: true\r\n"), 1);
    close_conn();
}

TEST(head_is_the_head_alone)
{
    open_tenant();
    give_str("HEAD /v1/stream?account=A HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_I64(sent_count("text/event-stream"), 1);
    CHECK_EQ_I64(session.opened, 0);
    CHECK(sock.finished);
    close_conn();
    open_tenant(); /* and of a refusal too */
    give_str("HEAD /v1/stream?account=NO_A HTTP/1.1\r\nHost: a\r\n" TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 403"), 1);
    CHECK(strcmp(sent_text() + sock.sent_len - 4, "\r\n\r\n") == 0);
    close_conn();
}

/* ---- the door ---- */

TEST(a_stream_waits_for_its_tokens_key_and_costs_the_budget_once)
{
    open_tenant();
    policy.handshakes_per_s = 1;
    key_pending = 3;
    give_str(STREAM("?account=A", TOKEN "Last-Event-ID: abc\r\n"));
    CHECK_EQ_I64(sock.sent_len, 0);
    CHECK(sock.paused);
    for (int i = 0; i < 4; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    CHECK_EQ_STR(session.sub_text, "A ");
    CHECK_EQ_STR(session.resume, "abc");
    CHECK(!sock.paused);
    CHECK_EQ_I64(host.busy_pool.in_use, 0);
    close_conn();
}

TEST(a_key_that_does_not_come_is_told_after_the_deadline)
{
    open_tenant();
    key_pending = 1000;
    give_str(STREAM("?account=A", TOKEN));
    for (int i = 0; i < 120; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("key_unavailable"), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK(sock.finished && session.opened == 0);
    close_conn();
}

TEST(streams_beyond_the_budget_are_told_when_to_come_back)
{
    struct bgw_budget budget = {0};
    for (int i = 0; i < 2; i++) {
        open_tenant();
        policy.handshakes_per_s = 1;
        host.budget = budget;
        give_str(STREAM("?account=A", TOKEN));
        CHECK_EQ_I64(sent_count(i ? "HTTP/1.1 503" : "HTTP/1.1 200"), 1);
        CHECK_EQ_I64(sent_count("too_many_handshakes"), (unsigned)i);
        CHECK_EQ_I64(sent_count("Retry-After: "), (unsigned)i);
        budget = host.budget;
        close_conn();
    }
}

TEST(a_request_that_says_nothing_useful_costs_no_budget)
{
    open_tenant();
    policy.handshakes_per_s = 1;
    for (int i = 0; i < 3; i++) {
        struct bgw_budget budget = host.budget;
        give_str(STREAM("?account=%20", TOKEN));
        CHECK_EQ_I64(sent_count("bad_id"), 1);
        close_conn();
        open_tenant();
        policy.handshakes_per_s = 1;
        host.budget = budget;
    }
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
    close_conn();
}

TEST(a_full_shard_says_so_as_a_status)
{
    open_tenant();
    host.sessions_max = 0;
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("over_capacity"), 1);
    CHECK_EQ_I64(session.opened, 0);
    close_conn();
}

TEST(a_drain_refuses_new_streams_and_ends_open_ones_with_when_to_come_again)
{
    open_tenant();
    give_str(STREAM("?account=A", TOKEN));
    bgw_conn_host_drain(&host);
    host.byes = 1; /* the first of all may come again at once */
    CHECK(bgw_conn_host_say_bye(&host, 10, 1000) == false);
    CHECK_EQ_I64(sent_count("\nretry: "), 1);
    CHECK_EQ_I64(sent_count("event: bye\ndata: {\"code\":3001,\"retry_ms\":"), 1);
    CHECK(sock.finished); /* the end of a stream is the connection's: there is no close frame to wait for */
    close_conn();
    open_tenant();
    host.draining = true;
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"draining\""), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    close_conn();
}

TEST(a_subject_with_too_many_connections_is_told_in_the_stream)
{
    struct bgw_quota *quota;
    CHECK(bgw_quota_create(&quota) == BGW_OK);
    open_tenant();
    host.quota = quota;
    policy.per_subject_max = 1;
    bool taken;
    CHECK(bgw_quota_take(quota, BGW_QUOTA_SUBJECT, bgw_hash_fnv64(9, BGW_SLICE("tnt_a")), 1, &taken) && taken);
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(sent_count("event: bye\ndata: {\"code\":3504,\"retry_ms\":0,\"reason\":\"connection_limit\"}\n\n"), 1);
    CHECK(sock.finished && session.opened == 0 && session.subs == 0);
    close_conn();
    bgw_quota_give(quota, BGW_QUOTA_SUBJECT, bgw_hash_fnv64(9, BGW_SLICE("tnt_a")));
    bgw_quota_destroy(&quota);
}

TEST(the_last_words_wait_for_a_slow_socket)
{
    open_tenant();
    sock.full = true;
    give_str(STREAM("?account=A", TOKEN));
    CHECK(session.open);
    bgw_session_bye(NULL, &session, 3005, 0, "token_expired");
    CHECK(!sock.finished);
    make_writable();
    CHECK_EQ_I64(sent_count("\"reason\":\"token_expired\"}\n\n"), 1);
    CHECK(sock.finished);
    close_conn();
}

TEST(streams_are_refused_while_push_is_off_and_open_ones_stay)
{
    struct bgw_flags flags = {0};
    open_tenant();
    host.api.flags = &flags;
    bgw_flag_set(&flags, BGW_FLAG_PUSH, true);
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(session.opened, 1);
    bgw_flag_set(&flags, BGW_FLAG_PUSH, false);
    bgw_conn_host_turn_end(&host);
    CHECK(session.open && !sock.finished);
    close_conn();
    open_tenant();
    host.api.flags = &flags;
    int64_t before = bgw_metric_read(BGW_M_HANDSHAKES_PUSH_OFF);
    give_str(STREAM("?account=A", TOKEN));
    CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"push_off\""), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK(!session.opened);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_HANDSHAKES_PUSH_OFF), before + 1);
    close_conn();
}
