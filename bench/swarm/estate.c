/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate: how clients of the other dialects speak: SignalR records, the estate app's frames and
 * Server-Sent Events. Written down a second time like check.c: what is said first, what makes a
 * client live, and where a value stands.
 */
#include "swarm.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_END "\x1e"

static void append_ids(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    char key[BGW_KEY_MAX + 1];
    for (int i = 0; i < s->opt.per_client; i++) {
        swarm_key(s, c, i, key, sizeof(key));
        bgw_buf_appendf(b, "%s\"%s\"", i ? "," : "", key);
    }
}

static void say(struct swarm *s, struct client *c, const char *before, const char *after)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 1 << 17);
    bgw_buf_append_str(&b, before);
    append_ids(s, c, &b);
    bgw_buf_append_str(&b, after);
    if (b.failed || !swarm_send_text(c, bgw_buf_slice(&b)))
        swarm_wrong(s, c, "its subscription could not be sent");
    bgw_buf_deinit(&b);
}

static void upgrade_request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    bgw_buf_appendf(b,
                    "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                    "Authorization: Bearer %s\r\n\r\n",
                    s->opt.urls[c->url], s->opt.token);
}

/* `digest` counts confirmations from here on. */
static void signalr_opened(struct swarm *s, struct client *c)
{
    c->digest = 0;
    if (!swarm_send_text(c, BGW_SLICE("{\"protocol\":\"json\",\"version\":1}" RECORD_END)))
        swarm_wrong(s, c, "its handshake could not be sent");
}

static void app_opened(struct swarm *s, struct client *c)
{
    c->digest = 0;
    say(s, c, "{\"type\":\"invoke\",\"method\":\"SubscribeMultipleBalances\",\"args\":[[", "]]}");
}

/* The one argument: a string that holds the record. */
static void on_update(struct swarm *s, struct client *c, const struct bgw_json *arguments)
{
    struct bgw_json text, record;
    char bytes[4096];
    size_t len;
    const char *cursor = NULL;
    if (!bgw_json_next(arguments, &cursor, NULL, &text) || bgw_json_string(&text, bytes, sizeof(bytes), &len) != BGW_OK ||
        bgw_json_parse(bgw_slice_of(bytes, len), &record) != BGW_OK) {
        swarm_wrong(s, c, "a record that cannot be read");
        return;
    }
    swarm_value_seen(s, c, &record);
}

static void on_event(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json target, arguments;
    if (!bgw_json_member(root, "target", &target) || !bgw_json_member(root, "arguments", &arguments)) {
        swarm_wrong(s, c, "a record that cannot be read");
        return;
    }
    if (bgw_json_is(&target, "balanceUpdate"))
        on_update(s, c, &arguments);
    else if (bgw_json_is(&target, "balanceState"))
        COUNT(s, states, 1);
    else if (!bgw_json_is(&target, "subscriptionConfirmed"))
        swarm_wrong(s, c, "a record that cannot be read");
    else if (++c->digest == (uint64_t)s->opt.per_client)
        swarm_live(s, c);
}

static void on_record(struct swarm *s, struct client *c, struct bgw_slice record)
{
    struct bgw_json root, type, error;
    int64_t number = 0;
    if (bgw_json_parse(record, &root) != BGW_OK) {
        swarm_wrong(s, c, "a record that cannot be read");
        return;
    }
    if (!bgw_json_member(&root, "type", &type)) { /* the handshake's answer */
        if (bgw_json_member(&root, "error", &error))
            swarm_wrong(s, c, "a record that cannot be read");
        say(s, c, "{\"type\":1,\"target\":\"SubscribeMultipleBalances\",\"arguments\":[[", "]]}" RECORD_END);
        return;
    }
    if (bgw_json_i64(&type, &number) != BGW_OK)
        swarm_wrong(s, c, "a record that cannot be read");
    else if (number == 1)
        on_event(s, c, &root);
    else if (number == 7)
        swarm_on_bye(s, c, -1);
    else if (number == 6)
        COUNT(s, marks, 1);
    else
        swarm_wrong(s, c, "a record that cannot be read");
}

static void app_message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    struct bgw_json root;
    if (opcode == 1 && bgw_json_parse(payload, &root) == BGW_OK)
        on_event(s, c, &root);
    else
        swarm_wrong(s, c, "a message that cannot be read");
}

static void signalr_message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    (void)opcode;
    while (payload.len) {
        const char *end = memchr(payload.data, RECORD_END[0], payload.len);
        if (!end) { /* a message must end with a record */
            swarm_wrong(s, c, "a record that cannot be read");
            return;
        }
        size_t len = (size_t)(end - payload.data);
        on_record(s, c, bgw_slice_of(payload.data, len));
        payload = bgw_slice_of(end + 1, payload.len - len - 1);
    }
}

/* ---- Server-Sent Events ---- */

static void on_sse(struct swarm *s, struct client *c, const char *event, const char *data)
{
    struct bgw_json root;
    if (bgw_json_parse(bgw_slice_str(data), &root) != BGW_OK)
        swarm_wrong(s, c, "a record that cannot be read");
    else if (strcmp(event, "upd") == 0)
        swarm_entry(s, c, &root);
    else if (strcmp(event, "live") == 0)
        swarm_live(s, c);
    else if (strcmp(event, "state") == 0)
        COUNT(s, states, 1);
    else if (strcmp(event, "bye") == 0)
        swarm_on_bye(s, c, -1);
    else if (strcmp(event, "sub") != 0)
        swarm_wrong(s, c, "a record that cannot be read");
}

static void sse_request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    char key[BGW_KEY_MAX + 1];
    bgw_buf_append_str(b, "GET /v1/stream");
    for (int i = 0; i < s->opt.per_client; i++) {
        swarm_key(s, c, i, key, sizeof(key));
        bgw_buf_appendf(b, "%caccount=%s", i ? '&' : '?', key);
    }
    bgw_buf_appendf(b, " HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n",
                    s->opt.urls[c->url], s->opt.token);
}

static void sse_opened(struct swarm *s, struct client *c)
{
    (void)s;
    (void)c; /* the request has said it all */
}

static size_t sse_take(struct swarm *s, struct client *c, struct bgw_slice bytes)
{
    size_t used = 0;
    const char *end;
    while ((end = memmem(bytes.data + used, bytes.len - used, "\n\n", 2))) {
        char *text = strndup(bytes.data + used, (size_t)(end - bytes.data) - used);
        const char *event = "", *data = NULL;
        for (char *save = NULL, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            if (strncmp(line, "event: ", 7) == 0)
                event = line + 7;
            else if (strncmp(line, "data: ", 6) == 0)
                data = line + 6;
        }
        if (data)
            on_sse(s, c, event, data);
        free(text);
        used = (size_t)(end - bytes.data) + 2;
    }
    return used;
}

const struct speech speech_signalr = {.name = "signalr", .request = upgrade_request, .opened = signalr_opened,
                                      .message = signalr_message};
const struct speech speech_app = {.name = "app", .request = upgrade_request, .opened = app_opened, .message = app_message};
const struct speech speech_sse = {.name = "sse", .versions = true, .request = sse_request, .opened = sse_opened,
                                  .bytes = sse_take};
