/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec_test: every rule of RFC 6455 that a server checks, as rows of a table that are fed whole
 * and byte by byte; then seeded random streams in random pieces, good and damaged.
 */
#include "bgw/ws_codec.h"

#include "../test.h"

#define LOG_MAX (1 << 20)

/* what the callbacks saw, as text: "t:payload|", "p:..|" */
struct seen {
    char text[LOG_MAX];
    size_t len;
    int events, stop_at; /* stop after so many events; 0: never */
    bool stop;
};

static void note(struct seen *s, const char *tag, struct bgw_slice payload)
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

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    note(user, opcode == BGW_WS_TEXT ? "t:" : "b:", payload);
}

static void on_ping(void *user, struct bgw_slice payload)
{
    note(user, "ping:", payload);
}

static void on_pong(void *user, struct bgw_slice payload)
{
    note(user, "pong:", payload);
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    char tag[16];
    snprintf(tag, sizeof(tag), "close%u:", code);
    note(user, tag, reason);
}

static const struct bgw_ws_ops ops = {on_message, on_ping, on_pong, on_close};
static const struct bgw_ws_limits usual = {.message_max = 70000, .fragments_max = 8, .binary = true};

/* ---- a client's encoder ---- */

struct stream {
    char bytes[1 << 20];
    size_t len;
    uint32_t mask;
};

