/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_test: limits as shards get them, and what a reload is told to have changed.
 */
#include "test.h"

#include "bgw/policy.h"

#include <stdlib.h>

/* one comparison's outcome */
struct seen {
    char live[512], waiting[512];
};

static void note(void *arg, const char *env_name, bool live)
{
    struct seen *seen = arg;
    char *to = live ? seen->live : seen->waiting;
    strncat(to, env_name, 500 - strlen(to));
    strncat(to, " ", 500 - strlen(to));
}

static void load(struct bgw_config *c, char **env)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    enum bgw_status status = bgw_config_load(c, 0, NULL, env, &error);
    if (status != BGW_OK)
        fprintf(stderr, "%.*s\n", (int)error.len, error.data);
    CHECK(status == BGW_OK);
    bgw_buf_deinit(&error);
}

static struct bgw_policy *policy_of(char **env)
{
    struct bgw_config c;
    struct bgw_buf error;
    struct bgw_policy *p = NULL;
    bgw_buf_init(&error, 4096);
    load(&c, env);
    CHECK(bgw_policy_create(&p, &c, &error) == BGW_OK);
    bgw_config_deinit(&c); /* the policy must not need it any more */
    bgw_buf_deinit(&error);
    return p;
}

TEST(seconds_become_milliseconds_and_lists_are_owned)
{
    char *env[] = {"BGW_PING_S=7", "BGW_TLS_DEADLINE_S=3", "BGW_ORIGINS=https://a.example",
                   "BGW_TRUSTED_PROXIES=10.0.0.0/8,2001:db8::/32", "BGW_COMMANDS_PER_S=9",
                   "BGW_TLS_CLIENT_AUTH=staff", NULL};
    struct bgw_policy *p = policy_of(env);
    struct bgw_addr a;
    CHECK(p->ping_ms == 7000 && p->tls_ms == 3000 && p->commands_per_s == 9);
    CHECK(strcmp(p->origins, "https://a.example") == 0 && p->staff_needs_certificate);
    CHECK(bgw_addr_parse(BGW_SLICE("10.1.2.3"), &a) && bgw_nets_contain(p->trusted_proxies, &a));
    CHECK(bgw_addr_parse(BGW_SLICE("11.1.2.3"), &a) && !bgw_nets_contain(p->trusted_proxies, &a));
    CHECK(bgw_policy_acquire(p) == p);
    bgw_policy_release(p);
    CHECK(p->ping_ms == 7000);
    bgw_policy_release(p);
}

TEST(without_limits_nothing_is_limited_but_what_protects_the_process)
{
    char *env[] = {NULL};
    struct bgw_policy *p = policy_of(env);
    CHECK(p->per_subject_max == 0 && p->per_tenant_max == 0 && p->per_address_max == 0);
    CHECK(!p->proxy_protocol && !p->staff_needs_certificate);
    CHECK(p->handshakes_per_s == 2000 && p->header_bytes_max == 32768 && p->message_bytes_max == 65536);
    CHECK(p->early_message_bytes_max == 16384 && p->fragments_max == 1000 && p->commands_per_s == 1000);
    bgw_policy_release(p);
}

TEST(a_network_with_host_bits_is_refused_with_its_name)
{
    char *env[] = {"BGW_TRUSTED_PROXIES=10.0.0.1/8", NULL};
    struct bgw_config c;
    struct bgw_buf error;
    bgw_buf_init(&error, 4096);
    CHECK(bgw_config_load(&c, 0, NULL, env, &error) == BGW_CONFIG);
    CHECK(memmem(error.data, error.len, "BGW_TRUSTED_PROXIES", 19) != NULL);
    bgw_buf_deinit(&error);
}

TEST(a_reload_is_told_what_is_live_and_what_needs_a_restart)
{
    char *before[] = {"BGW_PING_S=7", "BGW_SHARDS=2", "KAFKA_SECURITY_PROTOCOL=ssl", NULL};
    char *after[] = {"BGW_PING_S=8", "BGW_SHARDS=3", "BGW_ORIGINS=https://b.example", "BGW_PROXY_PROTOCOL=on", NULL};
    struct bgw_config a, b;
    struct seen seen = {{0}, {0}};
    load(&a, before);
    load(&b, after);
    bgw_config_diff(&a, &b, note, &seen);
    CHECK(strstr(seen.live, "BGW_PING_S ") && strstr(seen.live, "BGW_ORIGINS ") && strstr(seen.live, "BGW_PROXY_PROTOCOL "));
    CHECK(strcmp(seen.waiting, "BGW_SHARDS KAFKA_* ") == 0);
    seen = (struct seen){{0}, {0}};
    bgw_config_diff(&b, &b, note, &seen);
    CHECK(!*seen.live && !*seen.waiting);
    bgw_config_deinit(&a);
    bgw_config_deinit(&b);
}

TEST(values_with_a_grammar_are_checked_when_they_are_read)
{
    static const char *const bad[] = {"BGW_TLS_MIN=1.1",          "BGW_TLS_CLIENT_AUTH=maybe", "BGW_JWT_ALGS=none",
                                      "BGW_JWT_ALGS=RS256,",      "BGW_JWT_ALGS=RS512",        "BGW_JWT_JWKS=https://a b",
                                      "BGW_TRUSTED_PROXIES=ten",  "TOPIC_REVOCATIONS=a b"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char text[64];
        char *env[] = {text, NULL};
        struct bgw_config c;
        struct bgw_buf error;
        bgw_buf_init(&error, 4096);
        snprintf(text, sizeof(text), "%s", bad[i]);
        CHECK(bgw_config_load(&c, 0, NULL, env, &error) == BGW_CONFIG);
        CHECK(error.len > 20);
        bgw_buf_deinit(&error);
    }
    char *good[] = {"BGW_JWT_ALGS=RS256,EdDSA", "BGW_TLS_MIN=1.3", "BGW_JWT_JWKS=/etc/keys.json", NULL};
    struct bgw_config c;
    load(&c, good);
    bgw_config_deinit(&c);
}
