/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read: who is asked for a value that the stream has not brought. The hub asks, and everything asked
 * for is answered exactly once. Hub thread only; a reader with threads of its own posts its answers
 * to the hub's loop.
 */
#ifndef BGW_READ_H
#define BGW_READ_H

#include "bgw/hub.h"

struct bgw_reader; /* hub thread only */

struct bgw_reader_config {
    void (*answer)(void *arg, const struct bgw_fetched *f); /* hub thread; may be called inside bgw_reader_fetch */
    void *arg;
};

BGW_MUST_CHECK enum bgw_status bgw_reader_create(struct bgw_reader **out,
                                                 const struct bgw_reader_config *config);
/* False: cannot take it now (and will not answer it); the hub asks again later. */
bool bgw_reader_fetch(struct bgw_reader *r, const struct bgw_fetch *f);
/* True if there is any source beside the stream: the stream need not be read from its beginning then. */
bool bgw_reader_has_source(const struct bgw_reader *r);
void bgw_reader_destroy(struct bgw_reader **r);

#endif
