/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_ws: a WebSocket from its upgrade request to its last close frame. Hides which dialect a
 * message is of, message limits before and after authentication, pongs and the close handshake.
 * Called by conn on the shard's thread. Invariant: after our close frame nothing of the peer has an
 * effect, and no token is checked by half: one that waits for its key stops the connection's reading.
 */
#include "conn_private.h"

#include "handshake.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define CLOSE_INTERNAL 1011 /* RFC 6455: what the codec answers without memory */

/* ---- the handshake ---- */

/* What the request asks for, its token and its id aside. */
static enum bgw_refusal check(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_handshake *shake)
{
    enum bgw_refusal why = conn_door_shut(c);
    if (!why)
        why = bgw_handshake_check(r, c->host->policy->origins, shake);
    if (!why && !c->busy->key_wait) /* once, not each time that the key is asked for */
        why = conn_door_enter(c, r);
    return why;
}

static void open_ws(struct bgw_conn *c, const struct bgw_handshake *shake, const struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    bool native = shake->native, named = shake->named;
    if (bgw_shard_session_count(h->native.shard) >= h->sessions_max) {
        conn_http_refuse_handshake(c, BGW_REFUSAL_OVERLOAD);
        return;
    }
    if (!native && !conn_open_place(c, claims))
        return;
    if (!native && conn_negotiate_attach(c, bgw_http_reader_request(c->busy->reader), claims)) {
        conn_door_return(c, claims);
        return;
    }
    bgw_buf_clear(&h->out);
    bgw_http_reply_upgrade(&h->out, shake->accept, native ? BGW_NATIVE_PROTOCOL : NULL);
    conn_send_head(c, bgw_buf_slice(&h->out)); /* before the session, whose first word may come at once */
    if (native)
        conn_open_session(c, CONN_NATIVE, &bgw_dialect_native, claims);
    else
        conn_open_session(c, named ? CONN_SIGNALR : CONN_UNDECIDED, &bgw_dialect_signalr_greeting, claims);
}

void conn_ws_upgrade(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    struct bgw_handshake shake;
    struct bgw_claims claims;
    enum bgw_refusal why = check(c, r, &shake);
    if (why) {
        conn_http_refuse_handshake(c, why);
        return;
    }
    enum conn_token token = conn_door_token(c, r, shake.native ? 0 : CONN_TOKEN_REQUIRED, &claims);
    if (token == CONN_TOKEN_ENDED)
        return;
    open_ws(c, &shake, token == CONN_TOKEN_OK ? &claims : NULL);
    if (token == CONN_TOKEN_OK)
        bgw_claims_deinit(&claims);
}

/* A message's token waits: nothing is read until the timer has asked again. */
static void wait_for_key(struct bgw_conn *c, struct bgw_slice message)
{
    if (conn_door_wait(c, message))
        c->state = CONN_KEY_WAIT_OPEN;
}

/* ---- frames ---- */

static void send_close(struct bgw_conn *c, uint16_t code)
{
    struct bgw_buf frame;
    bgw_buf_init(&frame, 256);
    bgw_ws_append_close(&frame, code, BGW_SLICE(""));
    conn_send(c, bgw_buf_slice(&frame));
    bgw_buf_deinit(&frame);
}

/* Of last words that the session does not say. */
static const struct bgw_dialect *dialect_of(const struct bgw_conn *c)
{
    switch ((enum conn_kind)c->kind) {
    case CONN_NATIVE:
        return &bgw_dialect_native;
    case CONN_APP:
        return &bgw_dialect_app;
    case CONN_UNDECIDED:
        return &bgw_dialect_signalr_greeting;
    default:
        return &bgw_dialect_signalr;
    }
}

static void fail(struct bgw_conn *c, uint16_t code)
{
    if (code == CLOSE_INTERNAL && c->state == CONN_OPEN) { /* the codec had no memory for the message: come back later */
        conn_open_no_memory(c, dialect_of(c));
        return;
    }
    if (c->state != CONN_CLOSING) {
        c->close_code = code & 0x1fffu;
        send_close(c, code);
    }
    conn_finish(c);
}

/* Every frame that makes work counts: a ping costs what a command costs. */
static void charge(struct bgw_conn *c)
{
    int64_t wait_ms = 0;
    if (!bgw_session_may_command(c->host->native.shard, c->session, &wait_ms))
        conn_slow(c, wait_ms);
}

/* Gives one message to the session. False: it waits for a key. */
static bool give(struct bgw_conn *c, struct bgw_slice message)
{
    if (bgw_native_command(&c->host->native, c->session, message, conn_now(c)) == BGW_NATIVE_WAIT)
        return false;
    if (c->state == CONN_OPEN && bgw_session_choked(c->session))
        c->stop = true;
    return true;
}

