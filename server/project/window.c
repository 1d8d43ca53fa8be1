/* SPDX-License-Identifier: Apache-2.0 */
/*
 * window: hides how ends that come in any order make one offset that may be committed. Called by the projector on its thread; pure.
 * Invariants: `done` never goes back between two begins and never passes an event that has not ended; after a stop it stands still.
 */
#include "window.h"

#include "bgw/assert.h"

void window_begin(struct window *w, int64_t offset)
{
    w->done = offset;
    w->last = offset - 1;
    w->first = w->next;
    w->stopped = false;
}

size_t window_count(const struct window *w)
{
    return (size_t)(w->next - w->first);
}

bool window_enter(struct window *w, int64_t offset, uint64_t *number)
{
    if (w->stopped || offset <= w->last || window_count(w) == WINDOW_MAX)
        return false;
    size_t at = w->next % WINDOW_MAX;
    w->offsets[at] = offset;
    w->ended[at] = false;
    w->last = offset;
    *number = w->next++;
    return true;
}

bool window_end(struct window *w, uint64_t number)
{
    BGW_ASSERT(number < w->next);
    if (w->stopped || number < w->first)
        return false;
    w->ended[number % WINDOW_MAX] = true;
    bool moved = false;
    for (; w->first < w->next && w->ended[w->first % WINDOW_MAX]; w->first++, moved = true)
        w->done = w->offsets[w->first % WINDOW_MAX] + 1;
    return moved;
}

void window_stop(struct window *w)
{
    w->stopped = true;
    w->first = w->next;
}
