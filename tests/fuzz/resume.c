/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz-resume: resume tokens presented to a shard that has given one to this subject.
 *
 *   mode 1: 0  edits (fuzz_edit) of the token that was given
 *           1  a token as it is
 *           2  bytes that are signed here, as only a gateway could: what a token says is read
 *           3  the token that was given, by another subject
 *
 * Properties: it is accepted if it is the given one, byte by byte, and else not; only an accepted one
 * makes a key `current`, and only one that carries the hash of what the key shows now.
 */
#include "fuzz.h"

#include "wire/native.h"

#include "bgw/base64.h"
#include "bgw/hash.h"
#include "bgw/metrics.h"

#define TEXT_MAX 4096
#define OUTPUT_MAX 65536

struct conn {
    struct bgw_session *session;
    char output[OUTPUT_MAX];
    size_t len;
};

static struct bgw_feed feed;
static struct bgw_shard *shard;
static struct bgw_now now;
static struct conn giver, taker;
static uint64_t group; /* of the key A */

static const struct bgw_version version = {.epoch = 0, .seq = 7};

/* ---- the shard's world ---- */

static bool on_post(void *arg, const struct bgw_hub_command *c)
{
    (void)arg;
    if (c->kind == BGW_HUB_WATCH)
        group = c->group;
    return true;
}

static enum bgw_sent on_send(void *arg, void *conn, struct bgw_slice bytes)
{
    struct conn *c = conn;
    (void)arg;
    FUZZ_CHECK(c->len + bytes.len <= sizeof(c->output));
    memcpy(c->output + c->len, bytes.data, bytes.len);
    c->len += bytes.len;
    return BGW_SENT_ALL;
}

static void on_hang_up(void *arg, void *conn, uint16_t code)
{
    (void)arg, (void)conn, (void)code;
}

/* Everything that the hub knows: A NGN 100, as of ticket `barrier`. */
static void hub_answers(void)
{
    static const char record[] = "{\"accountId\":\"A\",\"minor\":100}";
    static uint64_t hub_seq;
    struct bgw_record r = {.key = BGW_SLICE("A"), .value = BGW_SLICE(record)};
    struct bgw_decoded d;
    FUZZ_CHECK(feed.decode(&feed, &r, &d) == BGW_REJECT_NONE);
    struct bgw_relay_entry entry = {.group = group, .part = feed.default_part, .state = BGW_STATE_FRESH, .answered = true,
                                    .version = version, .value = d.value, .proved_mono_ms = now.mono_ms};
    entry.version.epoch = bgw_epoch_pack(BGW_SLICE("e1"));
    const struct bgw_relay_batch batch = {.entries = &entry, .count = 1, .hub_seq = ++hub_seq,
                                          .barrier_done = UINT64_MAX / 2, .epoch = entry.version.epoch};
    bgw_shard_on_batch(shard, &batch, now);
    bgw_shard_flush(shard, now);
}

static void open_with(struct conn *c, uint64_t subject, struct bgw_slice resume)
{
    struct bgw_claims claims = {.subject_hash = subject, .expires_ms = now.wall_ms + 3600000, .tenant = "tnt_demo",
                                .grants = bgw_grants_create(true)};
    struct bgw_sub_key key = {.text = BGW_SLICE("A"), .key = BGW_SLICE("A")};
    bgw_grants_seal(claims.grants);
    c->len = 0;
    bgw_shard_set_now(shard, now);
    FUZZ_CHECK(bgw_session_open(shard, c, &bgw_dialect_native, NULL, now, &c->session) == BGW_OK);
    bgw_session_hello(shard, c->session, &claims, resume, now);
    bgw_session_sub(shard, c->session, 1, BGW_SLICE("balance"), &key, 1);
    bgw_shard_flush(shard, now);
    hub_answers();
    bgw_claims_deinit(&claims);
}

static bool said(const struct conn *c, const char *text)
{
    return memmem(c->output, c->len, text, strlen(text)) != NULL;
}

