/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_keys: the keys of tokens: is there one, can it be used, does the key set's server answer.
 * Called by cmd_doctor on the main thread. Keys are made by the gateway's own code from the same
 * settings; a key set is fetched as the gateway fetches it, once, on a loop of this call.
 */
#include "doctor.h"

#include "bgw/auth.h"
#include "bgw/feed.h"
#include "bgw/gateway.h"
#include "bgw/loop.h"
#include "bgw/metrics.h"
#include "bgw/url_watch.h"

#include <stdlib.h>
#include <string.h>

#define PEM_BYTES_MAX 65536
#define KEY_SET_BYTES_MAX 262144 /* as in the gateway */
#define GRACE_MS 1000            /* beyond the fetch's own deadline */
#define STEP_MS 20
#define SECRET_BYTES_MIN 32

/* The PEM text of BGW_JWT_PUBLIC_KEY, which is a file or the text itself. */
static bool read_public_key(const char *value, struct bgw_buf *pem)
{
    if (strncmp(value, "-----BEGIN", 10) == 0) {
        bgw_buf_append_str(pem, value);
    } else {
        char chunk[4096];
        FILE *f = fopen(value, "re");
        if (!f)
            return false;
        for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
            bgw_buf_append(pem, bgw_slice_of(chunk, n));
        fclose(f);
    }
    bgw_buf_append_byte(pem, '\0');
    return !pem->failed;
}

/* The keys of the configuration itself; true if they can be used. */
static bool check_configured(struct doctor *d, const struct bgw_feed *feed)
{
    const struct bgw_config *c = d->config;
    struct bgw_auth *auth = NULL;
    struct bgw_buf pem, error;
    bgw_buf_init(&pem, PEM_BYTES_MAX);
    bgw_buf_init(&error, 600);
    struct bgw_auth_config config = {
        .secret = bgw_slice_str(c->demo && !*c->jwt_secret ? BGW_DEMO_SECRET : c->jwt_secret),
        .key_set = *c->jwt_jwks != '\0',
        .keys_max_age_ms = c->jwks_max_age_s * 1000,
        .algs = c->jwt_algs,
        .default_tenant = bgw_slice_str(c->default_tenant),
        .feed = feed,
    };
    if (*c->jwt_public_key && !read_public_key(c->jwt_public_key, &pem))
        bgw_buf_append_str(&error, "BGW_JWT_PUBLIC_KEY cannot be read");
    config.public_key = pem.len ? pem.data : NULL;
    enum bgw_status status = error.len ? BGW_CONFIG : bgw_auth_create(&auth, &config, &error);
    bgw_buf_append_byte(&error, '\0');
    if (status != BGW_OK)
        doctor_say(d, DOCTOR_FAIL, "token keys",
                   "set BGW_JWT_SECRET (`openssl rand -hex 32` makes one), BGW_JWT_PUBLIC_KEY (a PEM file) or BGW_JWT_JWKS "
                   "(a key set) to what your token issuer signs with",
                   "%s", error.data && *error.data ? error.data : bgw_status_text(status));
    bgw_auth_destroy(&auth);
    bgw_buf_deinit(&pem);
    bgw_buf_deinit(&error);
    return status == BGW_OK;
}

/* ---- the key set ---- */

struct fetch { /* this call's */
    struct bgw_auth *auth;
    struct bgw_buf error;
    bool came, usable;
};

static bool on_document(void *arg, struct bgw_slice bytes, struct bgw_now now)
{
    struct fetch *f = arg;
    bgw_buf_clear(&f->error);
    f->came = true;
    f->usable = bgw_auth_load_keys(f->auth, bytes, now, &f->error) == BGW_OK;
    return f->usable;
}

/* Turns until the document came, or its fetch has failed, or it is late. */
static void await_document(struct bgw_loop *loop, struct bgw_url_watch *watch, struct fetch *f, int64_t timeout_ms)
{
    char trouble[400] = "";
    int64_t until_ms = bgw_clock_now().mono_ms + timeout_ms;
    while (!f->came && !*trouble && bgw_clock_now().mono_ms < until_ms) {
        bgw_loop_turn(loop, STEP_MS);
        bgw_url_watch_trouble(watch, trouble, sizeof(trouble));
    }
    if (!f->came)
        bgw_buf_append_str(&f->error, *trouble ? trouble : "no answer in time");
}

static void fetch_key_set(struct doctor *d, struct fetch *f)
{
    const struct bgw_config *c = d->config;
    const struct bgw_url_watch_config config = {
        .url = c->jwt_jwks,
        .ca_file = c->jwt_jwks_ca,
        .refresh_ms = c->jwks_refresh_s * 1000,
        .cooldown_ms = c->jwks_cooldown_s * 1000,
        .timeout_ms = c->jwks_timeout_ms,
        .bytes_max = KEY_SET_BYTES_MAX,
        .document = on_document,
        .arg = f,
    };
    struct bgw_loop *loop = NULL;
    struct bgw_url_watch *watch = NULL;
    if (bgw_loop_create(&loop) != BGW_OK)
        return;
    if (bgw_url_watch_create(&watch, loop, &config, &f->error) == BGW_OK)
        await_document(loop, watch, f, c->jwks_timeout_ms + GRACE_MS);
    if (watch)
        bgw_url_watch_destroy(&watch);
    bgw_loop_destroy(&loop);
}

