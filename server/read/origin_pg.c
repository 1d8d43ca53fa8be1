/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_pg: asks PostgreSQL: a small pool of connections and a line of those who wait for one. Hides
 * who is asked on which connection, and when a connection is opened again. Called by origin.c;
 * reader's thread. One connection is always open or on its way; others open when somebody waits.
 * While none is open and none on its way, asking fails at once: the next attempt is seconds away at most.
 */
#include "origin_pg.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdio.h>
#include <stdlib.h>

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define LOOKUP_MS 5000  /* of a name */
#define GRACE_MS 1000   /* for the server to end by itself what took too long */
#define TIMEOUT_STEP_MS 250 /* the session's statement_timeout is set anew only if it differs by so much */
#define QUERY                                                                                              \
    "SELECT ledger_minor, pending_minor, version, floor(extract(epoch FROM updated_at) * 1000)::bigint "   \
    "AS updated_at FROM accounts WHERE account_id = $1 AND tenant_id = $2 AND currency = $3"
#define LIST_QUERY "SELECT account_id, tenant_id FROM accounts"

struct slot { /* of the pool */
    struct pg_link link;
    struct origin_pg *pool;
    struct origin_call *call; /* NULL and busy: nobody waits for it any more */
    int64_t timeout_ms;       /* statement_timeout, as it is set */
    int64_t tuning_ms;        /* what it is being set to; 0: the query itself is running */
    bool opened;
    bool served;  /* it has answered a query */
    bool spoiled; /* to be opened anew: the server has forgotten the statement or it no longer fits */
};

struct origin_pg { /* reader's thread */
    struct bgw_origin *origin;
    struct pg_names *names;
    char *query, *list_query;
    struct slot *slots;
    size_t count;
    struct bgw_list waiting;
    bool looking; /* a name is being looked up, and not for too long yet */
    unsigned failures;
    int64_t retry_at_ms;
    uint64_t random;
    struct bgw_timer retry, give_up, look_late, list_due;
    struct pg_list list;
    bool row_told;
};

static struct bgw_wheel *wheel(const struct origin_pg *p)
{
    return bgw_loop_wheel(p->origin->loop);
}

/* ---- how it stands ---- */

static size_t count_links(const struct origin_pg *p, bool opened)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        n += p->slots[i].link.state != PG_LINK_OFF && p->slots[i].opened == opened;
    return n;
}

static bool any_hope(const struct origin_pg *p)
{
    return p->looking || count_links(p, true) + count_links(p, false) > 0;
}

static void report(struct origin_pg *p)
{
    origin_set_up(p->origin, count_links(p, true) > 0);
}

static uint64_t draw(struct origin_pg *p)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return p->random;
}

/* Whoever waits in vain is told, but from the loop: this may be inside an ask. Many at once are one failure. */
static void note_failure(struct origin_pg *p)
{
    int64_t now_ms = bgw_clock_now().mono_ms, delay_ms = BACKOFF_MAX_MS;
    if (now_ms >= p->retry_at_ms) {
        if (p->failures < 7)
            delay_ms = (int64_t)BACKOFF_MIN_MS << p->failures;
        p->failures++;
        delay_ms = delay_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : delay_ms;
        p->retry_at_ms = now_ms + delay_ms - (int64_t)(draw(p) % (uint64_t)(delay_ms / 2));
    }
    bgw_wheel_arm(wheel(p), &p->retry, p->retry_at_ms);
    if (!any_hope(p))
        bgw_wheel_arm(wheel(p), &p->give_up, now_ms);
}

static void on_give_up(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct origin_pg *p = BGW_CONTAINER(timer, struct origin_pg, give_up);
    while (!any_hope(p) && !bgw_list_empty(&p->waiting))
        origin_failed(BGW_CONTAINER(p->waiting.next, struct origin_call, waiting));
}

/* ---- opening ---- */

static void open_one(struct origin_pg *p)
{
    for (size_t i = 0; i < p->count; i++) {
        struct slot *s = &p->slots[i];
        if (s->link.state != PG_LINK_OFF)
            continue;
        s->opened = s->spoiled = s->served = false;
        s->timeout_ms = s->tuning_ms = 0;
        if (!pg_link_open(&s->link, p->names))
            note_failure(p);
        return;
    }
}

