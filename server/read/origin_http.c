/* SPDX-License-Identifier: Apache-2.0 */
/*
 * origin_http: asks the origin by GET {base}/_internal/balance. Hides its addresses and what its status
 * codes mean: 200 with a readable body is a value, 404 is nobody knows it, all else is no answer. Called
 * by origin.c; reader's thread. Its list of accounts, where it has one, is GET {base}/_internal/accounts.
 */
#include "http_client.h"
#include "origin_private.h"

#include "bgw/log.h"

#include <stdio.h>
#include <stdlib.h>

#define BODY_BYTES_MAX 65536
#define LIST_BYTES_MAX (64u << 20)
#define LIST_TIMEOUT_MS 60000
#define LIST_KEYS_A_TURN 1000
#define BASE_BYTES_MAX 1024
#define URL_BYTES_MAX 2048

struct origin_http { /* reader's thread */
    struct bgw_origin *origin;
    struct bgw_http_client *client;
    struct bgw_http_address address;
    char *base, *ca_file;
    struct bgw_http_transfer *list;
    struct bgw_blob *list_bytes; /* while it is taken apart */
    struct origin_list_text list_text;
    struct bgw_timer list_more;
};

/* ---- one balance ---- */

static void append_escaped(struct bgw_buf *out, struct bgw_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (plain)
            bgw_buf_append_byte(out, (char)c);
        else
            bgw_buf_appendf(out, "%%%02X", c);
    }
}

static void complain(const struct origin_http *h, int status, const char *words, const char *detail)
{
    BGW_LOG(BGW_LOG_WARN, "origin_call_failed", {"origin", LS(h->address.origin)}, {"status", LI(status)}, {"reason", LS(words)},
            {"detail", LS(detail)});
}

static void take_body(struct origin_http *h, struct origin_call *call, struct bgw_slice body)
{
    struct bgw_decoded found;
    const struct bgw_feed *feed = h->origin->config.feed;
    enum bgw_reject why = feed->decode_body(feed, &call->name, body, &found);
    if (why == BGW_REJECT_NONE) {
        origin_found(call, &found, body);
        return;
    }
    complain(h, 200, "its body cannot be used", bgw_reject_text(why));
    origin_failed(call);
}

static void on_answer(void *arg, const struct bgw_http_client_answer *a)
{
    struct origin_call *call = arg;
    struct origin_http *h = call->origin->http;
    bool answered = a->result == BGW_HTTP_CLIENT_ANSWERED;
    call->work = NULL;
    origin_set_up(h->origin, answered && (a->status == 200 || a->status == 404));
    if (answered && a->status == 200) {
        take_body(h, call, a->body);
    } else if (answered && a->status == 404) {
        origin_missing(call);
    } else {
        complain(h, a->status, answered ? "its status is neither 200 nor 404" : a->words, a->detail);
        origin_failed(call);
    }
}

static bool start_call(struct bgw_origin *o, struct origin_call *call)
{
    char url[URL_BYTES_MAX], part[BGW_PART_MAX], header[80];
    struct bgw_http_transfer *transfer;
    struct bgw_buf b;
    bgw_buf_init(&b, sizeof(url) - 1);
    bgw_buf_append_str(&b, o->http->base);
    bgw_buf_append_str(&b, "/_internal/balance?accountId=");
    append_escaped(&b, bgw_slice_of(call->name.key, call->name.key_len));
    bgw_buf_append_str(&b, "&currency=");
    append_escaped(&b, bgw_slice_of(part, bgw_part_text(call->name.part, part)));
    bool ok = !b.failed;
    snprintf(url, sizeof(url), "%.*s", (int)b.len, b.data ? b.data : "");
    bgw_buf_deinit(&b);
    snprintf(header, sizeof(header), "X-Tenant-Id: %.*s", (int)call->name.tenant_len, call->name.tenant);
    const struct bgw_http_client_request r = {
        .url = url,
        .accept = "application/json",
        .header = header,
        .keep_alive = true,
        .ca_file = o->http->ca_file,
        .timeout_ms = call->timeout_ms + 1, /* whose deadline it is knows the call */
        .bytes_max = BODY_BYTES_MAX,
        .done = on_answer,
        .arg = call,
    };
    if (!ok || bgw_http_client_start(o->http->client, &r, &transfer) != BGW_OK)
        return false;
    call->work = transfer;
    return true;
}

static void cancel_call(struct bgw_origin *o, struct origin_call *call)
{
    struct bgw_http_transfer *transfer = call->work;
    if (transfer && call->deadline.due_ms <= bgw_clock_now().mono_ms) { /* not forgotten: it took too long */
        complain(o->http, 0, "no whole answer came in time", "");
        origin_set_up(o, false);
    }
    bgw_http_client_cancel(&transfer);
    call->work = NULL;
}

