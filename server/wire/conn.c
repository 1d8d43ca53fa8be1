/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: a connection's life. Hides which of a connection's few deadlines runs and what stops
 * reading: a response that is not out, a choked session, a key that is being fetched, a balance that
 * is being read. Called by the worker (transport and shard callbacks) on the shard's thread.
 * Invariant: what is received is looked at in order, and only while nothing that came before it is
 * still under way.
 */
#include "conn_private.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"
#include "bgw/reserve.h"

#include <stdlib.h>

#define STASH_MAX BGW_CONN_STASH_MAX
#define OUT_MAX (20u << 20)
#define HEAD_MAX 4096u /* what is longer is not copied for the sake of one call less */

struct bgw_now conn_now(const struct bgw_conn *c)
{
    return bgw_loop_now(c->host->loop);
}

/* ---- what is under way ---- */

static void on_timer(struct bgw_timer *timer, int64_t now_ms);

bool conn_need_busy(struct bgw_conn *c)
{
    struct bgw_conn_host *h = c->host;
    if (c->busy)
        return true;
    c->busy = bgw_pool_take(&h->busy_pool);
    if (!c->busy)
        return false;
    c->busy->conn = c;
    bgw_list_init(&c->busy->wait_link);
    bgw_list_init(&c->busy->head_link);
    bgw_list_push_back(&h->busy, &c->busy->link);
    bgw_timer_init(&c->busy->timer, on_timer);
    bgw_ws_decoder_init(&c->busy->decoder);
    return true;
}

static bool decoder_idle(const struct bgw_ws_decoder *d)
{
    return !d->partial && !d->in_message && !d->header_len && !d->header_need && !d->closed;
}

static void drop_busy(struct bgw_conn *c)
{
    struct conn_busy *b = c->busy;
    if (!b)
        return;
    c->busy = NULL;
    bgw_ws_decoder_deinit(&b->decoder);
    bgw_list_remove(&b->link);
    bgw_pool_give(&c->host->busy_pool, b);
}

void conn_settle(struct bgw_conn *c)
{
    const struct conn_busy *b = c->busy;
    if (c->state != CONN_OPEN || !b || b->reader || b->head || b->stash || b->out || b->key_wait || b->records)
        return;
    if (decoder_idle(&b->decoder) && !bgw_list_linked(&b->wait_link) &&
        !bgw_list_linked(&b->timer.link))
        drop_busy(c);
}

void conn_arm(struct bgw_conn *c, int64_t after_ms)
{
    if (conn_need_busy(c))
        bgw_wheel_arm(bgw_loop_wheel(c->host->loop), &c->busy->timer,
                      conn_now(c).mono_ms + after_ms);
    else
        conn_abort(c); /* no memory for its deadline */
}

void conn_disarm(struct bgw_conn *c)
{
    if (c->busy)
        bgw_wheel_cancel(bgw_loop_wheel(c->host->loop), &c->busy->timer);
}

/* ---- sending ---- */

struct bgw_buf *conn_buf_make(size_t len_max)
{
    struct bgw_buf *b = malloc(sizeof(*b));
    if (b)
        bgw_buf_init(b, len_max);
    return b;
}

void conn_buf_drop(struct bgw_buf **b)
{
    if (*b)
        bgw_buf_deinit(*b);
    free(*b);
    *b = NULL;
}

/* Keeps bytes in *to. False: too much, or no memory. */
bool conn_keep(struct bgw_buf **to, struct bgw_slice bytes, size_t len_max)
{
    if (!*to)
        *to = conn_buf_make(len_max);
    if (!*to)
        return false;
    bgw_buf_append(*to, bytes);
    return !(*to)->failed;
}

static bool has_out(const struct bgw_conn *c)
{
    return c->busy && c->busy->out;
}

static void send_now(struct bgw_conn *c, struct bgw_slice bytes)
{
    if (!has_out(c) && !bgw_socket_buffered(c->sock))
        (void)bgw_socket_send(c->sock, bytes);
    else if (!conn_need_busy(c) || !conn_keep(&c->busy->out, bytes, OUT_MAX))
        conn_abort(c);
}

