/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client: hides libcurl: its multi handle is told by our loop about sockets and by our wheel about
 * time, so nothing waits inside it. Names are resolved on a thread of the library's. Runs on the
 * reader's thread. What is bounded: transfers, connections, each answer's bytes (the library caps
 * header bytes itself, at 300 KB). A proxy of the environment (HTTPS_PROXY, NO_PROXY) is used for https
 * to other machines, for there are networks with no other way out; never for loopback addresses.
 */
#include "http_client.h"

#include "bgw/assert.h"
#include "bgw/buf.h"
#include "bgw/net.h"
#include "bgw/version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/epoll.h>

#define URL_BYTES_MAX 2048
#define SYSTEM_CA_CACHE_S 3600L /* reading 140 authorities costs some 20 ms, a file of one's own nothing */

struct bgw_http_client {
    struct bgw_loop *loop;
    CURLM *multi;
    struct bgw_timer timer;
    struct bgw_list transfers;
    size_t count;
};

struct bgw_http_transfer {
    struct bgw_list link;
    struct bgw_http_client *client;
    struct bgw_http_client_request request; /* its strings belong to `easy` */
    CURL *easy;
    struct curl_slist *headers;
    struct bgw_buf body;
    char detail[CURL_ERROR_SIZE];
};

struct watched { /* a socket of the library's */
    struct bgw_loop_fd f;
    struct bgw_http_client *client;
    bool attached;
};

/* ---- addresses ---- */

static bool is_loopback(const char *host)
{
    struct bgw_addr a;
    if (strcasecmp(host, "localhost") == 0) /* which the library does not even look up */
        return true;
    if (!bgw_addr_parse(bgw_slice_str(host), &a))
        return false;
    static const uint8_t mapped[13] = {[10] = 0xff, [11] = 0xff, [12] = 127}, one[16] = {[15] = 1};
    return memcmp(a.bytes, mapped, sizeof(mapped)) == 0 || memcmp(a.bytes, one, sizeof(one)) == 0;
}

static const char *describe(CURLU *u, struct bgw_http_address *out)
{
    char *scheme = NULL, *host = NULL, *port = NULL;
    const char *why = "it is no address that can be asked";
    if (curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        out->tls = strcmp(scheme, "https") == 0;
        out->loopback = is_loopback(host);
        int len = snprintf(out->origin, sizeof(out->origin), "%s://%s:%s", scheme, host, port);
        if (!out->tls && strcmp(scheme, "http") != 0)
            why = "it must begin with https:// or http://";
        else if (len < (int)sizeof(out->origin))
            why = NULL;
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    return why;
}

const char *bgw_http_address_parse(const char *url, struct bgw_http_address *out)
{
    *out = (struct bgw_http_address){0};
    if (strlen(url) > URL_BYTES_MAX)
        return "it is longer than 2048 bytes";
    CURLU *u = curl_url();
    if (!u)
        return "there is no memory left";
    CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    const char *why = rc == CURLUE_OK                 ? describe(u, out)
                      : rc == CURLUE_USER_NOT_ALLOWED ? "it must not carry a name or a password, which would end up in logs"
                      : rc == CURLUE_UNSUPPORTED_SCHEME ? "it must begin with https:// or http://"
                                                        : "it is no well-formed address";
    curl_url_cleanup(u);
    return why;
}

/* ---- answers ---- */

static const char *words_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return "";
    case CURLE_OPERATION_TIMEDOUT:
        return "no whole answer came in time";
    case CURLE_FILESIZE_EXCEEDED:
        return "the answer is larger than allowed";
    case CURLE_COULDNT_RESOLVE_HOST:
        return "the server's name cannot be resolved";
    case CURLE_COULDNT_CONNECT:
        return "the server takes no connection";
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_PROXY:
        return "the proxy cannot be used";
    case CURLE_PEER_FAILED_VERIFICATION:
        return "the server's certificate is not trusted";
    case CURLE_SSL_CACERT_BADFILE:
        return "the file of authorities cannot be used";
    case CURLE_SSL_CONNECT_ERROR:
        return "the TLS handshake failed";
    case CURLE_PARTIAL_FILE:
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return "the answer broke off";
    case CURLE_UNSUPPORTED_PROTOCOL: /* an answer without a header is taken for HTTP/0.9, which is off */
    case CURLE_WEIRD_SERVER_REPLY:
        return "the answer is not HTTP/1.1";
    case CURLE_OUT_OF_MEMORY:
        return "there is no memory left";
    default:
        return curl_easy_strerror(code);
    }
}

static enum bgw_http_client_result result_of(CURLcode code)
{
    switch (code) {
    case CURLE_OK:
        return BGW_HTTP_CLIENT_ANSWERED;
    case CURLE_OPERATION_TIMEDOUT:
        return BGW_HTTP_CLIENT_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return BGW_HTTP_CLIENT_TOO_LARGE;
    default:
        return BGW_HTTP_CLIENT_FAILED;
    }
}

