/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: what it judges, apart from what it measures; and that each finding says what to do. */
#include "../../../server/cli/doctor.h"

#include "bgw/json.h"
#include "bgw/metrics.h"

#include "../test.h"

#include <sys/stat.h>
#include <unistd.h>

#define DAY 86400

static struct doctor doctor;
static struct bgw_config config;

/* A run of its own over the configuration of these flags. */
static struct doctor *patient(int argc, char **argv)
{
    static char *none[] = {NULL};
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bgw_metrics_init();
    if (doctor.config)
        bgw_config_deinit(&config);
    memset(&doctor, 0, sizeof(doctor));
    CHECK_EQ_I64(bgw_config_load(&config, argc, argv, none, &error), BGW_OK);
    CHECK_SLICE(bgw_buf_slice(&error), "");
    doctor.config = &config;
    bgw_buf_deinit(&error);
    return &doctor;
}

#define PATIENT(...)                                                                               \
    patient((int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)), (char *[]){__VA_ARGS__, NULL})

static void expect(enum doctor_result result, const char *check, const char *word, int line)
{
    const struct doctor_finding *last = doctor.count ? &doctor.findings[doctor.count - 1] : NULL;
    bool right = last && last->result == result && strcmp(last->check, check) == 0 && strstr(last->what, word) &&
                 (result == DOCTOR_OK || strlen(last->fix) > 10);
    if (!right)
        test_fail_(__FILE__, line, "%s: %d %s (fix: %s)", last ? last->check : "nothing", last ? (int)last->result : -1,
                   last ? last->what : "", last ? last->fix : "");
}
#define EXPECT(result, check, word) expect(result, check, word, __LINE__)

TEST(descriptors_must_suffice_for_the_connections_asked_for)
{
    struct doctor *d = PATIENT("--connections-max", "1000");
    doctor_judge_descriptors(d, 1024, 2);
    EXPECT(DOCTOR_FAIL, "descriptors", "BGW_CONNECTIONS_MAX is 1000");
    CHECK(strstr(d->findings[0].fix, "LimitNOFILE"));
    doctor_judge_descriptors(d, 1272, 2); /* 256 + 8 a shard of its own */
    EXPECT(DOCTOR_OK, "descriptors", "room for 1000 connections");
    doctor_judge_descriptors(d, 1271, 2);
    EXPECT(DOCTOR_FAIL, "descriptors", "room for 999");
    doctor_judge_descriptors(d, 0, 64);
    EXPECT(DOCTOR_FAIL, "descriptors", "room for 0");
    d = PATIENT("--shards", "1");
    doctor_judge_descriptors(d, 4096, 1);
    EXPECT(DOCTOR_WARN, "descriptors", "only");
    doctor_judge_descriptors(d, 1048576, 1);
    EXPECT(DOCTOR_OK, "descriptors", "1048576");
    doctor_judge_descriptors(d, UINT64_MAX, 1);
    EXPECT(DOCTOR_OK, "descriptors", "room");
}

TEST(a_short_backlog_is_a_warning)
{
    struct doctor *d = PATIENT("--shards", "1");
    doctor_judge_backlog(d, 128);
    EXPECT(DOCTOR_WARN, "backlog", "128");
    doctor_judge_backlog(d, 4096);
    EXPECT(DOCTOR_OK, "backlog", "4096");
    doctor_judge_backlog(d, -1);
    EXPECT(DOCTOR_WARN, "backlog", "cannot be read");
}

TEST(memory_is_judged_by_the_kind_of_connections)
{
    struct doctor *d = PATIENT("--connections-max", "50000");
    doctor_judge_memory(d, 1LL << 30, 2, 1 << 20);
    EXPECT(DOCTOR_OK, "memory", "plain");
    d = PATIENT("--connections-max", "50000", "--tls-cert", "c", "--tls-key", "k");
    doctor_judge_memory(d, 1LL << 30, 2, 1 << 20);
    EXPECT(DOCTOR_WARN, "memory", "TLS");
    doctor_judge_memory(d, 100LL << 20, 2, 1 << 20); /* less than an empty process */
    EXPECT(DOCTOR_WARN, "memory", "about 0");
    doctor_judge_memory(d, -1, 2, 1 << 20);
    EXPECT(DOCTOR_WARN, "memory", "cannot be read");
    doctor_judge_memory(d, INT64_MAX, 64, 1 << 20);
    EXPECT(DOCTOR_OK, "memory", "TLS");
}

