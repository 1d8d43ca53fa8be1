/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_ws: the bench's own server on Node's library ws: the request says which accounts, by their
 * numbers; a message is what the bare server sends. There is no confirmation but the upgrade.
 */
#include "peer.h"
#include "swarm.h"

#include <stdio.h>

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    char path[64];
    snprintf(path, sizeof(path), "/ws?a=%d&n=%d", c->first_account, s->opt.per_client);
    peer_request(s, c, b, path, NULL);
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    if (opcode == 1)
        swarm_upd(s, c, payload);
    else
        swarm_wrong(s, c, "a message that is no text");
}

const struct speech speech_ws = {.name = "ws", .request = request, .opened = swarm_live, .message = message};