static void world_open(void)
{
    const struct bgw_shard_config config = {
        .shard = 0, .feeds = &feed, .feed_count = 1,
        .limits = {.ping_ms = 20000, .pong_wait_ms = 20000, .stall_ms = 30000, .auth_wait_ms = 5000, .keys_per_session_max = 60},
        .mark_ms = 1000, .barrier_wait_ms = 250, .sessions_max = 16, .flush_bytes_max = 16384, .control_bytes_max = 65536,
        .conn_seed = 77, .resume_key = "a resume key of fuzzers", .mac = bgw_auth_mac, .server_name = BGW_SLICE("fuzz")};
    const struct bgw_shard_ops ops = {.post = on_post, .send = on_send, .hang_up = on_hang_up};
    FUZZ_CHECK(bgw_shard_create(&shard, &config, &ops, now) == BGW_OK);
}

/* The last resume token that the giver was sent: of its mark, with what it holds. */
static struct bgw_slice given(void)
{
    static const char name[] = "\"resume\":\"";
    const char *at = NULL;
    for (const char *next = giver.output; (next = memmem(next, giver.len - (size_t)(next - giver.output), name, sizeof(name) - 1));)
        at = next += sizeof(name) - 1;
    FUZZ_CHECK(at);
    return bgw_slice_of(at, (size_t)((const char *)memchr(at, '"', giver.len) - at));
}

/* ---- one input ---- */

static size_t sign(struct bgw_slice body, char *out)
{
    uint8_t raw[TEXT_MAX / 2], mac[32], key[32] = "a resume key of fuzzers";
    size_t len = body.len < 1500 ? body.len : 1500;
    memcpy(raw, body.data, len);
    bgw_auth_mac(key, bgw_slice_of((const char *)raw, len), mac);
    memcpy(raw + len, mac, 16);
    return bgw_base64url_encode(raw, len + 16, out);
}

/* The hash of A, NGN, e1.7 as bytes. */
static bool carries_hash(struct bgw_slice body)
{
    uint64_t h = bgw_hash_fnv64(BGW_FNV64_INIT, BGW_SLICE("A|NGN|e1.7"));
    uint8_t bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(h >> (56 - 8 * i));
    return memmem(body.data, body.len, bytes, 8) != NULL;
}

static void present(uint32_t mode, struct fuzz_in *in)
{
    char text[TEXT_MAX];
    struct bgw_slice good = given(), body = {0};
    size_t len = 0;
    if (mode == 0 || mode == 3) {
        len = good.len;
        memcpy(text, good.data, len);
    }
    if (mode == 0)
        fuzz_edit(in, text, &len, sizeof(text));
    else if (mode == 1) {
        struct bgw_slice rest = fuzz_take_slice(in, sizeof(text));
        memcpy(text, rest.data, len = rest.len);
    } else if (mode == 2) {
        body = fuzz_rest(in);
        len = sign(body, text);
    }
    char *copy = fuzz_copy(bgw_slice_of(text, len));
    int64_t before = bgw_metric_read(BGW_M_RESUME_ACCEPTED);
    open_with(&taker, mode == 3 ? 2 : 1, bgw_slice_of(copy, len));
    bool accepted = bgw_metric_read(BGW_M_RESUME_ACCEPTED) > before, current = said(&taker, "\"current\":[\"A\"]");
    bool same = mode != 3 && bgw_slice_eq(bgw_slice_of(text, len), good);
    FUZZ_CHECK(mode == 2 || accepted == same);
    FUZZ_CHECK(!current || (accepted && (mode != 2 || carries_hash(body))));
    FUZZ_CHECK(mode == 2 || current == same);
    FUZZ_CHECK(current || said(&taker, "\"minor\":\"100\"")); /* what is not known is sent */
    free(copy);
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
    uint32_t mode = fuzz_take(&in, 1) & 3;
    now = (struct bgw_now){.mono_ms = 1000, .wall_ms = INT64_C(1800000000000)};
    world_open();
    open_with(&giver, 1, (struct bgw_slice){NULL, 0});
    for (int i = 0; i < 3; i++) { /* until a mark says how far it is */
        now.mono_ms += 500;
        bgw_shard_tick(shard, now);
        bgw_shard_flush(shard, now);
    }
    FUZZ_CHECK(said(&giver, "\"ev\":\"mark\""));
    present(mode, &in);
    bgw_session_close(shard, giver.session);
    bgw_session_close(shard, taker.session);
    bgw_shard_flush(shard, now);
    bgw_shard_destroy(&shard);
    return 0;
}
