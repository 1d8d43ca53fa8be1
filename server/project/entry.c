/* SPDX-License-Identifier: Apache-2.0 */
/*
 * entry: hides the grammar of `ledger-events`. Called by the projector for each record, on its thread; pure. Invariants: money comes
 * from the raw token, and an event that breaks a rule is refused whole. What an event does depends on tenant, currency, source,
 * dest and minor alone, so an entryId that no gateway could carry is left out and the event still counts.
 */
#include "entry.h"

#include "bgw/json.h"

#define VALUE_BYTES_MAX 65536

enum member { M_TENANT, M_MINOR, M_CURRENCY, M_SOURCE, M_DEST, M_ENTRY, M_COUNT };
static const char *const member_names[M_COUNT] = {"tenant", "minor", "currency", "source", "dest", "entryId"};

struct members { /* one call's */
    struct bgw_json at[M_COUNT];
    unsigned seen;
};

const char *entry_reject_text(enum entry_reject r)
{
    static const char *const texts[ENTRY_REJECT_COUNT] = {
        [ENTRY_OK] = "ok",
#define ENTRY_REJECT_ROW(NAME, text) [ENTRY_##NAME] = text,
#include "entry_reject.def"
#undef ENTRY_REJECT_ROW
    };
    return texts[r];
}

static enum entry_reject reject_of(enum bgw_status status)
{
    switch (status) {
    case BGW_OK:
        return ENTRY_OK;
    case BGW_BAD_UTF8:
        return ENTRY_BAD_UTF8;
    case BGW_DUPLICATE:
        return ENTRY_DUPLICATE_MEMBER;
    case BGW_TOO_DEEP:
        return ENTRY_TOO_DEEP;
    case BGW_TOO_LARGE:
        return ENTRY_TOO_LARGE;
    case BGW_BAD_NUMBER:
        return ENTRY_BAD_NUMBER;
    case BGW_OUT_OF_RANGE:
        return ENTRY_OUT_OF_RANGE;
    default:
        return ENTRY_BAD_JSON;
    }
}

static bool has(const struct members *m, enum member member)
{
    return m->seen >> member & 1;
}

static void collect(const struct bgw_json *root, struct members *m)
{
    struct bgw_json name, value;
    const char *cursor = NULL;
    m->seen = 0;
    while (bgw_json_next(root, &cursor, &name, &value))
        for (unsigned i = 0; i < M_COUNT; i++)
            if (bgw_json_is(&name, member_names[i])) {
                m->at[i] = value;
                m->seen |= 1u << i;
                break;
            }
}

/* ---- who is meant ---- */

static enum entry_reject read_id(const struct bgw_json *value, bool (*valid)(struct bgw_slice), char storage[BGW_KEY_MAX],
                                 struct bgw_slice *out)
{
    size_t len;
    if (bgw_json_string(value, storage, BGW_KEY_MAX, &len) != BGW_OK)
        return ENTRY_BAD_ID;
    *out = bgw_slice_of(storage, len);
    return valid(*out) ? ENTRY_OK : ENTRY_BAD_ID;
}

static void set_key(struct bgw_slot_name *n, struct bgw_slice key)
{
    n->key_len = (uint8_t)key.len;
    memcpy(n->key, key.data, key.len);
}

static enum entry_reject read_accounts(const struct bgw_feed *feed, const struct members *m, struct entry *out)
{
    char storage[BGW_KEY_MAX];
    struct bgw_slice text;
    if (!has(m, M_SOURCE) || !has(m, M_DEST))
        return ENTRY_MISSING_MEMBER;
    enum entry_reject why = read_id(&m->at[M_SOURCE], feed->key_valid, storage, &text);
    if (why == ENTRY_OK)
        set_key(&out->source, text);
    if (why == ENTRY_OK)
        why = read_id(&m->at[M_DEST], feed->key_valid, storage, &text);
    if (why == ENTRY_OK)
        set_key(&out->dest, text);
    return why;
}

static enum entry_reject read_names(const struct bgw_feed *feed, const struct members *m, struct entry *out)
{
    char storage[2][BGW_KEY_MAX];
    struct bgw_slice tenant = feed->default_tenant, currency;
    struct bgw_slot_name n = {.feed = feed->id, .part = feed->default_part};
    enum entry_reject why = ENTRY_OK;
    if (has(m, M_TENANT))
        why = read_id(&m->at[M_TENANT], bgw_tenant_valid, storage[0], &tenant);
    if (why == ENTRY_OK && has(m, M_CURRENCY))
        why = read_id(&m->at[M_CURRENCY], feed->part_valid, storage[1], &currency);
    if (why != ENTRY_OK)
        return why;
    if (has(m, M_CURRENCY))
        n.part = bgw_part_of(currency);
    n.tenant_len = (uint8_t)tenant.len;
    memcpy(n.tenant, tenant.data, tenant.len);
    out->source = out->dest = n;
    return read_accounts(feed, m, out);
}

bool entry_of_one(const struct entry *e)
{
    return bgw_slice_eq(bgw_slice_of(e->source.key, e->source.key_len), bgw_slice_of(e->dest.key, e->dest.key_len));
}

/* ---- the value ---- */

static enum entry_reject read_minor(const struct members *m, struct entry *out)
{
    if (!has(m, M_MINOR))
        return ENTRY_MISSING_MEMBER;
    enum entry_reject why = reject_of(bgw_json_i64(&m->at[M_MINOR], &out->minor));
    if (why != ENTRY_OK)
        return why;
    return out->minor > 0 ? ENTRY_OK : ENTRY_OUT_OF_RANGE;
}

static void keep_entry_id(const struct members *m, struct entry *out)
{
    const struct bgw_json *id = &m->at[M_ENTRY];
    bool kind = has(m, M_ENTRY) && (id->type == BGW_JSON_STRING || id->type == BGW_JSON_NUMBER);
    if (!kind || id->raw.len > ENTRY_ID_MAX)
        return;
    out->id_is_text = id->type == BGW_JSON_STRING;
    out->id_len = (uint16_t)id->raw.len;
    memcpy(out->id, id->raw.data, id->raw.len);
}

enum entry_reject entry_read(const struct bgw_feed *feed, struct bgw_slice value, struct entry *out)
{
    struct bgw_json root;
    struct members m;
    if (!value.data)
        return ENTRY_NULL_VALUE;
    if (!value.len)
        return ENTRY_EMPTY_VALUE;
    if (value.len > VALUE_BYTES_MAX)
        return ENTRY_TOO_LARGE;
    enum entry_reject why = reject_of(bgw_json_parse(value, &root));
    if (why != ENTRY_OK)
        return why;
    if (root.type != BGW_JSON_OBJECT)
        return ENTRY_BAD_JSON;
    collect(&root, &m);
    out->id_len = 0;
    why = read_names(feed, &m, out);
    if (why == ENTRY_OK)
        why = read_minor(&m, out);
    if (why == ENTRY_OK)
        keep_entry_id(&m, out);
    return why;
}
