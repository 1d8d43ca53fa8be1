/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_sub: `bgw sub` watches accounts as a client of the native dialect does: it connects, says
 * hello and subscribes; when a connection ends it comes back with what it knows, so that nothing is
 * missed and nothing is told twice. Main thread, blocking. Close codes from 3500 are final: coming
 * back would change nothing.
 */
#include "commands.h"
#include "sub_view.h"
#include "ws_client.h"

#include "bgw/auth.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define URL_DEFAULT "ws://127.0.0.1:5851/ws"
#define BACKOFF_MIN_MS 500
#define BACKOFF_MAX_MS 30000
#define TURN_MS 1000
#define TOKEN_LEN_MAX 8192
#define CODE_TOKEN_EXPIRED 3005
#define CODE_TERMINAL 3500

struct sub {
    const char *url_text, *token_text, *token_file, *since, *count_text, *max_hz_text;
    bool demo, json, once;
    int64_t count, max_hz;
    struct ws_url url;
    struct bgw_buf token;
    struct cli_words keys;
    struct view view;
    struct ws_client client;
    bool ever_connected;
    unsigned failures; /* in a row: the backoff's exponent */
};

/* ---- the words ---- */

static int read_token_file(struct sub *s)
{
    FILE *f = fopen(s->token_file, "re");
    if (!f)
        return cli_usage(&cli_sub, "--token-file: %s cannot be read", s->token_file);
    char text[TOKEN_LEN_MAX + 2];
    size_t len = fread(text, 1, sizeof(text), f);
    fclose(f);
    while (len && strchr(" \r\n\t", text[len - 1]))
        len--;
    bgw_buf_append(&s->token, bgw_slice_of(text, len));
    return BGW_EXIT_OK;
}

static int take_token(struct sub *s)
{
    int given = (s->token_text != NULL) + (s->token_file != NULL) + s->demo;
    if (given != 1)
        return cli_usage(&cli_sub, given ? "--token, --token-file and --demo exclude each other"
                                         : "it needs a token: --token T, --token-file F, or --demo for a "
                                           "gateway started with --demo; `bgw token` makes one");
    if (s->token_file)
        return read_token_file(s);
    if (s->token_text)
        bgw_buf_append_str(&s->token, s->token_text);
    else if (cli_demo_token(&s->token) != BGW_OK)
        return BGW_EXIT_FAILED;
    return BGW_EXIT_OK;
}

static int check_keys(struct sub *s)
{
    if (s->keys.count == 0)
        return cli_usage(&cli_sub, "which account? Name one or more, such as msisdn::2348100000001 or A/USD");
    if (!s->since)
        return BGW_EXIT_OK;
    struct bgw_version version;
    if (s->keys.count != 1)
        return cli_usage(&cli_sub, "--since goes with one account");
    if (!bgw_version_parse(bgw_slice_str(s->since), &version))
        return cli_usage(&cli_sub, "--since is \"%s\": expected a version as it is shown, such as k3f9.120",
                         s->since);
    const char *slash = strchr(s->keys.items[0], '/');
    size_t len = slash ? (size_t)(slash - s->keys.items[0]) : strlen(s->keys.items[0]);
    view_remember(&s->view, bgw_slice_of(s->keys.items[0], len), bgw_slice_str(slash ? slash + 1 : ""),
                  bgw_slice_str(s->since));
    return BGW_EXIT_OK;
}

static int check(struct sub *s)
{
    int code = check_keys(s);
    if (code != BGW_EXIT_OK)
        return code;
    if (s->count_text && (!cli_read_i64(s->count_text, &s->count) || s->count < 1))
        return cli_usage(&cli_sub, "--count is \"%s\": expected a number from 1", s->count_text);
    if (s->max_hz_text && (!cli_read_i64(s->max_hz_text, &s->max_hz) || s->max_hz < 1 || s->max_hz > 1000))
        return cli_usage(&cli_sub, "--max-hz is \"%s\": expected 1 to 1000", s->max_hz_text);
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    bool fine = ws_url_parse(s->url_text ? s->url_text : URL_DEFAULT, &s->url, &error);
    if (!fine)
        code = cli_usage(&cli_sub, "--url %.*s", (int)error.len, error.data);
    bgw_buf_deinit(&error);
    return fine ? take_token(s) : code;
}

