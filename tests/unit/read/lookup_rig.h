/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup_rig: a world for lookups in which the test is Redis, the origin and the clock. What the
 * lookups want done is written to a log, one word each; the last question of each kind is kept.
 */
#ifndef BGW_TEST_LOOKUP_RIG_H
#define BGW_TEST_LOOKUP_RIG_H

#include "test.h"

#include "bgw/hash.h"
#include "bgw/metrics.h"
#include "read/lookup.h"

#define LOG_MAX 512

/* the test's thread */
struct rig {
    struct bgw_lookups *lookups;
    struct bgw_now now;
    struct bgw_flags flags;
    char log[LOG_MAX];
    uint64_t l2, lock, origin; /* ids of the last questions */
    bool trusted;
    int64_t started_wall_ms; /* of the last answer */
    uint64_t next_fetch;
    bool refuse_at_once; /* the origin fails inside the call */
    bool ask_again;      /* each answer is followed by another ask */
    bool past_cache;     /* of the fetches from now on */
    int lists_old;
};

static inline void rig_log(struct rig *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void rig_log(struct rig *r, const char *fmt, ...)
{
    size_t len = strlen(r->log);
    __builtin_va_list args;
    if (len > LOG_MAX - 32)
        return; /* full; nobody reads that far */
    __builtin_va_start(args, fmt);
    if (len)
        r->log[len++] = ' ';
    vsnprintf(r->log + len, LOG_MAX - len, fmt, args);
    __builtin_va_end(args);
}

static inline void rig_ask_l2(void *arg, uint64_t id, const struct bgw_slot_name *name, bool trust_body)
{
    struct rig *r = arg;
    (void)name;
    r->l2 = id;
    r->trusted = trust_body;
    rig_log(r, "l2");
}

static inline void rig_take_lock(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms)
{
    struct rig *r = arg;
    (void)name;
    CHECK_EQ_I64(lease_ms, 300);
    r->lock = id;
    rig_log(r, "lock");
}

static inline void rig_ask_origin(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms)
{
    struct rig *r = arg;
    (void)name;
    CHECK_EQ_I64(deadline_ms, 200);
    r->origin = id;
    rig_log(r, "origin");
    if (r->refuse_at_once)
        bgw_lookups_on_origin(r->lookups, id, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_FAILED}, r->now);
}

static inline void rig_write_back(void *arg, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a)
{
    struct rig *r = arg;
    (void)name;
    CHECK(id == r->lock && a->value);
    rig_log(r, "write");
}

static inline void rig_drop_lock(void *arg, uint64_t id, const struct bgw_slot_name *name)
{
    struct rig *r = arg;
    (void)name;
    CHECK(id == r->lock);
    rig_log(r, "drop");
}

static inline void rig_forget_origin(void *arg, uint64_t id)
{
    struct rig *r = arg;
    CHECK(id == r->origin);
    rig_log(r, "forget");
}

static inline void rig_fetch(struct rig *r, const char *key, uint64_t floor);

static inline void rig_answer(void *arg, const struct bgw_fetched *f)
{
    static const char *const results[] = {"VALUE", "NOT_FOUND", "NO_SOURCE", "UNAVAILABLE", "SHED"};
    struct rig *r = arg;
    r->started_wall_ms = f->started_wall_ms;
    CHECK((f->result == BGW_FETCH_VALUE) == (f->value != NULL));
    if (f->value)
        rig_log(r, "%s.%d", f->source == BGW_SOURCE_CACHE ? "CACHE" : "DATABASE", (int)f->v);
    else
        rig_log(r, "%s", results[f->result]);
    bgw_blob_release(f->value);
    if (r->ask_again) {
        r->ask_again = false;
        rig_fetch(r, "again", 0);
    }
}

static inline void rig_list_is_old(void *arg)
{
    struct rig *r = arg;
    r->lists_old++;
}

