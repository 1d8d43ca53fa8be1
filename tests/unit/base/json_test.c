/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON check and walk: what is accepted, what is refused and under which name. The check is the
 * wall between strangers and the book, so the tables here are meant to be complete.
 */
#include "bgw/json.h"

#include "../test.h"

/* one case: a text and what the check says to it */
struct parse_case {
    struct bgw_slice text;
    enum bgw_status want;
};

#define CASE(lit, status) {{(lit), sizeof(lit) - 1}, BGW_##status}

/* Parses a copy that ends where the text ends, so that the sanitizer catches a read past it. */
static enum bgw_status parse_copy(struct bgw_slice text)
{
    struct bgw_json root;
    char *copy = malloc(text.len ? text.len : 1);
    memcpy(copy, text.data, text.len);
    enum bgw_status status = bgw_json_parse(bgw_slice_of(copy, text.len), &root);
    free(copy);
    return status;
}

static void check_cases(const struct parse_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum bgw_status got = parse_copy(cases[i].text);
        if (got != cases[i].want)
            test_fail_(__FILE__, __LINE__, "case %zu <%.*s> is %s, not %s", i,
                       (int)cases[i].text.len, cases[i].text.data, bgw_status_name(got),
                       bgw_status_name(cases[i].want));
    }
}

#define CHECK_CASES(cases) check_cases((cases), sizeof(cases) / sizeof(*(cases)))

static struct bgw_json parsed(const char *text)
{
    struct bgw_json root;
    enum bgw_status status = bgw_json_parse(bgw_slice_str(text), &root);
    CHECK_EQ_STR(bgw_status_name(status), "ok");
    if (status != BGW_OK) /* an empty value, so that the test goes on to say what it saw */
        root = (struct bgw_json){.type = BGW_JSON_NULL, .raw = BGW_SLICE("null")};
    return root;
}

