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

#define CLOSE_INTERNAL 1011 /* RFC 6455: what the codec answers without memory */

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

static void refuse_token(struct bgw_conn *c, enum bgw_auth_result result, const struct bgw_claims *claims)
{
    if (result != BGW_AUTH_MISSING)
        conn_audit(c, BGW_AUDIT_REFUSED, claims, bgw_auth_code(result));
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

static enum bgw_metric counter_of(enum bgw_refusal why)
{
    switch (why) {
    case BGW_REFUSAL_FORBIDDEN_ORIGIN:
        return BGW_M_HANDSHAKES_FORBIDDEN_ORIGIN;
    case BGW_REFUSAL_FORBIDDEN_CLIENT:
        return BGW_M_HANDSHAKES_FORBIDDEN_CLIENT;
    case BGW_REFUSAL_BUDGET:
        return BGW_M_HANDSHAKES_BUDGET;
    case BGW_REFUSAL_ADDRESS_LIMIT:
        return BGW_M_HANDSHAKES_ADDRESS_LIMIT;
    case BGW_REFUSAL_INTERNAL:
        return BGW_M_HANDSHAKES_OVERLOAD;
    default:
        return bgw_refusal_status(why) == 401 ? BGW_M_HANDSHAKES_UNAUTHORIZED : BGW_M_HANDSHAKES_BAD_REQUEST;
    }
}

static void refuse_handshake(struct bgw_conn *c, enum bgw_refusal why)
{
    char retry_after[40];
    const char *headers = NULL;
    int status = bgw_refusal_status(why);
    if (status == 426)
        headers = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    if (status == 401)
        headers = "WWW-Authenticate: Bearer realm=\"balances\", error=\"invalid_request\"\r\n";
    if (status == 429 || status == 503) {
        conn_door_retry_after(c->host, retry_after);
        headers = retry_after;
    }
    refuse(c, counter_of(why), why, headers);
}

/* The last words of a WebSocket that gets no session: a browser cannot see an HTTP status. */
static void say_bye_at_once(struct bgw_conn *c, uint16_t code, int64_t retry_ms, const char *reason)
{
    c->close_code = code & 0x1fffu;
    bgw_buf_clear(&c->host->out);
    bgw_dialect_native.bye(&c->host->out, code, retry_ms, reason);
    conn_send(c, bgw_buf_slice(&c->host->out));
    conn_finish(c);
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
    c->opened_ms = (uint32_t)conn_now(c).mono_ms;
    c->upgraded = true;
    c->state = CONN_OPEN;
    bgw_metric_add(BGW_M_HANDSHAKES_OK, 1);
    bgw_metric_add(BGW_M_SIGNALR_CONNECTIONS, 1);
    if (claims && !conn_door_take(c, claims)) {
        conn_audit(c, BGW_AUDIT_REFUSED, claims, "connection_limit");
        say_bye_at_once(c, 3504, 0, "connection_limit");
        return;
    }
    h->native.door = &conn_door_native;
    enum bgw_status status = bgw_session_open(h->native.shard, c, &bgw_dialect_native, claims,
                                              conn_now(c), &c->session);
    if (status != BGW_OK && claims)
        conn_door_return(c, claims);
    if (status != BGW_OK)
        say_bye_at_once(c, 3013, 2000, "over_capacity");
    else if (claims)
        conn_audit(c, BGW_AUDIT_SESSION, claims, NULL);
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
    wait->until_ms = conn_now(c).mono_ms + c->host->policy->auth_ms;
    c->state = state & 7u;
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
    enum bgw_refusal why = bgw_handshake_check(r, c->host->policy->origins, &shake);
    if (!why)
        why = bgw_handshake_token(r, c->host->token, &token_len, &given);
    if (!why && !c->busy->key_wait) /* once, not each time that the key is asked for */
        why = conn_door_enter(c, r);
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
        refuse_token(c, result, given && claims.subject_hash ? &claims : NULL);
    } else if (!shake.native) {
        refuse_handshake(c, BGW_REFUSAL_UNKNOWN_DIALECT);
    } else if (given && !conn_door_staff(c, &claims)) {
        conn_audit(c, BGW_AUDIT_REFUSED, &claims, bgw_refusal_code(BGW_REFUSAL_FORBIDDEN_CLIENT));
        refuse_handshake(c, BGW_REFUSAL_FORBIDDEN_CLIENT);
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
    if (code == CLOSE_INTERNAL && c->state == CONN_OPEN) { /* the codec had no memory for the message: come back later */
        say_bye_at_once(c, 3013, 2000, "over_capacity");
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

static void on_message(void *user, enum bgw_ws_opcode opcode, struct bgw_slice payload)
{
    struct bgw_conn *c = user;
    BGW_ASSERT(opcode == BGW_WS_TEXT);
    if (c->state != CONN_OPEN)
        return;
    if (payload.len > c->host->policy->early_message_bytes_max &&
        !bgw_session_authenticated(c->session) && !bgw_native_is_hello(payload)) {
        fail(c, 1009);
        return;
    }
    charge(c);
    if (!give(c, payload))
        wait_for_key(c, CONN_KEY_WAIT_OPEN, payload);
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
    c->close_code = code & 0x1fffu;
    c->state = CONN_CLOSING;
    c->stop = true;
    conn_arm(c, c->host->close_ms);
    bgw_socket_pause(c->sock, false); /* a choked or waiting one must still show its close frame */
}
