/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_read: balances over REST. Hides that a read is a watch of the shard's which may take a while:
 * most are answered before the call returns, the others leave the connection in READING until the
 * last of them is done. Called by conn_http with a whole request, by the shard with answers, on the
 * shard's thread. Invariants: nobody is asked for an account before the token's right to it was
 * looked at, and nothing is told that it may not see by then; each request gets one response, or its
 * connection is gone.
 */
#include "conn_private.h"

#include "read_reply.h"

#include "bgw/assert.h"
#include "bgw/metrics.h"

#include <stdlib.h>

#define FLOOR_WAIT_MS 800
#define WAIT_MS 2000 /* for an account that nobody here has asked for lately */

struct reading_item {
    struct conn_reading *reading;
    struct bgw_read *read; /* waits; NULL: it does not */
    struct read_result result; /* with a reference to its value */
};

struct conn_reading { /* shard thread only */
    struct bgw_conn *conn;
    struct bgw_claims claims;
    struct read_request request; /* borrows the reader */
    bool asking;      /* not all were asked for yet */
    size_t waiting;
    int64_t began_ns; /* 0: nothing had to be waited for */
    size_t count;
    struct reading_item items[];
};

static const struct bgw_feed *feed_of(const struct bgw_conn *c)
{
    return &c->host->native.feeds[0];
}

/* ---- life ---- */

static struct conn_reading *create(struct bgw_conn *c, const struct read_request *q)
{
    struct conn_reading *reading = malloc(sizeof(*reading) + q->count * sizeof(reading->items[0]));
    if (!reading)
        return NULL;
    *reading = (struct conn_reading){.conn = c, .request = *q, .count = q->count};
    struct bgw_http_params walk = {0};
    for (size_t i = 0; i < q->count; i++) {
        struct reading_item *item = &reading->items[i];
        item->reading = reading;
        item->read = NULL;
        item->result.why = BGW_REFUSAL_NONE;
        item->result.answer = (struct bgw_read_answer){.lag_ms = -1};
        read_request_next(q, feed_of(c), &walk, &item->result.ask);
    }
    return reading;
}

static void destroy(struct conn_reading *reading)
{
    for (size_t i = 0; i < reading->count; i++)
        bgw_blob_release((struct bgw_blob *)(uintptr_t)reading->items[i].result.answer.value);
    bgw_claims_deinit(&reading->claims);
    free(reading);
}

void conn_read_drop(struct bgw_conn *c)
{
    struct conn_reading *reading = c->busy->reading;
    if (!reading)
        return;
    c->busy->reading = NULL;
    for (size_t i = 0; i < reading->count; i++) {
        if (reading->items[i].read)
            bgw_shard_read_cancel(c->host->native.shard, reading->items[i].read);
    }
    destroy(reading);
}

/* ---- who may see it ---- */

static struct bgw_holder holder_of(const struct bgw_claims *claims)
{
    return (struct bgw_holder){claims->subject_hash, claims->jti_hash, claims->issued_s, bgw_slice_str(claims->tenant)};
}

/* The token itself. *some: accounts of it were taken back. */
static enum bgw_auth_result check_token(const struct bgw_conn *c, const struct bgw_claims *claims, bool *some)
{
    const struct bgw_revocations *revocations = bgw_auth_revocations(c->host->native.auth);
    *some = false;
    if (conn_now(c).wall_ms >= claims->expires_ms)
        return BGW_AUTH_EXPIRED;
    if (!revocations)
        return BGW_AUTH_OK;
    const struct bgw_holder holder = holder_of(claims);
    enum bgw_revoked revoked = bgw_revocations_check(revocations, &holder, conn_now(c));
    *some = revoked == BGW_REVOKED_SOME;
    return revoked == BGW_REVOKED_ALL ? BGW_AUTH_REVOKED : BGW_AUTH_OK;
}

static enum bgw_refusal check_key(const struct bgw_conn *c, const struct bgw_claims *claims, bool some, struct bgw_slice key)
{
    if (bgw_access_check(claims, bgw_slice_str(claims->tenant), key, conn_now(c)) != BGW_ACCESS_OK)
        return BGW_REFUSAL_NO_GRANT;
    if (!some)
        return BGW_REFUSAL_NONE;
    const struct bgw_holder holder = holder_of(claims);
    return bgw_revocations_covers_key(bgw_auth_revocations(c->host->native.auth), &holder, key, conn_now(c))
               ? BGW_REFUSAL_REVOKED_KEY
               : BGW_REFUSAL_NONE;
}

static bool denied(enum bgw_refusal why)
{
    return why == BGW_REFUSAL_NO_GRANT || why == BGW_REFUSAL_REVOKED_KEY;
}

