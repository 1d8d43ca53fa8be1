/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_door: hides which keys of the configuration make up the front door, and how a reload stays
 * whole: what can fail is made first, then everything changes over. Main thread; shards and reader
 * use the parts, each of which says itself what it allows.
 */
#include "gateway_door.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdio.h>

#define PEM_BYTES_MAX 65536
#define KEY_SET_BYTES_MAX 262144

/* ---- token keys ---- */

static enum bgw_status read_file(const char *path, struct bgw_buf *out)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return BGW_IO;
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), f)) > 0;)
        bgw_buf_append(out, bgw_slice_of(chunk, n));
    bool bad = ferror(f) || out->failed;
    fclose(f);
    return bad ? BGW_IO : BGW_OK;
}

/* BGW_JWT_PUBLIC_KEY is a file, or the text itself. `pem` ends in a NUL. */
static enum bgw_status read_public_key(const char *value, struct bgw_buf *pem, struct bgw_buf *error)
{
    if (!*value)
        return BGW_OK;
    if (strncmp(value, "-----BEGIN", 10) == 0) {
        bgw_buf_append_str(pem, value);
    } else if (read_file(value, pem) != BGW_OK) {
        bgw_buf_appendf(error, "BGW_JWT_PUBLIC_KEY is \"%.200s\": the file cannot be read, or is no PEM file of at most "
                               "%d bytes", value, PEM_BYTES_MAX - 1);
        return BGW_CONFIG;
    }
    bgw_buf_append_byte(pem, '\0');
    return pem->failed ? BGW_NO_MEMORY : BGW_OK;
}

static struct bgw_auth_config auth_config(const struct bgw_door *d, const struct bgw_config *c,
                                          struct bgw_slice secret, const struct bgw_buf *pem)
{
    return (struct bgw_auth_config){
        .secret = secret,
        .public_key = pem->len ? pem->data : NULL,
        .key_set = *c->jwt_jwks != '\0',
        .keys_max_age_ms = c->jwks_max_age_s * 1000,
        .algs = c->jwt_algs,
        .revocations = d->revocations,
        .issuer = c->jwt_issuer,
        .audience = c->jwt_audience,
        .leeway_s = c->jwt_leeway_s,
        .default_tenant = bgw_slice_str(c->default_tenant),
        .feed = d->feed,
    };
}

static enum bgw_status make_auth(struct bgw_door *d, const struct bgw_config *c, struct bgw_buf *error)
{
    struct bgw_buf pem;
    bgw_buf_init(&pem, PEM_BYTES_MAX);
    enum bgw_status status = read_public_key(c->jwt_public_key, &pem, error);
    if (status == BGW_OK) {
        const struct bgw_auth_config config = auth_config(d, c, d->secret, &pem);
        status = bgw_auth_create(&d->auth, &config, error);
    }
    bgw_buf_deinit(&pem);
    return status;
}

static enum bgw_status reload_auth(struct bgw_door *d, const struct bgw_config *fresh, struct bgw_buf *error)
{
    struct bgw_buf pem;
    bgw_buf_init(&pem, PEM_BYTES_MAX);
    enum bgw_status status = read_public_key(fresh->jwt_public_key, &pem, error);
    if (status == BGW_OK) {
        struct bgw_slice secret = bgw_slice_str(fresh->jwt_secret);
        const struct bgw_auth_config config = auth_config(d, fresh, secret.len ? secret : d->secret, &pem);
        status = bgw_auth_reload(d->auth, &config, error);
    }
    bgw_buf_deinit(&pem);
    return status;
}

/* The same on every replica, if there is anything that all of them know. */
static void make_resume_key(struct bgw_door *d, const struct bgw_config *c)
{
    struct bgw_slice from = *c->resume_secret ? bgw_slice_str(c->resume_secret) : d->secret;
    if (from.len) {
        bgw_auth_derive(from, "balance-gateway resume tokens 1", d->resume_key);
        return;
    }
    bgw_auth_random(d->resume_key, sizeof(d->resume_key));
    BGW_LOG(BGW_LOG_WARN, "resume_secret_random",
            {"effect", LS("resume tokens work on this replica and until it restarts")},
            {"remedy", LS("set BGW_RESUME_SECRET, the same on every replica")});
}