static void raw(struct stream *s, const void *bytes, size_t len)
{
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

/* `first` is the whole first byte; the length in its shortest form. */
static void frame(struct stream *s, int first, const char *payload, size_t len)
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

static void text_frame(struct stream *s, int first, const char *payload)
{
    frame(s, first, payload, strlen(payload));
}

/* ---- feeding ---- */

static char work[1 << 20];

/* Feeds pieces of `step` bytes; 0: all at once. Returns the decoder's verdict. */
static uint16_t feed(const struct stream *s, size_t step, const struct bgw_ws_limits *limits,
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

static void expect(const struct stream *s, const struct bgw_ws_limits *limits, uint16_t code, const char *log)
{
    static struct seen seen;
    static const size_t steps[] = {0, 1, 2, 3, 7, 16};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        CHECK_EQ_I64(feed(s, steps[i], limits, &seen), code);
        test_check_slice_(__FILE__, __LINE__, "log", bgw_slice_of(seen.text, seen.len), bgw_slice_str(log));
    }
}

static struct stream stream;

static struct stream *fresh(void)
{
    stream.len = 0;
    return &stream;
}

/* ---- tables ---- */

TEST(well_formed_streams_are_delivered_in_order)
{
    struct stream *s = fresh();
    text_frame(s, 0x81, "hello");
    text_frame(s, 0x82, "bin");
    text_frame(s, 0x81, "");
    text_frame(s, 0x89, "");
    text_frame(s, 0x8a, "unasked");
    expect(s, &usual, 0, "t:hello|b:bin|t:|ping:|pong:unasked|");

    s = fresh(); /* fragments, empty ones too, with control frames between */
    text_frame(s, 0x01, "ab");
    text_frame(s, 0x89, "1");
    text_frame(s, 0x00, "");
    text_frame(s, 0x89, "2");
    text_frame(s, 0x00, "cd");
    text_frame(s, 0x8a, "3");
    text_frame(s, 0x80, "ef");
    text_frame(s, 0x81, "next");
    expect(s, &usual, 0, "ping:1|ping:2|pong:3|t:abcdef|t:next|");

    s = fresh();
    text_frame(s, 0x02, "");
    text_frame(s, 0x80, "");
    expect(s, &usual, 0, "b:|");
}

TEST(every_ping_of_a_burst_is_reported)
{
    struct stream *s = fresh();
    char want[128] = "";
    for (int i = 0; i < 10; i++) {
        char body[2] = {(char)('0' + i), 0};
        text_frame(s, 0x89, body);
        snprintf(want + strlen(want), sizeof(want) - strlen(want), "ping:%c|", '0' + i);
    }
    expect(s, &usual, 0, want);
}

struct bad_header {
    const char *what;
    unsigned char bytes[16];
    size_t len;
    uint16_t code;
};

TEST(header_rules_are_checked_at_the_first_byte_that_breaks_them)
{
    static const struct bad_header rows[] = {
        {"rsv1", {0xc1}, 1, 1002},
        {"rsv2", {0xa1}, 1, 1002},
        {"rsv3", {0x91}, 1, 1002},
        {"opcode 3", {0x83}, 1, 1002},
        {"opcode 4", {0x84}, 1, 1002},
        {"opcode 5", {0x85}, 1, 1002},
        {"opcode 6", {0x86}, 1, 1002},
        {"opcode 7", {0x87}, 1, 1002},
        {"opcode 11", {0x8b}, 1, 1002},
        {"opcode 12", {0x8c}, 1, 1002},
        {"opcode 13", {0x8d}, 1, 1002},
        {"opcode 14", {0x8e}, 1, 1002},
        {"opcode 15", {0x8f}, 1, 1002},
        {"continuation of nothing", {0x80}, 1, 1002},
        {"unfinished continuation of nothing", {0x00}, 1, 1002},
        {"fragmented close", {0x08}, 1, 1002},
        {"fragmented ping", {0x09}, 1, 1002},
        {"fragmented pong", {0x0a}, 1, 1002},
        {"unmasked text", {0x81, 0x05}, 2, 1002},
        {"unmasked empty text", {0x81, 0x00}, 2, 1002},
        {"unmasked ping", {0x89, 0x00}, 2, 1002},
        {"ping of 126", {0x89, 0xfe}, 2, 1002},
        {"close in the 64-bit form", {0x88, 0xff}, 2, 1002},
        {"125 in 16 bits", {0x81, 0xfe, 0, 125, 1, 2, 3, 4}, 8, 1002},
        {"0 in 16 bits", {0x81, 0xfe, 0, 0, 1, 2, 3, 4}, 8, 1002},
        {"65535 in 64 bits", {0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4}, 14, 1002},
        {"2^63", {0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 14, 1002},
        {"2^64-1", {0x81, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 1, 2, 3, 4}, 14, 1002},
        {"2^62", {0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4}, 14, 1009},
        {"70001 of 70000", {0x81, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x71, 1, 2, 3, 4}, 14, 1009},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        struct stream *s = fresh();
        raw(s, rows[i].bytes, rows[i].len);
        unsigned before = test_state_.failures;
        expect(s, &usual, rows[i].code, "");
        text_frame(s, 0x81, "what follows is not delivered");
        expect(s, &usual, rows[i].code, "");
        if (test_state_.failures != before)
            printf("# in row \"%s\"\n", rows[i].what);
    }
}

TEST(message_inside_an_unfinished_message_is_refused)
{
    struct stream *s = fresh();
    text_frame(s, 0x01, "a");
    text_frame(s, 0x81, "b");
    expect(s, &usual, 1002, "");
    s = fresh();
    text_frame(s, 0x02, "a");
    text_frame(s, 0x02, "b");
    expect(s, &usual, 1002, "");
    s = fresh(); /* and a finished one cannot be continued */
    text_frame(s, 0x01, "a");
    text_frame(s, 0x80, "b");
    text_frame(s, 0x80, "c");
    expect(s, &usual, 1002, "t:ab|");
}

TEST(lengths_at_the_borders_of_their_forms_arrive_whole)
{
    static const size_t lens[] = {0, 1, 7, 8, 9, 124, 125, 126, 127, 128, 65535, 65536, 65537, 70000};
    static char payload[70001];
    static struct seen seen;
    for (size_t i = 0; i < sizeof(payload); i++)
        payload[i] = (char)('a' + i % 23);
    for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++) {
        static const size_t steps[] = {0, 1, 13, 4096};
        struct stream *s = fresh();
        frame(s, 0x81, payload, lens[i]);
        for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
            CHECK_EQ_I64(feed(s, steps[k], &usual, &seen), 0);
            CHECK_EQ_I64(seen.len, lens[i] + 3);
            CHECK(seen.len == lens[i] + 3 && memcmp(seen.text + 2, payload, lens[i]) == 0);
        }
    }
}

