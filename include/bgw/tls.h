/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls: certificates, keys and the rules of TLS, for both ports. Hides OpenSSL and how certificates
 * are swapped. Contexts are made by others (libwebsockets, the admin port) and furnished here; each
 * handshake asks for the set of that moment, so a reload drops nobody.
 */
#ifndef BGW_TLS_H
#define BGW_TLS_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/status.h"

#include <stdbool.h>

struct ssl_ctx_st; /* OpenSSL's SSL_CTX and SSL */
struct ssl_st;

enum bgw_tls_client { BGW_TLS_CLIENT_OFF, BGW_TLS_CLIENT_OPTIONAL, BGW_TLS_CLIENT_REQUIRED };

struct bgw_tls_config { /* borrows */
    const char *cert_files, *key_files; /* PEM, lists with commas, pair by pair; the first is the default */
    const char *min_version;            /* "1.2" or "1.3" */
    const char *groups;                 /* OpenSSL's list */
    const char *client_ca;              /* PEM; may be "" if client is OFF */
    enum bgw_tls_client client;
};

struct bgw_tls; /* any thread */

/* BGW_CONFIG: a file cannot be read, a key is not the certificate's, a certificate has expired or is not valid yet, the group list
 * is unknown; `error` names the file or key and what to do. BGW_NO_MEMORY. */
BGW_MUST_CHECK enum bgw_status bgw_tls_create(struct bgw_tls **out, const struct bgw_tls_config *config,
                                              struct bgw_now now, struct bgw_buf *error);
/* Certificates, keys and the client CA anew; on failure everything stays as it was. Handshakes under way keep what they have. */
BGW_MUST_CHECK enum bgw_status bgw_tls_reload(struct bgw_tls *tls, const struct bgw_tls_config *config,
                                              struct bgw_now now, struct bgw_buf *error);
void bgw_tls_destroy(struct bgw_tls **tls); /* after every context that it furnished */
/* Versions, groups, ciphers, no renegotiation, no tickets, no cache, no early data, ALPN http/1.1, client certificates, and the
 * choice by name. A read ends after each record, so that nobody keeps a thread. BGW_IO if the library refuses. */
BGW_MUST_CHECK enum bgw_status bgw_tls_furnish(struct bgw_tls *tls, struct ssl_ctx_st *ctx);

/* One connection, on its thread. */
bool bgw_tls_established(const struct ssl_st *ssl); /* the handshake is complete */
bool bgw_tls_peer_ended(const struct ssl_st *ssl);  /* has said close_notify */
/* Did this connection's peer show a certificate that our client CA vouches for. */
bool bgw_tls_peer_verified(const struct ssl_st *ssl);
/* Says close_notify: everything that was written was everything. BGW_AGAIN: again when the socket takes bytes; BGW_IO: cannot be said. */
BGW_MUST_CHECK enum bgw_status bgw_tls_end(struct ssl_st *ssl);

/* One certificate, for `bgw doctor` and the log. */
struct bgw_tls_cert_info {
    char file[256], names[512]; /* "a.example, *.b.example" */
    int64_t not_before_s, not_after_s;
};
size_t bgw_tls_describe(const struct bgw_tls *tls, struct bgw_tls_cert_info *out, size_t cap); /* how many there are */

#endif
