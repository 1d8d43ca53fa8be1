/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command: open, hello, and every command but sub and unsub. Hides how a token becomes what a
 * session may see, and what a changed token takes away. Called by the dialects' decoders through
 * bgw/shard.h, on the shard's thread. Invariant: each command with an id is answered, or the
 * session says bye.
 */
#include "core.h"

#include "bgw/reserve.h"

#include <stdlib.h>

#define INTERVAL_MS_MAX 86400000 /* slower than daily is daily: ticks must stay comparable */
#define BYTES_S_MAX 1000000000

/* ---- tokens ---- */

static void take_claims(struct bgw_session *n, const struct bgw_claims *claims)
{
    struct bgw_grants *grants = bgw_grants_acquire(claims->grants);
    bgw_grants_release(n->grants);
    n->grants = grants;
    n->subject_hash = claims->subject_hash;
    n->jti_hash = claims->jti_hash;
    n->issued_s = claims->issued_s;
    n->expires_ms = claims->expires_ms;
    n->access_gen++;
}

static bool authenticate(struct bgw_session *n, const struct bgw_claims *claims)
{
    n->tenant = tenant_acquire(n->shard, bgw_slice_str(claims->tenant));
    if (!n->tenant)
        return false;
    take_claims(n, claims);
    n->flags |= SESSION_AUTHENTICATED;
    return true;
}

/* It has come in: was its token taken back while it did? False: it leaves again. */
static bool admit(struct bgw_session *n, enum bgw_revoked known)
{
    n->judged = (uint32_t)n->shard->revocations;
    if (known == BGW_REVOKED_SOME)
        n->flags |= SESSION_PARTLY;
    if (known != BGW_REVOKED_ALL)
        return true;
    revoke_token(n);
    return false;
}

static bool same_owner(const struct bgw_session *n, const struct bgw_claims *claims)
{
    return n->subject_hash == claims->subject_hash &&
           bgw_slice_eq(tenant_text(n->tenant), bgw_slice_str(claims->tenant));
}

static void say_ok(struct bgw_session *n, uint64_t id)
{
    struct bgw_buf *control = session_control_begin(n);
    if (!control)
        return;
    n->dialect->ok(control, id);
    session_control_end(n);
}

static void replace_claims(struct bgw_session *n, const struct bgw_claims *claims,
                           enum bgw_revoked known)
{
    take_claims(n, claims);
    n->flags &= (uint16_t)~SESSION_PARTLY;
    if (known == BGW_REVOKED_SOME && !BGW_BUG("refresh_forgets_revoked_accounts"))
        n->flags |= SESSION_PARTLY;
    shard_seen(n, BGW_SEEN_REFRESHED, (struct bgw_slice){NULL, 0}, 0, NULL);
    if (!BGW_BUG("grant_checked_only_at_subscribe"))
        revoke_lost(n);
    deadlines_expiry(n);
    shard_publish(n->shard);
}

/* False: it was refused, and everything stays as it was. A command (not a hello) is answered. */
static bool change_token(struct bgw_session *n, bool has_id, uint64_t id,
                         const struct bgw_claims *claims)
{
    if (!same_owner(n, claims)) {
        session_error(n, has_id, id, "other_subject",
                      "a new token must be of the same subject and tenant: reconnect instead");
        return false;
    }
    enum bgw_revoked known = revoke_ask(n, claims);
    if (known == BGW_REVOKED_ALL) {
        session_error(n, has_id, id, "revoked", "this token was taken back: get a new one");
        return false;
    }
    if (has_id)
        say_ok(n, id);
    replace_claims(n, claims, known);
    return true;
}

/* ---- open and hello ---- */

static void say_hello(struct bgw_session *n, struct bgw_slice presented)
{
    struct bgw_shard *s = n->shard;
    char text[RESUME_TEXT_MAX];
    struct bgw_buf *control = session_control_begin(n);
    if (!control)
        return;
    struct bgw_hello_info info = {
        .conn = n->conn_id,
        .ping_s = s->config.limits.ping_ms / 1000,
        .epoch = s->epoch,
        .resume = presented.len ? presented : resume_make(s, n, text),
        .server = s->config.server_name,
    };
    n->dialect->hello(control, &info);
    session_control_end(n);
}

enum bgw_status bgw_session_open(struct bgw_shard *s, void *conn, const struct bgw_dialect *dialect,
                                 const struct bgw_claims *claims, struct bgw_now now,
                                 struct bgw_session **out)
{
    BGW_ASSERT(dialect->encoding < BGW_ENCODING_COUNT);
    bgw_shard_set_now(s, now);
    if (s->sessions.in_use >= s->sessions.count_max)
        return BGW_FULL;
    if (bgw_reserve_low())
        return BGW_NO_MEMORY;
    struct bgw_session *n = bgw_pool_take(&s->sessions);
    if (!n)
        return BGW_NO_MEMORY;
    n->shard = s;
    n->conn = conn;
    n->dialect = dialect;
    n->conn_id = s->config.conn_seed + ++s->conn_next;
    if (claims && !authenticate(n, claims)) {
        bgw_pool_give(&s->sessions, n);
        return BGW_NO_MEMORY;
    }
    bgw_list_init(&n->of_shard);
    bgw_list_init(&n->of_flush);
    bgw_list_init(&n->clean);
    bgw_list_init(&n->dirty);
    bgw_list_push_back(&s->all, &n->of_shard);
    n->seen_tick = n->pinged_tick = tick_of(s, s->now.mono_ms);
    deadlines_init(n);
    bgw_metric_add(BGW_M_SESSIONS, 1);
    *out = n;
    if (claims && admit(n, revoke_ask(n, claims)) && !dialect->greeting)
        say_hello(n, (struct bgw_slice){NULL, 0});
    return BGW_OK;
}

