/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_open: where a session begins, whatever it speaks. Hides what a session takes with it: its
 * places in the quotas, its line in the audit log, its share of the gauges. Called by conn_ws,
 * conn_stream and conn_negotiate when the head of their response is out. Invariant: what is taken
 * here is given back once, when the connection is closed.
 */
#include "conn_private.h"

#include "bgw/assert.h"
#include "bgw/reserve.h"

void conn_open_bye(struct bgw_conn *c, const struct bgw_dialect *dialect, uint16_t code, int64_t retry_ms, const char *reason)
{
    c->close_code = code & 0x1fffu;
    bgw_buf_clear(&c->host->out);
    dialect->bye(&c->host->out, code, retry_ms, reason);
    conn_send(c, bgw_buf_slice(&c->host->out));
    conn_finish(c);
}

void conn_open_no_memory(struct bgw_conn *c, const struct bgw_dialect *dialect)
{
    (void)bgw_reserve_spend(); /* nothing new is promised to anybody until there is memory again */
    conn_open_bye(c, dialect, 3013, 2000, "over_capacity");
}

enum bgw_metric conn_gauge(enum conn_kind kind)
{
    static const enum bgw_metric gauges[] = {
        [CONN_NATIVE] = BGW_M_SPEAKS_NATIVE,
        [CONN_UNDECIDED] = BGW_M_SPEAKS_UNDECIDED,
        [CONN_SIGNALR] = BGW_M_SPEAKS_SIGNALR,
        [CONN_APP] = BGW_M_SPEAKS_APP,
        [CONN_STREAM] = BGW_M_SPEAKS_STREAM,
        [CONN_SIGNALR_STREAM] = BGW_M_SPEAKS_SIGNALR_STREAM,
    };
    return gauges[kind];
}

void conn_become(struct bgw_conn *c, enum conn_kind kind)
{
    bgw_metric_add(conn_gauge((enum conn_kind)c->kind), -1);
    c->kind = kind & 7u;
    bgw_metric_add(conn_gauge(kind), 1);
}

/* From here on the connection is an open one, in the gauges too. */
static void enter(struct bgw_conn *c, enum conn_kind kind)
{
    bgw_http_reader_destroy(&c->busy->reader);
    conn_drop_key_wait(c);
    conn_disarm(c);
    c->opened_ms = (uint32_t)conn_now(c).mono_ms;
    c->upgraded = true;
    c->state = CONN_OPEN;
    c->kind = kind & 7u;
    bgw_metric_add(BGW_M_HANDSHAKES_OK, 1);
    bgw_metric_add(BGW_M_SIGNALR_CONNECTIONS, 1);
    bgw_metric_add(conn_gauge(kind), 1);
}

bool conn_open_place(struct bgw_conn *c, const struct bgw_claims *claims)
{
    char retry_after[40];
    if (conn_door_take(c, claims))
        return true;
    conn_audit(c, BGW_AUDIT_REFUSED, claims, "connection_limit");
    conn_door_retry_after(c->host, retry_after);
    conn_http_refuse(c, BGW_M_HANDSHAKES_OVERLOAD, BGW_REFUSAL_CONNECTION_LIMIT, retry_after);
    return false;
}

bool conn_open_session(struct bgw_conn *c, enum conn_kind kind, const struct bgw_dialect *dialect, const struct bgw_claims *claims)
{
    struct bgw_conn_host *h = c->host;
    bool placed = kind != CONN_NATIVE && kind != CONN_STREAM; /* conn_open_place */
    enter(c, kind);
    if (claims && !placed && !conn_door_take(c, claims)) {
        conn_audit(c, BGW_AUDIT_REFUSED, claims, "connection_limit");
        conn_open_bye(c, dialect, 3504, 0, "connection_limit");
        return false;
    }
    h->native.door = &conn_door_native;
    enum bgw_status status = bgw_session_open(h->native.shard, c, dialect, claims, conn_now(c), &c->session);
    if (status != BGW_OK && claims)
        conn_door_return(c, claims);
    if (status == BGW_NO_MEMORY) {
        conn_open_no_memory(c, dialect);
        return false;
    }
    if (status != BGW_OK) {
        conn_open_bye(c, dialect, 3013, 2000, "over_capacity");
        return false;
    }
    if (claims)
        conn_audit(c, BGW_AUDIT_SESSION, claims, NULL);
    return true;
}