TEST(well_formed_texts_are_accepted)
{
    static const struct parse_case cases[] = {
        CASE("{}", OK),
        CASE("[]", OK),
        CASE(" \t\r\n{ \"a\" : [ 1 , 2 ] } \n", OK),
        CASE("null", OK),
        CASE("true", OK),
        CASE("false", OK),
        CASE("0", OK),
        CASE("-0", OK),
        CASE("-1.25e-7", OK),
        CASE("1E+9", OK),
        CASE("\"\"", OK),
        CASE("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", OK),
        CASE("\"\\ud83d\\ude00\"", OK),
        CASE("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"", OK),
        CASE("\"\\u0000\"", OK), /* well-formed; bgw_json_string refuses it */
        CASE("{\"a\":{\"a\":{\"a\":1}}}", OK),
        CASE("{\"\":1}", OK),
    };
    CHECK_CASES(cases);
}

TEST(malformed_texts_are_bad_json)
{
    static const struct parse_case cases[] = {
        CASE("", BAD_JSON),          CASE("   ", BAD_JSON),
        CASE("{", BAD_JSON),         CASE("}", BAD_JSON),
        CASE("[", BAD_JSON),         CASE("[1", BAD_JSON),
        CASE("[1,", BAD_JSON),       CASE("[1,]", BAD_JSON),
        CASE("[,1]", BAD_JSON),      CASE("[1 2]", BAD_JSON),
        CASE("[1}", BAD_JSON),       CASE("{\"a\"}", BAD_JSON),
        CASE("{\"a\":}", BAD_JSON),  CASE("{\"a\":1,}", BAD_JSON),
        CASE("{,}", BAD_JSON),       CASE("{a:1}", BAD_JSON),
        CASE("{1:1}", BAD_JSON),     CASE("{'a':1}", BAD_JSON),
        CASE("{\"a\" 1}", BAD_JSON), CASE("{\"a\":1 \"b\":2}", BAD_JSON),
        CASE("{\"a\":1]", BAD_JSON), CASE("nul", BAD_JSON),
        CASE("nulll", BAD_JSON),     CASE("NaN", BAD_JSON),
        CASE("Infinity", BAD_JSON),  CASE("-Infinity", BAD_JSON),
        CASE("True", BAD_JSON),      CASE("/* */1", BAD_JSON),
        CASE("\v1", BAD_JSON),
    };
    CHECK_CASES(cases);
}

TEST(numbers_that_break_the_grammar_are_bad_json)
{
    static const struct parse_case cases[] = {
        CASE("01", BAD_JSON),   CASE("-01", BAD_JSON),   CASE("00", BAD_JSON),
        CASE("+1", BAD_JSON),   CASE("-", BAD_JSON),     CASE(".5", BAD_JSON),
        CASE("1.", BAD_JSON),   CASE("1.e3", BAD_JSON),  CASE("1e", BAD_JSON),
        CASE("1e+", BAD_JSON),  CASE("1e1.5", BAD_JSON), CASE("0x10", BAD_JSON),
        CASE("1_0", BAD_JSON),  CASE("--1", BAD_JSON),   CASE("1-", BAD_JSON),
        CASE("[01]", BAD_JSON),
    };
    CHECK_CASES(cases);
}

TEST(bytes_after_the_value_are_bad_json)
{
    static const struct parse_case cases[] = {
        CASE("{}x", BAD_JSON),    CASE("{}{}", BAD_JSON), CASE("1 1", BAD_JSON),
        CASE("{},", BAD_JSON),    CASE("{}\0", BAD_JSON), CASE("{} \0 ", BAD_JSON),
        CASE("null\"", BAD_JSON),
    };
    CHECK_CASES(cases);
}

TEST(broken_strings_are_bad_json)
{
    static const struct parse_case cases[] = {
        CASE("\"", BAD_JSON),       CASE("\"a", BAD_JSON),          CASE("\"\\\"", BAD_JSON),
        CASE("\"\\", BAD_JSON),     CASE("\"\\x41\"", BAD_JSON),    CASE("\"\\0\"", BAD_JSON),
        CASE("\"\\\0\"", BAD_JSON), CASE("\"\\u12\"", BAD_JSON),    CASE("\"\\u12g4\"", BAD_JSON),
        CASE("\"\\u", BAD_JSON),    CASE("\"\\u123", BAD_JSON),     CASE("\"\\U0041\"", BAD_JSON),
        CASE("\"a\nb\"", BAD_JSON), CASE("\"\t\"", BAD_JSON),       CASE("\"\0\"", BAD_JSON),
        CASE("\"\x1f\"", BAD_JSON), CASE("{\"a\nb\":1}", BAD_JSON),
    };
    CHECK_CASES(cases);
}

TEST(every_raw_control_character_in_a_string_is_refused)
{
    char text[] = "\"?\"";
    for (int c = 0; c < 0x20; c++) {
        text[1] = (char)c;
        CHECK_EQ_I64(parse_copy(bgw_slice_of(text, 3)), BGW_BAD_JSON);
    }
    text[1] = 0x7f; /* DEL is none */
    CHECK_EQ_I64(parse_copy(bgw_slice_of(text, 3)), BGW_OK);
}

TEST(lone_surrogates_are_refused)
{
    static const struct parse_case cases[] = {
        CASE("\"\\ud800\"", BAD_JSON),        CASE("\"\\udc00\"", BAD_JSON),
        CASE("\"\\ud800x\"", BAD_JSON),       CASE("\"\\ud800\\n\"", BAD_JSON),
        CASE("\"\\ud800\\ud800\"", BAD_JSON), CASE("\"\\udc00\\ud800\"", BAD_JSON),
        CASE("\"\\ud800\\u0041\"", BAD_JSON), CASE("\"\\udbff\\ue000\"", BAD_JSON),
        CASE("\"\\ud800\\udc0\"", BAD_JSON),  CASE("\"\\ud800\\", BAD_JSON),
        CASE("\"\\uDBFF\\uDFFF\"", OK),       CASE("\"\\ud7ff\\ue000\"", OK),
    };
    CHECK_CASES(cases);
}

TEST(ill_formed_utf8_is_refused_everywhere)
{
    static const struct parse_case cases[] = {
        CASE("\"\x80\"", BAD_UTF8),             /* a tail alone */
        CASE("\"\xc3\"", BAD_UTF8),             /* cut short */
        CASE("\"\xc0\x80\"", BAD_UTF8),         /* overlong NUL */
        CASE("\"\xc1\xbf\"", BAD_UTF8),         /* overlong */
        CASE("\"\xe0\x80\xaf\"", BAD_UTF8),     /* overlong slash */
        CASE("\"\xe0\x9f\xbf\"", BAD_UTF8),     /* overlong */
        CASE("\"\xf0\x80\x80\xaf\"", BAD_UTF8), /* overlong */
        CASE("\"\xf0\x8f\xbf\xbf\"", BAD_UTF8), /* overlong */
        CASE("\"\xed\xa0\x80\"", BAD_UTF8),     /* a surrogate */
        CASE("\"\xed\xbf\xbf\"", BAD_UTF8),     /* a surrogate */
        CASE("\"\xf4\x90\x80\x80\"", BAD_UTF8), /* past U+10FFFF */
        CASE("\"\xf5\x80\x80\x80\"", BAD_UTF8),
        CASE("\"\xfe\"", BAD_UTF8),
        CASE("\"\xff\"", BAD_UTF8),
        CASE("\"\xe2\x28\xa1\"", BAD_UTF8),
        CASE("\"\xe2\x82\x28\"", BAD_UTF8),
        CASE("{\"\xff\":1}", BAD_UTF8),
        CASE("{}\xff", BAD_UTF8),
        CASE("\xff", BAD_UTF8),
        CASE("\"12345678\xff\"", BAD_UTF8), /* behind a run of eight */
    };
    CHECK_CASES(cases);
}

TEST(the_edges_of_utf8_are_accepted)
{
    static const struct parse_case cases[] = {
        CASE("\"\xc2\x80\"", OK),         CASE("\"\xdf\xbf\"", OK),
        CASE("\"\xe0\xa0\x80\"", OK),     CASE("\"\xed\x9f\xbf\"", OK),
        CASE("\"\xee\x80\x80\"", OK),     CASE("\"\xef\xbf\xbf\"", OK),
        CASE("\"\xf0\x90\x80\x80\"", OK), CASE("\"\xf4\x8f\xbf\xbf\"", OK),
    };
    CHECK_CASES(cases);
}

/* An independent definition: decode, encode again in the shortest form, compare. */
static bool utf8_valid_slowly(const unsigned char *p, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < len;) {
        size_t n = p[i] < 0x80       ? 1
                   : p[i] >> 5 == 6  ? 2
                   : p[i] >> 4 == 14 ? 3
                   : p[i] >> 3 == 30 ? 4
                                     : 0;
        if (n == 0 || n > len - i)
            return false;
        uint32_t c = n == 1 ? p[i] : p[i] & (0x7fU >> n);
        for (size_t k = 1; k < n; k++) {
            if (p[i + k] >> 6 != 2)
                return false;
            c = c << 6 | (p[i + k] & 0x3f);
        }
        if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return false;
        i += n;
    }
    return true;
}