static inline struct bgw_lookup_config rig_config(struct rig *r)
{
    bgw_hash_init();
    bgw_metrics_init();
    bgw_metrics_thread_attach();
    CHECK(bgw_flags_parse(&r->flags, "all", NULL) == BGW_OK);
    return (struct bgw_lookup_config){.flags = &r->flags, .has_l2 = true, .has_origin = true, .origin_deadline_ms = 200,
                                      .l2_deadline_ms = 100, .lock_lease_ms = 300, .lock_poll_ms = 10, .rate_per_s = 400,
                                      .burst = 800, .hedge_us = 12000, .lookups_max = 64, .origin_max = 8, .seed = 1};
}

static inline void rig_start_with(struct rig *r, const struct bgw_lookup_config *config)
{
    struct bgw_lookup_ops ops = {r, rig_ask_l2, rig_take_lock, rig_ask_origin, rig_write_back, rig_drop_lock,
                                 rig_forget_origin, rig_answer, rig_list_is_old};
    r->now = (struct bgw_now){.mono_ms = 1000, .wall_ms = 5000};
    CHECK(bgw_lookups_create(&r->lookups, config, &ops, r->now) == BGW_OK);
    bgw_lookups_on_channel(r->lookups, true);
    bgw_lookups_on_l2_state(r->lookups, config->has_l2, r->now);
}

static inline void rig_start(struct rig *r)
{
    struct bgw_lookup_config config = rig_config(r);
    rig_start_with(r, &config);
}

static inline void rig_end(struct rig *r)
{
    bgw_lookups_destroy(&r->lookups);
    CHECK(!r->lookups);
}

static inline struct bgw_slot_name rig_name(const char *key)
{
    struct bgw_slot_name name = {.tenant_len = 1, .tenant = "t", .key_len = (uint8_t)strlen(key), .part = 1};
    memcpy(name.key, key, strlen(key));
    return name;
}

static inline bool rig_try(struct rig *r, const char *key, uint64_t floor)
{
    struct bgw_fetch f = {.id = ++r->next_fetch, .name = rig_name(key), .floor = {.seq = floor}, .past_cache = r->past_cache};
    return bgw_lookups_ask(r->lookups, &f, r->now);
}

static inline void rig_fetch(struct rig *r, const char *key, uint64_t floor)
{
    CHECK(rig_try(r, key, floor));
}

static inline void rig_wait(struct rig *r, int64_t ms)
{
    for (int64_t i = 0; i < ms; i++) {
        r->now.mono_ms++;
        r->now.wall_ms++;
        bgw_lookups_tick(r->lookups, r->now);
    }
}

/* v 0: without; below 0: a miss */
static inline struct bgw_lookup_answer rig_says(int v)
{
    if (v < 0)
        return (struct bgw_lookup_answer){.result = BGW_LOOKUP_MISS};
    return (struct bgw_lookup_answer){.result = BGW_LOOKUP_VALUE, .has_v = v > 0, .v = (uint64_t)v,
                                      .value = bgw_blob_copy(BGW_SLICE("value")), .body = BGW_SLICE("{}")};
}
#define RIG_MISS (-1)

static inline void rig_l2(struct rig *r, int v)
{
    struct bgw_lookup_answer a = rig_says(v);
    bgw_lookups_on_l2(r->lookups, r->l2, &a, r->now);
}

static inline void rig_origin(struct rig *r, int v)
{
    struct bgw_lookup_answer a = rig_says(v);
    bgw_lookups_on_origin(r->lookups, r->origin, &a, r->now);
}

static inline void rig_l2_fails(struct rig *r)
{
    bgw_lookups_on_l2(r->lookups, r->l2, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_FAILED}, r->now);
}

static inline void rig_origin_fails(struct rig *r)
{
    bgw_lookups_on_origin(r->lookups, r->origin, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_FAILED}, r->now);
}

static inline void rig_lock(struct rig *r, enum bgw_lock_result result)
{
    bgw_lookups_on_lock(r->lookups, r->lock, result, r->now);
}

/* What was wanted since the last look. */
#define CHECK_LOG(r, text)                                                                         \
    do {                                                                                           \
        CHECK_EQ_STR((r)->log, text);                                                              \
        (r)->log[0] = '\0';                                                                        \
    } while (0)

#endif
