/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read: questions that are answered once, as short watches: a read makes its group kept, and a kept group is watched like one
 * that somebody subscribes to, so that the next read of it is exact and asks nobody. Hides what a read waits for and when a watch
 * that is there for reads ends. Called by the wire room through bgw/shard.h and by the turn; shard thread only. Invariants:
 *
 *   a kept record is on its group; it has reads that wait, or it is in the shard's list of idle ones, never both
 *   a read is answered with no less than the hub had sequenced when it came: whatever another shard has shown is in it
 *   what waits is bounded by reads_max, what is idle by reads_kept_max
 *   that a source failed is told to whoever waited for it, and to nobody who comes later
 *   what is not current is answered without asking only within the feed's revalidate_ms
 *
 * A group without a value is not kept any longer for being read again, and is the first to go: the next watch asks anew.
 */
#include "core.h"

#include "bgw/reserve.h"

/* Parts of one key that reads may add, as many as the hub asks sources for; beyond: BGW_READ_BUSY. */
#define READ_SLOTS_MAX 64u

/* shard thread only */
struct kept {
    struct bgw_list of_shard; /* idle */
    struct bgw_list reads;    /* that wait */
    struct group *group;
    int64_t read_ms;          /* the last one that found a value */
};

/* shard thread only */
struct bgw_read {
    struct bgw_list of_kept, of_gaps, of_proofs, of_due;
    struct bgw_timer timer;
    struct bgw_shard *shard;
    struct kept *kept;
    struct slot *slot;
    void *user;
    struct bgw_version floor;
    uint64_t hub_seq; /* what the hub had sequenced when it came */
    uint64_t ticket;  /* of its barrier; 0: not asked for */
    int64_t label_ms, end_ms;
    uint32_t ask;     /* ticket of the ASK that it waits for; 0: none */
    bool has_floor, prove, watched, fetched, joined;
};

/* ---- groups that are kept ---- */

static void idle_add(struct bgw_shard *s, struct kept *k, bool first)
{
    bgw_list_push_back(first ? s->reads.idle.next : &s->reads.idle, &k->of_shard);
    s->reads.idle_count++;
    bgw_metric_add(BGW_M_READS_KEPT, 1);
}

static void idle_remove(struct bgw_shard *s, struct kept *k)
{
    if (!bgw_list_linked(&k->of_shard))
        return;
    bgw_list_remove(&k->of_shard);
    s->reads.idle_count--;
    bgw_metric_add(BGW_M_READS_KEPT, -1);
}

static void kept_drop(struct bgw_shard *s, struct kept *k)
{
    struct group *g = k->group;
    BGW_ASSERT(bgw_list_empty(&k->reads));
    idle_remove(s, k);
    g->kept = NULL;
    bgw_pool_give(&s->reads.kept, k);
    if (!group_needed(g))
        post_queue(s, g);
}

static void trim(struct bgw_shard *s)
{
    while (s->reads.idle_count > s->config.limits.reads_kept_max)
        kept_drop(s, BGW_CONTAINER(s->reads.idle.next, struct kept, of_shard));
}

static struct kept *kept_of(struct bgw_shard *s, struct group *g)
{
    if (g->kept)
        return g->kept;
    struct kept *k = bgw_pool_take(&s->reads.kept);
    if (!k)
        return NULL;
    bgw_list_init(&k->of_shard);
    bgw_list_init(&k->reads);
    k->group = g;
    k->read_ms = s->now.mono_ms;
    g->kept = k;
    return k;
}

static bool kept_over(const struct bgw_shard *s, const struct kept *k)
{
    return s->now.mono_ms - k->read_ms >= s->config.limits.read_keep_ms;
}

/* Nobody waits for it (any more). */
static void kept_rest(struct bgw_shard *s, struct kept *k, const struct slot *slot)
{
    bool of_use = slot->value;
    if (!bgw_list_empty(&k->reads))
        return;
    idle_remove(s, k);
    if (!of_use && (kept_over(s, k) || (slot->failed && !BGW_BUG("errors_are_kept")))) {
        kept_drop(s, k);
        return;
    }
    if (of_use)
        k->read_ms = s->now.mono_ms;
    idle_add(s, k, !of_use);
    trim(s);
}

/* ---- may it be answered, and with what ---- */

