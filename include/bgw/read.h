/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read: everything that is asked of the world outside the stream. The reader is a thread with a loop
 * of its own, for what waits on somebody else: key sets, Redis, the origin, the invalidation channel.
 * The hub asks it for values that the stream has not brought; everything asked for is answered exactly
 * once, on the hub's thread.
 *
 * Life: create, put work on its loop (bgw_reader_loop), start, stop, take the work off, destroy.
 */
#ifndef BGW_READ_H
#define BGW_READ_H

#include "bgw/config.h"
#include "bgw/flags.h"
#include "bgw/hub.h"
#include "bgw/loop.h"
#include "bgw/sources.h"

struct bgw_reader; /* create to destroy: one thread, main's; what says otherwise, otherwise */

/* what the invalidation channel said; fixed-size value */
struct bgw_invalidation {
    struct bgw_slot_name name; /* part 0: all */
    bool any_tenant, has_v;
    uint64_t v;
};

struct bgw_reader_config {
    const struct bgw_config *config; /* which sources there are */
    const struct bgw_feed *feed;
    const struct bgw_flags *flags;
    struct bgw_loop *hub_loop; /* where answers come out */
    /* hub thread; `answer` may be called inside bgw_reader_fetch */
    void (*answer)(void *arg, const struct bgw_fetched *f);
    void (*invalidated)(void *arg, const struct bgw_invalidation *i);
    void (*channel)(void *arg, bool up); /* also after invalidations were lost for want of room */
    void *arg;
};

/* BGW_CONFIG and a sentence: an address is none. */
BGW_MUST_CHECK enum bgw_status bgw_reader_create(struct bgw_reader **out, const struct bgw_reader_config *config,
                                                 struct bgw_buf *error);
/* What is put on it before the start runs on the reader's thread, and is taken off after the stop. */
struct bgw_loop *bgw_reader_loop(struct bgw_reader *r);
BGW_MUST_CHECK enum bgw_status bgw_reader_start(struct bgw_reader *r);
/* Ends the thread and waits for it; fine if it does not run. A turn never blocks, so this is soon. */
void bgw_reader_stop(struct bgw_reader *r);
/* Hub thread. False: cannot take it now (and will not answer it); the hub asks again later. */
bool bgw_reader_fetch(struct bgw_reader *r, const struct bgw_fetch *f);
/* Any thread. True if there is any source beside the stream: the stream need not be read from its beginning then. */
bool bgw_reader_has_source(const struct bgw_reader *r);
void bgw_reader_look(struct bgw_reader *r, struct bgw_sources_view *view); /* any thread: as of its last turn */
void bgw_reader_destroy(struct bgw_reader **r); /* stopped; fine if NULL */

#endif
