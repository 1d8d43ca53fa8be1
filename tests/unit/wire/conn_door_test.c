/* SPDX-License-Identifier: Apache-2.0 */
/* conn at the door: budgets, addresses behind proxies, quotas, staff, what is written down. */
#include "conn_rig.h"

#include "bgw/metrics.h"

static struct bgw_quota *quota;

static void open_door(void)
{
    open_conn();
    host.quota = quota;
}

static void make_quota(void)
{
    CHECK(bgw_quota_create(&quota) == BGW_OK);
}

/* How many of this kind stand there now: asked by a limit that fits exactly. */
static int64_t counted(enum bgw_quota_kind kind, uint64_t of)
{
    bool taken;
    for (int64_t n = 1; n < 100; n++) {
        if (bgw_quota_take(quota, kind, of, n, &taken)) {
            bgw_quota_give(quota, kind, of);
            return n - 1;
        }
    }
    return -1;
}

static void be(const char *tenant, uint64_t subject)
{
    verified_claims.subject_hash = subject;
    verified_claims.jti_hash = 5;
    snprintf(verified_claims.tenant, sizeof(verified_claims.tenant), "%s", tenant);
}

static void set_peer(const char *text)
{
    CHECK(bgw_addr_parse(bgw_slice_str(text), &sock.peer));
}

static uint64_t line_of(const char *text)
{
    struct bgw_addr a;
    CHECK(bgw_addr_parse(bgw_slice_str(text), &a));
    return bgw_addr_line(&a);
}

#define WITH_TOKEN UPGRADE_BUT_END NATIVE "Authorization: Bearer x\r\n"
#define HELLO "{\"op\":\"hello\",\"token\":\"x\"}"

static int64_t metric(enum bgw_metric m)
{
    return bgw_metric_read(m);
}

/* ---- the budget ---- */

TEST(upgrades_beyond_the_budget_get_a_place_in_the_queue_and_reads_do_not_need_one)
{
    struct bgw_budget budget = {0};
    unsigned told[11] = {0}, taken = 0;
    int64_t before = metric(BGW_M_HANDSHAKES_BUDGET);
    for (int i = 0; i < 60; i++) {
        open_conn();
        policy.handshakes_per_s = 10;
        host.budget = budget;
        give_str(GET("/livez"));
        CHECK_EQ_I64(sent_count("HTTP/1.1 200"), 1);
        give_str(UPGRADE_BUT_END NATIVE "\r\n");
        if (sent_count("HTTP/1.1 101")) {
            taken++;
        } else {
            unsigned seconds = 0;
            sock.sent[sock.sent_len] = '\0';
            const char *at = strstr(sock.sent, "Retry-After: ");
            CHECK_EQ_I64(sent_count("HTTP/1.1 503"), 1);
            CHECK_EQ_I64(sent_count("\"code\":\"too_many_handshakes\""), 1);
            CHECK(at && sscanf(at, "Retry-After: %u\r", &seconds) == 1 && seconds >= 1 && seconds <= 10);
            told[seconds <= 10 ? seconds : 0]++;
            CHECK(sock.finished);
        }
        budget = host.budget;
        close_conn();
    }
    CHECK_EQ_I64(taken, 10);
    for (int s = 1; s <= 10; s++) /* fifty at ten a second */
        CHECK_EQ_I64(told[s], s <= 5 ? 10 : 0);
    CHECK_EQ_I64(metric(BGW_M_HANDSHAKES_BUDGET) - before, 50);
}

TEST(the_budget_comes_back_with_time)
{
    struct bgw_budget budget = {0};
    static const struct {
        int64_t after_ms;
        bool taken;
    } steps[] = {{0, true}, {0, true}, {0, false}, {499, false}, {1, true}, {0, false}, {100000, true}, {0, true}, {0, false}};
    int64_t at_ms = 5000;
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        open_conn();
        policy.handshakes_per_s = 2;
        host.budget = budget;
        at_ms += steps[i].after_ms;
        now.mono_ms = at_ms;
        give_str(UPGRADE_BUT_END NATIVE "\r\n");
        CHECK_EQ_I64(sent_count("HTTP/1.1 101"), steps[i].taken);
        budget = host.budget;
        close_conn();
    }
}

