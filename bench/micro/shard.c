/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shard: what one update costs a shard's thread for one client, from the hub's batch to the bytes of
 * the write: 1,000 sessions that all follow one account, or sixteen, or one each. The write itself is
 * the kernel's and not in it. `shard/arrive` is a client's whole stay: opened, greeted, subscribed,
 * shown its balance, closed.
 */
#include "micro.h"

#include "bgw/auth.h"
#include "bgw/metrics.h"
#include "bgw/shard.h"
#include "wire/estate_private.h"
#include "wire/native.h"
#include "wire/sse.h"

#include <stdlib.h>

#define SESSIONS 1000u
#define SLOTS_MAX 1000u
#define ARRIVALS 100u
#define LAST_MAX 16384

struct crowd_case { /* immutable */
    const struct bgw_dialect *dialect;
    size_t each; /* accounts that a session follows */
    bool own;    /* and nobody else does */
};

struct crowd {
    const struct crowd_case *what;
    struct bgw_feed feed;
    struct bgw_shard *shard;
    struct bgw_now now;
    struct bgw_claims claims;
    struct bgw_session *sessions[SESSIONS + ARRIVALS];
    size_t slots, entry_count;
    uint64_t group[SLOTS_MAX];
    struct bgw_relay_entry entries[SLOTS_MAX];
    uint64_t hub_seq, barrier, v;
    uint64_t sends, bytes, runs, before;
    char last[LAST_MAX]; /* what the first session was sent */
    size_t last_len;
};

static bool crowd_post(void *arg, const struct bgw_hub_command *c)
{
    struct crowd *s = arg;
    if (c->kind == BGW_HUB_BARRIER)
        s->barrier = c->ticket;
    if (c->kind != BGW_HUB_WATCH)
        return true;
    char id[BGW_KEY_MAX + 1] = {0};
    memcpy(id, c->name.key, c->name.key_len);
    size_t slot = strtoul(id + strlen("acc_"), NULL, 10);
    if (slot >= SLOTS_MAX)
        micro_die("%s is watched by nobody", id);
    s->group[slot] = c->group;
    return true;
}

static enum bgw_sent crowd_send(void *arg, void *conn, struct bgw_slice bytes)
{
    struct crowd *s = arg;
    s->sends++;
    s->bytes += bytes.len;
    if (conn == s && bytes.len <= LAST_MAX) {
        memcpy(s->last, bytes.data, bytes.len);
        s->last_len = bytes.len;
    }
    return BGW_SENT_ALL;
}

static void crowd_hang_up(void *arg, void *conn, uint16_t code)
{
    (void)arg, (void)conn;
    micro_die("a session was closed with %u", code);
}

/* The next value of every slot, as the hub would say it. */
static void news(struct crowd *s, uint32_t records)
{
    s->v++;
    for (size_t i = 0; i < s->slots; i++)
        s->entries[i] = (struct bgw_relay_entry){
            .group = s->group[i], .part = s->feed.default_part, .state = BGW_STATE_FRESH, .answered = true, .records = records,
            .version = {bgw_epoch_pack(BGW_SLICE(MICRO_EPOCH)), s->v, 0}, .value = micro_value(&s->feed, i, s->v),
            .proved_mono_ms = s->now.mono_ms, .ingest_ns = 1,
        };
    s->entry_count = s->slots;
}

static void turn(struct crowd *s)
{
    struct bgw_relay_batch batch = {s->entries, s->entry_count, ++s->hub_seq, s->barrier,
                                    bgw_epoch_pack(BGW_SLICE(MICRO_EPOCH)), s->now.mono_ms};
    bgw_shard_on_batch(s->shard, &batch, s->now);
    bgw_shard_flush(s->shard, s->now);
    s->entry_count = 0;
}

static void open_shard(struct crowd *s)
{
    struct bgw_shard_config config = {
        .feeds = &s->feed, .feed_count = 1, .mark_ms = 1000, .barrier_wait_ms = 250, .sessions_max = SESSIONS + ARRIVALS,
        .limits = {.ping_ms = 25000, .pong_wait_ms = 10000, .stall_ms = 30000, .auth_wait_ms = 5000,
                   .keys_per_session_max = 1000, .heartbeat_ms = 15000, .silence_ms = 30000, .greeting_ms = 15000},
        .flush_bytes_max = 16384, .control_bytes_max = 65536, .reads_max = 16, .conn_seed = 1,
        .resume_key = {1, 2, 3}, .mac = bgw_auth_mac, .server_name = BGW_SLICE("bgw"),
    };
    struct bgw_shard_ops ops = {.arg = s, .post = crowd_post, .send = crowd_send, .hang_up = crowd_hang_up};
    if (bgw_shard_create(&s->shard, &config, &ops, s->now) != BGW_OK)
        micro_die("no shard");
}

