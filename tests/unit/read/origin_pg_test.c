/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PostgreSQL origin against a real server: exact values and NULLs, queries that are slow, wrong or of
 * another shape, a server that is killed, frozen and comes back, a pool that is too small, names that
 * resolve slowly; and all accounts, in chunks. The loop is turned by hand: no turn may be long.
 */
#include "pg_rig.h"

#include "origin_rig.h"

#include "read/origin_pg.h"

#include <dlfcn.h>
#include <netdb.h>
#include <time.h>

#define SLOW_QUERY "SELECT ledger_minor, pending_minor, version, updated_at FROM accounts, pg_sleep(0.3) " \
                   "WHERE account_id = $1 AND tenant_id = $2 AND currency = $3"
#define TURN_MS 1000 /* of a loaded machine under a sanitizer */

/* ---- names: in place of the system's, which would know none of ours ---- */

static atomic_int lookups, lookup_ms, names_known = 1;

typedef int (*lookup_fn)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *restrict node, const char *restrict service, const struct addrinfo *restrict hints,
                struct addrinfo **restrict res)
{
    lookup_fn real;
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    memcpy(&real, &symbol, sizeof(real));
    if (!node || !strstr(node, ".example"))
        return real(node, service, hints, res);
    int ms = atomic_load(&lookup_ms);
    atomic_fetch_add(&lookups, 1);
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = 1000000L * (ms % 1000)}, NULL);
    return atomic_load(&names_known) ? real("127.0.0.1", service, hints, res) : EAI_NONAME;
}

/* ---- tests ---- */

static void start_with(struct origin_rig *r, struct bgw_origin_config config)
{
    struct pg_rig *p = pg_get();
    config.pg_uri = config.pg_uri ? config.pg_uri : p->uri;
    rig_start(r, config);
}

static void start(struct origin_rig *r)
{
    start_with(r, (struct bgw_origin_config){0});
}

static void stop(struct origin_rig *r)
{
    CHECK(r->longest_turn_ms < TURN_MS);
    rig_stop(r);
}

static void check_raw(struct origin_rig *r, const char *key, const char *raw)
{
    struct origin_answer g = rig_get(r, key, 5000);
    CHECK(g.result == BGW_LOOKUP_VALUE);
    CHECK_EQ_STR(g.raw, raw);
    CHECK_EQ_STR(g.body, raw);
}

TEST(rows_become_values_to_the_last_digit)
{
    struct origin_rig r;
    start(&r);
    check_raw(&r, "A", "{\"accountId\":\"A\",\"minor\":9007199254740993,\"currency\":\"NGN\",\"pendingMinor\":-5,\"v\":41,\"ts\":1795282618123}");
    CHECK(r.got[1].has_v && r.got[1].v == 41);
    check_raw(&r, "min", "{\"accountId\":\"min\",\"minor\":-9223372036854775808,\"currency\":\"NGN\",\"pendingMinor\":9223372036854775807,"
                         "\"v\":9223372036854775807,\"ts\":0}");
    check_raw(&r, "nulls", "{\"accountId\":\"nulls\",\"minor\":0,\"currency\":\"NGN\",\"pendingMinor\":0}");
    CHECK(!r.got[1].has_v);
    check_raw(&r, "old", "{\"accountId\":\"old\",\"minor\":1,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":1}");
    const struct bgw_slot_name other[] = {rig_name("t2", "A", "NGN"), rig_name("tnt_demo", "A", "USD")};
    rig_ask_slot(&r, 2, &other[0], 5000);
    rig_ask_slot(&r, 3, &other[1], 5000);
    RIG_UNTIL(&r, r.got[2].calls && r.got[3].calls);
    CHECK_EQ_STR(r.got[2].raw, "{\"accountId\":\"A\",\"minor\":2,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":1}");
    CHECK_EQ_STR(r.got[3].raw, "{\"accountId\":\"A\",\"minor\":3,\"currency\":\"USD\",\"pendingMinor\":0,\"v\":1}");
    stop(&r);
}

TEST(no_row_is_nobodys_and_no_amount_is_no_zero)
{
    struct origin_rig r;
    start(&r);
    CHECK(rig_get(&r, "unknown", 5000).result == BGW_LOOKUP_MISS);
    CHECK(rig_get(&r, "void", 5000).result == BGW_LOOKUP_FAILED);
    CHECK(rig_get(&r, "minus", 5000).result == BGW_LOOKUP_FAILED);
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    CHECK(r.up && r.ups == 1 && r.downs == 0);
    stop(&r);
}

