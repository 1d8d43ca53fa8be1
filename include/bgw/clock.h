/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock: time behind a seam. Pure cores never read a clock: they are handed a `struct bgw_now`.
 * Adapters take one reading a loop turn. Tests and the simulator make their own.
 */
#ifndef BGW_CLOCK_H
#define BGW_CLOCK_H

#include <stdint.h>

/* fixed-size value, passed by value */
struct bgw_now {
    int64_t mono_ms; /* never goes back; deadlines and ages */
    int64_t wall_ms; /* epoch milliseconds; token expiry and what people read; may jump */
};

struct bgw_now bgw_clock_now(void); /* any thread */
int64_t bgw_clock_mono_ns(void);    /* any thread */

#endif
