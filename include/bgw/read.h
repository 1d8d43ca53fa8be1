/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read: everything that is asked of the world outside the stream. The reader is a thread with a loop
 * of its own, for what waits on somebody else: the key set today. The hub asks it for values that the
 * stream has not brought, and everything asked for is answered exactly once, on the hub's thread.
 *
 * Life: create, put work on its loop (bgw_reader_loop), start, stop, take the work off, destroy.
 */
#ifndef BGW_READ_H
#define BGW_READ_H

#include "bgw/hub.h"
#include "bgw/loop.h"

struct bgw_reader; /* create to destroy: one thread, main's; fetch and has_source: hub thread only */

struct bgw_reader_config {
    void (*answer)(void *arg, const struct bgw_fetched *f); /* hub thread; may be called inside bgw_reader_fetch */
    void *arg;
};

BGW_MUST_CHECK enum bgw_status bgw_reader_create(struct bgw_reader **out,
                                                 const struct bgw_reader_config *config);
/* What is put on it before the start runs on the reader's thread, and is taken off after the stop. */
struct bgw_loop *bgw_reader_loop(struct bgw_reader *r);
BGW_MUST_CHECK enum bgw_status bgw_reader_start(struct bgw_reader *r);
/* Ends the thread and waits for it; fine if it does not run. A turn never blocks, so this is soon. */
void bgw_reader_stop(struct bgw_reader *r);
/* False: cannot take it now (and will not answer it); the hub asks again later. */
bool bgw_reader_fetch(struct bgw_reader *r, const struct bgw_fetch *f);
/* True if there is any source beside the stream: the stream need not be read from its beginning then. */
bool bgw_reader_has_source(const struct bgw_reader *r);
void bgw_reader_destroy(struct bgw_reader **r); /* stopped; fine if NULL */

#endif
