/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_rest: the beginning of a packet whose end is in a later WebSocket message, for speeches whose
 * packets are not messages. Few clients have one at any moment, so they are found beside the clients:
 * those who speak otherwise pay nothing. One thread.
 */
#ifndef SWARM_PEER_REST_H
#define SWARM_PEER_REST_H

#include "bgw/slice.h"

#include <stdbool.h>

#define PEER_REST_MAX 65536 /* a longer packet is none that we asked for */

struct client;

/* What was kept of this client, if anything, and then `bytes`; lives until the next call. */
struct bgw_slice rest_join(const struct client *c, struct bgw_slice bytes);
bool rest_keep(const struct client *c, struct bgw_slice left); /* false: too long; nothing is kept of nothing */
void rest_forget(const struct client *c);                      /* its connection is a new one */

#endif
