/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke: what a session may not see any more, because its token changed or was taken back. Hides
 * when sessions are looked through: one that is about to be written or commanded at once, the idle
 * ones in walks that keep a distance, so that a flood of revocations costs a bounded share of time.
 * Shard thread only. Invariant: once the shard has looked, nothing is encoded for a session that
 * was not judged by what it saw.
 */
#include "core.h"

#include <stdlib.h>

#define WALK_GAP_MS 100

static const char *reason_of(enum bgw_access a)
{
    return a == BGW_ACCESS_REVOKED ? "revoked" : "grant_removed";
}

static enum bgw_access sub_access(const struct bgw_session *n, const struct sub *sub)
{
    BGW_ASSERT(n->tenant == sub->group->tenant); /* a session's keys are of its own tenant */
    return session_access(n, group_key(sub->group));
}

/* ---- keys ---- */

static void note_sub(const struct bgw_session *n, const struct sub *sub, const char *reason)
{
    if (!n->shard->ops.seen)
        return;
    if (sub->whole)
        shard_seen(n, BGW_SEEN_REVOKED, group_key(sub->group), 0, reason);
    for (const struct cell *c = &sub->first; c; c = c->next) {
        if (c->slot && c->flags & CELL_NAMED)
            shard_seen(n, BGW_SEEN_REVOKED, group_key(sub->group), c->slot->part, reason);
    }
}

/* A subscribe whose reply waits still: its reply must not say that it worked. */
static void deny_waiters(const struct sub *sub, enum bgw_access why)
{
    const char *code = why == BGW_ACCESS_REVOKED ? "revoked" : "no_grant";
    for (struct waiter *w = sub->pend ? sub->pend->waiters : NULL; w; w = w->next) {
        if (w->ticket->replied || w->denied)
            continue;
        w->denied = code;
        error_count(code);
    }
}

static void take(struct bgw_session *n, struct sub *const *subs, size_t count, enum bgw_access why)
{
    for (size_t i = 0; i < count;)
        i += revoked_encode(n, subs + i, count - i, SIZE_MAX, reason_of(why));
    for (size_t i = 0; i < count; i++) {
        note_sub(n, subs[i], reason_of(why));
        deny_waiters(subs[i], why);
        sub_free(n->shard, subs[i], BGW_M_UPDATES_ABANDONED_REVOKED);
    }
}

static size_t list_subs(const struct bgw_session *n, struct sub **out)
{
    size_t count = 0;
    int list = 0;
    struct bgw_list *at = NULL;
    for (struct sub *sub; (sub = session_next_sub(n, &list, &at));)
        out[count++] = sub;
    return count;
}

/* Every sub is asked again; what may not be seen any more is gone before anything else is said. */
size_t revoke_lost(struct bgw_session *n)
{
    struct sub **subs = malloc(((size_t)n->key_count + 1) * sizeof(struct sub *));
    if (!subs) {
        session_no_memory(n);
        session_drop_all(n, BGW_M_UPDATES_ABANDONED_CLOSED);
        return 0;
    }
    /* those without a grant come first, those taken back last */
    size_t count = list_subs(n, subs), removed = 0, revoked = count;
    for (size_t i = 0; i < revoked;) {
        struct sub *sub = subs[i];
        enum bgw_access a = sub_access(n, sub);
        if (a == BGW_ACCESS_REVOKED) {
            subs[i] = subs[--revoked];
            subs[revoked] = sub;
            continue;
        }
        if (a == BGW_ACCESS_OK)
            sub->access_gen = n->access_gen;
        else
            subs[removed++] = sub;
        i++;
    }
    take(n, subs, removed, BGW_ACCESS_NO_GRANT);
    take(n, subs + revoked, count - revoked, BGW_ACCESS_REVOKED);
    free(subs);
    return count - revoked;
}

bool revoke_sub(struct bgw_session *n, struct sub *sub)
{
    enum bgw_access a = sub_access(n, sub);
    if (a == BGW_ACCESS_OK) {
        sub->access_gen = n->access_gen;
        return false;
    }
    take(n, &sub, 1, a);
    return true;
}

/* ---- tokens ---- */

