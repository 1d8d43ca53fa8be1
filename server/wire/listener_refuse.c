/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener_refuse: hides what somebody is told who is turned away at the door, and how the connection
 * then ends. Invariants: nothing is read from a refused client but to drop it; places to linger are
 * few and fixed, so refusing costs the same however many come; who is told to come back gets a place
 * in the listener's queue, or the storm would come back as it went.
 */
#include "listener_refuse.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>


const struct bgw_refuser_reason bgw_refused_overload = {BGW_M_CONNECTIONS_REFUSED_OVERLOAD, BGW_REFUSAL_OVERLOAD};
const struct bgw_refuser_reason bgw_refused_fd_limit = {BGW_M_CONNECTIONS_REFUSED_FD_LIMIT, BGW_REFUSAL_OVERLOAD};
const struct bgw_refuser_reason bgw_refused_draining = {BGW_M_CONNECTIONS_REFUSED_DRAINING, BGW_REFUSAL_DRAINING};
const struct bgw_refuser_reason bgw_refused_budget = {BGW_M_CONNECTIONS_REFUSED_BUDGET, BGW_REFUSAL_BUDGET};
const struct bgw_refuser_reason bgw_refused_address_limit = {BGW_M_CONNECTIONS_REFUSED_ADDRESS_LIMIT,
                                                             BGW_REFUSAL_ADDRESS_LIMIT};

static void end(struct bgw_refuser_linger *place)
{
    struct bgw_refuser *r = place->refuser;
    bgw_wheel_cancel(bgw_loop_wheel(r->loop), &place->timer);
    bgw_loop_detach(r->loop, &place->watch);
    close(place->watch.fd);
    bgw_list_remove(&place->link);
    bgw_list_push_back(&r->idle, &place->link);
}

/* Drops what has come; false once there is no more to come. */
static bool drop_input(int fd)
{
    char dropped[4096];
    ssize_t n = recv(fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

static void input_ready(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    if (!drop_input(f->fd))
        end(BGW_CONTAINER(f, struct bgw_refuser_linger, watch));
}

static void linger_over(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    end(BGW_CONTAINER(timer, struct bgw_refuser_linger, timer));
}

static bool linger(struct bgw_refuser *r, int fd)
{
    if (bgw_list_empty(&r->idle) || r->linger_ms <= 0 || shutdown(fd, SHUT_WR))
        return false;
    struct bgw_refuser_linger *place = BGW_CONTAINER(r->idle.next, struct bgw_refuser_linger, link);
    place->watch = (struct bgw_loop_fd){.fd = fd, .events = EPOLLIN, .ready = input_ready};
    if (bgw_loop_attach(r->loop, &place->watch) != BGW_OK)
        return false;
    bgw_list_remove(&place->link);
    bgw_list_push_back(&r->lingering, &place->link);
    bgw_wheel_arm(bgw_loop_wheel(r->loop), &place->timer, bgw_loop_now(r->loop).mono_ms + r->linger_ms);
    return true;
}

static int64_t retry_after_s(struct bgw_refuser *r, const struct bgw_refuser_reason *why)
{
    if (why == &bgw_refused_draining || !r->budget)
        return 1; /* another gateway answers */
    return bgw_budget_retry_s(r->budget, r->per_s, r->spread_s, bgw_loop_now(r->loop).mono_ms);
}

static void say(struct bgw_refuser *r, int fd, const struct bgw_refuser_reason *why)
{
    char body[512], text[1024];
    int status = bgw_refusal_status(why->refusal);
    const char *title = status == 429 ? "Too Many Requests" : "Service Unavailable";
    int body_len = snprintf(body, sizeof(body),
                            "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":\"%s\"}\n",
                            title, status, bgw_refusal_code(why->refusal), bgw_refusal_sentence(why->refusal));
    int len = snprintf(text, sizeof(text),
                       "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\n"
                       "Cache-Control: no-store\r\nRetry-After: %lld\r\nConnection: close\r\n\r\n%s",
                       status, title, body_len, (long long)retry_after_s(r, why), body);
    (void)!send(fd, text, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Unread input at close would make the kernel send a reset that can overtake the answer. */
void bgw_refuse(struct bgw_refuser *r, int fd, const struct bgw_refuser_reason *why, bool may_linger)
{
    bgw_metric_add(why->counter, 1);
    if (!r->secure) {
        say(r, fd, why);
        if (may_linger && linger(r, fd))
            return;
        drop_input(fd);
    }
    close(fd);
}

void bgw_refuser_init(struct bgw_refuser *r, struct bgw_loop *loop, bool secure, int64_t linger_ms)
{
    *r = (struct bgw_refuser){.loop = loop, .linger_ms = linger_ms, .secure = secure};
    bgw_list_init(&r->idle);
    bgw_list_init(&r->lingering);
    for (int i = 0; i < BGW_REFUSER_LINGERING_MAX; i++) {
        r->places[i].refuser = r;
        bgw_timer_init(&r->places[i].timer, linger_over);
        bgw_list_push_back(&r->idle, &r->places[i].link);
    }
}

void bgw_refuser_deinit(struct bgw_refuser *r)
{
    while (!bgw_list_empty(&r->lingering))
        end(BGW_CONTAINER(r->lingering.next, struct bgw_refuser_linger, link));
}
