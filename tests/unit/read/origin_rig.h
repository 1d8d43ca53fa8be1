/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_rig: an origin on a loop that is turned by hand, what it answered by id, how often it said that
 * it is up or down, and the list of accounts it read.
 */
#ifndef BGW_TEST_ORIGIN_RIG_H
#define BGW_TEST_ORIGIN_RIG_H

#include "web_rig.h"

#include "read/origin_private.h"

#define RIG_IDS_MAX 256

struct origin_answer {
    int calls;
    enum bgw_lookup_result result;
    bool has_v;
    uint64_t v;
    char raw[512], body[512]; /* of VALUE */
};

struct origin_rig { /* the test's thread */
    struct bgw_loop *loop;
    struct bgw_origin *origin;
    struct bgw_feed feed;
    struct origin_answer got[RIG_IDS_MAX];
    int answers, ups, downs;
    bool up, inside; /* inside an ask */
    int listed, list_ends;
    bool list_complete;
    char last_key[64 + 1], last_tenant[64 + 1];
    int64_t longest_turn_ms;
    void (*on_answer)(struct origin_rig *r, uint64_t id);
};

static inline void rig_answered(void *arg, uint64_t id, const struct bgw_lookup_answer *a)
{
    struct origin_rig *r = arg;
    struct origin_answer *g = &r->got[id];
    CHECK(!r->inside && id < RIG_IDS_MAX);
    CHECK((a->result == BGW_LOOKUP_VALUE) == (a->value != NULL));
    g->calls++;
    g->result = a->result;
    g->has_v = a->has_v;
    g->v = a->v;
    if (a->value) {
        struct bgw_slice raw = r->feed.raw(a->value);
        snprintf(g->raw, sizeof(g->raw), "%.*s", (int)raw.len, raw.data);
        snprintf(g->body, sizeof(g->body), "%.*s", (int)a->body.len, a->body.data);
        bgw_blob_release(a->value);
    }
    r->answers++;
    if (r->on_answer)
        r->on_answer(r, id);
}

static inline void rig_state(void *arg, bool up)
{
    struct origin_rig *r = arg;
    CHECK(r->up != up);
    r->up = up;
    r->ups += up;
    r->downs += !up;
}

static inline void rig_key(void *arg, struct bgw_slice tenant, struct bgw_slice key)
{
    struct origin_rig *r = arg;
    r->listed++;
    snprintf(r->last_key, sizeof(r->last_key), "%.*s", (int)key.len, key.data);
    snprintf(r->last_tenant, sizeof(r->last_tenant), "%.*s", (int)tenant.len, tenant.data);
}

static inline void rig_list_end(void *arg, bool complete)
{
    struct origin_rig *r = arg;
    CHECK(!r->inside);
    r->list_ends++;
    r->list_complete = complete;
}

/* What is NULL in `config` is filled in. */
static inline void rig_start(struct origin_rig *r, struct bgw_origin_config config)
{
    struct bgw_buf error;
    *r = (struct origin_rig){0};
    bgw_buf_init(&error, 1024);
    bgw_feed_balance_init(&r->feed, BGW_SLICE("tnt_demo"), bgw_part_of(BGW_SLICE("NGN")));
    config.feed = &r->feed;
    config.connections_max = config.connections_max ? config.connections_max : 4;
    config.seed = 7;
    config.arg = r;
    config.answered = rig_answered;
    config.state = rig_state;
    CHECK(bgw_loop_create(&r->loop) == BGW_OK);
    enum bgw_status status = bgw_origin_create(&r->origin, r->loop, &config, &error);
    if (status != BGW_OK)
        test_fail_(__FILE__, __LINE__, "%.*s", (int)error.len, error.data ? error.data : "no words");
    bgw_buf_deinit(&error);
}

static inline void rig_stop(struct origin_rig *r)
{
    bgw_origin_destroy(&r->origin);
    bgw_loop_destroy(&r->loop);
}

static inline struct bgw_slot_name rig_name(const char *tenant, const char *key, const char *part)
{
    struct bgw_slot_name n = {.part = bgw_part_of(bgw_slice_str(part))};
    n.tenant_len = (uint8_t)strlen(tenant);
    n.key_len = (uint8_t)strlen(key);
    memcpy(n.tenant, tenant, n.tenant_len);
    memcpy(n.key, key, n.key_len);
    return n;
}

static inline void rig_ask_slot(struct origin_rig *r, uint64_t id, const struct bgw_slot_name *n, int64_t timeout_ms)
{
    bool before = r->inside;
    r->got[id] = (struct origin_answer){0};
    r->inside = true;
    bgw_origin_ask(r->origin, id, n, timeout_ms);
    r->inside = before;
}

static inline void rig_ask(struct origin_rig *r, uint64_t id, const char *key, int64_t timeout_ms)
{
    const struct bgw_slot_name n = rig_name("tnt_demo", key, "NGN");
    rig_ask_slot(r, id, &n, timeout_ms);
}

static inline void rig_turn(struct origin_rig *r)
{
    int64_t began_ms = bgw_clock_now().mono_ms, took_ms;
    bgw_loop_turn(r->loop, 10);
    took_ms = bgw_clock_now().mono_ms - began_ms;
    r->longest_turn_ms = took_ms > r->longest_turn_ms ? took_ms : r->longest_turn_ms;
}

#define RIG_UNTIL(rig, condition)                                                                  \
    do {                                                                                           \
        int64_t end_ms_ = bgw_clock_now().mono_ms + 20000;                                         \
        while (!(condition) && bgw_clock_now().mono_ms < end_ms_)                                  \
            rig_turn(rig);                                                                         \
        CHECK(condition);                                                                          \
    } while (0)

static inline struct origin_answer rig_get(struct origin_rig *r, const char *key, int64_t timeout_ms)
{
    rig_ask(r, 1, key, timeout_ms);
    RIG_UNTIL(r, r->got[1].calls > 0);
    CHECK_EQ_I64(r->got[1].calls, 1);
    return r->got[1];
}

static inline void rig_list(struct origin_rig *r)
{
    int before = r->list_ends;
    r->listed = 0;
    r->inside = true;
    bgw_origin_list(r->origin, rig_key, rig_list_end, r);
    r->inside = false;
    RIG_UNTIL(r, r->list_ends > before);
    CHECK_EQ_I64(r->list_ends, before + 1);
}

#endif
