/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_tls: a context a link, a connection a connection. hiredis' own TLS does not compare the
 * certificate's name with the host's, so it is not used. Called on the link's thread; the context is made
 * before the loop runs, for reading the system's authorities takes a while. The process ignores SIGPIPE.
 */
#include "link_tls.h"

#include "bgw/net.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

struct bgw_redis_tls {
    SSL_CTX *ctx;
};

enum bgw_status bgw_redis_tls_create(struct bgw_redis_tls **out, const char *ca_file, struct bgw_buf *error)
{
    struct bgw_redis_tls *tls = calloc(1, sizeof(*tls));
    if (!tls)
        return BGW_NO_MEMORY;
    tls->ctx = SSL_CTX_new(TLS_client_method());
    bool own = ca_file && *ca_file;
    if (!tls->ctx || SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION) != 1) {
        bgw_redis_tls_destroy(&tls);
        return BGW_NO_MEMORY;
    }
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    int rc = own ? SSL_CTX_load_verify_locations(tls->ctx, ca_file, NULL) : SSL_CTX_set_default_verify_paths(tls->ctx);
    ERR_clear_error();
    if (rc != 1) {
        bgw_buf_appendf(error, "REDIS_CA: %s", own ? "the file cannot be read, or holds no certificate in PEM form"
                                                   : "the system's authorities cannot be read; name a PEM file");
        bgw_redis_tls_destroy(&tls);
        return BGW_CONFIG;
    }
    *out = tls;
    return BGW_OK;
}

void bgw_redis_tls_destroy(struct bgw_redis_tls **tls)
{
    if (*tls)
        SSL_CTX_free((*tls)->ctx);
    free(*tls);
    *tls = NULL;
}

/* A number is compared with the certificate's addresses, anything else with its names. */
static bool expect(SSL *ssl, const char *host)
{
    struct bgw_addr ignored;
    if (bgw_addr_parse(bgw_slice_str(host), &ignored))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct ssl_st *bgw_redis_tls_open(struct bgw_redis_tls *tls, int fd, const char *host)
{
    SSL *ssl = SSL_new(tls->ctx);
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || !expect(ssl, host)) {
        SSL_free(ssl);
        return NULL;
    }
    SSL_set_connect_state(ssl);
    return ssl;
}

static enum bgw_redis_tls_result result_of(SSL *ssl, int rc)
{
    int why = rc == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl, rc);
    ERR_clear_error();
    switch (why) {
    case SSL_ERROR_NONE:
        return BGW_REDIS_TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return BGW_REDIS_TLS_READ;
    case SSL_ERROR_WANT_WRITE:
        return BGW_REDIS_TLS_WRITE;
    default:
        return BGW_REDIS_TLS_ENDED;
    }
}

enum bgw_redis_tls_result bgw_redis_tls_shake(struct ssl_st *ssl)
{
    ERR_clear_error();
    return result_of(ssl, SSL_do_handshake(ssl));
}

const char *bgw_redis_tls_why(const struct ssl_st *ssl)
{
    long why = SSL_get_verify_result(ssl);
    if (why == X509_V_OK)
        return "the TLS handshake failed";
    return why == X509_V_ERR_HOSTNAME_MISMATCH || why == X509_V_ERR_IP_ADDRESS_MISMATCH
               ? "the server's certificate is of another name"
               : "the server's certificate is not trusted";
}

enum bgw_redis_tls_result bgw_redis_tls_read(struct ssl_st *ssl, char *out, size_t cap, size_t *n)
{
    ERR_clear_error();
    return result_of(ssl, SSL_read_ex(ssl, out, cap, n));
}

enum bgw_redis_tls_result bgw_redis_tls_write(struct ssl_st *ssl, struct bgw_slice bytes, size_t *n)
{
    ERR_clear_error();
    return result_of(ssl, SSL_write_ex(ssl, bytes.data, bytes.len, n));
}

void bgw_redis_tls_close(struct ssl_st *ssl)
{
    if (!ssl)
        return;
    if (SSL_is_init_finished(ssl))
        (void)SSL_shutdown(ssl);
    ERR_clear_error();
    SSL_free(ssl);
}
