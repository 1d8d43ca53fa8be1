/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log, as it arrives: descriptor 2 is replaced by a pipe, and what comes out of it is read with
 * our own JSON reader.
 */
#include "bgw/log.h"

#include "bgw/json.h"
#include "bgw/metrics.h"

#include "../test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define TEXT_MAX (1U << 20)

static int saved_stderr, reader;

static void capture_begin(int ends[2], int pretty)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reader = ends[0];
    fcntl(reader, F_SETFL, O_NONBLOCK);
    bgw_log_init(BGW_LOG_DEBUG, pretty);
}

static void capture_pipe(int pretty)
{
    int ends[2];
    CHECK_EQ_I64(pipe(ends), 0);
    capture_begin(ends, pretty);
}

/* Everything written so far, NUL-terminated; the caller frees it. */
static char *capture_take(void)
{
    char *text = malloc(TEXT_MAX);
    size_t len = 0;
    for (ssize_t n; (n = read(reader, text + len, TEXT_MAX - 1 - len)) > 0;)
        len += (size_t)n;
    text[len] = '\0';
    return text;
}

static char *capture_end(void)
{
    char *text = capture_take();
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(reader);
    bgw_log_init(BGW_LOG_DEBUG, 0);
    return text;
}

static int lines_in(const char *text)
{
    int n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

/* Parses line `number` of `text`, which must be one JSON object. */
static struct bgw_json line_of(const char *text, int number)
{
    struct bgw_json root = {.type = BGW_JSON_OBJECT, .raw = BGW_SLICE("{}")};
    for (; number > 0 && text; number--)
        text = strchr(text, '\n') ? strchr(text, '\n') + 1 : NULL;
    const char *end = text ? strchr(text, '\n') : NULL;
    CHECK(end != NULL);
    if (end) {
        enum bgw_status status = bgw_json_parse(bgw_slice_of(text, (size_t)(end - text)), &root);
        CHECK_EQ_STR(bgw_status_name(status), "ok");
    }
    return root;
}

static void check_member(const struct bgw_json *object, const char *name, const char *raw)
{
    struct bgw_json value = {.raw = BGW_SLICE("(none)")};
    CHECK(bgw_json_member(object, name, &value));
    CHECK_SLICE(value.raw, raw);
}

TEST(a_line_is_one_json_object_with_typed_fields)
{
    capture_pipe(0);
    BGW_LOG(BGW_LOG_WARN, "record_rejected", {"reason", LS("bad_json")}, {"offset", LI(-12)},
            {"first", LB(true)}, {"part", LSL(bgw_slice_of("NGNxx", 3))}, {"none", LS(NULL)});
    char *text = capture_end();
    struct bgw_json line = line_of(text, 0), ts;
    CHECK_EQ_I64(lines_in(text), 1);
    check_member(&line, "level", "warn");
    check_member(&line, "event", "record_rejected");
    check_member(&line, "reason", "bad_json");
    check_member(&line, "offset", "-12");
    check_member(&line, "first", "true");
    check_member(&line, "part", "NGN");
    check_member(&line, "none", "null");
    CHECK(bgw_json_member(&line, "ts", &ts));
    CHECK(ts.raw.len == 24 && ts.raw.data[10] == 'T' && ts.raw.data[19] == '.' &&
          ts.raw.data[23] == 'Z');
    free(text);
}

TEST(any_bytes_in_a_value_leave_a_valid_line)
{
    char all[256];
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    capture_pipe(0);
    BGW_LOG(BGW_LOG_INFO, "bytes", {"all", LSL(bgw_slice_of(all, sizeof(all)))},
            {"c1", LS("\xc2\x9b"
                      "2J")},
            {"euro", LS("\xe2\x82\xac")});
    char *text = capture_end();
    struct bgw_json line = line_of(text, 0);
    CHECK_EQ_I64(lines_in(text), 1);
    check_member(&line, "euro", "\xe2\x82\xac");
    check_member(&line, "c1", "\\u009b2J");
    CHECK(strstr(text, "\\u0000\\u0001") && strstr(text, "\\u001b") && strstr(text, "\\ufffd"));
    free(text);
}

TEST(pretty_lines_carry_no_control_characters)
{
    capture_pipe(1);
    BGW_LOG(BGW_LOG_ERROR, "odd", {"v", LS("a\033[2J\nb")}, {"n", LI(5)});
    char *text = capture_end();
    CHECK_EQ_I64(lines_in(text), 1);
    CHECK(strstr(text, "error odd v=\"a\\u001b[2J\\nb\" n=5\n") != NULL);
    CHECK(strchr(text, '\033') == NULL);
    free(text);
}

TEST(lines_below_the_level_are_not_written)
{
    capture_pipe(0);
    bgw_log_set_level(BGW_LOG_WARN);
    CHECK_EQ_I64(bgw_log_level(), BGW_LOG_WARN);
    BGW_LOG(BGW_LOG_INFO, "quiet", {"n", LI(1)});
    BGW_LOG(BGW_LOG_WARN, "loud", {"n", LI(1)});
    char *text = capture_end();
    CHECK(strstr(text, "loud") && !strstr(text, "quiet"));
    free(text);
}

TEST(a_long_string_is_cut_and_says_so)
{
    char big[3000];
    memset(big, 'x', sizeof(big));
    capture_pipe(0);
    BGW_LOG(BGW_LOG_INFO, "big", {"v", LSL(bgw_slice_of(big, sizeof(big)))}, {"after", LI(1)});
    char *text = capture_end();
    struct bgw_json line = line_of(text, 0), v = {.raw = BGW_SLICE("")};
    CHECK(bgw_json_member(&line, "v", &v));
    CHECK_EQ_I64(v.raw.len, 1024 + 3);
    check_member(&line, "after", "1");
    free(text);
}

TEST(a_line_never_exceeds_four_kib_and_says_what_is_missing)
{
    char big[1024];
    memset(big, '\001', sizeof(big)); /* six letters each once escaped */
    struct bgw_slice s = bgw_slice_of(big, sizeof(big));
    capture_pipe(0);
    BGW_LOG(BGW_LOG_INFO, "too_big", {"a", LI(1)}, {"b", LSL(s)}, {"c", LI(2)}, {"d", LSL(s)});
    char *text = capture_end();
    struct bgw_json line = line_of(text, 0), v;
    CHECK(strlen(text) <= 4096);
    check_member(&line, "a", "1");
    check_member(&line, "c", "2");
    check_member(&line, "truncated", "true");
    CHECK(!bgw_json_member(&line, "b", &v));
    free(text);
}

static void noisy(int64_t n)
{
    BGW_LOG(BGW_LOG_INFO, "noisy", {"n", LI(n)});
}

TEST(a_site_writes_its_burst_and_then_drops_and_counts)
{
    uint64_t before = bgw_log_dropped_total();
    int64_t metric = bgw_metric_read(BGW_M_LOG_DROPPED);
    capture_pipe(0);
    for (int i = 0; i < 1000; i++)
        noisy(i);
    BGW_LOG(BGW_LOG_INFO, "other_site", {"n", LI(1)});
    char *text = capture_end();
    int lines = lines_in(text);
    CHECK(lines >= 21 &&
          lines <= 40); /* the burst, the other site, and what a slow machine earns back */
    CHECK(strstr(text, "other_site") != NULL);
    CHECK_EQ_I64(bgw_log_dropped_total() - before, 1001 - lines);
    CHECK_EQ_I64(bgw_metric_read(BGW_M_LOG_DROPPED) - metric, 1001 - lines);
    free(text);
}

TEST(what_was_dropped_is_told_by_the_sites_next_line)
{
    struct bgw_log_site site = {0};
    const struct bgw_log_pair pair = {"n", LI(1)};
    capture_pipe(0);
    for (int i = 0; i < 30; i++)
        bgw_log_write(&site, BGW_LOG_INFO, "told", &pair, 1);
    free(capture_take());
    unsigned dropped = atomic_load(&site.dropped);
    CHECK(dropped > 0);
    atomic_fetch_sub(&site.refill_ms, 5000); /* five seconds go by */
    for (int i = 0; i < 30; i++)
        bgw_log_write(&site, BGW_LOG_INFO, "told", &pair, 1);
    char *text = capture_end(), want[24];
    struct bgw_json line = line_of(text, 0);
    snprintf(want, sizeof(want), "%u", dropped);
    check_member(&line, "dropped", want);
    CHECK(lines_in(text) >= 5 && lines_in(text) <= 10);
    free(text);
}

TEST(a_site_that_was_quiet_for_long_has_its_whole_burst_and_no_more)
{
    struct bgw_log_site site = {0};
    capture_pipe(0);
    for (int i = 0; i < 50; i++)
        bgw_log_write(&site, BGW_LOG_INFO, "burst", NULL, 0);
    free(capture_take());
    atomic_fetch_sub(&site.refill_ms, 3600000);
    for (int i = 0; i < 50; i++)
        bgw_log_write(&site, BGW_LOG_INFO, "burst", NULL, 0);
    char *text = capture_end();
    CHECK(lines_in(text) >= 20 && lines_in(text) <= 25);
    free(text);
}

/* Fills whatever descriptor 2 is; returns only because the log never waits. */
static void fill_and_check(void)
{
    uint64_t before = bgw_log_dropped_total();
    char big[1000];
    memset(big, 'x', sizeof(big));
    const struct bgw_log_pair pair = {"v", LSL(bgw_slice_of(big, sizeof(big)))};
    for (int i = 0; i < 3000; i++) {
        struct bgw_log_site fresh = {0}; /* so that no rate limit hides the full pipe */
        bgw_log_write(&fresh, BGW_LOG_INFO, "fill", &pair, 1);
    }
    uint64_t dropped = bgw_log_dropped_total() - before;
    char *text = capture_end();
    CHECK(dropped > 0);
    CHECK_EQ_I64(lines_in(text) + (int64_t)dropped, 3000);
    for (int i = 0; i < lines_in(text); i++)
        line_of(text, i); /* each one whole */
    free(text);
}

TEST(a_full_pipe_drops_whole_lines_and_never_waits)
{
    capture_pipe(0);
    fill_and_check();
}

TEST(a_full_socket_drops_whole_lines_and_never_waits)
{
    int ends[2];
    CHECK_EQ_I64(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends), 0);
    capture_begin(ends, 0);
    fill_and_check();
}

