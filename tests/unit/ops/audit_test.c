/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: what a line says and hides, and what becomes of lines when the file is full, torn, moved,
 * cut short or not read: each event is written once or counted as lost, and never half of it stays
 * in front of another.
 */
#include "bgw/audit.h"

#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/metrics.h"

#include "../test.h"
#include "../../../server/ops/audit_file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (4U << 20)

static const uint8_t mask_key[32] = "0123456789abcdef0123456789abcde";
static char folder[] = "/tmp/bgw-audit-XXXXXX", path[64];

static struct bgw_audit_event event(enum bgw_audit_kind kind, const char *key, const char *code)
{
    struct bgw_audit_event e = {.kind = (uint8_t)kind, .has_key = key != NULL, .wall_ms = 1795262400123};
    snprintf(e.tenant, sizeof(e.tenant), "tnt_a");
    snprintf(e.key, sizeof(e.key), "%s", key ? key : "");
    snprintf(e.code, sizeof(e.code), "%s", code ? code : "");
    return e;
}

/* ---- lines ---- */

TEST(an_account_is_masked)
{
    static const struct {
        const char *key, *masked;
    } rows[] = {
        {"2348100000001", "2348…01"},
        {"msisdn::2348100000001", "msisdn::2348…01"},
        {"123456789012", "1234…12"},   /* six of twelve */
        {"12345678901", "1234…1"},     /* five of eleven: at least half is hidden */
        {"12345678", "123…8"},
        {"1234567", "…"},
        {"a", "…"},
        {"", "…"},
        {"msisdn::1234567", "msisdn::…"},
        {"msisdn::", "msisdn::…"},
        {"::2348100000001", "::23…01"},
        {"2348100000001::x", "2348…:x"},       /* what stands before is no name space */
        {"John::2348100000001", "John…01"},
        {"averyveryverylongname::2348100000001", "aver…01"},
        {"a::b::c", "a::…"},
        {"wallet-id::ab::cdefgh", "wallet-id::ab::…h"},
        {"person@example.com", "pers…om"},
        {"0123456789012345678901234567890123456789012345678901234567890123", "0123…23"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char masked[BGW_AUDIT_MASKED_MAX];
        bgw_audit_mask(rows[i].key, masked);
        CHECK_EQ_STR(masked, rows[i].masked);
    }
}

TEST(never_more_than_half_of_an_account_is_shown)
{
    char key[BGW_KEY_MAX + 1];
    for (size_t len = 0; len <= BGW_KEY_MAX; len++) {
        char masked[BGW_AUDIT_MASKED_MAX];
        memset(key, 'q', len);
        key[len] = '\0';
        bgw_audit_mask(key, masked);
        size_t shown = strlen(masked) - strlen("…");
        CHECK(2 * shown <= len && shown <= 6);
        CHECK(len >= 8 || shown == 0);
    }
}

static void line(const struct bgw_audit_event *e, struct bgw_buf *out)
{
    bgw_buf_clear(out);
    bgw_audit_line(e, mask_key, out);
}

TEST(a_line_has_the_members_that_are_known_and_no_others)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 4096);
    struct bgw_audit_event e = event(BGW_AUDIT_SUBSCRIBED, "msisdn::2348100000001", NULL);
    e.conn = 0x1f;
    e.subject_hash = bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("user-1"));
    e.jti_hash = UINT64_MAX;
    e.part = bgw_part_of(BGW_SLICE("NGN"));
    CHECK(bgw_addr_parse(BGW_SLICE("192.0.2.7"), &e.addr));
    e.has_addr = true;
    line(&e, &out);
    bgw_buf_append_byte(&out, '\0');
    /* both hashes from an independent implementation */
    CHECK_EQ_STR(out.data,
                 "{\"ts\":\"2026-11-21T12:00:00.123Z\",\"event\":\"subscribed\",\"conn\":\"000000000000001f\","
                 "\"tenant\":\"tnt_a\",\"sub\":\"f84ba2aa754a4bd4\",\"jti\":\"ffffffffffffffff\","
                 "\"account\":\"msisdn::2348…01\",\"account_id\":\"3e0a79d7e10c319f\",\"currency\":\"NGN\","
                 "\"address\":\"192.0.2.7\"}\n");
    e = (struct bgw_audit_event){.kind = BGW_AUDIT_ENDED, .close_code = 3005, .code = "token_expired"};
    line(&e, &out);
    CHECK_SLICE(bgw_buf_slice(&out), "{\"ts\":\"1970-01-01T00:00:00.000Z\",\"event\":\"ended\",\"close\":3005,"
                                     "\"code\":\"token_expired\"}\n");
    e = event(BGW_AUDIT_ADMIN, "/revocations", "201");
    line(&e, &out);
    CHECK_SLICE(bgw_buf_slice(&out), "{\"ts\":\"2026-11-21T12:00:00.123Z\",\"event\":\"admin\",\"tenant\":\"tnt_a\","
                                     "\"path\":\"/revocations\",\"code\":\"201\"}\n");
    bgw_buf_deinit(&out);
}

