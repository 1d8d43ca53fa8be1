/* SPDX-License-Identifier: Apache-2.0 */
/*
 * producer: a small idempotent producer for `bgw pub`, the demonstration's ledger and tests. One
 * thread uses it. What the brokers refused is remembered until the next flush tells of it.
 */
#include "bgw/ingest.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/log.h"
#include "kafka_handle.h"
#include "kafka_outgoing.h"

#include <stdlib.h>

#define DESTROY_WAIT_MS 3000
#define FLUSH_STEP_MS 100

struct bgw_kafka_producer { /* one thread */
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    rd_kafka_resp_err_t failed; /* the last refusal since the last flush */
};

enum bgw_status bgw_kafka_producer_create(struct bgw_kafka_producer **out,
                                          const struct bgw_config *config, const char *bootstrap,
                                          struct bgw_buf *error)
{
    struct bgw_kafka_producer *p = calloc(1, sizeof(*p));
    if (!p)
        return BGW_NO_MEMORY;
    enum bgw_status st =
        bgw_kafka_handle_create(&p->rk, BGW_KAFKA_PRODUCER, config, bootstrap, error);
    if (st != BGW_OK) {
        free(p);
        return st;
    }
    p->queue = rd_kafka_queue_get_main(p->rk);
    *out = p;
    return BGW_OK;
}

static enum bgw_status status_of(rd_kafka_resp_err_t err)
{
    enum bgw_status st = bgw_kafka_outgoing_status(err);
    return st == BGW_TIMEOUT || st == BGW_DENIED ? BGW_UNAVAILABLE : st; /* TIMEOUT is flush's own */
}

enum bgw_status bgw_kafka_producer_send_outgoing(struct bgw_kafka_producer *p, const char *topic,
                                                 const struct bgw_kafka_outgoing *o)
{
    rd_kafka_resp_err_t err = bgw_kafka_outgoing_send(p->rk, topic, o, NULL);
    bgw_kafka_producer_poll(p);
    return status_of(err);
}

enum bgw_status bgw_kafka_producer_send(struct bgw_kafka_producer *p, const char *topic,
                                        struct bgw_slice key, struct bgw_slice value)
{
    struct bgw_kafka_outgoing o = {.partition = -1, .key = key, .value = value};
    return bgw_kafka_producer_send_outgoing(p, topic, &o);
}

static void on_reports(struct bgw_kafka_producer *p, rd_kafka_event_t *event)
{
    const rd_kafka_message_t *m;
    while ((m = rd_kafka_event_message_next(event))) {
        if (!m->err)
            continue;
        p->failed = m->err;
        BGW_LOG(BGW_LOG_WARN, "kafka_record_not_delivered",
                {"topic", LS(rd_kafka_topic_name(m->rkt))}, {"name", LS(rd_kafka_err2name(m->err))},
                {"text", LS(rd_kafka_err2str(m->err))});
    }
}

static void poll_for(struct bgw_kafka_producer *p, int wait_ms)
{
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(p->queue, wait_ms))) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR)
            on_reports(p, event);
        else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            bgw_kafka_error_seen(rd_kafka_event_error(event), rd_kafka_event_error_string(event),
                                 -1);
        rd_kafka_event_destroy(event);
        wait_ms = 0;
    }
}

void bgw_kafka_producer_poll(struct bgw_kafka_producer *p)
{
    poll_for(p, 0);
}

enum bgw_status bgw_kafka_producer_flush(struct bgw_kafka_producer *p, int timeout_ms)
{
    int64_t until_ms = bgw_clock_now().mono_ms + timeout_ms, left_ms = timeout_ms;
    poll_for(p, 0);
    while (rd_kafka_outq_len(p->rk) > 0 && left_ms > 0) {
        poll_for(p, left_ms < FLUSH_STEP_MS ? (int)left_ms : FLUSH_STEP_MS);
        left_ms = until_ms - bgw_clock_now().mono_ms;
    }
    rd_kafka_resp_err_t failed = p->failed;
    p->failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    if (failed)
        return status_of(failed);
    return rd_kafka_outq_len(p->rk) > 0 ? BGW_TIMEOUT : BGW_OK;
}

void bgw_kafka_producer_destroy(struct bgw_kafka_producer **p)
{
    if (!*p)
        return;
    rd_kafka_purge((*p)->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                 RD_KAFKA_PURGE_F_NON_BLOCKING);
    poll_for(*p, 0);
    rd_kafka_queue_destroy((*p)->queue);
    bgw_kafka_handle_destroy(&(*p)->rk, DESTROY_WAIT_MS);
    free(*p);
    *p = NULL;
}
