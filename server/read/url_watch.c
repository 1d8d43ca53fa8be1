/* SPDX-License-Identifier: Apache-2.0 */
/*
 * url_watch: hides when a document is fetched. Everything happens on the reader's thread, except
 * `want`, `now` and `trouble`. `gate` is the whole answer to a flood of wants: it holds either
 * FETCHING (one is asked for or under way) or the time from which the next may start; whoever
 * moves it from a time that has passed to the former has asked, and posts the only message.
 * Invariants: one fetch at a time; between the end of one and the start of the next lies the
 * cooldown, unless `now` was called; what could not be used changes nothing.
 */
#include "bgw/url_watch.h"

#include "document_file.h"
#include "http_client.h"

#include "bgw/assert.h"
#include "bgw/log.h"
#include "bgw/mailbox.h"
#include "bgw/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY "BGW_JWT_JWKS" /* for words: the one document that is watched so far; the metrics are its own too */
#define FETCHING (-1) /* in `gate` */
#define ASKED_MAX 8   /* messages; one or two in fact */
#define TROUBLE_MAX 160
#define PAUSE_MAX_MS 60000       /* between failures: recovery should not wait for a long refresh */
#define PAUSE_FIRST_MAX_MS 15000 /* before the first success: the gateway cannot begin without */

enum fortune { UNTRIED, WELL, FAILED, UNUSABLE };
enum ask { ASK_WANT, ASK_NOW };

struct bgw_url_watch { /* reader's thread, except what says otherwise */
    struct bgw_url_watch_config config;
    char *url, *ca_file;
    const char *path; /* in `url`; NULL: it is asked for over HTTP */
    struct bgw_http_address address;
    struct bgw_loop *loop;
    struct bgw_http_client *http;
    struct bgw_http_transfer *transfer;
    struct bgw_timer due;
    struct bgw_mailbox *asked;
    enum fortune fortune;
    unsigned failures; /* in a row */
    bool ever, again, closing;
    atomic_llong gate;       /* any thread */
    atomic_bool now_waiting; /* any thread: a message ASK_NOW is on its way */
    pthread_mutex_t lock;    /* any thread: guards `trouble` */
    char trouble[TROUBLE_MAX];
};

/* ---- when ---- */

static int64_t spread(int64_t ms)
{
    return ms > 0 && ms < UINT32_MAX ? (int64_t)arc4random_uniform((uint32_t)ms) : 0;
}

static int64_t pause_ms(const struct bgw_url_watch *w)
{
    const struct bgw_url_watch_config *c = &w->config;
    if (!w->failures) /* early rather than late: replicas that were started together drift apart */
        return c->refresh_ms - spread(c->refresh_ms / 10);
    int64_t max = w->ever ? PAUSE_MAX_MS : PAUSE_FIRST_MAX_MS, ms = c->cooldown_ms;
    max = c->refresh_ms < max ? c->refresh_ms : max;
    for (unsigned i = 1; i < w->failures && ms < max; i++)
        ms *= 2;
    ms = ms < max ? ms : max;
    ms = ms > c->cooldown_ms ? ms : c->cooldown_ms;
    return ms + spread(ms / 4);
}

static void arm(struct bgw_url_watch *w)
{
    int64_t now_ms = bgw_clock_now().mono_ms;
    bool again = w->again;
    w->again = false;
    bgw_wheel_arm(bgw_loop_wheel(w->loop), &w->due, again ? now_ms : now_ms + pause_ms(w));
    if (!again) /* else it stays shut: the next one starts at once */
        atomic_store(&w->gate, now_ms + w->config.cooldown_ms);
}

/* ---- how it went ---- */

static void tell(struct bgw_url_watch *w, enum fortune fortune, const char *words, const char *detail)
{
    pthread_mutex_lock(&w->lock);
    snprintf(w->trouble, sizeof(w->trouble), "%s", words);
    pthread_mutex_unlock(&w->lock);
    if (fortune == w->fortune)
        return;
    const char *from = w->path ? w->path : w->address.origin;
    if (fortune == WELL)
        BGW_LOG(BGW_LOG_INFO, "document_read", {"key", LS(KEY)}, {"from", LS(from)},
                {"failures_before", LI(w->failures)});
    else
        BGW_LOG(BGW_LOG_WARN, fortune == FAILED ? "document_not_read" : "document_unusable", {"key", LS(KEY)},
                {"from", LS(from)}, {"reason", LS(words)}, {"detail", LS(detail)},
                {"effect", LS(w->ever ? "the one read before stays in use" : "there is none yet; asked again soon")});
}