static struct bgw_session *arrive(struct crowd *s, size_t number, void *conn)
{
    struct bgw_session *session;
    struct estate_call call = {0}; /* what an estate's dialect finds behind the id */
    const bool blind = s->what->dialect->blind;
    if (bgw_session_open(s->shard, conn, s->what->dialect, &s->claims, s->now, &session) != BGW_OK)
        micro_die("no session");
    if (!blind)
        bgw_session_hello(s->shard, session, NULL, BGW_SLICE(""), s->now);
    char id[MICRO_KEY_MAX];
    for (size_t i = 0; i < s->what->each; i++) {
        struct bgw_sub_key key = {0};
        size_t slot = s->what->own ? number * s->what->each + i : i;
        key.text = key.key = bgw_slice_of(id, micro_account(id, slot));
        bgw_session_sub(s->shard, session, blind ? estate_call_id(&call) : i + 1, BGW_SLICE("balance"), &key, 1);
    }
    return session;
}

static void *crowd_make(const struct micro *m)
{
    struct crowd *s = micro_alloc(1, sizeof(*s));
    s->what = m->with;
    s->slots = s->what->own ? SESSIONS * s->what->each : s->what->each;
    s->v = MICRO_V;
    micro_feed(&s->feed);
    s->now = (struct bgw_now){.mono_ms = 1000, .wall_ms = MICRO_WALL_MS};
    s->claims = (struct bgw_claims){.subject_hash = 1, .issued_s = MICRO_WALL_MS / 1000, .expires_ms = INT64_MAX / 2};
    memcpy(s->claims.tenant, s->feed.default_tenant.data, s->feed.default_tenant.len);
    s->claims.grants = bgw_grants_create(true);
    if (!s->claims.grants)
        micro_die("no memory");
    bgw_grants_seal(s->claims.grants);
    open_shard(s);
    for (size_t i = 0; i < SESSIONS; i++)
        s->sessions[i] = arrive(s, i, i ? (void *)&s->sessions[i] : s);
    bgw_shard_flush(s->shard, s->now);
    news(s, 0);
    turn(s);
    turn(s); /* barriers that were asked for meanwhile */
    s->sends = s->bytes = 0;
    s->before = (uint64_t)bgw_metric_read(BGW_M_UPDATES_DELIVERED);
    return s;
}

static void crowd_ready(void *state)
{
    struct crowd *s = state;
    s->now.mono_ms++;
    s->now.wall_ms++;
    news(s, 1);
}

static void crowd_run(void *state)
{
    struct crowd *s = state;
    s->runs++;
    turn(s);
}

static uint64_t crowd_right(void *state)
{
    struct crowd *s = state;
    for (size_t i = 0; i < s->what->each; i++)
        if (!micro_holds(bgw_slice_of(s->last, s->last_len), i, s->v))
            return 0;
    if (s->sends != s->runs * SESSIONS || s->bytes != s->sends * s->last_len)
        return 0;
    return (uint64_t)bgw_metric_read(BGW_M_UPDATES_DELIVERED) - s->before;
}

static void crowd_drop(void *state)
{
    struct crowd *s = state;
    for (size_t i = 0; i < SESSIONS; i++)
        bgw_session_close(s->shard, s->sessions[i]);
    for (size_t i = 0; i < s->entry_count; i++)
        bgw_blob_release(s->entries[i].value);
    bgw_shard_destroy(&s->shard);
    bgw_claims_deinit(&s->claims);
    free(s);
}

/* ---- a client's stay ---- */

static void stay_run(void *state)
{
    struct crowd *s = state;
    s->runs++;
    for (size_t i = 0; i < ARRIVALS; i++)
        s->sessions[SESSIONS + i] = arrive(s, i, &s->sessions[SESSIONS + i]);
    turn(s);
    for (size_t i = 0; i < ARRIVALS; i++)
        bgw_session_close(s->shard, s->sessions[SESSIONS + i]);
}

static uint64_t stay_right(void *state)
{
    struct crowd *s = state;
    return bgw_shard_session_count(s->shard) == SESSIONS ? s->sends : 0;
}

#define CROWD(label, unit_text, count, which, own_accounts)                                                            \
    {                                                                                                                  \
        "shard/" label, unit_text, SESSIONS * (count), 4, &(const struct crowd_case){which, count, own_accounts},     \
            crowd_make, crowd_ready, crowd_run, crowd_right, crowd_drop                                                \
    }

const struct micro micro_shard[] = {
    CROWD("one_native", "delivery", 1, &bgw_dialect_native, false),
    CROWD("one_signalr", "delivery", 1, &bgw_dialect_signalr, false),
    CROWD("one_app", "delivery", 1, &bgw_dialect_app, false),
    CROWD("one_sse", "delivery", 1, &bgw_dialect_sse, false),
    CROWD("own_native", "delivery", 1, &bgw_dialect_native, true),
    CROWD("sixteen_native", "delivery of 16 in a write", 16, &bgw_dialect_native, false),
    CROWD("sixteen_signalr", "delivery of 16 in a write", 16, &bgw_dialect_signalr, false),
    CROWD("sixteen_sse", "delivery of 16 in a write", 16, &bgw_dialect_sse, false),
    {"shard/arrive", "client", ARRIVALS, 10, &(const struct crowd_case){&bgw_dialect_native, 1, false}, crowd_make, NULL, stay_run,
     stay_right, crowd_drop},
    {0},
};
