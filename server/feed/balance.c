/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance: reads a record of the balance topic. Hides the record's grammar; called by the hub, on
 * its thread, for every record. Invariants: a value is made of what the record says and of nothing
 * else, money comes from the raw token, and all that name the slot (key, headers, members) agree.
 * A record that breaks a rule is refused whole, and `name` then says whom its key names.
 */
#include "balance_value.h"

#include "bgw/json.h"

/* one call's: what the places that may name a slot have said; data NULL: nothing yet */
struct names {
    struct bgw_slice account, tenant, currency;
};

/* the members that the gateway understands */
enum member {
    M_ACCOUNT,
    M_TENANT,
    M_CURRENCY,
    M_MINOR,
    M_PENDING,
    M_V,
    M_TS,
    M_DELTA,
    M_TXN,
    M_COUNT,
};
static const struct bgw_slice member_names[M_COUNT] = {
    BGW_SLICE("accountId"), BGW_SLICE("tenant"), BGW_SLICE("currency"), BGW_SLICE("minor"), BGW_SLICE("pendingMinor"),
    BGW_SLICE("v"), BGW_SLICE("ts"), BGW_SLICE("deltaMinor"), BGW_SLICE("txnId"),
};

/* one call's */
struct members {
    struct bgw_json at[M_COUNT];
    unsigned seen;
};

/* of the 256 bytes: what an account may be written with */
static const bool account_bytes[256] = {
    ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['0' ... '9'] = true, ['.'] = true, ['_'] = true,
    [':'] = true, ['@'] = true, ['+'] = true, ['-'] = true,
};