TEST(caps_count_the_whole_message_and_its_frames)
{
    static const struct bgw_ws_limits small = {.message_max = 10, .fragments_max = 3, .binary = true};
    struct stream *s = fresh();
    text_frame(s, 0x01, "12345");
    text_frame(s, 0x80, "67890");
    text_frame(s, 0x81, "1234567890"); /* the next one begins anew */
    expect(s, &small, 0, "t:1234567890|t:1234567890|");
    s = fresh();
    text_frame(s, 0x01, "12345");
    text_frame(s, 0x80, "678901");
    expect(s, &small, 1009, "");
    s = fresh();
    text_frame(s, 0x01, "1");
    text_frame(s, 0x00, "");
    text_frame(s, 0x89, "not counted");
    text_frame(s, 0x80, "3");
    text_frame(s, 0x01, "1");
    text_frame(s, 0x00, "2");
    text_frame(s, 0x00, "3");
    text_frame(s, 0x80, "4");
    expect(s, &small, 1008, "ping:not counted|t:13|");
}

TEST(binary_is_refused_where_it_is_not_wanted)
{
    static const struct bgw_ws_limits text_only = {.message_max = 100, .fragments_max = 4};
    struct stream *s = fresh();
    text_frame(s, 0x81, "t");
    text_frame(s, 0x82, "b");
    expect(s, &text_only, 1003, "t:t|");
}

/* ---- UTF-8 ---- */

static const char *const good_utf8[] = {
    "plain", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
    "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    "eight\xe2\x82\xac plain bytes before and after",
};

static const char *const bad_utf8[] = {
    "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2" "a", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
    "\xed\xbf\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff",
    "\xfe", "\xe2\x82" "a", "\xf0\x90\x80" "a", "plain text first and then\xff", "\xe2\x28\xa1",
};

TEST(text_must_be_utf8_whole_or_fragmented_inside_a_character)
{
    for (size_t i = 0; i < sizeof(good_utf8) / sizeof(*good_utf8); i++) {
        const char *text = good_utf8[i];
        size_t len = strlen(text);
        char want[128];
        snprintf(want, sizeof(want), "t:%s|", text);
        for (size_t cut = 0; cut <= len; cut++) {
            struct stream *s = fresh();
            frame(s, 0x01, text, cut);
            text_frame(s, 0x89, "\xff"); /* a ping may carry anything, and does not disturb */
            frame(s, 0x80, text + cut, len - cut);
            char with_ping[160];
            snprintf(with_ping, sizeof(with_ping), "ping:\xff|%s", want);
            expect(s, &usual, 0, with_ping);
        }
    }
    for (size_t i = 0; i < sizeof(bad_utf8) / sizeof(*bad_utf8); i++) {
        const char *text = bad_utf8[i];
        size_t len = strlen(text);
        for (size_t cut = 0; cut <= len; cut++) {
            struct stream *s = fresh();
            frame(s, 0x01, text, cut);
            frame(s, 0x80, text + cut, len - cut);
            expect(s, &usual, 1007, "");
        }
        struct stream *s = fresh(); /* as binary it is nobody's business */
        frame(s, 0x82, text, len);
        static struct seen seen;
        CHECK_EQ_I64(feed(s, 0, &usual, &seen), 0);
        CHECK_EQ_I64(seen.events, 1);
    }
}

TEST(text_that_ends_inside_a_character_is_refused)
{
    static const char *const cut[] = {"\xc2", "\xe2", "\xe2\x82", "\xf0", "\xf0\x9f", "\xf0\x9f\x92", "abc\xe2\x82"};
    for (size_t i = 0; i < sizeof(cut) / sizeof(*cut); i++) {
        struct stream *s = fresh();
        text_frame(s, 0x81, cut[i]);
        expect(s, &usual, 1007, "");
    }
}

