/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_set: hides how certificates, keys and authorities are read and checked. Called by tls.c, by
 * whoever starts or reloads the gateway. Invariant: a set that loads is one that every handshake can
 * use: keys fit, dates hold, and the library itself has accepted each pair under the rules of the port.
 */
#include "tls_set.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NAME_MAX_BYTES 253

/* one load */
struct load {
    struct bgw_tls_set *set;
    const struct bgw_tls_config *config;
    int64_t now_s;
    struct bgw_buf *error;
};

/* ---- errors ---- */

/* The library's own reason, the first one of the queue: it stands nearest to the cause. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());
    ERR_clear_error();
    return text ? text : "no further reason";
}

static bool refuse(const struct load *l, const char *file, const char *what)
{
    bgw_buf_appendf(l->error, "%s: %s", file, what);
    ERR_clear_error();
    return false;
}

static bool refuse_with_reason(const struct load *l, const char *file, const char *what)
{
    bgw_buf_appendf(l->error, "%s: %s (%s)", file, what, reason());
    return false;
}

/* ---- files ---- */

/* Never asks: a gateway has nobody at its terminal. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static bool load_chain(const struct load *l, struct bgw_tls_cert *c)
{
    BIO *in = BIO_new_file(c->file, "r");
    X509 *x;
    if (!in)
        return refuse(l, c->file, "the certificate file cannot be read: check that it exists and who may read it");
    c->leaf = PEM_read_bio_X509(in, NULL, no_password, NULL);
    c->chain = sk_X509_new_null();
    bool ok = c->leaf && c->chain;
    while (ok && (x = PEM_read_bio_X509(in, NULL, no_password, NULL))) {
        ok = sk_X509_num(c->chain) < BGW_TLS_CHAIN_MAX && sk_X509_push(c->chain, x) > 0;
        if (!ok)
            X509_free(x);
    }
    /* the end of the file is "no start line"; anything else is a damaged certificate */
    if (ok && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        ok = false;
    BIO_free(in);
    if (!ok)
        return refuse_with_reason(l, c->file, "this is not a PEM file with a certificate and those that vouch for it");
    ERR_clear_error();
    return true;
}

static bool load_key(const struct load *l, struct bgw_tls_cert *c, const char *file)
{
    BIO *in = BIO_new_file(file, "r");
    if (!in)
        return refuse(l, file, "the key file cannot be read: check that it exists and who may read it");
    c->key = PEM_read_bio_PrivateKey(in, NULL, no_password, NULL);
    BIO_free(in);
    if (!c->key)
        return refuse_with_reason(l, file, "this is not a PEM file with a private key that needs no password");
    if (X509_check_private_key(c->leaf, c->key) == 1)
        return true;
    bgw_buf_appendf(l->error, "%s: this key does not belong to the certificate in %s: files are taken pair by pair, in order", file,
                    c->file);
    ERR_clear_error();
    return false;
}

static bool check_dates(const struct load *l, const struct bgw_tls_cert *c)
{
    time_t now = (time_t)l->now_s;
    if (X509_cmp_time(X509_get0_notAfter(c->leaf), &now) <= 0)
        return refuse(l, c->file, "the certificate has expired: put a new one in its place");
    if (X509_cmp_time(X509_get0_notBefore(c->leaf), &now) > 0)
        return refuse(l, c->file, "the certificate is not valid yet: look at its dates and at this machine's clock");
    return true;
}

/* ---- names ---- */

static bool add_name(struct bgw_tls_cert *c, const ASN1_STRING *s)
{
    const char *text = (const char *)ASN1_STRING_get0_data(s);
    int len = ASN1_STRING_length(s);
    if (len <= 0 || len > NAME_MAX_BYTES || memchr(text, 0, (size_t)len))
        return true; /* no client can ask for it */
    if (c->name_count == BGW_TLS_NAMES_MAX)
        return false;
    char *copy = strndup(text, (size_t)len);
    if (copy)
        c->names[c->name_count++] = copy;
    return copy != NULL;
}

static bool add_common_name(struct bgw_tls_cert *c)
{
    const X509_NAME *subject = X509_get_subject_name(c->leaf);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0)
        return true;
    return add_name(c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static bool load_names(const struct load *l, struct bgw_tls_cert *c)
{
    GENERAL_NAMES *alt = X509_get_ext_d2i(c->leaf, NID_subject_alt_name, NULL, NULL);
    bool ok = true;
    c->names = calloc(BGW_TLS_NAMES_MAX, sizeof(*c->names));
    if (!c->names)
        ok = false;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(alt); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(alt, i);
        if (n->type == GEN_DNS)
            ok = add_name(c, n->d.dNSName);
    }
    if (ok && c->name_count == 0)
        ok = add_common_name(c);
    GENERAL_NAMES_free(alt);
    return ok || refuse(l, c->file, "the certificate has more names than can be held");
}

static bool exact(const struct bgw_tls_cert *c, const char *name)
{
    for (size_t i = 0; i < c->name_count; i++) {
        if (strcasecmp(c->names[i], name) == 0)
            return true;
    }
    return false;
}

static bool wildcard(const struct bgw_tls_cert *c, const char *name)
{
    const char *dot = strchr(name, '.');
    if (!dot || dot == name)
        return false;
    for (size_t i = 0; i < c->name_count; i++) {
        if (c->names[i][0] == '*' && strcasecmp(c->names[i] + 1, dot) == 0)
            return true;
    }
    return false;
}

