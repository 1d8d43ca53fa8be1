/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kafka_outgoing: hides how librdkafka is given a record with headers, and which of its errors
 * mean the same to a writer.
 */
#include "kafka_outgoing.h"

static void add_header(rd_kafka_headers_t *headers, const char *name, struct bgw_slice value)
{
    if (value.data)
        rd_kafka_header_add(headers, name, -1, value.data, (ssize_t)value.len);
}

/* NULL: it has none. */
static rd_kafka_headers_t *headers_of(const struct bgw_kafka_outgoing *o)
{
    if (!o->h_tenant.data && !o->h_v.data && !o->h_traceparent.data)
        return NULL;
    rd_kafka_headers_t *headers = rd_kafka_headers_new(3);
    add_header(headers, "tenant", o->h_tenant);
    add_header(headers, "v", o->h_v);
    add_header(headers, "traceparent", o->h_traceparent);
    return headers;
}

/* librdkafka takes pointers to bytes that it only reads as void *. */
static void *bytes(struct bgw_slice s)
{
    return (void *)(uintptr_t)s.data;
}

rd_kafka_resp_err_t bgw_kafka_outgoing_send(rd_kafka_t *rk, const char *topic,
                                            const struct bgw_kafka_outgoing *o, void *opaque)
{
    rd_kafka_headers_t *headers = headers_of(o);
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(o->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(bytes(o->key), o->key.len),
        RD_KAFKA_V_VALUE(bytes(o->value), o->value.len), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);
    if (err && headers)
        rd_kafka_headers_destroy(headers); /* taken only by a message that was accepted */
    return err;
}

enum bgw_status bgw_kafka_outgoing_status(rd_kafka_resp_err_t err)
{
    switch ((int)err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return BGW_OK;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return BGW_FULL;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return BGW_TOO_LARGE;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
        return BGW_NOT_FOUND;
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
        return BGW_TIMEOUT;
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return BGW_DENIED;
    default:
        return BGW_UNAVAILABLE;
    }
}
