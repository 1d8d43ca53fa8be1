/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: a connection's life in the shard: open, bye, close, what it may see, and its control
 * lane (short, bounded, lossless: replies overtake no update of an earlier write and are never
 * limited). Called by the wire room and by the other files of shard/; shard thread only.
 * Invariants: after bye nothing more is said; a session is freed by close alone, and only when
 * nothing points at it.
 */
#include "core.h"

#include "bgw/reserve.h"

#include <stdlib.h>

/* ---- marks ---- */

void session_mark(struct bgw_session *n)
{
    if (n->flags & (SESSION_HUNG | SESSION_BLOCKED) || bgw_list_linked(&n->of_flush))
        return;
    bgw_list_push_back(&n->shard->flush, &n->of_flush);
}

void session_mark_urgent(struct bgw_session *n)
{
    if (n->flags & (SESSION_HUNG | SESSION_BLOCKED))
        return;
    bgw_list_remove(&n->of_flush);
    bgw_list_push_back(&n->shard->urgent, &n->of_flush);
}

/* ---- what it has only while it needs it ---- */

struct extra *session_extra(struct bgw_session *n)
{
    if (n->extra)
        return n->extra;
    struct extra *x = calloc(1, sizeof(*x));
    if (!x)
        return NULL;
    bgw_buf_init(&x->control, n->shard->config.control_bytes_max + BYE_BYTES);
    bgw_list_init(&x->limited);
    x->tickets_tail = &x->tickets;
    n->extra = x;
    return x;
}

static void free_extra(struct bgw_session *n)
{
    struct extra *x = n->extra;
    if (!x)
        return;
    BGW_ASSERT(!x->tickets && bgw_list_empty(&x->limited));
    bgw_buf_deinit(&x->control);
    free(x->resume);
    free(x);
    n->extra = NULL;
}

void session_trim_extra(struct bgw_session *n)
{
    const struct extra *x = n->extra;
    if (!x || x->control.len || x->tickets || x->interval_ms || x->bytes_s || x->resume_count ||
        !bgw_list_empty(&x->limited))
        return;
    free_extra(n);
}

/* ---- the control lane ---- */

struct bgw_buf *session_control_begin(struct bgw_session *n)
{
    if (n->bye_code || n->flags & SESSION_HUNG)
        return NULL;
    struct extra *x = session_extra(n);
    if (!x) {
        session_no_memory(n);
        return NULL;
    }
    x->control_began = x->control.len;
    return &x->control;
}

/* A reply that did not fit is taken back whole: the peer reads none of what it asks for. */
void session_control_end(struct bgw_session *n)
{
    struct extra *x = n->extra;
    bool failed = x->control.failed, starved = x->control.starved;
    session_mark_urgent(n);
    if (failed) {
        x->control.len = x->control_began;
        x->control.failed = x->control.starved = false;
    }
    if (starved)
        session_no_memory(n);
    else if (failed || x->control.len > n->shard->config.control_bytes_max)
        session_bye(n, 3008, 0, "replies_unread");
}

bool bgw_session_choked(const struct bgw_session *n)
{
    const struct bgw_shard_config *c = &n->shard->config;
    const struct extra *x = n->extra;
    return x && (x->control.len > c->control_bytes_max / 2 || x->ticket_count > TICKETS_MAX / 2 ||
                 x->waiting_keys > (c->limits.keys_per_session_max + COMMAND_KEYS_MAX) / 2);
}

/* ---- ending ---- */

/* False: there is no room for the last words. */
static bool say_bye(struct bgw_session *n, uint16_t code, int64_t retry_ms, const char *reason)
{
    struct extra *x = session_extra(n);
    if (!x)
        return false;
    size_t began = x->control.len;
    n->dialect->bye(&x->control, code, retry_ms, reason);
    if (!x->control.failed)
        return true;
    x->control.len = began;
    x->control.failed = x->control.starved = false;
    return false;
}

void session_bye(struct bgw_session *n, uint16_t code, int64_t retry_ms, const char *reason)
{
    if (n->bye_code || n->flags & SESSION_HUNG)
        return;
    n->bye_code = code;
    if (!say_bye(n, code, retry_ms, reason) && bgw_reserve_spend())
        (void)say_bye(n, code, retry_ms, reason); /* without room even now: the connection just ends */
    session_mark_urgent(n);
}

void session_no_memory(struct bgw_session *n)
{
    (void)bgw_reserve_spend();
    session_bye(n, 3013, NO_MEMORY_RETRY_MS, "no_memory");
}

