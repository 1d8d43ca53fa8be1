/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token: what it costs to believe a token: its form, its signature, its claims and grants; and what
 * it costs when the same one was believed a moment ago. Most of it is OpenSSL's arithmetic, which
 * takes other ways on other processors: these counts are compared on like machines only.
 */
#include "micro.h"

#include "token_texts.h"

#include "bgw/auth.h"

#include <stdlib.h>

struct token_case { /* immutable */
    const char *token, *key; /* key NULL: the secret */
    size_t checks;           /* of a run */
    bool cached;
};

struct checking {
    const struct token_case *what;
    struct bgw_feed feed;
    struct bgw_auth *auth;
    struct bgw_token_cache *cache;
    struct bgw_now now;
    uint64_t right;
};

static void *checking_make(const struct micro *m)
{
    struct checking *c = micro_alloc(1, sizeof(*c));
    struct bgw_buf error;
    c->what = m->with;
    c->now = (struct bgw_now){.mono_ms = 1000, .wall_ms = MICRO_WALL_MS};
    micro_feed(&c->feed);
    struct bgw_auth_config config = {
        .secret = c->what->key ? BGW_SLICE("") : BGW_SLICE(HS256_SECRET), .public_key = c->what->key,
        .issuer = "https://issuer.example", .audience = "balance-gateway", .leeway_s = 5,
        .default_tenant = c->feed.default_tenant, .feed = &c->feed,
    };
    bgw_buf_init(&error, 1024);
    if (bgw_auth_create(&c->auth, &config, &error) != BGW_OK)
        micro_die("no auth: %.*s", (int)error.len, error.data);
    bgw_buf_deinit(&error);
    if (bgw_token_cache_create(&c->cache, c->auth, 1024, 1 << 20) != BGW_OK)
        micro_die("no cache");
    return c;
}

static void checking_run(void *state)
{
    struct checking *c = state;
    const struct bgw_slice token = bgw_slice_str(c->what->token);
    for (size_t i = 0; i < c->what->checks; i++) {
        struct bgw_claims claims;
        enum bgw_auth_result r = c->what->cached ? bgw_token_cache_verify(c->cache, token, c->now, &claims)
                                                 : bgw_auth_verify(c->auth, token, c->now, &claims);
        if (r != BGW_AUTH_OK)
            micro_die("%s", bgw_auth_sentence(r));
        c->right += bgw_grants_count(claims.grants) == 3;
        bgw_claims_deinit(&claims);
    }
}

static uint64_t checking_right(void *state)
{
    const struct checking *c = state;
    return c->right;
}

static void checking_drop(void *state)
{
    struct checking *c = state;
    bgw_token_cache_destroy(&c->cache);
    bgw_auth_destroy(&c->auth);
    free(c);
}

#define TOKEN(label, text, key_text, count, through_cache)                                                             \
    {                                                                                                                  \
        "token/" label, "token", count, 5, &(const struct token_case){text, key_text, count, through_cache},           \
            checking_make, NULL, checking_run, checking_right, checking_drop                                           \
    }

const struct micro micro_token[] = {
    TOKEN("hs256", hs256_token, NULL, 100, false),
    TOKEN("es256", es256_token, es256_key, 10, false),
    TOKEN("rs256", rs256_token, rs256_key, 10, false),
    TOKEN("cached", es256_token, es256_key, 1000, true),
    {0},
};