/* ---- the key set ---- */

/* Reader's thread. */
static bool on_key_set(void *arg, struct bgw_slice bytes, struct bgw_now now)
{
    struct bgw_door *d = arg;
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    enum bgw_status status = bgw_auth_load_keys(d->auth, bytes, now, &error);
    if (status != BGW_OK)
        BGW_LOG(BGW_LOG_WARN, "key_set_unusable", {"reason", LSL(bgw_buf_slice(&error))});
    else if (d->keys_loaded)
        d->keys_loaded(d->arg);
    bgw_buf_deinit(&error);
    return status == BGW_OK;
}

static bool want_keys(void *arg)
{
    return bgw_url_watch_want(arg);
}

enum bgw_status bgw_door_watch_keys(struct bgw_door *d, const struct bgw_config *c, struct bgw_loop *loop,
                                    struct bgw_buf *error)
{
    if (!*c->jwt_jwks)
        return BGW_OK;
    if (c->jwks_max_age_s < c->jwks_refresh_s) {
        bgw_buf_appendf(error, "BGW_JWKS_MAX_AGE_S is %lld and BGW_JWKS_REFRESH_S %lld: keys would grow too old between two "
                               "fetches; give a larger age, or a shorter refresh",
                        (long long)c->jwks_max_age_s, (long long)c->jwks_refresh_s);
        return BGW_CONFIG;
    }
    const struct bgw_url_watch_config config = {
        .url = c->jwt_jwks,
        .ca_file = c->jwt_jwks_ca,
        .refresh_ms = c->jwks_refresh_s * 1000,
        .cooldown_ms = c->jwks_cooldown_s * 1000,
        .timeout_ms = c->jwks_timeout_ms,
        .bytes_max = KEY_SET_BYTES_MAX,
        .document = on_key_set,
        .arg = d,
    };
    enum bgw_status status = bgw_url_watch_create(&d->keys, loop, &config, error);
    if (status == BGW_OK)
        bgw_auth_set_fetcher(d->auth, want_keys, d->keys);
    return status;
}

/* ---- TLS ---- */

static enum bgw_tls_client client_of(const char *text)
{
    if (strcmp(text, "off") == 0)
        return BGW_TLS_CLIENT_OFF;
    return strcmp(text, "required") == 0 ? BGW_TLS_CLIENT_REQUIRED : BGW_TLS_CLIENT_OPTIONAL;
}

static struct bgw_tls_config tls_config(const struct bgw_config *c)
{
    return (struct bgw_tls_config){
        .cert_files = c->tls_cert,
        .key_files = c->tls_key,
        .min_version = c->tls_min,
        .groups = c->tls_groups,
        .client_ca = c->tls_client_ca,
        .client = client_of(c->tls_client_auth),
    };
}

static enum bgw_status check_tls(const struct bgw_config *c, struct bgw_buf *error)
{
    bool on = *c->tls_cert != '\0';
    const char *wrong = NULL;
    if (on != (*c->tls_key != '\0'))
        wrong = "BGW_TLS_CERT and BGW_TLS_KEY belong together: set both, or neither for a plain port";
    else if (!on && strcmp(c->tls_client_auth, "off") != 0)
        wrong = "BGW_TLS_CLIENT_AUTH asks for client certificates, which need TLS: set BGW_TLS_CERT and BGW_TLS_KEY";
    else if (strcmp(c->tls_client_auth, "off") != 0 && !*c->tls_client_ca)
        wrong = "BGW_TLS_CLIENT_AUTH asks for client certificates: set BGW_TLS_CLIENT_CA to the file of their authorities";
    else if (!on && c->admin_tls)
        wrong = "BGW_ADMIN_TLS uses the client port's certificates: set BGW_TLS_CERT and BGW_TLS_KEY";
    if (!wrong)
        return BGW_OK;
    bgw_buf_append_str(error, wrong);
    return BGW_CONFIG;
}

static enum bgw_status make_tls(struct bgw_tls **out, const struct bgw_config *c, struct bgw_buf *error)
{
    enum bgw_status status = check_tls(c, error);
    if (status != BGW_OK || !*c->tls_cert)
        return status;
    const struct bgw_tls_config config = tls_config(c);
    return bgw_tls_create(out, &config, bgw_clock_now(), error);
}

