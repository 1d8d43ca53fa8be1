/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url_watch: a document that is kept up to date from a file or an HTTP(S) address: fetched at start,
 * again after refresh_ms, and at once when somebody wants it and the cooldown allows. Runs on the
 * reader's thread; hides libcurl. Answers larger than bytes_max, of another status than 200, or later than
 * timeout_ms are failures; failures back off from cooldown_ms towards refresh_ms, with jitter, and
 * never wait longer than a minute, a quarter of that before the first success.
 */
#ifndef BGW_URL_WATCH_H
#define BGW_URL_WATCH_H

#include "bgw/buf.h"
#include "bgw/clock.h"
#include "bgw/loop.h"
#include "bgw/status.h"

#include <stdbool.h>

struct bgw_url_watch; /* created and destroyed while the reader's loop does not run; `want` any thread */

struct bgw_url_watch_config { /* copied */
    const char *url;      /* "https://…", "http://" on a loopback address, "file:///path" or a path */
    const char *ca_file;  /* NULL or "": the system's */
    int64_t refresh_ms, cooldown_ms, timeout_ms;
    size_t bytes_max;
    /* Reader's thread. A document came: true if it could be used (else it counts as a failure: the server lies). */
    bool (*document)(void *arg, struct bgw_slice bytes, struct bgw_now now);
    void *arg;
};
/* BGW_CONFIG and a sentence: the address is none of those, or the file of authorities cannot be read. Nothing is fetched before the
 * loop runs; a server that is down or a file that is missing is trouble, not an error. */
BGW_MUST_CHECK enum bgw_status bgw_url_watch_create(struct bgw_url_watch **out, struct bgw_loop *loop,
                                                    const struct bgw_url_watch_config *config, struct bgw_buf *error);
/* Any thread, never blocks: true if a fetch runs or will start now; false: the last attempt ended less than the cooldown ago. */
bool bgw_url_watch_want(struct bgw_url_watch *w);
void bgw_url_watch_now(struct bgw_url_watch *w); /* any thread: SIGHUP; fetches whatever the cooldown says */
/* A sentence on the last failure, without names or addresses; "" if the last attempt went well, or none has ended. Any thread. */
void bgw_url_watch_trouble(struct bgw_url_watch *w, char *out, size_t cap);
void bgw_url_watch_destroy(struct bgw_url_watch **w);

#endif
