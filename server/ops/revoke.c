/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke: hides what one revocation means between an operator, this process and the topic: the
 * words of each answer, and the keys under which a compacted topic keeps what must be kept. Called
 * by the admin port and for each record of the topic, on their loop's thread. Invariant: what is
 * valid acts here before anything is written, and each request is answered once.
 */
#include "bgw/ops.h"

#include "bgw/assert.h"
#include "bgw/hash.h"
#include "bgw/json.h"
#include "bgw/list.h"
#include "bgw/log.h"
#include "bgw/metrics.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ERROR_MAX 1024
#define VALUE_MAX (BGW_REVOCATION_BYTES_MAX + 64) /* with an `exp` of ours */
#define GAUGE_MS 2000

struct waiting { /* a request whose record is under way */
    struct bgw_list link;
    struct bgw_revoke_host *host;
    uint64_t token;
    bool applied;
};

struct bgw_revoke_host { /* loop's thread, but `full` */
    struct bgw_revoke_config config;
    struct bgw_admin *admin;
    bgw_revoke_append append;
    void *log;
    struct bgw_list waiting;
    struct bgw_timer gauge_timer;
    struct bgw_revocation parsed; /* too large for a stack */
    atomic_bool full;
};

static void on_gauge(struct bgw_timer *timer, int64_t now_ms)
{
    struct bgw_revoke_host *h = BGW_CONTAINER(timer, struct bgw_revoke_host, gauge_timer);
    bgw_metric_set(BGW_M_REVOCATIONS_HELD, (int64_t)bgw_revocations_count(h->config.revocations));
    bgw_wheel_arm(bgw_loop_wheel(h->config.loop), timer, now_ms + GAUGE_MS);
}

enum bgw_status bgw_revoke_create(struct bgw_revoke_host **out, const struct bgw_revoke_config *config)
{
    BGW_ASSERT(config->loop && config->revocations && config->keep_s > 0);
    struct bgw_revoke_host *h = calloc(1, sizeof(*h));
    if (!h)
        return BGW_NO_MEMORY;
    h->config = *config;
    bgw_list_init(&h->waiting);
    atomic_init(&h->full, false);
    bgw_timer_init(&h->gauge_timer, on_gauge);
    bgw_wheel_arm(bgw_loop_wheel(config->loop), &h->gauge_timer,
                  bgw_loop_now(config->loop).mono_ms + GAUGE_MS);
    *out = h;
    return BGW_OK;
}

void bgw_revoke_connect(struct bgw_revoke_host *h, struct bgw_admin *admin, bgw_revoke_append append,
                        void *log)
{
    h->admin = admin;
    h->append = append;
    h->log = log;
}

bool bgw_revoke_full(const struct bgw_revoke_host *h)
{
    return atomic_load_explicit(&h->full, memory_order_relaxed);
}

void bgw_revoke_destroy(struct bgw_revoke_host **host)
{
    struct bgw_revoke_host *h = *host;
    if (!h)
        return;
    BGW_ASSERT(bgw_list_empty(&h->waiting)); /* the log has gone before and answered them */
    bgw_wheel_cancel(bgw_loop_wheel(h->config.loop), &h->gauge_timer);
    free(h);
    *host = NULL;
}

/* --- what acts --- */

static bool apply(struct bgw_revoke_host *h, struct bgw_now now)
{
    struct bgw_revocations *r = h->config.revocations;
    uint64_t before = bgw_revocations_generation(r);
    enum bgw_status st = bgw_revocations_add(r, &h->parsed, now);
    atomic_store_explicit(&h->full, st != BGW_OK, memory_order_relaxed);
    if (st != BGW_OK) {
        bgw_metric_add(BGW_M_REVOCATIONS_REFUSED, 1);
        BGW_LOG(BGW_LOG_ERROR, "revocation_not_held", {"status", LS(bgw_status_name(st))},
                {"held", LI(bgw_revocations_count(r))},
                {"advice", LS("raise BGW_REVOCATIONS_MAX and restart: this revocation does not act here")});
        return false;
    }
    if (bgw_revocations_generation(r) == before)
        return true; /* known already, such as our own record that comes back */
    bgw_metric_add(BGW_M_REVOCATIONS_APPLIED, 1);
    bgw_metric_set(BGW_M_REVOCATIONS_HELD, (int64_t)bgw_revocations_count(r));
    if (h->config.changed)
        h->config.changed(h->config.arg);
    return true;
}

/* --- records of the topic --- */

static bool has_exp(struct bgw_slice text)
{
    struct bgw_json root, exp;
    return bgw_json_parse(text, &root) == BGW_OK && root.type == BGW_JSON_OBJECT &&
           bgw_json_member(&root, "exp", &exp);
}

