/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_log: the reading side of a topic of statements, on the loop's thread: takes records from
 * the consumer's queue, at most a share of a turn, and knows when all that was there at the start
 * has been handed over. Statements are idempotent: after a lost position, or in a recreated topic,
 * everything is read again, and `record` hears it again. Invariant: caught up is said once and
 * never taken back.
 */
#include "kafka_log.h"

#include "kafka_handle.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#define NEWS_MAX 16
#define BATCH 128
#define TURN_RECORDS_MAX 2000
#define TURN_NS_MAX 2000000
/* the wake-up comes only for an empty queue's first entry; this bounds what a lost one costs */
#define LOOK_ANYWAY_MS 100
#define PLACE_AGAIN_MS 1000 /* a log that is cut faster than it can be read must not keep us busy */

struct bgw_kafka_log { /* loop's thread; caught_up and control's trouble any thread */
    struct bgw_kafka_log_config config;
    struct bgw_loop *loop;
    struct bgw_mailbox *news;
    struct bgw_log_control *control;
    struct bgw_log_writer *writer;
    struct bgw_timer look_timer;

    struct bgw_kafka_consumer *consumer;
    struct bgw_loop_fd queue_fd;
    bool attached;
    int32_t count;
    int64_t *positions, *ends; /* until caught up */
    bool lost, asked;          /* a position; to be placed again: one such command at a time */
    int64_t placed_ms;
    bool missing;              /* there was no topic at the start */
    atomic_bool caught_up;
    rd_kafka_message_t *batch[BATCH];
};

static void on_news(void *arg, const void *item);
static void on_queue(struct bgw_loop_fd *f, uint32_t events);
static void on_look_timer(struct bgw_timer *timer, int64_t now_ms);
static void want_topic(void *arg);

/* --- life cycle --- */

static enum bgw_status build(struct bgw_kafka_log *l, struct bgw_buf *error)
{
    const struct bgw_log_writer_config writer = {
        .config = l->config.config,
        .bootstrap = l->config.bootstrap,
        .topic = l->config.topic,
        .loop = l->loop,
        .create_topic = want_topic,
        .arg = l,
    };
    enum bgw_status st =
        bgw_mailbox_create(&l->news, l->loop, sizeof(struct bgw_log_news), NEWS_MAX, on_news, l);
    if (st == BGW_OK)
        st = bgw_log_writer_create(&l->writer, &writer, error);
    if (st != BGW_OK)
        return st;
    const struct bgw_log_control_config control = {.config = l->config.config,
                                                   .bootstrap = l->config.bootstrap,
                                                   .topic = l->config.topic,
                                                   .broker_is_embedded = l->config.broker_is_embedded,
                                                   .news = l->news};
    return bgw_log_control_create(&l->control, &control, error);
}

enum bgw_status bgw_kafka_log_create(struct bgw_kafka_log **out, struct bgw_loop *loop,
                                     const struct bgw_kafka_log_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->record && config->topic && config->bootstrap);
    struct bgw_kafka_log *l = calloc(1, sizeof(*l));
    if (!l)
        return BGW_NO_MEMORY;
    l->config = *config;
    l->loop = loop;
    atomic_init(&l->caught_up, false);
    bgw_timer_init(&l->look_timer, on_look_timer);
    enum bgw_status st = build(l, error);
    if (st != BGW_OK) {
        if (error->len == 0)
            bgw_buf_append_str(error, bgw_status_text(st));
        bgw_kafka_log_destroy(&l);
        return st;
    }
    *out = l;
    return BGW_OK;
}

static void detach_queue(struct bgw_kafka_log *l)
{
    if (l->attached)
        bgw_loop_detach(l->loop, &l->queue_fd);
    l->attached = false;
}

void bgw_kafka_log_destroy(struct bgw_kafka_log **log)
{
    struct bgw_kafka_log *l = *log;
    if (!l)
        return;
    *log = NULL;
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->look_timer);
    detach_queue(l);
    bgw_log_control_destroy(&l->control); /* its thread posts no more */
    if (l->news)
        bgw_mailbox_destroy(&l->news);
    bgw_log_writer_destroy(&l->writer);
    bgw_kafka_consumer_destroy(&l->consumer);
    free(l->positions);
    free(l->ends);
    free(l);
}

bool bgw_kafka_log_caught_up(const struct bgw_kafka_log *l)
{
    return atomic_load_explicit(&l->caught_up, memory_order_acquire);
}

const char *bgw_kafka_log_trouble(const struct bgw_kafka_log *l)
{
    return bgw_log_control_trouble(l->control);
}

bool bgw_kafka_log_append(struct bgw_kafka_log *l, struct bgw_slice key, struct bgw_slice value,
                          void (*done)(void *arg, enum bgw_status status), void *arg)
{
    return bgw_log_writer_append(l->writer, key, value, done, arg);
}

/* --- reading --- */

static bool read_to_ends(const struct bgw_kafka_log *l)
{
    if (!l->ends)
        return l->missing;
    for (int32_t i = 0; i < l->count; i++) {
        if (l->positions[i] < l->ends[i])
            return false;
    }
    return true;
}

static void look_whether_caught_up(struct bgw_kafka_log *l)
{
    if (atomic_load_explicit(&l->caught_up, memory_order_relaxed) || !read_to_ends(l))
        return;
    free(l->ends);
    l->ends = NULL;
    atomic_store_explicit(&l->caught_up, true, memory_order_release);
    BGW_LOG(BGW_LOG_INFO, "kafka_log_caught_up", {"topic", LS(l->config.topic)},
            {"partitions", LI(l->count)});
    if (l->config.caught_up)
        l->config.caught_up(l->config.arg);
}

