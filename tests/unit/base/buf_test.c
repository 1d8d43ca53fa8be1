/* SPDX-License-Identifier: Apache-2.0 */
/* The buffer: what is appended, and that a text is whole or known to be cut. */
#include "bgw/buf.h"

#include "bgw/json.h"

#include "../test.h"

TEST(appended_text_stands_in_order)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 1000);
    bgw_buf_append_str(&b, "a");
    bgw_buf_append_byte(&b, 'b');
    bgw_buf_append(&b, BGW_SLICE("cd"));
    bgw_buf_append(&b, bgw_slice_of(NULL, 0));
    bgw_buf_appendf(&b, "-%d-%s", 7, "x");
    CHECK_SLICE(bgw_buf_slice(&b), "abcd-7-x");
    CHECK(!b.failed);
    bgw_buf_deinit(&b);
}

TEST(integers_are_written_to_their_edges)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 1000);
    const int64_t values[] = {0, 7, -7, 10, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < 6; i++) {
        bgw_buf_append_i64(&b, values[i]);
        bgw_buf_append_byte(&b, ' ');
    }
    bgw_buf_append_u64(&b, UINT64_MAX);
    CHECK_SLICE(bgw_buf_slice(&b),
                "0 7 -7 10 9223372036854775807 -9223372036854775808 18446744073709551615");
    bgw_buf_clear(&b);
    bgw_buf_append_hex64(&b, 0x0123456789abcdefULL);
    bgw_buf_append_hex64(&b, 0);
    CHECK_SLICE(bgw_buf_slice(&b), "0123456789abcdef0000000000000000");
    bgw_buf_deinit(&b);
}

TEST(json_strings_are_escaped_and_read_back)
{
    struct bgw_buf b;
    char all[256], back[256];
    size_t len = 0;
    struct bgw_json v;
    bgw_buf_init(&b, 4096);
    bgw_buf_append_json(&b, BGW_SLICE("a\"b\\c\n\x01\x1f/\x7f"));
    CHECK_SLICE(bgw_buf_slice(&b), "\"a\\\"b\\\\c\\n\\u0001\\u001f/\x7f\"");
    bgw_buf_clear(&b);
    for (int i = 1; i < 128; i++)
        all[i - 1] = (char)i;
    bgw_buf_append_json(&b, bgw_slice_of(all, 127));
    CHECK_EQ_I64(bgw_json_parse(bgw_buf_slice(&b), &v), BGW_OK);
    CHECK_EQ_I64(bgw_json_string(&v, back, sizeof(back), &len), BGW_OK);
    CHECK(len == 127 && memcmp(all, back, 127) == 0);
    bgw_buf_clear(&b);
    bgw_buf_append_json(&b, bgw_slice_of(NULL, 0));
    CHECK_SLICE(bgw_buf_slice(&b), "\"\"");
    bgw_buf_deinit(&b);
}

TEST(an_append_past_the_maximum_fails_whole_and_stays_failed)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 10);
    bgw_buf_append_str(&b, "12345678");
    bgw_buf_append_str(&b, "abc");
    CHECK(b.failed);
    bgw_buf_append_str(&b, "x"); /* would fit, but the text is cut already */
    CHECK_SLICE(bgw_buf_slice(&b), "12345678");
    bgw_buf_clear(&b);
    CHECK(!b.failed);
    bgw_buf_append_str(&b, "1234567890");
    CHECK(!b.failed);
    CHECK_SLICE(bgw_buf_slice(&b), "1234567890");
    bgw_buf_append_byte(&b, 'x');
    CHECK(b.failed);
    bgw_buf_deinit(&b);
}

TEST(long_formatted_text_is_whole)
{
    struct bgw_buf b;
    char text[3000];
    bgw_buf_init(&b, 10000);
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    bgw_buf_appendf(&b, "<%s>", text);
    CHECK_EQ_I64(b.len, 3001);
    CHECK(b.data[0] == '<' && b.data[3000] == '>' && b.data[2999] == 'y');
    bgw_buf_deinit(&b);
}

TEST(consume_drops_from_the_front)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 100);
    bgw_buf_append_str(&b, "hello world");
    bgw_buf_consume(&b, 6);
    CHECK_SLICE(bgw_buf_slice(&b), "world");
    bgw_buf_consume(&b, 0);
    bgw_buf_consume(&b, 5);
    CHECK_EQ_I64(b.len, 0);
    bgw_buf_append_str(&b, "x");
    CHECK_SLICE(bgw_buf_slice(&b), "x");
    bgw_buf_deinit(&b);
}

TEST(reserve_gives_room_that_the_caller_fills)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 100);
    CHECK(bgw_buf_reserve(&b, 0) != NULL);
    char *p = bgw_buf_reserve(&b, 100);
    CHECK(p != NULL);
    memset(p, 'z', 100);
    b.len += 100;
    CHECK(!bgw_buf_reserve(&b, 1) && b.failed && !b.starved);
    bgw_buf_deinit(&b);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

TEST(want_of_memory_is_told_from_too_much)
{
    struct bgw_buf b;
    bgw_buf_init(&b, SIZE_MAX / 2);
    bgw_buf_append_str(&b, "abc");
    CHECK(!bgw_buf_reserve(&b, SIZE_MAX / 4));
    CHECK(b.failed && b.starved);
    CHECK_SLICE(bgw_buf_slice(&b), "abc");
    bgw_buf_clear(&b);
    CHECK(!b.failed && !b.starved);
    bgw_buf_deinit(&b);
}

TEST(a_buffer_grows_in_any_steps_up_to_its_maximum)
{
    for (size_t step = 1; step < 70; step += 3) {
        struct bgw_buf b;
        char text[70];
        memset(text, 'q', sizeof(text));
        bgw_buf_init(&b, 5000);
        while (!b.failed) {
            bgw_buf_append(&b, bgw_slice_of(text, step));
            CHECK(b.cap <= 5000);
        }
        CHECK_EQ_I64(b.len, 5000 / step * step);
        bgw_buf_deinit(&b);
    }
}
