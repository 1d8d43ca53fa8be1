/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_ask: hides that the questions are admin requests whose answers come through a queue. A
 * question has a number; an answer to an earlier one, for which nobody waits any more, is dropped.
 */
#include "kafka_ask.h"

#include "kafka_handle.h"
#include "kafka_offsets.h"

#include "bgw/assert.h"
#include "bgw/clock.h"
#include "bgw/log.h"

#include <stdlib.h>

#define PLAIN_METADATA_MS 1000
#define STEP_MS 50 /* between two looks at `stop` */
#define DESTROY_WAIT_MS 3000

struct bgw_kafka_ask { /* control thread */
    struct bgw_kafka_ask_config config;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    uintptr_t asked; /* number of the question that is being waited for */
    enum bgw_kafka_cluster cluster;
    bool plain, ids_seen;
};

/* --- life cycle --- */

static void close_client(struct bgw_kafka_ask *a)
{
    if (a->queue)
        rd_kafka_queue_destroy(a->queue);
    a->queue = NULL;
    bgw_kafka_handle_destroy(&a->rk, DESTROY_WAIT_MS);
}

static enum bgw_status open_client(struct bgw_kafka_ask *a, struct bgw_buf *error)
{
    close_client(a);
    enum bgw_status st = bgw_kafka_handle_create(&a->rk, BGW_KAFKA_CONTROL, a->config.config,
                                                 a->config.bootstrap, error);
    if (st == BGW_OK)
        a->queue = rd_kafka_queue_get_main(a->rk);
    return st;
}

enum bgw_status bgw_kafka_ask_create(struct bgw_kafka_ask **out,
                                     const struct bgw_kafka_ask_config *config,
                                     struct bgw_buf *error)
{
    struct bgw_kafka_ask *a = calloc(1, sizeof(*a));
    if (!a)
        return BGW_NO_MEMORY;
    a->config = *config;
    a->plain = config->plain;
    enum bgw_status st = open_client(a, error);
    if (st != BGW_OK) {
        free(a);
        return st;
    }
    *out = a;
    return BGW_OK;
}

void bgw_kafka_ask_destroy(struct bgw_kafka_ask **a)
{
    if (!*a)
        return;
    close_client(*a);
    free(*a);
    *a = NULL;
}

bool bgw_kafka_ask_reopen(struct bgw_kafka_ask *a)
{
    struct bgw_buf error;
    bgw_buf_init(&error, 1024);
    enum bgw_status st = open_client(a, &error);
    if (st != BGW_OK)
        BGW_LOG(BGW_LOG_ERROR, "kafka_client_failed", {"why", LSL(bgw_buf_slice(&error))});
    bgw_buf_deinit(&error);
    return st == BGW_OK;
}

rd_kafka_t *bgw_kafka_ask_client(struct bgw_kafka_ask *a)
{
    return a->rk;
}

rd_kafka_queue_t *bgw_kafka_ask_queue(struct bgw_kafka_ask *a)
{
    return a->queue;
}

/* --- questions --- */

void *bgw_kafka_ask_next(struct bgw_kafka_ask *a)
{
    return (void *)++a->asked; /* a number, carried by the library's pointer */
}

rd_kafka_event_t *bgw_kafka_ask_wait(struct bgw_kafka_ask *a)
{
    int64_t until_ms = bgw_clock_now().mono_ms + BGW_KAFKA_ANSWER_MS + STEP_MS;
    while (!atomic_load(a->config.stop) && bgw_clock_now().mono_ms < until_ms) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(a->queue, STEP_MS);
        if (!event)
            continue;
        bool is_error = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR;
        if (is_error)
            bgw_kafka_error_seen(rd_kafka_event_error(event), rd_kafka_event_error_string(event), -1);
        else if ((uintptr_t)rd_kafka_event_opaque(event) == a->asked)
            return event;
        rd_kafka_event_destroy(event); /* an error, or an answer that nobody waits for any more */
    }
    return NULL;
}

/* The embedded broker of another process would never answer what it does not know. */
static void learn_cluster(struct bgw_kafka_ask *a)
{
    int64_t until_ms = bgw_clock_now().mono_ms + (a->asked ? 0 : PLAIN_METADATA_MS);
    while (a->cluster == BGW_CLUSTER_NOT_HEARD && !a->plain && !a->ids_seen && !atomic_load(a->config.stop)) {
        a->cluster = bgw_kafka_cluster_of(a->rk, a->asked ? 0 : STEP_MS);
        if (bgw_clock_now().mono_ms >= until_ms)
            break;
    }
    a->plain |= a->cluster == BGW_CLUSTER_MOCK;
}