TEST(utf8_check_agrees_with_a_slow_one_on_every_three_bytes)
{
    unsigned char bytes[4] = {0};
    for (uint32_t v = 0; v < 1U << 24; v++) {
        bytes[0] = (unsigned char)(v >> 16);
        bytes[1] = (unsigned char)(v >> 8);
        bytes[2] = (unsigned char)v;
        if (bgw_utf8_valid(bgw_slice_of((char *)bytes, 3)) != utf8_valid_slowly(bytes, 3))
            test_fail_(__FILE__, __LINE__, "they differ on %06x", v);
    }
    for (uint32_t v = 0; v < 1U << 20;
         v++) { /* four-byte forms: every lead, the tails thinned out */
        bytes[0] = (unsigned char)(0xf0 | v >> 17);
        bytes[1] = (unsigned char)(v >> 9 & 0xff);
        bytes[2] = (unsigned char)((v >> 5 & 0xf) << 4);
        bytes[3] = (unsigned char)((v & 0x1f) << 3);
        if (bgw_utf8_valid(bgw_slice_of((char *)bytes, 4)) != utf8_valid_slowly(bytes, 4))
            test_fail_(__FILE__, __LINE__, "they differ on 4 bytes, %06x", v);
    }
}

TEST(a_byte_order_mark_is_bad_json)
{
    static const struct parse_case cases[] = {CASE("\xef\xbb\xbf{}", BAD_JSON)};
    CHECK_CASES(cases);
}

