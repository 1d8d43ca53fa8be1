/* SPDX-License-Identifier: Apache-2.0 */
/* ops: the way of a revocation, with a topic that the test plays: what acts, what is written, what is answered. */
#include "admin_rig.h"

#include "bgw/hash.h"

#define POST "POST /revocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

static struct {
    struct bgw_revocations *set;
    struct bgw_revoke_host *host;
    int changed;
    bool refuse;
    char key[256], value[512];
    size_t appended;
    void (*done)(void *arg, enum bgw_status status);
    void *done_arg;
} it;

static void on_changed(void *arg)
{
    (void)arg;
    it.changed++;
}

static bool on_append(void *log, struct bgw_slice key, struct bgw_slice value,
                      void (*done)(void *arg, enum bgw_status status), void *arg)
{
    CHECK(log == &it);
    if (it.refuse)
        return false;
    it.appended++;
    snprintf(it.key, sizeof(it.key), "%.*s", (int)key.len, key.data);
    snprintf(it.value, sizeof(it.value), "%.*s", (int)value.len, value.data);
    it.done = done;
    it.done_arg = arg;
    return true;
}

static int on_revoke(void *arg, struct bgw_slice text, uint64_t token, struct bgw_buf *answer)
{
    (void)arg;
    return bgw_revoke_request(it.host, text, token, answer);
}

static void start(size_t entries_max)
{
    memset(&it, 0, sizeof(it));
    bgw_hash_init();
    const struct bgw_admin_config admin = {.revoke = on_revoke};
    rig_start(&admin);
    bgw_loop_turn(rig.loop, 0);
    CHECK(bgw_revocations_create(&it.set, entries_max) == BGW_OK);
    const struct bgw_revoke_config config = {
        .loop = rig.loop, .revocations = it.set, .keep_s = 3600, .changed = on_changed};
    CHECK(bgw_revoke_create(&it.host, &config) == BGW_OK);
    bgw_revoke_connect(it.host, rig.admin, on_append, &it);
}

static void stop(void)
{
    bgw_revoke_destroy(&it.host);
    bgw_revocations_destroy(&it.set);
    rig_stop();
}

static int64_t now_s(void)
{
    return bgw_clock_now().wall_ms / 1000;
}

/* Posts and plays the brokers' answer; what the operator reads. */
static char *post(const char *json, enum bgw_status recorded)
{
    char request[2048];
    size_t before = it.appended;
    snprintf(request, sizeof(request), POST "Connection: close\r\nContent-Length: %zu\r\n\r\n%s", strlen(json), json);
    int fd = rig_dial();
    rig_say(fd, request);
    for (int i = 0; i < 20; i++)
        bgw_loop_turn(rig.loop, 2);
    if (it.appended > before)
        it.done(it.done_arg, recorded);
    char *text = rig_hear(fd, NULL);
    close(fd);
    return text;
}

static bool revoked(const char *jti)
{
    const struct bgw_holder h = {.jti_hash = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_str(jti)), .tenant = BGW_SLICE("t")};
    return bgw_revocations_check(it.set, &h, bgw_clock_now()) == BGW_REVOKED_ALL;
}

static void hear_record(const char *value, int64_t age_s)
{
    const struct bgw_revoke_record r = {
        .offset = 7, .timestamp_ms = bgw_clock_now().wall_ms - age_s * 1000, .key = BGW_SLICE("k"), .value = bgw_slice_str(value)};
    bgw_revoke_on_record(it.host, &r);
}

static int64_t counted(enum bgw_metric id)
{
    static int64_t before[BGW_METRIC_COUNT];
    int64_t now = bgw_metric_read(id), n = now - before[id];
    before[id] = now;
    return n;
}