TEST(a_key_that_is_waited_for_costs_the_budget_once)
{
    open_door();
    policy.handshakes_per_s = 1;
    key_pending = 10;
    give_str(WITH_TOKEN "\r\n");
    for (int i = 0; i < 12; i++)
        pass(51);
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    CHECK(!sock.paused); /* read again without the turn's help */
    close_conn();
}

/* ---- who the client is ---- */

TEST(only_a_trusted_proxy_is_believed_about_its_client)
{
    static const struct {
        const char *peer, *headers, *code; /* code NULL: taken */
        const char *client;
    } rows[] = {
        {"192.0.2.9", "X-Forwarded-For: nonsense\r\n", NULL, "192.0.2.9"},
        {"192.0.2.9", "Forwarded: for=203.0.113.1\r\n", NULL, "192.0.2.9"},
        {"10.0.0.1", "", NULL, "10.0.0.1"},
        {"10.0.0.1", "X-Forwarded-For: 203.0.113.1\r\n", NULL, "203.0.113.1"},
        {"10.0.0.1", "Forwarded: for=\"[2001:db8::1]:99\"\r\n", NULL, "2001:db8::1"},
        {"10.0.0.1", "Forwarded: for=unknown\r\n", NULL, "unknown"},
        {"10.0.0.1", "X-Forwarded-For: nonsense\r\n", "bad_forwarded", "10.0.0.1"},
        {"10.0.0.1", "Forwarded: for=\"\r\n", "bad_forwarded", "10.0.0.1"},
    };
    struct bgw_audit *log = (struct bgw_audit *)&event_count; /* only asked whether it is there */
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char request[1024], client[BGW_ADDR_TEXT_MAX];
        open_door();
        host.audit = log;
        trust("10.0.0.0/8");
        set_peer(rows[i].peer);
        snprintf(request, sizeof(request), WITH_TOKEN "%s\r\n", rows[i].headers);
        give_str(request);
        if (rows[i].code) {
            CHECK_EQ_I64(sent_count("HTTP/1.1 400"), 1);
            CHECK_EQ_I64(sent_count(rows[i].code), 1);
            CHECK_EQ_I64(event_count, 0);
        } else {
            CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
            CHECK_EQ_I64(event_count, 1);
            bgw_addr_format(&events[0].addr, client);
            CHECK_EQ_STR(client, rows[i].client);
            CHECK(events[0].has_addr == (strcmp(client, "unknown") != 0));
        }
        close_conn();
    }
}

TEST(behind_a_proxy_the_clients_address_has_its_limit_and_the_proxy_has_none)
{
    int64_t before = metric(BGW_M_HANDSHAKES_ADDRESS_LIMIT);
    make_quota();
    open_door();
    trust("10.0.0.0/8");
    policy.per_address_max = 1;
    set_peer("10.0.0.1");
    give_str(WITH_TOKEN "X-Forwarded-For: 203.0.113.1\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
    CHECK_EQ_I64(counted(BGW_QUOTA_ADDRESS, line_of("203.0.113.1")), 1);
    CHECK_EQ_I64(counted(BGW_QUOTA_ADDRESS, line_of("10.0.0.1")), 0);
    close_conn();
    CHECK_EQ_I64(counted(BGW_QUOTA_ADDRESS, line_of("203.0.113.1")), 0);

    bool taken;
    CHECK(bgw_quota_take(quota, BGW_QUOTA_ADDRESS, line_of("203.0.113.1"), 0, &taken) && taken);
    open_door();
    trust("10.0.0.0/8");
    policy.per_address_max = 1;
    set_peer("10.0.0.1");
    give_str(WITH_TOKEN "X-Forwarded-For: 203.0.113.1\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 429"), 1);
    CHECK_EQ_I64(sent_count("Retry-After: "), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"address_limit\""), 1);
    CHECK_EQ_I64(metric(BGW_M_HANDSHAKES_ADDRESS_LIMIT) - before, 1);
    close_conn();
    bgw_quota_give(quota, BGW_QUOTA_ADDRESS, line_of("203.0.113.1"));

    open_door(); /* a direct client is the transport's to count */
    policy.per_address_max = 1;
    set_peer("203.0.113.1");
    give_str(WITH_TOKEN "\r\n");
    CHECK_EQ_I64(counted(BGW_QUOTA_ADDRESS, line_of("203.0.113.1")), 0);
    close_conn();
    bgw_quota_destroy(&quota);
}

