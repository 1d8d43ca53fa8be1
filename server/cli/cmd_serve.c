/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_serve: `bgw serve` and `bgw config`: the two commands whose options are the configuration
 * itself. Both read it the same way, so what `config` shows is what `serve` would do. Main thread.
 */
#include "commands.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A flag that is not there is a usage mistake (2), everything else the configuration's (3). */
static int exit_of(enum bgw_status status)
{
    return status == BGW_USAGE ? BGW_EXIT_USAGE : BGW_EXIT_CONFIG;
}

int cli_load_config(const struct cli_command *command, int argc, char **argv, char *const *env,
                    struct bgw_config *config)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_config_load(config, argc, argv, env, &error);
    if (status != BGW_OK)
        fprintf(stderr, "bgw %s: %.*s\n", command->name, (int)error.len, error.data ? error.data : "");
    bgw_buf_deinit(&error);
    return status == BGW_OK ? BGW_EXIT_OK : exit_of(status);
}

static int show_help(const struct cli_command *command, const char *extra)
{
    struct bgw_buf text;
    bgw_buf_init(&text, 1 << 20);
    bgw_config_help(&text);
    cli_help(command, NULL);
    printf("\nOptions (flag > environment > file > default):\n%s%.*s", extra, (int)text.len, text.data);
    bgw_buf_deinit(&text);
    return BGW_EXIT_OK;
}

static int run_serve(int argc, char **argv, char *const *env)
{
    if (cli_wants_help(argc, argv))
        return show_help(&cli_serve, "");
    struct bgw_config config;
    int code = cli_load_config(&cli_serve, argc, argv, env, &config);
    if (code != BGW_EXIT_OK)
        return code;
    const struct bgw_gateway_args args = {argc, argv, env};
    code = bgw_gateway_run(&config, &args);
    bgw_config_deinit(&config);
    return code;
}

const struct cli_command cli_serve = {
    .name = "serve",
    .words = "",
    .summary = "run the gateway (`bgw serve --demo` needs nothing else)",
    .text = "Runs the gateway in the foreground: reads balances from Kafka and pushes them to clients over\n"
            "WebSocket. It is ready once every partition has been read to the end taken at the start; it\n"
            "then logs one line and writes --ready-file. SIGTERM or Ctrl-C lets the clients go over\n"
            "BGW_DRAIN_S seconds; a second signal ends it at once. SIGHUP reads certificates, keys, limits,\n"
            "allow-lists and the log level again.\n\n"
            "A gateway needs a broker (KAFKA_BOOTSTRAP) and the key of its tokens (BGW_JWT_SECRET,\n"
            "BGW_JWT_PUBLIC_KEY or BGW_JWT_JWKS).",
    .examples = "  bgw serve --demo\n"
                "  KAFKA_BOOTSTRAP=kafka:9092 BGW_JWT_SECRET_FILE=/run/secrets/jwt bgw serve\n"
                "  bgw serve --config /etc/bgw.conf --listen 0.0.0.0:8080 --ready-file /run/bgw.ready\n"
                "  KAFKA_SECURITY_PROTOCOL=SASL_SSL KAFKA_SASL_PASSWORD_FILE=/run/secrets/k bgw serve\n",
    .run = run_serve,
};

/* Takes the command's own --json out of argv; the rest is the configuration's. */
static int without_json(int argc, char **argv, char **rest, bool *json)
{
    int n = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            *json = true;
        else
            rest[n++] = argv[i];
    }
    rest[n] = NULL;
    return n;
}

static int show_config(int argc, char **argv, char *const *env, bool json)
{
    struct bgw_config config;
    int code = cli_load_config(&cli_config, argc, argv, env, &config);
    if (code != BGW_EXIT_OK)
        return code;
    struct bgw_buf text;
    bgw_buf_init(&text, 1 << 20);
    bgw_config_show(&config, json, &text);
    bool ended = text.len && text.data[text.len - 1] == '\n';
    printf("%.*s%s", (int)text.len, text.data, ended ? "" : "\n");
    bgw_buf_deinit(&text);
    bgw_config_deinit(&config);
    return BGW_EXIT_OK;
}

static int run_config(int argc, char **argv, char *const *env)
{
    if (cli_wants_help(argc, argv))
        return show_help(&cli_config, "  --json\n        one JSON object instead of KEY=value lines\n");
    bool json = false;
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));
    if (!rest)
        return BGW_EXIT_FAILED;
    int n = without_json(argc, argv, rest, &json);
    int code = show_config(n, rest, env, json);
    free(rest);
    return code;
}

const struct cli_command cli_config = {
    .name = "config",
    .words = "",
    .summary = "show every effective setting and where it comes from",
    .text = "Shows what `bgw serve` with the same options would use: every key, its value and its origin.\n"
            "Secrets are never shown. A mistake in a setting is told with its remedy (exit code 3).",
    .examples = "  bgw config\n"
                "  bgw config --config /etc/bgw.conf --json | jq .\n",
    .run = run_config,
};