/* ---- one connection ---- */

static bool say_hello(struct sub *s)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 1 << 20);
    bgw_buf_append_str(&out, "{\"op\":\"hello\",\"token\":");
    bgw_buf_append_json(&out, bgw_buf_slice(&s->token));
    if (s->view.resume.len) {
        bgw_buf_append_str(&out, ",\"resume\":");
        bgw_buf_append_json(&out, bgw_buf_slice(&s->view.resume));
    }
    bgw_buf_appendf(&out, ",\"client\":\"bgw-sub/%s\"}", bgw_version());
    bool sent = !out.failed && ws_send_text(&s->client, bgw_buf_slice(&out));
    bgw_buf_clear(&out);
    if (s->max_hz) {
        bgw_buf_appendf(&out, "{\"op\":\"rate\",\"id\":2,\"max_hz\":%lld}", (long long)s->max_hz);
        sent = sent && ws_send_text(&s->client, bgw_buf_slice(&out));
        bgw_buf_clear(&out);
    }
    view_append_sub(&s->view, s->keys.items, s->keys.count, &out);
    sent = sent && !out.failed && ws_send_text(&s->client, bgw_buf_slice(&out));
    bgw_buf_deinit(&out);
    return sent;
}

static bool finished(const struct sub *s)
{
    return (s->once && s->view.live) || (s->count && s->view.updates >= (uint64_t)s->count);
}

static bool silent_too_long(const struct sub *s)
{
    return bgw_clock_now().mono_ms - s->client.heard_mono_ms > (2 * s->view.ping_s + 5) * 1000;
}

/* Until the connection ends or we have what we came for. True: done. */
static bool watch(struct sub *s)
{
    struct bgw_slice message;
    for (;;) {
        switch (ws_receive(&s->client, TURN_MS, &message)) {
        case WS_CLOSED:
            return false;
        case WS_TIMEOUT:
            if (silent_too_long(s)) {
                fprintf(stderr, "bgw sub: nothing heard for %lld s, connecting again\n",
                        (long long)(2 * s->view.ping_s + 5));
                return false;
            }
            break;
        case WS_MESSAGE:
            s->failures = 0;
            view_message(&s->view, message);
            if (!finished(s))
                break;
            ws_close(&s->client, 1000);
            return true;
        }
    }
}

/* ---- many connections ---- */

/* Full jitter: clients that were cut off together do not come back together. */
static int64_t backoff_ms(struct sub *s)
{
    uint32_t random;
    bgw_auth_random((uint8_t *)&random, sizeof(random));
    int64_t ceiling = BACKOFF_MIN_MS;
    for (unsigned i = 0; i < s->failures && ceiling < BACKOFF_MAX_MS; i++)
        ceiling *= 2;
    if (ceiling > BACKOFF_MAX_MS)
        ceiling = BACKOFF_MAX_MS;
    s->failures++;
    int64_t told = s->view.retry_ms > s->client.retry_after_s * 1000 ? s->view.retry_ms
                                                                     : s->client.retry_after_s * 1000;
    return told > 0 ? told + random % 500 : random % ceiling + 1;
}

static void pause_ms(int64_t ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0)
        ;
}

/* What a connection that ended means: BGW_EXIT_OK: come back. */
static int verdict(const struct sub *s)
{
    unsigned code = s->view.bye_code ? s->view.bye_code : s->client.close_code;
    if (code == CODE_TOKEN_EXPIRED) {
        fprintf(stderr, "bgw sub: the token has expired: start again with a new one\n");
        return BGW_EXIT_FAILED;
    }
    if (code >= CODE_TERMINAL && code < 4000) {
        fprintf(stderr, "bgw sub: the gateway ended the session for good (%u)\n", code);
        return BGW_EXIT_FAILED;
    }
    return BGW_EXIT_OK;
}

/* A connection that did not come about. BGW_EXIT_OK: try again. */
static int refused(const struct sub *s, enum bgw_status status, const struct bgw_buf *why)
{
    bool transient = status != BGW_DENIED || s->client.http_status == 503 || s->client.http_status == 429;
    bool first = !s->ever_connected && status != BGW_DENIED;
    fprintf(stderr, "bgw sub: %s: %.*s\n",
            first ? "no gateway answers (start one with `bgw serve --demo`, or say --url)" : "not connected",
            (int)why->len, why->len ? why->data : "");
    if (first)
        return BGW_EXIT_UNREACHABLE;
    return transient ? BGW_EXIT_OK : BGW_EXIT_FAILED;
}

