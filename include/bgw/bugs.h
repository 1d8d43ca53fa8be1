/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bugs: deliberate faults for one extra simulator binary, which must catch each of them. In every
 * other build BGW_BUG is a constant 0 and the fault does not exist.
 */
#ifndef BGW_BUGS_H
#define BGW_BUGS_H

#ifdef BGW_SIM_BUGS
#include <stdbool.h>
#include <string.h>

extern const char *bgw_bug; /* the one that is switched on; NULL: none. Written before anything runs */

static inline bool bgw_bug_on(const char *name)
{
    return bgw_bug && strcmp(bgw_bug, name) == 0;
}
#define BGW_BUG(name) bgw_bug_on(name)
#else
#define BGW_BUG(name) 0
#endif

#endif
