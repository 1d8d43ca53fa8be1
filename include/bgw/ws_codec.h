/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec: RFC 6455 frames, server side, without I/O and without a session: caps are parameters,
 * so the conformance echo uses it as it is. Holds heap memory only while a message or a control
 * frame is incomplete. Refuses what the RFC refuses, with the RFC's close code.
 */
#ifndef BGW_WS_CODEC_H
#define BGW_WS_CODEC_H

#include "bgw/buf.h"

#include <stdint.h>

enum bgw_ws_opcode { BGW_WS_CONT = 0, BGW_WS_TEXT = 1, BGW_WS_BINARY = 2, BGW_WS_CLOSE = 8, BGW_WS_PING = 9, BGW_WS_PONG = 10 };

struct bgw_ws_limits {
    size_t message_max;   /* bytes of one message, all fragments: beyond is 1009 */
    size_t fragments_max; /* frames of one message: beyond is 1008 */
    bool binary;          /* false: binary is 1003 */
};

/* Borrowed bytes, valid for the call. A callback that gets rid of the decoder must set *stop. */
struct bgw_ws_ops {
    void (*message)(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload); /* unmasked, whole, text is valid UTF-8 */
    void (*ping)(void *user, struct bgw_slice payload);
    void (*pong)(void *user, struct bgw_slice payload);
    void (*close)(void *user, uint16_t code, struct bgw_slice reason); /* peer's close frame; code 1005: none given */
};

struct bgw_ws_partial; /* the collected part of an incomplete message or control frame */

/* one connection's decoder, 56 bytes, owner's thread only; idle it owns no heap memory */
struct bgw_ws_decoder {
    struct bgw_ws_partial *partial;
    uint64_t payload_left; /* of the frame whose header is complete */
    uint32_t utf8_state;   /* 0 between characters */
    uint32_t fragments;    /* frames of this message so far */
    uint8_t header[14];
    uint8_t header_len, header_need; /* need 0: no header is complete */
    uint8_t mask_at, opcode, message_opcode;
    bool fin, in_message, closed;
};

void bgw_ws_decoder_init(struct bgw_ws_decoder *d);
void bgw_ws_decoder_deinit(struct bgw_ws_decoder *d);
/* Feeds bytes (unmasked in place, hence not const). Returns 0, or the close code to fail the connection with (1002, 1003, 1007, 1008,
 * 1009, 1011 without memory). After a close frame or a failure everything is ignored. Stops early when *stop becomes true in a
 * callback (stop may be NULL); *used says how far. */
uint16_t bgw_ws_decode(struct bgw_ws_decoder *d, const struct bgw_ws_limits *limits, const struct bgw_ws_ops *ops,
                       void *user, char *bytes, size_t len, const bool *stop, size_t *used);
/* Writes a header for an unmasked final frame; returns its length (2, 4 or 10). */
size_t bgw_ws_header(char out[10], enum bgw_ws_opcode opcode, uint64_t len);
void bgw_ws_append(struct bgw_buf *out, enum bgw_ws_opcode opcode, struct bgw_slice payload);
/* A text frame around what is appended between the two, without a copy. begin returns where the frame began; end takes an empty one
 * back, and one that did not fit (`failed` stays set). */
size_t bgw_ws_text_begin(struct bgw_buf *out);
void bgw_ws_text_end(struct bgw_buf *out, size_t began);
/* Code 0: empty body. The reason must be UTF-8; it is cut to 123 bytes at a character's end. */
void bgw_ws_append_close(struct bgw_buf *out, uint16_t code, struct bgw_slice reason);
bool bgw_ws_close_code_valid(uint16_t code); /* may it stand on the wire */
/* Sec-WebSocket-Accept for a key (24 base64 characters of 16 bytes, checked). SHA-1 comes from auth/. */
#define BGW_WS_ACCEPT_LEN 28

#endif
