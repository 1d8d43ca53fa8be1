/* SPDX-License-Identifier: Apache-2.0 */
/*
 * feed_mqtt: MQTT 3.1.1 over TCP, PUBLISH with QoS 0: fixed header, remaining length in base 128,
 * topic, payload. A message is not confirmed; a PINGRESP says that what came before was read.
 */
#include "message.h"
#include "sink.h"
#include "tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_NS 5000000000
#define CONNACK 0x20
#define PUBLISH 0x30
#define PINGRESP 0xd0

struct mqtt {
    struct tcp tcp;
    bool accepted;
    uint64_t pings, pongs;
};

/* All that a server says to one who only publishes: CONNACK and PINGRESP, both shorter than 128 bytes. */
static void take_packets(struct feed *f)
{
    struct mqtt *m = f->state;
    size_t used = 0;
    const unsigned char *p = (const unsigned char *)m->tcp.in.data;
    while (m->tcp.in.len - used >= 2 && p[used + 1] < 128 && m->tcp.in.len - used >= 2u + p[used + 1]) {
        if (p[used] == CONNACK && p[used + 1] == 2 && p[used + 3] == 0)
            m->accepted = true;
        else if (p[used] == PINGRESP)
            m->pongs++;
        else
            f->failed++;
        used += 2u + p[used + 1];
    }
    bgw_buf_consume(&m->tcp.in, used);
}

static bool mqtt_open(struct feed *f)
{
    /* level 4, clean session, no keep-alive, no name: the server gives one */
    static const char hello[] = "\x10\x0c\0\x04MQTT\x04\x02\0\0\0";
    struct mqtt *m = f->state = calloc(1, sizeof(*m));
    int64_t until_ns = sink_now_ns() + OPEN_NS;
    if (!m || !tcp_open(&m->tcp, f->config.address))
        return false;
    tcp_put(&m->tcp, bgw_slice_of(hello, 14));
    while (!m->accepted && tcp_wait(&m->tcp, until_ns))
        take_packets(f);
    if (!m->accepted)
        fprintf(stderr, "feed: %s does not speak MQTT with us\n", f->config.address);
    return m->accepted;
}

static void mqtt_publish(struct feed *f, int account, uint64_t version)
{
    struct mqtt *m = f->state;
    char topic[MESSAGE_NAME_MAX], body[MESSAGE_MAX];
    unsigned char head[8];
    size_t at = 0, name = (size_t)snprintf(topic, sizeof(topic), "%s%06d", f->config.prefix, account);
    message_safe_name(topic);
    size_t len = message_upd(f->config.prefix, account, version, body, sizeof(body));
    head[at++] = PUBLISH;
    for (size_t rest = 2 + name + len; at == 1 || rest; rest >>= 7)
        head[at++] = (unsigned char)((rest & 127) | (rest > 127 ? 128 : 0));
    head[at++] = (unsigned char)(name >> 8);
    head[at++] = (unsigned char)name;
    tcp_put(&m->tcp, bgw_slice_of((const char *)head, at));
    tcp_put(&m->tcp, bgw_slice_of(topic, name));
    tcp_put(&m->tcp, bgw_slice_of(body, len));
    f->failed += m->tcp.broken;
}

static void mqtt_turn(struct feed *f)
{
    struct mqtt *m = f->state;
    tcp_push(&m->tcp);
    tcp_pull(&m->tcp);
    take_packets(f);
}

static bool mqtt_flush(struct feed *f, int timeout_ms)
{
    struct mqtt *m = f->state;
    int64_t until_ns = sink_now_ns() + (int64_t)timeout_ms * 1000000;
    m->pings++;
    tcp_put(&m->tcp, bgw_slice_of("\xc0\0", 2));
    while (m->pongs < m->pings && tcp_wait(&m->tcp, until_ns))
        take_packets(f);
    return m->pongs >= m->pings;
}

static void mqtt_close(struct feed *f)
{
    if (f->state)
        tcp_close(&((struct mqtt *)f->state)->tcp);
    free(f->state);
}

const struct sink sink_mqtt = {mqtt_open, mqtt_publish, mqtt_turn, mqtt_flush, mqtt_close};
