/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate: a real hub and a real shard with one session of a client of the estate, for fuzz-signalr
 * and fuzz-app. Hides what its token grants (A and B), the values that the shard was told, and how
 * WebSocket frames and events are taken apart. One thread. Invariant: what a connection is told is
 * whole messages, of which each target says what they must be.
 *
 *   pA USD 100   a record      xA   a tombstone      t500  time passes      b  ends are answered, or not
 */
#ifndef BGW_FUZZ_ESTATE_H
#define BGW_FUZZ_ESTATE_H

#include "fuzz.h"

#include "wire/estate.h"

#include "bgw/auth.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/metrics.h"

#define WALL_MS 1800000000000
#define BOOK_MAX 64

static struct bgw_feed feed;
static struct bgw_claims claims;
static struct bgw_estate estate;
static struct bgw_shard *shard;
static struct bgw_hub *hub;
static struct bgw_relay *relay;
static struct bgw_session *session;
static struct bgw_now now;
static int64_t offset, pending_query;
static bool silent_broker, verbose; /* verbose: BGW_FUZZ_VERBOSE is set */
static uint16_t hung;               /* the code that its connection was closed with */

/* what the shard was told of a slot */
static struct told {
    char key[BGW_KEY_MAX];
    size_t len;
    bgw_part part;
    int64_t minor;
    bool has;
} book[BOOK_MAX];
static size_t book_count;
static struct {
    uint64_t id;
    char key[BGW_KEY_MAX];
    size_t len;
} groups[1024];
static size_t group_count;
static bool lost; /* more than this model remembers: values are not judged */

/* The target's: what the connection was given in one write. */
static void on_bytes(struct bgw_slice bytes);

/* ---- JSON that we said ---- */

static inline struct bgw_json member(const struct bgw_json *object, const char *name, enum bgw_json_type type)
{
    struct bgw_json value;
    FUZZ_CHECK(bgw_json_member(object, name, &value) && value.type == type);
    return value;
}

static inline struct bgw_json only_element(const struct bgw_json *array, enum bgw_json_type type)
{
    const char *cursor = NULL;
    struct bgw_json first, second;
    FUZZ_CHECK(bgw_json_next(array, &cursor, NULL, &first) && first.type == type);
    FUZZ_CHECK(!bgw_json_next(array, &cursor, NULL, &second));
    return first;
}

static inline int64_t minor_of(const struct bgw_json *value)
{
    struct bgw_json minor = member(value, "minor", BGW_JSON_NUMBER);
    int64_t n;
    FUZZ_CHECK(bgw_json_i64(&minor, &n) == BGW_OK);
    return n;
}

static inline struct told *book_find(struct bgw_slice key, bgw_part part)
{
    for (size_t i = 0; i < book_count; i++) {
        if (book[i].part == part && bgw_slice_eq(bgw_slice_of(book[i].key, book[i].len), key))
            return &book[i];
    }
    return NULL;
}

/* The argument of a balanceUpdate: a record of an account that the token grants, and the newest. */
static inline void check_update(const struct bgw_json *text)
{
    char record[1024];
    size_t len;
    struct bgw_json root, account, currency;
    bgw_part part = feed.default_part;
    FUZZ_CHECK(bgw_json_string(text, record, sizeof(record), &len) == BGW_OK);
    FUZZ_CHECK(bgw_json_parse(bgw_slice_of(record, len), &root) == BGW_OK);
    account = member(&root, "accountId", BGW_JSON_STRING);
    FUZZ_CHECK(bgw_json_is(&account, "A") || bgw_json_is(&account, "B"));
    if (bgw_json_member(&root, "currency", &currency))
        part = bgw_part_of(currency.raw);
    const struct told *t = book_find(account.raw, part);
    FUZZ_CHECK(lost || (t && t->has && t->minor == minor_of(&root)));
}

/* An event from its `target` on; returns the target's argument. */
static inline struct bgw_json check_event(const struct bgw_json *root)
{
    struct bgw_json target = member(root, "target", BGW_JSON_STRING);
    struct bgw_json arguments = member(root, "arguments", BGW_JSON_ARRAY);
    if (bgw_json_is(&target, "balanceUpdate")) {
        struct bgw_json text = only_element(&arguments, BGW_JSON_STRING);
        check_update(&text);
        return text;
    }
    struct bgw_json object = only_element(&arguments, BGW_JSON_OBJECT);
    if (bgw_json_is(&target, "subscriptionConfirmed")) {
        (void)member(&object, "groupName", BGW_JSON_STRING);
        (void)member(&object, "timestamp", BGW_JSON_STRING);
    } else if (bgw_json_is(&target, "balanceState")) {
        (void)member(&object, "asOf", BGW_JSON_STRING);
        (void)member(&object, "state", BGW_JSON_STRING);
    } else {
        FUZZ_CHECK(bgw_json_is(&target, "error"));
        (void)member(&object, "code", BGW_JSON_STRING);
        (void)member(&object, "message", BGW_JSON_STRING);
        return object;
    }
    struct bgw_json account = member(&object, "accountId", BGW_JSON_STRING);
    FUZZ_CHECK(account.raw.len && (account.raw.data[0] == 'A' || account.raw.data[0] == 'B'));
    FUZZ_CHECK(account.raw.len == 1 || account.raw.data[1] == '/');
    return object;
}

