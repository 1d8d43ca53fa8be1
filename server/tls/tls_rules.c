/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_rules: hides which TLS is spoken here, for every context alike: those that others make and we
 * furnish, and those of each certificate. Called by tls.c and tls_set.c, at start and at reload.
 * Invariant: forward secrecy and authenticated encryption always; nothing is resumed, compressed,
 * negotiated again or sent early.
 */
#include "tls_set.h"

#include <openssl/err.h>
#include <string.h>

#define CIPHERS_1_2 "ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define CLIENT_CHAIN_BYTES_MAX 32768 /* of certificates that a client shows */

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

static bool set_groups(SSL_CTX *ctx, const char *groups, struct bgw_buf *error)
{
    if (!groups || !groups[0] || SSL_CTX_set1_groups_list(ctx, groups))
        return true;
    if (error)
        bgw_buf_appendf(error,
                        "BGW_TLS_GROUPS is \"%s\": the list is not understood: write names such as "
                        "X25519MLKEM768, X25519 or P-256 with colons between them",
                        groups);
    return false;
}

static void set_what_is_not_done(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* or a peer that sends key updates for ever would keep one read, and so the thread, for ever */
    SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_read_ahead(ctx, 0); /* or bytes would wait where no event tells of them */
    SSL_CTX_set_max_cert_list(ctx, CLIENT_CHAIN_BYTES_MAX);
}

bool bgw_tls_rules(SSL_CTX *ctx, const struct bgw_tls_config *config, struct bgw_buf *error)
{
    const char *min = config->min_version;
    bool only_1_3 = strcmp(min, "1.3") == 0;
    if (!only_1_3 && strcmp(min, "1.2") != 0) {
        if (error)
            bgw_buf_appendf(error, "the least version of TLS must be 1.2 or 1.3, not \"%s\"", min);
        return false;
    }
    bool ok = SSL_CTX_set_min_proto_version(ctx, only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) &&
              SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) && SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) &&
              SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"bgw", 3) &&
              SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_max_early_data(ctx, 0) &&
              set_groups(ctx, config->groups, error);
    set_what_is_not_done(ctx);
    SSL_CTX_set_alpn_select_cb(ctx, choose_protocol, NULL);
    ERR_clear_error();
    return ok;
}
