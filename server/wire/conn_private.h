/* SPDX-License-Identifier: Apache-2.0 */
/* conn_private: one connection, as conn.c (life, HTTP) and conn_ws.c (WebSocket) see it. Shard
 * thread only. */
#ifndef BGW_WIRE_CONN_PRIVATE_H
#define BGW_WIRE_CONN_PRIVATE_H

#include "conn.h"

/*
 * HTTP ──► OPEN ──► CLOSING ──► DONE
 *  │▲       │▲                   ▲ every state may go there at once
 *  ▼│       ▼│
 * KEY_WAIT KEY_WAIT_OPEN: a token's key is being fetched; nothing is read meanwhile
 */
enum conn_state {
    CONN_HTTP,          /* between requests, or reading one */
    CONN_KEY_WAIT,      /* a whole upgrade request waits for its token's key */
    CONN_OPEN,          /* a session */
    CONN_KEY_WAIT_OPEN, /* a hello or auth message waits */
    CONN_CLOSING,       /* our close frame is out, the peer's is not here */
    CONN_DONE,          /* nothing more is said or read; the socket lingers, then `closed` */
};

/* a token's key is being fetched */
struct conn_key_wait {
    int64_t until_ms;
    struct bgw_blob *message; /* to be given again; NULL: the request, which the reader holds */
};

/* What a connection has only while something is under way: an open, quiet WebSocket has none. */
struct conn_busy { /* shard thread only; pooled */
    struct bgw_conn *conn;
    struct bgw_list link;           /* host->busy */
    struct bgw_list wait_link;      /* host->waiting */
    struct bgw_timer timer;         /* header, idle, close or key deadline: one at a time */
    struct bgw_http_reader *reader; /* while a request is read */
    struct bgw_ws_decoder decoder;
    struct bgw_buf *stash; /* received, not looked at yet; NULL: none */
    struct bgw_buf *out;   /* to be sent once the socket is free; NULL: none */
    struct conn_key_wait *key_wait;
};

struct bgw_conn { /* shard thread only; pooled: 48 bytes, for there are many */
    struct bgw_conn_host *host;
    struct bgw_socket *sock;
    struct bgw_session *session;
    struct conn_busy *busy; /* NULL only in OPEN */
    int64_t opened_ms;      /* of the WebSocket */
    uint16_t close_code;
    uint8_t state;
    bool stop;          /* decode no further now */
    bool finishing : 1; /* the last words wait for the socket */
    bool served : 1;    /* a request was answered on this connection: silence is idleness */
    bool upgraded : 1;  /* counted as an open WebSocket */
    bool bye_said : 1;  /* in a drain */
};

/* Sends now, or as soon as the socket is free, in order. */
void conn_send(struct bgw_conn *c, struct bgw_slice bytes);
/* No more to say and nothing more to hear: the session goes, the socket lingers. */
void conn_finish(struct bgw_conn *c);
void conn_abort(struct bgw_conn *c);
/* True while commands and requests may be looked at. */
bool conn_may_read(const struct bgw_conn *c);
/* Stop reading until host_turn_end or writable finds that it may go on. */
void conn_wait(struct bgw_conn *c);
/* What waits is looked at, as far as it may be; then the socket is read again. */
void conn_resume(struct bgw_conn *c);
struct bgw_now conn_now(const struct bgw_conn *c);
void conn_arm(struct bgw_conn *c, int64_t after_ms);
void conn_disarm(struct bgw_conn *c);
/* Makes `busy` if there is none. False without memory: the connection was aborted. */
bool conn_need_busy(struct bgw_conn *c);
void conn_drop_key_wait(struct bgw_conn *c);

/* ---- conn_ws.c ---- */
/* The request in `reader` asks for an upgrade: answers it, one way or the other, or waits for a
 * key. */
void conn_ws_upgrade(struct bgw_conn *c);
/* Feeds frames; returns how many bytes were used. */
size_t conn_ws_feed(struct bgw_conn *c, char *bytes, size_t len);
/* Deadline of CLOSING, KEY_WAIT and KEY_WAIT_OPEN. */
void conn_ws_deadline(struct bgw_conn *c);

#endif
