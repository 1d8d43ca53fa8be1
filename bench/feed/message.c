/* SPDX-License-Identifier: Apache-2.0 */
/* message: see message.h. The text is what bgw-baseline sends, byte for byte. */
#include "message.h"

#include <stdio.h>
#include <string.h>

size_t message_upd(const char *prefix, int account, uint64_t version, char *out, size_t cap)
{
    int n = snprintf(out, cap,
                     "{\"ev\":\"upd\",\"u\":[{\"k\":\"%s%06d\",\"v\":\"base.%llu\",\"d\":{\"currency\":\"NGN\","
                     "\"minor\":\"%lld\",\"pendingMinor\":\"0\",\"ts\":1793000000000}}]}",
                     prefix, account, (unsigned long long)version, (long long)feed_value(version, account));
    return n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;
}

void message_safe_name(char *key)
{
    for (char *p = key; (p = strpbrk(p, ".*>+#/ ,")); p++)
        *p = '_';
}
