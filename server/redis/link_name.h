/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_name: turns a host's name into addresses without keeping a loop waiting. Hides
 * getaddrinfo, which may block for half a minute, on a thread of its own for each question; a number is
 * answered at once. Private to redis; the loop's thread.
 * Invariant: whoever asked may go at any time; what the thread still uses, it owns with him.
 */
#ifndef BGW_REDIS_LINK_NAME_H
#define BGW_REDIS_LINK_NAME_H

#include "bgw/status.h"

#include "link_url.h"

#include <sys/socket.h>

#define BGW_REDIS_ADDRESSES_MAX 8

struct bgw_redis_addresses { /* fixed-size value */
    struct sockaddr_storage at[BGW_REDIS_ADDRESSES_MAX];
    socklen_t len[BGW_REDIS_ADDRESSES_MAX];
    size_t count;
};

struct bgw_redis_name; /* one question */

/* True: it was a number. */
bool bgw_redis_address_of_number(const struct bgw_redis_host *host, struct bgw_redis_addresses *out);
BGW_MUST_CHECK enum bgw_status bgw_redis_name_ask(struct bgw_redis_name **out, const struct bgw_redis_host *host);
bool bgw_redis_name_is_of(const struct bgw_redis_name *n, const struct bgw_redis_host *host);
int bgw_redis_name_fd(const struct bgw_redis_name *n); /* readable when it is answered */
/* False: not answered yet. count 0: nobody knows the name. */
bool bgw_redis_name_answer(const struct bgw_redis_name *n, struct bgw_redis_addresses *out);
void bgw_redis_name_drop(struct bgw_redis_name **n); /* fine if NULL */

#endif
