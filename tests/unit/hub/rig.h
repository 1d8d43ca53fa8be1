/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rig: a hub with two shards, one balance feed, a source that records what it is asked, and a clock
 * that stands still until a test moves it. For the hub's unit tests only; one thread.
 */
#ifndef BGW_HUB_RIG_H
#define BGW_HUB_RIG_H

#include "bgw/hash.h"
#include "bgw/hub.h"
#include "bgw/metrics.h"

#include "../test.h"

#define RIG_SHARDS 2
#define RIG_LOG 64
#define RIG_PARTITIONS 4
#define RIG_WALL 1700000000000LL /* wall clock at the start; the monotonic one begins at 1000 */

struct rig {
    struct bgw_feed feed;
    struct bgw_relay *relays[RIG_SHARDS];
    struct bgw_hub *hub;
    struct bgw_now now;
    struct bgw_fetch fetches[RIG_LOG];
    size_t fetch_count;
    bool fetch_refused;
    bool answers_at_once; /* NO_SOURCE, from inside the call */
    uint64_t queries[RIG_LOG];
    bool query_refresh;
    size_t query_count;
    enum bgw_reject rejected;
    size_t reject_count;
    struct bgw_relay_entry entries[RIG_SHARDS][RIG_LOG]; /* of the last take */
    size_t entry_count[RIG_SHARDS];
    uint64_t barrier_done[RIG_SHARDS];
    size_t partitions;
    int64_t next_offset[RIG_PARTITIONS];
    int64_t metrics_before[BGW_METRIC_COUNT];
};

static bool rig_fetch(void *arg, const struct bgw_fetch *f)
{
    struct rig *r = arg;
    if (r->fetch_refused)
        return false;
    if (r->fetch_count < RIG_LOG)
        r->fetches[r->fetch_count] = *f;
    r->fetch_count++;
    if (r->answers_at_once)
        bgw_hub_on_fetched(
            r->hub, &(struct bgw_fetched){.id = f->id, .result = BGW_FETCH_NO_SOURCE}, r->now);
    return true;
}

static void rig_ask(void *arg, uint8_t feed, uint64_t query, bool refresh)
{
    struct rig *r = arg;
    (void)feed;
    if (r->query_count < RIG_LOG)
        r->queries[r->query_count] = query;
    r->query_count++;
    r->query_refresh = refresh;
}

static void rig_rejected(void *arg, uint8_t feed, const struct bgw_record *record,
                         enum bgw_reject why)
{
    struct rig *r = arg;
    (void)feed;
    (void)record;
    r->rejected = why;
    r->reject_count++;
}

static inline void rig_assign(struct rig *r, const char *epoch, size_t partitions)
{
    int64_t zeros[RIG_PARTITIONS] = {0};
    memset(r->next_offset, 0, sizeof(r->next_offset));
    r->partitions = partitions;
    bgw_hub_on_assigned(r->hub, 0, bgw_epoch_pack(bgw_slice_str(epoch)), zeros, zeros, partitions,
                        r->now);
}

/* Every partition is proved to be read to its end now. */
static inline void rig_prove(struct rig *r)
{
    for (size_t i = 0; i < r->partitions; i++)
        bgw_hub_on_watermark(r->hub, 0, 0, (int32_t)i, r->next_offset[i], r->now.mono_ms, r->now);
}

static inline void rig_make(struct rig *r, size_t keys_max)
{
    memset(r, 0, sizeof(*r));
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&r->feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    for (size_t i = 0; i < RIG_SHARDS; i++)
        r->relays[i] = bgw_relay_create(NULL, NULL);
    struct bgw_hub_config config = {
        .feeds = &r->feed,
        .feed_count = 1,
        .relays = r->relays,
        .shard_count = RIG_SHARDS,
        .keys_max = keys_max,
        .retry_min_ms = 100,
        .retry_max_ms = 1600,
        .reread_ms = 1000,
        .barrier_batch_ms = 20,
        .barrier_max_ms = 250,
        .sweep_per_s = 10, /* these three of the tests that say that there are sources */
        .revalidate_per_s = 50,
        .prove_per_s = 50,
        .jitter_seed = 7,
    };
    struct bgw_hub_ops ops = {r, rig_fetch, rig_ask, rig_rejected};
    CHECK(bgw_hub_create(&r->hub, &config, &ops) == BGW_OK);
    r->now = (struct bgw_now){.mono_ms = 1000, .wall_ms = RIG_WALL};
    for (int i = 0; i < BGW_METRIC_COUNT; i++)
        r->metrics_before[i] = bgw_metric_read((enum bgw_metric)i);
}

