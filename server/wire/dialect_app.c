/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_app: what the gateway says to the estate's app: one JSON object a WebSocket text message,
 * `message` with a target. Hides framing and how refusals are worded. Called by the shard on its
 * thread. Invariant: a buffer holds whole frames; one that did not fit is taken back.
 */
#include "estate_private.h"

#include "bgw/ws_codec.h"

/* ---- frames ---- */

static size_t message_begin(struct bgw_buf *out)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"type\":\"message\","));
    return began;
}

static size_t error_begin(struct bgw_buf *out, const char *code)
{
    size_t began = message_begin(out);
    bgw_buf_append_str(out, "\"target\":\"error\",\"arguments\":[{\"code\":");
    bgw_buf_append_json(out, bgw_slice_str(code));
    bgw_buf_append_str(out, ",\"message\":\"");
    return began;
}

static void error_end(struct bgw_buf *out, size_t began)
{
    bgw_buf_append_str(out, "\"}]}");
    bgw_ws_text_end(out, began);
}

/* ---- updates: a message each ---- */

static size_t app_updates_begin(struct bgw_buf *out)
{
    return out->len;
}

static void app_update(struct bgw_buf *out, const struct bgw_update *u)
{
    size_t began = message_begin(out);
    estate_append_update(out, u);
    bgw_ws_text_end(out, began);
}

static void app_updates_end(struct bgw_buf *out, size_t began)
{
    (void)out, (void)began;
}

/* ---- the rest ---- */

static void app_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    for (size_t i = 0; i < news->count; i++) {
        size_t began = message_begin(out);
        estate_append_state(out, &news->entries[i], news);
        bgw_ws_text_end(out, began);
    }
}

static void say_confirmed(struct bgw_buf *out, const struct bgw_slice *ids, size_t count, int64_t wall_ms)
{
    for (size_t i = 0; i < count; i++) {
        size_t began = message_begin(out);
        estate_append_confirmed(out, ids[i], wall_ms);
        bgw_ws_text_end(out, began);
    }
}

static void app_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    struct estate_call *call = estate_call_of(reply->id);
    say_confirmed(out, reply->ok, reply->ok_count, call->wall_ms);
    say_confirmed(out, reply->current, reply->current_count, call->wall_ms);
    call->refused = reply->denied_count > 0;
    for (size_t i = 0; i < reply->denied_count; i++) {
        size_t began = error_begin(out, reply->denied[i].code);
        estate_append_inside(out, reply->denied[i].key);
        bgw_buf_appendf(out, ": %s", estate_sentence(reply->denied[i].code));
        error_end(out, began);
    }
}

static void app_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text)
{
    struct estate_call *call = has_id ? estate_call_of(id) : NULL;
    size_t began = error_begin(out, code);
    if (call)
        call->refused = true;
    if (call && call->before) {
        bgw_buf_append_str(out, call->before);
        estate_append_inside(out, call->method);
        bgw_buf_append_str(out, call->after);
    } else {
        estate_append_inside(out, bgw_slice_str(text ? text : ""));
    }
    error_end(out, began);
}

static void app_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)
{
    for (size_t i = 0; i < count; i++) {
        size_t began = message_begin(out);
        estate_append_revoked(out, keys[i], reason);
        bgw_ws_text_end(out, began);
    }
}

/* The close frame is all: its code says what to do, as for bgw.v1. */
static void app_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    (void)retry_ms;
    bgw_ws_append_close(out, code, bgw_slice_str(reason ? reason : ""));
}

static void app_keepalive(struct bgw_buf *out)
{
    bgw_ws_append(out, BGW_WS_PING, BGW_SLICE(""));
}

const struct bgw_dialect bgw_dialect_app = {
    .encoding = BGW_ENCODING_ESTATE,
    .blind = true,
    .prepare = estate_prepare,
    .updates_begin = app_updates_begin,
    .update = app_update,
    .updates_end = app_updates_end,
    .state = app_state,
    .live = estate_no_event,
    .mark = estate_no_mark,
    .hello = estate_no_hello,
    .sub_reply = app_sub_reply,
    .ok = estate_no_event,
    .pong = estate_no_event,
    .err = app_err,
    .revoked = app_revoked,
    .bye = app_bye,
    .keepalive = app_keepalive,
};
