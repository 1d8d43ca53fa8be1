/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_token: `bgw token` makes an HS256 token with the gateway's own key: for tests, tools and the
 * first minutes with the gateway. Main thread. It refuses to make what the gateway would refuse.
 */
#include "commands.h"

#include "bgw/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TTL_DEFAULT_S 3600
#define PAYLOAD_MAX 65536
#define TOKEN_LEN_MAX 8192 /* the gateway refuses longer ones */
#define ACCOUNTS_SCOPE "accounts.read"

struct request {
    const char *sub, *accounts, *scope, *ttl, *tenant, *secret, *issuer, *audience, *jti;
    bool all, ops, demo;
};

static void member(struct bgw_buf *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    bgw_buf_appendf(out, ",\"%s\":", name);
    bgw_buf_append_json(out, bgw_slice_str(value));
}

static void scope_word(struct bgw_buf *scope, const char *word)
{
    if (!word || !*word)
        return;
    if (scope->len)
        bgw_buf_append_byte(scope, ' ');
    bgw_buf_append_str(scope, word);
}

/* "A,B,C" to a JSON array; false names the one that is not an account. */
static bool append_accounts(struct bgw_buf *out, const char *list, struct bgw_slice *bad)
{
    struct bgw_feed feed;
    bgw_feed_balance_init(&feed, BGW_SLICE("t"), 0);
    bgw_buf_append_str(out, ",\"accounts\":[");
    for (bool first = true; *list || first; first = false) {
        struct bgw_slice item = bgw_slice_of(list, strcspn(list, ","));
        *bad = item;
        if (!feed.key_valid(item))
            return false;
        if (!first)
            bgw_buf_append_byte(out, ',');
        bgw_buf_append_json(out, item);
        list += item.len;
        if (*list == ',' && *++list == '\0') {
            *bad = bgw_slice_of(list, 0);
            return false;
        }
    }
    bgw_buf_append_str(out, "]");
    return true;
}

static void append_scope(struct bgw_buf *out, const struct request *r)
{
    struct bgw_buf scope;
    bgw_buf_init(&scope, 8192);
    if (r->accounts)
        scope_word(&scope, ACCOUNTS_SCOPE);
    if (r->all)
        scope_word(&scope, "accounts.read.all");
    if (r->ops)
        scope_word(&scope, "ops.read");
    scope_word(&scope, r->scope);
    bgw_buf_append_str(out, ",\"scope\":");
    bgw_buf_append_json(out, bgw_buf_slice(&scope));
    bgw_buf_deinit(&scope);
}

/* Fills `out`; an enum bgw_exit. */
static int make_payload(const struct request *r, int64_t ttl_s, struct bgw_buf *out)
{
    int64_t now_s = bgw_clock_now().wall_ms / 1000;
    bgw_buf_append_str(out, "{\"sub\":");
    bgw_buf_append_json(out, bgw_slice_str(r->sub));
    bgw_buf_appendf(out, ",\"iat\":%lld,\"exp\":%lld", (long long)now_s, (long long)(now_s + ttl_s));
    member(out, "tenant", r->tenant);
    member(out, "iss", r->issuer);
    member(out, "aud", r->audience);
    member(out, "jti", r->jti);
    append_scope(out, r);
    struct bgw_slice bad = {0};
    if (r->accounts && !append_accounts(out, r->accounts, &bad))
        return cli_usage(&cli_token, "--accounts: \"%.*s\" is not an account: 1 to 64 of A-Z a-z 0-9 . _ : @ + -",
                         (int)bad.len, bad.data);
    bgw_buf_append_str(out, "}");
    return out->failed ? cli_usage(&cli_token, "the token would be larger than the gateway accepts")
                       : BGW_EXIT_OK;
}

static int sign(const struct request *r, int64_t ttl_s, struct bgw_slice secret)
{
    if (secret.len < 32) {
        fprintf(stderr, "bgw token: no key of at least 32 bytes: set BGW_JWT_SECRET or BGW_JWT_SECRET_FILE to "
                        "the gateway's, or say --secret, or --demo for a gateway started with --demo.\n");
        return BGW_EXIT_CONFIG;
    }
    struct bgw_buf payload, token;
    bgw_buf_init(&payload, PAYLOAD_MAX);
    bgw_buf_init(&token, 2 * PAYLOAD_MAX);
    int code = make_payload(r, ttl_s, &payload);
    if (code == BGW_EXIT_OK &&
        bgw_auth_sign_hs256(secret, bgw_buf_slice(&payload), &token) != BGW_OK)
        code = BGW_EXIT_FAILED;
    if (code == BGW_EXIT_OK && token.len > TOKEN_LEN_MAX)
        code = cli_usage(&cli_token, "the token has %zu bytes and the gateway takes %d: name fewer accounts",
                         token.len, TOKEN_LEN_MAX);
    if (code == BGW_EXIT_OK)
        printf("%.*s\n", (int)token.len, token.data);
    bgw_buf_deinit(&payload);
    bgw_buf_deinit(&token);
    return code;
}

