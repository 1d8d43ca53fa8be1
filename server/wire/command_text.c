/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_text: strings and keys of messages. Hides where decoded bytes live. Called by the decoders
 * on their shard's thread. Invariant: what was decoded stays where it is until the next message
 * begins.
 */
#include "command_text.h"

#include <stdlib.h>

bool command_text_begin(struct command_text *t, size_t message_len)
{
    t->len = 0;
    if (message_len <= t->cap)
        return true;
    char *data = malloc(message_len);
    if (!data)
        return false;
    free(t->data);
    t->data = data;
    t->cap = message_len;
    return true;
}

void command_text_deinit(struct command_text *t)
{
    free(t->data);
    *t = (struct command_text){0};
}

bool command_text_take(struct command_text *t, const struct bgw_json *value, struct bgw_slice *out)
{
    size_t len;
    if (value->type != BGW_JSON_STRING)
        return false;
    if (!value->escaped) {
        *out = value->raw;
        return true;
    }
    if (bgw_json_string(value, t->data + t->len, t->cap - t->len, &len) != BGW_OK)
        return false;
    *out = bgw_slice_of(t->data + t->len, len);
    t->len += len;
    return true;
}

void command_key(const struct bgw_feed *feed, struct bgw_slice text, struct bgw_sub_key *key)
{
    const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    *key = (struct bgw_sub_key){.text = text, .key = text};
    if (slash) {
        struct bgw_slice part = bgw_slice_of(slash + 1, text.len - (size_t)(slash + 1 - text.data));
        key->key.len = (size_t)(slash - text.data);
        if (feed->part_valid(part))
            key->part = bgw_part_of(part);
        else
            key->invalid = true;
    }
    if (!feed->key_valid(key->key))
        key->invalid = true;
}
