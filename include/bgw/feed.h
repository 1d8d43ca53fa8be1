/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: a row of a table says what a stream of state is: name, key grammar, value codec, access
 * rule, freshness. Hub and shard handle opaque slots through it. Immutable after start.
 */
#ifndef BGW_FEED_H
#define BGW_FEED_H

#include "bgw/buf.h"
#include "bgw/types.h"

/* Why a record was not accepted; one row a counter (`bgw_records_rejected_total{reason}`). */
enum bgw_reject {
    BGW_REJECT_NONE,
#define BGW_REJECT_ROW(NAME, text) BGW_REJECT_##NAME,
#include "../../server/feed/reject.def"
#undef BGW_REJECT_ROW
    BGW_REJECT_COUNT
};
const char *bgw_reject_text(enum bgw_reject r);

/* one record as it was read; borrows everything */
struct bgw_record {
    struct bgw_slice key, value;                   /* data NULL: null */
    struct bgw_slice h_tenant, h_v, h_traceparent; /* headers; data NULL: absent */
    int32_t partition;
    int32_t leader_epoch; /* 0 if unknown */
    int64_t offset;
    int64_t timestamp_ms; /* -1 if none */
    int64_t received_ns;  /* monotonic: the hand-off histogram */
};

/* what a codec made of it */
struct bgw_decoded {
    struct bgw_slot_name
        name; /* part 0 with `tombstone`: every part of the key (and every tenant if any_tenant) */
    bool tombstone, any_tenant;
    bool has_v;
    uint64_t v;
    struct bgw_blob *value; /* codec's own layout, holds the record's bytes verbatim; caller owns
                               the reference */
};

/* what a source without a body knows of a slot */
struct bgw_amounts {
    int64_t minor, pending_minor, ts_ms;
    bool pending_unknown; /* the source does not speak of it: its 0 contradicts nobody */
    bool has_v;
    uint64_t v;
};

struct bgw_feed {
    const char *name;
    uint8_t id;
    struct bgw_slice default_tenant;
    bgw_part default_part;
    int64_t fresh_ms, stale_ms;
    /* A value that is older than fresh_ms by at most this much is answered at once, labelled, while one fetch renews it behind the
     * reader's back; what is older waits for that fetch, and is answered, labelled, only if it fails. 0: never at once, the balance
     * feed's rule. Who watches is told of every state at once, whatever this says. */
    int64_t revalidate_ms;
    const char *read_scope, *read_all_scope, *grant_claim, *grant_type; /* "accounts.read" … */
    const char *no_such_key_text;                                       /* "no_such_account" */
    bool (*key_valid)(struct bgw_slice key);
    bool (*part_valid)(struct bgw_slice part);
    /* On a reject `out->name` still holds whoever the key names (key_len 0: nobody). */
    enum bgw_reject (*decode)(const struct bgw_feed *feed, const struct bgw_record *record,
                              struct bgw_decoded *out);
    /* The object `d` of native frames, amounts as strings; txnId and deltaMinor only if `single`.
     */
    void (*encode_native)(const struct bgw_blob *value, bool single, struct bgw_buf *out);
    /* The members of a REST body that the value speaks of, from `"currency":` on, without braces; amounts as numbers. */
    void (*encode_rest)(const struct bgw_blob *value, struct bgw_buf *out);
    struct bgw_slice (*raw)(const struct bgw_blob *value); /* the record's own bytes */
    /* The same amounts, whoever says so and when. NULL: never known. */
    bool (*same)(const struct bgw_blob *a, const struct bgw_blob *b);
    /* Makes a value from an origin's or a cache's body for this very slot (part set): whatever in it names another account, tenant or
     * part is a reject (KEY_MISMATCH). The value's raw bytes are those of a record that says the same. */
    enum bgw_reject (*decode_body)(const struct bgw_feed *feed, const struct bgw_slot_name *name, struct bgw_slice body,
                                   struct bgw_decoded *out);
    /* The same from bare numbers: the projector's hash, a row. ts_ms below 0: none. */
    enum bgw_reject (*decode_amounts)(const struct bgw_feed *feed, const struct bgw_slot_name *name,
                                      const struct bgw_amounts *amounts, struct bgw_decoded *out);
};

/* The balance feed, filled in with configured defaults. */
void bgw_feed_balance_init(struct bgw_feed *feed, struct bgw_slice default_tenant,
                           bgw_part default_part);
bool bgw_tenant_valid(struct bgw_slice tenant);

#endif
