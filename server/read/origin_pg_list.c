/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg_list: reads all accounts, on a connection of its own, in chunks, so that neither the rows
 * nor the time they take are anybody else's burden. Used by the pool. Invariant: a list that is not read
 * to its last row is no list.
 */
#include "origin_pg.h"

#include "bgw/log.h"

#define STALL_MS 30000 /* without a row */
#define END_MS 1000

static void end(struct pg_list *l, bool whole)
{
    l->wanted = false;
    pg_link_close(&l->link);
    origin_list_end(l->origin, whole);
}

static void on_open(struct pg_link *link)
{
    struct pg_list *l = link->arg;
    if (!pg_link_run_chunked(link, l->sql, STALL_MS))
        end(l, false);
}

static bool take_rows(struct pg_list *l, const PGresult *r)
{
    if (PQnfields(r) != 2 || PQfformat(r, 0) != 0 || PQfformat(r, 1) != 0)
        return false;
    int account = PQfnumber(r, "account_id"), tenant = PQfnumber(r, "tenant_id"), rows = PQntuples(r);
    if (account < 0 || tenant < 0)
        return false;
    for (int i = 0; i < rows; i++) {
        struct bgw_slice key = bgw_slice_of(PQgetvalue(r, i, account), (size_t)PQgetlength(r, i, account));
        struct bgw_slice of = {0};
        if (!PQgetisnull(r, i, tenant))
            of = bgw_slice_of(PQgetvalue(r, i, tenant), (size_t)PQgetlength(r, i, tenant));
        origin_listed(l->origin, of, key);
    }
    return true;
}

static void on_result(struct pg_link *link, const PGresult *r)
{
    struct pg_list *l = link->arg;
    ExecStatusType status = PQresultStatus(r);
    bool rows = status == PGRES_TUPLES_OK || status == PGRES_SINGLE_TUPLE;
#ifdef LIBPQ_HAS_CHUNK_MODE
    rows = rows || status == PGRES_TUPLES_CHUNK;
#endif
    if (l->failed)
        return;
    pg_link_guard(link, STALL_MS);
    if (rows && take_rows(l, r))
        return;
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    BGW_LOG(BGW_LOG_WARN, "origin_list_refused",
            {"reason", LS(rows ? "its columns are not account_id and tenant_id" : "the query failed")},
            {"sqlstate", LS(state ? state : "")});
    l->failed = true;
    pg_link_guard(link, END_MS); /* the rest need not be waited for; what is no query has no end */
}

static void on_done(struct pg_link *link)
{
    struct pg_list *l = link->arg;
    end(l, !l->failed);
}

static void on_lost(struct pg_link *link)
{
    end(link->arg, false);
}

void pg_list_init(struct pg_list *l, struct bgw_origin *o, const char *sql)
{
    static const struct pg_link_ops ops = {.open = on_open, .result = on_result, .done = on_done, .lost = on_lost};
    *l = (struct pg_list){.origin = o, .sql = sql};
    pg_link_init(&l->link, o->loop, &ops, l);
}

void pg_list_start(struct pg_list *l, struct pg_names *names)
{
    l->failed = false;
    if (!pg_link_open(&l->link, names))
        end(l, false);
}

void pg_list_stop(struct pg_list *l)
{
    l->wanted = false;
    pg_link_close(&l->link);
}