TEST(duplicate_members_are_refused_at_any_depth)
{
    static const struct parse_case cases[] = {
        CASE("{\"a\":1,\"a\":1}", DUPLICATE),
        CASE("{\"a\":1,\"b\":2,\"a\":3}", DUPLICATE),
        CASE("{\"x\":{\"a\":1,\"a\":2}}", DUPLICATE),
        CASE("[{\"a\":1,\"a\":2}]", DUPLICATE),
        CASE("{\"\":1,\"\":2}", DUPLICATE),
        CASE("{\"a\":{\"b\":1},\"c\":{\"b\":1}}", OK),
        CASE("[{\"a\":1},{\"a\":1}]", OK),
        CASE("{\"a\":1,\"A\":2}", OK),
        CASE("{\"a\":1,\"aa\":2}", OK),
    };
    CHECK_CASES(cases);
}

TEST(names_that_are_equal_once_decoded_are_duplicates)
{
    static const struct parse_case cases[] = {
        CASE("{\"minor\":1,\"\\u006dinor\":2}", DUPLICATE),
        CASE("{\"a/b\":1,\"a\\/b\":2}", DUPLICATE),
        CASE("{\"\\u00e9\":1,\"\xc3\xa9\":2}", DUPLICATE),
        CASE("{\"\\u20ac\":1,\"\xe2\x82\xac\":2}", DUPLICATE),
        CASE("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", DUPLICATE),
        CASE("{\"\\u000a\":1,\"\\n\":2}", DUPLICATE),
        CASE("{\"a\\u0000\":1,\"a\":2}", OK),
        CASE("{\"\\\\u0061\":1,\"a\":2}", OK),
    };
    CHECK_CASES(cases);
}

/* `depth` brackets of one kind around nothing. */
static enum bgw_status parse_nested(int depth, bool objects)
{
    char text[512];
    size_t n = 0;
    for (int i = 0; i < depth; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s",
                              objects ? i + 1 < depth ? "{\"a\":" : "{" : "[");
    for (int i = 0; i < depth; i++)
        text[n++] = objects ? '}' : ']';
    return parse_copy(bgw_slice_of(text, n));
}

TEST(sixteen_levels_are_accepted_and_seventeen_are_too_deep)
{
    for (int objects = 0; objects < 2; objects++) {
        CHECK_EQ_I64(parse_nested(1, objects), BGW_OK);
        CHECK_EQ_I64(parse_nested(16, objects), BGW_OK);
        CHECK_EQ_I64(parse_nested(17, objects), BGW_TOO_DEEP);
        CHECK_EQ_I64(parse_nested(60, objects), BGW_TOO_DEEP);
    }
}

TEST(a_million_open_brackets_do_not_touch_the_stack)
{
    size_t len = 1000000;
    char *text = malloc(len);
    memset(text, '[', len);
    CHECK_EQ_I64(parse_copy(bgw_slice_of(text, len)), BGW_TOO_DEEP);
    free(text);
}

