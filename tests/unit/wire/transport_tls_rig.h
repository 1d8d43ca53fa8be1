/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_tls_rig: the server of transport_rig.h with certificates, and clients of OpenSSL over
 * non-blocking sockets, driven between turns of the loop. All on one thread.
 */
#ifndef BGW_TRANSPORT_TLS_RIG_H
#define BGW_TRANSPORT_TLS_RIG_H

#include "transport_rig.h"

#include "tls/tls_rig.h"

struct client { /* OpenSSL's over a non-blocking socket */
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
};

static char pattern[1 << 20];

static inline void make_all(void)
{
    static bool made;
    if (made)
        return;
    made = true;
    rig_make(&(struct spec){.file = "ca", .name = "ca", .authority = true});
    rig_make(&(struct spec){.file = "a", .name = "a", .sans = "DNS:a.example"});
    rig_make(&(struct spec){.file = "b", .name = "b", .sans = "DNS:b.example"});
    rig_make(&(struct spec){.file = "staff", .name = "staff", .issuer = "ca"});
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i * 131 >> 4);
}

static inline struct bgw_tls *tls_open(struct server *s, struct bgw_transport_config *config)
{
    struct bgw_tls *tls;
    make_all();
    struct bgw_tls_config rules = rig_config("a,b");
    CHECK_EQ_STR(rig_create(&tls, &rules), "");
    config->tls = tls;
    server_open(s, config);
    return tls;
}

static inline void tls_close(struct server *s, struct bgw_tls *tls)
{
    server_close(s);
    bgw_tls_destroy(&tls);
}

static inline struct client client_of(int fd, SSL_CTX *ctx)
{
    struct client c = {.ctx = ctx, .ssl = SSL_new(ctx), .fd = fd};
    SSL_set_fd(c.ssl, fd);
    SSL_set_connect_state(c.ssl);
    SSL_set_mode(c.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return c;
}

static inline struct client dial_tls(struct server *s, int version, const char *cert, const char *name)
{
    size_t before = s->count;
    struct client c = client_of(dial(s->port), rig_client(version, cert));
    SSL_set_alpn_protos(c.ssl, (const unsigned char *)"\x02h2\x08http/1.1", 12); /* as browsers do */
    if (name)
        SSL_set_tlsext_host_name(c.ssl, name);
    AWAIT_DOING(s, (void)SSL_do_handshake(c.ssl), s->count > before && SSL_is_init_finished(c.ssl));
    return c;
}

static inline void hang_up(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    close(c->fd);
    ERR_clear_error();
}

static inline void say(struct client *c, const char *text)
{
    CHECK_EQ_I64(SSL_write(c->ssl, text, (int)strlen(text)), strlen(text));
}

static inline void expect(struct server *s, struct client *c, const char *text)
{
    char buf[256];
    int have = 0, want = (int)strlen(text), n;
    AWAIT_DOING(s, n = SSL_read(c->ssl, buf + have, want - have), (have += n > 0 ? n : 0, have == want));
    test_check_slice_(__FILE__, __LINE__, "heard", bgw_slice_of(buf, (size_t)have), bgw_slice_str(text));
}

/* What SSL_get_error says once the server has nothing more to say. */
static inline int end_of(struct server *s, struct client *c)
{
    char buf[4096];
    int n = 0, why = SSL_ERROR_WANT_READ;
    AWAIT_DOING(s, n = SSL_read(c->ssl, buf, sizeof(buf)),
          n <= 0 && (why = SSL_get_error(c->ssl, n)) != SSL_ERROR_WANT_READ);
    ERR_clear_error();
    return why;
}

#endif