void bgw_session_bye(struct bgw_shard *s, struct bgw_session *n, uint16_t code, int64_t retry_ms,
                     const char *reason)
{
    (void)s;
    session_bye(n, code, retry_ms, reason);
}

/* The adapter may close the session before this returns: nobody touches it afterwards. */
void session_hang_up(struct bgw_session *n)
{
    struct bgw_shard *s = n->shard;
    BGW_ASSERT(!(n->flags & SESSION_HUNG));
    n->flags |= SESSION_HUNG;
    bgw_list_remove(&n->of_flush);
    bgw_wheel_cancel(&s->wheel, &n->timer);
    s->ops.hang_up(s->ops.arg, n->conn, n->bye_code);
}

bool session_expired(const struct bgw_session *n)
{
    if (BGW_BUG("expiry_only_at_subscribe"))
        return false;
    return n->flags & SESSION_AUTHENTICATED && n->shard->now.wall_ms >= n->expires_ms;
}

/* What was pending is never said: it belongs to somebody who may not see it any more. */
void session_expire(struct bgw_session *n)
{
    session_drop_all(n, BGW_M_UPDATES_ABANDONED_EXPIRED);
    session_bye(n, 3005, 0, "token_expired");
}

void session_drop_all(struct bgw_session *n, enum bgw_metric why)
{
    int list = 0;
    struct bgw_list *at = NULL;
    for (struct sub *sub; (sub = session_next_sub(n, &list, &at));)
        sub_free(n->shard, sub, why);
    BGW_ASSERT(n->key_count == 0 && n->presented_count == 0 && n->withheld == 0);
    BGW_ASSERT(n->digest == 0 || BGW_BUG("digest_wrong_set"));
}

enum bgw_access session_access(const struct bgw_session *n, struct bgw_slice key)
{
    const struct bgw_shard *s = n->shard;
    enum bgw_access a = bgw_access_decide(n->grants, n->expires_ms, true, key, s->now);
    if (a != BGW_ACCESS_OK || !(n->flags & SESSION_PARTLY))
        return a;
    struct bgw_holder holder;
    bgw_session_holder(n, &holder);
    bool covered = bgw_revocations_covers_key(s->config.revocations, &holder, key, s->now);
    return covered ? BGW_ACCESS_REVOKED : BGW_ACCESS_OK;
}

void bgw_session_holder(const struct bgw_session *n, struct bgw_holder *out)
{
    *out = (struct bgw_holder){
        .subject_hash = n->subject_hash,
        .jti_hash = n->jti_hash,
        .issued_s = n->issued_s,
    };
    if (n->tenant)
        out->tenant = tenant_text(n->tenant);
}

uint64_t bgw_session_conn_id(const struct bgw_session *n)
{
    return n->conn_id;
}

void bgw_session_close(struct bgw_shard *s, struct bgw_session *n)
{
    BGW_ASSERT(s->sending != n); /* a socket that dies in a write is closed afterwards */
    session_drop_all(n, BGW_M_UPDATES_ABANDONED_CLOSED);
    tickets_free(n);
    free_extra(n);
    bgw_list_remove(&n->of_flush);
    bgw_list_remove(&n->of_shard);
    bgw_wheel_cancel(&s->wheel, &n->timer);
    tenant_release(s, n->tenant);
    bgw_grants_release(n->grants);
    if (n->flags & SESSION_BLOCKED)
        bgw_metric_add(BGW_M_SESSIONS_BLOCKED, -1);
    bgw_pool_give(&s->sessions, n);
    bgw_metric_add(BGW_M_SESSIONS, -1);
    shard_publish(s);
}

/* ---- the peer ---- */

void bgw_session_on_writable(struct bgw_shard *s, struct bgw_session *n, struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    if (!(n->flags & SESSION_BLOCKED))
        return;
    n->flags &= (uint16_t)~SESSION_BLOCKED;
    bgw_metric_add(BGW_M_SESSIONS_BLOCKED, -1);
    session_mark(n); /* it may have nothing to say: a flush finds that out */
}

void bgw_session_on_traffic(struct bgw_shard *s, struct bgw_session *n, struct bgw_now now)
{
    n->flags &= (uint16_t)~SESSION_PING_OUT;
    n->seen_tick = tick_of(s, now.mono_ms);
}

void bgw_session_on_pong(struct bgw_shard *s, struct bgw_session *n, struct bgw_now now)
{
    bgw_session_on_traffic(s, n, now);
}

