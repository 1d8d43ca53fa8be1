/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sources: joins the pure lookup to what it asks: Redis, the invalidation channel, the origin, the
 * list of known accounts. Hides which of them there are. Called by reader.c; reader's thread.
 * Invariant: an invalidation acts here, on what is in flight and in Redis, before the hub hears of
 * it, so a fetch that the hub starts because of it cannot be answered from before.
 */
#include "reader.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define BODY_TTL_MS 5000
#define LOCK_POLL_MS 15
#define LEASE_SPARE_MS 500
#define HEARTBEAT_MS 1000
#define LOOK_MS 100
#define DOUBTS_PER_S 2 /* newly opened accounts are found, a flood of invented ones stays outside */
#define LIST_RETRY_MS 5000
#define LIST_AGAIN_MIN_MS 10000 /* between two readings that a found account asks for; or so many times what the last one took: */
#define LIST_AGAIN_COSTS 10
#define WAIT_MAX_MS 1000
#define LINK_PATIENCE 4 /* times what a lookup waits: so that a pause of Redis loses neither the connection nor the write-backs on it */

static struct bgw_now now_of(const struct sources *s)
{
    return bgw_loop_now(s->reader->loop);
}

/* Somebody came or went: told to other threads at the end of this turn, not at the next look. */
static void note_state(struct sources *s, enum bgw_metric gauge, bool up)
{
    bgw_metric_set(gauge, up);
    s->look_due_ms = 0;
}

/* ---- what the lookups want done ---- */

static void ask_l2(void *arg, uint64_t id, const struct bgw_slot_name *name, bool trust_body)
{
    struct sources *s = arg;
    bgw_l2_ask(s->l2, id, name, trust_body);
}

static void take_lock(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t lease_ms)
{
    struct sources *s = arg;
    bgw_l2_lock(s->l2, id, name, lease_ms);
}

static void drop_lock(void *arg, uint64_t id, const struct bgw_slot_name *name)
{
    struct sources *s = arg;
    bgw_l2_unlock(s->l2, id, name);
}

static void write_back(void *arg, uint64_t id, const struct bgw_slot_name *name, const struct bgw_lookup_answer *a)
{
    struct sources *s = arg;
    bgw_l2_write(s->l2, id, name, a);
}

static void ask_origin(void *arg, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms)
{
    struct sources *s = arg;
    bgw_origin_ask(s->origin, id, name, deadline_ms);
}

static void forget_origin(void *arg, uint64_t id)
{
    struct sources *s = arg;
    bgw_origin_forget(s->origin, id);
}

static void answer(void *arg, const struct bgw_fetched *f)
{
    struct sources *s = arg;
    const struct news n = {.kind = NEWS_ANSWER, .answer = *f};
    reader_tell(s->reader, &n);
}

void sources_ask(struct bgw_reader *r, const struct bgw_fetch *f)
{
    struct sources *s = &r->sources;
    if (bgw_lookups_ask(s->lookups, f, now_of(s)))
        return;
    const struct bgw_fetched no = {.id = f->id, .result = BGW_FETCH_UNAVAILABLE};
    answer(s, &no);
}

/* ---- what they said ---- */

static void l2_answered(void *arg, uint64_t id, const struct bgw_lookup_answer *a)
{
    struct sources *s = arg;
    bgw_lookups_on_l2(s->lookups, id, a, now_of(s));
}

static void l2_locked(void *arg, uint64_t id, enum bgw_lock_result result)
{
    struct sources *s = arg;
    bgw_lookups_on_lock(s->lookups, id, result, now_of(s));
}

/* The channel brings what is published; with tracking the data connection brings what was written. Before the channel has said
 * anything, nothing is told. */
