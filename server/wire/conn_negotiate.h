/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_negotiate: what the two files of SignalR's HTTP side share: conn_negotiate.c (what is asked,
 * negotiation, WebSockets with an id) and conn_signalr_stream.c (its Server-Sent Events). Texts of
 * answers are those that the stock server says, word by word: clients show them. Shard thread only.
 */
#ifndef BGW_WIRE_CONN_NEGOTIATE_H
#define BGW_WIRE_CONN_NEGOTIATE_H

#include "conn_private.h"

#define CONN_NO_SUCH_ID "No Connection with that ID"

/* what a request's ?id= says */
enum conn_id {
    CONN_ID_OK,
    CONN_ID_NONE,    /* there is none, or an empty one */
    CONN_ID_OLD,     /* genuine, but it was to be used sooner; or made by a replica whose clock is far off */
    CONN_ID_UNKNOWN, /* none of ours */
    CONN_ID_BAD,     /* the query has two of them */
};
enum conn_id conn_negotiate_id(const struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_attachment *out);
/* Takes the id for this connection. False: it was answered. */
bool conn_negotiate_take(struct bgw_conn *c, const struct bgw_http_request *r, struct bgw_attachment *what,
                         const struct bgw_claims *claims);
struct bgw_attachment_holder conn_negotiate_holder(const struct bgw_claims *claims);

/* Answers with one line of text (or none: ""), and what pages of other origins need. `headers` may be NULL. */
void conn_negotiate_text(struct bgw_conn *c, const struct bgw_http_request *r, int status, const char *text, const char *headers);
/* The same in the words of refusal.def, with Retry-After where it helps. */
void conn_negotiate_refuse(struct bgw_conn *c, const struct bgw_http_request *r, enum bgw_refusal why);

/* ---- conn_signalr_stream.c ---- */
/* GET that accepts events, and POST, both with something as id. */
void conn_signalr_stream_open(struct bgw_conn *c, const struct bgw_http_request *r);
void conn_signalr_stream_post(struct bgw_conn *c, const struct bgw_http_request *r);

#endif
