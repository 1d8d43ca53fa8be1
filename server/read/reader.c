/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: hides the thread on which the gateway waits for others, and how questions get there from
 * the hub's thread and answers back. Made, started and stopped by the composition root. Invariants:
 * while the thread runs nobody else touches its loop, save by wake and mailbox; nothing on it may
 * block, for one slow server would hold up all the others; a fetch that was taken is answered once,
 * for no more are taken than there is room for answers.
 */
#include "reader.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define NEWS_SPARE 8192u /* room for invalidations beside the answers */

/* ---- hub's thread ---- */

static void on_news(void *arg, const void *item)
{
    struct bgw_reader *r = arg;
    const struct news *n = item;
    switch ((enum news_kind)n->kind) {
    case NEWS_ANSWER:
        BGW_ASSERT(r->asked > 0);
        r->asked--;
        r->config.answer(r->config.arg, &n->answer);
        break;
    case NEWS_INVALIDATION:
        r->config.invalidated(r->config.arg, &n->invalidation);
        break;
    case NEWS_CHANNEL:
        r->config.channel(r->config.arg, n->up);
        break;
    }
}

bool bgw_reader_fetch(struct bgw_reader *r, const struct bgw_fetch *f)
{
    if (!r->any) { /* answered at once: neither denies an account nor touches a value */
        const struct bgw_fetched nobody = {.id = f->id, .result = BGW_FETCH_NO_SOURCE};
        r->config.answer(r->config.arg, &nobody);
        return true;
    }
    if (r->asked == r->asked_max || bgw_mailbox_post(r->questions, f) != BGW_OK)
        return false;
    r->asked++;
    return true;
}

/* ---- any thread ---- */

bool bgw_reader_has_source(const struct bgw_reader *r)
{
    return r->any;
}

void bgw_reader_look(struct bgw_reader *r, struct bgw_sources_view *view)
{
    pthread_mutex_lock(&r->look_mutex);
    *view = r->view;
    pthread_mutex_unlock(&r->look_mutex);
}

/* ---- reader's thread ---- */

void reader_tell(struct bgw_reader *r, const struct news *n)
{
    if (bgw_mailbox_post(r->news, n) == BGW_OK)
        return;
    BGW_ASSERT(n->kind != NEWS_ANSWER);
    if (n->kind == NEWS_INVALIDATION)
        r->deaf = true; /* as if the channel had been down: everything is asked for again */
}

static void on_question(void *arg, const void *item)
{
    sources_ask(arg, item);
}

static void admit_deafness(struct bgw_reader *r)
{
    const struct news down = {.kind = NEWS_CHANNEL, .up = false}, up = {.kind = NEWS_CHANNEL, .up = true};
    if (!r->deaf || bgw_mailbox_post(r->news, &down) != BGW_OK)
        return;
    r->deaf = bgw_mailbox_post(r->news, &up) != BGW_OK;
}

static void turn_end(void *arg, struct bgw_now now)
{
    struct bgw_reader *r = arg;
    sources_turn_end(r, now);
    admit_deafness(r);
}

static int64_t wait_max_ms(void *arg)
{
    struct bgw_reader *r = arg;
    return r->deaf ? 10 : sources_wait_ms(r);
}

static void *run(void *arg)
{
    struct bgw_reader *r = arg;
    pthread_setname_np(pthread_self(), "bgw-reader");
    bgw_metrics_thread_attach();
    bgw_loop_run(r->loop);
    return NULL;
}

/* ---- life ---- */

static enum bgw_status make_sources(struct bgw_reader *r, struct bgw_buf *error)
{
    const struct bgw_config *c = r->config.config;
    r->any = c && (*c->redis || *c->ledger_internal || *c->origin_pg);
    if (!r->any)
        return BGW_OK;
    r->asked_max = (size_t)c->fetches_max;
    enum bgw_status status =
        bgw_mailbox_create(&r->questions, r->loop, sizeof(struct bgw_fetch), r->asked_max, on_question, r);
    if (status == BGW_OK)
        status = bgw_mailbox_create(&r->news, r->config.hub_loop, sizeof(struct news), r->asked_max + NEWS_SPARE, on_news, r);
    if (status == BGW_OK)
        status = sources_create(r, error);
    if (status != BGW_OK)
        return status;
    const struct bgw_loop_hooks hooks = {.arg = r, .wait_max_ms = wait_max_ms, .turn_end = turn_end};
    bgw_loop_set_hooks(r->loop, &hooks);
    return BGW_OK;
}

enum bgw_status bgw_reader_create(struct bgw_reader **out, const struct bgw_reader_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->answer);
    struct bgw_reader *r = calloc(1, sizeof(*r));
    *out = NULL;
    if (!r)
        return BGW_NO_MEMORY;
    r->config = *config;
    r->view.redis_memory_bytes = -1;
    pthread_mutex_init(&r->look_mutex, NULL);
    enum bgw_status status = bgw_loop_create(&r->loop);
    if (status == BGW_OK)
        status = make_sources(r, error);
    if (status != BGW_OK) {
        bgw_reader_destroy(&r);
        return status;
    }
    *out = r;
    return BGW_OK;
}

struct bgw_loop *bgw_reader_loop(struct bgw_reader *r)
{
    return r->loop;
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
    sources_destroy(r);
    if (r->questions)
        bgw_mailbox_destroy(&r->questions);
    if (r->news)
        bgw_mailbox_destroy(&r->news);
    if (r->loop)
        bgw_loop_destroy(&r->loop);
    pthread_mutex_destroy(&r->look_mutex);
    free(r);
    *reader = NULL;
}
