/* SPDX-License-Identifier: Apache-2.0 */
/*
 * quota: how many connections each subject, tenant and address has, over all shards of the process.
 * Counted always, so that a limit that a reload brings knows what is there.
 */
#ifndef BGW_QUOTA_H
#define BGW_QUOTA_H

#include "bgw/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bgw_quota; /* any thread */

enum bgw_quota_kind { BGW_QUOTA_SUBJECT, BGW_QUOTA_TENANT, BGW_QUOTA_ADDRESS };

BGW_MUST_CHECK enum bgw_status bgw_quota_create(struct bgw_quota **out);
void bgw_quota_destroy(struct bgw_quota **q); /* asserts that everything was given back */
/* False: there are `max` already (0: no limit). Without memory for a counter: true, and nothing is owed - *taken says it. */
bool bgw_quota_take(struct bgw_quota *q, enum bgw_quota_kind kind, uint64_t of, int64_t max, bool *taken);
void bgw_quota_give(struct bgw_quota *q, enum bgw_quota_kind kind, uint64_t of);

#endif
