/* SPDX-License-Identifier: Apache-2.0 */
/* audit_line: an audit event as one line of JSON, with its account masked. Private to server/ops; pure. */
#ifndef BGW_OPS_AUDIT_LINE_H
#define BGW_OPS_AUDIT_LINE_H

#include "bgw/audit.h"

#define BGW_AUDIT_LINE_MAX 1024 /* every member at its longest, each byte escaped: less than 900 */
#define BGW_AUDIT_MASKED_MAX (BGW_KEY_MAX + 4)

/* Appends the line with its newline. */
void bgw_audit_line(const struct bgw_audit_event *e, const uint8_t mask_key[32], struct bgw_buf *out);
/* Appends {"ts":…,"event":"lost","count":…}. */
void bgw_audit_line_lost(int64_t wall_ms, uint64_t count, struct bgw_buf *out);
/*
 * At most the first four and the last two characters stay, at least half is hidden, all of it if it
 * has fewer than eight. A name space before `::` stays if it is a word: it says what kind of account
 * this is, not whose. NUL-terminated.
 */
void bgw_audit_mask(const char *key, char out[BGW_AUDIT_MASKED_MAX]);

#endif
