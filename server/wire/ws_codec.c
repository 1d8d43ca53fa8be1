/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec: hides RFC 6455 framing, one decoder a connection, on that connection's thread. Bytes
 * are unmasked where they lie; a frame that is whole in the input is delivered from there, anything
 * else is collected in `partial`.
 * Invariant: each rule is checked at the first byte that can break it, and a decoder is in its next
 * state before a callback runs, so that after a callback nothing but *stop is looked at first.
 */
#include "bgw/ws_codec.h"

#include "bgw/assert.h"

#include <stdlib.h>

#define CONTROL_MAX 125
#define HEADER_USUAL 4u /* room for the header of 126 bytes to 64 KiB */
#define LEN_16 126 /* the length follows in 2 bytes */
#define LEN_64 127 /* in 8 bytes */

enum {
    CLOSE_PROTOCOL = 1002,
    CLOSE_UNSUPPORTED = 1003,
    CLOSE_NO_CODE = 1005,
    CLOSE_BAD_DATA = 1007,
    CLOSE_POLICY = 1008,
    CLOSE_TOO_BIG = 1009,
    CLOSE_INTERNAL = 1011,
};

struct bgw_ws_partial { /* one connection's, only while something is incomplete */
    struct bgw_buf message;
    uint8_t control_len;
    char control[CONTROL_MAX];
};

/* one call of bgw_ws_decode */
struct feed {
    struct bgw_ws_decoder *d;
    const struct bgw_ws_limits *limits;
    const struct bgw_ws_ops *ops;
    void *user;
};

void bgw_ws_decoder_init(struct bgw_ws_decoder *d)
{
    *d = (struct bgw_ws_decoder){0};
}

static void partial_free(struct bgw_ws_partial *p)
{
    if (!p)
        return;
    bgw_buf_deinit(&p->message);
    free(p);
}

void bgw_ws_decoder_deinit(struct bgw_ws_decoder *d)
{
    partial_free(d->partial);
    d->partial = NULL;
}

static bool is_control(uint8_t opcode)
{
    return opcode >= BGW_WS_CLOSE;
}