void bgw_session_on_client_ping(struct bgw_shard *s, struct bgw_session *n)
{
    n->flags |= SESSION_PINGS;
    if (s->config.limits.silence_ms)
        deadlines_by(n, s->now.mono_ms + s->config.limits.silence_ms);
}

bool bgw_session_authenticated(const struct bgw_session *n)
{
    return n->flags & SESSION_AUTHENTICATED;
}

void *bgw_session_conn(const struct bgw_session *n)
{
    return n->conn;
}

/* ---- errors ---- */

static const struct {
    const char *code;
    enum bgw_metric counter;
} ERRORS[] = {
    {"bad_json", BGW_M_COMMAND_ERRORS_BAD_JSON},
    {"bad_request", BGW_M_COMMAND_ERRORS_BAD_REQUEST},
    {"bad_id", BGW_M_COMMAND_ERRORS_BAD_ID},
    {"bad_op", BGW_M_COMMAND_ERRORS_BAD_OP},
    {"unknown_feed", BGW_M_COMMAND_ERRORS_UNKNOWN_FEED},
    {"too_large", BGW_M_COMMAND_ERRORS_TOO_LARGE},
    {"too_many_keys", BGW_M_COMMAND_ERRORS_TOO_MANY_KEYS},
    {"not_hello", BGW_M_COMMAND_ERRORS_NOT_HELLO},
    {"hello_twice", BGW_M_COMMAND_ERRORS_HELLO_TWICE},
    {"no_grant", BGW_M_COMMAND_ERRORS_NO_GRANT},
    {"other_subject", BGW_M_COMMAND_ERRORS_OTHER_SUBJECT},
    {"revoked", BGW_M_COMMAND_ERRORS_REVOKED},
    {"slow_down", BGW_M_COMMAND_ERRORS_SLOW_DOWN},
    {"bad_signature", BGW_M_COMMAND_ERRORS_BAD_TOKEN},
    {"bad_claims", BGW_M_COMMAND_ERRORS_BAD_TOKEN},
    {"wrong_issuer", BGW_M_COMMAND_ERRORS_BAD_TOKEN},
    {"wrong_audience", BGW_M_COMMAND_ERRORS_BAD_TOKEN},
};

void error_count(const char *code)
{
    enum bgw_metric counter = strncmp(code, "token_", 6) == 0 ? BGW_M_COMMAND_ERRORS_BAD_TOKEN
                                                              : BGW_M_COMMAND_ERRORS_OTHER;
    for (size_t i = 0; i < sizeof(ERRORS) / sizeof(*ERRORS); i++) {
        if (strcmp(ERRORS[i].code, code) == 0)
            counter = ERRORS[i].counter;
    }
    bgw_metric_add(counter, 1);
}

void session_error(struct bgw_session *n, bool has_id, uint64_t id, const char *code,
                   const char *text)
{
    if (n->bye_code || n->flags & SESSION_HUNG)
        return;
    error_count(code);
    /* a greeting has no words for it yet */
    struct bgw_buf *control = n->dialect->greeting ? NULL : session_control_begin(n);
    if (!control)
        return;
    n->dialect->err(control, has_id, id, code, text);
    session_control_end(n);
}

void bgw_session_err(struct bgw_shard *s, struct bgw_session *n, bool has_id, uint64_t id,
                     const char *code, const char *text, bool strike)
{
    session_error(n, has_id, id, code, text);
    if (strike)
        bgw_session_strike(s, n);
}

void bgw_session_strike(struct bgw_shard *s, struct bgw_session *n)
{
    (void)s;
    if (n->strikes < STRIKES_MAX)
        n->strikes++;
    if (n->strikes == STRIKES_MAX)
        session_bye(n, 3501, 0, "bad_request");
}

void bgw_session_say(struct bgw_shard *s, struct bgw_session *n, struct bgw_slice messages)
{
    (void)s;
    struct bgw_buf *control = messages.len ? session_control_begin(n) : NULL;
    if (!control)
        return;
    bgw_buf_append(control, messages);
    session_control_end(n);
}

bool session_ready(struct bgw_session *n, bool has_id, uint64_t id)
{
    if (n->bye_code || n->flags & SESSION_HUNG)
        return false;
    BGW_ASSERT(!n->dialect->greeting); /* nobody can have decoded a command */
    if (!(n->flags & SESSION_AUTHENTICATED)) {
        bgw_session_err(n->shard, n, has_id, id, "not_hello", "say hello with a token first", true);
        return false;
    }
    if (session_expired(n)) {
        session_expire(n);
        return false;
    }
    revoke_look(n->shard);
    revoke_judge(n);
    return !n->bye_code;
}