enum bgw_kafka_cluster bgw_kafka_ask_cluster(const struct bgw_kafka_ask *a)
{
    return a->cluster;
}

enum bgw_status bgw_kafka_ask_topic(struct bgw_kafka_ask *a, bool doubtful, struct bgw_kafka_topic *t)
{
    enum bgw_status st = BGW_UNSUPPORTED;
    *t = (struct bgw_kafka_topic){{0}, 0};
    learn_cluster(a);
    if (!a->plain) {
        bgw_kafka_topic_ask(a->rk, a->queue, a->config.topic, BGW_KAFKA_ANSWER_MS, bgw_kafka_ask_next(a));
        rd_kafka_event_t *event = bgw_kafka_ask_wait(a);
        st = event ? bgw_kafka_topic_from_event(t, event) : BGW_UNAVAILABLE;
        if (event)
            rd_kafka_event_destroy(event);
        a->ids_seen |= st == BGW_OK;
    }
    bool none = st == BGW_UNSUPPORTED || (doubtful && st == BGW_UNAVAILABLE);
    if (!none || a->ids_seen || atomic_load(a->config.stop))
        return st;
    enum bgw_status plain =
        bgw_kafka_topic_from_metadata(t, a->rk, a->config.topic, PLAIN_METADATA_MS);
    a->plain = a->plain || (st == BGW_UNSUPPORTED && plain == BGW_OK);
    return plain;
}

int32_t bgw_kafka_ask_offsets(struct bgw_kafka_ask *a, int64_t spec, int64_t *at, int32_t count)
{
    const struct bgw_kafka_offsets_ask ask = {
        .topic = a->config.topic,
        .count = count,
        .spec = spec,
        .isolation = RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
        .timeout_ms = BGW_KAFKA_ANSWER_MS,
        .opaque = bgw_kafka_ask_next(a),
    };
    rd_kafka_resp_err_t worst;
    bgw_kafka_offsets_send(a->rk, a->queue, &ask);
    rd_kafka_event_t *event = bgw_kafka_ask_wait(a);
    for (int32_t i = 0; !event && i < count; i++)
        at[i] = BGW_OFFSET_UNKNOWN;
    if (!event)
        return 0;
    int32_t answered = bgw_kafka_offsets_read(event, at, count, &worst);
    rd_kafka_event_destroy(event);
    return answered;
}

static void send_committed(struct bgw_kafka_ask *a, const char *group, int32_t count)
{
    char text[128];
    rd_kafka_AdminOptions_t *o =
        rd_kafka_AdminOptions_new(a->rk, RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS);
    BGW_ASSERT(o != NULL);
    BGW_ASSERT(!rd_kafka_AdminOptions_set_request_timeout(o, BGW_KAFKA_ANSWER_MS, text, sizeof(text)));
    rd_kafka_AdminOptions_set_opaque(o, bgw_kafka_ask_next(a));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(count);
    for (int32_t i = 0; i < count; i++)
        rd_kafka_topic_partition_list_add(list, a->config.topic, i);
    rd_kafka_ListConsumerGroupOffsets_t *ask = rd_kafka_ListConsumerGroupOffsets_new(group, list);
    rd_kafka_ListConsumerGroupOffsets(a->rk, &ask, 1, o, a->queue);
    rd_kafka_ListConsumerGroupOffsets_destroy(ask);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_destroy(o);
}

static int32_t read_committed(rd_kafka_event_t *event, int64_t *at, int32_t count)
{
    size_t n = 0;
    int32_t answered = 0;
    if (rd_kafka_event_error(event))
        return 0;
    const rd_kafka_group_result_t **groups = rd_kafka_ListConsumerGroupOffsets_result_groups(
        rd_kafka_event_ListConsumerGroupOffsets_result(event), &n);
    if (n != 1 || rd_kafka_group_result_error(groups[0]))
        return 0;
    const rd_kafka_topic_partition_list_t *list = rd_kafka_group_result_partitions(groups[0]);
    for (int i = 0; list && i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        if (p->err || p->partition < 0 || p->partition >= count)
            continue;
        at[p->partition] = p->offset >= 0 ? p->offset : BGW_OFFSET_NONE;
        answered++;
    }
    return answered;
}

int32_t bgw_kafka_ask_committed(struct bgw_kafka_ask *a, const char *group, int64_t *at, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        at[i] = BGW_OFFSET_UNKNOWN;
    send_committed(a, group, count);
    rd_kafka_event_t *event = bgw_kafka_ask_wait(a);
    if (!event)
        return 0;
    int32_t answered = read_committed(event, at, count);
    rd_kafka_event_destroy(event);
    return answered;
}