bool bgw_ws_close_code_valid(uint16_t code)
{
    if (code >= 3000)
        return code <= 4999;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/* ---- UTF-8, byte by byte ---- */

/* What must follow a lead byte: how many, and the range of the next; 0: not a lead byte. */
static uint32_t utf8_expect(uint8_t lead)
{
    uint32_t low = 0x80, high = 0xbf, tails;
    if (lead >= 0xc2 && lead <= 0xdf)
        tails = 1;
    else if ((lead & 0xf0) == 0xe0)
        tails = 2;
    else if (lead >= 0xf0 && lead <= 0xf4)
        tails = 3;
    else
        return 0;
    if (lead == 0xe0)
        low = 0xa0; /* below: overlong */
    if (lead == 0xed)
        high = 0x9f; /* above: surrogates */
    if (lead == 0xf0)
        low = 0x90; /* below: overlong */
    if (lead == 0xf4)
        high = 0x8f; /* above: past U+10FFFF */
    return tails | low << 8 | high << 16;
}

/* *state is 0 between characters, else what utf8_expect said of the rest. */
static bool utf8_feed(uint32_t *state, const char *bytes, size_t len)
{
    const uint8_t *p = (const uint8_t *)bytes, *end = p + len;
    uint32_t expect = *state;
    while (p < end) {
        if (expect) {
            if (*p < (expect >> 8 & 0xff) || *p > expect >> 16)
                return false;
            uint32_t tails = (expect & 0xff) - 1;
            expect = tails ? tails | 0x80u << 8 | 0xbfu << 16 : 0;
            p++;
        } else if (*p < 0x80) {
            uint64_t word;
            p++;
            while (end - p >= 8 && (memcpy(&word, p, 8), (word & UINT64_C(0x8080808080808080)) == 0))
                p += 8;
        } else {
            expect = utf8_expect(*p++);
            if (!expect)
                return false;
        }
    }
    *state = expect;
    return true;
}

/* ---- header ---- */

/* How long the header is, from its second byte on. */
static uint8_t header_need(uint8_t second)
{
    uint8_t len7 = second & 0x7f;
    return (uint8_t)(2 + (len7 == LEN_16 ? 2 : len7 == LEN_64 ? 8 : 0) + 4);
}

static uint16_t check_first_byte(const struct feed *f, uint8_t first)
{
    const struct bgw_ws_decoder *d = f->d;
    uint8_t opcode = first & 0x0f;
    if (first & 0x70) /* RSV: no extension is ever negotiated */
        return CLOSE_PROTOCOL;
    if (is_control(opcode))
        return opcode > BGW_WS_PONG || !(first & 0x80) ? CLOSE_PROTOCOL : 0;
    if (opcode > BGW_WS_BINARY || (opcode == BGW_WS_CONT) != d->in_message)
        return CLOSE_PROTOCOL;
    if (opcode == BGW_WS_BINARY && !f->limits->binary)
        return CLOSE_UNSUPPORTED;
    return d->fragments >= f->limits->fragments_max ? CLOSE_POLICY : 0;
}

static uint16_t check_second_byte(uint8_t first, uint8_t second)
{
    if (!(second & 0x80)) /* a client must mask */
        return CLOSE_PROTOCOL;
    return is_control(first & 0x0f) && (second & 0x7f) > CONTROL_MAX ? CLOSE_PROTOCOL : 0;
}

static uint16_t read_length(struct bgw_ws_decoder *d)
{
    uint8_t len7 = d->header[1] & 0x7f;
    int bytes = len7 == LEN_16 ? 2 : len7 == LEN_64 ? 8 : 0;
    uint64_t len = bytes ? 0 : len7;
    for (int i = 0; i < bytes; i++)
        len = len << 8 | d->header[2 + i];
    if ((bytes == 2 && len < LEN_16) || (bytes == 8 && (len <= UINT16_MAX || len >> 63)))
        return CLOSE_PROTOCOL; /* not the shortest form, or the highest bit is set */
    d->payload_left = len;
    return 0;
}

/* The header is complete: takes it over into the decoder's state. */
static uint16_t begin_frame(const struct feed *f)
{
    struct bgw_ws_decoder *d = f->d;
    uint16_t code = read_length(d);
    if (code)
        return code;
    d->fin = (d->header[0] & 0x80) != 0;
    d->opcode = d->header[0] & 0x0f;
    d->mask_at = 0;
    if (is_control(d->opcode))
        return 0;
    size_t have = d->partial ? d->partial->message.len : 0;
    if (have > f->limits->message_max || d->payload_left > f->limits->message_max - have)
        return CLOSE_TOO_BIG;
    if (!d->in_message) {
        d->message_opcode = d->opcode;
        d->utf8_state = 0;
    }
    d->in_message = true;
    d->fragments++;
    return 0;
}

/* Takes header bytes; *at moves. 0 with header_need still 0: more bytes are wanted. */
static uint16_t take_header(const struct feed *f, const char *bytes, size_t len, size_t *at)
{
    struct bgw_ws_decoder *d = f->d;
    while (*at < len) {
        uint16_t code = 0;
        d->header[d->header_len++] = (uint8_t)bytes[(*at)++];
        if (d->header_len == 1)
            code = check_first_byte(f, d->header[0]);
        else if (d->header_len == 2)
            code = check_second_byte(d->header[0], d->header[1]);
        if (code)
            return code;
        if (d->header_len >= 2 && d->header_len == header_need(d->header[1])) {
            d->header_need = d->header_len;
            return begin_frame(f);
        }
    }
    return 0;
}

/* ---- payload ---- */

static void unmask(struct bgw_ws_decoder *d, char *bytes, size_t len)
{
    const uint8_t *mask = d->header + d->header_need - 4;
    char rotated[8];
    uint64_t key, word;
    for (unsigned i = 0; i < 8; i++)
        rotated[i] = (char)mask[(d->mask_at + i) & 3];
    memcpy(&key, rotated, 8);
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, bytes + i, 8);
        word ^= key;
        memcpy(bytes + i, &word, 8);
    }
    for (; i < len; i++)
        bytes[i] = (char)(bytes[i] ^ rotated[i & 7]);
    d->mask_at = (uint8_t)((d->mask_at + len) & 3);
}

