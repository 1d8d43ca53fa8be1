/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_signalr: SignalR's client-to-server stream on a connection: a pipe of bytes, cut into records
 * by 0x1E, whatever messages or POSTs they came in. Hides what is kept of a record that is not
 * complete, and of those that may not be looked at yet because the session is choked. Called by
 * conn_ws, conn_negotiate and conn on the shard's thread. Invariant: records are looked at in order,
 * each once.
 */
#include "conn_private.h"

#include "bgw/assert.h"

static const struct bgw_dialect *settled_dialect(const struct bgw_conn *c)
{
    return c->kind == CONN_SIGNALR_STREAM ? &bgw_dialect_signalr_stream : &bgw_dialect_signalr;
}

/* Of one record; before the handshake as of any message before authentication. */
static size_t record_max(const struct bgw_conn *c)
{
    const struct bgw_policy *p = c->host->policy;
    return bgw_session_greeting(c->session) ? p->early_message_bytes_max : p->message_bytes_max;
}

static void take_record(struct bgw_conn *c, struct bgw_slice record)
{
    const struct bgw_estate *e = &c->host->estate;
    int64_t wait_ms = 0;
    if (record.len > record_max(c))
        bgw_signalr_too_large(e, c->session);
    else if (bgw_session_greeting(c->session))
        (void)bgw_signalr_greet(e, c->session, record, settled_dialect(c));
    else
        bgw_signalr_record(e, c->session, record, conn_now(c));
    if (c->state != CONN_OPEN)
        return;
    if (!bgw_session_may_command(c->host->native.shard, c->session, &wait_ms))
        conn_slow(c, wait_ms);
    if (bgw_session_choked(c->session))
        c->stop = true;
}

static bool may_take(const struct bgw_conn *c)
{
    return c->state == CONN_OPEN && !bgw_session_choked(c->session);
}

/* Whole records at the beginning of `bytes`; returns how many bytes they had. */
static size_t take_records(struct bgw_conn *c, struct bgw_slice bytes)
{
    size_t used = 0;
    while (used < bytes.len && may_take(c)) {
        const char *at = bytes.data + used;
        const char *end = memchr(at, BGW_RECORD_END, bytes.len - used);
        if (!end)
            break;
        size_t len = (size_t)(end - at);
        used += len + 1;
        take_record(c, bgw_slice_of(at, len));
    }
    return used;
}

/* An open record that has grown too long is never looked at. */
static bool too_long(const struct bgw_conn *c, struct bgw_slice rest)
{
    return rest.len > record_max(c) && !memchr(rest.data, BGW_RECORD_END, rest.len);
}

static void keep_rest(struct bgw_conn *c, struct bgw_slice rest)
{
    if (c->state != CONN_OPEN || !rest.len)
        return;
    if (may_take(c) && too_long(c, rest))
        bgw_signalr_too_large(&c->host->estate, c->session);
    else if (!conn_need_busy(c) || !conn_keep(&c->busy->records, rest, BGW_CONN_STASH_MAX))
        conn_abort(c);
}

static void feed(struct bgw_conn *c, struct bgw_slice bytes)
{
    if (!c->busy || !c->busy->records) { /* most messages are one whole record */
        size_t used = take_records(c, bytes);
        keep_rest(c, bgw_slice_of(bytes.data + used, bytes.len - used));
        return;
    }
    if (conn_keep(&c->busy->records, bytes, BGW_CONN_STASH_MAX))
        conn_signalr_resume(c);
    else
        conn_abort(c);
}

void conn_signalr_feed(struct bgw_conn *c, struct bgw_slice bytes)
{
    if (c->state == CONN_OPEN)
        feed(c, bytes);
}

void conn_signalr_posted(struct bgw_conn *c, struct bgw_slice body)
{
    struct bgw_shard *shard = c->host->native.shard;
    if (c->state != CONN_OPEN)
        return;
    bgw_shard_set_now(shard, conn_now(c));
    bgw_session_on_traffic(shard, c->session, conn_now(c));
    feed(c, body);
    if (c->state != CONN_OPEN)
        return;
    if (!may_take(c)) /* nothing is received on a stream that would make it look again */
        conn_wait(c);
    conn_settle(c);
}

void conn_signalr_resume(struct bgw_conn *c)
{
    struct bgw_buf *records = c->busy ? c->busy->records : NULL;
    if (!records || c->state != CONN_OPEN)
        return;
    c->busy->records = NULL; /* ours while it is looked at: the connection may end in between */
    size_t used = take_records(c, bgw_buf_slice(records));
    keep_rest(c, bgw_slice_of(records->data + used, records->len - used));
    conn_buf_drop(&records);
}
