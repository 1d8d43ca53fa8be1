/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_log_append: the writing side of a topic of statements, on the loop's thread. A record is
 * given to the brokers only when the topic is known to be there, for a producer's question about a
 * missing one would make brokers create it, not compacted. Each append is answered once: by the
 * brokers' receipt, by its deadline, or by the end of the log. At most APPENDS_MAX wait.
 */
#include "kafka_log.h"

#include "kafka_handle.h"
#include "kafka_outgoing.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define APPENDS_MAX 1024
#define DESTROY_WAIT_MS 3000
#define TOPIC_WAIT_MS 5000 /* for the topic to be found or made; the brokers have as long again */
#define LOOK_ANYWAY_MS 100 /* lost wake-ups, and deadlines */

struct append { /* loop's thread */
    struct bgw_list link; /* waiting or sent */
    struct bgw_slice key, value; /* in `bytes` */
    int64_t deadline_ms;
    bool tried; /* was refused once for want of a topic */
    void (*done)(void *arg, enum bgw_status status);
    void *arg;
    char bytes[];
};

struct bgw_log_writer { /* loop's thread */
    struct bgw_log_writer_config config;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_topic_t *warm; /* while the topic is there: its leader is known before it is needed */
    struct bgw_loop_fd reports;
    struct bgw_timer timer;
    enum bgw_log_topic topic;
    bool creating;
    struct bgw_list waiting, sent;
    size_t count;
};

