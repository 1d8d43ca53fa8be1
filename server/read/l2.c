/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2: the shared cache as one pipeline over one connection, whose order is a promise: what follows a lock
 * is done after it, and a key's removal before whatever is written next. Reader's thread.
 * Invariants: what is missing or cannot be read is a miss, never zero; bodies are not believed for a
 * lifetime after a removal may have been lost. Scripts and write-backs are in l2_fence.c.
 */
#include "l2_private.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdio.h>
#include <stdlib.h>

#define COMMANDS_MAX 16384
#define MEMORY_EVERY_MS 10000
#define HEARS_MS 1000 /* others may still write what they have not heard of */

/* what one of the two places said */
struct found {
    enum bgw_lookup_result result;
    bool has_v;
    uint64_t v;
    struct bgw_blob *value;
};

struct ask { /* one question: two commands */
    struct bgw_l2 *l2;
    uint64_t id;
    struct bgw_slot_name name;
    int waiting; /* answers to come */
    struct found hash, body;
};

struct lock {
    struct bgw_l2 *l2;
    uint64_t id;
};

/* ---- removal ---- */

/* A body that is there now has ended by then. */
static int64_t body_ends_ms(const struct bgw_l2 *l)
{
    return bgw_loop_now(l->loop).mono_ms + l->config.body_ttl_ms * 11 / 10 + 1;
}

/* From the time at which it is up again, if it is not now. */
void bgw_l2_doubt(struct bgw_l2 *l)
{
    l->doubt_until_ms = l->up ? body_ends_ms(l) : INT64_MAX;
}

static void on_forgotten(void *arg, const struct bgw_redis_value *v)
{
    if (v->type != BGW_REDIS_INTEGER)
        bgw_l2_doubt(arg);
}

static void remove_slot(struct bgw_l2 *l, const struct bgw_slot_name *whole)
{
    const struct bgw_l2_key body = bgw_l2_short_key(l->config.feed, "bal:", whole);
    const struct bgw_l2_key lock = bgw_l2_short_key(l->config.feed, "lock:", whole);
    const struct bgw_slice words[] = {BGW_SLICE("DEL"), bgw_l2_key_slice(&body), bgw_l2_key_slice(&lock)};
    bgw_l2_forgotten_removed(&l->forgotten, bgw_hash_keyed(bgw_l2_key_slice(&body)));
    if (!l->up || !bgw_redis_link_command(l->link, words, 3, on_forgotten, l))
        bgw_l2_doubt(l);
}

void bgw_l2_forget(struct bgw_l2 *l, const struct bgw_slot_name *name, bool any_tenant)
{
    const struct bgw_slot_name whole = bgw_l2_whole_name(l->config.feed, name);
    if (any_tenant || !name->part)
        bgw_l2_forgotten_account(&l->forgotten, bgw_hash_keyed(bgw_slice_of(name->key, name->key_len)),
                                 body_ends_ms(l) + HEARS_MS, bgw_loop_now(l->loop).mono_ms);
    remove_slot(l, &whole);
}

/* Of an account of which everything was invalidated. True: it was there perhaps, and its body is not to be believed now. */
static bool remove_forgotten(struct bgw_l2 *l, const struct bgw_slot_name *whole)
{
    const struct bgw_l2_key body = bgw_l2_short_key(l->config.feed, "bal:", whole);
    uint64_t account = bgw_hash_keyed(bgw_slice_of(whole->key, whole->key_len));
    bool has = bgw_l2_forgotten_has(&l->forgotten, account, bgw_hash_keyed(bgw_l2_key_slice(&body)), bgw_loop_now(l->loop).mono_ms);
    if (has)
        remove_slot(l, whole);
    return has;
}

/* ---- reading ---- */

static void unreadable(const char *what)
{
    bgw_metric_add(BGW_M_REDIS_UNREADABLE, 1);
    BGW_LOG(BGW_LOG_WARN, "redis_value_unreadable", {"what", LS(what)}, {"effect", LS("as if it were not there")});
}

/* WRONGTYPE is about this key, anything else about the server. */
static struct found of_error(const struct bgw_redis_value *v, const char *what)
{
    static const char wrong[] = "WRONGTYPE";
    if (v->type != BGW_REDIS_ERROR || v->text.len < sizeof(wrong) - 1 || memcmp(v->text.data, wrong, sizeof(wrong) - 1) != 0)
        return (struct found){.result = BGW_LOOKUP_FAILED};
    unreadable(what);
    return (struct found){.result = BGW_LOOKUP_MISS};
}

