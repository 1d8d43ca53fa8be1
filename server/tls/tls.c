/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: hides OpenSSL's contexts and callbacks. Contexts are furnished on the main thread; handshakes
 * call back on their shards' threads; reload comes from the main thread at any time.
 * Invariant: a context holds no certificate of its own. Each handshake takes the set of its moment
 * and puts certificate, key and authorities on its own connection, where they stay alive by the
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

#define CLIENT_CHAIN_BYTES_MAX 32768 /* of certificates that a client shows */

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

static bool ask_client(SSL *ssl, const struct bgw_tls_set *set)
{
    if (!set->client_cas)
        return true;
    STACK_OF(X509_NAME) *names = SSL_dup_CA_list(set->client_names);
    if (!names || !SSL_set1_verify_cert_store(ssl, set->client_cas)) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        return false;
    }
    SSL_set0_CA_list(ssl, names);
    SSL_set_verify(ssl, set->verify, NULL);
    return true;
}

/* After the client's hello: everything that a reload may change is put on the connection here. */
static int choose(SSL *ssl, void *arg)
{
    struct bgw_tls *tls = arg;
    struct bgw_tls_set *set = hold(tls);
    const struct bgw_tls_cert *c =
        bgw_tls_set_choose(set, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    int ok = SSL_use_cert_and_key(ssl, c->leaf, c->key, c->chain, 1) == 1 && ask_client(ssl, set);
    let_go(tls, set);
    return ok;
}

static int take_any_name(SSL *ssl, int *alert, void *arg)
{
    (void)ssl;
    (void)alert;
    (void)arg;
    return SSL_TLSEXT_ERR_OK;
}

static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                           const unsigned char *in, unsigned int in_len, void *arg)
{
    static const unsigned char ours[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)arg;
    if (SSL_select_next_proto(&chosen, out_len, ours, sizeof(ours) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* who speaks only h2 is told so here, not after its preface */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

enum bgw_status bgw_tls_furnish(struct bgw_tls *tls, struct ssl_ctx_st *ctx)
{
    const struct bgw_tls_config rules = {.min_version = tls->min_version, .groups = tls->groups};
    if (!bgw_tls_set_rules(ctx, &rules, NULL) ||
        !SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bgw", 3) ||
        !SSL_CTX_set_num_tickets(ctx, 0) || !SSL_CTX_set_max_early_data(ctx, 0)) {
        ERR_clear_error();
        return BGW_IO;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* or a peer that sends key updates for ever would keep one read, and so the thread, for ever */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 0); /* or bytes would wait where no event tells of them */
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_BYTES_MAX);
    SSL_CTX_set_tlsext_servername_callback(ctx, take_any_name);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    SSL_CTX_set_cert_cb(ctx, choose, tls);
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