static void end_fetch(struct bgw_url_watch *w, enum fortune fortune, const char *words, const char *detail)
{
    static const enum bgw_metric counters[] = {
        [WELL] = BGW_M_JWKS_FETCHES_OK, [FAILED] = BGW_M_JWKS_FETCHES_FAILED, [UNUSABLE] = BGW_M_JWKS_FETCHES_UNUSABLE};
    bgw_metric_add(counters[fortune], 1);
    tell(w, fortune, words, detail);
    w->fortune = fortune;
    w->ever = w->ever || fortune == WELL;
    if (fortune == WELL)
        w->failures = 0;
    else if (w->failures < UINT16_MAX)
        w->failures++;
    arm(w);
}

static void take(struct bgw_url_watch *w, struct bgw_slice bytes)
{
    if (w->config.document(w->config.arg, bytes, bgw_loop_now(w->loop)))
        end_fetch(w, WELL, "", "");
    else
        end_fetch(w, UNUSABLE, "what was read cannot be used", "");
}

/* ---- fetching ---- */

static void on_answer(void *arg, const struct bgw_http_client_answer *a)
{
    struct bgw_url_watch *w = arg;
    char words[TROUBLE_MAX];
    w->transfer = NULL;
    if (a->status != 0 && a->status != 200) {
        bool moved = a->status >= 300 && a->status < 400;
        snprintf(words, sizeof(words), "the server answers with status %d%s", a->status,
                 moved ? ", and redirects are not followed" : "");
        end_fetch(w, FAILED, words, "");
    } else if (a->result != BGW_HTTP_CLIENT_ANSWERED) {
        end_fetch(w, FAILED, a->words, a->detail);
    } else {
        take(w, a->body);
    }
}

static void read_document_file(struct bgw_url_watch *w)
{
    struct bgw_buf bytes;
    bgw_buf_init(&bytes, w->config.bytes_max);
    const char *why = bgw_document_file_read(w->path, &bytes);
    if (why)
        end_fetch(w, FAILED, why, "");
    else
        take(w, bgw_buf_slice(&bytes));
    bgw_buf_deinit(&bytes);
}

static void start_fetch(struct bgw_url_watch *w)
{
    BGW_ASSERT(!w->transfer);
    bgw_wheel_cancel(bgw_loop_wheel(w->loop), &w->due);
    atomic_store(&w->gate, FETCHING);
    if (w->path) {
        read_document_file(w);
        return;
    }
    const struct bgw_http_client_request request = {
        .url = w->url,
        .accept = "application/jwk-set+json, application/json",
        .ca_file = w->ca_file,
        .timeout_ms = w->config.timeout_ms,
        .bytes_max = w->config.bytes_max,
        .done = on_answer,
        .arg = w,
    };
    enum bgw_status status = bgw_http_client_start(w->http, &request, &w->transfer);
    if (status != BGW_OK)
        end_fetch(w, FAILED, bgw_status_text(status), "");
}

static void on_due(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    start_fetch(BGW_CONTAINER(timer, struct bgw_url_watch, due));
}

static void on_ask(void *arg, const void *item)
{
    struct bgw_url_watch *w = arg;
    enum ask ask = *(const enum ask *)item;
    if (w->closing)
        return;
    if (ask == ASK_NOW) {
        atomic_store(&w->now_waiting, false);
        if (w->transfer)
            w->again = true; /* what is on its way may be older than what we are told of */
        else
            start_fetch(w);
    } else if (!w->transfer && atomic_load(&w->gate) == FETCHING) { /* else the timer was first */
        start_fetch(w);
    }
}

/* ---- any thread ---- */

/* A full mailbox holds messages that lead to a fetch anyway. */
static void post(struct bgw_url_watch *w, enum ask ask)
{
    (void)!bgw_mailbox_post(w->asked, &ask);
}

bool bgw_url_watch_want(struct bgw_url_watch *w)
{
    long long at = atomic_load(&w->gate);
    if (at == FETCHING)
        return true;
    if (bgw_clock_now().mono_ms < at)
        return false;
    if (atomic_compare_exchange_strong(&w->gate, &at, FETCHING))
        post(w, ASK_WANT);
    return true; /* or somebody else was first: with a fetch, which may even have ended, but after we came */
}

void bgw_url_watch_now(struct bgw_url_watch *w)
{
    if (!atomic_exchange(&w->now_waiting, true))
        post(w, ASK_NOW);
}

