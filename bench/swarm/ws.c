/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws: WebSocket frames of a client: masked out, read in place. Written down a second time: no code of
 * the server's own codec. Fragments are not put together: no server of the bench sends any.
 */
#include "swarm.h"

bool ws_send(struct client *c, int opcode, struct bgw_slice payload)
{
    static const unsigned char mask[4] = {0x1b, 0x2c, 0x3d, 0x4e};
    struct bgw_buf b;
    bgw_buf_init(&b, payload.len + 14);
    bgw_buf_append_byte(&b, (char)(0x80 | opcode));
    if (payload.len < 126) {
        bgw_buf_append_byte(&b, (char)(0x80 | payload.len));
    } else {
        bgw_buf_append_byte(&b, (char)(0x80 | 126));
        bgw_buf_append_byte(&b, (char)(payload.len >> 8));
        bgw_buf_append_byte(&b, (char)payload.len);
    }
    bgw_buf_append(&b, bgw_slice_of((const char *)mask, 4));
    for (size_t i = 0; i < payload.len; i++)
        bgw_buf_append_byte(&b, (char)(payload.data[i] ^ mask[i % 4]));
    bool sent = payload.len <= 65535 && !b.failed && link_send(c, bgw_buf_slice(&b));
    bgw_buf_deinit(&b);
    return sent;
}

bool swarm_send_text(struct client *c, struct bgw_slice text)
{
    return ws_send(c, 1, text);
}

bool swarm_send_binary(struct client *c, struct bgw_slice bytes)
{
    return ws_send(c, 2, bytes);
}

/* One whole frame at the front? Its total length, 0 if more bytes are needed. */
static size_t frame_at(struct bgw_slice in, int *first, struct bgw_slice *payload)
{
    const unsigned char *p = (const unsigned char *)in.data;
    size_t head = 2;
    if (in.len < 2)
        return 0;
    uint64_t len = p[1] & 0x7f;
    if (len == 126) {
        head = 4;
        if (in.len < head)
            return 0;
        len = (uint64_t)p[2] << 8 | p[3];
    } else if (len == 127) {
        head = 10;
        if (in.len < head)
            return 0;
        len = 0;
        for (int i = 2; i < 10; i++)
            len = len << 8 | p[i];
    }
    if (in.len - head < len)
        return 0;
    *first = p[0];
    *payload = bgw_slice_of(in.data + head, (size_t)len);
    return head + (size_t)len;
}

/* False: the connection is over. */
static bool take(struct swarm *s, struct client *c, int first, struct bgw_slice payload)
{
    int opcode = first & 0x0f;
    if (opcode == 8)
        return false;
    if (opcode == 9)
        return ws_send(c, 10, payload);
    if (opcode == 10)
        return true;
    if (!(first & 0x80) || (opcode != 1 && opcode != 2)) {
        swarm_wrong(s, c, "a frame that is a fragment or of an unknown kind");
        return false;
    }
    COUNT(s, frames, 1);
    s->opt.speech->message(s, c, opcode, payload);
    return true;
}

size_t ws_take(struct swarm *s, struct client *c, struct bgw_slice bytes)
{
    size_t at = 0, n;
    int first = 0;
    struct bgw_slice payload = {0};
    while ((n = frame_at(bgw_slice_of(bytes.data + at, bytes.len - at), &first, &payload)) > 0) {
        at += n;
        if (!take(s, c, first, payload))
            return SIZE_MAX;
    }
    return at;
}
