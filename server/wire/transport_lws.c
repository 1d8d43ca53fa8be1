/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_lws: hides how libwebsockets is set up and what it calls: one context a shard thread with
 * TLS, RAW role, driven by our loop through event_lib_custom. The library makes the context and the
 * connections of OpenSSL; our tls room furnishes the context, and the library never sees a
 * certificate. Everything that it tells goes to transport_socket.c, on the loop's thread.
 */
#include "transport_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/tls.h"

#include <string.h>
#include <sys/resource.h>

#define TX_PACKET_BYTES (1 << 24) /* larger writes would be cut there although the socket has room */
#define DESCRIPTORS_MAX (1 << 22) /* 64 MiB of untouched tables a context */

/* ---- what the library calls: event loop ---- */

/* NULL for the library's own event pipe and netlink socket: nobody signals the one for anything
 * that we wait for, and we do not want connections closed because a route went away. */
static struct bgw_socket *socket_of(struct lws *wsi)
{
    return lws_get_opaque_user_data(wsi);
}

static int on_accept(struct lws *wsi)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return 0;
    s->wsi = wsi;
    s->attached = bgw_loop_attach(s->transport->loop, &s->watch) == BGW_OK;
    return !s->attached;
}

static void on_io(struct lws *wsi, unsigned int flags)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return;
    if (flags & LWS_EV_READ)
        s->want_in = (flags & LWS_EV_START) != 0;
    if (flags & LWS_EV_WRITE)
        s->want_out = (flags & LWS_EV_START) != 0;
}

static int on_logical_close(struct lws *wsi)
{
    struct bgw_socket *s = socket_of(wsi);
    if (!s)
        return 0;
    lws_set_opaque_user_data(wsi, NULL); /* it still calls on_io for what it is about to free */
    bgw_socket_on_gone(s);
    return 0;
}

static int on_init_thread(struct lws_context *context, void *loop, int tsi)
{
    *(void **)lws_evlib_tsi_to_evlib_pt(context, tsi) = loop;
    return 0;
}

static const struct lws_event_loop_ops loop_ops = {
    .name = "bgw",
    .init_pt = on_init_thread,
    .init_vhost_listen_wsi = on_accept,
    .sock_accept = on_accept,
    .io = on_io,
    .wsi_logical_close = on_logical_close,
    .evlib_size_pt = sizeof(void *),
};

static const lws_plugin_evlib_t loop_plugin = {
    .hdr = {"bgw loop", "lws_evlib_plugin", LWS_BUILD_HASH, LWS_PLUGIN_API_MAGIC},
    .ops = &loop_ops,
};

/* ---- what the library calls: protocol ---- */

static int on_event(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    if (reason == LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS) {
        struct bgw_transport *t = lws_context_user(lws_get_context(wsi));
        t->ssl_ctx = user;
        return 0;
    }
    struct bgw_socket *s = wsi ? socket_of(wsi) : NULL;
    if (!s)
        return 0;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_RX:
        bgw_socket_on_received(s, bgw_slice_of(in, len));
        break;
    case LWS_CALLBACK_RAW_WRITEABLE:
        bgw_socket_on_writable(s);
        break;
    case LWS_CALLBACK_RAW_CLOSE:
        bgw_socket_on_closed(s);
        break;
    default:
        break;
    }
    return 0;
}

static const struct lws_protocols protocols[] = {
    {.name = "gw", .callback = on_event, .tx_packet_size = TX_PACKET_BYTES},
    LWS_PROTOCOL_LIST_TERM,
};

/* ---- what it is told ---- */

struct lws *bgw_transport_lws_adopt(struct bgw_socket *s)
{
    const lws_adopt_desc_t adopt = {
        .vh = s->transport->vhost,
        .type = LWS_ADOPT_SOCKET | LWS_ADOPT_ALLOW_SSL,
        .fd.sockfd = s->watch.fd,
        .vh_prot_name = "gw",
        .opaque = s,
    };
    return lws_adopt_descriptor_vhost_via_info(&adopt);
}

static void emit_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");
    (void)level;
    BGW_LOG(BGW_LOG_ERROR, "libwebsockets", {"text", LSL(bgw_slice_of(line, len))});
}

/* Some containers allow 2^30 descriptors; beyond ten million the library quietly takes 2,560 for its tables. */
static void cap_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur <= DESCRIPTORS_MAX)
        return;
    limit.rlim_cur = DESCRIPTORS_MAX;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* The descriptor limit of this moment is what the context can ever hold: raise it before. */
enum bgw_status bgw_transport_lws_create(struct bgw_transport *t)
{
    /* Zeros: the default policy would put a validity timer for each connection on a sorted list. */
    static const lws_retry_bo_t no_validity_timers;
    void *loops[] = {t};
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .vhost_name = "gw",
        .protocols = protocols,
        .event_lib_custom = &loop_plugin,
        .foreign_loops = loops,
        .retry_and_idle_policy = &no_validity_timers,
        .pt_serv_buf_size = BGW_INPUT_BYTES,
        .alpn = "http/1.1",
        .log_cx = &t->log,
        .user = t,
        .options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX,
    };
    t->log.u.emit = emit_log;
    t->log.lll_flags = LLL_ERR;
    cap_descriptor_limit();
    lws_set_log_level(LLL_ERR, emit_log);
    t->context = lws_create_context(&info);
    if (!t->context)
        return BGW_NO_MEMORY;
    t->vhost = lws_get_vhost_by_name(t->context, "gw");
    BGW_ASSERT(t->vhost);
    BGW_ASSERT(t->ssl_ctx); /* furnished only now: after that call the library still sets what it likes */
    return bgw_tls_furnish(t->tls, t->ssl_ctx);
}