/* An object with `count` members in an order that is not the sorted one. */
static enum bgw_status parse_members(int count, bool repeat_first)
{
    size_t n = 0, cap = (size_t)(count + 1) * 16 + 16;
    char *text = malloc(cap);
    n += (size_t)snprintf(text, cap, "{");
    for (int i = 0; i < count; i++)
        n += (size_t)snprintf(text + n, cap - n, "%s\"k%d\":1", i ? "," : "", i * 7919 % 10007);
    if (repeat_first)
        n += (size_t)snprintf(text + n, cap - n, ",\"k0\":1");
    n += (size_t)snprintf(text + n, cap - n, "}");
    enum bgw_status status = parse_copy(bgw_slice_of(text, n));
    free(text);
    return status;
}

TEST(an_object_may_have_as_many_members_as_stated_and_no_more)
{
    CHECK_EQ_I64(parse_members(1000, false), BGW_OK);
    CHECK_EQ_I64(parse_members(BGW_JSON_MEMBERS_MAX, false), BGW_OK);
    CHECK_EQ_I64(parse_members(BGW_JSON_MEMBERS_MAX + 1, false), BGW_TOO_LARGE);
    CHECK_EQ_I64(parse_members(5000, false), BGW_TOO_LARGE);
}

TEST(a_duplicate_is_found_among_many_members)
{
    for (int count = 1; count < 400; count += 7)
        CHECK_EQ_I64(parse_members(count, true), BGW_DUPLICATE);
    CHECK_EQ_I64(parse_members(BGW_JSON_MEMBERS_MAX - 1, true), BGW_DUPLICATE);
}

TEST(every_prefix_of_a_text_is_refused)
{
    static const char text[] =
        "{\"accountId\":\"msisdn::\\u0032\xc3\xa9\",\"minor\":-12.5e3,\"n\":[true,null,{}]}";
    for (size_t len = 0; len + 1 < sizeof(text); len++)
        CHECK(parse_copy(bgw_slice_of(text, len)) != BGW_OK);
    CHECK_EQ_I64(parse_copy(bgw_slice_of(text, sizeof(text) - 1)), BGW_OK);
}

TEST(changed_bytes_never_make_the_walk_leave_the_text)
{
    static const char text[] = "{\"a\":\"x\\n\",\"minor\":123,\"n\":[1,{\"b\":null}]}";
    char copy[sizeof(text) - 1];
    for (size_t at = 0; at < sizeof(copy); at++)
        for (int c = 0; c < 256; c++) {
            struct bgw_json root, name, value;
            const char *cursor = NULL;
            memcpy(copy, text, sizeof(copy));
            copy[at] = (char)c;
            if (bgw_json_parse(bgw_slice_of(copy, sizeof(copy)), &root) != BGW_OK ||
                root.type != BGW_JSON_OBJECT)
                continue;
            int members = 0;
            while (bgw_json_next(&root, &cursor, &name, &value)) {
                members++;
                CHECK(value.raw.data > copy &&
                      value.raw.data + value.raw.len < copy + sizeof(copy));
            }
            CHECK(members >= 1 && members <= 3);
        }
}

TEST(a_walk_gives_members_in_the_order_of_the_text)
{
    struct bgw_json root =
        parsed(" { \"b\" : \"x\" , \"a\":[1, 2],\"c\":{\"d\":\"}\"} , \"n\" :null } ");
    struct bgw_json name, value;
    const char *cursor = NULL;
    CHECK(bgw_json_next(&root, &cursor, &name, &value));
    CHECK_SLICE(name.raw, "b");
    CHECK_EQ_I64(value.type, BGW_JSON_STRING);
    CHECK_SLICE(value.raw, "x");
    CHECK(bgw_json_next(&root, &cursor, &name, &value));
    CHECK_SLICE(name.raw, "a");
    CHECK_EQ_I64(value.type, BGW_JSON_ARRAY);
    CHECK_SLICE(value.raw, "[1, 2]");
    CHECK(bgw_json_next(&root, &cursor, &name, &value));
    CHECK_SLICE(value.raw, "{\"d\":\"}\"}");
    CHECK(bgw_json_next(&root, &cursor, &name, &value));
    CHECK_EQ_I64(value.type, BGW_JSON_NULL);
    CHECK(!bgw_json_next(&root, &cursor, &name, &value));
    CHECK(!bgw_json_next(&root, &cursor, &name, &value));
}

