/* SPDX-License-Identifier: Apache-2.0 */
/*
 * http_client: GET on a loop, without blocking it. An answer is whole, of any status, and at most as
 * large as the request allows, or it is a failure with words. Certificates are always verified,
 * redirects never followed, nothing is decompressed. Private to read; hides libcurl.
 */
#ifndef BGW_READ_HTTP_CLIENT_H
#define BGW_READ_HTTP_CLIENT_H

#include "bgw/loop.h"
#include "bgw/slice.h"

#include <stdbool.h>

#define BGW_HTTP_CLIENT_TRANSFERS_MAX 64

struct bgw_http_client;   /* loop's thread, or any one thread while the loop does not run */
struct bgw_http_transfer; /* the same */

enum bgw_http_client_result {
    BGW_HTTP_CLIENT_ANSWERED,
    BGW_HTTP_CLIENT_TIMEOUT,
    BGW_HTTP_CLIENT_TOO_LARGE,
    BGW_HTTP_CLIENT_FAILED,
};

/* borrowed by the callback */
struct bgw_http_client_answer {
    enum bgw_http_client_result result;
    int status;            /* 0: none came; there may be one without ANSWERED */
    struct bgw_slice body; /* ANSWERED */
    const char *words;     /* why not ANSWERED, without names or addresses; else "" */
    const char *detail;    /* the same in the library's words, for the log; may be "" */
};

struct bgw_http_client_request { /* copied */
    const char *url;     /* one that bgw_http_address_parse took */
    const char *accept;  /* media types */
    const char *header;  /* one more line, "Name: value", or NULL */
    bool keep_alive;     /* its connection may be used again */
    const char *ca_file; /* NULL or "": the system's authorities; else these alone, read anew each time */
    int64_t timeout_ms;  /* from the start to the last byte */
    size_t bytes_max;
    /* Exactly once, from the loop, never inside start; not after cancel or destroy. It may start and cancel others. */
    void (*done)(void *arg, const struct bgw_http_client_answer *a);
    void *arg;
};

struct bgw_http_address {
    bool tls, loopback;
    char origin[272]; /* "https://idp.example:8443": for the log */
};

/* NULL: it is one of ours. Else the sentence that says why not: no http or https, a name or a password in it, nonsense. */
const char *bgw_http_address_parse(const char *url, struct bgw_http_address *out);

BGW_MUST_CHECK enum bgw_status bgw_http_client_create(struct bgw_http_client **out, struct bgw_loop *loop);
/* BGW_FULL: BGW_HTTP_CLIENT_TRANSFERS_MAX are under way. `*out` is valid until done or cancel. */
BGW_MUST_CHECK enum bgw_status bgw_http_client_start(struct bgw_http_client *c,
                                                     const struct bgw_http_client_request *r,
                                                     struct bgw_http_transfer **out);
void bgw_http_client_cancel(struct bgw_http_transfer **t); /* fine if NULL */
void bgw_http_client_destroy(struct bgw_http_client **c);  /* cancels all; before its loop; fine if NULL */

#endif
