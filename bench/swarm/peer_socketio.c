/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_socketio: Socket.IO 5 over Engine.IO 4 by WebSocket alone, text. The first digit is
 * Engine.IO's (0 open, 2 ping, 3 pong, 4 message), the second Socket.IO's (0 connect, 2 event, 3
 * acknowledgement). A client is live when the event `sub` with its keys is acknowledged.
 */
#include "peer.h"
#include "swarm.h"

#include <string.h>

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    peer_request(s, c, b, "/socket.io/?EIO=4&transport=websocket", NULL);
}

static void opened(struct swarm *s, struct client *c)
{
    (void)s, (void)c; /* the server speaks first */
}

static void subscribe(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    char key[128];
    bgw_buf_init(&b, 65535);
    bgw_buf_append_str(&b, "420[\"sub\",[");
    for (int i = 0; i < s->opt.per_client; i++) {
        size_t len = swarm_key(s, c, i, key, sizeof(key));
        if (i)
            bgw_buf_append_byte(&b, ',');
        bgw_buf_append_json(&b, bgw_slice_of(key, len));
    }
    bgw_buf_append_str(&b, "]]");
    peer_send(s, c, 1, &b);
    bgw_buf_deinit(&b);
}

static void say(struct swarm *s, struct client *c, const char *text)
{
    if (!swarm_send_text(c, bgw_slice_str(text)))
        swarm_wrong(s, c, "an answer could not be sent");
}

static bool begins(struct bgw_slice text, const char *with)
{
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.data, with, len) == 0;
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    static const char update[] = "42[\"upd\",";
    size_t head = sizeof(update) - 1;
    if (opcode != 1)
        swarm_wrong(s, c, "a binary message of Socket.IO");
    else if (begins(payload, update) && payload.data[payload.len - 1] == ']')
        swarm_upd(s, c, bgw_slice_of(payload.data + head, payload.len - head - 1));
    else if (payload.len == 1 && payload.data[0] == '2')
        say(s, c, "3");
    else if (begins(payload, "0{"))
        say(s, c, "40");
    else if (begins(payload, "40"))
        subscribe(s, c);
    else if (begins(payload, "430["))
        swarm_live(s, c);
    else
        swarm_wrong(s, c, "a message of Socket.IO that was not asked for");
}

const struct speech speech_socketio = {.name = "socketio", .request = request, .opened = opened, .message = message};