static void look_up(struct origin_pg *p)
{
    p->looking = true;
    if (!bgw_timer_armed(&p->look_late))
        bgw_wheel_arm(wheel(p), &p->look_late, bgw_clock_now().mono_ms + LOOKUP_MS);
}

static size_t count_waiting(const struct origin_pg *p, size_t most)
{
    size_t n = 0;
    for (const struct bgw_list *at = p->waiting.next; at != &p->waiting && n < most; at = at->next)
        n++;
    return n;
}

static bool wants_one(const struct origin_pg *p)
{
    size_t opened = count_links(p, true), opening = count_links(p, false);
    return opened + opening == 0 || (opened + opening < p->count && count_waiting(p, opening + 1) > opening);
}

/* Opens what is wanted, unless it is too soon. */
static void tend(struct origin_pg *p)
{
    while (wants_one(p)) {
        if (bgw_clock_now().mono_ms < p->retry_at_ms) {
            bgw_wheel_arm(wheel(p), &p->retry, p->retry_at_ms);
            return;
        }
        enum pg_names_state known = pg_names_want(p->names);
        if (known == PG_NAMES_KNOWN)
            open_one(p);
        else if (known == PG_NAMES_ASKED)
            look_up(p);
        else
            note_failure(p);
        if (known == PG_NAMES_ASKED)
            return;
    }
}

static void on_retry(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    tend(BGW_CONTAINER(timer, struct origin_pg, retry));
}

/* ---- asking ---- */

static void requeue(struct origin_pg *p, struct origin_call *call)
{
    if (!call)
        return;
    call->work = NULL;
    bgw_list_push_back(&p->waiting, &call->waiting);
}

static int64_t step_up(int64_t ms)
{
    return (ms + TIMEOUT_STEP_MS - 1) / TIMEOUT_STEP_MS * TIMEOUT_STEP_MS;
}

static bool run_query(struct slot *s)
{
    const struct bgw_slot_name *n = &s->call->name;
    char account[BGW_KEY_MAX + 1] = "", tenant[BGW_TENANT_MAX + 1] = "", part[BGW_PART_MAX + 1] = "";
    const char *const values[3] = {account, tenant, part};
    memcpy(account, n->key, n->key_len);
    memcpy(tenant, n->tenant, n->tenant_len);
    (void)bgw_part_text(n->part, part);
    return pg_link_run_statement(&s->link, values, s->timeout_ms + GRACE_MS);
}

/* False: the connection is off, and its call still waits. */
static bool run(struct slot *s)
{
    int64_t timeout_ms = step_up(s->call->timeout_ms);
    bool ok;
    if (s->timeout_ms == timeout_ms) {
        ok = run_query(s);
    } else {
        char sql[64];
        snprintf(sql, sizeof(sql), "SET statement_timeout = %lld", (long long)timeout_ms);
        s->tuning_ms = timeout_ms;
        ok = pg_link_run(&s->link, sql, timeout_ms + GRACE_MS);
    }
    if (ok)
        return true;
    struct origin_call *call = s->call;
    s->call = NULL;
    requeue(s->pool, call);
    note_failure(s->pool);
    report(s->pool);
    return false;
}

/* Gives those who wait to whoever is idle. */
static void serve(struct origin_pg *p)
{
    for (size_t i = 0; i < p->count && !bgw_list_empty(&p->waiting); i++) {
        struct slot *s = &p->slots[i];
        if (s->link.state != PG_LINK_IDLE)
            continue;
        BGW_ASSERT(!s->call);
        s->call = BGW_CONTAINER(p->waiting.next, struct origin_call, waiting);
        bgw_list_remove(&s->call->waiting);
        s->call->work = s;
        (void)run(s);
    }
    tend(p);
}

static bool start_call(struct bgw_origin *o, struct origin_call *call)
{
    struct origin_pg *p = o->pg;
    bgw_list_push_back(&p->waiting, &call->waiting);
    serve(p);
    if (any_hope(p))
        return true;
    bgw_list_remove(&call->waiting);
    return false;
}