/* Verifiers of its own, so that it is looked at whatever is wrong with the other keys. */
static void check_key_set(struct doctor *d, const struct bgw_feed *feed)
{
    struct fetch f = {.auth = NULL};
    const struct bgw_auth_config config = {
        .key_set = true,
        .keys_max_age_ms = d->config->jwks_max_age_s * 1000,
        .algs = d->config->jwt_algs,
        .default_tenant = bgw_slice_str(d->config->default_tenant),
        .feed = feed,
    };
    bgw_buf_init(&f.error, 1000);
    if (bgw_auth_create(&f.auth, &config, &f.error) == BGW_OK)
        fetch_key_set(d, &f);
    bgw_auth_destroy(&f.auth);
    bgw_buf_append_byte(&f.error, '\0');
    if (f.usable)
        doctor_say(d, DOCTOR_OK, "token keys", "", "%s: fetched, %lld keys can be used", d->config->jwt_jwks,
                   (long long)bgw_metric_read(BGW_M_JWKS_KEYS));
    else if (f.came)
        doctor_say(d, DOCTOR_FAIL, "token keys",
                   "have the issuer publish RSA (from 2048 bits), P-256 or Ed25519 signing keys, or allow their algorithm "
                   "in BGW_JWT_ALGS",
                   "%s: answers, and no key of it can be used: %s", d->config->jwt_jwks, f.error.data);
    else
        doctor_say(d, DOCTOR_FAIL, "token keys",
                   "correct BGW_JWT_JWKS, BGW_JWT_JWKS_CA or the way to that server; `curl -v` on this machine shows where "
                   "it ends",
                   "%s: %s", d->config->jwt_jwks, f.error.data);
    bgw_buf_deinit(&f.error);
}

/* ---- around the keys ---- */

static void check_claims(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    bool foreign = *c->jwt_jwks || *c->jwt_public_key;
    if (foreign && !*c->jwt_audience)
        doctor_say(d, DOCTOR_WARN, "token keys", "set BGW_JWT_AUDIENCE to what the issuer writes into tokens for this gateway",
                   "BGW_JWT_AUDIENCE is not set: tokens that the issuer made for other services are accepted too");
    if (foreign && !*c->jwt_issuer)
        doctor_say(d, DOCTOR_WARN, "token keys", "set BGW_JWT_ISSUER to the `iss` of its tokens",
                   "BGW_JWT_ISSUER is not set: who signed is checked, who claims to have is not");
    if (!c->demo && strcmp(c->jwt_secret, BGW_DEMO_SECRET) == 0)
        doctor_say(d, DOCTOR_FAIL, "token keys", "set your token issuer's own; `openssl rand -hex 32` makes a new one",
                   "BGW_JWT_SECRET is the demo's key, which everybody knows");
}

static void check_resume(struct doctor *d)
{
    size_t len = strlen(d->config->resume_secret);
    if (len == 0 && !*d->config->jwt_secret && !d->config->demo)
        doctor_say(d, DOCTOR_WARN, "resume secret",
                   "set BGW_RESUME_SECRET (`openssl rand -hex 32`), the same on every replica",
                   "BGW_RESUME_SECRET is not set and there is no BGW_JWT_SECRET to derive it from: clients that come back "
                   "to another replica, or after a restart, get everything anew; ids in the audit log differ as well");
    else if (len > 0 && len < SECRET_BYTES_MIN)
        doctor_say(d, DOCTOR_WARN, "resume secret", "set a longer one (`openssl rand -hex 32`), the same on every replica",
                   "BGW_RESUME_SECRET has %zu bytes, less than %d: it could be guessed", len, SECRET_BYTES_MIN);
    else
        doctor_say(d, DOCTOR_OK, "resume secret", "", "%s", len ? "set" : "derived from the token key");
}

void doctor_check_keys(struct doctor *d)
{
    struct bgw_feed feed;
    bgw_feed_balance_init(&feed, bgw_slice_str(d->config->default_tenant),
                          bgw_part_of(bgw_slice_str(d->config->default_currency)));
    bool usable = check_configured(d, &feed);
    if (usable && (*d->config->jwt_secret || d->config->demo))
        doctor_say(d, DOCTOR_OK, "token keys", "", "the HS256 key is long enough");
    if (usable && *d->config->jwt_public_key)
        doctor_say(d, DOCTOR_OK, "token keys", "", "the public key can be used");
    if (*d->config->jwt_jwks)
        check_key_set(d, &feed);
    check_claims(d);
    check_resume(d);
}
