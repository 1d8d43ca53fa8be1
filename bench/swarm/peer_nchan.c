/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_nchan: nchan's subscriber location: the request names all channels, a message is what was
 * published. There is no confirmation but the upgrade, so a client is live with that.
 */
#include "peer.h"
#include "swarm.h"

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    struct bgw_buf path;
    bgw_buf_init(&path, 16384);
    bgw_buf_append_str(&path, "/sub?id=");
    for (int i = 0; i < s->opt.per_client; i++) {
        if (i)
            bgw_buf_append_byte(&path, ',');
        peer_append_name(s, c, i, &path);
    }
    bgw_buf_append_byte(&path, 0);
    b->failed |= path.failed;
    if (!path.failed)
        peer_request(s, c, b, path.data, NULL);
    bgw_buf_deinit(&path);
}

static void opened(struct swarm *s, struct client *c)
{
    swarm_live(s, c);
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    (void)opcode;
    swarm_upd(s, c, payload);
}

const struct speech speech_nchan = {.name = "nchan", .request = request, .opened = opened, .message = message};