/* Assigned, epoch "e1", proved. */
static inline void rig_start(struct rig *r, size_t partitions)
{
    rig_make(r, 0);
    rig_assign(r, "e1", partitions);
    rig_prove(r);
}

static inline void rig_drop_entries(struct rig *r, size_t shard)
{
    for (size_t i = 0; i < r->entry_count[shard]; i++)
        bgw_blob_release(r->entries[shard][i].value);
    r->entry_count[shard] = 0;
}

static inline void rig_end(struct rig *r)
{
    bgw_hub_destroy(&r->hub);
    for (size_t i = 0; i < RIG_SHARDS; i++) {
        rig_drop_entries(r, i);
        bgw_relay_destroy(&r->relays[i]);
    }
}

static inline int64_t rig_counted(const struct rig *r, enum bgw_metric id)
{
    return bgw_metric_read(id) - r->metrics_before[id];
}

static inline void rig_pass(struct rig *r, int64_t ms)
{
    r->now.mono_ms += ms;
    r->now.wall_ms += ms;
    bgw_hub_tick(r->hub, r->now);
}

/* ---- what comes in ---- */

static inline struct bgw_slot_name rig_name(const char *tenant, const char *key, const char *part)
{
    struct bgw_slot_name n = {.tenant_len = (uint8_t)strlen(tenant),
                              .key_len = (uint8_t)strlen(key),
                              .part = bgw_part_of(bgw_slice_str(part))};
    memcpy(n.tenant, tenant, n.tenant_len);
    memcpy(n.key, key, n.key_len);
    return n;
}

static inline void rig_command(struct rig *r, enum bgw_hub_command_kind kind, uint8_t shard,
                               const char *key, const char *part)
{
    struct bgw_hub_command c = {.kind = (uint8_t)kind,
                                .shard = shard,
                                .group = 100u + shard,
                                .name = rig_name("tnt_demo", key, part)};
    bgw_hub_on_command(r->hub, &c, r->now);
}

static inline void rig_watch(struct rig *r, uint8_t shard, const char *key)
{
    rig_command(r, BGW_HUB_WATCH, shard, key, "");
}

static inline void rig_unwatch(struct rig *r, uint8_t shard, const char *key)
{
    rig_command(r, BGW_HUB_UNWATCH, shard, key, "");
}

static inline void rig_record_at(struct rig *r, struct bgw_record *record, int32_t partition,
                                 int64_t offset)
{
    record->partition = partition;
    record->offset = offset;
    if (!record->timestamp_ms)
        record->timestamp_ms = r->now.wall_ms;
    if (offset >= r->next_offset[partition])
        r->next_offset[partition] = offset + 1;
    bgw_hub_on_record(r->hub, 0, record, r->now);
}

/* key NULL or value NULL: null. v < 0: none, else as the member. */
static inline void rig_put(struct rig *r, int32_t partition, int64_t offset, const char *key,
                           int64_t minor, int64_t v)
{
    char text[256], tail[64] = "";
    char account[80];
    snprintf(account, sizeof(account), "%.*s", (int)strcspn(key, "|"), key);
    if (v >= 0)
        snprintf(tail, sizeof(tail), ",\"v\":%" PRId64, v);
    snprintf(text, sizeof(text), "{\"accountId\":\"%s\",\"minor\":%" PRId64 "%s}", account, minor,
             tail);
    struct bgw_record record = {.key = bgw_slice_str(key), .value = bgw_slice_str(text)};
    rig_record_at(r, &record, partition, offset);
}

static inline void rig_raw(struct rig *r, int32_t partition, int64_t offset, const char *key,
                           const char *value)
{
    struct bgw_record record = {.key = bgw_slice_str(key), .value = bgw_slice_str(value)};
    rig_record_at(r, &record, partition, offset);
}

static inline void rig_tombstone(struct rig *r, int32_t partition, int64_t offset, const char *key,
                                 const char *v)
{
    struct bgw_record record = {.key = bgw_slice_str(key), .h_v = bgw_slice_str(v)};
    rig_record_at(r, &record, partition, offset);
}

static inline struct bgw_blob *rig_value(struct rig *r, int64_t minor)
{
    char text[128];
    struct bgw_decoded d;
    snprintf(text, sizeof(text), "{\"accountId\":\"A\",\"minor\":%" PRId64 "}", minor);
    struct bgw_record record = {.value = bgw_slice_str(text)};
    CHECK(r->feed.decode(&r->feed, &record, &d) == BGW_REJECT_NONE);
    return d.value;
}

static inline const struct bgw_fetch *rig_last_fetch(const struct rig *r)
{
    static const struct bgw_fetch none;
    return r->fetch_count ? &r->fetches[r->fetch_count - 1] : &none;
}

