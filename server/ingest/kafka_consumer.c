/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_consumer: hides librdkafka's queue and its wake-up. librdkafka writes the eventfd when its
 * queue turns from empty to non-empty, so the reader clears the descriptor first and looks at the
 * queue afterwards: what comes in between wakes it again. Whoever stops early signals by hand.
 */
#include "kafka_consumer.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DESTROY_WAIT_MS 3000
#define KNOW_TOPIC_MS 1000

struct bgw_kafka_consumer { /* see the header */
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    int fd;
};

enum bgw_status bgw_kafka_consumer_create(struct bgw_kafka_consumer **out, enum bgw_kafka_role role,
                                          const struct bgw_config *config, const char *bootstrap,
                                          struct bgw_buf *error)
{
    struct bgw_kafka_consumer *c = calloc(1, sizeof(*c));
    if (!c)
        return BGW_NO_MEMORY;
    c->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (c->fd < 0) {
        free(c);
        bgw_buf_append_str(error, "no descriptor is left for the Kafka queue");
        return BGW_IO;
    }
    enum bgw_status st = bgw_kafka_handle_create(&c->rk, role, config, bootstrap, error);
    if (st != BGW_OK) {
        close(c->fd);
        free(c);
        return st;
    }
    rd_kafka_poll_set_consumer(c->rk); /* errors come through the same queue */
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    BGW_ASSERT(c->queue != NULL);
    static const uint64_t one = 1;
    rd_kafka_queue_io_event_enable(c->queue, c->fd, &one, sizeof(one));
    *out = c;
    return BGW_OK;
}

static enum bgw_status told(const char *what, rd_kafka_resp_err_t err, const char *text)
{
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BGW_OK;
    BGW_LOG(BGW_LOG_WARN, "kafka_assign_failed", {"step", LS(what)},
            {"name", LS(rd_kafka_err2name(err))}, {"text", LS(text)});
    return BGW_UNAVAILABLE;
}

static enum bgw_status told_error(const char *what, rd_kafka_error_t *e)
{
    if (!e)
        return BGW_OK;
    enum bgw_status st = told(what, rd_kafka_error_code(e), rd_kafka_error_string(e));
    rd_kafka_error_destroy(e);
    return st;
}

/*
 * A client that is given partitions before its first connection stands looks for their leaders when its own timer comes
 * round: a second in which nothing is read, at every third start. So the leaders come first, and it waits for nothing
 * but them. Whoever does not answer in time is found by that timer.
 */
static void know_leaders(struct bgw_kafka_consumer *c, const char *name)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(c->rk, name, NULL);
    if (!topic)
        return;
    if (rd_kafka_metadata(c->rk, 0, topic, &md, KNOW_TOPIC_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(topic);
}

enum bgw_status bgw_kafka_consumer_assign(struct bgw_kafka_consumer *c, const char *topic,
                                          const int64_t *starts, int32_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, i)->offset = starts[i];
    know_leaders(c, topic);
    rd_kafka_resp_err_t err = rd_kafka_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return told("assign", err, rd_kafka_err2str(err));
}

enum bgw_status bgw_kafka_consumer_add(struct bgw_kafka_consumer *c, const char *topic,
                                       int32_t first, int32_t count)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, topic, first + i)->offset = 0;
    rd_kafka_error_t *e = rd_kafka_incremental_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return told_error("add", e);
}

enum bgw_status bgw_kafka_consumer_move(struct bgw_kafka_consumer *c, const char *topic,
                                        int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = offset;
    rd_kafka_error_t *e = rd_kafka_incremental_unassign(c->rk, list);
    if (!e)
        e = rd_kafka_incremental_assign(c->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return told_error("move", e);
}

int bgw_kafka_consumer_fd(const struct bgw_kafka_consumer *c)
{
    return c->fd;
}

void bgw_kafka_consumer_signal(struct bgw_kafka_consumer *c)
{
    uint64_t one = 1;
    ssize_t n = write(c->fd, &one, sizeof(one));
    (void)n; /* EAGAIN: the counter is full, so the descriptor is readable anyway */
}

void bgw_kafka_consumer_clear(struct bgw_kafka_consumer *c)
{
    uint64_t count;
    ssize_t n = read(c->fd, &count, sizeof(count));
    (void)n; /* EAGAIN: it was clear */
}

size_t bgw_kafka_consumer_take(struct bgw_kafka_consumer *c, rd_kafka_message_t **out, size_t max)
{
    ssize_t n = rd_kafka_consume_batch_queue(c->queue, 0, out, max);
    return n > 0 ? (size_t)n : 0;
}

void bgw_kafka_consumer_destroy(struct bgw_kafka_consumer **c)
{
    if (!*c)
        return;
    rd_kafka_queue_io_event_enable((*c)->queue, -1, NULL, 0);
    rd_kafka_queue_destroy((*c)->queue);
    bgw_kafka_handle_destroy(&(*c)->rk, DESTROY_WAIT_MS);
    close((*c)->fd);
    free(*c);
    *c = NULL;
}
