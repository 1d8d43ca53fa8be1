/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_member: hides librdkafka's way into and out of a group. Records are taken one by one and not
 * in batches, so that what a record's reader decides (no more of this partition, go back) holds
 * before the next one. Leaving is a conversation with the group's coordinator: it has a deadline.
 */
#include "kafka_member.h"

#include "kafka_handle.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STEP_MS 20

struct bgw_kafka_member { /* see the header */
    struct bgw_kafka_member_config config;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int fd;
    bool retired;
};

/* --- what the group says --- */

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *arg)
{
    struct bgw_kafka_member *m = arg;
    (void)rk;
    if (!m->retired)
        m->config.rebalance(m->config.arg, err, list);
    else if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        bgw_kafka_member_assign(m, list); /* the coming end takes it back */
    else
        bgw_kafka_member_unassign(m, list);
}

static void on_committed(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                         rd_kafka_topic_partition_list_t *list, void *arg)
{
    struct bgw_kafka_member *m = arg;
    (void)rk;
    if (!m->retired)
        m->config.committed(m->config.arg, err, list);
}

static void told(const char *what, rd_kafka_resp_err_t err, const char *text)
{
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
        BGW_LOG(BGW_LOG_WARN, "kafka_assign_failed", {"step", LS(what)},
                {"name", LS(rd_kafka_err2name(err))}, {"text", LS(text)});
}

static void told_error(const char *what, rd_kafka_error_t *e)
{
    if (!e)
        return;
    told(what, rd_kafka_error_code(e), rd_kafka_error_string(e));
    rd_kafka_error_destroy(e);
}

bool bgw_kafka_member_is_cooperative(struct bgw_kafka_member *m)
{
    return strcmp(rd_kafka_rebalance_protocol(m->rk), "COOPERATIVE") == 0;
}

void bgw_kafka_member_assign(struct bgw_kafka_member *m, rd_kafka_topic_partition_list_t *list)
{
    if (bgw_kafka_member_is_cooperative(m)) {
        told_error("assign", rd_kafka_incremental_assign(m->rk, list));
        return;
    }
    rd_kafka_resp_err_t err = rd_kafka_assign(m->rk, list);
    told("assign", err, rd_kafka_err2str(err));
}

void bgw_kafka_member_unassign(struct bgw_kafka_member *m, rd_kafka_topic_partition_list_t *list)
{
    if (bgw_kafka_member_is_cooperative(m)) {
        told_error("unassign", rd_kafka_incremental_unassign(m->rk, list));
        return;
    }
    rd_kafka_resp_err_t err = rd_kafka_assign(m->rk, NULL);
    told("unassign", err, rd_kafka_err2str(err));
}

/* --- life cycle --- */

static enum bgw_status subscribe(struct bgw_kafka_member *m, struct bgw_buf *error)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, m->config.topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(m->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (!err)
        return BGW_OK;
    bgw_buf_appendf(error, "topic %s cannot be subscribed to: %s", m->config.topic,
                    rd_kafka_err2str(err));
    return BGW_UNAVAILABLE;
}

static enum bgw_status open_client(struct bgw_kafka_member *m, struct bgw_buf *error)
{
    static const uint64_t one = 1;
    const struct bgw_kafka_joining joining = {.group = m->config.group,
                                              .arg = m,
                                              .rebalance = on_rebalance,
                                              .committed = on_committed};
    m->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC); /* readable: what came before tells nobody */
    if (m->fd < 0) {
        bgw_buf_append_str(error, "no descriptor is left for the Kafka queue");
        return BGW_IO;
    }
    enum bgw_status st = bgw_kafka_handle_create_member(&m->rk, &joining, m->config.config,
                                                        m->config.bootstrap, error);
    if (st != BGW_OK)
        return st;
    rd_kafka_poll_set_consumer(m->rk); /* errors and receipts come through the same queue */
    m->queue = rd_kafka_queue_get_consumer(m->rk);
    BGW_ASSERT(m->queue != NULL);
    rd_kafka_queue_io_event_enable(m->queue, m->fd, &one, sizeof(one));
    return subscribe(m, error);
}

enum bgw_status bgw_kafka_member_create(struct bgw_kafka_member **out,
                                        const struct bgw_kafka_member_config *config,
                                        struct bgw_buf *error)
{
    struct bgw_kafka_member *m = calloc(1, sizeof(*m));
    if (!m)
        return BGW_NO_MEMORY;
    m->config = *config;
    enum bgw_status st = open_client(m, error);
    if (st != BGW_OK) {
        bgw_kafka_member_destroy(&m, 0);
        return st;
    }
    *out = m;
    return BGW_OK;
}

void bgw_kafka_member_retire(struct bgw_kafka_member *m)
{
    m->retired = true;
}

static void leave(struct bgw_kafka_member *m, int wait_ms)
{
    int64_t until_ms = bgw_clock_now().mono_ms + wait_ms;
    rd_kafka_queue_t *closing = rd_kafka_queue_new(m->rk);
    rd_kafka_error_t *e = rd_kafka_consumer_close_queue(m->rk, closing);
    bool failed = e != NULL;
    told_error("leave", e);
    while (!failed && !rd_kafka_consumer_closed(m->rk) && bgw_clock_now().mono_ms < until_ms) {
        rd_kafka_message_t *message = rd_kafka_consume_queue(closing, STEP_MS);
        if (message)
            rd_kafka_message_destroy(message);
    }
    if (!failed && !rd_kafka_consumer_closed(m->rk))
        BGW_LOG(BGW_LOG_WARN, "kafka_group_not_left", {"group", LS(m->config.group)},
                {"waited_ms", LI(wait_ms)});
    rd_kafka_queue_destroy(closing);
}

void bgw_kafka_member_destroy(struct bgw_kafka_member **member, int wait_ms)
{
    struct bgw_kafka_member *m = *member;
    if (!m)
        return;
    *member = NULL;
    m->retired = true;
    if (m->queue) {
        rd_kafka_queue_io_event_enable(m->queue, -1, NULL, 0);
        if (wait_ms > 0)
            leave(m, wait_ms);
        rd_kafka_queue_destroy(m->queue);
    }
    bgw_kafka_handle_destroy(&m->rk, wait_ms);
    if (m->fd >= 0)
        close(m->fd);
    free(m);
}

/* --- its queue --- */

rd_kafka_t *bgw_kafka_member_client(struct bgw_kafka_member *m)
{
    return m->rk;
}

int bgw_kafka_member_fd(const struct bgw_kafka_member *m)
{
    return m->fd;
}

void bgw_kafka_member_signal(struct bgw_kafka_member *m)
{
    uint64_t one = 1;
    ssize_t n = write(m->fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so the descriptor is readable anyway */
}

void bgw_kafka_member_clear(struct bgw_kafka_member *m)
{
    uint64_t count;
    ssize_t n = read(m->fd, &count, sizeof(count));
    (void)n; /* EAGAIN: it was clear */
}

rd_kafka_message_t *bgw_kafka_member_take(struct bgw_kafka_member *m)
{
    return rd_kafka_consume_queue(m->queue, 0);
}