TEST(a_socket_in_the_file_system_will_do)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_uri = pg_get()->socket_uri});
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(a_password_is_presented_and_a_wrong_one_is_a_failure)
{
    struct origin_rig r;
    char uri[160];
    pg_get();
    pg_sql(&pg_rig_, "CREATE ROLE guarded LOGIN PASSWORD 'open sesame'; GRANT SELECT ON accounts TO guarded");
    for (int i = 0; i < 2; i++) {
        snprintf(uri, sizeof(uri), "postgresql://guarded:open%%20%s@127.0.0.1:%d/postgres", i ? "barley" : "sesame", pg_rig_.port);
        rig_start(&r, (struct bgw_origin_config){.pg_uri = uri});
        CHECK(rig_get(&r, "A", 5000).result == (i ? BGW_LOOKUP_FAILED : BGW_LOOKUP_VALUE) && r.up == !i);
        stop(&r);
    }
    pg_sql(&pg_rig_, "DROP OWNED BY guarded; DROP ROLE guarded");
}

TEST(calls_at_random_are_each_answered_once_or_forgotten)
{
    static const int64_t timeouts_ms[] = {5, 60, 20000};
    struct origin_rig r;
    bool forgotten[RIG_IDS_MAX] = {false};
    start_with(&r, (struct bgw_origin_config){
                       .pg_query = "SELECT ledger_minor, pending_minor, version, updated_at FROM accounts, pg_sleep(random() * 0.02) "
                                   "WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
                       .connections_max = 3});
    srand(11);
    for (uint64_t id = 0; id < RIG_IDS_MAX; id++) {
        uint64_t other = (uint64_t)rand() % (id + 1);
        rig_ask(&r, id, rand() % 3 ? "A" : "unknown", timeouts_ms[rand() % 3]);
        if (rand() % 3 == 0 && !r.got[other].calls) {
            bgw_origin_forget(r.origin, other);
            forgotten[other] = true;
        }
        if (rand() % 3 == 0)
            rig_turn(&r);
        if (id == 100)
            pg_sql(&pg_rig_, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'balance-gateway'");
    }
    int wanted = 0;
    for (size_t id = 0; id < RIG_IDS_MAX; id++)
        wanted += !forgotten[id];
    RIG_UNTIL(&r, r.answers >= wanted);
    for (size_t id = 0; id < RIG_IDS_MAX; id++)
        CHECK_EQ_I64(r.got[id].calls, forgotten[id] ? 0 : 1);
    RIG_UNTIL(&r, r.up);
    CHECK(rig_get(&r, "A", 20000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(queries_of_another_shape_fail_and_times_may_be_of_any_kind)
{
    static const struct {
        const char *query;
        enum bgw_lookup_result result;
        const char *ts;
    } rows[] = {
        {"SELECT updated_at, version, pending_minor, ledger_minor FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
         BGW_LOOKUP_VALUE, "1795282618123"},
        {"SELECT 1 AS ledger_minor, 0 AS pending_minor, NULL AS version, 12345 AS updated_at WHERE $1::text || $2::text || $3::text = 'Atnt_demoNGN'",
         BGW_LOOKUP_VALUE, "12345"},
        {"SELECT ledger_minor, pending_minor, version FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT ledger_minor AS a, pending_minor, version, updated_at FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT ledger_minor / 2.0 AS ledger_minor, pending_minor, version, updated_at FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT ledger_minor, pending_minor, version, 'soon' AS updated_at FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT ledger_minor, pending_minor, version, updated_at FROM accounts WHERE account_id = $1 AND $2::text <> $3::text",
         BGW_LOOKUP_FAILED, ""}, /* three rows */
        {"INSERT INTO accounts VALUES ($1, $2 || 'x', $3, 1, 1, 1, now()) RETURNING ledger_minor, pending_minor, version, updated_at",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT ledger_minor, pending_minor, version, updated_at FROM accounts WHERE account_id = $1 AND 1 / (length($2) - 8) = length($3)",
         BGW_LOOKUP_FAILED, ""},
        {"SELECT $1, $2, $3 FROM nowhere", BGW_LOOKUP_FAILED, ""},
        {"not a query", BGW_LOOKUP_FAILED, ""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct origin_rig r;
        start_with(&r, (struct bgw_origin_config){.pg_query = rows[i].query, .connections_max = 1});
        struct origin_answer g = rig_get(&r, "A", 5000);
        if (g.result != rows[i].result || !strstr(g.raw, rows[i].ts))
            test_fail_(__FILE__, __LINE__, "row %zu: result %d, %s", i, (int)g.result, g.raw);
        stop(&r);
    }
}

TEST(a_slow_query_fails_in_time_and_its_connection_comes_back)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){
                       .pg_query = "SELECT ledger_minor, pending_minor, version, updated_at FROM accounts, "
                                   "pg_sleep(CASE WHEN $1 = 'A' THEN 30 ELSE 0 END) "
                                   "WHERE account_id = $1 AND tenant_id = $2 AND currency = $3",
                       .connections_max = 1});
    int64_t began_ms = bgw_clock_now().mono_ms;
    CHECK(rig_get(&r, "A", 250).result == BGW_LOOKUP_FAILED);
    CHECK(bgw_clock_now().mono_ms - began_ms < 3000);
    CHECK(rig_get(&r, "nulls", 5000).result == BGW_LOOKUP_VALUE); /* after the server has ended the other */
    CHECK(r.downs == 0);
    stop(&r);
}

TEST(beyond_the_pool_calls_wait_in_line_and_are_answered_in_order)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_query = SLOW_QUERY, .connections_max = 2});
    for (uint64_t id = 0; id < 6; id++)
        rig_ask(&r, id, "A", 20000);
    RIG_UNTIL(&r, r.got[0].calls || r.got[1].calls);
    CHECK(!r.got[4].calls && !r.got[5].calls);
    RIG_UNTIL(&r, r.answers == 6);
    for (uint64_t id = 0; id < 6; id++)
        CHECK(r.got[id].calls == 1 && r.got[id].result == BGW_LOOKUP_VALUE);
    pg_sql(&pg_rig_, "DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_activity WHERE application_name = 'balance-gateway') = 2; END $$");
    stop(&r);
}

