/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate_encode: the events that SignalR clients and the estate's app get, without the frame that
 * each puts around them. Hides their members and what subscribers of one slot share: the record as
 * one JSON string, escaped once. Called by the two dialects on the shard's thread.
 */
#include "estate_private.h"

#include <stdio.h>
#include <time.h>

#define WALL_MS_MAX 253402300799999 /* the end of the year 9999 */

/* ISO 8601 in UTC with milliseconds. */
static void append_time(struct bgw_buf *out, int64_t wall_ms)
{
    int64_t ms = wall_ms < 0 ? 0 : wall_ms < WALL_MS_MAX ? wall_ms : WALL_MS_MAX;
    time_t seconds = (time_t)(ms / 1000);
    struct tm utc = {0};
    char text[32];
    (void)gmtime_r(&seconds, &utc); /* in range, so it cannot fail */
    size_t len = strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%S", &utc);
    bgw_buf_append(out, bgw_slice_of(text, len));
    bgw_buf_appendf(out, ".%03dZ\"", (int)(ms % 1000));
}

void estate_append_inside(struct bgw_buf *out, struct bgw_slice text)
{
    size_t at = out->len;
    bgw_buf_append_json(out, text);
    if (out->failed)
        return;
    out->len -= 2; /* its quotes */
    memmove(out->data + at, out->data + at + 1, out->len - at);
}

/* ---- updates ---- */

void estate_append_update(struct bgw_buf *out, const struct bgw_update *u)
{
    if (u->prepared) {
        bgw_buf_append(out, bgw_blob_slice(u->prepared));
        return;
    }
    bgw_buf_append_str(out, "\"target\":\"balanceUpdate\",\"arguments\":[");
    bgw_buf_append_json(out, u->feed->raw(u->value));
    bgw_buf_append_str(out, "]}");
}

struct bgw_blob *estate_prepare(const struct bgw_update *u)
{
    struct bgw_buf b;
    struct bgw_update plain = *u;
    plain.prepared = NULL;
    bgw_buf_init(&b, 1 << 20);
    estate_append_update(&b, &plain);
    struct bgw_blob *blob = b.failed ? NULL : bgw_blob_copy(bgw_buf_slice(&b));
    bgw_buf_deinit(&b);
    return blob;
}

/* ---- the other events ---- */

/* "A" or "A/USD", as two members. */
static void append_account(struct bgw_buf *out, struct bgw_slice key)
{
    const char *slash = key.len ? memchr(key.data, '/', key.len) : NULL;
    bgw_buf_append_str(out, "\"accountId\":");
    if (!slash) {
        bgw_buf_append_json(out, key);
        return;
    }
    size_t len = (size_t)(slash - key.data);
    bgw_buf_append_json(out, bgw_slice_of(key.data, len));
    bgw_buf_append_str(out, ",\"currency\":");
    bgw_buf_append_json(out, bgw_slice_of(slash + 1, key.len - len - 1));
}

static void append_member(struct bgw_buf *out, const char *start, const char *text)
{
    bgw_buf_append_str(out, start);
    bgw_buf_append_json(out, bgw_slice_str(text));
}

void estate_append_state(struct bgw_buf *out, const struct bgw_state_entry *entry, const struct bgw_state_news *news)
{
    char version[BGW_VERSION_TEXT_MAX];
    bgw_buf_append_str(out, "\"target\":\"balanceState\",\"arguments\":[{");
    append_account(out, entry->key);
    append_member(out, ",\"state\":", bgw_slot_state_text(news->state));
    bgw_buf_append_str(out, ",\"asOf\":");
    append_time(out, news->lag_ms > 0 ? news->wall_ms - news->lag_ms : news->wall_ms);
    bgw_buf_append_str(out, ",\"v\":");
    if (entry->version.epoch)
        bgw_buf_append_json(out, bgw_slice_of(version, bgw_version_format(entry->version, version)));
    else
        bgw_buf_append_str(out, "null");
    if (news->reason && *news->reason)
        append_member(out, ",\"reason\":", news->reason);
    bgw_buf_append_str(out, "}]}");
}

void estate_append_confirmed(struct bgw_buf *out, struct bgw_slice id, int64_t wall_ms)
{
    bgw_buf_append_str(out, "\"target\":\"subscriptionConfirmed\",\"arguments\":[{\"accountId\":");
    bgw_buf_append_json(out, id);
    bgw_buf_append_str(out, ",\"groupName\":\"acct::");
    estate_append_inside(out, id);
    bgw_buf_append_str(out, "\",\"timestamp\":");
    append_time(out, wall_ms);
    bgw_buf_append_str(out, "}]}");
}

void estate_append_revoked(struct bgw_buf *out, struct bgw_slice key, const char *reason)
{
    bgw_buf_append_str(out, "\"target\":\"subscriptionRevoked\",\"arguments\":[{");
    append_account(out, key);
    append_member(out, ",\"reason\":", reason ? reason : "");
    bgw_buf_append_str(out, "}]}");
}

const char *estate_sentence(const char *code)
{
    static const struct {
        const char *code, *sentence;
    } sentences[] = {
        {"no_grant", "the token does not grant this account"},
        {"bad_id", "an account id is 1 to 64 of A-Z a-z 0-9 . _ : @ + -, perhaps with /USD after it"},
        {"too_many_keys", "this connection follows as many accounts as it may"},
        {"revoked", "access to this account was taken back"},
    };
    for (size_t i = 0; i < sizeof(sentences) / sizeof(*sentences); i++) {
        if (strcmp(sentences[i].code, code) == 0)
            return sentences[i].sentence;
    }
    return "refused";
}

void estate_no_event(struct bgw_buf *out, uint64_t id)
{
    (void)out, (void)id;
}

void estate_no_mark(struct bgw_buf *out, struct bgw_slice w, uint64_t digest, struct bgw_slice resume)
{
    (void)out, (void)w, (void)digest, (void)resume;
}

void estate_no_hello(struct bgw_buf *out, const struct bgw_hello_info *info)
{
    (void)out, (void)info;
}