/* A record without `exp` is kept from when it was written, not from when it is read. */
static int64_t keep_of(const struct bgw_revoke_host *h, const struct bgw_revoke_record *r,
                       struct bgw_now now)
{
    int64_t age_s = (now.wall_ms - r->timestamp_ms) / 1000;
    if (r->timestamp_ms < 0 || age_s <= 0 || has_exp(r->value))
        return h->config.keep_s;
    return h->config.keep_s - age_s;
}

void bgw_revoke_on_record(struct bgw_revoke_host *h, const struct bgw_revoke_record *r)
{
    if (!r->value.data)
        return; /* a tombstone: see the header */
    struct bgw_now now = bgw_loop_now(h->config.loop);
    int64_t keep_s = keep_of(h, r, now);
    struct bgw_buf error;
    bgw_buf_init(&error, ERROR_MAX);
    enum bgw_status st = keep_s <= 0 ? BGW_EXPIRED
                                     : bgw_revocation_parse(&h->parsed, r->value, keep_s, now, &error);
    bgw_buf_deinit(&error);
    if (st == BGW_OK) {
        apply(h, now);
        return;
    }
    if (st == BGW_EXPIRED) {
        bgw_metric_add(BGW_M_REVOCATIONS_EXPIRED, 1);
        return;
    }
    bgw_metric_add(BGW_M_REVOCATIONS_REFUSED, 1);
    BGW_LOG(BGW_LOG_WARN, "revocation_refused", {"partition", LI(r->partition)},
            {"offset", LI(r->offset)}, {"reason", LS(bgw_status_name(st))});
}

/* --- keys --- */

/* Would something that we know still act where this one does not: after its `until`, or on younger tokens? */
static bool is_outdone(const struct bgw_revoke_host *h, struct bgw_now now)
{
    const struct bgw_revocation *r = &h->parsed;
    struct bgw_holder holder = {.issued_s = 0, .tenant = bgw_slice_str(r->tenant)};
    if (r->kind == BGW_REVOKE_TOKEN)
        holder.jti_hash = r->id_hash;
    else
        holder.subject_hash = r->id_hash;
    struct bgw_now after = {.mono_ms = now.mono_ms, .wall_ms = r->until_s * 1000};
    if (bgw_revocations_check(h->config.revocations, &holder, after) != BGW_NOT_REVOKED)
        return true;
    holder.issued_s = r->before_s;
    return r->kind == BGW_REVOKE_SUBJECT &&
           bgw_revocations_check(h->config.revocations, &holder, now) == BGW_REVOKED_ALL;
}

/*
 * jti:TENANT:JTI, sub:TENANT:SUB, accounts:TENANT:SUB:HASH, no tenant being all of them; so the later of
 * two statements replaces the earlier, which it covers. One that is outdone by what is known gets a key
 * of its own: compaction must not put the weaker in the stronger one's place. Asked before it is added.
 */
static void write_key(const struct bgw_revoke_host *h, struct bgw_slice text, struct bgw_now now,
                      struct bgw_buf *key)
{
    static const char *const words[] = {
        [BGW_REVOKE_TOKEN] = "jti", [BGW_REVOKE_SUBJECT] = "sub", [BGW_REVOKE_ACCOUNTS] = "accounts"};
    const struct bgw_revocation *r = &h->parsed;
    struct bgw_json root, id, accounts;
    BGW_ASSERT(bgw_json_parse(text, &root) == BGW_OK &&
               bgw_json_member(&root, r->kind == BGW_REVOKE_TOKEN ? "jti" : "sub", &id));
    bgw_buf_appendf(key, "%s:%s:", words[r->kind], r->any_tenant ? "" : r->tenant);
    bgw_buf_append(key, id.raw);
    if (bgw_json_member(&root, "accounts", &accounts)) { /* as written: their hashes are this process's own */
        bgw_buf_append_byte(key, ':');
        bgw_buf_append_hex64(key, bgw_hash_fnv64(BGW_FNV64_INIT, accounts.raw));
    }
    if (is_outdone(h, now))
        bgw_buf_appendf(key, ":%" PRId64 ":%" PRId64, r->before_s, r->until_s);
}

/* The text as it came, with `exp` if it had none. */
static void write_value(const struct bgw_revocation *r, struct bgw_slice text, struct bgw_buf *value)
{
    if (has_exp(text)) {
        bgw_buf_append(value, text);
        return;
    }
    while (text.len && text.data[text.len - 1] != '}') /* white space may follow the object */
        text.len--;
    BGW_ASSERT(text.len > 2);
    bgw_buf_append(value, bgw_slice_of(text.data, text.len - 1));
    bgw_buf_appendf(value, ",\"exp\":%" PRId64 "}", r->until_s);
}

/* --- answers --- */

