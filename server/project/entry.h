/* SPDX-License-Identifier: Apache-2.0 */
/* entry: one event of the ledger, read strictly. Pure; the projector's thread. */
#ifndef BGW_PROJECT_ENTRY_H
#define BGW_PROJECT_ENTRY_H

#include "bgw/feed.h"

#define ENTRY_ID_MAX 256 /* what gateways carry as txnId */

/* Why an event was not applied: the rows of bgw_ledger_events_rejected_total, in their order. */
enum entry_reject {
    ENTRY_OK,
#define ENTRY_REJECT_ROW(NAME, text) ENTRY_##NAME,
#include "entry_reject.def"
#undef ENTRY_REJECT_ROW
    ENTRY_REJECT_COUNT
};
const char *entry_reject_text(enum entry_reject r);

struct entry { /* fixed-size value */
    int64_t minor; /* > 0: from source to dest */
    struct bgw_slot_name source, dest; /* equal: an event of one account that moves nothing */
    bool id_is_text;
    uint16_t id_len; /* 0: none, or one that is longer than gateways carry */
    char id[ENTRY_ID_MAX]; /* as it is written, without its quotes: escaped JSON */
};

/* `value.data` NULL: a null value. Tenant and currency that are absent are the feed's defaults. */
enum entry_reject entry_read(const struct bgw_feed *feed, struct bgw_slice value, struct entry *out);
bool entry_of_one(const struct entry *e); /* source and dest are the same account */

#endif
