/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: what the speeches of other servers have in common. Included by peer_*.c.
 */
#ifndef SWARM_PEER_H
#define SWARM_PEER_H

#include "bgw/buf.h"
#include "bgw/slice.h"

struct swarm;
struct client;

/* A WebSocket's request for `path`; `protocol` NULL: none. Appends, with the empty line. */
void peer_request(const struct swarm *s, const struct client *c, struct bgw_buf *b, const char *path, const char *protocol);
/* The name under which the client's i-th account is published there (message_safe_name). */
void peer_append_name(const struct swarm *s, const struct client *c, int i, struct bgw_buf *b);
void peer_send(struct swarm *s, struct client *c, int opcode, const struct bgw_buf *b); /* 1 text, 2 binary */

/* Takes whole packets from the front; how many bytes they had. */
typedef size_t peer_take(struct swarm *s, struct client *c, struct bgw_slice bytes);
/* For packets that may span messages: what is not whole yet waits for the next message. */
void peer_message(struct swarm *s, struct client *c, struct bgw_slice payload, peer_take *take);

#endif
