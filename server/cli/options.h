/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options: flags and words of one command, and its help. Private to server/cli. `--name value`,
 * `--name=value`, `--` ends the flags.
 */
#ifndef BGW_CLI_OPTIONS_H
#define BGW_CLI_OPTIONS_H

#include "bgw/gateway.h"
#include "bgw/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_WORDS_MAX 1000 /* as many keys as one `sub` command may name */

struct cli_option { /* one of `text` and `flag` is set */
    const char *name;  /* without the dashes */
    const char *value; /* what --help calls the value */
    const char **text;
    bool *flag;
    const char *help;
};

struct cli_command {
    const char *name, *words; /* "sub", "ACCOUNT…" */
    const char *summary;      /* one line of `bgw help` */
    const char *text;         /* paragraphs for --help */
    const char *examples;
    int (*run)(int argc, char **argv, char *const *env); /* argv: after the command's name */
};

struct cli_words {
    const char *items[CLI_WORDS_MAX];
    size_t count;
};

/* False: stop, and leave with *exit_code (help was shown, or the mistake has been told). */
bool cli_parse(const struct cli_command *command, const struct cli_option *options, int argc, char **argv,
               struct cli_words *words, int *exit_code);
bool cli_wants_help(int argc, char **argv);
void cli_help(const struct cli_command *command, const struct cli_option *options);
/* Tells a usage mistake; returns BGW_EXIT_USAGE. */
int cli_usage(const struct cli_command *command, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* 64 bits, strict: an optional minus and digits. */
bool cli_read_i64(const char *text, int64_t *out);
/* "90", "30s", "15m", "12h", "7d"; at least a second. */
bool cli_read_seconds(const char *text, int64_t *out);
/* The name that differs from `typed` in the fewest letters, or NULL if none is near. */
const char *cli_nearest(const char *typed, const char *const *names, size_t count);

#endif
