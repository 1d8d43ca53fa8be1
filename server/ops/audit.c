/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit: a ring of events and the thread that empties it. Hides the queue, the writer and the
 * counting; put is called by shards and the admin port, the rest by main. Producers hold the lock
 * for one copy, the writer for two assignments: it reads slots that are not given back yet without it.
 * Invariant: each event put is counted exactly once, as written or as lost; losses are said in the
 * log itself before the next line that gets through.
 */
#include "bgw/audit.h"

#include "audit_file.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MAX 64      /* lines of one write, 64 KiB at most */
#define READER_WAIT_MS 100 /* for a full pipe, before its batch is given up */
#define FLUSH_MS 1000
#define GRACE_MS 500      /* more, for a write that the system holds up */

struct bgw_audit { /* any thread under `lock`; what is below `file` is the writer's */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* something to do, or the writer has ended */
    struct bgw_audit_event *ring;
    size_t cap, head, count;
    uint64_t unsaid; /* events lost and not yet told in the file */
    bool waiting, reopen, stopping, ended;
    int64_t stop_at_ms;
    pthread_t thread;

    uint8_t mask_key[32];
    struct bgw_audit_file file;
    struct bgw_buf text;
    size_t ends[BATCH_MAX + 1];  /* where each line of `text` ends */
    uint64_t worth[BATCH_MAX + 1]; /* how many losses it tells of; 0: it is an event */
    size_t lines;
    uint64_t torn_worth;
    bool trouble;
};

/* ---- writer ---- */

static void add_line(struct bgw_audit *a, uint64_t worth)
{
    a->ends[a->lines] = a->text.len;
    a->worth[a->lines++] = worth;
}

static void count_written(uint64_t worth)
{
    if (worth == 0)
        bgw_metric_add(BGW_M_AUDIT_WRITTEN, 1);
}

/* An event becomes a loss; a line that told of losses leaves them untold. */
static uint64_t count_lost(uint64_t worth)
{
    if (worth)
        return worth;
    bgw_metric_add(BGW_M_AUDIT_LOST, 1);
    return 1;
}

static const char *reason(int why)
{
    return why == ENXIO || why == EPIPE ? "nobody reads the pipe"
           : why == EAGAIN              ? "the pipe is full, its reader too slow"
                                        : strerror(why);
}

static void say_trouble(struct bgw_audit *a, int why)
{
    bool trouble = why != 0;
    if (trouble != a->trouble && trouble)
        BGW_LOG(BGW_LOG_WARN, "audit_not_written", {"file", LS(a->file.path)},
                {"why", LS(reason(why))},
                {"fix", LS("make room, or start its reader; what is lost is counted in bgw_audit_lines_total")});
    else if (trouble != a->trouble)
        BGW_LOG(BGW_LOG_INFO, "audit_written_again", {"file", LS(a->file.path)});
    a->trouble = trouble;
}

/* Writes `text`; returns how many losses have to be told from now on. */
static uint64_t write_lines(struct bgw_audit *a, int wait_ms)
{
    uint64_t unsaid = 0;
    struct bgw_audit_written w = bgw_audit_file_write(&a->file, bgw_buf_slice(&a->text), wait_ms);
    if (w.before == BGW_TORN_FINISHED)
        count_written(a->torn_worth);
    else if (w.before == BGW_TORN_GIVEN_UP)
        unsaid += count_lost(a->torn_worth);
    size_t i = 0;
    for (; i < a->lines && a->ends[i] <= w.bytes; i++)
        count_written(a->worth[i]);
    if (w.tears && i < a->lines)
        a->torn_worth = a->worth[i++];
    for (; i < a->lines; i++)
        unsaid += count_lost(a->worth[i]);
    say_trouble(a, w.error);
    return unsaid;
}

/* Composes what stands at the head of the ring; nobody touches those slots until they are given back. */
static void compose(struct bgw_audit *a, size_t head, size_t n, uint64_t unsaid)
{
    bgw_buf_clear(&a->text);
    a->lines = 0;
    if (unsaid) {
        bgw_audit_line_lost(bgw_clock_now().wall_ms, unsaid, &a->text);
        add_line(a, unsaid);
    }
    for (size_t i = 0; i < n; i++) {
        bgw_audit_line(&a->ring[(head + i) % a->cap], a->mask_key, &a->text);
        add_line(a, 0);
    }
    BGW_ASSERT(!a->text.failed);
}

/* With the lock held, which it gives up meanwhile. */
static void write_batch(struct bgw_audit *a)
{
    size_t head = a->head, n = a->count < BATCH_MAX ? a->count : BATCH_MAX;
    uint64_t unsaid = a->unsaid;
    int wait_ms = READER_WAIT_MS;
    a->unsaid = 0;
    if (a->stopping) {
        int64_t left_ms = a->stop_at_ms - bgw_clock_now().mono_ms;
        wait_ms = left_ms <= 0 ? 0 : left_ms < READER_WAIT_MS ? (int)left_ms : READER_WAIT_MS;
    }
    pthread_mutex_unlock(&a->lock);
    compose(a, head, n, unsaid);
    unsaid = write_lines(a, wait_ms);
    pthread_mutex_lock(&a->lock);
    a->unsaid += unsaid;
    a->head = (a->head + n) % a->cap;
    a->count -= n;
    if (a->count == 0)
        a->head = 0; /* the same few pages again: a large ring costs memory only when it fills */
}

