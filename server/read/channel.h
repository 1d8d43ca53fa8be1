/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel: `balance:invalidate`: a connection of its own that subscribes, what its messages mean, and
 * whether it is alive: a heartbeat that this gateway publishes to a channel of its own must come back
 * over the same connection. Hides both forms of a message. Reader's thread.
 */
#ifndef BGW_READ_CHANNEL_H
#define BGW_READ_CHANNEL_H

#include "bgw/redis.h"

#include "bgw/read.h"

struct bgw_channel;
/* False: nothing that names an account; counted. */
bool bgw_invalidation_parse(struct bgw_invalidation *out, const struct bgw_feed *feed, struct bgw_slice payload);

struct bgw_channel_config { /* copied */
    const char *url, *ca_file;
    const struct bgw_feed *feed;
    int64_t heartbeat_ms; /* 1000; three lost: the channel is down */
    uint64_t seed;
    void *arg;
    void (*invalidated)(void *arg, const struct bgw_invalidation *i);
    void (*state)(void *arg, bool up); /* up: subscribed, and a heartbeat came through */
    void (*ping)(void *arg, struct bgw_slice channel, struct bgw_slice payload); /* publish this over another connection */
};
BGW_MUST_CHECK enum bgw_status bgw_channel_create(struct bgw_channel **out, struct bgw_loop *loop,
                                                  const struct bgw_channel_config *config, struct bgw_buf *error);
void bgw_channel_beat(struct bgw_channel *c); /* `ping` works now: it need not be waited for the next beat */
void bgw_channel_destroy(struct bgw_channel **c);

#endif
