/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_writer: records with an answer each, on the loop's thread. librdkafka sends them in the
 * order in which they came and its receipts come through a queue into the loop. An idempotent
 * client that has lost its place says so once and is of no more use: everybody who waits is told,
 * and a new client takes the next record. Invariant: `count` are taken and not told; each of them
 * is on one list, and is told by exactly one of receipt, refusal, a client's end, our own end.
 */
#include "bgw/kafka_group.h"

#include "kafka_handle.h"
#include "kafka_outgoing.h"

#include "bgw/assert.h"
#include "bgw/list.h"
#include "bgw/log.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define WAITING_MAX 20000
#define WAITING_BYTES_MAX (32u << 20)
#define RECORD_OVERHEAD 128 /* what a record costs besides its bytes, roughly */
#define DESTROY_WAIT_MS 3000
#define LOOK_ANYWAY_MS 100 /* lost wake-ups, and a client that could not be made */
#define TURN_NS_MAX 2000000

struct letter { /* loop's thread */
    struct bgw_list link; /* sent, or refused */
    enum bgw_status status;
    uint32_t size;
    void (*done)(void *arg, enum bgw_status status);
    void *arg;
};

struct bgw_kafka_writer { /* loop's thread */
    struct bgw_loop *loop;
    const struct bgw_config *config;
    char *bootstrap;
    rd_kafka_t *rk; /* NULL: the last one was lost and no new one could be made */
    rd_kafka_queue_t *queue;
    struct bgw_loop_fd reports;
    struct bgw_timer timer;
    struct bgw_list sent, refused;
    size_t count, bytes;
    bool broken, ending;
};

static void on_reports(struct bgw_loop_fd *f, uint32_t events);
static void on_timer(struct bgw_timer *timer, int64_t now_ms);

/* --- life cycle --- */

static enum bgw_status open_client(struct bgw_kafka_writer *w, struct bgw_buf *error)
{
    static const uint64_t one = 1;
    enum bgw_status st =
        bgw_kafka_handle_create(&w->rk, BGW_KAFKA_WRITER, w->config, w->bootstrap, error);
    if (st != BGW_OK)
        return st;
    w->broken = false;
    w->queue = rd_kafka_queue_get_main(w->rk);
    rd_kafka_queue_io_event_enable(w->queue, w->reports.fd, &one, sizeof(one));
    return BGW_OK;
}

/* Their letters are on our lists: what the client still has to say of them is not heard. */
static void close_client(struct bgw_kafka_writer *w, int wait_ms)
{
    rd_kafka_event_t *event;
    if (!w->rk)
        return;
    rd_kafka_queue_io_event_enable(w->queue, -1, NULL, 0);
    rd_kafka_purge(w->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                              RD_KAFKA_PURGE_F_NON_BLOCKING);
    while ((event = rd_kafka_queue_poll(w->queue, 0)))
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(w->queue);
    w->queue = NULL;
    bgw_kafka_handle_destroy(&w->rk, wait_ms);
}

static enum bgw_status watch(struct bgw_kafka_writer *w)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return BGW_IO;
    w->reports = (struct bgw_loop_fd){fd, EPOLLIN, on_reports};
    enum bgw_status st = bgw_loop_attach(w->loop, &w->reports);
    if (st == BGW_OK)
        return BGW_OK;
    close(fd);
    w->reports.fd = -1;
    return st;
}

enum bgw_status bgw_kafka_writer_create(struct bgw_kafka_writer **out, struct bgw_loop *loop,
                                        const struct bgw_config *config, const char *bootstrap,
                                        struct bgw_buf *error)
{
    struct bgw_kafka_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return BGW_NO_MEMORY;
    w->loop = loop;
    w->config = config;
    w->bootstrap = strdup(bootstrap);
    BGW_ASSERT(w->bootstrap != NULL);
    w->reports.fd = -1;
    bgw_list_init(&w->sent);
    bgw_list_init(&w->refused);
    bgw_timer_init(&w->timer, on_timer);
    enum bgw_status st = watch(w);
    if (st == BGW_OK)
        st = open_client(w, error);
    if (st != BGW_OK) {
        if (error->len == 0)
            bgw_buf_append_str(error, bgw_status_text(st));
        bgw_kafka_writer_destroy(&w);
        return st;
    }
    bgw_wheel_arm(bgw_loop_wheel(loop), &w->timer, bgw_clock_now().mono_ms + LOOK_ANYWAY_MS);
    *out = w;
    return BGW_OK;
}

static void finish(struct bgw_kafka_writer *w, struct letter *l, enum bgw_status status)
{
    bgw_list_remove(&l->link);
    w->count--;
    w->bytes -= l->size;
    l->done(l->arg, status);
    free(l);
}

static void finish_all(struct bgw_kafka_writer *w, struct bgw_list *list, enum bgw_status status)
{
    struct bgw_list mine;
    bgw_list_init(&mine);
    bgw_list_splice(&mine, list); /* a callback may send again */
    while (!bgw_list_empty(&mine))
        finish(w, BGW_CONTAINER(mine.next, struct letter, link), status);
}