bool balance_key_valid(struct bgw_slice key)
{
    if (key.len == 0 || key.len > BGW_KEY_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (!account_bytes[(unsigned char)key.data[i]])
            return false;
    return true;
}

bool balance_part_valid(struct bgw_slice part)
{
    if (part.len != BGW_PART_MAX)
        return false;
    for (size_t i = 0; i < part.len; i++)
        if (part.data[i] < 'A' || part.data[i] > 'Z')
            return false;
    return true;
}

/* ---- who is meant ---- */

/* `account` or `account|tenant|currency`. False if it is neither. */
static bool read_key(struct bgw_slice key, struct names *names)
{
    const char *end = key.data + key.len;
    const char *first = key.len ? memchr(key.data, '|', key.len) : NULL;
    names->account = bgw_slice_of(key.data, (size_t)((first ? first : end) - key.data));
    if (!balance_key_valid(names->account))
        return false;
    if (!first)
        return true;
    const char *second = memchr(first + 1, '|', (size_t)(end - first - 1));
    if (!second)
        return false;
    names->tenant = bgw_slice_of(first + 1, (size_t)(second - first - 1));
    names->currency = bgw_slice_of(second + 1, (size_t)(end - second - 1));
    return bgw_tenant_valid(names->tenant) && balance_part_valid(names->currency);
}

/* Two places that say the same thing must say it alike. */
static enum bgw_reject agree(struct bgw_slice *known, struct bgw_slice said)
{
    if (!known->data)
        *known = said;
    return bgw_slice_eq(*known, said) ? BGW_REJECT_NONE : BGW_REJECT_KEY_MISMATCH;
}

/* Whatever is known has been found valid. */
static enum bgw_reject agree_text(struct bgw_slice *known, const struct bgw_json *said,
                                  bool (*valid)(struct bgw_slice), char *storage)
{
    struct bgw_slice text = said->raw;
    if (said->type != BGW_JSON_STRING)
        return BGW_REJECT_BAD_ID;
    if (!said->escaped && known->data && bgw_slice_eq(*known, text))
        return BGW_REJECT_NONE;
    if (said->escaped) {
        if (bgw_json_string(said, storage, BGW_KEY_MAX, &text.len) != BGW_OK)
            return BGW_REJECT_BAD_ID;
        text.data = storage;
    }
    return valid(text) ? agree(known, text) : BGW_REJECT_BAD_ID;
}

static void set_name(const struct bgw_feed *feed, const struct names *names,
                     struct bgw_decoded *out)
{
    struct bgw_slice tenant = names->tenant.data ? names->tenant : feed->default_tenant;
    struct bgw_slot_name *n = &out->name;
    n->feed = feed->id;
    n->tenant_len = (uint8_t)tenant.len;
    memcpy(n->tenant, tenant.data, tenant.len);
    n->key_len = (uint8_t)names->account.len;
    memcpy(n->key, names->account.data, names->account.len);
    n->part = names->currency.data ? bgw_part_of(names->currency) : 0;
    out->any_tenant = !names->tenant.data;
}

/* Of a key that has been set with all that it says, only what the value has added. */
static void complete_name(const struct bgw_feed *feed, const struct names *names, struct bgw_decoded *out)
{
    if (!out->name.key_len || names->tenant.data)
        set_name(feed, names, out);
    out->name.part = names->currency.data ? bgw_part_of(names->currency) : feed->default_part;
    out->any_tenant = false; /* without one it is the default tenant's */
}

/* The key and the tenant header: what is known of the slot before the value is looked at. */
static enum bgw_reject read_outside(const struct bgw_feed *feed, const struct bgw_record *record,
                                    struct names *names, struct bgw_decoded *out)
{
    if (record->key.data && !read_key(record->key, names)) {
        *names = (struct names){0};
        return BGW_REJECT_BAD_ID;
    }
    if (names->account.data)
        set_name(feed, names, out);
    if (!record->h_tenant.data)
        return BGW_REJECT_NONE;
    if (!bgw_tenant_valid(record->h_tenant))
        return BGW_REJECT_BAD_ID;
    enum bgw_reject why = agree(&names->tenant, record->h_tenant);
    if (why == BGW_REJECT_NONE && names->account.data)
        set_name(feed, names, out);
    return why;
}

/* ---- the value ---- */

enum bgw_reject balance_reject_of(enum bgw_status status)
{
    switch (status) {
    case BGW_OK:
        return BGW_REJECT_NONE;
    case BGW_BAD_UTF8:
        return BGW_REJECT_BAD_UTF8;
    case BGW_DUPLICATE:
        return BGW_REJECT_DUPLICATE_MEMBER;
    case BGW_TOO_DEEP:
        return BGW_REJECT_TOO_DEEP;
    case BGW_TOO_LARGE:
        return BGW_REJECT_TOO_LARGE;
    case BGW_BAD_NUMBER:
        return BGW_REJECT_BAD_NUMBER;
    case BGW_OUT_OF_RANGE:
        return BGW_REJECT_OUT_OF_RANGE;
    default:
        return BGW_REJECT_BAD_JSON;
    }
}

static bool has(const struct members *m, enum member member)
{
    return m->seen >> member & 1;
}

static enum bgw_reject read_names(const struct members *m, struct names *names,
                                  char storage[3][BGW_KEY_MAX])
{
    if (!has(m, M_ACCOUNT))
        return BGW_REJECT_MISSING_MEMBER;
    enum bgw_reject why =
        agree_text(&names->account, &m->at[M_ACCOUNT], balance_key_valid, storage[0]);
    if (why == BGW_REJECT_NONE && has(m, M_TENANT))
        why = agree_text(&names->tenant, &m->at[M_TENANT], bgw_tenant_valid, storage[1]);
    if (why == BGW_REJECT_NONE && has(m, M_CURRENCY))
        why = agree_text(&names->currency, &m->at[M_CURRENCY], balance_part_valid, storage[2]);
    return why;
}

/* Header and member; both are allowed if they are the same number. */
static enum bgw_reject read_v(const struct bgw_record *record, const struct bgw_json *member,
                              struct bgw_decoded *out)
{
    enum bgw_status status = BGW_OK;
    if (record->h_v.data) {
        struct bgw_json token = {.type = BGW_JSON_NUMBER, .raw = record->h_v};
        status = bgw_json_u63(&token, &out->v);
        out->has_v = true;
    }
    if (status != BGW_OK || !member)
        return balance_reject_of(status);
    uint64_t v;
    status = bgw_json_u63(member, &v);
    if (status == BGW_OK && out->has_v && v != out->v)
        return BGW_REJECT_KEY_MISMATCH;
    out->v = v;
    out->has_v = true;
    return balance_reject_of(status);
}

static enum bgw_reject read_i64(const struct members *m, enum member member, int64_t *out)
{
    return has(m, member) ? balance_reject_of(bgw_json_i64(&m->at[member], out)) : BGW_REJECT_NONE;
}

/* Text or a number is kept as it is written; null is none. */
static enum bgw_reject read_txn(const struct members *m, const char *record_bytes,
                                struct balance_value *value)
{
    const struct bgw_json *txn = &m->at[M_TXN];
    if (!has(m, M_TXN) || txn->type == BGW_JSON_NULL)
        return BGW_REJECT_NONE;
    if (txn->type != BGW_JSON_STRING && txn->type != BGW_JSON_NUMBER)
        return BGW_REJECT_BAD_ID;
    if (txn->raw.len > BALANCE_TXN_BYTES_MAX)
        return BGW_REJECT_TOO_LARGE;
    value->txn_len = (uint16_t)txn->raw.len;
    value->txn_offset = (uint32_t)(txn->raw.data - record_bytes);
    return BGW_REJECT_NONE;
}

static enum bgw_reject read_amounts(const struct members *m, const char *record_bytes,
                                    struct balance_value *value)
{
    if (!has(m, M_MINOR))
        return BGW_REJECT_MISSING_MEMBER;
    value->has_ts = has(m, M_TS);
    value->has_delta = has(m, M_DELTA);
    enum bgw_reject why = read_i64(m, M_MINOR, &value->minor);
    if (why == BGW_REJECT_NONE)
        why = read_i64(m, M_PENDING, &value->pending_minor);
    if (why == BGW_REJECT_NONE)
        why = read_i64(m, M_DELTA, &value->delta_minor);
    if (why == BGW_REJECT_NONE)
        why = read_i64(m, M_TS, &value->ts_ms);
    return why != BGW_REJECT_NONE ? why : read_txn(m, record_bytes, value);
}

enum bgw_reject balance_make_blob(struct bgw_slice record_bytes, const struct balance_value *value,
                                  struct bgw_decoded *out)
{
    out->value = bgw_blob_create(sizeof(*value) + record_bytes.len);
    if (!out->value)
        return BGW_REJECT_NO_MEMORY;
    memcpy(out->value->data, value, sizeof(*value));
    memcpy(out->value->data + sizeof(*value), record_bytes.data, record_bytes.len);
    return BGW_REJECT_NONE;
}

static enum bgw_reject read_value(const struct bgw_feed *feed, const struct bgw_record *record,
                                  struct names *names, struct bgw_decoded *out)
{
    struct bgw_json root;
    struct members m;
    struct balance_value value;
    char storage[3][BGW_KEY_MAX];
    memset(&value, 0, sizeof(value)); /* padding too: equal records make equal blobs */
    struct bgw_json_members wanted = {member_names, M_COUNT, m.at, 0};
    enum bgw_reject why = balance_reject_of(bgw_json_parse_members(record->value, &root, &wanted));
    if (why != BGW_REJECT_NONE)
        return why;
    if (root.type != BGW_JSON_OBJECT)
        return BGW_REJECT_BAD_JSON;
    m.seen = wanted.seen;
    why = read_names(&m, names, storage);
    if (why == BGW_REJECT_NONE)
        why = read_v(record, has(&m, M_V) ? &m.at[M_V] : NULL, out);
    if (why == BGW_REJECT_NONE)
        why = read_amounts(&m, record->value.data, &value);
    if (why != BGW_REJECT_NONE)
        return why;
    complete_name(feed, names, out);
    value.currency = out->name.part;
    return balance_make_blob(record->value, &value, out);
}

enum bgw_reject balance_decode(const struct bgw_feed *feed, const struct bgw_record *record,
                               struct bgw_decoded *out)
{
    struct names names = {0};
    *out = (struct bgw_decoded){.name.feed = feed->id};
    enum bgw_reject why = read_outside(feed, record, &names, out);
    if (why != BGW_REJECT_NONE)
        return why;
    if (record->key.len + record->value.len > BALANCE_RECORD_BYTES_MAX)
        return BGW_REJECT_TOO_LARGE;
    if (!record->value.data) {
        out->tombstone = true;
        return names.account.data ? read_v(record, NULL, out) : BGW_REJECT_MISSING_MEMBER;
    }
    if (record->value.len == 0)
        return BGW_REJECT_EMPTY_VALUE;
    return read_value(feed, record, &names, out);
}
