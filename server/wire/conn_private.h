/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_private: one connection, as conn.c (life, HTTP), conn_ws.c (WebSocket), conn_door.c (who may
 * come in) and conn_audit.c (what is written down) see it. Shard thread only.
 */
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

/* whom the HTTP proxy at the other end speaks for; shard thread only */
struct conn_client {
    struct bgw_addr addr; /* zeros: the proxy does not say */
    bool counted;         /* in the address's quota */
};

struct bgw_conn { /* shard thread only; pooled: 48 bytes, for there are many */
    struct bgw_conn_host *host;
    struct bgw_socket *sock;
    struct bgw_session *session;
    struct conn_busy *busy;     /* NULL only in OPEN */
    struct conn_client *client; /* NULL: the socket's peer is the client */
    uint32_t opened_ms;         /* of the WebSocket; the low bits */
    uint16_t close_code;
    bool stop;         /* decode no further now */
    uint8_t state : 3; /* enum conn_state */
    bool counted : 1;   /* its session is in the quotas of subject and tenant */
    bool finishing : 1; /* the last words wait for the socket */
    bool served : 1;    /* a request was answered on this connection: silence is idleness */
    bool upgraded : 1;  /* counted as an open WebSocket */
    bool bye_said : 1;  /* in a drain */
};
_Static_assert(sizeof(void *) != 8 || sizeof(struct bgw_conn) == 48, "its size is paid for each client");

/* Sends now, or as soon as the socket is free, in order. */
void conn_send(struct bgw_conn *c, struct bgw_slice bytes);
/* No more to say and nothing more to hear: the session goes, the socket lingers. */
void conn_finish(struct bgw_conn *c);
void conn_abort(struct bgw_conn *c);
/* True while commands and requests may be looked at. */
bool conn_may_read(const struct bgw_conn *c);
/* Stop reading until host_turn_end, writable or the timer finds that it may go on. */
void conn_wait(struct bgw_conn *c);
/* In OPEN the timer runs only while commands are read more slowly. */
void conn_slow(struct bgw_conn *c, int64_t wait_ms);
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

/* ---- conn_door.c ---- */
/* What an upgrade costs before its token is looked at: the budget, and a place for its client's address. Not to be asked twice. */
enum bgw_refusal conn_door_enter(struct bgw_conn *c, const struct bgw_http_request *r);
/* False: a token of staff, and no client certificate. */
bool conn_door_staff(const struct bgw_conn *c, const struct bgw_claims *claims);
/* Takes the session's places in the quotas of its subject and tenant. False: there is none; counted. */
bool conn_door_take(struct bgw_conn *c, const struct bgw_claims *claims);
/* Gives them back: no session came of it. */
void conn_door_return(struct bgw_conn *c, const struct bgw_claims *claims);
/* The same for an authenticated session that ends. */
void conn_door_end(struct bgw_conn *c);
void conn_door_closed(struct bgw_conn *c);
const struct bgw_addr *conn_door_client(const struct bgw_conn *c);
/* A Retry-After header line, spread evenly. */
void conn_door_retry_after(struct bgw_conn_host *h, char out[40]);
extern const struct bgw_native_door conn_door_native;

/* ---- conn_audit.c: all do nothing without an audit log ---- */
/* `claims` say who it is as long as there is no session; may be NULL. */
void conn_audit(const struct bgw_conn *c, enum bgw_audit_kind kind, const struct bgw_claims *claims, const char *code);

#endif
