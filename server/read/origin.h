/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin: the database of record, asked over HTTP (LEDGER_INTERNAL) or SQL (BGW_ORIGIN_PG), never
 * blocking the loop. Hides libcurl and libpq: a pool of connections, a prepared statement, deadlines,
 * caps. Reader's thread.
 */
#ifndef BGW_READ_ORIGIN_H
#define BGW_READ_ORIGIN_H

#include "lookup.h"

#include "bgw/loop.h"

struct bgw_origin; /* loop's thread, or any one thread while the loop does not run */
struct bgw_origin_config { /* copied */
    const char *http_base, *ca_file; /* one of http_base and pg_uri */
    const char *pg_uri, *pg_query;   /* NULL or "": the default query */
    const char *pg_list_query;       /* all (account_id, tenant_id); NULL or "": the default */
    const struct bgw_feed *feed;
    size_t connections_max;          /* of PostgreSQL */
    uint64_t seed;
    void *arg;
    /* Once for each ask that was not forgotten; inside ask only if memory is lacking. */
    void (*answered)(void *arg, uint64_t id, const struct bgw_lookup_answer *a);
    /* PostgreSQL: any connection. HTTP: the last call; up until one has failed. From the loop. */
    void (*state)(void *arg, bool up);
};
/* BGW_CONFIG and a sentence: the address or URI is none. Nothing is connected before the loop runs. */
BGW_MUST_CHECK enum bgw_status bgw_origin_create(struct bgw_origin **out, struct bgw_loop *loop,
                                                 const struct bgw_origin_config *config, struct bgw_buf *error);
void bgw_origin_destroy(struct bgw_origin **o); /* what is under way is not answered; fine if NULL */
/* deadline_ms: from now. */
void bgw_origin_ask(struct bgw_origin *o, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms);
void bgw_origin_forget(struct bgw_origin *o, uint64_t id);
/* The whole id list, in pieces; `done(false)`: it broke off, or this origin has none. One at a time; both are
 * called from the loop, never inside this, and not after destroy. A list without one account counts as broken off: it would deny all. */
void bgw_origin_list(struct bgw_origin *o, void (*key)(void *arg, struct bgw_slice tenant, struct bgw_slice key),
                     void (*done)(void *arg, bool complete), void *arg);

#endif