static void cancel_call(struct bgw_origin *o, struct origin_call *call)
{
    (void)o;
    struct slot *s = call->work; /* its query goes on; the server ends it at its deadline */
    if (s)
        s->call = NULL;
    call->work = NULL;
}

/* ---- what came of it ---- */

static void tell_row(struct origin_pg *p, const char *why)
{
    if (!p->row_told) /* each row would say the same */
        BGW_LOG(BGW_LOG_ERROR, "origin_row_refused", {"key", LS("BGW_ORIGIN_PG_QUERY")}, {"reason", LS(why)});
    p->row_told = true;
}

static void take_row(struct origin_pg *p, struct origin_call *call, const PGresult *r)
{
    const struct bgw_feed *feed = p->origin->config.feed;
    struct bgw_amounts amounts;
    struct bgw_decoded found;
    const char *why;
    enum pg_row row = pg_row_read(r, &amounts, &why);
    if (row == PG_ROW_UNUSABLE)
        tell_row(p, why);
    if (row == PG_ROW_NONE) {
        origin_missing(call);
    } else if (row == PG_ROW_UNUSABLE || feed->decode_amounts(feed, &call->name, &amounts, &found) != BGW_REJECT_NONE) {
        origin_failed(call);
    } else {
        struct bgw_blob *value = bgw_blob_acquire(found.value); /* the body lies in it */
        origin_found(call, &found, feed->raw(value));
        bgw_blob_release(value);
    }
}

static void on_result(struct pg_link *link, const PGresult *r)
{
    struct slot *s = link->arg;
    struct origin_call *call = s->call;
    ExecStatusType status = PQresultStatus(r);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE); /* the message may quote an account */
        BGW_LOG(BGW_LOG_WARN, "origin_query_failed", {"sqlstate", LS(state ? state : "")});
        s->spoiled = s->tuning_ms || (state && (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0));
    }
    if (s->tuning_ms || !call)
        return;
    s->call = NULL;
    call->work = NULL;
    if (status == PGRES_TUPLES_OK) {
        s->served = true;
        take_row(s->pool, call, r);
    } else {
        if (status == PGRES_COMMAND_OK)
            tell_row(s->pool, "it is no query: no rows come of it");
        origin_failed(call);
    }
}

static void on_open(struct pg_link *link)
{
    struct slot *s = link->arg;
    s->opened = true;
    s->pool->failures = 0;
    s->pool->retry_at_ms = 0;
    report(s->pool);
    serve(s->pool);
}

static void on_done(struct pg_link *link)
{
    struct slot *s = link->arg;
    struct origin_pg *p = s->pool;
    int64_t tuned_ms = s->tuning_ms;
    struct origin_call *call = s->call;
    s->tuning_ms = 0;
    if (s->spoiled) {
        s->call = NULL;
        requeue(p, call);
        pg_link_close(link);
        if (!s->served) /* it was of no use at all: not so soon again */
            note_failure(p);
        report(p);
    } else if (tuned_ms) {
        s->timeout_ms = tuned_ms;
        if (call)
            (void)run(s);
    } else if (call) { /* no result at all */
        s->call = NULL;
        call->work = NULL;
        origin_failed(call);
    }
    serve(p);
}

static void on_lost(struct pg_link *link)
{
    struct slot *s = link->arg;
    struct origin_call *call = s->call;
    s->call = NULL;
    s->tuning_ms = 0;
    note_failure(s->pool);
    report(s->pool);
    if (call) {
        call->work = NULL;
        origin_failed(call);
    }
    tend(s->pool);
}

/* ---- names and the list ---- */

static void end_list_early(struct origin_pg *p)
{
    if (!p->list.wanted || p->list.link.state != PG_LINK_OFF)
        return;
    p->list.wanted = false;
    origin_list_end(p->origin, false);
}