static void progress(struct bgw_kafka_log *l, const rd_kafka_message_t *m, int64_t next)
{
    if (m->partition >= 0 && m->partition < l->count) /* added ones were not there at the start */
        l->positions[m->partition] = next;
}

static void deliver(struct bgw_kafka_log *l, const rd_kafka_message_t *m)
{
    rd_kafka_timestamp_type_t type;
    int64_t at_ms = rd_kafka_message_timestamp(m, &type);
    const struct bgw_kafka_log_record r = {
        .partition = m->partition,
        .offset = m->offset,
        .timestamp_ms = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : at_ms,
        .key = bgw_slice_of(m->key, m->key_len),
        .value = bgw_slice_of(m->payload, m->len), /* an empty one has an address */
    };
    l->config.record(l->config.arg, &r);
    progress(l, m, m->offset + 1);
}

static void on_error(struct bgw_kafka_log *l, const rd_kafka_message_t *m)
{
    bgw_kafka_error_seen(m->err, rd_kafka_message_errstr(m), m->partition);
    bool cut = m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
               m->err == RD_KAFKA_RESP_ERR__LOG_TRUNCATION;
    if (!cut)
        return;
    bgw_metric_add(BGW_M_KAFKA_POSITIONS_LOST, 1);
    l->lost = true;
}

/* False: the queue is empty. */
static bool read_batch(struct bgw_kafka_log *l)
{
    size_t n = bgw_kafka_consumer_take(l->consumer, l->batch, BATCH);
    for (size_t i = 0; i < n; i++) {
        rd_kafka_message_t *m = l->batch[i];
        if (!m->err)
            deliver(l, m);
        else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            progress(l, m, m->offset); /* over what compaction and transactions left out */
        else
            on_error(l, m);
        rd_kafka_message_destroy(m);
    }
    return n > 0;
}

static void read_queue(struct bgw_kafka_log *l)
{
    bool empty = false;
    int64_t began_ns = bgw_clock_mono_ns();
    bgw_kafka_consumer_clear(l->consumer);
    for (int i = 0; !empty && i < TURN_RECORDS_MAX / BATCH; i++) {
        empty = !read_batch(l);
        if (bgw_clock_mono_ns() - began_ns >= TURN_NS_MAX)
            break;
    }
    if (!empty)
        bgw_kafka_consumer_signal(l->consumer);
    look_whether_caught_up(l);
}

static void on_queue(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    read_queue(BGW_CONTAINER(f, struct bgw_kafka_log, queue_fd));
}

static void on_look_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_log *l = BGW_CONTAINER(timer, struct bgw_kafka_log, look_timer);
    bgw_wheel_arm(bgw_loop_wheel(l->loop), timer, now_ms + LOOK_ANYWAY_MS);
    read_queue(l);
    if (!l->lost || l->asked || now_ms - l->placed_ms < PLACE_AGAIN_MS)
        return;
    l->asked = true;
    bgw_log_control_post(l->control, BGW_LOG_PLACE_AGAIN, NULL);
}

/* --- news --- */

static void want_topic(void *arg)
{
    struct bgw_kafka_log *l = arg;
    bgw_log_control_post(l->control, BGW_LOG_CREATE, NULL);
}

static void take_consumer(struct bgw_kafka_log *l, const struct bgw_log_news *n)
{
    detach_queue(l);
    if (l->consumer)
        bgw_log_control_post(l->control, BGW_LOG_RETIRE, l->consumer);
    free(l->positions);
    free(l->ends);
    l->consumer = n->consumer;
    l->count = n->count;
    l->ends = n->ends;
    l->positions = calloc((size_t)n->count, sizeof(*l->positions));
    BGW_ASSERT(l->positions != NULL);
    l->lost = l->asked = false;
    l->placed_ms = bgw_loop_now(l->loop).mono_ms;
    l->queue_fd = (struct bgw_loop_fd){bgw_kafka_consumer_fd(l->consumer), EPOLLIN, on_queue};
    l->attached = bgw_loop_attach(l->loop, &l->queue_fd) == BGW_OK;
    if (!l->attached) /* the timer still looks at the queue, ten times a second */
        BGW_LOG(BGW_LOG_ERROR, "kafka_queue_not_watched", {"errno", LI(errno)});
    bgw_kafka_consumer_signal(l->consumer);
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->look_timer, l->placed_ms + LOOK_ANYWAY_MS);
}

static void on_news(void *arg, const void *item)
{
    struct bgw_kafka_log *l = arg;
    const struct bgw_log_news *n = item;
    if (!l->control) { /* being destroyed: only gives back what it owns */
        struct bgw_kafka_consumer *consumer = n->consumer;
        bgw_kafka_consumer_destroy(&consumer);
        free(n->ends);
        return;
    }
    switch ((enum bgw_log_news_kind)n->kind) {
    case BGW_LOG_PLACED:
        take_consumer(l, n);
        bgw_log_writer_topic(l->writer, BGW_LOG_TOPIC_THERE);
        break;
    case BGW_LOG_MISSING:
        l->missing = true;
        bgw_log_writer_topic(l->writer, BGW_LOG_TOPIC_MISSING);
        break;
    case BGW_LOG_CREATED:
        bgw_log_writer_created(l->writer, n->status);
        break;
    }
    look_whether_caught_up(l);
}