static struct bgw_ws_partial *partial_of(const struct feed *f)
{
    struct bgw_ws_decoder *d = f->d;
    if (!d->partial)
        d->partial = calloc(1, sizeof(*d->partial));
    if (d->partial)
        d->partial->message.len_max = f->limits->message_max; /* may have grown since */
    return d->partial;
}

/* Keeps a piece of a frame that cannot be delivered yet. */
static uint16_t collect(const struct feed *f, struct bgw_slice piece)
{
    struct bgw_ws_partial *p = piece.len ? partial_of(f) : NULL;
    if (!p)
        return piece.len ? CLOSE_INTERNAL : 0;
    if (is_control(f->d->opcode)) {
        BGW_ASSERT(piece.len <= (size_t)(CONTROL_MAX - p->control_len));
        memcpy(p->control + p->control_len, piece.data, piece.len);
        p->control_len = (uint8_t)(p->control_len + piece.len);
        return 0;
    }
    bgw_buf_append(&p->message, piece);
    return p->message.failed ? CLOSE_INTERNAL : 0; /* message_max was checked at the header */
}

static uint16_t deliver_close(const struct feed *f, struct bgw_slice payload)
{
    uint16_t code = CLOSE_NO_CODE;
    uint32_t utf8 = 0;
    struct bgw_slice reason = {payload.data, 0};
    f->d->closed = true;
    if (payload.len == 1)
        return CLOSE_PROTOCOL;
    if (payload.len >= 2) {
        code = (uint16_t)((uint8_t)payload.data[0] << 8 | (uint8_t)payload.data[1]);
        reason = bgw_slice_of(payload.data + 2, payload.len - 2);
        if (!bgw_ws_close_code_valid(code))
            return CLOSE_PROTOCOL;
        if (!utf8_feed(&utf8, reason.data, reason.len) || utf8)
            return CLOSE_BAD_DATA;
    }
    f->ops->close(f->user, code, reason);
    return 0;
}

static uint16_t deliver_control(const struct feed *f, uint8_t opcode, struct bgw_slice payload)
{
    if (opcode == BGW_WS_CLOSE)
        return deliver_close(f, payload);
    if (opcode == BGW_WS_PING)
        f->ops->ping(f->user, payload);
    else
        f->ops->pong(f->user, payload);
    return 0;
}

/* The last piece of a control frame. */
static uint16_t end_control(const struct feed *f, struct bgw_slice piece)
{
    struct bgw_ws_decoder *d = f->d;
    char whole[CONTROL_MAX];
    if (d->partial && d->partial->control_len) {
        uint16_t code = collect(f, piece);
        if (code)
            return code;
        piece = bgw_slice_of(whole, d->partial->control_len);
        memcpy(whole, d->partial->control, piece.len);
        d->partial->control_len = 0;
    }
    if (d->partial && !d->in_message) {
        partial_free(d->partial);
        d->partial = NULL;
    }
    return deliver_control(f, d->opcode, piece);
}

/* The last piece of the last frame of a message. */
static uint16_t end_message(const struct feed *f, struct bgw_slice piece)
{
    struct bgw_ws_decoder *d = f->d;
    enum bgw_ws_opcode opcode = d->message_opcode;
    if (opcode == BGW_WS_TEXT && d->utf8_state)
        return CLOSE_BAD_DATA;
    if (d->partial) {
        uint16_t code = collect(f, piece);
        if (code)
            return code;
        piece = bgw_buf_slice(&d->partial->message);
    }
    struct bgw_ws_partial *done = d->partial;
    d->partial = NULL;
    d->in_message = false;
    d->fragments = 0;
    f->ops->message(f->user, opcode, piece);
    partial_free(done);
    return 0;
}

