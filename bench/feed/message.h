/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message: what servers that only pass bytes on are given to pass on, and under which name. The
 * publishers and the clients of these servers (bench/swarm/peer_*.c) both take it from here.
 */
#ifndef BENCH_MESSAGE_H
#define BENCH_MESSAGE_H

#include "feed.h"

#include <stddef.h>

#define MESSAGE_MAX 512
#define MESSAGE_NAME_MAX 96

/* {"ev":"upd","u":[…]} of one account, the value feed_value says; its length. */
size_t message_upd(const char *prefix, int account, uint64_t version, char *out, size_t cap);
/* The account's key as a subject, topic or channel: what means something there is replaced by '_'. In place. */
void message_safe_name(char *key);

#endif
