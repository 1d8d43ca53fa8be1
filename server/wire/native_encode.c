/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_encode: entries and members of the native events as JSON. Hides member order and what
 * subscribers of one slot share. Called by dialect_native and dialect_sse on the shard's thread.
 * Invariant: an entry has the same bytes whether it was prepared or not.
 */
#include "native_encode.h"

/*
 * What `prepare` makes: this header, then three runs of bytes.
 *   start   {"k":"A","v":"         up to the version's text
 *   version k3f9.121"              as most connections see it
 *   rest    ,"d":{…}}              once with txnId and deltaMinor, once without (the same run if equal)
 * Between version and rest a connection may have its own `snap` and `merged`; mostly it has neither,
 * and the entry is one run.
 */
struct prepared {
    struct bgw_version version;
    uint32_t start_len, version_len, single_len, merged_len; /* merged_len 0: single serves both */
};

void bgw_native_append_member(struct bgw_buf *out, const char *start, const char *text)
{
    bgw_buf_append_str(out, start);
    bgw_buf_append_json(out, bgw_slice_str(text));
}

/* ---- entries ---- */

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

struct bgw_blob *bgw_native_prepare(const struct bgw_update *u)
{
    struct prepared p = {.version = u->version};
    struct bgw_buf b;
    char version[BGW_VERSION_TEXT_MAX];
    bgw_buf_init(&b, 1 << 20);
    (void)bgw_buf_reserve(&b, 512); /* one step instead of four */
    append_start(&b, u);
    p.start_len = (uint32_t)b.len;
    bgw_buf_append(&b, bgw_slice_of(version, bgw_version_format(u->version, version)));
    bgw_buf_append_byte(&b, '"');
    p.version_len = (uint32_t)b.len - p.start_len;
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

static void append_flags(struct bgw_buf *out, const struct bgw_update *u)
{
    if (u->snap)
        bgw_buf_append(out, BGW_SLICE(",\"snap\":true"));
    if (u->merged) {
        bgw_buf_append(out, BGW_SLICE(",\"merged\":"));
        bgw_buf_append_u64(out, u->merged);
    }
}

static void append_version(struct bgw_buf *out, struct bgw_version v)
{
    char text[BGW_VERSION_TEXT_MAX];
    bgw_buf_append(out, bgw_slice_of(text, bgw_version_format(v, text)));
    bgw_buf_append_byte(out, '"');
}

void bgw_native_append_entry(struct bgw_buf *out, const struct bgw_update *u)
{
    struct prepared p;
    if (!u->prepared) { /* nobody to share it with, or no memory: the same bytes, without a copy */
        append_start(out, u);
        append_version(out, u->version);
        append_flags(out, u);
        append_rest(out, u, u->merged == 0);
        return;
    }
    memcpy(&p, u->prepared->data, sizeof(p));
    const char *at = u->prepared->data + sizeof(p);
    const char *rest = at + p.start_len + p.version_len;
    bool usual = bgw_version_equal(p.version, u->version);
    if (usual && !u->snap && !u->merged) {
        bgw_buf_append(out, bgw_slice_of(at, p.start_len + p.version_len + p.single_len));
        return;
    }
    bgw_buf_append(out, bgw_slice_of(at, p.start_len + (usual ? p.version_len : 0)));
    if (!usual) /* an alias epoch */
        append_version(out, u->version);
    append_flags(out, u);
    bool single = u->merged == 0 || p.merged_len == 0;
    bgw_buf_append(out, bgw_slice_of(single ? rest : rest + p.single_len,
                                     single ? p.single_len : p.merged_len));
}

/* ---- members ---- */

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

void bgw_native_append_state(struct bgw_buf *out, const struct bgw_state_news *news)
{
    bgw_buf_append_str(out, "\"keys\":[");
    for (size_t i = 0; i < news->count; i++) {
        if (i)
            bgw_buf_append_byte(out, ',');
        bgw_buf_append_json(out, news->entries[i].key);
    }
    bgw_native_append_member(out, "],\"state\":", bgw_slot_state_text(news->state));
    if (news->reason && *news->reason)
        bgw_native_append_member(out, ",\"reason\":", news->reason);
    if (news->lag_ms >= 0) {
        bgw_buf_append_str(out, ",\"lag_ms\":");
        bgw_buf_append_i64(out, news->lag_ms);
    }
}

void bgw_native_append_sub(struct bgw_buf *out, const struct bgw_sub_reply *reply)
{
    append_keys(out, "\"ok\":", reply->ok, reply->ok_count);
    append_keys(out, ",\"current\":", reply->current, reply->current_count);
    bgw_buf_append(out, BGW_SLICE(",\"denied\":["));
    for (size_t i = 0; i < reply->denied_count; i++) {
        bgw_buf_append_str(out, i ? ",{\"key\":" : "{\"key\":");
        bgw_buf_append_json(out, reply->denied[i].key);
        bgw_native_append_member(out, ",\"code\":", reply->denied[i].code);
        bgw_buf_append_byte(out, '}');
    }
    bgw_buf_append_byte(out, ']');
}

void bgw_native_append_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason)
{
    append_keys(out, "\"keys\":", keys, count);
    bgw_native_append_member(out, ",\"reason\":", reason ? reason : "");
}

void bgw_native_append_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason)
{
    bgw_buf_append(out, BGW_SLICE("\"code\":"));
    bgw_buf_append_u64(out, code);
    bgw_buf_append(out, BGW_SLICE(",\"retry_ms\":"));
    bgw_buf_append_i64(out, retry_ms);
    bgw_native_append_member(out, ",\"reason\":", reason ? reason : "");
}

void bgw_native_append_err(struct bgw_buf *out, const char *code, const char *text)
{
    bgw_native_append_member(out, "\"code\":", code);
    bgw_native_append_member(out, ",\"msg\":", text ? text : "");
}
