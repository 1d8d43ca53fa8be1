/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sub_view: what `bgw sub` makes of the gateway's messages: lines for people, and a memory of
 * versions, so that a new connection can say what is already known. Private to server/cli.
 */
#ifndef BGW_CLI_SUB_VIEW_H
#define BGW_CLI_SUB_VIEW_H

#include "bgw/buf.h"
#include "bgw/types.h"

#include <stdio.h>

#define VIEW_SLOTS_MAX 4096 /* more are shown but not remembered: a reconnect sends their snapshots again */

#define VIEW_STATE_MAX 16

/* `part` empty: what was told of "A" as such, that is of its default currency, which we do not know */
struct view_slot {
    char key[BGW_KEY_MAX + 1], part[BGW_PART_MAX + 1], version[BGW_VERSION_TEXT_MAX];
    char state[VIEW_STATE_MAX]; /* told under exactly this name on this connection; empty: nothing */
};

enum view_next { VIEW_GO, VIEW_BYE };

struct view { /* one thread's */
    bool json;      /* frames as they come, instead of lines */
    FILE *out, *notes; /* values; everything about the connection */
    struct view_slot *slots;
    size_t slot_count;
    struct bgw_buf resume; /* the newest resume token */
    int64_t ping_s, retry_ms;
    uint16_t bye_code;
    bool live;      /* everything that was asked for has been answered */
    uint64_t updates;
    size_t granted, denied;
};

bool view_init(struct view *v, bool json, FILE *out, FILE *notes); /* false: no memory */
void view_deinit(struct view *v);
void view_connected(struct view *v); /* a new connection: not live, no bye */
enum view_next view_message(struct view *v, struct bgw_slice text);
/* Appends the `sub` command for these keys, with the versions that are known. */
void view_append_sub(const struct view *v, const char *const *keys, size_t count, struct bgw_buf *out);
/* Remembers a version as if it had been received: --since. */
void view_remember(struct view *v, struct bgw_slice key, struct bgw_slice part, struct bgw_slice version);

#endif
