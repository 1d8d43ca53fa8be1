/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport: hides how one shard's sockets come to be and end: the listener, admission, adoption by
 * the library, the end of each turn. The files transport*.c are the only ones that name libwebsockets.
 * Invariants: handshakes under way are bounded, and when there are too many the oldest gives way, so
 * that silent clients cannot keep out those who speak; whoever was adopted is given back exactly once.
 */
#include "transport_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MAX_MS 60000
#define HANDSHAKE_BYTES 65536 /* what the library and OpenSSL take for one, generously */

/* ---- admission's other end ---- */

/* Somebody who has said nothing yet has no right to a place that another wants. */
static bool has_room(void *arg)
{
    struct bgw_transport *t = arg;
    return t->sockets.in_use + bgw_admission_waiting(t->admission) < t->sockets_max ||
           bgw_admission_make_way(t->admission);
}

static void arrived(void *arg, int fd, const struct sockaddr *peer)
{
    bgw_admission_arrived(((struct bgw_transport *)arg)->admission, fd, peer);
}

static void descriptor_free(void *arg)
{
    const struct bgw_transport *t = arg;
    if (t->listener)
        bgw_listener_on_closed(t->listener);
}

/* By the budget a handshake is a second old or more when its place is wanted: the honest ones are through. */
static void make_way(struct bgw_transport *t)
{
    if (t->handshakes <= BGW_HANDSHAKES_UNDER_WAY_MAX || bgw_list_empty(&t->handshaking))
        return;
    bgw_metric_add(BGW_M_TLS_TIMEOUT, 1);
    bgw_socket_doom(BGW_CONTAINER(t->handshaking.next, struct bgw_socket, link));
}

/* The library closes a descriptor twice when OpenSSL has no memory for a connection, and by then it may
 * be somebody else's: so memory is looked for before. */
static bool memory_left(const struct bgw_transport *t)
{
    void *probe = t->tls ? malloc(HANDSHAKE_BYTES) : NULL;
    bool left = !t->tls || probe;
    free(probe);
    return left;
}

static void admit_plain(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    s->attached = bgw_loop_attach(t->loop, &s->watch) == BGW_OK;
    if (s->attached) {
        bgw_socket_adopted(s);
        return;
    }
    bgw_metric_add(BGW_M_CONNECTIONS_REFUSED_OVERLOAD, 1);
    bgw_socket_on_gone(s);
}

static void admitted(void *arg, int fd, const struct bgw_admitted *who, int64_t deadline_ms)
{
    struct bgw_transport *t = arg;
    struct bgw_socket *s = memory_left(t) ? bgw_pool_take(&t->sockets) : NULL;
    if (!s) {
        bgw_metric_add(BGW_M_CONNECTIONS_REFUSED_OVERLOAD, 1);
        bgw_admission_give_back(t->admission, who);
        close(fd);
        return;
    }
    bgw_socket_begin(s, t, fd, who, deadline_ms);
    if (!s->secure) {
        admit_plain(s);
        return;
    }
    make_way(t);
    t->adopting = s;
    struct lws *wsi = bgw_transport_lws_adopt(s);
    bool shown = t->adopting == NULL; /* it was the library's for a moment: a hello that cannot be answered */
    t->adopting = NULL;
    if (wsi) {
        bgw_socket_adopted(s);
        return;
    }
    bgw_metric_add(shown ? BGW_M_TLS_FAILED : BGW_M_CONNECTIONS_REFUSED_OVERLOAD, 1);
    t->handshakes -= s->handshaking;
    bgw_admission_give_back(t->admission, who);
    bgw_pool_give(&t->sockets, s);
}

void bgw_transport_released(struct bgw_socket *s)
{
    struct bgw_transport *t = s->transport;
    if (t->listener)
        bgw_listener_on_closed(t->listener);
    if (t->adopting == s) {
        t->adopting = NULL;
        return; /* `admitted` gives it back */
    }
    if (s->handshaking) {
        t->handshakes--;
        if (!s->doomed)
            bgw_metric_add(BGW_M_TLS_FAILED, 1);
    }
    bgw_admission_give_back(t->admission, &s->who);
    bgw_pool_give(&t->sockets, s);
}

/* ---- life of a transport ---- */

static enum bgw_status create_door(struct bgw_transport *t, const struct bgw_transport_config *config, int fd)
{
    const struct bgw_admission_config admission = {
        .loop = t->loop,
        .secure = t->tls != NULL,
        .waiting_max = t->sockets_max,
        .quota = config->quota,
        .refuser = &t->refuser,
        .arg = t,
        .admitted = admitted,
        .gone = descriptor_free,
    };
    const struct bgw_listener_config listener = {
        .fd = fd,
        .per_s = t->limits.handshakes_per_s,
        .so_sndbuf = config->so_sndbuf,
        .tcp_user_timeout_ms = config->tcp_user_timeout_ms,
        .tcp_notsent_lowat = config->tcp_notsent_lowat,
        .refuser = &t->refuser,
        .arg = t,
        .has_room = has_room,
        .arrived = arrived,
    };
    enum bgw_status status = bgw_admission_create(&t->admission, &admission, &t->limits);
    if (status == BGW_OK)
        return bgw_listener_create(&t->listener, t->loop, &listener);
    close(fd);
    return status;
}