TEST(a_clock_that_is_wrong_jumps_or_drifts_is_told)
{
    struct doctor *d = PATIENT("--shards", "1");
    struct doctor_clock good = {1795262400000, 200, 200, true, true}, c = good;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_OK, "clock", "synchronised");
    c.wall_ms = 1000;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_FAIL, "clock", "1970");
    c.wall_ms = 5000000000000;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_FAIL, "clock", "2128");
    c = good;
    c.wall_step_ms = 4000;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_WARN, "clock", "3800 ms");
    c.wall_step_ms = -4000;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_WARN, "clock", "-4200 ms");
    c = good;
    c.synchronised = false;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_WARN, "clock", "not synchronised");
    c.known = false;
    doctor_judge_clock(d, &c);
    EXPECT(DOCTOR_WARN, "clock", "does not tell");
}

TEST(certificates_are_judged_by_their_dates_and_names)
{
    struct doctor *d = PATIENT("--shards", "1");
    const int64_t now = 1795262400;
    struct bgw_tls_cert_info info = {.file = "/c.pem", .names = "a.example", now - DAY, now + 31 * DAY};
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_OK, "certificates", "a.example, until 2026-12-22");
    info.not_after_s = now + 30 * DAY - 1;
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_WARN, "certificates", "in 29 days");
    info.not_after_s = now + 1;
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_WARN, "certificates", "in 0 days");
    info.not_after_s = now;
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_FAIL, "certificates", "expired on 2026-11-21");
    info = (struct bgw_tls_cert_info){.file = "/c.pem", .names = "a.example", now + 1, now + 31 * DAY};
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_FAIL, "certificates", "not valid before");
    info = (struct bgw_tls_cert_info){.file = "/c.pem", .names = "", now - DAY, now + 31 * DAY};
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_FAIL, "certificates", "no name");
    info.not_after_s = INT64_MAX;
    snprintf(info.names, sizeof(info.names), "x");
    doctor_judge_certificate(d, &info, now);
    EXPECT(DOCTOR_OK, "certificates", "far off");
}

TEST(settings_of_tls_that_do_not_fit_together_are_found)
{
    struct doctor *d = PATIENT("--tls-cert", "/c.pem");
    doctor_check_tls(d);
    EXPECT(DOCTOR_FAIL, "certificates", "only one");
    d = PATIENT("--tls-client-auth", "required");
    doctor_check_tls(d);
    EXPECT(DOCTOR_FAIL, "certificates", "TLS is off");
    d = PATIENT("--tls-cert", "/c.pem", "--tls-key", "/k.pem", "--tls-client-auth", "staff");
    doctor_check_tls(d);
    EXPECT(DOCTOR_FAIL, "certificates", "BGW_TLS_CLIENT_CA");
    d = PATIENT("--admin-tls");
    doctor_check_tls(d);
    EXPECT(DOCTOR_FAIL, "certificates", "BGW_ADMIN_TLS");
    d = PATIENT("--tls-cert", "/nowhere/c.pem", "--tls-key", "/nowhere/k.pem");
    doctor_check_tls(d);
    EXPECT(DOCTOR_FAIL, "certificates", "/nowhere/");
    d = PATIENT("--shards", "1");
    doctor_check_tls(d);
    CHECK_EQ_I64(d->count, 0);
}

static size_t findings_with(const char *word)
{
    size_t n = 0;
    for (size_t i = 0; i < doctor.count; i++)
        n += strstr(doctor.findings[i].what, word) != NULL;
    return n;
}

TEST(a_door_that_stands_open_is_told)
{
    struct doctor *d = PATIENT("--listen", "127.0.0.1:0");
    doctor_check_door(d);
    CHECK_EQ_I64(d->count, 0);
    d = PATIENT("--listen", "0.0.0.0:0", "--admin-listen", "0.0.0.0:0", "--origins", "*", "--demo");
    doctor_check_door(d);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_WARN), 4);
    CHECK_EQ_I64(findings_with("without TLS"), 2);
    CHECK_EQ_I64(findings_with("every web page"), 1);
    CHECK_EQ_I64(findings_with("everybody knows"), 1);
    d = PATIENT("--listen", "0.0.0.0:0", "--trusted-proxies", "10.0.0.0/8");
    doctor_check_door(d);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_WARN), 0);
    EXPECT(DOCTOR_OK, "proxies", "1 networks");
    d = PATIENT("--listen", "127.0.0.1:0", "--trusted-proxies", "0.0.0.0/0");
    doctor_check_door(d);
    EXPECT(DOCTOR_WARN, "proxies", "whole internet");
    d = PATIENT("--listen", "127.0.0.1:0", "--proxy-protocol");
    doctor_check_door(d);
    EXPECT(DOCTOR_WARN, "proxies", "no proxy is trusted");
}

