/* SPDX-License-Identifier: Apache-2.0 */
/*
 * listener_refuse: connections that are turned away before anything was read from them. Hides the
 * answer, when to come back, and the lingering close. Called by listener and admission on their
 * loop's thread; every refusal is counted, and costs one send and a bounded place to linger at most.
 */
#ifndef BGW_LISTENER_REFUSE_H
#define BGW_LISTENER_REFUSE_H

#include "budget.h"

#include "bgw/http.h"
#include "bgw/loop.h"
#include "bgw/metrics.h"

#define BGW_REFUSER_LINGERING_MAX 64 /* who still waits for the peer's end; beyond: closed at once */

struct bgw_refuser;

/* its loop's thread only: one connection in its lingering close */
struct bgw_refuser_linger {
    struct bgw_loop_fd watch;
    struct bgw_timer timer;
    struct bgw_list link; /* on `idle` or on `lingering` */
    struct bgw_refuser *refuser;
};

struct bgw_refuser { /* its loop's thread only; must not move */
    struct bgw_loop *loop;
    int64_t linger_ms, spread_s, per_s;
    struct bgw_budget *budget; /* the listener's: it knows who was sent away already */
    bool secure;    /* TLS: closed without a word, for a word would cost a handshake */
    struct bgw_list idle, lingering;
    struct bgw_refuser_linger places[BGW_REFUSER_LINGERING_MAX];
};

struct bgw_refuser_reason {
    enum bgw_metric counter;
    enum bgw_refusal refusal;
};
extern const struct bgw_refuser_reason bgw_refused_overload, bgw_refused_fd_limit, bgw_refused_draining,
    bgw_refused_budget, bgw_refused_address_limit;

void bgw_refuser_init(struct bgw_refuser *r, struct bgw_loop *loop, bool secure, int64_t linger_ms);
void bgw_refuser_deinit(struct bgw_refuser *r); /* closes whoever lingers */
/* Takes fd. `may_linger` false: descriptors are short, closed at once. */
void bgw_refuse(struct bgw_refuser *r, int fd, const struct bgw_refuser_reason *why, bool may_linger);

#endif