static struct bgw_transport *allocate(struct bgw_loop *loop, const struct bgw_transport_config *config,
                                      const struct bgw_transport_ops *ops)
{
    struct bgw_transport *t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->loop = loop;
    t->ops = *ops;
    t->limits = config->limits;
    t->tls = config->tls;
    t->stall_ms = config->stall_ms;
    t->linger_ms = config->linger_ms;
    t->sockets_max = config->sockets_max;
    bgw_refuser_init(&t->refuser, loop, t->tls != NULL, config->linger_ms);
    t->refuser.spread_s = t->limits.storm_spread_s;
    bgw_pool_init(&t->sockets, sizeof(struct bgw_socket), config->sockets_max);
    bgw_list_init(&t->handshaking);
    bgw_list_init(&t->open);
    bgw_list_init(&t->doomed);
    return t;
}

enum bgw_status bgw_transport_create(struct bgw_transport **out, struct bgw_loop *loop,
                                     const struct bgw_transport_config *config,
                                     const struct bgw_transport_ops *ops)
{
    int fd = config->listen_fd;
    char bound[BGW_PEER_TEXT_MAX] = "";
    *out = NULL;
    if (fd < 0) {
        enum bgw_status status = bgw_transport_bind(config->listen, &fd, bound, sizeof(bound));
        if (status != BGW_OK)
            return status;
    } else {
        bgw_transport_describe(fd, bound, sizeof(bound));
    }
    struct bgw_transport *t = allocate(loop, config, ops);
    enum bgw_status status = !t ? BGW_NO_MEMORY : t->tls ? bgw_transport_lws_create(t) : BGW_OK;
    if (status != BGW_OK) {
        close(fd);
        bgw_transport_destroy(&t);
        return status;
    }
    memcpy(t->bound, bound, sizeof(bound));
    status = create_door(t, config, fd);
    if (status != BGW_OK) {
        bgw_transport_destroy(&t);
        return status;
    }
    *out = t;
    return BGW_OK;
}

static void reap(struct bgw_transport *t)
{
    while (!bgw_list_empty(&t->doomed)) {
        struct bgw_list *first = t->doomed.next;
        bgw_socket_reap(BGW_CONTAINER(first, struct bgw_socket, link));
        BGW_ASSERT(t->doomed.next != first || bgw_list_empty(&t->doomed));
    }
}

static size_t doom_all(struct bgw_list *sockets)
{
    size_t count = 0;
    for (; !bgw_list_empty(sockets); count++)
        bgw_socket_doom(BGW_CONTAINER(sockets->next, struct bgw_socket, link));
    return count;
}

void bgw_transport_destroy(struct bgw_transport **transport)
{
    struct bgw_transport *t = *transport;
    if (!t)
        return;
    BGW_ASSERT(!t->serving && !t->adopting);
    bgw_listener_destroy(&t->listener);
    doom_all(&t->handshaking);
    doom_all(&t->open);
    reap(t);
    if (t->context)
        lws_context_destroy(t->context);
    bgw_admission_destroy(&t->admission);
    bgw_refuser_deinit(&t->refuser);
    bgw_pool_deinit(&t->sockets);
    free(t);
    *transport = NULL;
}

void bgw_transport_stop_listening(struct bgw_transport *t)
{
    bgw_listener_stop(t->listener);
    bgw_admission_stop(t->admission);
    bgw_metric_add(BGW_M_CONNECTIONS_REFUSED_DRAINING, (int64_t)doom_all(&t->handshaking)); /* nothing was promised to them yet */
}

void bgw_transport_set_limits(struct bgw_transport *t, const struct bgw_transport_limits *limits)
{
    t->limits = *limits;
    t->refuser.spread_s = limits->storm_spread_s;
    bgw_admission_set_limits(t->admission, limits);
    bgw_listener_set_budget(t->listener, limits->handshakes_per_s);
}

size_t bgw_transport_count(const struct bgw_transport *t)
{
    return t->count;
}

const char *bgw_transport_bound(const struct bgw_transport *t)
{
    return t->bound;
}

void bgw_transport_turn_end(struct bgw_transport *t)
{
    reap(t);
    bgw_admission_turn_end(t->admission);
    if (!t->forced_service)
        return;
    t->forced_service = false;
    _lws_plat_service_forced_tsi(t->context, 0);
}

int64_t bgw_transport_wait_max_ms(struct bgw_transport *t)
{
    int ms = t->context ? lws_service_adjust_timeout(t->context, WAIT_MAX_MS, 0) : WAIT_MAX_MS;
    t->forced_service = ms == 0;
    return bgw_list_empty(&t->doomed) ? ms : 0;
}