/* ---- subject and tenant ---- */

TEST(a_subject_has_so_many_sessions_and_the_next_is_told_3504_in_the_websocket)
{
    uint64_t subject = bgw_hash_fnv64(9, BGW_SLICE("t1"));
    int64_t before = metric(BGW_M_LIMITED_SUBJECT);
    bool taken;
    make_quota();
    open_door();
    be("t1", 9);
    policy.per_subject_max = 2;
    give_str(WITH_TOKEN "\r\n");
    CHECK(session.authenticated);
    CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), 1);
    CHECK_EQ_I64(counted(BGW_QUOTA_TENANT, bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("t1"))), 1);
    close_conn();
    CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), 0);

    CHECK(bgw_quota_take(quota, BGW_QUOTA_SUBJECT, subject, 0, &taken) && taken);
    CHECK(bgw_quota_take(quota, BGW_QUOTA_SUBJECT, subject, 0, &taken) && taken);
    for (int by_hello = 0; by_hello < 2; by_hello++) {
        open_door();
        be("t1", 9);
        policy.per_subject_max = 2;
        give_str(by_hello ? UPGRADE_BUT_END NATIVE "\r\n" : WITH_TOKEN "\r\n");
        CHECK_EQ_I64(sent_count("HTTP/1.1 101"), 1);
        if (by_hello)
            give_text(HELLO);
        CHECK_EQ_I64(sent_count("\"code\":3504"), 1);
        CHECK_EQ_I64(sent_count("connection_limit"), 2); /* the bye and the close frame */
        CHECK(!session.authenticated);
        CHECK(by_hello || (sock.finished && !session.opened));
        close_conn();
    }
    CHECK_EQ_I64(metric(BGW_M_LIMITED_SUBJECT) - before, 2);
    open_door(); /* the same name in another tenant is somebody else */
    be("t2", 9);
    policy.per_subject_max = 2;
    give_str(WITH_TOKEN "\r\n");
    CHECK(session.authenticated);
    close_conn();
    CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), 2); /* the refused took nothing and gave nothing */
    bgw_quota_give(quota, BGW_QUOTA_SUBJECT, subject);
    bgw_quota_give(quota, BGW_QUOTA_SUBJECT, subject);
    bgw_quota_destroy(&quota);
}

TEST(a_tenants_limit_refuses_and_its_subjects_place_is_given_back)
{
    uint64_t tenant = bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("t1"));
    int64_t before = metric(BGW_M_LIMITED_TENANT);
    bool taken;
    make_quota();
    CHECK(bgw_quota_take(quota, BGW_QUOTA_TENANT, tenant, 0, &taken) && taken);
    open_door();
    be("t1", 9);
    policy.per_tenant_max = 1;
    give_str(WITH_TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("\"code\":3504"), 1);
    CHECK_EQ_I64(metric(BGW_M_LIMITED_TENANT) - before, 1);
    CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, bgw_hash_fnv64(9, BGW_SLICE("t1"))), 0);
    close_conn();
    bgw_quota_give(quota, BGW_QUOTA_TENANT, tenant);
    bgw_quota_destroy(&quota);
}

