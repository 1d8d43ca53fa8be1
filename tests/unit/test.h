/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test: the harness of the unit tests. TEST(sentence_of_behaviour) { CHECK(...); } registers itself
 * before main runs; this header brings main too (weak, so that several files may share a program).
 * Output is TAP-like, the last line says `N passed, N failed`; no test at all is a failure.
 * An argument runs only the tests whose name contains it.
 */
#ifndef BGW_TEST_H
#define BGW_TEST_H

#include "bgw/slice.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEST_FAILURES_SHOWN_MAX 20 /* of one test; the rest only count */

/* one thread's: main's */
struct test_case {
    const char *name, *file;
    int line;
    void (*run)(void);
    struct test_case *next;
};

/* main's, but for `failures`: checks may stand in any thread */
struct test_state {
    struct test_case *first;
    atomic_uint failures; /* of the running test */
};

__attribute__((weak)) struct test_state test_state_;

#define TEST(sentence)                                                                             \
    static void test_run_##sentence(void);                                                         \
    __attribute__((constructor)) static void test_register_##sentence(void)                        \
    {                                                                                              \
        static struct test_case self = {#sentence, __FILE__, __LINE__, test_run_##sentence, NULL}; \
        test_register_(&self);                                                                     \
    }                                                                                              \
    static void test_run_##sentence(void)

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (!(expr))                                                                               \
            test_fail_(__FILE__, __LINE__, "%s is false", #expr);                                  \
    } while (0)

#define CHECK_EQ_I64(a, b) test_check_i64_(__FILE__, __LINE__, #a, (int64_t)(a), #b, (int64_t)(b))
#define CHECK_EQ_STR(a, b)                                                                         \
    test_check_slice_(__FILE__, __LINE__, #a, bgw_slice_str(a), bgw_slice_str(b))
#define CHECK_SLICE(slice, lit)                                                                    \
    test_check_slice_(__FILE__, __LINE__, #slice, (slice), bgw_slice_str(lit))

/* In the order of the file: link-time optimisation changes the order of constructors. */
static inline void test_register_(struct test_case *c)
{
    struct test_case **at = &test_state_.first;
    while (*at && (strcmp((*at)->file, c->file) < 0 ||
                   (strcmp((*at)->file, c->file) == 0 && (*at)->line < c->line)))
        at = &(*at)->next;
    c->next = *at;
    *at = c;
}

__attribute__((format(printf, 3, 4))) static inline void test_fail_(const char *file, int line,
                                                                    const char *fmt, ...)
{
    if (++test_state_.failures > TEST_FAILURES_SHOWN_MAX)
        return;
    __builtin_va_list args;
    printf("# %s:%d: ", file, line);
    __builtin_va_start(args, fmt);
    vprintf(fmt, args);
    __builtin_va_end(args);
    printf("\n");
}

static inline void test_check_i64_(const char *file, int line, const char *a_text, int64_t a,
                                   const char *b_text, int64_t b)
{
    if (a != b)
        test_fail_(file, line, "%s is %" PRId64 ", not %" PRId64 " (%s)", a_text, a, b, b_text);
}

static inline void test_check_slice_(const char *file, int line, const char *text,
                                     struct bgw_slice got, struct bgw_slice want)
{
    if (!bgw_slice_eq(got, want))
        test_fail_(file, line, "%s is \"%.*s\", not \"%.*s\"", text, (int)got.len,
                   got.data ? got.data : "", (int)want.len, want.data ? want.data : "");
}

__attribute__((weak)) int main(int argc, char **argv)
{
    unsigned passed = 0, failed = 0, number = 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (struct test_case *c = test_state_.first; c; c = c->next) {
        if (argc > 1 && !strstr(c->name, argv[1]))
            continue;
        test_state_.failures = 0;
        c->run();
        if (test_state_.failures)
            failed++;
        else
            passed++;
        printf("%s %u - %s\n", test_state_.failures ? "not ok" : "ok", ++number, c->name);
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed || !passed ? 1 : 0;
}

#endif
