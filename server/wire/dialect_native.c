/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_native: what the gateway says in bgw.v1, one JSON object a text frame. Hides member
 * order, framing and what subscribers of one slot share. Called by the shard on its thread.
 * Invariant: a buffer holds whole frames only; a message that did not fit is taken back and
 * `failed` stays set.
 */
#include "native.h"

#include "bgw/assert.h"
#include "bgw/ws_codec.h"

/* Room for the usual header: 4 bytes are right from 126 bytes to 64 KiB. */
#define HEADER_ROOM 4u

/*
 * What `prepare` makes: this header, then three runs of bytes.
 *   start   {"k":"A","v":"         up to the version's text
 *   version k3f9.121               as most connections see it
 *   rest    ,"d":{…}}              once with txnId and deltaMinor, once without (the same run if
 * equal) Between version and rest each connection has its own `snap` and `merged`.
 */
struct prepared {
    struct bgw_version version;
    uint32_t start_len, version_len, single_len, merged_len; /* merged_len 0: single serves both */
};

/* ---- frames ---- */

static size_t frame_begin(struct bgw_buf *out)
{
    size_t began = out->len;
    if (bgw_buf_reserve(out, HEADER_ROOM))
        out->len += HEADER_ROOM;
    return began;
}

static void frame_end(struct bgw_buf *out, size_t began)
{
    char header[10];
    if (out->failed || out->len < began + HEADER_ROOM) {
        out->failed = true;
        out->len = began;
        return;
    }
    size_t payload = out->len - began - HEADER_ROOM;
    size_t header_len = bgw_ws_header(header, BGW_WS_TEXT, payload);
    if (header_len > HEADER_ROOM && !bgw_buf_reserve(out, header_len - HEADER_ROOM)) {
        out->len = began;
        return;
    }
    if (header_len != HEADER_ROOM)
        memmove(out->data + began + header_len, out->data + began + HEADER_ROOM, payload);
    memcpy(out->data + began, header, header_len);
    out->len = began + header_len + payload;
}

static void append_member_str(struct bgw_buf *out, const char *name, const char *text)
{
    bgw_buf_append_str(out, name);
    bgw_buf_append_json(out, bgw_slice_str(text));
}

/* ---- updates ---- */

static void append_start(struct bgw_buf *out, const struct bgw_update *u)
{
    bgw_buf_append(out, BGW_SLICE("{\"k\":"));
    bgw_buf_append_json(out, u->key);
    bgw_buf_append(out, BGW_SLICE(",\"v\":\""));
}

static void append_rest(struct bgw_buf *out, const struct bgw_update *u, bool single)
{
    bgw_buf_append(out, BGW_SLICE(",\"d\":"));
    u->feed->encode_native(u->value, single, out);
    bgw_buf_append_byte(out, '}');
}

static struct bgw_blob *native_prepare(const struct bgw_update *u)
{
    struct prepared p = {.version = u->version};
    struct bgw_buf b;
    char version[BGW_VERSION_TEXT_MAX];
    bgw_buf_init(&b, 1 << 20);
    append_start(&b, u);
    p.start_len = (uint32_t)b.len;
    p.version_len = (uint32_t)bgw_version_format(u->version, version);
    bgw_buf_append(&b, bgw_slice_of(version, p.version_len));
    size_t single_at = b.len;
    append_rest(&b, u, true);
    p.single_len = (uint32_t)(b.len - single_at);
    size_t merged_at = b.len;
    append_rest(&b, u, false);
    p.merged_len = (uint32_t)(b.len - merged_at);
    if (!b.failed && p.merged_len == p.single_len) {
        b.len = merged_at;
        p.merged_len = 0;
    }
    struct bgw_blob *blob = b.failed ? NULL : bgw_blob_create(sizeof(p) + b.len);
    if (blob) {
        memcpy(blob->data, &p, sizeof(p));
        memcpy(blob->data + sizeof(p), b.data, b.len);
    }
    bgw_buf_deinit(&b);
    return blob;
}

static size_t native_updates_begin(struct bgw_buf *out)
{
    size_t began = frame_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"upd\",\"u\":["));
    return began;
}

static void append_flags(struct bgw_buf *out, const struct bgw_update *u)
{
    bgw_buf_append_byte(out, '"');
    if (u->snap)
        bgw_buf_append(out, BGW_SLICE(",\"snap\":true"));
    if (u->merged) {
        bgw_buf_append(out, BGW_SLICE(",\"merged\":"));
        bgw_buf_append_u64(out, u->merged);
    }
}

static void native_update(struct bgw_buf *out, const struct bgw_update *u)
{
    struct prepared p;
    if (out->failed || !out->len)
        return;
    if (out->data[out->len - 1] == '}') /* an entry stands before; else the opening bracket */
        bgw_buf_append_byte(out, ',');
    if (!u->prepared) { /* no memory when it was to be prepared: the same bytes, the slow way */
        char version[BGW_VERSION_TEXT_MAX];
        append_start(out, u);
        bgw_buf_append(out, bgw_slice_of(version, bgw_version_format(u->version, version)));
        append_flags(out, u);
        append_rest(out, u, u->merged == 0);
        return;
    }
    memcpy(&p, u->prepared->data, sizeof(p));
    const char *at = u->prepared->data + sizeof(p);
    const char *rest = at + p.start_len + p.version_len;
    if (bgw_version_equal(p.version, u->version)) {
        bgw_buf_append(out, bgw_slice_of(at, p.start_len + p.version_len));
    } else { /* an alias epoch */
        char version[BGW_VERSION_TEXT_MAX];
        bgw_buf_append(out, bgw_slice_of(at, p.start_len));
        bgw_buf_append(out, bgw_slice_of(version, bgw_version_format(u->version, version)));
    }
    append_flags(out, u);
    bool single = u->merged == 0 || p.merged_len == 0;
    bgw_buf_append(out, bgw_slice_of(single ? rest : rest + p.single_len,
                                     single ? p.single_len : p.merged_len));
}

