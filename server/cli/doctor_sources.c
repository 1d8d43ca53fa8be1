/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor_sources: do Redis and the origin answer. Called by cmd_doctor on the main thread. The asking is
 * the gateway's own reader, with one question for an account that nobody has; here is only the
 * judgement. Invariant: nothing is written, neither a balance nor a lock.
 */
#include "doctor.h"

#include <string.h>

#define TIMEOUT_MS 5000
#define TURN_MS 20
#define ACCOUNT "bgw-doctor"
#define NOTHING (-1)

static void judge_redis(struct doctor *d, const struct bgw_sources_view *view)
{
    if (view->redis != BGW_LINK_UP)
        doctor_say(d, DOCTOR_FAIL, "redis",
                   "start Redis, or correct REDIS (host:port, redis://, rediss:// or redis+sentinel://, with user and password) and "
                   "REDIS_CA; a firewall may stand between",
                   "Redis does not answer");
    else if (view->channel != BGW_LINK_UP)
        doctor_say(d, DOCTOR_FAIL, "redis", "let this user subscribe to and publish on balance:invalidate (ACL &balance:invalidate +@pubsub)",
                   "Redis answers, but its channel balance:invalidate cannot be heard");
    else
        doctor_say(d, DOCTOR_OK, "redis", "", "Redis answers, and its invalidation channel can be heard");
}

static void judge_origin(struct doctor *d, int asked)
{
    const char *name = *d->config->origin_pg ? "BGW_ORIGIN_PG" : "LEDGER_INTERNAL";
    char fix[400];
    snprintf(fix, sizeof(fix), "look at the origin's own log; correct %s%s", name,
             *d->config->origin_pg ? " and BGW_ORIGIN_PG_QUERY: this user must be able to run it"
                                   : ": GET {LEDGER_INTERNAL}/_internal/balance?accountId=&currency= is what is asked");
    if (asked == BGW_FETCH_NOT_FOUND)
        doctor_say(d, DOCTOR_OK, "origin", "", "%s answers, and says that there is no account " ACCOUNT, name);
    else if (asked == BGW_FETCH_VALUE)
        doctor_say(d, DOCTOR_WARN, "origin", "make the origin say that it does not know an account, with 404 or without a row",
                   "%s has a balance for an account that nobody has, " ACCOUNT, name);
    else
        doctor_say(d, DOCTOR_FAIL, "origin", fix, "%s %s", name,
                   asked == NOTHING ? "has not answered in time" : "does not answer, or not in a way that can be read");
}

void doctor_judge_sources(struct doctor *d, const struct bgw_sources_view *view, int asked)
{
    if (*d->config->redis)
        judge_redis(d, view);
    if (*d->config->ledger_internal || *d->config->origin_pg)
        judge_origin(d, asked);
}

/* ---- asking ---- */

static void on_answer(void *arg, const struct bgw_fetched *f)
{
    int *asked = arg;
    *asked = f->result;
    if (f->value)
        bgw_blob_release(f->value);
}

static void on_invalidated(void *arg, const struct bgw_invalidation *i)
{
    (void)arg;
    (void)i;
}

static void on_channel(void *arg, bool up)
{
    (void)arg;
    (void)up;
}

static bool done(const struct doctor *d, const struct bgw_sources_view *view, int asked)
{
    bool redis = !*d->config->redis || (view->redis == BGW_LINK_UP && view->channel == BGW_LINK_UP);
    bool origin = (!*d->config->ledger_internal && !*d->config->origin_pg) || asked != NOTHING;
    return redis && origin;
}

static void ask(struct doctor *d, struct bgw_reader *reader, struct bgw_loop *loop, const struct bgw_feed *feed, const int *asked)
{
    struct bgw_fetch f = {.id = 1, .known = true};
    struct bgw_sources_view view = {0};
    f.name = (struct bgw_slot_name){.feed = feed->id, .key_len = sizeof(ACCOUNT) - 1, .part = feed->default_part};
    f.name.tenant_len = (uint8_t)feed->default_tenant.len;
    memcpy(f.name.key, ACCOUNT, sizeof(ACCOUNT) - 1);
    memcpy(f.name.tenant, feed->default_tenant.data, feed->default_tenant.len);
    bool taken = bgw_reader_fetch(reader, &f);
    const int64_t end_ms = bgw_clock_now().mono_ms + TIMEOUT_MS;
    do {
        bgw_loop_turn(loop, TURN_MS);
        bgw_reader_look(reader, &view);
    } while (bgw_clock_now().mono_ms < end_ms && !done(d, &view, taken ? *asked : BGW_FETCH_UNAVAILABLE));
    doctor_judge_sources(d, &view, *asked);
}

/* Without the cache: no lock is taken there and nothing written. Without the filter: the account is asked for. */
static enum bgw_status examine(struct doctor *d, struct bgw_loop *loop, struct bgw_buf *error)
{
    struct bgw_config config = *d->config;
    struct bgw_flags flags;
    struct bgw_feed feed;
    struct bgw_reader *reader = NULL;
    int asked = NOTHING;
    config.known_keys_max = 0;
    config.redis_tracking = false;
    bgw_feed_balance_init(&feed, bgw_slice_str(config.default_tenant), bgw_part_of(bgw_slice_str(config.default_currency)));
    enum bgw_status status = bgw_flags_parse(&flags, "none", error);
    const struct bgw_reader_config rc = {.config = &config,
                                         .feed = &feed,
                                         .flags = &flags,
                                         .hub_loop = loop,
                                         .answer = on_answer,
                                         .invalidated = on_invalidated,
                                         .channel = on_channel,
                                         .arg = &asked};
    if (status == BGW_OK)
        status = bgw_reader_create(&reader, &rc, error);
    if (status == BGW_OK)
        status = bgw_reader_start(reader);
    if (status == BGW_OK)
        ask(d, reader, loop, &feed, &asked);
    if (reader)
        bgw_reader_stop(reader);
    bgw_reader_destroy(&reader);
    return status;
}

void doctor_check_sources(struct doctor *d)
{
    const struct bgw_config *c = d->config;
    struct bgw_loop *loop = NULL;
    struct bgw_buf error;
    if (!*c->redis && !*c->ledger_internal && !*c->origin_pg) {
        doctor_say(d, DOCTOR_OK, "origin", "", "neither Redis nor an origin: balances come from the stream alone");
        return;
    }
    bgw_buf_init(&error, 600);
    enum bgw_status status = bgw_loop_create(&loop);
    if (status == BGW_OK)
        status = examine(d, loop, &error);
    bgw_buf_append_byte(&error, '\0');
    if (status != BGW_OK)
        doctor_say(d, DOCTOR_FAIL, *c->redis ? "redis" : "origin", "correct the setting that is named", "%s",
                   error.data && *error.data ? error.data : bgw_status_text(status));
    if (loop)
        bgw_loop_destroy(&loop);
    bgw_buf_deinit(&error);
}
