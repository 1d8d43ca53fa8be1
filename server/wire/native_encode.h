/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native_encode: the JSON that bgw.v1 and our event streams have in common: an entry of `u`, and
 * the members of each event. Both put their own frame around the same bytes. Shard thread only.
 */
#ifndef BGW_WIRE_NATIVE_ENCODE_H
#define BGW_WIRE_NATIVE_ENCODE_H

#include "bgw/dialect.h"

/* What subscribers of one slot share (BGW_ENCODING_NATIVE). */
struct bgw_blob *bgw_native_prepare(const struct bgw_update *u);
/* {"k":…,"v":…,…}, from `prepared` or, without it, the same bytes the slow way. */
void bgw_native_append_entry(struct bgw_buf *out, const struct bgw_update *u);

/* The members of an event, to stand inside braces; none begins or ends with a comma. */
void bgw_native_append_state(struct bgw_buf *out, const struct bgw_state_news *news);
void bgw_native_append_sub(struct bgw_buf *out, const struct bgw_sub_reply *reply); /* all but the id */
void bgw_native_append_revoked(struct bgw_buf *out, const struct bgw_slice *keys, size_t count, const char *reason);
void bgw_native_append_bye(struct bgw_buf *out, uint16_t code, int64_t retry_ms, const char *reason);
void bgw_native_append_err(struct bgw_buf *out, const char *code, const char *text);
void bgw_native_append_member(struct bgw_buf *out, const char *start, const char *text); /* start, then the text in quotes */

#endif