static void drop_head(struct bgw_conn *c)
{
    if (!c->busy)
        return;
    bgw_list_remove(&c->busy->head_link);
    conn_buf_drop(&c->busy->head);
}

void conn_release_head(struct bgw_conn *c)
{
    struct bgw_buf *head = c->busy ? c->busy->head : NULL;
    if (!head)
        return;
    c->busy->head = NULL;
    drop_head(c);
    send_now(c, bgw_buf_slice(head));
    conn_buf_drop(&head);
}

void conn_send_head(struct bgw_conn *c, struct bgw_slice bytes)
{
    bool first = c->state != CONN_DONE && conn_need_busy(c) && !c->busy->head;
    if (!first || !conn_keep(&c->busy->head, bytes, HEAD_MAX)) {
        if (first)
            drop_head(c);
        conn_send(c, bytes);
        return;
    }
    bgw_list_push_back(&c->host->heads, &c->busy->head_link);
}

void conn_send(struct bgw_conn *c, struct bgw_slice bytes)
{
    if (c->state == CONN_DONE || !bytes.len)
        return;
    bool joined = c->busy && c->busy->head && conn_keep(&c->busy->head, bytes, HEAD_MAX);
    conn_release_head(c);
    if (!joined && c->state != CONN_DONE)
        send_now(c, bytes);
}

static void flush_out(struct bgw_conn *c)
{
    struct bgw_buf *out = c->busy ? c->busy->out : NULL;
    if (!out || bgw_socket_buffered(c->sock))
        return;
    c->busy->out = NULL;
    (void)bgw_socket_send(c->sock, bgw_buf_slice(out));
    conn_buf_drop(&out);
}

enum bgw_sent bgw_conn_send(void *arg, void *conn, struct bgw_slice bytes)
{
    struct bgw_conn *c = conn;
    (void)arg;
    conn_send(c, bytes);
    bool held = c->state == CONN_DONE || has_out(c) || bgw_socket_buffered(c->sock);
    return held ? BGW_SENT_BUFFERED : BGW_SENT_ALL;
}

/* ---- ending ---- */

static void end_session(struct bgw_conn *c)
{
    struct bgw_session *session = c->session;
    if (!session)
        return;
    if (bgw_session_authenticated(session)) {
        conn_audit(c, BGW_AUDIT_ENDED, NULL, NULL);
        conn_door_end(c);
    }
    c->session = NULL;
    bgw_session_close(c->host->native.shard, session);
}

void conn_drop_key_wait(struct bgw_conn *c)
{
    struct conn_key_wait *wait = c->busy ? c->busy->key_wait : NULL;
    if (!wait)
        return;
    c->busy->key_wait = NULL;
    bgw_blob_release(wait->message);
    free(wait);
}

static void drop_all(struct bgw_conn *c)
{
    if (!c->busy)
        return;
    conn_disarm(c);
    bgw_list_remove(&c->busy->wait_link);
    bgw_http_reader_destroy(&c->busy->reader);
    conn_drop_key_wait(c);
    if (c->busy->reading)
        conn_read_drop(c);
    conn_ops_drop(c);
    drop_head(c);
    conn_buf_drop(&c->busy->stash);
    conn_buf_drop(&c->busy->records);
}

void conn_finish(struct bgw_conn *c)
{
    if (c->state == CONN_DONE)
        return;
    c->stop = true;
    conn_release_head(c);
    if (c->state == CONN_DONE)
        return;
    drop_all(c);
    end_session(c);
    if (has_out(c)) { /* the last words wait for the socket: `writable` comes here again */
        c->state = CONN_CLOSING;
        c->finishing = true;
        conn_arm(c, c->host->close_ms);
        return;
    }
    c->state = CONN_DONE;
    bgw_socket_pause(c->sock, false); /* the linger reads on, and drops */
    bgw_socket_finish(c->sock);
}

/* Also from inside the shard: the session goes when the socket is gone. */
void conn_abort(struct bgw_conn *c)
{
    if (c->state == CONN_DONE)
        return;
    c->state = CONN_DONE;
    c->stop = true;
    drop_all(c);
    bgw_socket_abort(c->sock);
}