static void tell_hearing(struct sources *s)
{
    bool heard = s->channel_up && (s->l2_up || !s->reader->config.config->redis_tracking);
    const struct news n = {.kind = NEWS_CHANNEL, .up = heard};
    if (!s->lookups || !s->channel_spoke || (s->told && heard == s->heard)) /* the first: not while it is being taken apart */
        return;
    s->heard = heard;
    s->told = true;
    if (heard && s->missed)
        bgw_l2_doubt(s->l2); /* others may have written bodies that were invalidated meanwhile */
    s->missed = true;
    bgw_lookups_on_channel(s->lookups, heard);
    reader_tell(s->reader, &n);
}

static void l2_state(void *arg, bool up)
{
    struct sources *s = arg;
    s->l2_up = up;
    note_state(s, BGW_M_REDIS_UP, up);
    if (up && s->channel)
        bgw_channel_beat(s->channel); /* those that were due while nobody could publish them */
    if (s->lookups)
        bgw_lookups_on_l2_state(s->lookups, up, now_of(s));
    tell_hearing(s);
}

static void origin_answered(void *arg, uint64_t id, const struct bgw_lookup_answer *a)
{
    struct sources *s = arg;
    bgw_lookups_on_origin(s->lookups, id, a, now_of(s));
}

static void origin_state(void *arg, bool up)
{
    struct sources *s = arg;
    s->origin_up = up;
    note_state(s, BGW_M_ORIGIN_UP, up);
}

/* ---- invalidations ---- */

static void invalidate(struct sources *s, const struct bgw_invalidation *i)
{
    const struct bgw_slot_name *name = &i->name;
    bgw_lookups_on_invalidate(s->lookups, name, i->any_tenant);
    if (s->l2)
        bgw_l2_forget(s->l2, name, i->any_tenant);
    if (s->known)
        bgw_known_keys_add(s->known, bgw_slice_of(name->tenant, i->any_tenant ? 0 : name->tenant_len),
                           bgw_slice_of(name->key, name->key_len));
    const struct news n = {.kind = NEWS_INVALIDATION, .invalidation = *i};
    reader_tell(s->reader, &n);
}

static void invalidated(void *arg, const struct bgw_invalidation *i)
{
    invalidate(arg, i);
}

/* The projector's hash was written: as an invalidation that names its slot. */
static void changed(void *arg, const struct bgw_slot_name *name)
{
    const struct bgw_invalidation i = {.name = *name};
    invalidate(arg, &i);
}

static void channel_state(void *arg, bool up)
{
    struct sources *s = arg;
    s->channel_up = up;
    s->channel_spoke = true;
    note_state(s, BGW_M_CHANNEL_UP, up);
    tell_hearing(s);
}

static void publish(void *arg, struct bgw_slice channel, struct bgw_slice payload)
{
    struct sources *s = arg;
    bgw_l2_ping(s->l2, channel, payload);
}

/* ---- the known accounts ---- */

static void list_again(struct sources *s, int64_t after_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(s->reader->loop), &s->list_timer, now_of(s).mono_ms + after_ms);
}

/* Read it before its time, but not all the time: the origin has other things to do. */
static void list_is_old(void *arg)
{
    struct sources *s = arg;
    int64_t pause_ms = LIST_AGAIN_COSTS * s->list_took_ms;
    int64_t due_ms = s->list_began_ms + (pause_ms > LIST_AGAIN_MIN_MS ? pause_ms : LIST_AGAIN_MIN_MS);
    s->list_old = true;
    if (!s->listing && due_ms < s->list_timer.due_ms)
        bgw_wheel_arm(bgw_loop_wheel(s->reader->loop), &s->list_timer, due_ms);
}

static void on_listed(void *arg, struct bgw_slice tenant, struct bgw_slice key)
{
    struct sources *s = arg;
    bgw_known_keys_listed(s->known, tenant.len ? tenant : s->reader->config.feed->default_tenant, key);
}

