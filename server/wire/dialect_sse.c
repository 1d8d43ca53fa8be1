/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_sse: what the gateway says in an event stream (WHATWG HTML, 9.2). Hides the fields of an
 * event, and how a resume token becomes the id of what was said last. Called by the shard on its
 * thread. Invariants: a buffer holds whole blocks only, each ending with an empty line; a block
 * that did not fit is taken back and `failed` stays set; no value has a line's end in it, for our
 * JSON escapes them.
 */
#include "sse.h"

#include "native_encode.h"

#define RETRY_MS 2000 /* until the gateway says otherwise: EventSource's own is three seconds and more */

/* "event: NAME", "data: {": the members follow. Returns where the block began. */
static size_t event_begin(struct bgw_buf *out, const char *name)
{
    size_t began = out->len;
    bgw_buf_append(out, BGW_SLICE("event: "));
    bgw_buf_append_str(out, name);
    bgw_buf_append(out, BGW_SLICE("\ndata: "));
    return began;
}

static void block_end(struct bgw_buf *out, size_t began)
{
    bgw_buf_append(out, BGW_SLICE("\n\n"));
    if (out->failed)
        out->len = began;
}

static size_t object_begin(struct bgw_buf *out, const char *name)
{
    size_t began = event_begin(out, name);
    bgw_buf_append_byte(out, '{');
    return began;
}

static void object_end(struct bgw_buf *out, size_t began)
{
    bgw_buf_append_byte(out, '}');
    block_end(out, began);
}

/* ---- updates: an event each ---- */

static size_t sse_updates_begin(struct bgw_buf *out)
{
    return out->len;
}

static void sse_update(struct bgw_buf *out, const struct bgw_update *u)
{
    size_t began = event_begin(out, "upd");
    bgw_native_append_entry(out, u);
    block_end(out, began);
}

static void sse_updates_end(struct bgw_buf *out, size_t began)
{
    (void)out, (void)began;
}

/* The id belongs to the event that stands before: its empty line moves behind the id. A block of
 * its own, where nothing stands before, sets the client's last event id too. */
static void sse_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    const struct bgw_slice start = BGW_SLICE("id: "), end = BGW_SLICE("\n\n");
    (void)w, (void)digest;
    if (!resume.len || !bgw_buf_reserve(out, start.len + resume.len + end.len))
        return; /* nothing is taken back for what does not fit */
    if (out->len)
        out->len--;
    bgw_buf_append(out, start);
    bgw_buf_append(out, resume);
    bgw_buf_append(out, end);
}

/* ---- the rest ---- */

static void sse_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    size_t began = object_begin(out, "state");
    bgw_native_append_state(out, news);
    object_end(out, began);
}

static void sse_live(struct bgw_buf *out, uint64_t id)
{
    size_t began = object_begin(out, "live");
    bgw_buf_append(out, BGW_SLICE("\"id\":"));
    bgw_buf_append_u64(out, id);
    object_end(out, began);
}

/* A comment, for whoever looks at the stream; the connection's id stands in the audit log too. */
static void sse_hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    size_t began = out->len;
    bgw_buf_append(out, BGW_SLICE(": "));
    bgw_buf_append(out, info->server.len ? info->server : BGW_SLICE("bgw"));
    bgw_buf_append(out, BGW_SLICE(" conn "));
    bgw_buf_append_hex64(out, info->conn);
    bgw_buf_append(out, BGW_SLICE("\nretry: "));
    bgw_buf_append_u64(out, RETRY_MS);
    block_end(out, began);
}

static void sse_sub_reply(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    size_t began = object_begin(out, "sub");
    bgw_native_append_sub(out, reply);
    object_end(out, began);
}

/* A stream has no commands of its client's; what opens it may still fail. */
static void sse_err(struct bgw_buf *out, bool has_id, uint64_t id, const char *code, const char *text)
{
    (void)has_id, (void)id;
    size_t began = object_begin(out, "err");
    bgw_native_append_err(out, code, text);
    object_end(out, began);
}

static void sse_no_answer(struct bgw_buf *out, uint64_t id)
{
    (void)out, (void)id;
}

static void sse_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)
{
    size_t began = object_begin(out, "revoked");
    bgw_native_append_revoked(out, keys, count, reason);
    object_end(out, began);
}

/* EventSource connects again by itself: after `retry`, which is how a drain spreads its clients. */
static void sse_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    size_t began = out->len;
    if (retry_ms > 0) {
        bgw_buf_append(out, BGW_SLICE("retry: "));
        bgw_buf_append_i64(out, retry_ms);
        bgw_buf_append_byte(out, '\n');
    }
    (void)object_begin(out, "bye");
    bgw_native_append_bye(out, code, retry_ms, reason);
    object_end(out, began);
}

static void sse_keepalive(struct bgw_buf *out)
{
    size_t began = out->len;
    bgw_buf_append_byte(out, ':');
    block_end(out, began);
}

const struct bgw_dialect bgw_dialect_sse = {
    .encoding = BGW_ENCODING_NATIVE,
    .heartbeat = true,
    .id_each = true,
    .prepare = bgw_native_prepare,
    .updates_begin = sse_updates_begin,
    .update = sse_update,
    .updates_end = sse_updates_end,
    .state = sse_state,
    .live = sse_live,
    .mark = sse_mark,
    .hello = sse_hello,
    .sub_reply = sse_sub_reply,
    .ok = sse_no_answer,
    .pong = sse_no_answer,
    .err = sse_err,
    .revoked = sse_revoked,
    .bye = sse_bye,
    .keepalive = sse_keepalive,
};