/* Takes payload bytes, at least those that are there; a frame may end with none. */
static uint16_t take_payload(const struct feed *f, char *bytes, size_t len)
{
    struct bgw_ws_decoder *d = f->d;
    bool control = is_control(d->opcode);
    struct bgw_slice piece = {bytes, len};
    unmask(d, bytes, len);
    d->payload_left -= len;
    if (!control && d->message_opcode == BGW_WS_TEXT && !utf8_feed(&d->utf8_state, bytes, len))
        return CLOSE_BAD_DATA;
    if (d->payload_left)
        return collect(f, piece);
    d->header_len = d->header_need = 0;
    if (control)
        return end_control(f, piece);
    return d->fin ? end_message(f, piece) : collect(f, piece);
}

uint16_t bgw_ws_decode(struct bgw_ws_decoder *d, const struct bgw_ws_limits *limits,
                       const struct bgw_ws_ops *ops, void *user, char *bytes, size_t len,
                       const bool *stop, size_t *used)
{
    const struct feed f = {d, limits, ops, user};
    *used = len;
    if (d->closed)
        return 0;
    for (size_t at = 0; at < len;) {
        uint16_t code = d->header_need ? 0 : take_header(&f, bytes, len, &at);
        if (!code && d->header_need) {
            size_t there = len - at < d->payload_left ? len - at : (size_t)d->payload_left;
            at += there;
            code = take_payload(&f, bytes + at - there, there);
        }
        if (code || (stop && *stop)) {
            *used = at;
            if (code)
                d->closed = true;
            return code;
        }
        if (d->closed) /* what follows a close frame is ignored */
            return 0;
    }
    return 0;
}

/* ---- encoding ---- */

size_t bgw_ws_header(char out[10], enum bgw_ws_opcode opcode, uint64_t len)
{
    int bytes = len < LEN_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    out[0] = (char)(0x80 | opcode);
    out[1] = (char)(bytes == 0 ? len : bytes == 2 ? LEN_16 : LEN_64);
    for (int i = 0; i < bytes; i++)
        out[2 + i] = (char)(len >> (8 * (bytes - 1 - i)) & 0xff);
    return (size_t)(2 + bytes);
}

void bgw_ws_append(struct bgw_buf *out, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    BGW_ASSERT(!is_control((uint8_t)opcode) || payload.len <= CONTROL_MAX);
    char header[10];
    size_t header_len = bgw_ws_header(header, opcode, payload.len);
    bgw_buf_append(out, bgw_slice_of(header, header_len));
    bgw_buf_append(out, payload);
}

size_t bgw_ws_text_begin(struct bgw_buf *out)
{
    size_t began = out->len;
    if (bgw_buf_reserve(out, HEADER_USUAL))
        out->len += HEADER_USUAL;
    return began;
}

void bgw_ws_text_end(struct bgw_buf *out, size_t began)
{
    char header[10];
    if (out->failed || out->len <= began + HEADER_USUAL) {
        out->len = began;
        return;
    }
    size_t payload = out->len - began - HEADER_USUAL;
    size_t header_len = bgw_ws_header(header, BGW_WS_TEXT, payload);
    if (header_len > HEADER_USUAL && !bgw_buf_reserve(out, header_len - HEADER_USUAL)) {
        out->len = began;
        return;
    }
    if (header_len != HEADER_USUAL)
        memmove(out->data + began + header_len, out->data + began + HEADER_USUAL, payload);
    memcpy(out->data + began, header, header_len);
    out->len = began + header_len + payload;
}

void bgw_ws_append_close(struct bgw_buf *out, uint16_t code, struct bgw_slice reason)
{
    char body[CONTROL_MAX];
    if (code == 0) {
        bgw_ws_append(out, BGW_WS_CLOSE, bgw_slice_of(NULL, 0));
        return;
    }
    BGW_ASSERT(bgw_ws_close_code_valid(code));
    if (reason.len > sizeof(body) - 2) {
        reason.len = sizeof(body) - 2;
        while (reason.len && ((uint8_t)reason.data[reason.len] & 0xc0) == 0x80)
            reason.len--; /* not inside a character */
    }
    body[0] = (char)(code >> 8);
    body[1] = (char)(code & 0xff);
    if (reason.len)
        memcpy(body + 2, reason.data, reason.len);
    bgw_ws_append(out, BGW_WS_CLOSE, bgw_slice_of(body, reason.len + 2));
}