TEST(a_line_is_json_and_short_whatever_the_event_holds)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 4096);
    for (int fill = 1; fill < 256; fill++) {
        for (int kind = BGW_AUDIT_SESSION; kind <= BGW_AUDIT_ADMIN; kind++) {
            struct bgw_audit_event e = event((enum bgw_audit_kind)kind, "", NULL);
            memset(e.tenant, fill, sizeof(e.tenant) - 1);
            memset(e.key, fill, sizeof(e.key) - 1);
            memset(e.code, fill, sizeof(e.code) - 1);
            memset(&e.addr, fill, sizeof(e.addr));
            e.has_addr = true;
            e.part = 0xffffffff;
            e.close_code = 65535;
            e.conn = e.subject_hash = e.jti_hash = UINT64_MAX;
            e.wall_ms = fill & 1 ? INT64_MIN : INT64_MAX;
            struct bgw_json root;
            line(&e, &out);
            CHECK(!out.failed && out.len < BGW_AUDIT_LINE_MAX && memchr(out.data, '\n', out.len) == out.data + out.len - 1);
            CHECK_EQ_I64(bgw_json_parse(bgw_slice_of(out.data, out.len - 1), &root), BGW_OK);
        }
    }
    bgw_buf_deinit(&out);
}

/* ---- files ---- */

static void new_folder(void)
{
    snprintf(folder, sizeof(folder), "/tmp/bgw-audit-XXXXXX");
    CHECK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/audit.log", folder);
}

static void remove_folder(void)
{
    char other[80];
    snprintf(other, sizeof(other), "%s.1", path);
    unlink(path);
    unlink(other);
    rmdir(folder);
}

static char *read_text(const char *file)
{
    char *text = malloc(TEXT_MAX);
    int fd = open(file, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, TEXT_MAX - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    if (fd >= 0)
        close(fd);
    return text;
}

struct tally {
    int64_t events, lost, lines;
};

/* Every line must be JSON of its own; what they say is added up. */
static struct tally tally_of(const char *text)
{
    struct tally t = {0};
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        struct bgw_json root, member;
        int64_t count = 0;
        CHECK_EQ_I64(bgw_json_parse(bgw_slice_of(text, (size_t)(end - text)), &root), BGW_OK);
        CHECK(bgw_json_member(&root, "event", &member));
        if (bgw_json_is(&member, "lost"))
            CHECK(bgw_json_member(&root, "count", &member) && bgw_json_i64(&member, &count) == BGW_OK && count > 0);
        else
            t.events++;
        t.lost += count;
        t.lines++;
    }
    CHECK_EQ_STR(text, ""); /* no half line at the end */
    return t;
}

static struct tally tally_of_file(const char *file)
{
    char *text = read_text(file);
    struct tally t = tally_of(text);
    free(text);
    return t;
}

static int64_t written_before, lost_before;

static struct bgw_audit *begin(const char *file, size_t queue_max)
{
    struct bgw_audit *a = NULL;
    struct bgw_buf error;
    struct bgw_audit_config config = {.path = file, .queue_max = queue_max};
    bgw_buf_init(&error, 1024);
    bgw_metrics_init();
    written_before = bgw_metric_read(BGW_M_AUDIT_WRITTEN);
    lost_before = bgw_metric_read(BGW_M_AUDIT_LOST);
    memcpy(config.mask_key, mask_key, sizeof(mask_key));
    CHECK_EQ_I64(bgw_audit_create(&a, &config, &error), BGW_OK);
    bgw_buf_deinit(&error);
    return a;
}

static int64_t written(void)
{
    return bgw_metric_read(BGW_M_AUDIT_WRITTEN) - written_before;
}

static int64_t lost(void)
{
    return bgw_metric_read(BGW_M_AUDIT_LOST) - lost_before;
}

static void put(struct bgw_audit *a, int n)
{
    struct bgw_audit_event e = event(BGW_AUDIT_SUBSCRIBED, "msisdn::2348100000001", NULL);
    for (int i = 0; i < n; i++)
        bgw_audit_put(a, &e);
}

static void settle(int64_t n)
{
    for (int i = 0; i < 10000 && written() + lost() < n; i++)
        usleep(1000);
    CHECK_EQ_I64(written() + lost(), n);
}

