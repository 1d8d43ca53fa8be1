/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estate: the swarm's clients of the other dialects: SignalR records, the estate app's frames and
 * Server-Sent Events. Written down a second time like frames.c: what is said first, what makes a
 * client live, and where a value stands. Called by client.c for what a socket received.
 */
#define _GNU_SOURCE
#include "swarm.h"

#include <stdlib.h>
#include <string.h>

#define RECORD_END "\x1e"

static void append_ids(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    for (int i = 0; i < s->opt.per_client; i++)
        bgw_buf_appendf(b, "%s\"%s%06d\"", i ? "," : "", s->opt.prefix, (c->first_account + i) % s->opt.accounts);
}

static void say(struct swarm *s, struct client *c, const char *before, const char *after)
{
    struct bgw_buf b;
    bgw_buf_init(&b, 1 << 17);
    bgw_buf_append_str(&b, before);
    append_ids(s, c, &b);
    bgw_buf_append_str(&b, after);
    if (b.failed || !swarm_send_text(c, bgw_buf_slice(&b)))
        s->total.protocol_errors++;
    bgw_buf_deinit(&b);
}

void estate_opened(struct swarm *s, struct client *c)
{
    c->digest = 0; /* counts confirmations from here on */
    if (s->opt.dialect == SPEAK_SIGNALR &&
        !swarm_send_text(c, BGW_SLICE("{\"protocol\":\"json\",\"version\":1}" RECORD_END)))
        s->total.protocol_errors++;
    if (s->opt.dialect == SPEAK_APP)
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
        s->total.protocol_errors++;
        return;
    }
    swarm_value_seen(s, c, &record, c->reconnecting);
}

static void on_event(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json target, arguments;
    if (!bgw_json_member(root, "target", &target) || !bgw_json_member(root, "arguments", &arguments)) {
        s->total.protocol_errors++;
        return;
    }
    if (bgw_json_is(&target, "balanceUpdate"))
        on_update(s, c, &arguments);
    else if (bgw_json_is(&target, "balanceState"))
        s->total.states++;
    else if (!bgw_json_is(&target, "subscriptionConfirmed"))
        s->total.protocol_errors++;
    else if (++c->digest == (uint64_t)s->opt.per_client)
        swarm_live(s, c);
}

static void on_record(struct swarm *s, struct client *c, struct bgw_slice record)
{
    struct bgw_json root, type, error;
    int64_t number = 0;
    if (bgw_json_parse(record, &root) != BGW_OK) {
        s->total.protocol_errors++;
        return;
    }
    if (!bgw_json_member(&root, "type", &type)) { /* the handshake's answer */
        if (bgw_json_member(&root, "error", &error))
            s->total.protocol_errors++;
        say(s, c, "{\"type\":1,\"target\":\"SubscribeMultipleBalances\",\"arguments\":[[", "]]}" RECORD_END);
        return;
    }
    if (bgw_json_i64(&type, &number) != BGW_OK)
        s->total.protocol_errors++;
    else if (number == 1)
        on_event(s, c, &root);
    else if (number == 7)
        swarm_on_bye(s, c, -1);
    else if (number == 6)
        s->total.marks++;
    else
        s->total.protocol_errors++;
}

void estate_message(struct swarm *s, struct client *c, struct bgw_slice payload)
{
    struct bgw_json root;
    if (s->opt.dialect == SPEAK_APP) {
        if (bgw_json_parse(payload, &root) == BGW_OK)
            on_event(s, c, &root);
        else
            s->total.protocol_errors++;
        return;
    }
    while (payload.len) {
        const char *end = memchr(payload.data, RECORD_END[0], payload.len);
        if (!end) { /* a message must end with a record */
            s->total.protocol_errors++;
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
        s->total.protocol_errors++;
    else if (strcmp(event, "upd") == 0)
        swarm_entry(s, c, &root);
    else if (strcmp(event, "live") == 0)
        swarm_live(s, c);
    else if (strcmp(event, "state") == 0)
        s->total.states++;
    else if (strcmp(event, "bye") == 0)
        swarm_on_bye(s, c, -1);
    else if (strcmp(event, "sub") != 0)
        s->total.protocol_errors++;
}

size_t sse_take(struct swarm *s, struct client *c, struct bgw_slice bytes)
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
