/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_kafka: balances as records of Kafka, in the form that the estate writes, with `v` and `ts`.
 * The moment of the confirmation is taken on librdkafka's own thread, where the broker's answer is
 * read: a consumer may have the record before our thread looks again. When the queue is full,
 * publishing waits for room; what was due meanwhile is late, and its latency says so.
 */
#define _GNU_SOURCE
#include "sink.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VERSION_BITS 40 /* of the opaque pointer; the account above it */
#define KEY_ROOM 96
#define MEET_MS 10000

struct producer {
    rd_kafka_t *kafka;
    rd_kafka_topic_t *topic;
};

static void *opaque_of(int account, uint64_t version)
{
    return (void *)(uintptr_t)((uint64_t)account << VERSION_BITS | version);
}

static int account_of(const rd_kafka_message_t *m)
{
    return (int)((uintptr_t)m->_private >> VERSION_BITS);
}

static uint64_t version_of(const rd_kafka_message_t *m)
{
    return (uintptr_t)m->_private & ((1ull << VERSION_BITS) - 1);
}

/* A thread of librdkafka. */
static rd_kafka_resp_err_t on_acknowledgement(rd_kafka_t *kafka, rd_kafka_message_t *m, void *feed)
{
    (void)kafka;
    if (!m->err)
        board_acked(((struct feed *)feed)->board, account_of(m), version_of(m), sink_now_ns());
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *kafka, const rd_kafka_conf_t *conf, void *feed, char *why, size_t why_len)
{
    (void)conf, (void)why, (void)why_len;
    return rd_kafka_interceptor_add_on_acknowledgement(kafka, "moment", on_acknowledgement, feed);
}

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *m, void *feed)
{
    (void)kafka;
    struct feed *f = feed;
    if (m->err) {
        if (f->failed++ == 0)
            fprintf(stderr, "feed: kafka: %s\n", rd_kafka_err2str(m->err));
    } else if (f->config.on_acked) {
        f->config.on_acked(f->config.context, account_of(m), version_of(m));
    }
}

static bool set_all(rd_kafka_conf_t *conf, const struct feed_config *c)
{
    char linger[16], why[256];
    snprintf(linger, sizeof(linger), "%d", c->linger_ms);
    const char *settings[][2] = {{"bootstrap.servers", c->address},
                                 {"linger.ms", linger},
                                 {"acks", c->idempotent ? "all" : "1"},
                                 {"enable.idempotence", c->idempotent ? "true" : "false"},
                                 {"message.timeout.ms", "50000"},
                                 {"queue.buffering.max.messages", "500000"}};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) != RD_KAFKA_CONF_OK) {
            fprintf(stderr, "feed: %s\n", why);
            return false;
        }
    }
    return true;
}

/* The connection and the topic's leader are known before the first record, which would wait for them. */
static bool is_met(const struct producer *p, const char *address)
{
    const struct rd_kafka_metadata *met = NULL;
    rd_kafka_resp_err_t err = rd_kafka_metadata(p->kafka, 0, p->topic, &met, MEET_MS);
    if (err)
        fprintf(stderr, "feed: kafka at %s: %s\n", address, rd_kafka_err2str(err));
    else
        rd_kafka_metadata_destroy(met);
    return !err;
}

static bool kafka_open(struct feed *f)
{
    char why[256];
    struct producer *p = f->state = calloc(1, sizeof(*p));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (!p || !set_all(conf, &f->config)) {
        rd_kafka_conf_destroy(conf);
        return false;
    }
    rd_kafka_conf_set_opaque(conf, f);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_interceptor_add_on_new(conf, "moment", on_new, f);
    p->kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    if (!p->kafka) {
        fprintf(stderr, "feed: %s\n", why);
        rd_kafka_conf_destroy(conf);
        return false;
    }
    p->topic = rd_kafka_topic_new(p->kafka, f->config.topic, NULL);
    return p->topic && is_met(p, f->config.address);
}

static void kafka_publish(struct feed *f, int account, uint64_t version)
{
    const struct producer *p = f->state;
    char key[KEY_ROOM], value[256];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int key_len = snprintf(key, sizeof(key), "%s%06d", f->config.prefix, account);
    int len = snprintf(value, sizeof(value),
                       "{\"accountId\":\"%s\",\"minor\":%lld,\"currency\":\"NGN\",\"pendingMinor\":0,\"v\":%llu,\"ts\":%lld}", key,
                       (long long)feed_value(version, account), (unsigned long long)version,
                       (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000);
    while (rd_kafka_produce(p->topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, value, (size_t)len, key, (size_t)key_len,
                            opaque_of(account, version)) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            f->failed++;
            return;
        }
        rd_kafka_poll(p->kafka, 10);
    }
}

static void kafka_turn(struct feed *f)
{
    rd_kafka_poll(((const struct producer *)f->state)->kafka, 0);
}

static bool kafka_flush(struct feed *f, int timeout_ms)
{
    return rd_kafka_flush(((const struct producer *)f->state)->kafka, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void kafka_close(struct feed *f)
{
    struct producer *p = f->state;
    if (!p)
        return;
    if (p->topic)
        rd_kafka_topic_destroy(p->topic);
    if (p->kafka)
        rd_kafka_destroy(p->kafka);
    free(p);
}

const struct sink sink_kafka = {kafka_open, kafka_publish, kafka_turn, kafka_flush, kafka_close};
