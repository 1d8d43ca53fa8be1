/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: the token bucket of handshakes and the queue of those who were sent away. Called by the
 * listener (connections) and by conn_door (upgrades) on their shard's thread. Invariant: however
 * many come, what returns in any one second is about the budget, or an even share of the window.
 */
#include "budget.h"

#define GOLDEN 2654435769u /* multiples of the golden ratio fill any window evenly, however many come */

static int64_t elapsed_of(int64_t from_ms, int64_t now_ms, int64_t most_ms)
{
    int64_t elapsed_ms = now_ms > from_ms ? now_ms - from_ms : 0;
    return elapsed_ms < most_ms ? elapsed_ms : most_ms;
}

bool bgw_budget_take(struct bgw_budget *b, int64_t per_s, int64_t now_ms)
{
    int64_t full = per_s * 1000;
    if (per_s <= 0)
        return true;
    if (!b->begun) {
        b->begun = true;
        b->thousandths = full;
    } else {
        b->thousandths += elapsed_of(b->at_ms, now_ms, 1000) * per_s;
    }
    b->at_ms = now_ms;
    if (b->thousandths > full) /* after a rest, or when the rate has become smaller */
        b->thousandths = full;
    if (b->thousandths < 1000)
        return false;
    b->thousandths -= 1000;
    return true;
}

int64_t bgw_budget_retry_s(struct bgw_budget *b, int64_t per_s, int64_t window_s, int64_t now_ms)
{
    if (window_s <= 1 || per_s <= 0)
        return 1;
    b->told_thousandths -= elapsed_of(b->told_at_ms, now_ms, window_s * 1000) * per_s;
    b->told_at_ms = now_ms;
    if (b->told_thousandths < 0)
        b->told_thousandths = 0;
    int64_t wait_s = 1 + b->told_thousandths / (per_s * 1000);
    if (wait_s <= window_s) {
        b->told_thousandths += 1000;
        return wait_s;
    }
    b->phase += GOLDEN; /* more than the window can serve: the queue is full, and they are spread */
    return 1 + (int64_t)((uint64_t)b->phase * (uint64_t)window_s >> 32);
}
