/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The members that the JSON check finds on its way, and what it does eight bytes or a few names at a
 * time: that it judges each byte and each name as if it looked at them alone.
 */
#include "bgw/json.h"

#include "../test.h"

/* Parses a copy that ends where the text ends, so that the sanitizer catches a read past it. */
static enum bgw_status parse_copy(struct bgw_slice text)
{
    struct bgw_json root;
    char *copy = malloc(text.len);
    memcpy(copy, text.data, text.len);
    enum bgw_status status = bgw_json_parse(bgw_slice_of(copy, text.len), &root);
    free(copy);
    return status;
}

/* What a string may hold at one place, whatever stands around it. */
TEST(every_byte_at_every_place_of_a_string_is_judged_alike)
{
    for (size_t len = 1; len < 20; len++)
        for (size_t at = 0; at < len; at++)
            for (int byte = 0; byte < 0x80; byte++) {
                char text[24] = "\"aaaaaaaaaaaaaaaaaaaaaa";
                text[at + 1] = (char)byte;
                text[len + 1] = '"';
                bool last = at == len - 1, quote = byte == '"', escape = byte == '\\';
                /* a quote ends it early; a backslash takes the next: `\a` is none, and `\"` leaves it open */
                enum bgw_status want = byte < 0x20 || quote || escape ? BGW_BAD_JSON : BGW_OK;
                if (parse_copy(bgw_slice_of(text, len + 2)) != want)
                    test_fail_(__FILE__, __LINE__, "byte %02x at %zu of %zu (last: %d)", (unsigned)byte, at, len, last);
            }
}

TEST(a_table_finds_the_members_of_the_outermost_object_alone)
{
    static const struct bgw_slice names[] = {BGW_SLICE("a"), BGW_SLICE("bb"), BGW_SLICE("c"), BGW_SLICE("")};
    struct bgw_json root, at[4];
    struct bgw_json_members wanted = {names, 4, at, 0xff};
    struct bgw_slice text = BGW_SLICE(" {\"x\":{\"a\":1},\"bb\":[{\"a\":2}] , \"\\u0063\" : -7,\"b\":3,\"\":\"\\n\"}");
    CHECK_EQ_I64(bgw_json_parse_members(text, &root, &wanted), BGW_OK);
    CHECK_EQ_I64(root.type, BGW_JSON_OBJECT);
    CHECK_EQ_I64(wanted.seen, 0xe);
    CHECK(at[1].type == BGW_JSON_ARRAY && bgw_slice_eq(at[1].raw, BGW_SLICE("[{\"a\":2}]")));
    CHECK(at[2].type == BGW_JSON_NUMBER && bgw_slice_eq(at[2].raw, BGW_SLICE("-7")));
    CHECK(at[3].type == BGW_JSON_STRING && at[3].escaped && bgw_slice_eq(at[3].raw, BGW_SLICE("\\n")));
}

TEST(a_table_finds_nothing_in_a_text_that_is_no_object)
{
    static const struct bgw_slice names[] = {BGW_SLICE("a")};
    struct bgw_json root, at[1];
    struct bgw_json_members wanted = {names, 1, at, 1};
    CHECK_EQ_I64(bgw_json_parse_members(BGW_SLICE("[{\"a\":1}]"), &root, &wanted), BGW_OK);
    CHECK_EQ_I64(wanted.seen, 0);
    CHECK_EQ_I64(bgw_json_parse_members(BGW_SLICE("7"), &root, &wanted), BGW_OK);
    CHECK_EQ_I64(wanted.seen, 0);
    CHECK_EQ_I64(bgw_json_parse_members(BGW_SLICE("{\"a\":1,\"\\u0061\":1}"), &root, &wanted), BGW_DUPLICATE);
}

/* `count` names of which the last repeats the one at `twin`; the first is written with an escape if asked. */
static enum bgw_status parse_many(size_t count, size_t twin, bool escape)
{
    char text[2048] = "{";
    for (size_t i = 0, len = 1; i < count; i++) {
        size_t n = i + 1 == count && twin < count ? twin : i;
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\"n%s%zu\":0%s", i ? "," : "",
                                i == 0 && escape ? "\\u0061" : "a", n, i + 1 == count ? "}" : "");
    }
    return parse_copy(bgw_slice_str(text));
}

TEST(duplicates_are_found_among_few_and_many_plain_and_escaped_names)
{
    for (size_t count = 2; count < 40; count++)
        for (int escape = 0; escape < 2; escape++) {
            CHECK_EQ_I64(parse_many(count, SIZE_MAX, escape), BGW_OK);
            for (size_t twin = 0; twin + 1 < count; twin++)
                CHECK_EQ_I64(parse_many(count, twin, escape), BGW_DUPLICATE);
        }
}