TEST(a_hello_takes_its_places_and_one_that_is_not_heard_gives_them_back)
{
    uint64_t subject = bgw_hash_fnv64(9, BGW_SLICE("t1"));
    make_quota();
    for (int deaf = 0; deaf < 2; deaf++) {
        open_door();
        be("t1", 9);
        give_str(UPGRADE_BUT_END NATIVE "\r\n");
        session.deaf = deaf;
        CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), 0);
        give_text(HELLO);
        CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), !deaf);
        give_text(HELLO); /* again: no second place */
        CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), !deaf);
        close_conn();
        CHECK_EQ_I64(counted(BGW_QUOTA_SUBJECT, subject), 0);
    }
    bgw_quota_destroy(&quota);
}

/* ---- staff ---- */

TEST(staff_needs_a_certificate_where_the_policy_says_so)
{
    static const struct {
        bool needed, all, ops, verified, taken;
    } rows[] = {
        {true, true, false, false, false}, {true, false, true, false, false}, {true, true, true, true, true},
        {true, false, false, false, true}, {false, true, true, false, true},
    };
    int64_t before = metric(BGW_M_HANDSHAKES_FORBIDDEN_CLIENT);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        for (int by_hello = 0; by_hello < 2; by_hello++) {
            open_conn();
            policy.staff_needs_certificate = rows[i].needed;
            grants_all = rows[i].all;
            verified_claims.ops_read = rows[i].ops;
            sock.verified = rows[i].verified;
            give_str(by_hello ? UPGRADE_BUT_END NATIVE "\r\n" : WITH_TOKEN "\r\n");
            if (by_hello)
                give_text(HELLO);
            CHECK(session.authenticated == rows[i].taken);
            CHECK_EQ_I64(sent_count("HTTP/1.1 403"), !by_hello && !rows[i].taken);
            CHECK_EQ_I64(sent_count("\"code\":3507"), by_hello && !rows[i].taken);
            CHECK((sent_count("client_certificate_required") > 0) == !rows[i].taken);
            close_conn();
        }
    }
    CHECK_EQ_I64(metric(BGW_M_HANDSHAKES_FORBIDDEN_CLIENT) - before, 2);
    open_conn(); /* a refresh by a token of staff: the one it has stays */
    policy.staff_needs_certificate = true;
    give_str(WITH_TOKEN "\r\n");
    grants_all = true;
    give_text("{\"op\":\"auth\",\"id\":1,\"token\":\"x\"}");
    CHECK_EQ_STR(session.err, "client_certificate_required");
    CHECK(session.authenticated && !session.refreshed && !sock.finished);
    grants_all = false;
    give_text("{\"op\":\"auth\",\"id\":2,\"token\":\"x\"}");
    CHECK_EQ_I64(session.refreshed, 1);
    close_conn();
}

/* ---- revoked tokens ---- */

TEST(a_revoked_token_is_401_before_the_upgrade_and_3510_in_hello)
{
    open_conn();
    verdict = BGW_AUTH_REVOKED;
    give_str(WITH_TOKEN "\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 401"), 1);
    CHECK_EQ_I64(sent_count("\"code\":\"revoked\""), 1);
    close_conn();
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    verdict = BGW_AUTH_REVOKED;
    give_text(HELLO);
    CHECK_EQ_I64(sent_count("\"code\":3510"), 1);
    close_conn();
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    verdict = BGW_AUTH_BAD_SIGNATURE;
    give_text(HELLO);
    CHECK_EQ_I64(sent_count("\"code\":3500"), 1);
    close_conn();
}

/* ---- the audit log ---- */

static void check_event(size_t n, enum bgw_audit_kind kind, uint64_t conn_id, uint64_t subject, const char *code)
{
    CHECK(n < event_count && event_count < 16);
    CHECK_EQ_I64(events[n].kind, kind);
    CHECK_EQ_I64(events[n].conn, conn_id);
    CHECK_EQ_I64(events[n].subject_hash, subject);
    CHECK_EQ_STR(events[n].code, code);
    CHECK(events[n].wall_ms >= 1700000000000);
}