/* Each account, but those that were denied before. */
static void check_keys(struct conn_reading *reading, bool some)
{
    for (size_t i = 0; i < reading->count; i++) {
        struct read_result *r = &reading->items[i].result;
        struct bgw_slice key = bgw_slice_of(r->ask.text, r->ask.key_len);
        if (r->ask.why)
            r->why = r->ask.why;
        if (r->ask.why || denied(r->why))
            continue;
        enum bgw_refusal why = check_key(reading->conn, &reading->claims, some, key);
        if (why) {
            r->why = why;
            const struct conn_audit_slot slot = {key, r->ask.part, bgw_refusal_code(why)};
            conn_audit_key(reading->conn, BGW_AUDIT_DENIED, &reading->claims, &slot);
        }
    }
}

/* ---- the response ---- */

static void count_source(const struct bgw_read_answer *answer)
{
    static const enum bgw_metric counters[] = {BGW_M_READ_FROM_STREAM, BGW_M_READ_FROM_L1, BGW_M_READ_FROM_CACHE,
                                               BGW_M_READ_FROM_DATABASE};
    bgw_metric_add(counters[read_reply_source(answer)], 1);
}

static void count_result(const struct read_result *r, bool not_modified)
{
    enum bgw_metric counter = BGW_M_READS_REFUSED;
    if (!r->why)
        count_source(&r->answer);
    switch (r->why) {
    case BGW_REFUSAL_NONE:
        counter = not_modified ? BGW_M_READS_NOT_MODIFIED : r->answer.watched ? BGW_M_READS_HIT : BGW_M_READS_VALUE;
        break;
    case BGW_REFUSAL_NO_SUCH_ACCOUNT:
    case BGW_REFUSAL_SOURCE_UNAVAILABLE:
        counter = BGW_M_READS_UNKNOWN;
        break;
    case BGW_REFUSAL_NOT_THERE_YET:
        counter = BGW_M_READS_TOO_OLD;
        break;
    case BGW_REFUSAL_READ_TIMEOUT:
        counter = BGW_M_READS_TIMEOUT;
        break;
    case BGW_REFUSAL_READ_BUSY:
        counter = BGW_M_READS_BUSY;
        break;
    case BGW_REFUSAL_SHED:
        counter = BGW_M_READS_SHED;
        break;
    default:
        break;
    }
    bgw_metric_add(counter, 1);
}

/* Shown, or known to be what the client has already. */
static void write_down(const struct conn_reading *reading)
{
    for (size_t i = 0; reading->conn->host->audit && i < reading->count; i++) {
        const struct read_result *r = &reading->items[i].result;
        const struct conn_audit_slot slot = {bgw_slice_of(r->ask.text, r->ask.key_len), r->answer.part, NULL};
        if (!r->why)
            conn_audit_key(reading->conn, BGW_AUDIT_READ, &reading->claims, &slot);
    }
}

static struct read_context context_of(const struct bgw_conn *c, const struct read_request *q, const struct bgw_claims *claims)
{
    return (struct read_context){.request = q,
                                 .feed = feed_of(c),
                                 .tenant = bgw_slice_str(claims ? claims->tenant : ""),
                                 .origins = c->host->policy->origins,
                                 .now = conn_now(c),
                                 .last = conn_http_last(c)};
}

static void answer_many(struct bgw_buf *out, const struct read_context *x, const struct conn_reading *reading)
{
    const struct read_result *results[READ_ACCOUNTS_MAX];
    for (size_t i = 0; i < reading->count; i++) {
        results[i] = &reading->items[i].result;
        count_result(results[i], false);
    }
    read_reply_many(out, x, results, reading->count);
}

static void answer_one(struct bgw_buf *out, const struct read_context *x, const struct read_result *r)
{
    if (r->why) {
        read_reply_problem(out, x, r->why, r);
        count_result(r, false);
    } else {
        count_result(r, read_reply_one(out, x, r));
    }
}

/* All answers are there, and `why` says whether they may be told. */
static void finish(struct conn_reading *reading, enum bgw_auth_result token)
{
    struct bgw_conn *c = reading->conn;
    struct bgw_buf *out = &c->host->out;
    struct read_context x = context_of(c, &reading->request, &reading->claims);
    if (reading->began_ns)
        bgw_metric_observe_us(BGW_M_READ_SECONDS, (bgw_clock_mono_ns() - reading->began_ns) / 1000);
    bgw_buf_clear(out);
    if (token != BGW_AUTH_OK) {
        bgw_metric_add(BGW_M_READS_REFUSED, (int64_t)reading->count);
        conn_audit(c, BGW_AUDIT_REFUSED, &reading->claims, bgw_auth_code(token));
        read_reply_unauthorized(out, &x, bgw_auth_code(token), bgw_auth_sentence(token));
    } else if (reading->request.many) {
        answer_many(out, &x, reading);
        write_down(reading);
    } else {
        answer_one(out, &x, &reading->items[0].result);
        write_down(reading);
    }
    c->busy->reading = NULL;
    destroy(reading);
    conn_http_answered(c, x.last);
}

/* ---- reading ---- */

