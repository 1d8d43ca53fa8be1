/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: hides epoll and eventfd. Created anywhere, then used by one thread; bgw_loop_wake and
 * bgw_loop_stop may come from any thread.
 * Invariant: a wake is never lost. `state` is NOTIFIED from the moment somebody has something for
 * this loop until a turn has taken notice, and a loop never sleeps while it is NOTIFIED. Only a
 * wake that finds the loop ASLEEP pays for the write to the eventfd.
 */
#include "bgw/loop.h"

#include "bgw/assert.h"
#include "loop_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_PER_TURN_MAX 512 /* what does not fit is found ready again in the next turn */
#define IDLE_WAIT_MS 60000

enum wake_state { ASLEEP, AWAKE, NOTIFIED };

struct bgw_loop { /* its thread only, except `state`, `stop` and the write to `wake_fd` */
    int epoll_fd, wake_fd;
    atomic_int state;
    atomic_bool stop;
    struct bgw_now now;
    struct bgw_loop_hooks hooks;
    struct bgw_list inboxes;
    struct epoll_event ready[EVENTS_PER_TURN_MAX];
    int ready_next, ready_count; /* of this turn: detach blanks what has not been called yet */
    struct bgw_wheel wheel;
};

static enum bgw_status open_descriptors(struct bgw_loop *loop)
{
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop->epoll_fd < 0 || loop->wake_fd < 0)
        return BGW_IO;
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = loop}; /* the loop itself: the eventfd */
    return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) ? BGW_IO : BGW_OK;
}

enum bgw_status bgw_loop_create(struct bgw_loop **out)
{
    struct bgw_loop *loop = calloc(1, sizeof(*loop));
    *out = NULL;
    if (!loop)
        return BGW_NO_MEMORY;
    atomic_init(&loop->state, AWAKE);
    atomic_init(&loop->stop, false);
    loop->epoll_fd = loop->wake_fd = -1;
    bgw_list_init(&loop->inboxes);
    loop->now = bgw_clock_now();
    bgw_wheel_init(&loop->wheel, loop->now.mono_ms);
    enum bgw_status status = open_descriptors(loop);
    if (status != BGW_OK) {
        bgw_loop_destroy(&loop);
        return status;
    }
    *out = loop;
    return BGW_OK;
}

void bgw_loop_destroy(struct bgw_loop **loop)
{
    if (!*loop)
        return;
    BGW_ASSERT(bgw_list_empty(&(*loop)->inboxes)); /* a mailbox outlived its loop */
    if ((*loop)->wake_fd >= 0)
        close((*loop)->wake_fd);
    if ((*loop)->epoll_fd >= 0)
        close((*loop)->epoll_fd);
    free(*loop);
    *loop = NULL;
}

void bgw_loop_set_hooks(struct bgw_loop *loop, const struct bgw_loop_hooks *hooks)
{
    loop->hooks = *hooks;
}

enum bgw_status bgw_loop_attach(struct bgw_loop *loop, struct bgw_loop_fd *f)
{
    BGW_ASSERT(f->fd >= 0 && f->ready);
    struct epoll_event ev = {.events = f->events, .data.ptr = f};
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, f->fd, &ev) == 0)
        return BGW_OK;
    BGW_ASSERT(errno != EEXIST && errno != EBADF);
    return errno == ENOMEM ? BGW_NO_MEMORY : errno == ENOSPC ? BGW_FULL : BGW_IO;
}

void bgw_loop_change(struct bgw_loop *loop, struct bgw_loop_fd *f, uint32_t events)
{
    if (f->events == events)
        return;
    f->events = events;
    struct epoll_event ev = {.events = events, .data.ptr = f};
    BGW_ASSERT(epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, f->fd, &ev) == 0);
}

void bgw_loop_detach(struct bgw_loop *loop, struct bgw_loop_fd *f)
{
    BGW_ASSERT(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, f->fd, NULL) == 0);
    for (int i = loop->ready_next; i < loop->ready_count; i++)
        if (loop->ready[i].data.ptr == f)
            loop->ready[i].data.ptr = NULL;
}

