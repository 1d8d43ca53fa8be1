/* SPDX-License-Identifier: Apache-2.0 */
/* connection_token_test: every replica with the key reads it, and nobody else can make or change one. */
#include "test.h"

#include "bgw/auth.h"
#include "wire/connection_token.h"

#define MADE_MS 1700000000123

static const uint8_t key[32] = {1, 2, 3}, other_key[32] = {1, 2, 4};
static const uint8_t id[BGW_ATTACHMENT_ID_LEN] = {0, 255, 16, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 250};
static char token[BGW_CONNECTION_TOKEN_LEN + 1];

static void make(void)
{
    bgw_connection_token_make(key, id, (struct bgw_now){.mono_ms = 77, .wall_ms = MADE_MS}, token);
}

static bool reads(const char *text, size_t len)
{
    uint8_t out[BGW_ATTACHMENT_ID_LEN];
    int64_t ends_ms;
    return bgw_connection_token_read(key, bgw_slice_of(text, len), out, &ends_ms);
}

TEST(what_was_made_is_read_with_the_same_key_and_no_other)
{
    uint8_t out[BGW_ATTACHMENT_ID_LEN] = {0};
    int64_t ends_ms = 0;
    make();
    CHECK_EQ_I64(strlen(token), BGW_CONNECTION_TOKEN_LEN);
    CHECK(bgw_connection_token_read(key, bgw_slice_str(token), out, &ends_ms));
    CHECK(memcmp(out, id, sizeof(id)) == 0);
    CHECK_EQ_I64(ends_ms, MADE_MS + BGW_CONNECTION_TOKEN_LIFE_MS);
    CHECK(!bgw_connection_token_read(other_key, bgw_slice_str(token), out, &ends_ms));
}

TEST(it_needs_no_escaping_in_a_query)
{
    uint8_t random[BGW_ATTACHMENT_ID_LEN];
    for (int i = 0; i < 1000; i++) {
        char text[BGW_CONNECTION_TOKEN_LEN + 1];
        bgw_auth_random(random, sizeof(random));
        bgw_connection_token_make(key, random, (struct bgw_now){.wall_ms = MADE_MS + i}, text);
        CHECK_EQ_I64(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"),
                     BGW_CONNECTION_TOKEN_LEN);
        CHECK(reads(text, strlen(text)));
    }
}

TEST(no_letter_of_it_can_be_another_one)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ";
    make();
    for (size_t i = 0; i < BGW_CONNECTION_TOKEN_LEN; i++) {
        const char was = token[i];
        for (const char *c = alphabet; *c; c++) {
            token[i] = *c;
            CHECK(*c == was || !reads(token, BGW_CONNECTION_TOKEN_LEN));
        }
        token[i] = was;
    }
    CHECK(reads(token, BGW_CONNECTION_TOKEN_LEN));
}

TEST(nor_can_it_be_longer_or_shorter)
{
    char longer[BGW_CONNECTION_TOKEN_LEN + 3];
    make();
    for (size_t len = 0; len < BGW_CONNECTION_TOKEN_LEN; len++)
        CHECK(!reads(token, len));
    memcpy(longer, token, BGW_CONNECTION_TOKEN_LEN);
    memset(longer + BGW_CONNECTION_TOKEN_LEN, 'A', 3);
    CHECK(!reads(longer, BGW_CONNECTION_TOKEN_LEN + 1));
    longer[BGW_CONNECTION_TOKEN_LEN] = longer[BGW_CONNECTION_TOKEN_LEN + 1] = '=';
    CHECK(!reads(longer, BGW_CONNECTION_TOKEN_LEN + 2));
}

TEST(a_time_that_does_not_fit_is_refused_even_if_signed)
{
    char text[BGW_CONNECTION_TOKEN_LEN + 1];
    bgw_connection_token_make(key, id, (struct bgw_now){.wall_ms = -1}, text);
    CHECK(!reads(text, BGW_CONNECTION_TOKEN_LEN));
    bgw_connection_token_make(key, id, (struct bgw_now){.wall_ms = INT64_MAX}, text);
    CHECK(!reads(text, BGW_CONNECTION_TOKEN_LEN));
    bgw_connection_token_make(key, id, (struct bgw_now){.wall_ms = INT64_MAX - BGW_CONNECTION_TOKEN_LIFE_MS}, text);
    CHECK(reads(text, BGW_CONNECTION_TOKEN_LEN));
}