static void on_native(struct bgw_conn *c, struct bgw_slice payload)
{
    if (payload.len > c->host->policy->early_message_bytes_max &&
        !bgw_session_authenticated(c->session) && !bgw_native_is_hello(payload)) {
        fail(c, 1009);
        return;
    }
    charge(c);
    if (!give(c, payload))
        wait_for_key(c, payload);
}

/* The first message of a WebSocket without subprotocol says what is spoken, for good. */
static void decide(struct bgw_conn *c, struct bgw_slice payload)
{
    if (!bgw_app_is(payload)) {
        conn_become(c, CONN_SIGNALR);
        return;
    }
    conn_become(c, CONN_APP);
    bgw_session_settle(c->host->native.shard, c->session, &bgw_dialect_app);
}

static void on_app(struct bgw_conn *c, struct bgw_slice payload)
{
    charge(c);
    bgw_app_message(&c->host->estate, c->session, payload, conn_now(c));
    if (c->state == CONN_OPEN && bgw_session_choked(c->session))
        c->stop = true;
}

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    BGW_ASSERT(opcode == BGW_WS_TEXT);
    if (c->state != CONN_OPEN)
        return;
    if (c->kind == CONN_UNDECIDED)
        decide(c, payload);
    if (c->kind == CONN_NATIVE)
        on_native(c, payload);
    else if (c->kind == CONN_APP)
        on_app(c, payload);
    else
        conn_signalr_feed(c, payload);
}

static void on_ping(void *user, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    struct bgw_buf frame;
    if (c->state != CONN_OPEN)
        return;
    charge(c);
    bgw_buf_init(&frame, 256);
    bgw_ws_append(&frame, BGW_WS_PONG, payload);
    conn_send(c, bgw_buf_slice(&frame));
    bgw_buf_deinit(&frame);
}

static void on_pong(void *user, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    (void)payload;
    if (c->state != CONN_OPEN)
        return;
    charge(c);
    bgw_session_on_pong(c->host->native.shard, c->session, conn_now(c));
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    struct bgw_conn *c = user;
    (void)reason;
    if (c->state == CONN_OPEN) {
        c->close_code = (code == 1005 ? 1000 : code) & 0x1fffu; /* no code is a normal end */
        send_close(c, code == 1005 ? 0 : code);
    }
    conn_finish(c);
}

static const struct bgw_ws_ops frame_ops = {
    .message = on_message,
    .ping = on_ping,
    .pong = on_pong,
    .close = on_close,
};

size_t conn_ws_feed(struct bgw_conn *c, char *bytes, size_t len)
{
    bool known = c->state == CONN_OPEN && bgw_session_authenticated(c->session);
    const struct bgw_policy *p = c->host->policy;
    const struct bgw_ws_limits limits = {
        .message_max = known ? p->message_bytes_max : 2 * p->early_message_bytes_max,
        .fragments_max = p->fragments_max,
    };
    size_t used = 0;
    c->stop = false;
    uint16_t code =
        bgw_ws_decode(&c->busy->decoder, &limits, &frame_ops, c, bytes, len, &c->stop, &used);
    if (c->state == CONN_DONE || c->finishing)
        return len;
    if (code) {
        fail(c, code);
        return len;
    }
    return used;
}

/* ---- deadlines ---- */

static void retry_message(struct bgw_conn *c)
{
    struct conn_key_wait *wait = c->busy->key_wait;
    c->state = CONN_OPEN;
    if (!give(c, bgw_blob_slice(wait->message))) {
        c->state = CONN_KEY_WAIT_OPEN;
        if (conn_now(c).mono_ms < wait->until_ms) {
            conn_arm(c, c->host->key_retry_ms);
            return;
        }
        bgw_session_bye(c->host->native.shard, c->session, 3013, 2000, "key_unavailable");
    }
    conn_drop_key_wait(c);
}

void conn_ws_deadline(struct bgw_conn *c)
{
    switch (c->state) {
    case CONN_KEY_WAIT_OPEN:
        retry_message(c);
        break;
    case CONN_CLOSING: /* the peer's close frame did not come */
        if (c->busy->out || bgw_socket_buffered(c->sock))
            conn_abort(c);
        else
            conn_finish(c);
        break;
    default:
        break;
    }
}

void bgw_conn_hang_up(void *arg, void *conn, uint16_t code)
{
    struct bgw_conn *c = conn;
    (void)arg;
    if (c->state == CONN_DONE)
        return;
    c->close_code = code & 0x1fffu;
    c->stop = true;
    if (c->kind == CONN_STREAM || c->kind == CONN_SIGNALR_STREAM) { /* its end is the connection's */
        conn_finish(c);
        return;
    }
    c->state = CONN_CLOSING;
    conn_arm(c, c->host->close_ms);
    bgw_socket_pause(c->sock, false); /* a choked or waiting one must still show its close frame */
}