TEST(bad_utf8_is_refused_before_the_frame_and_the_message_are_complete)
{
    struct stream *s = fresh();
    text_frame(s, 0x01, "fine so far \xed\xa0 and here the frame would go on");
    s->len -= 30;
    expect(s, &usual, 1007, "");
}

TEST(state_of_one_message_does_not_leak_into_the_next)
{
    struct stream *s = fresh();
    frame(s, 0x82, "\xe2\x82", 2);
    text_frame(s, 0x81, "a");
    frame(s, 0x02, "\xf0", 1);
    frame(s, 0x80, "\x9f", 1);
    text_frame(s, 0x81, "\xe2\x82\xac");
    expect(s, &usual, 0, "b:\xe2\x82|t:a|b:\xf0\x9f|t:\xe2\x82\xac|");
}

/* ---- close ---- */

TEST(close_codes_follow_the_registry)
{
    for (unsigned code = 0; code <= 5100; code++) {
        bool want = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        CHECK_EQ_I64(bgw_ws_close_code_valid((uint16_t)code), want);
    }
    static const unsigned rows[] = {999, 1000, 1001, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char body[] = {(char)(rows[i] >> 8), (char)(rows[i] & 0xff), 'w', 'h', 'y'}, want[32];
        struct stream *s = fresh();
        frame(s, 0x88, body, sizeof(body));
        bool valid = bgw_ws_close_code_valid((uint16_t)rows[i]);
        snprintf(want, sizeof(want), "close%u:why|", rows[i]);
        expect(s, &usual, valid ? 0 : 1002, valid ? want : "");
    }
}

TEST(close_bodies_of_every_shape)
{
    char longest[125];
    struct stream *s = fresh();
    text_frame(s, 0x88, "");
    expect(s, &usual, 0, "close1005:|");
    s = fresh();
    frame(s, 0x88, "\x03", 1);
    expect(s, &usual, 1002, "");
    s = fresh();
    frame(s, 0x88, "\x03\xe8", 2);
    expect(s, &usual, 0, "close1000:|");
    s = fresh();
    frame(s, 0x88, "\x03\xe8\xff", 3);
    expect(s, &usual, 1007, "");
    s = fresh();
    frame(s, 0x88, "\x03\xe8\xe2\x82", 4);
    expect(s, &usual, 1007, "");
    s = fresh();
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "\x0b\xb9", 2);
    frame(s, 0x88, longest, sizeof(longest));
    static struct seen seen;
    CHECK_EQ_I64(feed(s, 1, &usual, &seen), 0);
    CHECK_EQ_I64(seen.len, strlen("close3001:") + 123 + 1);
}

TEST(everything_after_a_close_frame_is_ignored)
{
    struct stream *s = fresh();
    text_frame(s, 0x01, "unfinished");
    frame(s, 0x88, "\x03\xe8", 2);
    text_frame(s, 0x80, "rest");
    text_frame(s, 0x89, "ping");
    raw(s, "\xff\xff\xff\xff nonsense", 13);
    expect(s, &usual, 0, "close1000:|");
}

/* ---- stopping ---- */

TEST(decoder_stops_where_a_callback_says_and_goes_on_from_there)
{
    static struct seen seen;
    struct bgw_ws_decoder d;
    struct stream *s = fresh();
    size_t ends[3], used, at = 0;
    text_frame(s, 0x81, "one");
    ends[0] = s->len;
    text_frame(s, 0x89, "two");
    ends[1] = s->len;
    text_frame(s, 0x81, "three");
    ends[2] = s->len;
    memset(&seen, 0, sizeof(seen));
    bgw_ws_decoder_init(&d);
    for (int i = 0; i < 3; i++) {
        seen.stop = false;
        seen.stop_at = i + 1;
        CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes + at, s->len - at, &seen.stop, &used), 0);
        at += used;
        CHECK_EQ_I64(at, ends[i]);
        CHECK_EQ_I64(seen.events, i + 1);
    }
    test_check_slice_(__FILE__, __LINE__, "log", bgw_slice_of(seen.text, seen.len),
                      BGW_SLICE("t:one|ping:two|t:three|"));
    bgw_ws_decoder_deinit(&d);
}