static struct found of_decoded(enum bgw_reject why, const struct bgw_decoded *d, const char *what)
{
    if (why == BGW_REJECT_NO_MEMORY)
        return (struct found){.result = BGW_LOOKUP_FAILED};
    if (why == BGW_REJECT_NONE)
        return (struct found){BGW_LOOKUP_VALUE, d->has_v, d->v, d->value};
    unreadable(what);
    return (struct found){.result = BGW_LOOKUP_MISS};
}

static struct bgw_slice text_of(const struct bgw_redis_value *v)
{
    return v->type == BGW_REDIS_TEXT ? v->text : (struct bgw_slice){0};
}

static struct found read_hash(const struct bgw_l2 *l, const struct bgw_slot_name *name, const struct bgw_redis_value *v)
{
    struct bgw_amounts a = {.has_v = !l->config.hash_v_opaque, .pending_unknown = true};
    struct bgw_decoded d = {0};
    if (v->type != BGW_REDIS_LIST || v->count != 3)
        return of_error(v, "hash");
    const struct bgw_redis_value *m = v->items;
    if (m[0].type == BGW_REDIS_NIL && m[1].type == BGW_REDIS_NIL && m[2].type == BGW_REDIS_NIL)
        return (struct found){.result = BGW_LOOKUP_MISS};
    if (!bgw_l2_i64(text_of(&m[0]), &a.minor) || !bgw_l2_i64(text_of(&m[2]), &a.ts_ms) ||
        (a.has_v ? !bgw_l2_u63(text_of(&m[1]), &a.v) : m[1].type == BGW_REDIS_NIL)) {
        unreadable("hash");
        return (struct found){.result = BGW_LOOKUP_MISS};
    }
    enum bgw_reject why = l->config.feed->decode_amounts(l->config.feed, name, &a, &d);
    return of_decoded(why, &d, "hash");
}

static struct found read_body(const struct bgw_l2 *l, const struct bgw_slot_name *name, const struct bgw_redis_value *v)
{
    struct bgw_decoded d = {0};
    if (v->type == BGW_REDIS_NIL)
        return (struct found){.result = BGW_LOOKUP_MISS};
    if (v->type != BGW_REDIS_TEXT)
        return of_error(v, "body");
    enum bgw_reject why = l->config.feed->decode_body(l->config.feed, name, v->text, &d);
    return of_decoded(why, &d, "body");
}

/*
 * The greater version; of two that cannot be compared the hash, which the projector keeps current, while a
 * body is up to its lifetime old. Where the hash could not be asked, a body alone proves nothing.
 */
static const struct found *choose(const struct ask *a)
{
    if (a->hash.result == BGW_LOOKUP_FAILED || a->body.result == BGW_LOOKUP_MISS)
        return &a->hash;
    if (a->hash.result == BGW_LOOKUP_MISS)
        return &a->body;
    bool newer = a->body.result == BGW_LOOKUP_VALUE && a->body.has_v && a->hash.has_v && a->body.v > a->hash.v;
    return newer ? &a->body : &a->hash;
}

static void finish(struct ask *a)
{
    if (--a->waiting)
        return;
    const struct found *best = choose(a);
    const struct bgw_lookup_answer answer = {.result = best->result, .has_v = best->has_v, .v = best->v, .value = best->value};
    bgw_blob_release(best == &a->hash ? a->body.value : a->hash.value);
    struct bgw_l2 *l = a->l2;
    uint64_t id = a->id;
    free(a);
    l->config.answered(l->config.arg, id, &answer);
}

static void on_hash(void *arg, const struct bgw_redis_value *v)
{
    struct ask *a = arg;
    a->hash = read_hash(a->l2, &a->name, v);
    finish(a);
}

static void on_body(void *arg, const struct bgw_redis_value *v)
{
    struct ask *a = arg;
    a->body = read_body(a->l2, &a->name, v);
    finish(a);
}

