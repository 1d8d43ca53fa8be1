/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance_body: reads what an origin or a cache says of one slot. Hides the names under which origins
 * show an amount; called by the reader, on its thread. Invariants: a value is made only of a body that
 * names the very slot that was asked for and says one amount, exactly; the bytes in the blob are those
 * of a record that says the same, so that whoever shows raw bytes cannot tell where a value came from.
 *
 * Origins write times as they like: a `ts` that is text or null is none. Everything else that is there
 * must be what a record's member of that name must be.
 */
#include "balance_value.h"

#include "bgw/assert.h"
#include "bgw/json.h"

#define RAW_BYTES_MAX 512 /* six members, of which the longest is the account */

enum member {
    M_ACCOUNT,
    M_TENANT,
    M_CURRENCY,
    M_MINOR, /* from here the amount's names, in the order of trust */
    M_BALANCE_MINOR,
    M_AVAILABLE_MINOR,
    M_BALANCE,
    M_PENDING,
    M_V,
    M_TS,
    M_COUNT,
};
static const struct bgw_slice member_names[M_COUNT] = {
    BGW_SLICE("accountId"), BGW_SLICE("tenant"), BGW_SLICE("currency"), BGW_SLICE("minor"), BGW_SLICE("balanceMinor"),
    BGW_SLICE("availableMinor"), BGW_SLICE("balance"), BGW_SLICE("pendingMinor"), BGW_SLICE("v"), BGW_SLICE("ts"),
};

struct members { /* one call's */
    struct bgw_json at[M_COUNT];
    unsigned seen;
};

static bool has(const struct members *m, enum member member)
{
    return m->seen >> member & 1;
}

/* ---- who is meant ---- */

static enum bgw_reject same(const struct bgw_json *said, struct bgw_slice asked)
{
    char text[BGW_KEY_MAX];
    size_t len;
    enum bgw_status status = bgw_json_string(said, text, sizeof(text), &len);
    if (status != BGW_OK && status != BGW_TOO_LARGE)
        return BGW_REJECT_BAD_ID;
    return status == BGW_OK && bgw_slice_eq(bgw_slice_of(text, len), asked) ? BGW_REJECT_NONE : BGW_REJECT_KEY_MISMATCH;
}

static enum bgw_reject check_names(const struct members *m, const struct bgw_slot_name *name)
{
    char part[BGW_PART_MAX];
    const struct bgw_slice asked[] = {
        [M_ACCOUNT] = bgw_slice_of(name->key, name->key_len),
        [M_TENANT] = bgw_slice_of(name->tenant, name->tenant_len),
        [M_CURRENCY] = bgw_slice_of(part, bgw_part_text(name->part, part)),
    };
    if (!has(m, M_ACCOUNT))
        return BGW_REJECT_MISSING_MEMBER;
    enum bgw_reject why = BGW_REJECT_NONE;
    for (enum member i = M_ACCOUNT; i <= M_CURRENCY && why == BGW_REJECT_NONE; i++)
        if (has(m, i))
            why = same(&m->at[i], asked[i]);
    return why;
}

/* ---- how much ---- */

/* All names of the amount that are there must say the same: of two amounts neither can be believed. */
static enum bgw_reject read_amount(const struct members *m, int64_t *out)
{
    bool any = false;
    for (enum member i = M_MINOR; i <= M_BALANCE; i++) {
        int64_t amount;
        if (!has(m, i))
            continue;
        enum bgw_status status = bgw_json_i64(&m->at[i], &amount);
        if (status != BGW_OK)
            return balance_reject_of(status);
        if (any && amount != *out)
            return BGW_REJECT_BAD_NUMBER;
        *out = amount;
        any = true;
    }
    return any ? BGW_REJECT_NONE : BGW_REJECT_MISSING_MEMBER;
}

static enum bgw_reject read_ts(const struct members *m, int64_t *out)
{
    *out = -1;
    if (!has(m, M_TS) || m->at[M_TS].type == BGW_JSON_STRING || m->at[M_TS].type == BGW_JSON_NULL)
        return BGW_REJECT_NONE;
    return balance_reject_of(bgw_json_i64(&m->at[M_TS], out));
}