TEST(keys_of_tokens_are_tried)
{
    struct doctor *d = PATIENT("--shards", "1");
    doctor_check_keys(d);
    CHECK_EQ_I64(d->findings[0].result, DOCTOR_FAIL);
    CHECK(strstr(d->findings[0].fix, "openssl rand"));
    d = PATIENT("--jwt-secret", "0123456789abcdef0123456789abcdef");
    doctor_check_keys(d);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_OK), 2);
    EXPECT(DOCTOR_OK, "resume secret", "derived");
    d = PATIENT("--jwt-secret", "0123456789abcdef0123456789abcde");
    doctor_check_keys(d);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_FAIL), 1);
    d = PATIENT("--jwt-secret", "balance-gateway-demo-secret-everybody-knows-it", "--resume-secret", "short");
    doctor_check_keys(d);
    CHECK_EQ_I64(findings_with("everybody knows"), 1);
    EXPECT(DOCTOR_WARN, "resume secret", "5 bytes");
    d = PATIENT("--jwt-public-key", "/nowhere/key.pem");
    doctor_check_keys(d);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_FAIL), 1);
    CHECK_EQ_I64(findings_with("BGW_JWT_AUDIENCE"), 1);
    EXPECT(DOCTOR_WARN, "resume secret", "every") ;
}

TEST(files_that_cannot_be_written_are_found)
{
    char folder[] = "/tmp/bgw-doctor-XXXXXX", log[64], ready[64];
    CHECK(mkdtemp(folder) != NULL);
    snprintf(log, sizeof(log), "%s/audit.log", folder);
    snprintf(ready, sizeof(ready), "%s/no/ready", folder);
    struct doctor *d = PATIENT("--audit-log", log);
    doctor_check_files(d);
    EXPECT(DOCTOR_OK, "audit", "can be written");
    CHECK(access(log, F_OK) != 0); /* looking leaves no trace */
    d = PATIENT("--audit-log", folder);
    doctor_check_files(d);
    EXPECT(DOCTOR_FAIL, "audit", "folder");
    d = PATIENT("--audit-log", "/nowhere/at/all.log");
    doctor_check_files(d);
    EXPECT(DOCTOR_FAIL, "audit", "/nowhere/at/all.log");
    d = PATIENT("--audit-log", "-");
    doctor_check_files(d);
    EXPECT(DOCTOR_OK, "audit", "standard output");
    d = PATIENT("--shards", "1");
    doctor_check_files(d);
    EXPECT(DOCTOR_WARN, "audit", "BGW_AUDIT_LOG");
    d = PATIENT("--audit-log", "-", "--ready-file", ready);
    doctor_check_files(d);
    EXPECT(DOCTOR_FAIL, "ready file", "no/ready");
    d = PATIENT("--audit-log", "-", "--web-root", folder);
    doctor_check_files(d);
    EXPECT(DOCTOR_WARN, "page", "index.html");
    rmdir(folder);
}

TEST(topics_are_judged)
{
    struct doctor *d = PATIENT("--kafka-bootstrap", "kafka:9092");
    struct bgw_kafka_probed topics[DOCTOR_TOPICS] = {
        {"balance-updates", BGW_OK, 6, true, false, false},
        {"bgw-revocations", BGW_OK, 1, true, true, false},
    };
    doctor_judge_topics(d, topics, 3);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_OK), 3);
    CHECK_EQ_I64(d->count, 3);
    topics[0].log_append_time = true;
    topics[1].compacted = false;
    d = PATIENT("--kafka-bootstrap", "kafka:9092");
    doctor_judge_topics(d, topics, 3);
    CHECK_EQ_I64(findings_with("LogAppendTime"), 1);
    EXPECT(DOCTOR_FAIL, "kafka", "not compacted");
    topics[0].status = BGW_NOT_FOUND;
    topics[1].status = BGW_NOT_FOUND;
    d = PATIENT("--kafka-bootstrap", "kafka:9092");
    doctor_judge_topics(d, topics, 3);
    CHECK_EQ_I64(doctor_count(d, DOCTOR_FAIL), 1); /* revocations are made by the gateway */
    EXPECT(DOCTOR_WARN, "kafka", "bgw-revocations");
    CHECK(strstr(d->findings[2].fix, "--topic bgw-revocations") && strstr(d->findings[2].fix, "cleanup.policy=compact"));
    topics[0].status = BGW_DENIED;
    topics[1] = (struct bgw_kafka_probed){"bgw-revocations", BGW_OK, 1, false, false, false};
    d = PATIENT("--kafka-bootstrap", "kafka:9092");
    doctor_judge_topics(d, topics, 3);
    CHECK_EQ_I64(findings_with("refuse"), 1);
    EXPECT(DOCTOR_WARN, "kafka", "do not tell");
}

