/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-kafka: records of the topic through the balance feed's codec and through a hub with a
 * watcher of every key that they name.
 *
 *   for each record: what is there 1 | length 2 | key LF tenant LF v LF value
 *
 * Properties: a value that was accepted is a JSON object whose own `minor` is what clients are
 * told, as text, with the record's bytes kept as they came, and reading these again gives the same; a
 * slot's version never goes back; every record is counted as exactly one of applied, unwatched,
 * superseded, rejected.
 */
#include "fuzz.h"

#include "bgw/blob.h"
#include "bgw/hash.h"
#include "bgw/hub.h"
#include "bgw/json.h"
#include "bgw/metrics.h"

#define PARTITIONS 2
#define SEEN_MAX 64
#define RECORDS_MAX 256

/* what the watching shard was last told of a slot */
struct seen {
    uint64_t group;
    bgw_part part;
    struct bgw_version version;
};

static struct bgw_feed feed;
static struct bgw_hub *hub;
static struct bgw_relay *relay;
static struct bgw_now now;
static struct seen seen[SEEN_MAX];
static size_t seen_count;
static uint64_t rejected;

/* ---- the codec ---- */

static struct bgw_json member(const struct bgw_json *object, const char *name)
{
    struct bgw_json value;
    FUZZ_CHECK(bgw_json_member(object, name, &value));
    return value;
}

static void check_value(const struct bgw_record *record, const struct bgw_decoded *d)
{
    struct bgw_json theirs, ours;
    struct bgw_buf out;
    int64_t minor;
    FUZZ_CHECK(bgw_slice_eq(feed.raw(d->value), record->value));
    FUZZ_CHECK(bgw_json_parse(record->value, &theirs) == BGW_OK && theirs.type == BGW_JSON_OBJECT);
    struct bgw_json source = member(&theirs, "minor");
    FUZZ_CHECK(bgw_json_i64(&source, &minor) == BGW_OK);
    for (int single = 0; single < 2; single++) {
        bgw_buf_init(&out, 1 << 20);
        feed.encode_native(d->value, single, &out);
        FUZZ_CHECK(!out.failed && bgw_json_parse(bgw_buf_slice(&out), &ours) == BGW_OK);
        struct bgw_json told = member(&ours, "minor");
        FUZZ_CHECK(told.type == BGW_JSON_STRING && bgw_slice_eq(told.raw, source.raw));
        bgw_buf_deinit(&out);
    }
}

static void check_name(const struct bgw_slot_name *name)
{
    FUZZ_CHECK(name->key_len <= BGW_KEY_MAX && name->tenant_len <= BGW_TENANT_MAX);
    FUZZ_CHECK(feed.key_valid(bgw_slice_of(name->key, name->key_len)));
    FUZZ_CHECK(!name->tenant_len || bgw_tenant_valid(bgw_slice_of(name->tenant, name->tenant_len)));
}

static enum bgw_reject decode(const struct bgw_record *record, struct bgw_decoded *out)
{
    struct bgw_decoded again;
    enum bgw_reject why = feed.decode(&feed, record, out);
    FUZZ_CHECK(feed.decode(&feed, record, &again) == why);
    if (out->name.key_len)
        check_name(&out->name);
    if (why == BGW_REJECT_NONE) {
        FUZZ_CHECK(out->name.key_len && out->tombstone == !record->value.data);
        FUZZ_CHECK(out->tombstone == !out->value && out->has_v == again.has_v && out->v == again.v);
        if (out->value) {
            check_value(record, out);
            FUZZ_CHECK(bgw_slice_eq(bgw_blob_slice(out->value), bgw_blob_slice(again.value)));
        }
    } else {
        FUZZ_CHECK(!out->value && !again.value);
    }
    bgw_blob_release(again.value);
    return why;
}

/* ---- the hub ---- */

static bool no_source(void *arg, const struct bgw_fetch *f)
{
    (void)arg;
    (void)f;
    return false;
}

static void no_answer(void *arg, uint8_t f, uint64_t query, bool refresh)
{
    (void)arg, (void)f, (void)query, (void)refresh;
}

static void on_rejected(void *arg, uint8_t f, const struct bgw_record *r, enum bgw_reject why)
{
    (void)arg, (void)f, (void)r;
    FUZZ_CHECK(why > BGW_REJECT_NONE && why < BGW_REJECT_COUNT && *bgw_reject_text(why));
    rejected++;
}

static void hub_open(void)
{
    static const int64_t zeros[PARTITIONS];
    const struct bgw_hub_config config = {
        .feeds = &feed, .feed_count = 1, .relays = &relay, .shard_count = 1, .keys_max = 32, .retry_min_ms = 100,
        .retry_max_ms = 1600, .reread_ms = 1000, .barrier_batch_ms = 20, .barrier_max_ms = 250, .jitter_seed = 7};
    const struct bgw_hub_ops ops = {NULL, no_source, no_answer, on_rejected};
    now = (struct bgw_now){1000, 1800000000000};
    seen_count = 0;
    relay = bgw_relay_create(NULL, NULL);
    FUZZ_CHECK(relay && bgw_hub_create(&hub, &config, &ops) == BGW_OK);
    bgw_hub_on_assigned(hub, 0, bgw_epoch_pack(BGW_SLICE("e1")), zeros, zeros, PARTITIONS, now);
}

