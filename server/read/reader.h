/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: the reader's thread as its two files see it: reader.c is the thread and the two mailboxes,
 * sources.c what is asked on it. Private to read.
 */
#ifndef BGW_READ_READER_H
#define BGW_READ_READER_H

#include "channel.h"
#include "l2.h"
#include "lookup.h"
#include "origin.h"

#include "bgw/mailbox.h"
#include "bgw/read.h"

#include <pthread.h>

/* everything that is asked beside the stream; reader's thread, or main's while that does not run */
struct sources {
    struct bgw_reader *reader;
    struct bgw_lookups *lookups;
    struct bgw_l2 *l2;           /* NULL: no Redis */
    struct bgw_channel *channel; /* the same */
    struct bgw_origin *origin;   /* NULL: none */
    struct bgw_known_keys *known;
    struct bgw_timer list_timer; /* when the origin's list of accounts is read again */
    bool l2_up, channel_up, channel_spoke, origin_up, listing;
    bool list_old; /* somebody was found who is not on it */
    int64_t list_began_ms, list_took_ms;
    bool heard, told; /* what the hub was told, if anything: nothing that changed is missed */
    bool missed; /* it was heard once, so what comes after a silence is not all there was */
    int64_t tick_due_ms, look_due_ms;
};

BGW_MUST_CHECK enum bgw_status sources_create(struct bgw_reader *r, struct bgw_buf *error);
void sources_destroy(struct bgw_reader *r);
void sources_ask(struct bgw_reader *r, const struct bgw_fetch *f); /* answers sooner or later */
int64_t sources_wait_ms(struct bgw_reader *r);
void sources_turn_end(struct bgw_reader *r, struct bgw_now now);

/* reader's thread -> hub's: what happened, in order; fixed-size value */
enum news_kind { NEWS_ANSWER, NEWS_INVALIDATION, NEWS_CHANNEL };
struct news {
    uint8_t kind;
    bool up;
    struct bgw_fetched answer;
    struct bgw_invalidation invalidation;
};

struct bgw_reader {
    struct bgw_reader_config config;
    struct bgw_loop *loop; /* the reader's thread's while it runs */
    struct bgw_mailbox *questions /* struct bgw_fetch */, *news;
    struct sources sources;
    bool any;              /* immutable after create: there are sources */
    size_t asked, asked_max; /* hub's thread: fetches that were taken and not answered yet */
    bool deaf;             /* reader's thread: an invalidation found no room */
    pthread_mutex_t look_mutex;
    struct bgw_sources_view view; /* under it */
    pthread_t thread;
    bool running;
};

/* Reader's thread. An answer always finds room. */
void reader_tell(struct bgw_reader *r, const struct news *n);

#endif