struct bgw_wheel *bgw_loop_wheel(struct bgw_loop *loop)
{
    return &loop->wheel;
}

struct bgw_now bgw_loop_now(const struct bgw_loop *loop)
{
    return loop->now;
}

void bgw_loop_attach_inbox(struct bgw_loop *loop, struct bgw_loop_inbox *inbox)
{
    bgw_list_push_back(&loop->inboxes, &inbox->link);
}

void bgw_loop_detach_inbox(struct bgw_loop *loop, struct bgw_loop_inbox *inbox)
{
    (void)loop;
    bgw_list_remove(&inbox->link);
}

static int wait_ms(struct bgw_loop *loop, int64_t max_ms)
{
    int64_t ms = bgw_wheel_wait_ms(&loop->wheel, max_ms);
    if (loop->hooks.wait_max_ms) {
        int64_t hook_ms = loop->hooks.wait_max_ms(loop->hooks.arg);
        ms = hook_ms < ms ? hook_ms : ms;
    }
    return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* True if somebody called bgw_loop_wake since the last turn. */
static bool wait_for_events(struct bgw_loop *loop, int timeout_ms)
{
    int awake = AWAKE;
    /* seq_cst here and in bgw_loop_wake: either the waker sees ASLEEP or we see NOTIFIED */
    if (timeout_ms > 0 && !atomic_compare_exchange_strong(&loop->state, &awake, ASLEEP))
        timeout_ms = 0;
    int n = epoll_wait(loop->epoll_fd, loop->ready, EVENTS_PER_TURN_MAX, timeout_ms);
    BGW_ASSERT(n >= 0 || errno == EINTR);
    loop->ready_next = 0;
    loop->ready_count = n > 0 ? n : 0;
    return atomic_exchange(&loop->state, AWAKE) == NOTIFIED;
}

static void dispatch(struct bgw_loop *loop)
{
    while (loop->ready_next < loop->ready_count) {
        const struct epoll_event *ev = &loop->ready[loop->ready_next++];
        struct bgw_loop_fd *f = ev->data.ptr;
        if (ev->data.ptr == loop) {
            eventfd_t count;
            (void)!eventfd_read(loop->wake_fd, &count);
        } else if (f) {
            f->ready(f, ev->events);
        }
    }
    loop->ready_next = loop->ready_count = 0;
}

static void drain_inboxes(struct bgw_loop *loop)
{
    struct bgw_list *next;
    for (struct bgw_list *at = loop->inboxes.next; at != &loop->inboxes; at = next) {
        next = at->next;
        struct bgw_loop_inbox *inbox = BGW_CONTAINER(at, struct bgw_loop_inbox, link);
        inbox->drain(inbox);
    }
}

void bgw_loop_turn(struct bgw_loop *loop, int64_t wait_max_ms)
{
    bool notified = wait_for_events(loop, wait_ms(loop, wait_max_ms));
    loop->now = bgw_clock_now();
    dispatch(loop);
    if (notified)
        drain_inboxes(loop);
    bgw_wheel_advance(&loop->wheel, loop->now.mono_ms);
    if (loop->hooks.turn_end)
        loop->hooks.turn_end(loop->hooks.arg, loop->now);
}

void bgw_loop_run(struct bgw_loop *loop)
{
    while (!atomic_load(&loop->stop))
        bgw_loop_turn(loop, IDLE_WAIT_MS);
}

void bgw_loop_stop(struct bgw_loop *loop)
{
    atomic_store(&loop->stop, true);
    bgw_loop_wake(loop);
}

void bgw_loop_wake(struct bgw_loop *loop)
{
    if (atomic_exchange(&loop->state, NOTIFIED) == ASLEEP)
        (void)!eventfd_write(loop->wake_fd, 1); /* fails only if it is readable already */
}