/* Its place and its connection are free for the next. */
static void leave(struct bgw_http_transfer *t)
{
    bgw_list_remove(&t->link);
    t->client->count--;
    curl_multi_remove_handle(t->client->multi, t->easy);
}

static void release(struct bgw_http_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    bgw_buf_deinit(&t->body);
    free(t);
}

static void free_transfer(struct bgw_http_transfer *t)
{
    leave(t);
    release(t);
}

static void finish(struct bgw_http_transfer *t, CURLcode code)
{
    long status = 0, of_proxy = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &of_proxy);
    if (code == CURLE_WRITE_ERROR && t->body.failed)
        code = CURLE_FILESIZE_EXCEEDED;
    const struct bgw_http_client_answer answer = {
        .result = result_of(code),
        .status = (int)status,
        .body = code == CURLE_OK ? bgw_buf_slice(&t->body) : (struct bgw_slice){0},
        .words = code != CURLE_OK && of_proxy >= 300 ? "the proxy refuses to connect" : words_of(code),
        .detail = t->detail,
    };
    leave(t); /* before it is told: who hears of it may start the next */
    t->request.done(t->request.arg, &answer);
    release(t);
}

/* After whatever may have ended a transfer; never inside one of the library's callbacks. */
static void collect(struct bgw_http_client *c)
{
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));) {
        struct bgw_http_transfer *t = NULL;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(t, m->data.result);
    }
}

/* ---- the library's callbacks ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct bgw_http_transfer *t = arg;
    bgw_buf_append(&t->body, bgw_slice_of(data, size * count));
    return t->body.failed ? CURL_WRITEFUNC_ERROR : size * count;
}

static void on_ready(struct bgw_loop_fd *f, uint32_t events)
{
    struct watched *w = BGW_CONTAINER(f, struct watched, f);
    struct bgw_http_client *c = w->client;
    int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
               (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
    int running;
    curl_multi_socket_action(c->multi, f->fd, what, &running); /* may free `w` */
    collect(c);
}

static void forget_socket(struct bgw_http_client *c, struct watched *w)
{
    if (w && w->attached)
        bgw_loop_detach(c->loop, &w->f);
    free(w);
}

static struct watched *new_socket(struct bgw_http_client *c, curl_socket_t fd)
{
    struct watched *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    *w = (struct watched){.f = {.fd = fd, .ready = on_ready}, .client = c};
    if (curl_multi_assign(c->multi, fd, w) == CURLM_OK)
        return w;
    free(w); /* else it would come a second time, as a new one */
    return NULL;
}

/* A socket that cannot be watched for lack of memory is left alone: its transfer runs into its deadline. An error from here
 * would end the multi handle for good. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    (void)easy;
    struct bgw_http_client *c = arg;
    struct watched *w = of_socket;
    if (what == CURL_POLL_REMOVE) {
        forget_socket(c, w);
        return 0;
    }
    uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
    if (!w)
        w = new_socket(c, fd);
    if (!w)
        return 0;
    if (w->attached) {
        bgw_loop_change(c->loop, &w->f, events);
    } else {
        w->f.events = events;
        w->attached = bgw_loop_attach(c->loop, &w->f) == BGW_OK;
    }
    return 0;
}

static int on_timeout_change(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    struct bgw_http_client *c = arg;
    if (timeout_ms < 0)
        bgw_wheel_cancel(bgw_loop_wheel(c->loop), &c->timer);
    else /* from now, not from the turn's beginning */
        bgw_wheel_arm(bgw_loop_wheel(c->loop), &c->timer, bgw_clock_now().mono_ms + timeout_ms);
    return 0;
}

static void on_timer(struct bgw_timer *timer, int64_t now_ms)
{
    (void)now_ms;
    struct bgw_http_client *c = BGW_CONTAINER(timer, struct bgw_http_client, timer);
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(c);
}

/* ---- requests ---- */

static bool set_trust(CURL *e, const struct bgw_http_client_request *r)
{
    CURLcode rc = CURLE_OK;
    if (r->ca_file && *r->ca_file) { /* these alone: without the second line the system's directory counts too */
        rc = curl_easy_setopt(e, CURLOPT_CAINFO, r->ca_file);
        rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
        return (rc ? rc : curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, 0L)) == CURLE_OK;
    }
    return curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, SYSTEM_CA_CACHE_S) == CURLE_OK;
}

static bool set_route(CURL *e, const struct bgw_http_client_request *r, const struct bgw_http_address *at)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_URL, r->url);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, at->tls ? "https" : "http");
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_FORBID_REUSE, r->keep_alive ? 0L : 1L);
    if (!rc && (at->loopback || !at->tls))
        rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    return rc == CURLE_OK;
}

