/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg: what the files that speak PostgreSQL's protocol share: where the servers are (names), one
 * connection (link), what a row means (rows), the list of accounts (list). Reader's thread.
 */
#ifndef BGW_READ_ORIGIN_PG_H
#define BGW_READ_ORIGIN_PG_H

#include "origin_private.h"

#include <libpq-fe.h>

/* ---- names: a URI taken apart, and its servers' addresses, looked up on a thread of their own ---- */

#define PG_OPTIONS_MAX 64

struct pg_names;
/* BGW_CONFIG and a sentence, which never shows the URI. `changed`: a lookup has ended, well or not. */
enum bgw_status pg_names_create(struct pg_names **out, struct bgw_loop *loop, const char *uri, struct bgw_buf *error);
void pg_names_on_change(struct pg_names *n, void (*changed)(void *arg, bool ok), void *arg);
void pg_names_destroy(struct pg_names **n); /* a lookup that runs goes on by itself */
enum pg_names_state { PG_NAMES_KNOWN, PG_NAMES_ASKED /* `changed` will be called */, PG_NAMES_FAILED /* just now */ };
/* Asks again if what is known is old. At most one lookup runs at a time. */
enum pg_names_state pg_names_want(struct pg_names *n);
/* For PQconnectStartParams, NULL at the end; they belong to `n`, until the next want or options. */
void pg_names_options(struct pg_names *n, const char *keys[PG_OPTIONS_MAX], const char *values[PG_OPTIONS_MAX]);
int64_t pg_names_open_ms(const struct pg_names *n); /* connect_timeout, or 5000 */
void pg_names_turn(struct pg_names *n); /* a server that was tried kept silent: from now on another one is the first */

/* ---- link: one connection ---- */

enum pg_link_state { PG_LINK_OFF, PG_LINK_OPENING, PG_LINK_IDLE, PG_LINK_BUSY };

struct pg_link { /* embedded by its user */
    struct bgw_loop *loop;
    const struct pg_link_ops *ops;
    void *arg;
    struct pg_names *names; /* of the last opening */
    const char *statement;  /* prepared when it opens; NULL: none */
    PGconn *pg;
    struct bgw_loop_fd f; /* a duplicate of the library's socket, which it closes when it likes */
    bool watched, chunked;
    enum pg_link_state state;
    int step;               /* of opening */
    struct bgw_timer guard; /* ends what takes too long: opening, a query */
    struct bgw_timer more;  /* goes on with results that are here already */
};

struct pg_link_ops { /* may run or close the link, but for `result` */
    void (*open)(struct pg_link *l);                      /* idle for the first time */
    void (*result)(struct pg_link *l, const PGresult *r); /* of what was run */
    void (*done)(struct pg_link *l);                      /* all results were given: idle */
    void (*lost)(struct pg_link *l);                      /* off, by itself */
};

void pg_link_init(struct pg_link *l, struct bgw_loop *loop, const struct pg_link_ops *ops, void *arg);
bool pg_link_open(struct pg_link *l, struct pg_names *names); /* false: not even begun */
/* Idle ones. False: it is off now (`lost` is not called). guard_ms: it is lost if that takes longer. */
bool pg_link_run(struct pg_link *l, const char *sql, int64_t guard_ms);
bool pg_link_run_statement(struct pg_link *l, const char *const values[3], int64_t guard_ms);
bool pg_link_run_chunked(struct pg_link *l, const char *sql, int64_t guard_ms);
void pg_link_guard(struct pg_link *l, int64_t guard_ms); /* anew */
void pg_link_close(struct pg_link *l);                   /* fine if off; `lost` is not called */

/* ---- rows ---- */

enum pg_row { PG_ROW_FOUND, PG_ROW_NONE, PG_ROW_UNUSABLE };
/* Takes columns by their names. *why: a sentence if it is UNUSABLE. */
enum pg_row pg_row_read(const PGresult *r, struct bgw_amounts *out, const char **why);
/* An integer of milliseconds, or PostgreSQL's ISO form with an offset. */
bool pg_time_ms(const char *text, int64_t *out);

/* ---- list ---- */

struct pg_list {
    struct bgw_origin *origin;
    const char *sql;
    struct pg_link link;
    bool wanted; /* from the moment it is asked for until it is over */
    bool failed;
};
void pg_list_init(struct pg_list *l, struct bgw_origin *o, const char *sql);
void pg_list_start(struct pg_list *l, struct pg_names *names); /* addresses are known */
void pg_list_stop(struct pg_list *l); /* nobody is told */

#endif
