/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_signalr: what the gateway says in SignalR's JSON hub protocol: records that end in 0x1E,
 * many in one WebSocket text message or in one event of a stream. Hides framing, completion texts
 * and how an end is told so that stock clients come back or stay away. Called by the shard on its
 * thread. Invariant: a message ends where a record ends, and at most one completion answers a call.
 */
#include "estate_private.h"

#include "bgw/ws_codec.h"

enum carrier { WEBSOCKET, STREAM };

/* ---- messages and records ---- */

static size_t message_begin(struct bgw_buf *out, enum carrier carrier)
{
    if (carrier == WEBSOCKET)
        return bgw_ws_text_begin(out);
    size_t began = out->len;
    bgw_buf_append_str(out, "data: ");
    return began;
}

/* An empty message is taken back, and so is one that did not fit: a client never sees half a record. */
static void message_end(struct bgw_buf *out, size_t began, enum carrier carrier)
{
    if (carrier == WEBSOCKET) {
        bgw_ws_text_end(out, began);
        return;
    }
    bool empty = out->len <= began + strlen("data: ");
    if (!empty)
        bgw_buf_append_str(out, "\r\n\r\n");
    if (empty || out->failed)
        out->len = began;
}

static void event_begin(struct bgw_buf *out)
{
    bgw_buf_append(out, BGW_SLICE("{\"type\":1,"));
}

static void record_end(struct bgw_buf *out)
{
    bgw_buf_append_byte(out, BGW_RECORD_END);
}

/* ---- events ---- */

static void append_update(struct bgw_buf *out, const struct bgw_update *u)
{
    event_begin(out);
    estate_append_update(out, u);
    record_end(out);
}

static void say_state(struct bgw_buf *out, const struct bgw_state_news *news, enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    for (size_t i = 0; i < news->count; i++) {
        event_begin(out);
        estate_append_state(out, &news->entries[i], news);
        record_end(out);
    }
    message_end(out, began, carrier);
}

static void say_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason,
                        enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    for (size_t i = 0; i < count; i++) {
        event_begin(out);
        estate_append_revoked(out, keys[i], reason);
        record_end(out);
    }
    message_end(out, began, carrier);
}

/* ---- completions ---- */

static void completion_begin(struct bgw_buf *out, const struct estate_call *call)
{
    bgw_buf_append_str(out, "{\"type\":3,\"invocationId\":");
    bgw_buf_append_json(out, call->invocation);
}

/* Calls without an invocationId get none. */
static void append_done(struct bgw_buf *out, const struct estate_call *call)
{
    if (!call->invocation.len)
        return;
    completion_begin(out, call);
    bgw_buf_append_str(out, ",\"result\":null}");
    record_end(out);
}

/* What a HubException that the method threw looks like, up to its message. */
static void exception_begin(struct bgw_buf *out, const struct estate_call *call)
{
    completion_begin(out, call);
    bgw_buf_append_str(out, ",\"error\":\"An unexpected error occurred invoking '");
    estate_append_inside(out, call->method);
    bgw_buf_append_str(out, "' on the server. HubException: ");
}

static void exception_end(struct bgw_buf *out)
{
    bgw_buf_append_str(out, "\"}");
    record_end(out);
}

/* no_grant: why (A, B); bad_id: why (C). In the order of the call, what has one reason together. */
static void append_denied(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    const char *code = "";
    for (size_t i = 0; i < reply->denied_count; i++) {
        const struct bgw_denied *denied = &reply->denied[i];
        if (strcmp(denied->code, code) == 0) {
            bgw_buf_append_str(out, ", ");
        } else {
            bgw_buf_append_str(out, i ? "); " : "");
            bgw_buf_appendf(out, "%s: %s (", denied->code, estate_sentence(denied->code));
        }
        estate_append_inside(out, denied->key);
        code = denied->code;
    }
    bgw_buf_append_byte(out, ')');
}

static void append_confirmed(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, int64_t wall_ms)
{
    for (size_t i = 0; i < count; i++) {
        event_begin(out);
        estate_append_confirmed(out, keys[i], wall_ms);
        record_end(out);
    }
}