static void begin_list(struct origin_pg *p)
{
    if (!p->list.wanted || p->list.link.state != PG_LINK_OFF)
        return;
    enum pg_names_state known = pg_names_want(p->names);
    if (known == PG_NAMES_KNOWN)
        pg_list_start(&p->list, p->names);
    else if (known == PG_NAMES_ASKED)
        look_up(p);
    else
        end_list_early(p);
}

static void on_list_due(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    begin_list(BGW_CONTAINER(timer, struct origin_pg, list_due));
}

static bool start_list(struct bgw_origin *o)
{
    o->pg->list.wanted = true;
    bgw_wheel_arm(wheel(o->pg), &o->pg->list_due, bgw_clock_now().mono_ms);
    return true;
}

static void end_lookup(struct origin_pg *p, bool ok)
{
    p->looking = false;
    bgw_wheel_cancel(wheel(p), &p->look_late);
    if (ok) {
        serve(p);
        begin_list(p);
    } else {
        note_failure(p);
        end_list_early(p);
    }
}

static void on_names(void *arg, bool ok)
{
    end_lookup(arg, ok);
}

static void on_look_late(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    BGW_LOG(BGW_LOG_WARN, "origin_not_found", {"key", LS("BGW_ORIGIN_PG")}, {"reason", LS("the lookup of its name takes too long")});
    end_lookup(BGW_CONTAINER(timer, struct origin_pg, look_late), false);
}

/* ---- life ---- */

static void begin(struct bgw_origin *o)
{
    tend(o->pg);
}

static void destroy(struct bgw_origin *o)
{
    struct origin_pg *p = o->pg;
    if (!p)
        return;
    struct bgw_timer *timers[] = {&p->retry, &p->give_up, &p->look_late, &p->list_due};
    for (size_t i = 0; i < sizeof(timers) / sizeof(*timers); i++)
        bgw_wheel_cancel(wheel(p), timers[i]);
    for (size_t i = 0; i < p->count; i++)
        pg_link_close(&p->slots[i].link);
    pg_list_stop(&p->list);
    pg_names_destroy(&p->names);
    free(p->slots);
    free(p->query);
    free(p->list_query);
    free(p);
    o->pg = NULL;
}

static bool set_up(struct origin_pg *p)
{
    static const struct pg_link_ops ops = {.open = on_open, .result = on_result, .done = on_done, .lost = on_lost};
    const struct bgw_origin_config *c = &p->origin->config;
    p->query = strdup(c->pg_query && *c->pg_query ? c->pg_query : QUERY);
    p->list_query = strdup(c->pg_list_query && *c->pg_list_query ? c->pg_list_query : LIST_QUERY);
    p->slots = calloc(c->connections_max, sizeof(*p->slots));
    if (!p->query || !p->list_query || !p->slots)
        return false;
    p->count = c->connections_max;
    for (size_t i = 0; i < p->count; i++) {
        pg_link_init(&p->slots[i].link, p->origin->loop, &ops, &p->slots[i]);
        p->slots[i].link.statement = p->query;
        p->slots[i].pool = p;
    }
    pg_list_init(&p->list, p->origin, p->list_query);
    return true;
}

enum bgw_status origin_pg_create(struct bgw_origin *o, struct bgw_buf *error)
{
    static const struct origin_backend backend = {
        .begin = begin, .start = start_call, .cancel = cancel_call, .list = start_list, .destroy = destroy};
    struct origin_pg *p = o->pg = calloc(1, sizeof(*p));
    if (!p)
        return BGW_NO_MEMORY;
    o->backend = &backend;
    p->origin = o;
    p->random = o->config.seed | 1;
    bgw_list_init(&p->waiting);
    bgw_timer_init(&p->retry, on_retry);
    bgw_timer_init(&p->give_up, on_give_up);
    bgw_timer_init(&p->look_late, on_look_late);
    bgw_timer_init(&p->list_due, on_list_due);
    pg_list_init(&p->list, o, NULL);
    enum bgw_status status = pg_names_create(&p->names, o->loop, o->config.pg_uri, error);
    if (status != BGW_OK)
        return status;
    pg_names_on_change(p->names, on_names, p);
    return set_up(p) ? BGW_OK : BGW_NO_MEMORY;
}
