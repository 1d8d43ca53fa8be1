/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assert: the end of a process whose invariants do not hold. Called through BGW_ASSERT on any
 * thread, in release builds too. One log line says where, then abort() leaves a core.
 */
#include "bgw/assert.h"

#include "bgw/log.h"

#include <stdlib.h>

void bgw_assert_fail(const char *expr, const char *file, int line)
{
    static struct bgw_log_site site;
    const struct bgw_log_pair pairs[] = {
        {"expr", LS(expr)},
        {"file", LS(file)},
        {"line", LI(line)},
    };
    bgw_log_write(&site, BGW_LOG_ERROR, "assertion_failed", pairs, 3);
    abort();
}
