/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission: between accept and the transport. Hides what a connection has to show before anything is
 * spent on it: a trusted proxy's header, room for its address, the first byte of a TLS hello. Called
 * by the transport on its loop's thread; the descriptor stays ours until `admitted`.
 */
#ifndef BGW_ADMISSION_H
#define BGW_ADMISSION_H

#include "listener_refuse.h"

#include "bgw/transport.h"

#include <sys/socket.h>

#define BGW_HELLOS_PER_TURN 16 /* handshakes begun in one turn: some 7 ms of it at most */

struct bgw_admission; /* its loop's thread only */

struct bgw_admitted { /* fixed-size value: who it is; kept for each socket, so it is small */
    struct bgw_addr peer;
    bool counted;  /* under its address: whoever holds it gives it back */
};

struct bgw_admission_config {
    struct bgw_loop *loop;
    bool secure; /* TLS follows */
    size_t waiting_max;
    struct bgw_quota *quota; /* NULL: nobody counts addresses */
    struct bgw_refuser *refuser;
    void *arg;
    /* Takes fd and what is counted; the deadline is for what is left: the TLS handshake. */
    void (*admitted)(void *arg, int fd, const struct bgw_admitted *who, int64_t deadline_ms);
    void (*gone)(void *arg); /* a descriptor has become free */
};

BGW_MUST_CHECK enum bgw_status bgw_admission_create(struct bgw_admission **out, const struct bgw_admission_config *config,
                                                    const struct bgw_transport_limits *limits);
void bgw_admission_destroy(struct bgw_admission **a); /* closes whoever waits */
void bgw_admission_set_limits(struct bgw_admission *a, const struct bgw_transport_limits *limits);
void bgw_admission_arrived(struct bgw_admission *a, int fd, const struct sockaddr *peer); /* takes fd */
size_t bgw_admission_waiting(const struct bgw_admission *a);
bool bgw_admission_make_way(struct bgw_admission *a); /* whoever has waited longest goes; false: nobody waits */
void bgw_admission_give_back(struct bgw_admission *a, const struct bgw_admitted *who); /* what `counted` owes */
void bgw_admission_stop(struct bgw_admission *a);     /* whoever waits is refused */
void bgw_admission_turn_end(struct bgw_admission *a); /* the next turn may begin handshakes again */

#endif
