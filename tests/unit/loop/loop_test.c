/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop_test: one thread; descriptors, hooks, timers and wake-ups through bgw_loop_turn.
 */
#include "bgw/loop.h"

#include "../test.h"

#include <sys/epoll.h>
#include <unistd.h>

struct pipe_end {
    struct bgw_loop_fd watch;
    int write_fd, calls;
    uint32_t events;
    struct bgw_loop *loop;
    struct pipe_end *detaches; /* when called */
};

static void pipe_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct pipe_end *p = BGW_CONTAINER(f, struct pipe_end, watch);
    p->calls++;
    p->events = events;
    if (p->detaches)
        bgw_loop_detach(p->loop, &p->detaches->watch);
}

static void pipe_open(struct pipe_end *p, struct bgw_loop *loop)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    *p = (struct pipe_end){.watch = {fds[0], EPOLLIN, pipe_ready}, .write_fd = fds[1], .loop = loop};
    CHECK_EQ_I64(bgw_loop_attach(loop, &p->watch), BGW_OK);
}

static void pipe_close(struct pipe_end *p)
{
    close(p->watch.fd);
    close(p->write_fd);
}

TEST(readable_descriptor_is_called_until_it_is_read)
{
    struct bgw_loop *loop;
    struct pipe_end p;
    CHECK_EQ_I64(bgw_loop_create(&loop), BGW_OK);
    pipe_open(&p, loop);
    bgw_loop_turn(loop, 0);
    CHECK_EQ_I64(p.calls, 0);
    CHECK(write(p.write_fd, "x", 1) == 1);
    bgw_loop_turn(loop, 1000);
    bgw_loop_turn(loop, 1000);
    CHECK_EQ_I64(p.calls, 2);
    CHECK(p.events & EPOLLIN);
    bgw_loop_change(loop, &p.watch, 0);
    bgw_loop_turn(loop, 0);
    CHECK_EQ_I64(p.calls, 2);
    bgw_loop_detach(loop, &p.watch);
    pipe_close(&p);
    bgw_loop_destroy(&loop);
    CHECK(loop == NULL);
}

TEST(detached_descriptor_is_not_called_for_events_already_collected)
{
    struct bgw_loop *loop;
    struct pipe_end a, b;
    CHECK_EQ_I64(bgw_loop_create(&loop), BGW_OK);
    pipe_open(&a, loop);
    pipe_open(&b, loop);
    a.detaches = &b;
    b.detaches = &a;
    CHECK(write(a.write_fd, "x", 1) == 1 && write(b.write_fd, "x", 1) == 1);
    bgw_loop_turn(loop, 1000);
    CHECK_EQ_I64(a.calls + b.calls, 1);
    struct pipe_end *left = a.calls ? &a : &b;
    bgw_loop_detach(loop, &left->watch);
    pipe_close(&a);
    pipe_close(&b);
    bgw_loop_destroy(&loop);
}

struct hook_log {
    struct bgw_loop *loop;
    char order[16];
    size_t len;
    int64_t wait_ms;
    struct bgw_timer timer;
};

static int64_t hook_wait(void *arg)
{
    struct hook_log *h = arg;
    h->order[h->len++] = 'w';
    return h->wait_ms;
}

static void hook_end(void *arg, struct bgw_now now)
{
    struct hook_log *h = arg;
    CHECK_EQ_I64(now.mono_ms, bgw_loop_now(h->loop).mono_ms);
    h->order[h->len++] = 'e';
}

static void hook_timer(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct hook_log *h = BGW_CONTAINER(timer, struct hook_log, timer);
    h->order[h->len++] = 't';
}

TEST(turn_waits_at_most_what_hook_and_timers_allow_and_ends_with_the_hook)
{
    struct hook_log h = {.wait_ms = 60000};
    CHECK_EQ_I64(bgw_loop_create(&h.loop), BGW_OK);
    bgw_loop_set_hooks(h.loop, &(struct bgw_loop_hooks){&h, hook_wait, hook_end});
    bgw_timer_init(&h.timer, hook_timer);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_wheel_arm(bgw_loop_wheel(h.loop), &h.timer, bgw_loop_now(h.loop).mono_ms + 20);
    while (!memchr(h.order, 't', h.len) && h.len < 14)
        bgw_loop_turn(h.loop, 60000);
    CHECK(h.order[0] == 'w' && h.order[h.len - 2] == 't' && h.order[h.len - 1] == 'e');
    CHECK(bgw_clock_now().mono_ms - start < 30000);
    h.wait_ms = 0; /* and the hook alone shortens it too */
    h.len = 0;
    bgw_loop_turn(h.loop, 60000);
    CHECK_EQ_I64(h.len, 2);
    bgw_loop_destroy(&h.loop);
}

TEST(wake_before_the_wait_is_not_lost)
{
    struct bgw_loop *loop;
    CHECK_EQ_I64(bgw_loop_create(&loop), BGW_OK);
    int64_t start = bgw_clock_now().mono_ms;
    bgw_loop_wake(loop);
    bgw_loop_wake(loop);
    bgw_loop_turn(loop, 60000);
    bgw_loop_stop(loop);
    bgw_loop_run(loop); /* ends at once */
    CHECK(bgw_clock_now().mono_ms - start < 30000);
    bgw_loop_destroy(&loop);
}
