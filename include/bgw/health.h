/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health: what the health pages of both ports say, and how. The gateway fills the answer, on any
 * thread; the pages are the same bytes wherever they are asked.
 */
#ifndef BGW_HEALTH_H
#define BGW_HEALTH_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/sources.h"

/* fixed-size value */
struct bgw_health {
    bool ready, draining;
    char reason[160];     /* why not ready */
    char degraded[160];   /* JSON array members: "\"redis\"" or empty */
};

/* Adds a name to `degraded`; one that is there already, or does not fit, changes nothing. */
void bgw_health_degrade(struct bgw_health *h, const char *name);
/* What of Redis, the invalidation channel and the origin is away, and whose breaker is not closed; never whether it is ready. */
void bgw_health_of_sources(struct bgw_health *h, const struct bgw_sources_view *view);

/* Each appends one JSON object; the return value is the HTTP status that belongs to it. */
int bgw_health_page(struct bgw_buf *out, struct bgw_now now, const char *version); /* /health */
int bgw_health_livez(struct bgw_buf *out);                                         /* /livez */
int bgw_health_readyz(struct bgw_buf *out, const struct bgw_health *h, bool verbose); /* /readyz */

#endif
