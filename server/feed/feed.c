/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: the table of feeds; today its one row is `balance`. Hides the row's constants and how a
 * balance is shown. Filled in before threads start, then read by any. Invariant: what encode_native
 * writes is an object of the native dialect, with amounts as strings, what encode_rest writes has
 * them as exact numbers, and neither says anything that was not in the record but `pendingMinor` 0.
 */
#include "bgw/feed.h"

#include "balance_value.h"
#include "bgw/assert.h"

const char *bgw_reject_text(enum bgw_reject r)
{
    static const char *const texts[] = {
        "",
#define BGW_REJECT_ROW(NAME, text) text,
#include "reject.def"
#undef BGW_REJECT_ROW
    };
    BGW_ASSERT(r < BGW_REJECT_COUNT);
    return texts[r];
}

bool bgw_tenant_valid(struct bgw_slice tenant)
{
    if (tenant.len == 0 || tenant.len > BGW_TENANT_MAX)
        return false;
    for (size_t i = 0; i < tenant.len; i++) {
        char c = tenant.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

static struct balance_value header_of(const struct bgw_blob *value)
{
    struct balance_value v;
    BGW_ASSERT(value->len >= sizeof(v));
    memcpy(&v, value->data, sizeof(v)); /* blob data is aligned to 4 by contract, not to 8 */
    return v;
}

struct bgw_slice balance_raw(const struct bgw_blob *value)
{
    size_t head = sizeof(struct balance_value);
    BGW_ASSERT(value->len >= head);
    return bgw_slice_of(value->data + head, value->len - head);
}

static bool balance_same(const struct bgw_blob *a, const struct bgw_blob *b)
{
    struct balance_value x = header_of(a), y = header_of(b);
    bool pending = x.pending_unknown || y.pending_unknown || x.pending_minor == y.pending_minor;
    return x.minor == y.minor && pending && x.currency == y.currency;
}

static void put_amount(struct bgw_buf *out, const char *lead, int64_t amount)
{
    bgw_buf_append_str(out, lead);
    bgw_buf_append_i64(out, amount);
    bgw_buf_append_byte(out, '"');
}

void balance_encode_native(const struct bgw_blob *value, bool single, struct bgw_buf *out)
{
    struct balance_value v = header_of(value);
    char currency[BGW_PART_MAX];
    bgw_buf_append_str(out, "{\"currency\":\"");
    bgw_buf_append(out, bgw_slice_of(currency, bgw_part_text(v.currency, currency)));
    put_amount(out, "\",\"minor\":\"", v.minor);
    put_amount(out, ",\"pendingMinor\":\"", v.pending_minor);
    if (v.has_ts) {
        bgw_buf_append_str(out, ",\"ts\":");
        bgw_buf_append_i64(out, v.ts_ms);
    }
    if (single && v.has_delta)
        put_amount(out, ",\"deltaMinor\":\"", v.delta_minor);
    if (single && v.txn_len) {
        bgw_buf_append_str(out, ",\"txnId\":\"");
        bgw_buf_append(out, bgw_slice_of(balance_raw(value).data + v.txn_offset, v.txn_len));
        bgw_buf_append_byte(out, '"');
    }
    bgw_buf_append_byte(out, '}');
}

/* One superset for every reader: each of them looks for the same integer under a name of its own. */
void balance_encode_rest(const struct bgw_blob *value, struct bgw_buf *out)
{
    static const char *const names[] = {"\",\"balance\":", ",\"minor\":", ",\"availableMinor\":", ",\"balanceMinor\":"};
    struct balance_value v = header_of(value);
    char currency[BGW_PART_MAX];
    bgw_buf_append_str(out, "\"currency\":\"");
    bgw_buf_append(out, bgw_slice_of(currency, bgw_part_text(v.currency, currency)));
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        bgw_buf_append_str(out, names[i]);
        bgw_buf_append_i64(out, v.minor);
    }
    bgw_buf_append_str(out, ",\"pendingMinor\":");
    bgw_buf_append_i64(out, v.pending_minor);
    bgw_buf_append_str(out, ",\"ts\":");
    if (v.has_ts)
        bgw_buf_append_i64(out, v.ts_ms);
    else
        bgw_buf_append_str(out, "null");
}

void bgw_feed_balance_init(struct bgw_feed *feed, struct bgw_slice default_tenant,
                           bgw_part default_part)
{
    BGW_ASSERT(bgw_tenant_valid(default_tenant));
    *feed = (struct bgw_feed){
        .name = "balance",
        .default_tenant = default_tenant,
        .default_part = default_part,
        .fresh_ms = 3000,
        .stale_ms = 30000,
        .revalidate_ms = 0, /* nobody is shown an old balance while there is somebody to ask */
        .read_scope = "accounts.read",
        .read_all_scope = "accounts.read.all",
        .grant_claim = "accounts",
        .grant_type = "account_balance",
        .no_such_key_text = "no_such_account",
        .key_valid = balance_key_valid,
        .part_valid = balance_part_valid,
        .decode = balance_decode,
        .encode_native = balance_encode_native,
        .encode_rest = balance_encode_rest,
        .raw = balance_raw,
        .same = balance_same,
        .decode_body = balance_decode_body,
        .decode_amounts = balance_decode_amounts,
    };
}