TEST(the_pipe_stays_blocking_for_others_who_share_it)
{
    capture_pipe(0);
    BGW_LOG(BGW_LOG_INFO, "here", {"n", LI(1)});
    CHECK((fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0);
    free(capture_end());
}

TEST(a_log_line_leaves_errno_alone)
{
    capture_pipe(0);
    errno = ENOTTY;
    BGW_LOG(BGW_LOG_INFO, "errno", {"n", LI(1)});
    CHECK_EQ_I64(errno, ENOTTY);
    free(capture_end());
}

static struct bgw_log_site shared_site;

static void *write_from_thread(void *arg)
{
    const struct bgw_log_pair pair = {"thread", LI(*(int *)arg)};
    for (int i = 0; i < 2000; i++)
        bgw_log_write(&shared_site, BGW_LOG_INFO, "threads", &pair, 1);
    return NULL;
}

TEST(lines_of_several_threads_do_not_mix_and_all_are_accounted_for)
{
    pthread_t threads[4];
    int numbers[4] = {0, 1, 2, 3};
    uint64_t before = bgw_log_dropped_total();
    capture_pipe(0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ_I64(pthread_create(&threads[i], NULL, write_from_thread, &numbers[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    char *text = capture_end();
    int lines = lines_in(text);
    CHECK(lines >= 20);
    CHECK_EQ_I64(lines + (int64_t)(bgw_log_dropped_total() - before), 8000);
    for (int i = 0; i < lines; i++)
        line_of(text, i);
    free(text);
}