bool bgw_session_greeting(const struct bgw_session *n)
{
    return n->dialect->greeting;
}

/* Who has said bye meanwhile has said it in the words of the greeting. */
void bgw_session_settle(struct bgw_shard *s, struct bgw_session *n, const struct bgw_dialect *dialect)
{
    (void)s;
    BGW_ASSERT(n->dialect->greeting && !dialect->greeting && dialect->encoding < BGW_ENCODING_COUNT);
    n->dialect = dialect;
    if (n->bye_code || n->flags & SESSION_HUNG)
        return;
    deadlines_settle(n);
    if (n->flags & SESSION_AUTHENTICATED)
        say_hello(n, (struct bgw_slice){NULL, 0});
}

/* The token that was accepted is evidence still: it is handed back rather than an emptier one. */
static void greet(struct bgw_shard *s, struct bgw_session *n, struct bgw_slice resume)
{
    bool accepted = resume.len && !n->dialect->blind && resume_present(s, n, resume);
    say_hello(n, accepted ? resume : (struct bgw_slice){NULL, 0});
}

/* False: it was answered, or ended. */
static bool hello_first(struct bgw_session *n, const struct bgw_claims *claims)
{
    if (!authenticate(n, claims)) {
        session_no_memory(n);
        return false;
    }
    if (!admit(n, revoke_ask(n, claims)))
        return false;
    deadlines_start(n);
    return true;
}

static bool hello_again(struct bgw_session *n, const struct bgw_claims *claims)
{
    if (!session_ready(n, false, 0))
        return false;
    return !claims || change_token(n, false, 0, claims);
}

void bgw_session_hello(struct bgw_shard *s, struct bgw_session *n, const struct bgw_claims *claims,
                       struct bgw_slice resume, struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    if (n->bye_code || n->flags & SESSION_HUNG)
        return;
    BGW_ASSERT(!n->dialect->greeting);
    if (n->flags & SESSION_HELLO_SAID) {
        bgw_session_err(s, n, false, 0, "hello_twice",
                        "hello was said already: use auth for a new token", true);
        return;
    }
    bool known = n->flags & SESSION_AUTHENTICATED;
    if (!known && !claims) {
        bgw_session_err(s, n, false, 0, "not_hello", "hello needs a token", true);
        return;
    }
    if (known ? !hello_again(n, claims) : !hello_first(n, claims))
        return;
    n->flags |= SESSION_HELLO_SAID;
    greet(s, n, resume);
}

/* ---- commands ---- */

void bgw_session_refresh(struct bgw_shard *s, struct bgw_session *n, uint64_t id,
                         const struct bgw_claims *claims)
{
    (void)s;
    if (session_ready(n, true, id))
        (void)change_token(n, true, id, claims);
}

void bgw_session_rate(struct bgw_shard *s, struct bgw_session *n, uint64_t id, int64_t max_millihz,
                      int64_t max_bytes_s)
{
    if (!session_ready(n, true, id))
        return;
    struct extra *x = session_extra(n);
    if (!x) {
        session_no_memory(n);
        return;
    }
    int64_t interval_ms = max_millihz > 0 ? (1000000 + max_millihz - 1) / max_millihz : 0;
    x->interval_ms = (uint32_t)(interval_ms < INTERVAL_MS_MAX ? interval_ms : INTERVAL_MS_MAX);
    x->bytes_s = max_bytes_s < 0 ? 0 : max_bytes_s < BYTES_S_MAX ? max_bytes_s : BYTES_S_MAX;
    x->tokens = x->bytes_s;
    x->refilled_ms = s->now.mono_ms;
    if (x->limited_until_ms)
        x->limited_until_ms = s->now.mono_ms; /* by the old budget: judged again by the new one */
    rate_release_due(n);
    session_mark(n);
    say_ok(n, id);
}

/* Evidence for the operator's canary; nothing here depends on it. */
void bgw_session_ack(struct bgw_shard *s, struct bgw_session *n, struct bgw_slice w)
{
    (void)s;
    (void)w;
    (void)session_ready(n, false, 0);
}

static void repair_sub(struct sub *sub, unsigned *seen)
{
    for (struct cell *c = cell_first(sub); c; c = c->next) {
        if (BGW_BUG("repair_skips") && (*seen)++ % 2)
            continue;
        if (c->slot->value && !(c->flags & CELL_SNAP))
            c->flags |= CELL_SNAP | CELL_REPAIR;
        if (c->told != TOLD_NOTHING)
            c->flags |= CELL_RETELL;
    }
    sub_mark(sub);
}

void bgw_session_repair(struct bgw_shard *s, struct bgw_session *n, uint64_t id)
{
    unsigned seen = 0;
    int list = 0;
    struct bgw_list *at = NULL;
    (void)s;
    if (!session_ready(n, true, id))
        return;
    for (struct sub *sub; (sub = session_next_sub(n, &list, &at));)
        repair_sub(sub, &seen);
    say_ok(n, id);
}

void bgw_session_ping(struct bgw_shard *s, struct bgw_session *n, uint64_t id)
{
    (void)s;
    if (!session_ready(n, true, id))
        return;
    struct bgw_buf *control = session_control_begin(n);
    if (!control)
        return;
    n->dialect->pong(control, id);
    session_control_end(n);
}
