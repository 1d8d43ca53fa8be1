/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of versions and epochs: what a client is sent it may present, and nothing else.
 */
#include "bgw/types.h"

#include "../test.h"

static bool parses(const char *text, struct bgw_version *v)
{
    return bgw_version_parse(bgw_slice_str(text), v);
}

TEST(version_text_and_version_are_each_other)
{
    static const char *const texts[] = {"k3f9.120",
                                        "k3f9.120.17",
                                        "0.0",
                                        "z.1",
                                        "abcdefgh.9223372036854775807.1",
                                        "e.0.9223372036854775807"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct bgw_version v;
        char out[BGW_VERSION_TEXT_MAX];
        CHECK(parses(texts[i], &v));
        CHECK_EQ_I64(bgw_version_format(v, out), strlen(texts[i]));
        CHECK_EQ_STR(out, texts[i]);
    }
}

TEST(version_parse_refuses_everything_that_is_not_one)
{
    static const char *const texts[] = {
        "",
        ".",
        "a",
        "a.",
        ".1",
        "a..1",
        "a.1.",
        "a.01",
        "a.00",
        "a.+1",
        "a.-1",
        "a. 1",
        "a.1 ",
        " a.1",
        "A.1",
        "abcdefghi.1",
        "a.1.2.3",
        "a.1.02",
        "a.9223372036854775808",
        "a.99999999999999999999",
        "a.1.9223372036854775808",
        "a.1e3",
        "a.0x1",
        "k_f.1",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct bgw_version v = {.seq = 77};
        if (parses(texts[i], &v))
            test_fail_(__FILE__, __LINE__, "\"%s\" was taken for a version", texts[i]);
        CHECK_EQ_I64(v.seq, 77);
    }
    CHECK(!bgw_version_parse((struct bgw_slice){"a.1\0", 4}, &(struct bgw_version){0}));
}

TEST(versions_are_compared_as_the_pair_of_seq_and_read_with_read_zero_where_absent)
{
    struct bgw_version a = {1, 5, 0}, b = {1, 5, 9}, c = {1, 6, 0};
    CHECK(bgw_version_compare(a, b) < 0);
    CHECK(bgw_version_compare(b, c) < 0);
    CHECK(bgw_version_compare(c, a) > 0);
    CHECK(bgw_version_compare(b, b) == 0);
    CHECK(bgw_version_equal(b, b));
    CHECK(!bgw_version_equal(b, (struct bgw_version){2, 5, 9}));
}

TEST(epoch_is_short_printable_and_the_same_everywhere)
{
    char text[BGW_EPOCH_MAX + 1];
    uint64_t epoch = bgw_epoch_derive(BGW_SLICE("topic-id/6"));
    size_t len = bgw_epoch_format(epoch, text);
    CHECK(len >= 4 && len <= 7);
    CHECK(bgw_epoch_pack(bgw_slice_of(text, len)) == epoch);
    CHECK(epoch == bgw_epoch_derive(BGW_SLICE("topic-id/6")));
    CHECK(epoch != bgw_epoch_derive(BGW_SLICE("topic-id/7")));
    CHECK(bgw_epoch_derive(BGW_SLICE("")) != 0);
}

TEST(epoch_pack_takes_one_to_eight_small_letters_and_digits)
{
    CHECK(bgw_epoch_pack(BGW_SLICE("k3f9")) != 0);
    CHECK(bgw_epoch_pack(BGW_SLICE("abcdefgh")) != 0);
    CHECK(bgw_epoch_pack(BGW_SLICE("abcdefghi")) == 0);
    CHECK(bgw_epoch_pack(BGW_SLICE("")) == 0);
    CHECK(bgw_epoch_pack(BGW_SLICE("K")) == 0);
    CHECK(bgw_epoch_pack(BGW_SLICE("a.b")) == 0);
}

TEST(part_and_its_text_are_each_other)
{
    char text[BGW_PART_MAX];
    bgw_part p = bgw_part_of(BGW_SLICE("NGN"));
    CHECK_EQ_I64(bgw_part_text(p, text), 3);
    CHECK_SLICE(bgw_slice_of(text, 3), "NGN");
    CHECK_EQ_I64(bgw_part_text(0, text), 0);
}

TEST(every_state_and_reason_has_its_word)
{
    CHECK_EQ_STR(bgw_slot_state_text(BGW_STATE_FRESH), "fresh");
    CHECK_EQ_STR(bgw_slot_state_text(BGW_STATE_DELAYED), "delayed");
    CHECK_EQ_STR(bgw_slot_state_text(BGW_STATE_STALE), "stale");
    CHECK_EQ_STR(bgw_slot_state_text(BGW_STATE_UNKNOWN), "unknown");
    CHECK_EQ_STR(bgw_slot_state_text(BGW_STATE_REMOVED), "removed");
    CHECK_EQ_STR(bgw_reason_text(BGW_REASON_SOURCE_UNAVAILABLE), "source_unavailable");
    for (int i = BGW_REASON_NO_SUCH_KEY; i <= BGW_REASON_REREAD; i++)
        CHECK(bgw_reason_text((enum bgw_state_reason)i)[0] != '\0');
}
