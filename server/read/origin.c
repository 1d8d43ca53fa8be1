/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin: keeps the questions that the database of record was asked: hides by which protocol, and who
 * ends a question: its answer, its deadline, or the lookup that wants it no more. Invariant: what was
 * asked is answered once, or forgotten, and an answer that comes after either is nobody's.
 */
#include "origin_private.h"

#include "bgw/assert.h"
#include "bgw/log.h"

#include <stdlib.h>

/* ---- calls ---- */

static void drop_call(struct origin_call *c)
{
    bgw_wheel_cancel(bgw_loop_wheel(c->origin->loop), &c->deadline);
    bgw_list_remove(&c->link);
    bgw_list_remove(&c->waiting);
    c->origin->count--;
    free(c);
}

static void answer(struct origin_call *c, const struct bgw_lookup_answer *a)
{
    struct bgw_origin *o = c->origin;
    uint64_t id = c->id;
    drop_call(c); /* first: whoever hears the answer may ask again */
    o->config.answered(o->config.arg, id, a);
}

void origin_found(struct origin_call *c, struct bgw_decoded *found, struct bgw_slice body)
{
    const struct bgw_lookup_answer a = {
        .result = BGW_LOOKUP_VALUE, .has_v = found->has_v, .v = found->v, .value = found->value, .body = body};
    found->value = NULL;
    answer(c, &a);
}

void origin_missing(struct origin_call *c)
{
    answer(c, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_MISS});
}

void origin_failed(struct origin_call *c)
{
    answer(c, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_FAILED});
}

/* Also for those that could not be started: theirs is now. */
static void on_deadline(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct origin_call *c = BGW_CONTAINER(timer, struct origin_call, deadline);
    c->origin->backend->cancel(c->origin, c);
    origin_failed(c);
}

void bgw_origin_ask(struct bgw_origin *o, uint64_t id, const struct bgw_slot_name *name, int64_t deadline_ms)
{
    BGW_ASSERT(name->key_len && name->tenant_len && name->part && deadline_ms > 0);
    struct origin_call *c = o->count < ORIGIN_CALLS_MAX ? calloc(1, sizeof(*c)) : NULL;
    if (!c) {
        o->config.answered(o->config.arg, id, &(struct bgw_lookup_answer){.result = BGW_LOOKUP_FAILED});
        return;
    }
    *c = (struct origin_call){.origin = o, .id = id, .name = *name, .timeout_ms = deadline_ms};
    bgw_timer_init(&c->deadline, on_deadline);
    bgw_list_init(&c->waiting);
    bgw_list_push_back(&o->calls, &c->link);
    o->count++;
    int64_t now_ms = bgw_clock_now().mono_ms;
    bgw_wheel_arm(bgw_loop_wheel(o->loop), &c->deadline, now_ms + deadline_ms);
    if (!o->backend->start(o, c))
        bgw_wheel_arm(bgw_loop_wheel(o->loop), &c->deadline, now_ms);
}

void bgw_origin_forget(struct bgw_origin *o, uint64_t id)
{
    for (struct bgw_list *at = o->calls.next; at != &o->calls; at = at->next) {
        struct origin_call *c = BGW_CONTAINER(at, struct origin_call, link);
        if (c->id != id)
            continue;
        o->backend->cancel(o, c);
        drop_call(c);
        return;
    }
}

/* ---- state ---- */

void origin_set_up(struct bgw_origin *o, bool up)
{
    if (o->up == up)
        return;
    o->up = up;
    if (up)
        BGW_LOG(BGW_LOG_INFO, "origin_up", {"kind", LS(o->pg ? "postgresql" : "http")});
    else
        BGW_LOG(BGW_LOG_WARN, "origin_down", {"kind", LS(o->pg ? "postgresql" : "http")});
    o->config.state(o->config.arg, up);
}

static void on_first(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_origin *o = BGW_CONTAINER(timer, struct bgw_origin, first);
    o->backend->begin(o);
}

/* ---- the list of accounts ---- */

void origin_listed(struct bgw_origin *o, struct bgw_slice tenant, struct bgw_slice key)
{
    const struct bgw_feed *feed = o->config.feed;
    if (!tenant.data)
        tenant = feed->default_tenant;
    if (!feed->key_valid(key) || !bgw_tenant_valid(tenant)) {
        o->strange++; /* nobody can ask for it: not to know it denies nobody */
        return;
    }
    o->listed++;
    o->list_key(o->list_arg, tenant, key);
}

void origin_list_end(struct bgw_origin *o, bool whole)
{
    void (*done)(void *, bool) = o->list_done;
    bool complete = whole && o->listed > 0;
    o->list_done = NULL;
    if (complete)
        BGW_LOG(BGW_LOG_INFO, "origin_list_read", {"accounts", LI(o->listed)}, {"unusable", LI(o->strange)});
    else
        BGW_LOG(BGW_LOG_INFO, "origin_list_not_read", {"reason", LS(whole ? "it is empty" : "there is none, or it broke off")},
                {"accounts", LI(o->listed)}, {"unusable", LI(o->strange)});
    done(o->list_arg, complete);
}

static void on_list_off(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    origin_list_end(BGW_CONTAINER(timer, struct bgw_origin, list_off), false);
}

void bgw_origin_list(struct bgw_origin *o, void (*key)(void *arg, struct bgw_slice tenant, struct bgw_slice key),
                     void (*done)(void *arg, bool complete), void *arg)
{
    BGW_ASSERT(!o->list_done && key && done);
    o->list_key = key;
    o->list_done = done;
    o->list_arg = arg;
    o->listed = o->strange = 0;
    if (!o->backend->list(o))
        bgw_wheel_arm(bgw_loop_wheel(o->loop), &o->list_off, bgw_clock_now().mono_ms);
}

/* ---- life ---- */

enum bgw_status bgw_origin_create(struct bgw_origin **out, struct bgw_loop *loop, const struct bgw_origin_config *config,
                                  struct bgw_buf *error)
{
    BGW_ASSERT(config->answered && config->state && config->feed && config->connections_max > 0);
    bool http = config->http_base && *config->http_base, pg = config->pg_uri && *config->pg_uri;
    if (http == pg) {
        bgw_buf_append_str(error, "one of LEDGER_INTERNAL and BGW_ORIGIN_PG names the origin, not both");
        return BGW_CONFIG;
    }
    struct bgw_origin *o = calloc(1, sizeof(*o));
    if (!o)
        return BGW_NO_MEMORY;
    o->loop = loop;
    o->config = *config;
    bgw_list_init(&o->calls);
    bgw_timer_init(&o->first, on_first);
    bgw_timer_init(&o->list_off, on_list_off);
    enum bgw_status status = http ? origin_http_create(o, error) : origin_pg_create(o, error);
    if (status != BGW_OK) {
        bgw_origin_destroy(&o);
        return status;
    }
    bgw_wheel_arm(bgw_loop_wheel(loop), &o->first, bgw_clock_now().mono_ms);
    *out = o;
    return BGW_OK;
}

void bgw_origin_destroy(struct bgw_origin **origin)
{
    struct bgw_origin *o = *origin;
    if (!o)
        return;
    while (!bgw_list_empty(&o->calls)) {
        struct origin_call *c = BGW_CONTAINER(o->calls.next, struct origin_call, link);
        o->backend->cancel(o, c);
        drop_call(c);
    }
    if (o->backend)
        o->backend->destroy(o);
    bgw_wheel_cancel(bgw_loop_wheel(o->loop), &o->first);
    bgw_wheel_cancel(bgw_loop_wheel(o->loop), &o->list_off);
    free(o);
    *origin = NULL;
}