static void on_reports(struct bgw_loop_fd *f, uint32_t events);
static void on_timer(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static enum bgw_status watch_reports(struct bgw_log_writer *w)
{
    static const uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return BGW_IO;
    w->reports = (struct bgw_loop_fd){fd, EPOLLIN, on_reports};
    enum bgw_status st = bgw_loop_attach(w->config.loop, &w->reports);
    if (st != BGW_OK) {
        close(fd);
        w->reports.fd = -1;
        return st;
    }
    w->queue = rd_kafka_queue_get_main(w->rk);
    rd_kafka_queue_io_event_enable(w->queue, fd, &one, sizeof(one));
    return BGW_OK;
}

enum bgw_status bgw_log_writer_create(struct bgw_log_writer **out,
                                      const struct bgw_log_writer_config *config,
                                      struct bgw_buf *error)
{
    struct bgw_log_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return BGW_NO_MEMORY;
    w->config = *config;
    w->reports.fd = -1;
    bgw_list_init(&w->waiting);
    bgw_list_init(&w->sent);
    bgw_timer_init(&w->timer, on_timer);
    enum bgw_status st =
        bgw_kafka_handle_create(&w->rk, BGW_KAFKA_WRITER, config->config, config->bootstrap, error);
    if (st == BGW_OK)
        st = watch_reports(w);
    if (st != BGW_OK) {
        bgw_log_writer_destroy(&w);
        return st;
    }
    bgw_wheel_arm(bgw_loop_wheel(config->loop), &w->timer,
                  bgw_clock_now().mono_ms + LOOK_ANYWAY_MS);
    *out = w;
    return BGW_OK;
}

static void finish(struct bgw_log_writer *w, struct append *a, enum bgw_status status)
{
    bgw_list_remove(&a->link);
    w->count--;
    if (status != BGW_OK)
        BGW_LOG(BGW_LOG_WARN, "kafka_log_not_written", {"topic", LS(w->config.topic)},
                {"status", LS(bgw_status_name(status))});
    a->done(a->arg, status);
    free(a);
}

static void finish_all(struct bgw_log_writer *w, struct bgw_list *list, enum bgw_status status)
{
    struct bgw_list mine;
    bgw_list_init(&mine);
    bgw_list_splice(&mine, list); /* a callback may append again */
    while (!bgw_list_empty(&mine))
        finish(w, BGW_CONTAINER(mine.next, struct append, link), status);
}

static void close_producer(struct bgw_log_writer *w)
{
    if (w->reports.fd >= 0) {
        rd_kafka_queue_io_event_enable(w->queue, -1, NULL, 0);
        bgw_loop_detach(w->config.loop, &w->reports);
        close(w->reports.fd);
    }
    if (w->warm)
        rd_kafka_topic_destroy(w->warm);
    if (w->queue) {
        rd_kafka_event_t *event;
        rd_kafka_purge(w->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                  RD_KAFKA_PURGE_F_NON_BLOCKING);
        while ((event = rd_kafka_queue_poll(w->queue, 0)))
            rd_kafka_event_destroy(event); /* those who waited have been told */
        rd_kafka_queue_destroy(w->queue);
    }
    bgw_kafka_handle_destroy(&w->rk, DESTROY_WAIT_MS);
}

void bgw_log_writer_destroy(struct bgw_log_writer **writer)
{
    struct bgw_log_writer *w = *writer;
    if (!w)
        return;
    *writer = NULL;
    bgw_wheel_cancel(bgw_loop_wheel(w->config.loop), &w->timer);
    finish_all(w, &w->waiting, BGW_UNAVAILABLE);
    finish_all(w, &w->sent, BGW_UNAVAILABLE);
    BGW_ASSERT(w->count == 0);
    close_producer(w);
    free(w);
}

/* --- to the brokers --- */

static void send_now(struct bgw_log_writer *w, struct append *a)
{
    bgw_list_remove(&a->link);
    bgw_list_push_back(&w->sent, &a->link);
    const struct bgw_kafka_outgoing o = {.partition = RD_KAFKA_PARTITION_UA, .key = a->key, .value = a->value};
    rd_kafka_resp_err_t err = bgw_kafka_outgoing_send(w->rk, w->config.topic, &o, a);
    if (err)
        finish(w, a, bgw_kafka_outgoing_status(err));
}

static void pump(struct bgw_log_writer *w)
{
    if (bgw_list_empty(&w->waiting))
        return;
    if (w->topic == BGW_LOG_TOPIC_MISSING && !w->creating) {
        w->creating = true;
        w->config.create_topic(w->config.arg);
    }
    while (w->topic == BGW_LOG_TOPIC_THERE && !bgw_list_empty(&w->waiting))
        send_now(w, BGW_CONTAINER(w->waiting.next, struct append, link));
}

static void set_topic(struct bgw_log_writer *w, enum bgw_log_topic state)
{
    w->topic = state;
    bool there = state == BGW_LOG_TOPIC_THERE;
    if (there && !w->warm)
        w->warm = rd_kafka_topic_new(w->rk, w->config.topic, NULL);
    if (!there && w->warm) {
        rd_kafka_topic_destroy(w->warm);
        w->warm = NULL;
    }
}

void bgw_log_writer_topic(struct bgw_log_writer *w, enum bgw_log_topic state)
{
    set_topic(w, state);
    pump(w);
}

void bgw_log_writer_created(struct bgw_log_writer *w, enum bgw_status status)
{
    w->creating = false;
    if (status == BGW_OK)
        set_topic(w, BGW_LOG_TOPIC_THERE);
    else
        finish_all(w, &w->waiting, status);
    pump(w);
}

bool bgw_log_writer_append(struct bgw_log_writer *w, struct bgw_slice key, struct bgw_slice value,
                           void (*done)(void *arg, enum bgw_status status), void *arg)
{
    struct append *a = NULL;
    if (w->count < APPENDS_MAX)
        a = malloc(sizeof(*a) + key.len + value.len);
    if (!a)
        return false;
    *a = (struct append){.done = done, .arg = arg};
    if (key.len)
        memcpy(a->bytes, key.data, key.len);
    if (value.len)
        memcpy(a->bytes + key.len, value.data, value.len);
    a->key = bgw_slice_of(a->bytes, key.len);
    a->value = bgw_slice_of(a->bytes + key.len, value.len);
    a->deadline_ms = bgw_clock_now().mono_ms + TOPIC_WAIT_MS;
    bgw_list_init(&a->link);
    bgw_list_push_back(&w->waiting, &a->link);
    w->count++;
    /* the queue's own loop turn sends it: `done` is never called from in here */
    uint64_t one = 1;
    ssize_t n = write(w->reports.fd, &one, sizeof(one));
    (void)n;
    return true;
}

/* --- from the brokers --- */

static void on_report(struct bgw_log_writer *w, const rd_kafka_message_t *m)
{
    struct append *a = m->_private;
    enum bgw_status st = bgw_kafka_outgoing_status(m->err);
    if (st != BGW_NOT_FOUND || a->tried) {
        finish(w, a, st);
        return;
    }
    a->tried = true; /* the topic went away since we looked: once more, with a new one */
    a->deadline_ms = bgw_clock_now().mono_ms + TOPIC_WAIT_MS;
    bgw_list_remove(&a->link);
    bgw_list_push_back(&w->waiting, &a->link);
    set_topic(w, BGW_LOG_TOPIC_MISSING);
}

static void read_reports(struct bgw_log_writer *w)
{
    rd_kafka_event_t *event;
    uint64_t count;
    ssize_t n = read(w->reports.fd, &count, sizeof(count)); /* cleared, and then looked at */
    (void)n;
    while ((event = rd_kafka_queue_poll(w->queue, 0))) {
        const rd_kafka_message_t *m;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            bgw_kafka_error_seen(rd_kafka_event_error(event), rd_kafka_event_error_string(event), -1);
        while (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR &&
               (m = rd_kafka_event_message_next(event)))
            on_report(w, m);
        rd_kafka_event_destroy(event);
    }
    pump(w);
}

static void on_reports(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    read_reports(BGW_CONTAINER(f, struct bgw_log_writer, reports));
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_log_writer *w = BGW_CONTAINER(timer, struct bgw_log_writer, timer);
    bgw_wheel_arm(bgw_loop_wheel(w->config.loop), timer, now_ms + LOOK_ANYWAY_MS);
    read_reports(w);
    while (!bgw_list_empty(&w->waiting)) { /* they wait in the order of their deadlines */
        struct append *a = BGW_CONTAINER(w->waiting.next, struct append, link);
        if (now_ms < a->deadline_ms)
            break;
        finish(w, a, BGW_UNAVAILABLE);
    }
}
