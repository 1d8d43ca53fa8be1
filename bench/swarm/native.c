/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native: how a client of the native dialect speaks, and one of the raw baseline, which is told
 * native updates without having asked. A new connection presents the versions that the last one held.
 */
#include "swarm.h"

#include <stdlib.h>

static void request(const struct swarm *s, const struct client *c, struct bgw_buf *b)
{
    bgw_buf_appendf(b,
                    "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Protocol: bgw.v1\r\nAuthorization: Bearer %s\r\n\r\n",
                    s->opt.urls[c->url], s->opt.token);
}

void swarm_subscribe(struct swarm *s, struct client *c)
{
    struct bgw_buf b;
    char version[BGW_VERSION_TEXT_MAX], key[BGW_KEY_MAX + 1];
    bool first = true;
    bgw_buf_init(&b, 1 << 20);
    bgw_buf_append_str(&b, "{\"op\":\"sub\",\"id\":1,\"keys\":[");
    for (int i = 0; i < s->opt.per_client; i++) {
        swarm_key(s, c, i, key, sizeof(key));
        bgw_buf_appendf(&b, "%s\"%s\"", i ? "," : "", key);
    }
    bgw_buf_append_str(&b, "],\"since\":{");
    for (int i = 0; i < s->opt.per_client; i++) {
        const struct slot *slot = swarm_slot(s, c, i);
        if (!slot->has)
            continue;
        swarm_key(s, c, i, key, sizeof(key));
        bgw_version_format(slot->version, version);
        bgw_buf_appendf(&b, "%s\"%s\":\"%s\"", first ? "" : ",", key, version);
        first = false;
    }
    bgw_buf_append_str(&b, "}}");
    if (b.failed || !swarm_send_text(c, bgw_buf_slice(&b)))
        swarm_wrong(s, c, "its subscription could not be sent");
    bgw_buf_deinit(&b);
}

static void on_mark(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json digest;
    char text[32];
    size_t len;
    COUNT(s, marks, 1);
    if (!bgw_json_member(root, "digest", &digest) || bgw_json_string(&digest, text, sizeof(text) - 1, &len) != BGW_OK) {
        swarm_wrong(s, c, "a mark without a digest");
        return;
    }
    text[len] = 0;
    COUNT(s, digests_checked, 1);
    if (strtoull(text, NULL, 16) != c->digest)
        COUNT(s, digest_mismatches, 1);
}

/* What is not sent again is not part of the new connection's digest, except what `current` names. */
static void on_sub(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json denied, current, item;
    const char *cursor = NULL;
    if (bgw_json_member(root, "denied", &denied) && bgw_json_next(&denied, &cursor, NULL, &item))
        swarm_wrong(s, c, "denied an account");
    c->digest = 0;
    cursor = NULL;
    for (int i = 0; i < s->opt.per_client; i++)
        swarm_slot(s, c, i)->hash = 0;
    if (!bgw_json_member(root, "current", &current))
        return;
    while (bgw_json_next(&current, &cursor, NULL, &item)) {
        int account = swarm_account(s, &item);
        struct slot *slot = account < 0 ? NULL : swarm_slot_of(s, c, account);
        char version[BGW_VERSION_TEXT_MAX];
        if (!slot || !slot->has) {
            swarm_wrong(s, c, "`current` names what it does not hold");
            continue;
        }
        size_t len = bgw_version_format(slot->version, version);
        slot->hash = swarm_hash(item.raw, bgw_slice_of(version, len));
        c->digest ^= slot->hash;
    }
}

static void on_upd(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json list;
    if (!bgw_json_member(root, "u", &list)) {
        swarm_wrong(s, c, "an update without entries");
        return;
    }
    swarm_entries(s, c, &list);
}

static void on_bye(struct swarm *s, struct client *c, const struct bgw_json *root)
{
    struct bgw_json retry;
    int64_t retry_ms = 0;
    if (!bgw_json_member(root, "retry_ms", &retry) || bgw_json_i64(&retry, &retry_ms) != BGW_OK)
        swarm_wrong(s, c, "a bye without a time");
    swarm_on_bye(s, c, retry_ms);
}

static void on_hello(struct swarm *s, struct client *c)
{
    if (s->opt.hold)
        s->greeted++;
    else if (s->opt.greet_only)
        swarm_live(s, c);
    else
        swarm_subscribe(s, c);
}

static void nothing_to_say(struct swarm *s, struct client *c)
{
    (void)s;
    (void)c; /* the server greets */
}

static void message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    struct bgw_json root, ev;
    if (opcode == 1 && swarm_usual(s, c, payload))
        return;
    if (opcode != 1 || bgw_json_parse(payload, &root) != BGW_OK || !bgw_json_member(&root, "ev", &ev)) {
        swarm_wrong(s, c, "a message that cannot be read");
        return;
    }
    if (bgw_json_is(&ev, "upd"))
        on_upd(s, c, &root);
    else if (bgw_json_is(&ev, "hello"))
        on_hello(s, c);
    else if (bgw_json_is(&ev, "sub"))
        on_sub(s, c, &root);
    else if (bgw_json_is(&ev, "live"))
        swarm_live(s, c);
    else if (bgw_json_is(&ev, "mark"))
        on_mark(s, c, &root);
    else if (bgw_json_is(&ev, "state"))
        COUNT(s, states, 1);
    else if (bgw_json_is(&ev, "bye"))
        on_bye(s, c, &root);
    else
        swarm_wrong(s, c, "an event that is not known");
}

static void raw_message(struct swarm *s, struct client *c, int opcode, struct bgw_slice payload)
{
    if (opcode == 1)
        swarm_upd(s, c, payload);
    else
        swarm_wrong(s, c, "a message that is no text");
}

const struct speech speech_native = {.name = "native", .versions = true, .reconnects_with_versions = true,
                                     .request = request, .opened = nothing_to_say, .message = message};
const struct speech speech_raw = {.name = "raw", .request = request, .opened = swarm_live, .message = raw_message};