static const struct {
    uint16_t code;
    enum bgw_metric counter;
} close_counters[] = {
    {1000, BGW_M_CLOSES_1000}, {1001, BGW_M_CLOSES_1001}, {1002, BGW_M_CLOSES_1002},
    {1003, BGW_M_CLOSES_1003}, {1006, BGW_M_CLOSES_1006}, {1007, BGW_M_CLOSES_1007},
    {1009, BGW_M_CLOSES_1009}, {3001, BGW_M_CLOSES_3001}, {3005, BGW_M_CLOSES_3005},
    {3008, BGW_M_CLOSES_3008}, {3012, BGW_M_CLOSES_3012}, {3013, BGW_M_CLOSES_3013},
    {3500, BGW_M_CLOSES_3500}, {3501, BGW_M_CLOSES_3501}, {3504, BGW_M_CLOSES_3504},
    {3507, BGW_M_CLOSES_3507}, {3510, BGW_M_CLOSES_3510},
};

static void count_close(const struct bgw_conn *c)
{
    enum bgw_metric counter = BGW_M_CLOSES_OTHER;
    uint16_t code = c->close_code ? c->close_code : 1006;
    for (size_t i = 0; i < sizeof(close_counters) / sizeof(*close_counters); i++) {
        if (close_counters[i].code == code)
            counter = close_counters[i].counter;
    }
    bgw_metric_add(counter, 1);
    bgw_metric_add(BGW_M_SIGNALR_CONNECTIONS, -1);
    bgw_metric_add(conn_gauge((enum conn_kind)c->kind), -1);
    uint32_t lasted_ms = (uint32_t)conn_now(c).mono_ms - c->opened_ms;
    bgw_metric_observe_us(BGW_M_SIGNALR_DURATION, (int64_t)lasted_ms * 1000);
}

void bgw_conn_closed(void *conn)
{
    struct bgw_conn *c = conn;
    c->state = CONN_DONE;
    drop_all(c);
    end_session(c);
    if (c->busy)
        conn_buf_drop(&c->busy->out);
    drop_busy(c);
    if (c->upgraded)
        count_close(c);
    conn_negotiate_closed(c);
    conn_door_closed(c);
    bgw_pool_give(&c->host->pool, c);
}

/* ---- deadlines ---- */

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_conn *c = BGW_CONTAINER(timer, struct conn_busy, timer)->conn;
    (void)now_ms;
    bgw_shard_set_now(c->host->native.shard, conn_now(c));
    if (c->state == CONN_HTTP)
        conn_http_deadline(c);
    else if (c->state == CONN_KEY_WAIT)
        conn_http_request(c);
    else
        conn_ws_deadline(c);
    if (c->state != CONN_OPEN && c->state != CONN_OPS) /* else a wait of ours is over */
        return;
    if (conn_may_read(c))
        conn_resume(c);
    else
        conn_wait(c);
}

/* ---- reading ---- */

void *bgw_conn_opened(void *host, struct bgw_socket *sock)
{
    struct bgw_conn_host *h = host;
    struct bgw_conn *c = bgw_pool_take(&h->pool);
    if (!c)
        return NULL;
    c->host = h;
    c->sock = sock;
    if (!conn_need_busy(c)) {
        bgw_pool_give(&h->pool, c);
        return NULL;
    }
    conn_arm(c, h->policy->header_ms);
    return c;
}

static bool slowed(const struct bgw_conn *c)
{
    return c->state == CONN_OPEN && c->busy && bgw_timer_armed(&c->busy->timer);
}

void conn_slow(struct bgw_conn *c, int64_t wait_ms)
{
    BGW_ASSERT(c->state == CONN_OPEN);
    c->stop = true;
    conn_arm(c, wait_ms > 0 ? wait_ms : 1);
}

bool conn_may_read(const struct bgw_conn *c)
{
    if (c->finishing)
        return false;
    if (has_out(c) || bgw_socket_buffered(c->sock))
        return c->state == CONN_CLOSING; /* only the peer's close frame is of interest */
    switch (c->state) {
    case CONN_HTTP:
    case CONN_OPS:
    case CONN_CLOSING:
        return true;
    case CONN_OPEN:
        return !bgw_session_choked(c->session) && !slowed(c);
    default:
        return false;
    }
}