/* The newest fetch is answered with a value. v < 0: without. */
static inline void rig_answer_value(struct rig *r, int64_t minor, int64_t v,
                                    int64_t started_wall_ms)
{
    struct bgw_fetched f = {.id = rig_last_fetch(r)->id,
                            .result = BGW_FETCH_VALUE,
                            .has_v = v >= 0,
                            .v = v >= 0 ? (uint64_t)v : 0,
                            .started_wall_ms = started_wall_ms,
                            .value = rig_value(r, minor)};
    bgw_hub_on_fetched(r->hub, &f, r->now);
}

static inline void rig_answer(struct rig *r, enum bgw_fetch_result result)
{
    struct bgw_fetched f = {.id = rig_last_fetch(r)->id, .result = (uint8_t)result};
    bgw_hub_on_fetched(r->hub, &f, r->now);
}

static inline void rig_invalidate(struct rig *r, const char *key, int64_t v)
{
    struct bgw_slot_name name = rig_name("tnt_demo", key, "");
    bgw_hub_on_invalidate(r->hub, 0, &name, true, v >= 0, v >= 0 ? (uint64_t)v : 0, r->now);
}

/* ---- sources ---- */

/* As rig_start, with sources to ask. */
static inline void rig_start_sources(struct rig *r)
{
    rig_start(r, 1);
    bgw_hub_set_sources(r->hub, true);
}

static inline void rig_answer_from(struct rig *r, enum bgw_source source, int64_t minor, int64_t v)
{
    struct bgw_fetched f = {.id = rig_last_fetch(r)->id, .result = BGW_FETCH_VALUE, .source = (uint8_t)source, .has_v = v >= 0,
                            .v = v >= 0 ? (uint64_t)v : 0, .started_wall_ms = r->now.wall_ms, .value = rig_value(r, minor)};
    bgw_hub_on_fetched(r->hub, &f, r->now);
}

static inline void rig_ask_source(struct rig *r, uint8_t shard, const char *key, uint64_t ticket)
{
    struct bgw_hub_command c = {.kind = BGW_HUB_ASK, .shard = shard, .group = 100u + shard, .ticket = ticket,
                                .name = rig_name("tnt_demo", key, "")};
    bgw_hub_on_command(r->hub, &c, r->now);
}

/* Time passes, the stream stays proved. */
static inline void rig_pass_proved(struct rig *r, int64_t ms)
{
    for (int64_t i = 0; i < ms; i += 10) {
        rig_pass(r, 10);
        rig_prove(r);
    }
}

/* ---- what comes out ---- */

/* Everything that the shard was told since the last take. */
static inline size_t rig_take(struct rig *r, uint8_t shard)
{
    struct bgw_relay_batch batch;
    rig_drop_entries(r, shard);
    bgw_hub_flush(r->hub);
    if (!bgw_relay_take(r->relays[shard], &batch))
        return 0;
    for (size_t i = 0; i < batch.count && i < RIG_LOG; i++)
        r->entries[shard][r->entry_count[shard]++] = batch.entries[i];
    r->barrier_done[shard] = batch.barrier_done;
    bgw_relay_done(r->relays[shard], &batch);
    return r->entry_count[shard];
}

/* The newest entry of the part, or an empty one (state 255). */
static inline const struct bgw_relay_entry *rig_entry(const struct rig *r, uint8_t shard,
                                                      const char *part)
{
    static const struct bgw_relay_entry none = {.state = 255};
    const struct bgw_relay_entry *found = &none;
    for (size_t i = 0; i < r->entry_count[shard]; i++)
        if (r->entries[shard][i].part == bgw_part_of(bgw_slice_str(part)))
            found = &r->entries[shard][i];
    return found;
}

static inline const struct bgw_relay_entry *rig_told(struct rig *r, uint8_t shard)
{
    rig_take(r, shard);
    return rig_entry(r, shard, "NGN");
}

static inline int64_t rig_minor(const struct rig *r, const struct bgw_relay_entry *e)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 4096);
    if (!e->value)
        return INT64_MIN;
    r->feed.encode_native(e->value, false, &b);
    bgw_buf_append_byte(&b, '\0');
    const char *at = strstr(b.data, "\"minor\":\"");
    int64_t minor = at ? strtoll(at + 9, NULL, 10) : INT64_MIN;
    bgw_buf_deinit(&b);
    return minor;
}

#define CHECK_VERSION(e, text)                                                                     \
    do {                                                                                           \
        char version_text_[BGW_VERSION_TEXT_MAX];                                                  \
        bgw_version_format((e)->version, version_text_);                                           \
        CHECK_EQ_STR(version_text_, text);                                                         \
    } while (0)

#endif
