/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command_text: what the decoders of all dialects share: strings of a message, decoded into storage
 * that serves one message after the other, and keys as clients write them. Shard thread only.
 */
#ifndef BGW_WIRE_COMMAND_TEXT_H
#define BGW_WIRE_COMMAND_TEXT_H

#include "bgw/json.h"
#include "bgw/shard.h"

/* decoded strings of one message: never more bytes than the message; grows with it */
struct command_text { /* shard thread only */
    char *data;
    size_t len, cap;
};

/* Forgets what was decoded and makes room for a message of so many bytes. False without memory: what it had stays. */
bool command_text_begin(struct command_text *t, size_t message_len);
void command_text_deinit(struct command_text *t);
/* The decoded string; borrows the message where nothing is escaped. False: not a string, or NUL inside. */
bool command_text_take(struct command_text *t, const struct bgw_json *value, struct bgw_slice *out);

/* "A" or "A/USD". A key that breaks the feed's grammar is marked invalid, so that it is denied alone. */
void command_key(const struct bgw_feed *feed, struct bgw_slice text, struct bgw_sub_key *key);

#endif
