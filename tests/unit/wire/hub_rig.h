/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub_rig: the rig of conn with what SignalR's side of HTTP needs: a table of ids, further
 * connections beside the rig's own, and requests with an id in them.
 */
#ifndef BGW_HUB_RIG_H
#define BGW_HUB_RIG_H

#include "conn_rig.h"

#include "wire/connection_token.h"

#define H " HTTP/1.1\r\nHost: a\r\n"
#define BEARER "Authorization: Bearer x\r\n"
#define TEXT_TYPE "Content-Type: text/plain"
#define EVENTS "Accept: text/event-stream\r\n"
#define GREETING "{\"protocol\":\"json\",\"version\":1}\x1e"

/* further connections beside the rig's own */
struct peer {
    struct bgw_socket sock;
    void *conn;
};
static struct peer other;

static void open_hub(void)
{
    open_conn();
    CHECK(bgw_attachments_create(&host.attachments, 100) == BGW_OK);
    bgw_attachments_set_mailbox(host.attachments, 0, (struct bgw_mailbox *)&host); /* only its being there counts */
    host.signalr_sse = true;
    verified_claims.subject_hash = 7;
    snprintf(verified_claims.tenant, sizeof(verified_claims.tenant), "tnt_demo");
    rig_posted_max = 16;
}

static void close_hub(void)
{
    close_conn();
    bgw_attachments_destroy(&host.attachments);
}

static inline void join(struct peer *p)
{
    memset(p, 0, sizeof(*p));
    p->conn = bgw_conn_opened(&host, &p->sock);
}

static inline void leave(struct peer *p)
{
    bgw_conn_closed(p->conn);
}

/* The same as the rig's, for another connection: the bytes in their own memory. */
static inline void tell(struct peer *p, const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len + 1);
    memcpy(copy, text, len);
    p->sock.sent_len = 0;
    bgw_conn_received(p->conn, bgw_slice_of(copy, len));
    free(copy);
    bgw_conn_host_release_heads(&host);
}

static inline bool said(const struct peer *p, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i + len <= p->sock.sent_len; i++) {
        if (memcmp(p->sock.sent + i, text, len) == 0)
            return true;
    }
    return false;
}

/* One request to the rig's own connection; what it sent before is forgotten. */
static void ask(const char *request)
{
    sock.sent_len = 0;
    give_str(request);
}

/* The body is this, and nothing follows. */
static inline bool body_is(const char *text)
{
    sock.sent[sock.sent_len] = '\0';
    const char *body = strstr(sock.sent, "\r\n\r\n");
    return body && strcmp(body + 4, text) == 0;
}

static inline const char *new_id(void)
{
    static char text[BGW_CONNECTION_TOKEN_LEN + 1];
    uint8_t id[BGW_ATTACHMENT_ID_LEN];
    bgw_auth_random(id, sizeof(id));
    bgw_connection_token_make(host.connection_key, id, now, text);
    return text;
}

/* `format` has one %s for the id. */
static inline const char *with_id(const char *format, const char *id)
{
    static char request[2048];
    CHECK(snprintf(request, sizeof(request), format, id) < (int)sizeof(request));
    return request;
}

#define UPGRADE_ID                                                                                                                   \
    "GET /ws?id=%s" H BEARER "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                           \
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
#define STREAM_ID "GET /ws?id=%s" H BEARER EVENTS "\r\n"
#define POST_ID "POST /ws?id=%s" H BEARER "Content-Length: 32\r\n\r\n" GREETING

#endif
