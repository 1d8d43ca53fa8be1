/* SPDX-License-Identifier: Apache-2.0 */
/* conn_read: one response a request, whenever the shard answers; nothing is asked or told without the right to it. */
#include "conn_rig.h"

#include "bgw/metrics.h"

#define ONE "GET /ledger/accounts/A/balance HTTP/1.1\r\nHost: a\r\n"
#define BEARER "Authorization: Bearer x\r\n"
#define READ ONE BEARER "\r\n"

static struct bgw_decoded known;

static void begin(void)
{
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    open_conn();
    rig_read_count = 0;
    read_later = false;
    verified_claims.expires_ms = now.wall_ms + 1000;
    verified_claims.subject_hash = 7;
    strcpy(verified_claims.tenant, "t1");
    const struct bgw_record record = {.key = BGW_SLICE("A"), .value = BGW_SLICE("{\"accountId\":\"A\",\"minor\":12345}")};
    CHECK(feed.decode(&feed, &record, &known) == BGW_REJECT_NONE);
    read_answer = (struct bgw_read_answer){
        .result = BGW_READ_VALUE, .watched = true, .version = {bgw_epoch_pack(BGW_SLICE("e1")), 5, 0}, .value = known.value};
}

static void end(void)
{
    bgw_conn_host_turn_end(&host);
    close_conn();
    CHECK(atomic_load(&known.value->refs) == 1); /* nobody kept one */
    bgw_blob_release(known.value);
}

static int64_t rise(enum bgw_metric id)
{
    static int64_t last[BGW_METRIC_COUNT];
    int64_t value = bgw_metric_read(id), by = value - last[id];
    last[id] = value;
    return by;
}

TEST(read_that_is_known_is_answered_before_the_call_returns)
{
    begin();
    (void)rise(BGW_M_READS_HIT);
    give_str(READ READ);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 2);
    CHECK_EQ_I64(sent_count("\"minor\":12345,"), 2);
    CHECK_EQ_I64(rise(BGW_M_READS_HIT), 2);
    CHECK_EQ_STR(rig_reads[0].key, "A");
    CHECK(rig_reads[0].question.part == 0 && !rig_reads[0].question.has_floor && !rig_reads[0].question.prove);
    CHECK_EQ_I64(rig_reads[0].question.wait_ms, 2000);
    CHECK(!sock.finished && !sock.paused);
    end();
}

TEST(questions_carry_what_the_request_says)
{
    begin();
    give_str("GET /ledger/accounts/A/balance/global?currency=USD&min_version=e1.7 HTTP/1.1\r\nHost: a\r\n" BEARER
             "Cache-Control: no-cache\r\n\r\n");
    const struct bgw_read_question *q = &rig_reads[0].question;
    CHECK(q->part == bgw_part_of(BGW_SLICE("USD")) && q->has_floor && q->floor.seq == 7 && q->prove && q->wait_ms == 800);
    end();
}

TEST(what_comes_behind_a_read_that_waits_is_looked_at_when_it_is_answered)
{
    begin();
    read_later = true;
    give_str(READ GET("/livez"));
    CHECK_EQ_I64(sock.sent_len, 0);
    CHECK(sock.paused && rig_read_count == 1);
    bgw_conn_host_turn_end(&host);
    pass(policy.idle_ms + policy.header_ms); /* no deadline of ours runs meanwhile */
    CHECK(sock.sent_len == 0 && !sock.finished);
    end();
    begin();
    read_later = true;
    give_str(READ GET("/livez"));
    (void)rise(BGW_M_READ_SECONDS);
    finish_read(0);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK(host.answered); /* the turn that looks at it comes at once */
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 2);
    CHECK_EQ_I64(sent_count("{\"ok\":true}"), 1);
    CHECK(!sock.paused && !sock.finished);
    end();
}

TEST(connection_that_goes_takes_its_reads_along)
{
    begin();
    read_later = true;
    give_str("GET /v1/balances?account=A&account=B&account=C HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n");
    CHECK_EQ_I64(rig_read_count, 3);
    finish_read(1);
    CHECK_EQ_I64(sock.sent_len, 0);
    end();
    CHECK(rig_reads[0].cancelled && !rig_reads[1].cancelled && rig_reads[2].cancelled);
}

TEST(several_wait_for_the_last_of_them_and_keep_their_order)
{
    begin();
    read_later = true;
    give_str("GET /v1/balances?account=A&account=NO_B&account=B/USD&account=%20&account=A HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n");
    CHECK_EQ_I64(rig_read_count, 3); /* for what may not be seen nobody is asked */
    finish_read(2);
    finish_read(0);
    CHECK_EQ_I64(sock.sent_len, 0);
    read_answer.result = BGW_READ_UNKNOWN;
    read_answer.state = BGW_STATE_REMOVED;
    read_answer.value = NULL;
    finish_read(1);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    CHECK_EQ_I64(sent_count("\"minor\":12345,"), 2);
    CHECK_EQ_I64(sent_count("\"status\":200},{\"accountId\":\"NO_B\",\"status\":403,\"code\":\"no_grant\""), 1);
    CHECK_EQ_I64(sent_count("{\"accountId\":\"B\",\"currency\":\"USD\",\"status\":404,\"code\":\"no_such_account\""), 1);
    CHECK_EQ_I64(sent_count("{\"accountId\":\" \",\"status\":400,\"code\":\"bad_id\""), 1);
    end();
}

