/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws_codec_stream_test: a decoder that stops and goes on, seeded random streams in random pieces,
 * good and damaged; and the encoder.
 */
#include "ws_codec_rig.h"

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
        CHECK_EQ_I64(
            bgw_ws_decode(&d, &usual, &ops, &seen, s->bytes + at, s->len - at, &seen.stop, &used),
            0);
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
                      BGW_SLICE("\x8a\x03"
                                "abc"
                                "\x88\x00"
                                "\x88\x07\x0b\xb9"
                                "drain"));
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
