/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reserve: hides that the reserve is a mapping that nobody touches: it costs address space, which
 * is what runs out under RLIMIT_AS or strict overcommit, and no memory. Any thread; one lock-free
 * word says how things are. Invariant: the mapping is there if the word says full, and one thread
 * alone changes it while the word says changing.
 */
#include "bgw/reserve.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum state { NONE, FULL, CHANGING, SPENT };

static atomic_int state = NONE;
static void *mapping;
static size_t size, held;  /* what it should be, and is */
static size_t spent_load;  /* hub thread: when it was found spent; 0: it is not */

static void *map(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

static void say_low(void)
{
    BGW_LOG(BGW_LOG_ERROR, "memory_low", {"effect", LS("new sessions and subscriptions are refused; the others are served")},
            {"fix", LS("give the gateway more memory or address space, or set BGW_CONNECTIONS_MAX and BGW_KEYS_MAX lower")});
}

static bool change_from(int from)
{
    return atomic_compare_exchange_strong(&state, &from, CHANGING);
}

void bgw_reserve_init(size_t bytes)
{
    size = held = bytes;
    mapping = map(bytes);
    atomic_store(&state, mapping ? FULL : SPENT);
    if (!mapping)
        say_low();
}

bool bgw_reserve_spend(void)
{
    if (!change_from(FULL)) {
        while (atomic_load(&state) == CHANGING) /* another thread gives it back just now, for us as well */
            sched_yield();
        return atomic_load(&state) != NONE; /* or did a moment ago: what is left of it may do */
    }
    munmap(mapping, held);
    atomic_store(&state, SPENT);
    bgw_metric_add(BGW_M_MEMORY_RESERVE_SPENT, 1);
    say_low();
    return true;
}

bool bgw_reserve_low(void)
{
    return atomic_load_explicit(&state, memory_order_relaxed) >= CHANGING;
}

void bgw_reserve_refill(size_t load)
{
    if (!change_from(SPENT))
        return;
    if (!spent_load)
        spent_load = load + 1;
    bool relieved = load < spent_load - spent_load / 4;
    char *at = map(2 * size); /* twice as much must be there, or it would be spent again at once */
    held = size;
    if (at)
        munmap(at + size, size);
    else if (relieved)
        at = map(held = size / 4);
    if (at) {
        mapping = at;
        spent_load = 0;
        BGW_LOG(BGW_LOG_INFO, "memory_back", {"effect", LS("new sessions and subscriptions are taken again")});
    }
    atomic_store(&state, at ? FULL : SPENT);
}