TEST(token_that_ends_while_its_read_waits_is_told_nothing)
{
    begin();
    read_later = true;
    give_str(READ);
    pass(1000);
    (void)rise(BGW_M_READS_REFUSED);
    finish_read(0);
    CHECK_EQ_I64(sent_count("HTTP/1.1 401 "), 1);
    CHECK_EQ_I64(sent_count("WWW-Authenticate: Bearer"), 1);
    CHECK_EQ_I64(sent_count("12345"), 0);
    CHECK_EQ_I64(rise(BGW_M_READS_REFUSED), 1);
    end();
}

TEST(token_whose_key_is_fetched_is_looked_at_again_and_then_read)
{
    begin();
    key_pending = 2;
    read_later = true;
    give_str(READ);
    CHECK(rig_read_count == 0 && sock.sent_len == 0);
    pass(50);
    pass(50);
    CHECK_EQ_I64(rig_read_count, 1);
    pass(10);
    finish_read(0);
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 1);
    bgw_conn_host_turn_end(&host);
    CHECK(!sock.paused);
    end();
}

TEST(no_question_is_asked_for_what_is_refused)
{
    static const struct {
        const char *request, *answer;
    } rows[] = {
        {ONE "\r\n", "HTTP/1.1 401 "},
        {ONE BEARER "X-Tenant-Id: t2\r\n\r\n", "\"code\":\"other_tenant\""},
        {GET("/ledger/accounts/a%20b/balance"), "\"code\":\"bad_id\""}, /* before the token is looked at */
        {GET("/ledger/accounts/A/balance?currency=x"), "\"code\":\"bad_id\""},
        {GET("/v1/balances"), "\"code\":\"account_required\""},
        {"GET /ledger/accounts/NO_X/balance HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n", "\"code\":\"no_grant\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        begin();
        give_str(rows[i].request);
        if (sent_count(rows[i].answer) != 1)
            test_fail_(__FILE__, __LINE__, "%s: %.*s", rows[i].request, (int)sock.sent_len, sock.sent);
        CHECK(rig_read_count == 0);
        end();
    }
}

TEST(drain_lets_a_read_end_and_its_connection_with_it)
{
    begin();
    read_later = true;
    give_str(READ);
    bgw_conn_host_drain(&host);
    CHECK(!sock.finished);
    finish_read(0);
    CHECK_EQ_I64(sent_count("Connection: close\r\n"), 1);
    CHECK(sock.finished);
    end();
}

TEST(refusal_keeps_the_connection_and_head_has_no_body)
{
    begin();
    read_answer = (struct bgw_read_answer){.result = BGW_READ_UNKNOWN, .reason = BGW_REASON_SOURCE_UNAVAILABLE};
    give_str("HEAD /ledger/accounts/A/balance HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n" READ);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503 "), 2);
    CHECK_EQ_I64(sent_count("Retry-After: 1\r\n"), 2);
    CHECK_EQ_I64(sent_count("\"code\":\"source_unavailable\""), 1);
    CHECK(!sock.finished);
    end();
}

TEST(what_was_shown_and_what_was_denied_is_written_down_once)
{
    begin();
    host.audit = (struct bgw_audit *)&host;
    read_later = true;
    give_str("GET /v1/balances?account=A&account=NO_B/USD HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n");
    read_answer.part = bgw_part_of(BGW_SLICE("NGN"));
    finish_read(0);
    CHECK_EQ_I64(event_count, 2);
    CHECK(events[1].kind == BGW_AUDIT_READ && events[1].subject_hash == 7);
    CHECK_EQ_STR(events[1].key, "A");
    CHECK_EQ_STR(events[1].tenant, "t1");
    CHECK(events[1].part == bgw_part_of(BGW_SLICE("NGN")));
    CHECK(events[0].kind == BGW_AUDIT_DENIED && events[0].subject_hash == 7 && events[0].has_key);
    CHECK_EQ_STR(events[0].key, "NO_B");
    CHECK_EQ_STR(events[0].code, "no_grant");
    CHECK(events[0].part == bgw_part_of(BGW_SLICE("USD")));
    end();
}

TEST(sources_are_asked_where_what_is_held_is_not_to_be_believed)
{
    static const struct {
        const char *redis, *origin, *pg;
        bool l1, no_cache, asks;
    } rows[] = {
        {"", "", "", true, true, false},       {"", "", "", false, true, false},     {"r:6379", "", "", true, false, false},
        {"r:6379", "", "", true, true, true},  {"", "http://o", "", true, true, true}, {"", "", "postgresql://p", true, true, true},
        {"r:6379", "", "", false, false, true}, {NULL, NULL, NULL, false, true, false},
    };
    struct bgw_flags flags = {0};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        begin();
        config.redis = rows[i].redis;
        config.ledger_internal = rows[i].origin;
        config.origin_pg = rows[i].pg;
        bgw_flag_set(&flags, BGW_FLAG_L1, rows[i].l1);
        bgw_flag_set(&flags, BGW_FLAG_STALE, true);
        host.api.flags = &flags;
        give_str(rows[i].no_cache ? ONE BEARER "Cache-Control: no-cache\r\n\r\n" : READ);
        CHECK(rig_reads[0].question.ask == rows[i].asks && rig_reads[0].question.prove == rows[i].no_cache);
        config.redis = config.ledger_internal = config.origin_pg = NULL;
        end();
    }
}

