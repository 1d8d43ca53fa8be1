/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg_link: one connection to PostgreSQL on the loop: hides libpq's states and its sockets.
 * Used by the pool and by the list. Opening is: connect, set the session up (times as ISO in UTC,
 * nothing may be written), prepare. Invariants: one query at a time; nothing here waits; libpq may
 * close its socket inside any call, so the loop watches a duplicate that is ours.
 */
#include "origin_pg.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <sys/epoll.h>
#include <fcntl.h>
#include <unistd.h>

#define RESULTS_A_TURN 8
#define CHUNK_ROWS 256
#define STATEMENT "bgw"
#define SESSION "SET datestyle = 'ISO'; SET timezone = 'UTC'; SET default_transaction_read_only = on; SET statement_timeout = 0"

enum { STEP_CONNECT, STEP_SESSION, STEP_PREPARE };

/* ---- the socket ---- */

static void on_ready(struct bgw_loop_fd *f, uint32_t events);

static void unwatch(struct pg_link *l)
{
    if (!l->watched)
        return;
    bgw_loop_detach(l->loop, &l->f);
    close(l->f.fd);
    l->watched = false;
}

static bool watch(struct pg_link *l, uint32_t events)
{
    unwatch(l);
    int fd = fcntl(PQsocket(l->pg), F_DUPFD_CLOEXEC, 0);
    l->f = (struct bgw_loop_fd){.fd = fd, .events = events, .ready = on_ready};
    if (fd < 0)
        return false;
    l->watched = bgw_loop_attach(l->loop, &l->f) == BGW_OK;
    if (!l->watched)
        close(fd);
    return l->watched;
}

static void want(struct pg_link *l, uint32_t events)
{
    if (l->f.events == events)
        return;
    l->f.events = events;
    bgw_loop_change(l->loop, &l->f, events);
}

/* ---- ends ---- */

void pg_link_close(struct pg_link *l)
{
    unwatch(l);
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->guard);
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->more);
    PQfinish(l->pg);
    l->pg = NULL;
    l->state = PG_LINK_OFF;
}

static void lose(struct pg_link *l, const char *why)
{
    const char *detail = l->pg ? PQerrorMessage(l->pg) : "";
    struct bgw_slice line = bgw_slice_of(detail, strcspn(detail, "\n"));
    if (l->state == PG_LINK_OPENING)
        BGW_LOG(BGW_LOG_WARN, "origin_not_connected", {"reason", LS(why)}, {"detail", LSL(line)});
    else
        BGW_LOG(BGW_LOG_WARN, "origin_connection_lost", {"reason", LS(why)});
    pg_link_close(l);
    l->ops->lost(l);
}

static void on_guard(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct pg_link *l = BGW_CONTAINER(timer, struct pg_link, guard);
    if (l->state == PG_LINK_OPENING) /* libpq would go on to the next one only if this one refused */
        pg_names_turn(l->names);
    lose(l, "it took too long");
}

void pg_link_guard(struct pg_link *l, int64_t guard_ms)
{
    bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->guard, bgw_clock_now().mono_ms + guard_ms);
}

/* ---- opening ---- */

/* False: the connection is of no more use. */
static bool flush(struct pg_link *l)
{
    int left = PQflush(l->pg);
    if (left >= 0)
        want(l, EPOLLIN | (left ? (uint32_t)EPOLLOUT : 0));
    return left >= 0;
}

static void be_idle(struct pg_link *l)
{
    bool opened = l->state == PG_LINK_OPENING;
    bgw_wheel_cancel(bgw_loop_wheel(l->loop), &l->guard);
    l->state = PG_LINK_IDLE;
    if (opened)
        l->ops->open(l);
    else
        l->ops->done(l);
}

static void next_step(struct pg_link *l)
{
    l->step++;
    if (l->step > STEP_PREPARE || (l->step == STEP_PREPARE && !l->statement)) {
        be_idle(l);
        return;
    }
    bool begun = l->step == STEP_SESSION ? PQsendQuery(l->pg, SESSION) : PQsendPrepare(l->pg, STATEMENT, l->statement, 3, NULL);
    if (!begun || !flush(l))
        lose(l, "the session cannot be set up");
}

static void on_connecting(struct pg_link *l)
{
    PostgresPollingStatusType s = PQconnectPoll(l->pg);
    if (s == PGRES_POLLING_FAILED || PQstatus(l->pg) == CONNECTION_BAD) {
        lose(l, "the server takes no connection");
    } else if (!watch(l, s == PGRES_POLLING_WRITING ? EPOLLOUT : EPOLLIN)) { /* anew: it may be another socket */
        lose(l, "its socket cannot be watched");
    } else if (s == PGRES_POLLING_OK) {
        if (PQsetnonblocking(l->pg, 1) != 0)
            lose(l, "it cannot be used without blocking");
        else
            next_step(l);
    }
}