static void reopen(struct bgw_audit *a)
{
    a->reopen = false;
    pthread_mutex_unlock(&a->lock);
    bool torn = a->file.torn;
    bool opened = bgw_audit_file_reopen(&a->file);
    int why = errno;
    uint64_t unsaid = opened && torn ? count_lost(a->torn_worth) : 0;
    if (!opened)
        BGW_LOG(BGW_LOG_WARN, "audit_not_reopened", {"file", LS(a->file.path)}, {"why", LS(reason(why))},
                {"fix", LS("the old file is written on; make the path writable and send SIGHUP again")});
    pthread_mutex_lock(&a->lock);
    a->unsaid += unsaid;
}

/* Stopping, and nothing left that the time allows to write. */
static bool may_end(const struct bgw_audit *a)
{
    bool idle = a->count == 0 && a->unsaid == 0 && !a->file.torn;
    return a->stopping && (idle || bgw_clock_now().mono_ms >= a->stop_at_ms);
}

static void *run(void *arg)
{
    struct bgw_audit *a = arg;
    pthread_setname_np(pthread_self(), "bgw-audit");
    bgw_metrics_thread_attach();
    pthread_mutex_lock(&a->lock);
    while (!may_end(a)) {
        if (a->reopen) {
            reopen(a);
        } else if (a->count || a->stopping) {
            write_batch(a);
            if (a->count == 0 && a->stopping)
                break; /* with losses still untold: the file takes nothing, and there is nothing to wait for */
        } else {
            a->waiting = true;
            pthread_cond_wait(&a->changed, &a->lock);
            a->waiting = false;
        }
    }
    bgw_metric_add(BGW_M_AUDIT_LOST, (int64_t)a->count + (a->file.torn && a->torn_worth == 0));
    a->count = 0;
    a->ended = true;
    pthread_cond_broadcast(&a->changed);
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- life ---- */

static void release(struct bgw_audit *a)
{
    bgw_audit_file_close(&a->file);
    bgw_buf_deinit(&a->text);
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a->ring);
    free(a);
}

/* Without signals: those that a write itself raises (SIGPIPE, SIGXFSZ) stay pending and end with the thread. */
static enum bgw_status start(struct bgw_audit *a)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&a->thread, NULL, run, a);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc == 0 ? BGW_OK : BGW_NO_MEMORY;
}

enum bgw_status bgw_audit_create(struct bgw_audit **out, const struct bgw_audit_config *config, struct bgw_buf *error)
{
    pthread_condattr_t attr;
    struct bgw_audit *a = calloc(1, sizeof(*a));
    BGW_ASSERT(config->queue_max > 0);
    *out = NULL;
    if (!a)
        return BGW_NO_MEMORY;
    a->cap = config->queue_max;
    a->ring = calloc(a->cap, sizeof(*a->ring));
    memcpy(a->mask_key, config->mask_key, sizeof(a->mask_key));
    a->file.fd = -1;
    pthread_mutex_init(&a->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&a->changed, &attr);
    pthread_condattr_destroy(&attr);
    bgw_buf_init(&a->text, (BATCH_MAX + 1) * BGW_AUDIT_LINE_MAX);
    enum bgw_status status = a->ring ? bgw_audit_file_open(&a->file, config->path, error) : BGW_NO_MEMORY;
    if (status == BGW_OK)
        status = start(a);
    if (status == BGW_NO_MEMORY)
        bgw_buf_appendf(error, "BGW_AUDIT_QUEUE is %zu: no memory for so many events; choose a smaller number", a->cap);
    if (status != BGW_OK) {
        release(a);
        return status;
    }
    *out = a;
    return BGW_OK;
}

void bgw_audit_put(struct bgw_audit *a, const struct bgw_audit_event *e)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    bool full = a->count == a->cap || a->stopping;
    if (full)
        a->unsaid++;
    else
        a->ring[(a->head + a->count++) % a->cap] = *e;
    bool wake = a->waiting;
    a->waiting = false; /* one call is enough */
    pthread_mutex_unlock(&a->lock);
    if (full)
        bgw_metric_add(BGW_M_AUDIT_LOST, 1);
    if (wake)
        pthread_cond_signal(&a->changed);
}

void bgw_audit_reopen(struct bgw_audit *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->reopen = true;
    pthread_cond_signal(&a->changed);
    pthread_mutex_unlock(&a->lock);
}

/* False: the system holds the writer up (a file on a server that is away), and it cannot be waited for. */
static bool await_end(struct bgw_audit *a)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (FLUSH_MS + GRACE_MS) / 1000;
    until.tv_nsec += (FLUSH_MS + GRACE_MS) % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    int rc = 0;
    while (!a->ended && rc == 0)
        rc = pthread_cond_timedwait(&a->changed, &a->lock, &until);
    return a->ended;
}

void bgw_audit_destroy(struct bgw_audit **audit)
{
    struct bgw_audit *a = *audit;
    *audit = NULL;
    if (!a)
        return;
    pthread_mutex_lock(&a->lock);
    a->stopping = true;
    a->stop_at_ms = bgw_clock_now().mono_ms + FLUSH_MS;
    pthread_cond_signal(&a->changed);
    bool ended = await_end(a);
    pthread_mutex_unlock(&a->lock);
    if (!ended) {
        pthread_detach(a->thread); /* it keeps its memory; the process ends anyway */
        BGW_LOG(BGW_LOG_WARN, "audit_abandoned", {"fix", LS("the audit log's file system does not answer")});
        return;
    }
    pthread_join(a->thread, NULL);
    release(a);
}
