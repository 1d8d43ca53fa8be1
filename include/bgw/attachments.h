/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attachments: which of SignalR's connection ids are in use in this process, and where. An id says
 * by itself whether it is genuine and still young (wire/connection_token.h), so that any replica
 * takes it; what it cannot say is that somebody has used it already, or which shard holds the stream
 * that a POST is meant for. Hides a lock, the ids that were used up, and how a body gets to the
 * shard whose connection it is for.
 */
#ifndef BGW_ATTACHMENTS_H
#define BGW_ATTACHMENTS_H

#include "bgw/blob.h"
#include "bgw/mailbox.h"

#define BGW_ATTACHMENT_ID_LEN 16

struct bgw_attachments; /* any thread */

enum bgw_attachment_kind { BGW_ATTACHED_WEBSOCKET, BGW_ATTACHED_STREAM };

/* who holds it: two of them are the same person if both numbers agree */
struct bgw_attachment_holder {
    uint64_t subject_hash, tenant_hash;
};

struct bgw_attachment {
    uint8_t id[BGW_ATTACHMENT_ID_LEN];
    enum bgw_attachment_kind kind;
    uint8_t shard;
    struct bgw_attachment_holder holder;
    int64_t token_ends_ms; /* on the monotonic clock: from then on the token itself is refused */
    void *conn;            /* the shard's own; looked at on its thread alone. Has one id at a time */
};

/* one posted body on its way; fixed-size, crosses threads */
struct bgw_posted {
    uint8_t id[BGW_ATTACHMENT_ID_LEN];
    struct bgw_blob *body; /* a reference: the receiver's */
};

enum bgw_attach_result {
    BGW_ATTACH_OK,
    BGW_ATTACH_USED,      /* it was, and its connection is gone: nobody may have it again */
    BGW_ATTACH_IN_USE,    /* take: by a live connection of that kind; post: by a WebSocket */
    BGW_ATTACH_TRANSPORT, /* take: by a live connection of another kind */
    BGW_ATTACH_FULL,      /* no room or no memory */
    BGW_ATTACH_UNKNOWN,   /* post: nobody here has it */
    BGW_ATTACH_OTHER,     /* post: of another subject or tenant */
    BGW_ATTACH_BUSY,      /* post: as many bodies wait for that shard as may */
};

/* `entries_max`: ids in use or used up; beyond it a newcomer is BGW_ATTACH_FULL. What is forgotten when its token has ended: ids
 * that were used up, and WebSockets, of which nobody asks then. Streams are known as long as they live. */
BGW_MUST_CHECK enum bgw_status bgw_attachments_create(struct bgw_attachments **out, size_t entries_max);
void bgw_attachments_destroy(struct bgw_attachments **a);
/* Where bodies for a shard go (items: struct bgw_posted); NULL: nowhere any more, from this call's return on. */
void bgw_attachments_set_mailbox(struct bgw_attachments *a, uint8_t shard, struct bgw_mailbox *mailbox);

/* Forgets some of those whose time is over. take and close do it too; this is for a process where nobody comes or goes. */
void bgw_attachments_purge(struct bgw_attachments *a, int64_t mono_ms);
enum bgw_attach_result bgw_attachments_take(struct bgw_attachments *a, const struct bgw_attachment *what, int64_t mono_ms);
/* That connection is gone; its id is remembered as used until its token ends. One without an id is ignored. */
void bgw_attachments_close(struct bgw_attachments *a, const void *conn, int64_t mono_ms);
/* Hands a body to the shard of a live stream: takes the reference on BGW_ATTACH_OK alone. */
enum bgw_attach_result bgw_attachments_post(struct bgw_attachments *a, const uint8_t id[BGW_ATTACHMENT_ID_LEN],
                                            const struct bgw_attachment_holder *holder, struct bgw_blob *body);
/* The conn of a live stream of this shard; NULL: gone. That shard's thread. */
void *bgw_attachments_conn(struct bgw_attachments *a, uint8_t shard, const uint8_t id[BGW_ATTACHMENT_ID_LEN]);
size_t bgw_attachments_count(struct bgw_attachments *a); /* entries, those used up included */

#endif