TEST(a_session_is_written_down_from_its_token_to_its_end)
{
    open_conn();
    host.audit = (struct bgw_audit *)&event_count;
    be("t1", 9);
    set_peer("192.0.2.9");
    give_str(WITH_TOKEN "\r\n");
    check_event(0, BGW_AUDIT_SESSION, 77, 9, "");
    CHECK_EQ_STR(events[0].tenant, "t1");
    CHECK(events[0].jti_hash == 5 && events[0].has_addr && !events[0].has_key);
    bgw_conn_seen(NULL, conn, BGW_SEEN_SUBSCRIBED, BGW_SLICE("A1"), bgw_part_of(BGW_SLICE("USD")), NULL);
    check_event(1, BGW_AUDIT_SUBSCRIBED, 77, 9, "");
    CHECK_EQ_STR(events[1].key, "A1");
    CHECK(events[1].has_key && events[1].part == bgw_part_of(BGW_SLICE("USD")));
    bgw_conn_seen(NULL, conn, BGW_SEEN_DENIED, BGW_SLICE("A2"), 0, "no_grant");
    check_event(2, BGW_AUDIT_DENIED, 77, 9, "no_grant");
    bgw_conn_seen(NULL, conn, BGW_SEEN_REFRESHED, (struct bgw_slice){NULL, 0}, 0, NULL);
    check_event(3, BGW_AUDIT_REFRESHED, 77, 9, "");
    CHECK(!events[3].has_key);
    verdict = BGW_AUTH_BAD_SIGNATURE;
    give_text("{\"op\":\"auth\",\"id\":1,\"token\":\"x\"}");
    check_event(4, BGW_AUDIT_REFUSED, 77, 9, "bad_signature");
    give_frame(0x88, "\x03\xe8", 2);
    check_event(5, BGW_AUDIT_ENDED, 77, 9, "normal");
    CHECK_EQ_I64(events[5].close_code, 1000);
    close_conn();
    CHECK_EQ_I64(event_count, 6); /* once */
}

TEST(what_a_stranger_asks_for_is_cut_to_what_fits)
{
    char key[300], tenant[BGW_TENANT_MAX + 1];
    memset(key, 'k', sizeof(key));
    memset(tenant, 't', sizeof(tenant));
    tenant[BGW_TENANT_MAX] = '\0';
    open_conn();
    host.audit = (struct bgw_audit *)&event_count;
    be(tenant, 9);
    give_str(WITH_TOKEN "\r\n");
    bgw_conn_seen(NULL, conn, BGW_SEEN_DENIED, bgw_slice_of(key, sizeof(key)), 0,
                  "a code that is longer than any that we have");
    CHECK_EQ_I64(strlen(events[1].key), BGW_KEY_MAX);
    CHECK_EQ_I64(strlen(events[1].code), sizeof(events[1].code) - 1);
    CHECK_EQ_STR(events[1].tenant, tenant);
    close_conn();
    CHECK_EQ_STR(events[2].code, "lost");
}

TEST(refused_tokens_are_written_down_and_missing_ones_are_not)
{
    open_conn();
    host.audit = (struct bgw_audit *)&event_count;
    verdict = BGW_AUTH_BAD_SIGNATURE;
    give_str(WITH_TOKEN "\r\n");
    check_event(0, BGW_AUDIT_REFUSED, 0, 0, "bad_signature");
    close_conn();
    CHECK_EQ_I64(event_count, 1); /* no session: no end */
    open_conn();
    host.audit = (struct bgw_audit *)&event_count;
    give_str(UPGRADE_BUT_END "\r\n");
    CHECK(sent_count("\"code\":\"token_missing\"") == 1);
    close_conn();
    CHECK_EQ_I64(event_count, 0);
    open_conn();
    host.audit = (struct bgw_audit *)&event_count;
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    be("t1", 9);
    give_text(HELLO);
    check_event(0, BGW_AUDIT_SESSION, 77, 9, "");
    close_conn();
    check_event(1, BGW_AUDIT_ENDED, 77, 9, "lost");
    CHECK_EQ_I64(event_count, 2);
}

/* ---- commands a second ---- */

