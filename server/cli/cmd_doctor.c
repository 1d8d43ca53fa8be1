/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_doctor: `bgw doctor` looks at everything that `bgw serve` with the same options would lean on,
 * before it is needed. Main thread. It starts nothing, changes nothing and writes nothing; every
 * finding says what to do about it.
 */
#include "commands.h"

#include "doctor.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void examine(struct doctor *d, char *const *env)
{
    doctor_say(d, DOCTOR_OK, "configuration", "", "%s", "read; `bgw config` shows every value and its origin");
    doctor_check_door(d);
    doctor_check_system(d);
    doctor_check_ports(d);
    doctor_check_tls(d);
    doctor_check_keys(d);
    doctor_check_files(d);
    doctor_check_supervisor(d, env);
    doctor_check_kafka(d);
    doctor_check_sources(d);
}

/* False: nobody got to see it. */
static bool show(const struct doctor *d, bool json)
{
    if (json)
        doctor_print_json(d, stdout);
    else
        doctor_print(d, stdout);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fprintf(stderr, "bgw doctor: the report cannot be written to standard output\n");
    return false;
}

/* The mistake is a finding like any other, so that a script reads one form. */
static int bad_configuration(struct doctor *d, enum bgw_status status, struct bgw_buf *error, bool json)
{
    bgw_buf_append_byte(error, '\0');
    doctor_say(d, DOCTOR_FAIL, "configuration", "correct it; `bgw config --help` lists every key, its range and its default",
               "%s", error->data && *error->data ? error->data : bgw_status_text(status));
    (void)show(d, json);
    return status == BGW_USAGE ? BGW_EXIT_USAGE : BGW_EXIT_CONFIG;
}

static int run_checks(int argc, char **argv, char *const *env, bool json)
{
    struct doctor *d = calloc(1, sizeof(*d));
    struct bgw_config config;
    struct bgw_buf error;
    if (!d)
        return BGW_EXIT_FAILED;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_config_load(&config, argc, argv, env, &error);
    int code;
    if (status != BGW_OK) {
        code = bad_configuration(d, status, &error, json);
    } else {
        bgw_log_init(BGW_LOG_ERROR, -1); /* what matters of the libraries' own lines stands in the findings */
        bgw_metrics_init();
        bgw_metrics_thread_attach();
        d->config = &config;
        examine(d, env);
        code = show(d, json) && doctor_count(d, DOCTOR_FAIL) == 0 ? BGW_EXIT_OK : BGW_EXIT_FAILED;
        bgw_config_deinit(&config);
    }
    bgw_buf_deinit(&error);
    free(d);
    return code;
}

static int show_help(void)
{
    struct bgw_buf text;
    bgw_buf_init(&text, 1 << 20);
    bgw_config_help(&text);
    cli_help(&cli_doctor, NULL);
    printf("\nOptions (those of `bgw serve`, and):\n  --json\n        one JSON object instead of lines\n%.*s",
           (int)text.len, text.data);
    bgw_buf_deinit(&text);
    return BGW_EXIT_OK;
}

static int run_doctor(int argc, char **argv, char *const *env)
{
    bool json = false;
    if (cli_wants_help(argc, argv))
        return show_help();
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));
    if (!rest)
        return BGW_EXIT_FAILED;
    int n = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            rest[n++] = argv[i];
    }
    int code = run_checks(n, rest, env, json);
    free(rest);
    return code;
}

const struct cli_command cli_doctor = {
    .name = "doctor",
    .words = "",
    .summary = "check limits, ports, clock, Kafka, Redis, origin, keys and certificates",
    .text = "Looks at everything that `bgw serve` with the same options would lean on: configuration,\n"
            "descriptors, backlog, memory, clock, ports, certificates, token keys, audit log, Kafka and its\n"
            "topics, Redis and the origin. One line a check (ok, warn, fail), and for what is not fine how to mend it. It starts\n"
            "nothing and changes nothing. Run it as the user that the gateway runs as.\n\n"
            "Exit codes: 0 nothing failed, 1 something did, 2 usage, 3 the configuration cannot be read.",
    .examples = "  bgw doctor --config /etc/bgw/bgw.conf\n"
                "  bgw doctor --json | jq '.checks[] | select(.result != \"ok\")'\n"
                "  systemd-run --pipe --wait -p User=bgw -p EnvironmentFile=/etc/bgw/bgw.env \\\n"
                "      bgw doctor --config /etc/bgw/bgw.conf\n",
    .run = run_doctor,
};
