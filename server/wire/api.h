/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api: which path answers what on the client port. Hides the table of routes and the static files.
 * Called by conn with a whole request; shard thread only.
 */
#ifndef BGW_WIRE_API_H
#define BGW_WIRE_API_H

#include "bgw/config.h"
#include "bgw/flags.h"
#include "bgw/health.h"
#include "bgw/http.h"
#include "bgw/sources.h"

struct bgw_api { /* shard thread only; immutable after start, but for `origins` */
    const struct bgw_config *config;
    const char *origins; /* of the policy in force: conn says it before each call */
    const char *version;
    const char *demo_token;
    void (*health)(void *arg, struct bgw_health *out);
    void *health_arg;
    const struct bgw_flags *flags; /* NULL: all on */
    void (*sources)(void *arg, struct bgw_sources_view *out); /* any thread; NULL: there are none */
    void *sources_arg;
};

#define BGW_REPLY_MAX (16u << 20) /* of one response: the largest static file, and its header */

enum bgw_api_result {
    BGW_API_REPLIED,
    BGW_API_CLOSE,   /* replied, and the connection ends with it */
    BGW_API_UPGRADE,   /* GET /ws with Upgrade: conn_ws.c's; nothing was appended in this and the following cases */
    BGW_API_NEGOTIATE, /* anything else at /ws, and /ws/negotiate: conn_negotiate.c's */
    BGW_API_STREAM,    /* GET /v1/stream: conn_stream.c's */
    BGW_API_READ,      /* GET of balances: conn_read.c's */
    BGW_API_OPS,       /* GET /v1/ops and /v1/ops/stream: conn_ops.c's */
};

/* Appends a whole response. `last`: the connection is to end with it whatever the client wants. */
enum bgw_api_result bgw_api_answer(const struct bgw_api *api, const struct bgw_http_request *r,
                                   bool last, struct bgw_buf *out, struct bgw_now now);

/* ---- static.c ---- */
struct bgw_page {
    struct bgw_slice body;
    struct bgw_buf loaded; /* holds the body of a file from web_root */
    const char *content_type;
    char etag[24];
    bool gzip, varies; /* the body is gzip; another request might get it otherwise */
    bool lasting;      /* another content would have another name */
};
/* Finds the file of a decoded path ("/" is "/index.html"). web_root empty: the built-in page. `gzip`: who asks takes that.
 * False: there is none. The caller deinits `loaded`. */
bool bgw_static_find(const char *web_root, struct bgw_slice path, bool gzip, struct bgw_page *out);

#endif
