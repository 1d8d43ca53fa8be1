/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: hides OpenSSL's contexts and callbacks. Contexts are furnished on the main thread; handshakes
 * call back on their shards' threads; reload comes from the main thread at any time.
 * Invariant: a furnished context holds no certificate of its own. Each handshake takes the set of its
 * moment and moves to the context of the certificate that it chooses there, which stays alive by the
 * library's counts; so a swap is one pointer under a lock and breaks no handshake under way.
 */
#include "bgw/tls.h"

#include "bgw/assert.h"
#include "tls_set.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bgw_tls { /* any thread */
    pthread_mutex_t lock;
    struct bgw_tls_set *set;  /* under `lock`, which is held for a pointer's time only */
    char *min_version, *groups; /* for contexts that are furnished later */
};

/* ---- the set of the moment ---- */

static struct bgw_tls_set *hold(struct bgw_tls *tls)
{
    pthread_mutex_lock(&tls->lock);
    struct bgw_tls_set *set = tls->set;
    set->holders++;
    pthread_mutex_unlock(&tls->lock);
    return set;
}

static void let_go(struct bgw_tls *tls, struct bgw_tls_set *set)
{
    pthread_mutex_lock(&tls->lock);
    bool last = --set->holders == 0;
    pthread_mutex_unlock(&tls->lock);
    if (last)
        bgw_tls_set_free(set);
}

/* ---- handshake ---- */

/*
 * Called for every client's hello, with a name or without, and again if the client has to say another
 * one. The connection moves to the chosen certificate's context, which costs some counts; putting
 * certificate and key on the connection itself would check each time that they fit (a third of the handshake).
 */
static int choose(SSL *ssl, int *alert, void *arg)
{
    struct bgw_tls *tls = arg;
    struct bgw_tls_set *set = hold(tls);
    const struct bgw_tls_cert *c =
        bgw_tls_set_choose(set, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    bool ok = SSL_set_SSL_CTX(ssl, c->ctx) != NULL;
    SSL_set_verify(ssl, set->verify, NULL);
    let_go(tls, set);
    *alert = SSL_AD_INTERNAL_ERROR;
    return ok ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

enum bgw_status bgw_tls_furnish(struct bgw_tls *tls, struct ssl_ctx_st *ctx)
{
    const struct bgw_tls_config rules = {.min_version = tls->min_version, .groups = tls->groups};
    if (!bgw_tls_rules(ctx, &rules, NULL))
        return BGW_IO;
    SSL_CTX_set_tlsext_servername_callback(ctx, choose);
    SSL_CTX_set_tlsext_servername_arg(ctx, tls);
    return BGW_OK;
}

/* ---- one connection ---- */

bool bgw_tls_established(const struct ssl_st *ssl)
{
    return SSL_is_init_finished(ssl);
}

bool bgw_tls_peer_ended(const struct ssl_st *ssl)
{
    return (SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool bgw_tls_peer_verified(const struct ssl_st *ssl)
{
    return SSL_get0_peer_certificate(ssl) && SSL_get_verify_result(ssl) == X509_V_OK;
}

enum bgw_status bgw_tls_end(struct ssl_st *ssl)
{
    ERR_clear_error();
    int n = SSL_shutdown(ssl);
    if (n >= 0) /* 0: said, not answered yet; nobody waits for that */
        return BGW_OK;
    int why = SSL_get_error(ssl, n);
    ERR_clear_error();
    return why == SSL_ERROR_WANT_WRITE ? BGW_AGAIN : BGW_IO;
}

/* ---- life ---- */

enum bgw_status bgw_tls_create(struct bgw_tls **out, const struct bgw_tls_config *config,
                               struct bgw_now now, struct bgw_buf *error)
{
    struct bgw_tls *tls = calloc(1, sizeof(*tls));
    *out = NULL;
    if (!tls)
        return BGW_NO_MEMORY;
    pthread_mutex_init(&tls->lock, NULL);
    tls->min_version = strdup(config->min_version);
    tls->groups = strdup(config->groups ? config->groups : "");
    enum bgw_status status = tls->min_version && tls->groups
                                 ? bgw_tls_set_load(&tls->set, config, now, error)
                                 : BGW_NO_MEMORY;
    if (status != BGW_OK) {
        bgw_tls_destroy(&tls);
        return status;
    }
    tls->set->holders = 1;
    *out = tls;
    return BGW_OK;
}

enum bgw_status bgw_tls_reload(struct bgw_tls *tls, const struct bgw_tls_config *config,
                               struct bgw_now now, struct bgw_buf *error)
{
    struct bgw_tls_set *fresh;
    enum bgw_status status = bgw_tls_set_load(&fresh, config, now, error);
    if (status != BGW_OK)
        return status;
    fresh->holders = 1;
    pthread_mutex_lock(&tls->lock);
    struct bgw_tls_set *old = tls->set;
    tls->set = fresh;
    pthread_mutex_unlock(&tls->lock);
    let_go(tls, old);
    return BGW_OK;
}

void bgw_tls_destroy(struct bgw_tls **out)
{
    struct bgw_tls *tls = *out;
    if (!tls)
        return;
    BGW_ASSERT(!tls->set || tls->set->holders == 1);
    bgw_tls_set_free(tls->set);
    pthread_mutex_destroy(&tls->lock);
    free(tls->min_version);
    free(tls->groups);
    free(tls);
    *out = NULL;
}

/* ---- for people ---- */

static int64_t seconds_of(const ASN1_TIME *t)
{
    int days = 0, seconds = 0;
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    if (epoch)
        ASN1_TIME_diff(&days, &seconds, epoch, t);
    ASN1_TIME_free(epoch);
    return (int64_t)days * 86400 + seconds;
}

static void describe(const struct bgw_tls_cert *c, struct bgw_tls_cert_info *out)
{
    size_t at = 0;
    memset(out, 0, sizeof(*out));
    snprintf(out->file, sizeof(out->file), "%s", c->file);
    for (size_t i = 0; i < c->name_count; i++) {
        int n = snprintf(out->names + at, sizeof(out->names) - at, "%s%s", i ? ", " : "", c->names[i]);
        if (n < 0 || (size_t)n >= sizeof(out->names) - at) {
            out->names[at] = 0; /* whole names only */
            break;
        }
        at += (size_t)n;
    }
    out->not_before_s = seconds_of(X509_get0_notBefore(c->leaf));
    out->not_after_s = seconds_of(X509_get0_notAfter(c->leaf));
}

size_t bgw_tls_describe(const struct bgw_tls *tls, struct bgw_tls_cert_info *out, size_t cap)
{
    struct bgw_tls *owner = (struct bgw_tls *)(uintptr_t)tls; /* only its lock and counts change */
    struct bgw_tls_set *set = hold(owner);
    size_t count = set->count;
    for (size_t i = 0; i < count && i < cap; i++)
        describe(&set->certs[i], &out[i]);
    let_go(owner, set);
    return count;
}