static void ignore_notice(void *arg, const PGresult *r)
{
    (void)arg;
    (void)r;
}

bool pg_link_open(struct pg_link *l, struct pg_names *names)
{
    const char *keys[PG_OPTIONS_MAX], *values[PG_OPTIONS_MAX];
    BGW_ASSERT(l->state == PG_LINK_OFF && !l->pg);
    l->names = names;
    pg_names_options(names, keys, values);
    l->pg = PQconnectStartParams(keys, values, 0);
    if (!l->pg || PQstatus(l->pg) == CONNECTION_BAD || !watch(l, EPOLLOUT)) {
        const char *detail = l->pg ? PQerrorMessage(l->pg) : "";
        BGW_LOG(BGW_LOG_WARN, "origin_not_connected", {"reason", LS("the connection cannot be begun")},
                {"detail", LSL(bgw_slice_of(detail, strcspn(detail, "\n")))});
        pg_link_close(l);
        return false;
    }
    PQsetNoticeReceiver(l->pg, ignore_notice, NULL);
    l->state = PG_LINK_OPENING;
    l->step = STEP_CONNECT;
    pg_link_guard(l, pg_names_open_ms(names));
    return true;
}

/* ---- results ---- */

/* False: the link is off. */
static bool take_result(struct pg_link *l, PGresult *r)
{
    if (l->state != PG_LINK_OPENING) {
        l->ops->result(l, r);
        PQclear(r);
        return true;
    }
    bool ok = PQresultStatus(r) == PGRES_COMMAND_OK;
    PQclear(r);
    if (!ok)
        lose(l, l->step == STEP_SESSION ? "the session cannot be set up" : "the query cannot be prepared");
    return ok;
}

/* What has arrived, in pieces. */
static void drain(struct pg_link *l)
{
    for (int i = 0; !PQisBusy(l->pg); i++) {
        if (i == RESULTS_A_TURN) {
            bgw_wheel_arm(bgw_loop_wheel(l->loop), &l->more, bgw_clock_now().mono_ms);
            return;
        }
        PGresult *r = PQgetResult(l->pg);
        if (!r)
            break;
        if (!take_result(l, r))
            return;
    }
    if (PQstatus(l->pg) == CONNECTION_BAD)
        lose(l, "the server closed it");
    else if (PQisBusy(l->pg))
        return;
    else if (l->state == PG_LINK_OPENING)
        next_step(l);
    else if (l->state == PG_LINK_BUSY)
        be_idle(l);
}

static void on_more(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    drain(BGW_CONTAINER(timer, struct pg_link, more));
}

static void on_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct pg_link *l = BGW_CONTAINER(f, struct pg_link, f);
    (void)events;
    if (l->state == PG_LINK_OPENING && l->step == STEP_CONNECT) {
        on_connecting(l);
        return;
    }
    if (bgw_timer_armed(&l->more)) /* first what is here already: it must not pile up */
        return;
    if (!PQconsumeInput(l->pg) || !flush(l))
        lose(l, "the server closed it");
    else
        drain(l);
}

/* ---- queries ---- */

static bool sent(struct pg_link *l, int ok, int64_t guard_ms)
{
    if (!ok || !flush(l)) {
        BGW_LOG(BGW_LOG_WARN, "origin_connection_lost", {"reason", LS("it takes no query")});
        pg_link_close(l);
        return false;
    }
    l->state = PG_LINK_BUSY;
    pg_link_guard(l, guard_ms);
    return true;
}

bool pg_link_run(struct pg_link *l, const char *sql, int64_t guard_ms)
{
    BGW_ASSERT(l->state == PG_LINK_IDLE);
    return sent(l, PQsendQuery(l->pg, sql), guard_ms);
}

bool pg_link_run_statement(struct pg_link *l, const char *const values[3], int64_t guard_ms)
{
    BGW_ASSERT(l->state == PG_LINK_IDLE && l->statement);
    return sent(l, PQsendQueryPrepared(l->pg, STATEMENT, 3, values, NULL, NULL, 0), guard_ms);
}

bool pg_link_run_chunked(struct pg_link *l, const char *sql, int64_t guard_ms)
{
    BGW_ASSERT(l->state == PG_LINK_IDLE);
    int ok = PQsendQuery(l->pg, sql);
#ifdef LIBPQ_HAS_CHUNK_MODE
    ok = ok && PQsetChunkedRowsMode(l->pg, CHUNK_ROWS);
#else
    ok = ok && PQsetSingleRowMode(l->pg);
#endif
    return sent(l, ok, guard_ms);
}

void pg_link_init(struct pg_link *l, struct bgw_loop *loop, const struct pg_link_ops *ops, void *arg)
{
    *l = (struct pg_link){.loop = loop, .ops = ops, .arg = arg, .state = PG_LINK_OFF};
    bgw_timer_init(&l->guard, on_guard);
    bgw_timer_init(&l->more, on_more);
}
