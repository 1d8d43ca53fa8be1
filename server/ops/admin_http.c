/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_http: the admin port: its listener and how many connections it has. Ops thread only. At
 * most BGW_ADMIN_CONNECTIONS_MAX; beyond it a plain port says 503, a TLS port just closes, for a
 * handshake would be the dearest part of a refusal.
 */
#include "admin_conn.h"
#include "admin_pages.h"
#include "admin_tls.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_PAUSE_MS 100 /* no descriptors left: a level-triggered listener would spin */

static void refuse_accept(const struct bgw_admin *admin, int fd)
{
    struct bgw_buf out;
    bgw_buf_init(&out, 4096);
    bgw_admin_refuse(503, BGW_SLICE(""), &out);
    if (!admin->tls)
        (void)!send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    bgw_buf_deinit(&out);
    close(fd);
    BGW_LOG(BGW_LOG_WARN, "admin_refused", {"reason", LS("too_many_connections")},
            {"maximum", LI(BGW_ADMIN_CONNECTIONS_MAX)});
}

static void on_accept_again(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_admin *admin = BGW_CONTAINER(timer, struct bgw_admin, accept_again);
    bgw_loop_change(admin->loop, &admin->listener, EPOLLIN);
}

static void on_listener(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    struct bgw_admin *admin = BGW_CONTAINER(f, struct bgw_admin, listener);
    int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        if (admin->conn_count == BGW_ADMIN_CONNECTIONS_MAX || bgw_admin_conn_open(admin, fd) != BGW_OK)
            refuse_accept(admin, fd);
        return;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS)
        return; /* the peer went away, or somebody else's event */
    BGW_LOG(BGW_LOG_WARN, "admin_accept_failed", {"error", LS(strerror(errno))});
    bgw_loop_change(admin->loop, &admin->listener, 0);
    bgw_wheel_arm(bgw_loop_wheel(admin->loop), &admin->accept_again,
                  bgw_loop_now(admin->loop).mono_ms + ACCEPT_PAUSE_MS);
}

enum bgw_status bgw_admin_create(struct bgw_admin **out, struct bgw_loop *loop,
                                 const struct bgw_admin_config *config)
{
    BGW_ASSERT(config->health && config->version);
    struct bgw_admin *admin = calloc(1, sizeof(*admin));
    if (!admin) {
        close(config->listen_fd);
        return BGW_NO_MEMORY;
    }
    admin->loop = loop;
    admin->config = *config;
    bgw_list_init(&admin->conns);
    bgw_timer_init(&admin->accept_again, on_accept_again);
    admin->listener =
        (struct bgw_loop_fd){.fd = config->listen_fd, .events = EPOLLIN, .ready = on_listener};
    enum bgw_status status = config->tls ? bgw_admin_tls_create(&admin->tls, config->tls) : BGW_OK;
    if (status == BGW_OK)
        status = bgw_loop_attach(loop, &admin->listener);
    if (status != BGW_OK) {
        if (admin->tls)
            bgw_admin_tls_destroy(&admin->tls);
        close(config->listen_fd);
        free(admin);
        return status;
    }
    *out = admin;
    return BGW_OK;
}

void bgw_admin_destroy(struct bgw_admin **admin)
{
    struct bgw_admin *a = *admin;
    if (!a)
        return;
    bgw_admin_conns_close(a);
    bgw_wheel_cancel(bgw_loop_wheel(a->loop), &a->accept_again);
    bgw_loop_detach(a->loop, &a->listener);
    close(a->listener.fd);
    if (a->tls)
        bgw_admin_tls_destroy(&a->tls);
    free(a);
    *admin = NULL;
}
