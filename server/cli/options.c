/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: hides how a command line is read. Each command gives a table; whatever is not in it is a
 * mistake that names the nearest thing that is. Main thread.
 */
#include "options.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_LEN 64
#define OPTIONS_MAX 32

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Letters to insert, remove or change. */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_MAX_LEN + 1], b_len = strlen(b);
    if (strlen(a) > NAME_MAX_LEN || b_len > NAME_MAX_LEN)
        return NAME_MAX_LEN;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *cli_nearest(const char *typed, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = 4;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(typed, names[i]);
        if (d < best_distance && d < strlen(names[i])) {
            best_distance = d;
            best = names[i];
        }
    }
    return best;
}

int cli_usage(const struct cli_command *command, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "bgw %s: ", command->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nTry `bgw %s --help`.\n", command->name);
    return BGW_EXIT_USAGE;
}

static void print_options(const struct cli_option *options)
{
    printf("\nOptions:\n");
    for (const struct cli_option *o = options; o->name; o++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", o->name, o->value ? " " : "", o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->help);
    }
    printf("  %-22s %s\n", "--help", "this text");
}

void cli_help(const struct cli_command *command, const struct cli_option *options)
{
    printf("usage: bgw %s%s%s [options]\n\n%s\n", command->name, *command->words ? " " : "",
           command->words, command->text);
    if (options)
        print_options(options);
    if (command->examples)
        printf("\nExamples:\n%s", command->examples);
}

bool cli_wants_help(int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    return false;
}

static const struct cli_option *find(const struct cli_option *options, const char *name, size_t len)
{
    for (const struct cli_option *o = options; o->name; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

static int unknown(const struct cli_command *command, const struct cli_option *options,
                   const char *name, size_t len)
{
    const char *names[OPTIONS_MAX];
    size_t count = 0;
    for (const struct cli_option *o = options; o->name && count < OPTIONS_MAX; o++)
        names[count++] = o->name;
    char typed[NAME_MAX_LEN + 1];
    snprintf(typed, sizeof(typed), "%.*s", (int)(len < NAME_MAX_LEN ? len : NAME_MAX_LEN), name);
    const char *near = cli_nearest(typed, names, count);
    if (near)
        return cli_usage(command, "there is no option --%s; did you mean --%s?", typed, near);
    return cli_usage(command, "there is no option --%s", typed);
}

/* Takes argv[*i] and perhaps the one after it. Returns an exit code. */
static int take_option(const struct cli_command *command, const struct cli_option *options, int argc,
                       char **argv, int *i)
{
    const char *name = argv[*i] + 2, *eq = strchr(name, '=');
    size_t len = eq ? (size_t)(eq - name) : strlen(name);
    const struct cli_option *o = find(options, name, len);
    if (!o)
        return unknown(command, options, name, len);
    if (o->flag) {
        if (eq)
            return cli_usage(command, "--%s takes no value", o->name);
        *o->flag = true;
        return BGW_EXIT_OK;
    }
    if (*o->text)
        return cli_usage(command, "--%s is given twice", o->name);
    if (!eq && *i + 1 >= argc)
        return cli_usage(command, "--%s needs a value: %s", o->name, o->value);
    *o->text = eq ? eq + 1 : argv[++*i];
    return BGW_EXIT_OK;
}

/* Amounts may be negative: "-5" is a word. */
static bool is_flag(const char *arg)
{
    return arg[0] == '-' && arg[1] != '\0' && !(arg[1] >= '0' && arg[1] <= '9');
}

bool cli_parse(const struct cli_command *command, const struct cli_option *options, int argc, char **argv,
               struct cli_words *words, int *exit_code)
{
    *exit_code = BGW_EXIT_OK;
    words->count = 0;
    if (cli_wants_help(argc, argv)) {
        cli_help(command, options);
        return false;
    }
    bool only_words = false;
    for (int i = 0; i < argc && *exit_code == BGW_EXIT_OK; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && strncmp(argv[i], "--", 2) == 0)
            *exit_code = take_option(command, options, argc, argv, &i);
        else if (!only_words && is_flag(argv[i]))
            *exit_code = cli_usage(command, "options begin with two dashes, not as %s", argv[i]);
        else if (words->count == CLI_WORDS_MAX)
            *exit_code = cli_usage(command, "more than %d words", CLI_WORDS_MAX);
        else
            words->items[words->count++] = argv[i];
    }
    return *exit_code == BGW_EXIT_OK;
}

bool cli_read_i64(const char *text, int64_t *out)
{
    bool negative = *text == '-';
    const char *p = text + (negative ? 1 : 0);
    int64_t v = 0;
    if (!*p)
        return false;
    for (; *p; p++)
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *p - '0', &v)) /* downwards: there is one more on that side */
            return false;
    if (!negative && v == INT64_MIN)
        return false;
    *out = negative ? v : -v;
    return true;
}

bool cli_read_seconds(const char *text, int64_t *out)
{
    static const char units[] = "smhd";
    static const int64_t factors[] = {1, 60, 3600, 86400};
    char digits[NAME_MAX_LEN];
    size_t len = strlen(text);
    if (len == 0 || len >= sizeof(digits))
        return false;
    memcpy(digits, text, len + 1);
    const char *unit = strchr(units, digits[len - 1]);
    int64_t factor = unit ? factors[unit - units] : 1;
    if (unit)
        digits[len - 1] = '\0';
    return cli_read_i64(digits, out) && !__builtin_mul_overflow(*out, factor, out) && *out > 0;
}
