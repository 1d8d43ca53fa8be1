/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speech: how a client speaks to one kind of server: our dialects, the bare baseline, other servers.
 * A speech asks for its accounts in its own words and hands what it is told to the checks of
 * check.c; it measures nothing. All sockets of a run speak alike.
 */
#ifndef SWARM_SPEECH_H
#define SWARM_SPEECH_H

#include "bgw/buf.h"
#include "bgw/slice.h"

#include <stdbool.h>
#include <stddef.h>

struct swarm;
struct client;

struct speech {
    const char *name;
    bool versions;  /* snapshots, `since`, merge counts: ours */
    bool reconnects_with_versions;
    /* The whole HTTP request that opens the connection, with the empty line. */
    void (*request)(const struct swarm *s, const struct client *c, struct bgw_buf *b);
    /* The upgrade (or, without frames, the head of the stream) has come: greet, subscribe. */
    void (*opened)(struct swarm *s, struct client *c);
    /* A whole WebSocket message; opcode 1 text, 2 binary. Pings and closes are answered below. */
    void (*message)(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload);
    /* Instead of `message` where there are no frames: how many of these bytes were whole. */
    size_t (*bytes)(struct swarm *s, struct client *c, struct bgw_slice bytes);
};

const struct speech *speech_named(const char *name); /* NULL: there is none */

/* What a speech calls. */
bool swarm_send_text(struct client *c, struct bgw_slice text);
bool swarm_send_binary(struct client *c, struct bgw_slice bytes);
/* The client's i-th account as its key, prefix and digits; how many there are is options.per_client. */
size_t swarm_key(const struct swarm *s, const struct client *c, int i, char *out, size_t cap);
/* {"ev":"upd","u":[…]}, what the baseline and the publishers for other servers send. */
void swarm_upd(struct swarm *s, struct client *c, struct bgw_slice json);
void swarm_live(struct swarm *s, struct client *c); /* everything asked for is confirmed */
void swarm_wrong(struct swarm *s, struct client *c, const char *what); /* the server broke its own protocol */

extern const struct speech speech_native, speech_signalr, speech_app, speech_sse, speech_raw;
extern const struct speech speech_nats, speech_mqtt, speech_socketio, speech_nchan, speech_ws; /* peer_*.c */

#endif