static int check(const struct request *r, const struct cli_words *words, int64_t *ttl_s)
{
    if (words->count)
        return cli_usage(&cli_token, "\"%s\" is not an option; accounts go into --accounts A,B",
                         words->items[0]);
    if (!r->sub || !*r->sub || strlen(r->sub) > 256)
        return cli_usage(&cli_token, "--sub says whose token it is: 1 to 256 bytes");
    if (!r->accounts && !r->all && !r->ops && !r->scope)
        return cli_usage(&cli_token, "say what it grants: --accounts A,B, or --all, or --scope");
    if (r->tenant && !bgw_tenant_valid(bgw_slice_str(r->tenant)))
        return cli_usage(&cli_token, "--tenant: 1 to 50 of A-Z a-z 0-9 _ -");
    *ttl_s = TTL_DEFAULT_S;
    if (r->ttl && !cli_read_seconds(r->ttl, ttl_s))
        return cli_usage(&cli_token, "--ttl is \"%s\": expected seconds, or 30s, 15m, 12h, 7d", r->ttl);
    if (r->secret && r->demo)
        return cli_usage(&cli_token, "--secret and --demo exclude each other");
    return BGW_EXIT_OK;
}

static int run_token(int argc, char **argv, char *const *env)
{
    struct request r = {0};
    const struct cli_option options[] = {
        {"sub", "NAME", &r.sub, NULL, "whose token it is (required)"},
        {"accounts", "A,B", &r.accounts, NULL, "accounts that it may read; adds scope accounts.read"},
        {"all", NULL, NULL, &r.all, "every account of the tenant: scope accounts.read.all"},
        {"ops", NULL, NULL, &r.ops, "the console's gateway page: scope ops.read"},
        {"scope", "WORDS", &r.scope, NULL, "more scopes, separated by spaces"},
        {"ttl", "TIME", &r.ttl, NULL, "how long it is valid: 90, 30s, 15m, 12h, 7d (1h)"},
        {"tenant", "NAME", &r.tenant, NULL, "its tenant; without it the gateway's default"},
        {"issuer", "NAME", &r.issuer, NULL, "`iss` (BGW_JWT_ISSUER)"},
        {"audience", "NAME", &r.audience, NULL, "`aud` (BGW_JWT_AUDIENCE)"},
        {"jti", "ID", &r.jti, NULL, "the token's own id"},
        {"secret", "KEY", &r.secret, NULL, "the key; better BGW_JWT_SECRET, which `ps` does not show"},
        {"demo", NULL, NULL, &r.demo, "the public key of `bgw serve --demo`"},
        {0},
    };
    struct cli_words words;
    int64_t ttl_s;
    int code;
    if (!cli_parse(&cli_token, options, argc, argv, &words, &code))
        return code;
    code = check(&r, &words, &ttl_s);
    if (code != BGW_EXIT_OK)
        return code;
    struct bgw_config config;
    char *none[] = {NULL};
    code = cli_load_config(&cli_token, 0, none, env, &config);
    if (code != BGW_EXIT_OK)
        return code;
    const char *secret = r.secret ? r.secret : r.demo ? BGW_DEMO_SECRET : config.jwt_secret;
    r.issuer = r.issuer ? r.issuer : config.jwt_issuer;
    r.audience = r.audience ? r.audience : config.jwt_audience;
    code = sign(&r, ttl_s, bgw_slice_str(secret));
    bgw_config_deinit(&config);
    return code;
}

enum bgw_status cli_demo_token(struct bgw_buf *out)
{
    char payload[128];
    int64_t now_s = bgw_clock_now().wall_ms / 1000;
    int n = snprintf(payload, sizeof(payload),
                     "{\"sub\":\"demo\",\"exp\":%lld,\"scope\":\"accounts.read.all\"}",
                     (long long)(now_s + 12 * 3600));
    return bgw_auth_sign_hs256(BGW_SLICE(BGW_DEMO_SECRET), bgw_slice_of(payload, (size_t)n), out);
}

const struct cli_command cli_token = {
    .name = "token",
    .words = "",
    .summary = "make a token for a client",
    .text = "Prints a signed token (JWT, HS256) that a gateway with the same key accepts. The key is\n"
            "BGW_JWT_SECRET or BGW_JWT_SECRET_FILE, as for `bgw serve`. Real tokens come from your identity\n"
            "provider; this is for tests, tools and first steps.",
    .examples = "  bgw token --sub alice --accounts msisdn::2348100000001,msisdn::2348100000002\n"
                "  bgw token --sub console --all --ops --ttl 12h --tenant bank_a\n"
                "  bgw sub msisdn::2348100000001 --token \"$(bgw token --sub me --accounts msisdn::2348100000001)\"\n",
    .run = run_token,
};