static bool send_ask(struct bgw_l2 *l, struct ask *a, bool with_body)
{
    const struct bgw_l2_key hash = bgw_l2_hash_key(&a->name);
    const struct bgw_l2_key body = bgw_l2_short_key(l->config.feed, "bal:", &a->name);
    const struct bgw_slice hmget[] = {BGW_SLICE("HMGET"), bgw_l2_key_slice(&hash), BGW_SLICE("minor"), BGW_SLICE("v"),
                                      BGW_SLICE("ts")};
    const struct bgw_slice get[] = {BGW_SLICE("GET"), bgw_l2_key_slice(&body)};
    a->body.result = BGW_LOOKUP_MISS;
    if (!bgw_redis_link_command(l->link, hmget, 5, on_hash, a))
        return false;
    a->waiting = 1;
    if (with_body && bgw_redis_link_command(l->link, get, 2, on_body, a))
        a->waiting++;
    else if (with_body)
        a->body.result = BGW_LOOKUP_FAILED;
    return true;
}

void bgw_l2_ask(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, bool trust_body)
{
    struct ask *a = l->up ? calloc(1, sizeof(*a)) : NULL;
    if (a) {
        a->l2 = l;
        a->id = id;
        a->name = bgw_l2_whole_name(l->config.feed, name);
    }
    bool trusted = trust_body && !(a && remove_forgotten(l, &a->name)) && bgw_loop_now(l->loop).mono_ms >= l->doubt_until_ms;
    if (a && send_ask(l, a, trusted))
        return;
    free(a);
    const struct bgw_lookup_answer failed = {.result = BGW_LOOKUP_FAILED};
    l->config.answered(l->config.arg, id, &failed);
}

/* ---- the lock ---- */

static void on_lock(void *arg, const struct bgw_redis_value *v)
{
    struct lock *k = arg;
    struct bgw_l2 *l = k->l2;
    uint64_t id = k->id;
    free(k);
    l->config.locked(l->config.arg, id,
                     v->type == BGW_REDIS_TEXT  ? BGW_LOCK_TAKEN
                     : v->type == BGW_REDIS_NIL ? BGW_LOCK_HELD
                                                : BGW_LOCK_FAILED);
}

static bool send_lock(struct lock *k, const struct bgw_slot_name *whole, int64_t lease_ms)
{
    const struct bgw_l2_key key = bgw_l2_short_key(k->l2->config.feed, "lock:", whole);
    char token[BGW_L2_TOKEN_MAX], lease[24];
    bgw_l2_token(k->l2, k->id, token);
    snprintf(lease, sizeof(lease), "%lld", (long long)lease_ms);
    const struct bgw_slice words[] = {BGW_SLICE("SET"), bgw_l2_key_slice(&key), bgw_slice_str(token),
                                      BGW_SLICE("NX"),  BGW_SLICE("PX"),        bgw_slice_str(lease)};
    return bgw_redis_link_command(k->l2->link, words, 6, on_lock, k);
}

void bgw_l2_lock(struct bgw_l2 *l, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms)
{
    BGW_ASSERT(lease_ms > 0);
    struct lock *k = l->up ? calloc(1, sizeof(*k)) : NULL;
    const struct bgw_slot_name whole = bgw_l2_whole_name(l->config.feed, name);
    if (k) {
        k->l2 = l;
        k->id = id;
        remove_forgotten(l, &whole);
        if (send_lock(k, &whole, lease_ms))
            return;
    }
    free(k);
    l->config.locked(l->config.arg, id, BGW_LOCK_FAILED);
}

/* ---- the heartbeat of others, memory ---- */

static void on_nothing(void *arg, const struct bgw_redis_value *v)
{
    (void)arg;
    (void)v;
}

void bgw_l2_ping(struct bgw_l2 *l, struct bgw_slice channel, struct bgw_slice payload)
{
    const struct bgw_slice words[] = {BGW_SLICE("PUBLISH"), channel, payload};
    (void)bgw_redis_link_command(l->link, words, 3, on_nothing, NULL); /* one that is lost is missed by who waits for it */
}

static void on_memory(void *arg, const struct bgw_redis_value *v)
{
    static const char member[] = "used_memory:";
    struct bgw_l2 *l = arg;
    struct bgw_slice text = text_of(v);
    const char *at = text.data ? memmem(text.data, text.len, member, sizeof(member) - 1) : NULL;
    l->memory = -1;
    if (!at)
        return;
    at += sizeof(member) - 1;
    size_t len = strspn(at, "0123456789"); /* the library's texts end with a NUL */
    uint64_t n;
    if (bgw_l2_u63(bgw_slice_of(at, len), &n))
        l->memory = (int64_t)n;
}