/* Of whatever was looked for; what is too stale to be told is none of it. */
static void count_cache(const struct read_request *q, const struct bgw_read_answer *answer, enum bgw_refusal why)
{
    static const enum bgw_metric counters[] = {BGW_M_READ_CACHE_HIT, BGW_M_READ_CACHE_BYPASS, BGW_M_READ_CACHE_COALESCED,
                                               BGW_M_READ_CACHE_MISS, BGW_M_READ_CACHE_STALE};
    if (answer->result != BGW_READ_BUSY && !(why && answer->state == BGW_STATE_STALE))
        bgw_metric_add(counters[read_reply_cache(q, answer)], 1);
}

/* The answer is the shard's only during this call. */
static void take(struct reading_item *item, const struct bgw_read_answer *answer)
{
    struct read_result *r = &item->result;
    item->read = NULL;
    r->answer = *answer;
    r->why = read_reply_verdict(answer, item->reading->conn->host->api.flags);
    count_cache(&item->reading->request, answer, r->why);
    if (r->why)
        r->answer.value = NULL;
    else
        bgw_blob_acquire((struct bgw_blob *)(uintptr_t)answer->value);
}

static bool is_set(const char *text)
{
    return text && *text;
}

/* Somebody who may know it is to be asked, whatever is held here. */
static bool asks_sources(const struct bgw_conn *c, const struct read_request *q)
{
    const struct bgw_config *config = c->host->api.config;
    bool any = is_set(config->redis) || is_set(config->ledger_internal) || is_set(config->origin_pg);
    return any && (q->prove || !bgw_flag(c->host->api.flags, BGW_FLAG_L1));
}

static void ask(struct bgw_conn *c, const struct read_request *q, struct reading_item *item)
{
    const struct read_ask *a = &item->result.ask;
    struct bgw_read_answer answer;
    const struct bgw_read_question question = {
        .feed = feed_of(c),
        .tenant = bgw_slice_str(item->reading->claims.tenant),
        .key = bgw_slice_of(a->text, a->key_len),
        .part = a->part,
        .has_floor = q->has_floor,
        .floor = q->floor,
        .prove = q->prove,
        .ask = asks_sources(c, q),
        .wait_ms = q->has_floor ? FLOOR_WAIT_MS : WAIT_MS,
    };
    if (bgw_shard_read(c->host->native.shard, &question, item, conn_now(c), &item->read, &answer))
        take(item, &answer);
    else
        item->reading->waiting++;
}

void bgw_conn_read_done(void *arg, void *user, const struct bgw_read_answer *answer)
{
    struct reading_item *item = user;
    struct conn_reading *reading = item->reading;
    bool some;
    (void)arg;
    BGW_ASSERT(reading->waiting > 0 && item->read);
    take(item, answer);
    if (--reading->waiting || reading->asking)
        return;
    enum bgw_auth_result token = check_token(reading->conn, &reading->claims, &some);
    if (token == BGW_AUTH_OK) /* a while has passed */
        check_keys(reading, some);
    finish(reading, token);
}

/* Before anything is read; nothing is known of the accounts then. */
static void refuse(struct bgw_conn *c, const struct read_request *q, const struct bgw_claims *claims, enum bgw_refusal why)
{
    struct read_context x = context_of(c, q, claims);
    bgw_metric_add(BGW_M_READS_REFUSED, q->count ? (int64_t)q->count : 1);
    bgw_buf_clear(&c->host->out);
    read_reply_problem(&c->host->out, &x, why, NULL);
    conn_http_answered(c, x.last);
}

static void begin(struct bgw_conn *c, struct conn_reading *reading)
{
    bool some;
    enum bgw_auth_result token = check_token(c, &reading->claims, &some);
    c->busy->reading = reading;
    if (token == BGW_AUTH_OK)
        check_keys(reading, some);
    reading->asking = true;
    for (size_t i = 0; i < reading->count && token == BGW_AUTH_OK; i++) {
        if (!reading->items[i].result.why)
            ask(c, &reading->request, &reading->items[i]);
    }
    reading->asking = false;
    if (!reading->waiting) {
        finish(reading, token);
        return;
    }
    reading->began_ns = bgw_clock_mono_ns();
    c->state = CONN_READING;
    conn_disarm(c); /* each read has its own end */
    conn_wait(c);
}

void conn_read_request(struct bgw_conn *c)
{
    const struct bgw_http_request *r = bgw_http_reader_request(c->busy->reader);
    struct read_request q;
    struct bgw_claims claims;
    enum bgw_refusal why = read_request_parse(&q, r, feed_of(c));
    if (why) {
        refuse(c, &q, NULL, why);
        return;
    }
    if (conn_door_token(c, r, CONN_TOKEN_REQUEST | CONN_TOKEN_REQUIRED, &claims) != CONN_TOKEN_OK)
        return;
    if (q.tenant.data && !bgw_slice_eq(q.tenant, bgw_slice_str(claims.tenant)))
        why = BGW_REFUSAL_OTHER_TENANT;
    struct conn_reading *reading = why ? NULL : create(c, &q);
    if (!reading) {
        refuse(c, &q, &claims, why ? why : BGW_REFUSAL_INTERNAL);
        bgw_claims_deinit(&claims);
        return;
    }
    reading->claims = claims;
    begin(c, reading);
}
