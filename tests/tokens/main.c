/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bgw-tokens: the gateway's own word on the tokens of generate.mjs. Reads its lines on standard
 * input, makes a bgw_auth of each profile, and writes for each token `KIND WORD OURS PROFILE TOKEN`,
 * tab-separated, for compare.mjs; the token itself only where the two disagree. One thread, a clock
 * that stands still. A line that it cannot read ends it with status 1: nothing is skipped.
 */
#include "bgw/auth.h"
#include "bgw/base64.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define PROFILES_MAX 16
#define FIELDS_MAX 9
#define TEXT_MAX 65536

static const struct bgw_now now = {.mono_ms = 1000, .wall_ms = 1800000000000};

static struct profile {
    char name[32];
    struct bgw_auth *auth;
} profiles[PROFILES_MAX]; /* main's */
static size_t profile_count;
static struct bgw_feed feed;

static int give_up(const char *what)
{
    fprintf(stderr, "bgw-tokens: %s\n", what);
    exit(1);
}

static size_t split(char *line, char *fields[FIELDS_MAX])
{
    size_t n = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *at = line; at && n < FIELDS_MAX; n++)
        fields[n] = strsep(&at, "\t");
    return n;
}

/* A field in base64, "-" for none; NUL-terminated for those who want a text. */
static struct bgw_slice decoded(const char *field, char out[TEXT_MAX])
{
    size_t len = 0;
    if (strcmp(field, "-") != 0 &&
        bgw_base64_decode(bgw_slice_str(field), (uint8_t *)out, TEXT_MAX - 1, &len) != BGW_OK)
        give_up("a field is not base64");
    out[len] = '\0';
    return bgw_slice_of(out, len);
}

/* profile NAME SECRET PEM JWKS ALGS ISSUER AUDIENCE LEEWAY */
static void take_profile(char *fields[FIELDS_MAX])
{
    static char room[5][TEXT_MAX];
    if (profile_count == PROFILES_MAX)
        give_up("too many profiles");
    struct profile *p = &profiles[profile_count++];
    struct bgw_slice jwks = decoded(fields[4], room[2]);
    struct bgw_buf error;
    snprintf(p->name, sizeof(p->name), "%s", fields[1]);
    decoded(fields[3], room[1]);
    decoded(fields[6], room[3]);
    decoded(fields[7], room[4]);
    const struct bgw_auth_config config = {
        .secret = decoded(fields[2], room[0]), .public_key = room[1], .key_set = jwks.len > 0,
        .algs = fields[5], .issuer = room[3], .audience = room[4], .leeway_s = atoll(fields[8]),
        .default_tenant = BGW_SLICE("tnt_demo"), .feed = &feed,
    };
    bgw_buf_init(&error, 1024);
    if (bgw_auth_create(&p->auth, &config, &error) != BGW_OK ||
        (jwks.len && bgw_auth_load_keys(p->auth, jwks, now, &error) != BGW_OK)) {
        fprintf(stderr, "%s: %.*s\n", p->name, (int)error.len, error.data ? error.data : "");
        give_up("a profile cannot be made");
    }
    bgw_buf_deinit(&error);
}

/* token PROFILE KIND WORD TOKEN */
static void take_token(char *fields[FIELDS_MAX])
{
    static char token[TEXT_MAX];
    struct bgw_claims claims;
    size_t i = 0;
    while (i < profile_count && strcmp(profiles[i].name, fields[1]) != 0)
        i++;
    if (i == profile_count)
        give_up("a token of an unknown profile");
    enum bgw_auth_result r = bgw_auth_verify(profiles[i].auth, decoded(fields[4], token), now, &claims);
    if (r == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
    bool agree = (r == BGW_AUTH_OK) == (strcmp(fields[3], "ok") == 0);
    printf("%s\t%s\t%s\t%s\t%s\n", fields[2], fields[3], bgw_auth_code(r), fields[1], agree ? "-" : fields[4]);
}

int main(void)
{
    char *line = NULL, *fields[FIELDS_MAX];
    size_t cap = 0;
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    while (getline(&line, &cap, stdin) > 0) {
        size_t n = split(line, fields);
        if (n == 9 && strcmp(fields[0], "profile") == 0)
            take_profile(fields);
        else if (n == 5 && strcmp(fields[0], "token") == 0)
            take_token(fields);
        else
            give_up("a line is neither a profile nor a token");
    }
    free(line);
    while (profile_count)
        bgw_auth_destroy(&profiles[--profile_count].auth);
    return fflush(stdout) == 0 ? 0 : 1;
}