TEST(idle_decoder_is_small_and_owns_no_memory)
{
    struct bgw_ws_decoder d;
    static struct seen seen;
    struct stream *s = fresh();
    size_t used;
    CHECK(sizeof(d) <= 56);
    bgw_ws_decoder_init(&d);
    text_frame(s, 0x01, "ab");
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes, s->len, NULL, &used), 0);
    CHECK(d.partial != NULL);
    s = fresh();
    text_frame(s, 0x89, "split");
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes, 8, NULL, &used), 0);
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes + 8, s->len - 8, NULL, &used), 0);
    CHECK(d.partial != NULL); /* the message is still there */
    s = fresh();
    text_frame(s, 0x80, "c");
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes, s->len, NULL, &used), 0);
    CHECK(d.partial == NULL);
    s = fresh();
    text_frame(s, 0x89, "split");
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes, 8, NULL, &used), 0);
    CHECK(d.partial != NULL);
    CHECK_EQ_I64(bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes + 8, s->len - 8, NULL, &used), 0);
    CHECK(d.partial == NULL);
    bgw_ws_decoder_deinit(&d);
}

/* ---- random streams ---- */

static uint64_t rng_state;

static uint32_t rng(uint32_t below)
{
    rng_state = rng_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng_state >> 33) % below;
}

static size_t random_payload(char *to, bool text)
{
    static const uint32_t sizes[] = {4, 20, 125, 126, 300, 5000};
    size_t len = rng(sizes[rng(6)]);
    for (size_t i = 0; i < len; i++)
        to[i] = (char)(text ? 'a' + rng(26) : rng(256));
    for (size_t i = 0; text && i + 3 <= len; i += 3 + rng(40))
        memcpy(to + i, "\xe2\x82\xac", 3);
    return len;
}

static void random_control(struct stream *s)
{
    char body[125];
    size_t len = rng(126);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)rng(256);
    frame(s, rng(2) ? 0x89 : 0x8a, body, len);
}

static void random_message(struct stream *s)
{
    static char payload[8192];
    bool text = rng(3) != 0;
    size_t len = random_payload(payload, text), at = 0;
    uint32_t frames = 1 + rng(5);
    for (uint32_t i = 0; i < frames; i++) {
        size_t n = i + 1 == frames ? len - at : rng((uint32_t)(len - at) + 1);
        int first = (i ? 0 : text ? 1 : 2) | (i + 1 == frames ? 0x80 : 0);
        frame(s, first, payload + at, n);
        at += n;
        if (rng(4) == 0)
            random_control(s);
    }
}

/* Fed in random pieces: must see what whole feeding saw, with the same verdict. */
static void compare_in_pieces(const struct stream *s, uint16_t code, const struct seen *whole)
{
    static struct seen seen;
    struct bgw_ws_decoder d;
    uint16_t got = 0;
    size_t used;
    memset(&seen, 0, offsetof(struct seen, stop));
    memcpy(work, s->bytes, s->len);
    bgw_ws_decoder_init(&d);
    for (size_t at = 0; at < s->len && !got;) {
        size_t n = 1 + rng(rng(4) ? 20 : 3000);
        if (n > s->len - at)
            n = s->len - at;
        char *piece = malloc(n); /* so that a sanitizer sees any step outside */
        CHECK(piece != NULL);
        memcpy(piece, work + at, n);
        got = bgw_ws_decode(&d, &usual, &ops, &seen, piece, n, NULL, &used);
        free(piece);
        at += n;
    }
    bgw_ws_decoder_deinit(&d);
    CHECK_EQ_I64(got, code);
    CHECK(seen.len == whole->len && memcmp(seen.text, whole->text, seen.len) == 0);
}