TEST(events_end_up_in_the_file)
{
    struct stat st;
    new_folder();
    struct bgw_audit *a = begin(path, 1000);
    put(a, 500);
    bgw_audit_destroy(&a);
    CHECK(a == NULL);
    struct tally t = tally_of_file(path);
    CHECK_EQ_I64(t.events, 500);
    CHECK_EQ_I64(t.lines, 500);
    CHECK_EQ_I64(written(), 500);
    CHECK_EQ_I64(lost(), 0);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0137) == 0);
    remove_folder();
}

TEST(without_an_audit_log_every_call_does_nothing)
{
    struct bgw_audit *none = NULL;
    put(NULL, 1);
    bgw_audit_reopen(NULL);
    bgw_audit_destroy(&none);
    CHECK(none == NULL);
}

TEST(a_path_that_cannot_be_opened_is_told_at_once)
{
    static const char *const bad[] = {"/nowhere/at/all/audit.log", "/tmp", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct bgw_audit *a = NULL;
        struct bgw_buf error;
        struct bgw_audit_config config = {.path = bad[i], .queue_max = 16};
        bgw_buf_init(&error, 1024);
        CHECK_EQ_I64(bgw_audit_create(&a, &config, &error), BGW_IO);
        CHECK(a == NULL);
        bgw_buf_append_byte(&error, '\0');
        CHECK(strstr(error.data, "BGW_AUDIT_LOG") && strstr(error.data, bad[i]));
        bgw_buf_deinit(&error);
    }
}

TEST(a_full_device_loses_lines_and_counts_each)
{
    struct bgw_audit *a = begin("/dev/full", 1000);
    put(a, 300);
    settle(300);
    CHECK_EQ_I64(lost(), 300);
    bgw_audit_destroy(&a);
    CHECK_EQ_I64(written(), 0);
    CHECK_EQ_I64(lost(), 300);
}

