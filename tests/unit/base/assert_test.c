/* SPDX-License-Identifier: Apache-2.0 */
/* Programmers' errors end the process, in every build, and the last line says where. */
#include "bgw/assert.h"

#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/log.h"
#include "bgw/map.h"

#include "../test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a child and returns how it ended; what it wrote to stderr is in `said`. */
static int status_of_child(void (*body)(void), char *said, size_t cap)
{
    int ends[2], status = 0;
    size_t len = 0;
    CHECK_EQ_I64(pipe(ends), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        bgw_log_init(BGW_LOG_INFO, 0);
        body();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], said + len, cap - 1 - len)) > 0;)
        len += (size_t)n;
    said[len] = '\0';
    close(ends[0]);
    waitpid(child, &status, 0);
    return status;
}

static void check_aborts(void (*body)(void), const char *expr, const char *file)
{
    char said[8192];
    int status = status_of_child(body, said, sizeof(said));
    struct bgw_json line, value = {.raw = BGW_SLICE("")};
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    char *end = strchr(said, '\n');
    CHECK(end != NULL);
    size_t len = end ? (size_t)(end - said) : 0;
    CHECK_EQ_I64(bgw_json_parse(bgw_slice_of(said, len), &line), BGW_OK);
    if (len == 0)
        return;
    CHECK(bgw_json_member(&line, "event", &value) && bgw_json_is(&value, "assertion_failed"));
    CHECK(bgw_json_member(&line, "expr", &value) && bgw_json_is(&value, expr));
    CHECK(bgw_json_member(&line, "file", &value));
    CHECK(value.raw.len >= strlen(file) &&
          strncmp(value.raw.data + value.raw.len - strlen(file), file, strlen(file)) == 0);
}

static void assert_false(void)
{
    BGW_ASSERT(1 + 1 == 3);
}

TEST(a_failed_assertion_says_where_and_aborts)
{
    check_aborts(assert_false, "1 + 1 == 3", "assert_test.c");
}

static void assert_true(void)
{
    BGW_ASSERT(1 + 1 == 2);
}

TEST(a_true_assertion_does_nothing)
{
    char said[256];
    CHECK_EQ_I64(status_of_child(assert_true, said, sizeof(said)), 0);
    CHECK_EQ_STR(said, "");
}

static void hash_without_a_secret(void)
{
    bgw_hash_keyed(BGW_SLICE("a"));
}

TEST(hashing_without_a_secret_is_an_error_and_not_a_weak_hash)
{
    check_aborts(hash_without_a_secret, "secret.drawn", "hash.c");
}

static void remove_a_stranger(void)
{
    int in = 1, out = 2;
    struct bgw_map m;
    bgw_map_init(&m, 4);
    if (bgw_map_insert(&m, 1, &in) == BGW_OK)
        bgw_map_remove(&m, 1, &out);
}

TEST(removing_what_is_not_in_a_map_is_an_error)
{
    check_aborts(remove_a_stranger, "m->buckets[i].item", "map.c");
}