void bgw_kafka_writer_destroy(struct bgw_kafka_writer **writer)
{
    struct bgw_kafka_writer *w = *writer;
    if (!w)
        return;
    w->ending = true; /* takes nothing more, from a callback either */
    bgw_wheel_cancel(bgw_loop_wheel(w->loop), &w->timer);
    finish_all(w, &w->refused, BGW_UNAVAILABLE);
    finish_all(w, &w->sent, BGW_UNAVAILABLE);
    BGW_ASSERT(w->count == 0 && w->bytes == 0);
    *writer = NULL; /* whoever was told may have tried again by it */
    close_client(w, DESTROY_WAIT_MS);
    if (w->reports.fd >= 0) {
        bgw_loop_detach(w->loop, &w->reports);
        close(w->reports.fd);
    }
    free(w->bootstrap);
    free(w);
}

/* --- to the brokers --- */

static void wake(struct bgw_kafka_writer *w)
{
    uint64_t one = 1;
    ssize_t n = write(w->reports.fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so the descriptor is readable anyway */
}

bool bgw_kafka_writer_has_room(const struct bgw_kafka_writer *w)
{
    return w->rk && !w->broken && !w->ending && w->count < WAITING_MAX &&
           w->bytes < WAITING_BYTES_MAX;
}

bool bgw_kafka_writer_send(struct bgw_kafka_writer *w, const char *topic,
                           const struct bgw_kafka_outgoing *o,
                           void (*done)(void *arg, enum bgw_status status), void *arg)
{
    struct letter *l = bgw_kafka_writer_has_room(w) ? malloc(sizeof(*l)) : NULL;
    if (!l)
        return false;
    size_t size = o->key.len + o->value.len + RECORD_OVERHEAD;
    *l = (struct letter){.size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX,
                         .done = done,
                         .arg = arg};
    bgw_list_init(&l->link);
    rd_kafka_resp_err_t err = bgw_kafka_outgoing_send(w->rk, topic, o, l);
    if (err == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        free(l);
        return false;
    }
    l->status = bgw_kafka_outgoing_status(err);
    bgw_list_push_back(err ? &w->refused : &w->sent, &l->link);
    w->count++;
    w->bytes += l->size;
    if (err) /* the next turn tells it: `done` is never called from in here */
        wake(w);
    return true;
}

/* --- from the brokers --- */

static void on_event(struct bgw_kafka_writer *w, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;
    if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR) {
        rd_kafka_resp_err_t err = rd_kafka_event_error(event);
        bgw_kafka_error_seen(err, rd_kafka_event_error_string(event), -1);
        w->broken |= err == RD_KAFKA_RESP_ERR__FATAL;
        return;
    }
    while (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR &&
           (m = rd_kafka_event_message_next(event)))
        finish(w, m->_private, bgw_kafka_outgoing_status(m->err));
}

static void tell_refused(struct bgw_kafka_writer *w)
{
    struct bgw_list mine;
    bgw_list_init(&mine);
    bgw_list_splice(&mine, &w->refused);
    while (!bgw_list_empty(&mine)) {
        struct letter *l = BGW_CONTAINER(mine.next, struct letter, link);
        finish(w, l, l->status);
    }
}

static void renew(struct bgw_kafka_writer *w)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    close_client(w, 0); /* it ends by itself: the loop does not wait for it */
    finish_all(w, &w->sent, BGW_UNAVAILABLE);
    enum bgw_status st = open_client(w, &error);
    if (st == BGW_OK)
        BGW_LOG(BGW_LOG_INFO, "kafka_client_reopened", {"for", LS("writing")});
    else /* the timer tries again */
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
    bgw_buf_deinit(&error);
}

static void read_reports(struct bgw_kafka_writer *w)
{
    rd_kafka_event_t *event = NULL;
    uint64_t count;
    int64_t began_ns = bgw_clock_mono_ns();
    ssize_t n = read(w->reports.fd, &count, sizeof(count)); /* cleared, and then looked at */
    (void)n;
    tell_refused(w);
    while (w->rk && bgw_clock_mono_ns() - began_ns < TURN_NS_MAX &&
           (event = rd_kafka_queue_poll(w->queue, 0))) {
        on_event(w, event);
        rd_kafka_event_destroy(event);
    }
    if (event) /* the share of a turn was used up */
        wake(w);
    if (w->broken || !w->rk)
        renew(w);
}

static void on_reports(struct bgw_loop_fd *f, uint32_t events)
{
    (void)events;
    read_reports(BGW_CONTAINER(f, struct bgw_kafka_writer, reports));
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_writer *w = BGW_CONTAINER(timer, struct bgw_kafka_writer, timer);
    bgw_wheel_arm(bgw_loop_wheel(w->loop), timer, now_ms + LOOK_ANYWAY_MS);
    read_reports(w);
}