static bool set_limits(CURL *e, const struct bgw_http_client_request *r)
{
    CURLcode rc = curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    /* leaves a little of the whole for the words: "takes no connection" helps more than "not in time" */
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->timeout_ms - r->timeout_ms / 8));
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)r->bytes_max);
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    /* else giving up on a name waits for the thread that looks it up, which the system may keep for half a minute */
    rc = rc ? rc : curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    return rc == CURLE_OK;
}

static bool set_headers(struct bgw_http_transfer *t, const struct bgw_http_client_request *r)
{
    struct bgw_buf accept;
    bgw_buf_init(&accept, 512);
    bgw_buf_appendf(&accept, "Accept: %s", r->accept ? r->accept : "*/*");
    bgw_buf_append_byte(&accept, '\0');
    if (!accept.failed)
        t->headers = curl_slist_append(NULL, accept.data);
    bgw_buf_deinit(&accept);
    return t->headers && (!r->header || curl_slist_append(t->headers, r->header)); /* the head stays the same */
}

static bool set_up(struct bgw_http_transfer *t, const struct bgw_http_address *at)
{
    const struct bgw_http_client_request *r = &t->request;
    CURL *e = t->easy;
    return set_headers(t, r) && curl_easy_setopt(e, CURLOPT_PRIVATE, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->detail) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_WRITEDATA, t) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_USERAGENT, "balance-gateway/" BGW_VERSION) == CURLE_OK &&
           curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers) == CURLE_OK && set_route(e, r, at) && set_trust(e, r) &&
           set_limits(e, r);
}

static enum bgw_status begin(struct bgw_http_transfer *t)
{
    struct bgw_http_address at;
    /* it was looked at before: now only memory can be lacking */
    if (bgw_http_address_parse(t->request.url, &at) || !set_up(t, &at) || curl_multi_add_handle(t->client->multi, t->easy) != CURLM_OK)
        return BGW_NO_MEMORY;
    t->request.url = t->request.accept = t->request.header = t->request.ca_file = NULL; /* the caller's; the library has copies */
    return BGW_OK;
}

enum bgw_status bgw_http_client_start(struct bgw_http_client *c, const struct bgw_http_client_request *r,
                                      struct bgw_http_transfer **out)
{
    BGW_ASSERT(r->done && r->bytes_max > 0 && r->timeout_ms > 0);
    if (c->count == BGW_HTTP_CLIENT_TRANSFERS_MAX)
        return BGW_FULL;
    struct bgw_http_transfer *t = calloc(1, sizeof(*t));
    CURL *easy = curl_easy_init();
    if (!t || !easy) {
        free(t);
        curl_easy_cleanup(easy);
        return BGW_NO_MEMORY;
    }
    t->client = c;
    t->request = *r;
    t->easy = easy;
    bgw_buf_init(&t->body, r->bytes_max);
    bgw_list_push_back(&c->transfers, &t->link);
    c->count++;
    enum bgw_status status = begin(t);
    if (status != BGW_OK)
        free_transfer(t);
    else
        *out = t;
    return status;
}

void bgw_http_client_cancel(struct bgw_http_transfer **t)
{
    if (*t)
        free_transfer(*t);
    *t = NULL;
}

/* ---- life ---- */

static bool set_up_multi(struct bgw_http_client *c)
{
    CURLM *m = c->multi = curl_multi_init();
    return m && curl_multi_setopt(m, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_SOCKETDATA, c) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERFUNCTION, on_timeout_change) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_TIMERDATA, c) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)BGW_HTTP_CLIENT_TRANSFERS_MAX) == CURLM_OK &&
           curl_multi_setopt(m, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK;
}

enum bgw_status bgw_http_client_create(struct bgw_http_client **out, struct bgw_loop *loop)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) /* counted by the library */
        return BGW_NO_MEMORY;
    struct bgw_http_client *c = calloc(1, sizeof(*c));
    if (!c) {
        curl_global_cleanup();
        return BGW_NO_MEMORY;
    }
    c->loop = loop;
    bgw_list_init(&c->transfers);
    bgw_timer_init(&c->timer, on_timer);
    if (!set_up_multi(c)) {
        bgw_http_client_destroy(&c);
        return BGW_NO_MEMORY;
    }
    *out = c;
    return BGW_OK;
}

void bgw_http_client_destroy(struct bgw_http_client **client)
{
    struct bgw_http_client *c = *client;
    if (!c)
        return;
    while (!bgw_list_empty(&c->transfers))
        free_transfer(BGW_CONTAINER(c->transfers.next, struct bgw_http_transfer, link));
    curl_multi_cleanup(c->multi);
    bgw_wheel_cancel(bgw_loop_wheel(c->loop), &c->timer);
    free(c);
    curl_global_cleanup();
    *client = NULL;
}
