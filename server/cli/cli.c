/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: the table of commands: dispatch, `bgw help`, and the nearest command for a mistyped one. Main
 * thread. `bgw` alone shows the help and is a usage error, for a script that lost its words must
 * not look successful.
 */
#include "bgw/cli.h"

#include "commands.h"

#include "bgw/hash.h"

#include <stdio.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &cli_serve, &cli_project, &cli_sub, &cli_pub, &cli_token, &cli_config, &cli_doctor, &cli_version_command,
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static void print_help(FILE *to)
{
    fprintf(to, "bgw %s: pushes account balances from Kafka to sockets, in order and without loss\n\n"
                "usage: bgw COMMAND [options]\n\nCommands:\n",
            bgw_version());
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(to, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "  %-9s %s\n", "help", "this text, or `bgw help COMMAND`");
    fprintf(to, "\nStart here:\n"
                "  bgw serve --demo                 a gateway with a broker, a ledger and a page\n"
                "  bgw sub msisdn::2348100000001 --demo\n"
                "                                   watch an account of it\n"
                "  bgw COMMAND --help               what a command can do, with examples\n\n"
                "Exit codes: 0 ok, 1 failed, 2 usage, 3 configuration, 4 a dependency cannot be "
                "reached.\n");
}

static int unknown(const char *name)
{
    const char *names[COMMAND_COUNT];
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        names[i] = commands[i]->name;
    const char *near = cli_nearest(name, names, COMMAND_COUNT);
    if (near)
        fprintf(stderr, "bgw: there is no command %s; did you mean `bgw %s`?\n", name, near);
    else
        fprintf(stderr, "bgw: there is no command %s; `bgw help` lists them.\n", name);
    return BGW_EXIT_USAGE;
}

static int run_help(int argc, char **argv, char *const *env)
{
    if (argc == 0) {
        print_help(stdout);
        return BGW_EXIT_OK;
    }
    const struct cli_command *command = find(argv[0]);
    if (!command)
        return unknown(argv[0]);
    char flag[] = "--help";
    char *args[] = {flag, NULL};
    return command->run(1, args, env);
}

static bool is_any(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

int bgw_cli_main(int argc, char **argv, char *const *env)
{
    if (argc < 2) {
        print_help(stderr);
        return BGW_EXIT_USAGE;
    }
    bgw_hash_init();
    if (is_any(argv[1], "help", "--help") || strcmp(argv[1], "-h") == 0)
        return run_help(argc - 2, argv + 2, env);
    if (is_any(argv[1], "--version", "-V"))
        return cli_version_command.run(0, argv + 2, env);
    const struct cli_command *command = find(argv[1]);
    return command ? command->run(argc - 2, argv + 2, env) : unknown(argv[1]);
}

/* ---- version ---- */

static int run_version(int argc, char **argv, char *const *env)
{
    (void)env;
    const struct cli_option options[] = {{0}};
    struct cli_words words;
    int code;
    if (!cli_parse(&cli_version_command, options, argc, argv, &words, &code))
        return code;
    if (words.count)
        return cli_usage(&cli_version_command, "it takes no words");
    printf("bgw %s\n", bgw_version());
    return BGW_EXIT_OK;
}

const struct cli_command cli_version_command = {
    .name = "version",
    .words = "",
    .summary = "print the version",
    .text = "Prints the version of this program.",
    .run = run_version,
};
