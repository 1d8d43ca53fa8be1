/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed: publishes balances with rising versions, to Kafka or, for the raw baseline, as one line a
 * message on its trigger socket. Remembers when each version was sent, for the latency figures.
 */
#define _GNU_SOURCE
#include "swarm.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static rd_kafka_t *producer;

bool feed_open(struct swarm *s)
{
    char error[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", s->opt.kafka, error, sizeof(error));
    rd_kafka_conf_set(conf, "linger.ms", "0", error, sizeof(error));
    rd_kafka_conf_set(conf, "acks", "1", error, sizeof(error));
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof(error));
    if (!producer)
        fprintf(stderr, "swarm: %s\n", error);
    return producer != NULL;
}

static void publish_kafka(struct swarm *s, int account, uint64_t version)
{
    char key[80], value[256];
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int key_len = snprintf(key, sizeof(key), "%s%06d", s->opt.prefix, account);
    int len = snprintf(value, sizeof(value),
                       "{\"accountId\":\"%s\",\"minor\":%lld,\"currency\":\"NGN\",\"pendingMinor\":0,"
                       "\"v\":%llu,\"ts\":%lld}",
                       key, (long long)swarm_value(version, account), (unsigned long long)version,
                       (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000);
    while (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(s->opt.topic),
                             RD_KAFKA_V_KEY(key, (size_t)key_len),
                             RD_KAFKA_V_VALUE(value, (size_t)len),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_END) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
        rd_kafka_poll(producer, 10);
}

void feed_publish(struct swarm *s, int account)
{
    uint64_t version = ++s->published[account];
    s->sent_ns[(size_t)account * SWARM_SENT_RING + version % SWARM_SENT_RING] = probe_mono_ns();
    if (s->opt.raw) {
        char line[32];
        int n = snprintf(line, sizeof(line), "%llu\n", (unsigned long long)version);
        if (send(s->trigger_fd, line, (size_t)n, MSG_NOSIGNAL) != n)
            s->total.protocol_errors++;
        return;
    }
    publish_kafka(s, account, version);
    rd_kafka_poll(producer, 0);
}

void feed_flush(struct swarm *s)
{
    if (!s->opt.raw && producer)
        rd_kafka_flush(producer, 10000);
}

void feed_close(void)
{
    if (producer)
        rd_kafka_destroy(producer);
    producer = NULL;
}
