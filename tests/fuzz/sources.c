/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-sources: what Redis, an origin and a publisher say. The first byte chooses: answers of Redis, cut
 * anywhere; an origin's balance on its way into Redis; an origin's list of accounts; an invalidation; a
 * key of Redis.
 *
 * Properties: pieces change no answer, and no value lies outside of it; a balance that is taken is
 * written back as one that is taken again, with the same amounts and version; a list goes forward, its
 * ids and tenants fit, and the same ids as lines are the same list; an invalidation names what may be
 * asked for; a key that is taken apart is put together again.
 */
#include "fuzz.h"

#include "bgw/hash.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "read/channel.h"
#include "read/l2_names.h"
#include "read/origin_private.h"
#include "redis/link_value.h"

#include <hiredis/hiredis.h>

#define MEMBERS_MAX 4096 /* as link_io has it */

static struct bgw_feed feed;

/* ---- answers of Redis ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * 0x100000001b3ULL;
}

static uint64_t walk(const struct bgw_redis_values *all, const struct bgw_redis_value *v, uint64_t h)
{
    h = mix(mix(h, v->type), (uint64_t)v->integer);
    if (v->type == BGW_REDIS_TEXT || v->type == BGW_REDIS_ERROR)
        h = bgw_hash_fnv64(h, v->text);
    if (v->type != BGW_REDIS_LIST)
        return h;
    const struct bgw_redis_value *kept = all->more ? all->more : all->kept;
    FUZZ_CHECK(!v->count || (v->items >= kept && v->items + v->count <= kept + all->used));
    for (size_t i = 0; i < v->count; i++)
        h = walk(all, &v->items[i], h);
    return mix(h, v->count);
}

/* Of all answers up to the first that is none. */
static uint64_t read_answers(struct bgw_slice text, uint32_t seed, bool pieces)
{
    redisReader *reader = redisReaderCreate();
    uint64_t h = BGW_FNV64_INIT;
    bool ok = reader != NULL;
    FUZZ_CHECK(ok);
    reader->maxelements = MEMBERS_MAX;
    while (ok && text.len) {
        size_t n = pieces ? fuzz_piece(&seed, text.len) : text.len;
        void *reply = NULL;
        ok = redisReaderFeed(reader, text.data, n) == REDIS_OK;
        text = bgw_slice_of(text.data + n, text.len - n);
        while (ok && (ok = redisReaderGetReply(reader, &reply) == REDIS_OK) && reply) {
            static struct bgw_redis_values values;
            FUZZ_CHECK(bgw_redis_values_of(&values, reply));
            h = mix(walk(&values, &values.root, h), values.push);
            bgw_redis_values_free(&values);
            freeReplyObject(reply);
        }
    }
    redisReaderFree(reader);
    return h;
}

static void redis_speaks(struct fuzz_in *in)
{
    uint32_t seed = fuzz_take(in, 2);
    struct bgw_slice text = fuzz_rest(in);
    FUZZ_CHECK(read_answers(text, seed, false) == read_answers(text, seed, true));
}

/* ---- an origin's balance ---- */

static struct bgw_slot_name slot(struct bgw_slice tenant, struct bgw_slice key, struct bgw_slice part)
{
    struct bgw_slot_name n = {.feed = feed.id, .tenant_len = (uint8_t)tenant.len, .key_len = (uint8_t)key.len, .part = bgw_part_of(part)};
    memcpy(n.tenant, tenant.data, tenant.len);
    memcpy(n.key, key.data, key.len);
    return n;
}

static void balance_comes(struct fuzz_in *in)
{
    bool usual = fuzz_take(in, 1) % 2;
    const struct bgw_slot_name name = usual ? slot(BGW_SLICE("tnt_demo"), BGW_SLICE("acc"), BGW_SLICE("NGN"))
                                            : slot(BGW_SLICE("t2"), BGW_SLICE("msisdn::1"), BGW_SLICE("USD"));
    struct bgw_slice body = fuzz_rest(in);
    struct bgw_decoded first = {0}, again = {0};
    struct bgw_buf out;
    char *copy = fuzz_copy(body), v[24] = "";
    if (feed.decode_body(&feed, &name, bgw_slice_of(copy, body.len), &first) == BGW_REJECT_NONE) {
        if (first.has_v)
            snprintf(v, sizeof(v), "%llu", (unsigned long long)first.v);
        bgw_buf_init(&out, 1 << 20);
        FUZZ_CHECK(bgw_l2_body(&out, bgw_slice_of(copy, body.len), &name, v));
        FUZZ_CHECK(feed.decode_body(&feed, &name, bgw_buf_slice(&out), &again) == BGW_REJECT_NONE);
        FUZZ_CHECK(again.has_v == first.has_v && again.v == first.v && feed.same(first.value, again.value));
        bgw_buf_deinit(&out);
    }
    free(copy);
    bgw_blob_release(first.value);
    bgw_blob_release(again.value);
}