TEST(whoever_waits_too_long_in_line_fails_alone)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_query = SLOW_QUERY, .connections_max = 1});
    rig_ask(&r, 1, "A", 20000);
    rig_ask(&r, 2, "A", 150);
    rig_ask(&r, 3, "A", 20000);
    RIG_UNTIL(&r, r.answers == 3);
    CHECK(r.got[1].result == BGW_LOOKUP_VALUE && r.got[3].result == BGW_LOOKUP_VALUE);
    CHECK(r.got[2].result == BGW_LOOKUP_FAILED && r.got[2].calls == 1);
    stop(&r);
}

TEST(what_is_forgotten_is_not_answered_wherever_it_is)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_query = SLOW_QUERY, .connections_max = 1});
    CHECK(rig_get(&r, "A", 20000).result == BGW_LOOKUP_VALUE);
    for (uint64_t id = 2; id < 5; id++)
        rig_ask(&r, id, "A", 20000);
    bgw_origin_forget(r.origin, 2); /* running */
    bgw_origin_forget(r.origin, 3); /* waiting */
    RIG_UNTIL(&r, r.got[4].calls == 1);
    CHECK(r.got[2].calls == 0 && r.got[3].calls == 0 && r.got[4].result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(a_server_that_is_killed_fails_its_calls_and_is_found_again)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_query = SLOW_QUERY, .connections_max = 3});
    CHECK(rig_get(&r, "A", 20000).result == BGW_LOOKUP_VALUE && r.up);
    for (uint64_t id = 2; id < 8; id++)
        rig_ask(&r, id, "A", 20000);
    rig_turn(&r);
    int64_t began_ms = bgw_clock_now().mono_ms;
    pg_kill(&pg_rig_);
    RIG_UNTIL(&r, r.answers == 7);
    CHECK(bgw_clock_now().mono_ms - began_ms < 6000);
    for (uint64_t id = 2; id < 8; id++)
        CHECK(r.got[id].calls == 1 && r.got[id].result == BGW_LOOKUP_FAILED);
    CHECK(!r.up && rig_get(&r, "A", 20000).result == BGW_LOOKUP_FAILED);
    pg_start(&pg_rig_);
    RIG_UNTIL(&r, r.up); /* by itself */
    CHECK(rig_get(&r, "A", 20000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(a_connection_that_is_ended_alone_is_replaced)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.connections_max = 1});
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    pg_sql(&pg_rig_, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'balance-gateway'");
    RIG_UNTIL(&r, r.downs == 1);
    RIG_UNTIL(&r, r.ups == 2);
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(a_table_that_was_made_anew_is_read_by_a_statement_made_anew)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.pg_query = "SELECT * FROM shown WHERE $1 || $2 || $3 <> ''", .connections_max = 1});
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_FAILED); /* it is not there */
    pg_sql(&pg_rig_, "CREATE TABLE shown AS SELECT 5 AS ledger_minor, 0 AS pending_minor, 1 AS version, NULL::int AS updated_at");
    RIG_UNTIL(&r, r.up);
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    pg_sql(&pg_rig_, "DROP TABLE shown; CREATE TABLE shown AS SELECT 6::bigint AS ledger_minor, 0 AS pending_minor, 1 AS version, "
                     "NULL::text AS updated_at");
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_FAILED);
    RIG_UNTIL(&r, r.up);
    CHECK(strstr(rig_get(&r, "A", 5000).raw, "\"minor\":6,"));
    pg_sql(&pg_rig_, "DROP TABLE shown");
    stop(&r);
}