/* The file may grow to `bytes`: the write that crosses it is cut, the next is refused. */
static void limit_file(rlim_t bytes)
{
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    CHECK_EQ_I64(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

TEST(a_line_that_a_full_disk_cut_is_finished_before_the_next)
{
    new_folder();
    struct bgw_audit *a = begin(path, 1000);
    limit_file(5000); /* no multiple of a line */
    put(a, 200);
    settle(199); /* the torn one is neither yet */
    struct stat st;
    CHECK(stat(path, &st) == 0 && st.st_size == 5000);
    int64_t missing = lost();
    CHECK(missing > 0 && written() > 0);
    limit_file(RLIM_INFINITY);
    put(a, 3);
    settle(203);
    bgw_audit_destroy(&a);
    struct tally t = tally_of_file(path);
    CHECK_EQ_I64(t.events, 203 - missing);
    CHECK_EQ_I64(t.events, written());
    CHECK_EQ_I64(t.lost, missing);
    CHECK_EQ_I64(lost(), missing);
    remove_folder();
}

TEST(a_file_that_was_emptied_while_full_begins_with_a_whole_line)
{
    new_folder();
    struct bgw_audit *a = begin(path, 1000);
    limit_file(5000);
    put(a, 200);
    settle(199);
    CHECK_EQ_I64(truncate(path, 0), 0); /* the operator makes room */
    limit_file(RLIM_INFINITY);
    put(a, 3);
    settle(203);
    bgw_audit_destroy(&a);
    struct tally t = tally_of_file(path);
    CHECK_EQ_I64(t.events, 3);
    CHECK_EQ_I64(t.lost, lost());
    remove_folder();
}

TEST(a_file_that_ends_in_half_a_line_gets_a_newline_first)
{
    new_folder();
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK_EQ_I64(write(fd, "{\"ts\":", 6), 6);
    close(fd);
    struct bgw_audit *a = begin(path, 16);
    put(a, 1);
    bgw_audit_destroy(&a);
    char *text = read_text(path);
    CHECK(strncmp(text, "{\"ts\":\n{\"ts\":\"2026", 18) == 0);
    CHECK_EQ_I64(tally_of(strchr(text, '\n') + 1).events, 1);
    free(text);
    remove_folder();
}

TEST(a_rotation_loses_nothing)
{
    char old[80];
    new_folder();
    snprintf(old, sizeof(old), "%s.1", path);
    struct bgw_audit *a = begin(path, 1000);
    put(a, 100);
    settle(100);
    CHECK_EQ_I64(rename(path, old), 0);
    put(a, 10); /* still the old file */
    settle(110);
    bgw_audit_reopen(a);
    while (access(path, F_OK) != 0)
        usleep(1000);
    put(a, 100);
    bgw_audit_destroy(&a);
    CHECK_EQ_I64(tally_of_file(old).events, 110);
    CHECK_EQ_I64(tally_of_file(path).events, 100);
    CHECK_EQ_I64(lost(), 0);
    remove_folder();
}

TEST(a_rotation_that_fails_writes_on_into_the_old_file)
{
    char old[80];
    new_folder();
    snprintf(old, sizeof(old), "%s.1", path);
    struct bgw_audit *a = begin(path, 1000);
    put(a, 1);
    settle(1);
    CHECK_EQ_I64(rename(path, old), 0);
    CHECK_EQ_I64(mkdir(path, 0700), 0);
    bgw_audit_reopen(a);
    put(a, 1);
    bgw_audit_destroy(&a);
    CHECK_EQ_I64(tally_of_file(old).events, 2);
    CHECK_EQ_I64(rmdir(path), 0);
    remove_folder();
}

/* ---- pipes ---- */

/* Reads what is there, for as long as something comes. */
static char *drain_pipe(int fd)
{
    char *text = malloc(TEXT_MAX);
    size_t len = 0;
    for (ssize_t n; len < TEXT_MAX - 1 && (n = read(fd, text + len, TEXT_MAX - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

TEST(a_pipe_without_a_reader_holds_nobody_up_and_works_once_there_is_one)
{
    new_folder();
    CHECK_EQ_I64(mkfifo(path, 0600), 0);
    struct bgw_audit *a = begin(path, 1000);
    put(a, 5);
    settle(5);
    CHECK_EQ_I64(lost(), 5);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    int64_t sent = 5;
    while (written() == 0 && sent < 10000) { /* the pipe is tried again once a second */
        put(a, 1);
        settle(++sent);
        usleep(10000);
    }
    bgw_audit_destroy(&a);
    char *text = drain_pipe(fd);
    struct tally t = tally_of(text);
    CHECK(t.events >= 1);
    CHECK_EQ_I64(t.events, written());
    CHECK_EQ_I64(t.lost, lost());
    free(text);
    close(fd);
    remove_folder();
}

TEST(a_slow_reader_gets_whole_lines_and_the_number_of_those_lost)
{
    new_folder();
    CHECK_EQ_I64(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    fcntl(fd, F_SETPIPE_SZ, 4096);
    struct bgw_audit *a = begin(path, 1000);
    put(a, 200); /* 44 KB into 4 KB */
    while (lost() == 0)
        usleep(1000);
    char *first = malloc(TEXT_MAX);
    size_t len = 0;
    for (int idle = 0; idle < 300;) {
        ssize_t n = read(fd, first + len, TEXT_MAX - 1 - len);
        idle = n > 0 ? 0 : idle + 1;
        len += n > 0 ? (size_t)n : 0;
        usleep(1000);
    }
    put(a, 1);
    settle(201);
    bgw_audit_destroy(&a);
    char *rest = drain_pipe(fd);
    snprintf(first + len, TEXT_MAX - len, "%s", rest);
    struct tally t = tally_of(first);
    CHECK_EQ_I64(t.events, written());
    CHECK_EQ_I64(t.lost, lost());
    free(first);
    free(rest);
    close(fd);
    remove_folder();
}

TEST(a_reader_that_leaves_does_not_end_the_process)
{
    new_folder();
    CHECK_EQ_I64(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    struct bgw_audit *a = begin(path, 1000);
    put(a, 1);
    settle(1);
    CHECK_EQ_I64(written(), 1);
    close(fd);
    put(a, 3); /* SIGPIPE would be the end of it */
    settle(4);
    CHECK_EQ_I64(lost(), 3);
    bgw_audit_destroy(&a);
    remove_folder();
}

TEST(a_queue_that_is_full_drops_counts_and_says_so)
{
    new_folder();
    CHECK_EQ_I64(mkfifo(path, 0600), 0);
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    struct bgw_audit *a = begin(path, 16);
    fcntl(fd, F_SETPIPE_SZ, 4096);
    put(a, 5000); /* nobody reads: 4 KB go into the pipe, 16 wait, the rest cannot */
    CHECK(lost() >= 4500);
    int64_t before_ms = bgw_clock_now().mono_ms;
    bgw_audit_destroy(&a);
    CHECK(bgw_clock_now().mono_ms - before_ms < 3000);
    CHECK_EQ_I64(written() + lost(), 5000);
    close(fd);
    remove_folder();
}

TEST(standard_output_may_be_the_log)
{
    int ends[2], saved = dup(STDOUT_FILENO);
    fflush(stdout);
    CHECK_EQ_I64(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    close(ends[1]);
    struct bgw_audit *a = begin("-", 1000);
    put(a, 100);
    bgw_audit_reopen(a);
    put(a, 100);
    bgw_audit_destroy(&a);
    CHECK_EQ_I64(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0); /* those who share it see no change */
    dup2(saved, STDOUT_FILENO);
    close(saved);
    char *text = drain_pipe(ends[0]);
    CHECK_EQ_I64(tally_of(text).events, 200);
    free(text);
    close(ends[0]);
}