TEST(request_acts_at_once_and_is_answered_when_it_is_recorded)
{
    start(100);
    counted(BGW_M_REVOCATIONS_APPLIED);
    char *text = post("{\"jti\":\"a\",\"exp\":9999999999}", BGW_OK);
    CHECK(strstr(text, "200 OK") && strstr(text, "{\"applied\":true,\"recorded\":true}"));
    CHECK(revoked("a") && !revoked("b") && it.changed == 1);
    CHECK_EQ_STR(it.key, "jti::a");
    CHECK_EQ_STR(it.value, "{\"jti\":\"a\",\"exp\":9999999999}");
    hear_record(it.value, 0); /* our own comes back: nothing new */
    CHECK_EQ_I64(it.changed, 1);
    CHECK_EQ_I64(counted(BGW_M_REVOCATIONS_APPLIED), 1);
    stop();
}

TEST(what_could_not_be_recorded_is_told_exactly)
{
    static const struct {
        enum bgw_status status;
        const char *code;
    } rows[] = {{BGW_TIMEOUT, "timeout"}, {BGW_UNAVAILABLE, "unavailable"}, {BGW_NOT_FOUND, "not_found"}};
    start(100);
    for (size_t i = 0; i < 3; i++) {
        char code[64], *text = post("{\"jti\":\"a\"}", rows[i].status);
        snprintf(code, sizeof(code), "\"code\":\"%s\"", rows[i].code);
        CHECK(strstr(text, "HTTP/1.1 503 ") && strstr(text, "application/problem+json"));
        CHECK(strstr(text, "\"applied\":true,\"recorded\":false}") && strstr(text, code));
        CHECK(strstr(text, "acts on this gateway") && strstr(text, "send it again"));
    }
    it.refuse = true;
    CHECK(strstr(post("{\"jti\":\"b\"}", BGW_OK), "\"applied\":true,\"recorded\":false}"));
    CHECK(revoked("b"));
    bgw_revoke_connect(it.host, rig.admin, NULL, NULL);
    CHECK(strstr(post("{\"jti\":\"c\"}", BGW_OK), "\"applied\":true,\"recorded\":false}") && revoked("c"));
    stop();
}

TEST(full_store_is_told_recorded_all_the_same_and_degrades)
{
    start(1);
    CHECK(strstr(post("{\"jti\":\"a\"}", BGW_OK), "200 OK") && !bgw_revoke_full(it.host));
    char *text = post("{\"jti\":\"b\"}", BGW_OK);
    CHECK(strstr(text, "HTTP/1.1 503 ") && strstr(text, "\"applied\":false,\"recorded\":true}"));
    CHECK(strstr(text, "BGW_REVOCATIONS_MAX") && bgw_revoke_full(it.host));
    text = post("{\"jti\":\"b\"}", BGW_TIMEOUT);
    CHECK(strstr(text, "\"applied\":false,\"recorded\":false}") && strstr(text, "does not act"));
    stop();
}

TEST(what_has_no_exp_is_recorded_with_one)
{
    start(100);
    (void)post(" { \"jti\" : \"a\" } \n", BGW_OK);
    long long exp = 0;
    CHECK(sscanf(it.value, " { \"jti\" : \"a\" ,\"exp\":%lld}", &exp) == 1);
    CHECK(exp >= now_s() + 3590 && exp <= now_s() + 3610);
    struct bgw_revocation *again = malloc(sizeof(*again));
    struct bgw_buf error;
    bgw_buf_init(&error, 512);
    CHECK(bgw_revocation_parse(again, bgw_slice_str(it.value), 60, bgw_clock_now(), &error) == BGW_OK);
    bgw_buf_deinit(&error);
    free(again);
    stop();
}

TEST(record_without_exp_is_kept_from_when_it_was_written)
{
    start(100);
    counted(BGW_M_REVOCATIONS_EXPIRED);
    hear_record("{\"jti\":\"old\"}", 3601);
    CHECK(!revoked("old"));
    CHECK_EQ_I64(counted(BGW_M_REVOCATIONS_EXPIRED), 1);
    hear_record("{\"jti\":\"young\"}", 3000);
    CHECK(revoked("young"));
    hear_record("{\"jti\":\"ahead\"}", -100); /* the broker's clock is ahead */
    CHECK(revoked("ahead"));
    stop();
}