TEST(a_frozen_server_fails_in_time_and_never_holds_the_loop)
{
    struct origin_rig r;
    start_with(&r, (struct bgw_origin_config){.connections_max = 2});
    CHECK(rig_get(&r, "A", 300).result == BGW_LOOKUP_VALUE);
    pg_sql(&pg_rig_, "SELECT pg_sleep(0)");
    pg_freeze(&pg_rig_, true);
    for (uint64_t id = 2; id < 9; id++)
        rig_ask(&r, id, "A", 300);
    RIG_UNTIL(&r, r.answers == 8);
    for (uint64_t id = 2; id < 9; id++)
        CHECK(r.got[id].result == BGW_LOOKUP_FAILED);
    RIG_UNTIL(&r, !r.up); /* the connections are given up */
    pg_freeze(&pg_rig_, false);
    RIG_UNTIL(&r, r.up);
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

TEST(times_are_read_as_what_they_are)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"-5", -5},
        {"1795282618123", 1795282618123},
        {"1970-01-01 00:00:00+00", 0},
        {"1969-12-31 23:59:59.999+00", -1},
        {"2000-02-29 12:00:00.5+00", 951825600500},
        {"2000-03-01 00:00:00+00", 951868800000},
        {"1900-03-01 00:00:00+00", -2203891200000},
        {"2026-11-21 18:36:58.123999+01", 1795282618123},
        {"2026-11-21 12:06:58.12-05:30", 1795282618120},
        {"9999-12-31 23:59:59+00:00:00", 253402300799000},
    };
    static const char *const none[] = {
        "", "soon", "infinity", "1.5", "2026-11-21", "2026-11-21 17:36:58", "2026-11-21 17:36:58.", "2026-13-21 17:36:58+00",
        "2026-00-21 17:36:58+00", "2026-11-00 17:36:58+00", "2026-11-21 24:36:58+00", "2026-11-21 17:36:58+0", "2026-11-21 17:36:58+00:",
        "2026-11-21 17:36:58+00 BC", "12026-11-21 17:36:58+00", "2026-11-21T17:36:58Z", "9223372036854775808",
    };
    int64_t ms;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (!pg_time_ms(rows[i].text, &ms))
            test_fail_(__FILE__, __LINE__, "%s is no time", rows[i].text);
        CHECK_EQ_I64(ms, rows[i].ms);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++)
        if (pg_time_ms(none[i], &ms))
            test_fail_(__FILE__, __LINE__, "%s is a time", none[i]);
}

/* A server that takes connections and says nothing, as a machine that has vanished. */
static int silent_server(int *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 64) == 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    *port = ntohs(at.sin_port);
    return fd;
}

TEST(a_server_that_keeps_silent_is_not_the_first_one_next_time)
{
    char uri[160];
    int port, fd = silent_server(&port);
    struct origin_rig r;
    snprintf(uri, sizeof(uri), "host=127.0.0.1,127.0.0.1 port=%d,%d user=ledger dbname=postgres connect_timeout=1", port, pg_get()->port);
    start_with(&r, (struct bgw_origin_config){.pg_uri = uri});
    CHECK(rig_get(&r, "A", 200).result == BGW_LOOKUP_FAILED);
    RIG_UNTIL(&r, r.up);
    CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
    stop(&r);
    close(fd);
}

/* ---- names ---- */

static const char *named_uri(void)
{
    static char uri[160];
    snprintf(uri, sizeof(uri), "host=pg.example,pg2.example port=%d user=ledger dbname=postgres", pg_get()->port);
    return uri;
}

