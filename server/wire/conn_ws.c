/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_ws: a connection from its upgrade request to its last close frame. Hides the handshake's
 * answers, message limits before and after authentication, pongs and the close handshake. Called by
 * conn on the shard's thread. Invariant: after our close frame nothing of the peer has an effect,
 * and no token is checked by half: one that waits for its key stops the connection's reading.
 */
#include "conn_private.h"

#include "handshake.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define HELLO_BYTES_MAX (2 * BGW_NATIVE_EARLY_MAX)
#define MESSAGE_BYTES_MAX 65536u
#define FRAGMENTS_MAX 1000u

/* ---- the handshake ---- */

static void refuse_with(struct bgw_conn *c, enum bgw_metric counter,
                        const struct bgw_http_problem *p)
{
    bgw_metric_add(counter, 1);
    bgw_buf_clear(&c->host->out);
    bgw_http_reply_problem(&c->host->out, p, conn_now(c));
    c->state = CONN_HTTP; /* from KEY_WAIT, perhaps */
    conn_send(c, bgw_buf_slice(&c->host->out));
    conn_finish(c);
}

static void refuse(struct bgw_conn *c, enum bgw_metric counter, enum bgw_refusal why,
                   const char *headers)
{
    const struct bgw_http_problem p = {.status = bgw_refusal_status(why),
                                       .code = bgw_refusal_code(why),
                                       .detail = bgw_refusal_sentence(why),
                                       .headers = headers};
    refuse_with(c, counter, &p);
}

static void refuse_token(struct bgw_conn *c, enum bgw_auth_result result)
{
    const struct bgw_http_problem p = {
        .status = 401,
        .code = bgw_auth_code(result),
        .detail = bgw_auth_sentence(result),
        .headers = result == BGW_AUTH_MISSING
                       ? "WWW-Authenticate: Bearer realm=\"balances\"\r\n"
                       : "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_token\"\r\n",
    };
    refuse_with(c, BGW_M_HANDSHAKES_UNAUTHORIZED, &p);
}

static void refuse_handshake(struct bgw_conn *c, enum bgw_refusal why)
{
    const char *headers = NULL;
    enum bgw_metric counter = BGW_M_HANDSHAKES_BAD_REQUEST;
    if (bgw_refusal_status(why) == 426)
        headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\n";
    if (why == BGW_REFUSAL_FORBIDDEN_ORIGIN)
        counter = BGW_M_HANDSHAKES_FORBIDDEN_ORIGIN;
    if (bgw_refusal_status(why) == 401) {
        headers = "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_request\"\r\n";
        counter = BGW_M_HANDSHAKES_UNAUTHORIZED;
    }
    refuse(c, counter, why, headers);
}

static void open_session(struct bgw_conn *c, const struct bgw_handshake *shake,
                         const struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    if (bgw_shard_session_count(h->native.shard) >= h->sessions_max) {
        refuse(c, BGW_M_HANDSHAKES_OVERLOAD, BGW_REFUSAL_OVERLOAD, "Retry-After: 2\r\n");
        return;
    }
    bgw_buf_clear(&h->out);
    bgw_http_reply_upgrade(&h->out, shake->accept, BGW_NATIVE_PROTOCOL);
    conn_send(c,
              bgw_buf_slice(&h->out)); /* before the session, whose first word may come at once */
    bgw_http_reader_destroy(&c->busy->reader);
    conn_drop_key_wait(c);
    conn_disarm(c);
    c->opened_ms = conn_now(c).mono_ms;
    c->upgraded = true;
    c->state = CONN_OPEN;
    bgw_metric_add(BGW_M_HANDSHAKES_OK, 1);
    bgw_metric_add(BGW_M_SIGNALR_CONNECTIONS, 1);
    if (bgw_session_open(h->native.shard, c, &bgw_dialect_native, claims, conn_now(c),
                         &c->session) == BGW_OK)
        return;
    c->close_code = 3013;
    bgw_buf_clear(&h->out);
    bgw_dialect_native.bye(&h->out, 3013, 2000, "over_capacity");
    conn_send(c, bgw_buf_slice(&h->out));
    conn_finish(c);
}

