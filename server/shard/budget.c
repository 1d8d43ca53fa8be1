/* SPDX-License-Identifier: Apache-2.0 */
/*
 * budget: commands a second of one session. Hides the bucket: what was spent, in thousandths of a
 * command, given back with every millisecond; so a change of the limit takes effect at once, and
 * nothing is lost to rounding. Called by the adapter for each command; shard thread only.
 * Invariant: a session is told to slow down once, and again only after half of its burst came back.
 */
#include "core.h"

#define COMMAND 1000 /* what one costs */
#define DEBT_S 60    /* what was read already may overdraw it by so many seconds, not more */

/* What time has given back since the last look. */
static int64_t spent_now(struct bgw_session *n, int64_t per_s)
{
    const uint32_t tick = tick_of(n->shard, n->shard->now.mono_ms);
    const int64_t passed_ms = tick_diff(tick, n->budget_tick);
    n->budget_tick = tick;
    /* backwards: more than 24 days have passed */
    if (passed_ms < 0 || passed_ms >= n->budget_spent / per_s + 1)
        return 0;
    return (int64_t)n->budget_spent - passed_ms * per_s;
}

static void say_slow_down(struct bgw_session *n)
{
    n->flags |= SESSION_SLOWED;
    bgw_metric_add(BGW_M_COMMANDS_SLOWED, 1);
    session_error(n, false, 0, "slow_down",
                  "more commands than this connection may send: it is read more slowly now");
}

bool bgw_session_may_command(struct bgw_shard *s, struct bgw_session *n, int64_t *wait_ms)
{
    const int64_t per_s = s->config.limits.commands_per_s;
    if (per_s <= 0)
        return true;
    const int64_t burst = 2 * per_s * COMMAND;
    int64_t spent = spent_now(n, per_s);
    if (spent <= burst / 2)
        n->flags &= (uint16_t)~SESSION_SLOWED;
    spent += COMMAND;
    const int64_t owed = burst + DEBT_S * per_s * COMMAND;
    const int64_t most = owed < UINT32_MAX ? owed : UINT32_MAX;
    n->budget_spent = (uint32_t)(spent < most ? spent : most);
    if (spent <= burst)
        return true;
    /* until one more fits */
    *wait_ms = (n->budget_spent + COMMAND - burst + per_s - 1) / per_s;
    if (!(n->flags & SESSION_SLOWED))
        say_slow_down(n);
    return false;
}
