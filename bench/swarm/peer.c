/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer: the request, the names and the packets of other servers' speeches; see peer.h.
 */
#include "peer.h"

#include "../feed/message.h"
#include "peer_rest.h"
#include "swarm.h"

void peer_request(const struct swarm *s, const struct client *c, struct bgw_buf *b, const char *path, const char *protocol)
{
    bgw_buf_appendf(b,
                    "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
                    path, s->opt.urls[c->url]);
    if (protocol)
        bgw_buf_appendf(b, "Sec-WebSocket-Protocol: %s\r\n", protocol);
    bgw_buf_append_str(b, "\r\n");
}

void peer_append_name(const struct swarm *s, const struct client *c, int i, struct bgw_buf *b)
{
    char name[MESSAGE_NAME_MAX];
    name[swarm_key(s, c, i, name, sizeof(name) - 1)] = 0;
    message_safe_name(name);
    bgw_buf_append_str(b, name);
}

void peer_send(struct swarm *s, struct client *c, int opcode, const struct bgw_buf *b)
{
    struct bgw_slice bytes = bgw_buf_slice(b);
    if (b->failed || !(opcode == 1 ? swarm_send_text(c, bytes) : swarm_send_binary(c, bytes)))
        swarm_wrong(s, c, "what was said could not be sent");
}

void peer_message(struct swarm *s, struct client *c, struct bgw_slice payload, peer_take *take)
{
    struct bgw_slice all = rest_join(c, payload);
    size_t used = take(s, c, all);
    if (!rest_keep(c, bgw_slice_of(all.data + used, all.len - used)))
        swarm_wrong(s, c, "a packet without end");
}
