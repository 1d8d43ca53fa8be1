/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deadlines: one timer a session for all that time does to it: greeting and authentication, ping
 * and pong, heartbeat, silence, marks, expiry, stalled writes, budgets. Hides which of them comes next. Shard thread only.
 * Invariant: the timer fires no later than the earliest deadline; a deadline that moved away costs
 * one idle firing instead of a re-arm for each delivery.
 */
#include "core.h"

#define MARK_NEAR 5 /* the last fifth of the time between two marks */
#define EXPIRY_LOOK_MS 3600000 /* wall clocks jump: a later expiry is looked at again by then */

static int64_t due_of(const struct bgw_session *n, uint32_t tick, int64_t after_ms)
{
    const struct bgw_shard *s = n->shard;
    return s->now.mono_ms + tick_diff(tick, tick_of(s, s->now.mono_ms)) + after_ms;
}

static int64_t expiry_due(const struct bgw_session *n)
{
    const struct bgw_now now = n->shard->now;
    int64_t left_ms = n->expires_ms > now.wall_ms ? n->expires_ms - now.wall_ms : 0;
    return now.mono_ms + (left_ms < EXPIRY_LOOK_MS ? left_ms : EXPIRY_LOOK_MS);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static bool wants_marks(const struct bgw_session *n)
{
    return n->dialect->marks && n->shard->config.mark_ms;
}

/* It has not said yet who it is, or how it speaks: mark_tick is the end of that. */
static bool is_arriving(const struct bgw_session *n)
{
    return n->dialect->greeting || !(n->flags & SESSION_AUTHENTICATED);
}

static int64_t arrival_ms(const struct bgw_session *n, const struct bgw_shard_limits *limits)
{
    return n->dialect->greeting ? limits->greeting_ms : limits->auth_wait_ms;
}

/* Until it has to hear something, or to say something. */
static int64_t word_due(const struct bgw_session *n)
{
    const struct bgw_shard_limits *limits = &n->shard->config.limits;
    int64_t due = INT64_MAX;
    if (n->flags & SESSION_PINGS && limits->silence_ms)
        due = due_of(n, n->seen_tick, limits->silence_ms);
    if (n->flags & SESSION_PING_DUE)
        return due;
    if (n->dialect->heartbeat)
        return limits->heartbeat_ms ? earlier(due, due_of(n, n->pinged_tick, limits->heartbeat_ms)) : due;
    if (n->flags & SESSION_PING_OUT)
        return earlier(due, due_of(n, n->pinged_tick, limits->pong_wait_ms));
    return limits->ping_ms ? earlier(due, due_of(n, n->seen_tick, limits->ping_ms)) : due;
}

static int64_t next_due(const struct bgw_session *n)
{
    int64_t due = INT64_MAX;
    if (n->flags & SESSION_BLOCKED)
        due = earlier(due, due_of(n, n->blocked_tick, n->shard->config.limits.stall_ms));
    if (n->bye_code)
        return due;
    if (is_arriving(n) || wants_marks(n))
        due = earlier(due, due_of(n, n->mark_tick, 0));
    if (n->flags & SESSION_AUTHENTICATED && !BGW_BUG("expiry_only_at_subscribe"))
        due = earlier(due, expiry_due(n));
    if (n->dialect->greeting)
        return due;
    return earlier(earlier(due, word_due(n)), rate_due_ms(n));
}

void deadlines_by(struct bgw_session *n, int64_t due_ms)
{
    if (n->flags & SESSION_HUNG || (bgw_timer_armed(&n->timer) && n->timer.due_ms <= due_ms))
        return;
    bgw_wheel_arm(&n->shard->wheel, &n->timer, due_ms);
}

/* What we do not read, because of what it asked for already, is not its silence. */
static void check_silence(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    const int64_t silence_ms = s->config.limits.silence_ms;
    if (!(n->flags & SESSION_PINGS) || !silence_ms || s->now.mono_ms < due_of(n, n->seen_tick, silence_ms))
        return;
    if (bgw_session_choked(n))
        n->seen_tick = tick_of(s, s->now.mono_ms);
    else
        session_bye(n, 3012, 0, "client_silent");
}

static void check_heartbeat(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    const int64_t heartbeat_ms = s->config.limits.heartbeat_ms;
    if (!heartbeat_ms || s->now.mono_ms < due_of(n, n->pinged_tick, heartbeat_ms))
        return;
    n->flags |= SESSION_PING_DUE;
    session_mark(n);
}

/* Silence is what is measured: a peer that talks is not pinged. */
static void check_ping(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    if (n->dialect->heartbeat) {
        check_heartbeat(n);
        return;
    }
    if (n->flags & SESSION_PING_OUT) {
        if (s->now.mono_ms >= due_of(n, n->pinged_tick, s->config.limits.pong_wait_ms))
            session_bye(n, 3012, 0, "no_pong");
        return;
    }
    if (!s->config.limits.ping_ms || s->now.mono_ms < due_of(n, n->seen_tick, s->config.limits.ping_ms))
        return;
    n->flags |= SESSION_PING_DUE;
    session_mark(n);
}

static void check_mark(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    if (!wants_marks(n) || s->now.mono_ms < due_of(n, n->mark_tick, 0))
        return;
    n->flags |= SESSION_MARK_DUE;
    n->mark_tick = tick_of(s, s->now.mono_ms + s->config.mark_ms);
    session_mark(n);
}

bool deadlines_mark_near(const struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    return wants_marks(n) && s->now.mono_ms + s->config.mark_ms / MARK_NEAR >= due_of(n, n->mark_tick, 0);
}

void deadlines_marked(struct bgw_session *n)
{
    n->mark_tick = tick_of(n->shard, n->shard->now.mono_ms + n->shard->config.mark_ms);
}

static void check_arrival(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    if (s->now.mono_ms >= due_of(n, n->mark_tick, 0))
        session_bye(n, 3500, 0, n->dialect->greeting ? "handshake_timeout" : "auth_timeout");
}

static void check_settled(struct bgw_session *n)
{
    check_mark(n);
    rate_release_due(n);
    if (n->extra && n->extra->bytes_s && !bgw_list_empty(&n->dirty))
        session_mark(n);
}

/* False: hung up. */
static bool check(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    if (n->flags & SESSION_BLOCKED &&
        s->now.mono_ms >= due_of(n, n->blocked_tick, s->config.limits.stall_ms)) {
        n->bye_code = n->bye_code ? n->bye_code : 3008;
        session_hang_up(n);
        return false;
    }
    if (n->bye_code)
        return true;
    if (session_expired(n)) {
        session_expire(n);
        return true;
    }
    if (is_arriving(n))
        check_arrival(n);
    else
        check_settled(n);
    if (n->dialect->greeting)
        return true;
    check_silence(n);
    check_ping(n);
    return true;
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_session *n = BGW_CONTAINER(timer, struct bgw_session, timer);
    (void)now_ms;
    if (!check(n))
        return;
    int64_t due = next_due(n);
    if (due != INT64_MAX)
        deadlines_by(n, due);
}

void deadlines_init(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    bgw_timer_init(&n->timer, on_timer);
    n->mark_tick = tick_of(s, s->now.mono_ms + arrival_ms(n, &s->config.limits));
    if (is_arriving(n))
        deadlines_by(n, next_due(n));
    else
        deadlines_start(n);
}

void deadlines_settle(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    n->pinged_tick = tick_of(s, s->now.mono_ms);
    n->mark_tick = tick_of(s, s->now.mono_ms + s->config.limits.auth_wait_ms);
    if (n->flags & SESSION_AUTHENTICATED)
        deadlines_start(n);
    else
        deadlines_by(n, next_due(n));
}

void deadlines_start(struct bgw_session *n)
{
    n->mark_tick = tick_of(n->shard, n->shard->now.mono_ms + n->shard->config.mark_ms);
    int64_t due = next_due(n);
    if (due != INT64_MAX)
        deadlines_by(n, due);
}

void deadlines_changed(struct bgw_session *n, const struct bgw_shard_limits *before)
{
    if (n->flags & SESSION_HUNG)
        return;
    if (is_arriving(n))
        n->mark_tick += (uint32_t)(arrival_ms(n, &n->shard->config.limits) - arrival_ms(n, before));
    int64_t due = next_due(n);
    if (due != INT64_MAX)
        deadlines_by(n, due);
}

void deadlines_expiry(struct bgw_session *n)
{
    deadlines_by(n, expiry_due(n));
}
