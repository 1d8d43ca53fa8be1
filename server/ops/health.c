/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health: the words of the health pages. `/livez` only says that a thread still answers; `/readyz`
 * is what a load balancer acts on, so it is 503 while the stream is being read and from the first
 * moment of a drain. Trouble that we can serve through is 200 with `degraded`. Any thread, pure.
 */
#include "bgw/health.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ISO 8601 with milliseconds, as the .NET service wrote it. */
static void append_time(struct bgw_buf *out, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32];
    size_t len = gmtime_r(&seconds, &utc) ? strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc) : 0;
    bgw_buf_append_byte(out, '"');
    bgw_buf_append(out, bgw_slice_of(text, len));
    bgw_buf_appendf(out, ".%03dZ\"", (int)(wall_ms % 1000));
}

void bgw_health_degrade(struct bgw_health *h, const char *name)
{
    char quoted[64];
    size_t len = strlen(h->degraded);
    int n = snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    if (n <= 0 || (size_t)n >= sizeof(quoted) || strstr(h->degraded, quoted) ||
        len + (size_t)n + 2 > sizeof(h->degraded))
        return;
    snprintf(h->degraded + len, sizeof(h->degraded) - len, "%s%s", len ? "," : "", quoted);
}

void bgw_health_of_sources(struct bgw_health *h, const struct bgw_sources_view *view)
{
    if (view->redis == BGW_LINK_DOWN)
        bgw_health_degrade(h, "redis");
    if (view->channel == BGW_LINK_DOWN)
        bgw_health_degrade(h, "invalidations");
    if (view->origin == BGW_LINK_DOWN)
        bgw_health_degrade(h, "origin");
    if (view->redis_breaker != BGW_BREAKER_CLOSED)
        bgw_health_degrade(h, "redis_breaker");
    if (view->origin_breaker != BGW_BREAKER_CLOSED)
        bgw_health_degrade(h, "origin_breaker");
}

int bgw_health_page(struct bgw_buf *out, struct bgw_now now, const char *version)
{
    bgw_buf_append_str(out, "{\"ok\":true,\"timestamp\":");
    append_time(out, now.wall_ms);
    bgw_buf_append_str(out, ",\"service\":\"Atlas.Realtime\",\"version\":");
    bgw_buf_append_json(out, bgw_slice_str(version));
    bgw_buf_append_str(out, "}");
    return 200;
}

int bgw_health_livez(struct bgw_buf *out)
{
    bgw_buf_append_str(out, "{\"ok\":true}");
    return 200;
}

int bgw_health_readyz(struct bgw_buf *out, const struct bgw_health *h, bool verbose)
{
    bool ok = h->ready && !h->draining;
    bgw_buf_appendf(out, "{\"ok\":%s", ok ? "true" : "false");
    if (ok && *h->degraded)
        bgw_buf_appendf(out, ",\"degraded\":[%s]", h->degraded);
    if (verbose) {
        bgw_buf_appendf(out, ",\"ready\":%s,\"draining\":%s,\"reasons\":[", h->ready ? "true" : "false",
                        h->draining ? "true" : "false");
        if (!ok && *h->reason)
            bgw_buf_append_json(out, bgw_slice_str(h->reason));
        bgw_buf_append_str(out, "]");
    }
    bgw_buf_append_str(out, "}");
    return ok ? 200 : 503;
}