TEST(redis_and_the_origin_are_judged)
{
    struct bgw_sources_view view = {.redis = BGW_LINK_UP, .channel = BGW_LINK_UP};
    struct doctor *d = PATIENT("--redis", "127.0.0.1:6379");
    doctor_judge_sources(d, &view, -1);
    CHECK_EQ_I64(d->count, 1); /* no origin, no word of it */
    EXPECT(DOCTOR_OK, "redis", "can be heard");
    view.channel = BGW_LINK_DOWN;
    doctor_judge_sources(d, &view, -1);
    EXPECT(DOCTOR_FAIL, "redis", "cannot be heard");
    view.redis = BGW_LINK_DOWN;
    doctor_judge_sources(d, &view, -1);
    EXPECT(DOCTOR_FAIL, "redis", "does not answer");
    d = PATIENT("--ledger-internal", "http://ledger:8080");
    doctor_judge_sources(d, &view, BGW_FETCH_NOT_FOUND);
    CHECK_EQ_I64(d->count, 1);
    EXPECT(DOCTOR_OK, "origin", "LEDGER_INTERNAL answers");
    doctor_judge_sources(d, &view, BGW_FETCH_VALUE);
    EXPECT(DOCTOR_WARN, "origin", "that nobody has");
    doctor_judge_sources(d, &view, BGW_FETCH_UNAVAILABLE);
    EXPECT(DOCTOR_FAIL, "origin", "does not answer");
    CHECK(strstr(d->findings[2].fix, "/_internal/balance"));
    doctor_judge_sources(d, &view, -1);
    EXPECT(DOCTOR_FAIL, "origin", "not answered in time");
    d = PATIENT("--origin-pg", "postgresql://db/ledger");
    doctor_judge_sources(d, &view, BGW_FETCH_UNAVAILABLE);
    EXPECT(DOCTOR_FAIL, "origin", "BGW_ORIGIN_PG does not answer");
    CHECK(strstr(d->findings[0].fix, "BGW_ORIGIN_PG_QUERY"));
    d = PATIENT("--shards", "1");
    doctor_check_sources(d);
    EXPECT(DOCTOR_OK, "origin", "from the stream alone");
}

TEST(a_report_has_a_line_a_finding_and_a_fix_for_what_is_not_fine)
{
    struct doctor *d = PATIENT("--shards", "1");
    char text[4096];
    doctor_say(d, DOCTOR_OK, "clock", "", "sane");
    doctor_say(d, DOCTOR_FAIL, "kafka", "start it", "away:\n%s", "\"quoted\"\x1b[31m");
    FILE *f = tmpfile();
    doctor_print(d, f);
    rewind(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    CHECK_EQ_STR(text, "ok    clock         sane\n"
                       "fail  kafka         away: \"quoted\" [31m\n"
                       "                    fix: start it\n"
                       "1 ok, 0 warn, 1 fail\n");
}

TEST(a_report_in_json_can_be_read_whatever_the_findings_say)
{
    struct doctor *d = PATIENT("--shards", "1");
    static char text[1 << 17];
    struct bgw_json root, fails;
    int64_t n = 0;
    for (int i = 0; i < 2 * DOCTOR_FINDINGS_MAX; i++)
        doctor_say(d, DOCTOR_FAIL, "x", "mend it", "%s", i % 2 ? "\"\\\t\xff" : "\xe2\x80\xa6");
    CHECK_EQ_I64(d->count, DOCTOR_FINDINGS_MAX);
    FILE *f = tmpfile();
    doctor_print_json(d, f);
    rewind(f);
    size_t len = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    CHECK(len > 0 && text[len - 1] == '\n');
    CHECK_EQ_I64(bgw_json_parse(bgw_slice_of(text, len), &root), BGW_OK);
    CHECK(bgw_json_member(&root, "fail", &fails) && bgw_json_i64(&fails, &n) == BGW_OK);
    CHECK_EQ_I64(n, DOCTOR_FINDINGS_MAX);
}

TEST(a_drain_that_a_service_manager_would_cut_short_is_told)
{
    static char notify[] = "NOTIFY_SOCKET=/run/x", id[] = "INVOCATION_ID=1";
    struct doctor *d = PATIENT("--drain-s", "86");
    doctor_check_supervisor(d, (char *[]){NULL});
    CHECK_EQ_I64(doctor_count(d, DOCTOR_WARN), 1);
    d = PATIENT("--drain-s", "85");
    doctor_check_supervisor(d, (char *[]){notify, id, NULL});
    EXPECT(DOCTOR_OK, "supervisor", "NOTIFY_SOCKET");
    doctor_check_supervisor(d, (char *[]){id, NULL});
    EXPECT(DOCTOR_WARN, "supervisor", "notification socket");
}
