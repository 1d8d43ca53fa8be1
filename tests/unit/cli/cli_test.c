/* SPDX-License-Identifier: Apache-2.0 */
/* cli: commands as a person types them: exit codes, help, and tokens that the gateway accepts. */
#include "bgw/cli.h"

#include "bgw/auth.h"
#include "bgw/gateway.h"
#include "bgw/json.h"
#include "bgw/metrics.h"

#include "../test.h"

#include <unistd.h>

#define SECRET "0123456789abcdef0123456789abcdef"

static char out[1 << 17], err[1 << 16];

static void take(FILE *file, char *text, size_t cap)
{
    rewind(file);
    text[fread(text, 1, cap - 1, file)] = '\0';
    fclose(file);
}

static int run_with(char *const *env, char **argv)
{
    int argc = 0;
    while (argv[argc])
        argc++;
    FILE *out_file = tmpfile(), *err_file = tmpfile();
    fflush(stdout);
    int old_out = dup(1), old_err = dup(2);
    dup2(fileno(out_file), 1);
    dup2(fileno(err_file), 2);
    int code = bgw_cli_main(argc, argv, env);
    fflush(stdout);
    dup2(old_out, 1);
    dup2(old_err, 2);
    close(old_out);
    close(old_err);
    setvbuf(stdout, NULL, _IOLBF, 0);
    take(out_file, out, sizeof(out));
    take(err_file, err, sizeof(err));
    return code;
}

static char secret_env[] = "BGW_JWT_SECRET=" SECRET;
static char *with_secret[] = {secret_env, NULL};
static char *nothing[] = {NULL};

/* Words without spaces, separated by spaces. */
static int run(char *const *env, const char *line)
{
    static char copy[4096];
    char *argv[64], *save = NULL;
    int n = 0;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w && n < 63; w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    argv[n] = NULL;
    return run_with(env, argv);
}

TEST(no_command_is_a_usage_error_that_lists_them)
{
    CHECK_EQ_I64(run(nothing, "bgw"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "serve") && strstr(err, "token") && !*out);
}

TEST(help_is_a_success_on_stdout_for_every_command)
{
    static const char *const commands[] = {"serve", "sub", "pub", "token", "config", "version"};
    CHECK_EQ_I64(run(nothing, "bgw help"), BGW_EXIT_OK);
    for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
        char line[64];
        CHECK(strstr(out, commands[i]) || i);
        snprintf(line, sizeof(line), "bgw %s --help", commands[i]);
        CHECK_EQ_I64(run(nothing, line), BGW_EXIT_OK);
        CHECK(strstr(out, "usage: bgw ") && !*err);
        snprintf(line, sizeof(line), "bgw help %s", commands[i]);
        CHECK_EQ_I64(run(nothing, line), BGW_EXIT_OK);
        CHECK(strstr(out, "usage: bgw "));
    }
}

TEST(a_mistyped_command_or_option_is_told_the_nearest)
{
    CHECK_EQ_I64(run(nothing, "bgw tokne"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "did you mean `bgw token`?"));
    CHECK_EQ_I64(run(nothing, "bgw token --accunts A"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "--accounts"));
    CHECK_EQ_I64(run(nothing, "bgw serve --lisen x"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "--listen"));
}

TEST(version_prints_one_line)
{
    CHECK_EQ_I64(run(nothing, "bgw version"), BGW_EXIT_OK);
    char expected[64];
    snprintf(expected, sizeof(expected), "bgw %s\n", bgw_version());
    CHECK_EQ_STR(out, expected);
    CHECK_EQ_I64(run(nothing, "bgw --version"), BGW_EXIT_OK);
    CHECK_EQ_STR(out, expected);
}

TEST(serve_without_a_broker_or_a_key_says_what_to_set)
{
    CHECK_EQ_I64(run(with_secret, "bgw serve"), BGW_EXIT_CONFIG);
    CHECK(strstr(err, "KAFKA_BOOTSTRAP"));
    CHECK_EQ_I64(run(nothing, "bgw serve --kafka-bootstrap 127.0.0.1:1"), BGW_EXIT_CONFIG);
    CHECK(strstr(err, "BGW_JWT_SECRET") && strstr(err, "openssl rand"));
    CHECK_EQ_I64(run(nothing, "bgw serve --kafka-bootstrap 127.0.0.1:1 --jwt-secret short"), BGW_EXIT_CONFIG);
    CHECK(strstr(err, "at least 32") && !strstr(err, "short"));
}

TEST(the_demo_key_works_in_the_demo_only)
{
    CHECK_EQ_I64(run(nothing, "bgw serve --kafka-bootstrap 127.0.0.1:1 --jwt-secret " BGW_DEMO_SECRET),
                 BGW_EXIT_CONFIG);
    CHECK(strstr(err, "only works with --demo"));
}

TEST(a_ready_file_that_cannot_be_written_is_found_before_anything_starts)
{
    CHECK_EQ_I64(run(nothing, "bgw serve --demo --ready-file /nonexistent-folder/ready"), BGW_EXIT_CONFIG);
    CHECK(strstr(err, "BGW_READY_FILE") && strstr(err, "/nonexistent-folder/ready"));
}