TEST(a_connection_that_spends_its_commands_is_read_more_slowly_and_all_is_answered)
{
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    session.authenticated = true;
    sock.sent_len = 0;
    session.spent = true;
    give("\x89\x80\0\0\0\0\x89\x80\0\0\0\0\x8a\x80\0\0\0\0\x89\x80\0\0\0\0", 24);
    CHECK_EQ_I64(sent_count("\x8a"), 1); /* the first is answered, the others wait */
    CHECK(sock.paused);
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(sent_count("\x8a"), 1);
    CHECK(sock.paused && bgw_list_empty(&host.waiting)); /* its timer knows it, the turn does not */
    pass(99);
    CHECK_EQ_I64(sent_count("\x8a"), 1);
    pass(1);
    CHECK_EQ_I64(sent_count("\x8a"), 2);
    CHECK(sock.paused);
    pass(100); /* a pong costs as much */
    CHECK_EQ_I64(session.pongs, 1);
    CHECK_EQ_I64(sent_count("\x8a"), 2);
    session.spent = false;
    pass(100);
    CHECK_EQ_I64(sent_count("\x8a"), 3);
    CHECK(!sock.paused);
    CHECK_EQ_I64(session.charged, 4);
    session.spent = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    CHECK_EQ_I64(session.pings, 1);
    CHECK(sock.paused);
    pass(100);
    CHECK(!sock.paused);
    CHECK_EQ_I64(host.busy_pool.in_use, 0); /* and the memory is back */
    close_conn();
}

TEST(a_slowed_connection_that_is_choked_meanwhile_waits_for_that_too)
{
    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    session.authenticated = session.spent = true;
    give_text("{\"op\":\"ping\",\"id\":1}");
    session.choked = true;
    give_text("{\"op\":\"ping\",\"id\":2}");
    pass(100);
    CHECK(sock.paused);
    CHECK_EQ_I64(session.pings, 1);
    session.choked = session.spent = false;
    bgw_conn_host_turn_end(&host);
    CHECK_EQ_I64(session.pings, 2);
    CHECK(!sock.paused);
    close_conn();
}

/* ---- a policy that changes ---- */

TEST(limits_are_those_of_the_policy_in_force)
{
    static char big[9000];
    open_conn();
    policy.header_bytes_max = 1024;
    policy.header_ms = 1000;
    char *at = big;
    at += sprintf(at, "GET /livez HTTP/1.1\r\nHost: a\r\nX: ");
    memset(at, 'x', 1100);
    strcpy(at + 1100, "\r\n\r\n");
    give_str(big);
    CHECK_EQ_I64(sent_count("HTTP/1.1 431"), 1);
    CHECK_EQ_I64(sent_count("32768"), 0); /* no number that is not true */
    close_conn();

    open_conn();
    policy.body_bytes_max = 1;
    give_str("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 413"), 1);
    close_conn();

    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    policy.early_message_bytes_max = 1024; /* while it is open */
    memset(big, ' ', sizeof(big));
    memcpy(big, "{\"op\":\"ping\"}", 13);
    give_frame(0x81, big, 1024);
    CHECK(!sock.finished);
    memcpy(big, "{\"op\":\"hello\"}", 14); /* a hello may have twice that */
    give_frame(0x81, big, 2048);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 0);
    close_conn();

    open_conn();
    give_str(UPGRADE_BUT_END NATIVE "\r\n");
    policy.early_message_bytes_max = 1024;
    give_frame(0x81, big, 2049);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1);
    close_conn();

    open_conn();
    give_str(WITH_TOKEN "\r\n");
    policy.message_bytes_max = 8192;
    give_frame(0x81, big, 8192);
    CHECK(!sock.finished);
    give_frame(0x81, big, 8193);
    CHECK_EQ_I64(sent_count("\x88\x02\x03\xf1"), 1);
    close_conn();

    open_conn();
    policy.origins = (char *)(uintptr_t)"https://other.example.com";
    give_str(UPGRADE_BUT_END NATIVE "Origin: https://app.example.com\r\n\r\n");
    CHECK_EQ_I64(sent_count("HTTP/1.1 403"), 1);
    close_conn();
}
