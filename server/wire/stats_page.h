/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stats_page: the two pages of numbers of the client port. Called by api on a shard's thread, answers
 * at once. They say nothing of accounts, so they need no token, as the health pages.
 */
#ifndef BGW_WIRE_STATS_PAGE_H
#define BGW_WIRE_STATS_PAGE_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/flags.h"
#include "bgw/sources.h"

/* Each appends one JSON object and returns its status. */
int stats_page_shedding(struct bgw_buf *out, const struct bgw_sources_view *view, struct bgw_now now);
int stats_page_cache(struct bgw_buf *out, const struct bgw_sources_view *view, const struct bgw_flags *flags, struct bgw_now now);

#endif