TEST(config_shows_values_and_no_secret)
{
    CHECK_EQ_I64(run(with_secret, "bgw config --listen 127.0.0.1:1234"), BGW_EXIT_OK);
    CHECK(strstr(out, "BGW_LISTEN=127.0.0.1:1234") && strstr(out, "BGW_JWT_SECRET="));
    CHECK(!strstr(out, SECRET));
    CHECK_EQ_I64(run(with_secret, "bgw config --json"), BGW_EXIT_OK);
    CHECK(out[0] == '{' && strstr(out, "\"BGW_LISTEN\"") && !strstr(out, SECRET));
    CHECK_EQ_I64(run(nothing, "bgw config --shards many"), BGW_EXIT_CONFIG);
}

/* ---- tokens ---- */

static struct bgw_claims claims;

static enum bgw_auth_result check_token(const char *secret)
{
    bgw_metrics_init();
    static struct bgw_feed feed;
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    struct bgw_auth_config config = {
        .secret = bgw_slice_str(secret), .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed};
    struct bgw_auth *auth = NULL;
    struct bgw_buf error;
    bgw_buf_init(&error, 512);
    CHECK(bgw_auth_create(&auth, &config, &error) == BGW_OK);
    size_t len = strcspn(out, "\n");
    enum bgw_auth_result r =
        bgw_auth_verify(auth, bgw_slice_of(out, len), bgw_clock_now(), &claims);
    bgw_buf_deinit(&error);
    bgw_auth_destroy(&auth);
    return r;
}

static bool may_read(const char *key)
{
    return bgw_access_check(&claims, bgw_slice_str(claims.tenant), bgw_slice_str(key), bgw_clock_now()) ==
           BGW_ACCESS_OK;
}

TEST(a_token_made_here_is_accepted_by_the_gateway)
{
    CHECK_EQ_I64(run(with_secret, "bgw token --sub alice --accounts msisdn::1,B --tenant bank_a --ttl 5m"),
                 BGW_EXIT_OK);
    CHECK(check_token(SECRET) == BGW_AUTH_OK);
    CHECK_EQ_STR(claims.tenant, "bank_a");
    CHECK(may_read("msisdn::1") && may_read("B") && !may_read("C"));
    int64_t left_ms = claims.expires_ms - bgw_clock_now().wall_ms;
    CHECK(left_ms > 290000 && left_ms <= 300000);
    bgw_claims_deinit(&claims);
}

TEST(a_demo_token_reads_everything_of_the_default_tenant)
{
    CHECK_EQ_I64(run(nothing, "bgw token --sub me --all --ops --demo"), BGW_EXIT_OK);
    CHECK(check_token(BGW_DEMO_SECRET) == BGW_AUTH_OK);
    CHECK_EQ_STR(claims.tenant, "tnt_demo");
    CHECK(claims.ops_read && may_read("anything"));
    bgw_claims_deinit(&claims);
    CHECK(check_token(SECRET) == BGW_AUTH_BAD_SIGNATURE);
}

TEST(token_refuses_to_make_what_the_gateway_would_refuse)
{
    CHECK_EQ_I64(run(nothing, "bgw token --sub a --all"), BGW_EXIT_CONFIG);
    CHECK_EQ_I64(run(with_secret, "bgw token --all"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --accounts A,,B"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --accounts A,"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --accounts A/B"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --all --tenant a.b"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --all --ttl soon"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(with_secret, "bgw token --sub a --all word"), BGW_EXIT_USAGE);
    CHECK(!*out);
}

TEST(pub_refuses_what_the_gateway_would_reject)
{
    CHECK_EQ_I64(run(nothing, "bgw pub A 1.5 --kafka 127.0.0.1:1"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "whole number"));
    CHECK_EQ_I64(run(nothing, "bgw pub A 9223372036854775808 --kafka 127.0.0.1:1"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw pub A/B 1 --kafka 127.0.0.1:1"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw pub A 1 --currency ngn --kafka 127.0.0.1:1"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw pub A 1 --v -1 --kafka 127.0.0.1:1"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw pub A"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw pub A 1"), BGW_EXIT_CONFIG);
    CHECK(strstr(err, "--kafka"));
    CHECK_EQ_I64(run(nothing, "bgw pub A 1 --tombstone"), BGW_EXIT_USAGE);
}

TEST(sub_needs_an_account_a_token_and_an_address)
{
    CHECK_EQ_I64(run(nothing, "bgw sub --demo"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw sub A"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "--token"));
    CHECK_EQ_I64(run(nothing, "bgw sub A --demo --token x"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw sub A --demo --url wss://x/ws"), BGW_EXIT_USAGE);
    CHECK(strstr(err, "wss"));
    CHECK_EQ_I64(run(nothing, "bgw sub A B --demo --since k.1"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw sub A --demo --since nonsense"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw sub A --demo --count 0"), BGW_EXIT_USAGE);
    CHECK_EQ_I64(run(nothing, "bgw sub A --token-file /nonexistent-folder/t"), BGW_EXIT_USAGE);
}

TEST(sub_without_a_gateway_is_exit_4)
{
    CHECK_EQ_I64(run(nothing, "bgw sub A --demo --url 127.0.0.1:1"), BGW_EXIT_UNREACHABLE);
    CHECK(strstr(err, "no gateway answers"));
}