static enum bgw_revoked ask(const struct bgw_shard *s, const struct bgw_holder *holder)
{
    if (!s->config.revocations || !s->revocations)
        return BGW_NOT_REVOKED;
    return bgw_revocations_check(s->config.revocations, holder, s->now);
}

enum bgw_revoked revoke_ask(struct bgw_session *n, const struct bgw_claims *claims)
{
    struct bgw_shard *s = n->shard;
    const struct bgw_holder holder = {
        .subject_hash = claims->subject_hash,
        .jti_hash = claims->jti_hash,
        .issued_s = claims->issued_s,
        .tenant = bgw_slice_str(claims->tenant),
    };
    revoke_look(s);
    enum bgw_revoked known = ask(s, &holder);
    return known == BGW_REVOKED_ALL && BGW_BUG("revoked_token_accepted") ? BGW_NOT_REVOKED : known;
}

/* Its keys are named as far as the control lane has room: bye speaks for all of them. */
static void name_keys(struct bgw_session *n)
{
    const size_t lane = n->shard->config.control_bytes_max;
    struct sub **subs = malloc(((size_t)n->key_count + 1) * sizeof(struct sub *));
    size_t count = subs ? list_subs(n, subs) : 0;
    for (size_t i = 0, said = 1; i < count && said; i += said) {
        size_t used = n->extra ? n->extra->control.len : 0;
        said = used < lane / 2
                   ? revoked_encode(n, subs + i, count - i, (lane - used) / 2, "revoked")
                   : 0;
    }
    free(subs);
}

void revoke_token(struct bgw_session *n)
{
    bgw_metric_add(BGW_M_SESSIONS_REVOKED, 1);
    shard_seen(n, BGW_SEEN_REVOKED, (struct bgw_slice){NULL, 0}, 0, "revoked");
    name_keys(n);
    session_drop_all(n, BGW_M_UPDATES_ABANDONED_REVOKED);
    session_bye(n, 3510, 0, "revoked");
}

/* ---- sessions ---- */

void revoke_look(struct bgw_shard *s)
{
    if (s->config.revocations)
        s->revocations = bgw_revocations_generation(s->config.revocations);
}

void revoke_judge(struct bgw_session *n)
{
    const struct bgw_shard *s = n->shard;
    if (n->judged == (uint32_t)s->revocations || n->bye_code ||
        !(n->flags & SESSION_AUTHENTICATED) || n->flags & SESSION_HUNG)
        return;
    n->judged = (uint32_t)s->revocations;
    if (session_expired(n)) {
        session_expire(n);
        return;
    }
    struct bgw_holder holder;
    bgw_session_holder(n, &holder);
    switch (ask(s, &holder)) {
    case BGW_NOT_REVOKED:
        return;
    case BGW_REVOKED_SOME:
        n->flags |= SESSION_PARTLY;
        n->access_gen++;
        if (revoke_lost(n) > 0)
            bgw_metric_add(BGW_M_SESSIONS_REVOKED, 1);
        return;
    case BGW_REVOKED_ALL:
        revoke_token(n);
        return;
    }
}

static void walk(struct bgw_shard *s)
{
    s->walked = s->revocations;
    s->walked_ms = s->now.mono_ms;
    for (struct bgw_list *at = s->all.next; at != &s->all; at = at->next) {
        struct bgw_session *n = BGW_CONTAINER(at, struct bgw_session, of_shard);
        if (!BGW_BUG("revocation_spares_the_idle") && !BGW_BUG("revocation_only_at_commands"))
            revoke_judge(n);
    }
}

int64_t revoke_tick(struct bgw_shard *s)
{
    revoke_look(s);
    if (s->revocations == s->walked)
        return INT64_MAX;
    int64_t left_ms = s->walked_ms + WALK_GAP_MS - s->now.mono_ms;
    if (left_ms > 0)
        return left_ms;
    walk(s);
    return INT64_MAX;
}

void bgw_shard_apply_revocations(struct bgw_shard *s, struct bgw_now now)
{
    bgw_shard_set_now(s, now);
    (void)revoke_tick(s);
    shard_publish(s);
}
