/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outbox: one write of one session. Hides the order of what is said: replies, updates, states, the
 * `live` of subscribes that are complete with them, the mark, the keep-alive. Called by the shard's
 * flush for sessions that are writable. Invariants: one send a call; what does not fit stays dirty;
 * a mark goes out only when nothing is pending for the session.
 */
#include "core.h"

#include "bgw/reserve.h"

/* False: something stays dirty for the next write. */
static bool encode_updates(struct writing *w)
{
    struct bgw_session *n = w->n;
    if (!bgw_list_empty(&n->dirty) && !rate_has_bytes(n))
        return true; /* woken by its deadline */
    size_t began = w->out->len;
    bool done = true;
    while (!bgw_list_empty(&n->dirty)) {
        struct sub *sub = BGW_CONTAINER(n->dirty.next, struct sub, of_session);
        if (encode_full(w)) {
            done = false;
            break;
        }
        __builtin_prefetch(sub->of_session.next, 1);
        __builtin_prefetch((const char *)sub->of_session.next + 64, 1);
        sub_place(sub, SUB_CLEAN);
        if (sub->held)
            continue; /* its reply marks it again */
        if (!encode_sub(w, sub)) {
            sub_place(sub, SUB_DIRTY);
            done = false;
            break;
        }
    }
    encode_end_updates(w);
    rate_spend(n, w->out->len - began);
    return done;
}

static bool nothing_pending(const struct bgw_session *n)
{
    return bgw_list_empty(&n->dirty) && (!n->extra || bgw_list_empty(&n->extra->limited)) &&
           n->withheld == 0 && !tickets_held(n);
}

static void append_decimal(char *out, size_t *len, uint64_t v)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    memcpy(out, digits + at, sizeof(digits) - at);
    *len = sizeof(digits) - at;
}

/* The new token says more than the one that was presented. */
static void forget_evidence(struct bgw_session *n)
{
    if (!n->key_count)
        return;
    n->flags &= (uint16_t)~SESSION_RESUMED;
    if (n->extra)
        n->extra->resume_count = 0;
}

static void encode_mark(struct writing *w)
{
    struct bgw_session *n = w->n;
    char w_text[20], resume[RESUME_TEXT_MAX];
    size_t w_len;
    /* one that is due soon goes along with what is written anyway: a write is what costs */
    bool rides_along = !(n->flags & SESSION_MARK_DUE) && w->out->len && deadlines_mark_near(n);
    if ((!(n->flags & SESSION_MARK_DUE) && !rides_along) ||
        (!nothing_pending(n) && !BGW_BUG("watermark_ignores_pending")))
        return;
    n->flags &= (uint16_t)~SESSION_MARK_DUE;
    if (rides_along)
        deadlines_marked(n);
    append_decimal(w_text, &w_len, w->s->hub_seq);
    struct bgw_slice token = resume_make(w->s, n, resume);
    n->dialect->mark(w->out, bgw_slice_of(w_text, w_len), n->digest, token);
    forget_evidence(n);
}

static void encode_lives(struct writing *w)
{
    struct bgw_session *n = w->n;
    if (!n->extra || !tickets_say_live(w->s, n, w->out) || !n->dialect->id_each)
        return;
    encode_id(w);
    if (nothing_pending(n))
        forget_evidence(n);
}

/* Whatever is said is a sign of life: only silence is filled. */
static void encode_heartbeat(struct writing *w)
{
    const int64_t heartbeat_ms = w->s->config.limits.heartbeat_ms;
    if (!w->out->len)
        w->n->dialect->keepalive(w->out);
    if (heartbeat_ms)
        deadlines_by(w->n, w->s->now.mono_ms + heartbeat_ms);
}

static void encode_keepalive(struct writing *w)
{
    struct bgw_session *n = w->n;
    if (!(n->flags & SESSION_PING_DUE))
        return;
    n->flags &= (uint16_t)~SESSION_PING_DUE;
    if (n->dialect->heartbeat) {
        encode_heartbeat(w);
        return;
    }
    n->flags |= SESSION_PING_OUT;
    n->pinged_tick = tick_of(w->s, w->s->now.mono_ms);
    n->dialect->keepalive(w->out);
    deadlines_by(n, w->s->now.mono_ms + w->s->config.limits.pong_wait_ms);
}

static void encode_control(struct writing *w)
{
    struct extra *x = w->n->extra;
    if (!x)
        return;
    bgw_buf_append(w->out, bgw_buf_slice(&x->control));
    bgw_buf_deinit(&x->control);
}

/* False: hung up, and the session may be gone. */
static bool write_out(struct writing *w)
{
    struct bgw_session *n = w->n;
    struct bgw_shard *s = w->s;
    if (w->out->failed) { /* no memory, and so no knowing what was said: the connection must go */
        if (w->out->starved)
            (void)bgw_reserve_spend();
        n->bye_code = n->bye_code ? n->bye_code : 3013;
        bgw_buf_clear(w->out); /* and keeps room enough for this */
        n->dialect->bye(w->out, n->bye_code, NO_MEMORY_RETRY_MS, "no_memory");
    }
    if (w->out->len) {
        if (n->dialect->heartbeat)
            n->pinged_tick = tick_of(s, s->now.mono_ms);
        s->sending = n;
        enum bgw_sent sent = s->ops.send(s->ops.arg, n->conn, bgw_buf_slice(w->out));
        s->sending = NULL;
        if (sent == BGW_SENT_BUFFERED) {
            n->flags |= SESSION_BLOCKED;
            bgw_metric_add(BGW_M_SESSIONS_BLOCKED, 1);
            bgw_list_remove(&n->of_flush);
            n->blocked_tick = tick_of(s, s->now.mono_ms);
            deadlines_by(n, s->now.mono_ms + s->config.limits.stall_ms);
        }
    }
    if (!n->bye_code)
        return true;
    session_hang_up(n);
    return false;
}

void outbox_flush(struct bgw_shard *s, struct bgw_session *n)
{
    struct writing w = {.s = s, .n = n, .out = &s->out};
    bool done = true;
    BGW_ASSERT(!(n->flags & (SESSION_BLOCKED | SESSION_HUNG)));
    if (!n->bye_code && session_expired(n))
        session_expire(n);
    if (!BGW_BUG("revocation_waits_for_the_walk") && !BGW_BUG("revocation_only_at_commands"))
        revoke_judge(n);
    bgw_buf_clear(w.out);
    if (!n->bye_code)
        tickets_reply(s, n);
    encode_control(&w);
    if (!n->bye_code && n->flags & SESSION_AUTHENTICATED) {
        done = encode_updates(&w);
        states_encode(&w);
        encode_lives(&w);
        encode_mark(&w);
    }
    if (!n->bye_code)
        encode_keepalive(&w);
    bool again = !done || (n->extra && n->extra->control.len);
    session_trim_extra(n);
    bgw_list_remove(&n->of_flush); /* replies made on the way are part of this write */
    if (write_out(&w) && again)
        session_mark(n);
}
