/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_topic: hides the admin requests that describe a topic. A topic id tells a recreated topic
 * from the old one; brokers without ids get the cluster's id instead, which cannot tell them apart
 * (BGW_EPOCH is for that). Nothing here creates a topic.
 */
#include "kafka_topic.h"

#include "bgw/assert.h"
#include "bgw/types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOCK_PREFIX "mockCluster" /* how librdkafka begins the id of each */

static enum bgw_status status_of(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return BGW_OK;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        return BGW_NOT_FOUND;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return BGW_DENIED;
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE:
    case RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION:
        return BGW_UNSUPPORTED;
    default:
        return BGW_UNAVAILABLE;
    }
}

static enum bgw_status check_count(int64_t count)
{
    return count >= 1 && count <= BGW_KAFKA_PARTITIONS_MAX ? BGW_OK : BGW_OUT_OF_RANGE;
}

enum bgw_status bgw_kafka_topic_from_event(struct bgw_kafka_topic *out,
                                           rd_kafka_event_t *event)
{
    enum bgw_status st = status_of(rd_kafka_event_error(event));
    if (st != BGW_OK)
        return st;
    const rd_kafka_DescribeTopics_result_t *result =
        rd_kafka_event_DescribeTopics_result(event);
    size_t topics = 0, partitions = 0;
    const rd_kafka_TopicDescription_t **all =
        rd_kafka_DescribeTopics_result_topics(result, &topics);
    if (topics != 1)
        return BGW_UNAVAILABLE;
    st = status_of(rd_kafka_error_code(rd_kafka_TopicDescription_error(all[0])));
    if (st != BGW_OK)
        return st;
    const rd_kafka_Uuid_t *id = rd_kafka_TopicDescription_topic_id(all[0]);
    if (!id || (!rd_kafka_Uuid_most_significant_bits(id) &&
                !rd_kafka_Uuid_least_significant_bits(id)))
        return BGW_UNSUPPORTED;
    rd_kafka_TopicDescription_partitions(all[0], &partitions);
    snprintf(out->id, sizeof(out->id), "%s", rd_kafka_Uuid_base64str(id));
    out->partitions = (int32_t)(partitions <= INT32_MAX ? partitions : INT32_MAX);
    return check_count(out->partitions);
}

static enum bgw_status read_metadata(struct bgw_kafka_topic *out,
                                     const struct rd_kafka_metadata *md)
{
    if (md->topic_cnt != 1)
        return BGW_UNAVAILABLE;
    enum bgw_status st = status_of(md->topics[0].err);
    if (st != BGW_OK)
        return st;
    out->partitions = md->topics[0].partition_cnt;
    return check_count(out->partitions);
}

enum bgw_status bgw_kafka_topic_from_metadata(struct bgw_kafka_topic *out, rd_kafka_t *rk,
                                              const char *name, int timeout_ms)
{
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    if (!topic)
        return BGW_UNAVAILABLE;
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, topic, &md, timeout_ms);
    rd_kafka_topic_destroy(topic);
    if (err)
        return status_of(err);
    enum bgw_status st = read_metadata(out, md);
    rd_kafka_metadata_destroy(md);
    if (st != BGW_OK)
        return st;
    char *cluster = rd_kafka_clusterid(rk, timeout_ms); /* known since the metadata came */
    snprintf(out->id, sizeof(out->id), "cluster/%s", cluster ? cluster : "");
    if (cluster)
        rd_kafka_mem_free(rk, cluster);
    return BGW_OK;
}

enum bgw_kafka_cluster bgw_kafka_cluster_of(rd_kafka_t *rk, int timeout_ms)
{
    char *id = rd_kafka_clusterid(rk, timeout_ms);
    if (!id)
        return BGW_CLUSTER_NOT_HEARD;
    bool mock = strncmp(id, MOCK_PREFIX, strlen(MOCK_PREFIX)) == 0;
    rd_kafka_mem_free(rk, id);
    return mock ? BGW_CLUSTER_MOCK : BGW_CLUSTER_PLAIN;
}

static rd_kafka_AdminOptions_t *options(rd_kafka_t *rk, rd_kafka_admin_op_t op, int timeout_ms,
                                        void *opaque)
{
    char text[128];
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, op);
    BGW_ASSERT(o != NULL);
    rd_kafka_resp_err_t err =
        rd_kafka_AdminOptions_set_request_timeout(o, timeout_ms, text, sizeof(text));
    BGW_ASSERT(err == RD_KAFKA_RESP_ERR_NO_ERROR);
    rd_kafka_AdminOptions_set_opaque(o, opaque);
    return o;
}

void bgw_kafka_topic_ask(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name, int timeout_ms,
                         void *opaque)
{
    rd_kafka_AdminOptions_t *o =
        options(rk, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, timeout_ms, opaque);
    rd_kafka_TopicCollection_t *topics = rd_kafka_TopicCollection_of_topic_names(&name, 1);
    rd_kafka_DescribeTopics(rk, topics, o, queue);
    rd_kafka_TopicCollection_destroy(topics);
    rd_kafka_AdminOptions_destroy(o);
}

void bgw_kafka_policy_ask(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *name,
                          int timeout_ms, void *opaque)
{
    rd_kafka_AdminOptions_t *o =
        options(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout_ms, opaque);
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    BGW_ASSERT(resource != NULL);
    rd_kafka_DescribeConfigs(rk, &resource, 1, o, queue);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_AdminOptions_destroy(o);
}

enum bgw_status bgw_kafka_policy_from_event(bool *compacted, rd_kafka_event_t *event)
{
    enum bgw_status st = status_of(rd_kafka_event_error(event));
    if (st != BGW_OK)
        return st;
    size_t resources = 0, entries = 0;
    const rd_kafka_ConfigResource_t **all = rd_kafka_DescribeConfigs_result_resources(
        rd_kafka_event_DescribeConfigs_result(event), &resources);
    if (resources != 1)
        return BGW_UNAVAILABLE;
    st = status_of(rd_kafka_ConfigResource_error(all[0]));
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(all[0], &entries);
    *compacted = false;
    for (size_t i = 0; st == BGW_OK && i < entries; i++) {
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), "cleanup.policy") != 0)
            continue;
        const char *value = rd_kafka_ConfigEntry_value(entry[i]); /* "compact,delete" is one too */
        *compacted = value && strstr(value, "compact");
    }
    return st;
}

uint64_t bgw_kafka_topic_epoch(const struct bgw_kafka_topic *t, const char *name,
                               const char *given)
{
    uint64_t epoch = given && given[0] ? bgw_epoch_pack(bgw_slice_str(given)) : 0;
    if (epoch)
        return epoch;
    char seed[512];
    int n = snprintf(seed, sizeof(seed), "%s/%s/%d", t->id, name, (int)t->partitions);
    BGW_ASSERT(n > 0 && (size_t)n < sizeof(seed)); /* a topic's name has at most 249 bytes */
    epoch = bgw_epoch_derive(bgw_slice_of(seed, (size_t)n));
    BGW_ASSERT(epoch != 0);
    return epoch;
}