static void say_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply, enum carrier carrier)
{
    struct estate_call *call = estate_call_of(reply->id);
    size_t began = message_begin(out, carrier);
    append_confirmed(out, reply->ok, reply->ok_count, call->wall_ms);
    append_confirmed(out, reply->current, reply->current_count, call->wall_ms);
    call->refused = reply->denied_count > 0;
    if (!reply->denied_count) {
        append_done(out, call);
    } else if (call->invocation.len) {
        exception_begin(out, call);
        append_denied(out, reply);
        exception_end(out);
    }
    message_end(out, began, carrier);
}

static void say_ok(struct bgw_buf *out, uint64_t id, enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    append_done(out, estate_call_of(id));
    message_end(out, began, carrier);
}

static void say_err(struct bgw_buf *out, struct estate_call *call, const char *code, const char *text, enum carrier carrier)
{
    call->refused = true;
    if (!call->invocation.len)
        return;
    size_t began = message_begin(out, carrier);
    if (call->before) {
        completion_begin(out, call);
        bgw_buf_append_str(out, ",\"error\":\"");
        bgw_buf_append_str(out, call->before);
        estate_append_inside(out, call->method);
        bgw_buf_append_str(out, call->after);
    } else {
        exception_begin(out, call);
        bgw_buf_append_str(out, code);
        bgw_buf_append_str(out, ": ");
        estate_append_inside(out, bgw_slice_str(text ? text : ""));
    }
    exception_end(out);
    message_end(out, began, carrier);
}

/* ---- the end ---- */

/*
 * Only a Close record without allowReconnect keeps a stock client from coming back, so that is for
 * those who would be refused again (3500 and above, but for a record that cannot be read: ASP.NET lets
 * such a client come back). An error is named only where something went wrong: a drain, an expired
 * token and a silent client end as they do in ASP.NET.
 */
static void append_close(struct bgw_buf *out, uint16_t code, const char *reason)
{
    bool again = (code >= 3000 && code < 3500) || code == 3501;
    bgw_buf_append_str(out, "{\"type\":7");
    if (code == 3008 || code == 3013 || code == 3501) {
        bgw_buf_append_str(out, ",\"error\":\"Connection closed with an error.\"");
    } else if (code >= 3500) {
        bgw_buf_append_str(out, ",\"error\":\"Connection closed: ");
        estate_append_inside(out, bgw_slice_str(reason && *reason ? reason : "refused"));
        bgw_buf_append_str(out, ".\"");
    }
    bgw_buf_append_str(out, again ? ",\"allowReconnect\":true}" : "}");
    record_end(out);
}

/* A stream just ends after its last record. */
static void append_close_frame(struct bgw_buf *out, enum carrier carrier)
{
    if (carrier == WEBSOCKET)
        bgw_ws_append_close(out, 1000, bgw_slice_of(NULL, 0));
}

static void say_bye(struct bgw_buf *out, uint16_t code, const char *reason, enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    append_close(out, code, reason);
    message_end(out, began, carrier);
    append_close_frame(out, carrier);
}

/* Why there is no handshake, as a client's developer reads it. A reason with a space in it is a sentence already. */
static const char *handshake_sentence(const char *reason)
{
    static const struct {
        const char *reason, *sentence;
    } sentences[] = {
        {"handshake_timeout", "Handshake was canceled."},
        {"record_too_large", "Handshake was canceled."},
        {"bad_handshake", "An unexpected error occurred during connection handshake."},
        {"draining", "The server is shutting down."},
        {"token_expired", "The access token has expired."},
        {"revoked", "Access was taken back."},
        {"connection_limit", "Too many connections of this user."},
        {"over_capacity", "The server is over capacity."},
        {"no_memory", "The server is over capacity."},
    };
    for (size_t i = 0; reason && i < sizeof(sentences) / sizeof(*sentences); i++) {
        if (strcmp(sentences[i].reason, reason) == 0)
            return sentences[i].sentence;
    }
    return reason && strchr(reason, ' ') ? reason : "Handshake was canceled.";
}

static void say_handshake_bye(struct bgw_buf *out, const char *reason, enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    bgw_buf_append_str(out, "{\"error\":");
    bgw_buf_append_json(out, bgw_slice_str(handshake_sentence(reason)));
    bgw_buf_append_byte(out, '}');
    record_end(out);
    message_end(out, began, carrier);
    append_close_frame(out, carrier);
}

