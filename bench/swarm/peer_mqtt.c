/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer_mqtt: MQTT 3.1.1 inside WebSocket messages; its packets may span them. Clean session, no
 * keep-alive, quality of service 0. A client is live when its one SUBSCRIBE is acknowledged with no
 * topic refused.
 */
#include "peer.h"
#include "peer_rest.h"
#include "swarm.h"

#include <string.h>

#define CONNACK 2
#define PUBLISH 3
#define SUBSCRIBE_HEAD 0x82 /* the lower half is fixed by the standard */
#define SUBACK 9
#define REFUSED 0x80

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    peer_request(s, c, b, "/mqtt", "mqtt");
}

static void opened(struct swarm *s, struct client *c)
{
    static const char hello[] = "\x10\x0c\0\x04MQTT\x04\x02\0\0\0"; /* the empty name: the server gives one */
    rest_forget(c);
    if (!swarm_send_binary(c, bgw_slice_of(hello, 14)))
        swarm_wrong(s, c, "CONNECT could not be sent");
}

static void append_u16(struct bgw_buf *b, size_t n)
{
    bgw_buf_append_byte(b, (char)(n >> 8));
    bgw_buf_append_byte(b, (char)n);
}

static void append_length(struct bgw_buf *b, size_t n)
{
    for (; n > 127; n >>= 7)
        bgw_buf_append_byte(b, (char)((n & 127) | 128));
    bgw_buf_append_byte(b, (char)n);
}

static void subscribe(struct swarm *s, struct client *c)
{
    struct bgw_buf topics, packet, name;
    bgw_buf_init(&topics, 65000);
    bgw_buf_init(&packet, 65535);
    bgw_buf_init(&name, 256);
    for (int i = 0; i < s->opt.per_client; i++) {
        bgw_buf_clear(&name);
        peer_append_name(s, c, i, &name);
        append_u16(&topics, name.len);
        bgw_buf_append(&topics, bgw_buf_slice(&name));
        bgw_buf_append_byte(&topics, 0); /* quality of service */
    }
    bgw_buf_append_byte(&packet, (char)SUBSCRIBE_HEAD);
    append_length(&packet, 2 + topics.len);
    append_u16(&packet, 1);
    bgw_buf_append(&packet, bgw_buf_slice(&topics));
    packet.failed |= topics.failed;
    peer_send(s, c, 2, &packet);
    bgw_buf_deinit(&name);
    bgw_buf_deinit(&packet);
    bgw_buf_deinit(&topics);
}

static void on_suback(struct swarm *s, struct client *c, struct bgw_slice body)
{
    bool good = body.len == 2 + (size_t)s->opt.per_client;
    for (size_t i = 2; i < body.len; i++)
        good = good && (unsigned char)body.data[i] < REFUSED;
    if (good)
        swarm_live(s, c);
    else
        swarm_wrong(s, c, "SUBACK refuses a topic, or is not of our SUBSCRIBE");
}

static void on_publish(struct swarm *s, struct client *c, unsigned char head, struct bgw_slice body)
{
    const unsigned char *p = (const unsigned char *)body.data;
    size_t topic = body.len < 2 ? body.len : (size_t)(p[0] << 8 | p[1]) + 2;
    if (head & 6 || topic > body.len)
        swarm_wrong(s, c, "PUBLISH that was not asked for");
    else
        swarm_upd(s, c, bgw_slice_of(body.data + topic, body.len - topic));
}

static void on_packet(struct swarm *s, struct client *c, unsigned char head, struct bgw_slice body)
{
    if (head >> 4 == PUBLISH)
        on_publish(s, c, head, body);
    else if (head >> 4 == CONNACK && body.len == 2 && body.data[1] == 0)
        subscribe(s, c);
    else if (head >> 4 == SUBACK)
        on_suback(s, c, body);
    else
        swarm_wrong(s, c, "a packet of MQTT that was not asked for");
}

/* The bytes of the fixed header, `*length` those after it; 0: not whole yet. */
static size_t header_of(struct bgw_slice bytes, size_t *length)
{
    *length = 0;
    for (size_t i = 1; i < 5 && i < bytes.len; i++) {
        unsigned char byte = (unsigned char)bytes.data[i];
        *length |= (size_t)(byte & 127) << (7 * (i - 1));
        if (byte < 128 || i == 4)
            return i + 1;
    }
    return 0;
}

static size_t take(struct swarm *s, struct client *c, struct bgw_slice bytes)
{
    size_t used = 0, head, length;
    while ((head = header_of(bgw_slice_of(bytes.data + used, bytes.len - used), &length)) > 0 &&
           bytes.len - used - head >= length) {
        on_packet(s, c, (unsigned char)bytes.data[used], bgw_slice_of(bytes.data + used + head, length));
        used += head + length;
    }
    return used;
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    if (opcode != 2)
        swarm_wrong(s, c, "MQTT in a text message");
    else
        peer_message(s, c, payload, take);
}

const struct speech speech_mqtt = {.name = "mqtt", .request = request, .opened = opened, .message = message};
