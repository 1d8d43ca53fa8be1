/* SPDX-License-Identifier: Apache-2.0 */
/* grants: the one question that access asks of a set of keys. Any thread. */
#ifndef BGW_ACCESS_GRANTS_H
#define BGW_ACCESS_GRANTS_H

#include "bgw/access.h"

bool grants_cover(const struct bgw_grants *g, struct bgw_slice key); /* of a sealed set */

#endif
