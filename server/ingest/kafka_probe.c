/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_probe: one look at the brokers, for people: can they be reached, are the topics there, how
 * are they kept. Hides how a client's reasons (a refused password, an unknown authority) are told
 * apart from its impatience. Called by `bgw doctor` on its only thread; writes and creates nothing.
 */
#include "bgw/ingest.h"

#include "kafka_handle.h"
#include "kafka_topic.h"

#include <stdio.h>

#define DESTROY_WAIT_MS 2000

/* The client's last word on what is wrong; "all brokers down" only repeats that something is. */
static void take_reason(rd_kafka_t *rk, char *out, size_t cap)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(rk);
    rd_kafka_event_t *event;
    while ((event = rd_kafka_queue_poll(queue, 0))) {
        bool says = rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR &&
                    rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;
        if (says)
            snprintf(out, cap, "%s", rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
    }
    rd_kafka_queue_destroy(queue);
}

static enum bgw_status ask_brokers(rd_kafka_t *rk, int timeout_ms, int *brokers, struct bgw_buf *error)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(rk, 0, NULL, &md, timeout_ms);
    if (err) {
        char reason[400] = "";
        take_reason(rk, reason, sizeof(reason));
        bgw_buf_append_str(error, *reason ? reason : rd_kafka_err2str(err));
        return BGW_UNAVAILABLE;
    }
    *brokers = md->broker_cnt;
    rd_kafka_metadata_destroy(md);
    return BGW_OK;
}

static const char *setting(rd_kafka_event_t *event, const char *name)
{
    size_t resources = 0, entries = 0;
    const rd_kafka_ConfigResource_t **all =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &resources);
    if (resources != 1 || rd_kafka_ConfigResource_error(all[0]))
        return NULL;
    const rd_kafka_ConfigEntry_t **entry = rd_kafka_ConfigResource_configs(all[0], &entries);
    for (size_t i = 0; i < entries; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entry[i]), name) == 0)
            return rd_kafka_ConfigEntry_value(entry[i]);
    return NULL;
}

static void ask_settings(rd_kafka_t *rk, int timeout_ms, struct bgw_kafka_probed *topic)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    bgw_kafka_policy_ask(rk, queue, topic->topic, timeout_ms, NULL);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, timeout_ms + 500);
    if (event && rd_kafka_event_type(event) == RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT &&
        !rd_kafka_event_error(event)) {
        const char *policy = setting(event, "cleanup.policy");
        const char *stamp = setting(event, "message.timestamp.type");
        topic->settings_known = policy && stamp;
        topic->compacted = policy && strstr(policy, "compact"); /* "compact,delete" is one too */
        topic->log_append_time = stamp && strcmp(stamp, "LogAppendTime") == 0;
    }
    if (event)
        rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
}

static void ask_topic(rd_kafka_t *rk, int timeout_ms, struct bgw_kafka_probed *topic)
{
    struct bgw_kafka_topic found = {.partitions = 0};
    topic->status = bgw_kafka_topic_from_metadata(&found, rk, topic->topic, timeout_ms);
    topic->partitions = found.partitions;
    if (topic->status == BGW_OK)
        ask_settings(rk, timeout_ms, topic);
}

enum bgw_status bgw_kafka_probe(const struct bgw_config *config, const char *bootstrap, int timeout_ms,
                                struct bgw_kafka_probed *topics, size_t count, int *brokers, struct bgw_buf *error)
{
    rd_kafka_t *rk = NULL;
    enum bgw_status status = bgw_kafka_handle_create(&rk, BGW_KAFKA_CONTROL, config, bootstrap, error);
    if (status != BGW_OK)
        return status;
    status = ask_brokers(rk, timeout_ms, brokers, error);
    for (size_t i = 0; status == BGW_OK && i < count; i++)
        ask_topic(rk, timeout_ms, &topics[i]);
    bgw_kafka_handle_destroy(&rk, DESTROY_WAIT_MS);
    return status;
}