TEST(reads_are_counted_by_how_their_answers_came_about)
{
    static const enum bgw_metric ids[] = {BGW_M_READ_CACHE_HIT, BGW_M_READ_CACHE_BYPASS, BGW_M_READ_CACHE_COALESCED,
                                          BGW_M_READ_CACHE_MISS, BGW_M_READ_CACHE_STALE};
    static const struct {
        enum bgw_read_result result;
        enum bgw_slot_state state;
        bool fetched, joined;
        int counter; /* of ids; -1: none */
    } rows[] = {
        {BGW_READ_VALUE, BGW_STATE_FRESH, false, false, 0},   {BGW_READ_VALUE, BGW_STATE_FRESH, true, true, 2},
        {BGW_READ_VALUE, BGW_STATE_FRESH, true, false, 3},    {BGW_READ_VALUE, BGW_STATE_STALE, false, false, 4},
        {BGW_READ_UNKNOWN, BGW_STATE_UNKNOWN, true, false, 3}, {BGW_READ_UNKNOWN, BGW_STATE_REMOVED, false, false, 0},
        {BGW_READ_BUSY, BGW_STATE_UNKNOWN, false, false, -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        begin();
        for (size_t k = 0; k < 5; k++)
            (void)rise(ids[k]);
        read_answer.result = rows[i].result;
        read_answer.state = rows[i].state;
        read_answer.fetched = rows[i].fetched;
        read_answer.joined = rows[i].joined;
        if (rows[i].result != BGW_READ_VALUE)
            read_answer.value = NULL;
        give_str(READ);
        for (size_t k = 0; k < 5; k++)
            CHECK_EQ_I64(rise(ids[k]), (int)k == rows[i].counter);
        end();
    }
}

TEST(stale_value_is_not_told_while_its_flag_is_off)
{
    struct bgw_flags flags = {0};
    begin();
    host.api.flags = &flags;
    read_answer.state = BGW_STATE_STALE;
    (void)rise(BGW_M_READ_CACHE_STALE);
    give_str(READ "GET /v1/balances?account=A HTTP/1.1\r\nHost: a\r\n" BEARER "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 503 "), 1);
    CHECK_EQ_I64(sent_count("\"status\":503,\"code\":\"source_unavailable\""), 2);
    CHECK_EQ_I64(sent_count("12345"), 0);
    CHECK_EQ_I64(rise(BGW_M_READ_CACHE_STALE), 0);
    end();
}

TEST(shed_read_says_when_to_come_back_and_is_counted_as_one)
{
    begin();
    read_answer = (struct bgw_read_answer){.result = BGW_READ_UNKNOWN, .state = BGW_STATE_UNKNOWN, .reason = BGW_REASON_SHED};
    (void)rise(BGW_M_READS_SHED);
    give_str(READ READ);
    CHECK_EQ_I64(sent_count("HTTP/1.1 503 "), 2);
    CHECK_EQ_I64(sent_count("Retry-After: 1\r\n"), 2);
    CHECK_EQ_I64(sent_count("\r\n\r\nService temporarily unavailable - please retry"), 2);
    CHECK_EQ_I64(rise(BGW_M_READS_SHED), 2);
    CHECK(!sock.finished);
    end();
}

TEST(pages_of_numbers_need_no_token)
{
    begin();
    give_str(GET("/v1/stats/shedding") GET("/payments/load-shedding/stats") GET("/v1/stats/cache") GET("/ledger/cache/stats"));
    CHECK_EQ_I64(sent_count("HTTP/1.1 200 OK\r\n"), 4);
    CHECK_EQ_I64(sent_count("{\"tokensAvailable\":0,"), 2);
    CHECK_EQ_I64(sent_count("\"redisMemoryBytes\":null}"), 2);
    end();
}
