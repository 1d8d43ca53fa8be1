/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_url: the forms in which a Redis is named: host:port, redis://, rediss://,
 * redis+sentinel:// and rediss+sentinel://, with user and password, database and master's name.
 * Pure; private to redis. Invariant: no sentence that it makes holds any part of the address.
 */
#ifndef BGW_REDIS_LINK_URL_H
#define BGW_REDIS_LINK_URL_H

#include "bgw/buf.h"
#include "bgw/status.h"

#define BGW_REDIS_HOSTS_MAX 8
#define BGW_REDIS_HOST_MAX 253
#define BGW_REDIS_SECRET_MAX 512 /* bytes of a user's name or a password */

struct bgw_redis_host { /* fixed-size value */
    char name[BGW_REDIS_HOST_MAX + 1];
    uint16_t port;
};

struct bgw_redis_url { /* fixed-size value */
    bool tls, sentinel;
    char user[BGW_REDIS_SECRET_MAX + 1], password[BGW_REDIS_SECRET_MAX + 1]; /* empty: none */
    char master[129];
    int db;
    struct bgw_redis_host hosts[BGW_REDIS_HOSTS_MAX]; /* one, or the Sentinels */
    size_t host_count;
};

/* NULL, or why it is none of the forms. */
const char *bgw_redis_url_parse(struct bgw_redis_url *out, const char *text);
/* "name:port", "name", "[v6]:port"; port 0 in `out` if there is none. False: neither. */
bool bgw_redis_host_parse(struct bgw_redis_host *out, struct bgw_slice text);

#endif
