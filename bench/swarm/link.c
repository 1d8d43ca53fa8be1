/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link: bytes between one client and the server, plain or through TLS. Hides OpenSSL. Writes of the
 * swarm are small and follow the server's own pace, so a socket that does not take one whole is an
 * error of the run, not a case to buffer for.
 */
#include "swarm.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static SSL_CTX *context;

bool link_setup(const struct options *o)
{
    if (!o->tls)
        return true;
    context = SSL_CTX_new(TLS_client_method());
    if (!context)
        return false;
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (!o->ca) /* a load client does not care whom it loads; tests of trust are elsewhere */
        return o->groups ? SSL_CTX_set1_groups_list(context, o->groups) == 1 : true;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_load_verify_locations(context, o->ca, NULL) == 1 &&
           (!o->groups || SSL_CTX_set1_groups_list(context, o->groups) == 1);
}

bool link_open(struct client *c)
{
    if (!context)
        return true;
    c->ssl = SSL_new(context);
    return c->ssl && SSL_set_fd(c->ssl, c->fd) == 1 && SSL_set_tlsext_host_name(c->ssl, "localhost") == 1;
}

enum link_progress link_handshake(struct swarm *s, struct client *c)
{
    if (!c->ssl)
        return LINK_DONE;
    ERR_clear_error();
    int done = SSL_connect(c->ssl);
    if (done == 1)
        return LINK_DONE;
    int why = SSL_get_error(c->ssl, done);
    if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE)
        return LINK_FAILED;
    struct epoll_event e = {.events = why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, .data.ptr = c};
    return epoll_ctl(s->epfd, EPOLL_CTL_MOD, c->fd, &e) == 0 ? LINK_WAITS : LINK_FAILED;
}

bool link_send(struct client *c, struct bgw_slice bytes)
{
    if (!c->ssl)
        return send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len;
    ERR_clear_error();
    return SSL_write(c->ssl, bytes.data, (int)bytes.len) == (int)bytes.len;
}

ssize_t link_recv(struct client *c, char *to, size_t cap)
{
    if (!c->ssl) {
        ssize_t n = recv(c->fd, to, cap, 0);
        return n < 0 && errno == EAGAIN ? LINK_NOTHING : n;
    }
    ERR_clear_error();
    int n = SSL_read(c->ssl, to, (int)cap);
    if (n > 0)
        return n;
    return SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? LINK_NOTHING : 0;
}

bool link_has_more(const struct client *c)
{
    return c->ssl && SSL_pending(c->ssl) > 0;
}

void link_close(struct client *c)
{
    if (c->ssl) {
        SSL_set_quiet_shutdown(c->ssl, 1);
        SSL_free(c->ssl);
        c->ssl = NULL;
    }
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}
