/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec_test: every rule of RFC 6455 that a server checks, as rows of a table that are fed whole
 * and byte by byte.
 */
#include "ws_codec_rig.h"

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
    static const size_t lens[] = {0,   1,   7,   8,     9,     124,   125,
                                  126, 127, 128, 65535, 65536, 65537, 70000};
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
    static const struct bgw_ws_limits small = {
        .message_max = 10, .fragments_max = 3, .binary = true};
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
    "plain",
    "\xc2\x80",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xef\xbf\xbf",
    "\xf0\x90\x80\x80",
    "\xf4\x8f\xbf\xbf",
    "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    "eight\xe2\x82\xac plain bytes before and after",
};

static const char *const bad_utf8[] = {
    "\x80",
    "\xbf",
    "\xc0\x80",
    "\xc1\xbf",
    "\xc2"
    "a",
    "\xe0\x80\x80",
    "\xe0\x9f\xbf",
    "\xed\xa0\x80",
    "\xed\xbf\xbf",
    "\xf0\x80\x80\x80",
    "\xf0\x8f\xbf\xbf",
    "\xf4\x90\x80\x80",
    "\xf5\x80\x80\x80",
    "\xff",
    "\xfe",
    "\xe2\x82"
    "a",
    "\xf0\x90\x80"
    "a",
    "plain text first and then\xff",
    "\xe2\x28\xa1",
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
    static const char *const cut[] = {"\xc2",     "\xe2",         "\xe2\x82",   "\xf0",
                                      "\xf0\x9f", "\xf0\x9f\x92", "abc\xe2\x82"};
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
    static const unsigned rows[] = {999,  1000, 1001, 1004, 1005, 1006, 1007, 1011, 1012,
                                    1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535};
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
