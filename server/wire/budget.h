/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: how many a second may come in, and when the others are to come back. Hides the arithmetic:
 * who is turned away gets a place in a queue that is served at the budget's rate, so few are sent
 * away for long and many are spread over the whole window. Pure; its owner's thread only.
 */
#ifndef BGW_WIRE_BUDGET_H
#define BGW_WIRE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct bgw_budget { /* zero-initialised: full */
    int64_t at_ms, thousandths; /* tokens that are there; a second's worth at most */
    int64_t told_at_ms, told_thousandths; /* places promised and not due yet */
    uint32_t phase; /* of the sequence that fills the window beyond the queue */
    bool begun;
};

/* False: spent. per_s 0: there is no limit. */
bool bgw_budget_take(struct bgw_budget *b, int64_t per_s, int64_t now_ms);
/* In how many seconds one who was turned away should come back: 1 to window_s. */
int64_t bgw_budget_retry_s(struct bgw_budget *b, int64_t per_s, int64_t window_s, int64_t now_ms);

#endif