TEST(a_walk_over_an_array_needs_no_name)
{
    struct bgw_json root = parsed("[true,false , -1.5e3,\"\\\"]\",[[]],{}]"), value;
    static const enum bgw_json_type want[] = {BGW_JSON_TRUE,   BGW_JSON_FALSE, BGW_JSON_NUMBER,
                                              BGW_JSON_STRING, BGW_JSON_ARRAY, BGW_JSON_OBJECT};
    const char *cursor = NULL;
    size_t n = 0;
    while (bgw_json_next(&root, &cursor, NULL, &value) && n < 6)
        CHECK_EQ_I64(value.type, want[n++]);
    CHECK_EQ_I64(n, 6);
}

TEST(empty_containers_have_no_items)
{
    struct bgw_json object = parsed("{ }"), array = parsed("[\n]"), name, value;
    const char *cursor = NULL;
    CHECK(!bgw_json_next(&object, &cursor, &name, &value));
    cursor = NULL;
    CHECK(!bgw_json_next(&array, &cursor, NULL, &value));
    CHECK(!bgw_json_member(&object, "a", &value));
}

TEST(a_member_is_found_by_its_decoded_name)
{
    struct bgw_json root = parsed("{\"x\":{\"minor\":1},\"m\\u0069nor\":2,\"ts\":3}"), value;
    CHECK(bgw_json_member(&root, "minor", &value));
    CHECK_SLICE(value.raw, "2");
    CHECK(!bgw_json_member(&root, "mino", &value));
    CHECK(!bgw_json_member(&root, "minors", &value));
    struct bgw_json text = parsed("\"minor\"");
    CHECK(!bgw_json_member(&text, "minor", &value));
}

static enum bgw_status read_i64(const char *text, int64_t *out)
{
    struct bgw_json v = parsed(text);
    return bgw_json_i64(&v, out);
}