static enum bgw_reject read_numbers(const struct members *m, struct bgw_amounts *a)
{
    enum bgw_reject why = read_amount(m, &a->minor);
    a->pending_unknown = !has(m, M_PENDING);
    if (why == BGW_REJECT_NONE && has(m, M_PENDING))
        why = balance_reject_of(bgw_json_i64(&m->at[M_PENDING], &a->pending_minor));
    if (why == BGW_REJECT_NONE && has(m, M_V)) {
        why = balance_reject_of(bgw_json_u63(&m->at[M_V], &a->v));
        a->has_v = true;
    }
    return why != BGW_REJECT_NONE ? why : read_ts(m, &a->ts_ms);
}

/* ---- the value ---- */

static void write_record(const struct bgw_slot_name *name, const struct bgw_amounts *a, struct bgw_buf *out)
{
    char part[BGW_PART_MAX];
    bgw_buf_append_str(out, "{\"accountId\":");
    bgw_buf_append_json(out, bgw_slice_of(name->key, name->key_len));
    bgw_buf_append_str(out, ",\"minor\":");
    bgw_buf_append_i64(out, a->minor);
    bgw_buf_append_str(out, ",\"currency\":");
    bgw_buf_append_json(out, bgw_slice_of(part, bgw_part_text(name->part, part)));
    bgw_buf_append_str(out, ",\"pendingMinor\":");
    bgw_buf_append_i64(out, a->pending_minor);
    if (a->has_v) {
        bgw_buf_append_str(out, ",\"v\":");
        bgw_buf_append_u64(out, a->v);
    }
    if (a->ts_ms >= 0) {
        bgw_buf_append_str(out, ",\"ts\":");
        bgw_buf_append_i64(out, a->ts_ms);
    }
    bgw_buf_append_byte(out, '}');
}

enum bgw_reject balance_decode_amounts(const struct bgw_feed *feed, const struct bgw_slot_name *name,
                                       const struct bgw_amounts *a, struct bgw_decoded *out)
{
    struct balance_value value;
    struct bgw_buf record;
    BGW_ASSERT(name->feed == feed->id && name->key_len && name->tenant_len && name->part);
    *out = (struct bgw_decoded){.name = *name};
    if (a->has_v && a->v > INT64_MAX)
        return BGW_REJECT_OUT_OF_RANGE;
    memset(&value, 0, sizeof(value)); /* padding too: equal answers make equal blobs */
    value.minor = a->minor;
    value.pending_minor = a->pending_minor;
    value.pending_unknown = a->pending_unknown;
    value.has_ts = a->ts_ms >= 0;
    value.ts_ms = value.has_ts ? a->ts_ms : 0;
    value.currency = name->part;
    out->has_v = a->has_v;
    out->v = a->has_v ? a->v : 0;
    bgw_buf_init(&record, RAW_BYTES_MAX);
    write_record(name, a, &record);
    BGW_ASSERT(!record.failed || record.starved);
    enum bgw_reject why = record.failed ? BGW_REJECT_NO_MEMORY : balance_make_blob(bgw_buf_slice(&record), &value, out);
    bgw_buf_deinit(&record);
    return why;
}

enum bgw_reject balance_decode_body(const struct bgw_feed *feed, const struct bgw_slot_name *name, struct bgw_slice body,
                                    struct bgw_decoded *out)
{
    struct bgw_json root;
    struct members m;
    struct bgw_amounts amounts = {0};
    *out = (struct bgw_decoded){.name = *name};
    if (body.len > BALANCE_RECORD_BYTES_MAX)
        return BGW_REJECT_TOO_LARGE;
    if (body.len == 0)
        return BGW_REJECT_EMPTY_VALUE;
    struct bgw_json_members wanted = {member_names, M_COUNT, m.at, 0};
    enum bgw_reject why = balance_reject_of(bgw_json_parse_members(body, &root, &wanted));
    if (why != BGW_REJECT_NONE)
        return why;
    if (root.type != BGW_JSON_OBJECT)
        return BGW_REJECT_BAD_JSON;
    m.seen = wanted.seen;
    why = check_names(&m, name);
    if (why == BGW_REJECT_NONE)
        why = read_numbers(&m, &amounts);
    return why != BGW_REJECT_NONE ? why : balance_decode_amounts(feed, name, &amounts, out);
}
