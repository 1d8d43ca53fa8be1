/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedded_broker: librdkafka's mock cluster, one broker on a loopback port of its own choice, for
 * the demonstration and for tests. It keeps about 5 MiB a partition and drops the oldest beyond
 * that, has no topic ids and no offsets for times, and forgets everything when the process ends.
 */
#include "bgw/ingest.h"

#include "bgw/assert.h"
#include "kafka_handle.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

#define DESTROY_WAIT_MS 3000

struct bgw_embedded_broker { /* its owner's thread; the broker itself runs on librdkafka's */
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster; /* part of `rk` */
};

enum bgw_status bgw_embedded_broker_create(struct bgw_embedded_broker **out,
                                           const char *const *topics, const int *partitions,
                                           size_t count, struct bgw_buf *error)
{
    struct bgw_embedded_broker *b = calloc(1, sizeof(*b));
    if (!b)
        return BGW_NO_MEMORY;
    enum bgw_status st = bgw_kafka_handle_create(&b->rk, BGW_KAFKA_BROKER, NULL, NULL, error);
    if (st == BGW_OK) {
        b->cluster = rd_kafka_handle_mock_cluster(b->rk);
        BGW_ASSERT(b->cluster != NULL);
        rd_kafka_mock_group_initial_rebalance_delay_ms(b->cluster, 0); /* nobody else is on the way */
    }
    for (size_t i = 0; st == BGW_OK && i < count; i++)
        st = bgw_embedded_broker_add_topic(b, topics[i], partitions[i], error);
    if (st != BGW_OK) {
        bgw_embedded_broker_destroy(&b);
        return st;
    }
    *out = b;
    return BGW_OK;
}

enum bgw_status bgw_embedded_broker_add_topic(struct bgw_embedded_broker *b, const char *topic,
                                              int partitions, struct bgw_buf *error)
{
    rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(b->cluster, topic, partitions, 1);
    if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
        return BGW_OK;
    bgw_buf_appendf(error, "the embedded broker refuses topic %s with %d partitions: %s", topic,
                    partitions, rd_kafka_err2str(err));
    return BGW_BAD_VALUE;
}

const char *bgw_embedded_broker_address(const struct bgw_embedded_broker *b)
{
    return rd_kafka_mock_cluster_bootstraps(b->cluster);
}

void bgw_embedded_broker_set_down(struct bgw_embedded_broker *b, bool down)
{
    if (down)
        rd_kafka_mock_broker_set_down(b->cluster, 1);
    else
        rd_kafka_mock_broker_set_up(b->cluster, 1);
}

void bgw_embedded_broker_destroy(struct bgw_embedded_broker **b)
{
    if (!*b)
        return;
    bgw_kafka_handle_destroy(&(*b)->rk, DESTROY_WAIT_MS);
    free(*b);
    *b = NULL;
}