/* Those whose timer or answer ends the wait are not looked at in each turn: there may be very many. */
static bool timed(const struct bgw_conn *c)
{
    return slowed(c) || c->state == CONN_KEY_WAIT || c->state == CONN_KEY_WAIT_OPEN || c->state == CONN_READING;
}

void conn_wait(struct bgw_conn *c)
{
    if (c->state == CONN_DONE)
        return;
    if (!conn_need_busy(c)) {
        conn_abort(c);
        return;
    }
    bgw_socket_pause(c->sock, true);
    if (!timed(c) && !bgw_list_linked(&c->busy->wait_link))
        bgw_list_push_back(&c->host->waiting, &c->busy->wait_link);
}

static bool is_stream(const struct bgw_conn *c)
{
    return c->state == CONN_OPS || c->kind == CONN_STREAM || c->kind == CONN_SIGNALR_STREAM;
}

/* Looks at as many bytes as it may; returns how many. */
static size_t pump(struct bgw_conn *c, char *bytes, size_t len)
{
    size_t used = 0;
    while (used < len && conn_may_read(c)) {
        if (c->state == CONN_HTTP)
            used += conn_http_feed(c, bgw_slice_of(bytes + used, len - used));
        else if (is_stream(c))
            conn_finish(c); /* a stream's client has nothing more to say */
        else
            used += conn_ws_feed(c, bytes + used, len - used);
    }
    return c->state == CONN_DONE || c->finishing ? len : used;
}

void bgw_conn_received(void *conn, struct bgw_slice bytes)
{
    struct bgw_conn *c = conn;
    if (c->state == CONN_DONE || c->finishing)
        return;
    bgw_shard_set_now(c->host->native.shard, conn_now(c));
    if (c->session)
        bgw_session_on_traffic(c->host->native.shard, c->session, conn_now(c));
    if (!conn_need_busy(c) && !(bgw_reserve_spend() && conn_need_busy(c))) {
        conn_abort(c);
        return;
    }
    /* the transport hands its receive buffer over: unmasking in place is allowed (transport.h) */
    size_t used = c->busy->stash ? 0 : pump(c, (char *)(uintptr_t)bytes.data, bytes.len);
    if (used < bytes.len &&
        !conn_keep(&c->busy->stash, bgw_slice_of(bytes.data + used, bytes.len - used), STASH_MAX)) {
        conn_abort(c);
        return;
    }
    if (!conn_may_read(c))
        conn_wait(c);
    conn_settle(c);
}

void conn_resume(struct bgw_conn *c)
{
    if (!conn_may_read(c))
        return;
    if (c->busy->stash) {
        struct bgw_buf *stash =
            c->busy->stash; /* ours while it is looked at: the connection may end in between */
        c->busy->stash = NULL;
        bgw_buf_consume(stash, pump(c, stash->data, stash->len));
        if (stash->len)
            c->busy->stash = stash;
        else
            conn_buf_drop(&stash);
        if (!conn_may_read(c))
            return;
    }
    if (c->busy->records) {
        conn_signalr_resume(c);
        if (!conn_may_read(c))
            return;
    }
    bgw_list_remove(&c->busy->wait_link);
    bgw_socket_pause(c->sock, false);
    conn_settle(c);
}

void bgw_conn_writable(void *conn)
{
    struct bgw_conn *c = conn;
    if (c->state == CONN_DONE)
        return;
    bgw_shard_set_now(c->host->native.shard, conn_now(c));
    flush_out(c);
    if (has_out(c) || bgw_socket_buffered(c->sock))
        return;
    if (c->finishing) {
        conn_finish(c);
        return;
    }
    if (c->session)
        bgw_session_on_writable(c->host->native.shard, c->session, conn_now(c));
    if (c->state != CONN_DONE && c->busy && bgw_list_linked(&c->busy->wait_link))
        conn_resume(c);
    conn_settle(c);
}
