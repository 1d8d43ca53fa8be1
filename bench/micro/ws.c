/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws: RFC 6455 framing alone. In: a masked text frame as a client's subscribe is, and a pong. Out:
 * a text frame around what is appended. No I/O, no session.
 */
#include "micro.h"

#include "bgw/ws_codec.h"

#include <stdlib.h>
#include <string.h>

#define FRAMES 1000u
#define BYTES_MAX 256
#define COMMAND                                                                                                        \
    "{\"cmd\":\"sub\",\"id\":17,\"feed\":\"balance\",\"keys\":[\"acc_00000017\"],"                                      \
    "\"since\":{\"acc_00000017\":\"k3f9.1000017\"}}"

struct framing {
    struct bgw_ws_decoder decoder;
    struct bgw_ws_limits limits;
    struct bgw_buf out;
    struct bgw_slice payload;
    uint8_t opcode;
    uint64_t right;
    size_t frame_len;
    char fresh[BYTES_MAX], frames[FRAMES][BYTES_MAX];
};

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    struct framing *f = user;
    f->right += opcode == BGW_WS_TEXT && payload.len == strlen(COMMAND) && payload.data[0] == '{';
}

static void on_ping(void *user, struct bgw_slice payload)
{
    (void)user, (void)payload;
}

static void on_pong(void *user, struct bgw_slice payload)
{
    struct framing *f = user;
    f->right += payload.len == f->payload.len;
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    (void)user, (void)reason;
    micro_die("closed with %u", code);
}

static void mask_frame(struct framing *f)
{
    static const char mask[4] = {0x37, (char)0xfa, 0x21, 0x3d};
    char header[10];
    size_t len = bgw_ws_header(header, f->opcode, f->payload.len);
    header[1] |= (char)0x80;
    memcpy(f->fresh, header, len);
    memcpy(f->fresh + len, mask, sizeof(mask));
    len += sizeof(mask);
    for (size_t i = 0; i < f->payload.len; i++)
        f->fresh[len + i] = (char)(f->payload.data[i] ^ mask[i % 4]);
    f->frame_len = len + f->payload.len;
}

static void *framing_make(const struct micro *m)
{
    struct framing *f = micro_alloc(1, sizeof(*f));
    bool pong = m->with != NULL;
    f->payload = pong ? BGW_SLICE("") : BGW_SLICE(COMMAND);
    f->opcode = pong ? BGW_WS_PONG : BGW_WS_TEXT;
    f->limits = (struct bgw_ws_limits){.message_max = 65536, .fragments_max = 64};
    bgw_ws_decoder_init(&f->decoder);
    bgw_buf_init(&f->out, 65536);
    mask_frame(f);
    return f;
}

static void decode_ready(void *state)
{
    struct framing *f = state;
    for (size_t i = 0; i < FRAMES; i++)
        memcpy(f->frames[i], f->fresh, f->frame_len);
}

static void decode_run(void *state)
{
    static const struct bgw_ws_ops ops = {on_message, on_ping, on_pong, on_close};
    struct framing *f = state;
    for (size_t i = 0; i < FRAMES; i++) {
        size_t used;
        uint16_t code = bgw_ws_decode(&f->decoder, &f->limits, &ops, f, f->frames[i], f->frame_len, NULL, &used);
        if (code || used != f->frame_len)
            f->right = 0;
    }
}

static void encode_run(void *state)
{
    struct framing *f = state;
    for (size_t i = 0; i < FRAMES; i++) {
        bgw_buf_clear(&f->out);
        size_t began = bgw_ws_text_begin(&f->out);
        bgw_buf_append(&f->out, f->payload);
        bgw_ws_text_end(&f->out, began);
        f->right += f->out.len == f->payload.len + 2 && f->out.data[0] == (char)0x81;
    }
}


static uint64_t framing_right(void *state)
{
    const struct framing *f = state;
    return f->right;
}

static void framing_drop(void *state)
{
    struct framing *f = state;
    bgw_ws_decoder_deinit(&f->decoder);
    bgw_buf_deinit(&f->out);
    free(f);
}

const struct micro micro_ws[] = {
    {"ws/decode_command", "frame of 102 bytes", FRAMES, 10, NULL, framing_make, decode_ready, decode_run, framing_right,
     framing_drop},
    {"ws/decode_pong", "empty frame", FRAMES, 10, "pong", framing_make, decode_ready, decode_run, framing_right, framing_drop},
    {"ws/encode_text", "frame of 102 bytes", FRAMES, 10, NULL, framing_make, NULL, encode_run, framing_right, framing_drop},
    {0},
};
