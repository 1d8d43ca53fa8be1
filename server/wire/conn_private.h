/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_private: one connection, as the conn files see it: conn.c (life), conn_http.c (requests),
 * conn_ws.c (WebSocket), conn_signalr.c (its records), conn_negotiate.c (SignalR's HTTP side),
 * conn_stream.c (SSE), conn_read.c (balances over REST), conn_ops.c (/v1/ops), conn_door.c (who may come in), conn_open.c
 * (how a session begins) and conn_audit.c (what is written down). Shard thread only.
 */
#ifndef BGW_WIRE_CONN_PRIVATE_H
#define BGW_WIRE_CONN_PRIVATE_H

#include "conn.h"

#include "bgw/metrics.h"

/*
 * HTTP ──► OPEN ──► CLOSING ──► DONE
 *  │▲       │▲                   ▲ every state may go there at once
 *  ▼│       ▼│
 * KEY_WAIT KEY_WAIT_OPEN: a token's key is being fetched; nothing is read meanwhile
 * READING: nor while a balance is
 * HTTP ──► OPS ──► DONE: /v1/ops/stream
 */
enum conn_state {
    CONN_HTTP,          /* between requests, or reading one */
    CONN_KEY_WAIT,      /* a whole request waits for its token's key */
    CONN_READING,       /* a whole request waits for balances */
    CONN_OPEN,          /* a session */
    CONN_KEY_WAIT_OPEN, /* a hello or auth message waits */
    CONN_CLOSING,       /* our close frame is out, the peer's is not here */
    CONN_OPS,           /* a stream of /v1/ops/stream: no session, and nothing is heard of the client any more */
    CONN_DONE,          /* nothing more is said or read; the socket lingers, then `closed` */
};

/* what an OPEN connection speaks */
enum conn_kind {
    CONN_NATIVE,
    CONN_UNDECIDED,     /* a WebSocket whose first message will say: SignalR or app frames */
    CONN_SIGNALR,       /* SignalR over a WebSocket; the session may still be a greeting */
    CONN_APP,
    CONN_STREAM,        /* our SSE: nothing is heard of the client any more */
    CONN_SIGNALR_STREAM /* SignalR over SSE: records come by POST, over other connections */
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
    struct bgw_list head_link;      /* host->heads */
    struct bgw_timer timer;         /* header, idle, close or key deadline: one at a time */
    struct bgw_http_reader *reader; /* while a request is read */
    struct bgw_ws_decoder decoder;
    struct bgw_buf *head;  /* the head of a response that goes out with what is said next, at the turn's end at the latest; NULL: none */
    struct bgw_buf *stash; /* received, not looked at yet; NULL: none */
    struct bgw_buf *out;   /* to be sent once the socket is free; NULL: none */
    struct conn_key_wait *key_wait;
    struct bgw_buf *records;        /* SignalR: a record that is not complete, or could not be looked at yet; NULL: none */
    struct conn_reading *reading;   /* READING: conn_read.c's; NULL else */
    struct conn_ops *ops;           /* OPS: conn_ops.c's; NULL else */
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
    uint16_t close_code : 13;
    uint16_t kind : 3; /* enum conn_kind */
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
/* The same, but together with what is sent next, or at the end of the turn: a session mostly begins with words of its own. */
void conn_send_head(struct bgw_conn *c, struct bgw_slice bytes);
/* What conn_send_head has kept goes out now. */
void conn_release_head(struct bgw_conn *c);
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
/* Keeps bytes in *to, which is made if need be. False: too much, or no memory. */
bool conn_keep(struct bgw_buf **to, struct bgw_slice bytes, size_t len_max);
struct bgw_buf *conn_buf_make(size_t len_max); /* NULL without memory */
void conn_buf_drop(struct bgw_buf **b);
/* Makes `busy` if there is none. False without memory: the connection was aborted. */
bool conn_need_busy(struct bgw_conn *c);
void conn_drop_key_wait(struct bgw_conn *c);
/* An open connection with nothing under way gives the memory of `busy` back. */
void conn_settle(struct bgw_conn *c);

/* ---- conn_http.c ---- */
/* Feeds bytes of requests; returns how many were used. */
size_t conn_http_feed(struct bgw_conn *c, struct bgw_slice bytes);
void conn_http_deadline(struct bgw_conn *c);
/* The whole request that waits in `reader`, looked at (again, after a wait for its token's key). */
void conn_http_request(struct bgw_conn *c);
/* host->out holds the whole response: it is sent, and the request is over. `close`: the connection ends with it. */
void conn_http_answered(struct bgw_conn *c, bool close);
/* A problem (RFC 9457) as the response; `headers` may be NULL. The connection goes on where request and drain allow it. */
void conn_http_problem(struct bgw_conn *c, enum bgw_refusal why, const char *headers);
/* Into host->out, with what allowed pages need to read it. */
void conn_http_make_problem(struct bgw_conn *c, const struct bgw_http_problem *p);
/* Is the response the last on this connection: HTTP/1.0, Connection: close, a drain. */
bool conn_http_last(const struct bgw_conn *c);
/* Refuses a request that wanted a session: counted, told when to come back, and the connection ends. */
void conn_http_refuse(struct bgw_conn *c, enum bgw_metric counter, enum bgw_refusal why, const char *headers);
void conn_http_refuse_handshake(struct bgw_conn *c, enum bgw_refusal why);

/* ---- conn_ws.c ---- */
/* The request in `reader` asks for an upgrade: answers it, one way or the other, or waits for a
 * key. */
void conn_ws_upgrade(struct bgw_conn *c);
/* Feeds frames; returns how many bytes were used. */
size_t conn_ws_feed(struct bgw_conn *c, char *bytes, size_t len);
/* Deadline of CLOSING and KEY_WAIT_OPEN. */
void conn_ws_deadline(struct bgw_conn *c);

/* ---- conn_signalr.c ---- */
/* Bytes of the client's stream of records, however they came. */
void conn_signalr_feed(struct bgw_conn *c, struct bgw_slice bytes);
/* A body that was posted for a stream; the stream's shard. */
void conn_signalr_posted(struct bgw_conn *c, struct bgw_slice body);
/* Records that were left because the session was choked or slowed; the connection may read again. */
void conn_signalr_resume(struct bgw_conn *c);

/* ---- conn_negotiate.c: /ws without an upgrade, and /ws/negotiate ---- */
void conn_negotiate_request(struct bgw_conn *c);
/* For an upgrade: takes its ?id=, if it has one. False: go on. True: it was answered (404, 409, 400). */
bool conn_negotiate_attach(struct bgw_conn *c, const struct bgw_http_request *r, const struct bgw_claims *claims);
/* A posted body for a connection of this shard, from whatever shard took the request. */
void conn_negotiate_posted(struct bgw_conn_host *h, const struct bgw_posted *posted);
/* The connection is gone: its id with it. */
void conn_negotiate_closed(struct bgw_conn *c);

/* ---- conn_stream.c: GET /v1/stream ---- */
void conn_stream_request(struct bgw_conn *c);

/* ---- conn_read.c: balances ---- */
void conn_read_request(struct bgw_conn *c);
/* READING ends without an answer: the connection goes. */
void conn_read_drop(struct bgw_conn *c);

/* ---- conn_ops.c: /v1/ops and /v1/ops/stream ---- */
void conn_ops_request(struct bgw_conn *c);
void conn_ops_drop(struct bgw_conn *c); /* its stream, if it has one, ends */
void conn_ops_init(struct bgw_conn_host *h);
void conn_ops_drain(struct bgw_conn_host *h); /* says bye to every stream */

/* ---- conn_open.c ---- */
/* The session's places in the quotas, before the head of its response: a stock SignalR client whose handshake is refused before it
 * has said its own never finds out, and hangs. False: answered 429. To be given back (conn_door_return) if no session is begun. */
bool conn_open_place(struct bgw_conn *c, const struct bgw_claims *claims);
/* Where every session begins, when the head of its response is out: quotas, the shard's session, the audit log. The reader goes.
 * `claims` NULL: it says hello itself. False: it has said goodbye already. */
bool conn_open_session(struct bgw_conn *c, enum conn_kind kind, const struct bgw_dialect *dialect, const struct bgw_claims *claims);
/* In the gauges: another kind than before. */
void conn_become(struct bgw_conn *c, enum conn_kind kind);
enum bgw_metric conn_gauge(enum conn_kind kind);
/* Last words of a connection that has no session: there was no memory for it, or for what it said. */
void conn_open_no_memory(struct bgw_conn *c, const struct bgw_dialect *dialect);
/* Last words of a connection that has no session. */
void conn_open_bye(struct bgw_conn *c, const struct bgw_dialect *dialect, uint16_t code, int64_t retry_ms, const char *reason);

/* ---- conn_door.c ---- */
/* NONE, or why no new WebSocket or stream is taken here at the moment, whoever asks. */
enum bgw_refusal conn_door_shut(const struct bgw_conn *c);
/* What an upgrade, a stream or a negotiation costs before its token is looked at: the budget, and a place for its client's address.
 * Not to be asked twice: not while key_wait is set. */
enum bgw_refusal conn_door_enter(struct bgw_conn *c, const struct bgw_http_request *r);
enum conn_token {
    CONN_TOKEN_OK,    /* claims are to be deinited */
    CONN_TOKEN_NONE,  /* the request has none */
    CONN_TOKEN_ENDED, /* answered (401, 400, 403), or the request waits and comes again: touch nothing, return */
};
enum conn_token_flag {
    CONN_TOKEN_TEXT = 1,     /* a refusal as one line of text: a SignalR client shows it to its developer */
    CONN_TOKEN_REQUEST = 2, /* it wants an answer, no session: refused in a request's words, counted as a read */
    CONN_TOKEN_REQUIRED = 4, /* none: 401 */
    CONN_TOKEN_UNCOUNTED = 8, /* neither a read nor a handshake is refused with it */
};
/* The token of the request's header or query, staff's certificate included. */
enum conn_token conn_door_token(struct bgw_conn *c, const struct bgw_http_request *r, unsigned flags, struct bgw_claims *claims);
/* Notes that something waits for a token's key; nothing is read until the timer has asked again. `message` empty: the request waits.
 * False without memory: the connection is gone. */
bool conn_door_wait(struct bgw_conn *c, struct bgw_slice message);
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
struct conn_audit_slot { /* borrows */
    struct bgw_slice key; /* data NULL: all */
    bgw_part part;
    const char *code; /* NULL: none */
};
void conn_audit_key(const struct bgw_conn *c, enum bgw_audit_kind kind, const struct bgw_claims *claims,
                    const struct conn_audit_slot *slot);

#endif
