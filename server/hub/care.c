/* SPDX-License-Identifier: Apache-2.0 */
/*
 * care: what is going on with a slot: whose list it is on, its fetch in flight, the pace of asking
 * again, the second read. Hides timers and single flight. Called by the other files of hub/, on the
 * hub thread. Invariants: a slot has at most one fetch in flight; a slot has a care while it is
 * watched, fetched or under a floor, and no longer.
 */
#include "core.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"

/* ---- care ---- */

static void on_retry(struct bgw_timer *timer, int64_t now_ms);
static void on_reread(struct bgw_timer *timer, int64_t now_ms);
static void on_aging(struct bgw_timer *timer, int64_t now_ms);

struct care *care_of(struct bgw_hub *hub, struct key *k, struct slot *s)
{
    enum bgw_state_reason reason;
    if (s->care)
        return s->care;
    struct care *c = bgw_pool_take(&hub->care_pool);
    if (!c && bgw_reserve_spend())
        c = bgw_pool_take(&hub->care_pool);
    BGW_ASSERT(c); /* a watched slot that nobody can look after would lie to its watchers */
    bgw_list_init(&c->in_stream);
    bgw_timer_init(&c->retry, on_retry);
    bgw_timer_init(&c->reread, on_reread);
    bgw_list_init(&c->in_round);
    bgw_timer_init(&c->aging, on_aging);
    c->hub = hub;
    c->key = k;
    c->slot = s;
    c->generation = 1;
    s->care = c;
    c->bare = s->trouble == TROUBLE_INVALIDATED;
    c->unheard_of = s->trouble != TROUBLE_NONE;
    c->vouched_ms = hub->now.mono_ms;
    c->told_state = (uint8_t)slot_state(hub, k, s, &reason);
    c->told_reason = (uint8_t)reason;
    return c;
}

void care_attach(struct bgw_hub *hub, struct care *c)
{
    struct stream *st = key_stream(hub, c->key);
    int32_t p = c->slot->partition;
    if (bgw_list_linked(&c->in_stream))
        bgw_list_remove(&c->in_stream);
    if (!c->key->watches)
        return;
    round_join(hub, c);
    bool known = p >= 0 && (size_t)p < st->partition_count;
    bgw_list_push_back(known ? &st->partitions[p].watched : &st->loose, &c->in_stream);
}

void care_drop_if_idle(struct bgw_hub *hub, struct slot *s)
{
    struct care *c = s->care;
    if (!c || c->key->watches || c->fetch_id || c->has_floor)
        return;
    BGW_ASSERT(!bgw_list_linked(&c->in_stream) && !bgw_list_linked(&c->in_round));
    bgw_wheel_cancel(&hub->wheel, &c->retry);
    bgw_wheel_cancel(&hub->wheel, &c->aging);
    bgw_wheel_cancel(&hub->wheel, &c->reread);
    s->care = NULL;
    bgw_pool_give(&hub->care_pool, c);
}

void fetches_stop_watching(struct bgw_hub *hub, struct slot *s)
{
    struct care *c = s->care;
    if (!c)
        return;
    if (bgw_list_linked(&c->in_stream))
        bgw_list_remove(&c->in_stream);
    if (bgw_list_linked(&c->in_round))
        bgw_list_remove(&c->in_round);
    bgw_wheel_cancel(&hub->wheel, &c->aging);
    given_forget(hub, c);
    if ((bgw_timer_armed(&c->reread) || c->again) && s->value)
        trouble_begins(s, TROUBLE_INVALIDATED, hub->now.mono_ms); /* the second read is owed to the next watcher */
    bgw_wheel_cancel(&hub->wheel, &c->retry);
    bgw_wheel_cancel(&hub->wheel, &c->reread);
    c->again = c->doubted = false;
    c->failed = BGW_REASON_NONE;
    c->backoff_ms = 0;
    care_drop_if_idle(hub, s);
}

/* ---- asking ---- */