/* One frame off the front: its opcode; *close its code. */
static inline int take_frame(struct bgw_slice *bytes, struct bgw_slice *payload, uint16_t *close)
{
    const unsigned char *p = (const unsigned char *)bytes->data;
    FUZZ_CHECK(bytes->len >= 2 && (p[0] & 0xf0) == 0x80 && p[1] < 128);
    size_t len = p[1], header = p[1] < 126 ? 2 : p[1] == 126 ? 4 : 10;
    FUZZ_CHECK(bytes->len >= header);
    if (header > 2)
        len = 0;
    for (size_t i = 2; i < header; i++)
        len = len << 8 | p[i];
    FUZZ_CHECK(bytes->len - header >= len);
    *payload = bgw_slice_of(bytes->data + header, len);
    *bytes = bgw_slice_of(bytes->data + header + len, bytes->len - header - len);
    if ((p[0] & 15) == 8) {
        FUZZ_CHECK(len >= 2);
        *close = (uint16_t)(p[header] << 8 | p[header + 1]);
    }
    return p[0] & 15;
}

/* ---- the hub ---- */

static bool on_fetch(void *arg, const struct bgw_fetch *f)
{
    (void)arg;
    bgw_hub_on_fetched(hub, &(struct bgw_fetched){.id = f->id, .result = BGW_FETCH_NO_SOURCE}, now);
    return true;
}

static void on_ask(void *arg, uint8_t f, uint64_t query, bool refresh)
{
    (void)arg, (void)f, (void)refresh;
    pending_query = (int64_t)query;
}

static void on_rejected(void *arg, uint8_t f, const struct bgw_record *record, enum bgw_reject why)
{
    (void)arg, (void)f, (void)record, (void)why;
}

static bool on_post(void *arg, const struct bgw_hub_command *c)
{
    (void)arg;
    lost |= group_count == sizeof(groups) / sizeof(*groups);
    if (c->kind == BGW_HUB_WATCH && !lost) {
        groups[group_count].id = c->group;
        groups[group_count].len = c->name.key_len;
        memcpy(groups[group_count++].key, c->name.key, c->name.key_len);
    }
    bgw_hub_on_command(hub, c, now);
    return true;
}

static inline void book_take(const struct bgw_relay_entry *e)
{
    size_t g = group_count;
    while (g && groups[g - 1].id != e->group)
        g--;
    if (!g--)
        return;
    struct told *t = book_find(bgw_slice_of(groups[g].key, groups[g].len), e->part);
    lost |= !t && book_count == BOOK_MAX;
    if (!t && lost)
        return;
    if (!t)
        t = &book[book_count++];
    *t = (struct told){.len = groups[g].len, .part = e->part, .has = e->value != NULL};
    memcpy(t->key, groups[g].key, t->len);
    struct bgw_json root;
    if (!e->value)
        return;
    FUZZ_CHECK(bgw_json_parse(feed.raw(e->value), &root) == BGW_OK);
    t->minor = minor_of(&root);
}

static inline void hub_turn(void)
{
    struct bgw_relay_batch batch;
    bgw_hub_tick(hub, now);
    if (!silent_broker) {
        if (pending_query)
            bgw_hub_on_watermark(hub, 0, (uint64_t)pending_query, 0, offset, now.mono_ms, now);
        pending_query = 0;
        bgw_hub_on_watermark(hub, 0, 0, 0, offset, now.mono_ms, now);
    }
    bgw_hub_flush(hub);
    if (!bgw_relay_take(relay, &batch))
        return;
    for (size_t i = 0; i < batch.count; i++)
        book_take(&batch.entries[i]);
    bgw_shard_on_batch(shard, &batch, now);
    bgw_relay_done(relay, &batch);
}

static inline void turn(void)
{
    bgw_shard_flush(shard, now);
    hub_turn();
    bgw_shard_tick(shard, now);
    bgw_shard_flush(shard, now);
}

/* ---- what happens meanwhile ---- */

static inline void publish(struct bgw_slice line, bool tombstone)
{
    char key[128], part[16] = "", value[256], text[128];
    long long minor = 0;
    snprintf(text, sizeof(text), "%.*s", (int)line.len, line.data);
    if (sscanf(text, "%64s %3s %lld", key, part, &minor) < 1)
        return;
    snprintf(value, sizeof(value), "{\"accountId\":\"%.*s\",\"minor\":%lld%s%s%s,\"x\":\"\\u001e \xc3\xa9\"}", (int)strcspn(key, "|"),
             key, minor, *part ? ",\"currency\":\"" : "", part, *part ? "\"" : "");
    struct bgw_record record = {.key = bgw_slice_str(key), .offset = offset++, .timestamp_ms = now.wall_ms};
    if (!tombstone)
        record.value = bgw_slice_str(value);
    bgw_hub_on_record(hub, 0, &record, now);
}

