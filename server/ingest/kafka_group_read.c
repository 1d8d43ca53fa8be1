/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_group_read: takes records from the member's queue, at most a share of a turn, and moves
 * partitions. A partition that goes on does so by a seek to the first offset that was not handed
 * over: the client's own idea of where it was is not relied on. Invariant: within one begin the
 * offsets of a partition only grow, and none is left out that the log has.
 */
#include "kafka_group_state.h"

#include "kafka_handle.h"

#include "bgw/log.h"
#include "bgw/metrics.h"

#define TURN_RECORDS_MAX 2000
#define TURN_NS_MAX 2000000
#define SEEK_WAIT_MS 200 /* the client's own thread answers, no broker does: far more than it takes */
#define START_AGAIN_MS 50
#define TRIES_MAX 40

/* --- where a partition goes on --- */

static bool seek(struct bgw_kafka_group *g, int32_t partition, int64_t offset)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, g->topic, partition)->offset = offset;
    rd_kafka_error_t *e =
        rd_kafka_seek_partitions(bgw_kafka_member_client(g->member), list, SEEK_WAIT_MS);
    bool done = !e && !list->elems[0].err;
    if (e)
        rd_kafka_error_destroy(e);
    rd_kafka_topic_partition_list_destroy(list);
    return done;
}

/* The client's assignment takes a moment to come into force, and there is no seek before. */
static void start(struct bgw_kafka_group *g, int32_t partition)
{
    struct bgw_group_part *p = &g->parts[partition];
    p->state = BGW_PART_STARTING;
    if (seek(g, partition, p->next)) {
        p->tries = 0;
        p->state = BGW_PART_READING;
        bgw_group_pause(g, partition, false);
        return;
    }
    if (++p->tries < TRIES_MAX) {
        bgw_wheel_arm(bgw_loop_wheel(g->loop), &g->start_timer,
                      bgw_loop_now(g->loop).mono_ms + START_AGAIN_MS);
        return;
    }
    BGW_LOG(BGW_LOG_WARN, "kafka_partition_not_started", {"partition", LI(partition)});
    p->tries = 0;
    bgw_group_restart(g, partition);
}

void bgw_group_on_start_timer(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_kafka_group *g = BGW_CONTAINER(timer, struct bgw_kafka_group, start_timer);
    (void)now_ms;
    for (int32_t i = 0; g->member && i < g->parts_len; i++) {
        if (g->parts[i].state == BGW_PART_STARTING)
            start(g, i);
    }
}

void bgw_kafka_group_begin(struct bgw_kafka_group *g, int32_t partition, int64_t offset)
{
    struct bgw_group_part *p = bgw_group_part(g, partition);
    if (!p || p->state <= BGW_PART_PLACING) /* taken meanwhile, or about to be given again */
        return;
    if (p->state == BGW_PART_READING)
        bgw_group_pause(g, partition, true);
    p->next = offset;
    p->tries = 0;
    bgw_group_progress(g, partition, offset, -1);
    if (p->paused)
        p->state = BGW_PART_HELD;
    else
        start(g, partition);
}

void bgw_kafka_group_pause(struct bgw_kafka_group *g, int32_t partition, bool pause)
{
    struct bgw_group_part *p = bgw_group_part(g, partition);
    if (!p || p->paused == pause)
        return;
    p->paused = pause;
    if (pause && p->state >= BGW_PART_STARTING) {
        if (p->state == BGW_PART_READING)
            bgw_group_pause(g, partition, true);
        p->state = BGW_PART_HELD;
    } else if (!pause && p->state == BGW_PART_HELD) {
        start(g, partition);
    }
}

/* --- records --- */

static void deliver(struct bgw_kafka_group *g, struct bgw_group_part *p, const rd_kafka_message_t *m)
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
    p->next = m->offset + 1;
    bgw_group_progress(g, m->partition, p->next, r.timestamp_ms);
    g->config.record(g->config.arg, &r);
}

static void on_error(struct bgw_kafka_group *g, struct bgw_group_part *p, const rd_kafka_message_t *m)
{
    bgw_kafka_error_seen(m->err, rd_kafka_message_errstr(m), m->partition);
    g->broken |= m->err == RD_KAFKA_RESP_ERR__FATAL;
    bool cut = m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
               m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE ||
               m->err == RD_KAFKA_RESP_ERR__LOG_TRUNCATION;
    if (!cut || !p || p->state < BGW_PART_HELD)
        return;
    bgw_metric_add(BGW_M_KAFKA_POSITIONS_LOST, 1);
    bgw_group_restart(g, m->partition);
}

static void on_message(struct bgw_kafka_group *g, const rd_kafka_message_t *m)
{
    struct bgw_group_part *p = bgw_group_part(g, m->partition);
    bool end = m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
    if (m->err && !end) {
        on_error(g, p, m);
        return;
    }
    if (!p || p->state != BGW_PART_READING || m->offset < p->next)
        return; /* fetched before it was paused, moved or taken */
    if (!end) {
        deliver(g, p, m);
        return;
    }
    p->next = m->offset; /* over what compaction and transactions left out */
    bgw_group_progress(g, m->partition, m->offset, -1);
    if (g->config.end)
        g->config.end(g->config.arg, m->partition, m->offset);
}

/* False: the queue is empty. */
static bool read_one(struct bgw_kafka_group *g)
{
    g->called = false;
    rd_kafka_message_t *m = bgw_kafka_member_take(g->member);
    if (!m)
        return g->called;
    on_message(g, m);
    rd_kafka_message_destroy(m);
    return true;
}

void bgw_group_read(struct bgw_kafka_group *g)
{
    int64_t began_ns = bgw_clock_mono_ns();
    bool more = true;
    bgw_kafka_member_clear(g->member);
    for (int i = 0; more && !g->broken && i < TURN_RECORDS_MAX; i++) {
        more = read_one(g);
        if (i % 16 == 15 && bgw_clock_mono_ns() - began_ns >= TURN_NS_MAX)
            break;
    }
    if (more)
        bgw_kafka_member_signal(g->member);
    bgw_group_progress_flush(g);
}
