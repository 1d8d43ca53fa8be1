/* SPDX-License-Identifier: Apache-2.0 */
/*
 * l2_names: hides the grammar of keys and of what is stored. An account may hold colons, tenant and part
 * may not: the first and the last colon of a hash's key part the three. Pure; called by l2, reader's thread.
 */
#include "l2_names.h"

#include "bgw/assert.h"
#include "bgw/json.h"

#include <stdio.h>

struct bgw_slot_name bgw_l2_whole_name(const struct bgw_feed *feed, const struct bgw_slot_name *name)
{
    struct bgw_slot_name n = *name;
    if (!n.part)
        n.part = feed->default_part;
    if (!n.tenant_len) {
        n.tenant_len = (uint8_t)feed->default_tenant.len;
        memcpy(n.tenant, feed->default_tenant.data, feed->default_tenant.len);
    }
    return n;
}

static struct bgw_l2_key checked(struct bgw_l2_key *k, int len)
{
    BGW_ASSERT(len > 0 && len < BGW_L2_KEY_MAX);
    k->len = (size_t)len;
    return *k;
}

struct bgw_l2_key bgw_l2_hash_key(const struct bgw_slot_name *n)
{
    struct bgw_l2_key k;
    char part[BGW_PART_MAX];
    int len = (int)bgw_part_text(n->part, part);
    return checked(&k, snprintf(k.text, sizeof(k.text), BGW_L2_HASH_PREFIX "%.*s:%.*s:%.*s", n->tenant_len, n->tenant,
                                n->key_len, n->key, len, part));
}

struct bgw_l2_key bgw_l2_short_key(const struct bgw_feed *feed, const char *prefix, const struct bgw_slot_name *n)
{
    struct bgw_l2_key k;
    char part[BGW_PART_MAX];
    int len = (int)bgw_part_text(n->part, part);
    if (n->part == feed->default_part && bgw_slice_eq(bgw_slice_of(n->tenant, n->tenant_len), feed->default_tenant))
        return checked(&k, snprintf(k.text, sizeof(k.text), "%s%.*s", prefix, n->key_len, n->key));
    return checked(&k, snprintf(k.text, sizeof(k.text), "%s%.*s|%.*s|%.*s", prefix, n->tenant_len, n->tenant, n->key_len,
                               n->key, len, part));
}

bool bgw_l2_hash_name(const struct bgw_feed *feed, struct bgw_slice key, struct bgw_slot_name *out)
{
    struct bgw_slice prefix = BGW_SLICE(BGW_L2_HASH_PREFIX);
    if (key.len <= prefix.len || memcmp(key.data, prefix.data, prefix.len) != 0)
        return false;
    struct bgw_slice rest = bgw_slice_of(key.data + prefix.len, key.len - prefix.len);
    const char *first = memchr(rest.data, ':', rest.len), *last = memrchr(rest.data, ':', rest.len);
    if (!first || first == last)
        return false;
    struct bgw_slice tenant = bgw_slice_of(rest.data, (size_t)(first - rest.data));
    struct bgw_slice account = bgw_slice_of(first + 1, (size_t)(last - first - 1));
    struct bgw_slice part = bgw_slice_of(last + 1, (size_t)(rest.data + rest.len - last - 1));
    if (!bgw_tenant_valid(tenant) || !feed->key_valid(account) || !feed->part_valid(part))
        return false;
    *out = (struct bgw_slot_name){.feed = feed->id,
                                  .tenant_len = (uint8_t)tenant.len,
                                  .key_len = (uint8_t)account.len,
                                  .part = bgw_part_of(part)};
    memcpy(out->tenant, tenant.data, tenant.len);
    memcpy(out->key, account.data, account.len);
    return true;
}

static void put_member(struct bgw_buf *out, const struct bgw_json *name, const struct bgw_json *value)
{
    bool text = value->type == BGW_JSON_STRING;
    bgw_buf_append_str(out, ",\"");
    bgw_buf_append(out, name->raw);
    bgw_buf_append_str(out, text ? "\":\"" : "\":");
    bgw_buf_append(out, value->raw);
    if (text)
        bgw_buf_append_byte(out, '"');
}

bool bgw_l2_body(struct bgw_buf *out, struct bgw_slice origin, const struct bgw_slot_name *whole, const char *v)
{
    struct bgw_json root, name, value;
    const char *cursor = NULL;
    if (bgw_json_parse(origin, &root) != BGW_OK || root.type != BGW_JSON_OBJECT)
        return false;
    bgw_buf_append_byte(out, '{');
    if (*v) {
        bgw_buf_append_str(out, "\"v\":");
        bgw_buf_append_str(out, v);
        bgw_buf_append_byte(out, ',');
    }
    bgw_buf_append_str(out, "\"tenant\":");
    bgw_buf_append_json(out, bgw_slice_of(whole->tenant, whole->tenant_len));
    while (bgw_json_next(&root, &cursor, &name, &value))
        if (!bgw_json_is(&name, "tenant") && !(*v && bgw_json_is(&name, "v")))
            put_member(out, &name, &value);
    bgw_buf_append_byte(out, '}');
    return !out->failed;
}

bool bgw_l2_i64(struct bgw_slice text, int64_t *out)
{
    const struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = text};
    return text.data && bgw_json_i64(&token, out) == BGW_OK;
}

bool bgw_l2_u63(struct bgw_slice text, uint64_t *out)
{
    const struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = text};
    return text.data && bgw_json_u63(&token, out) == BGW_OK;
}