TEST(integers_are_read_exactly)
{
    static const struct {
        const char *text;
        int64_t want;
    } cases[] = {
        {"0", 0},
        {"-1", -1},
        {"9007199254740993", 9007199254740993}, /* what a double would round */
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
        {"-9223372036854775807", -INT64_MAX},
        {"1000000000000000000", 1000000000000000000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t v = 42;
        CHECK_EQ_I64(read_i64(cases[i].text, &v), BGW_OK);
        CHECK_EQ_I64(v, cases[i].want);
    }
}

TEST(what_is_not_a_plain_integer_is_bad_number)
{
    static const char *const cases[] = {
        "1.5",    "1e3",  "1E3",  "1.0",   "0.0",
        "\"12\"", "null", "true", "false", "[1]",
        "{}",     "-0",   "-0.0", "0e0",   "99999999999999999999.5"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t v = 42;
        CHECK_EQ_I64(read_i64(cases[i], &v), BGW_BAD_NUMBER);
        CHECK_EQ_I64(v, 42);
    }
}

TEST(integers_beyond_64_bits_are_out_of_range)
{
    static const char *const cases[] = {
        "9223372036854775808",
        "-9223372036854775809",
        "9223372036854775810",
        "18446744073709551616",
        "18446744073709551615",
        "99999999999999999999999999999999",
        "-99999999999999999999999999999999",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int64_t v = 42;
        CHECK_EQ_I64(read_i64(cases[i], &v), BGW_OUT_OF_RANGE);
        CHECK_EQ_I64(v, 42);
    }
}

TEST(an_unsigned_reading_refuses_less_than_zero)
{
    uint64_t v = 42;
    struct bgw_json low = parsed("-1"), high = parsed("9223372036854775807");
    struct bgw_json over = parsed("9223372036854775808"), text = parsed("\"1\"");
    CHECK_EQ_I64(bgw_json_u63(&low, &v), BGW_OUT_OF_RANGE);
    CHECK_EQ_I64(bgw_json_u63(&over, &v), BGW_OUT_OF_RANGE);
    CHECK_EQ_I64(bgw_json_u63(&text, &v), BGW_BAD_NUMBER);
    CHECK_EQ_I64(v, 42);
    CHECK_EQ_I64(bgw_json_u63(&high, &v), BGW_OK);
    CHECK(v == (uint64_t)INT64_MAX);
}

TEST(strings_are_decoded)
{
    struct bgw_json v =
        parsed("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00\xc3\xa9\"");
    char out[64];
    size_t len = 0;
    CHECK_EQ_I64(bgw_json_string(&v, out, sizeof(out), &len), BGW_OK);
    CHECK_SLICE(bgw_slice_of(out, len),
                "a\"\\/\b\f\n\r\tA\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
}

TEST(every_escaped_character_decodes_to_well_formed_utf8)
{
    for (uint32_t c = 1; c <= 0x10ffff; c += c < 0x3000 ? 1 : 97) {
        char text[20], out[4];
        size_t len = 0;
        struct bgw_json v;
        if (c >= 0xd800 && c <= 0xdfff)
            continue;
        if (c < 0x10000)
            snprintf(text, sizeof(text), "\"\\u%04x\"", c);
        else
            snprintf(text, sizeof(text), "\"\\u%04X\\u%04x\"", 0xd800 + ((c - 0x10000) >> 10),
                     0xdc00 + ((c - 0x10000) & 0x3ff));
        CHECK_EQ_I64(bgw_json_parse(bgw_slice_str(text), &v), BGW_OK);
        CHECK_EQ_I64(bgw_json_string(&v, out, sizeof(out), &len), BGW_OK);
        CHECK_EQ_I64(len, c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4);
        CHECK(utf8_valid_slowly((unsigned char *)out, len));
    }
}

TEST(a_string_that_does_not_fit_is_too_large)
{
    struct bgw_json v = parsed("\"abcd\"");
    char out[4];
    size_t len = 0;
    CHECK_EQ_I64(bgw_json_string(&v, out, 3, &len), BGW_TOO_LARGE);
    CHECK_EQ_I64(len, 0);
    CHECK_EQ_I64(bgw_json_string(&v, out, 4, &len), BGW_OK);
    CHECK_EQ_I64(len, 4);
}

TEST(a_string_with_nul_is_refused)
{
    struct bgw_json v = parsed("\"a\\u0000b\""), number = parsed("12");
    char out[8];
    size_t len = 0;
    CHECK_EQ_I64(bgw_json_string(&v, out, sizeof(out), &len), BGW_BAD_JSON);
    CHECK_EQ_I64(bgw_json_string(&number, out, sizeof(out), &len), BGW_BAD_JSON);
    CHECK(!bgw_json_is(&v, "a"));
}

TEST(comparison_with_a_text_is_by_decoded_bytes)
{
    struct bgw_json plain = parsed("\"hello\""), escaped = parsed("\"h\\u0065llo\"");
    struct bgw_json empty = parsed("\"\""), number = parsed("1");
    CHECK(bgw_json_is(&plain, "hello") && bgw_json_is(&escaped, "hello"));
    CHECK(!bgw_json_is(&plain, "hell") && !bgw_json_is(&escaped, "hell"));
    CHECK(!bgw_json_is(&plain, "hello!") && !bgw_json_is(&escaped, "hello!"));
    CHECK(bgw_json_is(&empty, "") && !bgw_json_is(&number, "1"));
    CHECK(plain.escaped == false && escaped.escaped == true);
}