/* Nothing is read until the timer has asked again. */
static void wait_for_key(struct bgw_conn *c, enum conn_state state, struct bgw_slice message)
{
    struct conn_key_wait *wait = calloc(1, sizeof(*wait));
    c->busy->key_wait = wait;
    if (wait && message.len)
        wait->message = bgw_blob_copy(message);
    if (!wait || (message.len && !wait->message)) {
        conn_abort(c);
        return;
    }
    wait->until_ms = conn_now(c).mono_ms + c->host->key_wait_ms;
    c->state = (uint8_t)state;
    c->stop = true;
    conn_wait(c);
    conn_arm(c, c->host->key_retry_ms);
}

void conn_ws_upgrade(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    struct bgw_handshake shake;
    struct bgw_claims claims;
    size_t token_len = 0;
    bool given = false;
    if (c->host->draining) {
        refuse(c, BGW_M_HANDSHAKES_DRAINING, BGW_REFUSAL_DRAINING, "Retry-After: 2\r\n");
        return;
    }
    enum bgw_refusal why = bgw_handshake_check(r, c->host->api.config->origins, &shake);
    if (!why)
        why = bgw_handshake_token(r, c->host->token, &token_len, &given);
    if (why) {
        refuse_handshake(c, why);
        return;
    }
    enum bgw_auth_result result = BGW_AUTH_OK;
    if (given)
        result = bgw_auth_verify(c->host->native.auth, bgw_slice_of(c->host->token, token_len),
                                 conn_now(c), &claims);
    else if (!shake.native)
        result = BGW_AUTH_MISSING;
    if (result == BGW_AUTH_PENDING) {
        if (c->busy->key_wait) /* asked before: the deadline goes on */
            conn_arm(c, c->host->key_retry_ms);
        else
            wait_for_key(c, CONN_KEY_WAIT, BGW_SLICE(""));
    } else if (result != BGW_AUTH_OK) {
        refuse_token(c, result);
    } else if (!shake.native) {
        refuse_handshake(c, BGW_REFUSAL_UNKNOWN_DIALECT);
    } else {
        open_session(c, &shake, given ? &claims : NULL);
    }
    if (given && result == BGW_AUTH_OK)
        bgw_claims_deinit(&claims);
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

static void fail(struct bgw_conn *c, uint16_t code)
{
    if (c->state != CONN_CLOSING) {
        c->close_code = code;
        send_close(c, code);
    }
    conn_finish(c);
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

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    BGW_ASSERT(opcode == BGW_WS_TEXT);
    if (c->state != CONN_OPEN)
        return;
    if (payload.len > BGW_NATIVE_EARLY_MAX && !bgw_session_authenticated(c->session) &&
        !bgw_native_is_hello(payload)) {
        fail(c, 1009);
        return;
    }
    if (!give(c, payload))
        wait_for_key(c, CONN_KEY_WAIT_OPEN, payload);
}

static void on_ping(void *user, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    struct bgw_buf frame;
    if (c->state != CONN_OPEN)
        return;
    bgw_buf_init(&frame, 256);
    bgw_ws_append(&frame, BGW_WS_PONG, payload);
    conn_send(c, bgw_buf_slice(&frame));
    bgw_buf_deinit(&frame);
}

static void on_pong(void *user, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    (void)payload;
    if (c->state == CONN_OPEN)
        bgw_session_on_pong(c->host->native.shard, c->session, conn_now(c));
}

static void on_close(void *user, uint16_t code, struct bgw_slice reason)
{
    struct bgw_conn *c = user;
    (void)reason;
    if (c->state == CONN_OPEN) {
        c->close_code = code == 1005 ? 1000 : code; /* no code is a normal end */
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
    const struct bgw_ws_limits limits = {
        .message_max = known ? MESSAGE_BYTES_MAX : HELLO_BYTES_MAX,
        .fragments_max = FRAGMENTS_MAX,
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
    case CONN_KEY_WAIT:
        if (conn_now(c).mono_ms < c->busy->key_wait->until_ms)
            conn_ws_upgrade(c);
        else
            refuse(c, BGW_M_HANDSHAKES_TIMEOUT, BGW_REFUSAL_KEY_UNAVAILABLE, "Retry-After: 2\r\n");
        break;
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
    c->close_code = code;
    c->state = CONN_CLOSING;
    c->stop = true;
    conn_arm(c, c->host->close_ms);
    bgw_socket_pause(c->sock, false); /* a choked or waiting one must still show its close frame */
}
