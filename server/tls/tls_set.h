/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_set: what one load of the certificate files gave, checked and never changed afterwards.
 * Handshakes hold the set they began with; the last holder frees it. For server/tls only.
 */
#ifndef BGW_TLS_SET_H
#define BGW_TLS_SET_H

#include "bgw/tls.h"

#include <openssl/ssl.h>

#define BGW_TLS_CERTS_MAX 64
#define BGW_TLS_NAMES_MAX 1000 /* of one certificate */
#define BGW_TLS_CHAIN_MAX 16

struct bgw_tls_cert { /* immutable once loaded */
    SSL_CTX *ctx; /* with all of it: what a handshake's connection is moved to */
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) *chain;
    const char *file; /* inside the set's `files` */
    char **names;     /* as in the certificate; a wildcard begins with "*." */
    size_t name_count;
};

struct bgw_tls_set { /* immutable once loaded, but for `holders`, under its owner's lock */
    size_t holders;
    size_t count;
    struct bgw_tls_cert certs[BGW_TLS_CERTS_MAX];
    char *files;
    int verify; /* SSL_VERIFY_... */
};

/* BGW_CONFIG with the reason in `error`; BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_tls_set_load(struct bgw_tls_set **out, const struct bgw_tls_config *config,
                                                struct bgw_now now, struct bgw_buf *error);
void bgw_tls_set_free(struct bgw_tls_set *set);
/* Exact names first, then wildcards one label deep, then the first certificate. `name` may be NULL. */
const struct bgw_tls_cert *bgw_tls_set_choose(const struct bgw_tls_set *set, const char *name);
/* What every context gets: versions, ciphers, groups and what is not done. False: `error`, if given, says what is wrong. */
bool bgw_tls_rules(SSL_CTX *ctx, const struct bgw_tls_config *config, struct bgw_buf *error);

#endif
