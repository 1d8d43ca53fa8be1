/* SPDX-License-Identifier: Apache-2.0 */
/* options: how a command line is read, and what a mistake in it is told. */
#include "cli/options.h"

#include "bgw/slice.h"

#include "../test.h"

#include <unistd.h>

static const struct cli_command command = {.name = "try", .words = "WORD", .text = "Tries."};

struct tried {
    const char *colour, *size;
    bool loud;
    struct cli_words words;
    int code;
    bool go;
    char err[2048];
};

/* Runs `fn` with stderr and stdout into text. */
static void capture(struct tried *t, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"colour", "NAME", &t->colour, NULL, "its colour"},
        {"size", "N", &t->size, NULL, "its size"},
        {"loud", NULL, NULL, &t->loud, "be loud"},
        {0},
    };
    FILE *file = tmpfile();
    int out = dup(1), err = dup(2);
    fflush(stdout);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    t->go = cli_parse(&command, options, argc, argv, &t->words, &t->code);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    rewind(file);
    t->err[fread(t->err, 1, sizeof(t->err) - 1, file)] = '\0';
    fclose(file);
}

#define TRY(t, ...)                                         \
    struct tried t = {0};                                   \
    char *t##_args[] = {__VA_ARGS__, NULL};                 \
    capture(&t, (int)(sizeof(t##_args) / sizeof(char *)) - 1, t##_args)

static char A[] = "--colour", B[] = "red", C[] = "--size=7", D[] = "--loud", E[] = "word";

TEST(values_come_with_a_space_or_an_equals_sign_and_words_anywhere)
{
    TRY(t, E, A, B, C, D);
    CHECK(t.go);
    CHECK_EQ_STR(t.colour, "red");
    CHECK_EQ_STR(t.size, "7");
    CHECK(t.loud);
    CHECK_EQ_I64(t.words.count, 1);
    CHECK_EQ_STR(t.words.items[0], "word");
}

TEST(a_mistyped_option_is_told_the_nearest)
{
    char bad[] = "--color";
    TRY(t, bad, B);
    CHECK(!t.go);
    CHECK_EQ_I64(t.code, BGW_EXIT_USAGE);
    CHECK(strstr(t.err, "--color") && strstr(t.err, "did you mean --colour?"));
    CHECK(strstr(t.err, "bgw try --help"));
}

TEST(an_option_that_is_near_to_nothing_is_told_so)
{
    char bad[] = "--zzzzzzzzz";
    TRY(t, bad);
    CHECK_EQ_I64(t.code, BGW_EXIT_USAGE);
    CHECK(strstr(t.err, "there is no option") && !strstr(t.err, "did you mean"));
}

TEST(a_missing_value_a_value_too_many_and_a_second_one_are_usage_errors)
{
    TRY(missing, A);
    CHECK_EQ_I64(missing.code, BGW_EXIT_USAGE);
    char valued[] = "--loud=yes";
    TRY(too_many, valued);
    CHECK_EQ_I64(too_many.code, BGW_EXIT_USAGE);
    TRY(twice, A, B, A, B);
    CHECK(strstr(twice.err, "twice"));
    char single[] = "-x";
    TRY(dash, single);
    CHECK(strstr(dash.err, "two dashes"));
}

TEST(negative_amounts_are_words_and_two_dashes_end_the_options)
{
    char minus[] = "-5", end[] = "--", after[] = "--not-an-option";
    TRY(t, minus, end, after);
    CHECK(t.go);
    CHECK_EQ_I64(t.words.count, 2);
    CHECK_EQ_STR(t.words.items[1], "--not-an-option");
}

TEST(help_shows_every_option_and_is_a_success)
{
    char help[] = "--help", bad[] = "--nonsense";
    TRY(t, bad, help);
    CHECK(!t.go);
    CHECK_EQ_I64(t.code, BGW_EXIT_OK);
    CHECK(strstr(t.err, "--colour NAME") && strstr(t.err, "--loud") && strstr(t.err, "usage: bgw try WORD"));
}

TEST(amounts_are_read_exactly_or_not_at_all)
{
    int64_t v;
    CHECK(cli_read_i64("9007199254740993", &v) && v == 9007199254740993);
    CHECK(cli_read_i64("9223372036854775807", &v) && v == INT64_MAX);
    CHECK(cli_read_i64("-9223372036854775808", &v) && v == INT64_MIN);
    CHECK(cli_read_i64("0", &v) && v == 0);
    static const char *const bad[] = {"", "-", "9223372036854775808", "-9223372036854775809", "1.5", "1e3",
                                      "+1", " 1", "1 ", "0x10", "--1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK(!cli_read_i64(bad[i], &v));
}

TEST(times_have_units)
{
    int64_t v;
    CHECK(cli_read_seconds("90", &v) && v == 90);
    CHECK(cli_read_seconds("30s", &v) && v == 30);
    CHECK(cli_read_seconds("15m", &v) && v == 900);
    CHECK(cli_read_seconds("12h", &v) && v == 43200);
    CHECK(cli_read_seconds("7d", &v) && v == 604800);
    static const char *const bad[] = {"", "s", "0", "-1", "1.5h", "1w", "1hh", "99999999999999999d"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK(!cli_read_seconds(bad[i], &v));
}

TEST(the_nearest_name_is_near)
{
    static const char *const names[] = {"serve", "sub", "pub", "token", "config", "version"};
    CHECK_EQ_STR(cli_nearest("server", names, 6), "serve");
    CHECK_EQ_STR(cli_nearest("tokn", names, 6), "token");
    CHECK_EQ_STR(cli_nearest("conifg", names, 6), "config");
    CHECK(cli_nearest("xyzzyplugh", names, 6) == NULL);
}