TEST(a_name_is_looked_up_elsewhere_and_calls_wait_for_it)
{
    struct origin_rig r;
    atomic_store(&lookup_ms, 1500); /* each: longer than any turn may take */
    start_with(&r, (struct bgw_origin_config){.pg_uri = named_uri()});
    CHECK(rig_get(&r, "A", 10000).result == BGW_LOOKUP_VALUE);
    CHECK_EQ_I64(atomic_exchange(&lookups, 0), 2);
    stop(&r);
}

TEST(a_name_that_is_never_found_holds_up_nobody)
{
    struct origin_rig r;
    atomic_store(&lookup_ms, 3000);
    start_with(&r, (struct bgw_origin_config){.pg_uri = named_uri()});
    CHECK(rig_get(&r, "A", 200).result == BGW_LOOKUP_FAILED);
    int64_t began_ms = bgw_clock_now().mono_ms;
    stop(&r); /* while it is being looked up */
    CHECK(bgw_clock_now().mono_ms - began_ms < 1000);
    atomic_store(&lookup_ms, 0);
    atomic_store(&names_known, 0);
    start_with(&r, (struct bgw_origin_config){.pg_uri = named_uri()});
    began_ms = bgw_clock_now().mono_ms;
    CHECK(rig_get(&r, "A", 10000).result == BGW_LOOKUP_FAILED);
    CHECK(bgw_clock_now().mono_ms - began_ms < 5000 && !r.up);
    rig_list(&r);
    CHECK(!r.list_complete);
    atomic_store(&names_known, 1);
    RIG_UNTIL(&r, r.up);
    CHECK(rig_get(&r, "A", 10000).result == BGW_LOOKUP_VALUE);
    stop(&r);
}

/* ---- the list ---- */

TEST(all_accounts_are_listed_in_chunks_while_calls_go_on)
{
    struct origin_rig r;
    start(&r);
    pg_sql(&pg_rig_, "INSERT INTO accounts SELECT 'n' || n, 't' || n % 3, 'NGN', n, 0, 1, now() FROM generate_series(1, 100000) n "
                     "WHERE n % 3 > 0");
    rig_ask(&r, 1, "A", 5000);
    rig_list(&r);
    CHECK(r.list_complete && r.got[1].result == BGW_LOOKUP_VALUE);
    CHECK_EQ_I64(r.listed, 8 + 66667);
    rig_list(&r);
    CHECK(r.list_complete);
    stop(&r);
}

TEST(a_list_that_breaks_off_is_none)
{
    static const char *const queries[] = {
        "SELECT account_id FROM accounts",
        "SELECT account_id, tenant_id AS t FROM accounts",
        "SELECT account_id, tenant_id FROM nowhere",
        "SELECT 'a' || n AS account_id, 1 / (n - 5000) AS tenant_id FROM generate_series(1, 9999) n",
        "SELECT account_id, tenant_id FROM accounts WHERE false",
        "COPY accounts TO STDOUT",
        "SET work_mem = 1000",
        "",
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        struct origin_rig r;
        start_with(&r, (struct bgw_origin_config){.pg_list_query = *queries[i] ? queries[i] : " "});
        rig_list(&r);
        if (r.list_complete)
            test_fail_(__FILE__, __LINE__, "%s is a list", queries[i]);
        CHECK(rig_get(&r, "A", 5000).result == BGW_LOOKUP_VALUE);
        stop(&r);
    }
}

TEST(uris_that_are_none_are_refused_without_being_shown)
{
    static const char *const uris[] = {"postgresql://u:secret@h:x/d?nonsense=1", "u:secret@h", "service=secret", "host=a,b port=1,2,3 password=secret"};
    struct origin_rig r = {0};
    bgw_feed_balance_init(&r.feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    CHECK(bgw_loop_create(&r.loop) == BGW_OK);
    for (size_t i = 0; i < sizeof(uris) / sizeof(*uris); i++) {
        struct bgw_origin_config c = {.pg_uri = uris[i], .feed = &r.feed, .connections_max = 1, .answered = rig_answered, .state = rig_state};
        struct bgw_buf error;
        bgw_buf_init(&error, 1024);
        CHECK(bgw_origin_create(&r.origin, r.loop, &c, &error) == BGW_CONFIG && !r.origin);
        bgw_buf_append_byte(&error, '\0');
        CHECK(strstr(error.data, "BGW_ORIGIN_PG") && !strstr(error.data, "secret"));
        bgw_buf_deinit(&error);
    }
    bgw_loop_destroy(&r.loop);
}