static inline void pass(long ms)
{
    for (ms = ms < 0 ? 0 : ms > 60000 ? 60000 : ms; ms > 0; ms -= 250) {
        now.mono_ms += ms < 250 ? ms : 250;
        now.wall_ms += ms < 250 ? ms : 250;
        turn();
    }
}

static inline void happen(struct bgw_slice line)
{
    struct bgw_slice rest = bgw_slice_of(line.data + 1, line.len - 1);
    char number[8] = {0};
    memcpy(number, rest.data, rest.len < 7 ? rest.len : 7);
    switch (line.data[0]) {
    case 'p': publish(rest, false); break;
    case 'x': publish(rest, true); break;
    case 't': pass(atol(number)); break;
    case 'b': silent_broker = !silent_broker; break;
    default: break;
    }
}

/* ---- one input ---- */

static enum bgw_sent on_send(void *arg, void *conn, struct bgw_slice bytes)
{
    (void)arg, (void)conn;
    FUZZ_CHECK(!hung && bytes.len);
    if (verbose)
        fprintf(stderr, "<%.*s\n", (int)bytes.len, bytes.data);
    char *copy = fuzz_copy(bytes);
    on_bytes(bgw_slice_of(copy, bytes.len));
    free(copy);
    return BGW_SENT_ALL;
}

static inline void world_open(void *conn, const struct bgw_dialect *dialect,
                              void (*on_hang_up)(void *arg, void *conn, uint16_t code))
{
    static const int64_t zero;
    const struct bgw_hub_config hub_config = {
        .feeds = &feed, .feed_count = 1, .relays = &relay, .shard_count = 1, .keys_max = 200, .retry_min_ms = 100,
        .retry_max_ms = 1600, .reread_ms = 1000, .barrier_batch_ms = 20, .barrier_max_ms = 250, .jitter_seed = 7};
    const struct bgw_hub_ops hub_ops = {NULL, on_fetch, on_ask, on_rejected};
    const struct bgw_shard_config config = {
        .shard = 0, .feeds = &feed, .feed_count = 1,
        .limits = {.ping_ms = 20000, .pong_wait_ms = 20000, .stall_ms = 30000, .auth_wait_ms = 5000, .keys_per_session_max = 60,
                   .heartbeat_ms = 15000, .silence_ms = 30000, .greeting_ms = 15000},
        .mark_ms = 1000, .flush_window_max_ms = 0, .barrier_wait_ms = 250, .sessions_max = 4, .flush_bytes_max = 4096,
        .control_bytes_max = 262144, .conn_seed = 77, .mac = bgw_auth_mac, .server_name = BGW_SLICE("fuzz")};
    const struct bgw_shard_ops ops = {.post = on_post, .send = on_send, .hang_up = on_hang_up};
    now = (struct bgw_now){1000, WALL_MS};
    book_count = group_count = 0;
    offset = pending_query = 0;
    hung = 0;
    silent_broker = lost = false;
    relay = bgw_relay_create(NULL, NULL);
    FUZZ_CHECK(relay && bgw_hub_create(&hub, &hub_config, &hub_ops) == BGW_OK);
    bgw_hub_on_assigned(hub, 0, bgw_epoch_pack(BGW_SLICE("e1")), &zero, &zero, 1, now);
    FUZZ_CHECK(bgw_shard_create(&shard, &config, &ops, now) == BGW_OK);
    estate.shard = shard;
    FUZZ_CHECK(bgw_session_open(shard, conn, dialect, &claims, now, &session) == BGW_OK);
}

static inline void world_close(void)
{
    bgw_session_close(shard, session);
    bgw_shard_flush(shard, now);
    bgw_shard_destroy(&shard);
    bgw_hub_destroy(&hub);
    bgw_relay_destroy(&relay);
}

static inline void estate_initialize(void)
{
    verbose = getenv("BGW_FUZZ_VERBOSE") != NULL;
    bgw_hash_init_fixed(1, 2);
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    bgw_feed_balance_init(&feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    claims = (struct bgw_claims){.subject_hash = 1, .expires_ms = WALL_MS + 3600000000, .tenant = "tnt_demo"};
    claims.grants = bgw_grants_create(false);
    FUZZ_CHECK(claims.grants && bgw_grants_add(claims.grants, BGW_SLICE("A")) == BGW_OK &&
               bgw_grants_add(claims.grants, BGW_SLICE("B")) == BGW_OK);
    bgw_grants_seal(claims.grants);
    estate = (struct bgw_estate){.feed = &feed, .scratch = bgw_estate_scratch_create()};
    FUZZ_CHECK(estate.scratch);
}

#endif
