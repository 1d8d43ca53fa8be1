/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_value: an answer of hiredis as our own value. Private to link_io; any thread. The
 * value borrows the texts of the answer that it was made of, and owns its lists.
 */
#ifndef BGW_REDIS_LINK_VALUE_H
#define BGW_REDIS_LINK_VALUE_H

#include "bgw/redis.h"

#define BGW_REDIS_VALUES_KEPT 16 /* of an answer whose values need no memory of their own */

struct bgw_redis_values { /* must not move */
    struct bgw_redis_value root;
    bool push;
    size_t used;
    struct bgw_redis_value *more; /* NULL: those here are enough */
    struct bgw_redis_value kept[BGW_REDIS_VALUES_KEPT];
};

struct redisReply;
bool bgw_redis_values_of(struct bgw_redis_values *out, const struct redisReply *reply); /* false: no memory */
void bgw_redis_values_free(struct bgw_redis_values *v);

#endif
