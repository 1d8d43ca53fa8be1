/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec_rig: a client's encoder that masks, callbacks that write down what they see as text, and
 * a decoder that is fed a stream whole or in pieces of any size. One thread.
 */
#ifndef BGW_WS_CODEC_RIG_H
#define BGW_WS_CODEC_RIG_H

#include "bgw/ws_codec.h"

#include "test.h"

#define LOG_MAX (1 << 20)

/* what the callbacks saw, as text: "t:payload|", "p:..|" */
struct seen {
    char text[LOG_MAX];
    size_t len;
    int events, stop_at; /* stop after so many events; 0: never */
    bool stop;
};

static inline void note(struct seen *s, const char *tag, struct bgw_slice payload)
{
    size_t tag_len = strlen(tag);
    if (s->len + tag_len + payload.len + 1 < LOG_MAX) {
        memcpy(s->text + s->len, tag, tag_len);
        if (payload.len)
            memcpy(s->text + s->len + tag_len, payload.data, payload.len);
        s->len += tag_len + payload.len;
        s->text[s->len++] = '|';
    }
    if (++s->events == s->stop_at)
        s->stop = true;
}

static inline void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    note(user, opcode == BGW_WS_TEXT ? "t:" : "b:", payload);
}

static inline void on_ping(void *user, struct bgw_slice payload)
{
    note(user, "ping:", payload);
}

static inline void on_pong(void *user, struct bgw_slice payload)
{
    note(user, "pong:", payload);
}

static inline void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    char tag[16];
    snprintf(tag, sizeof(tag), "close%u:", code);
    note(user, tag, reason);
}

static const struct bgw_ws_ops ops = {on_message, on_ping, on_pong, on_close};
static const struct bgw_ws_limits usual = {
    .message_max = 70000, .fragments_max = 8, .binary = true};

/* ---- a client's encoder ---- */

struct stream {
    char bytes[1 << 20];
    size_t len;
    uint32_t mask;
};

static inline void raw(struct stream *s, const void *bytes, size_t len)
{
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

/* `first` is the whole first byte; the length in its shortest form. */
static inline void frame(struct stream *s, int first, const char *payload, size_t len)
{
    char header[14], mask[4];
    size_t n = 2;
    s->mask = s->mask * 1664525u + 1013904223u;
    memcpy(mask, &s->mask, 4);
    header[0] = (char)first;
    if (len < 126) {
        header[1] = (char)(0x80 | len);
    } else {
        int bytes = len <= 0xffff ? 2 : 8;
        header[1] = (char)(0x80 | (bytes == 2 ? 126 : 127));
        for (int i = bytes - 1; i >= 0; i--)
            header[n++] = (char)((uint64_t)len >> (8 * i) & 0xff);
    }
    memcpy(header + n, mask, 4);
    raw(s, header, n + 4);
    for (size_t i = 0; i < len; i++)
        s->bytes[s->len++] = (char)(payload[i] ^ mask[i % 4]);
}

static inline void text_frame(struct stream *s, int first, const char *payload)
{
    frame(s, first, payload, strlen(payload));
}

/* ---- feeding ---- */

static char work[1 << 20];

/* Feeds pieces of `step` bytes; 0: all at once. Returns the decoder's verdict. */
static inline uint16_t feed(const struct stream *s, size_t step, const struct bgw_ws_limits *limits,
                            struct seen *seen)
{
    struct bgw_ws_decoder d;
    uint16_t code = 0;
    size_t used;
    memset(seen, 0, offsetof(struct seen, stop));
    memcpy(work, s->bytes, s->len);
    bgw_ws_decoder_init(&d);
    for (size_t at = 0; at < s->len && !code; at += step ? step : s->len) {
        size_t n = step && step < s->len - at ? step : s->len - at;
        code = bgw_ws_decode(&d, limits, &ops, seen, work + at, n, NULL, &used);
        CHECK(code || used == n);
        CHECK(used <= n);
    }
    if (code) { /* a decoder that has failed stays silent */
        char more[] = "\x81\x80\0\0\0\0";
        int before = seen->events;
        CHECK_EQ_I64(bgw_ws_decode(&d, limits, &ops, seen, more, 6, NULL, &used), 0);
        CHECK_EQ_I64(seen->events, before);
    }
    bgw_ws_decoder_deinit(&d);
    CHECK(d.partial == NULL);
    return code;
}

static inline void expect(const struct stream *s, const struct bgw_ws_limits *limits, uint16_t code,
                          const char *log)
{
    static struct seen seen;
    static const size_t steps[] = {0, 1, 2, 3, 7, 16};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        CHECK_EQ_I64(feed(s, steps[i], limits, &seen), code);
        test_check_slice_(__FILE__, __LINE__, "log", bgw_slice_of(seen.text, seen.len),
                          bgw_slice_str(log));
    }
}

static struct stream stream;

static inline struct stream *fresh(void)
{
    stream.len = 0;
    return &stream;
}

#endif
