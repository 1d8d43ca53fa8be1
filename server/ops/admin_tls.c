/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_tls: hides OpenSSL's non-blocking ways from the admin port: a read that wants to write, an
 * error queue that must be empty before each call, bytes that wait inside the library. Ops thread
 * only. Invariant: after BGW_ADMIN_AGAIN, `wants` names what the library waits for.
 */
#include "admin_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum bgw_status bgw_admin_tls_create(struct ssl_ctx_st **out, struct bgw_tls *tls)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx)
        return BGW_NO_MEMORY;
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    enum bgw_status status = bgw_tls_furnish(tls, ctx);
    if (status != BGW_OK) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = ctx;
    return BGW_OK;
}

void bgw_admin_tls_destroy(struct ssl_ctx_st **ctx)
{
    SSL_CTX_free(*ctx);
    *ctx = NULL;
}

enum bgw_status bgw_admin_link_open(struct bgw_admin_link *l, int fd, struct ssl_ctx_st *ctx)
{
    *l = (struct bgw_admin_link){.fd = fd};
    if (!ctx)
        return BGW_OK;
    l->ssl = SSL_new(ctx);
    if (l->ssl && SSL_set_fd(l->ssl, fd) == 1) {
        SSL_set_accept_state(l->ssl);
        return BGW_OK;
    }
    bgw_admin_link_close(l);
    return BGW_NO_MEMORY;
}

/* What the library's answer means: BGW_ADMIN_AGAIN, 0 or -1. */
static int meaning(struct bgw_admin_link *l, int rc)
{
    switch (SSL_get_error(l->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        l->wants = EPOLLIN;
        return BGW_ADMIN_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        l->wants = EPOLLOUT;
        return BGW_ADMIN_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        return -1;
    }
}

int bgw_admin_link_handshake(struct bgw_admin_link *l)
{
    ERR_clear_error();
    int rc = SSL_accept(l->ssl);
    if (rc == 1)
        return 1;
    return meaning(l, rc) == BGW_ADMIN_AGAIN ? BGW_ADMIN_AGAIN : -1;
}

static ssize_t plain(struct bgw_admin_link *l, ssize_t n, uint32_t wants)
{
    l->wants = wants;
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? BGW_ADMIN_AGAIN : -1;
}

ssize_t bgw_admin_link_recv(struct bgw_admin_link *l, void *out, size_t cap)
{
    if (!l->ssl)
        return plain(l, recv(l->fd, out, cap, 0), EPOLLIN);
    size_t n = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(l->ssl, out, cap, &n);
    return rc == 1 ? (ssize_t)n : meaning(l, rc);
}

ssize_t bgw_admin_link_send(struct bgw_admin_link *l, const void *data, size_t len)
{
    if (!l->ssl)
        return plain(l, send(l->fd, data, len, MSG_NOSIGNAL), EPOLLOUT);
    size_t n = 0;
    ERR_clear_error();
    int rc = SSL_write_ex(l->ssl, data, len, &n); /* the process ignores SIGPIPE */
    if (rc == 1)
        return (ssize_t)n;
    return meaning(l, rc) == BGW_ADMIN_AGAIN ? BGW_ADMIN_AGAIN : -1;
}

bool bgw_admin_link_pending(const struct bgw_admin_link *l)
{
    return l->ssl && SSL_has_pending(l->ssl);
}

void bgw_admin_link_end(struct bgw_admin_link *l)
{
    if (l->ssl) {
        ERR_clear_error();
        (void)SSL_shutdown(l->ssl); /* says close_notify if the socket takes it; nobody waits for the answer */
    }
    shutdown(l->fd, SHUT_WR);
}

void bgw_admin_link_close(struct bgw_admin_link *l)
{
    SSL_free(l->ssl);
    l->ssl = NULL;
    close(l->fd);
}