static int problem(struct bgw_buf *out, int status, const char *code, struct bgw_slice detail)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {{400, "Bad Request"}, {422, "Unprocessable Content"}, {503, "Service Unavailable"}};
    const char *title = "";
    for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
        title = titles[i].status == status ? titles[i].title : title;
    bgw_buf_appendf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":",
                    title, status, code);
    bgw_buf_append_json(out, detail);
    return status;
}

static int refused(struct bgw_buf *out, enum bgw_status st, const struct bgw_buf *error)
{
    bool not_json = st == BGW_BAD_JSON || st == BGW_BAD_UTF8 || st == BGW_DUPLICATE || st == BGW_TOO_DEEP;
    struct bgw_slice words = error->len ? bgw_buf_slice(error) : bgw_slice_str(bgw_status_text(st));
    int status = problem(out, not_json ? 400 : 422, bgw_status_name(st), words);
    bgw_buf_append_str(out, ",\"applied\":false,\"recorded\":false}");
    return status;
}

/* What the operator must know exactly: does it act here, and will the others and a restart know it. */
static int outcome(struct bgw_buf *out, bool applied, enum bgw_status recorded)
{
    static const char *const here = "it acts on this gateway until that ends; the other replicas may not know it: ";
    char detail[512];
    bool ok = recorded == BGW_OK;
    if (applied && ok) {
        bgw_buf_append_str(out, "{\"applied\":true,\"recorded\":true}");
        return 200;
    }
    if (ok)
        snprintf(detail, sizeof(detail), "it is recorded, but this gateway holds BGW_REVOCATIONS_MAX revocations "
                 "and does not act on it: raise that, and restart");
    else
        snprintf(detail, sizeof(detail), "%sKafka has not confirmed it (%s): send it again",
                 applied ? here : "it does not act on this gateway, which holds BGW_REVOCATIONS_MAX revocations; ",
                 bgw_status_text(recorded));
    int status = problem(out, 503, ok ? "revocations_full" : bgw_status_name(recorded), bgw_slice_str(detail));
    bgw_buf_appendf(out, ",\"applied\":%s,\"recorded\":%s}", applied ? "true" : "false", ok ? "true" : "false");
    return status;
}

/* --- requests --- */

static void on_done(void *arg, enum bgw_status status)
{
    struct waiting *w = arg;
    struct bgw_buf answer;
    bgw_buf_init(&answer, 4096);
    int code = outcome(&answer, w->applied, status);
    bgw_admin_finish(w->host->admin, w->token, code, bgw_buf_slice(&answer));
    bgw_buf_deinit(&answer);
    bgw_list_remove(&w->link);
    free(w);
}

static bool append(struct bgw_revoke_host *h, const struct bgw_buf *key, const struct bgw_buf *value,
                   const struct waiting *request)
{
    struct waiting *w = h->append && !key->failed && !value->failed ? malloc(sizeof(*w)) : NULL;
    if (!w)
        return false;
    *w = *request;
    bgw_list_init(&w->link);
    if (!h->append(h->log, bgw_buf_slice(key), bgw_buf_slice(value), on_done, w)) {
        free(w);
        return false;
    }
    bgw_list_push_back(&h->waiting, &w->link);
    return true;
}

static int take(struct bgw_revoke_host *h, struct bgw_slice text, uint64_t token, struct bgw_buf *answer)
{
    struct bgw_now now = bgw_loop_now(h->config.loop);
    struct bgw_buf key, value;
    bgw_buf_init(&key, VALUE_MAX);
    bgw_buf_init(&value, VALUE_MAX);
    write_key(h, text, now, &key);
    write_value(&h->parsed, text, &value);
    struct waiting request = {.host = h, .token = token, .applied = apply(h, now)};
    bool taken = append(h, &key, &value, &request);
    bgw_buf_deinit(&key);
    bgw_buf_deinit(&value);
    return taken ? 0 : outcome(answer, request.applied, BGW_FULL);
}

int bgw_revoke_request(void *host, struct bgw_slice text, uint64_t token, struct bgw_buf *answer)
{
    struct bgw_revoke_host *h = host;
    struct bgw_buf error;
    bgw_buf_init(&error, ERROR_MAX);
    enum bgw_status st = bgw_revocation_parse(&h->parsed, text, h->config.keep_s,
                                              bgw_loop_now(h->config.loop), &error);
    int status;
    if (st == BGW_OK) {
        status = take(h, text, token, answer);
    } else if (st == BGW_EXPIRED) {
        bgw_metric_add(BGW_M_REVOCATIONS_EXPIRED, 1);
        bgw_buf_append_str(answer, "{\"applied\":false,\"recorded\":false,\"code\":\"expired\",\"detail\":\"its exp has "
                                   "passed: the tokens that it concerns have ended by themselves\"}");
        status = 200;
    } else {
        bgw_metric_add(BGW_M_REVOCATIONS_REFUSED, 1);
        status = refused(answer, st, &error);
    }
    bgw_buf_deinit(&error);
    return status;
}