/* ---- an origin's list ---- */

struct list {
    enum origin_list_step end;
    size_t count;
    uint64_t hash;
    bool plain; /* each id may stand in JSON as it is */
};

static bool has_high(struct bgw_slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] > 126)
            return true;
    return false;
}

static struct list read_list(struct bgw_slice text, struct bgw_buf *lines)
{
    struct origin_list_text t;
    struct bgw_slice tenant, key;
    struct list l = {.hash = BGW_FNV64_INIT, .plain = true};
    origin_list_text_init(&t, text);
    while ((l.end = origin_list_text_next(&t, &tenant, &key)) == ORIGIN_LIST_KEY) {
        FUZZ_CHECK(++l.count <= text.len && tenant.len <= sizeof(t.tenant));
        l.hash = mix(bgw_hash_fnv64(bgw_hash_fnv64(l.hash, key), tenant), key.len);
        l.plain &= key.len <= BGW_KEY_MAX && !has_high(key) && !has_high(tenant);
        if (!lines)
            continue;
        bgw_buf_append_str(lines, "{\"accountId\":");
        bgw_buf_append_json(lines, key);
        if (tenant.data) {
            bgw_buf_append_str(lines, ",\"tenant\":");
            bgw_buf_append_json(lines, tenant);
        }
        bgw_buf_append_str(lines, "}\r\n");
    }
    return l;
}

static void list_comes(struct fuzz_in *in)
{
    struct bgw_slice text = fuzz_rest(in);
    struct bgw_buf lines;
    char *copy = fuzz_copy(text);
    bgw_buf_init(&lines, 1 << 22);
    struct list first = read_list(bgw_slice_of(copy, text.len), &lines);
    if (first.end == ORIGIN_LIST_END && first.plain) {
        struct list again = read_list(bgw_buf_slice(&lines), NULL);
        FUZZ_CHECK(!lines.failed && again.end == ORIGIN_LIST_END && again.count == first.count && again.hash == first.hash);
    }
    bgw_buf_deinit(&lines);
    free(copy);
}

/* ---- an invalidation, a key ---- */

static void publisher_speaks(struct fuzz_in *in)
{
    struct bgw_slice payload = fuzz_rest(in);
    struct bgw_invalidation i;
    char *copy = fuzz_copy(payload);
    if (bgw_invalidation_parse(&i, &feed, bgw_slice_of(copy, payload.len))) {
        char part[BGW_PART_MAX];
        FUZZ_CHECK(feed.key_valid(bgw_slice_of(i.name.key, i.name.key_len)));
        FUZZ_CHECK(bgw_tenant_valid(bgw_slice_of(i.name.tenant, i.name.tenant_len)));
        FUZZ_CHECK(!i.name.part || feed.part_valid(bgw_slice_of(part, bgw_part_text(i.name.part, part))));
        FUZZ_CHECK(!i.has_v || (!i.any_tenant && i.name.part && i.v <= INT64_MAX));
    }
    free(copy);
}

static void key_comes(struct fuzz_in *in)
{
    struct bgw_slice text = fuzz_rest(in);
    struct bgw_slot_name name;
    char *copy = fuzz_copy(text);
    if (bgw_l2_hash_name(&feed, bgw_slice_of(copy, text.len), &name)) {
        struct bgw_l2_key key = bgw_l2_hash_key(&name);
        FUZZ_CHECK(bgw_slice_eq(bgw_l2_key_slice(&key), bgw_slice_of(copy, text.len)));
    }
    free(copy);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_log_set_level(BGW_LOG_ERROR);
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct fuzz_in *) = {redis_speaks, balance_comes, list_comes, publisher_speaks, key_comes};
    struct fuzz_in in = {data, size};
    kinds[fuzz_take(&in, 1) % 5](&in);
    return 0;
}
