/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors that client and gateway share (web/client/vectors): what a shard says in its marks, and
 * how versions are compared. The same files are read by the client's tests. Runs from the checkout's top.
 */
#include "shard/shard_rig.h"

#include "bgw/json.h"

#define TEXT_MAX 128

static struct bgw_json root_of(const char *path)
{
    static char text[1 << 16];
    struct bgw_json root = {0};
    FILE *in = fopen(path, "re");
    size_t len = in ? fread(text, 1, sizeof(text), in) : 0;
    if (in)
        fclose(in);
    CHECK(bgw_json_parse(bgw_slice_of(text, len), &root) == BGW_OK);
    return root;
}

static struct bgw_json member_of(const struct bgw_json *object, const char *name)
{
    struct bgw_json value = {0};
    CHECK(bgw_json_member(object, name, &value));
    return value;
}

static const char *text_of(const struct bgw_json *object, const char *name, char out[TEXT_MAX])
{
    struct bgw_json value = member_of(object, name);
    size_t len = 0;
    CHECK(bgw_json_string(&value, out, TEXT_MAX - 1, &len) == BGW_OK);
    out[len] = '\0';
    return out;
}

/* The digest in the mark of a connection that was sent this slot and nothing else. */
static uint64_t digest_of(const char *account, const char *currency, struct bgw_version v)
{
    struct rig *r = rig_make();
    char key[TEXT_MAX + 8];
    uint64_t digest = 0;
    r->config.mark_ms = 1000;
    r->epoch = v.epoch;
    rig_start(r);
    struct conn *c = rig_connect(r, 1, "*");
    snprintf(key, sizeof(key), "%s/%s", account, currency);
    rig_sub(r, c, 1, key);
    rig_turn(r);
    struct bgw_relay_entry e = rig_entry(r, account, currency, v.seq, "1");
    e.version = v;
    rig_batch(r, &e, 1);
    rig_turn(r);
    rig_forget(c);
    rig_pass(r, 1000);
    CHECK(sscanf(c->log, "mark %*u %16" SCNx64, &digest) == 1);
    rig_hang(r, c);
    rig_end(r);
    return digest;
}

TEST(digest_of_a_mark_is_that_of_the_shared_vectors)
{
    struct bgw_json root = root_of("web/client/vectors/digest.json"), item, name;
    struct bgw_json slots = member_of(&root, "slots"), views = member_of(&root, "views");
    uint64_t hashes[64];
    size_t count = 0;
    const char *cursor = NULL;
    while (bgw_json_next(&slots, &cursor, &name, &item) && count < 64) {
        char account[TEXT_MAX], currency[TEXT_MAX], text[TEXT_MAX], hash[TEXT_MAX], said[17];
        struct bgw_version v;
        CHECK(bgw_version_parse(bgw_slice_str(text_of(&item, "v", text)), &v));
        hashes[count] = digest_of(text_of(&item, "account", account), text_of(&item, "currency", currency), v);
        snprintf(said, sizeof(said), "%016" PRIx64, hashes[count++]);
        CHECK_EQ_STR(said, text_of(&item, "hash", hash));
    }
    CHECK(count >= 8);
    cursor = NULL;
    while (bgw_json_next(&views, &cursor, &name, &item)) {
        struct bgw_json members = member_of(&item, "slots"), index;
        char digest[TEXT_MAX], said[17];
        const char *at = NULL;
        uint64_t sum = 0;
        for (int64_t i; bgw_json_next(&members, &at, &name, &index);) {
            CHECK(bgw_json_i64(&index, &i) == BGW_OK && i >= 0 && (size_t)i < count);
            sum ^= hashes[i];
        }
        snprintf(said, sizeof(said), "%016" PRIx64, sum);
        CHECK_EQ_STR(said, text_of(&item, "digest", digest));
    }
}

static const char *relation(const char *held_text, const char *next_text)
{
    struct bgw_version held, next;
    CHECK(bgw_version_parse(bgw_slice_str(held_text), &held));
    if (!bgw_version_parse(bgw_slice_str(next_text), &next))
        return "bad";
    if (held.epoch != next.epoch)
        return "other";
    int order = bgw_version_compare(next, held);
    return order > 0 ? "newer" : order < 0 ? "older" : "same";
}

TEST(versions_compare_as_the_shared_vectors_say)
{
    struct bgw_json root = root_of("web/client/vectors/versions.json"), item, name;
    struct bgw_json pairs = member_of(&root, "pairs");
    const char *cursor = NULL;
    unsigned seen = 0;
    for (; bgw_json_next(&pairs, &cursor, &name, &item); seen++) {
        char held[TEXT_MAX], next[TEXT_MAX], is[TEXT_MAX];
        CHECK_EQ_STR(relation(text_of(&item, "held", held), text_of(&item, "next", next)), text_of(&item, "is", is));
    }
    CHECK(seen >= 15);
}