static uint64_t next_random(struct bgw_hub *hub)
{
    uint64_t z = hub->random +=
        0x9e3779b97f4a7c15ULL; /* splitmix64: spreads retries, nothing more */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static void arm_retry(struct bgw_hub *hub, struct care *c, int64_t pace_ms)
{
    int64_t half = pace_ms / 2;
    int64_t delay = half + (int64_t)(next_random(hub) % (uint64_t)(pace_ms - half + 1));
    bgw_wheel_arm(&hub->wheel, &c->retry, hub->now.mono_ms + delay);
}

static bool wanted_but_unknown(const struct slot *s)
{
    return slot_unknown(s) && (s->flags & (SLOT_WANTED | SLOT_EVICTED));
}

bool care_needs_fetch(const struct care *c)
{
    const struct slot *s = c->slot;
    return c->key->watches && (wanted_but_unknown(s) || s->trouble || c->has_floor);
}

void fetch_retry_later(struct bgw_hub *hub, struct care *c)
{
    if (!care_needs_fetch(c))
        return;
    int64_t pace = c->backoff_ms ? (int64_t)c->backoff_ms * 2 : hub->config.retry_min_ms;
    if (pace > hub->config.retry_max_ms)
        pace = hub->config.retry_max_ms;
    c->backoff_ms = (uint32_t)pace;
    arm_retry(hub, c, pace);
}

static uint64_t fetch_hash(uint64_t id)
{
    return id * 0x9e3779b97f4a7c15ULL; /* ids are ours, not a stranger's */
}

static bool fetch_eq(const void *item, const void *key)
{
    return ((const struct care *)item)->fetch_id == *(const uint64_t *)key;
}

struct care *fetch_find(struct bgw_hub *hub, uint64_t id)
{
    return bgw_map_find(&hub->in_flight, fetch_hash(id), fetch_eq, &id);
}

/* Of any part: filters know keys. */
static bool stream_has_named(const struct key *k)
{
    for (const struct slot *s = k->slot_count ? &k->first : NULL; s; s = s->next)
        if (s->order || (s->flags & (SLOT_MODES | SLOT_REMOVED)) || (s->value && slot_source(s) == BGW_SOURCE_STREAM))
            return true;
    return false;
}

/* A cache may hold what nobody has invalidated; and an invalidation of a whole key empties it for the usual part alone. */
static bool past_cache(struct bgw_hub *hub, const struct care *c)
{
    bool usual = c->slot->part == key_stream(hub, c->key)->feed->default_part;
    bool left_there = c->slot->trouble == TROUBLE_INVALIDATED && c->bare && !usual;
    return c->purpose == FETCH_SWEEP || c->purpose == FETCH_AGAIN || left_there;
}

static void fill_fetch(struct bgw_hub *hub, const struct care *c, struct bgw_fetch *f)
{
    const struct key *k = c->key;
    struct bgw_slice tenant = book_tenant(&hub->book, k->tenant);
    *f = (struct bgw_fetch){
        .id = c->fetch_id,
        .name = {.feed = k->feed,
                 .tenant_len = (uint8_t)tenant.len,
                 .key_len = k->key_len,
                 .part = c->slot->part},
        .generation = c->generation,
        .floor = {.epoch = slot_version(hub, k, c->slot).epoch},
        .known = stream_has_named(k),
        .past_cache = past_cache(hub, c),
    };
    memcpy(f->name.tenant, tenant.data, tenant.len);
    memcpy(f->name.key, k->text, k->key_len);
    if (c->slot->flags & SLOT_MODE_V) /* offsets mean nothing to a source */
        f->floor.seq = c->slot->seq;
    if (c->has_floor && c->floor > f->floor.seq)
        f->floor.seq = c->floor;
}

void fetch_forget(struct bgw_hub *hub, struct care *c)
{
    bgw_map_remove(&hub->in_flight, fetch_hash(c->fetch_id), c);
    c->fetch_id = 0;
    bgw_metric_add(BGW_M_FETCHES_IN_FLIGHT, -1);
}

/* The answer may come before this returns, and with it the end of `c`, if nobody watches. */
void fetch_begin(struct bgw_hub *hub, struct care *c, enum purpose purpose)
{
    struct bgw_fetch f;
    BGW_ASSERT(c->key->watches);
    if (c->fetch_id)
        return; /* whoever waits joins the one in flight */
    if (bgw_timer_armed(&c->retry) && c->backoff_ms > hub->config.retry_min_ms)
        c->backoff_ms /= 2; /* asked before its time: it is time that stretches the pace, not how many ask meanwhile */
    bgw_wheel_cancel(&hub->wheel, &c->retry);
    c->fetch_id = ++hub->fetch_seq;
    c->fetch_generation = c->generation;
    c->fetch_ms = hub->now.mono_ms;
    c->purpose = (uint8_t)purpose;
    c->record_ms = INT64_MIN;
    if (bgw_map_insert(&hub->in_flight, fetch_hash(c->fetch_id), c) != BGW_OK) {
        c->fetch_id = 0;
        arm_retry(hub, c, hub->config.retry_min_ms);
        return;
    }
    bgw_metric_add(BGW_M_FETCHES_IN_FLIGHT, 1);
    fill_fetch(hub, c, &f);
    if (hub->ops.fetch(hub->ops.arg, &f))
        return;
    fetch_forget(hub, c);
    if (purpose == FETCH_NEEDED || care_needs_fetch(c))
        arm_retry(hub, c, hub->config.retry_min_ms);
    else if (purpose == FETCH_AGAIN)
        round_again(hub, c);
}

void fetch_start(struct bgw_hub *hub, struct care *c)
{
    fetch_begin(hub, c, FETCH_NEEDED);
}

bool fetch_idle(const struct care *c)
{
    return !c->fetch_id && !bgw_timer_armed(&c->retry) && !bgw_timer_armed(&c->reread);
}

void fetch_if_needed(struct bgw_hub *hub, struct care *c)
{
    bool paced = bgw_timer_armed(&c->retry);
    if (!paced && care_needs_fetch(c))
        fetch_start(hub, c);
}

static void on_retry(struct bgw_timer *timer, int64_t now_ms)
{
    struct care *c = BGW_CONTAINER(timer, struct care, retry);
    (void)now_ms;
    if (care_needs_fetch(c))
        fetch_start(c->hub, c);
}

static void on_reread(struct bgw_timer *timer, int64_t now_ms)
{
    struct care *c = BGW_CONTAINER(timer, struct care, reread);
    (void)now_ms;
    if (!c->key->watches)
        return;
    c->again = c->fetch_id != 0;
    fetch_begin(c->hub, c, c->doubted ? (enum purpose)c->doubt : FETCH_NEEDED);
}

static void on_aging(struct bgw_timer *timer, int64_t now_ms)
{
    struct care *c = BGW_CONTAINER(timer, struct care, aging);
    (void)now_ms;
    given_age(c->hub, c);
    tell_state(c->hub, c);
}

void trouble_begins(struct slot *s, enum trouble t, int64_t vouched_ms)
{
    if (s->care && s->trouble == TROUBLE_NONE) {
        s->care->vouched_ms = vouched_ms;
        s->care->unheard_of = s->care->given_up = false;
    }
    if (s->trouble < t)
        s->trouble = (uint8_t)t;
}

void trouble_ends(struct slot *s)
{
    s->trouble = TROUBLE_NONE;
    if (s->care)
        s->care->bare = s->care->unheard_of = s->care->given_up = false;
}

void slot_trouble(struct bgw_hub *hub, struct key *k, struct slot *s, enum trouble t)
{
    if (!slot_unknown(s))
        trouble_begins(s, t, hub->now.mono_ms);
    if (!s->care)
        return;
    s->care->generation++;
    s->care->doubted = false;
    if (!k->watches)
        return; /* it is read again when somebody watches */
    tell_state(hub, s->care);
    fetch_if_needed(hub, s->care);
}