/* One connection from beginning to end. BGW_EXIT_OK with *done false: come back. */
static int attempt(struct sub *s, bool *done)
{
    struct bgw_buf why;
    bgw_buf_init(&why, 4096);
    view_connected(&s->view);
    int code = BGW_EXIT_OK;
    enum bgw_status status = ws_connect(&s->client, &s->url, "bgw.v1", &why);
    if (status != BGW_OK) {
        code = refused(s, status, &why);
    } else {
        s->ever_connected = true;
        *done = say_hello(s) && watch(s);
        if (!*done)
            code = verdict(s);
    }
    bgw_buf_deinit(&why);
    return code;
}

static int run(struct sub *s)
{
    bool done = false;
    for (;;) {
        int code = attempt(s, &done);
        if (code != BGW_EXIT_OK)
            return code;
        if (done)
            return s->view.granted == 0 && s->view.denied ? BGW_EXIT_FAILED : BGW_EXIT_OK;
        int64_t wait = backoff_ms(s);
        fprintf(stderr, "bgw sub: coming back in %lld ms\n", (long long)wait);
        pause_ms(wait);
    }
}

static int prepare(struct sub *s, int argc, char **argv)
{
    const struct cli_option options[] = {
        {"url", "URL", &s->url_text, NULL, "the gateway (" URL_DEFAULT ")"},
        {"token", "TOKEN", &s->token_text, NULL, "who is asking"},
        {"token-file", "FILE", &s->token_file, NULL, "the same from a file, which `ps` does not show"},
        {"demo", NULL, NULL, &s->demo, "a token for a gateway started with --demo"},
        {"json", NULL, NULL, &s->json, "print the gateway's frames as they come, one a line"},
        {"once", NULL, NULL, &s->once, "leave when every account has been answered"},
        {"count", "N", &s->count_text, NULL, "leave after N values"},
        {"since", "VERSION", &s->since, NULL, "send nothing unless there is something newer"},
        {"max-hz", "N", &s->max_hz_text, NULL, "at most N values a second for each account"},
        {0},
    };
    int code;
    if (!cli_parse(&cli_sub, options, argc, argv, &s->keys, &code))
        return code == BGW_EXIT_OK ? -1 : code;
    s->view.json = s->json;
    return check(s);
}

static int run_sub(int argc, char **argv, char *const *env)
{
    (void)env;
    struct sub *s = calloc(1, sizeof(*s));
    if (!s || !view_init(&s->view, false, stdout, stderr))
        return BGW_EXIT_FAILED;
    ws_client_init(&s->client);
    bgw_buf_init(&s->token, TOKEN_LEN_MAX * 4);
    setvbuf(stdout, NULL, _IOLBF, 0);
    int code = prepare(s, argc, argv);
    if (code == BGW_EXIT_OK)
        code = run(s);
    ws_client_deinit(&s->client);
    view_deinit(&s->view);
    bgw_buf_deinit(&s->token);
    free(s);
    return code < 0 ? BGW_EXIT_OK : code; /* -1: help was shown */
}

const struct cli_command cli_sub = {
    .name = "sub",
    .words = "ACCOUNT...",
    .summary = "watch accounts, one line a change",
    .text = "Connects to a gateway and prints a line for every change of the accounts: time, account,\n"
            "currency, balance in minor units, freshness, version. ACCOUNT covers all its currencies,\n"
            "ACCOUNT/USD one. Values go to stdout, remarks about the connection to stderr. When the\n"
            "connection ends it comes back, and asks only for what it has not seen.\n\n"
            "Leaves with 1 when the gateway ends the session for good, and with 4 when none answers.",
    .examples = "  bgw sub msisdn::2348100000001 msisdn::2348100000002 --demo\n"
                "  bgw sub msisdn::2348100000001 --url ws://gateway:5851/ws --token-file token.jwt\n"
                "  bgw sub savings-7/USD --once --json --token \"$TOKEN\" | jq .\n",
    .run = run_sub,
};