static void on_memory_due(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_l2 *l = BGW_CONTAINER(timer, struct bgw_l2, memory_due);
    const struct bgw_slice words[] = {BGW_SLICE("INFO"), BGW_SLICE("memory")};
    (void)bgw_redis_link_command(l->link, words, 2, on_memory, l);
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->memory_due, now_ms + MEMORY_EVERY_MS);
}

int64_t bgw_l2_memory(const struct bgw_l2 *l)
{
    return l->memory;
}

/* ---- up and down ---- */

static void go_up(struct bgw_l2 *l)
{
    BGW_LOG(BGW_LOG_INFO, "redis_up", {"tracking", LB(l->config.tracking)});
    l->up = true;
    if (l->doubt_until_ms == INT64_MAX)
        bgw_l2_doubt(l);
    bgw_l2_load_scripts(l);
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->memory_due, bgw_loop_now(l->loop).mono_ms);
    l->config.state(l->config.arg, true);
}

static void on_tracking(void *arg, const struct bgw_redis_value *v)
{
    struct bgw_l2 *l = arg;
    if (v->type == BGW_REDIS_TEXT)
        go_up(l);
    else if (v->type != BGW_REDIS_FAILED)
        bgw_redis_link_restart(l->link, "the server refuses to track keys");
}

static void on_state(void *arg, bool up, const char *words)
{
    static const struct bgw_slice track[] = {
        BGW_SLICE("CLIENT"), BGW_SLICE("TRACKING"),         BGW_SLICE("ON"),    BGW_SLICE("BCAST"),
        BGW_SLICE("PREFIX"), BGW_SLICE(BGW_L2_HASH_PREFIX), BGW_SLICE("NOLOOP")};
    struct bgw_l2 *l = arg;
    if (up && l->config.tracking) {
        BGW_ASSERT(bgw_redis_link_command(l->link, track, 7, on_tracking, l)); /* the first one there is */
        return;
    }
    if (up) {
        go_up(l);
        return;
    }
    BGW_LOG(BGW_LOG_WARN, "redis_down", {"reason", LS(words)}, {"effect", LS("the origin is asked instead; tried again")});
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->memory_due);
    l->memory = -1;
    bool was_up = l->up;
    l->up = false;
    if (was_up)
        l->config.state(l->config.arg, false);
}

static void on_pushed(void *arg, const struct bgw_redis_value *v)
{
    struct bgw_l2 *l = arg;
    if (v->type != BGW_REDIS_LIST || v->count != 2 || !bgw_slice_eq(text_of(&v->items[0]), BGW_SLICE("invalidate")) ||
        v->items[1].type != BGW_REDIS_LIST)
        return; /* other pushes; or everything was removed, which changes no balance */
    for (size_t i = 0; i < v->items[1].count; i++) {
        struct bgw_slot_name name;
        if (bgw_l2_hash_name(l->config.feed, text_of(&v->items[1].items[i]), &name))
            l->config.changed(l->config.arg, &name);
    }
}

bool bgw_l2_up(const struct bgw_l2 *l)
{
    return l->up;
}

/* ---- life ---- */

enum bgw_status bgw_l2_create(struct bgw_l2 **out, struct bgw_loop *loop, const struct bgw_l2_config *config,
                              struct bgw_buf *error)
{
    BGW_ASSERT(config->state && config->answered && config->locked && (!config->tracking || config->changed));
    struct bgw_l2 *l = calloc(1, sizeof(*l));
    if (!l)
        return BGW_NO_MEMORY;
    l->config = *config;
    l->config.url = l->config.ca_file = NULL; /* the caller's */
    l->loop = loop;
    l->memory = -1;
    l->random = config->seed;
    arc4random_buf(l->self, sizeof(l->self));
    bgw_timer_init(&l->memory_due, on_memory_due);
    const struct bgw_redis_link_config link = {
        .url = config->url,
        .ca_file = config->ca_file,
        .command_ms = config->command_ms,
        .commands_max = COMMANDS_MAX,
        .seed = config->seed,
        .arg = l,
        .state = on_state,
        .pushed = config->tracking ? on_pushed : NULL,
    };
    enum bgw_status status = bgw_redis_link_create(&l->link, loop, &link, error);
    if (status != BGW_OK)
        bgw_l2_destroy(&l);
    else
        *out = l;
    return status;
}

void bgw_l2_destroy(struct bgw_l2 **destroyed)
{
    struct bgw_l2 *l = *destroyed;
    if (!l)
        return;
    l->up = false;
    bgw_redis_link_destroy(&l->link);
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->memory_due);
    free(l);
    *destroyed = NULL;
}
