/* SPDX-License-Identifier: Apache-2.0 */
/*
 * loop: one epoll loop a thread. Hides epoll and eventfd. A turn is: wait, fd callbacks,
 * mailboxes, timers, `turn_end` hook. One clock reading a turn.
 */
#ifndef BGW_LOOP_H
#define BGW_LOOP_H

#include "bgw/clock.h"
#include "bgw/status.h"
#include "bgw/wheel.h"

#include <stddef.h>
#include <stdint.h>

struct bgw_loop;    /* owner's thread only, except bgw_loop_wake and bgw_loop_stop */
struct bgw_loop_fd; /* below */

/* `events` are EPOLLIN and friends. */
typedef void (*bgw_loop_fd_fn)(struct bgw_loop_fd *f, uint32_t events);

struct bgw_loop_fd { /* embedded by its user; must outlive its attachment */
    int fd;
    uint32_t events;
    bgw_loop_fd_fn ready;
};

struct bgw_loop_hooks {
    void *arg;
    int64_t (*wait_max_ms)(void *arg);            /* before waiting: an upper bound, or NULL */
    void (*turn_end)(void *arg, struct bgw_now now); /* after everything else of the turn */
};

BGW_MUST_CHECK enum bgw_status bgw_loop_create(struct bgw_loop **out);
void bgw_loop_destroy(struct bgw_loop **loop);
void bgw_loop_set_hooks(struct bgw_loop *loop, const struct bgw_loop_hooks *hooks);
BGW_MUST_CHECK enum bgw_status bgw_loop_attach(struct bgw_loop *loop, struct bgw_loop_fd *f); /* level-triggered */
void bgw_loop_change(struct bgw_loop *loop, struct bgw_loop_fd *f, uint32_t events);
/* After this the callback is not called again, also not for events already collected in this turn. */
void bgw_loop_detach(struct bgw_loop *loop, struct bgw_loop_fd *f);
struct bgw_wheel *bgw_loop_wheel(struct bgw_loop *loop);
struct bgw_now bgw_loop_now(const struct bgw_loop *loop); /* of this turn */
void bgw_loop_run(struct bgw_loop *loop);                 /* until bgw_loop_stop */
void bgw_loop_turn(struct bgw_loop *loop, int64_t wait_max_ms); /* one turn: tests */
void bgw_loop_stop(struct bgw_loop *loop);                /* any thread */
void bgw_loop_wake(struct bgw_loop *loop);                /* any thread; cheap when already awake */

#endif