static void on_list_end(void *arg, bool complete)
{
    struct sources *s = arg;
    s->listing = false;
    if (complete)
        bgw_known_keys_complete(s->known);
    else
        bgw_known_keys_abandon(s->known);
    if (complete)
        BGW_LOG(BGW_LOG_INFO, "known_accounts", {"count", LI(bgw_known_keys_count(s->known))});
    s->list_took_ms = now_of(s).mono_ms - s->list_began_ms;
    list_again(s, complete ? s->reader->config.config->known_keys_s * 1000 : LIST_RETRY_MS);
    if (s->list_old) /* was found while this one was being read: it may lack him too */
        list_is_old(s);
}

static void on_list_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct sources *s = BGW_CONTAINER(timer, struct sources, list_timer);
    (void)now_ms;
    if (s->listing)
        return;
    s->listing = true;
    s->list_old = false;
    s->list_began_ms = now_of(s).mono_ms;
    bgw_known_keys_begin(s->known);
    bgw_origin_list(s->origin, on_listed, on_list_end, s);
}

/* ---- turns ---- */

static void look(struct bgw_reader *r, struct bgw_now now)
{
    struct sources *s = &r->sources;
    struct bgw_sources_view v = {.redis_memory_bytes = -1};
    bgw_lookups_look(s->lookups, &v, now);
    v.redis = !s->l2 ? BGW_LINK_NONE : s->l2_up ? BGW_LINK_UP : BGW_LINK_DOWN;
    v.channel = !s->channel ? BGW_LINK_NONE : s->channel_up ? BGW_LINK_UP : BGW_LINK_DOWN;
    v.origin = !s->origin ? BGW_LINK_NONE : s->origin_up ? BGW_LINK_UP : BGW_LINK_DOWN;
    if (s->l2)
        v.redis_memory_bytes = bgw_l2_memory(s->l2);
    if (s->known) {
        v.filter_complete = bgw_known_keys_in_force(s->known);
        v.known_keys = bgw_known_keys_count(s->known);
    }
    pthread_mutex_lock(&r->look_mutex);
    r->view = v;
    pthread_mutex_unlock(&r->look_mutex);
    s->look_due_ms = now.mono_ms + LOOK_MS;
}

void sources_turn_end(struct bgw_reader *r, struct bgw_now now)
{
    struct sources *s = &r->sources;
    s->tick_due_ms = now.mono_ms + bgw_lookups_tick(s->lookups, now);
    if (now.mono_ms >= s->look_due_ms)
        look(r, now);
}

int64_t sources_wait_ms(struct bgw_reader *r)
{
    const struct sources *s = &r->sources;
    int64_t wait_ms = s->tick_due_ms - bgw_clock_now().mono_ms;
    if (wait_ms > WAIT_MAX_MS)
        return WAIT_MAX_MS;
    return wait_ms < 0 ? 0 : wait_ms;
}

/* ---- making ---- */

static uint64_t random_seed(const struct sources *s)
{
    return (uint64_t)bgw_clock_mono_ns() ^ (uint64_t)(uintptr_t)s;
}

static enum bgw_status make_redis(struct sources *s, struct bgw_buf *error)
{
    const struct bgw_config *c = s->reader->config.config;
    const struct bgw_l2_config l2 = {
        .url = c->redis,
        .ca_file = c->redis_ca,
        .feed = s->reader->config.feed,
        .command_ms = LINK_PATIENCE * c->redis_timeout_ms,
        .body_ttl_ms = BODY_TTL_MS,
        .hash_v_opaque = strcmp(c->hash_v, "opaque") == 0,
        .tracking = c->redis_tracking,
        .seed = random_seed(s),
        .arg = s,
        .state = l2_state,
        .answered = l2_answered,
        .locked = l2_locked,
        .changed = changed,
    };
    const struct bgw_channel_config channel = {
        .url = c->redis,
        .ca_file = c->redis_ca,
        .feed = s->reader->config.feed,
        .heartbeat_ms = HEARTBEAT_MS,
        .seed = random_seed(s) + 1,
        .arg = s,
        .invalidated = invalidated,
        .state = channel_state,
        .ping = publish,
    };
    if (!*c->redis)
        return BGW_OK;
    enum bgw_status status = bgw_l2_create(&s->l2, s->reader->loop, &l2, error);
    return status == BGW_OK ? bgw_channel_create(&s->channel, s->reader->loop, &channel, error) : status;
}