void bgw_url_watch_trouble(struct bgw_url_watch *w, char *out, size_t cap)
{
    pthread_mutex_lock(&w->lock);
    snprintf(out, cap, "%s", w->trouble);
    pthread_mutex_unlock(&w->lock);
}

/* ---- life ---- */

static enum bgw_status refuse(const struct bgw_url_watch *w, struct bgw_buf *error, const char *why)
{
    if (strchr(w->url, '@')) /* perhaps a password */
        bgw_buf_appendf(error, KEY " is not shown here: %s", why);
    else
        bgw_buf_appendf(error, KEY " is \"%.300s\": %s", w->url, why);
    return BGW_CONFIG;
}

static enum bgw_status look_at_http(struct bgw_url_watch *w, struct bgw_buf *error)
{
    const char *why = bgw_http_address_parse(w->url, &w->address);
    if (why)
        return refuse(w, error, why);
    if (!w->address.tls && !w->address.loopback)
        return refuse(w, error, "over http:// anybody on the way could put keys of his own into it; use https:// (http:// "
                                "is for loopback addresses alone)");
    if (*w->ca_file && access(w->ca_file, R_OK) != 0) {
        bgw_buf_appendf(error, KEY "_CA is \"%.300s\": %s; it must name a PEM file with the authorities of the server",
                        w->ca_file, strerrordesc_np(errno));
        return BGW_CONFIG;
    }
    return bgw_http_client_create(&w->http, w->loop);
}

/* A path, file:///path, or what has a scheme. */
static enum bgw_status look_at_url(struct bgw_url_watch *w, struct bgw_buf *error)
{
    static const char scheme[] = "file://";
    const char *after = w->url + sizeof(scheme) - 1;
    if (!*w->url)
        return refuse(w, error, "expected a file, https://, or http:// on a loopback address");
    if (strncmp(w->url, scheme, sizeof(scheme) - 1) == 0) {
        if (*after != '/' || strchr(after, '%'))
            return refuse(w, error, "file:// is followed by a whole path as it is, such as file:///etc/bgw/keys.json");
        w->path = after;
    } else if (!strstr(w->url, "://")) {
        w->path = w->url;
    }
    return w->path ? BGW_OK : look_at_http(w, error);
}

static enum bgw_status set_up(struct bgw_url_watch *w, const struct bgw_url_watch_config *config, struct bgw_buf *error)
{
    w->url = strdup(config->url);
    w->ca_file = strdup(config->ca_file ? config->ca_file : "");
    if (!w->url || !w->ca_file)
        return BGW_NO_MEMORY;
    if (w->config.refresh_ms < w->config.cooldown_ms)
        w->config.refresh_ms = w->config.cooldown_ms;
    enum bgw_status status = look_at_url(w, error);
    return status != BGW_OK ? status
                            : bgw_mailbox_create(&w->asked, w->loop, sizeof(enum ask), ASKED_MAX, on_ask, w);
}

enum bgw_status bgw_url_watch_create(struct bgw_url_watch **out, struct bgw_loop *loop,
                                     const struct bgw_url_watch_config *config, struct bgw_buf *error)
{
    BGW_ASSERT(config->document && config->cooldown_ms > 0 && config->timeout_ms > 0 && config->bytes_max > 0);
    struct bgw_url_watch *w = calloc(1, sizeof(*w));
    if (!w)
        return BGW_NO_MEMORY;
    w->config = *config;
    w->loop = loop;
    bgw_timer_init(&w->due, on_due);
    BGW_ASSERT(pthread_mutex_init(&w->lock, NULL) == 0);
    atomic_init(&w->gate, FETCHING); /* the first one starts with the loop */
    enum bgw_status status = set_up(w, config, error);
    if (status != BGW_OK) {
        bgw_url_watch_destroy(&w);
        return status;
    }
    bgw_wheel_arm(bgw_loop_wheel(loop), &w->due, bgw_clock_now().mono_ms);
    *out = w;
    return BGW_OK;
}

void bgw_url_watch_destroy(struct bgw_url_watch **watch)
{
    struct bgw_url_watch *w = *watch;
    if (!w)
        return;
    w->closing = true;
    bgw_wheel_cancel(bgw_loop_wheel(w->loop), &w->due);
    bgw_http_client_cancel(&w->transfer);
    bgw_http_client_destroy(&w->http);
    bgw_mailbox_destroy(&w->asked);
    pthread_mutex_destroy(&w->lock);
    free(w->url);
    free(w->ca_file);
    free(w);
    *watch = NULL;
}
