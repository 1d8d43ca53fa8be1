/* SPDX-License-Identifier: Apache-2.0 */
/* base64: one spelling a byte string, in both alphabets. */
#include "bgw/base64.h"

#include "../test.h"

static struct bgw_slice encoded(const char *text, char *out, bool url)
{
    size_t n = url ? bgw_base64url_encode((const uint8_t *)text, strlen(text), out)
                   : bgw_base64_encode((const uint8_t *)text, strlen(text), out);
    CHECK_EQ_I64(out[n], 0);
    return bgw_slice_of(out, n);
}

TEST(the_published_vectors_hold)
{
    static const struct {
        const char *plain, *url, *standard;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg", "Zg=="},
        {"fo", "Zm8", "Zm8="},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg", "Zm9vYg=="},
        {"fooba", "Zm9vYmE", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xfe", "-__-", "+//+"},
    };
    char out[BGW_BASE64_LEN(16) + 1];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CHECK_SLICE(encoded(cases[i].plain, out, true), cases[i].url);
        CHECK_SLICE(encoded(cases[i].plain, out, false), cases[i].standard);
    }
}

TEST(what_was_encoded_decodes_to_itself)
{
    uint8_t in[64], back[64];
    char text[BGW_BASE64_LEN(64) + 1];
    uint64_t seed = 1;
    for (size_t len = 0; len <= sizeof(in); len++)
        for (int round = 0; round < 50; round++) {
            size_t got = 0, n;
            for (size_t i = 0; i < len; i++) {
                seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
                in[i] = (uint8_t)(seed >> 56);
            }
            n = bgw_base64url_encode(in, len, text);
            CHECK_EQ_I64(bgw_base64url_decode(bgw_slice_of(text, n), back, len, &got), BGW_OK);
            CHECK(got == len && (len == 0 || memcmp(in, back, len) == 0));
            n = bgw_base64_encode(in, len, text);
            CHECK_EQ_I64(n, BGW_BASE64_LEN(len));
            CHECK_EQ_I64(bgw_base64_decode(bgw_slice_of(text, n), back, len, &got), BGW_OK);
            CHECK(got == len && (len == 0 || memcmp(in, back, len) == 0));
        }
}

static enum bgw_status decode_url(const char *text)
{
    uint8_t out[64];
    size_t len;
    return bgw_base64url_decode(bgw_slice_str(text), out, sizeof(out), &len);
}

static enum bgw_status decode_standard(const char *text)
{
    uint8_t out[64];
    size_t len;
    return bgw_base64_decode(bgw_slice_str(text), out, sizeof(out), &len);
}

TEST(of_all_last_letters_only_those_without_left_over_bits_are_accepted)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    int two = 0, three = 0;
    for (size_t i = 0; i < 64; i++) {
        char short_text[] = {'A', alphabet[i], 0}, long_text[] = {'A', 'A', alphabet[i], 0};
        CHECK((decode_url(short_text) == BGW_OK) == (i % 16 == 0));
        CHECK((decode_url(long_text) == BGW_OK) == (i % 4 == 0));
        two += decode_url(short_text) == BGW_OK;
        three += decode_url(long_text) == BGW_OK;
    }
    CHECK_EQ_I64(two, 4);
    CHECK_EQ_I64(three, 16);
}

TEST(padding_white_space_and_the_other_alphabet_are_refused_in_the_url_form)
{
    static const char *const cases[] = {"Zg==", "Zm8=", "Zm9v=", "Zm 9v", "Zm9v\n",     " Zm9v",
                                        "Zm+v", "Zm/v", "Z",     "Zm9vY", "Zm\xc3\xa9", "===="};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        CHECK_EQ_I64(decode_url(cases[i]), BGW_BAD_ENCODING);
    CHECK_EQ_I64(decode_url("Zm-_"), BGW_OK);
}

TEST(a_nul_inside_is_refused)
{
    uint8_t out[8];
    size_t len;
    CHECK_EQ_I64(bgw_base64url_decode(BGW_SLICE("Zm\0v"), out, sizeof(out), &len),
                 BGW_BAD_ENCODING);
}

TEST(the_standard_form_wants_its_padding_and_no_more)
{
    static const char *const bad[] = {
        "Zg",   "Zg=",  "Zm8",      "Z===", "====", "Zg==Zg==", "=Zm9",
        "Zh==", "Zm9=", "Zm9v====", "Zm-v", "Zm_v", "Z=g=",     "Zg==\n"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        CHECK_EQ_I64(decode_standard(bad[i]), BGW_BAD_ENCODING);
    CHECK_EQ_I64(decode_standard("Zg=="), BGW_OK);
    CHECK_EQ_I64(decode_standard("Zm8="), BGW_OK);
    CHECK_EQ_I64(decode_standard(""), BGW_OK);
}

TEST(what_does_not_fit_is_too_large)
{
    uint8_t out[3];
    size_t len = 0;
    CHECK_EQ_I64(bgw_base64url_decode(BGW_SLICE("Zm9v"), out, 2, &len), BGW_TOO_LARGE);
    CHECK_EQ_I64(bgw_base64url_decode(BGW_SLICE("Zm8"), out, 1, &len), BGW_TOO_LARGE);
    CHECK_EQ_I64(bgw_base64url_decode(BGW_SLICE("Zm9v"), out, 3, &len), BGW_OK);
    CHECK_EQ_I64(len, 3);
}