static void say_ping(struct bgw_buf *out, enum carrier carrier)
{
    size_t began = message_begin(out, carrier);
    bgw_buf_append_str(out, "{\"type\":6}");
    record_end(out);
    message_end(out, began, carrier);
}

/* Before the handshake no record may be said: what a client does not see keeps the way open. */
static void say_handshake_ping(struct bgw_buf *out, enum carrier carrier)
{
    if (carrier == WEBSOCKET)
        bgw_ws_append(out, BGW_WS_PING, BGW_SLICE(""));
    else
        bgw_buf_append_str(out, ":\r\n");
}

void estate_append_handshake(struct bgw_buf *out, const struct bgw_dialect *then)
{
    enum carrier carrier = then == &bgw_dialect_signalr_stream ? STREAM : WEBSOCKET;
    size_t began = message_begin(out, carrier);
    bgw_buf_append_str(out, "{}");
    record_end(out);
    message_end(out, began, carrier);
}

/* ---- the dialects: the same, over each carrier ---- */

#define SIGNALR_OVER(name, CARRIER)                                                                                    \
    static size_t name##_begin(struct bgw_buf *out) { return message_begin(out, CARRIER); }                            \
    static void name##_end(struct bgw_buf *out, size_t began) { message_end(out, began, CARRIER); }                    \
    static void name##_state(struct bgw_buf *out, const struct bgw_state_news *n) { say_state(out, n, CARRIER); }      \
    static void name##_sub(struct bgw_buf *out, const struct bgw_sub_reply *r) { say_sub_reply(out, r, CARRIER); }     \
    static void name##_ok(struct bgw_buf *out, uint64_t id) { say_ok(out, id, CARRIER); }                              \
    static void name##_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text)          \
    {                                                                                                                  \
        if (has_id) /* else nobody waits for it */                                                                     \
            say_err(out, estate_call_of(id), code, text, CARRIER);                                                     \
    }                                                                                                                  \
    static void name##_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)    \
    {                                                                                                                  \
        say_revoked(out, keys, count, reason, CARRIER);                                                                \
    }                                                                                                                  \
    static void name##_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)                   \
    {                                                                                                                  \
        (void)retry_ms; /* stock clients have their own plan */                                                        \
        say_bye(out, code, reason, CARRIER);                                                                           \
    }                                                                                                                  \
    static void name##_early_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)             \
    {                                                                                                                  \
        (void)code, (void)retry_ms;                                                                                    \
        say_handshake_bye(out, reason, CARRIER);                                                                       \
    }                                                                                                                  \
    static void name##_ping(struct bgw_buf *out) { say_ping(out, CARRIER); }                                           \
    static void name##_early_ping(struct bgw_buf *out) { say_handshake_ping(out, CARRIER); }

#define SIGNALR_ROWS(name)                                                                                             \
    .encoding = BGW_ENCODING_ESTATE, .blind = true, .heartbeat = true, .prepare = estate_prepare,                      \
    .updates_begin = name##_begin, .update = append_update, .updates_end = name##_end, .state = name##_state,          \
    .live = estate_no_event, .mark = estate_no_mark, .hello = estate_no_hello, .sub_reply = name##_sub,                \
    .ok = name##_ok, .pong = estate_no_event, .err = name##_err, .revoked = name##_revoked

SIGNALR_OVER(websocket, WEBSOCKET)
SIGNALR_OVER(stream, STREAM)

const struct bgw_dialect bgw_dialect_signalr = {SIGNALR_ROWS(websocket), .bye = websocket_bye, .keepalive = websocket_ping};
const struct bgw_dialect bgw_dialect_signalr_stream = {SIGNALR_ROWS(stream), .bye = stream_bye, .keepalive = stream_ping};
const struct bgw_dialect bgw_dialect_signalr_greeting = {
    SIGNALR_ROWS(websocket), .greeting = true, .bye = websocket_early_bye, .keepalive = websocket_early_ping};
const struct bgw_dialect bgw_dialect_signalr_stream_greeting = {
    SIGNALR_ROWS(stream), .greeting = true, .bye = stream_early_bye, .keepalive = stream_early_ping};
