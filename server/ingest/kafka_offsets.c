/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_offsets: hides rd_kafka_ListOffsets. With the brokers gone it reports success for each
 * partition and the offset -1001: that is no answer. Ends are asked for with the consumer's own
 * isolation level, or an open transaction would keep a partition from ever being proved.
 */
#include "kafka_offsets.h"

#include "bgw/assert.h"

#include <stddef.h>

void bgw_kafka_offsets_send(rd_kafka_t *rk, rd_kafka_queue_t *queue,
                            const struct bgw_kafka_offsets_ask *ask)
{
    char text[128];
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_LISTOFFSETS);
    BGW_ASSERT(o != NULL);
    rd_kafka_AdminOptions_set_opaque(o, ask->opaque);
    rd_kafka_resp_err_t err =
        rd_kafka_AdminOptions_set_request_timeout(o, ask->timeout_ms, text, sizeof(text));
    BGW_ASSERT(err == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_error_t *e = rd_kafka_AdminOptions_set_isolation_level(o, ask->isolation);
    BGW_ASSERT(e == NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(ask->count);
    for (int32_t i = 0; i < ask->count; i++) {
        int32_t p = ask->partitions ? ask->partitions[i] : i;
        rd_kafka_topic_partition_list_add(list, ask->topic, p)->offset = ask->spec;
    }
    rd_kafka_ListOffsets(rk, list, o, queue);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_AdminOptions_destroy(o);
}

int32_t bgw_kafka_offsets_read(rd_kafka_event_t *event, int64_t *at, int32_t count,
                               rd_kafka_resp_err_t *worst)
{
    for (int32_t i = 0; i < count; i++)
        at[i] = BGW_OFFSET_UNKNOWN;
    *worst = rd_kafka_event_error(event);
    if (*worst)
        return 0;
    size_t n = 0;
    int32_t answered = 0;
    const rd_kafka_ListOffsetsResultInfo_t **info =
        rd_kafka_ListOffsets_result_infos(rd_kafka_event_ListOffsets_result(event), &n);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_topic_partition_t *p =
            rd_kafka_ListOffsetsResultInfo_topic_partition(info[i]);
        if (p->err)
            *worst = p->err;
        if (p->err || p->offset < BGW_OFFSET_NONE || p->partition < 0 || p->partition >= count)
            continue;
        at[p->partition] = p->offset;
        answered++;
    }
    return answered;
}
