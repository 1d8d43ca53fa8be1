/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: hides the thread on which the gateway waits for others. Made, started and stopped by the
 * composition root. Invariant: while the thread runs nobody else touches its loop, save by wake and
 * mailbox; nothing on it may block, for one slow server would hold up all the others.
 */
#include "reader.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdlib.h>

enum bgw_status bgw_reader_create(struct bgw_reader **out, const struct bgw_reader_config *config, struct bgw_buf *error)
{
    (void)error;
    BGW_ASSERT(config->answer);
    struct bgw_reader *r = calloc(1, sizeof(*r));
    if (!r)
        return BGW_NO_MEMORY;
    r->config = *config;
    enum bgw_status status = bgw_loop_create(&r->loop);
    if (status != BGW_OK) {
        free(r);
        return status;
    }
    *out = r;
    return BGW_OK;
}

struct bgw_loop *bgw_reader_loop(struct bgw_reader *r)
{
    return r->loop;
}

static void *run(void *arg)
{
    struct bgw_reader *r = arg;
    pthread_setname_np(pthread_self(), "bgw-reader");
    bgw_metrics_thread_attach();
    bgw_loop_run(r->loop);
    return NULL;
}

enum bgw_status bgw_reader_start(struct bgw_reader *r)
{
    BGW_ASSERT(!r->running);
    r->running = pthread_create(&r->thread, NULL, run, r) == 0;
    return r->running ? BGW_OK : BGW_NO_MEMORY;
}

void bgw_reader_stop(struct bgw_reader *r)
{
    if (!r->running)
        return;
    bgw_loop_stop(r->loop);
    pthread_join(r->thread, NULL);
    r->running = false;
}

void bgw_reader_destroy(struct bgw_reader **reader)
{
    struct bgw_reader *r = *reader;
    if (!r)
        return;
    BGW_ASSERT(!r->running);
    bgw_loop_destroy(&r->loop);
    free(r);
    *reader = NULL;
}
