/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_line: hides how an audit event looks. Called by the writer's thread (audit.c), pure but for
 * the hash. Invariant: a line holds neither a whole account nor a token, is one JSON object, is
 * ASCII but for the mask's ellipsis, and is shorter than BGW_AUDIT_LINE_MAX whatever the event holds.
 */
#include "audit_line.h"

#include "bgw/assert.h"
#include "bgw/auth.h"

#include <stdio.h>
#include <time.h>

#define HEAD_MAX 4
#define TAIL_MAX 2
#define MASK_LEN_MIN 8    /* shorter ones are hidden whole: four characters of six are no mask */
#define NAMESPACE_MAX 16
#define ELLIPSIS "\xe2\x80\xa6"

static const char *const names[] = {
    [BGW_AUDIT_SESSION] = "session",           [BGW_AUDIT_REFUSED] = "refused",
    [BGW_AUDIT_SUBSCRIBED] = "subscribed",     [BGW_AUDIT_DENIED] = "denied",
    [BGW_AUDIT_UNSUBSCRIBED] = "unsubscribed", [BGW_AUDIT_REVOKED] = "revoked",
    [BGW_AUDIT_REFRESHED] = "refreshed",       [BGW_AUDIT_ENDED] = "ended",
    [BGW_AUDIT_READ] = "read",                 [BGW_AUDIT_ADMIN] = "admin",
};

/* "msisdn::" of "msisdn::2348100000001"; 0 if what stands there might be somebody's name or number. */
static size_t namespace_len(const char *key)
{
    const char *end = strstr(key, "::");
    size_t len = end ? (size_t)(end - key) : 0;
    if (len == 0 || len > NAMESPACE_MAX)
        return 0;
    for (size_t i = 0; i < len; i++)
        if ((key[i] < 'a' || key[i] > 'z') && key[i] != '_' && key[i] != '-')
            return 0;
    return len + 2;
}

void bgw_audit_mask(const char *key, char out[BGW_AUDIT_MASKED_MAX])
{
    size_t kept = namespace_len(key), len = strlen(key + kept), head = 0, tail = 0;
    if (len >= MASK_LEN_MIN) {
        size_t shown = len / 2;
        tail = shown / 3 < TAIL_MAX ? shown / 3 : TAIL_MAX;
        head = shown - tail < HEAD_MAX ? shown - tail : HEAD_MAX;
    }
    snprintf(out, BGW_AUDIT_MASKED_MAX, "%.*s" ELLIPSIS "%s", (int)(kept + head), key, key + kept + len - tail);
}

/* What is not printable ASCII cannot come from any grammar of ours; it must not break a line all the same. */
static size_t clean(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    for (; text[n] && n < cap - 1; n++)
        out[n] = text[n] >= 0x20 && text[n] < 0x7f ? text[n] : '?';
    out[n] = '\0';
    return n;
}

static void append_text(struct bgw_buf *out, const char *name, const char *text)
{
    char copy[BGW_KEY_MAX + 1];
    size_t len = clean(text, copy, sizeof(copy));
    bgw_buf_appendf(out, ",\"%s\":", name);
    bgw_buf_append_json(out, bgw_slice_of(copy, len));
}

static void append_hash(struct bgw_buf *out, const char *name, uint64_t hash)
{
    if (!hash)
        return;
    bgw_buf_appendf(out, ",\"%s\":\"", name);
    bgw_buf_append_hex64(out, hash);
    bgw_buf_append_byte(out, '"');
}

static void append_account(struct bgw_buf *out, const struct bgw_audit_event *e, const uint8_t mask_key[32])
{
    char copy[BGW_KEY_MAX + 1], masked[BGW_AUDIT_MASKED_MAX], part[BGW_PART_MAX + 1] = "";
    uint8_t mac[32];
    clean(e->key, copy, sizeof(copy));
    bgw_audit_mask(copy, masked);
    bgw_buf_append_str(out, ",\"account\":");
    bgw_buf_append_json(out, bgw_slice_str(masked));
    bgw_auth_mac(mask_key, bgw_slice_str(e->key), mac);
    bgw_buf_append_str(out, ",\"account_id\":\"");
    for (size_t i = 0; i < 8; i++)
        bgw_buf_appendf(out, "%02x", mac[i]);
    bgw_buf_append_byte(out, '"');
    bgw_part_text(e->part, part);
    if (*part)
        append_text(out, "currency", part);
}

static void append_head(struct bgw_buf *out, int64_t wall_ms, const char *event)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[40] = "1970-01-01T00:00:00";
    if (wall_ms >= 0 && gmtime_r(&s, &tm))
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    bgw_buf_appendf(out, "{\"ts\":\"%s.%03dZ\",\"event\":\"%s\"", text, wall_ms >= 0 ? (int)(wall_ms % 1000) : 0,
                    event);
}

void bgw_audit_line(const struct bgw_audit_event *e, const uint8_t mask_key[32], struct bgw_buf *out)
{
    BGW_ASSERT(e->kind < sizeof(names) / sizeof(*names));
    append_head(out, e->wall_ms, names[e->kind]);
    append_hash(out, "conn", e->conn);
    if (e->tenant[0])
        append_text(out, "tenant", e->tenant);
    append_hash(out, "sub", e->subject_hash);
    append_hash(out, "jti", e->jti_hash);
    if (e->has_key && e->kind == BGW_AUDIT_ADMIN)
        append_text(out, "path", e->key);
    else if (e->has_key)
        append_account(out, e, mask_key);
    if (e->has_addr) {
        char address[BGW_ADDR_TEXT_MAX];
        bgw_addr_format(&e->addr, address);
        append_text(out, "address", address);
    }
    if (e->close_code)
        bgw_buf_appendf(out, ",\"close\":%d", e->close_code);
    if (e->code[0])
        append_text(out, "code", e->code);
    bgw_buf_append_str(out, "}\n");
}

void bgw_audit_line_lost(int64_t wall_ms, uint64_t count, struct bgw_buf *out)
{
    append_head(out, wall_ms, "lost");
    bgw_buf_append_str(out, ",\"count\":");
    bgw_buf_append_u64(out, count);
    bgw_buf_append_str(out, "}\n");
}
