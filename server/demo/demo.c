/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo: the thread that turns the ledger's moves into records. Both legs of a move are written one
 * after the other, and a move that was made is always written whole, also when it is stopping.
 * The thread owns ledger and producer; its owner only asks it to stop.
 */
#include "bgw/demo.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/ingest.h"
#include "bgw/log.h"
#include "bgw/metrics.h"
#include "ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SEED 20261121 /* the same demonstration at every start */
#define FLUSH_MS 3000
#define RETRY_MS 50
#define VALUE_MAX 512

struct bgw_demo { /* the demo's thread, but for `stop`, which is under the lock */
    const char *topic;
    struct bgw_kafka_producer *producer;
    struct bgw_ledger *ledger;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
};

/* A broker may remember earlier demonstrations: versions must rise, so they start at the clock. */
static uint64_t first_version(const struct bgw_config *config)
{
    const char *kafka = config->kafka_bootstrap;
    if (!kafka[0] || strcmp(kafka, "embedded") == 0)
        return 1;
    return (uint64_t)bgw_clock_now().wall_ms * 1000;
}

/* True if it is time to stop. */
static bool wait_ms(struct bgw_demo *d, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t)(ms / 1000 + ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    pthread_mutex_lock(&d->lock);
    while (!d->stop && ms > 0 &&
           pthread_cond_timedwait(&d->changed, &d->lock, &until) != ETIMEDOUT)
        continue;
    bool stop = d->stop;
    pthread_mutex_unlock(&d->lock);
    return stop;
}

static size_t value_of(const struct bgw_ledger_leg *leg, uint64_t txn, char out[VALUE_MAX])
{
    int n = snprintf(out, VALUE_MAX,
                     "{\"accountId\":\"%s\",\"minor\":%" PRId64 ",\"currency\":\"%s\","
                     "\"pendingMinor\":0,\"v\":%" PRIu64 ",\"ts\":%" PRId64
                     ",\"deltaMinor\":%" PRId64 ",\"txnId\":\"demo-%08" PRIu64 "\"}",
                     leg->account, leg->minor, leg->currency, leg->v, bgw_clock_now().wall_ms,
                     leg->delta_minor, txn);
    BGW_ASSERT(n > 0 && n < VALUE_MAX);
    return (size_t)n;
}

/* False: it is time to stop and the broker does not take it. */
static bool write_leg(struct bgw_demo *d, const struct bgw_ledger_leg *leg, uint64_t txn)
{
    char value[VALUE_MAX];
    struct bgw_slice body = bgw_slice_of(value, value_of(leg, txn, value));
    struct bgw_slice key = bgw_slice_str(leg->account);
    while (bgw_kafka_producer_send(d->producer, d->topic, key, body) != BGW_OK) {
        if (wait_ms(d, RETRY_MS))
            return false;
        bgw_kafka_producer_poll(d->producer);
    }
    return true;
}

static bool move(struct bgw_demo *d)
{
    struct bgw_ledger_move m;
    bgw_ledger_step(d->ledger, &m);
    return write_leg(d, &m.from, m.txn) && write_leg(d, &m.to, m.txn);
}

static void *run(void *arg)
{
    struct bgw_demo *d = arg;
    bgw_metrics_thread_attach();
    bool going = true;
    while (going && bgw_ledger_opening(d->ledger))
        going = move(d);
    if (going)
        BGW_LOG(BGW_LOG_INFO, "demo_accounts_opened", {"topic", LS(d->topic)},
                {"accounts", LI(BGW_DEMO_ACCOUNTS)});
    while (going && !wait_ms(d, bgw_ledger_gap_ms(d->ledger)))
        going = move(d);
    enum bgw_status st = bgw_kafka_producer_flush(d->producer, FLUSH_MS);
    if (st != BGW_OK)
        BGW_LOG(BGW_LOG_WARN, "demo_records_not_written", {"reason", LS(bgw_status_name(st))});
    return NULL;
}

static void release(struct bgw_demo *d)
{
    bgw_kafka_producer_destroy(&d->producer);
    bgw_ledger_destroy(&d->ledger);
    pthread_cond_destroy(&d->changed);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void init_lock(struct bgw_demo *d)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&d->lock, NULL);
}

enum bgw_status bgw_demo_create(struct bgw_demo **out, const struct bgw_config *config,
                                const char *bootstrap, struct bgw_buf *error)
{
    struct bgw_demo *d = calloc(1, sizeof(*d));
    if (!d)
        return BGW_NO_MEMORY;
    init_lock(d);
    d->topic = config->topic_balance_updates;
    d->ledger = bgw_ledger_create(SEED, first_version(config));
    enum bgw_status st = d->ledger ? BGW_OK : BGW_NO_MEMORY;
    if (st == BGW_OK)
        st = bgw_kafka_producer_create(&d->producer, config, bootstrap, error);
    if (st == BGW_OK && pthread_create(&d->thread, NULL, run, d) != 0)
        st = BGW_NO_MEMORY;
    if (st != BGW_OK) {
        release(d);
        return st;
    }
    pthread_setname_np(d->thread, "bgw-demo");
    *out = d;
    return BGW_OK;
}

void bgw_demo_destroy(struct bgw_demo **demo)
{
    struct bgw_demo *d = *demo;
    if (!d)
        return;
    *demo = NULL;
    pthread_mutex_lock(&d->lock);
    d->stop = true;
    pthread_cond_signal(&d->changed);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    release(d);
}
