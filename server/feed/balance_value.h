/* SPDX-License-Identifier: Apache-2.0 */
/*
 * balance_value: how a balance lies in a blob. For the balance codec's files only; the blob is
 * immutable, so any thread may look. Invariant: the record's own bytes follow the struct verbatim.
 */
#ifndef BGW_FEED_BALANCE_VALUE_H
#define BGW_FEED_BALANCE_VALUE_H

#include "bgw/feed.h"
#include "bgw/json.h"
#include "bgw/status.h"

#define BALANCE_RECORD_BYTES_MAX 65536
#define BALANCE_TXN_BYTES_MAX 256

/* any thread: immutable after decoding */
struct balance_value {
    int64_t minor, pending_minor;
    int64_t ts_ms, delta_minor; /* of use where has_ts, has_delta */
    bgw_part currency;
    bool has_ts, has_delta;
    bool pending_unknown; /* of a source that does not speak of it; a record that does not says 0 */
    uint16_t txn_len;    /* 0: none */
    uint32_t txn_offset; /* of the text between its quotes, in the record's bytes: escaped JSON */
};

void balance_encode_native(const struct bgw_blob *value, bool single, struct bgw_buf *out);
void balance_encode_rest(const struct bgw_blob *value, struct bgw_buf *out);
struct bgw_slice balance_raw(const struct bgw_blob *value);
enum bgw_reject balance_decode(const struct bgw_feed *feed, const struct bgw_record *record,
                               struct bgw_decoded *out);
enum bgw_reject balance_decode_body(const struct bgw_feed *feed, const struct bgw_slot_name *name, struct bgw_slice body,
                                    struct bgw_decoded *out);
enum bgw_reject balance_decode_amounts(const struct bgw_feed *feed, const struct bgw_slot_name *name,
                                       const struct bgw_amounts *amounts, struct bgw_decoded *out);
enum bgw_reject balance_reject_of(enum bgw_status status); /* of the JSON scanner */
enum bgw_reject balance_make_blob(struct bgw_slice record_bytes, const struct balance_value *value,
                                  struct bgw_decoded *out);
bool balance_key_valid(struct bgw_slice key);
bool balance_part_valid(struct bgw_slice part);

#endif