/* ---- the list ---- */

static void end_list(struct origin_http *h, bool whole)
{
    bgw_blob_release(h->list_bytes);
    h->list_bytes = NULL;
    origin_list_end(h->origin, whole);
}

static void on_list_more(struct bgw_timer *timer, int64_t now_ms)
{
    struct origin_http *h = BGW_CONTAINER(timer, struct origin_http, list_more);
    struct bgw_slice tenant, key;
    for (int i = 0; i < LIST_KEYS_A_TURN; i++) {
        enum origin_list_step step = origin_list_text_next(&h->list_text, &tenant, &key);
        if (step != ORIGIN_LIST_KEY) {
            end_list(h, step == ORIGIN_LIST_END);
            return;
        }
        origin_listed(h->origin, tenant, key);
    }
    bgw_wheel_arm(bgw_loop_wheel(h->origin->loop), &h->list_more, now_ms);
}

static void on_list(void *arg, const struct bgw_http_client_answer *a)
{
    struct origin_http *h = arg;
    h->list = NULL;
    if (a->result == BGW_HTTP_CLIENT_ANSWERED && a->status == 200)
        h->list_bytes = bgw_blob_copy(a->body);
    if (!h->list_bytes) {
        end_list(h, false);
        return;
    }
    origin_list_text_init(&h->list_text, bgw_blob_slice(h->list_bytes));
    bgw_wheel_arm(bgw_loop_wheel(h->origin->loop), &h->list_more, bgw_clock_now().mono_ms);
}

static bool start_list(struct bgw_origin *o)
{
    struct origin_http *h = o->http;
    char url[URL_BYTES_MAX];
    snprintf(url, sizeof(url), "%s/_internal/accounts", h->base);
    const struct bgw_http_client_request r = {
        .url = url,
        .accept = "application/json, application/x-ndjson, text/plain",
        .keep_alive = true,
        .ca_file = h->ca_file,
        .timeout_ms = LIST_TIMEOUT_MS,
        .bytes_max = LIST_BYTES_MAX,
        .done = on_list,
        .arg = h,
    };
    return bgw_http_client_start(h->client, &r, &h->list) == BGW_OK;
}

/* ---- life ---- */

static void begin(struct bgw_origin *o)
{
    origin_set_up(o, true); /* until a call says otherwise */
}

static void destroy(struct bgw_origin *o)
{
    struct origin_http *h = o->http;
    if (!h)
        return;
    bgw_wheel_cancel(bgw_loop_wheel(o->loop), &h->list_more);
    bgw_http_client_cancel(&h->list);
    bgw_http_client_destroy(&h->client);
    bgw_blob_release(h->list_bytes);
    free(h->base);
    free(h->ca_file);
    free(h);
    o->http = NULL;
}

static enum bgw_status refuse(const char *base, struct bgw_buf *error, const char *why)
{
    if (strchr(base, '@')) /* perhaps a password */
        bgw_buf_appendf(error, "LEDGER_INTERNAL is not shown here: %s", why);
    else
        bgw_buf_appendf(error, "LEDGER_INTERNAL is \"%.300s\": %s", base, why);
    return BGW_CONFIG;
}

static enum bgw_status look_at_base(struct origin_http *h, const char *base, struct bgw_buf *error)
{
    if (strlen(base) > BASE_BYTES_MAX)
        return refuse(base, error, "it is longer than 1024 bytes");
    const char *why = bgw_http_address_parse(base, &h->address);
    if (why)
        return refuse(base, error, why);
    return strpbrk(base, "?#") ? refuse(base, error, "a query or fragment cannot be part of a base") : BGW_OK;
}

enum bgw_status origin_http_create(struct bgw_origin *o, struct bgw_buf *error)
{
    static const struct origin_backend backend = {
        .begin = begin, .start = start_call, .cancel = cancel_call, .list = start_list, .destroy = destroy};
    struct origin_http *h = o->http = calloc(1, sizeof(*h));
    const char *base = o->config.http_base;
    if (!h)
        return BGW_NO_MEMORY;
    o->backend = &backend;
    h->origin = o;
    bgw_timer_init(&h->list_more, on_list_more);
    enum bgw_status status = look_at_base(h, base, error);
    if (status != BGW_OK)
        return status;
    size_t len = strlen(base);
    while (len && base[len - 1] == '/')
        len--;
    h->base = strndup(base, len);
    h->ca_file = strdup(o->config.ca_file ? o->config.ca_file : "");
    return h->base && h->ca_file ? bgw_http_client_create(&h->client, o->loop) : BGW_NO_MEMORY;
}