static void native_updates_end(struct bgw_buf *out, size_t began)
{
    bgw_buf_append(out, BGW_SLICE("]}"));
    frame_end(out, began);
}

/* ---- the rest: one frame a call ---- */

static void append_keys(struct bgw_buf *out, const char *name, const struct bgw_slice *keys,
                        size_t count)
{
    bgw_buf_append_str(out, name);
    bgw_buf_append_byte(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i)
            bgw_buf_append_byte(out, ',');
        bgw_buf_append_json(out, keys[i]);
    }
    bgw_buf_append_byte(out, ']');
}

static void native_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    size_t began = frame_begin(out);
    bgw_buf_append_str(out, "{\"ev\":\"state\",\"keys\":[");
    for (size_t i = 0; i < news->count; i++) {
        if (i)
            bgw_buf_append_byte(out, ',');
        bgw_buf_append_json(out, news->entries[i].key);
    }
    append_member_str(out, "],\"state\":", bgw_slot_state_text(news->state));
    if (news->reason && *news->reason)
        append_member_str(out, ",\"reason\":", news->reason);
    if (news->lag_ms >= 0) {
        bgw_buf_append_str(out, ",\"lag_ms\":");
        bgw_buf_append_i64(out, news->lag_ms);
    }
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
}

static void append_id_event(struct bgw_buf *out, const char *start, uint64_t id)
{
    size_t began = frame_begin(out);
    bgw_buf_append_str(out, start);
    bgw_buf_append_u64(out, id);
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
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
    size_t began = frame_begin(out);
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
    frame_end(out, began);
}

static void native_hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    char epoch[BGW_EPOCH_MAX + 1] = "";
    size_t began = frame_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"hello\",\"conn\":\""));
    bgw_buf_append_hex64(out, info->conn); /* text: a JavaScript number would round it */
    bgw_buf_append(out, BGW_SLICE("\",\"ping_s\":"));
    bgw_buf_append_i64(out, info->ping_s);
    if (info->epoch)
        bgw_epoch_format(info->epoch, epoch);
    append_member_str(out, ",\"epoch\":", epoch);
    if (info->resume.len) {
        bgw_buf_append(out, BGW_SLICE(",\"resume\":"));
        bgw_buf_append_json(out, info->resume);
    }
    bgw_buf_append(out, BGW_SLICE(",\"server\":"));
    bgw_buf_append_json(out, info->server.len ? info->server : BGW_SLICE("bgw"));
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
}

static void native_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    size_t began = frame_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"sub\",\"id\":"));
    bgw_buf_append_u64(out, reply->id);
    append_keys(out, ",\"ok\":", reply->ok, reply->ok_count);
    append_keys(out, ",\"current\":", reply->current, reply->current_count);
    bgw_buf_append(out, BGW_SLICE(",\"denied\":["));
    for (size_t i = 0; i < reply->denied_count; i++) {
        bgw_buf_append_str(out, i ? ",{\"key\":" : "{\"key\":");
        bgw_buf_append_json(out, reply->denied[i].key);
        append_member_str(out, ",\"code\":", reply->denied[i].code);
        bgw_buf_append_byte(out, '}');
    }
    bgw_buf_append(out, BGW_SLICE("]}"));
    frame_end(out, began);
}

static void native_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code,
                       const char *text)
{
    size_t began = frame_begin(out);
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"err\""));
    if (has_id) {
        bgw_buf_append(out, BGW_SLICE(",\"id\":"));
        bgw_buf_append_u64(out, id);
    }
    append_member_str(out, ",\"code\":", code);
    append_member_str(out, ",\"msg\":", text ? text : "");
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
}

static void native_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count,
                           const char *reason)
{
    size_t began = frame_begin(out);
    append_keys(out, "{\"ev\":\"revoked\",\"keys\":", keys, count);
    append_member_str(out, ",\"reason\":", reason ? reason : "");
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
}

static void native_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    size_t began = frame_begin(out);
    const char *why = reason ? reason : "";
    bgw_buf_append(out, BGW_SLICE("{\"ev\":\"bye\",\"code\":"));
    bgw_buf_append_u64(out, code);
    bgw_buf_append(out, BGW_SLICE(",\"retry_ms\":"));
    bgw_buf_append_i64(out, retry_ms);
    append_member_str(out, ",\"reason\":", why);
    bgw_buf_append_byte(out, '}');
    frame_end(out, began);
    bgw_ws_append_close(out, code, bgw_slice_str(why));
}

static void native_keepalive(struct bgw_buf *out)
{
    bgw_ws_append(out, BGW_WS_PING, BGW_SLICE(""));
}

const struct bgw_dialect bgw_dialect_native = {
    .encoding = BGW_ENCODING_NATIVE,
    .marks = true,
    .prepare = native_prepare,
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
