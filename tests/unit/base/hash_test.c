/* SPDX-License-Identifier: Apache-2.0 */
/* The hashes, against published values: SipHash-1-3's and FNV's own. */
#include "bgw/hash.h"

#include "../test.h"

/* Messages 00, 00 01, 00 01 02, ... under the key 00 01 .. 0f. */
static const uint64_t siphash_13[] = {
    0xabac0158050fc4dcULL, 0xc9f49bf37d57ca93ULL, 0x82cb9b024dc7d44dULL, 0x8bf80ab8e7ddf7fbULL,
    0xcf75576088d38328ULL, 0xdef9d52f49533b67ULL, 0xc50d2b50c59f22a7ULL, 0xd3927d989bb11140ULL,
    0x369095118d299a8eULL, 0x25a48eb36c063de4ULL, 0x79de85ee92ff097fULL, 0x70c118c1f94dc352ULL,
    0x78a384b157b4d9a2ULL, 0x306f760c1229ffa7ULL, 0x605aa111c0f95d34ULL, 0xd320d86d2a519956ULL,
    0xcc4fdd1a7d908b66ULL, 0x9cf2689063dbd80cULL, 0x8ffc389cb473e63eULL, 0xf21f9de58d297d1cULL,
    0xc0dc2f46a6cce040ULL, 0xb992abfe2b45f844ULL, 0x7ffe7b9ba320872eULL, 0x525a0e7fdae6c123ULL,
    0xf464aeb267349c8cULL, 0x45cd5928705b0979ULL, 0x3a3e35e3ca9913a5ULL, 0xa91dc74e4ade3b35ULL,
    0xfb0bed02ef6cd00dULL, 0x88d93cb44ab1e1f4ULL, 0x540f11d643c5e663ULL, 0x2370dd1f8c21d1bcULL,
    0x81157b6c16a7b60dULL, 0x4d54b9e57a8ff9bfULL, 0x759f12781f2a753eULL, 0xcea1a3bebf186b91ULL,
    0x2cf508d3ada26206ULL, 0xb6101c2da3c33057ULL, 0xb3f47496ae3a36a1ULL, 0x626b57547b108392ULL,
    0xc1d2363299e41531ULL, 0x667cc1923f1ad944ULL, 0x65704ffec8138825ULL, 0x24f280d1c28949a6ULL,
    0xc2ca1cedfaf8876bULL, 0xc2164bfc9f042196ULL, 0xa16e9c9368b1d623ULL, 0x49fb169c8b5114fdULL,
    0x9f3143f8df074c46ULL, 0xc6fdaf2412cc86b3ULL, 0x7eaf49d10a52098fULL, 0x1cf313559d292f9aULL,
    0xc44a30dda2f41f12ULL, 0x36fae98943a71ed0ULL, 0x318fb34c73f0bce6ULL, 0xa27abf3670a7e980ULL,
    0xb4bcc0db243c6d75ULL, 0x23f8d852fdb71513ULL, 0x8f035f4da67d8a08ULL, 0xd89cd0e5b7e8f148ULL,
    0xf6f4e6bcf7a644eeULL, 0xaec59ad80f1837f2ULL, 0xc3b2f6154b6694e0ULL, 0x9d199062b7bbb3a8ULL,
};

/* CPython's hash of the same bytes with PYTHONHASHSEED=0: an implementation that is not ours. */
static const struct {
    const char *text;
    uint64_t want;
} zero_key[] = {
    {"a", 0x407448d2b89b1813ULL},
    {"abc", 0xc03bc3a0042630f2ULL},
    {"msisdn::2348100000001", 0x428939f1fd90516eULL},
    {"0123456789abcdef", 0x1d42b30f7e060c24ULL},
};

TEST(siphash_1_3_gives_the_reference_values)
{
    char bytes[64];
    bgw_hash_init_fixed(0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    for (size_t len = 0; len < sizeof(siphash_13) / sizeof(*siphash_13); len++)
        CHECK(bgw_hash_keyed(bgw_slice_of(bytes, len)) == siphash_13[len]);
}

TEST(siphash_is_right_under_the_zero_key)
{
    bgw_hash_init_fixed(0, 0);
    for (size_t i = 0; i < sizeof(zero_key) / sizeof(*zero_key); i++)
        CHECK(bgw_hash_keyed(bgw_slice_str(zero_key[i].text)) == zero_key[i].want);
}

TEST(another_secret_gives_other_hashes)
{
    bgw_hash_init_fixed(1, 2);
    uint64_t first = bgw_hash_keyed(BGW_SLICE("msisdn::2348100000001"));
    bgw_hash_init_fixed(1, 3);
    CHECK(first != bgw_hash_keyed(BGW_SLICE("msisdn::2348100000001")));
}

TEST(a_fixed_secret_is_not_drawn_again)
{
    bgw_hash_init_fixed(1, 2);
    uint64_t first = bgw_hash_keyed(BGW_SLICE("a"));
    bgw_hash_init();
    CHECK(first == bgw_hash_keyed(BGW_SLICE("a")));
}

TEST(fnv_gives_the_published_values)
{
    CHECK(bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("")) == 0xcbf29ce484222325ULL);
    CHECK(bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("a")) == 0xaf63dc4c8601ec8cULL);
    CHECK(bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("foobar")) == 0x85944171f73967e8ULL);
}

TEST(fnv_over_pieces_is_fnv_over_the_whole)
{
    uint64_t whole = bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("A|NGN|k3f9.120"));
    uint64_t pieces = bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("A|"));
    pieces = bgw_hash_fnv64(pieces, BGW_SLICE("NGN|k3f9"));
    pieces = bgw_hash_fnv64(pieces, BGW_SLICE(".120"));
    CHECK(whole == pieces);
}