static enum bgw_status make_origin(struct sources *s, struct bgw_buf *error)
{
    const struct bgw_config *c = s->reader->config.config;
    const struct bgw_origin_config origin = {
        .http_base = c->ledger_internal,
        .ca_file = c->origin_ca,
        .pg_uri = c->origin_pg,
        .pg_query = c->origin_pg_query,
        .pg_list_query = c->origin_pg_list_query,
        .feed = s->reader->config.feed,
        .connections_max = (size_t)c->origin_connections,
        .seed = random_seed(s) + 2,
        .arg = s,
        .answered = origin_answered,
        .state = origin_state,
    };
    if (!*c->ledger_internal && !*c->origin_pg)
        return BGW_OK;
    enum bgw_status status = bgw_origin_create(&s->origin, s->reader->loop, &origin, error);
    if (status != BGW_OK || c->known_keys_max == 0)
        return status;
    s->known = bgw_known_keys_create((size_t)c->known_keys_max);
    if (!s->known)
        return BGW_NO_MEMORY;
    bgw_timer_init(&s->list_timer, on_list_timer);
    list_again(s, 0);
    return BGW_OK;
}

static enum bgw_status make_lookups(struct sources *s)
{
    const struct bgw_config *c = s->reader->config.config;
    const struct bgw_lookup_config config = {
        .flags = s->reader->config.flags,
        .has_l2 = s->l2 != NULL,
        .has_origin = s->origin != NULL,
        .origin_deadline_ms = c->origin_timeout_ms,
        .l2_deadline_ms = c->redis_timeout_ms,
        .lock_lease_ms = c->origin_timeout_ms + LEASE_SPARE_MS,
        .lock_poll_ms = LOCK_POLL_MS,
        .rate_per_s = c->ls_rate_per_s,
        .burst = c->ls_burst,
        .hedge_us = c->hedge_ms * 1000,
        .lookups_max = (size_t)c->fetches_max,
        .origin_max = (size_t)c->origin_connections,
        .known = s->known,
        .doubts_per_s = DOUBTS_PER_S,
        .seed = random_seed(s) + 3,
    };
    const struct bgw_lookup_ops ops = {
        .arg = s,
        .ask_l2 = ask_l2,
        .take_lock = take_lock,
        .ask_origin = ask_origin,
        .write_back = write_back,
        .drop_lock = drop_lock,
        .forget_origin = forget_origin,
        .answer = answer,
        .list_is_old = list_is_old,
    };
    return bgw_lookups_create(&s->lookups, &config, &ops, bgw_clock_now());
}

enum bgw_status sources_create(struct bgw_reader *r, struct bgw_buf *error)
{
    struct sources *s = &r->sources;
    s->reader = r;
    enum bgw_status status = make_redis(s, error);
    if (status == BGW_OK)
        status = make_origin(s, error);
    return status == BGW_OK ? make_lookups(s) : status;
}

/* Whoever still waits is answered while everything that could answer is there. */
void sources_destroy(struct bgw_reader *r)
{
    struct sources *s = &r->sources;
    if (s->known && bgw_timer_armed(&s->list_timer))
        bgw_wheel_cancel(bgw_loop_wheel(r->loop), &s->list_timer);
    if (s->lookups)
        bgw_lookups_destroy(&s->lookups);
    s->lookups = NULL;
    if (s->channel)
        bgw_channel_destroy(&s->channel);
    if (s->l2)
        bgw_l2_destroy(&s->l2);
    if (s->origin)
        bgw_origin_destroy(&s->origin);
    if (s->known)
        bgw_known_keys_destroy(&s->known);
}