/* Watches what the record names, the first time under a group of its own. */
static void watch(const struct bgw_slot_name *name)
{
    struct bgw_hub_command c = {.kind = BGW_HUB_WATCH, .name = *name};
    c.name.part = 0;
    if (!c.name.tenant_len) {
        c.name.tenant_len = (uint8_t)feed.default_tenant.len;
        memcpy(c.name.tenant, feed.default_tenant.data, feed.default_tenant.len);
    }
    c.group = bgw_hash_fnv64(BGW_FNV64_INIT, bgw_slice_of(c.name.key, c.name.key_len));
    c.group = bgw_hash_fnv64(c.group, bgw_slice_of(c.name.tenant, c.name.tenant_len));
    bgw_hub_on_command(hub, &c, now);
}

static void check_entry(const struct bgw_relay_entry *e)
{
    struct seen *s = seen;
    FUZZ_CHECK(e->state <= BGW_STATE_REMOVED);
    if (!e->value)
        return;
    while (s < seen + seen_count && (s->group != e->group || s->part != e->part))
        s++;
    if (s == seen + SEEN_MAX)
        return;
    if (s == seen + seen_count)
        seen[seen_count++] = (struct seen){e->group, e->part, e->version};
    FUZZ_CHECK(s->version.epoch != e->version.epoch || bgw_version_compare(e->version, s->version) >= 0);
    s->version = e->version;
}

static void turn(void)
{
    struct bgw_relay_batch batch;
    bgw_hub_tick(hub, now);
    bgw_hub_flush(hub);
    if (!bgw_relay_take(relay, &batch))
        return;
    for (size_t i = 0; i < batch.count; i++) {
        check_entry(&batch.entries[i]);
        bgw_blob_release(batch.entries[i].value);
    }
    bgw_relay_done(relay, &batch);
}

static void hub_close(void)
{
    turn();
    bgw_hub_destroy(&hub);
    bgw_relay_destroy(&relay);
}

/* ---- one input ---- */

enum { HAS_KEY = 1, HAS_VALUE = 2, HAS_TENANT = 4, HAS_V = 8, SECOND_PARTITION = 16, WATCHED = 32, NO_TIME = 64 };

static struct bgw_slice part_of_record(struct fuzz_in *in, char end, bool there, char **copy)
{
    struct bgw_slice s = end ? fuzz_until(in, end) : fuzz_rest(in);
    *copy = fuzz_copy(s);
    return there ? bgw_slice_of(*copy, s.len) : (struct bgw_slice){NULL, 0};
}

static void one_record(struct fuzz_in *in, int64_t offset)
{
    char *copies[4];
    uint32_t what = fuzz_take(in, 1);
    struct bgw_slice bytes = fuzz_take_slice(in, fuzz_take(in, 2));
    struct fuzz_in r = {(const uint8_t *)bytes.data, bytes.len};
    struct bgw_record record = {.partition = what & SECOND_PARTITION ? 1 : 0,
                                .offset = offset,
                                .timestamp_ms = what & NO_TIME ? -1 : now.wall_ms};
    struct bgw_decoded d;
    record.key = part_of_record(&r, '\n', what & HAS_KEY, &copies[0]);
    record.h_tenant = part_of_record(&r, '\n', what & HAS_TENANT, &copies[1]);
    record.h_v = part_of_record(&r, '\n', what & HAS_V, &copies[2]);
    record.value = part_of_record(&r, 0, what & HAS_VALUE, &copies[3]);
    enum bgw_reject why = decode(&record, &d);
    if ((what & WATCHED) && d.name.key_len)
        watch(&d.name);
    uint64_t before = rejected;
    bgw_hub_on_record(hub, 0, &record, now);
    FUZZ_CHECK(why == BGW_REJECT_NONE || rejected == before + 1);
    bgw_blob_release(d.value);
    for (size_t i = 0; i < 4; i++)
        free(copies[i]);
}

static int64_t rejected_total(void)
{
    int64_t n = 0;
    for (int i = BGW_M_RECORDS_REJECTED_BAD_JSON; i <= BGW_M_RECORDS_REJECTED_TOO_MANY; i++)
        n += bgw_metric_read((enum bgw_metric)i);
    return n;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_in in = {data, size};
    hub_open();
    for (int64_t i = 0; in.left && i < RECORDS_MAX; i++) {
        one_record(&in, i);
        now.mono_ms += 10;
        now.wall_ms += 10;
        if (i & 1)
            turn();
    }
    hub_close();
    FUZZ_CHECK(bgw_metric_read(BGW_M_RECORDS_CONSUMED) ==
               bgw_metric_read(BGW_M_RECORDS_APPLIED) + bgw_metric_read(BGW_M_RECORDS_UNWATCHED) +
                   bgw_metric_read(BGW_M_RECORDS_SUPERSEDED) + rejected_total());
    FUZZ_CHECK((int64_t)rejected == rejected_total());
    return 0;
}
