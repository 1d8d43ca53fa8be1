/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_native: what the gateway says in bgw.v1, one JSON object a text frame. Hides framing;
 * the JSON itself is native_encode's. Called by the shard on its thread.
 * Invariant: a buffer holds whole frames only; a message that did not fit is taken back and
 * `failed` stays set.
 */
#include "native.h"

#include "native_encode.h"

#include "bgw/ws_codec.h"

/* ---- updates ---- */

static size_t native_updates_begin(struct bgw_buf *out)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"upd\",\"u\":["));
    return began;
}

static void native_update(struct bgw_buf *out, const struct bgw_update *u)
{
    if (out->failed || !out->len)
        return;
    if (out->data[out->len - 1] == '}') /* an entry stands before; else the opening bracket */
        bgw_buf_append_byte(out, ',');
    bgw_native_append_entry(out, u);
}

static void native_updates_end(struct bgw_buf *out, size_t began)
{
    bgw_buf_append(out, BGW_SLICE("]}"));
    bgw_ws_text_end(out, began);
}

/* ---- the rest: one frame a call ---- */

static void native_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append_str(out, "{\"ev\":\"state\",");
    bgw_native_append_state(out, news);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void append_id_event(struct bgw_buf *out, const char *start, uint64_t id)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append_str(out, start);
    bgw_buf_append_u64(out, id);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_live(struct bgw_buf *out, uint64_t id)
{
    append_id_event(out, "{\"ev\":\"live\",\"id\":", id);
}

static void native_ok(struct bgw_buf *out, uint64_t id)
{
    append_id_event(out, "{\"ev\":\"ok\",\"id\":", id);
}

static void native_pong(struct bgw_buf *out, uint64_t id)
{
    append_id_event(out, "{\"ev\":\"pong\",\"id\":", id);
}

static void native_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest,
                        struct bgw_slice resume)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"mark\",\"w\":"));
    bgw_buf_append_json(out, w);
    bgw_buf_append(out, BGW_SLICE(",\"digest\":\""));
    bgw_buf_append_hex64(out, digest);
    bgw_buf_append_byte(out, '"');
    if (resume.len) {
        bgw_buf_append(out, BGW_SLICE(",\"resume\":"));
        bgw_buf_append_json(out, resume);
    }
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    char epoch[BGW_EPOCH_MAX + 1] = "";
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"hello\",\"conn\":\""));
    bgw_buf_append_hex64(out, info->conn); /* text: a JavaScript number would round it */
    bgw_buf_append(out, BGW_SLICE("\",\"ping_s\":"));
    bgw_buf_append_i64(out, info->ping_s);
    if (info->epoch)
        bgw_epoch_format(info->epoch, epoch);
    bgw_native_append_member(out, ",\"epoch\":", epoch);
    if (info->resume.len) {
        bgw_buf_append(out, BGW_SLICE(",\"resume\":"));
        bgw_buf_append_json(out, info->resume);
    }
    bgw_buf_append(out, BGW_SLICE(",\"server\":"));
    bgw_buf_append_json(out, info->server.len ? info->server : BGW_SLICE("bgw"));
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"sub\",\"id\":"));
    bgw_buf_append_u64(out, reply->id);
    bgw_buf_append_byte(out, ',');
    bgw_native_append_sub(out, reply);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code,
                       const char *text)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"err\","));
    if (has_id) {
        bgw_buf_append(out, BGW_SLICE("\"id\":"));
        bgw_buf_append_u64(out, id);
        bgw_buf_append_byte(out, ',');
    }
    bgw_native_append_err(out, code, text);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count,
                           const char *reason)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"revoked\","));
    bgw_native_append_revoked(out, keys, count, reason);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
}

static void native_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    size_t began = bgw_ws_text_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"bye\","));
    bgw_native_append_bye(out, code, retry_ms, reason);
    bgw_buf_append_byte(out, '}');
    bgw_ws_text_end(out, began);
    bgw_ws_append_close(out, code, bgw_slice_str(reason ? reason : ""));
}

static void native_keepalive(struct bgw_buf *out)
{
    bgw_ws_append(out, BGW_WS_PING, BGW_SLICE(""));
}

const struct bgw_dialect bgw_dialect_native = {
    .encoding = BGW_ENCODING_NATIVE,
    .marks = true,
    .prepare = bgw_native_prepare,
    .updates_begin = native_updates_begin,
    .update = native_update,
    .updates_end = native_updates_end,
    .state = native_state,
    .live = native_live,
    .mark = native_mark,
    .hello = native_hello,
    .sub_reply = native_sub_reply,
    .ok = native_ok,
    .pong = native_pong,
    .err = native_err,
    .revoked = native_revoked,
    .bye = native_bye,
    .keepalive = native_keepalive,
};
