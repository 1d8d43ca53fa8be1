/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker: hides when a dependency counts as broken and how soon it is tried again. Called by
 * lookup, on its thread. Invariant: half-open lets one call through at a time, and what comes late
 * of calls from before the opening neither closes nor prolongs it.
 */
#include "breaker.h"

#include "bgw/assert.h"

#define WINDOW 20u
#define WINDOW_FAILED 10u
#define JITTER_PART 4 /* up to a quarter more, so that replicas do not probe in step */

static uint64_t next_random(struct bgw_breaker *b)
{
    uint64_t z = b->random += 0x9e3779b97f4a7c15ULL; /* splitmix64 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
    return z ^ z >> 31;
}

static void forget_calls(struct bgw_breaker *b)
{
    b->failures = 0;
    b->window = 0;
    b->window_count = 0;
    b->probing = false;
}

static void open_it(struct bgw_breaker *b, int64_t now_ms)
{
    int64_t jitter = (int64_t)(next_random(b) % (uint64_t)(b->open_for_ms / JITTER_PART + 1));
    forget_calls(b);
    b->state = BGW_BREAKER_OPEN;
    b->open_until_ms = now_ms + b->open_for_ms + jitter;
    b->open_for_ms = b->open_for_ms > b->config.open_max_ms / 2 ? b->config.open_max_ms : b->open_for_ms * 2;
}

void bgw_breaker_init(struct bgw_breaker *b, const struct bgw_breaker_config *config, uint64_t seed)
{
    BGW_ASSERT(config->failures_max > 0 && config->open_ms > 0 && config->open_max_ms >= config->open_ms);
    *b = (struct bgw_breaker){.config = *config, .open_for_ms = config->open_ms, .random = seed};
}

bool bgw_breaker_open(struct bgw_breaker *b, int64_t now_ms)
{
    switch (b->state) {
    case BGW_BREAKER_OPEN:
        return now_ms < b->open_until_ms;
    case BGW_BREAKER_HALF_OPEN:
        return b->probing;
    case BGW_BREAKER_CLOSED:
        break;
    }
    return false;
}

bool bgw_breaker_allow(struct bgw_breaker *b, int64_t now_ms)
{
    if (bgw_breaker_open(b, now_ms))
        return false;
    if (b->state == BGW_BREAKER_CLOSED)
        return true;
    b->state = BGW_BREAKER_HALF_OPEN;
    b->probing = true;
    return true;
}

static void note_call(struct bgw_breaker *b, bool failed)
{
    b->window = (b->window << 1 | failed) & ((1u << WINDOW) - 1);
    if (b->window_count < WINDOW)
        b->window_count++;
    b->failures = failed ? b->failures + 1 : 0;
}

void bgw_breaker_succeeded(struct bgw_breaker *b, int64_t now_ms)
{
    (void)now_ms;
    if (b->state == BGW_BREAKER_CLOSED) {
        note_call(b, false);
    } else if (b->state == BGW_BREAKER_HALF_OPEN) {
        forget_calls(b);
        b->state = BGW_BREAKER_CLOSED;
        b->open_for_ms = b->config.open_ms;
    }
}

void bgw_breaker_failed(struct bgw_breaker *b, int64_t now_ms)
{
    if (b->state == BGW_BREAKER_OPEN)
        return;
    if (b->state == BGW_BREAKER_CLOSED) {
        note_call(b, true);
        bool often = b->window_count == WINDOW && (unsigned)__builtin_popcount(b->window) >= WINDOW_FAILED;
        if (b->failures < b->config.failures_max && !often)
            return;
    }
    open_it(b, now_ms);
}

void bgw_breaker_abandoned(struct bgw_breaker *b, int64_t now_ms)
{
    (void)now_ms;
    b->probing = false; /* the next one may probe */
}