TEST(keys_let_compaction_replace_only_what_is_covered)
{
    char json[256], first[256];
    int64_t now = now_s();
    start(100);
    snprintf(json, sizeof(json), "{\"sub\":\"s\",\"before\":%lld,\"exp\":%lld}", (long long)now - 50, (long long)now + 500);
    (void)post(json, BGW_OK);
    CHECK_EQ_STR(it.key, "sub::s");
    snprintf(json, sizeof(json), "{\"sub\":\"s\",\"before\":%lld,\"exp\":%lld}", (long long)now - 20, (long long)now + 600);
    (void)post(json, BGW_OK);
    CHECK_EQ_STR(it.key, "sub::s"); /* later and longer */
    snprintf(json, sizeof(json), "{\"sub\":\"s\",\"before\":%lld,\"exp\":%lld}", (long long)now - 30, (long long)now + 900);
    (void)post(json, BGW_OK);
    CHECK(strncmp(it.key, "sub::s:", 7) == 0); /* longer, but not later */
    snprintf(json, sizeof(json), "{\"sub\":\"s\",\"before\":%lld,\"exp\":%lld}", (long long)now - 10, (long long)now + 100);
    (void)post(json, BGW_OK);
    CHECK(strncmp(it.key, "sub::s:", 7) == 0); /* later, but not longer */
    (void)post("{\"sub\":\"s\",\"before\":5,\"tenant\":\"t\",\"exp\":9999999999}", BGW_OK);
    CHECK(strncmp(it.key, "sub:t:s", 7) == 0);
    (void)post("{\"sub\":\"x\",\"accounts\":[\"A\"],\"exp\":9999999999}", BGW_OK);
    CHECK(strncmp(it.key, "accounts::x:", 12) == 0);
    snprintf(first, sizeof(first), "%s", it.key);
    (void)post("{\"sub\":\"x\",\"accounts\":[\"B\"],\"exp\":9999999999}", BGW_OK);
    CHECK(strncmp(it.key, "accounts::x:", 12) == 0 && strncmp(it.key, first, 12 + 16) != 0);
    stop();
}

TEST(record_that_cannot_be_read_is_counted_and_a_tombstone_takes_nothing_back)
{
    start(100);
    counted(BGW_M_REVOCATIONS_REFUSED);
    hear_record("{\"jti\":\"a\"}", 0);
    hear_record("", 0);
    hear_record("{\"jti\":\"b\",\"extra\":1}", 0);
    hear_record("{\"jti\":\"c\",\"jti\":\"d\"}", 0);
    const struct bgw_revoke_record grave = {.timestamp_ms = -1, .key = BGW_SLICE("jti::a")};
    bgw_revoke_on_record(it.host, &grave);
    CHECK(revoked("a") && !revoked("b") && !revoked("c"));
    CHECK_EQ_I64(counted(BGW_M_REVOCATIONS_REFUSED), 3);
    CHECK_EQ_I64(it.changed, 1);
    stop();
}

TEST(nonsense_is_400_and_what_cannot_be_meant_is_422_and_nothing_is_written)
{
    start(100);
    CHECK(strstr(post("{", BGW_OK), "HTTP/1.1 400 "));
    CHECK(strstr(post("{\"jti\":\"a\",\"jti\":\"a\"}", BGW_OK), "HTTP/1.1 400 "));
    char *text = post("{\"jti\":\"a\",\"sub\":\"b\"}", BGW_OK);
    CHECK(strstr(text, "HTTP/1.1 422 Unprocessable Content") && strstr(text, "\"applied\":false,\"recorded\":false}"));
    CHECK(strstr(text, "`jti`"));
    text = post("{\"jti\":\"a\",\"exp\":5}", BGW_OK);
    CHECK(strstr(text, "200 OK") && strstr(text, "\"code\":\"expired\""));
    CHECK(it.appended == 0 && it.changed == 0 && !revoked("a"));
    stop();
}