static bool other_epoch(const struct bgw_read *r)
{
    return r->floor.epoch && r->floor.epoch != r->slot->version.epoch;
}

static bool floor_met(const struct bgw_read *r)
{
    if (!r->has_floor || BGW_BUG("read_ignores_floor"))
        return true;
    if (!r->floor.epoch)
        return r->slot->version.seq >= r->floor.seq;
    return !other_epoch(r) && bgw_version_compare(r->slot->version, r->floor) >= 0;
}

static bool proved(const struct bgw_shard *s, const struct bgw_read *r)
{
    return (r->ticket && r->ticket <= s->barrier_done) || BGW_BUG("read_proves_nothing");
}

static bool caught_up(const struct bgw_shard *s, const struct bgw_read *r)
{
    return r->hub_seq <= s->hub_seq || BGW_BUG("read_ignores_sequenced");
}

static bool heard_sources(const struct bgw_read *r)
{
    return !r->ask || (r->slot->asked && (int32_t)(r->slot->asked - r->ask) >= 0) || BGW_BUG("read_asks_nobody");
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* How long ago it is known to have been the newest. A state is told when it changes: what has been fresh for a while is as young as the
 * last proof of all, or as the barrier that was waited for, and never older than what may be called fresh. */
static int64_t lag_of(const struct bgw_shard *s, const struct bgw_read *r)
{
    const struct slot *slot = r->slot;
    int64_t at = slot->proved_mono_ms;
    if (slot->state == BGW_STATE_FRESH) {
        at = later(at, later(s->proved_mono_ms, s->now.mono_ms - group_feed(s, slot->group)->fresh_ms));
        if (r->prove && proved(s, r))
            at = later(at, r->label_ms - s->config.barrier_wait_ms);
    }
    return at > 0 ? later(s->now.mono_ms - at, 0) : -1;
}

static void describe(const struct bgw_shard *s, const struct bgw_read *r, struct bgw_read_answer *a)
{
    const struct slot *slot = r->slot;
    a->state = (enum bgw_slot_state)slot->state;
    a->reason = (enum bgw_state_reason)slot->reason;
    a->proved = r->prove && proved(s, r);
    a->lag_ms = lag_of(s, r);
    a->source = (enum bgw_source)slot->source;
    a->fetched = r->fetched;
    a->joined = r->fetched && r->joined;
    a->value = slot->value;
    if (slot->value)
        a->version = slot->version;
    bool unheard = !heard_sources(r);
    if (r->ask && (unheard || slot->failed) && slot->value && a->state < BGW_STATE_DELAYED) {
        a->state = BGW_STATE_DELAYED;
        a->reason = slot->failed ? (enum bgw_state_reason)slot->failed : BGW_REASON_SOURCE_UNAVAILABLE;
    }
    if (r->prove && !a->proved && a->state < BGW_STATE_DELAYED) {
        a->state = BGW_STATE_DELAYED;
        a->reason = BGW_REASON_SOURCE_LAGGING;
    }
}

/* What was asked cannot be said: the time is over, or there is no room. */
static void nothing(bgw_part part, bool watched, enum bgw_read_result why, struct bgw_read_answer *a)
{
    *a = (struct bgw_read_answer){.result = why, .state = BGW_STATE_UNKNOWN, .part = part, .watched = watched, .lag_ms = -1};
}

/* False: it has to wait. */
static bool judge(const struct bgw_shard *s, const struct bgw_read *r, struct bgw_read_answer *a)
{
    const struct slot *slot = r->slot;
    const bool over = s->now.mono_ms >= r->end_ms, met = floor_met(r);
    const bool heard = heard_sources(r);
    const bool known = ((slot->answered && heard) || slot->value) && caught_up(s, r);
    const bool too_old = known && slot->value && !met && (over || (heard && other_epoch(r)));
    /* a first value may come as well as a newer one; that it was removed is an answer */
    const bool reached = slot->value ? met : !r->has_floor || slot->state == BGW_STATE_REMOVED || over;
    const bool proof = !r->prove || proved(s, r) || s->now.mono_ms >= r->label_ms;
    *a = (struct bgw_read_answer){.part = slot->part, .watched = r->watched};
    if (too_old) {
        a->result = BGW_READ_TOO_OLD;
    } else if (known && ((proof && heard) || over) && reached) {
        a->result = slot->value ? BGW_READ_VALUE : BGW_READ_UNKNOWN;
    } else if (over) {
        nothing(slot->part, r->watched, BGW_READ_TIMEOUT, a);
        return true;
    } else {
        return false;
    }
    describe(s, r, a);
    return true;
}

/* ---- values that are not current ---- */

enum renewal { RENEW_NOT, RENEW_BEHIND /* after it was answered */, RENEW_FIRST };

static enum renewal renewal(const struct bgw_shard *s, const struct slot *slot)
{
    const struct bgw_feed *feed = group_feed(s, slot->group);
    const int64_t at = slot->proved_mono_ms;
    if (!slot->value || slot->state == BGW_STATE_FRESH || BGW_BUG("old_is_answered"))
        return RENEW_NOT;
    int64_t over_ms = s->now.mono_ms - at - feed->fresh_ms;
    if (at <= 0 || over_ms > feed->revalidate_ms)
        return RENEW_FIRST;
    return over_ms > 0 ? RENEW_BEHIND : RENEW_NOT; /* not: it is young, and the hub is asking already */
}

/* The first that it hears of the slot is an old value: that is told only if its source fails, or has just been asked. */
static void renew(struct bgw_shard *s, struct bgw_read *r, const struct slot *slot, const struct bgw_relay_entry *e)
{
    if (r->slot != slot || r->ask || e->fetched || e->failed)
        return;
    enum renewal how = renewal(s, slot);
    if (how == RENEW_FIRST)
        r->ask = ask_slot_due(s, r->slot);
    else if (how == RENEW_BEHIND)
        (void)ask_slot_due(s, r->slot);
}

/* ---- reads that wait ---- */

static void look_again(struct bgw_shard *s, struct bgw_read *r)
{
    if (!bgw_list_linked(&r->of_due))
        bgw_list_push_back(&s->reads.due, &r->of_due);
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_read *r = BGW_CONTAINER(timer, struct bgw_read, timer);
    (void)now_ms;
    look_again(r->shard, r);
}

static void arm(struct bgw_read *r)
{
    struct bgw_shard *s = r->shard;
    bool label = r->ticket && r->label_ms < r->end_ms && s->now.mono_ms < r->label_ms;
    if (!bgw_timer_armed(&r->timer))
        bgw_wheel_arm(&s->wheel, &r->timer, label ? r->label_ms : r->end_ms);
}

/* The group rests from now on; it is there until the next flush at least. */
static void leave(struct bgw_read *r)
{
    struct bgw_shard *s = r->shard;
    struct kept *k = r->kept;
    const struct slot *slot = r->slot;
    bgw_wheel_cancel(&s->wheel, &r->timer);
    bgw_list_remove(&r->of_kept);
    bgw_list_remove(&r->of_gaps);
    bgw_list_remove(&r->of_proofs);
    bgw_list_remove(&r->of_due);
    bgw_pool_give(&s->reads.waiting, r);
    bgw_metric_add(BGW_M_READS_WAITING, -1);
    kept_rest(s, k, slot);
}

/* The adapter may cancel others from within: none but the list is held on to. */
static void settle(struct bgw_shard *s)
{
    while (!bgw_list_empty(&s->reads.due)) {
        struct bgw_read *r = BGW_CONTAINER(s->reads.due.next, struct bgw_read, of_due);
        struct bgw_read_answer answer;
        void *user = r->user;
        bgw_list_remove(&r->of_due);
        if (!judge(s, r, &answer)) {
            arm(r);
            continue;
        }
        leave(r);
        s->ops.read_done(s->ops.arg, user, &answer);
    }
}

/* What was asked for another slot, or for something else, is not its own. */
static void note_fetched(struct bgw_read *r, const struct slot *slot, const struct bgw_relay_entry *e)
{
    if (!e->fetched || r->slot != slot || r->fetched || (r->ask ? !heard_sources(r) : r->watched))
        return;
    r->fetched = true;
    r->joined |= e->joined;
}

void reads_news(struct bgw_shard *s, const struct slot *slot, const struct bgw_relay_entry *e)
{
    const struct bgw_list *reads = &slot->group->kept->reads;
    for (const struct bgw_list *at = reads->next; at != reads; at = at->next) {
        struct bgw_read *r = BGW_CONTAINER(at, struct bgw_read, of_kept);
        note_fetched(r, slot, e);
        renew(s, r, slot, e);
        look_again(s, r);
    }
}

void reads_advanced(struct bgw_shard *s)
{
    struct bgw_list *gaps = &s->reads.gaps, *proofs = &s->reads.proofs;
    while (!bgw_list_empty(gaps)) {
        struct bgw_read *r = BGW_CONTAINER(gaps->next, struct bgw_read, of_gaps);
        if (r->hub_seq > s->hub_seq)
            break;
        bgw_list_remove(&r->of_gaps);
        look_again(s, r);
    }
    while (!bgw_list_empty(proofs)) {
        struct bgw_read *r = BGW_CONTAINER(proofs->next, struct bgw_read, of_proofs);
        if (r->ticket > s->barrier_done)
            break;
        bgw_list_remove(&r->of_proofs);
        look_again(s, r);
    }
    settle(s);
}

int64_t reads_tick(struct bgw_shard *s)
{
    settle(s);
    while (!bgw_list_empty(&s->reads.idle)) {
        struct kept *k = BGW_CONTAINER(s->reads.idle.next, struct kept, of_shard);
        if (!kept_over(s, k))
            return k->read_ms + s->config.limits.read_keep_ms - s->now.mono_ms;
        kept_drop(s, k);
    }
    return INT64_MAX;
}

/* ---- asking ---- */

static bool room_for_slot(const struct group *g)
{
    size_t n = 0;
    for (const struct slot *slot = &g->first; slot; slot = slot->next)
        n++;
    return n < READ_SLOTS_MAX;
}

/* The slot that answers; the hub is asked for it if it has not been. NULL: no room. */
static struct slot *want_slot(struct bgw_shard *s, const struct bgw_read_question *q, struct tenant *tenant, bgw_part part)
{
    const uint8_t feed = (uint8_t)(q->feed - s->config.feeds);
    struct group *g = group_find(s, feed, tenant, q->key);
    struct slot *slot = g ? group_slot(g, part) : NULL;
    if (slot && (slot->wanted || slot->answered))
        return slot;
    if (s->post_behind || bgw_reserve_low())
        return NULL;
    if (!g)
        g = group_create(s, feed, tenant, q->key, part);
    if (!g)
        return NULL;
    slot = group_slot(g, part);
    if (!slot && room_for_slot(g))
        slot = slot_add(s, g, part);
    if (slot)
        group_want(s, g, slot);
    return slot;
}

/* Somebody has asked already for what it waits for. */
static bool joins(const struct bgw_read *r)
{
    const struct bgw_list *reads = &r->kept->reads;
    if (r->ask)
        return r->slot->ask_due;
    return r->slot->posted || (!bgw_list_empty(reads) && BGW_CONTAINER(reads->prev, struct bgw_read, of_kept)->slot == r->slot);
}

static void begin_waiting(struct bgw_shard *s, struct bgw_read *r)
{
    bgw_list_init(&r->of_kept);
    bgw_list_init(&r->of_gaps);
    bgw_list_init(&r->of_proofs);
    bgw_list_init(&r->of_due);
    bgw_timer_init(&r->timer, on_timer);
    idle_remove(s, r->kept);
    r->joined = joins(r);
    bgw_list_push_back(&r->kept->reads, &r->of_kept);
    if (r->ask)
        r->ask = ask_slot_due(s, r->slot);
    else if (r->has_floor && r->slot->value) /* a source may have it before the stream does: either will do */
        (void)ask_slot_due(s, r->slot);
    if (r->prove) {
        r->ticket = barrier_ask(s, false);
        bgw_list_push_back(&s->reads.proofs, &r->of_proofs);
    }
    if (r->hub_seq > s->hub_seq) {
        bgw_list_push_back(&s->reads.gaps, &r->of_gaps);
        if (s->ops.want_news)
            s->ops.want_news(s->ops.arg, r->hub_seq);
    }
    bgw_metric_add(BGW_M_READS_WAITING, 1);
    arm(r);
}

/* `asked` is complete but for what only a read that waits has. NULL: there is no room. */
static struct bgw_read *wait_for(struct bgw_shard *s, const struct bgw_read *asked)
{
    struct bgw_read *r = bgw_pool_take(&s->reads.waiting);
    struct group *g = asked->slot->group;
    struct kept *k = r ? kept_of(s, g) : NULL;
    if (!k) {
        if (r)
            bgw_pool_give(&s->reads.waiting, r);
        if (!group_needed(g))
            post_queue(s, g);
        return NULL;
    }
    *r = *asked;
    r->kept = k;
    begin_waiting(s, r);
    return r;
}

/* Answered at once. Without memory it is just not kept. */
static void keep(struct bgw_shard *s, const struct slot *slot)
{
    bool known_to_stay = slot->group->kept && !slot->value;
    struct kept *k = known_to_stay ? NULL : kept_of(s, slot->group);
    if (k)
        kept_rest(s, k, slot);
}

/* An error is no knowledge: whoever comes after those who waited for it has it tried again. */
static bool only_failed(const struct slot *slot)
{
    return slot->answered && !slot->value && slot->failed && slot->state == BGW_STATE_UNKNOWN && !BGW_BUG("errors_are_kept");
}

bool bgw_shard_read(struct bgw_shard *s, const struct bgw_read_question *q, void *user, struct bgw_now now, struct bgw_read **read,
                    struct bgw_read_answer *answer)
{
    BGW_ASSERT(q->feed >= s->config.feeds && q->feed < s->config.feeds + s->config.feed_count && s->ops.read_done);
    BGW_ASSERT(q->key.len > 0 && q->key.len <= BGW_KEY_MAX);
    bgw_shard_set_now(s, now);
    const bgw_part part = q->part ? q->part : q->feed->default_part;
    struct bgw_read asked = {
        .shard = s,
        .user = user,
        .floor = q->floor,
        .hub_seq = s->ops.sequenced ? s->ops.sequenced(s->ops.arg) : 0,
        .label_ms = s->now.mono_ms + s->config.barrier_wait_ms,
        .end_ms = s->now.mono_ms + q->wait_ms,
        .has_floor = q->has_floor,
        .prove = q->prove,
    };
    struct tenant *tenant = tenant_acquire(s, q->tenant);
    asked.slot = tenant ? want_slot(s, q, tenant, part) : NULL;
    tenant_release(s, tenant);
    *read = NULL;
    const enum renewal how = asked.slot ? renewal(s, asked.slot) : RENEW_NOT;
    if (asked.slot && (q->ask || only_failed(asked.slot) || how == RENEW_FIRST))
        asked.ask = s->ask_ticket; /* none has it yet */
    asked.watched = asked.slot && asked.slot->answered && !asked.ask;
    if (asked.slot && judge(s, &asked, answer)) {
        if (how == RENEW_BEHIND)
            (void)ask_slot_due(s, asked.slot);
        keep(s, asked.slot);
        return true;
    }
    *read = asked.slot ? wait_for(s, &asked) : NULL;
    if (!*read)
        nothing(part, asked.watched, BGW_READ_BUSY, answer);
    return !*read;
}

void bgw_shard_read_cancel(struct bgw_shard *s, struct bgw_read *read)
{
    BGW_ASSERT(read->shard == s);
    leave(read);
}

/* ---- life ---- */

void reads_init(struct bgw_shard *s)
{
    struct reads *reads = &s->reads;
    s->ask_ticket = 1;
    bgw_pool_init(&reads->waiting, sizeof(struct bgw_read), s->config.reads_max);
    bgw_pool_init(&reads->kept, sizeof(struct kept), GROUPS_MAX);
    bgw_list_init(&reads->idle);
    bgw_list_init(&reads->gaps);
    bgw_list_init(&reads->proofs);
    bgw_list_init(&reads->due);
}

/* The hub is not told: that is over. */
void reads_deinit(struct bgw_shard *s)
{
    struct reads *reads = &s->reads;
    BGW_ASSERT(reads->waiting.in_use == 0);
    while (!bgw_list_empty(&reads->idle)) {
        struct kept *k = BGW_CONTAINER(reads->idle.next, struct kept, of_shard);
        idle_remove(s, k);
        k->group->kept = NULL;
        bgw_pool_give(&reads->kept, k);
    }
    bgw_pool_deinit(&reads->waiting);
    bgw_pool_deinit(&reads->kept);
}

void reads_limits_changed(struct bgw_shard *s)
{
    trim(s);
}