const struct bgw_tls_cert *bgw_tls_set_choose(const struct bgw_tls_set *set, const char *name)
{
    for (size_t i = 0; name && i < set->count; i++) {
        if (exact(&set->certs[i], name))
            return &set->certs[i];
    }
    for (size_t i = 0; name && i < set->count; i++) {
        if (wildcard(&set->certs[i], name))
            return &set->certs[i];
    }
    return &set->certs[0];
}

/* ---- loading ---- */

/* The library is asked too: it refuses short keys, weak digests and kinds of keys that the ciphers cannot use. */
static bool make_context(const struct load *l, struct bgw_tls_cert *c)
{
    c->ctx = SSL_CTX_new(TLS_server_method());
    if (!c->ctx || !bgw_tls_rules(c->ctx, l->config, l->error))
        return l->error->len == 0 ? refuse(l, c->file, "the TLS library has no memory left") : false;
    if (SSL_CTX_use_cert_and_key(c->ctx, c->leaf, c->key, c->chain, 1) != 1)
        return refuse_with_reason(l, c->file, "the TLS library refuses this certificate");
    return true;
}

static bool load_pair(const struct load *l, const char *cert_file, const char *key_file)
{
    struct bgw_tls_cert *c = &l->set->certs[l->set->count++];
    c->file = cert_file;
    return load_chain(l, c) && load_key(l, c, key_file) && check_dates(l, c) && load_names(l, c) &&
           make_context(l, c);
}

static char *next_file(char **cursor)
{
    char *file = strsep(cursor, ",");
    if (!file)
        return NULL;
    file += strspn(file, " ");
    for (size_t len = strlen(file); len && file[len - 1] == ' ';)
        file[--len] = 0;
    return file;
}

static bool load_pairs(const struct load *l, char *keys)
{
    char *certs = l->set->files, *key_file, *cert_file;
    while ((cert_file = next_file(&certs)) && cert_file[0]) {
        key_file = next_file(&keys);
        if (!key_file || !key_file[0])
            return refuse(l, cert_file, "there is no private key for this certificate: name as many key files as certificate files");
        if (l->set->count == BGW_TLS_CERTS_MAX)
            return refuse(l, cert_file, "there are more than 64 certificates");
        if (!load_pair(l, cert_file, key_file))
            return false;
    }
    if (l->set->count == 0)
        return refuse(l, "tls_cert", "no certificate is named");
    return !keys || !next_file(&keys) || refuse(l, "tls_key", "there are more key files than certificate files");
}

static bool believe(const struct load *l, SSL_CTX *ctx)
{
    const char *file = l->config->client_ca;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    bool ok = names && sk_X509_NAME_num(names) > 0 && SSL_CTX_load_verify_file(ctx, file) == 1;
    if (!ok)
        sk_X509_NAME_pop_free(names, X509_NAME_free);
    else
        SSL_CTX_set0_CA_list(ctx, names); /* what clients are told: by whom they may be vouched for */
    return ok || refuse_with_reason(l, file, "this is not a readable PEM file with certificates of authorities");
}

static bool load_client_ca(const struct load *l)
{
    const struct bgw_tls_config *c = l->config;
    if (c->client == BGW_TLS_CLIENT_OFF)
        return true;
    if (!c->client_ca || !c->client_ca[0])
        return refuse(l, "tls_client_ca", "client certificates are asked for: name the file with their authorities");
    for (size_t i = 0; i < l->set->count; i++) {
        if (!believe(l, l->set->certs[i].ctx))
            return false;
    }
    l->set->verify = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;
    if (c->client == BGW_TLS_CLIENT_REQUIRED)
        l->set->verify |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    ERR_clear_error();
    return true;
}

enum bgw_status bgw_tls_set_load(struct bgw_tls_set **out, const struct bgw_tls_config *config,
                                 struct bgw_now now, struct bgw_buf *error)
{
    struct bgw_tls_set *set = calloc(1, sizeof(*set));
    char *keys = strdup(config->key_files ? config->key_files : "");
    const struct load l = {set, config, now.wall_ms / 1000, error};
    *out = NULL;
    if (set)
        set->files = strdup(config->cert_files ? config->cert_files : "");
    if (!set || !keys || !set->files) {
        free(keys);
        bgw_tls_set_free(set);
        return BGW_NO_MEMORY;
    }
    bool ok = load_pairs(&l, keys) && load_client_ca(&l);
    free(keys);
    if (!ok) {
        bgw_tls_set_free(set);
        return BGW_CONFIG;
    }
    *out = set;
    return BGW_OK;
}

void bgw_tls_set_free(struct bgw_tls_set *set)
{
    if (!set)
        return;
    for (size_t i = 0; i < set->count; i++) {
        struct bgw_tls_cert *c = &set->certs[i];
        SSL_CTX_free(c->ctx);
        X509_free(c->leaf);
        EVP_PKEY_free(c->key);
        sk_X509_pop_free(c->chain, X509_free);
        for (size_t n = 0; n < c->name_count; n++)
            free(c->names[n]);
        free(c->names);
    }
    free(set->files);
    free(set);
}