/* ---- the rest ---- */

static enum bgw_status make_audit(struct bgw_door *d, const struct bgw_config *c, struct bgw_buf *error)
{
    if (!*c->audit_log)
        return BGW_OK;
    struct bgw_audit_config config = {.path = c->audit_log, .queue_max = (size_t)c->audit_queue};
    bgw_auth_derive(bgw_slice_of((const char *)d->resume_key, sizeof(d->resume_key)),
                    "balance-gateway audit masks 1", config.mask_key);
    return bgw_audit_create(&d->audit, &config, error);
}

enum bgw_status bgw_door_create(struct bgw_door *d, const struct bgw_config *config,
                                const struct bgw_feed *feed, struct bgw_slice secret, struct bgw_buf *error)
{
    *d = (struct bgw_door){.feed = feed, .secret = secret};
    enum bgw_status status = bgw_policy_create(&d->policy, config, error);
    if (status == BGW_OK)
        status = bgw_revocations_create(&d->revocations, (size_t)config->revocations_max);
    if (status == BGW_OK)
        status = make_auth(d, config, error);
    if (status == BGW_OK)
        status = make_tls(&d->tls, config, error);
    if (status == BGW_OK)
        status = bgw_quota_create(&d->quota);
    if (status != BGW_OK)
        return status;
    make_resume_key(d, config);
    return make_audit(d, config, error);
}

/* Whether TLS is on at all is decided at the start: listeners are what they are. */
static enum bgw_status check_fresh(const struct bgw_door *d, const struct bgw_config *fresh, struct bgw_buf *error)
{
    struct bgw_tls *made = NULL;
    enum bgw_status status = make_tls(&made, fresh, error);
    bool on = made != NULL;
    bgw_tls_destroy(&made);
    if (status == BGW_OK && on != (d->tls != NULL)) {
        bgw_buf_append_str(error, "BGW_TLS_CERT: turning TLS on or off needs a restart");
        return BGW_CONFIG;
    }
    return status;
}

enum bgw_status bgw_door_reload(struct bgw_door *d, const struct bgw_config *fresh, struct bgw_buf *error)
{
    struct bgw_policy *policy = NULL;
    enum bgw_status status = bgw_policy_create(&policy, fresh, error);
    if (status == BGW_OK)
        status = check_fresh(d, fresh, error);
    if (status == BGW_OK)
        status = reload_auth(d, fresh, error);
    if (status == BGW_OK && d->tls) { /* read a second time: fails only if the files changed in between */
        const struct bgw_tls_config config = tls_config(fresh);
        status = bgw_tls_reload(d->tls, &config, bgw_clock_now(), error);
    }
    if (status != BGW_OK) {
        bgw_policy_release(policy);
        return status;
    }
    bgw_policy_release(d->policy);
    d->policy = policy;
    if (d->keys)
        bgw_url_watch_now(d->keys);
    bgw_audit_reopen(d->audit);
    return BGW_OK;
}

bool bgw_door_ready(const struct bgw_door *d)
{
    return bgw_auth_has_keys(d->auth, bgw_clock_now());
}

void bgw_door_health(const struct bgw_door *d, struct bgw_health *out)
{
    char trouble[120] = "";
    if (!d->keys)
        return;
    bgw_url_watch_trouble(d->keys, trouble, sizeof(trouble));
    if (*trouble)
        bgw_health_degrade(out, "jwks");
    if (bgw_door_ready(d))
        return;
    if (out->ready || !*out->reason)
        snprintf(out->reason, sizeof(out->reason), "the key set has not been read yet%s%s", *trouble ? ": " : "",
                 trouble);
    out->ready = false;
}

void bgw_door_stop_watching(struct bgw_door *d)
{
    if (d->keys)
        bgw_url_watch_destroy(&d->keys);
}

void bgw_door_destroy(struct bgw_door *d)
{
    bgw_door_stop_watching(d);
    bgw_audit_destroy(&d->audit);
    bgw_tls_destroy(&d->tls);
    bgw_auth_destroy(&d->auth);
    bgw_revocations_destroy(&d->revocations);
    bgw_quota_destroy(&d->quota);
    bgw_policy_release(d->policy);
    d->policy = NULL;
}