TEST(pieces_of_any_size_are_decoded_like_the_whole_stream)
{
    static struct seen whole;
    int refused = 0, taken = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        rng_state = seed;
        struct stream *s = fresh();
        for (uint32_t i = 2 + rng(10); i > 0; i--)
            random_message(s);
        bool damaged = seed % 2 == 0;
        if (damaged)
            for (uint32_t i = 1 + rng(3); i > 0; i--)
                s->bytes[rng((uint32_t)s->len)] ^= (char)(1u << rng(8));
        uint16_t code = feed(s, 0, &usual, &whole);
        CHECK(damaged || code == 0);
        refused += code != 0;
        taken += whole.events;
        unsigned before = test_state_.failures;
        compare_in_pieces(s, code, &whole);
        static struct seen bytewise;
        CHECK_EQ_I64(feed(s, 1, &usual, &bytewise), code);
        CHECK(bytewise.len == whole.len && memcmp(bytewise.text, whole.text, whole.len) == 0);
        if (test_state_.failures != before)
            printf("# seed %" PRIu64 "\n", seed);
    }
    CHECK(refused > 20);
    CHECK(taken > 1000);
}

TEST(random_bytes_never_step_outside_their_piece)
{
    static struct seen seen;
    rng_state = 42;
    for (int round = 0; round < 3000; round++) {
        struct stream *s = fresh();
        for (uint32_t n = 1 + rng(200); n > 0; n--)
            s->bytes[s->len++] = (char)rng(256);
        s->bytes[0] = (char)(rng(2) ? 0x81 : 0x89);
        if (s->len > 1)
            s->bytes[1] = (char)(0x80 | s->bytes[1]);
        compare_in_pieces(s, feed(s, 0, &usual, &seen), &seen);
    }
}

/* ---- encoding ---- */

TEST(headers_use_the_shortest_form)
{
    static const struct {
        uint64_t len;
        size_t header_len;
        unsigned char bytes[10];
    } rows[] = {
        {0, 2, {0x81, 0}},
        {125, 2, {0x81, 125}},
        {126, 4, {0x81, 126, 0, 126}},
        {65535, 4, {0x81, 126, 255, 255}},
        {65536, 10, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {UINT64_C(1) << 40, 10, {0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        char out[10];
        CHECK_EQ_I64(bgw_ws_header(out, BGW_WS_TEXT, rows[i].len), rows[i].header_len);
        CHECK(memcmp(out, rows[i].bytes, rows[i].header_len) == 0);
    }
}

TEST(frames_and_close_frames_are_appended_whole)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 1000);
    bgw_ws_append(&b, BGW_WS_PONG, BGW_SLICE("abc"));
    bgw_ws_append_close(&b, 0, BGW_SLICE("ignored"));
    bgw_ws_append_close(&b, 3001, BGW_SLICE("drain"));
    test_check_slice_(__FILE__, __LINE__, "frames", bgw_buf_slice(&b),
                      BGW_SLICE("\x8a\x03" "abc" "\x88\x00" "\x88\x07\x0b\xb9" "drain"));
    bgw_buf_deinit(&b);
}

TEST(long_close_reason_is_cut_at_the_end_of_a_character)
{
    char reason[130];
    struct bgw_buf b;
    bgw_buf_init(&b, 1000);
    memset(reason, 'x', sizeof(reason));
    memcpy(reason + 121, "\xe2\x82\xac", 3); /* 121..123: would be cut after its second byte */
    bgw_ws_append_close(&b, 1008, bgw_slice_of(reason, sizeof(reason)));
    CHECK_EQ_I64(b.len, 2 + 2 + 121);
    CHECK_EQ_I64(b.data[1], 123);
    bgw_buf_clear(&b);
    memset(reason, 'x', sizeof(reason));
    bgw_ws_append_close(&b, 1008, bgw_slice_of(reason, sizeof(reason)));
    CHECK_EQ_I64(b.len, 2 + 125);
    bgw_buf_deinit(&b);
}
